"""The levels of a run under way, as entries like summary.json's: what all parts have counted of each, pass by pass.

Parts say all they have counted of the segment under way and of those just before it (`harness.live`). A segment of which
nothing new comes is put by: its counts, and what came in its window, are added to its level's, so that a run of any length
takes no more memory than its levels. Percentiles come from merged sketches and are within 1 %; rates of a window are those of
bins (`harness.level_bins`) of every segment that had answers under way in it, as the summary counts them.

Until all of a level's requests are told of, and while it is held, its rates are those of the seconds in it so far. Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from harness import level_counts, loadpoint, sofar
from harness.carried import withheld
from harness.level_bins import Bins
from harness.level_counts import Counted
from harness.level_slo import judged
from harness.live import FIGURES, Held, Sketch, View
from harness.loadpoint import LoadPoint
from harness.record import Outcome
from harness.segment import Segment
from harness.slo import Slos

__all__ = ["Ledger", "Rates"]

PUT_BY_NS: Final = (
    15_000_000_000  # after it was over and nothing new came: as long as parts go on telling of it
)
LOST_NS: Final = 60_000_000_000
SERIES: Final = ("output", "prompt", "ended")
SPREADS: Final = (
    *("request_output_tokens_per_s", "ttft_ms", "tpot_ms", "e2e_ms", "ttft_scheduled_ms", "e2e_scheduled_ms"),
)
Rates = Callable[
    [int, int], tuple[float, float, float] | None
]  # (output, prompt, ended) in [start, end), Unix ns


@dataclass(slots=True)
class _Sums:
    """What came in windows that are over."""

    seconds: list[float] = field(default_factory=list)  # of each window
    amounts: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # of SERIES

    def add(self, window_s: float, amounts: Iterable[float]) -> None:
        self.seconds.append(window_s)
        self.amounts = [a + b for a, b in zip(self.amounts, amounts, strict=True)]


@dataclass(slots=True)
class _Pool:
    """One level's segments that are put by."""

    sketches: dict[str, Sketch] = field(default_factory=lambda: {figure: Sketch() for figure in FIGURES})
    counted: Counted = field(default_factory=lambda: _together(()))
    sums: _Sums = field(default_factory=_Sums)


class Ledger:
    """Of one run. `hear` what parts say, then ask for `levels`."""

    def __init__(self, slos: Slos) -> None:
        self._slos = slos
        self._held: dict[int, dict[str, Held]] = {}  # segment -> part -> what it said last
        self._changed_ns: dict[int, int] = {}
        self._merged: dict[int, Held] = {}  # of those that have not changed since
        self._put_by: set[int] = set()
        self._tails: dict[int, Bins] = {}  # of segments that are put by, whose last answers came in the next
        self._over: dict[int, dict[str, Any]] = {}  # entries of levels that are
        self._pools: dict[int, _Pool] = {}

    def hear(self, name: str, view: View, now_ns: int) -> None:
        """What one part says it has counted, if it is not what it said before (`harness.live.read`)."""
        for segment, held in _segments(view).items():
            if segment in self._put_by:
                continue
            parts = self._held.setdefault(segment, {})
            if parts.get(name) is not held:
                parts[name] = held
                self._changed_ns[segment] = now_ns
                self._merged.pop(segment, None)

    def held(self, index: int) -> Held:
        """What all parts have counted of a segment that is not put by."""
        return self._of(index)

    def put_by(self, segments: Sequence[Segment], at: int, now_ns: int) -> None:
        """Add up what will not change any more; `at`: the segment under way."""
        for index in sorted(self._held):
            quiet_ns = now_ns - self._changed_ns[index]
            if index >= min(at, len(segments)) or quiet_ns <= PUT_BY_NS:
                continue
            segment, merged = segments[index], self._of(index)
            # What a part forgot before it was heard, as of a very short level, never comes.
            if segment.in_flight() or not (_is_whole(segment, merged.level) or quiet_ns > LOST_NS):
                continue
            pool = self._pools.setdefault(segment.level, _Pool())
            for figure in FIGURES:
                pool.sketches[figure].merge(merged.sketches[figure])
            pool.counted = _together((pool.counted, merged.level))
            if window := segment.window():
                pool.sums.add((window[1] - window[0]) / 1e9, self._within(window))
            self._put_by.add(index)
            self._tails[index] = merged.level.bins
            self._over.pop(segment.level, None)
            del self._held[index], self._changed_ns[index]
            self._merged.pop(index, None)
        for index in [one for one in self._tails if one < at - 1]:
            del self._tails[index]

    def levels(
        self,
        segments: Sequence[Segment],
        at: int | None,
        *,
        until_ns: int,
        rates: Rates,
        unsent: Mapping[str, int] | None,
    ) -> list[dict[str, Any]]:
        """All levels, in the summary's order.

        Args:
            segments: the plan's.
            at: which of them is under way; None: none is.
            until_ns: up to when seconds are known, Unix time.
            rates: what those had in a stretch of time.
            unsent: the plan's.
        """
        by_level: dict[int, list[Segment]] = {}
        for segment in segments:
            if segment.level:
                by_level.setdefault(segment.level, []).append(segment)
        found: list[dict[str, Any]] = []
        for mine in by_level.values():
            point, begun = mine[0].point, [segment for segment in mine if segment.open_ns is not None]
            named = loadpoint.entry(point.key, loadpoint.stored([point]), unsent)
            if not begun:
                found.append({**named, "state": "to_come"})
                continue
            if (entry := self._over.get(point.key)) is None:
                entry = self._entry(point, begun, until_ns, rates)
                if all(segment.index in self._put_by for segment in begun):
                    self._over[point.key] = entry
            is_running = any(segment.index == at for segment in begun)
            found.append(self._told(entry | named) | {"state": "running" if is_running else "done"})
        return loadpoint.ordered(found)

    def _told(self, entry: dict[str, Any]) -> dict[str, Any]:
        """With what depends on arrivals that were never sent."""
        good = entry["goodput"]
        if good is not None:
            offered = entry["requests"] + (entry["unsent"] or 0)
            good = good | {"n": offered, "share": good["good"] / offered if offered else None}
        entry = entry | {"goodput": good}
        return entry | {"slo": [_judged(one, entry) for one in self._slos] if self._slos else None}

    def _entry(
        self, point: LoadPoint, begun: Sequence[Segment], until_ns: int, rates: Rates
    ) -> dict[str, Any]:
        pool = self._pools.get(point.key) or _Pool()
        sums = _Sums(list(pool.sums.seconds), list(pool.sums.amounts))
        parts = [Held(pool.sketches, pool.counted)]
        for segment in begun:
            if segment.index in self._put_by:
                continue
            parts.append(self._of(segment.index))
            self._add_window(sums, segment, parts[-1].level, until_ns, rates)
        view = _view(parts)
        whole = sofar.entry(view, point, None) | _rates(sums, is_counted=not view.level.uncounted)
        whole["goodput"] = whole["goodput"] if view.level.good is not None else None
        for name in SPREADS:
            whole[name] = {**whole[name], "withheld": withheld(whole[name])}
        is_counted = all(
            segment.index in self._put_by or _is_whole(segment, self._of(segment.index).level)
            for segment in begun
        )
        return {**whole, "repeat_count": len(begun), "is_counted": is_counted}

    def _add_window(self, sums: _Sums, segment: Segment, level: Counted, until_ns: int, rates: Rates) -> None:
        window = segment.window()
        if window is not None and _is_whole(segment, level):
            sums.add((window[1] - window[0]) / 1e9, self._within(window))
            return
        begin_ns = segment.whole_from_ns() if window is None else window[0]
        end_ns = until_ns if window is None else min(until_ns, window[1])
        if begin_ns is None or end_ns <= begin_ns:
            return
        if (amounts := rates(begin_ns, end_ns)) is not None:
            sums.add((end_ns - begin_ns) / 1e9, amounts)

    def _within(self, window: tuple[int, int]) -> list[float]:
        """What came in a window, whoever's it was."""
        bins = [*(self._of(index).level.bins for index in self._held), *self._tails.values()]
        return [sum(one.within(series, *window) for one in bins) for series in SERIES]

    def _of(self, index: int) -> Held:
        """What all parts have counted of a segment."""
        if (found := self._merged.get(index)) is None:
            parts = self._held.get(index, {}).values()
            sketches = {figure: Sketch() for figure in FIGURES}
            for part in parts:
                for figure in FIGURES:
                    sketches[figure].merge(part.sketches[figure])
            levels = [replace(part.level, segment=index) for part in parts]
            found = Held(sketches, level_counts.merged(levels, index))
            if index in self._held:
                self._merged[index] = found
        return found


def _is_whole(segment: Segment, level: Counted) -> bool:
    """Whether all that was measured in it is over, and told of."""
    return not segment.in_flight() and level.requests >= segment.done()


def _segments(view: View) -> dict[int, Held]:
    """By segment; measured requests and others may have come to different ones."""
    found = dict(view.earlier)
    level, segment = view.level, view.segment or 0
    if level.segment == segment:
        found[segment] = Held(view.sketches, level)
        return found
    if level.segment is not None:
        found[level.segment] = Held({figure: Sketch() for figure in FIGURES}, level)
    return found


def _together(parts: Iterable[Counted]) -> Counted:
    """Of one level: what was counted in its passes. Their bins are left alone: together they would be coarse."""
    return level_counts.merged((replace(part, segment=None, bins=Bins()) for part in parts), None)


def _view(parts: Sequence[Held]) -> View:
    sketches = {figure: Sketch() for figure in FIGURES}
    for part in parts:
        for figure in FIGURES:
            sketches[figure].merge(part.sketches[figure])
    level = _together([part.level for part in parts])
    return View(
        outcomes=dict.fromkeys(Outcome, 0), errors={}, sent=0, prompt_tokens=0, output_tokens=0, uncounted=0,
        segment=None, sketches=sketches, course={}, level=level, parts=len(parts),
    )  # fmt: skip


def _rates(sums: _Sums, *, is_counted: bool) -> dict[str, Any]:
    seconds = sum(sums.seconds)
    output, prompt, ended = (amount / seconds if seconds > 0 else None for amount in sums.amounts)
    both = None if output is None or prompt is None else output + prompt
    return {
        "windows": len(sums.seconds),
        "window_s": seconds or None,
        "window_s_shortest": min(sums.seconds, default=None),
        "system_output_tokens_per_s": output if is_counted else None,
        "system_total_tokens_per_s": both if is_counted else None,
        "requests_per_s": ended,
    }


def _judged(slo: Any, entry: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401  an Slo
    try:
        return judged(slo, entry)
    except (KeyError, TypeError):  # of a figure that only the records can tell
        return {"slo": slo.describe(), "value": None, "limit": slo.limit, "unit": slo.figure.unit, "n": None, "few": False, "met": None}  # fmt: skip
