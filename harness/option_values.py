"""What the text of an option must be: text in, value out, and one line that names the option if it is none.

Every function raises `ConfigError` for a text it cannot read; the line says what would be right. Distributions and
targets have modules of their own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from harness import tls
from harness.errors import ConfigError

__all__ = ["ca_file", "choice", "json_object", "labels", "levels", "name", "seconds", "whole"]


def choice(value: str, name: str, choices: Mapping[str, bool | None]) -> bool | None:
    """`value` among `choices`, in any case."""
    if value.lower() not in choices:
        raise ConfigError(f"--{name.replace('_', '-')} {value!r}: use {' or '.join(choices)}")
    return choices[value.lower()]


def whole(value: str, name: str, low: int, high: int) -> int:
    """A plain whole number from `low` to `high`."""
    if not (value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= high):
        raise ConfigError(f"--{name.replace('_', '-')} {value!r}: give a whole number from {low} to {high}")
    return int(value)


def seconds(value: str, name: str) -> float:
    """Seconds, above 0 and up to a day."""
    plain = value.isascii() and value.replace(".", "", 1).isdigit()  # float() also reads 1_0, nan and 1e3
    if not plain or not 0 < float(value) <= 86_400:
        raise ConfigError(f"--{name.replace('_', '-')} {value!r}: give seconds, above 0 and up to 86400")
    return float(value)


def levels(value: str) -> tuple[int, ...]:
    """`1,2,4`: numbers of users, each once; none for an empty text."""
    if not value:
        return ()
    found: list[int] = []
    for part in value.split(","):
        number = part.strip()
        if not (number.isascii() and number.isdigit() and len(number) < 7 and int(number) > 0):
            raise ConfigError(f"--levels {value!r}: {number!r} is not a number of users; write e.g. 1,2,4,8")
        if int(number) in found:
            raise ConfigError(
                f"--levels {value!r}: {number} stands there twice; to repeat levels use --repeats"
            )
        found.append(int(number))
    return tuple(found)


def name(value: str) -> str | None:
    """A run's name, which becomes part of a folder's; None for an empty text."""
    if value and not (
        value.replace("-", "").replace("_", "").replace(".", "").isalnum() and len(value) <= 80
    ):
        raise ConfigError(f"--run-name {value!r}: use up to 80 letters, digits, dots, dashes and underscores")
    return value or None


def labels(pairs: list[str]) -> dict[str, str]:
    """`key=value` pairs, each key once."""
    found: dict[str, str] = {}
    for pair in filter(str.strip, pairs):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            raise ConfigError(f"--label {pair!r}: write key=value, e.g. --label gpu=a100")
        if found.setdefault(key, value) != value:
            raise ConfigError(f"--label {pair!r}: {key} is {found[key]!r} already; give each key once")
    return found


def json_object(value: str) -> dict[str, Any]:
    """A JSON object; an empty one for an empty text."""
    example = 'write e.g. {"temperature": 0.7}'
    try:
        body = orjson.loads(value or "{}")
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"--extra-body {value!r} is not JSON ({error}); {example}") from None
    if not isinstance(body, dict):
        raise ConfigError(f"--extra-body {value!r} is not a JSON object; {example}")
    return body


def ca_file(value: str) -> Path | None:
    """A PEM file with at least one certificate in it; None for an empty text."""
    if not value:
        return None
    try:
        tls.context(tls.Trust(Path(value)))  # which refuses one that is of no use
    except ValueError:
        raise ConfigError(f"--ca-file {value!r}: not a path; give a PEM file") from None
    return Path(value)
