"""Text Generation Inference's own dialect: `/generate`, `/generate_stream` and `POST /`.

A stream is one event a token, without a space after `data:`; the last token's event has the full text and,
if `details` were asked for, the counts. No end mark follows. A stream is opened with 200 whatever comes:
overload and refused values are its one event. Replies that are not streamed carry their times in headers,
cut to whole ms. An answer that the model ends has `</s>` as its last token: it counts and has no text.
"""

from functools import partial

import orjson

from harness.simulator import tgi_facts, tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import (
    Call,
    Dialect,
    Generation,
    Job,
    Plain,
    Rendering,
    Service,
    refused_in_stream,
)
from harness.simulator.fields import JsonObject, Refusal, read_body, read_bool
from harness.simulator.keys import only_bearer
from harness.simulator.tgi_request import Wanted, read_native, settled
from harness.simulator.tgi_words import (
    error,
    event,
    filler,
    loading,
    misshapen,
    overload,
    status,
    stream_error,
    stream_headers,
    whole_headers,
)

PERMITS = 128  # --max-concurrent-requests
EOS = {"id": 2, "text": "</s>", "logprob": -0.015625, "special": True}
_REASONS = {"stop": "eos_token", "length": "length"}
_GUARDED = frozenset(
    {
        *("/", "/generate", "/generate_stream", "/tokenize", "/chat_tokenize", "/invocations", "/vertex"),
        *("/v1/chat/completions", "/v1/completions"),
    }
)


class GenerateRendering:
    """The wording of one native reply."""

    def __init__(self, job: Job, wanted: Wanted, seed: int | None, *, listed: bool = False) -> None:
        """`listed`: as `POST /` answers, in a list."""
        self._job = job
        self._wanted = wanted
        self._seed = seed
        self._listed = listed
        self._words: list[int] = []

    def opening(self) -> bytes:
        """Nothing precedes the first token."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:
        """One token's event; the last one's ends the stream."""
        self._words += words
        last = nth >= self._job.output_tokens
        details = self._details(sequence) | {"input_length": sequence.prompt_tokens} if last else None
        return event(
            {
                "index": nth,
                "token": shown(words, ends=last and self._job.finish == "stop"),
                "generated_text": self._text(self._words) if last else None,
                "details": details if self._wanted.details else None,
            }
        )

    def closing(self, sequence: Sequence) -> list[bytes]:  # noqa: ARG002
        """Nothing follows the last token."""
        return []

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        reply: JsonObject = {"generated_text": self._text(words)}
        if self._wanted.details:
            prefill = _prefill(self._job.prompt.text) if self._wanted.input_details else []
            every = [shown((word,)) for word in words]
            if self._job.finish == "stop":
                every[-1:] = [EOS]
            reply["details"] = self._details(sequence) | {"prefill": prefill, "tokens": every}
        return orjson.dumps([reply] if self._listed else reply)

    def _details(self, sequence: Sequence) -> JsonObject:
        reason = _REASONS[self._job.finish]
        return {"finish_reason": reason, "generated_tokens": sequence.produced, "seed": self._seed}

    def _text(self, words: list[int]) -> str:
        return (self._wanted.inputs if self._wanted.full_text else "") + spoken(self._job, words)


def spoken(job: Job, words: list[int]) -> str:
    """The text of all words of an answer; the one that stands for `</s>` has none."""
    return tokens.join(words[:-1] if job.finish == "stop" else words)


def shown(words: tuple[int, ...], *, ends: bool = False) -> JsonObject:
    """A token as TGI shows it; of several, their text and the id of the last."""
    if ends and len(words) == 1:
        return EOS
    text = tokens.join(words[:-1] if ends else words)
    logprob = -(1 + words[-1]) / 64
    return {"id": tokens.word_id(words[-1]), "text": text, "logprob": logprob, "special": False}


def _prefill(text: str) -> list[JsonObject]:
    pieces = [tokens.BOS_PIECE, *tokens.split(text)]
    return [
        {"id": tokens.token_id(piece), "text": piece, "logprob": None if nth == 0 else -1.0}
        for nth, piece in enumerate(pieces)
    ]


def generate(call: Call, service: Service) -> Plain | Generation:
    """POST /generate."""
    body = _read(call)
    return body if isinstance(body, Plain) else _native(body, service, call, stream=False)


def generate_stream(call: Call, service: Service) -> Plain | Generation:
    """POST /generate_stream."""
    body = _read(call)
    return body if isinstance(body, Plain) else _native(body, service, call, stream=True)


def compatible(call: Call, service: Service) -> Plain | Generation:
    """POST /: streamed if the body says so, else a list of one answer."""
    body = _read(call)
    if isinstance(body, Plain):
        return body
    try:
        stream = read_bool(body, "stream")
    except Refusal as refusal:
        return misshapen(refusal)
    return _native(body, service, call, stream=stream, listed=not stream)


def _native(
    body: JsonObject, service: Service, call: Call, *, stream: bool, listed: bool = False
) -> Plain | Generation:
    try:
        wanted = read_native(body, stream=stream)
    except Refusal as refusal:
        return misshapen(refusal)
    try:
        job, seed = settled(wanted, service)
    except Refusal as refusal:
        return turned_away(TGI, refusal, wanted, service)
    rendering = GenerateRendering(job, wanted, seed, listed=listed)
    return generation(job, wanted, rendering, call)


def generation(job: Job, wanted: Wanted, rendering: Rendering, call: Call) -> Generation:
    """An accepted request with TGI's headers."""
    times = partial(whole_headers, wanted.inputs)
    return Generation(
        job,
        rendering,
        call.request_id,
        stream_headers=stream_headers(wanted.inputs),
        whole_headers=times,
    )


def turned_away(dialect: Dialect, refusal: Refusal, wanted: Wanted, service: Service) -> Plain:
    """Refused values: inside the stream if there is one. Raises the Refusal again if there is none."""
    service.tally.turned_away("validation")
    if wanted.stream:
        return refused_in_stream(dialect, refusal, stream_headers(wanted.inputs))
    raise refusal


def _read(call: Call) -> JsonObject | Plain:
    try:
        return read_body(call.request)
    except Refusal as refusal:
        if "must be a JSON object" in refusal.message:
            return misshapen(refusal)
        text = f"Failed to parse the request body as JSON: {refusal.message}"
        return Plain(text.encode(), content_type="text/plain; charset=utf-8", status=400)


TGI = Dialect(
    name="tgi",
    routes={
        ("POST", "/generate"): generate,
        ("POST", "/generate_stream"): generate_stream,
        ("POST", "/"): compatible,
        ("GET", "/"): tgi_facts.health,
        ("GET", "/health"): tgi_facts.health,
        ("GET", "/ping"): tgi_facts.health,
        ("GET", "/info"): tgi_facts.info,
        ("GET", "/v1/models"): tgi_facts.models,
        ("POST", "/tokenize"): tgi_facts.tokenize,
        ("POST", "/chat_tokenize"): tgi_facts.chat_tokenize,
        ("GET", "/metrics"): tgi_facts.metrics,
    },
    error=error,
    status=status,
    stream_error=stream_error,
    overload=overload,
    overload_in_stream=True,
    permits=PERMITS,
    filler=filler,
    authorise=only_bearer,
    guards=lambda method, path: method == "POST" and path in _GUARDED,
    loading=loading,
    json_type="application/json",
    stream_type="text/event-stream",
)
