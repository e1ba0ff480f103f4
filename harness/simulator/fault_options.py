"""Reads `--fault KIND:RATE[,key=value...]`. What the kinds and keys mean is told in `faults`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final, get_args

from harness.errors import ConfigError
from harness.simulator.faults import Fault, Kind, Span, What

OPTION: Final = "--fault"
_MOST: Final = 10**9


def read(text: str) -> Fault:
    """The value of one `--fault`.

    Raises:
        ConfigError: one line, with what is wrong with it and what would be right.
    """
    head, *pairs = text.split(",")
    name, colon, rate = head.partition(":")
    if name not in list(Kind):
        raise ConfigError(f"{OPTION} {text}: no such kind; give one of {', '.join(Kind)}")
    if not colon:
        raise ConfigError(f"{OPTION} {text}: give the share of requests it hits too, such as {name}:0.1")
    fault = Fault(Kind(name), _number(text, "the rate", rate, 0, 1))
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if key not in _KEYS[fault.kind] or not equals:
            keys = " ".join(f"{known}=..." for known in _KEYS[fault.kind])
            raise ConfigError(f"{OPTION} {text}: {pair!r} means nothing to {name}; it takes {keys}")
        fault = _READERS[key](fault, text, value)
    return fault


def summary() -> str:
    """All kinds with their keys, in one line."""
    return "; ".join(f"{kind} ({', '.join(keys)})" for kind, keys in _KEYS.items())


_KEYS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.LATENCY: ("ms",),
    Kind.STALL: ("ms", "after"),
    Kind.RESET: ("after",),
    Kind.TRUNCATE: ("after",),
    Kind.STATUS: ("code", "retry-after"),
    Kind.STREAM_ERROR: ("after", "code"),
    Kind.GARBAGE: ("after",),
    Kind.WRONG_COUNTS: ("factor", "add", "of"),
    Kind.BUNDLE: ("tokens",),
    Kind.ROLE: ("after",),
    Kind.EMPTY: ("after",),
    Kind.USAGE: ("after",),
}


def _number(text: str, what: str, value: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise ConfigError(
            f"{OPTION} {text}: {what} must be a number from {least:g} to {most:g}, not {value!r}"
        )
    return number


def _whole(text: str, what: str, value: str, least: int, most: int = _MOST) -> int:
    digits = value.removeprefix("-")
    if not (
        digits.isascii()
        and digits.isdigit()
        and len(digits) <= len(str(_MOST))
        and least <= int(value) <= most
    ):
        raise ConfigError(
            f"{OPTION} {text}: {what} must be a whole number from {least} to {most}, not {value!r}"
        )
    return int(value)


def _span(text: str, what: str, value: str, least: int) -> Span:
    low, dash, high = value.partition("-")
    span = Span(_whole(text, what, low, least), _whole(text, what, high if dash else low, least))
    if span.low > span.high:
        raise ConfigError(f"{OPTION} {text}: {what}={value} is empty; give the smaller number first")
    return span


def _code(fault: Fault, text: str, value: str) -> Fault:
    code = _whole(text, "code", value, 400, 599)
    if code not in set(HTTPStatus):
        raise ConfigError(
            f"{OPTION} {text}: code={value} is no HTTP status; give one such as 429, 500 or 503"
        )
    return replace(fault, code=code)


def _of(fault: Fault, text: str, value: str) -> Fault:
    for what in get_args(What):
        if value == what:
            return replace(fault, of=what)
    raise ConfigError(f"{OPTION} {text}: of={value}; give one of {', '.join(get_args(What))}")


_READERS: Final[Mapping[str, Callable[[Fault, str, str], Fault]]] = {
    "ms": lambda fault, text, value: replace(fault, ms=_span(text, "ms", value, 0)),
    "after": lambda fault, text, value: replace(fault, after=_span(text, "after", value, 0)),
    "tokens": lambda fault, text, value: replace(fault, tokens=_span(text, "tokens", value, 1)),
    "code": _code,
    "retry-after": lambda fault, text, value: replace(
        fault, retry_after=_whole(text, "retry-after", value, 0)
    ),
    "factor": lambda fault, text, value: replace(fault, factor=_number(text, "factor", value, 0, 1e6)),
    "add": lambda fault, text, value: replace(fault, add=_whole(text, "add", value, -_MOST)),
    "of": _of,
}
