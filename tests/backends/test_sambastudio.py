"""SambaStudio: three flavours of endpoints, written by hand from its documentation and its maker's own client."""

import dataclasses
import json
from typing import Any

import pytest
from answers import ANY_JSON, answered, read_wire, sent, streamed, survives
from hypothesis import given
from hypothesis import strategies as st

from harness.answer import Answer
from harness.backends import find
from harness.backends.base import Ask, Backend
from harness.errors import ConfigError, ErrorClass
from harness.target import parse

URLS = {
    "v1": "https://h.sambanova.ai/api/predict/generic/P1/E2",
    "v2": "https://h.sambanova.ai/api/v2/predict/generic/P1/E2",
    "openai": "https://h.sambanova.ai/v1/P1/E2",
}


def endpoint(mode: str, *, stream: bool = True) -> Backend:
    """The backend of that flavour's endpoint."""
    backend, _ = find("sambastudio", mode).at(parse(URLS[mode]))
    return dataclasses.replace(backend, stream=stream)


V1, V2, OPENAI = (endpoint(mode) for mode in URLS)


def lines(backend: Backend, *said: str, end: bytes = b"\n", cut: bool = False) -> Answer:
    """What a stream of one object a line is read as, each in a chunk and a read of its own."""
    parts = [line.encode() + end for line in said]
    return streamed(backend, *parts, content_type="application/json", cut=cut)


# -- where it is asked


@pytest.mark.parametrize(
    ("host", "mode", "stream_url", "predict_url"),
    [
        (URLS["v1"], "v1", "/api/predict/generic/stream/P1/E2", "/api/predict/generic/P1/E2"),
        ("https://h.sambanova.ai/api/predict/generic/stream/P1/E2/", "v1",
         "/api/predict/generic/stream/P1/E2", "/api/predict/generic/P1/E2"),
        (URLS["v2"], "v2", "/api/v2/predict/generic/stream/P1/E2", "/api/v2/predict/generic/P1/E2"),
        ("https://h.sambanova.ai/gate/api/v2/predict/generic/stream/P1/E2", "v2",
         "/gate/api/v2/predict/generic/stream/P1/E2", "/gate/api/v2/predict/generic/P1/E2"),
        (URLS["openai"], "openai", "/v1/P1/E2/chat/completions", "/v1/P1/E2/chat/completions"),
        ("https://h.sambanova.ai/openai/v1/P1/E2", "openai",
         "/openai/v1/P1/E2/chat/completions", "/openai/v1/P1/E2/chat/completions"),
        ("https://h.sambanova.ai/v1", "openai", "/v1/chat/completions", "/v1/chat/completions"),
    ],
)  # fmt: skip
def test_the_address_tells_the_flavour(host: str, mode: str, stream_url: str, predict_url: str) -> None:
    """As the platform shows it, in its stream form too; project and endpoint come out of it."""
    target = parse(host)
    backend, base = find("sambastudio", None, target).at(target)
    assert backend.mode == mode
    assert base.url(dataclasses.replace(backend, stream=True).path) == "https://h.sambanova.ai" + stream_url
    assert base.url(dataclasses.replace(backend, stream=False).path) == "https://h.sambanova.ai" + predict_url


@pytest.mark.parametrize(
    ("host", "mode", "line"),
    [
        (URLS["v1"], "v2", " is a generic v1 endpoint, not for --api-mode v2: use --api-mode v1, or leave it out"),
        (URLS["v2"], "v1", " is a generic v2 endpoint, not for --api-mode v1: use --api-mode v2, or leave it out"),
        (URLS["v1"], "openai", " is a generic v1 endpoint, not for --api-mode openai: use --api-mode v1, or leave it out"),
        (URLS["openai"], "v1", (
            " is no generic endpoint's address: give the one the platform shows, "
            "https://HOST/api[/v2]/predict/generic/PROJECT/ENDPOINT, "
            "or https://HOST/v1/PROJECT/ENDPOINT of an OpenAI-style one (--api-mode openai, or none)")),
        ("https://h.sambanova.ai", "openai", (
            " is no endpoint's address: give the one the platform shows, "
            "https://HOST/v1/PROJECT/ENDPOINT for --api-mode openai")),
        ("https://h.sambanova.ai/api/predict/nlp/P1/E2", None, (
            " is of the older nlp family, which is not spoken here: "
            "give https://h.sambanova.ai/api/predict/generic/P1/E2")),
    ],
)  # fmt: skip
def test_an_address_of_another_flavour_is_refused(host: str, mode: str | None, line: str) -> None:
    """With what fits, before anything is sent."""
    target = parse(host)
    with pytest.raises(ConfigError) as caught:
        find("sambastudio", mode, target).at(target)
    assert str(caught.value) == f"--host {host}{line}"


@pytest.mark.parametrize(
    "path",
    ["", "/api/predict/generic", "/api/predict/generic/P1", "/api/predict/generic/stream/P1", "/api/v3/predict/generic/P1/E2"],
)  # fmt: skip
def test_half_an_address_is_refused(path: str) -> None:
    """A word of the route is no project."""
    target = parse("https://h.sambanova.ai" + path)
    with pytest.raises(ConfigError, match="no generic endpoint's address: give the one the platform shows"):
        find("sambastudio", None, target).at(target)


def test_the_key() -> None:
    """A header of its own and no scheme; the OpenAI-style flavour has the usual one."""
    assert V1.credentials("K1") == V2.credentials("K1") == ("key", "K1")
    assert OPENAI.credentials("K1") == ("Authorization", "Bearer K1")
    for backend in (V1, V2, OPENAI):
        assert backend.key_variables == ("SAMBASTUDIO_API_KEY",)
        assert (backend.health, backend.models, backend.trial, backend.forces_length) == (None, None, True, False)
    assert (V1.templates, OPENAI.templates) == (False, True)
    assert (V1.needs_model, OPENAI.needs_model) == (False, True)


# -- what is asked

LIMIT = {"max_tokens_to_generate": {"type": "int", "value": "1000"}}


def test_v1_streams_an_instance_and_predicts_instances() -> None:
    """Every parameter has a type; a name that is no expert's is not sent, and there is no seed."""
    ask = Ask("Olá", 1000, model="Meta-Llama-3-8B-Instruct", seed=3, exact_length=True)
    assert sent(V1, ask) == ("/api/predict/generic/stream/P1/E2", {"instance": "Olá", "params": LIMIT})
    assert sent(endpoint("v1", stream=False), ask) == (
        "/api/predict/generic/P1/E2",
        {"instances": ["Olá"], "params": LIMIT},
    )


@pytest.mark.parametrize("model", ["COE/Meta-Llama-3-8B-Instruct", "Bundle/Meta-Llama-3-8B-Instruct", "coe/Meta-Llama-3-8B-Instruct"])
def test_an_expert(model: str) -> None:
    """Is named, and gets the prompt as it is; the OpenAI-style flavour takes its name alone."""
    expert = "Meta-Llama-3-8B-Instruct"
    ask = Ask("Olá", 1000, model=model)
    assert sent(V1, ask)[1]["params"] == LIMIT | {
        "select_expert": {"type": "str", "value": expert},
        "process_prompt": {"type": "bool", "value": "False"},
    }
    assert sent(V2, ask)[1]["params"] == {
        "max_tokens_to_generate": 1000, "select_expert": expert, "process_prompt": False,
    }  # fmt: skip
    assert sent(OPENAI, ask)[1]["model"] == expert


def test_v2_has_plain_parameters() -> None:
    """The same body to either route."""
    body = {"items": [{"id": "item1", "value": "Olá"}], "params": {"max_tokens_to_generate": 1000}}
    assert sent(V2, Ask("Olá", 1000, model="m")) == ("/api/v2/predict/generic/stream/P1/E2", body)
    assert sent(endpoint("v2", stream=False), Ask("Olá", 1000)) == ("/api/v2/predict/generic/P1/E2", body)


def test_the_openai_style_flavour() -> None:
    """As anywhere, but nothing is sent to force a length."""
    path, body = sent(OPENAI, Ask("Olá", 1000, model="org/m", exact_length=True))
    assert path == "/chat/completions"
    assert body == {
        "messages": [{"role": "user", "content": "Olá"}], "model": "org/m", "max_tokens": 1000, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_the_users_own_fields_are_parameters() -> None:
    """Typed on v1, plain on v2; what is the body's own goes there, and null takes a field out."""
    extra = {
        "do_sample": True, "top_k": 1, "temperature": 0.5, "stop_sequences": ["a", "b"],
        "repetition_penalty": {"type": "float", "value": "1"}, "max_tokens_to_generate": None,
    }  # fmt: skip
    assert sent(V1, Ask("p", 9, extra=extra))[1] == {
        "instance": "p",
        "params": {
            "do_sample": {"type": "bool", "value": "True"},
            "top_k": {"type": "int", "value": "1"},
            "temperature": {"type": "float", "value": "0.5"},
            "stop_sequences": {"type": "list", "value": '["a","b"]'},
            "repetition_penalty": {"type": "float", "value": "1"},
        },
    }
    plain = {name: value for name, value in extra.items() if value is not None}
    assert sent(V2, Ask("p", 9, extra=extra))[1]["params"] == plain
    items = [{"id": "x", "value": "q"}]
    assert sent(V2, Ask("p", 9, extra={"items": items, "top_k": 1}))[1] == {
        "items": items, "params": {"max_tokens_to_generate": 9, "top_k": 1},
    }  # fmt: skip
    assert sent(V1, Ask("p", 9, extra={"params": {}}))[1] == {"instance": "p", "params": {}}


# -- streams

METRICS = (
    '"completion":"Era uma vez","is_last_response":true,"prompt_tokens_count":26,"completion_tokens_count":31,'
    '"total_tokens_count":57,"time_to_first_token":0.125,"total_latency":0.75,"stop_reason":"max_len_reached",'
    '"completion_tokens_after_first_per_sec":48.5,"completion_tokens_after_first_per_sec_first_ten":50.1,'
    '"total_tokens_per_sec":76.0,"batch_size_used":4,"acceptance_rate":0.75'
)
V1_LINES = (
    '{"result":{"responses":[{"is_last_response":false,"stream_token":"Era "}]}}',
    '{"result":{"responses":[{"is_last_response":false,"stream_token":""}]}}',
    '{"result":{"responses":[{"is_last_response":false,"stream_token":"uma vez"}]}}',
    f'{{"result":{{"responses":[{{{METRICS}}}]}}}}',
)
V2_LINES = (
    '{"result":{"items":[{"id":"item1","value":{"is_last_response":false,"stream_token":"Era "}}]}}',
    '{"result":{"items":[{"id":"item1","value":{"is_last_response":false,"stream_token":""}}]}}',
    '{"result":{"items":[{"id":"item1","value":{"is_last_response":false,"stream_token":"uma vez"}}]}}',
    f'{{"result":{{"items":[{{"id":"item1","value":{{{METRICS}}}}}]}}}}',
)
BOTH = pytest.mark.parametrize(("backend", "said"), [(V1, V1_LINES), (V2, V2_LINES)], ids=["v1", "v2"])


@BOTH
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"], ids=["lf", "crlf", "blank lines"])
def test_a_stream_of_lines(backend: Backend, said: tuple[str, ...], end: bytes) -> None:
    """Two pieces are two content events, an empty one and the full text at the end are none; s become ms."""
    answer = lines(backend, *said, end=end)
    assert (answer.error_class, answer.text, answer.done) == (None, "Era uma vez", True)
    assert answer.times == [1_000_000, 3_000_000]
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (26, 31, "length")
    assert (answer.server_ttft_ms, answer.server_e2e_ms) == (125.0, 750.0)
    assert (answer.server_tokens_per_s, answer.acceptance_rate, answer.batch_size) == (48.5, 0.75, 4)
    assert (answer.queue_ms, answer.prefill_ms, answer.decode_ms, answer.first_chunk_tokens) == (None,) * 4


@BOTH
def test_the_last_line_may_lack_its_end(backend: Backend, said: tuple[str, ...]) -> None:
    """And lines after it are not read."""
    wire = "\n".join(said).encode()
    assert streamed(backend, wire, content_type="application/json").text == "Era uma vez"
    answer = lines(backend, *said, '{"result":{"responses":[{"stream_token":"more"}]}}', "garbage")
    assert (answer.error_class, answer.text) == (None, "Era uma vez")


@BOTH
def test_lines_cut_anywhere_are_the_same_lines(backend: Backend, said: tuple[str, ...]) -> None:
    """In the middle of a character too."""
    body = "\n".join(said).replace("Era ", "Érá ").encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    for cut in range(1, len(body), 7):
        answer = read_wire(backend, [head + body[:cut], body[cut:]])
        assert (answer.error_class, answer.text, answer.output_tokens) == (None, "Érá uma vez", 31)


@BOTH
def test_a_stream_without_its_last_object_is_truncated(backend: Backend, said: tuple[str, ...]) -> None:
    """However HTTP ended; what came is kept."""
    for cut in (False, True):
        answer = lines(backend, *said[:3], cut=cut)
        assert (answer.error_class, answer.text, len(answer.times)) == (ErrorClass.TRUNCATED, "Era uma vez", 2)
    half = streamed(backend, f"{said[0]}\n".encode(), said[2].encode()[:40], content_type="application/json", cut=True)
    assert (half.error_class, half.text) == (ErrorClass.TRUNCATED, "Era ")


@BOTH
def test_an_answer_in_its_last_object_alone(backend: Backend, said: tuple[str, ...]) -> None:
    """The full text is the one content event then."""
    answer = lines(backend, said[3])
    assert (answer.error_class, answer.text, len(answer.times)) == (None, "Era uma vez", 1)


@pytest.mark.parametrize(
    ("line", "error_class", "said"),
    [
        ('{"error":{"code":400,"message":"prompt is too long","details":[]}}', ErrorClass.STREAM_ERROR, "prompt is too long"),
        ('{"result":{"responses":[{"stream_token":""}]},"error":{"message":"worker lost"}}', ErrorClass.STREAM_ERROR, "worker lost"),
        ('{"error":{"code":503,"message":"no capacity"}}', ErrorClass.OVERLOAD, "no capacity"),
        ('{"error":"queue","status_code":504}', ErrorClass.OVERLOAD, "queue"),
        ('{"message":"upstream connect error"}', ErrorClass.STREAM_ERROR, "upstream connect error"),
        ('{"result":{"status":{"complete":false,"exitCode":1,"message":"model crashed"},"responses":[]}}', ErrorClass.STREAM_ERROR, "model crashed"),
        ('{"result":{"items":[{"id":"item1","value":{"error":"expert unknown"}}]}}', ErrorClass.STREAM_ERROR, "expert unknown"),
        ('{"result":{}}', ErrorClass.STREAM_ERROR, '{"result":{}}'),
    ],
)  # fmt: skip
@BOTH
def test_a_line_that_is_no_result_is_an_error(
    backend: Backend, said: tuple[str, ...], line: str, error_class: ErrorClass, **kwargs: Any
) -> None:
    """In mid-stream, and the last object after it does not clear it."""
