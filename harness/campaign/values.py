"""The values of a campaign file: TOML's kinds in, the words of a command line out; what is wrong is collected.

An option may be given as text, number, true or false, a list (joined by commas, or one option each where it is
repeatable), and `extra-body` and `backend-option` as tables. Whether an option takes the value, Locust's own parser says.
"""

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from harness.campaign.secrets import in_body, in_command, is_secret
from harness.option_table import FLAGS, OPTIONS, REPEATABLE

__all__ = ["Given", "Problems", "command", "labels", "options", "span", "texts", "variables"]

Given = tuple[str, ...] | bool  # an option's values, once each; or that it is given or not, where it has none

_SHORT: Final = {"u": "users", "r": "spawn-rate", "t": "run-time"}
_OURS: Final = frozenset(name for name, *_ in OPTIONS)
# What a campaign says itself, and where; None: what has no place in one.
_OWN: Final[Mapping[str, str | None]] = {
    "host": "the target's host",
    "serve": "the target's serve",
    "locustfile": "the target's locustfile",
    "f": "the target's locustfile",
    "label": "[labels] or the target's labels",
    "results-dir": "campaign.results",
    "run-name": "campaign.name and the target's name",
    **dict.fromkeys(("headless", "autostart", "autoquit", "master", "worker", "web-host", "web-port", "config")),
}  # fmt: skip
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPAN: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*(s|min|m|h)?")
_UNITS: Final = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Problems:
    """What is wrong with a file, in the order in which it was found; and values as they should be, or a stand-in."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Note one."""
        self.found.append(problem)

    def unknown(self, table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
        """Keys that mean nothing: a typing error would otherwise go unnoticed."""
        names = tuple(known)
        for key in table:
            if key not in names:
                self.add(f"{where}{key} is not known here; there are {', '.join(names)}")

    def table(self, within: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
        """A table; an empty one if it is not there."""
        value = within.get(key, {})
        if isinstance(value, Mapping):
            return value
        self.add(f"{where}{key} = {value!r}: give a table")
        return {}

    def text(self, within: Mapping[str, Any], key: str, where: str) -> str | None:
        """A text that is not empty; None if it is not there."""
        value = within.get(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        self.add(f"{where}{key} = {value!r}: give a text in quotes")
        return None

    def word(self, within: Mapping[str, Any], key: str, where: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, of which the first is the default."""
        value = within.get(key, choices[0])
        if value in choices:
            return str(value)
        self.add(f"{where}{key} = {value!r}: use {' or '.join(choices)}")
        return choices[0]

    def whole(
        self, within: Mapping[str, Any], key: str, where: str, *, default: int, low: int, high: int
    ) -> int:
        """A whole number from `low` to `high`."""
        value = within.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.add(f"{where}{key} = {value!r}: give a whole number from {low} to {high}")
        return default


def options(table: Mapping[str, Any], where: str, problems: Problems) -> dict[str, Given]:
    """Options by their long names; those that are wrong are left out."""
    found: dict[str, Given] = {}
    for key, value in table.items():
        name = _SHORT.get(key.lstrip("-"), key.lstrip("-"))
        here = where if where.startswith("axes.") else f"{where}.{key}"
        if name in _OWN:
            place = _OWN[name]
            problems.add(f"{here}: {f'give it as {place}' if place else 'a campaign sets this itself'}")
        elif name in found:
            problems.add(f"{here}: --{name} is given twice; give it once")
        elif not _NAME.fullmatch(name) and not where.startswith("axes."):
            problems.add(f"{here}: give the option's name, e.g. {key.replace('_', '-').lower()}")
        elif (given := _given(name, value, here, problems)) is not None:
            found[name] = given
    return found


def _given(name: str, value: object, here: str, problems: Problems) -> Given | None:
    if isinstance(value, bool):
        has_words = name in _OURS and name not in FLAGS
        return (("yes" if value else "no"),) if has_words else value
    if name == "extra-body":
        return _body(value, here, problems)
    if name == "backend-option" and isinstance(value, Mapping):
        return tuple(f"{key}={one}" for key, one in value.items())
    words = [_scalar(one, here, problems) for one in (value if isinstance(value, list) else [value])]
    if not words:
        problems.add(f"{here} = []: give a value, or leave it out")
    known = tuple(word for word in words if word is not None)
    if not known or len(known) < len(words):
        return None
    return known if name in REPEATABLE else (",".join(known),)


def _scalar(value: object, here: str, problems: Problems) -> str | None:
    if isinstance(value, str) and value.isprintable():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.15g}"
    problems.add(f"{here} = {value!r}: give a text in quotes, a number, or a list of them")
    return None


def _body(value: object, here: str, problems: Problems) -> Given | None:
    """`extra-body`: a table, or JSON as on the command line, which is judged there."""
    if isinstance(value, str):
        try:
            known = orjson.loads(value)
        except orjson.JSONDecodeError:
            return (value,)
        text = value
    elif isinstance(value, Mapping):
        try:
            known, text = value, orjson.dumps(dict(value)).decode()
        except TypeError:
            problems.add(f"{here}: a value in it has no form in JSON; use texts, numbers, lists and tables")
            return None
    else:
        problems.add(f"{here} = {value!r}: give a table, e.g. {{ temperature = 0.7 }}")
        return None
    for field in in_body(known):
        problems.add(
            f"{here}.{field} is named as a secret's, and those do not belong into a file; {_SECRETS}"
        )
    return (text,)


_SECRETS: Final = (
    "put it into the environment in which the campaign is started, or into a file whose path "
    "TOKENSWARM_API_KEY_FILE has in [env]"
)


def labels(table: Mapping[str, Any], where: str, problems: Problems) -> dict[str, str]:
    """Labels `k = "v"`; a number is its text."""
    found: dict[str, str] = {}
    for key, value in table.items():
        text = _scalar(value, f"{where}.{key}", problems)
        if "=" in key or key in {"campaign", "target"}:
            problems.add(
                f"{where}.{key}: {'a label has no = in its name' if '=' in key else 'a campaign sets it'}"
            )
        elif text is not None:
            found[key] = text
    return found


def variables(table: Mapping[str, Any], where: str, problems: Problems) -> dict[str, str]:
    """Environment variables. One that is named as a secret's is refused, and its value not repeated."""
    found: dict[str, str] = {}
    for key, value in table.items():
        if is_secret(key):
            problems.add(
                f"{where}.{key} is named as a secret's, and those do not belong into a file; {_SECRETS}"
            )
        elif not _VARIABLE.fullmatch(key):
            problems.add(f"{where}.{key}: no name of a variable; use letters, digits and underscores")
        elif (text := _scalar(value, f"{where}.{key}", problems)) is not None:
            found[key] = text
    return found


def texts(value: object, where: str, problems: Problems) -> tuple[str, ...]:
    """A list of words."""
    if isinstance(value, list) and all(isinstance(one, str) and one.isidentifier() for one in value):
        return tuple(value)
    problems.add(f'{where} = {value!r}: give a list of names of user classes, e.g. ["Chat"]')
    return ()


def command(text: str | None, where: str, problems: Problems) -> None:
    """A command line must be readable, and have no secret in it."""
    try:
        words = shlex.split(text or "")
    except ValueError as error:
        problems.add(f"{where}: {str(error).lower()}; write it as a shell would take it")
        return
    if option := in_command(words):
        problems.add(f"{where}: {option} carries a secret, and those do not belong into a file; {_SECRETS}")


def span(value: object, where: str, problems: Problems) -> float:
    """Seconds: `10`, `"10s"`, `"2m"`, `"1h"`; up to a day."""
    found = _SPAN.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    seconds = float(found[1]) * _UNITS[found[2]] if found else math.inf
    if seconds <= 86_400:
        return seconds
    problems.add(f'{where} = {value!r}: give seconds, or "10s", "2m", "1h", up to a day')
    return 0.0
