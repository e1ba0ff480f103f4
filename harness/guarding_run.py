"""The guards of one run, looked at while load runs, and what follows when one of them is reached.

The rule: a guard ends the run the way it would end by itself: no further request, what is in flight may finish, the results are
written. A run without a plan is complete then. Levels that were asked for and not held to their end are not there, and
the run says so.

`--max-requests` is no matter of looking: who may send is decided beforehand (`harness.allowance`), and the run ends when
all of them are over. What parts have counted comes with their reports, five times a second; `harness.guarding` judges it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, Self

import gevent

from harness.allowance import Allowance
from harness.guarding import Watch
from harness.guards import Guards
from harness.orders import Totals
from harness.plan import Plan
from harness.record import Outcome

__all__ = ["Guard", "Spent"]

LOOK_S: Final = 0.5
CLOSE_S: Final = 0.1  # where a limit is passed in the midst of a second


class Counts(Protocol):
    """Those who send (`harness.parts`)."""

    @property
    def in_flight(self) -> int:
        """Requests under way, probes among them."""

    def totals(self) -> list[Totals]:
        """What each has counted, by its last word."""

    def end_load(self) -> None:
        """Have the run ended the way Locust ends it by itself."""


class Guarded(Protocol):
    """A run (`harness.run`)."""

    @property
    def elapsed_s(self) -> float:
        """Since load began."""

    def event(self, what: str, topic: str = "note") -> None:
        """Something worth knowing afterwards."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What all parts have counted together: `harness.breaker.Counted`."""

    outcomes: Mapping[Outcome, int]
    errors: Mapping[str, int]
    prompt_tokens: int
    output_tokens: int
    uncounted: int

    @classmethod
    def of(cls, parts: Iterable[Totals]) -> Self:
        """The sum of what each says."""
        each, errors = list(parts), Counter[str]()
        for one in each:
            errors.update(one.failed)
        return cls(
            outcomes={
                Outcome.OK: sum(one.succeeded for one in each),
                Outcome.FAILED: errors.total(),
                Outcome.CANCELLED: sum(one.cancelled for one in each),
            },
            errors=errors,
            prompt_tokens=sum(one.prompt_tokens for one in each),
            output_tokens=sum(one.output_tokens for one in each),
            uncounted=sum(one.uncounted for one in each),
        )


class Guard:
    """Looks at one run from `begin` to `stop`."""

    def __init__(self, guards: Guards, plan: Plan, parts: Counts) -> None:
        """Nothing has been sent; the plan gets its allowance, unless it wants less than that anyway."""
        most, wanted = guards.max_requests, plan.planned
        if most is not None and wanted is not None and wanted <= most:
            guards = replace(guards, max_requests=None)
        elif most is not None:
            plan.allowance = Allowance(most)
        self._watch = Watch(guards)
        self._plan = plan
        self._parts = parts
        self._unreached: list[str] = []
        self._greenlet: gevent.Greenlet | None = None

    def begin(self, run: Guarded) -> None:
        """Load begins."""
        if self._watch.guards != Guards():
            self._greenlet = gevent.spawn(self._keep_looking, run)

    def stop(self) -> None:
        """Load is over. A second call does nothing."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None

    def incomplete(self) -> list[str]:
        """What a guard kept from being measured, a line; none where a run was to go on until something ends it."""
        breach = self._watch.breach
        if breach is None or not self._unreached:
            return []
        return [f"ended by {breach.text}; not measured to the end: {', '.join(self._unreached)}"]

    def findings(self) -> list[tuple[str, str]]:
        """Doubts: what the guards could not see."""
        blind = self._watch.blind(Spent.of(self._parts.totals()))
        return [("suspect", blind)] if blind else []

    def stored(self) -> dict[str, Any]:
        """For run.json: the guard that ended the run, and how far beyond its limit it was in the end; null if none did."""
        breach = self._watch.breach
        if breach is None:
            return {"ended_by": None}
        spent, cost = Spent.of(self._parts.totals()), self._watch.guards.cost
        final = {
            "max_tokens": float(spent.prompt_tokens + spent.output_tokens),
            "max_cost": cost(spent.prompt_tokens, spent.output_tokens),
        }.get(breach.guard)
        over = None if final is None else breach.overshoot(final)
        return {"ended_by": breach.stored() | {"final": final, "over": over}}

    def words(self) -> list[str]:
        """What a user has to know at the very end."""
        breach = self._watch.breach
        return [] if breach is None else [f"ended by {breach.text}"]

    def _keep_looking(self, run: Guarded) -> None:
        asked = self._watch.guards
        is_close = any(one is not None for one in (asked.max_tokens, asked.max_cost, asked.max_time_s))
        while True:
            gevent.sleep(CLOSE_S if is_close else LOOK_S)
            if self._look(run):
                break
        self._greenlet = None
        self._parts.end_load()

    def _look(self, run: Guarded) -> bool:
        """Whether the run is to end now, by a guard."""
        plan = self._plan
        if plan.is_stopped:
            return False
        given = None if plan.allowance is None else plan.allowance.spent
        if given is not None and any(segment.in_flight() for segment in plan.segments[-2:]):
            given = min(given, plan.allowance.most - 1) if plan.allowance else given
        said = self._watch.ended_by(
            Spent.of(self._parts.totals()), run.elapsed_s, offered=given, in_flight=self._parts.in_flight
        )
        if said is None:
            return False
        self._unreached = plan.unreached()
        run.event(f"the run ends by {said}", "guard")
        return True
