"""OpenAI's routes as TGI speaks them: `/v1/chat/completions` and `/v1/completions`.

The id is empty, every delta has the role, and the last token's chunk has the finish reason. Completions
that are not over say `""`, not null, and name TGI's own reason at the end, with the usage, asked for or not.
An error in a stream says 422 whatever it is: an overload is known by its message alone.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import orjson

from harness.simulator import figures, tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Dialect, Filler, Generation, Headers, Job, Plain, Service
from harness.simulator.fields import JsonObject, Refusal, read_body, read_bool, read_object
from harness.simulator.tgi import TGI, generation, spoken, turned_away
from harness.simulator.tgi_facts import FINGERPRINT
from harness.simulator.tgi_request import Wanted, read_chat, read_completions, settled
from harness.simulator.tgi_words import event, misshapen

DONE = b"data:[DONE]\n\n"


class ChatRendering:
    """The wording of one chat reply."""

    def __init__(self, job: Job, wanted: Wanted, envelope: JsonObject) -> None:
        self._job = job
        self._envelope = envelope
        self._with_usage = read_bool(read_object(wanted.parameters, "stream_options") or {}, "include_usage")

    def opening(self) -> bytes:
        """No role-only chunk: every chunk has it."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:  # noqa: ARG002
        """One token's chunk."""
        last = nth >= self._job.output_tokens
        delta = {"role": "assistant", "content": _text(self._job, words, last=last)}
        finish = self._job.finish if last else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**self._chunk(), "choices": [choice], "usage": None})

    def closing(self, sequence: Sequence) -> list[bytes]:
        """A usage chunk if asked for, and the end mark."""
        usage = event({**self._chunk(), "choices": [], "usage": figures.usage(sequence)})
        return [usage, DONE] if self._with_usage else [DONE]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        message = {"role": "assistant", "content": spoken(self._job, words)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._job.finish}
        envelope = {"object": "chat.completion", **self._envelope}
        return orjson.dumps({**envelope, "choices": [choice], "usage": figures.usage(sequence)})

    def _chunk(self) -> JsonObject:
        return {"object": "chat.completion.chunk", **self._envelope}


class CompletionRendering:
    """The wording of one completion."""

    def __init__(self, job: Job, wanted: Wanted, envelope: JsonObject) -> None:  # noqa: ARG002, as for chat
        self._job = job
        self._envelope = {"object": "text_completion", **envelope}

    def opening(self) -> bytes:
        """Nothing precedes the first token."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:
        """One token's chunk."""
        last = nth >= self._job.output_tokens
        reason = {"stop": "eos_token", "length": "length"}[self._job.finish] if last else ""
        text = "</s>" if last and self._job.finish == "stop" else tokens.join(words)
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        usage = {"usage": figures.usage(sequence)} if last else {}
        return event({**self._envelope, "choices": [choice], **usage})

    def closing(self, sequence: Sequence) -> list[bytes]:  # noqa: ARG002
        """The end mark."""
        return [DONE]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        text = spoken(self._job, words)
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": self._job.finish}
        return orjson.dumps({**self._envelope, "choices": [choice], "usage": figures.usage(sequence)})


def _text(job: Job, words: tuple[int, ...], *, last: bool) -> str:
    """A special token has no text in a chat."""
    return tokens.join(words[:-1] if last and job.finish == "stop" else words)


def _answer(
    read: Callable[[JsonObject], Wanted],
    make: type[ChatRendering] | type[CompletionRendering],
    call: Call,
    service: Service,
) -> Plain | Generation:
    try:
        wanted = read(read_body(call.request))
    except Refusal as refusal:
        return misshapen(refusal)
    try:
        job, _ = settled(wanted, service)
    except Refusal as refusal:
        return turned_away(TGI_OPENAI, refusal, wanted, service)
    envelope = {
        "id": "",
        "created": call.created,
        "model": service.model,
        "system_fingerprint": FINGERPRINT,
    }
    answer = generation(job, wanted, make(job, wanted, envelope), call)
    if make is ChatRendering:
        return answer
    return replace(answer, whole_headers=partial(_without_seconds, answer.whole_headers))


def _without_seconds(headers: Callable[[Sequence], Headers], sequence: Sequence) -> Headers:
    """Completions add up whole numbers only, so that the seconds are lost."""
    return tuple(pair for pair in headers(sequence) if pair[0] != "x-compute-time")


def stream_error(refusal: Refusal) -> bytes:
    """An error in a stream, whose status is always said to be 422; the end mark follows."""
    return event({"error": {"message": refusal.message, "http_status_code": 422}}) + DONE


def filler(kind: Filler) -> bytes:
    """A chunk of a special token, or a usage that counts nothing yet."""
    envelope = {
        "object": "chat.completion.chunk",
        "id": "",
        "created": 0,
        "model": "",
        "system_fingerprint": FINGERPRINT,
    }
    if kind == "usage":
        counts = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return event({**envelope, "choices": [], "usage": counts})
    delta = {"role": "assistant", "content": ""}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return event({**envelope, "choices": [choice], "usage": None})


def empty_completion(kind: Filler) -> bytes:
    """A chunk of a completion without text; it has no role, and its usage comes only at the end."""
    if kind != "empty":
        return b""
    choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": ""}
    return event({"object": "text_completion", "id": "", "created": 0, "choices": [choice], "model": ""})


TGI_OPENAI: Dialect = replace(
    TGI,
    routes={("POST", "/v1/chat/completions"): partial(_answer, read_chat, ChatRendering)},
    stream_error=stream_error,
    filler=filler,
)
TGI_COMPLETIONS: Dialect = replace(
    TGI_OPENAI,
    routes={("POST", "/v1/completions"): partial(_answer, read_completions, CompletionRendering)},
    filler=empty_completion,
)
