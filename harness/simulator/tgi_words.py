"""How TGI words what all its routes share: events, errors, and the headers that carry its times."""

import orjson

from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Filler, Headers, Plain
from harness.simulator.fields import JsonObject, NoRoute, Refusal

COMPUTE_TYPE = "gpu+optimized"
_TYPES = {400: "validation", 422: "validation", 424: "generation", 429: "overloaded", 503: "healthcheck"}


def misshapen(refusal: Refusal) -> Plain:
    """What its framework says of a body that is not of the right shape: plain text."""
    if refusal.type is not None:
        raise refusal
    text = f"Failed to deserialize the JSON body into the target type: {refusal.message}"
    return Plain(text.encode(), content_type="text/plain; charset=utf-8", status=422)


def stream_headers(inputs: str) -> Headers:
    """Known before the first token."""
    return (
        ("x-compute-type", COMPUTE_TYPE),
        ("x-compute-characters", str(len(inputs))),
        ("x-accel-buffering", "no"),
    )


def whole_headers(inputs: str, sequence: Sequence) -> Headers:
    """Times: `x-compute-time` in s, the others in ms and cut. The time per token contains the prefill."""
    queue_ms = sequence.queue_ms or 0.0
    inference_ms = (sequence.prefill_ms or 0.0) + (sequence.decode_ms or 0.0)
    return (
        ("x-compute-type", COMPUTE_TYPE),
        ("x-compute-time", str((queue_ms + inference_ms) / 1e3)),
        ("x-compute-characters", str(len(inputs))),
        ("x-total-time", str(int(queue_ms + inference_ms))),
        ("x-validation-time", "0"),
        ("x-queue-time", str(int(queue_ms))),
        ("x-inference-time", str(int(inference_ms))),
        ("x-time-per-token", str(int(inference_ms / max(1, sequence.produced)))),
        ("x-prompt-tokens", str(sequence.prompt_tokens)),
        ("x-generated-tokens", str(sequence.produced)),
    )


def event(value: object) -> bytes:
    """A value as an event, without the space."""
    return b"data:%b\n\n" % orjson.dumps(value)


def error(refusal: Refusal) -> JsonObject:
    """The body of an error; a missing key and a missing route have none."""
    if refusal.status == 401 or isinstance(refusal, NoRoute):
        return {}
    kind = refusal.type or _TYPES.get(refusal.status, "incomplete_generation")
    return {"error": refusal.message, "error_type": kind}


def status(refusal: Refusal) -> int:
    """Every bad value is a 422."""
    return 422 if refusal.status == 400 else refusal.status


def stream_error(refusal: Refusal) -> bytes:
    """An error is an event like the others; nothing follows it."""
    return event(error(refusal))


def overload() -> Refusal:
    """All permits taken."""
    return Refusal(429, "Model is overloaded", type="overloaded")


def filler(kind: Filler) -> bytes:
    """A special token, which has no text of the answer; no role, no usage."""
    if kind != "empty":
        return b""
    special = {"id": 1, "text": "", "logprob": 0.0, "special": True}
    return event({"index": 0, "token": special, "generated_text": None, "details": None})


def loading(call: Call) -> Plain:  # noqa: ARG001
    """The real one does not listen before its model is there; this one is unhealthy until then."""
    raise Refusal(503, "unhealthy", type="healthcheck")
