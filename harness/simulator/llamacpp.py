"""llama.cpp's dialect: its own `/completion`, OpenAI's routes as it speaks them, and what stands around them.

A native stream is one event a token and a last one with `stop: true`, empty content and `timings`; no
`[DONE]`. `llamacpp` is its newest server. `llamacpp-2025` is that of August 2025: usage and timings always
on the finish chunk, a rate that counts all tokens, and errors in mid-stream in a field named `error`, not
`data`. The prompt cache is not modelled: `cache_prompt` is accepted, and every prompt is read in full.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import orjson

from harness.simulator import figures, llama_facts, tokens
from harness.simulator.batching import Sequence
from harness.simulator.chunks import CHAT, COMPLETIONS, DONE, Api, Flavour, sse
from harness.simulator.chunks import filler as openai_filler
from harness.simulator.dialect import Call, Dialect, Filler, Generation, Job, Service, encoded
from harness.simulator.fields import JsonObject, Refusal, read_body, read_int, read_prompt
from harness.simulator.keys import bearer
from harness.simulator.openai import chat, completions, guards, models
from harness.simulator.planning import plan

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    411: "invalid_request_error",
    413: "invalid_request_error",
    431: "invalid_request_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


@dataclass(frozen=True, slots=True)
class CompletionRendering:
    """The wording of one `/completion` reply."""

    job: Job
    model: str
    timings: Callable[[Sequence], JsonObject] = figures.timings

    def opening(self) -> bytes:
        """Nothing precedes the first token."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:
        """One token's event, or a few tokens'."""
        return (
            b'data: {"index":0,"content":%b,"tokens":[%b],"stop":false,"id_slot":%d,'
            b'"tokens_predicted":%d,"tokens_evaluated":%d}\n\n'
        ) % (encoded(words), _ids(words), sequence.slot or 0, nth, sequence.prompt_tokens)

    def closing(self, sequence: Sequence) -> list[bytes]:
        """The one last event."""
        return [sse(self._final("", [], sequence))]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        return orjson.dumps(self._final(tokens.join(words), words, sequence))

    def _final(self, content: str, words: list[int], sequence: Sequence) -> JsonObject:
        return {
            "index": 0,
            "content": content,
            "tokens": [tokens.word_id(word) for word in words],
            "id_slot": sequence.slot,
            "stop": True,
            "model": self.model,
            "tokens_predicted": sequence.produced,
            "tokens_evaluated": sequence.prompt_tokens,
            "generation_settings": {"n_predict": self.job.output_tokens, "stream": self.job.stream},
            "prompt": self.job.prompt.text,
            "truncated": self.job.truncated,
            "stop_type": {"stop": "eos", "length": "limit"}[self.job.finish],
            "stopping_word": "",
            "tokens_cached": sequence.prompt_tokens + max(0, sequence.produced - 1),  # left in the slot
            "timings": self.timings(sequence),
        }


def completion(timings: Callable[[Sequence], JsonObject], call: Call, service: Service) -> Generation:
    """POST /completion."""
    body = read_body(call.request)
    prompt = read_prompt(body.get("prompt"), "prompt")
    job = plan(service, prompt, body, limit=limit(COMPLETIONS, body))
    return Generation(job, CompletionRendering(job, service.model, timings), call.request_id)


def limit(api: Api, body: JsonObject) -> int | None:  # noqa: ARG001, the same on every route
    """Most tokens under any of their names; -1 and nothing are no limit."""
    most = read_int(body, "n_predict", "max_completion_tokens", "max_tokens", minimum=-1)
    return None if most == -1 else most


FLAVOUR = Flavour(
    role={"role": "assistant", "content": None},
    envelope={"system_fingerprint": "tokenswarm-simulator"},
    choice={},
    usage_at_end=(COMPLETIONS,),
    limit=limit,
    unknown_model=lambda *_: None,  # it serves one model, whatever it is called
)
FLAVOUR_2025 = replace(
    FLAVOUR,
    usage=lambda sequence, _: figures.usage(sequence),
    beside=lambda sequence: {"timings": figures.timings_2025(sequence)},
    usage_at_end=(CHAT, COMPLETIONS),
)


def error(refusal: Refusal) -> JsonObject:
    """The body of an error, as llama.cpp words it."""
    kind = refusal.type or _ERROR_TYPES.get(refusal.status, "server_error")
    return {"error": {"code": refusal.status, "message": refusal.message, "type": kind, **refusal.extra}}


def error_2025(refusal: Refusal) -> JsonObject:
    """The same before a prompt that is too long had a type of its own."""
    plain_one = Refusal(refusal.status, refusal.message)
    return error(plain_one if refusal.type == "exceed_context_size_error" else refusal)


def stream_error(refusal: Refusal) -> bytes:
    """An error in mid-stream; nothing follows it."""
    return sse(error(refusal))


def stream_error_2025(after: bytes, refusal: Refusal) -> bytes:
    """The same in a field that a standard parser drops; `after` follows."""
    return b"error: %b\n\n%b" % (orjson.dumps(error_2025(refusal)), after)


def overload() -> Refusal:
    """llama.cpp queues without limit; this is what it says where a slot was asked for and none is free."""
    return Refusal(503, "no slot available")


def filler(kind: Filler) -> bytes:
    """An event without a token, as partial characters and prompt progress cause them; no role, no usage."""
    if kind != "empty":
        return b""
    return sse({"index": 0, "content": "", "tokens": [], "stop": False, "id_slot": 0})


_FACTS = {
    ("POST", "/tokenize"): llama_facts.tokenize,
    ("POST", "/apply-template"): llama_facts.apply_template,
    ("GET", "/health"): llama_facts.health,
    ("GET", "/v1/health"): llama_facts.health,
    ("GET", "/props"): llama_facts.props,
    ("GET", "/slots"): llama_facts.slots,
    ("GET", "/metrics"): llama_facts.metrics,
}
_NATIVE = partial(completion, figures.timings)
_NATIVE_2025 = partial(completion, figures.timings_2025)

LLAMACPP = Dialect(
    name="llamacpp",
    routes={("POST", "/completion"): _NATIVE, ("POST", "/completions"): _NATIVE, **_FACTS},
    error=error,
    stream_error=stream_error,
    overload=overload,
    filler=filler,
    authorise=bearer,
    guards=guards,
)
LLAMACPP_CHAT = replace(
    LLAMACPP,
    routes={("POST", "/v1/chat/completions"): partial(chat, FLAVOUR), ("GET", "/v1/models"): models},
    filler=partial(openai_filler, CHAT),
)
LLAMACPP_COMPLETIONS = replace(
    LLAMACPP,
    routes={("POST", "/v1/completions"): partial(completions, FLAVOUR)},
    filler=partial(openai_filler, COMPLETIONS),
)

LLAMACPP_2025 = replace(
    LLAMACPP,
    routes={("POST", "/completion"): _NATIVE_2025, ("POST", "/completions"): _NATIVE_2025, **_FACTS},
    error=error_2025,
    stream_error=partial(stream_error_2025, b""),
)
LLAMACPP_2025_CHAT = replace(
    LLAMACPP_CHAT,
    routes={("POST", "/v1/chat/completions"): partial(chat, FLAVOUR_2025), ("GET", "/v1/models"): models},
    error=error_2025,
    stream_error=partial(stream_error_2025, DONE),
)
LLAMACPP_2025_COMPLETIONS = replace(
    LLAMACPP_COMPLETIONS,
    routes={("POST", "/v1/completions"): partial(completions, FLAVOUR_2025)},
    error=error_2025,
    stream_error=partial(stream_error_2025, DONE),
)


def _ids(words: tuple[int, ...]) -> bytes:
    return b",".join(b"%d" % tokens.word_id(word) for word in words)
