"""SambaStudio's dialect: the generic API in its versions 1 and 2, and an OpenAI flavour.

Generic streams are a JSON document a line, not events. The last one has the whole text again, the counts
and the server's own figures in seconds, under older names in version 1 and newer ones in version 2. The
model inside a composition of experts is chosen by `select_expert`; this server has one. The key comes in a
header `key`, for the OpenAI flavour as a Bearer token. Nothing forces a length.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import orjson

from harness.simulator import figures, tokens
from harness.simulator.batching import Sequence
from harness.simulator.chunks import CHAT, Flavour, filler, sse
from harness.simulator.dialect import Call, Dialect, Filler, Generation, Job, Service
from harness.simulator.fields import JsonObject, Prompt, Refusal, read_body
from harness.simulator.keys import key_header, only_bearer
from harness.simulator.openai import chat
from harness.simulator.planning import check_fits, settle
from harness.simulator.sambanova import limit
from harness.simulator.sambastudio_request import Asked, read_v1, read_v2

_NDJSON = "application/x-ndjson"


def figures_v1(sequence: Sequence) -> JsonObject:
    """Counts and speed under their older names."""
    speed = figures.sambanova_speed(sequence)
    return {
        "prompt_tokens_count": sequence.prompt_tokens,
        "completion_tokens_count": sequence.produced,
        "total_tokens_count": sequence.prompt_tokens + sequence.produced,
        **speed,
    }


def figures_v2(sequence: Sequence) -> JsonObject:
    """The same under their newer names."""
    speed = figures.sambanova_speed(sequence)
    return {
        **figures.usage(sequence),
        "time_to_first_response": speed["time_to_first_token"],
        "model_execution_time": speed["total_latency"],
        "completion_tokens_per_sec": speed["completion_tokens_per_sec"],
        "completion_tokens_per_sec_after_first_response": speed["completion_tokens_after_first_per_sec"],
        "total_tokens_per_sec": speed["total_tokens_per_sec"],
    }


@dataclass(frozen=True, slots=True)
class Version:
    """How the two versions of the generic API differ."""

    read: Callable[[JsonObject], Asked]
    read_stream: Callable[[JsonObject], Asked]
    figures: Callable[[Sequence], JsonObject]
    wrap: Callable[[JsonObject, str], JsonObject]  # a line of a stream, of a value and the item's id
    wrap_whole: Callable[[JsonObject, str], JsonObject]


V1 = Version(
    read=partial(read_v1, "instances"),
    read_stream=partial(read_v1, "instance"),
    figures=figures_v1,
    wrap=lambda value, _: {"result": {"responses": [value]}},
    wrap_whole=lambda value, _: {"predictions": [value]},
)
V2 = Version(
    read=read_v2,
    read_stream=read_v2,
    figures=figures_v2,
    wrap=lambda value, name: {"result": {"items": [{"id": name, "value": value}]}},
    wrap_whole=lambda value, name: {"items": [{"id": name, "value": value}]},
)


class GenericRendering:
    """The wording of one generic reply."""

    def __init__(self, version: Version, job: Job, asked: Asked, service: Service) -> None:
        self._version = version
        self._job = job
        self._asked = asked
        self._service = service
        self._words: list[int] = []

    def opening(self) -> bytes:
        """Nothing precedes the first token."""
        return b""

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:  # noqa: ARG002
        """One token's line."""
        self._words += words
        return self._line({"is_last_response": False, "stream_token": tokens.join(words)})

    def closing(self, sequence: Sequence) -> list[bytes]:
        """The one last line, with everything."""
        return [self._line(self._last(self._words, sequence))]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        return orjson.dumps(self._version.wrap_whole(self._last(words, sequence), self._asked.name))

    def _last(self, words: list[int], sequence: Sequence) -> JsonObject:
        return {
            "is_last_response": True,
            "completion": tokens.join(words),
            "prompt": self._job.prompt.text,
            "stop_reason": {"stop": "end_of_text", "length": "max_len_reached"}[self._job.finish],
            **self._version.figures(sequence),
            "batch_size_used": len(self._service.batch.running) + 1,  # this one has just left
            "acceptance_rate": None,
        }

    def _line(self, value: JsonObject) -> bytes:
        return orjson.dumps(self._version.wrap(value, self._asked.name), option=orjson.OPT_APPEND_NEWLINE)


def predict(version: Version, stream: bool, call: Call, service: Service) -> Generation:
    """POST /api[/v2]/predict/generic[/stream]/{project}/{endpoint}."""
    asked = (version.read_stream if stream else version.read)(read_body(call.request))
    _check_expert(asked.expert, service)
    check_fits(service, asked.prompt)
    job = settle(service, asked.prompt, limit=asked.limit, stream=stream)
    rendering = GenericRendering(version, job, asked, service)
    return Generation(job, rendering, call.request_id)


def _check_expert(expert: str | None, service: Service) -> None:
    if expert not in {None, service.model}:
        text = f"select_expert {expert!r:.80} is not in this composition; it has {service.model!r}"
        raise Refusal(404, text, type="expert_not_found", param="select_expert")


def usage(sequence: Sequence, call: Call) -> JsonObject:  # noqa: ARG001, it has no dates
    """The OpenAI flavour's: counts and speed."""
    return {**figures.usage(sequence), **figures.sambanova_speed(sequence), "is_last_response": True}


def check(body: JsonObject, service: Service, prompt: Prompt, most: int | None) -> None:  # noqa: ARG001
    """Raises Refusal for an expert that is not there."""
    expert = body.get("select_expert")
    _check_expert(expert if isinstance(expert, str) else None, service)


FLAVOUR = Flavour(
    choice={},
    usage=usage,
    beside=lambda _: {},
    forces_length=False,
    limit=limit,
    check=check,
    unknown_model=lambda name, _: Refusal(404, f"Model {name} not found", type="model_not_found"),
)


def error(refusal: Refusal) -> JsonObject:
    """The body of an error."""
    kind = refusal.type or ("invalid_request" if refusal.status < 500 else "server_error")
    return {"error": {"message": refusal.message, "type": kind, "code": refusal.status}}


def error_line(refusal: Refusal) -> bytes:
    """An error in a generic stream: a line without `result`; nothing follows it."""
    return orjson.dumps(error(refusal), option=orjson.OPT_APPEND_NEWLINE)


def error_event(refusal: Refusal) -> bytes:
    """An error in the OpenAI flavour's stream: an event that says so; nothing follows it."""
    return b"event: error_event\n" + sse(error(refusal))


def overload() -> Refusal:
    """A full queue."""
    return Refusal(503, "the endpoint's queue is full", type="overloaded")


def empty_line(version: Version, kind: Filler) -> bytes:
    """A line without text; no role, and the counts only at the end."""
    if kind != "empty":
        return b""
    value = {"is_last_response": False, "stream_token": ""}
    return orjson.dumps(version.wrap(value, "item1"), option=orjson.OPT_APPEND_NEWLINE)


_V1 = "/api/predict/generic"
_V2 = "/api/v2/predict/generic"
_PLACE = "{project}/{endpoint}"

SAMBASTUDIO = Dialect(
    name="sambastudio",
    routes={
        ("POST", f"{_V1}/{_PLACE}"): partial(predict, V1, False),
        ("POST", f"{_V1}/stream/{_PLACE}"): partial(predict, V1, True),
    },
    error=error,
    stream_error=error_line,
    overload=overload,
    filler=partial(empty_line, V1),
    authorise=key_header,
    guards=lambda *_: True,
    stream_type=_NDJSON,
)
SAMBASTUDIO_V2 = replace(
    SAMBASTUDIO,
    routes={
        ("POST", f"{_V2}/{_PLACE}"): partial(predict, V2, False),
        ("POST", f"{_V2}/stream/{_PLACE}"): partial(predict, V2, True),
    },
    filler=partial(empty_line, V2),
)
_CHAT = partial(chat, FLAVOUR)
SAMBASTUDIO_OPENAI = Dialect(
    name="sambastudio",
    routes={
        ("POST", "/v1/chat/completions"): _CHAT,
        ("POST", f"/v1/{_PLACE}/chat/completions"): _CHAT,
        ("POST", f"/openai/v1/{_PLACE}/chat/completions"): _CHAT,
    },
    error=error,
    stream_error=error_event,
    overload=overload,
    filler=partial(filler, CHAT),
    authorise=only_bearer,
    guards=lambda *_: True,
)
