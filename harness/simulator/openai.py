"""OpenAI's dialect as vLLM and llama.cpp speak it: `/v1/chat/completions`, `/v1/completions`, `/v1/models`.

A stream is: for chat a role-only chunk, just before the first token; one chunk a token; a finish chunk
without text; if `stream_options.include_usage`, a usage chunk with empty `choices`; `data: [DONE]`.
llama.cpp's `timings` ride on the usage chunk, else on the finish chunk, else on the whole reply.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from harness.simulator import tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Dialect, Generation, Job, Plain, Service, plain, plan, timings
from harness.simulator.fields import (
    JsonObject,
    Refusal,
    read_body,
    read_bool,
    read_int,
    read_messages,
    read_prompt,
    text_prompt,
)

DONE = b"data: [DONE]\n\n"
COMPLETIONS_LIMIT = 16  # what the API gives a completion that names no limit; a chat may fill the context
_MARK = "\0"  # stands for the text when a chunk is encoded beforehand
_MARK_JSON = orjson.dumps(_MARK)
_WORDS_JSON = tuple(orjson.dumps(piece) for piece in tokens.VOCABULARY)


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


class OpenAIRendering:
    """The wording of one reply; what is the same in each chunk is encoded once."""

    def __init__(self, api: Api, job: Job, service: Service, call: Call, *, include_usage: bool) -> None:
        self._api = api
        self._job = job
        self._include_usage = include_usage
        self._envelope = {
            "id": api.prefix + call.request_id,
            "object": api.chunk_object if job.stream else api.object,
            "created": call.created,
            "model": service.model,
        }
        self._before, self._after = self._event(api.text(_MARK)).split(_MARK_JSON)

    def opening(self) -> bytes:
        """The role-only chunk of a chat."""
        if self._api is not CHAT:
            return b""
        return self._event({"delta": {"role": "assistant", "content": ""}})

    def event(self, nth: int, word: int, sequence: Sequence) -> bytes:  # noqa: ARG002, a chunk has no count
        """One chunk of text."""
        return b"%b%b%b" % (self._before, _WORDS_JSON[word], self._after)

    def closing(self, sequence: Sequence) -> list[bytes]:
        """Finish chunk, usage chunk if asked for, end mark."""
        times = {"timings": timings(sequence)}
        finish = self._event(self._api.empty, self._job.finish, {} if self._include_usage else times)
        if not self._include_usage:
            return [finish, DONE]
        usage = {**self._envelope, "choices": [], "usage": _usage(sequence), **times}
        return [finish, _sse(usage), DONE]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        text = self._api.whole(tokens.join(words))
        choice = {"index": 0, **text, "logprobs": None, "finish_reason": self._job.finish}
        usage = {"usage": _usage(sequence), "timings": timings(sequence)}
        return orjson.dumps({**self._envelope, "choices": [choice], **usage})

    def _event(self, text: JsonObject, finish: str | None = None, extra: JsonObject | None = None) -> bytes:
        choice = {"index": 0, **text, "logprobs": None, "finish_reason": finish}
        return _sse({**self._envelope, "choices": [choice], **(extra or {})})


def chat(call: Call, service: Service) -> Generation:
    """POST /v1/chat/completions."""
    body = _body(call, service)
    prompt = text_prompt(read_messages(body))
    limit = read_int(body, "max_completion_tokens", "max_tokens", minimum=1)
    return _generation(CHAT, call, service, body, plan(service, prompt, body, limit=limit))


def completions(call: Call, service: Service) -> Generation:
    """POST /v1/completions."""
    body = _body(call, service)
    prompt = read_prompt(body.get("prompt"), "prompt")
    limit = read_int(body, "max_tokens", minimum=1) or COMPLETIONS_LIMIT
    return _generation(COMPLETIONS, call, service, body, plan(service, prompt, body, limit=limit))


def models(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /v1/models."""
    model = {
        "id": service.model,
        "object": "model",
        "created": service.created,
        "owned_by": "tokenswarm",
        "max_model_len": service.context,
    }
    return plain({"object": "list", "data": [model]})


def error(refusal: Refusal) -> JsonObject:
    """The body of an error, as vLLM words it."""
    kind = {400: "BadRequestError", 404: "NotFoundError"}.get(refusal.status, "InternalServerError")
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type or kind,
            "param": refusal.param,
            "code": refusal.status,
            **refusal.extra,
        }
    }


OPENAI = Dialect(
    name="openai",
    routes={
        ("POST", "/v1/chat/completions"): chat,
        ("POST", "/v1/completions"): completions,
        ("GET", "/v1/models"): models,
    },
    error=error,
)


def _body(call: Call, service: Service) -> JsonObject:
    body = read_body(call.request)
    model = body.get("model")
    if model is not None and model != service.model:
        raise Refusal(404, f"The model `{model}` does not exist; this is `{service.model}`.", param="model")
    copies = read_int(body, "n", minimum=1)
    if copies is not None and copies > 1:
        raise Refusal(400, f"n must be 1, not {copies}: one answer a request", param="n")
    return body


def _generation(api: Api, call: Call, service: Service, body: JsonObject, job: Job) -> Generation:
    options = body.get("stream_options")
    if options is not None and not (isinstance(options, dict) and job.stream):
        raise Refusal(400, "stream_options must be an object and needs stream: true", param="stream_options")
    include_usage = read_bool(options or {}, "include_usage")
    rendering = OpenAIRendering(api, job, service, call, include_usage=include_usage)
    return Generation(job, rendering, api.prefix + call.request_id)


def _usage(sequence: Sequence) -> JsonObject:
    return {
        "prompt_tokens": sequence.prompt_tokens,
        "completion_tokens": sequence.produced,
        "total_tokens": sequence.prompt_tokens + sequence.produced,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _sse(value: JsonObject) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(value)
