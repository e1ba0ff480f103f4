"""SambaNova Cloud: what is sent, and its answers as bytes written by hand from its documents."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_decode import http, receive

from harness.answer import Answer
from harness.backends import find
from harness.backends.base import Ask, Backend, Delta, Turn
from harness.decode import decode
from harness.errors import ErrorClass, MalformedChunk
from harness.target import parse

CHAT, COMPLETIONS = find("sambanova", "chat"), find("sambanova", "completions")
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
USAGE = {
    "prompt_tokens": 43,
    "completion_tokens": 90,
    "total_tokens": 133,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 7},
    "time_to_first_token": 0.0625,
    "time_to_first_token_graph": 0.05,
    "total_latency": 0.5,
    "completion_tokens_per_sec": 180.0,
    "completion_tokens_after_first_per_sec": 203.5,
    "completion_tokens_after_first_per_sec_first_ten": 210.0,
    "total_tokens_per_sec": 266.0,
    "start_time": 1700000000.5,
    "end_time": 1700000001.0,
    "acceptance_rate": 4.25,
    "stop_reason": "stop",
    "is_last_response": True,
}
CHAT_STREAM = (
    b'data: {"choices":[{"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],'
    b'"created":1,"id":"ab-1","model":"M","object":"chat.completion.chunk","system_fingerprint":"f","usage":null}\n\n'
    b'data: {"choices":[{"delta":{"reasoning":"so","channel":"analysis"},"finish_reason":null,"index":0}],"id":"ab-1"}\n\n'
    b'data: {"choices":[{"delta":{"content":"Ol\xc3\xa1 a todos"},"finish_reason":null,"index":0}],"id":"ab-1"}\n\n'
    b'data: {"choices":[{"delta":{"content":""},"finish_reason":"length","index":0}],"id":"ab-1"}\n\n'
    b'data: {"choices":[],"id":"ab-1","usage":' + json.dumps(USAGE).encode() + b"}\n\n"
    b"data: [DONE]\n\n"
)


def sent(backend: Backend, ask: Ask) -> tuple[str, str, Any]:
    """(method, path, body) of a request."""
    request = backend.request(ask)
    return request.method, request.path, json.loads(request.body)


def answered(backend: Backend, body: bytes, **head: str) -> Answer:
    """What a response with this body says."""
    return decode(backend, receive(http(body, **head)))


def read(**usage: object) -> Delta:
    """What a chunk with this usage says."""
    return CHAT.read(json.dumps({"choices": [], "usage": usage}).encode())


def test_chat_and_completions_are_sent() -> None:
    """Both below /v1, whether or not the base URL has it; a stream is asked for its usage."""
    assert sent(CHAT, Ask("hé", 7, model="M")) == (
        "POST",
        "/v1/chat/completions",
        {"model": "M", "messages": [{"role": "user", "content": "hé"}], "max_tokens": 7, **STREAM},
    )
    assert sent(COMPLETIONS, Ask("hé", 7, model="M")) == (
        "POST",
        "/v1/completions",
        {"model": "M", "prompt": "hé", "max_tokens": 7, **STREAM},
    )
    for base in ("https://api.sambanova.ai", "https://api.sambanova.ai/v1"):
        assert parse(base).path(CHAT.path) == "/v1/chat/completions"


def test_length_is_a_best_effort() -> None:
    """`ignore_eos` is sent unless told not to; `min_tokens`, which it does not know, is not."""
    body = sent(CHAT, Ask("p", 7, model="M", exact_length=True))[2]
    assert body["ignore_eos"] is True
    assert "min_tokens" not in body
    assert CHAT.forces_length is True


def test_what_it_can_do() -> None:
    """No health route, a list of models, a key of its own."""
    for backend in (CHAT, COMPLETIONS):
        assert (backend.health, backend.models) == (None, "/v1/models")
        assert backend.needs_model
        assert not backend.takes_salt
        assert backend.key_variables == ("SAMBANOVA_API_KEY",)
        assert backend.credentials("k") == ("Authorization", "Bearer k")


def test_a_stream_with_seconds_in_usage() -> None:
    """Seconds become ms; the rate is the one after the first token; a null usage is none."""
    answer = answered(CHAT, CHAT_STREAM)
    assert (answer.error_class, answer.done, answer.finish_reason) == (None, True, "length")
    assert (answer.text, len(answer.times), answer.first_answer) == ("soOlá a todos", 2, 1)
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (43, 90, 0)
    assert (answer.server_ttft_ms, answer.server_e2e_ms) == (62.5, 500.0)
    assert (answer.server_tokens_per_s, answer.acceptance_rate, answer.batch_size) == (203.5, 4.25, None)
    assert (answer.queue_ms, answer.prefill_ms, answer.decode_ms) == (None, None, None)


def test_an_answer_that_is_not_streamed() -> None:
    """The same usage stands in its body."""
    body = (
        b'{"id":"ab-2","object":"text_completion","model":"M","choices":[{"index":0,"text":" a b","finish_reason":'
        b'"stop"}],"usage":' + json.dumps(USAGE | {"batch_size_used": 4}).encode() + b"}"
    )
    answer = answered(COMPLETIONS, body, content_type="application/json")
    assert (answer.error_class, answer.streamed, answer.text, answer.finish_reason) == (
        None,
        False,
        " a b",
        "stop",
    )
    assert (answer.server_ttft_ms, answer.server_e2e_ms, answer.batch_size) == (62.5, 500.0, 4)
    assert (answer.prompt_tokens, answer.output_tokens) == (43, 90)


def test_zero_is_measured_and_null_is_not() -> None:
    """No draft token kept is something else than no speculative decoding."""
    made = read(acceptance_rate=0.0, time_to_first_token=None, total_latency="0.5", batch_size_used=-1)
    assert made.acceptance_rate == 0.0
    assert (made.server_ttft_ms, made.server_e2e_ms, made.batch_size, made.output_tokens) == (None,) * 4


def test_older_names_of_a_figure() -> None:
    """As SambaStudio called them."""
    made = read(time_to_first_response=0.25, model_execution_time=2, throughput_after_first_token=8)
    assert (made.server_ttft_ms, made.server_e2e_ms, made.server_tokens_per_s) == (250.0, 2000.0, 8.0)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("504 Gateway Timeout", ErrorClass.OVERLOAD),
        ("503 Service Unavailable", ErrorClass.OVERLOAD),
        ("429 Too Many Requests", ErrorClass.OVERLOAD),
        ("408 Request Timeout", ErrorClass.HTTP_CLIENT),
        ("410 Gone", ErrorClass.HTTP_CLIENT),
        ("400 Bad Request", ErrorClass.HTTP_CLIENT),
        ("401 Unauthorized", ErrorClass.AUTH),
        ("404 Not Found", ErrorClass.NOT_FOUND),
        ("500 Internal Server Error", ErrorClass.HTTP_SERVER),
        ("502 Bad Gateway", ErrorClass.HTTP_SERVER),
    ],
)
def test_its_statuses(status: str, expected: ErrorClass) -> None:
    """504 is a full queue, not a broken gateway; no error body is an answer."""
    body = b'{"error":{"code":null,"message":"said so","param":null,"type":"t"},"request_id":"r-1"}'
    answer = answered(CHAT, body, status=status, content_type="application/json")
    assert (answer.error_class, answer.error_message) == (expected, "said so")
    assert (answer.text, answer.times) == ("", [])


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'event: error\ndata: {"error":{"message":"it broke","code":null}}', ErrorClass.STREAM_ERROR),
        (b'data: {"error":{"message":"it broke","code":"internal"}}', ErrorClass.STREAM_ERROR),
        (b'data: {"error":{"message":"it broke","code":"504"}}', ErrorClass.OVERLOAD),
        (b'data: {"error":{"message":"it broke","code":504}}', ErrorClass.OVERLOAD),
        (b'data: {"error":{"message":"it broke","code":429}}', ErrorClass.OVERLOAD),
        (b'event: error\ndata: {"message":"it broke"}', ErrorClass.STREAM_ERROR),
        (b'data: {"error":"it broke"}', ErrorClass.STREAM_ERROR),
    ],
)
def test_errors_inside_a_stream(event: bytes, expected: ErrorClass) -> None:
    """By the event's name or by its content; `[DONE]` does not clear them."""
    body = b'data: {"choices":[{"delta":{"content":"a"},"index":0}]}\n\n' + event + b"\n\ndata: [DONE]\n\n"
    answer = answered(CHAT, body)
    assert (answer.error_class, answer.error_message, answer.text) == (expected, "it broke", "a")


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda v: json.dumps({"usage": v, "error": v}).encode(),
        st.integers()
        | st.none()
        | st.dictionaries(st.sampled_from([*USAGE]), st.floats() | st.text() | st.integers()),
    )
)
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    """Nothing else is raised, and no figure is negative or endless."""
    try:
        made = CHAT.read(data)
    except MalformedChunk:
        return
    for figure in (made.server_ttft_ms, made.server_e2e_ms, made.server_tokens_per_s, made.acceptance_rate):
        assert figure is None or 0 <= figure < float("inf")


def test_a_conversation_with_an_image() -> None:
    """As OpenAI has it; completions get one text. Byte for byte."""
    turns = (
        Turn("system", "Seja breve."),
        Turn("user", "Olá", ("data:image/png;base64,AA==",)),
        Turn("assistant", " oi!"),
        Turn("user", "E?"),
    )
    assert CHAT.request(Ask("E?", 7, model="M", turns=turns)).body.decode() == (
        '{"messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":['
        '{"type":"text","text":"Olá"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"model":"M"}'
    )
    assert COMPLETIONS.request(Ask("E?", 7, model="M", turns=turns[2:])).body.decode() == (
        '{"prompt":" oi!\\n\\nE?","max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"model":"M"}'
    )
