"""Files: where those that outlive a run are kept; results written whole or not at all, and refused in one line.

A file is written beside its name, flushed to the disk and renamed into place, so that a reader, a crash or
a full disk never leaves half of one.
"""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import orjson

from harness.errors import ConfigError

__all__ = ["as_json", "cache_dir", "from_csv", "from_json", "place", "refusals", "write"]

T = TypeVar("T")


def cache_dir() -> Path:
    """`$TOKENSWARM_CACHE`, else `$XDG_CACHE_HOME/tokenswarm`, else `~/.cache/tokenswarm`."""
    if own := os.environ.get("TOKENSWARM_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenswarm"


def place(path: Path, fill: Callable[[Path], T]) -> T:
    """Have `fill` write a file beside `path`, then rename it into place; its result is returned.

    Raises:
        OSError: the disk refused; `path` is as it was.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        result = fill(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()  # gone already after a rename
    return result


def write(path: Path, data: str | bytes) -> None:
    """Put data in place of `path`; text as UTF-8."""
    place(path, lambda beside: beside.write_bytes(data.encode() if isinstance(data, str) else data))


def as_json(value: Any) -> bytes:  # noqa: ANN401  a JSON edge
    """Indented JSON with a final newline; paths and the like as text, NaN as null."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, option=options, default=str)


def from_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        ConfigError: missing, unreadable or not a JSON object.
    """
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); is this a run directory?") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: not a JSON object; restore the file")
    return value


def from_csv(path: Path, read: Callable[[TextIO], list[T]]) -> list[T]:
    """The rows of a run's table, as `read` makes them of its text; none if a run has no such file.

    Raises:
        ConfigError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return read(file)
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); restore the file, or remove it") from error


@contextmanager
def refusals(path: Path, advice: str) -> Iterator[None]:
    """Turn what the disk refuses inside into one line.

    Raises:
        ConfigError: naming the path, the reason and the advice.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{path}: cannot write the results ({reason}); {advice}") from error
