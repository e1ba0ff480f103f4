"""Reading what servers send: each function takes a value of any shape and gives one that can be relied on.

Foreign words come out in one line with nothing in them that steers a terminal; numbers come out finite and
not negative, or as None.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from harness.errors import MalformedChunk

Json = dict[str, Any]

_MOST = 1e300  # JSON's integers may be greater than any float
_MAX_SAID = 65_536  # bytes of an error body that are looked at


def parse_object(data: bytes) -> Json:
    """One JSON object.

    Raises:
        MalformedChunk: not JSON, or JSON of another shape.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value = _forgiving(data)
        if value is None:
            raise MalformedChunk(f"not JSON ({error}): {_head(data)}") from None
    if not isinstance(value, dict):
        raise MalformedChunk(f"not a JSON object: {_head(data)}")
    return value


def _forgiving(data: bytes) -> object:
    """JSON whose text a server cut inside a character: a byte-level model's tokens need not be whole characters.

    orjson refuses broken UTF-8 and lone surrogates. Timing and counts of such an event are as good as any.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def laid_over(body: Json, extra: Mapping[str, Any]) -> Json:
    """The body with the user's own fields over ours; a field they set to null is left out."""
    return {key: value for key, value in {**body, **extra}.items() if not (key in extra and value is None)}


def dumped(body: Json) -> bytes:
    """A body as it goes on the wire."""
    return orjson.dumps(body)


def error_text(value: object) -> str:
    """The message in an error body of any shape: a string, an object with `message`, or one around it."""
    for _ in range(16):  # deeper than that nobody nests a message
        if isinstance(value, list) and value:
            value = value[0]
            continue
        said = mapping(value)
        inner = next((said[key] for key in ("error", "message", "detail", "msg") if said.get(key)), None)
        if inner is None:
            break
        value = inner
    return printable(_dumps(value) if isinstance(value, (dict, list)) else str(value))


def body_error(data: bytes) -> str:
    """What an error body says, JSON or not, in one line."""
    try:
        text = error_text(orjson.loads(data[:_MAX_SAID]))
    except orjson.JSONDecodeError:
        text = data[:300].decode("utf-8", "replace")
    return printable(text)


def printable(said: str) -> str:
    """A server's words in one line of up to 300 characters, with nothing in them that steers a terminal."""
    line = " ".join(said[:2000].split())[:300]
    return "".join(character if character.isprintable() else "?" for character in line)


def count(value: object) -> int | None:
    """A token count, or None where a server sent anything but a whole number that could be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48 else None


def number(value: object) -> float | None:
    """A finite number that is not negative, or None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST:
        return float(value)
    return None


def text(value: object) -> str:
    """A string, or "" for the null and the missing."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Json:
    """An object, or {} for anything else."""
    return value if isinstance(value, dict) else {}


def _dumps(value: object) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # nested too deep, or a lone surrogate
        return "an error object that cannot be shown"


def _head(data: bytes) -> str:
    return repr(data[:80].decode("utf-8", "replace"))
