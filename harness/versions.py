"""What ran: Python, the operating system, and every package that the results rest on. Nothing is imported for it."""

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

import harness

__all__ = ["versions"]

_PACKAGES: Final = (
    *("locust", "gevent", "transformers", "tokenizers", "pandas", "numpy", "pyarrow", "orjson", "ddsketch"),
    *("msgspec", "requests", "urllib3", "influxdb-client", "grafana-api", "plotly"),
)
_VERSION: Final = re.compile(r"^Version: *(\S+)", re.MULTILINE)


def versions() -> dict[str, str | None]:
    """What ran, without importing it; None: not installed."""
    return {
        "tokenswarm": harness.__version__,
        "python": platform.python_version(),
        "os": _system(),
        **{name: _installed(name) for name in _PACKAGES},
    }


def _system() -> str:
    """As `platform.platform` has it, which on Linux starts a process for the name of a processor that it then leaves out."""
    if sys.platform != "linux":
        return platform.platform()
    uname = platform.uname()
    libc = "".join(platform.libc_ver())  # none is known where it is musl
    return "-".join(filter(None, (uname.system, uname.release, uname.machine, "with", libc)))


def _installed(name: str) -> str | None:
    """By one line of its metadata; `importlib.metadata.version` parses it all, twenty times as long."""
    try:
        said = distribution(name).read_text("METADATA")
    except PackageNotFoundError:
        return None
    found = _VERSION.search(said or "")
    return found[1] if found else None
