"""The circuit breaker: which stretches it looks at, what they must say, and how seldom chance passes for an outage."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.breaker import Recent, Stretch, evidence, most
from harness.record import Outcome

ENOUGH = math.log(100_000)


@dataclass
class Counts:
    """What has been counted, as `harness.live.View` has it."""

    outcomes: Mapping[Outcome, int]
    errors: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0


def counts(succeeded: int, failed: int, **more: object) -> Counts:
    """Counters of a run with so many requests."""
    ends = {Outcome.OK: succeeded, Outcome.FAILED: failed, Outcome.CANCELLED: 0}
    return Counts(ends, **{"errors": {"reset": failed} if failed else {}, **more})


def course(
    limit: float, rate: float, fails: Callable[[float], float], seconds: float
) -> tuple[float, Stretch] | None:
    """When a run of `rate` requests/s is ended whose requests fail with a share that depends on the time; and by what.

    No chance: failures are as many as the share makes them.
    """
    recent, at, succeeded, failed = Recent(limit), 0.0, 0.0, 0.0
    while at < seconds:
        at += 0.5
        share = fails(at)
        failed, succeeded = failed + share * rate / 2, succeeded + (1 - share) * rate / 2
        recent.see(counts(int(succeeded + 1e-6), int(failed + 1e-6)), at)
        if bad := recent.broken():
            return at, bad
    return None


@pytest.mark.parametrize(
    ("failed", "finished", "limit", "expected"),
    [
        (19, 19, 0.05, 0.0),  # too few, whatever they say
        (20, 20, 0.05, 20 * math.log(1 / 0.025)),
        (1, 20, 0.05, 20 * (0.05 * math.log(2) + 0.95 * math.log(0.95 / 0.975))),
        (49, 1000, 0.05, 0.0),  # below the limit
        (100, 1000, 0.05, 1000 * (0.1 * math.log(4) + 0.9 * math.log(0.9 / 0.975))),
        (20, 20, 1.0, 20 * math.log(2)),
        (19, 20, 1.0, 0.0),
        (0, 50, 0.01, 0.0),
    ],
)
def test_evidence(failed: int, finished: int, limit: float, expected: float) -> None:
    """Requests x D(share || limit / 2), where the share reaches the limit and the requests are twenty or more."""
    assert evidence(failed, finished, limit) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("share", "requests"), [(0.05, 1160), (0.06, 633), (0.1, 170), (0.2, 45), (0.5, 20), (1.0, 20)]
)
def test_how_many_requests_it_takes_at_five_percent(share: float, requests: int) -> None:
    """The further over the limit, the fewer."""
    found = next(n for n in range(20, 3000) if evidence(round(share * n), n, 0.05) >= ENOUGH)
    assert found <= requests
    assert found > requests * 0.8


@given(st.integers(1, 1000).map(lambda permille: permille / 1000))
def test_the_longest_stretch_is_long_enough_for_any_limit(limit: float) -> None:
    """A share of just the limit says enough in it, and little less would not."""
    needed = most(limit)
    share = limit * math.log(2) + ((1 - limit) * math.log((1 - limit) / (1 - limit / 2)) if limit < 1 else 0)
    assert needed * share >= ENOUGH - 1e-9
    assert needed == 20 or (needed - 1) * share < ENOUGH


def test_one_failure_out_of_two_says_nothing() -> None:
    """Nor eighteen out of nineteen: a server may have a bad start."""
    recent = Recent(0.01)
    recent.see(counts(1, 1), 1.0)
    assert recent.broken() is None
    recent.see(counts(1, 18), 1.5)
    assert recent.broken() is None
    recent.see(counts(1, 19), 2.0)
    assert recent.broken() == Stretch(2.0, 20, 19, errors={"reset": 19})


@pytest.mark.parametrize(
    ("limit", "rate", "ended_s", "failed", "finished"),
    [
        # 10/s: of the 300 requests of 30 s, 25 say enough at 5 %
        (0.05, 10, 102.5, 25, 300),
        # 1/s: the 30 s are what is waited for
        (0.05, 1, 108, 8, 30),
        # 1,000/s: 5 % of 30,000 requests
        (0.05, 1000, 101.5, 1500, 30_000),
        (0.5, 10, 115, 150, 300),
    ],
)
def test_an_outage_ends_a_run_within_seconds(
    limit: float, rate: float, ended_s: float, failed: int, finished: int
) -> None:
    """After 100 s without a failure everything fails."""
    ended = course(limit, rate, lambda at: float(at > 100), 300)
    assert ended is not None
    assert ended[0] == ended_s
    assert (ended[1].failed, ended[1].finished) == (failed, finished)


def test_a_hiccup_ends_nothing() -> None:
    """1,000 requests/s of which all fail for half a second: 500 of the 30,000 of 30 s."""
    assert course(0.05, 1000, lambda at: float(50 < at <= 50.5), 200) is None


@pytest.mark.parametrize(("share", "ended_s"), [(0.05, 115.5), (0.06, 64.0), (0.1, 18.0), (0.2, 5.0)])
def test_a_steady_share_ends_a_run_the_sooner_the_larger_it_is(share: float, ended_s: float) -> None:
    """10 requests/s from the beginning, 5 % allowed."""
    ended = course(0.05, 10, lambda _: share, 300)
    assert ended is not None
    assert ended[0] == pytest.approx(ended_s, abs=5)


def test_less_than_the_limit_never_ends_it() -> None:
    """4.9 % for an hour."""
    assert course(0.05, 5, lambda _: 0.049, 3600) is None


def test_what_is_long_ago_does_not_count() -> None:
    """A bad first minute that was not enough is forgotten: an hour later it takes a whole outage again."""
    assert course(0.5, 1, lambda at: 0.45 if at <= 60 else float(at > 3600) * 0.4, 5000) is None


def test_chance_seldom_passes_for_a_limit() -> None:
    """10,000 requests, slowly, half of the limit failing: none of ten such runs is ended; at twice the limit all are."""
    for share, ended in ((0.025, 0), (0.1, 10)):
        found = 0
        for seed in range(10):
            rng, recent, failed, at = random.Random(seed), Recent(0.05), 0, 0
            while at < 10_000 and recent.broken() is None:
                at += 25
                failed += sum(rng.random() < share for _ in range(25))
                recent.see(counts(at - failed, failed), at * 10.0)
            found += recent.broken() is not None
        assert found == ended, share


def test_the_commonest_failure_of_the_stretch() -> None:
    """That of the stretch, not of the run; of several that are as common the first by name."""
    recent = Recent(0.5)
    recent.see(counts(970, 30, errors={"dns": 30}), 100.0)
    recent.see(counts(970, 130, errors={"dns": 40, "overload": 50, "auth": 40}), 131.0)
    bad = recent.broken()
    assert bad is not None
    assert bad.errors == {"dns": 10, "overload": 50, "auth": 40}
    assert bad.commonest == ("overload", 50)
    assert Stretch(errors={"reset": 2, "dns": 2}).commonest == ("dns", 2)
    assert Stretch().commonest is None


def test_the_latest_stretch() -> None:
    """The shortest of 30 s and 20 requests; all of a younger run; and its tokens."""
    recent = Recent(None)
    assert recent.latest() == Stretch()
    recent.see(counts(10, 0, prompt_tokens=1000, output_tokens=50), 10.0)
    assert recent.latest() == Stretch(10.0, 10, 0, 1000, 50)
    for at in range(20, 101, 10):
        recent.see(counts(at, 0, prompt_tokens=100 * at, output_tokens=7 * at), float(at))
    assert recent.latest() == Stretch(30.0, 30, 0, 3000, 210)
    recent.see(counts(100, 0, prompt_tokens=10_000, output_tokens=700), 150.0)
    assert recent.latest() == Stretch(70.0, 20, 0, 2000, 140)


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=40
    ),
    st.sampled_from([0.001, 0.05, 0.5, 1.0]),
)
def test_counters_that_go_back_do_no_harm(looks: list[tuple[float, int, int]], limit: float) -> None:
    """Whatever parts say or cease to say: no stretch has more failures than requests, and nothing is negative."""
    recent = Recent(limit)
    for at, succeeded, failed in looks:
        recent.see(counts(succeeded, failed), at)
        for stretch in (recent.latest(), recent.broken() or Stretch()):
            assert 0 <= stretch.failed <= stretch.finished
            assert stretch.length_s >= 0
            assert all(number > 0 for number in stretch.errors.values())


def test_a_long_run_keeps_few_looks() -> None:
    """A limit of 0.1 % looks back 59,569 requests: at 1/s over 33,000 s and so as many looks, of which 512 stay."""
    recent = Recent(0.001)
    for second in range(1, 40_000):
        recent.see(counts(second, 0), float(second))
        if second % 1000 == 0:
            assert recent.latest().finished < 1000
    assert len(recent._looks) <= 512
    recent.see(counts(40_000, 100), 40_030.0)
    bad = recent.broken()
    assert bad is not None
    assert bad.failed == 100
