"""What the text of an option must be: text in, value out, and one line that names the option if it is none.

Every function raises `ConfigError` for a text it cannot read; the line says what would be right. Distributions and
targets have modules of their own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from harness import tls
from harness.errors import ConfigError

__all__ = [
    "ca_file",
    "choice",
    "headers",
    "ids",
    "json_object",
    "levels",
    "name",
    "pairs",
    "quota",
    "seconds",
    "whole",
    "word",
]

_SECRET = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
_OURS = (
    *("host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"),
    *("accept", "expect", "user-agent", "x-request-id"),
)


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


def quota(value: str) -> tuple[int | None, int | None]:
    """(requests of a level, requests of each user): `40` or `5x`; (None, None) for an empty text."""
    if not value:
        return None, None
    if value[-1:] in "xX":
        return None, _quota(value[:-1], value, 10_000)
    return _quota(value, value, 10_000_000), None


def _quota(number: str, value: str, high: int) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 20 and 1 <= int(number) <= high):
        raise ConfigError(
            f"--requests-per-level {value!r}: give a whole number from 1 to 10000000, or requests per user as 5x"
        )
    return int(number)


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


def pairs(given: list[str], option: str) -> dict[str, str]:
    """`key=value` pairs, each key once."""
    example = "--label gpu=a100" if option == "--label" else f"{option} auth_header=x-api-key"
    found: dict[str, str] = {}
    for pair in filter(str.strip, given):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            raise ConfigError(f"{option} {pair!r}: write key=value, e.g. {example}")
        if found.setdefault(key, value) != value:
            raise ConfigError(f"{option} {pair!r}: {key} is {found[key]!r} already; give each key once")
    return found


def headers(given: list[str]) -> dict[str, str]:
    """`Name: value` header lines. One that would carry a key, or that is ours to set, is refused."""
    found: dict[str, str] = {}
    for line in filter(str.strip, given):
        key, colon, value = (part.strip() for part in line.partition(":"))
        if _SECRET.search(key):  # its value is not repeated
            raise ConfigError(
                f"--header {key!r} carries a secret, and those come from TOKENSWARM_API_KEY, never from an option; "
                "--backend-option auth_header=NAME says which header takes the key"
            )
        if not colon or not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"--header {line!r}: write 'Name: value', e.g. 'ss-sn-options: accuracy_debug'")
        if key.lower() in _OURS:
            raise ConfigError(f"--header {line!r}: tokenswarm sets {key} itself; leave it out")
        if key.lower() in {name.lower() for name in found}:
            raise ConfigError(f"--header {line!r}: {key} is given twice; give each header once")
        found[key] = value
    return found


def word(value: str, name: str, choices: tuple[str, ...]) -> str:
    """`value` among `choices`, in any case."""
    if value.lower() not in choices:
        raise ConfigError(f"--{name.replace('_', '-')} {value!r}: use {' or '.join(choices)}")
    return value.lower()


def ids(value: str) -> tuple[int, int] | None:
    """`1000-30000`: a range of token ids; None for an empty text."""
    if not value:
        return None
    low, dash, high = (part.strip() for part in value.partition("-"))
    plain = all(part.isascii() and part.isdigit() and len(part) < 8 for part in (low, high))
    if not dash or not plain or int(low) >= int(high):
        raise ConfigError(f"--prompt-ids {value!r}: give the first and the last token id, e.g. 1000-30000")
    return int(low), int(high)


def json_object(value: str) -> dict[str, Any]:
    """A JSON object; an empty one for an empty text."""
    example = 'write e.g. {"temperature": 0.7}'
    try:
        body = orjson.loads(value or "{}")
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"--extra-body {value!r} is not JSON ({error}); {example}") from None
    if not isinstance(body, dict):
        raise ConfigError(f"--extra-body {value!r} is not a JSON object; {example}")
    try:
        orjson.dumps(body)
    except TypeError as error:  # read it can, but not written again
        raise ConfigError(f"--extra-body {value[:60]!r}... cannot be sent ({error}); {example}") from None
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
