"""Maritaca's cloud: its three routes, written by hand from its documentation and its own client."""

import dataclasses
import json

import pytest
from answers import ANY_JSON, answered, read_wire, sent, streamed, survives
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import find
from harness.backends.base import Ask, Backend, Turn
from harness.errors import ConfigError, ErrorClass
from harness.target import parse

CHAT, LEGACY, RESPONSES = (find("maritaca", mode) for mode in ("chat", "legacy", "responses"))
MESSAGES = {"messages": [{"role": "user", "content": "Olá"}]}
TALK = (
    Turn("system", "Seja breve."), Turn("user", "Olá"), Turn("assistant", " oi!"), Turn("user", "E?"),
)  # fmt: skip


def whole(mode: str) -> Backend:
    """The backend as it is for `--stream no`."""
    return dataclasses.replace(find("maritaca", mode), stream=False)


# -- what is asked


def test_chat_is_openais() -> None:
    """Without `/v1`, and with usage asked for."""
    assert sent(CHAT, Ask("Olá", 150, model="sabia-4")) == (
        "/chat/completions",
        {**MESSAGES, "model": "sabia-4", "max_tokens": 150, "stream": True, "stream_options": {"include_usage": True}},
    )  # fmt: skip
    assert sent(whole("chat"), Ask("Olá", 150, model="sabia-4"))[1] == {
        **MESSAGES, "model": "sabia-4", "max_tokens": 150, "stream": False,
    }  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
def test_legacy_sends_all_of_the_clients_fields(stream: bool) -> None:
    """With its defaults; four tokens a message unless said otherwise."""
    backend = LEGACY if stream else whole("legacy")
    body = {
        "model": "sabia-3", **MESSAGES, "chat_mode": True, "do_sample": True, "temperature": 0.7, "top_p": 0.95,
        "max_tokens": 150, "stopping_tokens": [], "stream": stream, "num_tokens_per_message": 4,
    }  # fmt: skip
    assert sent(backend, Ask("Olá", 150, model="sabia-3", seed=3)) == ("/chat/inference", body)
    single = backend.configured({"tokens_per_message": "1"})
    assert sent(single, Ask("Olá", 150, model="sabia-3"))[1] == body | {"num_tokens_per_message": 1}


def test_responses_take_the_prompt_as_input() -> None:
    """And call the limit `max_output_tokens`."""
    body = {"model": "sabia-4", "input": "Olá", "max_output_tokens": 150, "stream": True}
    assert sent(RESPONSES, Ask("Olá", 150, model="sabia-4", seed=3)) == ("/v1/responses", body)
    assert sent(whole("responses"), Ask("Olá", 150, model="sabia-4"))[1] == body | {"stream": False}


@pytest.mark.parametrize("backend", [CHAT, LEGACY, RESPONSES], ids=lambda backend: backend.mode)
def test_the_users_own_fields_win_and_no_length_is_forced(backend: Backend) -> None:
    """The flex tier, for example; what forces a length elsewhere is not sent."""
    plain = sent(backend, Ask("Olá", 150, model="m"))[1]
    extra = {"service_tier": "flex", "temperature": 0.1}
    assert sent(backend, Ask("Olá", 150, model="m", exact_length=True, extra=extra))[1] == plain | extra
    assert (backend.forces_length, backend.needs_model, backend.templates) == (False, True, True)
    assert (backend.health, backend.models) == (None, "/models")


@pytest.mark.parametrize(
    ("mode", "credentials"),
    [("chat", "Bearer K1"), ("legacy", "Key K1"), ("responses", "Bearer K1")],
)
def test_the_key(mode: str, credentials: str) -> None:
    """The older route has a word of its own for it; the others take both."""
    assert find("maritaca", mode).credentials("K1") == ("Authorization", credentials)
    assert find("maritaca", mode).key_variables == ("MARITACA_API_KEY", "MARITALK_API_KEY")


def test_the_scheme_can_be_set() -> None:
    """`Key` on the newer routes."""
    assert CHAT.configured({"auth_scheme": "Key"}).credentials("K1") == ("Authorization", "Key K1")


# -- where it is asked


@pytest.mark.parametrize(
    ("host", "mode", "url"),
    [
        ("https://chat.maritaca.ai", None, "https://chat.maritaca.ai/api/chat/completions"),
        ("https://chat.maritaca.ai/api", None, "https://chat.maritaca.ai/api/chat/completions"),
        ("https://chat.maritaca.ai/api/v1", "chat", "https://chat.maritaca.ai/api/chat/completions"),
        ("https://chat.maritaca.ai/api/", "legacy", "https://chat.maritaca.ai/api/chat/inference"),
        ("https://chat.maritaca.ai", "responses", "https://chat.maritaca.ai/api/v1/responses"),
        ("https://chat.maritaca.ai/api/v1", "responses", "https://chat.maritaca.ai/api/v1/responses"),
        ("https://chat.maritaca.ai/api/chat/inference", None, "https://chat.maritaca.ai/api/chat/inference"),
        ("https://chat.maritaca.ai/api/v1/responses", None, "https://chat.maritaca.ai/api/v1/responses"),
        ("http://127.0.0.1:8080", "legacy", "http://127.0.0.1:8080/api/chat/inference"),
        ("http://gateway/maritaca", "responses", "http://gateway/maritaca/v1/responses"),
    ],
)
def test_any_part_of_the_address_will_do(host: str, mode: str | None, url: str) -> None:
    """The host alone, the base URL, or a route, which then tells the mode."""
    target = parse(host)
    backend, base = find("maritaca", mode, target).at(target)
    assert base.url(backend.path) == url
    assert backend.models is not None
    assert base.url(backend.models) == url.removesuffix(backend.path) + "/models"


@pytest.mark.parametrize(
    ("host", "mode", "line"),
    [
        (
            "https://chat.maritaca.ai/api/chat/inference",
            "chat",
            (
                "--host https://chat.maritaca.ai/api/chat/inference is the route of --api-mode legacy, not of 'chat': "
                "give --api-mode legacy, or the base URL https://chat.maritaca.ai/api"
            ),
        ),
        (
            "https://chat.maritaca.ai/api/v1/responses",
            "legacy",
            (
                "--host https://chat.maritaca.ai/api/v1/responses is the route of --api-mode responses, not of "
                "'legacy': give --api-mode responses, or the base URL https://chat.maritaca.ai/api"
            ),
        ),
    ],
)
def test_a_route_of_another_mode_is_refused(host: str, mode: str, line: str) -> None:
    """With the mode that fits."""
    with pytest.raises(ConfigError) as caught:
        find("maritaca", mode).at(parse(host))
    assert str(caught.value) == line


# -- chat

CHAT_STREAM = (
    (
        b'data: {"id":"123abc45","object":"chat.completion.chunk","created":1730807994,"model":"sabia-4",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    ),
    'data: {"id":"123abc45","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Salvador é"},'
    '"finish_reason":null}]}\n\n'.encode(),
    (
        b'data: {"id":"123abc45","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" linda."},'
        b'"finish_reason":"stop"}]}\n\n'
    ),
    (
        b'data: {"id":"123abc45","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":54,'
        b'"completion_tokens":538,"total_tokens":592,"prompt_tokens_details":{"cached_tokens":32}}}\n\n'
    ),
)
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("end", [DONE, b""], ids=["[DONE]", "no mark but the finish reason"])
def test_a_chat_stream(end: bytes) -> None:
    """Usage comes on a chunk of its own; whether [DONE] does is not known, and either is an end."""
    answer = streamed(CHAT, *CHAT_STREAM, end)
    assert (answer.error_class, answer.text, answer.finish_reason) == (None, "Salvador é linda.", "stop")
    assert answer.times == [2_000_000, 3_000_000]
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (54, 538, 32)
    assert answer.response_id == "123abc45"


def test_a_whole_chat_answer() -> None:
    """The vendor's sample calls its object `chat_completion`; nobody checks that."""
    body = (
        '{"id":"123abc45-67de","object":"chat_completion","created":1730807994,"model":"sabia-4","choices":[{"index":0,'
        '"message":{"role":"assistant","content":"Certamente!"},"logprobs":null,"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":54,"completion_tokens":3,"total_tokens":57},"system_fingerprint":"c68cf2ecaa94f232"}'
    )
    answer = answered(whole("chat"), body.encode())
    assert (answer.error_class, answer.text, answer.streamed) == (None, "Certamente!", False)
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (54, 3, "stop")


@pytest.mark.parametrize("mode", ["chat", "legacy", "responses"])
@pytest.mark.parametrize(
    ("status", "body", "error_class", "said"),
    [
        ("401 Unauthorized", b'{"detail":"Invalid API key","answer":"x","text":"x","output":[]}', ErrorClass.AUTH, "Invalid API key"),
        ("422 Unprocessable Entity", b'{"detail":[{"loc":["body","model"],"msg":"Field required"}]}', ErrorClass.HTTP_CLIENT, "Field required"),
        ("400 Bad Request", b'{"message":"unknown model"}', ErrorClass.HTTP_CLIENT, "unknown model"),
        ("429 Too Many Requests", b'{"error":{"message":"Rate limit exceeded"}}', ErrorClass.OVERLOAD, "Rate limit exceeded"),
        ("500 Internal Server Error", b"oops", ErrorClass.HTTP_SERVER, "oops"),
    ],
)  # fmt: skip
def test_errors_by_status(mode: str, status: str, body: bytes, error_class: ErrorClass, said: str) -> None:
    """On every route, streamed or not; their bodies are never an answer."""
    for backend in (find("maritaca", mode), whole(mode)):
        answer = answered(backend, body, status=status)
        assert (answer.error_class, answer.error_message, answer.text) == (error_class, said, "")


# -- legacy


def test_a_legacy_stream_ends_with_the_connection() -> None:
    """Four tokens a message, no usage, no mark: nothing is counted, and that is not 0."""
    parts = (b'data: {"text":"Era uma vez um"}\n\n', b': ping\n\ndata: {"text":" gato."}\n\n')
    answer = streamed(LEGACY, *parts)
    assert (answer.error_class, answer.text, answer.done) == (None, "Era uma vez um gato.", False)
    assert answer.times == [1_000_000, 2_000_000]
    assert (answer.output_tokens, answer.first_chunk_tokens, answer.finish_reason) == (None, None, None)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    assert read_wire(LEGACY, [head, *parts]).error_class is None


def test_a_legacy_stream_may_have_a_mark_all_the_same() -> None:
    """The usual one; then a cut after it is none."""
    answer = streamed(LEGACY, b'data: {"text":"Era"}\n\n', DONE, cut=True)
    assert (answer.error_class, answer.text, answer.done) == (None, "Era", True)


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"", b"data: {}\n\n"])
def test_what_closes_without_a_word_is_no_legacy_answer(body: bytes) -> None:
    """A login page ends on close as well."""
    answer = streamed(LEGACY, body, content_type="text/html")
    assert (answer.error_class, answer.text) == (ErrorClass.TRUNCATED, "")


def test_a_legacy_stream_cut_in_its_framing_is_truncated() -> None:
    """Where HTTP shows the end, a missing end is seen; what came is kept."""
    answer = streamed(LEGACY, b'data: {"text":"Era uma"}\n\n', cut=True)
    assert (answer.error_class, answer.text) == (ErrorClass.TRUNCATED, "Era uma")


@pytest.mark.parametrize("name", ["text", "answer", "content"])
def test_the_three_names_of_a_messages_text(name: str) -> None:
    """The documentation does not say which it is."""
    answer = streamed(LEGACY, *(f'data: {{"{name}":"{piece}"}}\n\n'.encode() for piece in ("a", "b", "c")))
    assert (answer.error_class, answer.text, len(answer.times)) == (None, "abc", 3)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ('{"prompt_tokens":9,"completion_tokens":4}', (9, 4)),
        ('{"input_tokens":9,"output_tokens":4,"total_tokens":13}', (9, 4)),
        ('{"prompt_tokens":null,"input_tokens":0,"completion_tokens":"4"}', (0, None)),
        ("null", (None, None)),
    ],
)
def test_a_whole_legacy_answer(usage: str, tokens: tuple[int | None, int | None]) -> None:
    """`answer` and `usage`, whose names are not documented either."""
    answer = answered(
        whole("legacy"), f'{{"answer":"Era uma vez","usage":{usage},"model":"sabia-3"}}'.encode()
    )
    assert (answer.error_class, answer.text, answer.streamed) == (None, "Era uma vez", False)
    assert (answer.prompt_tokens, answer.output_tokens) == tokens


@pytest.mark.parametrize("body", [b'{"usage":{}}', b"{}", b'{"answer":null,"detail":"no"}', b'{"answer":"x","error":"no"}'])  # fmt: skip
def test_a_whole_legacy_answer_without_text_is_an_error(body: bytes) -> None:
    """And so is one with an `error`."""
    answer = answered(whole("legacy"), body)
    assert (answer.error_class, answer.text) == (ErrorClass.STREAM_ERROR, "")


def test_an_error_in_a_legacy_stream() -> None:
    """It fails the request, and what came before is kept; other messages without text say nothing."""
    parts = (
        b'data: {"text":"Era"}\n\n',
        b'data: {"model":"sabia-3"}\n\n',
        b'data: {"detail":"timed out"}\n\n',
    )
    answer = streamed(LEGACY, *parts)
    assert (answer.error_class, answer.error_message) == (ErrorClass.STREAM_ERROR, "timed out")
    assert (answer.text, len(answer.times)) == ("Era", 1)


def test_the_short_way_of_legacy() -> None:
    """A message that is text and nothing else."""
    assert LEGACY.plain({"text": "a"}) == "a"
    assert LEGACY.plain({"text": "a", "usage": {}}) is None
    assert LEGACY.plain({"text": ""}) is None
    assert LEGACY.plain({"text": 3}) is None


# -- responses

EVENTS = (
    ("response.created", '{"type":"response.created","response":{"id":"resp-abc123","status":"in_progress","output":[]},"sequence_number":1}'),
    ("response.in_progress", '{"type":"response.in_progress","response":{"id":"resp-abc123"},"sequence_number":2}'),
    ("response.output_item.added", '{"type":"response.output_item.added","output_index":0,"item":{"type":"message"},"sequence_number":3}'),
    ("response.content_part.added", '{"type":"response.content_part.added","item_id":"msg-def456","output_index":0,"content_index":0,"part":{"type":"output_text","text":""},"sequence_number":4}'),
    ("response.output_text.delta", '{"type":"response.output_text.delta","item_id":"msg-def456","output_index":0,"content_index":0,"delta":"The capital","sequence_number":5}'),
    ("response.output_text.delta", '{"type":"response.output_text.delta","item_id":"msg-def456","output_index":0,"content_index":0,"delta":" of Brazil","sequence_number":6}'),
    ("response.output_text.done", '{"type":"response.output_text.done","item_id":"msg-def456","output_index":0,"content_index":0,"text":"The capital of Brazil","sequence_number":7}'),
    ("response.content_part.done", '{"type":"response.content_part.done","part":{"type":"output_text","text":"The capital of Brazil"},"sequence_number":8}'),
    ("response.output_item.done", '{"type":"response.output_item.done","output_index":0,"item":{"content":[{"type":"output_text","text":"The capital of Brazil"}]},"sequence_number":9}'),
)  # fmt: skip
COMPLETED = (
    '{"type":"response.completed","response":{"id":"resp-abc123","object":"response","status":"completed",'
    '"output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"The capital of Brazil"}]}],'
    '"usage":{"input_tokens":12,"output_tokens":8,"total_tokens":20,"input_tokens_details":{"cached_tokens":5},'
    '"output_tokens_details":{"reasoning_tokens":0}},"error":null,"incomplete_details":null},"sequence_number":10}'
)


def sse(*events: tuple[str, str]) -> list[bytes]:
    return [f"event: {name}\ndata: {data}\n\n".encode() for name, data in events]


def test_a_stream_of_responses() -> None:
    """Two pieces are two content events; the texts that come once more are none, and the last event counts."""
    answer = streamed(RESPONSES, *sse(*EVENTS, ("response.completed", COMPLETED)))
    assert (answer.error_class, answer.text, answer.done) == (None, "The capital of Brazil", True)
    assert answer.times == [5_000_000, 6_000_000]
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (12, 8, 5)
    assert (answer.response_id, answer.finish_reason) == ("resp-abc123", "stop")


def test_responses_without_their_last_event_are_truncated() -> None:
    """However cleanly HTTP ended."""
    answer = streamed(RESPONSES, *sse(*EVENTS))
    assert (answer.error_class, answer.text) == (ErrorClass.TRUNCATED, "The capital of Brazil")


@pytest.mark.parametrize("kind", ["response.incomplete", "response.completed"])
@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
)
def test_incomplete_responses(kind: str, reason: str, finish: str) -> None:
    """An answer that met its limit is an answer."""
    last = json.dumps(
        {
            "type": kind,
            "response": {
                "id": "r",
                "status": "incomplete",
                "incomplete_details": {"reason": reason},
                "usage": {"input_tokens": 3, "output_tokens": 150},
            },
        }
    )
    answer = streamed(RESPONSES, *sse(*EVENTS, (kind, last)))
    assert (answer.error_class, answer.finish_reason, answer.output_tokens) == (None, finish, 150)


@pytest.mark.parametrize(
    ("event", "error_class", "said"),
    [
        ('{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"CUDA"}}}', ErrorClass.STREAM_ERROR, "CUDA"),
        ('{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"slow down"}}}', ErrorClass.OVERLOAD, "slow down"),
        ('{"type":"response.failed","response":null,"message":"lost"}', ErrorClass.STREAM_ERROR, "lost"),
        ('{"type":"error","code":"internal_error","message":"broken"}', ErrorClass.STREAM_ERROR, "broken"),
        ('{"error":{"message":"bad gateway","code":502}}', ErrorClass.STREAM_ERROR, "bad gateway"),
        ('{"type":"response.completed","response":{"status":"failed","error":{"message":"late"}}}', ErrorClass.STREAM_ERROR, "late"),
    ],
)  # fmt: skip
def test_failed_responses(event: str, error_class: ErrorClass, said: str) -> None:
    """In mid-stream, with what had come before."""
    answer = streamed(RESPONSES, *sse(*EVENTS[:5], ("response.failed", event)))
    assert (answer.error_class, answer.error_message, answer.text) == (error_class, said, "The capital")


def test_reasoning_and_tool_calls_are_tokens() -> None:
    """Reasoning is told from the answer; a call's arguments are an answer."""
    parts = (
        ("response.reasoning_text.delta", '{"type":"response.reasoning_text.delta","delta":"hm"}'),
        (
            "response.function_call_arguments.delta",
            '{"type":"response.function_call_arguments.delta","delta":"{}"}',
        ),
        ("response.completed", '{"type":"response.completed","response":{"status":"completed"}}'),
    )
    answer = streamed(RESPONSES, *sse(*parts))
    assert (answer.error_class, answer.text, answer.first_answer_ns) == (None, "hm{}", 2_000_000)
    assert answer.times == [1_000_000, 2_000_000]


def test_a_whole_response() -> None:
    """The vendor's own sample."""
    body = (
        '{"id":"resp-abc123def456","object":"response","created_at":1234567890,"status":"completed","model":"sabia-4",'
        '"output":[{"id":"msg-def456","type":"message","role":"assistant","status":"completed","content":[{"type":'
        '"output_text","text":"The capital of Brazil is Brasília.","annotations":[]}]}],"usage":{"input_tokens":12,'
        '"output_tokens":8,"total_tokens":20,"input_tokens_details":{"cached_tokens":0}},"error":null,"incomplete_details":null}'
    )
    answer = answered(whole("responses"), body.encode())
    assert (answer.error_class, answer.text) == (None, "The capital of Brazil is Brasília.")
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (12, 8, 0)
    assert (answer.streamed, answer.finish_reason) == (False, "stop")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"status":"failed","output":[],"error":{"code":"internal_error","message":"oom"}}', "oom"),
        (b'{"status":"in_progress","output":[],"error":null}', "the response is in_progress"),
        (b'{"detail":"Not Found"}', "Not Found"),
    ],
)
def test_a_whole_response_that_is_none(body: bytes, said: str) -> None:
    """Under status 200."""
    answer = answered(whole("responses"), body)
    assert (answer.error_class, answer.error_message) == (ErrorClass.STREAM_ERROR, said)


def test_the_short_way_of_responses() -> None:
    """A piece of the text; anything else is read in full."""
    assert RESPONSES.plain({"type": "response.output_text.delta", "delta": "a", "sequence_number": 5}) == "a"
    assert RESPONSES.plain({"type": "response.output_text.delta", "delta": None}) is None
    assert RESPONSES.plain({"type": "response.reasoning_text.delta", "delta": "a"}) is None


# -- whatever else is sent


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    """On every route, streamed or not."""
    for mode in ("chat", "legacy", "responses"):
        survives(find("maritaca", mode), data)
        survives(whole(mode), data)


@given(st.dictionaries(st.sampled_from(["text", "answer", "usage", "detail", "error", "output", "status", "delta", "response"]), ANY_JSON),
       st.sampled_from(["", "response.completed", "response.failed", "response.output_text.delta", "response.created", "error"]))  # fmt: skip
def test_any_values_of_their_own_fields(said: dict[str, object], kind: str) -> None:
    """Whatever stands in them."""
    for shape in (said, {**said, "type": kind}, {"type": kind, "response": said}):
        data = json.dumps(shape).encode()
        for mode in ("legacy", "responses"):
            assert survives(find("maritaca", mode), data) is not None
            assert survives(whole(mode), data) is not None


def test_a_conversation_in_chat() -> None:
    """As OpenAI has it. Byte for byte."""
    assert CHAT.request(Ask("E?", 9, model="m", turns=TALK)).body.decode() == (
        '{"messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":"Olá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"max_tokens":9,"stream":true,"stream_options":{"include_usage":true},"model":"m"}'
    )


def test_a_conversation_in_legacy_has_two_roles() -> None:
    """The system's words begin the user's. Byte for byte."""
    assert LEGACY.request(Ask("E?", 9, model="m", turns=TALK)).body.decode() == (
        '{"model":"m","messages":[{"role":"user","content":"Seja breve.\\n\\nOlá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"}],'
        '"chat_mode":true,"do_sample":true,"temperature":0.7,"top_p":0.95,"max_tokens":9,"stopping_tokens":[],'
        '"stream":true,"num_tokens_per_message":4}'
    )


def test_a_conversation_in_responses_is_a_list() -> None:
    """The system's first words are the instructions; what it says later stays where it is. Byte for byte."""
    later = (*TALK, Turn("assistant", " foi"), Turn("system", "Em inglês."), Turn("user", "Ok"))
    assert RESPONSES.request(Ask("Ok", 9, model="m", turns=later)).body.decode() == (
        '{"model":"m","instructions":"Seja breve.","input":[{"role":"user","content":"Olá"},'
        '{"role":"assistant","content":" oi!"},{"role":"user","content":"E?"},'
        '{"role":"assistant","content":" foi"},{"role":"system","content":"Em inglês."},'
        '{"role":"user","content":"Ok"}],"max_output_tokens":9,"stream":true}'
    )
    assert RESPONSES.request(Ask("Olá", 9, model="m", turns=TALK[1:2])).body.decode() == (
        '{"model":"m","input":[{"role":"user","content":"Olá"}],"max_output_tokens":9,"stream":true}'
    )
    with pytest.raises(TypeError, match="not images"):
        RESPONSES.request(Ask("p", 9, turns=(Turn("user", "p", ("data:image/png;base64,AA==",)),)))
