"""What is kept of the run under way for the page: its seconds as rows, its levels, and its errors, second by second.

`look` is called once a second (`harness.web.sampler`) while a run is under way, whether or not somebody looks on. It asks the
parts what they said last, and nothing of what it does changes anything of the run. Times come in; the clock is asked only for
what a look at the levels costs: the more it takes, the rarer it gets, so that it stays at half a percent of a core.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness import live
from harness.clock import now_ns as monotonic_ns
from harness.guarding_run import Spent
from harness.hearsay import Malformed
from harness.influx.point import SECOND
from harness.live import FIGURES, Sketch, View
from harness.web.beats import Beats
from harness.web.history import History
from harness.web.ledger import Ledger

if TYPE_CHECKING:
    from harness.pulse import Said
    from harness.run import Run

__all__ = ["Errors", "Lookout"]

LEVELS_NS: Final = 3_000_000_000  # between looks at what workers have counted: they say so as often
SHARE: Final = 200  # of the time between two looks at levels, at most one part goes into them ...
RAREST_NS: Final = 10_000_000_000  # ... but for runs of hundreds of workers
MOST_ERRORS: Final = 1_000  # rows


@dataclass(slots=True)
class Errors:
    """Failed requests by class, of each second that had any. Of too many, neighbours are added up."""

    classes: list[str] = field(default_factory=list)
    rows: list[tuple[int, Counter[str]]] = field(default_factory=list)  # second, requests
    before: Counter[str] = field(default_factory=Counter)

    def add(self, second: int, errors: "dict[str, int] | Counter[str]") -> None:
        """So many by now, since load began."""
        more = Counter({word: n - self.before[word] for word, n in errors.items() if n > self.before[word]})
        if not more:
            return
        self.before |= more + self.before
        self.classes += sorted(set(more) - set(self.classes))
        self.rows.append((second, more))
        if len(self.rows) > MOST_ERRORS:
            pairs = zip(self.rows[::2], self.rows[1::2], strict=False)
            odd = self.rows[-1:] if len(self.rows) % 2 else []
            self.rows = [*((first, one + other) for (first, one), (_, other) in pairs), *odd]

    def stored(self) -> dict[str, Any]:
        """For tokens.json."""
        rows = [[second * 1000, *(counts[word] for word in self.classes)] for second, counts in self.rows]
        return {"classes": self.classes, "rows": rows}


class Lookout:
    """Of one run whose load has begun."""

    def __init__(self, run: "Run", history: History, begun_ns: int) -> None:
        """Its rows go to `history`, which is that of its process and begins anew."""
        self.run = run
        self.history = history
        self.beats = Beats(begun_ns // SECOND)
        self.ledger = Ledger(run.settings.slos)
        self.errors = Errors()
        self.spent = Spent.of(())
        self.said: list[Said] = []
        self.levels: list[dict[str, Any]] = []
        self.unreadable = 0  # parts whose counts cannot be read
        self._raw: dict[str, object] = {}
        self._bad: set[str] = set()
        self._views: dict[str, View] = {}  # of each part, as it was read last
        self._next = begun_ns // SECOND  # second without a row
        self._looked: tuple[int, object] = (0, None)  # when levels were looked at, and what was under way
        self._cost_ns = 0  # of that
        self._unsent: tuple[object, dict[str, int] | None] = (None, None)
        history.clear()

    def look(self, now_ns: int) -> None:
        """What there is to see now, Unix ns."""
        run, second = self.run, now_ns // SECOND
        self.said = run.parts.said()
        self.beats.hear(self.said, second)
        self.spent = Spent.of(run.parts.totals())
        self.errors.add(second - 1, Counter(self.spent.errors))
        self._rows(second)
        plan = run.plan
        mark = (plan.at, plan.is_stopped, len(plan.segments), run.parts.in_flight > 0)
        usual_ns = SECOND if run.parts.present is None else LEVELS_NS
        period_ns = max(usual_ns, min(SHARE * self._cost_ns, RAREST_NS))
        if now_ns - self._looked[0] >= period_ns - SECOND // 5 or mark != self._looked[1]:
            self._looked = (now_ns, mark)
            begun_ns = monotonic_ns()
            self._look_at_levels(now_ns)
            self._cost_ns = monotonic_ns() - begun_ns

    def view(self) -> View:
        """What all parts have counted, as far as it has been looked at."""
        segment = self.run.plan.segment
        held = self.ledger.held(-1 if segment is None else segment.index)
        empty: dict[str, Sketch] = {figure: Sketch() for figure in FIGURES}
        spent = self.spent
        return View(
            outcomes=spent.outcomes, errors=spent.errors, sent=0, prompt_tokens=spent.prompt_tokens,
            output_tokens=spent.output_tokens, uncounted=spent.uncounted,
            segment=None if segment is None else segment.index, sketches=held.sketches, course=empty,
            level=held.level, parts=len(self.said), skipped=self.unreadable,
        )  # fmt: skip

    def _rows(self, second: int) -> None:
        """One for each second that is over, and what has become known of those before."""
        run, beats = self.run, self.beats
        is_at_work = any(part.is_present for part in self.said)
        last = second if is_at_work else min(second, beats.known)
        segment = run.plan.segment
        for at in range(self._next, last):
            seen: dict[str, Any] = {"level": None if segment is None else segment.level}
            if at == last - 1:
                clients = [beats.beats[part.name].client for part in self.said if part.name in beats.beats]
                seen |= {
                    "users": sum(part.users for part in self.said),
                    "in_flight": run.parts.in_flight,
                    "backlog": 0 if segment is None else segment.backlog(),
                    "cpu_percent": max((c.cpu_percent for c in clients if c.cpu_percent is not None), default=None),
                    "lag_ms": max((c.lag_ms for c in clients if c.lag_ms is not None), default=None),
                    **beats.lately(second),
                }  # fmt: skip
            self.history.append(at, seen | self._rates(at))
        self._next = max(self._next, last)
        for at in sorted(beats.take_changed()):
            self.history.change(at, self._rates(at))

    def _rates(self, second: int) -> dict[str, Any]:
        """Where nobody has counted the tokens of some answers yet, none of them stand."""
        rates = self.beats.rates(second)
        return rates | {"settled": False} if self.spent.uncounted else rates

    def _look_at_levels(self, now_ns: int) -> None:
        plan = self.run.plan
        self.unreadable = 0
        for part in self.said:
            if part.live is None or part.live is self._raw.get(part.name):
                self.unreadable += part.live is not None and part.name in self._bad
                continue
            self._raw[part.name] = part.live
            try:
                view = self._views[part.name] = live.read(part.live, self._views.get(part.name))
                self.ledger.hear(part.name, view, now_ns)
                self._bad.discard(part.name)
            except Malformed:
                self._bad.add(part.name)
                self.unreadable += 1
        self.ledger.put_by(plan.segments, plan.at, now_ns)
        mark = (plan.at, plan.is_stopped)
        if mark != self._unsent[0]:  # arrivals are counted one by one
            self._unsent = (mark, plan.unsent)
        is_held = plan.segment is not None and not plan.is_stopped
        self.levels = self.ledger.levels(
            plan.segments,
            plan.at if is_held else None,
            until_ns=self.beats.known * SECOND,
            rates=self.beats.within,
            unsent=self._unsent[1],
        )
