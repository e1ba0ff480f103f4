"""Decoding by a dialect so small that all of it is on this page, and every offset is counted by hand."""

import json
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from harness import decode as module
from harness.answer import Answer
from harness.backends.base import Ask, Backend, Delta, Framing, HttpRequest
from harness.backends.fields import Json
from harness.decode import decode, has_content, is_streamed, read_part
from harness.errors import ErrorClass, MalformedChunk
from harness.received import Received


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy(Backend):
    """`t` is a text, `n` the count so far, `end` the end; all else is malformed."""

    @property
    def path(self) -> str:
        """Nothing is sent."""
        return "/"

    def request(self, ask: Ask) -> HttpRequest:
        """Nothing is sent."""
        raise NotImplementedError

    def read(self, data: bytes) -> Delta:
        """One event."""
        try:
            said = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise MalformedChunk("not JSON") from error
        error = said.get("error")
        known = {"error": error, "error_class": ErrorClass.STREAM_ERROR} if error else {}
        return Delta(
            answer=said.get("t", ""), tokens_so_far=said.get("n"), done=said.get("end", False),
            finish_reason=said.get("why"), **known,
        )  # fmt: skip

    def plain(self, event: Json) -> str | None:
        """The short way for a text alone."""
        return event["t"] if list(event) == ["t"] else None


SSE = Toy(name="toy", mode="chat")
LINES = replace(SSE, framing=Framing.LINES)
WHOLE = replace(SSE, stream=False)
END = '{"end":true}'


def received(body: bytes, *, status: str = "200 OK", fields: str = "", cut: int = 0) -> Received:
    """A response that came at once at 1 ns, without its last `cut` bytes."""
    fields = fields or "Content-Type: text/event-stream\r\n"
    wire = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body
    got = Received()
    got.add(wire[: len(wire) - cut], 1)
    got.look()
    got.close()
    return got


def events(*said: str) -> bytes:
    """One `data:` line each."""
    return b"".join(f"data: {one}\n\n".encode() for one in said)


def failure(answer: Answer) -> tuple[ErrorClass | None, str | None]:
    """What is wrong with it."""
    return answer.error_class, answer.error_message


# Heads.


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *(
            ("7", 7.0),
            ("0", 0.0),
            ("1.5", 1.5),
            ("1.5.5", None),
            ("1234567", 1234567.0),
            ("12345678", None),
            ("", None),
        ),
        *(("\u00b2", None), ("-1", None), ("Wed, 21 Oct", None)),
    ],
)
def test_when_to_come_back(said: str, seconds: float | None) -> None:
    """Seconds of up to seven characters; a date says nothing here."""
    got = received(b"later", status="503 Busy", fields=f"Retry-After: {said}\r\n")
    answer = decode(SSE, got)
    assert (answer.retry_after_s, answer.error_class) == (seconds, ErrorClass.OVERLOAD)


def test_an_id_in_a_header_is_kept() -> None:
    """The first of the names it may have."""
    got = received(
        events('{"t":"a"}', END),
        fields="Content-Type: text/event-stream\r\nX-Request-Id: r1\r\nRequest-Id: r2\r\n",
    )
    assert decode(SSE, got).response_id == "r1"
    assert decode(SSE, received(events('{"t":"a"}', END))).response_id is None


@pytest.mark.parametrize(
    ("status", "told"), [(299, False), (300, True), (301, True), (308, True), (399, True), (400, False)]
)
def test_where_a_redirect_leads(status: int, told: bool) -> None:
    """Told of 3xx alone."""
    got = received(b"x", status=f"{status} X", fields="Location: http://a.example/b\r\n")
    assert ("a redirect to" in str(decode(SSE, got).error_message)) == told


@pytest.mark.parametrize(
    ("backend", "status", "kind", "streamed"),
    [
        (SSE, 200, "text/event-stream", True),
        (SSE, 200, "application/json", False),
        (SSE, 200, "application/stream+json", True),
        (SSE, 200, "", True),
        (LINES, 200, "application/json", True),
        (WHOLE, 200, "application/json", False),
        (WHOLE, 200, "text/event-stream", True),
        (SSE, 201, "text/event-stream", False),
        (SSE, 199, "text/event-stream", False),
        (SSE, 500, "application/json", False),
    ],
)
def test_what_is_read_as_a_stream(backend: Backend, status: int, kind: str, streamed: bool) -> None:
    """A server may stream what was asked for whole, and the other way round; an error is no stream."""
    got = Received()
    got.add(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n\r\n".encode(), 1)
    got.look()
    head = got.framer.head
    if status < 200:
        assert head is None
        return
    assert head is not None
    assert is_streamed(backend, head) is streamed


# Answers that are no streams.


def test_a_whole_answer_and_how_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event that ends with the body; cut, too large, garbage, or JSON that is no answer, in 200 bytes of it."""
    body = b'{"t":"abc"}'
    answer = decode(WHOLE, received(body, fields="X: y\r\n"))
    assert (answer.text, answer.ends, answer.streamed, answer.error_class) == ("abc", [11], False, None)
    cut = decode(WHOLE, received(body, fields="X: y\r\n", cut=1))
    assert failure(cut) == (ErrorClass.TRUNCATED, "the connection closed in the middle of the body")
    assert failure(decode(WHOLE, received(b"{", fields="X: y\r\n"))) == (ErrorClass.BAD_STREAM, "not JSON")
    other = json.dumps({"x": "y" * 300}, separators=(",", ":")).encode()
    assert failure(decode(WHOLE, received(other, fields="X: y\r\n"))) == (
        ErrorClass.BAD_STREAM, f"JSON that is no answer: {other[:200].decode()}",
    )  # fmt: skip
    monkeypatch.setattr(module, "MAX_WHOLE_BYTES", 11)
    assert decode(WHOLE, received(body, fields="X: y\r\n")).error_class is None
    larger = decode(WHOLE, received(body + b" ", fields="X: y\r\n"))
    assert failure(larger) == (ErrorClass.TOO_LARGE, "an answer of 12 bytes, over 11")


@pytest.mark.parametrize("fields", ["Content-Type: text/html\r\n", "Content-Type: text/event-stream\r\n"])
def test_a_page_in_the_place_of_a_stream_is_shown(fields: str) -> None:
    """Where the server says that it is none; a stream without an end is only that."""
    page = decode(SSE, received(b"log in", fields=fields))
    ended = (ErrorClass.TRUNCATED, "the stream ended without its end mark")
    assert failure(page) == (
        (ErrorClass.TRUNCATED, "a body of type 'text/html' and no stream: log in")
        if "html" in fields
        else ended
    )
    assert failure(decode(SSE, received(b"", fields=fields))) == ended
    text = decode(SSE, received(events('{"t":"a"}'), fields=fields))
    assert failure(text) == ended
    bad = decode(SSE, received(events("{"), fields=fields))
    assert failure(bad) == (ErrorClass.BAD_STREAM, "not JSON")


# Streams of lines.


def lines(body: bytes, **options: Any) -> Answer:
    """The answer of a stream of one object a line."""
    return decode(LINES, received(body, **options))


def test_lines_by_hand() -> None:
    """Each ends past its line end; blank ones and what follows the end say nothing; the last may lack its line end."""
    answer = lines(b'\n{"t":"a","n":1}\n\n  {"t":"b","n":2} \n' + END.encode() + b'\n{"t":"late"}\n')
    assert (answer.pieces, answer.ends, answer.tokens_so_far, answer.done) == (["a", "b"], [17, 37], 2, True)
    assert answer.error_class is None
    last = lines(b'{"t":"a"}\n{"t":"b","end":true}')
    assert (last.ends, last.done, last.error_class) == ([10, 30], True, None)
    first = lines(b'{"t":"a"}\n{"t":"b"}\n{')
    assert (first.ends, failure(first)) == ([10, 20], (ErrorClass.BAD_STREAM, "not JSON"))
    assert failure(lines(b'{"t":"a"}\n{\n{"t":"b"}\n')) == (ErrorClass.BAD_STREAM, "not JSON")
    cut = lines(b'{"t":"a"}\n{"t":"b"}\n', cut=3)
    assert (cut.ends, failure(cut)) == ([10], (ErrorClass.TRUNCATED, "the stream ended without its end mark"))


def test_a_breath_each_so_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second one here."""
    monkeypatch.setattr(module, "BREATH", 2)
    many = []
    for number in range(6):
        breaths: list[int] = []
        decode(LINES, received(b'{"t":"a"}\n' * number), lambda: breaths.append(1))  # noqa: B023, called at once
        many.append(len(breaths))
    assert [one - many[0] for one in many] == [0, 0, 1, 1, 2, 2]


def test_a_first_content_is_looked_for_no_further() -> None:
    """Of either framing: what comes after it is not read, and without it there is none."""
    reads: list[bytes] = []

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Counting(Toy):
        def read(self, data: bytes) -> Delta:
            reads.append(data)
            return Toy.read(self, data)

    for framing in Framing:
        reads.clear()
        body = (
            b'{}\n{"t":"a"}\n{"t":"b"}\n'
            if framing is Framing.LINES
            else events("{}", '{"t":"a"}', '{"n":1}')
        )
        assert has_content(Counting(name="toy", mode="chat", framing=framing), received(body))
        assert reads == [b"{}", b'{"t":"a"}']
        assert not has_content(LINES if framing is Framing.LINES else SSE, received(body[: -len(body)]))


@pytest.mark.parametrize("backend", [SSE, LINES])
def test_a_part_says_whether_more_may_follow(backend: Backend) -> None:
    """Until the end mark; offsets are the part's own."""

    def part(*said: str) -> bytes:
        return events(*said) if backend is SSE else b"".join(f"{one}\n".encode() for one in said)

    answer = Answer()
    assert read_part(backend, part('{"t":"a"}', '{"t":"b"}'), answer, complete=False) is True
    assert read_part(backend, part('{"t":"c"}'), answer, complete=False) is True
    assert (answer.text, answer.ends[0] == answer.ends[2]) == ("abc", True)
    assert read_part(backend, part('{"t":"d"}', END), answer, complete=True) is False
    assert (answer.text, answer.done, answer.error_class) == ("abcd", True, None)
    assert read_part(backend, part("{", '{"t":"e"}'), Answer(), complete=False) is False


# Events.


def test_the_limits_are_what_they_are_meant_to_be() -> None:
    """One event of 1 MiB, one answer that is no stream of 16 MiB."""
    assert (module.MAX_EVENT_BYTES, module.MAX_WHOLE_BYTES) == (2**20, 2**24)


def test_what_nobody_looked_at_is_looked_at() -> None:
    """The bytes came and the engine asked nothing of them yet."""
    body = events('{"t":"a"}', END)
    got = Received()
    got.add(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body, 1)
    answer = decode(SSE, got)
    assert (answer.status, answer.text, answer.done) == (200, "a", True)


def test_empty_lines_before_the_first_event_say_nothing() -> None:
    """However many; offsets go on."""
    for many in (1, 2, 3):
        answer = decode(SSE, received(b"\n\n" * many + events('{"t":"a"}', END)))
        assert (answer.text, answer.ends, answer.done) == ("a", [17 + 2 * many], True)


def test_offsets_and_counts_the_short_way_and_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts alone go the short way; what a running count said last holds, wherever in a slice it stood."""
    said = ['{"t":"a","n":1}', '{"t":"b"}', '{"t":"c","n":3}', '{"t":"d"}', ": x", '{"t":"e"}', END]
    body = events(*said).replace(b"data: : x", b": x")
    ends = [at + 2 for at in range(len(body)) if body.startswith(b"}\n\n", at - 1)]
    for breath in (1, 2, 3, 64):
        monkeypatch.setattr(module, "BREATH", breath)
        answer = decode(SSE, received(body))
        assert (answer.text, answer.tokens_so_far, answer.error_class) == ("abcde", 3, None)
        assert answer.ends == ends[:5]
    assert (
        decode(SSE, received(events('{"t":"a"}', '{"t":"b"}') + b"data: " + END.encode())).error_class is None
    )


@pytest.mark.parametrize(("size", "fits"), [(40, True), (41, False)])
def test_an_event_may_have_so_many_bytes(size: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either framing, and nothing after it is read."""
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 40)
    text = "x" * (size - len('{"t":""}'))
    said = [f'{{"t":"{text}"}}', END]
    for backend, body in ((SSE, events(*said)), (LINES, "\n".join(said).encode())):
        answer = decode(backend, received(body))
        assert failure(answer) == (
            (None, None) if fits else (ErrorClass.TOO_LARGE, "one event of more than 40 bytes")
        )
        assert (answer.text, answer.done) == ((text, True) if fits else ("", False))


def test_a_later_event_may_have_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the short way is open, either."""
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 40)
    text = "x" * (41 - len('{"t":""}'))
    answer = decode(SSE, received(events('{"t":"a"}', f'{{"t":"{text}"}}', END)))
    assert (answer.text, answer.error_class) == ("a", ErrorClass.TOO_LARGE)


def test_an_error_event_ends_nothing() -> None:
    """Its words are kept, JSON or not, and what comes after it is read; an error that has its own name is told as it is."""
    after = events('{"t":"a"}', END)
    for data, message in (
        ("the disk is full", "the disk is full"),
        ('{"message":"full"}', "full"),
        ('{"error":"own"}', "own"),
    ):
        answer = decode(SSE, received(f"event: error\ndata: {data}\n\n".encode() + after))
        assert failure(answer) == (ErrorClass.STREAM_ERROR, message)
        assert (answer.text, answer.done) == ("a", True)


def test_a_stream_that_has_no_end_mark_may_hold_nothing() -> None:
    """Its body was whole, so the network is not to blame; a page that ends as it does is still shown, a cut one is cut."""
    closing = replace(SSE, ends_on_close=True)
    nothing = (ErrorClass.BAD_STREAM, "the stream ended with nothing in it: no text, no count, no reason")
    silent = events('{"t":""}', '{"t":""}')
    assert failure(decode(closing, received(silent))) == nothing
    assert failure(decode(closing, received(b""))) == nothing
    assert failure(decode(closing, received(silent + events('{"t":"a"}')))) == (None, None)
    cut = (ErrorClass.TRUNCATED, "the stream ended without its end mark")
    assert failure(decode(closing, received(silent + events('{"t":"a"}'), cut=1))) == cut
    page = (ErrorClass.TRUNCATED, "a body of type 'text/html' and no stream: log in")
    assert failure(decode(closing, received(b"log in", fields="Content-Type: text/html\r\n"))) == page


def test_half_an_event_is_a_cut_stream_and_garbage_in_the_middle_is_garbage() -> None:
    """Whether the body was over or not."""
    begun = events('{"t":"a"}')
    cut = (ErrorClass.TRUNCATED, "the stream ended without its end mark")
    assert failure(decode(SSE, received(begun + b'data: {"t":\n\n', cut=2))) == cut
    assert failure(decode(SSE, received(begun + b'data: {"t":'))) == (ErrorClass.BAD_STREAM, "not JSON")
    middle = decode(SSE, received(begun + b'data: {"t":\n\n' + events('{"t":"b"}'), cut=4))
    assert (failure(middle), middle.text) == ((ErrorClass.BAD_STREAM, "not JSON"), "a")
