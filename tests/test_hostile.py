"""Servers that do everything wrong, over real sockets, while another request on the same engine goes well.

Whatever the bad one does, its record has the class of what happened and what had been measured; the good
stream beside it has its exact figures; the next request works; nothing stays open.
"""

import gc
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import gevent
import pytest
from greenlets import until
from native import Talk, self_signed, sleep, standing
from scripted import ANSWER, DONE, END, HEAD, USAGE, chunk, content, event

from harness import exchange, http1
from harness.backends import find
from harness.backends.base import Ask
from harness.client import Client
from harness.engine import Engine
from harness.errors import ErrorClass
from harness.exchange import Timeouts
from harness.leave import Slot
from harness.record import Outcome, Phase, RequestRecord, StampSource
from harness.target import Target
from harness.tls import Trust, context

PATIENT = Timeouts(connect_s=5, first_token_s=8, idle_s=8, total_s=20)
HASTY = Timeouts(connect_s=5, first_token_s=0.35, idle_s=0.4, total_s=0.8)
PIECES, PAUSE_S = 6, 0.01
CLOCKS_NS = 3_000_000  # how late a busy kernel may deliver, a quarter of a pause

Bad = Callable[[Talk], None]


def descriptors() -> set[str]:
    """Open descriptors of this process, where the platform lists them."""
    listing = Path("/proc/self/fd")
    return {entry.name for entry in listing.iterdir()} if listing.exists() else set()


class Party:
    """An engine, a good stream that is under way on it, and a server that turns bad on the second connection."""

    def __init__(
        self, target: Target, timeouts: Timeouts, *, portable: bool, tls: ssl.SSLContext | None
    ) -> None:
        self.engine = Engine(target, timeouts, portable=portable, tls=tls)
        self._client = Client(self.engine, find("openai", "chat"), "w0", None, lambda *_: None)

    def send(self, prompt: str) -> RequestRecord:
        slot = Slot(1, 1, Phase.MEASURE)
        ask = Ask(prompt, 2, model="m")
        return self._client.run(ask, slot, name="/chat", scheduled_ns=0, prompt_tokens=None)


def kind(talk: Talk) -> None:
    """The good server: paced when asked to be slow, else all at once."""
    while body := talk.request():
        pieces = [content(str(number)) for number in range(PIECES)]
        talk.say(HEAD)
        talk.say(*pieces, pause_s=PAUSE_S if b"slow" in body else 0)
        talk.say(USAGE, DONE, END)


@contextmanager
def party(
    bad: Bad, timeouts: Timeouts = PATIENT, *, portable: bool = False, certificate: Path | None = None
) -> Iterator[tuple[Party, list[Talk]]]:
    """A good stream, and `bad` on the second connection; afterwards all is checked that must not have suffered."""

    def script(talk: Talk) -> None:
        if talk.number == 2:
            bad(talk)
        kind(talk)

    before = descriptors()
    with standing(script, certificate=certificate) as (target, talks):
        tls = context(Trust(ca_file=certificate)) if certificate else None
        guests = Party(target, timeouts, portable=portable, tls=tls)
        good = gevent.spawn(guests.send, "slow")
        while not talks or not talks[0].requests:
            gevent.sleep(0.002)
        yield guests, talks
        assert_unharmed(good.get(), talks[0])
        again = guests.send("quick")
        assert (again.outcome, again.text, again.output_tokens) == (Outcome.OK, "012345", 2)
        engine = guests.engine
        assert not engine._active
        assert set(engine._connections.values()) == set(engine._idle)
        engine.close()
    deadline = time.monotonic() + 3
    while len(descriptors() - before) > 2 and time.monotonic() < deadline:
        gevent.sleep(0.01)  # the server's threads see it a moment later
    assert len(descriptors() - before) <= 2  # the hub's own may be new


def assert_unharmed(record: RequestRecord, talk: Talk) -> None:
    """The paced stream came through, and each piece is dated by when the server sent it.

    Pieces that were read together share the time of the last of them, or of the end if that came along.
    """
    assert (record.outcome, record.error_message, record.text) == (Outcome.OK, None, "012345")
    assert (record.chunks, record.prompt_tokens, record.output_tokens) == (PIECES, 3, 2)
    assert record.first_content_ns is not None
    arrivals = [record.first_content_ns]
    arrivals += [arrivals[0] + int(gap * 1e3) for gap in accumulate(record.chunk_gaps_us)]
    while len(talk.sent) < 1 + PIECES + 3:  # the server's thread notes a moment later that it has sent
        gevent.sleep(0.001)
    sent = talk.sent[1 : 1 + PIECES + 3]
    for number, arrival in enumerate(arrivals):
        assert arrival >= sent[number][0] - CLOCKS_NS
        if record.stamp_source is StampSource.KERNEL:
            assert any(before - CLOCKS_NS <= arrival <= after + CLOCKS_NS for before, after in sent[number:])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause after which a response is looked at again is waited for in many of these."""
    monkeypatch.setattr(exchange, "QUIET_NS", 150_000_000)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key."""
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost")


# The portable poller differs in how it learns of a read; that the rest is the same a few cases of each kind show.
BOTH = pytest.mark.parametrize("portable", [False, True], ids=["epoll", "portable"])


def on_both(cases: dict[str, Any], few: Iterable[str]) -> pytest.MarkDecorator:
    """Every case on epoll, a few on the portable poller too."""
    pairs = [*((case, False) for case in cases), *((case, True) for case in few)]
    ids = [f"{case}{', portable' * portable}" for case, portable in pairs]
    return pytest.mark.parametrize(("case", "portable"), pairs, ids=ids)


def saying(*parts: bytes, then: str = "close", unread: bool = False) -> Bad:
    """Say so much and close, reset, wait, or go on as a good server would."""

    def bad(talk: Talk) -> None:
        if not unread:
            talk.request()
        talk.say(*parts)
        if then == "close":
            talk.sock.close()
        elif then == "reset":
            sleep(0.05)
            talk.reset()
        elif then == "wait":
            talk.wait()

    return bad


def plain(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    """A response with the headers given and a body that may not fit them."""
    lines = (b"HTTP/%s 200 OK" % version, b"Content-Type: text/event-stream", *headers)
    return b"\r\n".join([*lines, b"", body])


EVENTS = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}\n\n'
WHOLE = EVENTS + b"data: [DONE]\n\n"
A = content("a")
TRUE, BAD, CUT, RST = None, ErrorClass.BAD_HTTP, ErrorClass.TRUNCATED, ErrorClass.RESET
MIB = 1024 * 1024

# What the server says and does then, how the request ends, and the text that came.
CASES: dict[str, tuple[Bad, ErrorClass | None, str | None]] = {
    "closes on accept": (saying(unread=True), RST, None),
    "resets on accept": (saying(then="reset", unread=True), RST, None),
    "closes on the request": (saying(), RST, None),
    "closes in the status line": (saying(b"HTTP/1."), RST, None),
    "closes in the headers": (saying(HEAD[:40]), RST, None),
    "closes after the headers": (saying(HEAD), RST, None),
    "closes in a chunk header": (saying(HEAD, A, b"1"), CUT, "a"),
    "closes in an event": (saying(HEAD, A, A[:-20]), CUT, "a"),
    "closes between events": (saying(HEAD, A), CUT, "a"),
    "resets between events": (saying(HEAD, A, then="reset"), CUT, "a"),
    "closes after the end mark": (saying(HEAD, A, DONE), TRUE, "a"),
    "resets after the end mark": (saying(HEAD, A, DONE, then="reset"), TRUE, "a"),
    "closes in the last chunk": (saying(HEAD, A, DONE, END[:-2]), TRUE, "a"),
    "an event of 10 MB": (saying(HEAD, A, event("x" * 10_000_000), DONE, END), ErrorClass.TOO_LARGE, "a"),
    "a line of 10 MB": (saying(HEAD, chunk(b"x" * 10_000_000), END), CUT, None),
    "bytes that are not UTF-8": (saying(HEAD, event('{"x":"\xff"}'), chunk(EVENTS.replace(b"a", b"\xc3\x28", 1)[:0] + b'data: {"choices":[{"delta":{"content":"\xc3("}}]}\n\n'), DONE, END), TRUE, "\ufffd("),
    "nothing but bytes": (saying(HEAD, chunk(bytes(range(256)) * 40), END), CUT, None),
    "NUL bytes": (saying(HEAD, A, chunk(b"\0" * 9_000), END), CUT, "a"),
    "endless headers": (saying(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 12_000, then="wait"), BAD, None),
    "one endless header": (saying(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, then="wait"), BAD, None),
    "endless headers byte by byte": (saying(*[b"x"] * 66_000, then="wait"), BAD, None),
    "3,000 times 100 Continue": (saying(b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000, *ANSWER, then="go on"), TRUE, "ab"),
    "100 Continue for ever": (saying(b"HTTP/1.1 100 Continue\r\n\r\n" * (http1.MAX_INTERIM + 9), then="wait"), BAD, None),
    "HTTP/1.0 with a length": (saying(plain(WHOLE, b"Content-Length: %d" % len(WHOLE), version=b"1.0"), then="wait"), TRUE, "ab"),
    "HTTP/1.0 without a length": (saying(plain(WHOLE, version=b"1.0")), TRUE, "ab"),
    "HTTP/1.0 without a length, cut": (saying(plain(EVENTS, version=b"1.0")), CUT, "ab"),
    "HTTP/2": (saying(b"HTTP/2 200\r\n\r\n", then="wait"), BAD, None),
    "HTTP/0.9": (saying(WHOLE, then="wait"), BAD, None),
    "a length too small": (saying(plain(WHOLE, b"Content-Length: %d" % len(EVENTS)), then="wait"), CUT, "ab"),
    "a length that ends in an event": (saying(plain(WHOLE, b"Content-Length: %d" % (len(EVENTS) - 3)), then="wait"), ErrorClass.BAD_STREAM, "a"),
    "a length too large": (saying(plain(EVENTS, b"Content-Length: 9999")), CUT, "ab"),
    "a length too large, end mark said": (saying(plain(WHOLE, b"Content-Length: 9999")), TRUE, "ab"),
    "the same length twice": (saying(plain(WHOLE, *[b"Content-Length: %d" % len(WHOLE)] * 2), then="go on"), TRUE, "ab"),
    "two lengths": (saying(plain(WHOLE, b"Content-Length: 5", b"Content-Length: 6"), then="wait"), BAD, None),
    "a length below zero": (saying(plain(WHOLE, b"Content-Length: -1"), then="wait"), BAD, None),
    "a length and chunks": (saying(plain(chunk(WHOLE) + END, b"Content-Length: 5", b"Transfer-Encoding: chunked"), then="go on"), TRUE, "ab"),
    "a chunk size too small": (saying(HEAD, A, b"3\r\n" + EVENTS, then="wait"), BAD, "a"),
    "a chunk size too large": (saying(HEAD, A, b"ff\r\n" + EVENTS + b"\r\n", *[A] * 6, then="wait"), BAD, "aabaaa"),
    "a chunk size below zero": (saying(HEAD, A, b"-5\r\nhello\r\n", END, then="wait"), BAD, "a"),
    "a chunk size 0x5": (saying(HEAD, A, b"0x5\r\nhello\r\n", END, then="wait"), BAD, "a"),
    "a chunk size of 17 digits": (saying(HEAD, A, b"1" * 17 + b"\r\n", END, then="wait"), BAD, "a"),
    "a chunk size of 2^63": (saying(HEAD, A, b"8000000000000000\r\n" + EVENTS), CUT, "aab"),
    "a chunk extension without end": (saying(HEAD, A, b"5;" + b"x" * 5_000, then="wait"), BAD, "a"),
    "a trailer without end": (saying(HEAD, A, b"0\r\n" + b"x" * 70_000, then="wait"), BAD, "a"),
    "trailers without end": (saying(HEAD, A, b"0\r\n" + b"x: y\r\n" * 15_000, then="wait"), BAD, "a"),
    "trailers": (saying(*ANSWER[:-1], b"0\r\nX-Took: 5\r\nY: 1\r\n\r\n", then="go on"), TRUE, "ab"),
    "50,000 events in one write": (saying(HEAD + content("x") * 50_000 + DONE + END, then="go on"), TRUE, "x" * 50_000),
    "one byte at a time": (saying(*[b"%c" % byte for part in ANSWER for byte in part], then="go on"), TRUE, "ab"),
    "gzip, although refused": (saying(plain(b"\x1f\x8b", b"Content-Encoding: gzip"), then="wait"), BAD, None),
    "a transfer coding nobody asked for": (saying(plain(b"\x1f\x8b", b"Transfer-Encoding: gzip, chunked"), then="wait"), BAD, None),
    "204": (saying(b"HTTP/1.1 204 No Content\r\n\r\n", then="go on"), ErrorClass.HTTP_OTHER, None),
    "304": (saying(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n", then="go on"), ErrorClass.HTTP_OTHER, None),
    "302": (saying(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", then="go on"), ErrorClass.HTTP_OTHER, None),
    "an answer before the question": (saying(HEAD.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), *ANSWER[1:], unread=True, then="wait"), TRUE, "ab"),
    "a refusal before the question": (saying(b"HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\nfull", unread=True), ErrorClass.OVERLOAD, None),
    "line ends of both kinds": (saying(plain(b"", b"Transfer-Encoding: chunked").replace(b"\r\n", b"\n"), A.replace(b"\r\n", b"\n"), DONE, b"0\n\r\n", then="go on"), TRUE, "a"),
}  # fmt: skip


FEW = (
    *("closes on accept", "resets between events", "closes after the end mark", "an event of 10 MB"),
    *("endless headers byte by byte", "HTTP/1.0 without a length", "50,000 events in one write"),
    *("one byte at a time", "204", "an answer before the question", "line ends of both kinds"),
)


@on_both(CASES, FEW)
def test_each_ends_in_its_class(case: str, portable: bool) -> None:
    """The class of the failure, the text that came before it, and nobody else disturbed."""
    bad, error_class, text = CASES[case]
    with party(bad, portable=portable) as (guests, _):
        record = guests.send("bad")
        assert (record.error_class, record.text) == (error_class, text), record.error_message
        assert record.outcome is (Outcome.OK if error_class is None else Outcome.FAILED)
        assert record.reconnects == 0
        assert record.sent_ns is not None
        assert record.chunks == sum(gap is not None for gap in record.chunk_gaps_us) + bool(text)
        assert (record.first_content_ns is not None) == bool(text)
        assert (record.end_ns - record.sent_ns) / 1e9 < 6  # found out, not waited for


SILENT = {
    "never answers": (saying(then="wait"), ErrorClass.FIRST_TOKEN_TIMEOUT, None, 0.35),
    "never reads": (lambda talk: sleep(2), ErrorClass.FIRST_TOKEN_TIMEOUT, None, 0.35),
    "only says hello": (saying(HEAD, event('{"choices":[{"delta":{"role":"assistant"}}]}'), then="wait"), ErrorClass.FIRST_TOKEN_TIMEOUT, None, 0.35),
    "headers that drip": (lambda talk: drip(talk, b"x"), ErrorClass.FIRST_TOKEN_TIMEOUT, None, 0.35),
    "pings": (lambda talk: drip(talk, chunk(b": ping\n\n"), HEAD), ErrorClass.FIRST_TOKEN_TIMEOUT, None, 0.35),
    "stops in mid-stream": (saying(HEAD, A, A, then="wait"), ErrorClass.IDLE_TIMEOUT, "aa", 0.4),
    "stops in mid-event": (saying(HEAD, A, A[:-9], then="wait"), ErrorClass.IDLE_TIMEOUT, "a", 0.4),
    "promises more": (saying(plain(EVENTS, b"Content-Length: 9999"), then="wait"), ErrorClass.IDLE_TIMEOUT, "ab", 0.4),
    "promises more after the end mark": (saying(plain(WHOLE, b"Content-Length: 9999"), then="wait"), None, "ab", 0.4),
    "a chunk of 2^63 that never comes": (saying(HEAD, A, b"8000000000000000\r\n", then="wait"), ErrorClass.IDLE_TIMEOUT, "a", 0.4),
    "drips for ever": (lambda talk: drip(talk, A, HEAD), ErrorClass.TOTAL_TIMEOUT, None, 0.8),
    "drips a body without end": (lambda talk: drip(talk, b"x", plain(EVENTS)), ErrorClass.TOTAL_TIMEOUT, None, 0.8),
}  # fmt: skip


def drip(talk: Talk, part: bytes, head: bytes = b"") -> None:
    """The same small thing every 20 ms."""
    talk.request()
    talk.say(head)
    while True:
        talk.say(part, pause_s=0.02)


@on_both(SILENT, ("never answers", "never reads", "stops in mid-stream", "drips for ever"))
def test_silence_runs_into_the_limit_that_it_should(case: str, portable: bool) -> None:
    """Nothing, nothing more, and never enough: three limits, each at its own time."""
    bad, error_class, text, after_s = SILENT[case]
    with party(bad, HASTY, portable=portable) as (guests, _):
        record = guests.send("x" * (8 * MIB) if case == "never reads" else "bad")
        assert record.error_class is error_class, record.error_message
        assert text is None or record.text == text
        assert record.sent_ns is not None
        took_s = (record.end_ns - record.sent_ns) / 1e9
        assert after_s - 0.01 <= took_s <= after_s + 0.6 or error_class is None


@BOTH
def test_a_response_of_70_mb_is_given_up_and_forgotten(portable: bool) -> None:
    """Given up at 64 MiB. What it took is given back, and at no time was it many times the response."""
    resident = Path("/proc/self/status")

    def megabytes(key: str) -> int:
        (line,) = [line for line in resident.read_text().splitlines() if line.startswith(key)]
        return int(line.split()[1]) // 1024

    def bad(talk: Talk) -> None:
        talk.request()
        talk.say(HEAD, A, b"%x\r\n" % (70 * MIB), *[b"x" * MIB] * 70)
        talk.wait()

    if not resident.exists():
        pytest.skip("needs /proc")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = megabytes("VmRSS")
    with party(bad, portable=portable) as (guests, _):
        record = guests.send("bad")
        assert (record.error_class, record.text) == (ErrorClass.TOO_LARGE, "a")
        assert record.error_message == f"more than {64 * MIB} bytes of response"
    gc.collect()
    assert megabytes("VmHWM") - before < 400
    assert megabytes("VmRSS") - before < 100


@pytest.mark.parametrize(
    "tail",
    [
        b"\r\n",
        b"x",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        b"".join(ANSWER),
        b"z" * 100_000,
    ],
    ids=["a line end", "a byte", "line ends", "an answer", "a stream", "plenty"],
)
@pytest.mark.parametrize(("later", "portable"), [(False, False), (True, False), (True, True)])
def test_what_follows_a_response_never_reaches_the_next(tail: bytes, later: bool, portable: bool) -> None:
    """Bytes that nobody asked for cost their connection, not the response before them or after them."""

    def bad(talk: Talk) -> None:
        talk.request()
        talk.say(HEAD)
        rest = b"".join(ANSWER[1:])
        talk.say(*((rest, tail) if later else (rest + tail,)), pause_s=0.03)
        talk.wait()

    with party(bad, portable=portable) as (guests, talks):
        record = guests.send("bad")
        assert (record.outcome, record.text, record.output_tokens) == (Outcome.OK, "ab", 2)
        gevent.sleep(0.06 if later else 0)
        following = guests.send("quick")
        assert (following.outcome, following.text) == (Outcome.OK, "012345")
        assert len(talks[1].requests) == 1  # nobody asked that connection again
        # Dated by its last read, however late that was seen to be the end. The other side may still have to note when it sent.
        until(lambda: len(talks[1].sent) > 1)
        assert abs(record.end_ns - talks[1].sent[1][1]) < 100_000_000


@BOTH
def test_a_refusal_of_a_prompt_that_was_never_read_is_heard(portable: bool) -> None:
    """A server that answers 413 and closes while we are still writing has answered."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo long"

    def bad(talk: Talk) -> None:
        talk.sock.recv(1_000)
        talk.say(refusal)
        sleep(0.2)

    with party(bad, HASTY, portable=portable) as (guests, _):
        record = guests.send("x" * (8 * MIB))
        assert (record.http_status, record.error_class) == (413, ErrorClass.HTTP_CLIENT)
        assert record.error_message == "too long"


class Records:
    """TLS by hand, so that a record can be broken off or spoilt."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)

    def serve(self, talk: Talk, spoil: Callable[[bytes], bytes]) -> None:
        """Shake hands, hear the request, and answer with a good record and a spoilt one."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        for step in (tls.do_handshake, lambda: tls.read(65_536)):
            while True:
                try:
                    step()
                except ssl.SSLWantReadError:
                    talk.sock.sendall(outgoing.read())
                    incoming.write(talk.sock.recv(65_536))
                else:
                    break
        tls.write(HEAD + A)
        talk.say(outgoing.read())
        tls.write(A + A)
        talk.say(spoil(outgoing.read()), pause_s=0.05)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda record: record[:-10], "the server closed the connection"),
        (lambda record: record[:3], "the server closed the connection"),
        (
            lambda record: record[:-1] + bytes([record[-1] ^ 1]),
            "TLS error (DECRYPTION_FAILED_OR_BAD_RECORD_MAC)",
        ),
        (lambda record: b"GET / HTTP/1.1\r\n\r\n", "TLS error (WRONG_VERSION_NUMBER)"),
    ],
    ids=["broken off", "in its header", "spoilt", "not TLS"],
)
def test_a_tls_record_that_breaks_off_or_is_spoilt(
    spoil: Callable[[bytes], bytes], message: str, certificate: Path
) -> None:
    """What came in whole records before it counts, and the failure says what it was."""
    records = Records(certificate)
    with standing(lambda talk: records.serve(talk, spoil)) as (target, _):
        secure = Target(tls=True, host="localhost", port=target.port)
        guests = Party(secure, PATIENT, portable=False, tls=context(Trust(ca_file=certificate)))
        record = guests.send("bad")
        guests.engine.close()
    assert (record.error_class, record.error_message, record.text) == (ErrorClass.TRUNCATED, message, "a")


TLS_CASES = ("closes on accept", "closes between events", "resets between events", "an event of 10 MB", "two lengths", "one byte at a time", "50,000 events in one write")  # fmt: skip


@pytest.mark.parametrize("case", TLS_CASES)
def test_the_same_over_tls(case: str, certificate: Path) -> None:
    """Encrypted, a server's faults have the same classes, and the stream beside them the same figures."""
    bad, error_class, text = CASES[case]
    with party(bad, certificate=certificate) as (guests, _):
        record = guests.send("bad")
        assert (record.error_class, record.text) == (error_class, text), record.error_message
