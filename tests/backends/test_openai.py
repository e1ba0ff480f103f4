"""What is sent to OpenAI-style routes, and the odd values an answer may hold. Streams: `test_decode`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import BACKENDS, find
from harness.backends.base import Ask, Backend, Delta, Turn
from harness.backends.fields import body_error, count, error_text, number, parse_object
from harness.errors import ConfigError, MalformedChunk

CHAT, COMPLETIONS = find("openai", "chat"), find("openai", "completions")
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
TALK = (
    Turn("system", "Seja breve."), Turn("user", "Olá"), Turn("assistant", " oi!"), Turn("user", "E?"),
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def sent(backend: Backend, ask: Ask) -> tuple[str, str, Any]:
    """(method, path, body) of a request."""
    request = backend.request(ask)
    return request.method, request.path, json.loads(request.body)


def read(event: object) -> Delta:
    """What a chat chunk says."""
    return CHAT.read(json.dumps(event).encode())


def test_chat_asks_for_a_stream_with_usage() -> None:
    """The prompt is one user message; what was not asked for is not sent."""
    assert sent(CHAT, Ask("hé\n", 7)) == (
        "POST",
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hé\n"}], "max_tokens": 7, **STREAM},
    )


def test_completions_sends_the_prompt_as_it_is() -> None:
    """Same fields, no template."""
    assert sent(COMPLETIONS, Ask("hé", 7)) == (
        "POST",
        "/v1/completions",
        {"prompt": "hé", "max_tokens": 7, **STREAM},
    )


@pytest.mark.parametrize("backend", [CHAT, COMPLETIONS], ids=["chat", "completions"])
def test_model_seed_and_exact_length(backend: Backend) -> None:
    """Each is there if asked for; a seed of 0 is a seed."""
    _, _, plain = sent(backend, Ask("p", 7))
    _, _, full = sent(backend, Ask("p", 7, model="org/m", seed=0, exact_length=True))
    assert full == plain | {"model": "org/m", "seed": 0, "ignore_eos": True, "min_tokens": 7}


@pytest.mark.parametrize("backend", [CHAT, COMPLETIONS], ids=["chat", "completions"])
def test_the_users_own_fields_win(backend: Backend) -> None:
    """They are laid over ours, whole: nothing is merged inside."""
    extra = {
        "temperature": 0.7,
        "max_tokens": 3,
        "stream_options": {"continuous_usage_stats": True},
        "top_p": 0.5,
    }
    _, _, plain = sent(backend, Ask("p", 7))
    _, _, body = sent(backend, Ask("p", 7, extra=extra))
    assert body == plain | extra
    assert extra["max_tokens"] == 3


def test_llamacpps_openai_routes_do_not_use_its_prompt_cache() -> None:
    """Prefill is to be measured; the user may say otherwise."""
    for mode, path in (("chat", "/v1/chat/completions"), ("completions", "/v1/completions")):
        backend = find("llamacpp", mode)
        _, at, body = sent(backend, Ask("p", 7))
        assert at == path
        assert body["cache_prompt"] is False
        assert sent(backend, Ask("p", 7, extra={"cache_prompt": True}))[2]["cache_prompt"] is True
    assert "cache_prompt" not in sent(CHAT, Ask("p", 7))[2]


@given(st.text(st.characters(codec="utf-8")))
def test_any_prompt_survives(prompt: str) -> None:
    """Quotes, line breaks and every alphabet come out as they went in."""
    assert sent(CHAT, Ask(prompt, 1))[2]["messages"][0]["content"] == prompt
    assert sent(COMPLETIONS, Ask(prompt, 1))[2]["prompt"] == prompt


# -- the table of backends


def test_the_first_mode_is_the_default() -> None:
    """Names and modes are what --api-mode offers."""
    offered = {name: [mode.mode for mode in modes] for name, modes in BACKENDS.items()}
    assert offered["openai"] == ["chat", "completions"]
    assert offered["llamacpp"] == ["native", "chat", "completions"]
    for name, modes in BACKENDS.items():
        assert find(name, None) is modes[0]
        assert all(find(name, mode.mode) is mode and mode.name == name for mode in modes)


@pytest.mark.parametrize(
    ("name", "mode", "line"),
    [
        ("tgi4", None, f"backend 'tgi4' is unknown: use one of {', '.join(BACKENDS)}"),
        (
            "openai",
            "native",
            "--api-mode: 'native' is not a mode of backend 'openai': use one of chat, completions",
        ),
        (
            "llamacpp",
            "",
            "--api-mode: '' is not a mode of backend 'llamacpp': use one of native, chat, completions",
        ),
    ],
)
def test_an_unknown_backend_or_mode_is_told_what_there_is(name: str, mode: str | None, line: str) -> None:
    """One line with the value and the choice."""
    with pytest.raises(ConfigError) as caught:
        find(name, mode)
    assert str(caught.value) == line


# -- odd values in an answer


@pytest.mark.parametrize("value", [None, True, False, -1, 1.0, 1e300, "7", "", [7], {"n": 7}])
def test_a_count_is_a_whole_number_or_not_measured(value: object) -> None:
    """A usage of any other kind is none at all, and never 0."""
    assert count(value) is None
    usage = {
        "prompt_tokens": value,
        "completion_tokens": value,
        "prompt_tokens_details": {"cached_tokens": value},
    }
    made = read({"choices": [], "usage": usage})
    assert (made.prompt_tokens, made.output_tokens, made.tokens_so_far, made.cached_tokens) == (None,) * 4


def test_zero_is_a_count() -> None:
    """No cached token is something else than not saying."""
    assert count(0) == 0
    usage = {"prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
    made = read({"choices": [], "usage": usage})
    assert (made.prompt_tokens, made.output_tokens, made.cached_tokens) == (5, 0, 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0.0), (3, 3.0), (2.5, 2.5), (-0.1, None), (float("inf"), None), (float("nan"), None), (True, None), ("1", None)],
)  # fmt: skip
def test_a_number_is_finite_and_not_negative(value: object, expected: float | None) -> None:
    """Times of a server that has no clock to speak of are not measured."""
    assert number(value) == expected


@given(JSON)
def test_counts_and_numbers_of_any_json(value: object) -> None:
    """They take anything JSON can hold."""
    counted, measured = count(value), number(value)
    assert counted is None or (counted == value and counted >= 0)
    assert measured is None or 0 <= measured < float("inf")


@given(JSON)
def test_any_event_is_read_or_malformed(value: object) -> None:
    """No shape of an event gets anything but a delta or MalformedChunk, in any dialect."""
    shapes = (
        value,
        {"choices": value},
        {"choices": [value]},
        {"choices": [{"delta": value}]},
        {"error": value},
    )
    for shape in (
        *shapes,
        {"usage": value, "timings": value, "metrics": value},
        {"stop": True, "timings": value},
    ):
        data = json.dumps(shape).encode()
        for backend in (CHAT, COMPLETIONS, find("llamacpp", "native")):
            try:
                made = backend.read(data)
            except MalformedChunk:
                assert not isinstance(shape, dict)
            else:
                assert isinstance(made.answer + made.reasoning, str)


def test_queue_and_decode_times_of_vllms_metrics() -> None:
    """Both are ms already; llama.cpp's own decode time wins over them."""
    metrics = {"queue_time_ms": 1.5, "generation_time_ms": 80}
    made = read({"choices": [], "metrics": metrics})
    assert (made.queue_ms, made.prefill_ms, made.decode_ms) == (1.5, None, 80.0)
    timings = {"prompt_ms": 12.25, "predicted_ms": 70, "cache_n": 3}
    made = read({"choices": [], "metrics": metrics, "timings": timings})
    assert (made.queue_ms, made.prefill_ms, made.decode_ms, made.cached_tokens) == (1.5, 12.25, 70.0, 3)


def test_a_tool_call_is_text_the_model_produced() -> None:
    """Its name and arguments are content, in pieces that may lack either."""
    calls = [{"function": {"name": "f", "arguments": '{"a"'}}, {"function": {"arguments": ":1}"}}, None, {}]
    assert read({"choices": [{"delta": {"content": None, "tool_calls": calls}}]}).answer == 'f{"a":1}'


# -- errors


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"error": {"message": "no such model", "type": "invalid_request_error", "code": 404}},
            "no such model",
        ),
        ({"error": "out of memory", "error_type": "generation"}, "out of memory"),
        ({"object": "error", "message": "too long", "code": 400}, "too long"),
        ({"detail": "Not Found"}, "Not Found"),
        (
            {"detail": [{"type": "missing", "loc": ["body", "prompt"], "msg": "Field required"}]},
            "Field required",
        ),
        ({"error": {"error": {"message": "deep"}}}, "deep"),
        ({"error": {"code": 500}}, '{"code":500}'),
        ({"error": None, "message": ""}, '{"error":null,"message":""}'),
        (["first", "second"], "first"),
        ([], "[]"),
        ("just a string", "just a string"),
        (503, "503"),
        ({}, "{}"),
        ({"error": "x" * 400}, "x" * 300),
    ],
)
def test_the_message_in_an_error_of_any_shape(body: object, said: str) -> None:
    """The words a person would look for, from every server's own shape."""
    assert error_text(body) == said
    assert body_error(json.dumps(body).encode()) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", ""),
        (b"<html>\r\n<h1>502  Bad Gateway</h1>\n</html>", "<html> <h1>502 Bad Gateway</h1> </html>"),
        (b'{"error": "two\\nlines"}', "two lines"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"y" * 1000, "y" * 300),
    ],
)
def test_an_error_body_is_one_line(body: bytes, said: str) -> None:
    """Proxies answer in HTML, and some bodies are empty or no text at all."""
    assert body_error(body) == said


@pytest.mark.parametrize("error", [None, "", {}, False, 0])
def test_an_empty_error_field_is_no_error(error: object) -> None:
    """Some servers put `"error": null` into every event."""
    made = read({"error": error, "choices": [{"delta": {"content": "a"}}]})
    assert (made.error, made.answer) == (None, "a")


@pytest.mark.parametrize("data", [b"", b"[1]", b"null", b'"x"', b"{", b"\xff", b"NaN", b"[done]"])
def test_what_is_no_object_is_malformed(data: bytes) -> None:
    """The text shows its beginning."""
    with pytest.raises(MalformedChunk, match=r"^not (JSON|a JSON object)"):
        parse_object(data)
    with pytest.raises(MalformedChunk):
        CHAT.read(data)


def test_absurd_counts_and_depths_are_not_taken() -> None:
    """A count no table can hold and an error nested a thousand deep are survived."""
    assert count(2**63) is None
    assert count(2**40) == 2**40
    nested: object = "deep"
    for _ in range(5000):
        nested = {"error": nested}
    assert len(error_text(nested)) <= 300


@pytest.mark.parametrize("backend", [CHAT, COMPLETIONS], ids=["chat", "completions"])
def test_what_went_with_a_replaced_field_goes_with_it(backend: Backend) -> None:
    """No stream, no stream_options; another max_tokens, no min_tokens; null takes a field out."""
    _, _, body = sent(backend, Ask("p", 7, exact_length=True, extra={"stream": False}))
    assert "stream_options" not in body
    assert (body["stream"], body["min_tokens"]) == (False, 7)
    _, _, body = sent(backend, Ask("p", 7, exact_length=True, extra={"max_tokens": 3}))
    assert "min_tokens" not in body
    assert (body["max_tokens"], body["ignore_eos"]) == (3, True)
    _, _, body = sent(backend, Ask("p", 7, exact_length=True, extra={"ignore_eos": None, "min_tokens": 2}))
    assert "ignore_eos" not in body
    assert body["min_tokens"] == 2


def test_openais_own_key_goes_to_nobody_else() -> None:
    """A key in OPENAI_API_KEY is meant for what the user calls `openai`, not for every server with its words."""
    takers = {
        name for name, modes in BACKENDS.items() for one in modes if "OPENAI_API_KEY" in one.key_variables
    }
    assert takers == {"openai"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("auth_header", "X: 1\r\nEvil: 2\r\nZ"),
        ("auth_header", ""),
        ("auth_header", "ñ"),
        ("auth_scheme", "a\nb"),
        ("max_tokens_field", ""),
        ("max_tokens_field", "stream"),
        ("length_fields", "++"),
        ("include_usage", "maybe"),
        ("nothing", "x"),
    ],
)
def test_an_option_of_the_backend_is_checked(field: str, value: str) -> None:
    """Nothing that could be a header of its own, no name that is none: one line that names the option."""
    with pytest.raises(ConfigError) as caught:
        find("openai", None).configured({field: value})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"--backend-option {field}=")


def test_named_length_fields_are_believed() -> None:
    """Where the user says what holds an answer to its length, it can be held."""
    assert find("onnx", None).forces_length is False
    assert find("onnx", None).configured({"length_fields": "ignore_eos"}).forces_length is True
    assert find("vllm", None).configured({"length_fields": "none"}).forces_length is False


def test_a_conversation_is_sent_turn_by_turn() -> None:
    """Each turn a message; completions get one text. Byte for byte."""
    assert CHAT.request(Ask("E?", 7, model="m", turns=TALK)).body.decode() == (
        '{"messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":"Olá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"max_tokens":7,"stream":true,"stream_options":{"include_usage":true},"model":"m"}'
    )
    assert COMPLETIONS.request(Ask("E?", 7, model="m", turns=TALK)).body.decode() == (
        '{"prompt":"Seja breve.\\n\\nOlá oi!\\n\\nE?","max_tokens":7,'
        '"stream":true,"stream_options":{"include_usage":true},"model":"m"}'
    )


def test_images_are_parts_of_their_message() -> None:
    """The text first, where there is any, then each image; other messages stay text. Byte for byte."""
    seen = Turn("user", "Que é isto?", ("data:image/png;base64,AA==", "data:image/jpeg;base64,/w=="))
    bare = Turn("user", "", ("data:image/png;base64,AA==",))
    assert CHAT.request(Ask("", 7, turns=(seen, Turn("assistant", "Um gato."), bare))).body.decode() == (
        '{"messages":[{"role":"user","content":[{"type":"text","text":"Que é isto?"},'
        '{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},'
        '{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/w=="}}]},'
        '{"role":"assistant","content":"Um gato."},'
        '{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}],'
        '"max_tokens":7,"stream":true,"stream_options":{"include_usage":true}}'
    )
    with pytest.raises(TypeError, match="not images"):
        COMPLETIONS.request(Ask("", 7, turns=(seen,)))


def test_llamacpp_may_remember_a_conversation_that_it_has_answered_in() -> None:
    """Its prompt cache is on from the second turn; the first is prefilled like any prompt. The user's word wins."""
    for mode in ("chat", "completions"):
        backend = find("llamacpp", mode)
        assert sent(backend, Ask("Olá", 7, turns=TALK[:2]))[2]["cache_prompt"] is False
        assert sent(backend, Ask("E?", 7, turns=TALK))[2]["cache_prompt"] is True
        off = Ask("E?", 7, turns=TALK, extra={"cache_prompt": False})
        assert sent(backend, off)[2]["cache_prompt"] is False
