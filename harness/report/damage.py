"""Run directories that were written by nobody, edited by somebody, or copied in part: refused in a line, not in a traceback.

`run.json` is held against the types that every later step relies on. What is wrong further down (a workers' statement without
its totals, a table of another run) shows only when it is used; then the line says that the files do not fit together.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from harness.errors import ConfigError

__all__ = ["check", "refused"]

_WINDOW: Final = ("level", "repeat", "start_ns", "end_ns")


def check(run: Mapping[str, Any], path: Path) -> None:
    """See that run.json is what a run writes, as far as its results are made from it.

    Args:
        run: its content.
        path: where that was.

    Raises:
        ConfigError: naming the entry, what it holds and what it should be.
    """
    for name, (fits, should) in _ENTRIES.items():
        if (value := run.get(name)) is not None and not fits(value):
            raise ConfigError(f"{path}: {name} is {_brief(value)}, not {should}; restore the file")
    settings = run.get("settings") or {}
    for name, (fits, should) in _SETTINGS.items():
        if (value := settings.get(name)) is not None and not fits(value):
            raise ConfigError(f"{path}: settings.{name} is {_brief(value)}, not {should}; restore the file")


@contextmanager
def refused(run_dir: Path) -> Iterator[None]:
    """Turn what files that do not fit together raise inside into one line.

    Raises:
        ConfigError: naming the directory and what was met.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        met = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{run_dir}: its files do not fit together ({type(error).__name__}: {met}); restore run.json and "
            "requests.parquet as the run wrote them"
        ) from error


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _are(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _by_name(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _is_window(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == set(_WINDOW) and all(map(_is_whole, value.values()))


def _is_finding(value: object) -> bool:
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], str)):
        return False
    return value[0] in {"valid", "suspect", "invalid"}


Entries = Mapping[str, tuple[Callable[[Any], bool], str]]

_OBJECT: Final = (_is_object, "an object")
_TEXT: Final = (_is_text, "text")
_OBJECTS: Final = (_are(_is_object), "a list of objects")
_NAMED: Final = (_by_name(_is_object), "an object of objects")

_ENTRIES: Final[Entries] = {
    "run_id": _TEXT,
    "started_at": _TEXT,
    "finished_at": _TEXT,
    "planned": (_is_whole, "a whole number"),
    "settings": _OBJECT,
    "versions": _OBJECT,
    "host": _OBJECT,
    "windows": (_are(_is_window), f"a list of windows ({', '.join(_WINDOW)}, whole numbers)"),
    "points": _NAMED,
    "unsent": (_by_name(_is_whole), "an object of whole numbers"),
    "incomplete": (_are(_is_text), "a list of texts"),
    "findings": (_are(_is_finding), 'a list of pairs such as ["suspect", "why"]'),
    "events": _OBJECTS,
    "workers": _OBJECTS,
    "journals": _NAMED,
    "search": _OBJECT,
    "saturated": _OBJECT,
}
_SETTINGS: Final[Entries] = {
    "slo": (_are(_is_text), "a list of texts"),
    "drop_answers_under": (_is_whole, "a whole number"),
    "max_concurrency": (_is_whole, "a whole number"),
    "require_valid": (_is_flag, "true or false"),
}
