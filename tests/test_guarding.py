"""Guards at work: when each ends a run, and the very sentence that says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import record

from harness.errors import ErrorClass
from harness.guarding import Breach, Watch
from harness.guards import Guards
from harness.live import Live, merged
from harness.record import Outcome


@dataclass
class Counts:
    """What has been counted, as `harness.live.View` has it."""

    outcomes: Mapping[Outcome, int]
    errors: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0


def counts(succeeded: int, failed: int = 0, cancelled: int = 0, **more: object) -> Counts:
    """Counters of a run with so many requests."""
    ends = {Outcome.OK: succeeded, Outcome.FAILED: failed, Outcome.CANCELLED: cancelled}
    return Counts(ends, **more)


def test_without_guards_nothing_ends_a_run() -> None:
    """Whatever is counted."""
    watch = Watch(Guards())
    many = counts(10**9, 10**9, errors={"reset": 10**9}, prompt_tokens=10**15, output_tokens=10**15)
    assert watch.ended_by(many, 1e6, offered=10**10, in_flight=10**6) is None
    assert (watch.breach, watch.blind(many)) == (None, None)


def test_tokens() -> None:
    """At the limit, not before; prompt and output together."""
    watch = Watch(Guards(max_tokens=1_000_000))
    assert watch.ended_by(counts(900, prompt_tokens=800_000, output_tokens=199_999), 61.0) is None
    said = watch.ended_by(counts(901, prompt_tokens=800_100, output_tokens=200_312), 62.0)
    assert said == "--max-tokens 1000000: 1,000,412 tokens (prompt 800,100, output 200,312) after 62 s"
    assert watch.breach == Breach("max_tokens", 1_000_000, 1_000_412, 62.0, said)


def test_tokens_in_flight_are_reckoned_with() -> None:
    """As many as the latest requests took: 100 in flight at 1,000 each leave 100,000 for the rest of the run."""
    watch = Watch(Guards(max_tokens=1_000_000))
    assert watch.ended_by(counts(0), 0.5, in_flight=100) is None  # nobody knows yet what one takes
    for at in range(100, 900, 100):
        view = counts(at, prompt_tokens=at * 750, output_tokens=at * 250)
        assert watch.ended_by(view, at / 2.0, in_flight=100) is None
    said = watch.ended_by(counts(901, prompt_tokens=901 * 750, output_tokens=901 * 250), 450.0, in_flight=100)
    assert said == (
        "--max-tokens 1000000: 901,000 tokens (prompt 675,750, output 225,250) "
        "and about 100,000 more of 100 in flight after 7 min 30 s"
    )
    assert watch.breach is not None
    assert watch.breach.value == 901_000


def test_what_is_in_flight_is_like_the_latest_and_not_like_the_first() -> None:
    """A sweep from prompts of 100 tokens to prompts of 8,000."""
    watch = Watch(Guards(max_tokens=1_000_000))
    assert watch.ended_by(counts(1000, prompt_tokens=100_000), 100.0, in_flight=40) is None
    tokens = 100_000 + 50 * 8_000
    assert watch.ended_by(counts(1050, prompt_tokens=tokens), 140.0, in_flight=40) is None
    tokens += 25 * 8_000
    said = watch.ended_by(counts(1075, prompt_tokens=tokens), 180.0, in_flight=40)
    assert said is not None
    assert "700,000 tokens (prompt 700,000, output 0) and about 320,000 more of 40 in flight" in said


def test_cost() -> None:
    """Both prices, in whatever currency."""
    guards = Guards(max_cost=5.0, price_in=0.5, price_out=1.5)
    watch = Watch(guards)
    assert watch.ended_by(counts(9, prompt_tokens=4_000_000, output_tokens=1_999_999), 4000.0) is None
    said = watch.ended_by(counts(9, prompt_tokens=4_000_000, output_tokens=2_020_000), 4321.0)
    assert said == "--max-cost 5: 5.03 (prompt 4,000,000 tokens, output 2,020,000) after 1 h 12 min"
    assert watch.breach is not None
    assert watch.breach.value == pytest.approx(5.03)


def test_cost_is_a_lower_bound_where_servers_do_not_count() -> None:
    """And the sentence says so; with what is in flight."""
    watch = Watch(Guards(max_cost=0.25, price_in=0.0, price_out=100.0))
    view = counts(50, prompt_tokens=9, output_tokens=2_000, uncounted=31)
    said = watch.ended_by(view, 5.0, in_flight=20)
    assert said == (
        "--max-cost 0.25: at least 0.2 (prompt 9 tokens, output 2,000) and about 0.08 more of 20 in flight "
        "after 5.0 s; 31 answers came without a count"
    )


def test_what_cannot_be_seen_is_warned_of() -> None:
    """A guard on tokens is none where nobody counts them."""
    view = counts(50, output_tokens=2_000, uncounted=31)
    assert Watch(Guards(max_tokens=10, max_cost=1.0, price_in=1.0, price_out=1.0)).blind(view) == (
        "--max-tokens and --max-cost cannot see all: 31 of 50 answers came without a count of tokens; "
        "add --max-requests or --max-time"
    )
    assert Watch(Guards(max_tokens=10)).blind(counts(50)) is None
    assert Watch(Guards(max_requests=10)).blind(view) is None


def test_requests() -> None:
    """Leaves that were given; those that are over where that is not known."""
    watch = Watch(Guards(max_requests=1000))
    assert watch.ended_by(counts(900, 99), 30.0) is None
    assert watch.ended_by(counts(900, 50), 30.0, offered=999) is None
    assert watch.ended_by(counts(900, 50), 31.0, offered=1000) == (
        "--max-requests 1000: 1,000 requests after 31 s"
    )
    assert Watch(Guards(max_requests=3)).ended_by(counts(1, 1, 1), 2.0) == (
        "--max-requests 3: 3 requests after 2.0 s"
    )


def test_time() -> None:
    """Since load began."""
    watch = Watch(Guards(max_time_s=600.0))
    assert watch.ended_by(counts(1), 599.9) is None
    assert watch.ended_by(counts(1), 600.2) == "--max-time 10m: ended after 10 min 0 s"


def test_error_rate() -> None:
    """Of the stretch that says it most clearly, with the commonest failure of it."""
    watch = Watch(Guards(max_error_rate=0.05))
    for at in range(1, 101):
        assert watch.ended_by(counts(at * 10), float(at)) is None
    said, failed = None, 0
    while said is None:
        failed += 5
        errors = {"overload": failed - 2, "reset": 2}
        said = watch.ended_by(counts(1000, failed, errors=errors), 100 + failed / 10)
    assert failed == 25
    assert said == (
        "--max-error-rate 5%: 25 of the last 305 requests failed (8.2%), within 30 s, "
        "23 of them overload (HTTP 429 or 503), after 102 s"
    )


def test_one_failure_out_of_two_ends_nothing() -> None:
    """However low the limit."""
    assert Watch(Guards(max_error_rate=0.001)).ended_by(counts(1, 1, errors={"reset": 1}), 3.0) is None


def test_a_run_in_which_everything_fails_may_be_asked_for() -> None:
    """At a limit of 100 % it takes twenty failures and no success."""
    watch = Watch(Guards(max_error_rate=1.0))
    assert watch.ended_by(counts(0, 19, errors={"auth": 19}), 3.0) is None
    assert watch.ended_by(counts(0, 20, errors={"auth": 20}), 3.5) == (
        "--max-error-rate 100%: 20 of the last 20 requests failed (100%), within 3.5 s, 20 of them auth, after 3.5 s"
    )


def test_the_first_word_stays() -> None:
    """What comes while the run drains changes neither guard nor sentence."""
    watch = Watch(Guards(max_tokens=100, max_requests=10))
    first = watch.ended_by(counts(5, prompt_tokens=120), 10.0)
    assert first == "--max-tokens 100: 120 tokens (prompt 120, output 0) after 10 s"
    assert watch.ended_by(counts(12, prompt_tokens=500), 20.0) == first


def test_of_several_the_most_telling_is_kept() -> None:
    """Failures before money, money before tokens, these before requests and time."""
    view = counts(0, 30, errors={"auth": 30}, prompt_tokens=100)
    every = {"max_error_rate": 0.5, "max_cost": 1e-6, "max_tokens": 1, "max_requests": 1, "max_time_s": 1.0}
    found = []
    while every:
        watch = Watch(Guards(**every, price_in=1.0, price_out=1.0))  # type: ignore[arg-type]
        watch.ended_by(view, 2.0)
        assert watch.breach is not None
        found.append(watch.breach.guard)
        del every[watch.breach.guard]
    assert found == ["max_error_rate", "max_cost", "max_tokens", "max_requests", "max_time_s"]


@pytest.mark.parametrize(
    ("breach", "final", "expected"),
    [
        (
            Breach("max_tokens", 1_000_000, 1_000_412, 62.0, ""),
            1_034_211,
            "--max-tokens: in the end it was 1,034,211, 3.42% more than 1,000,000",
        ),
        (Breach("max_tokens", 1_000_000, 900_000, 62.0, ""), 1_000_000, None),
        (
            Breach("max_cost", 5.0, 5.02, 62.0, ""),
            5.5,
            "--max-cost: in the end it was 5.50, 10% more than 5.00",
        ),
        (
            Breach("max_requests", 10, 10, 62.0, ""),
            11,
            "--max-requests: in the end it was 11, 10% more than 10",
        ),
    ],
)
def test_overshoot_is_told(breach: Breach, final: float, expected: str | None) -> None:
    """When everything in flight is over."""
    assert breach.overshoot(final) == expected


def test_a_breach_can_be_stored() -> None:
    """For run.json: which guard, and how far it was."""
    watch = Watch(Guards(max_requests=2))
    watch.ended_by(counts(2), 1.0)
    assert watch.breach is not None
    assert watch.breach.stored() == {
        "guard": "max_requests",
        "limit": 2,
        "value": 2,
        "after_s": 1.0,
        "text": "--max-requests 2: 2 requests after 1.0 s",
    }


def test_the_counters_of_a_run_are_what_it_looks_at() -> None:
    """Two parts' own words, merged: requests of any phase and outcome, tokens of both."""
    parts = [Live(), Live()]
    for number in range(30):
        good = number % 3 == 0
        parts[number % 2].add(
            record(
                str(number),
                outcome=Outcome.OK if good else Outcome.FAILED,
                error_class=None if good else ErrorClass.OVERLOAD,
                prompt_tokens=100,
                output_tokens=10 if good else None,
            ),
            0,
        )
    view = merged([part.stored() for part in parts])
    watch = Watch(Guards(max_error_rate=0.4))
    assert watch.ended_by(view, 12.0) == (
        "--max-error-rate 40%: 20 of the last 30 requests failed (66.7%), within 12 s, "
        "20 of them overload (HTTP 429 or 503), after 12 s"
    )
    assert Watch(Guards(max_tokens=3_100)).ended_by(view, 12.0) == (
        "--max-tokens 3100: 3,100 tokens (prompt 3,000, output 100) after 12 s"
    )


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2000), st.integers(0, 2000)), max_size=30),
    st.integers(1, 50_000),
)
def test_a_run_goes_on_below_and_ends_at_the_limit(rows: list[tuple[int, int, int]], limit: int) -> None:
    """With nothing in flight, exactly when the tokens reach it."""
    watch, requests, prompt, output = Watch(Guards(max_tokens=limit)), 0, 0, 0
    for number, (more, more_prompt, more_output) in enumerate(rows):
        requests, prompt, output = requests + more, prompt + more_prompt, output + more_output
        said = watch.ended_by(counts(requests, prompt_tokens=prompt, output_tokens=output), number / 2)
        assert (said is not None) == (prompt + output >= limit)
