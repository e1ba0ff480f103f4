"""What a backend is: how to ask, and what one event of the answer says.

A backend is a frozen value with no socket, no clock, no retry and no metric in it. It turns a spec into
bytes to send, and the data of one event into a `Delta`. The rest of the program never sees a vendor's
field name. A response that was not streamed is one event: its whole body.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson

from harness.errors import MalformedChunk

Json = dict[str, Any]

_MOST = 1e300  # JSON's integers may be greater than any float
_MAX_SAID = 65_536  # bytes of an error body that are looked at


@dataclass(frozen=True, slots=True)
class Ask:
    """One request in the terms all backends share."""

    prompt: str
    max_tokens: int
    model: str | None = None
    exact_length: bool = False  # make the server go on to `max_tokens` where it can
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # the user's own fields, laid over ours


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What goes on the wire, without the host and the authentication."""

    method: str
    path: str
    body: bytes


class Delta(NamedTuple):
    """What one event says. Counts are running totals; a later event's replace an earlier one's."""

    answer: str = ""
    reasoning: str = ""
    done: bool = False  # the dialect's end mark
    finish_reason: str | None = None
    error: str | None = None  # the server's words: an error inside a 200 stream
    response_id: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None  # final count
    tokens_so_far: int | None = None  # output tokens up to and with this event, where the server says
    cached_tokens: int | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None


class Backend(Protocol):
    """One dialect of one API."""

    @property
    def name(self) -> str:
        """Name in the table of backends, e.g. `openai`."""

    @property
    def mode(self) -> str:
        """The `--api-mode`, e.g. `chat`."""

    @property
    def path(self) -> str:
        """Path below the host that requests go to."""

    def request(self, ask: Ask) -> HttpRequest:
        """The bytes to send for `ask`."""

    def read(self, data: bytes) -> Delta:
        """What one event says.

        Raises:
            MalformedChunk: the event is not of this dialect.
        """

    def plain(self, event: Json) -> str | None:
        """The piece of the answer, where an event in mid-stream says nothing else; None: `read` it.

        This is what nearly all events are, and all that is read of them, so it is quick. An id or a running
        count is taken to be on all events of a stream or on none.
        """


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


def laid_over(body: Json, extra: Mapping[str, Any]) -> bytes:
    """The body with the user's own fields over ours; a field they set to null is left out.

    What we put in only to go with a field that they replaced goes with it.
    """
    laid = {key: value for key, value in {**body, **extra}.items() if not (key in extra and value is None)}
    if not laid.get("stream") and "stream_options" not in extra:
        laid.pop("stream_options", None)
    if "max_tokens" in extra and "min_tokens" not in extra:
        laid.pop("min_tokens", None)
    return orjson.dumps(laid)


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
