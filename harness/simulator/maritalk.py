"""MariTalk Local's dialect: `/generate` and `/chat/generate`, never streamed, and its status at `/`.

Two generations of it differ in what they say of time, in name and in unit:

    maritalk-2023   `queue_time`, `prompt_time`, `generation_time` in whole ms
    maritalk        `queue_time`, `generation_time` in s; the wait for the first token is all queue

No token counts, no finish reason, no id, no key. Requests queue without limit. Its errors are not
documented; here they are an object with `error`, so that no `output` can be read from them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import orjson

from harness.simulator import tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Dialect, Generation, Job, Plain, Service, plain
from harness.simulator.fields import (
    JsonObject,
    Refusal,
    read_body,
    read_bool,
    read_int,
    read_messages,
    read_number,
    read_text,
    text_prompt,
)
from harness.simulator.keys import no_key
from harness.simulator.planning import SEED_MINIMUM, check_fits, settle

MAX_TOKENS = 512
_JSON = "application/json"  # exactly: its client tells an error's body from another by it


def times(sequence: Sequence) -> JsonObject:
    """The newer generation's, s: before the first token, and from there on."""
    waited_ms = (sequence.queue_ms or 0.0) + (sequence.prefill_ms or 0.0)
    return {
        "queue_time": round(waited_ms / 1e3, 3),
        "generation_time": round((sequence.decode_ms or 0.0) / 1e3, 3),
    }


def times_2023(sequence: Sequence) -> JsonObject:
    """The older generation's, whole ms."""
    return {
        "queue_time": round(sequence.queue_ms or 0.0),
        "prompt_time": round(sequence.prefill_ms or 0.0),
        "generation_time": round(sequence.decode_ms or 0.0),
    }


@dataclass(frozen=True, slots=True)
class MaritalkRendering:
    """The wording of one reply; it is never asked for a stream."""

    job: Job
    times: Callable[[Sequence], JsonObject]

    def opening(self) -> bytes:
        """No stream."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:  # noqa: ARG002
        """No stream."""
        return b""

    def closing(self, sequence: Sequence) -> list[bytes]:  # noqa: ARG002
        """No stream."""
        return []

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply."""
        return orjson.dumps({"output": tokens.join(words), **self.times(sequence)})


def generate(said: Callable[[Sequence], JsonObject], call: Call, service: Service) -> Generation:
    """POST /generate: a raw prompt."""
    body = read_body(call.request)
    return _answer(said, read_text(body, "prompt"), body, call, service)


def chat(said: Callable[[Sequence], JsonObject], call: Call, service: Service) -> Generation:
    """POST /chat/generate: messages."""
    body = read_body(call.request)
    return _answer(said, read_messages(body), body, call, service)


def _answer(
    said: Callable[[Sequence], JsonObject], text: str, body: JsonObject, call: Call, service: Service
) -> Generation:
    _check_sampling(body)
    prompt = text_prompt(text)
    check_fits(service, prompt)
    limit = read_int(body, "max_tokens", minimum=1) or MAX_TOKENS
    seed = read_int(body, "seed", minimum=SEED_MINIMUM)
    job = settle(service, prompt, limit=limit, seed=seed)
    return Generation(job, MaritalkRendering(job, said), call.request_id)


def _check_sampling(body: JsonObject) -> None:
    read_bool(body, "do_sample")
    read_number(body, "temperature", minimum=0)
    read_number(body, "top_p", minimum=0)
    stops = body.get("stop_sequences")
    if stops is not None and not (isinstance(stops, list) and all(isinstance(stop, str) for stop in stops)):
        text = f"stop_sequences must be a list of strings, not {stops!r:.80}"
        raise Refusal(400, text, param="stop_sequences")


def status(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /: it answers, so it is ready."""
    return replace(plain({"status": "idle"}), content_type=_JSON)


def loading(call: Call) -> Plain:
    """The status says so; nothing else is answered yet. Raises Refusal."""
    if (call.request.method, call.request.path) == ("GET", "/"):
        return replace(plain({"status": "loading"}), content_type=_JSON)
    raise Refusal(503, "the model is loading")


def error(refusal: Refusal) -> JsonObject:
    """The body of an error."""
    return {"error": refusal.message}


def stream_error(refusal: Refusal) -> bytes:
    """No stream to put it into; as bytes, its body."""
    return orjson.dumps(error(refusal))


def overload() -> Refusal:
    """Only where the simulator is given a limit: this server queues."""
    return Refusal(503, "too many requests are waiting")


MARITALK = Dialect(
    name="maritalk",
    routes={
        ("POST", "/generate"): partial(generate, times),
        ("POST", "/chat/generate"): partial(chat, times),
        ("GET", "/"): status,
    },
    error=error,
    stream_error=stream_error,
    overload=overload,
    authorise=no_key,
    guards=lambda *_: False,
    loading=loading,
    json_type=_JSON,
)
MARITALK_2023 = replace(
    MARITALK,
    routes={
        ("POST", "/generate"): partial(generate, times_2023),
        ("POST", "/chat/generate"): partial(chat, times_2023),
        ("GET", "/"): status,
    },
)
