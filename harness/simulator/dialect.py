"""What a dialect is: routes that turn a request into an answer, and the shape of its errors.

A dialect reads bodies and words replies; it opens no socket, keeps no clock and knows nothing of slots
beyond what `Service` shows. To add one, write a file like `llamacpp.py` and name it in `speech.SPEECHES`.
Who waits for it to be up asks `/health`, which answers 2xx, or 401 or 403 where it wants a key.

Sampling options (temperature, top_p, stop strings ...) are accepted and change nothing: the text is random
words, and its length comes from `planning`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import orjson

from harness.simulator import tokens
from harness.simulator.batching import Batch, Sequence
from harness.simulator.fields import JsonObject, Prompt, Refusal
from harness.simulator.tally import Tally
from harness.simulator.wire import JSON_TYPE, SSE_TYPE, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What every dialect may know of the server."""

    model: str
    context: int  # tokens a request may hold, prompt and output
    seed: int
    mean_output_tokens: float
    created: int  # Unix time of the start
    batch: Batch
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a request asks the engine to do, settled before it starts."""

    prompt: Prompt
    output_tokens: int
    finish: str  # "stop": the model ended its answer; "length": it hit a limit
    truncated: bool  # that limit was the context
    key: int  # seeds the generated text
    stream: bool


class Rendering(Protocol):
    """One reply's wording.

    A stream is `opening`, an `event` for each token or few, then each of `closing`, every one written by
    itself. A reply that is not streamed is `whole`.
    """

    def opening(self) -> bytes:
        """Sent just before the first token; may be empty."""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:
        """One event with the tokens up to and with the `nth`, from 1; each is `VOCABULARY[word]`."""

    def closing(self, sequence: Sequence) -> list[bytes]:
        """What follows the last token; none where the last token's event ends the stream."""

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The JSON body of a reply that is not streamed."""


_WORDS_JSON = tuple(orjson.dumps(piece) for piece in tokens.VOCABULARY)

Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """An accepted request. `response_id` is what joins the reply with the log.

    `stream_headers` go out with a stream's status line; `whole_headers` words those of a reply that is not
    streamed, once the engine is done with it. `bundle` is how many tokens the client wants in one event;
    `early` is what a stream sends with its headers, long before its first token.
    """

    job: Job
    rendering: Rendering
    response_id: str
    stream_headers: Headers = ()
    whole_headers: Callable[[Sequence], Headers] = lambda _: ()
    bundle: int = 1
    early: bytes = b""


@dataclass(frozen=True, slots=True)
class Plain:
    """A reply that needs no engine. `streamed`: framed as a stream is, such as an overload inside a 200."""

    body: bytes
    content_type: str = JSON_TYPE
    status: int = 200
    headers: Headers = ()
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request with the id its reply will carry and when it came, Unix time in s."""

    request: Request
    request_id: str
    came_s: float

    @property
    def created(self) -> int:
        """The date of the reply."""
        return int(self.came_s)


Handler: TypeAlias = Callable[[Call, Service], Plain | Generation]
Filler: TypeAlias = Literal["role", "empty", "usage"]


def no_filler(kind: Filler) -> bytes:  # noqa: ARG001, none of any kind
    """For a dialect whose streams hold nothing but tokens."""
    return b""


def unavailable(call: Call) -> Plain:  # noqa: ARG001, the same for every call
    """Raises the usual Refusal of a server that is still loading."""
    raise Refusal(503, "Loading model", type="unavailable_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Routes, and how what goes wrong is worded.

    A path may have variable segments: `/predict/{project}/{endpoint}`. Handlers raise `Refusal`.
    """

    name: str
    routes: Mapping[tuple[str, str], Handler]  # by method and path
    error: Callable[[Refusal], JsonObject]  # a body; the empty object is a reply without one
    stream_error: Callable[[Refusal], bytes]  # inside a 200 stream, with what still follows it
    overload: Callable[[], Refusal]
    overload_in_stream: bool = False  # a stream is opened with 200 and the overload is its only event
    permits: int | None = None  # most requests at once, waiting ones included
    filler: Callable[[Filler], bytes] = no_filler  # a chunk that is no token; empty if there is none
    authorise: Callable[[Mapping[str, str], str], None]  # headers and key; raises Refusal
    guards: Callable[[str, str], bool]  # whether a method and a path need the key
    loading: Callable[[Call], Plain] = unavailable  # the answer to everything until the model is there
    status: Callable[[Refusal], int] = lambda refusal: refusal.status
    json_type: str = JSON_TYPE
    stream_type: str = SSE_TYPE


def refused(dialect: Dialect, refusal: Refusal) -> Plain:
    """An error as a reply of its own."""
    words = dialect.error(refusal)
    body = orjson.dumps(words) if words else b""
    return Plain(
        body, content_type=dialect.json_type, status=dialect.status(refusal), headers=refusal.headers
    )


def refused_in_stream(dialect: Dialect, refusal: Refusal, headers: Headers = ()) -> Plain:
    """An error as the only event of a 200 stream."""
    body = dialect.stream_error(refusal)
    return Plain(body, content_type=dialect.stream_type, headers=headers, streamed=True)


def plain(value: object) -> Plain:
    """A 200 with JSON."""
    return Plain(orjson.dumps(value))


def encoded(words: tuple[int, ...]) -> bytes:
    """The JSON string of generated words."""
    return _WORDS_JSON[words[0]] if len(words) == 1 else orjson.dumps(tokens.join(words))
