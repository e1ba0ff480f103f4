"""One request over a real socket, and every way in which it can end."""

import ssl
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import gevent
import pytest
from gevent.server import StreamServer
from native import self_signed
from scripted import ANSWER, DONE, END, HEAD, USAGE, Conversation, content, event, serving

from harness.backends import find
from harness.backends.base import Ask
from harness.client import Client
from harness.engine import Engine
from harness.errors import ErrorClass
from harness.exchange import Timeouts
from harness.leave import Slot
from harness.record import Outcome, Phase, RequestRecord, TokenSource
from harness.target import Target

QUICK = Timeouts(connect_s=1, first_token_s=0.3, idle_s=0.3, total_s=1.0)
SLACK_MS = 60  # how late a busy machine may run a greenlet


class Sender:
    """A client to one target that remembers its records."""

    def __init__(
        self, target: Target, timeouts: Timeouts = QUICK, *, portable: bool = False, secret: str | None = None
    ):
        self.engine = Engine(target, timeouts, portable=portable)
        self.records: list[RequestRecord] = []
        self._client = Client(
            self.engine, find("openai", "chat"), "w0", secret, lambda record, _: self.records.append(record)
        )

    def __call__(self, prompt: str = "hello") -> RequestRecord:
        slot = Slot(1, 1, Phase.MEASURE)
        return self._client.run(
            Ask(prompt, 2, model="m"), slot, name="/chat", scheduled_ns=0, prompt_tokens=None
        )


Open = Callable[..., Sender]


def _descriptors() -> set[str]:
    """Open descriptors of this process, where the platform lists them."""
    listing = Path("/proc/self/fd")
    return {entry.name for entry in listing.iterdir()} if listing.exists() else set()


@pytest.fixture(params=["epoll", "portable"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens senders with either poller and closes them again; no descriptor may be left."""
    senders: list[Sender] = []
    before = _descriptors()

    def open_sender(target: Target, timeouts: Timeouts = QUICK, secret: str | None = None) -> Sender:
        senders.append(Sender(target, timeouts, portable=request.param == "portable", secret=secret))
        return senders[-1]

    yield open_sender
    for sender in senders:
        sender.engine.close()
    gevent.sleep(0.05)
    assert len(_descriptors() - before) <= 2  # the hub's own may be new


def answering(*parts: bytes, pause_s: float = 0) -> Callable[[Conversation], None]:
    """A script that answers every request with the same parts."""

    def script(conversation: Conversation) -> None:
        while conversation.request():
            conversation.say(*parts, pause_s=pause_s)

    return script


def test_a_stream_with_known_pauses(opened: Open) -> None:
    """TTFT, gaps and E2E are the server's pauses; the end is stamped apart."""
    with serving(answering(*ANSWER, pause_s=0.1)) as (target, _):
        record = opened(target, Timeouts())()
    assert record.outcome is Outcome.OK
    assert record.ttft_ms == pytest.approx(200, abs=SLACK_MS)
    assert record.chunk_gaps_us == (pytest.approx(100_000, abs=SLACK_MS * 1000),)
    assert record.e2e_ms == pytest.approx(300, abs=SLACK_MS)
    assert record.sent_ns is not None
    assert (record.end_ns - record.sent_ns) / 1e6 == pytest.approx(600, abs=2 * SLACK_MS)
    assert (record.prompt_tokens, record.output_tokens, record.token_source) == (3, 2, TokenSource.SERVER)
    assert record.tpot_ms == pytest.approx(100, abs=SLACK_MS)
    assert record.connect_ms is not None


def test_connections_are_kept_and_shared(opened: Open) -> None:
    """Five requests one after another use one connection; two at once use two."""
    with serving(answering(*ANSWER)) as (target, conversations):
        send = opened(target)
        records = [send() for _ in range(5)]
        assert len(conversations) == 1
        assert [record.connect_ms is None for record in records] == [False, True, True, True, True]
        gevent.joinall([gevent.spawn(send) for _ in range(2)], raise_error=True)
        assert len(conversations) == 2
    assert {record.outcome for record in send.records} == {Outcome.OK}


def test_a_connection_closed_while_idle_is_not_used(opened: Open) -> None:
    """A server that hangs up after its answer costs a new connection and nothing else."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(*ANSWER)
        conversation.sock.close()

    with serving(script) as (target, conversations):
        send = opened(target)
        for _ in range(3):
            assert (send().outcome, send.records[-1].reconnects) == (Outcome.OK, 0)
            gevent.sleep(0.02)
        assert len(conversations) == 3


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_reused_connection_that_breaks_unanswered_is_replaced_once(opened: Open, how: str) -> None:
    """Counted as a reconnect, not as a failure, and the lost attempt is not inside TTFT."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        if conversation.number == 2:
            gevent.sleep(0.15)
        conversation.say(*ANSWER)
        conversation.request()
        gevent.sleep(0.1)
        if how == "close":
            conversation.sock.close()
        else:
            conversation.reset()

    with serving(script) as (target, conversations):
        send = opened(target, Timeouts())
        assert send().reconnects == 0
        record = send()
        assert (record.outcome, record.reconnects, len(conversations)) == (Outcome.OK, 1, 2)
        assert record.ttft_ms == pytest.approx(150, abs=SLACK_MS)


def test_a_new_connection_that_breaks_is_a_failure(opened: Open) -> None:
    """Only reused connections are replaced: a server that always hangs up is said to."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.sock.close()

    with serving(script) as (target, conversations):
        record = opened(target)()
        assert (record.outcome, record.error_class) == (Outcome.FAILED, ErrorClass.RESET)
        assert len(conversations) == 1
    assert record.ttft_ms is None
    assert record.output_tokens is None


def test_a_broken_connection_after_the_first_byte_is_not_retried(opened: Open) -> None:
    """The server has begun: sending again would be a second request."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(*ANSWER)
        conversation.request()
        conversation.say(HEAD, content("a"))
        conversation.sock.close()

    with serving(script) as (target, conversations):
        send = opened(target)
        send()
        record = send()
        assert (record.error_class, record.reconnects) == (ErrorClass.TRUNCATED, 0)
        assert len(conversations) == 1
    assert record.text == "a"
    assert record.chunks == 1


@pytest.mark.parametrize(
    ("parts", "error_class", "chunks"),
    [
        ((), ErrorClass.FIRST_TOKEN_TIMEOUT, 0),
        ((HEAD, event('{"choices":[{"delta":{"role":"assistant"}}]}')), ErrorClass.FIRST_TOKEN_TIMEOUT, 0),
        ((HEAD, content("a")), ErrorClass.IDLE_TIMEOUT, 1),
        ((HEAD, content("a"), content("b"), b"5\r\nda"), ErrorClass.IDLE_TIMEOUT, 2),
    ],
)
def test_a_server_that_falls_silent(
    opened: Open, parts: tuple[bytes, ...], error_class: ErrorClass, chunks: int
) -> None:
    """Silence before the first token and silence after it have their own limits."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(*parts)
        gevent.sleep(5)

    with serving(script) as (target, _):
        record = opened(target)()
    assert (record.error_class, record.chunks) == (error_class, chunks)
    assert record.sent_ns is not None
    assert 300 <= (record.end_ns - record.sent_ns) / 1e6 <= 400 + 3 * SLACK_MS


def test_pings_do_not_pass_for_a_first_token(opened: Open) -> None:
    """A server that only sends comments runs into the first-token limit."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(HEAD)
        while True:
            conversation.say(b"3\r\n:\n\n\r\n", pause_s=0.05)

    with serving(script) as (target, _):
        assert opened(target)().error_class is ErrorClass.FIRST_TOKEN_TIMEOUT


def test_a_stream_without_end_runs_into_the_total_limit(opened: Open) -> None:
    """Tokens that keep coming are bounded in time, and counted."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(HEAD)
        while True:
            conversation.say(content("x"), pause_s=0.02)

    with serving(script) as (target, _):
        record = opened(target)()
    assert record.error_class is ErrorClass.TOTAL_TIMEOUT
    assert 10 <= record.chunks <= 55


def test_silence_after_the_end_mark_is_no_failure(opened: Open) -> None:
    """A server that says [DONE] and then forgets to end the body has answered."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(*ANSWER[:-1])
        gevent.sleep(5)

    with serving(script) as (target, _):
        record = opened(target)()
    assert (record.outcome, record.output_tokens) == (Outcome.OK, 2)


@pytest.mark.parametrize(
    ("parts", "error_class"),
    [
        ((b"SSH-2.0-x\r\n\r\n",), ErrorClass.BAD_HTTP),
        ((HEAD, b"zz\r\n\r\n\r\n"), ErrorClass.BAD_HTTP),
        ((HEAD, event("{broken"), DONE, END), ErrorClass.BAD_STREAM),
        ((HEAD, content("a"), event('{"error":"full"}'), DONE, END), ErrorClass.STREAM_ERROR),
        ((HEAD, content("a"), END), ErrorClass.TRUNCATED),
        ((b"HTTP/1.1 401 no\r\nContent-Length: 2\r\n\r\nno",), ErrorClass.AUTH),
        ((b"HTTP/1.1 503 no\r\nContent-Length: 2\r\n\r\nno",), ErrorClass.OVERLOAD),
    ],
)
def test_failures_are_data(opened: Open, parts: tuple[bytes, ...], error_class: ErrorClass) -> None:
    """Whatever a server sends ends in a record, and the next request works."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(*parts)
        while conversation.request():
            conversation.say(*ANSWER)

    with serving(script) as (target, _):
        send = opened(target)
        assert send().error_class is error_class
        gevent.sleep(0.02)
        if error_class is not ErrorClass.BAD_HTTP:
            assert send().outcome is Outcome.OK


def test_nobody_listens(opened: Open) -> None:
    """A refused connection and a name that does not exist fail with their own classes, never sent."""
    with serving(answering()) as (target, _):
        pass
    record = opened(target)()
    assert (record.error_class, record.sent_ns, record.e2e_ms) == (ErrorClass.CONNECT, None, None)
    record = opened(Target(tls=False, host="no-such-host.invalid", port=80))()
    assert record.error_class is ErrorClass.DNS


def test_a_killed_request_leaves_its_record(opened: Open) -> None:
    """A user that Locust kills in mid-stream is counted as cancelled, with what had come."""
    with serving(answering(*ANSWER[:2], pause_s=0.01)) as (target, _):
        send = opened(target, Timeouts())
        greenlet = gevent.spawn(send)
        gevent.sleep(0.15)
        greenlet.kill()
        (record,) = send.records
        assert (record.outcome, record.error_class, record.chunks) == (Outcome.CANCELLED, None, 1)
        assert record.text == "a"


@pytest.mark.parametrize("size", [1, 2_047, 2_048, 70_000])
def test_the_bodys_hash_is_of_what_the_server_got(opened: Open, size: int) -> None:
    """Byte for byte, also when it is sent twice on the way; and none where nothing was sent."""
    bodies: list[bytes] = []

    def script(conversation: Conversation) -> None:
        bodies.append(conversation.request())
        conversation.say(*ANSWER)
        bodies.append(conversation.request())
        conversation.sock.close()

    with serving(script) as (target, _):
        send = opened(target, Timeouts())
        records = [send("é" * size), send("b" * size)]
    assert [one.reconnects for one in records] == [0, 1]
    assert [one.body_sha256 for one in records] == [
        sha256(body).hexdigest() for body in (bodies[0], bodies[2])
    ]
    assert bodies[1] == bodies[2]
    with serving(answering()) as (target, _):
        pass
    assert opened(target)().body_sha256 is None


def test_a_large_prompt_gets_through(opened: Open) -> None:
    """A request far larger than the socket's buffer is written while the server reads slowly."""
    sizes: list[int] = []

    def script(conversation: Conversation) -> None:
        gevent.sleep(0.1)
        sizes.append(len(conversation.request()))
        conversation.say(*ANSWER)

    with serving(script) as (target, _):
        assert opened(target, Timeouts())("x" * 8_000_000).outcome is Outcome.OK
    assert sizes[0] > 8_000_000


def test_many_streams_at_once_lose_nothing(opened: Open) -> None:
    """200 streams of 20 tokens, all at the same time: every one complete."""
    parts = [HEAD, *(content(str(number)) for number in range(20)), USAGE, DONE, END]
    with serving(answering(*parts, pause_s=0.005)) as (target, _):
        send = opened(target, Timeouts())
        gevent.joinall([gevent.spawn(send) for _ in range(200)], raise_error=True)
    assert [record.outcome for record in send.records] == [Outcome.OK] * 200
    assert {record.text for record in send.records} == {"".join(map(str, range(20)))}


@pytest.mark.parametrize(
    ("length", "said"), [(22, "wrong key: ***"), (20, "wrong key: ***"), (11, "wrong key:")]
)
def test_the_key_goes_into_the_header_and_nowhere_else(opened: Open, length: int, said: str) -> None:
    """A server that quotes the key it refuses does not get it into our records."""

    def script(conversation: Conversation) -> None:
        conversation.request()
        body = b"wrong key: sk-secret-1"[:length]
        conversation.say(b"HTTP/1.1 401 no\r\nContent-Length: %d\r\n\r\n%s" % (length, body))

    with serving(script) as (target, conversations):
        record = opened(target, secret="sk-secret-1")()
        assert b"Authorization: Bearer sk-secret-1" in conversations[0].requests[0]
    assert record.error_message == said
    assert "sk-secr" not in repr(record)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, key and certificate in one file."""
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost")


def test_tls_streams_and_verifies(opened: Open, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same stream over TLS once the certificate is trusted; an error of its own while it is not."""

    def handle(sock: ssl.SSLSocket, _address: object) -> None:
        conversation = Conversation(sock, 1)
        while conversation.request():
            conversation.say(*ANSWER, pause_s=0.02)

    server = StreamServer(("127.0.0.1", 0), handle, keyfile=str(certificate), certfile=str(certificate))
    server.start()
    target = Target(tls=True, host="localhost", port=server.server_port)
    try:
        record = opened(target)()
        assert record.error_class is ErrorClass.TLS
        assert record.error_message is not None
        assert "certificate not accepted" in record.error_message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        send = opened(target, Timeouts())
        first, second = send(), send()
        assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.OK)
        assert (first.output_tokens, second.connect_ms) == (2, None)
        assert first.ttft_ms == pytest.approx(40, abs=SLACK_MS)
    finally:
        server.stop(timeout=0)
