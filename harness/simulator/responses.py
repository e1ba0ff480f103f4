"""The Responses API, as Maritaca's cloud speaks it: `/api/v1/responses`.

A stream is named events, each with its `type` and the next `sequence_number`. What says that the request
was taken comes at once; the text begins when the model does; `response.completed` has the usage.
"""

from collections.abc import Iterable
from dataclasses import replace

import orjson

from harness.simulator import tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Filler, Generation, Job, Service
from harness.simulator.fields import (
    JsonObject,
    Refusal,
    read_body,
    read_bool,
    read_int,
    read_messages,
    text_prompt,
)
from harness.simulator.maritaca import MARITACA, unknown_model
from harness.simulator.planning import check_fits, settle


class ResponsesRendering:
    """The wording of one reply. Counts its events."""

    def __init__(self, job: Job, model: str, call: Call) -> None:
        self._job = job
        self._response = {
            "id": f"resp_{call.request_id}",
            "object": "response",
            "created_at": call.created,
            "model": model,
        }
        self._item_id = f"msg_{call.request_id}"
        self._place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        self._words: list[int] = []
        self._number = 0

    def early(self) -> bytes:
        """What is said before the model begins."""
        response = {**self._response, "status": "in_progress", "output": [], "usage": None}
        return self._events(
            ("response.created", {"response": response}), ("response.in_progress", {"response": response})
        )

    def opening(self) -> bytes:
        """The message that the text goes into."""
        return self._events(
            ("response.output_item.added", {"output_index": 0, "item": self._item("in_progress", [])}),
            ("response.content_part.added", {**self._place, "part": _part("")}),
        )

    def event(self, nth: int, words: tuple[int, ...], sequence: Sequence) -> bytes:  # noqa: ARG002
        """A piece of the text."""
        self._words += words
        return self._events(
            ("response.output_text.delta", {**self._place, "delta": tokens.join(words), "logprobs": []})
        )

    def closing(self, sequence: Sequence) -> list[bytes]:
        """The text again, its part, its message, and the whole response with its usage."""
        text = tokens.join(self._words)
        item = self._item("completed", [_part(text)])
        return [
            self._events(
                ("response.output_text.done", {**self._place, "text": text, "logprobs": []}),
                ("response.content_part.done", {**self._place, "part": _part(text)}),
                ("response.output_item.done", {"output_index": 0, "item": item}),
            ),
            self._events(("response.completed", {"response": self._completed(text, sequence)})),
        ]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        return orjson.dumps(self._completed(tokens.join(words), sequence))

    def _completed(self, text: str, sequence: Sequence) -> JsonObject:
        usage = {
            "input_tokens": sequence.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": sequence.produced,
            "total_tokens": sequence.prompt_tokens + sequence.produced,
        }
        output = [self._item("completed", [_part(text)])]
        cut = {"reason": "max_output_tokens"} if self._job.finish == "length" else None
        ended = {"status": "completed", "incomplete_details": cut}
        return {**self._response, **ended, "output": output, "usage": usage}

    def _item(self, status: str, content: list[JsonObject]) -> JsonObject:
        return {
            "id": self._item_id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def _events(self, *events: tuple[str, JsonObject]) -> bytes:
        return b"".join(self._numbered(events))

    def _numbered(self, events: Iterable[tuple[str, JsonObject]]) -> Iterable[bytes]:
        for kind, value in events:
            yield named(kind, {"sequence_number": self._number, **value})
            self._number += 1


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": []}


def named(kind: str, value: JsonObject) -> bytes:
    """An event whose name is in a line of its own and in its data."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **value}))


def responses(call: Call, service: Service) -> Generation:
    """POST /api/v1/responses."""
    body = read_body(call.request)
    model = body.get("model")
    if model != service.model:
        raise unknown_model(model, service)
    stream = read_bool(body, "stream")
    if stream and body.get("tools"):
        raise Refusal(400, "built-in tools cannot be used with stream: true")
    prompt = text_prompt(_text(body))
    check_fits(service, prompt)
    job = settle(service, prompt, limit=read_int(body, "max_output_tokens", minimum=1), stream=stream)
    rendering = ResponsesRendering(job, service.model, call)
    early = rendering.early() if stream else b""
    return Generation(job, rendering, f"resp_{call.request_id}", early=early)


def _text(body: JsonObject) -> str:
    given, instructions = body.get("input"), body.get("instructions")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise Refusal(400, "input must be a string or a list of messages", param="input")
    system = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
    return read_messages({"messages": [*system, *given]})


def stream_error(refusal: Refusal) -> bytes:
    """`response.failed`; nothing follows it."""
    failure = {"code": "server_error", "message": refusal.message}
    response = {"id": "", "object": "response", "status": "failed", "error": failure, "output": []}
    return named("response.failed", {"sequence_number": 0, "response": response})


def filler(kind: Filler) -> bytes:
    """A delta without text; no role, and the usage only at the end."""
    if kind != "empty":
        return b""
    place = {"item_id": "", "output_index": 0, "content_index": 0}
    return named("response.output_text.delta", {"sequence_number": 0, **place, "delta": "", "logprobs": []})


RESPONSES = replace(
    MARITACA, routes={("POST", "/api/v1/responses"): responses}, stream_error=stream_error, filler=filler
)
