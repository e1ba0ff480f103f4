"""How requests are put, beside what they ask: streamed or whole, with which headers, as text or as token ids."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness import option_values

__all__ = ["Wording", "read"]

_STREAM: Final[Mapping[str, bool | None]] = {"auto": None, "yes": True, "no": False}
_SALTS: Final = ("off", "run", "request")


@dataclass(frozen=True, slots=True)
class Wording:
    """How requests are put, beside what they ask."""

    stream: bool | None = None  # None: where the backend can
    backend_options: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    prompt_ids: tuple[int, int] | None = None  # first and last of the token ids that make up prompts
    cache_salt: str = "off"  # off, run or request

    def stored(self) -> dict[str, Any]:
        """For `run.json`."""
        return {
            "stream": self.stream,
            "backend_options": dict(self.backend_options),
            "headers": sorted(self.headers),  # what they say may be nobody else's business
            "prompt_ids": self.prompt_ids and "{}-{}".format(*self.prompt_ids),
            "cache_salt": self.cache_salt,
        }


def read(options: Namespace, text: Callable[[str], str], check: Callable[..., Any]) -> Wording:
    """The wording that the options make; `text` gives an option's, `check` collects what is wrong."""
    return Wording(
        stream=check(lambda: option_values.choice(text("stream"), "stream", _STREAM), None),
        backend_options=check(
            lambda: option_values.pairs(options.backend_option or [], "--backend-option"), {}
        ),
        headers=check(lambda: option_values.headers(options.header or []), {}),
        prompt_ids=check(lambda: option_values.ids(text("prompt_ids")), None),
        cache_salt=check(lambda: option_values.word(text("cache_salt"), "cache_salt", _SALTS), "off"),
    )
