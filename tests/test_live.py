"""What parts count while load runs: exact counters, quantiles within 1 %, and no trust in what a peer says."""

import dataclasses
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import ErrorClass
from harness.live import EARLIER, FIGURES, HIGHEST, LOWEST, STORED_BYTES, TOLD_NS, Live, Sketch, View, merged
from harness.live import read as live_read
from harness.record import Outcome, Phase, RequestRecord
from harness.slo import read

MS = 1_000_000
COUNTERS = ("outcomes", "errors", "sent", "prompt_tokens", "output_tokens", "uncounted", "segment")


def record(
    outcome: Outcome = Outcome.OK,
    phase: Phase = Phase.MEASURE,
    *,
    ttft_ms: float = 100,
    tokens: int | None = 11,
    error: ErrorClass | None = None,
    sent: bool = True,
    streamed: bool = True,
) -> RequestRecord:
    """A finished request of 10 tokens in 200 ms after its first."""
    first = int(ttft_ms * MS)
    return RequestRecord(
        request_id="r",
        name="/chat",
        worker="w0",
        level=1,
        repeat=1,
        phase=phase,
        outcome=outcome,
        error_class=error,
        scheduled_ns=0,
        sent_ns=0 if sent else None,
        end_ns=10**10,
        first_content_ns=first,
        last_content_ns=first + 200 * MS,
        prompt_tokens=None if tokens is None else 50,
        output_tokens=tokens,
        streamed=streamed,
    )


def live(*ttfts_ms: float, segment: int = 0) -> Live:
    """A part that has seen requests of these TTFTs succeed."""
    part = Live()
    for ttft_ms in ttfts_ms:
        part.add(record(ttft_ms=ttft_ms), segment)
    return part


def sketch(values: Sequence[float]) -> Sketch:
    """A sketch of these values."""
    made = Sketch()
    for value in values:
        made.add(value)
    return made


def bins(of: Sketch) -> tuple[int, int]:
    """(first, last) key of its bins; (0, -1) where it has none."""
    first, packed = of.stored()
    assert isinstance(first, int)
    assert isinstance(packed, bytes)
    return first, first + len(packed) // 4 - 1


FIRST_KEY, LAST_KEY = bins(sketch([LOWEST]))[0], bins(sketch([HIGHEST]))[1]


def sent(value: object) -> Any:
    """What comes out at the other end of Locust's connection."""
    return msgpack.loads(msgpack.dumps(value), raw=False, strict_map_key=False)


def counts(view: View) -> dict[str, int]:
    """Of how many requests each figure is."""
    return {figure: view.count(figure) for figure in FIGURES}


def test_every_request_is_counted() -> None:
    """Outcomes, error classes, bytes out and tokens, whatever the phase."""
    part = Live()
    part.add(record(phase=Phase.WARMUP), 0)
    part.add(record(), 0)
    part.add(record(tokens=None), 0)
    part.add(record(Outcome.FAILED, error=ErrorClass.CONNECT, sent=False, tokens=None), 0)
    part.add(record(Outcome.FAILED, error=ErrorClass.OVERLOAD, tokens=None), 0)
    part.add(record(Outcome.FAILED, error=ErrorClass.OVERLOAD, tokens=None), 0)
    part.add(record(Outcome.CANCELLED, Phase.DRAIN, tokens=4), 0)
    assert part.outcomes == {Outcome.OK: 3, Outcome.FAILED: 3, Outcome.CANCELLED: 1}
    assert part.errors == {"connect": 1, "overload": 2}
    assert (part.sent, part.prompt_tokens, part.output_tokens, part.uncounted) == (6, 150, 26, 1)


def test_sketches_look_at_measured_successes_only() -> None:
    """Not at warm-up, drain, failures or what was given up."""
    part = live(300)
    part.add(record(phase=Phase.WARMUP), 0)
    part.add(record(phase=Phase.DRAIN), 0)
    part.add(record(Outcome.FAILED, error=ErrorClass.TRUNCATED), 0)
    part.add(record(Outcome.CANCELLED), 0)
    view = merged([part.stored()])
    assert counts(view) == dict.fromkeys(FIGURES, 1)
    assert view.quantile("ttft_ms", 0.5) == pytest.approx(300, rel=0.01)
    assert view.quantile("tpot_ms", 0.5) == pytest.approx(20, rel=0.01)
    assert view.quantile("e2e_ms", 0.5) == pytest.approx(500, rel=0.01)
    assert view.quantile("output_tokens_per_s", 0.5) == pytest.approx(50, rel=0.01)


def test_what_was_not_measured_is_in_no_sketch() -> None:
    """An answer in one piece has an E2E and nothing else; a quantile of nothing is None."""
    part = Live()
    part.add(record(streamed=False), 0)
    part.add(record(tokens=1), 0)
    view = merged([part.stored()])
    assert counts(view) == {
        "ttft_ms": 1, "tpot_ms": 0, "e2e_ms": 2, "output_tokens_per_s": 0, "ttft_scheduled_ms": 1, "e2e_scheduled_ms": 2,
    }  # fmt: skip
    assert view.quantile("tpot_ms", 0.5) is None


def test_a_new_segment_begins_anew() -> None:
    """Sketches are of the segment under way, counters of the whole run; a late one of the last is counted only."""
    part = live(100, 100)
    part.add(record(phase=Phase.WARMUP), 1)
    assert merged([part.stored()]).count("ttft_ms") == 2
    part.add(record(ttft_ms=900), 1)
    part.add(record(ttft_ms=100), 0)
    view = merged([part.stored()])
    assert view.segment == 1
    assert counts(view) == dict.fromkeys(FIGURES, 1)
    assert view.quantile("ttft_ms", 1) == pytest.approx(900, rel=0.01)
    assert view.outcomes[Outcome.OK] == 5


NUMBERS = st.floats(LOWEST, HIGHEST)


@given(values=st.lists(NUMBERS, min_size=1, max_size=300), share=st.floats(0, 1))
@example(values=[LOWEST, HIGHEST], share=1.0)
@example(values=[1.0] * 101, share=0.29)
def test_quantiles_are_within_a_hundredth(values: list[float], share: float) -> None:
    """Of the order statistic that numpy calls `lower`, over eleven decades."""
    assert sketch(values).quantile(share) == pytest.approx(
        float(np.quantile(values, share, method="lower")), rel=0.01 + 1e-9
    )


@given(dealt=st.lists(st.tuples(NUMBERS, st.integers(0, 4)), max_size=300), share=st.floats(0, 1))
def test_a_merge_of_any_split_is_the_sketch_of_all(dealt: list[tuple[float, int]], share: float) -> None:
    """However the requests fell to the parts, parts without any among them, and in whatever order they are merged."""
    parts = [sketch([value for value, part in dealt if part == number]) for number in range(5)]
    together, backwards = Sketch(), Sketch()
    for part in parts:
        together.merge(Sketch.read(sent(part.stored())))
    for part in reversed(parts):
        backwards.merge(part)
    whole = sketch([value for value, _ in dealt])
    assert together.stored() == backwards.stored() == whole.stored()
    assert together.quantile(share) == whole.quantile(share)
    assert together.count == whole.count == len(dealt)


def test_percentiles_of_unequal_parts_are_not_averages() -> None:
    """99 quick requests on one worker and one slow on the other: the median is quick, the maximum slow."""
    view = merged([live(*[100] * 99).stored(), live(9_000).stored()])
    assert view.quantile("ttft_ms", 0.5) == pytest.approx(100, rel=0.01)
    assert view.quantile("ttft_ms", 0.98) == pytest.approx(100, rel=0.01)
    assert view.quantile("ttft_ms", 1) == pytest.approx(9_000, rel=0.01)
    assert view.count("ttft_ms") == 100


@pytest.mark.parametrize(
    ("value", "seen"), [(0, LOWEST), (-5, LOWEST), (1e-9, LOWEST), (1e300, HIGHEST), (float("inf"), HIGHEST)]
)
def test_beyond_the_range_is_its_end(value: float, seen: float) -> None:
    """So that no value can make a sketch grow, or fail."""
    assert sketch([value]).quantile(0) == pytest.approx(seen, rel=0.01)


def test_what_is_stored_crosses_the_wire() -> None:
    """Nothing of it changes under Locust's msgpack, and merging one part gives that part."""
    part = live(100, 200)
    part.add(record(Outcome.FAILED, error=ErrorClass.RESET, tokens=None), 0)
    stored = part.stored()
    assert sent(stored) == stored
    view = merged([sent(stored)])
    for name in COUNTERS:
        assert getattr(view, name) == getattr(part, name), name
    assert {figure: view.sketches[figure].stored() for figure in FIGURES} == stored["sketches"]
    assert (view.parts, view.skipped) == (1, 0)


def test_its_size_is_bounded() -> None:
    """Every bin in use and every number as large as it gets: still under the bound, and readable."""
    part = Live()
    part.outcomes = dict.fromkeys(Outcome, 2**70)
    part.errors = dict.fromkeys((word.value for word in ErrorClass), 2**70)
    part.sent = part.prompt_tokens = part.output_tokens = part.uncounted = 2**70
    number = LAST_KEY - FIRST_KEY + 1
    full = Sketch.read([FIRST_KEY, struct.pack(f"<{number}I", *[2**32 - 1] * number)])
    for _ in range(3):
        for figure in FIGURES:
            part.sketches[figure].merge(full)
            part.course[figure].merge(full)
    for segment in range(EARLIER + 1):
        for second in range(8):
            part.level.bins.spread(second * 10**9, (second + 1) * 10**9 - 1, 1e40)
            part.level.bins.add("ended", second * 10**9, 1e40)
        part.level.sums.update(dict.fromkeys(FIGURES, float("inf")))
        part.level.uncounted = 2**70
        if segment < EARLIER:
            before = part.sketches
            part.add(record(ttft_ms=1), segment + 1)
            for figure in FIGURES:
                part.sketches[figure].merge(before[figure])
    part.outcomes, part.sent = dict.fromkeys(Outcome, 2**70), 2**70
    part.prompt_tokens = part.output_tokens = 2**70
    packed = msgpack.dumps(part.stored())
    assert 0.9 * STORED_BYTES < len(packed) <= STORED_BYTES
    view = merged([sent(part.stored())])
    assert (view.parts, view.skipped, view.sent) == (1, 0, 2**63 - 1)
    assert view.count("ttft_ms") >= number * (2**32 - 1)


@given(values=st.lists(st.floats(allow_nan=False), max_size=50))
def test_no_value_makes_a_sketch_grow(values: list[float]) -> None:
    """Its bins stay within the range whatever is measured."""
    first, last = bins(sketch(values))
    assert first > last or FIRST_KEY <= first <= last <= LAST_KEY


def test_a_lost_report_does_no_harm() -> None:
    """The next says everything that was in it."""
    part = live(100)
    part.stored()  # lost on its way
    part.add(record(), 0)
    assert merged([part.stored()]).outcomes[Outcome.OK] == 2


def test_merging_changes_no_part() -> None:
    """Asked again it says the same, and what was said before stays as it was."""
    said = [live(100).stored(), live(200).stored()]
    first = merged(said)
    for _ in range(2):
        assert merged(said).sketches["ttft_ms"].stored() == first.sketches["ttft_ms"].stored()
    assert said == [live(100).stored(), live(200).stored()]


def test_a_part_behind_counts_and_is_in_no_sketch() -> None:
    """Its medians are of another load."""
    behind, ahead = live(100, 100, 100), live(900, segment=1)
    view = merged([behind.stored(), ahead.stored()])
    assert view.segment == 1
    assert counts(view) == dict.fromkeys(FIGURES, 1)
    assert view.outcomes[Outcome.OK] == 4


def test_a_part_far_ahead_does_not_speak_for_all() -> None:
    """Told which segment is under way, the view leaves out whoever says another."""
    view = merged([live(100).stored(), live(900, segment=2**40).stored()], segment=0)
    assert view.segment == 0
    assert view.quantile("ttft_ms", 1) == pytest.approx(100, rel=0.01)
    assert (view.outcomes[Outcome.OK], view.parts) == (2, 2)


def test_nobody_has_said_anything() -> None:
    """Zero requests, and no figure of them."""
    view = merged([])
    assert view.outcomes == dict.fromkeys(Outcome, 0)
    assert (view.parts, view.skipped, view.segment, view.errors) == (0, 0, None, {})
    assert [view.quantile(figure, 0.5) for figure in FIGURES] == [None] * len(FIGURES)


def changed(path: str, value: object) -> Callable[[dict[str, Any]], object]:
    """A report with one thing in it replaced."""

    def change(stored: dict[str, Any]) -> object:
        *way, last = path.split(".")
        inner: Any = stored
        for key in way:
            inner = inner[int(key) if key.isdigit() else key]
        inner[last] = value
        return stored

    return change


def without(key: str) -> Callable[[dict[str, Any]], object]:
    """A report that lacks something."""
    return lambda stored: {name: value for name, value in stored.items() if name != key}


MALFORMED: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "nothing": lambda _: None,
    "a list": lambda stored: list(stored.items()),
    "bytes": lambda _: b"\x00" * 100,
    "empty": lambda _: {},
    "an older version": changed("version", 0),
    "a newer version": changed("version", 5),
    "one key more": changed("p99", 5),
    "one key less": without("sketches"),
    "keys that are no text": lambda stored: dict([*stored.items(), (7, 1)]),
    "a negative count": changed("sent", -1),
    "a huge count": changed("output_tokens", 2**63),
    "a count that is a float": changed("prompt_tokens", 5.0),
    "a count that is NaN": changed("sent", float("nan")),
    "a count that is a truth": changed("uncounted", True),
    "a count that is a text": changed("sent", "5"),
    "no segment": changed("segment", None),
    "an unknown outcome": changed("outcomes.maybe", 1),
    "a missing outcome": changed("outcomes", {"ok": 1, "failed": 0}),
    "an outcome that is no count": changed("outcomes.ok", [1]),
    "an unknown error class": changed("errors", {"x" * 1000: 1}),
    "an error that is no count": changed("errors.reset", -1),
    "errors that are a list": changed("errors", ["reset"]),
    "an unknown figure": changed("sketches.p99", [0, b""]),
    "a missing figure": changed("sketches", {"ttft_ms": [0, b""]}),
    "a sketch that is a number": changed("sketches.ttft_ms", 5),
    "a sketch of three": changed("sketches.ttft_ms", [0, b"", 0]),
    "bins that are numbers": changed("sketches.ttft_ms", [0, [1, 2]]),
    "bins that are a text": changed("sketches.ttft_ms", [0, "\x01\x00\x00\x00"]),
    "half a bin": changed("sketches.ttft_ms", [0, b"\x01\x00\x00"]),
    "a first bin that is a float": changed("sketches.ttft_ms", [0.0, b"\x01\x00\x00\x00"]),
    "bins below the range": changed("sketches.ttft_ms", [FIRST_KEY - 1, b"\x01\x00\x00\x00"]),
    "bins above the range": changed("sketches.ttft_ms", [LAST_KEY, b"\x01\x00\x00\x00" * 2]),
    "a bin that is nowhere": changed("sketches.ttft_ms", [10**30, b"\x01\x00\x00\x00"]),
    "a megabyte of bins": changed("sketches.ttft_ms", [FIRST_KEY, b"\x00" * 2**20]),
    "more measured than succeeded": changed("sketches.ttft_ms", [0, b"\xff\x00\x00\x00"]),
    "more uncounted than succeeded": changed("uncounted", 2),
    "a level that is a number": changed("level", 5),
    "a level of no segment": changed("level.segment", None),
    "more measured than ended": changed("level.outcomes.failed", 2),
    "more good than succeeded": changed("level.good", 2),
    "a sum below nothing": changed("level.sums.ttft_ms", -1.0),
    "a sum that is NaN": changed("level.sums.ttft_ms", float("nan")),
    "a sum of no figure": changed("level.sums.p99", 1.0),
    "bins that are nothing": changed("level.bins", None),
    "bins without one series": changed("level.bins", [0, 0, b"", b""]),
    "bins of different lengths": changed("level.bins", [0, 0, b"\0" * 4, b"\0" * 4, b""]),
    "more bins than there are": changed("level.bins", [0, 0, *[b"\0" * 4 * 601] * 3]),
    "a bin below nothing": changed("level.bins", [0, 0, *[struct.pack("<f", -1.0)] * 3]),
    "a bin that is NaN": changed("level.bins", [0, 0, *[struct.pack("<f", float("nan"))] * 3]),
    "earlier segments that are a mapping": changed("earlier", {}),
    "more earlier segments than there may be": lambda stored: {**stored, "earlier": stored["earlier"] * 9},
    "an earlier segment without its level": changed("earlier.0.level", None),
    "an earlier segment of no number": changed("earlier.0.segment", -1),
    "an earlier sketch of three": changed("earlier.0.sketches.ttft_ms", [0, b"", 0]),
    "bins of an endless width": changed("level.bins", [10**6, 0, *[b"\0" * 4] * 3]),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
def test_what_cannot_be_read_is_skipped_and_counted(make: Callable[[dict[str, Any]], object]) -> None:
    """As a whole: none of its counters is taken, and the other parts' stay."""
    bad = live(900)
    bad.add(
        record(Outcome.FAILED, Phase.WARMUP, error=ErrorClass.RESET), 1
    )  # which makes segment 0 an earlier one
    view = merged([make(bad.stored()), live(100).stored()])
    assert (view.parts, view.skipped) == (1, 1)
    assert (view.outcomes[Outcome.OK], view.sent, view.errors) == (1, 1, {})
    assert view.quantile("ttft_ms", 1) == pytest.approx(100, rel=0.01)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.integers(), inner),
    max_leaves=12,
)
PATHS = st.sampled_from(
    [
        *live(1).stored(),
        *(f"sketches.{figure}" for figure in FIGURES),
        *(f"outcomes.{end}" for end in Outcome),
        *(f"level.{key}" for key in live(1).stored()["level"]),
    ]
)


@given(value=ANYTHING, path=PATHS)
def test_nothing_that_is_said_raises(value: object, path: str) -> None:
    """Anything at all, alone or in the place of any part of a good report."""
    view = merged([value, changed(path, value)(live(900).stored()), live(100).stored()], segment=0)
    assert view.parts + view.skipped == 3
    assert view.parts >= 1
    assert set(view.errors) <= {word.value for word in ErrorClass}
    assert all(isinstance(view.quantile(figure, 0.5), float) for figure in FIGURES)


@given(
    first=st.integers(FIRST_KEY - 2, LAST_KEY + 2),
    held=st.lists(st.integers(0, 2**32 - 1), max_size=8),
    share=st.floats(0, 1),
)
def test_any_sketch_that_can_be_read_can_be_used(first: int, held: list[int], share: float) -> None:
    """Bins of a stranger's making: empty ones at either end, or all of them."""
    said = live(1).stored()
    said["outcomes"]["ok"] = 2**40
    said["sketches"]["ttft_ms"] = [first, struct.pack(f"<{len(held)}I", *held)]
    view = merged([said, live(100).stored()])
    readable = not held or FIRST_KEY <= first <= first + len(held) - 1 <= LAST_KEY
    assert view.skipped == (not readable)
    assert view.count("ttft_ms") == 1 + (sum(held) if readable else 0)
    quantile = view.quantile("ttft_ms", share)
    assert quantile is not None
    assert LOWEST * 0.98 <= quantile <= HIGHEST * 1.02


def test_the_course_is_that_of_all_segments() -> None:
    """It never begins anew, and two moments of it have what came between them."""
    part = live(10, 20)
    before = merged([part.stored()]).course
    for value in (1.0, 2.0, 3.0):
        part.add(record(ttft_ms=value), 7)
    after = merged([part.stored()])
    assert after.count("ttft_ms") == 3
    assert after.course["ttft_ms"].count == 5
    between = after.course["ttft_ms"].since(before["ttft_ms"])
    assert between.count == 3
    assert between.quantile(1.0) == pytest.approx(3.0, rel=0.01)


def test_a_level_is_counted_by_itself() -> None:
    """Outcomes, good ones and sums of measured requests only; it begins anew with any request of the next segment."""
    part = Live(read(["ttft_p95<150ms"]))
    part.add(record(phase=Phase.WARMUP), 0)
    part.add(record(ttft_ms=100), 0)
    part.add(record(ttft_ms=200), 0)
    part.add(record(Outcome.FAILED, error=ErrorClass.RESET), 0)
    first = merged([sent(part.stored())], 0).level
    assert first.outcomes == {Outcome.OK: 2, Outcome.FAILED: 1, Outcome.CANCELLED: 0}
    assert (first.requests, first.good, first.uncounted) == (3, 1, 0)
    assert first.sums["ttft_ms"] == 300
    assert first.sums["e2e_ms"] == 700
    part.add(record(phase=Phase.WARMUP), 1)
    part.add(record(), -1)
    assert merged([part.stored()], 1).level.requests == 0
    assert merged([part.stored()], 0).level.requests == 0
    part.add(record(Outcome.FAILED, error=ErrorClass.RESET), 1)
    second = merged([part.stored(), live(5, segment=1).stored()], 1).level
    assert second.outcomes == {Outcome.OK: 1, Outcome.FAILED: 1, Outcome.CANCELLED: 0}
    assert second.good == 0


def test_nobody_knows_what_is_good_without_a_service_level() -> None:
    """None, and not 0."""
    assert merged([live(1).stored()]).level.good is None


def test_short_answers_may_be_left_out_of_a_level() -> None:
    """Of its sketches and sums, not of its outcomes, nor of the whole run's sketches."""
    part = Live(drop_under=10)
    part.add(record(tokens=9), 0)
    part.add(record(tokens=None), 0)
    view = merged([part.stored()])
    assert (view.count("e2e_ms"), view.level.outcomes[Outcome.OK], view.course["e2e_ms"].count) == (1, 2, 2)
    assert view.level.sums == {figure: part.level.sums[figure] for figure in part.level.sums}
    assert view.level.sums["e2e_ms"] == 300


def test_the_runs_clock_is_the_bins() -> None:
    """Stamps are shifted by what makes the run's Unix time of them."""
    part = Live(anchor_ns=10**18)
    part.add(record(), 0)
    bins = merged([part.stored()]).level.bins
    assert bins.within("output", 10**18 + 100 * MS, 10**18 + 300 * MS) == pytest.approx(11)
    assert bins.within("ended", 10**18 + 10**10, 10**18 + 10**10 + 10**8) == 1
    assert bins.within("output", 0, 10**18) == 0


def test_what_ends_late_is_counted_where_it_belongs() -> None:
    """A request of the segment before is in that one's figures, which are told on for a while, and in no other's."""
    part = Live()
    part.add(record(ttft_ms=100), 0)
    part.add(record(ttft_ms=200), 1)
    part.add(record(ttft_ms=300), 0)
    part.add(record(Outcome.FAILED, error=ErrorClass.RESET), 0)
    view = merged([part.stored()])
    assert (view.count("ttft_ms"), view.level.requests, view.segment) == (1, 1, 1)
    held = live_read(sent(part.stored())).earlier[0]
    assert held.sketches["ttft_ms"].count == 2
    assert held.sketches["ttft_ms"].quantile(1) == pytest.approx(300, rel=0.01)
    assert (held.level.requests, held.level.outcomes[Outcome.FAILED]) == (3, 1)
    assert held.level.bins.within("ended", 0, 10**12) == 2


def test_it_moves_on_segment_by_segment() -> None:
    """Warm-up of the next makes a segment an earlier one; after a while it is told no more, and of many only the latest are."""
    part = live(100)
    part.add(record(phase=Phase.WARMUP), 1)
    (one,) = part.stored()["earlier"]
    assert Sketch.read(one["sketches"]["ttft_ms"]).count == 1
    assert merged([part.stored()]).count("ttft_ms") == 1  # nothing was measured in the next one yet
    part.add(record(), 1)
    assert list(live_read(part.stored()).earlier) == [0]
    late = dataclasses.replace(record(), end_ns=10**10 + TOLD_NS + 1)
    part.add(late, 1)
    assert part.stored()["earlier"] == []
    for segment in range(2, 20):
        part.add(record(), segment)
    assert list(live_read(part.stored()).earlier) == list(range(19 - EARLIER, 19))


def test_a_segment_with_requests_in_flight_is_not_forgotten() -> None:
    """An answer of a minute is counted in the segment that sent it, however long others have been at work in the next."""
    part = Live()
    part.is_busy = lambda segment: segment == 0
    part.add(record(), 0)
    for later in range(1, 40):
        part.add(dataclasses.replace(record(), end_ns=10**10 + later * 10**9), 1)
    part.add(dataclasses.replace(record(ttft_ms=900), end_ns=10**10 + 41 * 10**9), 0)
    held = live_read(sent(part.stored())).earlier[0]
    assert (held.level.requests, held.sketches["ttft_ms"].count) == (2, 2)
    part.is_busy = lambda _: False
    part.add(dataclasses.replace(record(), end_ns=10**10 + 41 * 10**9 + TOLD_NS + 1), 1)
    assert part.stored()["earlier"] == []
