"""Numbers that no two workers have, and what follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import mix, think
from harness.distributions import Constant
from harness.leave import Slot, Turn
from harness.menu import Menu, Numbers, Supply
from harness.open_loop import Arrival
from harness.orders import Step
from harness.record import Phase
from harness.workload import LATER, Sharing


def supply(name: str | None = None) -> Supply:
    """One that nothing is asked of."""
    return Supply(outputs=Constant(5), seed=1, name=name)


@given(st.integers(1, 9), st.integers(1, 40))
def test_workers_together_number_without_gaps(workers: int, each: int) -> None:
    """Each number once; those of one who came later are beyond what another sends."""
    made = [Numbers(Sharing.of(nth, workers)) for nth in range(workers)]
    assert sorted(numbers.next() for _ in range(each) for numbers in made) == list(range(workers * each))
    late = Numbers(Sharing.of(workers, workers))
    assert late.first == late.next() == workers * LATER


def arrival(index: int, number: int) -> Arrival:
    """One of a segment."""
    step = Step(index=index, level=1, repeat=1, open_ns=0, warmup=0, quota=None, is_open=True)
    return Arrival(number, 0, Turn(step), Slot(1, 1, Phase.MEASURE))


def test_arrivals_of_one_level_are_no_other_levels() -> None:
    """Numbers differ by level and repeat, and by which of an arrival's requests it is: so do prompts."""
    found = [
        arrival(index, number).of_run(nth) for index in range(5) for number in range(50) for nth in range(3)
    ]
    assert len(set(found)) == len(found)
    assert arrival(0, 7).of_run(0) == 7
    assert arrival(999, 9_999_999).of_run(0) < arrival(0, 0).of_run(1)


def test_a_level_without_supplies_of_its_own_has_the_common_ones() -> None:
    """As before users are all up, and in every sweep that is not over lengths."""
    common, own = supply(), supply()
    menu = Menu({0: (common,), 2: (own,)}, Numbers(Sharing()), 1)
    assert [menu.pick(0, level) for level in (0, 1, 2)] == [common, common, own]
    lengths = Menu({1: (common,), 2: (own,)}, Numbers(Sharing()), 1)
    assert [lengths.pick(0, level) for level in (0, 1, 2)] == [common, common, own]


def test_the_part_follows_from_seed_and_number() -> None:
    """The same at each level, and for another seed another draw."""
    parts = mix.parse(["a:1 prompt=20", "b:1 prompt=30"])
    levels = {level: (supply("a"), supply("b")) for level in (1, 2)}

    def names(seed: int, level: int) -> list[str | None]:
        menu = Menu(levels, Numbers(Sharing()), seed, mix.mixture(parts))
        return [menu.pick(number, level).name for number in range(200)]

    assert names(1, 1) == names(1, 2) != names(2, 1)
    assert names(1, 1).count("a") == pytest.approx(100, abs=40)


def test_how_long_users_think() -> None:
    """Within what --think-time says; not at all without it."""
    menu = Menu({0: (supply(),)}, Numbers(Sharing()), 1, think=think.parse("uniform:1s,3s"))
    pauses = [menu.pause_s() for _ in range(200)]
    assert 1 <= min(pauses) < 1.2
    assert 2.8 < max(pauses) <= 3
    assert Menu({0: (supply(),)}, Numbers(Sharing()), 1).pause_s() == 0
