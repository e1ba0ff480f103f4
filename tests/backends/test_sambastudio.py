"""SambaStudio: three flavours of endpoints, written by hand from its documentation and its maker's own client."""

import dataclasses
import json

import pytest
from answers import ANY_JSON, answered, read_wire, sent, streamed, survives
from hypothesis import given
from hypothesis import strategies as st

from harness.answer import Answer
from harness.backends import find
from harness.backends.base import Ask, Backend, Turn
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
        assert (backend.health, backend.models, backend.forces_length) == (None, None, False)
    assert (V1.templates, OPENAI.templates) == (False, True)
    assert (V1.needs_model, OPENAI.needs_model) == (False, True)


# -- what is asked

LIMIT = {"max_tokens_to_generate": {"type": "int", "value": "1000"}}
TALK = (
    Turn("system", "Seja breve."), Turn("user", "Olá"), Turn("assistant", " oi!"), Turn("user", "E?"),
)  # fmt: skip


def test_v1_streams_an_instance_and_predicts_instances() -> None:
    """Every parameter has a type; a name that is no expert's is not sent, and there is no seed."""
    ask = Ask("Olá", 1000, model="Meta-Llama-3-8B-Instruct", seed=3, exact_length=True)
    assert sent(V1, ask) == ("/api/predict/generic/stream/P1/E2", {"instance": "Olá", "params": LIMIT})
    assert sent(endpoint("v1", stream=False), ask) == (
        "/api/predict/generic/P1/E2",
        {"instances": ["Olá"], "params": LIMIT},
    )


@pytest.mark.parametrize(
    "model",
    ["COE/Meta-Llama-3-8B-Instruct", "Bundle/Meta-Llama-3-8B-Instruct", "coe/Meta-Llama-3-8B-Instruct"],
)
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


def test_an_expert_by_option() -> None:
    """A class of users may have its own, whatever the model of the run."""
    backend = V2.configured({"expert": "Mistral-7B"})
    for model in (None, "llama", "COE/Meta-Llama-3-8B-Instruct"):
        assert sent(backend, Ask("p", 9, model=model))[1]["params"] == {
            "max_tokens_to_generate": 9, "select_expert": "Mistral-7B", "process_prompt": False,
        }  # fmt: skip


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
        assert (answer.error_class, answer.text, len(answer.times)) == (
            ErrorClass.TRUNCATED,
            "Era uma vez",
            2,
        )
    half = streamed(
        backend, f"{said[0]}\n".encode(), said[2].encode()[:40], content_type="application/json", cut=True
    )
    assert (half.error_class, half.text) == (ErrorClass.TRUNCATED, "Era ")


@BOTH
def test_an_answer_in_its_last_object_alone(backend: Backend, said: tuple[str, ...]) -> None:
    """The full text is the one content event then."""
    answer = lines(backend, said[3])
    assert (answer.error_class, answer.text, len(answer.times)) == (None, "Era uma vez", 1)


@pytest.mark.parametrize(
    ("line", "error_class", "words"),
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
    backend: Backend, said: tuple[str, ...], line: str, error_class: ErrorClass, words: str
) -> None:
    """In mid-stream; what came before is kept, and the last object after it does not clear it."""
    answer = lines(backend, said[0], line, said[3])
    assert (answer.error_class, answer.error_message, answer.text) == (error_class, words, "Era ")


def test_a_line_that_is_no_json() -> None:
    """Is garbage if it is whole, and truncation if the stream was cut there."""
    assert lines(V1, V1_LINES[0], "<html>", V1_LINES[3]).error_class is ErrorClass.BAD_STREAM
    assert lines(V1, V1_LINES[0], "[1]", V1_LINES[3]).error_class is ErrorClass.BAD_STREAM


# -- predict

PREDICT = {
    "v1": f'{{"status":{{"complete":true,"exitCode":0,"message":""}},"predictions":[{{{METRICS}}}]}}',
    "v2": f'{{"items":[{{"id":"item1","value":{{{METRICS}}}}}]}}',
}


@pytest.mark.parametrize("mode", PREDICT)
def test_a_predicted_answer(mode: str) -> None:
    """One object with the same figures; no first token is seen."""
    answer = answered(endpoint(mode, stream=False), PREDICT[mode].encode())
    assert (answer.error_class, answer.text, answer.streamed) == (None, "Era uma vez", False)
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (26, 31, "length")
    assert (answer.server_ttft_ms, answer.server_e2e_ms, answer.batch_size) == (125.0, 750.0, 4)


def test_a_predicted_answer_without_figures() -> None:
    """They are not measured, and not 0."""
    answer = answered(endpoint("v1", stream=False), b'{"predictions":[{"completion":"Era"}]}')
    assert (answer.error_class, answer.text) == (None, "Era")
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (None, None, None)
    assert (answer.server_ttft_ms, answer.server_e2e_ms, answer.server_tokens_per_s) == (None, None, None)
    assert (answer.acceptance_rate, answer.batch_size) == (None, None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"predictions":[]}', '{"predictions":[]}'),
        (b'{"predictions":[{"completion":null}],"error":{"message":"expert not found"}}', "expert not found"),
        (b'{"status":{"complete":false,"exitCode":1,"message":"no worker"},"predictions":[{}]}', "no worker"),
        (b'{"items":[{"id":"item1","value":{"completion":5}}]}', '{"items":[{"id":"item1","value":{"completion":5}}]}'),
        (b'{"detail":"gone"}', "gone"),
    ],
)  # fmt: skip
def test_a_predicted_body_without_an_answer_is_an_error(body: bytes, words: str) -> None:
    """Under status 200."""
    answer = answered(endpoint("v1", stream=False), body)
    assert (answer.error_class, answer.error_message, answer.text) == (ErrorClass.STREAM_ERROR, words, "")


@pytest.mark.parametrize("mode", URLS)
@pytest.mark.parametrize(
    ("status", "body", "error_class", "words"),
    [
        ("401 Unauthorized", f'{{"error":"Invalid key","predictions":[{{{METRICS}}}]}}', ErrorClass.AUTH, "Invalid key"),
        ("404 Not Found", '{"detail":"endpoint not found"}', ErrorClass.NOT_FOUND, "endpoint not found"),
        ("400 Bad Request", '{"error":{"code":3,"message":"bad params","details":[]}}', ErrorClass.HTTP_CLIENT, "bad params"),
        ("429 Too Many Requests", "{}", ErrorClass.OVERLOAD, "{}"),
        ("503 Service Unavailable", "no healthy upstream", ErrorClass.OVERLOAD, "no healthy upstream"),
        ("504 Gateway Timeout", "upstream request timeout", ErrorClass.OVERLOAD, "upstream request timeout"),
    ],
)  # fmt: skip
def test_errors_by_status(mode: str, status: str, body: str, error_class: ErrorClass, words: str) -> None:
    """On every route; their bodies are never an answer, and 504 is overload."""
    for stream in (True, False):
        answer = answered(endpoint(mode, stream=stream), body.encode(), status=status)
        assert (answer.error_class, answer.error_message, answer.text) == (error_class, words, "")


# -- figures


@pytest.mark.parametrize(
    ("names", "field", "value"),
    [
        (("prompt_tokens_count", "prompt_tokens"), "prompt_tokens", 7),
        (("completion_tokens_count", "completion_tokens"), "output_tokens", 7),
        (("time_to_first_token", "time_to_first_response"), "server_ttft_ms", 7000.0),
        (("total_latency", "model_execution_time"), "server_e2e_ms", 7000.0),
        (
            (
                "completion_tokens_after_first_per_sec",
                "completion_tokens_per_sec_after_first_response",
                "throughput_after_first_token",
            ),
            "server_tokens_per_s",
            7.0,
        ),
        (("acceptance_rate",), "acceptance_rate", 7.0),
        (("batch_size_used",), "batch_size", 7),
    ],
)
def test_the_names_a_figure_has_had(names: tuple[str, ...], field: str, value: float) -> None:
    """Each is read, the older before the newer; null, text and what is below 0 are not measured."""

    def measured(**said: object) -> object:
        return getattr(
            V2.read(
                json.dumps({"result": {"items": [{"value": {"is_last_response": True, **said}}]}}).encode()
            ),
            field,
        )

    for name in names:
        assert measured(**{name: 7}) == measured(**{name: 7.0}) == value
        assert measured(**dict.fromkeys(names)) is None
        for odd in (None, "7", -1, True, [7]):
            assert measured(**{name: odd}) is None
    both = {name: 7 + number for number, name in enumerate(names)}
    assert measured(**both) == value
    assert measured(**both | {names[0]: None}) == (None if len(names) == 1 else value / 7 * 8)


def test_half_a_token_is_no_count() -> None:
    """A count may be written 26.0."""
    said = '{"predictions":[{"completion":"a","prompt_tokens_count":26.0,"completion_tokens_count":3.5}]}'
    delta = endpoint("v1", stream=False).read(said.encode())
    assert (delta.prompt_tokens, delta.output_tokens) == (26, None)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_of_text", "stop"), ("stop_sequence", "stop"), ("max_len_reached", "length"), ("new", "new"), ("", None)],
)  # fmt: skip
def test_why_it_stopped(reason: str, finish: str | None) -> None:
    """In the field's words where they are known."""
    said = f'{{"result":{{"responses":[{{"is_last_response":true,"completion":"a","stop_reason":"{reason}"}}]}}}}'
    assert V1.read(said.encode()).finish_reason == finish


# -- the OpenAI-style flavour

CHUNKS = (
    b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Era uma"},"finish_reason":null}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" vez"},"finish_reason":"length"}]}\n\n',
)
USAGE = (
    b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":26,"completion_tokens":31,"total_tokens":57,'
    b'"time_to_first_token":0.125,"total_latency":0.75,"completion_tokens_after_first_per_sec":48.5,'
    b'"batch_size_used":null,"acceptance_rate":0.75,"is_last_response":true}}\n\n'
)


def test_an_openai_style_stream() -> None:
    """Chunks, then a usage with times in s."""
    answer = streamed(OPENAI, *CHUNKS, USAGE, b"data: [DONE]\n\n")
    assert (answer.error_class, answer.text, answer.finish_reason) == (None, "Era uma vez", "length")
    assert answer.times == [2_000_000, 3_000_000]
    assert (answer.prompt_tokens, answer.output_tokens) == (26, 31)
    assert (answer.server_ttft_ms, answer.server_e2e_ms, answer.server_tokens_per_s) == (125.0, 750.0, 48.5)
    assert (answer.acceptance_rate, answer.batch_size) == (0.75, None)


def test_an_openai_style_answer() -> None:
    """The same usage in a body."""
    body = (
        b'{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"Era"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":2,"completion_tokens":1,"total_latency":0.5,"time_to_first_token":null}}'
    )
    answer = answered(endpoint("openai", stream=False), body)
    assert (answer.error_class, answer.text, answer.output_tokens) == (None, "Era", 1)
    assert (answer.server_e2e_ms, answer.server_ttft_ms) == (500.0, None)


@pytest.mark.parametrize(
    ("event", "error_class", "words"),
    [
        (b'event: error_event\ndata: {"message":"worker lost"}\n\n', ErrorClass.STREAM_ERROR, "worker lost"),
        (b'data: {"error":{"message":"worker lost","code":500}}\n\n', ErrorClass.STREAM_ERROR, "worker lost"),
        (b'data: {"error":{"message":"queue full","code":504}}\n\n', ErrorClass.OVERLOAD, "queue full"),
    ],
)
def test_an_error_in_an_openai_style_stream(event: bytes, error_class: ErrorClass, words: str) -> None:
    """By an event's name, or by a key; [DONE] does not clear it."""
    answer = streamed(OPENAI, *CHUNKS[:2], event, b"data: [DONE]\n\n")
    assert (answer.error_class, answer.error_message, answer.text) == (error_class, words, "Era uma")


# -- whatever else is sent


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    """On every flavour, streamed or not."""
    for mode in URLS:
        survives(endpoint(mode), data)
        survives(endpoint(mode, stream=False), data)


FIELDS = st.sampled_from(["stream_token", "completion", "is_last_response", "total_latency", "completion_tokens_count",
                          "stop_reason", "error", "value", "batch_size_used"])  # fmt: skip


@given(st.dictionaries(FIELDS, ANY_JSON), ANY_JSON)
def test_any_values_of_its_own_fields(said: dict[str, object], other: object) -> None:
    """Whatever stands in them, and where they stand."""
    shapes: list[dict[str, object]] = [
        {"result": {"responses": [said]}},
        {"result": {"items": [{"value": said}]}},
        {"predictions": [said]},
        {"items": [said, other]},
        {"result": other, "error": None},
        {"result": {"responses": other, "status": other}},
        {"choices": [], "usage": said},
    ]
    for shape in shapes:
        for mode in URLS:
            assert survives(endpoint(mode), json.dumps(shape).encode()) is not None
            assert survives(endpoint(mode, stream=False), json.dumps(shape).encode()) is not None


def test_an_expert_is_sent_a_conversation_with_its_roles() -> None:
    """As JSON within the JSON, which `process_prompt` makes it read. Byte for byte."""
    ask = Ask("E?", 9, model="COE/x", turns=TALK)
    assert V2.request(ask).body.decode() == (
        '{"items":[{"id":"item1","value":"{\\"conversation_id\\":\\"item1\\",\\"messages\\":['
        '{\\"message_id\\":0,\\"role\\":\\"system\\",\\"content\\":\\"Seja breve.\\"},'
        '{\\"message_id\\":1,\\"role\\":\\"user\\",\\"content\\":\\"Olá\\"},'
        '{\\"message_id\\":2,\\"role\\":\\"assistant\\",\\"content\\":\\" oi!\\"},'
        '{\\"message_id\\":3,\\"role\\":\\"user\\",\\"content\\":\\"E?\\"}]}"}],'
        '"params":{"max_tokens_to_generate":9,"select_expert":"x","process_prompt":true}}'
    )
    assert V1.request(ask).body.decode() == (
        '{"instance":"{\\"conversation_id\\":\\"item1\\",\\"messages\\":['
        '{\\"message_id\\":0,\\"role\\":\\"system\\",\\"content\\":\\"Seja breve.\\"},'
        '{\\"message_id\\":1,\\"role\\":\\"user\\",\\"content\\":\\"Olá\\"},'
        '{\\"message_id\\":2,\\"role\\":\\"assistant\\",\\"content\\":\\" oi!\\"},'
        '{\\"message_id\\":3,\\"role\\":\\"user\\",\\"content\\":\\"E?\\"}]}",'
        '"params":{"max_tokens_to_generate":{"type":"int","value":"9"},'
        '"select_expert":{"type":"str","value":"x"},"process_prompt":{"type":"bool","value":"True"}}}'
    )


def test_any_other_conversation_is_one_text() -> None:
    """Without an expert, or where the user will not have prompts processed. Byte for byte."""
    assert V2.request(Ask("E?", 9, model="m", turns=TALK)).body.decode() == (
        '{"items":[{"id":"item1","value":"Seja breve.\\n\\nOlá oi!\\n\\nE?"}],'
        '"params":{"max_tokens_to_generate":9}}'
    )
    refused = Ask("E?", 9, model="COE/x", turns=TALK, extra={"process_prompt": False})
    assert V2.request(refused).body.decode() == (
        '{"items":[{"id":"item1","value":"Seja breve.\\n\\nOlá oi!\\n\\nE?"}],'
        '"params":{"max_tokens_to_generate":9,"select_expert":"x","process_prompt":false}}'
    )
    with pytest.raises(TypeError, match="not images"):
        V2.request(Ask("p", 9, model="COE/x", turns=(Turn("user", "p", ("data:image/png;base64,AA==",)),)))


def test_the_openai_style_flavour_has_messages() -> None:
    """Of the expert too. Byte for byte."""
    assert OPENAI.request(Ask("E?", 9, model="COE/x", turns=TALK)).body.decode() == (
        '{"messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":"Olá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"max_tokens":9,"stream":true,"stream_options":{"include_usage":true},"model":"x"}'
    )
