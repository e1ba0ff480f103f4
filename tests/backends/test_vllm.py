"""vLLM: what is sent, and its answers as bytes written by hand from its documents and sources."""

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_decode import http, receive

from harness.answer import Answer
from harness.backends import find
from harness.backends.base import Ask, Backend, Turn
from harness.decode import decode
from harness.errors import ErrorClass, MalformedChunk

CHAT, COMPLETIONS = find("vllm", "chat"), find("vllm", "completions")
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
TALK = (
    Turn("system", "Seja breve."), Turn("user", "Olá"), Turn("assistant", " oi!"), Turn("user", "E?"),
)  # fmt: skip

CHAT_STREAM = b"""\
data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning":"hm"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" ol\xc3\xa1 mundo"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":"length","stop_reason":null}]}

data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":11,"total_tokens":16,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}},"metrics":{"time_to_first_token_ms":12.5,"generation_time_ms":80.25,"queue_time_ms":3.75,"mean_itl_ms":20.06,"tokens_per_second":53.9}}

data: [DONE]

"""


def sent(backend: Backend, ask: Ask) -> tuple[str, str, Any]:
    """(method, path, body) of a request."""
    request = backend.request(ask)
    return request.method, request.path, json.loads(request.body)


def answered(backend: Backend, body: bytes, **head: str) -> Answer:
    """What a response with this body says."""
    return decode(backend, receive(http(body, **head)))


def test_chat_is_sent_as_one_message() -> None:
    """Nothing is sent that was not asked for: sampling is the model's own."""
    assert sent(CHAT, Ask("hé", 7, model="m")) == (
        "POST",
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "hé"}], "max_tokens": 7, **STREAM},
    )


def test_an_exact_length_needs_both_fields() -> None:
    """`ignore_eos` alone lets a stop string end it; `min_tokens` may not be over `max_tokens`."""
    exact = Ask("p", 7, model="m", seed=3, exact_length=True, cache_salt="run-1")
    assert sent(COMPLETIONS, exact) == (
        "POST",
        "/v1/completions",
        {
            "model": "m",
            "prompt": "p",
            "max_tokens": 7,
            "min_tokens": 7,
            "ignore_eos": True,
            "seed": 3,
            "cache_salt": "run-1",
            **STREAM,
        },
    )
    shorter = Ask("p", 7, exact_length=True, extra={"max_tokens": 5})
    assert "min_tokens" not in sent(CHAT, shorter)[2]


def test_a_prompt_of_token_ids() -> None:
    """Completions take them as a list; chat has no place for them."""
    assert sent(COMPLETIONS, Ask((1, 5, 900), 4))[2]["prompt"] == [1, 5, 900]
    assert (COMPLETIONS.takes_ids, CHAT.takes_ids) == (True, False)
    with pytest.raises(TypeError):
        CHAT.request(Ask((1, 5, 900), 4))


def test_asked_for_a_whole_answer() -> None:
    """`stream_options` goes with the stream: vLLM refuses it without."""
    whole = dataclasses.replace(COMPLETIONS, stream=False)
    assert sent(whole, Ask("p", 7, model="m"))[2] == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 7,
        "stream": False,
    }


def test_what_it_can_do() -> None:
    """The fields that the rest of the program goes by."""
    for backend in (CHAT, COMPLETIONS):
        assert backend.forces_length is True
        assert backend.takes_salt
        assert (backend.health, backend.models, backend.facts) == ("/health", "/v1/models", ("/version",))
        assert backend.credentials("k") == ("Authorization", "Bearer k")
        assert backend.key_variables == ("VLLM_API_KEY",)
        assert backend.learn("/version", {"version": "0.32.0"}).version == "0.32.0"
    assert (CHAT.templates, COMPLETIONS.templates) == (True, False)


def test_a_chat_stream_with_metrics() -> None:
    """The role chunk is no token, one event may hold several; ms stay ms, and the first is the prefill."""
    answer = answered(CHAT, CHAT_STREAM)
    assert answer.error_class is None
    assert answer.done
    assert answer.streamed
    assert (answer.text, len(answer.times), answer.first_answer) == ("hm olá mundo!", 3, 1)
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (11, 5, 4)
    assert (answer.finish_reason, answer.response_id) == ("length", "chatcmpl-7")
    assert (answer.queue_ms, answer.prefill_ms, answer.decode_ms) == (3.75, 12.5, 80.25)
    assert (answer.server_ttft_ms, answer.server_tokens_per_s) == (12.5, 53.9)
    assert (answer.server_e2e_ms, answer.acceptance_rate, answer.batch_size) == (None, None, None)


def test_without_metrics_nothing_is_measured() -> None:
    """No object, a null one and one of nulls say the same."""
    for metrics in (b"", b',"metrics":null', b',"metrics":{}', b',"metrics":{"time_to_first_token_ms":null}'):
        body = (
            b'data: {"id":"cmpl-1","choices":[{"index":0,"text":"a","finish_reason":"stop"}]}\n\n'
            b'data: {"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}'
            + metrics
            + b"}\n\ndata: [DONE]\n\n"
        )
        answer = answered(COMPLETIONS, body)
        assert (answer.error_class, answer.prompt_tokens, answer.output_tokens) == (None, 3, 2)
        assert (answer.queue_ms, answer.prefill_ms, answer.decode_ms, answer.server_ttft_ms) == (None,) * 4


def test_an_answer_that_is_not_streamed() -> None:
    """Its body carries usage and metrics; when its first token came is not known."""
    body = (
        b'{"id":"cmpl-9","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":" a b",'
        b'"logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":3,'
        b'"total_tokens":5,"completion_tokens":2,"prompt_tokens_details":null},"metrics":'
        b'{"time_to_first_token_ms":1.5,"generation_time_ms":4.0,"queue_time_ms":0.0}}'
    )
    whole = dataclasses.replace(COMPLETIONS, stream=False)
    answer = answered(whole, body, content_type="application/json")
    assert (answer.error_class, answer.streamed, answer.text) == (None, False, " a b")
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (3, 2, None)
    assert (answer.queue_ms, answer.prefill_ms, answer.decode_ms) == (0.0, 1.5, 4.0)


def test_a_refused_key_is_no_answer() -> None:
    """401 with a string for `error`."""
    answer = answered(
        CHAT, b'{"error":"Unauthorized"}', status="401 Unauthorized", content_type="application/json"
    )
    assert (answer.error_class, answer.error_message) == (ErrorClass.AUTH, "Unauthorized")
    assert (answer.text, answer.times, answer.output_tokens) == ("", [], None)


@pytest.mark.parametrize(
    ("status", "code", "said", "expected"),
    [
        ("404 Not Found", 404, "The model `x` does not exist.", ErrorClass.NOT_FOUND),
        ("400 Bad Request", 400, "This model's maximum context length is 2048", ErrorClass.HTTP_CLIENT),
        ("503 Service Unavailable", 503, "Service Unavailable", ErrorClass.OVERLOAD),
        ("500 Internal Server Error", 500, "EngineDeadError", ErrorClass.HTTP_SERVER),
    ],
)
def test_its_error_bodies(status: str, code: int, said: str, expected: ErrorClass) -> None:
    """The class is the status's, the words are the body's."""
    body = json.dumps({"error": {"message": said, "type": "t", "param": None, "code": code}}).encode()
    answer = answered(CHAT, body, status=status, content_type="application/json")
    assert (answer.error_class, answer.error_message) == (expected, said)


@pytest.mark.parametrize(("code", "expected"), [(500, ErrorClass.STREAM_ERROR), (503, ErrorClass.OVERLOAD)])
def test_an_error_in_mid_stream(code: int, expected: ErrorClass) -> None:
    """`[DONE]` follows it and clears nothing; what came before is kept."""
    body = (
        b'data: {"id":"c","choices":[{"index":0,"text":"a","finish_reason":null}]}\n\n'
        + b'data: {"error":{"message":"it broke","type":"InternalServerError","param":null,"code":%d}}\n\n'
        % code
        + b"data: [DONE]\n\n"
    )
    answer = answered(COMPLETIONS, body)
    assert (answer.error_class, answer.error_message, answer.text) == (expected, "it broke", "a")


def test_a_stream_that_stops_is_truncated() -> None:
    """Neither a finish reason nor `[DONE]`: that the body ended as HTTP says is not enough."""
    answer = answered(COMPLETIONS, b'data: {"id":"c","choices":[{"index":0,"text":"a"}]}\n\n')
    assert (answer.error_class, answer.text) == (ErrorClass.TRUNCATED, "a")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    """Nothing else is raised."""
    for backend in (CHAT, COMPLETIONS):
        with contextlib.suppress(MalformedChunk):
            assert isinstance(backend.read(data).answer, str)


def test_a_conversation() -> None:
    """Messages in chat, one text in completions; the salt is sent as with any prompt. Byte for byte."""
    ask = Ask("E?", 7, model="m", cache_salt="s", turns=TALK)
    assert CHAT.request(ask).body.decode() == (
        '{"messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":"Olá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"model":"m","cache_salt":"s"}'
    )
    assert COMPLETIONS.request(ask).body.decode() == (
        '{"prompt":"Seja breve.\\n\\nOlá oi!\\n\\nE?","max_tokens":7,'
        '"stream":true,"stream_options":{"include_usage":true},"model":"m","cache_salt":"s"}'
    )
