"""Where the files are that come with tokenswarm and that people copy: locustfiles and dashboards.

A wheel has them inside the package, where pyproject.toml puts them; a checkout has them beside it. Nobody else looks.
"""

from pathlib import Path
from typing import Final

from harness.errors import ConfigError

__all__ = ["DASHBOARDS", "LOCUSTFILES", "folder", "locustfile"]

LOCUSTFILES: Final = "locustfiles"
DASHBOARDS: Final = "dashboards"
PACKAGE: Final = Path(__file__).parent


def folder(name: str) -> Path:
    """Where LOCUSTFILES or DASHBOARDS are.

    Raises:
        ConfigError: neither in the package nor beside it.
    """
    places = (PACKAGE / name, PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise ConfigError(f"no folder {' or '.join(map(str, places))}: tokenswarm is incomplete; install it anew")


def locustfile(name: str) -> Path:
    """One of ours, such as `openai.py`.

    Raises:
        ConfigError: there is none of that name.
    """
    path = folder(LOCUSTFILES) / name
    if not path.is_file():
        raise ConfigError(f"no {path}: tokenswarm is incomplete; install it anew")
    return path
