"""The plan and its parts as tables of times: who may send when, what is granted, and where the windows lie."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from harness import plan
from harness.journal import Window
from harness.leave import Leave, Slot, Turn
from harness.plan import Plan
from harness.record import Phase


class Table:
    """A plan and its parts, joined as a run joins them, without any delay; every time is the test's."""

    def __init__(self, a_plan: Plan, *names: str) -> None:
        self.plan = a_plan
        self.parts = {name: Leave() for name in names or ("local",)}

    def sync(self) -> None:
        """Orders out, reports in, until nothing changes."""
        for _ in range(3):
            for name, part in self.parts.items():
                if self.plan.is_stopped:
                    part.stop()
                elif self.plan.segment is not None and (step := self.plan.segment.step(name)):
                    part.obey(step)
                self.plan.hear(name, [turn.tally(0) for turn in part.turns])
            self.plan.grant()

    def ready(self, now: int, **users: int) -> None:
        """So many users are up in each part."""
        self.plan.users_ready(users, sum(users.values()), now, now)
        self.sync()

    def take(self, now: int, name: str = "local") -> tuple[Turn, Slot]:
        """Leave that is expected to be given."""
        leave = self.parts[name].take(now)
        assert leave is not None
        self.sync()
        return leave

    def refuses(self, now: int, name: str = "local") -> bool:
        """No leave now."""
        return self.parts[name].take(now) is None

    def finish(self, leave: tuple[Turn, Slot], now: int, name: str = "local") -> None:
        """A request is over."""
        self.parts[name].finished(*leave, now)
        self.sync()


def test_a_level_gives_its_warmup_then_its_quota_then_nothing() -> None:
    """Two users with one warm-up request each and a quota of three."""
    table = Table(plan.sweep([2], 1, 3, 1))
    assert table.plan.planned == 5
    assert table.refuses(0)  # users are still starting
    table.ready(1, local=2)
    leaves = [table.take(time) for time in (10, 10)]
    assert [slot.phase for _, slot in leaves] == [Phase.WARMUP, Phase.WARMUP]
    table.finish(leaves[0], 20)
    first = table.take(20)
    table.finish(leaves[1], 25)
    second = table.take(25)
    table.finish(first, 40)
    third = table.take(40)
    assert [slot.phase for _, slot in (first, second, third)] == [Phase.MEASURE] * 3
    assert table.refuses(41)
    (segment,) = table.plan.segments
    assert not segment.is_done
    table.finish(second, 45)  # from here on only one of two users is busy
    table.finish(third, 60)
    assert segment.is_done
    assert (segment.given(), segment.done(), segment.warmup_given(), segment.warmup_total()) == (3, 3, 2, 2)
    assert table.plan.windows() == [Window(2, 1, 20, 45)]


def test_one_user_has_a_window_up_to_its_last_end() -> None:
    """With one user the load is whole until its last request is done, whoever asks first afterwards."""
    table = Table(plan.sweep([1], 1, 2, 0))
    table.ready(0, local=1)
    for begin, end in ((5, 15), (15, 30)):
        table.finish(table.take(begin), end)
    table.plan.next_segment()
    assert table.plan.windows() == [Window(1, 1, 5, 30)]


def test_as_many_requests_as_users() -> None:
    """All are sent at once; the window lasts until the first of them is done."""
    table = Table(plan.sweep([3], 1, 3, 0))
    table.ready(0, local=3)
    leaves = [table.take(10) for _ in range(3)]
    for leave, end in zip(leaves, (50, 60, 70), strict=True):
        table.finish(leave, end)
    assert table.plan.windows() == [Window(3, 1, 10, 50)]


def test_a_sweep_goes_through_all_levels_before_it_repeats() -> None:
    """Order of segments, and five rounds a user where no number is given."""
    sweep = plan.sweep([1, 4], 2, None, 0)
    assert [(s.index, s.level, s.repeat, s.quota) for s in sweep.segments] == [
        (0, 1, 1, 5),
        (1, 4, 1, 20),
        (2, 1, 2, 5),
        (3, 4, 2, 20),
    ]
    assert sweep.planned == 50


def test_a_segment_waits_for_its_own_number_of_users() -> None:
    """Users left over from another level do not open a segment."""
    table = Table(plan.sweep([1, 4], 1, 1, 0))
    table.ready(0, local=1)
    table.finish(table.take(1), 2)
    assert table.plan.next_segment() is table.plan.segments[1]
    table.ready(3, local=3)
    assert table.refuses(4)
    table.ready(5, local=4)
    assert table.take(6)[1] == Slot(4, 1, Phase.MEASURE)


def test_a_timed_run_measures_from_all_users_up_to_the_stop() -> None:
    """Requests of the ramp are warm-up; the window ends when load is stopped, not when streams end."""
    table = Table(Plan())
    table.plan.begin(0)
    table.sync()
    ramp = table.take(1)
    assert ramp[1] == Slot(0, 1, Phase.WARMUP)
    table.ready(10, local=8)
    table.finish(ramp, 11)
    leave = table.take(12)
    assert leave[1] == Slot(8, 1, Phase.MEASURE)
    table.plan.stop(50)
    table.sync()
    assert table.refuses(51)
    assert table.parts["local"].in_flight == 1
    table.finish(leave, 60)
    assert table.plan.planned is None
    assert table.plan.windows() == [Window(8, 1, 12, 50)]


def test_changing_the_users_by_hand_opens_a_window_of_its_own() -> None:
    """4 users, then 8, then 4 again: three windows, the third the second pass over 4."""
    table = Table(Plan())
    table.plan.begin(0)
    for users, begin in ((4, 0), (8, 100), (4, 200)):
        table.ready(begin, local=users)
        table.finish(table.take(begin + 1), begin + 50)
    table.plan.stop(300)
    assert table.plan.windows() == [Window(4, 1, 1, 100), Window(8, 1, 101, 200), Window(4, 2, 201, 300)]


def test_a_stop_in_mid_level_ends_its_window_there() -> None:
    """Ctrl-C: nothing more is given out, the window is what was whole."""
    table = Table(plan.sweep([2, 4], 1, 100, 0))
    table.ready(0, local=2)
    leaves = [table.take(5), table.take(5)]
    table.plan.stop(30)
    table.sync()
    for leave in leaves:
        table.finish(leave, 40)
    assert table.plan.windows() == [Window(2, 1, 5, 30)]
    assert table.refuses(41)


def test_a_level_of_several_parts_is_whole_while_all_of_them_are() -> None:
    """From when the last of them has begun to when the first of them has nothing left."""
    table = Table(plan.sweep([2], 1, 4, 0), "a", "b")
    table.ready(0, a=1, b=1)
    first, other = table.take(5, "a"), table.take(9, "b")
    table.finish(first, 20, "a")
    second = table.take(20, "a")
    table.finish(other, 22, "b")
    last = table.take(22, "b")
    assert table.refuses(23, "a")
    assert table.plan.windows() == []  # nobody has come to an end yet
    table.finish(second, 31, "a")
    table.finish(last, 40, "b")
    assert table.plan.segments[0].is_done
    assert table.plan.windows() == [Window(2, 1, 9, 31)]


def test_a_part_without_users_is_waited_for_by_nobody() -> None:
    """One user on two workers."""
    table = Table(plan.sweep([1], 1, 2, 0), "a", "b")
    table.ready(0, a=1, b=0)
    assert table.refuses(1, "b")
    for begin, end in ((5, 15), (15, 30)):
        table.finish(table.take(begin, "a"), end, "a")
    assert table.plan.segments[0].is_done
    assert table.plan.windows() == [Window(1, 1, 5, 30)]


def test_timed_parts_that_never_ceased_to_send_are_whole_at_once() -> None:
    """A part whose users are all busy with requests of the ramp has load, though it has sent nothing since."""
    table = Table(Plan(), "a", "b")
    table.plan.begin(0)
    table.sync()
    table.take(1, "a")
    ramp = table.take(1, "b")
    table.ready(10, a=1, b=1)
    table.finish(ramp, 12, "b")
    table.take(12, "b")
    table.plan.stop(50)
    assert table.plan.windows() == [Window(2, 1, 12, 50)]


def test_a_lost_part_ends_the_window_and_leaves_its_quota_to_the_others() -> None:
    """What it was seen to begin is its own; everything else is sent by others."""
    table = Table(plan.sweep([2], 1, 10, 0), "a", "b")
    table.ready(0, a=1, b=1)
    table.take(5, "a")
    leave = table.take(5, "b")
    table.plan.lose("a", 30)
    for begin in range(40, 49):
        table.finish(leave, begin, "b")
        if begin < 48:
            leave = table.take(begin, "b")
    segment = table.plan.segments[0]
    assert table.refuses(60, "b")
    assert segment.given() == 10
    assert segment.is_done
    assert table.plan.windows() == [Window(2, 1, 5, 30)]
    table.plan.regain("a")
    assert not segment.is_done  # its request is under way again


def test_a_sweep_starts_once() -> None:
    """Between two levels, while the next one's users are being started, it is under way all the same."""
    table = Table(plan.sweep([1, 2], 1, 1, 0))
    assert table.plan.is_starting
    table.ready(0, local=1)
    assert not table.plan.is_starting
    table.finish(table.take(1), 9)
    following = table.plan.next_segment()
    assert following is not None
    assert following.open_ns is None
    assert not table.plan.is_starting
    table.ready(20, local=2)
    assert table.plan.next_segment() is None  # and before it is stopped
    assert not table.plan.is_starting


def test_users_set_by_hand_are_told_of_while_they_start() -> None:
    """Each time anew: what is sent until they are all up is no level's."""
    table = Table(Plan())
    table.plan.begin(0)
    assert table.plan.is_starting
    table.ready(1, local=2)
    assert not table.plan.is_starting
    table.plan.users_asked(2, 4, "somebody", 10)
    assert table.plan.is_starting
    table.ready(20, local=4)
    assert not table.plan.is_starting


def test_users_who_move_from_part_to_part_end_the_window() -> None:
    """A late worker takes some of them over."""
    table = Table(plan.sweep([4], 1, 40, 0), "a", "b")
    table.ready(0, a=4)
    table.take(5, "a")
    table.ready(50, a=4)  # told twice
    assert table.plan.windows() == []
    table.ready(60, a=2, b=2)
    assert table.plan.windows() == [Window(4, 1, 5, 60)]
    assert not table.refuses(61, "b")


@given(
    users=st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any),
    rounds=st.integers(1, 6),
    warmup=st.integers(0, 2),
    seed=st.integers(0, 1_000),
    lag=st.integers(0, 8),
)
def test_the_whole_quota_and_nothing_more_is_sent(
    users: list[int], rounds: int, warmup: int, seed: int, lag: int
) -> None:
    """However many parts, at whatever speed, however late the master hears of it; and no user waits for long."""
    level, rng = sum(users), Random(seed)
    a_plan = plan.sweep([level], 1, rounds * level, warmup)
    names = [f"w{number}" for number in range(len(users))]
    table = Table(a_plan, *names)
    table.ready(0, **dict(zip(names, users, strict=True)))
    flying: list[tuple[int, str, tuple[Turn, Slot]]] = []
    for now in range(1, 2_000):
        for end, name, leave in [one for one in flying if one[0] <= now]:
            table.parts[name].finished(*leave, now)
            flying.remove((end, name, leave))
        for name, number in zip(names, users, strict=True):
            while sum(who == name for _, who, _ in flying) < number:
                given_leave = table.parts[name].take(now)
                if given_leave is None:
                    break
                flying.append((now + rng.randint(1, 9), name, given_leave))
        if lag == 0 or now % lag == 0:
            table.sync()
        if a_plan.segments[0].is_done:
            break
    segment = a_plan.segments[0]
    assert segment.is_done
    assert (segment.given(), segment.warmup_given()) == (rounds * level, warmup * level)
    for window in a_plan.windows():
        assert 1 <= window.start_ns < window.end_ns <= now
