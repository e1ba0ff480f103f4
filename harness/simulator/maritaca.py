"""Maritaca's cloud dialect: OpenAI's chat, the older `/chat/inference`, and what both share.

The older one streams `num_tokens_per_message` tokens in a message (4 unless asked otherwise) and ends with
the stream, without an end mark; its counts come only in a reply that is not streamed. The key comes as
`Authorization: Key K` or `Bearer K`. Nothing forces a length. `responses` has the third way to ask.
"""

from dataclasses import dataclass, replace
from functools import partial

import orjson

from harness.simulator import figures, tokens
from harness.simulator.batching import Sequence
from harness.simulator.chunks import CHAT, Flavour, filler, sse
from harness.simulator.dialect import Call, Dialect, Filler, Generation, Job, Plain, Service, plain
from harness.simulator.fields import (
    JsonObject,
    NoRoute,
    Refusal,
    read_body,
    read_bool,
    read_int,
    read_messages,
    text_prompt,
)
from harness.simulator.keys import key_or_bearer
from harness.simulator.openai import chat
from harness.simulator.planning import SEED_MINIMUM, check_fits, settle

TOKENS_PER_MESSAGE = 4


def unknown_model(name: object, service: Service) -> Refusal:  # noqa: ARG001, as others word it
    """A model that is not served."""
    return Refusal(404, f"Model {name} not found")


FLAVOUR = Flavour(
    chat_object="chat_completion",  # as its documentation shows a reply, though not a chunk
    beside=lambda _: {},
    forces_length=False,
    images=False,
    unknown_model=unknown_model,
)


@dataclass(frozen=True, slots=True)
class InferenceRendering:
    """The wording of one `/chat/inference` reply."""

    job: Job
    model: str

    def opening(self) -> bytes:
        """Nothing precedes the first message."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:  # noqa: ARG002
        """One message."""
        return sse({"text": tokens.join(words)})

    def closing(self, sequence: Sequence) -> list[bytes]:  # noqa: ARG002
        """No end mark."""
        return []

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        return orjson.dumps(
            {"answer": tokens.join(words), "model": self.model, "usage": figures.usage(sequence)}
        )


def inference(call: Call, service: Service) -> Generation:
    """POST /api/chat/inference. `chat_mode` false takes a raw prompt, true a message or a list of them."""
    body = read_body(call.request)
    model = body.get("model")
    if model != service.model:
        raise unknown_model(model, service)
    prompt = text_prompt(_text(body))
    check_fits(service, prompt)
    job = settle(
        service,
        prompt,
        limit=read_int(body, "max_tokens", minimum=1),
        seed=read_int(body, "seed", minimum=SEED_MINIMUM),
        stream=read_bool(body, "stream"),
    )
    bundle = read_int(body, "num_tokens_per_message", minimum=1) or TOKENS_PER_MESSAGE
    return Generation(job, InferenceRendering(job, service.model), call.request_id, bundle=bundle)


def _text(body: JsonObject) -> str:
    messages = body.get("messages")
    if body.get("chat_mode") is False:
        if not isinstance(messages, str):
            raise Refusal(400, "messages must be a string where chat_mode is false", param="messages")
        return messages
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return read_messages({"messages": turns})


def models(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /api/models."""
    model = {
        "id": service.model,
        "created": service.created,
        "object": "model",
        "owned_by": "maritaca-ai",
        "context_length": service.context,
        "top_provider": {"context_length": service.context, "max_completion_tokens": service.context},
    }
    return plain({"object": "list", "data": [model]})


def error(refusal: Refusal) -> JsonObject:
    """The body of an error: `detail`, a list where fields are wrong."""
    if isinstance(refusal, NoRoute):
        return {"detail": {404: "Not Found", 405: "Method Not Allowed"}[refusal.status]}
    if status(refusal) == 422:
        where = ["body", *([refusal.param] if refusal.param else [])]
        return {"detail": [{"loc": where, "msg": refusal.message, "type": "value_error"}]}
    return {"detail": refusal.message}


def status(refusal: Refusal) -> int:
    """A field that is wrong is a 422."""
    return 422 if refusal.status == 400 and refusal.param else refusal.status


def stream_error(refusal: Refusal) -> bytes:
    """An error in mid-stream; nothing follows it."""
    return sse(error(refusal))


def overload() -> Refusal:
    """Over the limits of a tier."""
    return Refusal(429, "Rate limit exceeded")


def empty_message(kind: Filler) -> bytes:
    """A message without text; the older route has no role and no usage in a stream."""
    return sse({"text": ""}) if kind == "empty" else b""


MARITACA = Dialect(
    name="maritaca",
    routes={
        ("POST", "/api/chat/inference"): inference,
        ("GET", "/api/models"): models,
        ("GET", "/api/v1/models"): models,
    },
    error=error,
    status=status,
    stream_error=stream_error,
    overload=overload,
    filler=empty_message,
    authorise=key_or_bearer,
    guards=lambda *_: True,
)
_CHAT = partial(chat, FLAVOUR)
MARITACA_CHAT = replace(
    MARITACA,
    routes={("POST", "/api/chat/completions"): _CHAT, ("POST", "/api/v1/chat/completions"): _CHAT},
    filler=partial(filler, CHAT),
)
