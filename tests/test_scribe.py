"""The journal's own thread: nothing of what the disk does reaches those who append."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import gevent
import orjson
import pytest
from synthetic_run import record

from harness import scribe as scribe_module
from harness.clock import ANCHOR_NS
from harness.journal import Journal, read, unpack
from harness.scribe import Scribe

PIPE_BYTES = 65_536  # what a pipe holds before it blocks


class HangingDisk:
    """A named pipe that nobody reads until told to: a write to it blocks, as one to a disk that hangs does."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.path = path
        self.content = b""

    def catch_up(self, scribe: Scribe) -> list[dict[str, object]]:
        """Read until the scribe has written all; the lines."""
        while not scribe._done:
            self._take()
            gevent.sleep(0.001)
        self._take()
        return [orjson.loads(line) for line in self.content.splitlines()]

    def _take(self) -> None:
        with suppress(BlockingIOError):
            while data := os.read(self._fd, PIPE_BYTES):
                self.content += data

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HangingDisk]:
    made = HangingDisk(tmp_path / "journal.jsonl")
    yield made
    made.close()


def hang(scribe: Scribe) -> int:
    """Append until the pipe is full and the thread hangs in its write; how many lines that took."""
    for number in range(100):
        scribe.append("event", {"number": number, "what": "x" * 1_000})
    waiting = -1
    while (now := scribe._lines.qsize()) != waiting:
        waiting = now
        gevent.sleep(0.05)
    assert waiting > 0
    return 100


def test_lines_are_complete_and_in_order(tmp_path: Path) -> None:
    """Events and records, 3,000 of them, come out as they went in, stamps as Unix time."""
    journal = Journal(tmp_path / "journal.jsonl")
    scribe = Scribe(journal)
    for number in range(1_500):
        scribe.append("event", {"time_ns": number})
        scribe.append("record", record(request_id=str(number), sent_ns=number))
    scribe.close()
    assert (scribe.problem, scribe.dropped) == (None, 0)
    lines = list(read(journal.path))
    assert [kind for kind, _ in lines] == ["event", "record"] * 1_500
    assert [value["time_ns"] for kind, value in lines if kind == "event"] == list(range(1_500))
    records = [unpack(value) for kind, value in lines if kind == "record"]
    assert [one.request_id for one in records] == [str(number) for number in range(1_500)]
    assert [one.sent_ns for one in records] == [number + ANCHOR_NS for number in range(1_500)]
    journal.close()


def test_a_line_is_on_the_disk_a_moment_after(tmp_path: Path) -> None:
    """A process that is killed loses what happened in its last moment and no more."""
    path = tmp_path / "journal.jsonl"
    scribe = Scribe(Journal(path))
    scribe.append("event", {"time_ns": 1})
    deadline = time.monotonic() + 2
    while not path.read_bytes() and time.monotonic() < deadline:
        gevent.sleep(0.001)
    assert path.read_bytes() == b'{"kind":"event","time_ns":1}\n'
    scribe.close()


def test_a_disk_that_hangs_delays_nobody(disk: HangingDisk) -> None:
    """Appending takes microseconds and greenlets run on while a write blocks; then every line is there."""
    scribe = Scribe(Journal(disk.path))
    lines = hang(scribe)
    ticks: list[float] = []

    def tick() -> None:
        while True:
            ticks.append(time.perf_counter())
            gevent.sleep(0.002)

    ticking = gevent.spawn(tick)
    gevent.sleep(0)
    begin = time.perf_counter()
    for number in range(lines, lines + 5_000):
        scribe.append("event", {"number": number})
    assert (time.perf_counter() - begin) / 5_000 < 100e-6
    gevent.sleep(0.1)
    ticking.kill()
    assert len(ticks) >= 10
    closing = gevent.spawn(scribe.close)
    written = disk.catch_up(scribe)
    closing.get(timeout=5)
    assert [line["number"] for line in written] == list(range(lines + 5_000))
    assert (scribe.problem, scribe.dropped) == (None, 0)


def test_more_than_may_wait_is_dropped_and_said(disk: HangingDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: further lines are dropped, counted and reported, and what waits is still written."""
    scribe = Scribe(Journal(disk.path))
    lines = hang(scribe)
    waiting = scribe._lines.qsize()
    monkeypatch.setattr(scribe_module, "QUEUED", waiting + 10)
    for number in range(lines, lines + 15):
        scribe.append("event", {"number": number})
    assert scribe.dropped == 5
    assert scribe.problem == f"{disk.path}: the disk does not keep up; 5 lines dropped"
    closing = gevent.spawn(scribe.close)
    assert [line["number"] for line in disk.catch_up(scribe)] == list(range(lines + 10))
    closing.get(timeout=5)
    assert scribe.dropped == 5


def test_closing_gives_up_on_a_disk_that_hangs(disk: HangingDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its deadline, not before and not never; what waited counts as lost."""
    monkeypatch.setattr(scribe_module, "CLOSE_S", 0.2)
    scribe = Scribe(Journal(disk.path))
    hang(scribe)
    waiting = scribe._lines.qsize()
    begin = time.perf_counter()
    scribe.close()
    assert 0.2 <= time.perf_counter() - begin < 1.5
    assert scribe.dropped == waiting + 1  # and the one that is stuck in its write
    assert scribe.problem == f"{disk.path}: the disk does not keep up; {waiting + 1} lines dropped"
    scribe.append("event", {"number": -1})
    assert scribe.dropped == waiting + 2
    disk.catch_up(scribe)  # or the thread would hang on


def test_a_full_disk_is_said() -> None:
    """The journal keeps the lines in memory, and its problem is the scribe's."""
    journal = Journal(Path("/dev/full"))
    scribe = Scribe(journal)
    scribe.append("event", {"time_ns": 1})
    scribe.append("event", {"time_ns": 2})
    scribe.close()
    assert scribe.problem == "/dev/full: No space left on device; 2 lines kept in memory, 0 dropped"
    assert journal.kept == b'{"kind":"event","time_ns":1}\n{"kind":"event","time_ns":2}\n'
    journal.close()


def test_a_value_that_cannot_be_written_costs_its_own_line_only(tmp_path: Path) -> None:
    """The thread goes on, and the loss is counted and said."""
    circle: dict[str, object] = {}
    circle["self"] = circle
    journal = Journal(tmp_path / "journal.jsonl")
    scribe = Scribe(journal)
    odd: list[dict[str, object]] = [{"time_ns": 1}, circle, {"time_ns": 2}]
    for value in odd:
        scribe.append("event", value)
    scribe.close()
    assert [value["time_ns"] for _, value in read(journal.path)] == [1, 2]
    assert scribe.dropped == 1
    assert scribe.problem == f"{journal.path}: 1 lines could not be written as JSON"
    journal.close()


def test_closing_twice_is_closing(tmp_path: Path) -> None:
    """And takes no time when all is written."""
    scribe = Scribe(Journal(tmp_path / "journal.jsonl"))
    scribe.append("event", {"time_ns": 1})
    scribe.close()
    begin = time.perf_counter()
    scribe.close()
    assert time.perf_counter() - begin < 0.5
    assert scribe.dropped == 0
