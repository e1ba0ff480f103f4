"""What Locust's class picker may change of a user class: how many of its users there are, and which of its tasks they do.

Locust sets whatever attribute a request names, on its workers too. Of ours, prompt sizes are attributes, which may name
files, and the backend is one, which says whose key is read.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.web import WebUI

__all__ = ["picked"]

MOST: Final = 1_000_000


def picked(environment: "Environment", web_ui: "WebUI", said: object) -> None:
    """Look at what is to be changed; `said` is the request's JSON.

    Raises:
        ConfigError: it is not to be changed, or not so.
    """
    known = environment.available_user_classes or {}
    if not web_ui.userclass_picker_is_active:
        raise ConfigError("user classes can be changed where Locust was started with --class-picker")
    if not isinstance(said, Mapping) or said.get("user_class_name") not in known:
        raise ConfigError(f"user_class_name: give one of {', '.join(sorted(known))}")
    chosen: Any = known[said["user_class_name"]]
    for name, value in said.items():
        match name:
            case "user_class_name":
                right = True
            case "weight":
                right = _is_number(value)
            case "fixed_count":
                right = _is_number(value) and value == int(value)
            case "tasks":
                right = isinstance(value, list) and all(isinstance(one, str) for one in value)
            case "host":  # the form's own says where load goes
                right = (value or None) == (chosen.host or None)
            case _:
                right = False
        if not right:
            raise ConfigError(
                f"{name} of a user class cannot be {str(value)[:80]!r}, or is not to be changed here"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MOST
