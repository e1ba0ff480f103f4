"""A search's trials in a plan: which segments follow one another, and what is kept of them."""

from typing import Any

from harness.loadpoint import LoadPoint
from harness.search import parse
from harness.segment import Segment
from harness.trials import Trials


def trials(text: str) -> Trials:
    """A search whose segments are of ten requests."""
    return Trials(parse(text), lambda index, point, repeat: Segment(index, point, repeat, 10, 0))


def slo(value: float, limit: float = 100.0) -> dict[str, Any]:
    """One judged SLO on very many requests."""
    return {
        "slo": f"ttft_p95<{limit:g}ms",
        "value": value,
        "limit": limit,
        "unit": "ms",
        "n": 10**6,
        "met": value < limit,
    }


def hold(search: Trials, highest: float) -> list[tuple[int, int, float]]:
    """Hold what it asks for, which meets up to a value; (level, repeat, value) of each segment."""
    held: list[tuple[int, int, float]] = []
    while segment := search.more(len(held)):
        value = float(segment.point.value or 0)
        assert segment.index == len(held)
        held.append((segment.level, segment.repeat, value))
        search.learn(segment, [slo(10 if value <= highest else 1000)], 10)
    return held


def test_levels_of_concurrency_have_their_users_for_a_name() -> None:
    """8 is found between 4 and 16 in the steps that bisection takes."""
    search = trials("concurrency:1-64")
    assert hold(search, 8) == [(n, 1, n) for n in (1, 2, 4, 8, 16, 12, 10, 9)]
    assert search.stored()["value"] == 8
    assert (
        search.say()
        == "the highest concurrency that meets the SLOs is 8 users (8 trials); 9 users miss ttft_p95<100ms"
    )


def test_rates_are_named_in_order_of_trial() -> None:
    """1, 2, ... whatever they are."""
    search = trials("rate:10-80,20%")
    held = hold(search, 30)
    assert [value for *_, value in held][:3] == [10, 20, 40]
    assert [level for level, *_ in held] == list(range(1, len(held) + 1))
    assert 25 < search.stored()["value"] <= 30


def test_a_value_that_is_not_clear_is_held_again() -> None:
    """As a repeat of the same level."""
    search = trials("concurrency:1-2")
    held = []
    while segment := search.more(len(held)):
        held.append((segment.level, segment.repeat))
        search.learn(segment, [slo(99.0 if segment.level == 1 else 101.0)], 10)
    assert held == [(1, 1), (2, 1), (1, 2), (2, 2)]


def test_a_level_whose_load_was_not_whole_is_no_evidence() -> None:
    """It is held again, a few times; then what is there has to do, and is marked."""
    search = trials("concurrency:1-2")
    for attempt in range(1, 5):
        segment = search.more(attempt - 1)
        assert segment is not None
        assert (segment.level, segment.repeat) == (1, attempt)
        segment.cut_ns = 5
        said = search.learn(segment, [slo(10)], 10)
        assert said == (
            "search: 1 user will be held again, since load was not whole"
            if attempt < 4
            else "search: 1 user met the SLOs"
        )
    assert [step["whole"] for step in search.stored()["steps"]] == [False]


def test_how_far_it_is_in_a_few_words() -> None:
    """What met and what missed, with the number of the step that is under way."""
    search = trials("concurrency:1-64")
    assert search.brief() == "search: step 1"
    assert search.say() is None
    for users, value in ((4, 10.0), (8, 10.0), (16, 1000.0)):
        search.learn(Segment(0, LoadPoint.of_users(users), 1, 10, 0), [slo(value)], 10)
    assert search.brief() == "search: step 4, 8 users met, 16 missed"


def test_what_cannot_be_judged_says_so() -> None:
    """And counts as missed."""
    search = trials("concurrency:1-64")
    segment = search.more(0)
    assert segment is not None
    said = search.learn(segment, [slo(10) | {"value": None, "met": None, "n": 0}], 0)
    assert said == "search: 1 user could not be judged: ttft_p95<100ms (not measured)"
    assert search.stored()["steps"][0]["met"] is None
