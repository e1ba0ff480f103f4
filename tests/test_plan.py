"""The closed-loop plan as a table of times: who may send when, and where the windows lie."""

from harness import plan
from harness.journal import Window
from harness.plan import Plan, Segment, Slot
from harness.record import Phase


def take(a_plan: Plan, now: int) -> tuple[Segment, Slot]:
    """Leave that is expected to be given."""
    leave = a_plan.take(now)
    assert leave is not None
    return leave


def test_a_level_gives_its_warmup_then_its_quota_then_nothing() -> None:
    """Two users with one warm-up request each and a quota of three."""
    sweep = plan.sweep([2], 1, 3, 1)
    assert sweep.planned == 5
    assert sweep.take(0) is None  # users are still starting
    sweep.users_ready(2, 1)
    leaves = [take(sweep, time) for time in (10, 10)]
    assert [slot.phase for _, slot in leaves] == [Phase.WARMUP, Phase.WARMUP]
    sweep.finished(*leaves[0], 20)
    first = take(sweep, 20)
    sweep.finished(*leaves[1], 25)
    second = take(sweep, 25)
    sweep.finished(*first, 40)
    third = take(sweep, 40)
    assert [slot.phase for _, slot in (first, second, third)] == [Phase.MEASURE] * 3
    assert sweep.take(41) is None
    assert not third[0].is_done
    sweep.finished(*second, 45)  # from here on only one of two users is busy
    sweep.finished(*third, 60)
    assert third[0].is_done
    assert sweep.windows(1_000) == [Window(2, 1, 1_020, 1_045)]


def test_one_user_has_a_window_up_to_its_last_end() -> None:
    """With one user the load is whole until its last request is done, whoever asks first afterwards."""
    sweep = plan.sweep([1], 1, 2, 0)
    sweep.users_ready(1, 0)
    for begin, end in ((5, 15), (15, 30)):
        sweep.finished(*take(sweep, begin), end)
    sweep.next_segment()
    assert sweep.windows(0) == [Window(1, 1, 5, 30)]


def test_as_many_requests_as_users() -> None:
    """All are sent at once; the window lasts until the first of them is done."""
    sweep = plan.sweep([3], 1, 3, 0)
    sweep.users_ready(3, 0)
    leaves = [take(sweep, 10) for _ in range(3)]
    for leave, end in zip(leaves, (50, 60, 70), strict=True):
        sweep.finished(*leave, end)
    assert sweep.windows(0) == [Window(3, 1, 10, 50)]


def test_a_sweep_goes_through_all_levels_before_it_repeats() -> None:
    """Order of segments, and five rounds a user where no number is given."""
    sweep = plan.sweep([1, 4], 2, None, 0)
    assert [(s.level, s.repeat, s.quota) for s in sweep.segments] == [
        (1, 1, 5),
        (4, 1, 20),
        (1, 2, 5),
        (4, 2, 20),
    ]
    assert sweep.planned == 50


def test_a_segment_waits_for_its_own_number_of_users() -> None:
    """Users left over from another level do not open a segment."""
    sweep = plan.sweep([1, 4], 1, 1, 0)
    sweep.users_ready(1, 0)
    sweep.finished(*take(sweep, 1), 2)
    assert sweep.next_segment() is sweep.segments[1]
    sweep.users_ready(3, 3)
    assert sweep.take(4) is None
    sweep.users_ready(4, 5)
    assert take(sweep, 6)[1] == Slot(4, 1, Phase.MEASURE)


def test_a_timed_run_measures_from_all_users_up_to_the_stop() -> None:
    """Requests of the ramp are warm-up; the window ends when load is stopped, not when streams end."""
    timed = Plan()
    ramp = take(timed, 1)
    assert ramp[1] == Slot(0, 1, Phase.WARMUP)
    timed.users_ready(8, 10)
    timed.finished(*ramp, 11)
    leave = take(timed, 12)
    assert leave[1] == Slot(8, 1, Phase.MEASURE)
    timed.stop(50)
    assert timed.take(51) is None
    assert timed.in_flight == 1
    timed.finished(*leave, 60)
    assert timed.planned is None
    assert timed.windows(0) == [Window(8, 1, 12, 50)]


def test_changing_the_users_by_hand_opens_a_window_of_its_own() -> None:
    """4 users, then 8, then 4 again: three windows, the third the second pass over 4."""
    timed = Plan()
    for users, begin in ((4, 0), (8, 100), (4, 200)):
        timed.users_ready(users, begin)
        timed.finished(*take(timed, begin + 1), begin + 50)
    timed.stop(300)
    assert timed.windows(0) == [Window(4, 1, 1, 100), Window(8, 1, 101, 200), Window(4, 2, 201, 300)]


def test_a_stop_in_mid_level_ends_its_window_there() -> None:
    """Ctrl-C: nothing more is given out, the window is what was whole."""
    sweep = plan.sweep([2, 4], 1, 100, 0)
    sweep.users_ready(2, 0)
    leaves = [take(sweep, 5), take(sweep, 5)]
    sweep.stop(30)
    for leave in leaves:
        sweep.finished(*leave, 40)
    assert sweep.windows(0) == [Window(2, 1, 5, 30)]
    assert sweep.take(41) is None
