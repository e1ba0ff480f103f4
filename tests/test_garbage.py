"""The collector during load: off, called by us, timed, and put back as it was."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from harness.clock import now_ns
from harness.garbage import ALL_NS, SHARE, YOUNG_NS, Garbage, _rest, put_by


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    """One that has begun, and is stopped whatever the test does."""
    made = Garbage()
    made.start()
    yield made
    made.stop()


def test_it_is_off_while_load_runs_and_as_before_after_it() -> None:
    """Enabled, unfrozen and without a callback of ours, run after run; and off if it was off."""
    before = list(gc.callbacks)
    for was_enabled in (True, True, False):
        (gc.enable if was_enabled else gc.disable)()
        try:
            made = Garbage()
            made.start()
            assert not gc.isenabled()
            assert gc.get_freeze_count() > 1_000
            made.stop()
            assert gc.isenabled() == was_enabled
        finally:
            gc.enable()
        assert gc.get_freeze_count() == 0
        assert gc.callbacks == before


def test_what_is_put_by_is_not_looked_at_again() -> None:
    """All there is by then, once its garbage is gone; the end of a run puts it back."""
    kept, dead = Knot(), weakref.ref(Knot())
    assert any(each is kept for each in gc.get_objects())
    try:
        put_by()
        assert dead() is None
        assert not any(each is kept for each in gc.get_objects())
    finally:
        made = Garbage()
        made.start()
        made.stop()
    assert gc.get_freeze_count() == 0
    assert any(each is kept for each in gc.get_objects())


def test_starting_or_stopping_twice_is_once() -> None:
    """Nothing is left behind, also by one that was never started."""
    before = list(gc.callbacks)
    made = Garbage()
    made.stop()
    made.start()
    made.start()
    made.stop()
    made.stop()
    assert gc.callbacks == before
    assert gc.isenabled()
    made.tick()
    assert made.take() == []


def test_what_was_made_under_load_is_collected(garbage: Garbage) -> None:
    """Young garbage at the next due tick; older garbage when all of it is due."""
    young = weakref.ref(Knot())
    garbage.tick()
    assert young() is not None, "nothing is due yet"
    garbage._young_at = now_ns()
    garbage.tick()
    assert young() is None
    kept = Knot()
    old = weakref.ref(kept)
    gc.collect(0)
    del kept
    garbage._young_at = now_ns()
    garbage.tick()
    assert old() is not None, "it is in an older generation by now"
    garbage._all_at = now_ns()
    garbage.tick()
    assert old() is None


def test_every_pause_is_told_once(garbage: Garbage) -> None:
    """Ours and those that somebody else asked for, in ns."""
    assert garbage.take() == []
    gc.collect()
    garbage._young_at = now_ns()
    garbage.tick()
    pauses = garbage.take()
    assert len(pauses) == 2
    assert all(0 < pause < 1_000_000_000 for pause in pauses)
    assert garbage.take() == []


def test_the_next_one_waits_for_as_long_as_it_must(garbage: Garbage) -> None:
    """A second, ten for all; but twice a thousand times what it took, so that both stay within 0.1 %."""
    assert SHARE == 0.001
    assert _rest(1_000_000) == 2_000_000_000
    begin = now_ns()
    garbage._young_at = begin
    garbage.tick()
    garbage._all_at = begin
    garbage.tick()
    first, second = garbage.take()
    assert garbage._young_at - begin >= max(YOUNG_NS, _rest(first))
    assert garbage._all_at - begin >= max(ALL_NS, _rest(second))
