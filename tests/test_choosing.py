"""What a run does between levels: it waits for all counts, judges, and drops what saturation makes pointless."""

import pytest
from test_search_options import read

from harness.choosing import Choosing
from harness.live import Live, View, merged
from harness.loadpoint import LoadPoint
from harness.orders import Tally
from harness.plan import Plan, sweep
from harness.record import Outcome, Phase, RequestRecord
from harness.search import parse
from harness.segment import Part, Segment
from harness.trials import Trials

MS, S = 1_000_000, 1_000_000_000


def record(level: int, ttft_ms: float) -> RequestRecord:
    """A measured answer that succeeded."""
    return RequestRecord(
        request_id="r", name="/chat", worker="w0", level=level, repeat=1, phase=Phase.MEASURE, outcome=Outcome.OK,
        scheduled_ns=0, sent_ns=0, first_content_ns=round(ttft_ms * MS), last_content_ns=S, end_ns=S, prompt_tokens=9,
        output_tokens=9,
    )  # fmt: skip


def searching() -> Plan:
    """A search that holds its first level, of which two requests are done."""
    trials = Trials(
        parse("concurrency:1-4"), lambda index, point, repeat: Segment(index, point, repeat, 2, 0)
    )
    first = trials.more(0)
    assert first is not None
    first.parts["w0"] = Part(1, Tally(index=0, given=2, done=2))
    return Plan([first], is_sweep=True, more=trials.more, trials=trials)


def test_a_level_is_judged_when_all_of_its_requests_are_counted() -> None:
    """Parts' counts come later than their word that they are done: the second look has both, and no sooner."""
    plan, live, said = searching(), Live(), []
    live.add(record(1, 100), 0)
    looks = []

    def counted() -> View:
        looks.append(len(looks))
        if len(looks) == 3:
            live.add(record(1, 5_000), 0)
        return merged([live.stored()], 0)

    settings = read("--slo", "ttft_max<1s", "--search", "concurrency:1-4", "--requests-per-level", "5x")
    Choosing(settings, plan, counted, lambda what, topic: said.append((what, topic))).decide()
    assert len(looks) == 3
    assert said == [("search: 1 user missed ttft_max<1s", "note")]
    assert plan.trials is not None
    assert plan.trials.stored()["steps"][0]["requests"] == 2
    assert plan.trials.stored()["steps"][0]["whole"] is True


def test_nothing_is_judged_once_load_is_stopped() -> None:
    """A level that was cut short by Ctrl-C is no evidence."""
    plan, said = searching(), []
    plan.is_stopped = True
    settings = read("--slo", "ttft_max<1s", "--search", "concurrency:1-4", "--requests-per-level", "5x")
    Choosing(settings, plan, lambda: merged([]), lambda what, topic: said.append((what, topic))).decide()
    assert said == []
    assert plan.trials is not None
    assert plan.trials.evidence == []


@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_is_higher_is_dropped_from_all_passes(at: int) -> None:
    """What is held stays, indexes follow one another, and what is planned agrees."""
    plan = sweep([1, 2, 4, 8], 2, 10, 0)
    plan.at = at
    level = plan.segments[at].level
    dropped = plan.saturate(level, "because")
    assert [point.users for point in dropped] == [users for users in (1, 2, 4, 8) if users > level]
    lower = [users for users in (1, 2, 4, 8) if users <= level]
    assert [segment.level for segment in plan.segments] == [*lower, *lower]
    assert [segment.index for segment in plan.segments] == list(range(2 * len(lower)))
    assert plan.planned == 10 * 2 * len(lower)
    assert plan.saturated == (level, "because")


def test_rates_are_dropped_by_rate_and_not_by_name() -> None:
    """Levels of a sweep over rates are named in the order in which they were given."""
    rates = (4.0, 1.0, 8.0)
    points = [
        LoadPoint(key=key, users=0, kind="rate", rate=rate, value=rate) for key, rate in enumerate(rates, 1)
    ]
    plan = Plan([Segment(n, point, 1, None, 0) for n, point in enumerate(points)], is_sweep=True)
    assert [point.value for point in plan.saturate(1, "because")] == [8]
    assert [segment.point.value for segment in plan.segments] == [4, 1]
