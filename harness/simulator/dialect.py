"""What a dialect is: routes that turn a request into an answer, and the shape of its errors.

A dialect reads bodies and words replies; it opens no socket, keeps no clock and knows nothing of slots
beyond what `Service` shows. To add one, write a file like `openai.py` and name it in `server.DIALECTS`.

Sampling options (temperature, top_p, stop strings ...) are accepted and change nothing: the text is random
words, and its length comes from `plan`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Protocol, TypeAlias

import orjson

from harness.simulator.batching import Batch, Sequence
from harness.simulator.fields import JsonObject, Prompt, Refusal, read_bool, read_int
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

    A stream is `opening`, one `event` a token, then each of `closing`, every one written by itself. A reply
    that is not streamed is `whole`.
    """

    def opening(self) -> bytes:
        """Sent just before the first token; may be empty."""

    def event(self, nth: int, word: int, sequence: Sequence) -> bytes:
        """Token `nth`, from 1, is `VOCABULARY[word]`."""

    def closing(self, sequence: Sequence) -> list[bytes]:
        """What follows the last token; at least one."""

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The JSON body of a reply that is not streamed."""


Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """An accepted request. `response_id` is what joins the reply with the log.

    `stream_headers` go out with a stream's status line; `whole_headers` words those of a reply that is not
    streamed, once the engine is done with it.
    """

    job: Job
    rendering: Rendering
    response_id: str
    stream_type: str = SSE_TYPE
    stream_headers: Headers = ()
    whole_headers: Callable[[Sequence], Headers] = lambda _: ()


@dataclass(frozen=True, slots=True)
class Plain:
    """A reply that needs no engine."""

    body: bytes
    content_type: str = JSON_TYPE
    status: int = 200
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request with the id and the date (Unix time, s) its reply will carry."""

    request: Request
    request_id: str
    created: int


Handler: TypeAlias = Callable[[Call, Service], Plain | Generation]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Routes by (method, path), and how errors are worded. Handlers raise `Refusal`."""

    name: str
    routes: Mapping[tuple[str, str], Handler]
    error: Callable[[Refusal], JsonObject]


def plain(value: object) -> Plain:
    """A 200 with JSON."""
    return Plain(orjson.dumps(value))


def plan(service: Service, prompt: Prompt, body: JsonObject, *, limit: int | None) -> Job:
    """Settle the output length. Raises Refusal for a prompt that fills the context.

    The model would end its answer after a geometric number of tokens, the same for the same prompt and
    seed; `ignore_eos` and `min_tokens` hold it off, `limit` and the context cut it. None: no limit but that.
    """
    if prompt.tokens >= service.context:
        raise Refusal(
            400,
            f"the request ({prompt.tokens} tokens) exceeds the available context size "
            f"({service.context} tokens), try increasing it",
            type="exceed_context_size_error",
            extra={"n_prompt_tokens": prompt.tokens, "n_ctx": service.context},
        )
    least = read_int(body, "min_tokens", minimum=0) or 0
    if limit is not None and least > limit:
        raise Refusal(400, f"min_tokens {least} is more than the limit of {limit} tokens", param="min_tokens")
    seeds = f"{service.seed}|{read_int(body, 'seed', minimum=-(2**63))}|".encode()
    key = int.from_bytes(blake2b(seeds + prompt.identity, digest_size=8).digest())
    room = service.context - prompt.tokens
    most = room if limit is None else min(limit, room)
    natural = (
        most if read_bool(body, "ignore_eos") else max(least, _geometric(key, service.mean_output_tokens))
    )
    return Job(
        prompt=prompt,
        output_tokens=min(natural, most),
        finish="stop" if natural < most else "length",
        truncated=natural >= most and most == room and (limit is None or limit > room),
        key=key,
        stream=read_bool(body, "stream"),
    )


def _geometric(key: int, mean: float) -> int:
    """A draw from 1, 2, ... with the given mean. Source: inversion, ceil(ln u / ln(1 - 1/mean))."""
    if mean <= 1:
        return 1
    u = 1 - Random(f"length {key}").random()  # in (0, 1], never 0
    return max(1, math.ceil(math.log(u) / math.log1p(-1 / mean)))


def timings(sequence: Sequence) -> JsonObject:
    """llama.cpp's `timings`, ms.

    As in its newest version the predicted rate counts n - 1 steps, because the first token comes with the
    prompt; null where there is nothing to divide.
    """
    steps = sequence.produced - 1
    return {
        "cache_n": 0,
        **_timing("prompt", sequence.prompt_tokens, sequence.prompt_tokens, sequence.prefill_ms or 0.0),
        **_timing("predicted", sequence.produced, steps, sequence.decode_ms or 0.0),
    }


def _timing(what: str, tokens: int, steps: int, ms: float) -> JsonObject:
    measured = steps > 0 and ms > 0
    return {
        f"{what}_n": tokens,
        f"{what}_ms": ms,
        f"{what}_per_token_ms": ms / steps if measured else None,
        f"{what}_per_second": steps * 1e3 / ms if measured else None,
    }
