"""From bytes to answers: recorded and hand-written streams of every dialect, whole, cut, and broken."""

import dataclasses
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import decode as decode_module
from harness import sse
from harness.answer import Answer
from harness.backends import BACKENDS, find
from harness.backends.base import Backend, Delta
from harness.backends.fields import Json
from harness.decode import BREATH, MAX_EVENT_BYTES, MAX_WHOLE_BYTES, decode, has_content
from harness.errors import ErrorClass, ProtocolError
from harness.received import Received

FIXTURES = Path(__file__).parent / "fixtures"
CHAT, COMPLETIONS = find("openai", "chat"), find("openai", "completions")
NATIVE = find("llamacpp", "native")


def receive(wire: bytes, cuts: Sequence[int] = (), *, close: bool = True) -> Received:
    """`wire` cut at `cuts`; the time of a read is the offset of its last byte."""
    received = Received()
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(wire)}), len(wire)]
    for start, stop in pairwise(edges):
        if received.add(wire[start:stop], stop):
            received.look()
    if close:
        received.close()
    return received


def gist(answer: Answer) -> tuple[object, ...]:
    """Everything an answer says but when."""
    return (
        answer.status,
        answer.text,
        len(answer.times),
        answer.done,
        answer.finish_reason,
        answer.response_id,
        answer.prompt_tokens,
        answer.output_tokens,
        answer.cached_tokens,
        answer.first_chunk_tokens,
        answer.prefill_ms,
        answer.decode_ms,
        answer.error_class,
        answer.error_message,
    )


def http(body: bytes, *, status: str = "200 OK", content_type: str = "text/event-stream") -> bytes:
    """A chunked response with one chunk per event, as servers send them."""
    chunks = b""
    at = 0
    while at < len(body):
        stop = body.find(b"\n\n", at)
        stop = len(body) if stop < 0 else stop + 2
        chunks += b"%x\r\n%s\r\n" % (stop - at, body[at:stop])
        at = stop
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + chunks + b"0\r\n\r\n"


def chat_chunk(**delta: object) -> str:
    return json.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


CHAT_EVENTS = [
    chat_chunk(role="assistant", content=None),
    chat_chunk(reasoning_content="hm, não"),
    chat_chunk(content="olá"),
    chat_chunk(content="語 🙂"),
    json.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}),
    json.dumps(
        {
            "id": "chatcmpl-1",
            "choices": [],
            "usage": {
                "prompt_tokens": 7,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 2},
            },
        }
    ),
    "[DONE]",
]
COMPLETION_EVENTS = [
    json.dumps({"id": "cmpl-1", "choices": [{"text": "ação", "finish_reason": None}]}, ensure_ascii=False),
    json.dumps({"id": "cmpl-1", "choices": [{"text": "\u2028x", "finish_reason": ""}]}, ensure_ascii=False),
    json.dumps({"id": "cmpl-1", "choices": [{"text": "", "finish_reason": "stop"}]}),
    json.dumps({"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
    "[DONE]",
]
NATIVE_EVENTS = [
    json.dumps({"content": "", "stop": False, "tokens_predicted": 0, "prompt_progress": {"total": 9}}),
    json.dumps({"content": "ã", "stop": False, "tokens_predicted": 2, "tokens": [1, 2]}, ensure_ascii=False),
    json.dumps({"content": "語", "stop": False, "tokens_predicted": 3}, ensure_ascii=False),
    json.dumps(
        {
            "content": "",
            "stop": True,
            "stop_type": "limit",
            "tokens_predicted": 3,
            "tokens_evaluated": 9,
            "timings": {
                "cache_n": 1,
                "prompt_n": 8,
                "prompt_ms": 4.5,
                "predicted_n": 3,
                "predicted_ms": 2.25,
            },
        }
    ),
]
STREAMS: dict[str, tuple[Backend, list[str]]] = {
    "chat": (CHAT, CHAT_EVENTS),
    "completions": (COMPLETIONS, COMPLETION_EVENTS),
    "native": (NATIVE, NATIVE_EVENTS),
}
# What servers put around an event: line ends, the space after the colon, comments, other fields.
STYLES = {
    "lf": "data: {}\n\n",
    "crlf": "data: {}\r\n\r\n",
    "cr": "data: {}\r\r",
    "no space": "data:{}\n\n",
    "ping": ": ping\n\ndata: {}\n\n",
    "bare comment": ":\n\ndata: {}\n\n",
    "named": "event: message\nid: 4\ndata: {}\n\n",
}
EXPECTED = {
    "chat": (200, "hm, nãoolá語 🙂", 3, True, "length", "chatcmpl-1", 7, 5, 2, None, None, None, None, None),
    "completions": (200, "ação\u2028x", 2, True, "stop", "cmpl-1", 3, 4, None, None, None, None, None, None),
    "native": (200, "ã語", 2, True, "length", None, 9, 3, 1, 2, 4.5, 2.25, None, None),
}


def stream(name: str, style: str) -> bytes:
    events = STREAMS[name][1]
    return http("".join(STYLES[style].format(event) for event in events).encode())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_of_every_dialect_in_every_style(name: str, style: str) -> None:
    """Cut once at every byte, the middle of a character, of a CRLF and of a chunk size included: one answer."""
    backend, wire = STREAMS[name][0], stream(name, style)
    for cut in range(len(wire)):
        received = receive(wire, [cut], close=False)
        assert received.framer.end == len(wire)
        assert gist(decode(backend, received)) == EXPECTED[name]


@given(st.sampled_from(sorted(STREAMS)), st.sampled_from(sorted(STYLES)), st.sets(st.integers(1, 4000)))
def test_many_cuts(name: str, style: str, cuts: set[int]) -> None:
    """Cut at any set of places: one answer, and times that ascend."""
    answer = decode(STREAMS[name][0], receive(stream(name, style), sorted(cuts), close=False))
    assert gist(answer) == EXPECTED[name]
    assert answer.times == sorted(answer.times)


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_dates_each_event_by_its_last_byte(name: str) -> None:
    """With one byte a read, a content event's time is the offset just past its blank line."""
    backend, wire = STREAMS[name][0], stream(name, "lf")
    answer = decode(backend, receive(wire, range(len(wire)), close=False))
    ends = []
    for event in STREAMS[name][1]:
        delta = backend.read(event.encode())
        if delta.answer or delta.reasoning:
            ends.append(wire.index(event.encode()) + len(event.encode()) + 2)
    assert answer.times == ends


@pytest.mark.parametrize("name", STREAMS)
def test_every_truncation_is_a_failure_that_keeps_its_content(name: str) -> None:
    """Cut off anywhere before the end mark, a stream is truncated; the content that came is a prefix."""
    backend, wire = STREAMS[name][0], stream(name, "lf")
    last = wire.rindex(b"data:")
    whole = EXPECTED[name][1]
    for stop in range(wire.index(b"\r\n\r\n") + 4, last):
        answer = decode(backend, receive(wire[:stop]))
        assert answer.error_class is ErrorClass.TRUNCATED
        assert isinstance(whole, str)
        assert whole.startswith(answer.text)


@pytest.mark.parametrize(
    ("file", "backend", "prompt", "times", "ended"),
    [
        ("llamacpp_native.http", NATIVE, 11, 6, True),
        ("llamacpp_chat.http", CHAT, 15, 6, True),
        ("llamacpp_completions.http", COMPLETIONS, 3, 6, True),
    ],
)
def test_recorded_llamacpp_streams(file: str, backend: Backend, prompt: int, times: int, ended: bool) -> None:
    """Bytes of a real server: six tokens, never seven for the event that only ends the stream."""
    wire = (FIXTURES / file).read_bytes()
    cutting: tuple[Sequence[int], ...] = ((), range(0, len(wire), 7))
    for cuts in cutting:
        answer = decode(backend, receive(wire, cuts))
        assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (prompt, 6, "length")
        assert (len(answer.times), answer.done, answer.error_class) == (times, ended, None)
        assert answer.prefill_ms is not None
        assert answer.decode_ms is not None


def test_a_recorded_answer_that_was_not_streamed() -> None:
    """One JSON object: counted and dated by its end, and no first token can be told."""
    wire = (FIXTURES / "llamacpp_chat_whole.http").read_bytes()
    answer = decode(CHAT, receive(wire, [100, 300]))
    assert not answer.streamed
    assert (answer.text, answer.output_tokens, answer.cached_tokens) == (" grammarThepop'sgr.,", 6, 14)
    assert answer.times == [len(wire)]
    assert answer.error_class is None


def test_a_recorded_error_body() -> None:
    """A 400 fails with the server's own words."""
    answer = decode(NATIVE, receive((FIXTURES / "llamacpp_too_long.http").read_bytes()))
    assert answer.error_class is ErrorClass.HTTP_CLIENT
    assert answer.error_message == (
        "request (5001 tokens) exceeds the available context size (2048 tokens), try increasing it"
    )


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b'data: {"error":{"message":"out of memory","code":500}}\n\ndata: [DONE]\n\n', "out of memory"),
        (b'data: {"error":"Unauthorized"}\n\n', "Unauthorized"),
        (b'error: {"code":500,"message":"slot failed"}\n\ndata: [DONE]\n\n', "slot failed"),
        (b'event: error\ndata: {"message":"slot lost"}\n\n', "slot lost"),
        (b'data: {"detail":"quota exceeded"}\n\ndata: [DONE]\n\n', "quota exceeded"),
        (b'data: {"object":"error","message":"engine died","code":500}\n\ndata: [DONE]\n\n', "engine died"),
    ],
)
def test_an_error_inside_a_200_stream_is_a_failure(tail: bytes, message: str) -> None:
    """Whatever its shape, and [DONE] after it does not clear it; what came before is kept."""
    answer = decode(CHAT, receive(http(f"data: {CHAT_EVENTS[2]}\n\n".encode() + tail)))
    assert (answer.error_class, answer.error_message) == (ErrorClass.STREAM_ERROR, message)
    assert answer.text == "olá"


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        ("401 Unauthorized", ErrorClass.AUTH),
        ("403 Forbidden", ErrorClass.AUTH),
        ("404 Not Found", ErrorClass.NOT_FOUND),
        ("429 Too Many Requests", ErrorClass.OVERLOAD),
        ("503 Service Unavailable", ErrorClass.OVERLOAD),
        ("422 Unprocessable Entity", ErrorClass.HTTP_CLIENT),
        ("500 Internal Server Error", ErrorClass.HTTP_SERVER),
        ("302 Found", ErrorClass.HTTP_OTHER),
    ],
)
def test_status_classes(status: str, error_class: ErrorClass) -> None:
    """Each status has its class, and a body is never taken for an answer."""
    body = b'{"error":{"message":"no"},"choices":[{"message":{"content":"not an answer"}}]}'
    answer = decode(CHAT, receive(http(body, status=status, content_type="application/json")))
    assert (answer.error_class, answer.error_message, answer.text) == (error_class, "no", "")


@pytest.mark.parametrize("data", ["{", "[1]", "nonsense", '"text"', "{} {}"])
def test_an_event_that_is_no_json_object(data: str) -> None:
    """Garbage in a complete stream is its own class and shows what it was."""
    answer = decode(CHAT, receive(http(f"data: {data}\n\ndata: [DONE]\n\n".encode())))
    assert answer.error_class is ErrorClass.BAD_STREAM
    assert answer.error_message is not None
    assert data[:5] in answer.error_message


@pytest.mark.parametrize(
    "event",
    [
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 5}}]},
        {"choices": {}, "usage": {"completion_tokens": "many"}},
        {"usage": None, "timings": [], "metrics": 1},
        {"choices": [{"delta": {"tool_calls": [None, {"function": None}]}}]},
        {"usage": {"completion_tokens": -1, "prompt_tokens": True}},
    ],
)
def test_odd_shapes_are_no_content_and_no_crash(event: dict[str, object]) -> None:
    """Fields of wrong types mean nothing was said, and nothing at all is no answer."""
    answer = decode(CHAT, receive(http(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())))
    assert (answer.times, answer.output_tokens, answer.prompt_tokens, answer.error_class) == (
        [],
        None,
        None,
        ErrorClass.BAD_STREAM,
    )


def test_finish_reason_ends_a_stream_that_ended_as_http_says() -> None:
    """Some servers leave [DONE] out; a cut after the finish reason is still a cut."""
    body = f"data: {CHAT_EVENTS[2]}\n\ndata: {CHAT_EVENTS[4]}\n\n".encode()
    assert decode(CHAT, receive(http(body))).error_class is None
    assert decode(CHAT, receive(http(body)[:-5])).error_class is ErrorClass.TRUNCATED


def test_reasoning_and_tool_calls_are_tokens_and_answers_are_told_apart() -> None:
    """TTFT counts reasoning, TTFA waits for the answer; a tool call's arguments are an answer."""
    tool = chat_chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}])
    body = f"data: {chat_chunk(reasoning='mm')}\n\ndata: {tool}\n\ndata: [DONE]\n\n".encode()
    wire = http(body)
    answer = decode(CHAT, receive(wire, range(len(wire))))
    assert answer.text == "mmf{}"
    assert len(answer.times) == 2
    assert answer.first_answer_ns == answer.times[1]


def test_has_content_waits_for_a_token() -> None:
    """Headers, a role chunk and pings are no first token."""
    wire = stream("chat", "ping")
    first = wire.index(b"reasoning_content")
    assert not has_content(CHAT, receive(wire[:40], close=False))
    assert not has_content(CHAT, receive(wire[: first - 200], close=False))
    assert has_content(CHAT, receive(wire[: first + 120], close=False))


def counting_breaths(body: str) -> tuple[Answer, int]:
    """What a whole body says, and how often reading it drew breath."""
    breaths = 0

    def breathe() -> None:
        nonlocal breaths
        breaths += 1

    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    return decode(CHAT, receive((head + body).encode()), breathe), breaths


def test_long_streams_breathe() -> None:
    """Reading 50,000 events out of one read lets others read in between."""
    body = "".join(f"data: {chat_chunk(content='x')}\n\n" for _ in range(50_000)) + "data: [DONE]\n\n"
    answer, breaths = counting_breaths(body)
    assert len(answer.times) == 50_000
    assert breaths >= 50_001 // BREATH


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(noise: bytes) -> None:
    """Whatever a server sends is an answer with an error class, not an exception."""
    for head in (
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
        b"HTTP/1.1 500 no\r\n\r\n",
    ):
        for backend in (CHAT, NATIVE):
            try:
                received = receive(head + noise)
            except ProtocolError:
                continue
            decode(backend, received)


def test_characters_torn_between_tokens_are_mended_or_replaced() -> None:
    """Byte-level models send half characters: the request is fine, and halves that meet become one."""
    halves = b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\ndata: {"choices":[{"delta":{"content":"\\ude42"}}]}\n\n'
    answer = decode(CHAT, receive(http(halves + b"data: [DONE]\n\n")))
    assert (answer.text, len(answer.times), answer.error_class) == ("\U0001f642", 2, None)
    torn = b'data: {"choices":[{"delta":{"content":"a\xc3"}}]}\n\ndata: [DONE]\n\n'
    answer = decode(CHAT, receive(http(torn)))
    assert (answer.text, answer.error_class) == ("a\ufffd", None)


def test_failures_say_what_came_instead() -> None:
    """A redirect says where to, a page says that it is one, an empty body its status."""
    body = http(b"", status="302 Found").replace(
        b"Content-Type", b"Location: http://me:secret@x/login;id=secret?token=secret#secret\r\nContent-Type"
    )
    assert (
        decode(CHAT, receive(body)).error_message == "(a redirect to http://x/login, which is not followed)"
    )
    page = decode(CHAT, receive(http(b"<html>Log in</html>", content_type="text/html")))
    assert page.error_message == "a body of type 'text/html' and no stream: <html>Log in</html>"
    assert decode(CHAT, receive(http(b"", status="500 no"))).error_message == "HTTP status 500"


def test_a_servers_words_cannot_steer_a_terminal() -> None:
    """Escape sequences in error texts are shown, not obeyed."""
    body = b'{"error":{"message":"\\u001b[31mred\\u0007\\n\\nend"}}'
    answer = decode(CHAT, receive(http(body, status="400 no", content_type="application/json")))
    assert answer.error_message == "?[31mred? end"


@dataclass(frozen=True, slots=True)
class InFull:
    """A backend whose every event is read in full: what the short way must agree with."""

    backend: Backend

    def read(self, data: bytes) -> Delta:
        return self.backend.read(data)

    def plain(self, event: Json) -> str | None:
        return None

    def __getattr__(self, name: str) -> object:
        return getattr(self.backend, name)


@contextmanager
def windows_of(size: int) -> Iterator[None]:
    """A smaller window, so that short streams have several."""
    usual, sse.WINDOW_BYTES = sse.WINDOW_BYTES, size
    try:
        yield
    finally:
        sse.WINDOW_BYTES = usual


def spelled(value: object) -> st.SearchStrategy[bytes]:
    """JSON as servers write it: compact, spaced, in raw UTF-8 or escaped."""
    return st.sampled_from(
        [
            json.dumps(value).encode(),
            json.dumps(value, separators=(",", ":")).encode(),
            json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            b" " + json.dumps(value).encode() + b" ",
        ]
    )


WORDS = st.sampled_from(
    [
        "a",
        " the",
        "ção",
        "語🙂",
        "\x00",
        "\x7f",
        "\ud83d",
        "\ude42",
        "\n\n",
        "},{",
        "",
        "data: {",
        "\ufeff",
        "\u2028",
    ]
)
USAGES: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        {},
        {"completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": 2**60},
        [],
        "x",
        {"completion_tokens": True},
    ]
)
FINISHES = st.sampled_from([None, "", "stop", "length", 5])
ODD = st.one_of(
    st.none(),
    st.just([]),
    st.just({}),
    st.integers(-1, 9),
    st.text(max_size=3),
    st.just([None]),
    st.just([{}]),
)


@st.composite
def openai_events(draw: st.DrawFn) -> object:
    """A chunk of either OpenAI mode, or of neither, with anything else a server may put beside the text."""
    word = draw(WORDS)
    choice: dict[str, object] = draw(
        st.sampled_from(
            [
                {"delta": {"content": word}},
                {"delta": {"content": word}, "finish_reason": None},
                {"text": word},
                {"text": word, "finish_reason": ""},
                {"delta": {"role": "assistant", "content": None}},
                {"delta": {"reasoning_content": word}},
                {"delta": {"reasoning": word, "content": word}},
                {"delta": {"tool_calls": [{"function": {"name": word, "arguments": "{}"}}]}},
                {"delta": {"content": word, "tool_calls": [{"function": {"name": "f"}}]}},
                {"message": {"content": word}},
                {"message": {"content": word}, "text": "t"},
                {"delta": {}, "text": word},
            ]
        )
    )
    if draw(st.booleans()):
        choice = {**choice, "finish_reason": draw(FINISHES), "logprobs": [{"a": 1}, {"b": [{"c": 2}]}]}
    event: dict[str, object] = {"id": "same", "choices": [choice]}
    if draw(st.integers(0, 3)) == 0:
        event["usage"] = draw(USAGES)
    if draw(st.integers(0, 9)) == 0:
        event[draw(st.sampled_from(["choices", "error", "metrics", "timings", "usage", "id2"]))] = draw(ODD)
    return event


@st.composite
def native_events(draw: st.DrawFn, *, counted: bool) -> object:
    """An event of llama.cpp's own, perhaps with an end or an error, and with a running count or not."""
    event: dict[str, object] = {"content": draw(st.one_of(WORDS, st.none(), st.just(4)))}
    if counted:
        event["tokens_predicted"] = draw(st.sampled_from([0, 1, 2, 3]))
    if draw(st.booleans()):
        event["stop"] = draw(st.sampled_from([False, False, None, 1, True]))
    if draw(st.integers(0, 9)) == 0:
        event[draw(st.sampled_from(["error", "timings", "stop_type", "tokens_evaluated"]))] = draw(ODD)
    return event


def usual(number: int, *, native: bool, counted: bool = True) -> bytes:
    """What nearly all events of a stream are: with an id on all or none, with a running count on all or none."""
    if native:
        count = {"tokens_predicted": number} if counted else {}
        return json.dumps({"content": f"w{number}", "stop": False, **count}).encode()
    return json.dumps(
        {"id": "same", "choices": [{"delta": {"content": f"w{number}"}, "text": f"w{number}"}]}
    ).encode()


NASTY = st.sampled_from(
    [
        b"[DONE]",
        b" [DONE] ",
        b"{}",
        b"{",
        b"[1]",
        b"5",
        b"{} {}",
        b'{"content":"a"},{"content":"b"}',
        b'{"content":"a"},"\x7f",{"content":"b"}',
        b'{"content":"a"},"\\u007f",{"content":"b"}',
        b'{"content":"a"},"\\u007F",5',
        b'{"x":[1',
        b'{"content":"b"}]}',
        b'{"content":"a\xc3"}',
        b'{"content":"\x00"}',
        b'{"timings":{"prompt_ms":1' + b"0" * 400 + b'},"x":"\xff"}',
        b'{"id":"same","choices":[{"delta":{"content":"\xff"},"text":"\xff"}]}',
        b'{"error":{"message":"full"}}',
        b'{"error":"' + b"e" * 3000 + b'"}',
        b"",
    ]
)
FRAMES = st.sampled_from(
    [
        *(b"data: %s\n\n",) * 6,
        b"data: %s\r\n\r\n",
        b"data: %s\r\r",
        b"data: %s\n\r\n",
        b"data:%s\n\n",
        b"data: %s\n\n\n",
        b"data: %s\ndata: {}\n\n",
        b"data: \ndata: %s\n\n",
        b"event: error\ndata: %s\n\n",
        b"error: %s\n\n",
        b"id: 1\nretry: 5\ndata: %s\n\n",
        b": %s\n\n",
        b"\xef\xbb\xbfdata: %s\n\n",
        b"data: %s\x00\n\n",
        b"unknown: %s\n\n",
        b"data: %s\n",
        b"\rdata: %s\n\n",
    ]
)


@st.composite
def bodies(draw: st.DrawFn, *, native: bool) -> bytes:
    """A stream of anything, in which runs of usual events make it worth while to go the short way."""
    body, counted = b"", draw(st.booleans())
    for _ in range(draw(st.integers(1, 8))):
        match draw(st.integers(0, 4)):
            case 0 | 1:
                count = draw(st.sampled_from([1, 2, 3, BREATH - 1, BREATH, BREATH + 1, 2 * BREATH + 3]))
                body += b"".join(
                    b"data: %s\n\n" % usual(number, native=native, counted=counted) for number in range(count)
                )
            case 2 | 3:
                event = draw(native_events(counted=counted) if native else openai_events())
                body += draw(FRAMES).replace(b"%s", draw(spelled(event)))
            case _:
                body += draw(FRAMES).replace(b"%s", draw(NASTY))
    return body


def chunked(body: bytes, edges: Sequence[int]) -> bytes:
    """A chunked response whose chunks end at `edges`, wherever in an event that is."""
    bounds = [0, *sorted({edge for edge in edges if 0 < edge < len(body)}), len(body)]
    chunks = [
        b"%x\r\n%s\r\n" % (stop - start, body[start:stop]) for start, stop in pairwise(bounds) if stop > start
    ]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(chunks) + b"0\r\n\r\n"


# One of each kind: many are the generic one under another name.
KINDS = {(type(backend), backend.mode): backend for modes in BACKENDS.values() for backend in reversed(modes)}
DIALECTS = sorted((backend.name, backend.mode) for backend in KINDS.values())
OFFSETS = st.sets(st.integers(1, 30_000), max_size=12)


@pytest.mark.parametrize(("name", "mode"), DIALECTS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_the_short_way_says_what_reading_in_full_says(name: str, mode: str, data: st.DataObject) -> None:
    """Any mix of events, framed, cut and broken off anywhere: every field and every time is the same."""
    backend = find(name, mode)
    body = data.draw(bodies(native=mode == "native"))
    wire = chunked(body, sorted(data.draw(OFFSETS)))
    if data.draw(st.booleans()):
        wire = wire[: data.draw(st.integers(0, len(wire)))]
    cuts, window = sorted(data.draw(OFFSETS)), data.draw(st.sampled_from([1, 40, 1000, sse.WINDOW_BYTES]))
    expected = decode(InFull(backend), receive(wire, cuts))  # type: ignore[arg-type]  # it only reads
    with windows_of(window):
        assert decode(backend, receive(wire, cuts)) == expected
        assert has_content(backend, receive(wire, cuts)) == bool(expected.ends)


SPREAD = (
    [b'{"content":"first"}', b'{"content":"a"},{"content":"b"}', b'{"x":[1', b'{"content":"c"}]}'],
    [b'{"content":"first"}', b'{"content":"a"},5', b'{"x":[1', b'{"content":"c"}]}'],
    [b'{"content":"first"}', b'{"content":"a"},"\x7f",5', b'{"content":"x', b'{y"}'],
    [b'{"content":"first"}', b'{"content":"a"},"\\u007f",5', b'{"content":"x', b'{y"}'],
)


@pytest.mark.parametrize("events", SPREAD)
def test_two_objects_in_one_event_do_not_make_up_for_one_in_two(events: list[bytes]) -> None:
    """As many objects as events is not one in each: garbage is found out, and nobody falls over it."""
    body = b"".join(b"data: %s\n\n" % event for event in events)
    answer = decode(NATIVE, receive(http(body)))
    assert (answer.text, answer.error_class) == ("first", ErrorClass.BAD_STREAM)


def test_a_running_count_is_the_last_that_was_said() -> None:
    """Of a stream that broke off: an event without text may count after the last that has some."""
    events = [(f"w{number}", number) for number in range(1, 9)]
    for tail, expected in (([], 8), ([("", 9)], 9), ([("", 9), ("x", 10)], 10), ([("", 9), ("x", None)], 9)):
        said = [
            {"content": word, "stop": False, "tokens_predicted": count} for word, count in [*events, *tail]
        ]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in said).encode()
        assert decode(NATIVE, receive(http(body)[:-5])).tokens_so_far == expected


def breathing(wire: bytes, backend: Backend = CHAT) -> tuple[Answer, list[int]]:
    """The answer, and for each breath how many events had been looked at before it."""
    breaths: list[int] = []
    looked = 0
    original = decode_module._read_block
    plain = decode_module._plain

    def block(*arguments: object, **named: object) -> bool:
        nonlocal looked
        looked += 1
        return original(*arguments, **named)  # type: ignore[arg-type]

    def short(*arguments: object) -> list[str | None]:
        nonlocal looked
        said = plain(*arguments)  # type: ignore[arg-type]
        looked += sum(piece is not None for piece in said)
        return said

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_module, "_read_block", block)
        patch.setattr(decode_module, "_plain", short)
        answer = decode(backend, receive(wire), lambda: breaths.append(looked))
    return answer, breaths


@pytest.mark.parametrize("ping", [b"", b": ping\n\n"])
@pytest.mark.parametrize("key", ["content", "reasoning_content"])
def test_no_more_than_a_slice_between_two_breaths(key: str, ping: bytes) -> None:
    """Answers, reasoning and pings alike: never more than `BREATH` blocks are read in one go."""
    body = b"".join(b"data: %s\n\n%s" % (chat_chunk(**{key: "x"}).encode(), ping) for _ in range(2_000))
    answer, breaths = breathing(http(body + b"data: [DONE]\n\n"))
    assert (len(answer.times), answer.error_class) == (2_000, None)
    last = 2_001 + 2_000 * bool(ping)  # the end mark, after which nothing is read
    assert max(after - before for before, after in pairwise([0, *breaths, last])) <= BREATH


@pytest.mark.parametrize("style", ["data: {}\r\r", ": c\ndata: {}\r\n\n", "data: {}\n\r\n"])
def test_a_stream_without_a_cut_breathes_by_lines(style: str) -> None:
    """Where no empty line is one that events can be cut at, breath is drawn every few lines all the same."""
    body = "".join(style.format(chat_chunk(content="x")) for _ in range(5_000)) + "data: [DONE]\n\n"
    answer, breaths = counting_breaths(body)
    assert (len(answer.times), answer.error_class) == (5_000, None)
    assert breaths >= 10_000 // max(sse.BREATH_LINES, BREATH)


def peak_of(work: Callable[[], object]) -> int:
    """The most memory that `work` had at a time, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("unit", "error_class"),
    [
        (b"\n", ErrorClass.TRUNCATED),
        (b"data:\n", ErrorClass.TOO_LARGE),
        (b"data: x\n", ErrorClass.TOO_LARGE),
        (b"id: 1\n", ErrorClass.TRUNCATED),
        (b":\n\n", ErrorClass.TRUNCATED),
        (b"data: " + b"x" * 1_000_000, ErrorClass.TOO_LARGE),
    ],
)
def test_memory_is_a_small_multiple_of_the_body(
    unit: bytes, error_class: ErrorClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of empty lines, of an endless event or an endless line takes a small multiple of its size."""
    monkeypatch.setattr(decode_module, "MAX_EVENT_BYTES", 15_000)
    body = (unit * (200_000 // len(unit) + 1))[:200_000]
    received = receive(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body)
    answers: list[Answer] = []
    with windows_of(8_192):
        peak = peak_of(lambda: answers.append(decode(CHAT, received)))
    assert answers[0].error_class is error_class
    assert peak < 12 * len(body)


@pytest.mark.parametrize("unit", [b"\n", b"data:\n", b": ping\n\n", b"\r", b"data: {}\n"])
def test_garbage_takes_no_longer_than_its_size_warrants(unit: bytes) -> None:
    """Four times as much takes about four times as long, not sixteen."""

    def seconds(size: int) -> float:
        received = receive(b"HTTP/1.1 200 OK\r\n\r\n" + (unit * size)[:size])
        begin = time.perf_counter()
        decode(CHAT, received)
        return time.perf_counter() - begin

    small = min(seconds(100_000) for _ in range(3))
    assert min(seconds(400_000) for _ in range(3)) < 10 * small


def test_an_answer_that_is_no_stream_may_be_large_but_not_endless() -> None:
    """A whole answer cannot be read in slices, so there is a limit to it."""
    for size, error_class in ((MAX_EVENT_BYTES * 2, None), (MAX_WHOLE_BYTES + 1, ErrorClass.TOO_LARGE)):
        body = json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}).encode()
        body = body.replace(b'""', b'"%s"' % (b"x" * (size - len(body))))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON\r\nContent-Length: %d\r\n\r\n" % len(body)
        answer = decode(CHAT, receive(head + body))
        assert (answer.streamed, answer.error_class) == (False, error_class)


def test_ids_and_reasons_are_words() -> None:
    """A server's id of a megabyte, or one that steers a terminal, is not kept as it is."""
    event = {"id": "i" * 100_000, "choices": [{"text": "x", "finish_reason": "\x1b[31m\ud800" + "r" * 999}]}
    answer = decode(COMPLETIONS, receive(http(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())))
    assert answer.response_id == "i" * 300
    assert answer.finish_reason == "?[31m?" + "r" * 294


def test_a_first_token_is_looked_for_no_further_than_it_is_found() -> None:
    """Asking whether content has come costs no parse of all that came after it."""
    reads: list[bytes] = []

    @dataclass(frozen=True, slots=True)
    class Counting(InFull):
        def read(self, data: bytes) -> Delta:
            reads.append(data)
            return self.backend.read(data)

    body = b"".join(b"data: %s\n\n" % usual(number, native=False) for number in range(2_000))
    assert has_content(Counting(CHAT), receive(http(body)))  # type: ignore[arg-type]
    assert len(reads) == 1


def test_json_that_is_no_answer_is_no_success() -> None:
    """A list of models, a health page: 200, JSON, and nothing a dialect knows."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    for body in (b'{"object": "list", "data": []}', b"{}", b'{"status": "ok"}'):
        for name, mode in DIALECTS:
            answer = decode(
                dataclasses.replace(find(name, mode), stream=False), receive(head % len(body) + body)
            )
            assert answer.error_class is not None, (name, mode, body)
            assert not answer.ends


def test_an_error_event_that_is_not_json_is_still_the_servers_error() -> None:
    """Its words are kept."""
    answer = decode(CHAT, receive(http(b"event: error\ndata: the GPU is on fire\n\n")))
    assert (answer.error_class, answer.error_message) == (ErrorClass.STREAM_ERROR, "the GPU is on fire")


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"code": 503, "message": "queue full"}},
        {"error": {"type": "overloaded_error", "message": "try later"}},
        {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
        {"object": "error", "code": 429, "message": "busy"},
        {"error": "Model is overloaded"},
    ],
)
def test_overload_told_inside_a_stream_is_overload(error: dict[str, object]) -> None:
    """By code, by type or by words."""
    answer = decode(CHAT, receive(http(f"data: {json.dumps(error)}\n\n".encode())))
    assert answer.error_class is ErrorClass.OVERLOAD


def test_what_comes_after_the_end_mark_is_no_part_of_the_answer() -> None:
    """Its text does not count."""
    body = f"data: {CHAT_EVENTS[2]}\n\ndata: [DONE]\n\n".encode()
    whole = decode(CHAT, receive(http(body)))
    more = decode(CHAT, receive(http(body + f"data: {CHAT_EVENTS[2]}\n\n".encode())))
    assert (
        (more.text, len(more.times), more.error_class)
        == (whole.text, len(whole.times), None)
        == ("olá", 1, None)
    )


def test_an_end_mark_alone_is_no_answer() -> None:
    """No text, no count, no reason: a server that says only that it is done has said nothing."""
    assert decode(CHAT, receive(http(b"data: [DONE]\n\n"))).error_class is ErrorClass.BAD_STREAM
    ended = json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    answer = decode(CHAT, receive(http(f"data: {ended}\n\ndata: [DONE]\n\n".encode())))
    assert (answer.error_class, answer.finish_reason, answer.text) == (None, "stop", "")
