"""What a run does between two levels: looks at the one that is over, before the plan goes on.

A search learns from it what to hold next (`harness.trials`); a sweep that is to stop when the system is saturated hears
whether more load would give more (`harness.saturation`).

The rule: what is judged are all measured requests of the level. Parts say how far they are at once, and what they have
counted only with Locust's reports, so the master waits for those, up to `WAIT_S`. Where some are missing all the same,
that is said of the trial. It sends nothing and writes nothing; `tell` notes an event.
"""

from collections.abc import Callable
from typing import Any, Final

import gevent

from harness import saturation, sofar
from harness.clock import unix_now_ns
from harness.journal import Window
from harness.level_slo import judged
from harness.live import View
from harness.plan import Plan, Segment
from harness.saturation import Held
from harness.settings import Settings

__all__ = ["Choosing"]

WAIT_S: Final = 5.0
_LOOK_S: Final = 0.05
_SAMPLE_S: Final = 1.0
_PARTS: Final = 10  # of a window, of a second at least: their spread says how sure a rate is


class Choosing:
    """Of one run. `counted` gives what all parts have counted so far."""

    def __init__(
        self, settings: Settings, plan: Plan, counted: Callable[[], View], tell: Callable[[str, str], None]
    ) -> None:
        self._slos = settings.slos
        self._stops = settings.load.stops_saturated
        self._plan = plan
        self._counted = counted
        self._tell = tell
        self._held: list[tuple[int, Held]] = []  # repeat, and what it came to
        self._present: list[tuple[int, float]] = []  # when, and how many were waiting or under way
        self._sampling: gevent.Greenlet | None = None
        self._saturated: dict[str, Any] | None = None

    def start(self) -> None:
        """Load begins."""
        if self._stops and any(segment.point.is_open for segment in self._plan.segments):
            self._sampling = gevent.spawn(self._sample)

    def decide(self) -> None:
        """The plan's segment is over, and it is about to go on."""
        segment = self._plan.segment
        if segment is None or self._plan.is_stopped or not (self._plan.trials or self._stops):
            return
        settled = self._settled(segment)
        if settled is None:
            return
        view, is_counted = settled
        span = segment.window()
        window = None if span is None else Window(segment.level, segment.repeat, *span)
        entry = sofar.entry(view, segment.point, window, unsent=segment.unsent())
        if self._plan.trials is not None:
            slos = [judged(slo, entry) for slo in self._slos]
            said = self._plan.trials.learn(segment, slos, view.level.requests, is_counted=is_counted)
            self._tell(said, "note")
        if self._stops and self._saturated is None and window is not None and segment.cut_ns is None:
            self._held.append((segment.repeat, self._level(segment, view, window, entry)))
            self._saturate(segment)
        self._present.clear()

    def stop(self) -> None:
        """Load is over: a search has its answer."""
        if self._sampling is not None:
            self._sampling.kill(block=False)
            self._sampling = None
        trials = self._plan.trials
        if trials is not None and (said := trials.say()):
            self._tell(said, "note")

    def stored(self) -> dict[str, Any]:
        """For run.json."""
        trials = self._plan.trials
        return {
            **({} if trials is None else {"search": trials.stored()}),
            **({} if self._saturated is None else {"saturated": self._saturated}),
        }

    def _settled(self, segment: Segment) -> tuple[View, bool] | None:
        """What was counted once all measured requests of the segment are in it, or have not come in time; None if load stopped."""
        limit_ns = unix_now_ns() + round(WAIT_S * 1e9)
        while True:
            view = self._counted()
            if view.level.requests >= segment.done() and not self._plan.is_stopped:
                return view, True
            if self._plan.is_stopped:
                return None
            if unix_now_ns() >= limit_ns:
                return view, False
            gevent.sleep(_LOOK_S)

    def _saturate(self, segment: Segment) -> None:
        """Does the highest level of this pass so far give what more load should?"""
        levels = [held for repeat, held in self._held if repeat == segment.repeat]
        last = levels[-1]
        if any(one.offered > last.offered for one in levels):
            return
        levels.sort(key=lambda one: one.offered)
        reason = (saturation.of_rates if segment.point.is_open else saturation.of_users)(levels)
        if reason is None:
            return
        dropped = self._plan.saturate(segment.level, reason)
        self._saturated = {
            "level": segment.level,
            "title": segment.point.title,
            "reason": reason,
            "dropped": [point.title for point in dropped],
        }
        rest = f"; not held: {', '.join(self._saturated['dropped'])}" if dropped else ""
        self._tell(f"saturated at {segment.point.title}: {reason}{rest}", "guard")

    def _level(self, segment: Segment, view: View, window: Window, entry: dict[str, Any]) -> Held:
        """The segment in the words of `harness.saturation`."""
        inside = [number for at, number in self._present if window.start_ns <= at < window.end_ns]
        unsent, requests = entry["unsent"], entry["requests"]
        return Held(
            offered=float(segment.point.value or 0),
            window_s=window.seconds,
            requests=round(entry["requests_per_s"] * window.seconds),
            tokens_per_s=entry["system_output_tokens_per_s"],
            latency_ms=entry["e2e_ms"]["median"],
            failed=entry["failed"] / requests if requests else 0.0,
            rates=sofar.parts_of(view, window, min(_PARTS, int(window.seconds))),
            due=None if unsent is None else requests + unsent,
            present=tuple(inside),
        )

    def _sample(self) -> None:
        while True:
            gevent.sleep(_SAMPLE_S)
            self._counted()  # which brings a local part's counts up to date
            segment = self._plan.segment
            if segment is not None and segment.open_ns is not None:
                self._present.append((unix_now_ns(), float(segment.in_flight() + segment.backlog())))
