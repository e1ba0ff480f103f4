"""The search for the highest load that meets the SLOs: exact steps, any monotone limit, noise, words."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.evidence import Trial
from harness.search import Search, Step, parse

SLO = "ttft_p95<2s"


def held(search, meets, *, is_clear=True):
    """Search a system that meets its SLOs up to where `meets` says."""
    evidence = []
    while (value := search.next(evidence)) is not None:
        met = meets(value)
        evidence.append(Trial(value, met, () if met else (SLO,), is_clear))
        assert len(evidence) < 200
    return evidence


def below(limit):
    """A system that meets its SLOs up to a limit, always."""
    return lambda value: value <= limit


@pytest.mark.parametrize(
    ("limit", "values"),
    [
        (23, [1, 2, 4, 8, 16, 32, 24, 20, 22, 23]),
        (1, [1, 2]),
        (0, [1]),
        (256, [1, 2, 4, 8, 16, 32, 64, 128, 256]),
        (255, [1, 2, 4, 8, 16, 32, 64, 128, 256, 192, 224, 240, 248, 252, 254, 255]),
    ],
)
def test_what_is_tried_for_a_concurrency(limit, values):
    """Doubling up to the first miss, then halves; clear trials are not repeated."""
    search = Search("concurrency", 1, 256)
    evidence = held(search, below(limit))
    assert [trial.value for trial in evidence] == values
    assert search.answer(evidence).value == (limit or None)


def test_what_is_tried_for_a_rate():
    """Geometric means, rounded so that they can be read, until 5 % apart."""
    search = Search("rate", 1, 100)
    evidence = held(search, below(5.5))
    assert [trial.value for trial in evidence] == [1, 2, 4, 8, 5.657, 4.757, 5.188, 5.417]
    answer = search.answer(evidence)
    assert (answer.value, answer.first_miss) == (5.417, 5.657)


def test_ends_that_are_not_clear_are_held_again():
    """Only the two that bear the answer, each once more where they agree."""
    evidence = held(Search("concurrency", 1, 16), below(5), is_clear=False)
    assert [trial.value for trial in evidence] == [1, 2, 4, 8, 6, 5, 5, 6]
    once = held(Search("concurrency", 1, 16, confirm=False), below(5), is_clear=False)
    assert [trial.value for trial in once] == [1, 2, 4, 8, 6, 5]


def test_a_wrong_miss_is_corrected():
    """8 misses by chance: the third look is a pass, and the search goes on above it."""
    search, looks = Search("concurrency", 1, 16), []

    def meets(value):
        looks.append(value)
        return value <= 11 and not (value == 8 and looks.count(8) == 1)

    evidence = held(search, meets, is_clear=False)
    assert [trial.value for trial in evidence] == [1, 2, 4, 8, 6, 7, 7, 8, 8, 16, 12, 10, 11, 11, 12]
    answer = search.answer(evidence)
    assert (answer.value, answer.first_miss, answer.steps) == (11, 12, 15)
    assert answer.doubts == ("8 users met the SLOs twice and missed once",)


def test_a_wrong_pass_is_corrected():
    """8 meets by chance: it misses twice when held again, and the search goes on below it."""
    search, looks = Search("concurrency", 1, 16), []

    def meets(value):
        looks.append(value)
        return value <= 5 or (value == 8 and looks.count(8) == 1)

    evidence = held(search, meets, is_clear=False)
    assert [t.value for t in evidence] == [1, 2, 4, 8, 16, 12, 10, 9, 8, 8, 6, 5, 5, 6]
    assert search.answer(evidence).value == 5


@given(low=st.integers(1, 50), wide=st.integers(1, 5000), share=st.floats(0, 1.2), step=st.integers(1, 40))
def test_any_limit_of_users_is_found_within_a_step(low, wide, share, step):
    """The answer meets, and at most one step above it does not; steps stay within what is promised."""
    high = low + wide
    step = min(step, wide)
    limit = low - 1 + round(share * (wide + 1))
    search = Search("concurrency", low, high, step)
    evidence = held(search, below(limit))
    answer = search.answer(evidence)
    assert answer.is_complete
    assert not answer.doubts
    if limit < low:
        assert (answer.value, answer.first_miss) == (None, low)
    elif limit >= high:
        assert (answer.value, answer.is_at_high) == (high, True)
    else:
        assert answer.value <= limit < answer.value + step
        assert answer.limited_by == (SLO,)
    doublings = math.ceil(math.log2(high / low))
    halvings = max(0, math.ceil(math.log2(max(1, high / 2) / step)))
    assert answer.steps <= 1 + doublings + halvings
    assert len({trial.value for trial in evidence}) == len(evidence)


@given(
    low=st.floats(0.01, 10),
    wide=st.floats(1.5, 1000),
    share=st.floats(0, 1),
    percent=st.sampled_from([1, 2, 5, 20]),
)
def test_any_limit_of_a_rate_is_found_within_its_precision(low, wide, share, percent):
    """The answer meets, and the precision above it does not; rounding costs one step at most."""
    high, precision = low * wide, percent / 100
    limit = low * wide**share
    search = Search("rate", low, high, precision)
    evidence = held(search, below(limit))
    answer = search.answer(evidence)
    if limit >= high:
        assert answer.value == high
    else:
        assert answer.value <= limit < answer.first_miss <= answer.value * (1 + precision)
    halvings = math.ceil(math.log2(math.log(2) / math.log(1 + precision)))
    assert answer.steps <= 1 + math.ceil(math.log2(wide)) + halvings + 1


@given(st.lists(st.booleans(), max_size=400), st.integers(2, 300))
def test_it_ends_whatever_the_system_says(verdicts, high):
    """No value is tried more than three times, and none outside the range."""
    search, told, evidence = Search("concurrency", 1, high), iter(verdicts), []
    while (value := search.next(evidence)) is not None:
        assert 1 <= value <= high
        assert value == int(value)
        evidence.append(Trial(value, next(told, False)))
    times = [sum(t.value == trial.value for t in evidence) for trial in evidence]
    assert max(times) <= 3
    assert search.answer(evidence).is_complete


def found(search, seed, wrong):
    """How many of 300 limits are found exactly if that share of trials comes out wrong."""
    random, exact = Random(seed), 0
    for _ in range(300):
        limit = random.randint(1, 255)
        evidence = held(search, lambda value: (value <= limit) ^ (random.random() < wrong), is_clear=False)  # noqa: B023
        exact += search.answer(evidence).value == limit
    return exact / 300


def test_confirming_the_ends_is_worth_its_time():
    """With 2 % of wrong verdicts, a search that holds the ends again is right in 97 of 100, one that does not in 85 at most."""
    assert found(Search("concurrency", 1, 256), 1, 0.02) >= 0.97
    assert found(Search("concurrency", 1, 256, confirm=False), 1, 0.02) <= 0.85


def wait_p95_s(rate, servers=8, each=2.0):
    """The 95th percentile of waiting in M/M/c (Erlang C), seconds; infinite from saturation on."""
    offered = rate / each
    if offered >= servers:
        return math.inf
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    waits = blocked / (1 - offered / servers * (1 - blocked))
    return max(0.0, math.log(waits / 0.05) / (servers * each - rate))


def test_a_queue_is_taken_to_its_known_limit():
    """The rate at which a queue of known kind waits 0.5 s at p95 is found within 2 %."""
    search = parse("rate:0.5-100,2%")
    evidence = held(search, lambda rate: wait_p95_s(rate) < 0.5)
    low, high = 0.5, 16.0
    for _ in range(60):  # the truth, by bisection of the formula
        middle = (low + high) / 2
        low, high = (middle, high) if wait_p95_s(middle) < 0.5 else (low, middle)
    answer = search.answer(evidence)
    assert answer.value <= low <= answer.value * 1.02
    assert answer.steps <= 14


def test_each_step_says_why():
    """The evidence can be read as a table: what was tried, why, and what came of it."""
    search = Search("concurrency", 1, 4)
    steps = list(search.steps(held(search, below(2), is_clear=False)))
    assert steps == [
        Step(1, 1, "the lowest", True, ()),
        Step(2, 2, "1 user met: doubled", True, ()),
        Step(3, 4, "2 users met: doubled", False, (SLO,)),
        Step(4, 3, "between 2, which met, and 4 users, which missed", False, (SLO,)),
        Step(5, 2, "the highest that met, once more", True, ()),
        Step(6, 3, "the lowest that missed, once more", False, (SLO,)),
    ]
    given_ = list(search.steps([Trial(7, True), Trial(1, True), Trial(1, False), Trial(1, True)]))
    assert [step.why for step in given_] == [
        "given", "given", "given", "1 user met and missed: a third look decides",
    ]  # fmt: skip


def said(search, trials):
    """The answer's line."""
    evidence = [Trial(value, met, () if met else (SLO,), is_clear=True) for value, met in trials]
    return search.say(search.answer(evidence))


def test_the_answer_in_words():
    """One line, whatever came of it."""
    search = Search("concurrency", 1, 4)
    found_ = "the highest concurrency that meets the SLOs is"
    assert said(search, []) == "the highest concurrency that meets the SLOs is not known: 0 trials"
    assert (
        said(search, [(1, False)])
        == f"no concurrency meets the SLOs: 1 user misses {SLO} (1 trial)"  # there is no lower one
    )
    wider = Search("concurrency", 2, 4)
    assert wider.say(wider.answer([Trial(2, False, (SLO,), is_clear=True)])) == (
        f"no concurrency meets the SLOs: 2 users miss {SLO} (1 trial); search lower"
    )
    assert said(search, [(1, True), (2, True), (4, False), (3, True)]) == (
        f"{found_} 3 users (4 trials); 4 users miss {SLO}"
    )
    assert said(search, [(1, True), (2, True), (4, True)]) == (
        f"{found_} 4 users (3 trials), the most that was allowed; search higher"
    )
    assert said(search, [(1, True), (2, True), (4, False)]) == (
        f"{found_} at least 2 users (3 trials) and below 4 users; the search was ended early"
    )
    assert said(Search("rate", 0.5, 1000), [(0.5, True), (1, True)]) == (
        "the highest rate that meets the SLOs is at least 1 req/s (2 trials); the search was ended early"
    )


def test_contradictions_are_said():
    """What met above a miss, what met and missed, and what could not be judged."""
    search = Search("concurrency", 1, 64)
    trials = [
        Trial(1, True),
        Trial(8, False),
        Trial(16, True),
        Trial(32, True),
        Trial(4, None),
        Trial(1, False),
    ]
    assert search.answer(trials).doubts == (
        "1 user met the SLOs once and missed once",
        "16 and 32 users met the SLOs though 1 user did not: the system is not monotone, or noisy",
        "4 users could not be judged (once), which counts as missed",
    )


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("concurrency:1-256", Search("concurrency", 1, 256)),
        ("concurrency:8-256,8", Search("concurrency", 8, 256, 8)),
        ("rate:1-100", Search("rate", 1, 100)),
        ("rate:0.25-12.5,2%", Search("rate", 0.25, 12.5, 0.02)),
        ("rate:1-100,0.1%", Search("rate", 1, 100, 0.001)),
    ],
)
def test_a_search_is_read_and_written(text, search):
    """`describe` is the text again; blanks and capitals do not matter."""
    assert parse(text) == search
    assert search.describe() == text
    assert parse(f" {text.upper().replace(':', ' : ')} ") == search


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write concurrency:1-256 or rate:1-100"),
        ("users:1-10", "write concurrency:1-256 or rate:1-100"),
        ("rate:-1-10", "write concurrency:1-256 or rate:1-100"),
        ("concurrency:0-10", "users are whole numbers, from 1; write e.g. concurrency:1-256"),
        ("concurrency:1-10.5", "users are whole numbers, from 1"),
        ("concurrency:1-1000000", "the highest may be 999,999 at most"),
        ("concurrency:16-4", "16 is not below 4; write the lowest first, e.g. concurrency:1-100"),
        ("rate:5-5", "5 is not below 5"),
        ("rate:0-10", "the lowest rate has to be 0.001 requests/s or more"),
        ("rate:1-10,2", "give the precision of a rate from 0.1% to 100%, e.g. rate:1-100,2%"),
        ("rate:1-10,0%", "give the precision of a rate from 0.1% to 100%"),
        ("concurrency:1-9,9", "give the precision of a concurrency as a whole number of users from 1 to 8"),
        ("concurrency:1-9,10%", "give the precision of a concurrency as a whole number"),
    ],
)
def test_what_is_no_search_is_refused(text, why):
    """One line with the option, the value and what would be right."""
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert str(error.value).startswith(f"--search {text!r}: {why}")
    assert "\n" not in str(error.value)
