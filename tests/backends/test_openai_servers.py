"""Servers that speak OpenAI's words: what each is sent, and where its answers differ, written by hand from their sources."""

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_decode import http, receive

from harness.answer import Answer
from harness.backends import BACKENDS, find
from harness.backends.base import Ask, Backend, Turn
from harness.decode import decode
from harness.errors import ConfigError, ErrorClass, MalformedChunk

NAMES = ("tabbyapi", "sglang", "ollama", "lmdeploy", "tensorrt-llm", "ctranslate2", "onnx")
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
CHAT = {"messages": [{"role": "user", "content": "p"}], "max_tokens": 7, **STREAM}
RAW = {"prompt": "p", "max_tokens": 7, **STREAM}


def sent(backend: Backend, ask: Ask) -> Any:
    """The body of a request."""
    return json.loads(backend.request(ask).body)


def answered(backend: Backend, body: bytes, **head: str) -> Answer:
    """What a response with this body says."""
    return decode(backend, receive(http(body, **head)))


@pytest.mark.parametrize(
    ("name", "chat", "completions"),
    [
        ("tabbyapi", {"ban_eos_token": True, "min_tokens": 7}, {"ban_eos_token": True, "min_tokens": 7}),
        ("sglang", {"ignore_eos": True, "min_tokens": 7}, {"ignore_eos": True, "min_tokens": 7}),
        ("ollama", {}, {}),
        ("lmdeploy", {"ignore_eos": True, "min_new_tokens": 7}, {"ignore_eos": True}),
        ("tensorrt-llm", {"ignore_eos": True, "min_tokens": 7}, {"ignore_eos": True, "min_tokens": 7}),
        ("ctranslate2", {}, {}),
        ("onnx", {}, {}),
    ],
)
def test_what_each_is_sent(name: str, chat: dict[str, object], completions: dict[str, object]) -> None:
    """Nothing but OpenAI's fields, and, where an exact length is asked for, what holds off the end."""
    for mode, plain, length in (("chat", CHAT, chat), ("completions", RAW, completions)):
        backend = find(name, mode)
        assert backend.request(Ask("p", 7)).path == f"/v1/{'chat/' if mode == 'chat' else ''}completions"
        assert sent(backend, Ask("p", 7)) == plain
        assert sent(backend, Ask("p", 7, model="m", exact_length=True)) == plain | {"model": "m"} | length
        assert backend.forces_length is bool(length)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_answer_is_asked_for_without_stream_options(name: str) -> None:
    """TensorRT-LLM refuses them there; TabbyAPI counts nothing without them."""
    body = sent(dataclasses.replace(find(name, "chat"), stream=False), Ask("p", 7))
    assert body["stream"] is False
    assert ("stream_options" in body) is (name == "tabbyapi")


def test_tabbyapi_is_asked_for_usage_only_where_that_is_wanted() -> None:
    """Neither the option nor the user's own field is overruled."""
    whole = dataclasses.replace(find("tabbyapi", "chat"), stream=False)
    assert sent(whole, Ask("p", 7))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(whole.configured({"include_usage": "no"}), Ask("p", 7))
    assert "stream_options" not in sent(whole, Ask("p", 7, extra={"stream_options": None}))


@pytest.mark.parametrize(
    "row",  # name, able, any_model, health, facts
    [
        ("tabbyapi", "", True, "/health", ("/v1/model",)),
        (
            "sglang",
            "chat salt, completions salt, completions ids",
            True,
            "/health",
            ("/get_server_info",),
        ),
        ("ollama", "", False, "/", ("/api/version",)),
        ("lmdeploy", "", False, "/health", ()),
        ("tensorrt-llm", "chat salt, completions ids", False, "/health", ("/version",)),
        ("ctranslate2", "", False, "/health", ()),
        ("onnx", "", False, "/health", ()),
    ],
)
def test_the_map_of_what_each_can_do(row: tuple[object, ...]) -> None:
    """The fields that the rest of the program goes by."""
    name, able, *rest = row
    said = []
    for backend in BACKENDS[str(name)]:
        said += [f"{backend.mode} salt"] * backend.takes_salt + [f"{backend.mode} ids"] * backend.takes_ids
        assert [backend.any_model, backend.health, backend.facts] == rest
        assert backend.credentials("k") == (
            ("x-api-key", "k") if name == "tabbyapi" else ("Authorization", "Bearer k")
        )
        assert (backend.name, backend.key_variables) == (name, ())  # OpenAI's key is not for them
    assert ", ".join(said) == able
    assert [backend.mode for backend in BACKENDS[str(name)]] == ["chat", "completions"]
    assert BACKENDS[str(name)][0].templates


def test_the_generic_one_takes_any_map() -> None:
    """What a server of one's own does differently is said with options."""
    own = find("openai", "chat").configured(
        {
            "auth_header": "api-key",
            "auth_scheme": "",
            "max_tokens_field": "max_completion_tokens",
            "include_usage": "no",
            "length_fields": "ban_eos_token+min_length",
        }
    )
    assert own.credentials("k") == ("api-key", "k")
    assert sent(own, Ask("p", 7, exact_length=True)) == {
        "messages": [{"role": "user", "content": "p"}],
        "max_completion_tokens": 7,
        "stream": True,
        "ban_eos_token": True,
        "min_length": 7,
    }
    with pytest.raises(ConfigError) as caught:
        find("sglang", "chat").configured({"temperature": "2"})
    assert str(caught.value) == (
        "--backend-option temperature=2: backend 'sglang' has no 'temperature'; it has auth_header, auth_scheme, "
        "max_tokens_field, include_usage, length_fields"
    )


# -- answers that differ


def test_tabbyapis_usage_has_times_in_seconds() -> None:
    """They come out in ms; its usage chunk repeats the finish reason with an empty text, which is no token."""
    body = (
        b'data: {"id": "chatcmpl-1f", "object": "text_completion", "choices": [{"index": 0, "text": " ol\xc3\xa1", "finish_reason": null}], "created": 1, "model_name": "m"}\r\n\r\n'
        b'data: {"id": "chatcmpl-1f", "object": "text_completion", "choices": [{"index": 0, "text": "!", "finish_reason": null}], "created": 1}\r\n\r\n'
        b'data: {"id": "chatcmpl-1f", "object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "length"}], "created": 1, '
        b'"usage": {"prompt_tokens": 40, "prompt_time": 0.12, "prompt_tokens_per_sec": 333.33, "completion_tokens": 2, '
        b'"completion_time": 0.5, "completion_tokens_per_sec": "Indeterminate", "total_tokens": 42, "total_time": 0.63}}\r\n\r\n'
        b": ping - 2026\r\n\r\ndata: [DONE]\r\n\r\n"
    )
    answer = answered(find("tabbyapi", "completions"), body)
    assert (answer.error_class, answer.text, len(answer.times), answer.finish_reason) == (
        None,
        " olá!",
        2,
        "length",
    )
    assert (answer.prompt_tokens, answer.output_tokens) == (40, 2)
    assert (answer.prefill_ms, answer.decode_ms, answer.server_e2e_ms) == (120.0, 500.0, 630.0)
    assert (answer.server_tokens_per_s, answer.queue_ms) == (None, None)


def test_tabbyapis_errors() -> None:
    """A `trace` of null beside the message; a 401 in FastAPI's words."""
    backend = find("tabbyapi", "chat")
    body = b'data: {"error":{"message":"Chat completion aborted.","trace":null}}\n\n'
    answer = answered(backend, body)
    assert (answer.error_class, answer.error_message) == (ErrorClass.STREAM_ERROR, "Chat completion aborted.")
    refused = answered(
        backend,
        b'{"detail":"Please provide an API key"}',
        status="401 Unauthorized",
        content_type="application/json",
    )
    assert (refused.error_class, refused.error_message) == (ErrorClass.AUTH, "Please provide an API key")


def test_tabbyapis_model() -> None:
    """Its card of the loaded model."""
    card = {"id": "m-exl3", "object": "model", "owned_by": "tabbyAPI", "parameters": {"max_seq_len": 8192, "max_batch_size": 16}}  # fmt: skip
    learnt = find("tabbyapi", "chat").learn("/v1/model", card)
    assert (learnt.model, learnt.slots, learnt.context, learnt.version) == ("m-exl3", 16, 8192, None)
    assert find("tabbyapi", "chat").learn("/v1/model", {"parameters": None}).slots is None


def test_ollamas_zero_usage_is_no_count() -> None:
    """A stream that breaks off has no count, not a count of zero; the last usage counts."""
    chunk = (
        b'data: {"id":"cmpl-3","object":"text_completion","created":1,"choices":[{"text":"%s","index":0,"finish_reason":null}],'
        b'"model":"m","system_fingerprint":"fp_ollama","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\n'
    )
    begun = chunk % b"a" + chunk % b"b" + chunk % b"c"
    last = (
        b'data: {"id":"cmpl-3","object":"text_completion","created":1,"choices":[{"text":"","index":0,"finish_reason":"length"}],'
        b'"model":"m","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\n'
        b'data: {"id":"cmpl-3","object":"text_completion","created":1,"choices":[],"model":"m",'
        b'"usage":{"prompt_tokens":26,"completion_tokens":3,"total_tokens":29}}\n\ndata: [DONE]\n\n'
    )
    backend = find("ollama", "completions")
    answer = answered(backend, begun + last)
    assert (answer.error_class, answer.text, len(answer.times)) == (None, "abc", 3)
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (26, 3, "length")
    cut = answered(backend, begun)
    assert (cut.error_class, cut.text) == (ErrorClass.TRUNCATED, "abc")
    assert (cut.prompt_tokens, cut.output_tokens, cut.tokens_so_far) == (None, None, None)


def test_sglangs_server_info_is_read_with_care() -> None:
    """It repeats the command line, key and all: nothing but these comes out."""
    said = {
        "version": "0.5.2",
        "max_running_requests": 512,
        "context_length": None,
        "api_key": "hush",
        "port": 30000,
    }
    learnt = find("sglang", "chat").learn("/get_server_info", said)
    assert (learnt.version, learnt.slots, learnt.context, dict(learnt.limits)) == ("0.5.2", 512, None, {})
    assert "hush" not in repr(learnt)


@pytest.mark.parametrize("name", ["sglang", "lmdeploy", "tensorrt-llm"])
def test_error_bodies_without_an_error_object(name: str) -> None:
    """Their message stands at the top."""
    body = b'{"object":"error","message":"The model \'x\' does not exist.","type":"NotFoundError","param":null,"code":404}'
    answer = answered(find(name, "chat"), body, status="404 Not Found", content_type="application/json")
    assert (answer.error_class, answer.error_message) == (
        ErrorClass.NOT_FOUND,
        "The model 'x' does not exist.",
    )


def test_ollamas_full_queue() -> None:
    """503, in OpenAI's shape."""
    body = b'{"error":{"message":"server busy, please try again.  maximum pending requests exceeded","type":"api_error","param":null,"code":null}}'
    answer = answered(
        find("ollama", "chat"), body, status="503 Service Unavailable", content_type="application/json"
    )
    assert (answer.error_class, answer.output_tokens) == (ErrorClass.OVERLOAD, None)


def test_lmdeploys_error_in_mid_stream() -> None:
    """`[DONE]` follows it."""
    body = (
        b'data: {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}], "usage": null}\n\n'
        b'data: {"error": {"message": "the engine is asleep", "type": "server_error", "code": 503, "param": null, "object": "error"}}\n\n'
        b"data: [DONE]\n\n"
    )
    answer = answered(find("lmdeploy", "chat"), body)
    assert (answer.error_class, answer.error_message, answer.text) == (
        ErrorClass.OVERLOAD,
        "the engine is asleep",
        "a",
    )


VALUES = (
    st.none()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.lists(st.none(), max_size=2)
)
USAGE = st.dictionaries(
    st.sampled_from(
        ["prompt_tokens", "completion_tokens", "prompt_time", "completion_tokens_per_sec", "total_tokens"]
    ),
    VALUES,
)


@given(st.binary(max_size=100), USAGE | VALUES)
def test_any_event_is_read_or_malformed(data: bytes, usage: object) -> None:
    """In every dialect, by the long way and the short."""
    event = {"choices": [{"text": "a", "delta": {"content": "a"}}], "usage": usage}
    for name in NAMES:
        for backend in BACKENDS[name]:
            for raw in (data, json.dumps(event).encode()):
                with contextlib.suppress(MalformedChunk):
                    assert isinstance(backend.read(raw).answer, str)
            assert backend.plain(event) in ("a", None)


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation(name: str) -> None:
    """Messages in chat, one text in completions; and in chat images, where a server is known to have them. Byte for byte."""
    talk = (Turn("user", "Olá"), Turn("assistant", " oi!"), Turn("user", "E?"))
    chat, completions = BACKENDS[name]
    assert chat.request(Ask("E?", 7, turns=talk)).body.decode() == (
        '{"messages":[{"role":"user","content":"Olá"},{"role":"assistant","content":" oi!"},'
        '{"role":"user","content":"E?"}],"max_tokens":7,"stream":true,"stream_options":{"include_usage":true}}'
    )
    assert completions.request(Ask("E?", 7, turns=talk)).body.decode() == (
        '{"prompt":"Olá oi!\\n\\nE?","max_tokens":7,"stream":true,"stream_options":{"include_usage":true}}'
    )
    assert chat.takes_images is (name not in ("ctranslate2", "onnx"))
    assert not completions.takes_images
