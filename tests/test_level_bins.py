"""Amounts by time, in a bounded number of bins: nothing is lost, whatever the widths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.hearsay import Malformed
from harness.level_bins import BINS, SERIES, Bins

S = 1_000_000_000
UNIX = 1_790_000_000 * S

STREAMS = st.lists(
    st.tuples(st.integers(0, 5_000 * S), st.integers(0, 300 * S), st.floats(0.0, 1_000.0)), max_size=30
)


def test_tokens_are_spread_over_their_stream() -> None:
    """100 tokens in 10 s are 10 a second, also in half a bin."""
    bins = Bins()
    bins.spread(UNIX, UNIX + 10 * S, 100)
    assert bins.within("output", UNIX, UNIX + S) == pytest.approx(10)
    assert bins.within("output", UNIX + S, UNIX + S + S // 20) == pytest.approx(0.5)
    assert bins.within("output", UNIX + 9 * S, UNIX + 20 * S) == pytest.approx(10)


def test_what_comes_at_once_is_in_one_bin() -> None:
    """An answer in one piece, and the end of a request."""
    bins = Bins()
    bins.spread(UNIX, UNIX, 7)
    bins.add("ended", UNIX + S, 1)
    assert bins.within("output", UNIX, UNIX + S // 10) == 7
    assert bins.within("ended", UNIX, UNIX + S) == 0
    assert bins.within("ended", UNIX + S, UNIX + 2 * S) == 1


@given(streams=STREAMS)
def test_nothing_is_lost_and_the_size_is_bounded(streams: list[tuple[int, int, float]]) -> None:
    """However long it goes on, all that was added is within all time."""
    bins = Bins()
    for start, length, amount in streams:
        bins.spread(UNIX + start, UNIX + start + length, amount)
    total = sum(amount for *_, amount in streams)
    assert bins.within("output", 0, UNIX + 10_000 * S) == pytest.approx(total, rel=1e-6, abs=1e-6)
    read = Bins.read(bins.stored())
    assert read.within("output", 0, UNIX + 10_000 * S) == pytest.approx(total, rel=1e-5, abs=1e-5)
    assert sum(len(row) for row in bins.stored() if isinstance(row, bytes)) <= 4 * BINS * len(SERIES)


@given(streams=STREAMS, dealt=st.lists(st.integers(0, 2), min_size=30, max_size=30))
def test_parts_add_up_to_the_whole(streams: list[tuple[int, int, float]], dealt: list[int]) -> None:
    """Whatever width each has come to; between any two moments as well as the widest bin tells."""
    parts, whole = [Bins() for _ in range(3)], Bins()
    for (start, length, amount), number in zip(streams, dealt, strict=False):
        for one in (parts[number], whole):
            one.spread(UNIX + start, UNIX + start + length, amount)
            one.add("ended", UNIX + start + length, 1)
    together = Bins()
    for part in parts:
        together.merge(Bins.read(part.stored()))
    edge = UNIX // together.width_ns * together.width_ns + 100 * together.width_ns
    for start, end in ((0, UNIX + 10_000 * S), (0, edge), (edge, UNIX + 10_000 * S)):
        for series in SERIES:
            expected = whole.within(series, start, end)
            assert together.within(series, start, end) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_widths_double_when_there_are_too_many() -> None:
    """600 bins of 12.5 ms are 7.5 s; a minute takes 0.1 s a bin, an hour 6.4 s."""
    bins = Bins()
    bins.add("ended", UNIX, 1)
    bins.add("ended", UNIX + 7 * S, 1)
    assert bins.width_ns == S // 80
    bins.add("ended", UNIX + 59 * S, 1)
    assert bins.width_ns == S // 10
    bins.add("ended", UNIX + 3_600 * S, 1)
    assert bins.width_ns == 6_400_000_000
    assert bins.within("ended", UNIX - 7 * S, UNIX + 70 * S) == 3


@pytest.mark.parametrize(
    "stored", [None, [], [0, 0], [0, 0, b"", b"", b"\0"], [0, -1, *[b"\0" * 4] * 3], [True, 0, b"", b"", b""]]
)
def test_what_is_no_bins_is_refused(stored: object) -> None:
    """As malformed, and nothing else."""
    with pytest.raises(Malformed):
        Bins.read(stored)
