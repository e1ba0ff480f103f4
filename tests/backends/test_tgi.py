"""Text Generation Inference: what is sent, and its answers as bytes written by hand from its sources."""

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
from harness.backends.tgi import timings
from harness.decode import decode
from harness.errors import ErrorClass, MalformedChunk

NATIVE, CHAT, COMPLETIONS = find("tgi", "native"), find("tgi", "chat"), find("tgi", "completions")
WHOLE = dataclasses.replace(NATIVE, stream=False)
TIMES = (
    b"x-compute-type: 1-nvidia-a100\r\nx-compute-time: 0.412345678\r\nx-compute-characters: 9\r\n"
    b"x-total-time: 412\r\nx-validation-time: 1\r\nx-queue-time: 30\r\nx-inference-time: 381\r\n"
    b"x-time-per-token: 76\r\nx-prompt-tokens: 11\r\nx-generated-tokens: 5\r\n"
)
# axum writes no space after the colon, and a comment while it waits
NATIVE_STREAM = (
    b':\n\ndata:{"index":2,"token":{"id":1,"text":" ol\xc3\xa1","logprob":-0.5,"special":false},"generated_text":null,"details":null}\n\n'
    b'data:{"index":3,"token":{"id":9,"text":"<pad>","logprob":-0.5,"special":true},"generated_text":null,"details":null}\n\n'
    b'data:{"index":4,"token":{"id":5,"text":" mundo","logprob":-0.5,"special":false},"generated_text":null,"details":null}\n\n'
    b'data:{"index":5,"token":{"id":2,"text":"</s>","logprob":-0.5,"special":true},"generated_text":" ol\xc3\xa1 mundo",'
    b'"details":{"finish_reason":"eos_token","generated_tokens":4,"seed":null,"input_length":11}}\n\n'
)


def sent(backend: Backend, ask: Ask) -> tuple[str, str, Any]:
    """(method, path, body) of a request."""
    request = backend.request(ask)
    return request.method, request.path, json.loads(request.body)


def answered(backend: Backend, body: bytes, **head: str) -> Answer:
    """What a response with this body says."""
    return decode(backend, receive(http(body, **head)))


def whole(backend: Backend, body: bytes, headers: bytes = TIMES) -> Answer:
    """What an answer that was not streamed says."""
    wire = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n" % (
        headers,
        len(body),
    )
    return decode(backend, receive(wire + body))


# -- what is sent


def test_native_says_nothing_of_sampling() -> None:
    """A `parameters` object without `do_sample` is greedy; `details` is what brings the counts."""
    body = {"inputs": "hé", "parameters": {"max_new_tokens": 7, "details": True}}
    assert sent(NATIVE, Ask("hé", 7)) == ("POST", "/generate_stream", body)
    assert sent(WHOLE, Ask("hé", 7)) == ("POST", "/generate", body)
    seeded = sent(NATIVE, Ask("hé", 7, model="m", seed=0, exact_length=True, cache_salt="s"))[2]
    assert seeded == {"inputs": "hé", "parameters": {"max_new_tokens": 7, "details": True, "seed": 0}}


def test_the_users_own_fields_are_parameters() -> None:
    """Unless they stand at the top; ours give way, and null takes one out."""
    extra: dict[str, object] = {"truncate": 512, "do_sample": True, "temperature": 0.7, "max_new_tokens": 3}
    ours = {"max_new_tokens": 7, "details": True}
    assert sent(NATIVE, Ask("p", 7, extra=extra))[2] == {"inputs": "p", "parameters": ours | extra}
    grouped = {"parameters": {"best_of": 2}, "top_k": 5, "inputs": "q"}
    assert sent(WHOLE, Ask("p", 7, extra=grouped))[2] == {
        "inputs": "q",
        "parameters": ours | {"best_of": 2, "top_k": 5},
    }
    assert sent(WHOLE, Ask("p", 7, extra={"details": None}))[2]["parameters"] == {"max_new_tokens": 7}
    assert sent(WHOLE, Ask("p", 7, extra={"parameters": None}))[2] == {"inputs": "p"}


def test_its_openai_style_routes() -> None:
    """One model under any name; nothing for an exact length, which no route has."""
    assert sent(CHAT, Ask("hé", 7, exact_length=True)) == (
        "POST",
        "/v1/chat/completions",
        {
            "model": "tgi",
            "messages": [{"role": "user", "content": "hé"}],
            "max_tokens": 7,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )
    assert sent(COMPLETIONS, Ask("hé", 7, model="org/m", seed=1)) == (
        "POST",
        "/v1/completions",
        {"model": "org/m", "prompt": "hé", "max_tokens": 7, "stream": True, "seed": 1},
    )


def test_what_it_can_do() -> None:
    """The fields that the rest of the program goes by."""
    for backend in (NATIVE, CHAT, COMPLETIONS):
        assert backend.forces_length is False
        assert backend.any_model
        assert not backend.needs_model
        assert not backend.takes_ids
        assert (backend.health, backend.facts, backend.key_variables) == ("/health", ("/info",), ())
        assert backend.is_loading(503, {"error": "unhealthy", "error_type": "healthcheck"})
    assert [backend.templates for backend in (NATIVE, CHAT, COMPLETIONS)] == [False, True, False]


def test_info() -> None:
    """What it is and what it allows; permits are no slots."""
    said = {
        "model_id": "org/m", "model_sha": "f", "max_concurrent_requests": 128, "max_best_of": 2,
        "max_input_tokens": 3000, "max_total_tokens": 4000, "validation_workers": 2, "version": "3.3.6-dev0",
        "max_client_batch_size": 4, "router": "text-generation-router",
    }  # fmt: skip
    for backend in (NATIVE, CHAT, COMPLETIONS):
        learnt = backend.learn("/info", said)
        assert (learnt.model, learnt.version, learnt.context, learnt.slots) == (
            "org/m",
            "3.3.6-dev0",
            4000,
            None,
        )
        assert learnt.limits == {
            "max_concurrent_requests": 128,
            "max_input_tokens": 3000,
            "max_total_tokens": 4000,
            "max_best_of": 2,
            "max_client_batch_size": 4,
        }
    older = NATIVE.learn("/info", {"max_input_length": 1024, "max_total_tokens": None, "version": 3})
    assert (older.context, older.version, older.limits) == (None, None, {"max_input_length": 1024})


# -- native answers


def test_a_native_stream() -> None:
    """Special tokens are no content, the full text is not counted again, and there is no `[DONE]`."""
    answer = answered(NATIVE, NATIVE_STREAM)
    assert (answer.error_class, answer.done, answer.streamed) == (None, True, True)
    assert (answer.text, len(answer.times)) == (" olá mundo", 2)
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (11, 4, "stop")
    assert answer.tokens_so_far is None  # `index` began at 2: it counts something else
    assert (answer.queue_ms, answer.server_e2e_ms) == (None, None)


@pytest.mark.parametrize("reason", ["length", "eos_token", "stop_sequence", "novelty", None])
def test_its_finish_reasons(reason: str | None) -> None:
    """In the field's words; a new one stays as it is."""
    expected = {"eos_token": "stop", "stop_sequence": "stop"}.get(reason or "", reason)
    event = {
        "index": 1,
        "token": {"id": 1, "text": "a", "special": False},
        "generated_text": "a",
        "details": {"finish_reason": reason, "generated_tokens": 1},
    }
    made = NATIVE.read(json.dumps(event).encode())
    assert (made.finish_reason, made.answer, made.full_text, made.done) == (expected, "a", "a", True)


def test_an_answer_of_nothing_but_special_tokens() -> None:
    """It is whole, and it has no content."""
    body = (
        b'data:{"index":1,"token":{"id":2,"text":"</s>","logprob":-0.1,"special":true},"generated_text":"",'
        b'"details":{"finish_reason":"eos_token","generated_tokens":1,"seed":null,"input_length":3}}\n\n'
    )
    answer = answered(NATIVE, body)
    assert (answer.error_class, answer.done, answer.text, answer.times) == (None, True, "", [])
    assert (answer.prompt_tokens, answer.output_tokens) == (3, 1)


def test_without_details_nothing_is_counted() -> None:
    """The stream is whole all the same."""
    body = b'data:{"index":1,"token":{"id":1,"text":"a","logprob":0,"special":false},"generated_text":"a","details":null}\n\n'
    answer = answered(NATIVE, body)
    assert (answer.error_class, answer.text, answer.output_tokens, answer.finish_reason) == (
        None,
        "a",
        None,
        None,
    )


def test_a_native_stream_that_breaks_off() -> None:
    """No event had the full text."""
    answer = answered(NATIVE, NATIVE_STREAM[: NATIVE_STREAM.index(b'data:{"index":5')])
    assert (answer.error_class, answer.text) == (ErrorClass.TRUNCATED, " olá mundo")


def test_a_native_answer_that_is_not_streamed() -> None:
    """Text and counts from the body, times and the prompt's size from the headers, which are whole ms."""
    body = (
        b'{"generated_text":" ol\xc3\xa1 mundo","details":{"finish_reason":"length","generated_tokens":5,"seed":null,'
        b'"prefill":[],"tokens":[{"id":1,"text":" ol\xc3\xa1","logprob":-0.5,"special":false}]}}'
    )
    answer = whole(WHOLE, body)
    assert (answer.error_class, answer.streamed, answer.text, len(answer.times)) == (
        None,
        False,
        " olá mundo",
        1,
    )
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (11, 5, "length")
    assert (answer.queue_ms, answer.server_e2e_ms) == (30.0, 412.0)
    # The inference time has the prefill in it, so it is neither of these.
    assert (answer.prefill_ms, answer.decode_ms, answer.server_ttft_ms, answer.server_tokens_per_s) == (
        None,
    ) * 4


@pytest.mark.parametrize("said", ["", "abc", "-3", "1.5", "1e3", "\u0663", "9" * 30, " "])
def test_odd_headers_are_not_measured(said: str) -> None:
    """None of them is 0."""
    made = timings(
        dict.fromkeys(("x-queue-time", "x-total-time", "x-prompt-tokens", "x-generated-tokens"), said)
    )
    assert (made.queue_ms, made.server_e2e_ms, made.prompt_tokens, made.output_tokens) == (None,) * 4


# -- OpenAI-style answers


def test_a_chat_stream() -> None:
    """An empty id is none, the role is in every chunk, special tokens are empty, the reason is OpenAI's."""
    body = (
        b'data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.3.6",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":"ol\xc3\xa1"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
        b'data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.3.6",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":" mundo"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
        b'data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.3.6",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\n'
        b'data: {"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"3.3.6",'
        b'"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
        b"data: [DONE]\n\n"
    )
    answer = answered(CHAT, body)
    assert (answer.error_class, answer.text, len(answer.times)) == (None, "olá mundo", 2)
    assert (answer.prompt_tokens, answer.output_tokens) == (9, 3)
    assert (answer.finish_reason, answer.response_id) == ("stop", None)


@pytest.mark.parametrize(
    ("raw", "expected"), [("eos_token", "stop"), ("length", "length"), ("stop_sequence", "stop")]
)
def test_a_completions_stream(raw: str, expected: str) -> None:
    """An empty word is no finish reason, the last is TGI's own word, and usage rides on that chunk."""
    body = (
        b'data: {"object":"text_completion","id":"","created":1,"choices":[{"index":0,"text":"a","finish_reason":""}],"model":"m"}\n\n'
        b'data: {"object":"text_completion","id":"","created":1,"choices":[{"index":0,"text":"b","finish_reason":"'
        + raw.encode()
        + b'"}],"model":"m","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\ndata: [DONE]\n\n'
    )
    answer = answered(COMPLETIONS, body)
    assert (answer.error_class, answer.text, len(answer.times), answer.finish_reason) == (
        None,
        "ab",
        2,
        expected,
    )
    assert (answer.prompt_tokens, answer.output_tokens) == (9, 2)


def test_an_openai_style_answer_that_is_not_streamed() -> None:
    """It has the same headers."""
    body = (
        b'{"object":"text_completion","id":"","created":1,"choices":[{"index":0,"text":" ab","finish_reason":"eos_token",'
        b'"logprobs":null}],"model":"m","system_fingerprint":"3","usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}'
    )
    answer = whole(dataclasses.replace(COMPLETIONS, stream=False), body)
    assert (answer.error_class, answer.streamed, answer.text, answer.finish_reason) == (
        None,
        False,
        " ab",
        "stop",
    )
    assert (answer.prompt_tokens, answer.output_tokens, answer.queue_ms, answer.server_e2e_ms) == (
        11,
        5,
        30.0,
        412.0,
    )


# -- errors


@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [
        ("overloaded", "Model is overloaded", ErrorClass.OVERLOAD),
        (
            "validation",
            "Input validation error: `inputs` must have less than 3000 tokens",
            ErrorClass.STREAM_ERROR,
        ),
        ("generation", "Request failed during generation: out of memory", ErrorClass.STREAM_ERROR),
        ("incomplete_generation_stream", "Incomplete generation stream", ErrorClass.STREAM_ERROR),
    ],
)
def test_errors_of_streamed_requests_come_in_a_200(kind: str, said: str, expected: ErrorClass) -> None:
    """On the native route as a type, on the others only in words, with the code of bad input; `[DONE]` follows."""
    native = answered(NATIVE, b"data:" + json.dumps({"error": said, "error_type": kind}).encode() + b"\n\n")
    assert (native.status, native.error_class, native.error_message, native.text) == (200, expected, said, "")
    openai = json.dumps({"error": {"message": said, "http_status_code": 422}}).encode()
    for backend in (CHAT, COMPLETIONS):
        answer = answered(backend, b"data:" + openai + b"\n\ndata: [DONE]\n\n")
        assert (answer.error_class, answer.error_message, answer.times) == (expected, said, [])


def test_an_error_after_the_first_token() -> None:
    """What came before is kept."""
    body = NATIVE_STREAM[: NATIVE_STREAM.index(b'data:{"index":3')]
    answer = answered(NATIVE, body + b'data:{"error":"Request failed","error_type":"generation"}\n\n')
    assert (answer.error_class, answer.text) == (ErrorClass.STREAM_ERROR, " olá")


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        ("429 Too Many Requests", "overloaded", ErrorClass.OVERLOAD),
        ("422 Unprocessable Entity", "validation", ErrorClass.HTTP_CLIENT),
        ("424 Failed Dependency", "generation", ErrorClass.HTTP_SERVER),
        ("500 Internal Server Error", "incomplete_generation", ErrorClass.HTTP_SERVER),
    ],
)
def test_errors_of_whole_requests_are_statuses(status: str, kind: str, expected: ErrorClass) -> None:
    """424 is the model's failure, not the request's."""
    body = json.dumps({"error": "said so", "error_type": kind}).encode()
    for backend in (WHOLE, CHAT, COMPLETIONS):
        answer = answered(backend, body, status=status, content_type="application/json")
        assert (answer.error_class, answer.error_message, answer.times) == (expected, "said so", [])


def test_a_refused_key_has_no_body() -> None:
    """401 and nothing more."""
    for backend in (NATIVE, WHOLE, CHAT, COMPLETIONS):
        wire = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
        answer = decode(backend, receive(wire))
        assert (answer.error_class, answer.error_message) == (ErrorClass.AUTH, "HTTP status 401")
        assert (answer.text, answer.output_tokens) == ("", None)


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
SHAPES = st.dictionaries(
    st.sampled_from(["text", "special", "finish_reason", "generated_tokens", "error"]), VALUES
)


@given(st.binary(max_size=200), SHAPES | VALUES, SHAPES | VALUES, VALUES)
def test_any_event_is_read_or_malformed(
    data: bytes, token: object, details: object, whole_text: object
) -> None:
    """Nothing else is raised, and the short way says what the long one does."""
    event = {"token": token, "details": details, "generated_text": whole_text}
    for raw in (data, json.dumps(event).encode(), json.dumps({"error": token}).encode()):
        for backend in (NATIVE, CHAT, COMPLETIONS):
            try:
                made = backend.read(raw)
            except MalformedChunk:
                continue
            assert isinstance(made.answer, str)
    short = NATIVE.plain(event)
    if short is not None:
        made = NATIVE.read(json.dumps(event).encode())
        assert (made.answer, made.full_text, made.done, made.error) == (short, "", False, None)


def test_a_conversation() -> None:
    """Messages in chat; the native route gets one text, with images as Markdown before their turn's. Byte for byte."""
    turns = (
        Turn("user", "Olá", ("data:image/png;base64,AA==",)),
        Turn("assistant", " oi!"),
        Turn("user", "E?"),
    )
    assert NATIVE.request(Ask("E?", 7, turns=turns)).body.decode() == (
        '{"inputs":"![](data:image/png;base64,AA==)Olá oi!\\n\\nE?",'
        '"parameters":{"max_new_tokens":7,"details":true}}'
    )
    assert CHAT.request(Ask("E?", 7, turns=turns)).body.decode() == (
        '{"messages":[{"role":"user","content":[{"type":"text","text":"Olá"},'
        '{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"model":"tgi"}'
    )
    assert COMPLETIONS.request(Ask("E?", 7, turns=turns[1:])).body.decode() == (
        '{"prompt":" oi!\\n\\nE?","max_tokens":7,"stream":true,"model":"tgi"}'
    )
