"""Clock offsets from exchanges whose truth is known."""

from hypothesis import given
from hypothesis import strategies as st

from harness.distributed.clocks import KEPT, Clock, Offset

DELAYS = st.lists(st.tuples(st.integers(0, 50_000_000), st.integers(0, 50_000_000)), min_size=1, max_size=100)


def exchange(clock: Clock, at: int, offset: int, there: int, *ways: int) -> None:
    """One exchange begun at `at` of our clock, with a peer whose clock is `offset` ahead; `ways`: its stay, the way back."""
    stay, back = ways
    heard = at + there + offset
    clock.add(at, heard, heard + stay, at + there + stay + back)


def test_an_even_way_gives_the_offset_itself() -> None:
    """3 ms there, 3 ms back: uncertain by those 3 ms, and right."""
    clock = Clock()
    exchange(clock, 1_000_000_000, 40_000_000, 3_000_000, 500_000, 3_000_000)
    assert clock.best == Offset(40_000_000, 3_000_001)
    assert clock.shift_ns == 40_000_000


def test_the_quickest_exchange_counts() -> None:
    """A slow, lopsided one neither moves the estimate nor widens it."""
    clock = Clock()
    exchange(clock, 0, -7_000_000, 100_000, 0, 100_000)
    exchange(clock, 10**9, -7_000_000, 90_000_000, 0, 1_000_000)
    assert clock.best == Offset(-7_000_000, 100_001)


def test_clocks_that_may_be_one_are_taken_for_one() -> None:
    """On one machine the estimate is noise; shifting by it would only add to it."""
    clock = Clock()
    exchange(clock, 0, 0, 30_000, 0, 90_000)
    best = clock.best
    assert best is not None
    assert best.ns == -30_000
    assert best.is_none
    assert clock.shift_ns == 0


def test_what_cannot_be_is_passed_over() -> None:
    """An answer before its question, or one that left before it came."""
    clock = Clock()
    clock.add(100, 0, 500, 200)
    clock.add(100, 500, 400, 900)
    assert clock.best is None
    assert clock.shift_ns == 0


def test_old_exchanges_are_forgotten() -> None:
    """Clocks drift: an estimate is of the last `KEPT` exchanges."""
    clock = Clock()
    exchange(clock, 0, 1_000, 10, 0, 10)
    for number in range(KEPT):
        exchange(clock, number, 9_000_000, 1_000, 0, 1_000)
    assert clock.best == Offset(9_000_000, 1_001)


@given(offset=st.integers(-(10**12), 10**12), delays=DELAYS, stay=st.integers(0, 10**8))
def test_the_truth_is_within_the_uncertainty(offset: int, delays: list[tuple[int, int]], stay: int) -> None:
    """However lopsided the ways are."""
    clock = Clock()
    for number, (there, back) in enumerate(delays):
        exchange(clock, number * 10**9, offset, there, stay, back)
    best = clock.best
    assert best is not None
    assert abs(best.ns - offset) <= best.uncertainty_ns
