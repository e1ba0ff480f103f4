"""OpenAI's replies, chunk by chunk, with what differs between the servers that speak its API.

A stream is: for chat a role-only chunk, just before the first token; one chunk a token; a finish chunk
without text; if `stream_options.include_usage`, a usage chunk with empty `choices`; `data: [DONE]`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from harness.simulator import figures, tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Filler, Job, Service, encoded
from harness.simulator.fields import JsonObject, Prompt, Refusal, read_int

DONE = b"data: [DONE]\n\n"
COMPLETIONS_LIMIT = 16  # what the API gives a completion that names no limit; a chat may fill the context
_MARK = "\0"  # stands for the text when a chunk is encoded beforehand
_MARK_JSON = orjson.dumps(_MARK)


@dataclass(frozen=True, slots=True)
class Api:
    """How the two generation routes differ."""

    prefix: str  # of the response id
    object: str
    chunk_object: str
    text: Callable[[str], JsonObject]  # a choice's text, in a chunk
    whole: Callable[[str], JsonObject]  # and in a whole reply
    empty: JsonObject  # what stands there in the finish chunk


CHAT = Api(
    prefix="chatcmpl-",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    text=lambda text: {"delta": {"content": text}},
    whole=lambda text: {"message": {"role": "assistant", "content": text}},
    empty={"delta": {}},
)
COMPLETIONS = Api(
    prefix="cmpl-",
    object="text_completion",
    chunk_object="text_completion",
    text=lambda text: {"text": text},
    whole=lambda text: {"text": text},
    empty={"text": ""},
)


def _usage(sequence: Sequence, call: Call) -> JsonObject:  # noqa: ARG001, other flavours date it
    return {**figures.usage(sequence), "prompt_tokens_details": {"cached_tokens": 0}}


def _limit(api: Api, body: JsonObject) -> int | None:
    if api is CHAT:
        return read_int(body, "max_completion_tokens", "max_tokens", minimum=1)
    return read_int(body, "max_tokens", minimum=1) or COMPLETIONS_LIMIT


def _unknown(name: object, service: Service) -> Refusal | None:
    text = f"The model `{name}` does not exist; this is `{service.model}`."
    return Refusal(404, text, param="model", type=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """What one server makes of OpenAI's API. The defaults are llama.cpp's figures on vLLM's wire."""

    role: JsonObject = field(default_factory=lambda: {"role": "assistant", "content": ""})
    envelope: Mapping[str, Any] = field(default_factory=dict)  # more in every chunk and in the whole reply
    choice: Mapping[str, Any] = field(default_factory=lambda: {"logprobs": None})  # more in every choice
    ending: Mapping[str, Any] = field(default_factory=dict)  # more in the choice that names the finish reason
    chat_object: str = CHAT.object
    usage: Callable[[Sequence, Call], JsonObject] = _usage
    beside: Callable[[Sequence], JsonObject] = lambda sequence: {"timings": figures.timings(sequence)}
    beside_at_end: bool = True  # where no usage was asked for, that rides on the finish chunk
    usage_at_end: tuple[Api, ...] = ()  # whose finish chunk has the usage, asked for or not, and no other has
    usage_as_it_goes: bool = False  # `continuous_usage_stats` is known
    forces_length: bool = True  # `ignore_eos` and `min_tokens` are known
    images: bool = True  # messages may have them
    limit: Callable[[Api, JsonObject], int | None] = _limit
    unknown_model: Callable[[object, Service], Refusal | None] = _unknown
    check: Callable[[JsonObject, Service, Prompt, int | None], None] = lambda *_: None  # raises Refusal


@dataclass(frozen=True, slots=True)
class UsageWish:
    """The client's `stream_options`."""

    chunk: bool = False
    as_it_goes: bool = False


class OpenAIRendering:
    """The wording of one reply; what is the same in each chunk is encoded once."""

    def __init__(
        self, flavour: Flavour, api: Api, job: Job, *, service: Service, call: Call, wish: UsageWish
    ) -> None:
        self._flavour = flavour
        self._api = api
        self._job = job
        self._call = call
        self._wish = wish
        whole = flavour.chat_object if api is CHAT else api.object
        self._envelope = {
            "id": api.prefix + call.request_id,
            "object": api.chunk_object if job.stream else whole,
            "created": call.created,
            "model": service.model,
            **flavour.envelope,
        }
        self._before, self._after = self._event(api.text(_MARK)).split(_MARK_JSON)

    def opening(self) -> bytes:
        """The role-only chunk of a chat."""
        return self._event({"delta": self._flavour.role}) if self._api is CHAT else b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:  # noqa: ARG002, no count
        """One chunk of text."""
        if self._wish.as_it_goes:
            usage = {"usage": self._flavour.usage(sequence, self._call)}
            return self._event(self._api.text(tokens.join(words)), extra=usage)
        return b"%b%b%b" % (self._before, encoded(words), self._after)

    def closing(self, sequence: Sequence) -> list[bytes]:
        """Finish chunk, usage chunk if asked for, end mark."""
        flavour, beside = self._flavour, self._flavour.beside(sequence)
        usage = {"usage": flavour.usage(sequence, self._call), **beside}
        if self._api in flavour.usage_at_end:
            return [self._finish(usage), DONE]
        if not self._wish.chunk:
            return [self._finish(beside if flavour.beside_at_end else {}), DONE]
        return [self._finish({}), sse({**self._envelope, "choices": [], **usage}), DONE]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        text = self._api.whole(tokens.join(words))
        choice = self._choice(text, self._job.finish)
        usage = {"usage": self._flavour.usage(sequence, self._call), **self._flavour.beside(sequence)}
        return orjson.dumps({**self._envelope, "choices": [choice], **usage})

    def _finish(self, extra: JsonObject) -> bytes:
        return self._event(self._api.empty, self._job.finish, extra)

    def _event(self, text: JsonObject, finish: str | None = None, extra: JsonObject | None = None) -> bytes:
        return sse({**self._envelope, "choices": [self._choice(text, finish)], **(extra or {})})

    def _choice(self, text: JsonObject, finish: str | None) -> JsonObject:
        ending = self._flavour.ending if finish is not None else {}
        return {"index": 0, **text, **self._flavour.choice, "finish_reason": finish, **ending}


def filler(api: Api, kind: Filler) -> bytes:
    """A chunk that is no token: of the role, of an empty text, or of a usage that counts nothing yet."""
    envelope = {"id": api.prefix + "filler", "object": api.chunk_object, "created": 0, "model": ""}
    if kind == "usage":
        counts = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return sse({**envelope, "choices": [], "usage": counts})
    text = {"delta": {"role": "assistant"}} if kind == "role" and api is CHAT else api.text("")
    return sse({**envelope, "choices": [{"index": 0, **text, "logprobs": None, "finish_reason": None}]})


def sse(value: object) -> bytes:
    """A value as an event."""
    return b"data: %b\n\n" % orjson.dumps(value)
