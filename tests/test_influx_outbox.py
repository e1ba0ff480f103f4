"""Every line exactly once in InfluxDB, or counted as lost, whatever the server, the network and the disk do."""

import json
import os
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import gevent
import pytest
from greenlets import until
from hypothesis import given, settings
from hypothesis import strategies as st
from influx_fake import Fake, Fault, Write, drops, half, hangs, late, parse, says, split_lines

from harness.influx import backlog, outbox, transport
from harness.influx.access import Access
from harness.influx.lines import Encoder
from harness.influx.outbox import Delivery, Outbox
from harness.influx.schema import MEASUREMENTS
from harness.influx.spool import Spool, halves, pack
from harness.influx.transport import Answer, Writer

TESTS = Path(__file__).parent
CANARY = "canary-t0ken"
REQUEST = Encoder(MEASUREMENTS["llm_request"], run="r 1", worker="0")


def lines(count: int, first: int = 1, name: str = "chat\nx") -> list[bytes]:
    """Points of requests, `seq` and time counting up; each has a line break in it."""
    return [
        REQUEST.line(1_000_000 + seq, {"seq": seq, "name": name, "ttft_ms": seq / 7}, outcome="ok")
        for seq in range(first, first + count)
    ]


def seqs(fake: Fake) -> "Counter[int]":
    """How often each of `lines` is stored."""
    return Counter({point.time_ns - 1_000_000: fake.stored[key] for key, point in fake.points.items()})


def arrived(write: Write) -> list[int]:
    """The points of one write, in its order."""
    return [parse(line).time_ns - 1_000_000 for line in split_lines(write.body.decode())]


@dataclass
class Post:
    """An outbox that writes to a fake by the real transport."""

    outbox: Outbox
    said: list[str] = field(default_factory=list)

    def settle(self, limit_s: float = 60) -> Delivery:
        """Until nothing waits."""
        deadline = time.monotonic() + limit_s
        while (state := self.outbox.state).queued + state.spooled:
            assert time.monotonic() < deadline, state
            balanced(state)
            gevent.sleep(0.005)
        return state


def balanced(state: Delivery) -> None:
    """No line is forgotten, none counted twice."""
    parts = (state.delivered, state.queued, state.spooled, state.dropped, state.refused)
    assert state.created == sum(parts)
    assert min(parts) >= 0


@contextmanager
def posting(fake: Fake, path: Path | None = None) -> Iterator[Post]:
    """An outbox to a fake, begun; closed at the end."""
    writer = Writer(Access(fake.url, CANARY, "my org", "b/rp"), {})
    said: list[str] = []
    made = Outbox(writer.send, path, said.append)
    made.start()
    try:
        yield Post(made, said)
    finally:
        made.close(0)
        writer.close()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its waits, cut short."""
    monkeypatch.setattr(outbox, "BACKOFF_S", (0.01, 0.05))
    monkeypatch.setattr(outbox, "MEND_S", (0.02, 0.05))
    monkeypatch.setattr(outbox, "HURRY_S", 0.05)
    monkeypatch.setattr(outbox, "LINGER_S", 0.01)
    monkeypatch.setattr(backlog, "DISK_S", 0.05)
    monkeypatch.setattr(transport, "ANSWER_S", 30.0)  # but that: a busy machine's fake is no fault


def test_a_healthy_server_has_every_line_once() -> None:
    """In batches within the limits, in order, over one connection, said to nobody."""
    with Fake() as fake, posting(fake) as post:
        for first in range(1, 12_001, 1_000):
            post.outbox.add([*lines(1_000, first), b""])
        state = post.settle()
        assert (state.created, state.delivered, state.lost, state.retries) == (12_000, 12_000, 0, 0)
        assert state.write_ms is not None
        assert 0 < state.write_ms < 5_000
        assert (state.problem, post.said) == (None, [])
        assert seqs(fake) == Counter(range(1, 12_001))
        batches = [arrived(write) for write in fake.writes]
        assert [seq for batch in batches for seq in batch] == list(range(1, 12_001))
        assert max(map(len, batches)) == 5_000
        assert len(fake._socks) == 1
        write = fake.writes[0]
        assert write.path == "/api/v2/write?org=my+org&bucket=b%2Frp&precision=ns"
        assert write.headers["authorization"] == f"Token {CANARY}"
        assert write.headers["content-encoding"] == "gzip"
        assert write.sent < len(write.body) / 3


def test_long_lines_make_small_batches() -> None:
    """A megabyte at most; a line of more goes alone."""
    long, short = lines(1, 1, name="x" * 60_000)[0], lines(1, 2)[0]
    giant = long.replace(b"x" * 60_000, b"x" * 1_500_000)
    with Fake() as fake, posting(fake) as post:
        post.outbox.add(
            [short, *[long.replace(b" 1000001", f" {at}".encode()) for at in range(40)], giant, short]
        )
        assert post.settle().delivered == 43
        sizes = [len(write.body) for write in fake.writes]
        assert sum(size > 1_000_000 for size in sizes) == 1
        assert len(fake.writes[sizes.index(max(sizes))].body) == len(giant)
        assert len(sizes) == 5


@pytest.mark.parametrize(
    ("faults", "retries", "copies"),
    [
        ([says(503, "Service Unavailable")], 1, 1),
        ([says(500, '{"code":"internal error","message":"x"}')] * 3, 3, 1),
        ([says(429, Retry_After="0")], 1, 1),
        ([says(429, Retry_After="nonsense")], 1, 1),
        ([says(401, '{"code":"unauthorized","message":"unauthorized access"}')] * 2, 2, 1),
        ([says(404, '{"error":"database not found: \\"b\\""}')] * 2, 2, 1),
        ([says(307, Location="http://elsewhere/")], 1, 1),
        ([says(200, "<html>Welcome</html>")], 1, 1),
        ([drops] * 2, 2, 1),
        ([hangs], 1, 1),
        ([half], 1, 2),
        ([late(4)], 1, 2),
        ([late(4), hangs, half, says(503), drops], 5, 3),
    ],
)  # fmt: skip
def test_what_passes_costs_no_line(
    faults: list[Fault], retries: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again until taken; a second time only where the first had been taken without our knowing."""
    monkeypatch.setattr(transport, "ANSWER_S", 3.0)
    with Fake() as fake, posting(fake) as post:
        fake.faults.extend(faults)
        post.outbox.add(lines(200))
        state = post.settle()
        assert (state.delivered, state.lost, state.retries, state.problem) == (200, 0, retries, None)
        counts = seqs(fake)
        assert set(counts) == set(range(1, 201))
        assert set(counts.values()) == {copies}


def test_a_server_that_is_away_is_waited_for() -> None:
    """Said once as it goes and once as it comes back; another time likewise, but not for ever."""
    with Fake() as fake, posting(fake) as post:
        for time_away in range(7):
            fake.down()
            post.outbox.add(lines(10, 1 + 10 * time_away))
            until(lambda: post.outbox.state.problem is not None, 60)
            until(lambda: len(post.said) == min(2 * time_away + 1, 10), 60)  # noqa: B023  # it ends before the next
            assert post.outbox.state.queued == 10
            fake.up()
            assert post.settle().delivered == 10 * time_away + 10
        away = f"points for InfluxDB wait and are sent again: {fake.url} cannot be reached (connection refused): is it up?"
        assert post.said == [away, "InfluxDB takes points again"] * outbox.RECOVERIES
        assert seqs(fake) == Counter(range(1, 71))


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_server_says_when_to_come_again(form: str) -> None:
    """Retry-After is waited for, in both of its forms."""
    with Fake() as fake, posting(fake) as post:
        begin = time.time()
        when = "1" if form == "seconds" else formatdate(begin + 2, usegmt=True)
        moments: list[float] = []

        def fault(write: Write) -> bool:
            moments.append(time.time())
            if len(moments) == 1:
                return says(503, Retry_After=when)(write)
            return late(0)(write)

        fake.always = fault
        post.outbox.add(lines(3))
        assert post.settle().delivered == 3
        assert moments[1] >= begin + 1  # a date has whole seconds only
        assert len(moments) == 2


def test_no_server_sends_us_away_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its word has a limit."""
    monkeypatch.setattr(outbox, "RETRY_AFTER_S", 0.1)
    with Fake() as fake, posting(fake) as post:
        fake.faults.append(says(429, Retry_After="86400"))
        post.outbox.add(lines(3))
        assert post.settle(5).delivered == 3


def test_too_large_is_halved_and_remembered() -> None:
    """All arrives, in order, and later batches are small from the beginning."""
    with Fake(most_bytes=50_000) as fake, posting(fake) as post:
        post.outbox.add(lines(4_000))
        assert post.settle().lost == 0
        assert seqs(fake) == Counter(range(1, 4_001))
        taken = [arrived(write) for write in fake.writes if len(write.body) <= 50_000]
        assert [seq for batch in taken for seq in batch] == list(range(1, 4_001))
        before = len(fake.writes)
        post.outbox.add(lines(4_000, 4_001))
        assert post.settle().lost == 0
        assert all(len(write.body) <= 50_000 for write in fake.writes[before:])
        assert (post.said, post.outbox.state.retries) == ([], 0)


def test_one_line_that_is_too_large_is_lost_alone() -> None:
    """And told of."""
    with Fake(most_bytes=10_000) as fake, posting(fake) as post:
        post.outbox.add([*lines(3), *lines(1, 4, name="x" * 20_000), *lines(3, 5)])
        state = post.settle()
        assert (state.delivered, state.refused, state.lost) == (6, 1, 1)
        assert post.said == [
            f"points for InfluxDB are refused and lost: {fake.url} answered 413 (too large): one point alone is more than it takes"
        ]
        assert sorted(seqs(fake)) == [1, 2, 3, 5, 6, 7]


def choosy(body: str, status: int, *, keeps: bool) -> Fault:
    """Finds fault with lines that say `poison`; `keeps`: takes the others all the same, as 1.x and 3.x do."""

    def fault(write: Write) -> bool:
        text = write.body
        if b"poison" not in text:
            write.store()
            return write.answer(204)
        if keeps:
            for line in split_lines(text.decode()):
                if "poison" not in line:
                    write.fake.store(line.encode())
        return write.answer(status, body)

    return fault


@pytest.mark.parametrize(
    ("status", "body", "keeps"),
    [
        (400, '{"code":"invalid","message":"unable to parse \'m,a=poison f= 2\': missing field value"}', False),
        (400, '{"error":"partial write: unable to parse \'m,a=poison f= 2\': missing field value dropped=0"}', True),
        (400, '{"error":"partial write of line protocol occurred","data":[{"line_number":2,"error_message":"bad \'poison\'"}]}', True),
        (422, '{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped=1"}', True),
    ],
)  # fmt: skip
def test_a_bad_line_costs_itself_only(status: int, body: str, keeps: bool) -> None:
    """Never sent again for its own sake; those beside it arrive; the user reads why without the line's text."""
    with Fake() as fake, posting(fake) as post:
        fake.always = choosy(body, status, keeps=keeps)
        post.outbox.add([*lines(700), *lines(1, 701, name="poison"), *lines(299, 702)])
        state = post.settle()
        assert (state.delivered, state.refused, state.lost, state.retries) == (999, 1, 1, 0)
        assert set(seqs(fake)) == set(range(1, 1_001)) - {701}
        assert len(post.said) == 1
        assert post.said[0].startswith(
            f"points for InfluxDB are refused and lost: {fake.url} answered {status} ("
        )
        assert "poison" not in f"{post.said}{state}"
        assert (post.outbox.state.problem or "").startswith(f"{fake.url} answered {status}")


def test_looking_for_bad_lines_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all are bad, they are given up in large pieces."""
    monkeypatch.setattr(outbox, "SPLITS", 15)
    with Fake() as fake, posting(fake) as post:
        fake.always = choosy('{"message":"partial write: field type conflict"}', 422, keeps=False)
        post.outbox.add(lines(2_000, name="poison"))
        assert post.settle().refused == 2_000
        assert len(fake.writes) == 31
        post.outbox.add(lines(2_000, 2_001, name="poison"))
        assert post.settle().refused == 4_000
        assert len(fake.writes) == 32
        assert len(post.said) == 1


def test_a_refusal_of_the_request_is_not_looked_into() -> None:
    """A missing organization is not a line's fault: one write a batch."""
    with Fake() as fake, posting(fake) as post:
        fake.always = says(400, '{"code":"invalid","message":"Please provide either orgID or org"}')
        post.outbox.add(lines(50))
        assert post.settle().refused == 50
        assert len(fake.writes) == 1
        assert post.said[0].endswith(
            "50 points not taken; InfluxDB 2.x wants to know the organization: set INFLUXDB_ORG"
        )


def small(monkeypatch: pytest.MonkeyPatch, spill: int, memory: int) -> None:
    """Little room."""
    monkeypatch.setattr(backlog, "SPILL_BYTES", spill)
    monkeypatch.setattr(backlog, "MEMORY_BYTES", memory)


def test_without_a_disk_the_oldest_lines_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound; what is dropped is counted and said once; the newest arrive."""
    small(monkeypatch, 50_000, 100_000)
    with Fake() as fake, posting(fake) as post:
        fake.down()
        for first in range(1, 5_001, 100):
            post.outbox.add(lines(100, first))
            gevent.sleep(0)
            balanced(post.outbox.state)
        state = post.outbox.state
        size = len(lines(1)[0]) + backlog.LINE_BYTES
        assert state.dropped == 5_000 - state.queued
        assert state.queued * size <= 100_000 + 100 * size * 2
        fake.up()
        state = post.settle()
        assert state.delivered + state.dropped == 5_000
        stored = sorted(seqs(fake))
        assert stored[-500:] == list(range(4_501, 5_001))
        told = "points for InfluxDB are dropped and counted as lost: over 0.1 MB wait in memory"
        assert post.said.count(told) == 1
        assert state.problem == "points for InfluxDB are dropped: over 0.1 MB wait in memory"


def test_a_long_absence_is_spent_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, all comes in order, the file gives back its room and is gone in the end."""
    small(monkeypatch, 50_000, 10_000_000)
    path = tmp_path / "metrics.spool"
    with Fake() as fake, posting(fake, path) as post:
        fake.down()
        for first in range(1, 20_001, 500):
            post.outbox.add(lines(500, first))
            gevent.sleep(0.001)
            balanced(post.outbox.state)
        until(lambda: post.outbox.state.spooled > 14_000, 60)
        state = post.outbox.state
        balanced(state)
        assert state.queued < 5_000 + 1_000
        assert 0 < path.stat().st_size < 20_000 * len(lines(1)[0]) / 3
        assert path.stat().st_mode & 0o777 == 0o600
        fake.up()
        assert post.settle().delivered == 20_000
        assert path.stat().st_size == 0
        assert [seq for write in fake.writes for seq in arrived(write)] == list(range(1, 20_001))
        assert post.outbox.close(1).lost == 0
        assert not path.exists()


def test_lines_go_through_the_file_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow server that is back while more comes than it takes: still each once, still in order."""
    small(monkeypatch, 20_000, 10_000_000)
    monkeypatch.setattr(backlog, "BATCH_LINES", 100)
    with Fake() as fake, posting(fake, tmp_path / "s") as post:
        fake.always = late(0.003)
        for first in range(1, 8_001, 200):
            post.outbox.add(lines(200, first))
            gevent.sleep(0.002)
        assert post.settle().delivered == 8_000
        assert [seq for write in fake.writes for seq in arrived(write)] == list(range(1, 8_001))


def test_a_full_disk_is_said_and_lived_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines stay in memory up to its bound; then the oldest are dropped and counted."""
    small(monkeypatch, 50_000, 100_000)
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    with Fake() as fake, posting(fake, path) as post:
        fake.down()
        for first in range(1, 3_001, 100):
            post.outbox.add(lines(100, first))
            gevent.sleep(0.003)
            balanced(post.outbox.state)
        assert post.outbox.state.dropped > 1_000
        fake.up()
        state = post.settle()
        assert state.delivered == 3_000 - state.dropped
        full = f"{path} cannot be written (no space left on device): points for InfluxDB wait in memory, as long as there is room"
        assert post.said.count(full) == 1
        assert sum("are dropped" in line for line in post.said) == 1


def test_a_file_that_somebody_cut_costs_what_was_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted and said; the lines in memory arrive."""
    small(monkeypatch, 50_000, 10_000_000)
    monkeypatch.setattr(backlog, "BATCH_LINES", 100)
    path = tmp_path / "s"
    with Fake() as fake, posting(fake, path) as post:
        fake.down()
        post.outbox.add(lines(3_000))
        until(lambda: post.outbox.state.spooled > 1_000, 60)
        spooled = post.outbox.state.spooled
        os.truncate(path, 10)
        fake.up()
        state = post.settle()
        assert spooled <= state.dropped + 100 < 3_100
        assert state.delivered == 3_000 - state.dropped
        gone = f"points for InfluxDB are dropped and counted as lost: {path} cannot be read (it is "
        assert sum(line.startswith(gone) for line in post.said) == 1


def test_closing_sends_what_waits() -> None:
    """At once, without the wait for more; a second time only tells."""
    with Fake() as fake, posting(fake) as post:
        post.outbox.add(lines(6_000))
        assert post.outbox.close(10).delivered == 6_000
        assert post.outbox.close(10).lost == 0
        assert seqs(fake) == Counter(range(1, 6_001))
        post.outbox.add(lines(2))
        state = post.outbox.state
        assert (state.created, state.dropped, state.lost) == (6_002, 2, 2)


def test_closing_tries_again_until_its_deadline() -> None:
    """A server that comes back in time has all of it; one that does not costs the deadline, and the loss is counted."""
    with Fake() as fake, posting(fake) as post:
        fake.faults.extend([says(503)] * 4)
        post.outbox.add(lines(10))
        assert post.outbox.close(10).lost == 0
    with Fake() as fake, posting(fake) as post:
        fake.down()
        post.outbox.add(lines(10))
        begin = time.monotonic()
        state = post.outbox.close(0.5)
        assert 0.5 <= time.monotonic() - begin < 3
        assert (state.lost, state.queued, state.delivered) == (10, 10, 0)
        balanced(state)


def test_a_write_that_breaks_is_tried_again() -> None:
    """Even what must not happen does not end the greenlet."""
    calls: list[int] = []

    def send(body: bytes, count: int) -> Answer:
        calls.append(count)
        if len(calls) < 3:
            raise RuntimeError(CANARY)
        return Answer("delivered", 204)

    said: list[str] = []
    made = Outbox(send, None, said.append)
    made.start()
    made.add(lines(4))
    assert made.close(5).delivered == 4
    assert calls == [4, 4, 4]
    assert said == [
        "points for InfluxDB wait and are sent again: a write failed (RuntimeError)",
        "InfluxDB takes points again",
    ]


@settings(max_examples=30)
@given(
    adds=st.lists(st.integers(0, 60), max_size=12),
    answers=st.lists(
        st.sampled_from(["again", "slow", "too_large", "refused", "partial", "lost"]), max_size=12
    ),
    spill=st.integers(1_000, 8_000),
    on_disk=st.booleans(),
)
def test_the_count_is_right_at_any_time(
    adds: list[int], answers: list[str], spill: int, on_disk: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever comes in whatever order: delivered lines are there, in order, the others are counted."""
    left = list(answers)
    stored: list[int] = []

    def send(body: bytes, count: int) -> Answer:
        got = [parse(line).time_ns - 1_000_000 for line in split_lines(zlib.decompress(body, 31).decode())]
        assert len(got) == count
        balanced(made.state)
        gevent.sleep(0)
        match left.pop(0) if left else "":
            case "again" | "slow" as kind:
                return Answer("again", 503, "why", mendable=kind == "slow")
            case "lost":
                stored.extend(got)
                return Answer("again", None, "why")
            case "too_large":
                return Answer("too_large", 413, "why")
            case "refused" | "partial" as kind:
                return Answer("refused", 400, "why", partial=kind == "partial")
        stored.extend(got)
        return Answer("delivered", 204)

    with pytest.MonkeyPatch.context() as patch:
        small(patch, spill, 2 * spill)
        patch.setattr(outbox, "BACKOFF_S", (0.0, 0.0))
        patch.setattr(outbox, "MEND_S", (0.0, 0.0))
        patch.setattr(outbox, "HURRY_S", 0.001)
        patch.setattr(outbox, "LINGER_S", 0.0)
        path = tmp_path_factory.mktemp("spool") / "s" if on_disk else None
        made = Outbox(send, path, lambda line: None)
        made.start()
        first = 1
        for count in adds:
            made.add(lines(count, first))
            first += count
            balanced(made.state)
            gevent.sleep(0)
        state = made.close(10)
    balanced(state)
    assert (state.created, state.queued, state.spooled) == (first - 1, 0, 0)
    # What is stored without our knowing may be refused, in halves, when it is sent again.
    assert len(set(stored)) == state.delivered or "lost" in answers
    assert state.delivered <= len(set(stored)) <= state.created - state.dropped
    fresh = list(dict.fromkeys(stored))
    assert fresh == sorted(fresh)
    assert path is None or not path.exists()


@given(texts=st.lists(st.binary(min_size=1, max_size=30), min_size=2, max_size=50))
def test_halves_are_the_whole(texts: list[bytes]) -> None:
    """No line is cut, whatever is in it."""
    batch = pack(texts)
    assert batch.length == len(b"\n".join(texts))
    assert batch.count == len(texts)
    first, second = halves(batch)
    assert first.count == len(texts) // 2
    parts = [zlib.decompress(part.body, 31) for part in (first, second)]
    assert parts == [b"\n".join(texts[: first.count]), b"\n".join(texts[first.count :])]


def test_the_file_has_a_bound(tmp_path: Path) -> None:
    """More is refused and changes nothing; what is read to its end gives its room back."""
    kept = Spool(tmp_path / "s", limit=2_000)
    batches = [pack([os.urandom(300), b"x"]) for _ in range(8)]
    for batch in batches[:5]:
        kept.append(batch)
    with pytest.raises(OSError, match="over 0 MB wait there"):
        kept.append(batches[5])
    assert [kept.take() for _ in range(5)] == batches[:5]
    kept.append(batches[7])
    assert kept.take() == batches[7]
    kept.close()
    assert not (tmp_path / "s").exists()


def test_a_write_that_fails_half_way_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file ends where it did, and goes on from there."""
    kept = Spool(tmp_path / "s")
    first, second, third = (pack([os.urandom(500)]) for _ in range(3))
    kept.append(first)
    size = (tmp_path / "s").stat().st_size
    whole = os.pwrite

    def broken(fd: int, data: bytes, at: int) -> int:
        if len(data) > 100:
            return whole(fd, data[:100], at)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", broken)
        with pytest.raises(OSError, match="Input/output"):
            kept.append(second)
    assert (tmp_path / "s").stat().st_size == size
    kept.append(third)
    assert [kept.take(), kept.take()] == [first, third]
    kept.close()


PATCHED = """
from gevent import monkey; monkey.patch_all()
import json, sys, time, gevent
from harness.influx import transport
from harness.influx.access import Access
from harness.influx.outbox import Outbox
transport.ANSWER_S = 30.0
url, = sys.argv[1:]
writer = transport.Writer(Access(url, "t", "o", "b"), {})
said, ticks = [], 0
outbox = Outbox(writer.send, None, said.append)
outbox.start()
def tick():
    global ticks
    while True:
        gevent.sleep(0.01); ticks += 1
gevent.spawn(tick)
took_s = []
for at in range(50):
    begin = time.perf_counter()
    outbox.add([b"m,run=r f=%di %d" % (at, at)])
    took_s.append(time.perf_counter() - begin)
    gevent.sleep(0.01)
begin = time.perf_counter()
state = outbox.close(0.5)
print(json.dumps([ticks, sorted(took_s), time.perf_counter() - begin, state.delivered, state.lost]))
"""


@pytest.mark.parametrize("fault", [hangs, None], ids=["hangs", "well"])
def test_as_in_a_process_of_locust(fault: Callable[[Write], bool] | None) -> None:
    """Patched by gevent: a server that hangs holds up nobody, neither who adds nor other greenlets nor the end."""
    with Fake(always=fault) as fake:
        done = subprocess.run(
            [sys.executable, "-c", PATCHED, fake.url],
            capture_output=True,
            text=True,
            check=True,
            cwd=TESTS.parent,
            timeout=60,
        )
        ticks, took_s, closing_s, delivered, lost = json.loads(done.stdout)
        assert ticks > 20
        assert took_s[-1] < 5  # of the 30 s that an answer is waited for
        assert took_s[44] < 0.1  # nine in ten, whoever else uses this machine
        assert closing_s < 10
        assert (delivered, lost) == ((0, 50) if fault else (50, 0))
        assert done.stderr == ""
        if not fault:
            assert len(fake.stored) == 50
            assert set(fake.stored.values()) == {1}
