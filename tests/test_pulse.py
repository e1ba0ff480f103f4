"""What a part says of its last seconds: every token in its second, corrected until it stands, and no trust in a peer's word."""

import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_client_doubts import WELL, bad
from test_influx_tally import Stream, record

from harness.client_doubts import KINDS, findings
from harness.client_watch import MOST, ClientWatch, Seen
from harness.hearsay import Malformed
from harness.pulse import FIGURES, Pulse, Said, read
from harness.web.beats import SILENT_S, Beats

S: Final = 1_000_000_000
MS: Final = 1_000_000
BEGAN: Final = 1_790_000_000


class Part:
    """One part whose stamps begin at 0, which is BEGAN of the run's clock."""

    def __init__(self) -> None:
        self.flying: list[Stream] = []
        self.pulse = Pulse(0, BEGAN * S, lambda: self.flying)

    def stream(self, *reads_ms: int) -> Stream:
        """A response under way of which something has come."""
        made = Stream()
        made.received.read_times.extend(at * MS for at in reads_ms)
        self.flying.append(made)
        return made

    def end(self, stream: Stream, tokens: int | None, **more: Any) -> None:
        """It is over, its last event read last."""
        self.flying.remove(stream)
        events = list(stream.received.read_times)
        self.pulse.record(record(events[0] - 100 * MS, events, tokens, prompt_tokens=50, **more), stream)

    def said(self, at_s: float, *, is_over: bool = False, name: str = "one", is_present: bool = True) -> Said:
        """Its pulse, as it comes out at the other end of a connection."""
        packed = msgpack.dumps(self.pulse.stored(round(at_s * S), is_over=is_over))
        return Said(name, "ready", 1, 1, None, msgpack.loads(packed, raw=False), is_present and not is_over)


def rates(beats: Beats, second: int) -> tuple[Any, bool]:
    """(output tokens/s, whether it stands) of a second after BEGAN."""
    found = beats.rates(BEGAN + second)
    return found.get("system_output_tokens_per_s"), found["settled"]


def test_an_answer_under_way_is_estimated_and_then_put_right() -> None:
    """No second looks as if nothing came in it: it is estimated, not settled, and exact once the answer is over."""
    part, beats = Part(), Beats(BEGAN)
    stream = part.stream(100, 600, 1100, 1600)
    beats.hear([part.said(2.1)], BEGAN + 2)
    assert [rates(beats, second) for second in range(3)] == [(2.0, False), (2.0, False), (None, False)]
    part.end(stream, 40)
    beats.take_changed()
    beats.hear([part.said(3.1)], BEGAN + 3)
    assert [rates(beats, second) for second in range(4)] == [(20, True), (20, True), (0, True), (None, False)]
    assert beats.take_changed() == {BEGAN, BEGAN + 1, BEGAN + 2}
    assert beats.rates(BEGAN)["system_total_tokens_per_s"] == 20 + 0  # its prompt counts where it ended
    assert beats.rates(BEGAN + 1)["requests_per_s"] == 1


def test_a_second_is_known_when_all_have_told_of_it() -> None:
    """Until then it is null and not low; who is silent for long is not waited for, and what it said stays."""
    one, other, beats = Part(), Part(), Beats(BEGAN)
    for part in (one, other):
        part.end(part.stream(200, 300), 10)
    late = other.said(1.1, name="other")
    beats.hear([one.said(3.1), late], BEGAN + 3)
    assert [rates(beats, second) for second in range(3)] == [(20, True), (None, False), (None, False)]
    beats.hear([one.said(2 + SILENT_S + 0.1), late], BEGAN + 2 + SILENT_S)
    assert [rates(beats, second)[0] for second in range(3)] == [20, 0, None]
    beats.hear([one.said(13.1), other.said(1.1, name="other", is_present=False)], BEGAN + 13)
    assert rates(beats, 12) == (0, True)
    assert rates(beats, 0) == (20, True)


def test_the_last_word_settles_everything() -> None:
    """Also the second in which it is said."""
    part, beats = Part(), Beats(BEGAN)
    part.end(part.stream(2_100, 2_400), 7)
    beats.hear([part.said(2.6, is_over=True)], BEGAN + 2)
    beats.hear([part.said(9.0, is_over=True)], BEGAN + 9)
    assert rates(beats, 2) == (7, True)
    assert beats.known == BEGAN + 3


def test_percentiles_are_of_the_last_ten_seconds() -> None:
    """Of the requests of all parts that ended in them."""
    part, beats = Part(), Beats(BEGAN)
    part.end(part.stream(1_000, 2_000), 11)
    beats.hear([part.said(3.1)], BEGAN + 3)
    found = beats.lately(BEGAN + 3)
    assert found["ttft_ms_p50"] == pytest.approx(100, rel=0.01)
    assert found["e2e_ms_p99"] == pytest.approx(1_100, rel=0.01)
    assert found["request_tokens_per_s_p10"] == pytest.approx(10, rel=0.01)
    beats.hear([part.said(14.1)], BEGAN + 14)
    assert set(beats.lately(BEGAN + 14).values()) == {None}


def test_rates_of_a_stretch_take_seconds_at_its_ends_in_part() -> None:
    """None of it where not all is known."""
    part, beats = Part(), Beats(BEGAN)
    for second in range(4):
        part.end(part.stream(1000 * second + 200, 1000 * second + 300), 10)
    beats.hear([part.said(4.1)], BEGAN + 4)
    assert beats.within(BEGAN * S + S // 2, (BEGAN + 3) * S) == pytest.approx((25, 125, 2.5))
    assert beats.within(BEGAN * S, (BEGAN + 5) * S) is None


STREAMS = st.lists(
    st.tuples(st.integers(0, 20_000), st.lists(st.integers(1, 900), min_size=1, max_size=40), st.integers(1, 500)),
    max_size=12,
)  # fmt: skip


@given(streams=STREAMS, lost=st.sets(st.integers(0, 60)))
def test_nothing_is_lost_in_the_end(streams: list[tuple[int, list[int], int]], lost: set[int]) -> None:
    """Whatever pulses are lost on their way, the last says what is missing if it is no older than AGAIN_S; all tokens are there."""
    part, beats = Part(), Beats(BEGAN)
    ends = []
    for begin, gaps, tokens in streams:
        times = [begin + sum(gaps[:at]) for at in range(len(gaps) + 1)]
        ends.append((times[-1], times, tokens))
    last = max((end for end, *_ in ends), default=0) // 1000 + 2
    flying: list[tuple[int, list[int], int, Stream]] = []
    for second in range(1, last + 1):
        for end, times, tokens in [one for one in ends if second - 1 <= one[1][0] // 1000 < second]:
            flying.append((end, times, tokens, part.stream()))
        for end, times, tokens, stream in list(flying):
            reads = stream.received.read_times
            reads.extend(at * MS for at in times[len(reads) :] if at < 1000 * second)
            if end < 1000 * second:
                flying.remove((end, times, tokens, stream))
                part.end(stream, tokens)
        said = part.said(second + 0.06)
        if second not in lost or second % 8 == 0:
            beats.hear([said], BEGAN + second)
    beats.hear([part.said(last + 0.1, is_over=True)], BEGAN + last)
    told = [rates(beats, second) for second in range(last)]
    assert all(settled for _, settled in told)
    assert sum(rate for rate, _ in told) == pytest.approx(sum(tokens for *_, tokens in ends), abs=1e-2)


def changed(**more: object) -> Callable[[dict[str, Any]], object]:
    """A pulse with some things in it replaced."""
    return lambda said: said | more


ROW: Final = struct.pack("<4f", 1, 1, 1, 1)
SEEN: Final = ClientWatch().stored()
MALFORMED: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "nothing": lambda _: None,
    "a list": lambda said: [*said.items()],
    "another version": changed(version=2),
    "one key less": lambda said: {key: value for key, value in said.items() if key != "odd"},
    "one key more": changed(more=1),
    "a second that never comes": changed(until=2**62, first=2**62),
    "seconds that are no bytes": changed(seconds=[1.0]),
    "half a second": changed(seconds=b"\0" * 7),
    "too few seconds": changed(until=BEGAN + 2, first=BEGAN, seconds=ROW),
    "an hour of seconds": changed(until=BEGAN + 3_600, first=BEGAN, seconds=ROW * 3_600),
    "NaN tokens": changed(until=BEGAN + 1, first=BEGAN, seconds=struct.pack("<4f", float("nan"), 1, 1, 1)),
    "endless tokens": changed(
        until=BEGAN + 1, first=BEGAN, seconds=struct.pack("<4f", float("inf"), 1, 1, 1)
    ),
    "no figures": changed(lately={}),
    "a sketch that is none": changed(lately={figure: [0, "x"] for figure in FIGURES}),
    "a client that is none": changed(client=5),
    "a CPU that is a text": changed(client=SEEN | {"cpu_percent": "12"}),
    "a kind nobody knows": changed(client=SEEN | {"bad": {"x" * 999: 1}}),
    "a finding of another status": changed(client=SEEN | {"findings": [["fine", "all is well"]]}),
    "a finding that is no text": changed(client=SEEN | {"findings": [["invalid", 5]]}),
    "more findings than there may be": changed(client=SEEN | {"findings": [["suspect", "x"]] * 9}),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
def test_what_cannot_be_read_is_passed_over(make: Callable[[dict[str, Any]], object]) -> None:
    """And told of; what others say counts."""
    part, beats = Part(), Beats(BEGAN)
    part.end(part.stream(100, 200), 5)
    bad_word = make(part.pulse.stored(2 * S))
    with pytest.raises(Malformed):
        read(bad_word)
    beats.hear([Said("evil", "ready", 1, 1, None, bad_word, True), part.said(2.1)], BEGAN + SILENT_S + 3)
    assert beats.unreadable == (bad_word is not None)
    assert rates(beats, 0) == (5, True)


def test_text_from_a_worker_is_one_short_line() -> None:
    """Whatever it is."""
    said = SEEN | {"findings": [["suspect", "a\n\x1b[31m" + "b" * 9_999]]}
    ((_, text),) = Seen.read(said).findings
    assert len(text) <= 400
    assert text.startswith("a ?[31mb")


def test_a_request_that_cannot_be_counted_stops_nobody() -> None:
    """It is said how many there were."""
    part = Part()
    part.pulse.record(record(0, [1, 2], 5), None)  # type: ignore[arg-type]
    assert read(part.pulse.stored(S)).odd == 1


@pytest.mark.parametrize(
    "rows",
    [
        bad(0, 30),
        bad(2, 30, waited_percent=90.0, waited_ms=900.0),
        bad(5, 30, waited_percent=90.0, waited_ms=900.0),
        bad(30, 30, cpu_percent=95.0),
        bad(4, 150, loop_lag_ms_p99=120.0),
        bad(20, 150, loop_lag_ms_p99=60.0, reads=10, kernel_reads=0),
    ],
)
def test_the_client_is_judged_as_at_the_end(rows: list[Any]) -> None:
    """The same reasons, word for word, of the same seconds; bad seconds are counted by what was bad."""
    watch = ClientWatch()
    for row in rows:
        watch.add(row)
    assert watch.findings() == findings(rows, ())
    seen = Seen.read(msgpack.loads(msgpack.dumps(watch.stored()), raw=False))
    assert seen.seconds == pytest.approx(len(rows))
    assert set(seen.bad) <= set(KINDS)
    assert seen.bad.get("squeezed", 0) == sum((row.waited_percent or 0) >= 75 for row in rows)
    assert (seen.cpu_percent, seen.lag_ms) == (rows[-1].cpu_percent, rows[-1].loop_lag_ms_p99)


def test_an_hour_of_a_bad_client_is_bounded() -> None:
    """What was found stays found."""
    watch = ClientWatch()
    for row in bad(300, 300, cpu_percent=99.0):
        for _ in range(12):
            watch.add(row)
    assert len(watch._doubtful) <= MOST
    assert [status for status, _ in watch.findings()] == ["invalid"]
    watch.add(WELL)
    assert watch.stored()["bad"] == {"cpu": 3_600}


def test_a_bad_client_stays_bad_for_days() -> None:
    """Of many seconds some are kept, and their share of all is what it was: nothing fades as time goes by."""
    watch, (row,) = ClientWatch(), bad(1, 1, cpu_percent=99.0)
    for number in range(40_000):
        watch.add(row if number % 4 else WELL)
    assert 0 < len(watch._doubtful) <= MOST
    assert [status for status, _ in watch.findings()] == ["invalid"]
    assert watch.stored()["bad"] == {"cpu": 30_000}
