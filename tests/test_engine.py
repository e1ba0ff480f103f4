"""The engine's edge: whose clock stamps a read, how often it looks, what opening took, what it notices of itself."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
from native import Script, Talk, self_signed, sleep, standing
from scripted import ANSWER, DONE, END, HEAD, USAGE, content

from harness.backends import find
from harness.backends.base import Ask
from harness.client import Client
from harness.clock import STEP_NS, KernelClock, now_ns
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass
from harness.exchange import Exchange, Timeouts
from harness.leave import Slot
from harness.poller import CROWD, HAVE_EPOLL, REST_S, EpollPoller, HubPoller
from harness.record import Outcome, Phase, RequestRecord, StampSource
from harness.target import Target
from harness.tls import Trust, context

PATIENT = Timeouts(connect_s=5, first_token_s=10, idle_s=10, total_s=20)
BLOCKED_S = 0.1
NEAR_NS = 20_000_000
DESCRIPTORS = Path("/proc/self/fd")

LINUX = pytest.mark.skipif(not HAVE_EPOLL, reason="the kernel stamps nothing here")
POLLERS = pytest.mark.parametrize("portable", [False, True], ids=["epoll", "portable"])


class Sender:
    """A client of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._client = Client(engine, find("openai", "chat"), "w0", None, lambda *_: None)

    def __call__(self) -> RequestRecord:
        ask, slot = Ask("hello", 2, model="m"), Slot(1, 1, Phase.MEASURE)
        return self._client.run(ask, slot, name="/chat", scheduled_ns=0, prompt_tokens=None)


@contextmanager
def sending(target: Target, *, trust: Trust | None = None, **how: bool) -> Iterator[Sender]:
    """A sender, whose engine is closed afterwards."""
    engine = Engine(target, PATIENT, tls=context(trust) if trust else None, **how)
    try:
        yield Sender(engine)
    finally:
        engine.close()


def answering(talk: Talk) -> None:
    """The same answer to every request."""
    while talk.request():
        talk.say(*ANSWER)


class Cued:
    """A server that says one part at each cue, so that a test knows what has been sent."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self._cues = 0
        self.talks: list[Talk] = []

    def script(self, talk: Talk) -> None:
        """Wait for the cue of each part."""
        talk.request()
        self.talks.append(talk)
        for number, part in enumerate(self._parts, 1):
            while self._cues < number:
                sleep(0.0005)
            talk.say(part)
        talk.wait()

    def asked(self, streams: int = 1) -> None:
        """Let the hub run until so many requests have reached the server."""
        while len(self.talks) < streams:
            gevent.sleep(0.001)

    def cue(self, parts: int = 1, *, hub: bool) -> None:
        """Have the next parts said by all. With `hub` it runs meanwhile, without it stands still."""
        for _ in range(parts):
            self._cues += 1
            while any(len(talk.sent) < self._cues for talk in self.talks):
                gevent.sleep(0.001) if hub else sleep(0.001)
        if hub:
            gevent.sleep(0.01)

    def until_unread(self, send: Sender) -> "gevent.Greenlet[..., RequestRecord]":
        """A request whose first two parts were read, and whose third has come and nobody has looked."""
        request = gevent.spawn(send)
        self.asked()
        self.cue(2, hub=True)
        self.cue(hub=False)
        return request


def arrivals(record: RequestRecord) -> list[int]:
    """When each piece came, in ns."""
    assert record.first_content_ns is not None
    times = [record.first_content_ns]
    for gap in record.chunk_gaps_us:
        times.append(times[-1] + round(gap * 1e3))
    return times


def late_read(*, kernel_stamps: bool, portable: bool) -> tuple[RequestRecord, Talk, int]:
    """A stream whose second piece this process reads 100 ms late: record, server's side, time of the reading."""
    cued = Cued(HEAD, content("a"), content("b"), USAGE + DONE + END)
    with (
        standing(cued.script) as (target, _),
        sending(target, kernel_stamps=kernel_stamps, portable=portable) as send,
    ):
        request = cued.until_unread(send)
        sleep(BLOCKED_S)
        read_ns = now_ns()
        gevent.sleep(0.005)  # read it before there is more
        cued.cue(hub=True)
        return request.get(), cued.talks[0], read_ns


@LINUX
@POLLERS
def test_a_late_read_is_dated_by_when_its_bytes_came(portable: bool) -> None:
    """The process slept through the arrival; the kernel did not."""
    record, talk, read_ns = late_read(kernel_stamps=True, portable=portable)
    before, after = talk.sent[2]
    assert before - 1_000_000 <= arrivals(record)[1] <= after + NEAR_NS
    assert arrivals(record)[1] < read_ns - BLOCKED_S * 0.7e9
    assert (record.outcome, record.stamp_source) == (Outcome.OK, StampSource.KERNEL)


@POLLERS
def test_without_the_kernels_stamps_a_late_read_is_late(portable: bool) -> None:
    """Our own clock can only say when we got to it, and the record says that it is ours."""
    record, talk, read_ns = late_read(kernel_stamps=False, portable=portable)
    assert arrivals(record)[1] >= read_ns > talk.sent[2][1] + BLOCKED_S * 0.9e9
    assert (record.outcome, record.stamp_source) == (Outcome.OK, StampSource.READ)


@LINUX
def test_stamps_of_both_clocks_are_called_mixed() -> None:
    """A socket that stops being stamped by the kernel in mid-stream."""
    cued = Cued(HEAD + content("a"), content("b") + USAGE + DONE + END)
    with standing(cued.script) as (target, _), sending(target) as send:
        request = gevent.spawn(send)
        cued.asked()
        cued.cue(hub=True)
        (connection,) = send.engine._connections.values()
        connection.sock.setsockopt(socket.SOL_SOCKET, 35, 0)
        cued.cue(hub=True)
        record = request.get()
    assert (record.outcome, record.stamp_source, record.text) == (Outcome.OK, StampSource.MIXED, "ab")


@LINUX
def test_the_first_bytes_of_a_process_are_stamped_by_the_kernel() -> None:
    """The kernel begins to stamp up to 10 ms after it was first asked: an engine has waited for that."""
    nobody = Target(tls=False, host="127.0.0.1", port=9)
    for _ in range(10):
        time.sleep(0.1)  # in which the kernel ends to stamp, if nobody else asks it
        engine = Engine(nobody, PATIENT)
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as sender,
            listener.accept()[0] as receiver,
        ):
            receiver.setsockopt(socket.SOL_SOCKET, 35, 1)
            sender.send(b"a")
            assert receiver.recvmsg(1, 64)[1], "not stamped"
        engine.close()


@LINUX
@POLLERS
def test_segments_that_are_read_together_share_the_last_ones_stamp(portable: bool) -> None:
    """Known limit: two pieces 30 ms apart, read in one go, are both dated by the second."""
    cued = Cued(HEAD, content("a"), content("b"), content("c"), USAGE + DONE + END)
    with standing(cued.script) as (target, _), sending(target, portable=portable) as send:
        request = cued.until_unread(send)
        sleep(0.03)
        cued.cue(hub=False)
        cued.cue(hub=True)
        record, talk = request.get(), cued.talks[0]
    first, second, third = arrivals(record)
    assert second == third
    assert talk.sent[3][0] - 1_000_000 <= second <= talk.sent[3][1] + NEAR_NS
    assert second - first >= 0.03e9


@pytest.mark.parametrize("kernel_stamps", [False, True])
@POLLERS
def test_every_way_of_reading_gives_the_same_answer(portable: bool, kernel_stamps: bool) -> None:
    """Poller and clock change nothing of what was said, one request at a time or many."""
    parts = (HEAD, *(content(f"{number} ") for number in range(300)), USAGE, DONE, END)

    def script(talk: Talk) -> None:
        while talk.request():
            talk.say(b"".join(parts[:50]), b"".join(parts[50:]))

    with (
        standing(script) as (target, talks),
        sending(target, portable=portable, kernel_stamps=kernel_stamps) as send,
    ):
        requests = [gevent.spawn(send) for _ in range(20)]
        records = [send(), *(request.get() for request in requests)]
        assert len(talks) <= 21
    for record in records:
        assert (record.outcome, record.chunks, record.prompt_tokens, record.output_tokens) == (
            Outcome.OK,
            300,
            3,
            2,
        )
        assert record.text == "".join(f"{number} " for number in range(300))
        assert arrivals(record) == sorted(arrivals(record))


class Looks:
    """How often a poller looks when something can always be read and each look finds so many."""

    def __init__(self, found: int, *, may_rest: bool) -> None:
        self.times: list[int] = []
        self._found = found
        self.poller = EpollPoller(self._look, may_rest=may_rest)

    def _look(self) -> None:
        self.times.append(now_ns())
        self.poller.pace(self._found)

    def during(self, seconds: float) -> int:
        """Looks in that time."""
        near, far = socket.socketpair()
        far.send(b"never read")
        self.poller.add(near.fileno())
        gevent.sleep(seconds)
        self.poller.remove(near.fileno())
        self.poller.close()
        near.close()
        far.close()
        return len(self.times)


@LINUX
def test_a_crowd_is_looked_at_every_millisecond() -> None:
    """From `CROWD` found on, being woken for each arrival is given up for a look every `REST_S`."""
    looks = Looks(CROWD, may_rest=True)
    begin = now_ns()
    count = looks.during(0.06)
    assert 3 <= count <= (now_ns() - begin) / (REST_S * 1e9) * 1.5 + 5


@LINUX
@pytest.mark.parametrize(("found", "may_rest"), [(CROWD - 1, True), (CROWD, False), (1000, False)])
def test_few_or_unstamped_arrivals_are_looked_at_at_once(found: int, may_rest: bool) -> None:
    """Without the kernel's stamps a rest would be an error of each stamp, so there is none."""
    assert Looks(found, may_rest=may_rest).during(0.06) > 4 * 0.06 / REST_S


@LINUX
def test_a_rest_ends_when_the_crowd_does() -> None:
    """Back to being woken at once, as soon as a look finds fewer."""
    looks = Looks(CROWD, may_rest=True)
    looks.poller.pace(CROWD)
    looks.poller.pace(CROWD - 1)
    looks._found = 1
    assert looks.during(0.06) > 4 * 0.06 / REST_S


def test_the_portable_poller_tells_what_is_ready_without_the_hub() -> None:
    """Between slices of parsing nobody runs the hub; asking finds what came, and forgets who was removed."""
    called: list[int] = []
    poller = HubPoller(called.append)
    pairs = [socket.socketpair() for _ in range(3)]
    for near, _ in pairs:
        poller.add(near.fileno())
    assert list(poller.ready()) == []
    pairs[0][1].send(b"x")
    pairs[2][1].send(b"x")
    assert {fd for fd, _ in poller.ready()} == {pairs[0][0].fileno(), pairs[2][0].fileno()}
    poller.remove(pairs[0][0].fileno())
    assert [fd for fd, _ in poller.ready()] == [pairs[2][0].fileno()]
    assert called == []
    gevent.sleep(0.01)
    assert set(called) == {pairs[2][0].fileno()}
    poller.close()
    for pair in pairs:
        for end in pair:
            end.close()


@POLLERS
def test_a_breath_reads_what_came_meanwhile(portable: bool) -> None:
    """`drain`, called from a parse that holds the hub up, reads and stamps the other streams."""
    cued = Cued(HEAD, content("a"), content("b"), USAGE + DONE + END)
    with (
        standing(cued.script) as (target, _),
        sending(target, portable=portable, kernel_stamps=False) as send,
    ):
        request = cued.until_unread(send)
        send.engine.drain()
        drained_ns = now_ns()
        sleep(BLOCKED_S)
        cued.cue(hub=True)
        record = request.get()
    assert arrivals(record)[1] <= drained_ns


def test_the_kernels_clock_is_followed_when_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set forward and back by five seconds: the shift follows each time; a slew is none."""
    real, offset = time.time_ns, 0
    monkeypatch.setattr(time, "time_ns", lambda: real() + offset)
    kernel = KernelClock()
    start = kernel.shift_ns
    for step in (5_000_000_000, -5_000_000_000, 400 * STEP_NS):
        offset = step
        assert kernel.follow()
        assert kernel.shift_ns - start == pytest.approx(step, abs=2 * STEP_NS)
        assert not kernel.follow()
    offset += STEP_NS // 10
    assert not kernel.follow()


@LINUX
def test_a_step_of_the_clock_during_a_run_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And stamps from then on are right again: the time to the first token is no hour."""
    real, offset = time.time_ns, -3_600_000_000_000
    with standing(answering) as (target, _):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: real() + offset)
            engine = Engine(target, PATIENT)
        send = Sender(engine)
        while not engine.vitals.clock_steps:
            gevent.sleep(0.02)
        record = send()
        engine.close()
    assert engine.vitals.clock_steps == 1
    assert record.ttft_ms is not None
    assert -1 < record.ttft_ms < 1_000


def test_what_opening_a_connection_took_is_said_once() -> None:
    """The name is resolved once, a connection is opened once, and a kept one costs neither."""
    with standing(answering) as (target, talks), sending(target) as send:
        first, kept = send(), send()
        both = [request.get() for request in [gevent.spawn(send), gevent.spawn(send)]]
        assert len(talks) == 2
    assert first.dns_ms is not None
    assert first.connect_ms is not None
    assert 0 < first.dns_ms < 5_000
    assert 0 < first.connect_ms < 5_000
    assert (kept.dns_ms, kept.connect_ms, kept.tls_ms, first.tls_ms) == (None, None, None, None)
    assert [record.dns_ms for record in both] == [None, None]
    assert sorted(record.connect_ms is None for record in both) == [False, True]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost."""
    return self_signed(folder, "localhost")


def over_tls(
    script: Script, certificate: Path, trust: Trust | None, host: str = "localhost"
) -> list[RequestRecord]:
    """Two requests, one after the other."""
    with standing(script, certificate=certificate) as (target, _):
        asked = Target(tls=True, host=host, port=target.port)
        with sending(asked, trust=trust) as send:
            return [send(), send()]


def test_a_certificate_that_the_ca_file_signs_is_accepted(certificate: Path) -> None:
    """--ca-file with the self-signed certificate itself; the handshake is timed apart, once."""
    first, second = over_tls(answering, certificate, Trust(ca_file=certificate))
    assert (first.outcome, second.outcome, first.text) == (Outcome.OK, Outcome.OK, "ab")
    assert first.tls_ms is not None
    assert first.connect_ms is not None
    assert 0 < first.tls_ms < 5_000
    assert (second.tls_ms, second.connect_ms) == (None, None)


@LINUX
def test_tls_has_the_kernels_stamps_too(certificate: Path) -> None:
    """They are those of the encrypted bytes."""
    first, second = over_tls(answering, certificate, Trust(ca_file=certificate))
    assert (first.stamp_source, second.stamp_source) == (StampSource.KERNEL, StampSource.KERNEL)


@pytest.mark.parametrize(
    ("trust", "host", "reason"),
    [
        (None, "localhost", "self-signed certificate"),
        ("other", "localhost", "self-signed certificate"),
        ("own", "127.0.0.1", "IP address mismatch"),
    ],
)
def test_a_certificate_that_does_not_verify_fails_with_its_own_class(
    trust: str | None, host: str, reason: str, certificate: Path, folder: Path
) -> None:
    """The system's authorities, another CA, another name: nothing was sent, and the text says why."""
    files = {"other": self_signed(folder, "elsewhere.test"), "own": certificate}
    for record in over_tls(answering, certificate, Trust(ca_file=files[trust]) if trust else None, host):
        assert (record.error_class, record.sent_ns, record.tls_ms) == (ErrorClass.TLS, None, None)
        assert record.error_message is not None
        assert f"https://{host}:" in record.error_message
        assert "certificate not accepted" in record.error_message
        assert reason in record.error_message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_insecure_accepts_anybody(host: str, certificate: Path) -> None:
    """Whatever the name and the signature."""
    records = over_tls(answering, certificate, Trust(insecure=True), host)
    assert [record.outcome for record in records] == [Outcome.OK, Outcome.OK]


def test_a_server_that_speaks_no_tls_fails_with_that_class() -> None:
    """Plain HTTP behind an https address, and a server that hangs up in the handshake."""
    scripts: tuple[Callable[[Talk], None], ...] = (
        lambda talk: talk.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda talk: None,
    )
    for script in scripts:
        with (
            standing(script) as (target, _),
            sending(Target(tls=True, host="localhost", port=target.port)) as send,
        ):
            record = send()
            assert (record.error_class, record.sent_ns) == (ErrorClass.TLS, None)


def test_a_ca_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    """Missing, and not PEM: the option, the file, and what would be right."""
    with pytest.raises(ConfigError, match=r"--ca-file '.*/missing.pem': no such file or directory"):
        context(Trust(ca_file=tmp_path / "missing.pem"))
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(ConfigError, match=r"--ca-file '.*/empty.pem': no certificate in it; give a PEM file"):
        context(Trust(ca_file=tmp_path / "empty.pem"))


@LINUX
def test_the_vitals_count_what_they_say() -> None:
    """Five streams' bytes wait 100 ms for us: reads, how many at once, whose stamps, and how far behind."""
    cued = Cued(HEAD, content("a"), content("b") + USAGE + DONE + END)
    with standing(cued.script) as (target, _), sending(target) as send:
        requests = [gevent.spawn(send) for _ in range(5)]
        cued.asked(5)
        cued.cue(2, hub=True)
        vitals = send.engine.vitals
        before = (vitals.reads, vitals.kernel_reads)
        assert before[0] == before[1] >= 5
        vitals.delays_ns.clear()
        vitals.most_ready = 0
        cued.cue(hub=False)
        sleep(BLOCKED_S)
        assert [request.get().text for request in requests] == ["ab"] * 5
        assert (vitals.reads - before[0], vitals.kernel_reads - before[1], vitals.most_ready) == (5, 5, 5)
        assert len(vitals.delays_ns) == 1
        assert BLOCKED_S * 0.9e9 <= vitals.delays_ns[0] <= BLOCKED_S * 1e9 + 10 * NEAR_NS
        assert vitals.clock_steps == 0


@POLLERS
def test_reads_that_the_kernel_did_not_stamp_are_reads(portable: bool) -> None:
    """Counted, with no delay to tell."""
    with standing(answering) as (target, _), sending(target, portable=portable, kernel_stamps=False) as send:
        send()
        vitals = send.engine.vitals
        assert vitals.reads >= 1
        assert (vitals.kernel_reads, vitals.delays_ns) == (0, [])


def test_responses_that_nobody_has_parsed_yet_are_counted() -> None:
    """At each sweep: those woken whose greenlet has not come to it."""
    engine = Engine(Target(tls=False, host="127.0.0.1", port=9), PATIENT)
    for stirred in (True, True, False):
        exchange = Exchange(b"", lambda received: False)
        exchange.start()
        if stirred:
            exchange.stir()
        engine._active.add(exchange)
    engine._sweep()
    assert engine.vitals.unparsed == 2
    engine.close()


def longest_spell(*, gives_way: bool) -> int:
    """How many of 200 greenlets, each of which works for 2 ms, run between two turns of gevent's loop."""
    spells, turns = [0], gevent.get_hub().loop.prepare(ref=False)
    turns.start(lambda: spells.append(0))
    engine = Engine(Target(tls=False, host="127.0.0.1", port=9), PATIENT)

    def work() -> None:
        if gives_way:
            engine.give_way()
        spells[-1] += 1
        end = now_ns() + 2_000_000
        while now_ns() < end:
            pass

    try:
        gevent.joinall([gevent.spawn(work) for _ in range(200)])
    finally:
        turns.stop()
        turns.close()
        engine.close()
    assert sum(spells) == 200
    return max(spells)


def test_many_at_work_give_the_loop_its_turn() -> None:
    """After 5 ms of work at the latest it can look at its sockets and timers; left to itself gevent runs fifty of them."""
    assert longest_spell(gives_way=True) <= 4
    assert longest_spell(gives_way=False) >= 50


@POLLERS
def test_an_engine_leaves_nothing_open(portable: bool) -> None:
    """Ten connections, kept and in use, and the poller's own descriptor."""
    if not DESCRIPTORS.exists():
        pytest.skip("needs /proc")
    gevent.sleep(0.001)  # the hub's own are open from here on
    with standing(answering) as (target, _):
        before = len([*DESCRIPTORS.iterdir()])
        with sending(target, portable=portable) as send:
            gevent.joinall([gevent.spawn(send) for _ in range(10)], raise_error=True)
            assert len([*DESCRIPTORS.iterdir()]) > before
        deadline = time.monotonic() + 3
        while len([*DESCRIPTORS.iterdir()]) > before and time.monotonic() < deadline:
            gevent.sleep(0.005)  # the server's threads see it a moment later
        assert len([*DESCRIPTORS.iterdir()]) <= before
