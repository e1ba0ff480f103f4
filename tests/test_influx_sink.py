"""The points of one process: none is lost between those who make them and the outbox, and nobody waits for them too long."""

from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from greenlets import until
from influx_fake import Fake, hangs

from harness.aside import aside
from harness.clock import now_ns
from harness.influx import backlog
from harness.influx import outbox as outbox_module
from harness.influx import sink as module
from harness.influx.access import Access
from harness.influx.lines import Encoder
from harness.influx.outbox import Outbox
from harness.influx.schema import MEASUREMENTS
from harness.influx.sink import Sink
from harness.influx.transport import Answer, Writer

LOAD = Encoder(MEASUREMENTS["llm_load"], run="r")


def opened(fake: Fake, folder: Path, said: list[str]) -> Sink:
    writer = Writer(Access(fake.url, "", "", "b"))
    # In a thread, since nothing has patched this process: as gevent's sockets do it, others go on meanwhile.
    outbox = Outbox(lambda body, lines: aside(writer.send, body, lines), folder / "spool", said.append)
    return Sink(outbox, "r", "w", said.append)


def of(fake: Fake, measurement: str) -> list[int]:
    """The times of its points, in s."""
    return sorted(
        point.time_ns // 1_000_000_000 for point in fake.points.values() if point.measurement == measurement
    )


def test_one_odd_value_ends_nothing(tmp_path: Path) -> None:
    """A collector that raises is told of once; it is asked again, and all others have their points there."""
    asked = 0

    def odd(at_ns: int) -> Iterator[bytes]:
        nonlocal asked
        asked += 1
        yield LOAD.line(asked * 1_000_000_000, {"level": 1})
        yield LOAD.line(at_ns, {"no_such_field": 1})

    rounds = 0

    def fine(_: int) -> Iterator[bytes]:
        nonlocal rounds
        rounds += 1
        yield LOAD.line((100 + rounds) * 1_000_000_000, {"level": 2})

    def raises_at_once(_: int) -> Iterator[bytes]:
        raise ZeroDivisionError("at once")

    said: list[str] = []
    with Fake() as fake:
        sink = opened(fake, tmp_path, said)
        for collect in (odd, raises_at_once, fine):
            sink.follow(collect)
        sink.start()
        gevent.sleep(2.2)
        sink.flush(odd(0))
        state = sink.close()
    assert rounds >= 3
    assert asked == rounds + 1
    assert of(fake, "llm_load") == [*range(1, asked + 1), *range(101, 101 + rounds)]
    assert state.lost == 0
    (line,) = said
    assert line.startswith(
        "warning: some points for InfluxDB could not be made and are missing there (KeyError: "
    )
    assert line.endswith("the run and its results are whole. Please report this")


def test_the_end_comes_between_two_turns_and_loses_nothing(tmp_path: Path) -> None:
    """What is being made when load ends is made to its end: it is taken from where it waited already."""
    waiting = list(range(1, 41))

    def slow(_: int) -> Iterator[bytes]:
        while waiting:
            second = waiting.pop(0)
            began_ns = now_ns()
            while now_ns() - began_ns < module.TURN_NS:
                pass
            yield LOAD.line(second * 1_000_000_000, {"level": 1})
            gevent.sleep(0.01)

    with Fake() as fake:
        sink = opened(fake, tmp_path, [])
        sink.follow(slow)
        sink.start()
        while len(waiting) > 30:
            gevent.sleep(0.005)
        assert sink.flush().lost == 0
        sink.close()
    assert of(fake, "llm_load") == list(range(1, 41))


@pytest.mark.parametrize("hurried", [False, True])
def test_a_server_that_hangs_at_the_end_is_waited_for_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: bool
) -> None:
    """So long and no longer, once and not again for the last points; whoever is in a hurry need not wait at all."""
    monkeypatch.setattr(module, "CLOSE_S", 2.5)
    monkeypatch.setattr(module, "GONE_S", 0.3)
    said: list[str] = []
    with Fake() as fake:
        sink = opened(fake, tmp_path, said)
        sink.follow(lambda at_ns: iter([LOAD.line(at_ns, {"level": 1})]))
        sink.start()
        gevent.sleep(1.2)
        fake.always = hangs
        if hurried:
            gevent.spawn_later(0.2, sink.hurry)
        began_ns = now_ns()
        assert sink.flush().lost > 0
        flushed_s = (now_ns() - began_ns) / 1e9
        sink.close()
        closed_s = (now_ns() - began_ns) / 1e9 - flushed_s
    told = "waiting up to 2.5 s for InfluxDB to take the last points; Ctrl-C ends that"
    assert said == ([] if hurried else [told])
    assert 0.2 <= flushed_s < 1.5 if hurried else 2.4 < flushed_s < 4
    assert closed_s < 1.5


def test_a_server_that_is_back_at_the_end_has_all_that_was_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits a quarter of a minute before the next try is woken: what a worker says of its points is said after `flush`."""
    monkeypatch.setattr(outbox_module, "BACKOFF_S", (1e6, 1e6))
    said: list[str] = []
    with Fake() as fake:
        sink = opened(fake, tmp_path, said)
        fake.down()
        sink.follow(lambda at_ns: iter([LOAD.line(at_ns, {"level": 1})]))
        sink.start()
        until(lambda: sink.state.retries > 0)
        fake.up()
        assert sink.flush().lost == 0
        sink.close()
    assert of(fake, "llm_load")


@pytest.mark.parametrize("fails", [{1, 2}, {3}], ids=["it comes back", "it stumbles once"])
def test_who_takes_points_again_is_waited_for_to_the_end(
    monkeypatch: pytest.MonkeyPatch, fails: set[int]
) -> None:
    """Six writes of 0.3 s: longer than a server is waited for that is gone, which this one is not."""
    monkeypatch.setattr(module, "GONE_S", 0.8)
    monkeypatch.setattr(backlog, "BATCH_LINES", 1)
    monkeypatch.setattr(outbox_module, "HURRY_S", 0.1)
    calls: list[int] = []

    def send(_body: bytes, _lines: int) -> Answer:
        calls.append(len(calls) + 1)
        if calls[-1] in fails:
            return Answer("again", 503, "away")
        gevent.sleep(0.3)
        return Answer("delivered", 204)

    sink = Sink(Outbox(send, None, print), "r", "w", print)
    sink.start()
    sink.put([LOAD.line(at_ns, {"level": 1}) for at_ns in range(5)])
    until(lambda: bool(calls))
    assert sink.flush().lost == 0
    sink.close()


def test_where_load_never_began_nothing_is_waited_for(tmp_path: Path) -> None:
    """A run that is stopped before it begins."""
    outbox = Outbox(lambda *_: Answer("delivered", 204), None, print)
    sink = Sink(outbox, "r", "w", print)
    began_ns = now_ns()
    assert sink.flush([b"m f=1i 1"]).created == 0
    sink.close()
    assert now_ns() - began_ns < 1_000_000_000
