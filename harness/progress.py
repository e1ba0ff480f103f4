"""One line now and then that says how far a run is and how it is doing, for people and for logs.

Where the run stands comes from its plan, everything else from what the run's parts have counted
(`harness.live`); nothing is counted here. Medians are those of the level that is under way, of all parts
together. What has not been measured is left out, never 0.
"""

import sys
from collections.abc import Callable, Sized
from typing import Protocol, TextIO

import gevent

from harness.clock import now_ns
from harness.live import View
from harness.loadpoint import LoadPoint
from harness.record import Outcome


class Segment(Protocol):
    """One level held once, as the plan has it."""

    @property
    def index(self) -> int:
        """Its place in the plan: 0, 1, ..."""

    @property
    def level(self) -> int:
        """Its name; 0 while users are coming up."""

    @property
    def point(self) -> LoadPoint:
        """What it holds."""

    @property
    def label(self) -> str | None:
        """What was changed when it began, while load ran."""

    @property
    def quota(self) -> int | None:
        """Measured requests it is to send; None: until load is stopped."""

    def given(self) -> int:
        """Measured requests given out."""

    def warmup_given(self) -> int:
        """Warm-up requests given out, of `warmup_total`."""

    def warmup_total(self) -> int:
        """Warm-up requests of all users."""

    def done(self) -> int:
        """Measured requests that are over."""

    def in_flight(self) -> int:
        """Requests under way."""

    def backlog(self) -> int:
        """Arrivals of an open loop that are due and wait for its cap."""


class Plan(Protocol):
    """What the line needs to know of the plan."""

    @property
    def segment(self) -> Segment | None:
        """The one under way; None before the first and after the last."""

    @property
    def segments(self) -> Sized:
        """All of a sweep's; without a sweep those so far."""

    @property
    def at(self) -> int:
        """Which of them is under way: 0, 1, ..."""

    @property
    def is_sweep(self) -> bool:
        """Its levels were given beforehand."""


class Progress:
    """Prints a line every few seconds, by default to stderr.

    `live` gives the counts so far, `workers` how many of a distributed run's workers are heard and how many
    there should be, `search` how far a search is. All are asked once a line.
    """

    def __init__(
        self,
        plan: Plan,
        live: Callable[[], View],
        stream: TextIO | None = None,
        *,
        workers: Callable[[], tuple[int, int]] | None = None,
        search: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._live = live
        self._stream = sys.stderr if stream is None else stream
        self._workers = workers
        self._search = search
        self._greenlet: gevent.Greenlet | None = None
        self._begin_ns = 0

    def start(self) -> None:
        """Load begins."""
        self._begin_ns = now_ns()
        self._greenlet = gevent.spawn(self._tell)

    def stop(self) -> None:
        """Load is over; one last line."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self._print(self.line())

    def line(self, view: View | None = None) -> str:
        """Where the run stands, e.g. `[0:12] 4 users, step 2/3: 7/12 done · 3 of 4 workers · 31 ok in all ...`.

        `view`: of somebody who has just put it together.
        """
        seconds = (now_ns() - self._begin_ns) // 1_000_000_000
        view, search = self._live() if view is None else view, self._search()
        parts = [f"[{seconds // 60}:{seconds % 60:02}] {self._place(is_search=search is not None)}"]
        parts += [] if search is None else [search]
        if self._workers is not None:
            here, all_of_them = self._workers()
            parts.append(f"{here} of {_number(all_of_them, 'worker')}")
        if view.skipped:
            parts.append(f"{_number(view.skipped, 'report')} unreadable")
        parts.append(f"{view.outcomes[Outcome.OK]} ok in all")
        parts += [
            f"{view.outcomes[bad]} {bad}" for bad in (Outcome.FAILED, Outcome.CANCELLED) if view.outcomes[bad]
        ]
        return " · ".join([*parts, _tokens(view), *self._medians(view)])

    def _place(self, *, is_search: bool) -> str:
        segment = self._plan.segment
        if segment is None and len(self._plan.segments):
            return "done"
        if segment is None or segment.level == 0:
            return (
                "starting users"
                if segment is None or not segment.label
                else f"users change ({segment.label})"
            )
        place = segment.point.title + (f" ({segment.label})" if segment.label else "")
        if not self._plan.is_sweep:
            return place
        if (
            not segment.label and len(self._plan.segments) > 1 and not is_search
        ):  # which has no known number of steps
            place += f", step {self._plan.at + 1}/{len(self._plan.segments)}"
        if segment.warmup_given() < segment.warmup_total() or not segment.given():
            return f"{place}: warming up"
        if segment.quota is not None:
            return f"{place}: {segment.done()}/{segment.quota} done"
        place += f": {segment.done()} done"
        if segment.point.is_open:
            place += f", {segment.in_flight()} in flight"
        return place + (f", {segment.backlog()} waiting" if segment.backlog() else "")

    def _medians(self, view: View) -> list[str]:
        segment = self._plan.segment
        if segment is not None and segment.index != view.segment:
            return []  # no request of this one is over: those are the last one's
        ttft, rate = view.quantile("ttft_ms", 0.5), view.quantile("output_tokens_per_s", 0.5)
        said = [] if ttft is None else [f"TTFT {ttft:,.0f} ms"]
        said += [] if rate is None else [f"{rate:,.1f} tok/s per request"]
        if said:
            number = view.count("ttft_ms" if rate is None else "output_tokens_per_s")
            whose = f"{'this' if segment else 'the last'} step's " if self._plan.is_sweep else ""
            said[-1] += f" (median{'s' * (len(said) > 1)} of {whose}{number:,})"
        return said

    def _tell(self) -> None:
        pause_s = 2 if self._stream.isatty() else 5
        while True:
            gevent.sleep(pause_s)
            self._print(self.line())

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def _tokens(view: View) -> str:
    """Where servers do not count, that is done after the load."""
    if view.uncounted and not view.output_tokens:
        return "tokens not counted yet"
    tokens = _number(view.output_tokens, "token")
    return f"{tokens}, {_number(view.uncounted, 'answer')} not counted yet" if view.uncounted else tokens


def _number(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"
