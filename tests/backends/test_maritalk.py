"""MariTalk Local: what is asked, and its two generations of answers, written by hand from its documentation."""

import json
from typing import Any

import pytest
from answers import ANY_JSON, answered, read_wire, sent, survives
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import find
from harness.backends.base import Ask, Turn
from harness.errors import ConfigError, ErrorClass

NATIVE, CHAT = find("maritalk", "native"), find("maritalk", "chat")
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_p": 0.95, "max_tokens": 150, "stop_sequences": []}
TALK = (
    Turn("system", "Seja breve."), Turn("user", "Olá"), Turn("assistant", " oi!"), Turn("user", "E?"),
)  # fmt: skip

# Both are samples of the vendor's documentation: of 2023, and of 2024.
OLD = b'{"output": "positiva", "queue_time": 0, "prompt_time": 158, "generation_time": 9}'
NEW = b'{"output": "nina, bela e luna.", "queue_time": 0.224, "generation_time": 0.407}'


def test_native_sends_the_prompt_as_it_is() -> None:
    """All of the client's own fields, and nothing else."""
    assert sent(NATIVE, Ask("Olá\n", 150, model="sabia-2-small")) == (
        "/generate",
        {"prompt": "Olá\n", **SAMPLING},
    )


def test_chat_sends_one_user_message() -> None:
    """In the server's own template."""
    assert sent(CHAT, Ask("Olá", 150)) == (
        "/chat/generate",
        {"messages": [{"role": "user", "content": "Olá"}], **SAMPLING},
    )
    assert (CHAT.templates, NATIVE.templates) == (True, False)


def test_a_seed_is_sent_where_there_is_one() -> None:
    """0 is a seed; servers of 2023 know none, so none is no field."""
    assert sent(NATIVE, Ask("p", 150, seed=0))[1] == {"prompt": "p", **SAMPLING, "seed": 0}


def test_maritacas_own_benchmark_by_extra_body() -> None:
    """A temperature of 3.0, which makes the model ramble on; null takes a field out."""
    body = sent(NATIVE, Ask("p", 150, extra={"temperature": 3.0, "top_p": None}))[1]
    assert body == {
        "prompt": "p",
        "do_sample": True,
        "temperature": 3.0,
        "max_tokens": 150,
        "stop_sequences": [],
    }


def test_it_cannot_stream_nor_force_a_length_nor_list_models() -> None:
    """What it lacks is said, so that nobody asks for it."""
    for backend in (NATIVE, CHAT):
        assert (backend.can_stream, backend.stream, backend.forces_length) == (False, False, False)
        assert (backend.models, backend.health, backend.any_model, backend.needs_model) == (
            None, "/", True, False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text", "times"),
    [(OLD, "positiva", (0.0, 158.0, 9.0)), (NEW, "nina, bela e luna.", (224.0, None, 407.0))],
    ids=["2023: ms", "2024: s"],
)
def test_both_generations(body: bytes, text: str, times: tuple[float | None, ...]) -> None:
    """Times come out in ms; no token was counted, no first token seen, and that is not 0."""
    answer = answered(NATIVE, body)
    assert answer.error_class is None
    assert (answer.text, answer.streamed) == (text, False)
    assert (answer.queue_ms, answer.prefill_ms, answer.decode_ms) == pytest.approx(times)
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (None, None, None)


@pytest.mark.parametrize(
    ("unit", "times"), [("ms", (0.224, None, 0.407)), ("s", (224.0, None, 407.0)), ("auto", (224.0, None, 407.0))]
)  # fmt: skip
def test_the_unit_can_be_said(unit: str, times: tuple[float | None, ...]) -> None:
    """`timing_unit` has the last word."""
    delta = NATIVE.configured({"timing_unit": unit}).read(NEW)
    assert (delta.queue_ms, delta.prefill_ms, delta.decode_ms) == pytest.approx(times)


def test_seconds_with_a_prompt_time() -> None:
    """What the rule of the field gets wrong, the option sets right."""
    body = b'{"output":"a","queue_time":0.5,"prompt_time":0.25,"generation_time":2}'
    delta = CHAT.configured({"timing_unit": "s"}).read(body)
    assert (delta.queue_ms, delta.prefill_ms, delta.decode_ms) == (500.0, 250.0, 2000.0)


def test_an_unknown_unit_is_refused() -> None:
    """With the units there are."""
    with pytest.raises(ConfigError, match=r"^--backend-option timing_unit=min: use auto, ms, s$"):
        NATIVE.configured({"timing_unit": "min"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "out of memory"}', "out of memory"),
        (b'{"detail": "prompt too long"}', "prompt too long"),
        (b'{"output": null, "message": "cancelled"}', "cancelled"),
        (b'{"generation_time": 3}', '{"generation_time":3}'),
        (b"{}", "{}"),
    ],
)
def test_an_answer_without_output_is_an_error(body: bytes, said: str) -> None:
    """Under status 200 too; the body's own words say which."""
    answer = answered(NATIVE, body)
    assert (answer.error_class, answer.error_message) == (ErrorClass.STREAM_ERROR, said)
    assert (answer.text, answer.times) == ("", [])


def test_an_empty_output_is_an_answer() -> None:
    """Of no token."""
    answer = answered(NATIVE, b'{"output": "", "queue_time": 0.1, "generation_time": 0.0}')
    assert (answer.error_class, answer.text, answer.times, answer.decode_ms) == (None, "", [], 0.0)


@pytest.mark.parametrize(
    ("status", "body", "error_class", "said"),
    [
        ("401 Unauthorized", b'{"output": "not an answer", "detail": "no licence"}', ErrorClass.AUTH, "no licence"),
        ("422 Unprocessable Entity", b'{"error": "`max_tokens` must be positive"}', ErrorClass.HTTP_CLIENT, "`max_tokens` must be positive"),
        ("429 Too Many Requests", b'{"error": "queue full"}', ErrorClass.OVERLOAD, "queue full"),
        ("503 Service Unavailable", b"", ErrorClass.OVERLOAD, "HTTP status 503"),
    ],
)  # fmt: skip
def test_an_error_body_is_never_an_answer(
    status: str, body: bytes, error_class: ErrorClass, said: str
) -> None:
    """Its own client would hand it on as data."""
    answer = answered(NATIVE, body, status=status)
    assert (answer.error_class, answer.error_message, answer.text) == (error_class, said, "")


def test_a_body_that_is_cut_or_no_json() -> None:
    """Half an answer is truncated, a login page is no answer."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n" + OLD[:30]
    assert read_wire(NATIVE, [cut]).error_class is ErrorClass.TRUNCATED
    page = answered(NATIVE, b"<html>sign in</html>", content_type="text/html")
    assert page.error_class is ErrorClass.BAD_STREAM


@pytest.mark.parametrize("value", [None, -1, True, "9", [9], 1e301, {"s": 1}])
def test_odd_times_are_not_measured(value: object) -> None:
    """None of them becomes 0."""
    said: dict[str, Any] = {
        "output": "a",
        "queue_time": value,
        "prompt_time": value,
        "generation_time": value,
    }
    delta = NATIVE.read(json.dumps(said).encode())
    assert (delta.answer, delta.queue_ms, delta.prefill_ms, delta.decode_ms) == ("a", None, None, None)


@pytest.mark.parametrize(
    ("status", "body", "loading"),
    [
        (200, {"status": "loading"}, True),
        (200, {"status": "idle"}, False),
        (200, {"status": "busy"}, False),
        (503, {}, True),
        (200, {}, False),
        (404, {"status": None}, False),
    ],
)
def test_loading_is_said_in_the_body(status: int, body: dict[str, object], loading: bool) -> None:
    """Any other word, known or not, is ready."""
    assert NATIVE.is_loading(status, body) is loading


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    """No body gets anything but a delta or MalformedChunk."""
    survives(NATIVE, data)


@given(
    st.dictionaries(
        st.sampled_from(["output", "queue_time", "prompt_time", "generation_time", "error"]), ANY_JSON
    )
)
def test_any_values_of_its_own_fields(said: dict[str, object]) -> None:
    """Nor do its own fields with any values."""
    delta = survives(CHAT, json.dumps(said).encode())
    assert delta is not None
    assert (delta.error is None) == isinstance(said.get("output"), str)


def test_a_conversation() -> None:
    """Its chat has two roles, so that the system's words begin the user's; the native route gets one text. Byte for byte."""
    sampling = '"do_sample":true,"temperature":0.7,"top_p":0.95,"max_tokens":150,"stop_sequences":[]}'
    assert CHAT.request(Ask("E?", 150, turns=TALK)).body.decode() == (
        '{"messages":[{"role":"user","content":"Seja breve.\\n\\nOlá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],' + sampling
    )
    assert NATIVE.request(Ask("E?", 150, turns=TALK)).body.decode() == (
        '{"prompt":"Seja breve.\\n\\nOlá oi!\\n\\nE?",' + sampling
    )
    for backend in (CHAT, NATIVE):
        with pytest.raises(TypeError, match="not images"):
            backend.request(Ask("p", 9, turns=(Turn("user", "p", ("data:image/png;base64,AA==",)),)))
