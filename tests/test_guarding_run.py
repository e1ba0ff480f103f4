"""What follows from a guard, and what parts may send, step by step."""

from dataclasses import dataclass, field

from harness.allowance import Allowance, Given
from harness.guarding_run import Guard, Spent
from harness.guards import Guards
from harness.leave import Leave
from harness.loadpoint import LoadPoint
from harness.orders import Step, Tally, Totals
from harness.plan import Plan, sweep
from harness.record import Outcome
from harness.segment import Segment, Span

SECOND = 1_000_000_000


@dataclass
class Parts:
    """Who sends: nothing but what it is told to have counted."""

    said: list[Totals] = field(default_factory=list)
    in_flight: int = 0

    def totals(self) -> list[Totals]:
        return self.said

    def end_load(self) -> None:
        """Nothing to end."""


def step(**more: object) -> Step:
    return Step(**{"index": 0, "level": 1, "repeat": 1, "open_ns": 0, "warmup": 0, "quota": None} | more)  # type: ignore[arg-type]


def test_what_parts_count_adds_up() -> None:
    """Outcomes, error classes and tokens of all of them; probes and warm-up are in them like anything else."""
    one = Totals(offered=9, succeeded=5, failed={"reset": 2}, cancelled=1, prompt_tokens=50, output_tokens=7)
    two = Totals(offered=4, succeeded=1, failed={"reset": 1, "overload": 2}, prompt_tokens=5, uncounted=1)
    spent = Spent.of([one, two])
    assert spent.outcomes == {Outcome.OK: 6, Outcome.FAILED: 5, Outcome.CANCELLED: 1}
    assert spent.errors == {"reset": 3, "overload": 2}
    assert (spent.prompt_tokens, spent.output_tokens, spent.uncounted) == (55, 7, 1)


def test_no_allowance_where_the_plan_wants_no_more() -> None:
    """26 planned: 26 allowed ask for nothing, 25 do."""
    enough, short = (sweep([2, 4], 1, 10, 1) for _ in range(2))
    assert enough.planned == 26
    Guard(Guards(max_requests=26), enough, Parts())
    Guard(Guards(max_requests=25), short, Parts())
    assert (enough.allowance, short.allowance) == (None, Allowance(25))


def test_a_part_without_leave_left_waits_and_says_since_when() -> None:
    """Two leaves: the third user gets none; load is not whole from the first end on; more leave, and it is as if nothing was."""
    leave = Leave()
    leave.obey(step(most=2))
    first, second = leave.take(10), leave.take(11)
    assert first is not None
    assert second is not None
    assert (leave.take(12), leave.is_dry, leave.runs_low) == (None, True, True)
    turn, slot = first
    assert turn.dry_ns is None
    leave.finished(turn, slot, 20)
    assert turn.tally(5).dry_ns == 25
    leave.obey(step(most=3))
    assert (turn.dry_ns, leave.is_dry) == (None, False)
    assert leave.take(30) is not None
    assert leave.take(31) is None


def test_arrivals_and_later_turns_need_leave_too() -> None:
    """An arrival finds none left, and neither does a visitor who would go on."""
    leave = Leave()
    leave.obey(step(is_open=True, measure_ns=0, until_ns=100, most=1))
    turn = leave.turn
    assert turn is not None
    assert leave.admit(turn, 5, 5) is not None
    assert leave.admit(turn, 6, 6) is None
    assert leave.again(turn, 7) is None
    assert (turn.arrived, leave.offered) == (1, 1)


def test_a_window_ends_where_a_part_had_nothing_left() -> None:
    """Held for 10 s, cut at 9 s, and one of two parts dry since 6 s: the window is 6 s long; unsent are those due before that."""
    segment = Segment(0, LoadPoint.of_users(4), 1, None, 0, span=Span(10.0), open_ns=0)
    plan = Plan([segment], is_sweep=True)
    plan.users_ready({"a": 2, "b": 2}, 4, 0, 0)
    for name, dry_ns in (("a", 6 * SECOND), ("b", 8 * SECOND)):
        plan.hear(name, [Tally(index=0, given=9, done=9, first_ns=1, start_ns=1, dry_ns=dry_ns)])
    assert segment.window() is None
    plan.stop(9 * SECOND)
    assert segment.broken_ns == 6 * SECOND
    assert segment.window() == (1, 6 * SECOND)


def test_a_step_has_what_concerns_the_whole_run() -> None:
    """Its part's allowance; and since when probes are due, for the one part that sends them, then for the next."""
    plan = sweep([2], 1, 50, 0)
    plan.allowance = Allowance(10)
    plan.begin(7)
    plan.users_ready({"a": 1, "b": 1}, 2, 8, 9)
    plan.deal(["a", "b"])
    one, two = plan.step("a"), plan.step("b")
    assert one is not None
    assert two is not None
    assert (one.most, two.most, one.probe_ns, two.probe_ns) == (2, 2, 7, None)
    assert one.shifted(100).probe_ns == 107
    plan.lose("a", 20)
    plan.deal(["b"])
    two = plan.step("b")
    assert two is not None
    assert two.probe_ns == 7


def test_levels_that_were_not_held_to_their_end() -> None:
    """Of a sweep the present one and all after it, each once; none of a run that goes on until something ends it."""
    plan = sweep([1, 2, 4], 2, 10, 0)
    plan.next_segment()
    assert plan.unreached() == ["2 users", "4 users", "1 user"]
    endless = Plan([Segment(0, LoadPoint.of_users(4), 1, None, 0, span=Span(60.0))], is_sweep=True)
    assert endless.unreached() == []


class Run:
    """A run that has lasted a while, and what was said in it."""

    elapsed_s = 5.0

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, what: str, topic: str = "note") -> None:
        self.events.append((what, topic))


def test_a_limit_is_told_with_how_far_it_was_passed() -> None:
    """1,000 tokens, seen at 1,040 and 1,200 in the end: event, last words, run.json; and what nobody counted is a doubt."""
    parts = Parts([Totals(offered=20, succeeded=20, prompt_tokens=640, output_tokens=400, uncounted=2)])
    guard, run = Guard(Guards(max_tokens=1_000), sweep([1], 1, 99, 0), parts), Run()
    assert guard._look(run)
    parts.said = [Totals(offered=24, succeeded=24, prompt_tokens=700, output_tokens=500, uncounted=2)]
    ended = guard.stored()["ended_by"]
    assert (ended["guard"], ended["value"], ended["final"]) == ("max_tokens", 1_040, 1_200)
    assert ended["over"] == "--max-tokens: in the end it was 1,200, 20% more than 1,000"
    assert run.events == [(f"the run ends by {ended['text']}", "guard")]
    assert guard.words() == [f"ended by {ended['text']}"]
    assert guard.incomplete() == [f"ended by {ended['text']}; not measured to the end: 1 user"]
    ((status, reason),) = guard.findings()
    assert (status, reason.split(";")[0]) == (
        "suspect",
        "--max-tokens cannot see all: 2 of 24 answers came without a count of tokens",
    )


def test_the_last_request_allowed_is_waited_for() -> None:
    """All leaves are given: the run ends when none of them is under way any more."""
    plan = sweep([1], 1, 99, 0)
    parts = Parts([Totals(offered=3, succeeded=2)])
    guard = Guard(Guards(max_requests=3), plan, parts)
    plan.users_ready({"local": 1}, 1, 0, 0)
    plan.deal(["local"])
    plan.hear("local", [Tally(index=0, given=3, done=2, in_flight=1)], Given(3))
    assert not guard._look(Run())
    plan.hear("local", [Tally(index=0, given=3, done=3)], Given(3))
    assert guard._look(Run())
