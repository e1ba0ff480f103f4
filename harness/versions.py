"""What ran: Python, the operating system, and every package that the results rest on. Nothing is imported for it."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import harness

__all__ = ["versions"]

_PACKAGES: Final = (
    *("locust", "gevent", "transformers", "tokenizers", "pandas", "numpy", "pyarrow", "orjson", "ddsketch"),
    *("msgspec", "requests", "urllib3", "influxdb-client", "grafana-api", "plotly"),
)


def versions() -> dict[str, str | None]:
    """What ran, without importing it; None: not installed."""
    return {
        "tokenswarm": harness.__version__,
        "python": platform.python_version(),
        "os": platform.platform(),
        **{name: _installed(name) for name in _PACKAGES},
    }


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
