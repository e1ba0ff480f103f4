"""What held levels say to a search: verdicts, ends, and whether chance may have decided."""

import pytest

from harness.evidence import Looks, Trial, ends, judged, seen


def slo(text="ttft_p95<2s", *, met=True, value=1000.0, limit=2000.0, unit="ms", n=400):
    """One entry of a level's `slo` in summary.json."""
    return {"slo": text, "met": met, "value": value, "limit": limit, "unit": unit, "n": n}


def test_trials_of_one_value_add_up():
    """Each value has its trials counted, in the order in which values were first tried."""
    trials = [Trial(4, True), Trial(8, False, is_clear=True), Trial(4, None), Trial(4, True)]
    assert seen(trials) == {4: Looks(2, 1, 0), 8: Looks(0, 1, 1)}
    assert list(seen(trials)) == [4, 8]


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([], (None, None)),
        ([(1, True), (2, True)], (2, None)),
        ([(1, False)], (None, 1)),
        ([(4, True), (8, True), (6, False)], (4, 6)),  # what met above a miss does not count
        ([(4, True), (8, True), (8, False)], (4, 8)),  # a tie is a miss
        ([(4, True), (8, True), (8, False), (8, True)], (8, None)),
        ([(4, True), (8, None)], (4, 8)),
    ],
)
def test_the_ends_lie_around_the_limit(trials, expected):
    """The highest that met below any miss, and the lowest that missed."""
    assert ends(seen(Trial(value, met) for value, met in trials)) == expected


def test_a_level_that_met_all():
    """All met and far from their limits: met, clear, nothing missed."""
    assert judged(8, [slo(), slo("error_rate<1%", value=0.0, limit=0.01, unit="share", n=1000)]) == Trial(
        8, True, (), True
    )


def test_a_level_that_missed_says_what():
    """One miss is enough, and one clear one makes the miss clear."""
    near = slo("tpot_p50<50ms", met=False, value=51.0, limit=50.0)
    far = slo(met=False, value=9000.0)
    assert judged(8, [near, slo()]) == Trial(8, False, ("tpot_p50<50ms",), False)
    assert judged(8, [near, far]) == Trial(8, False, ("tpot_p50<50ms", "ttft_p95<2s"), True)


def test_what_was_not_measured_is_neither():
    """Nothing missed, something unknown: met is None, and the SLO is named; so is a level without any."""
    assert judged(8, [slo(), slo(met=None, value=None, n=0)]) == Trial(
        8, None, ("ttft_p95<2s (not measured)",), False
    )
    assert judged(8, []) == Trial(8, None)


@pytest.mark.parametrize(
    ("entry", "clear"),
    [
        (slo(value=1690.0, n=400), True),  # 3 / sqrt(400) = 15 %
        (slo(value=1710.0, n=400), False),
        (slo(value=1690.0, n=100), False),  # 30 %
        (slo(value=1390.0, n=100), True),
        (slo(value=1790.0, n=1_000_000), True),  # a tenth at least
        (slo(value=1810.0, n=1_000_000), False),
        (slo("system_output_tokens_per_s>100", value=112.0, limit=100.0, unit="tokens/s", n=None), True),
        (slo("system_output_tokens_per_s>100", value=108.0, limit=100.0, unit="tokens/s", n=None), False),
        (slo("goodput>95%", value=1.0, limit=0.95, unit="share", n=100), False),  # 2 x 2.18 % + 1 %
        (slo("goodput>95%", value=1.0, limit=0.95, unit="share", n=200), True),
        (slo("error_rate<=0%", value=0.01, limit=0.0, unit="share", n=100), False),  # one request
        (slo("error_rate<=0%", value=0.02, limit=0.0, unit="share", n=100), True),
        (slo(value=None), False),
    ],
)
def test_near_its_limit_a_value_is_not_clear(entry, clear):
    """Two standard errors of a share or a statistic of n times, a tenth at least."""
    assert judged(8, [{**entry, "met": True}]).is_clear is clear
