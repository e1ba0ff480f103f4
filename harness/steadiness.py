"""Whether load was steady in each level's window, and what `--warmup auto` leaves of it.

`harness.steady` looks at the course of a window: tokens/s, requests in flight, TTFT. Here its word becomes a level's
`steady`, a doubt where it matters, and, where that was asked for, a window that begins and ends with steady state:
requests that were due outside it are then no longer measured, as if they had been a warm-up or a cool-down.

The rule: nobody is told of a start-up that changes nothing. It matters where the system's rate in the window and that in
its steady part differ by `MATTERS`, or where nothing was steady. Nothing is said of waves and of arrivals whose rate
changes by design, nor of levels that a search or a sweep found to be too much: those grow until they end. A window is looked at only if it is
long enough for that, in requests and in lengths of one. Computed from the records, and so again years later. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import course, loadpoint, steady
from harness.course import Course
from harness.doubts import Finding
from harness.journal import Window
from harness.record import Phase
from harness.steady import Steady
from harness.windows import NEVER, Floats, Ints, floats, ints

__all__ = ["Settled", "settle", "with_steady"]

MATTERS: Final = 0.05  # of the system's rate
LEAST_REQUESTS: Final = 50  # that ended in the window
LEAST_LENGTHS: Final = 5.0  # median requests in it, one after the other
_EVEN: Final = ("constant", "poisson", "gamma")


@dataclass(frozen=True, slots=True)
class Settled:
    """A run's table and windows as they are to be looked at."""

    requests: pd.DataFrame
    windows: list[Window]
    levels: Mapping[int, Mapping[str, Any]]  # `steady` of each
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class _Look:
    window: Window
    found: Steady
    kept: Window  # its steady part; all of it where there is none
    rates: tuple[float | None, float | None]  # tokens/s in the window, and in that part


def settle(requests: pd.DataFrame, windows: Sequence[Window], run: Mapping[str, Any]) -> Settled:
    """Look at every window of a run; with `--warmup auto`, cut it.

    Args:
        requests: the columns of requests.parquet, without the gaps.
        windows: as the run recorded them.
        run: run.json.
    """
    settings = run.get("settings", {})
    is_auto = bool(settings.get("warmup_auto"))
    if settings.get("refill") == "waves":
        return Settled(requests, list(windows), {}, [])
    table = _Table.of(requests)
    looks = [_look(table, window) for window in windows if _is_even(window.level, run)]
    missed = _missed(run)
    entries: dict[int, dict[str, Any]] = {}
    findings: list[Finding] = []
    for level in dict.fromkeys(look.window.level for look in looks):
        mine = [look for look in looks if look.window.level == level]
        entries[level] = _entry(mine, is_auto=is_auto)
        if level not in missed:
            title = loadpoint.short(loadpoint.entry(level, run.get("points")))
            findings += _findings(title, mine, is_auto=is_auto)
    if not is_auto:
        return Settled(requests, list(windows), entries, findings)
    kept = {look.window: look.kept for look in looks}
    cut = [kept.get(window, window) for window in windows]
    return Settled(_relabelled(requests, windows, cut), cut, entries, findings)


def with_steady(summary: Mapping[str, Any], settled: Settled) -> dict[str, Any]:
    """The summary, each level with its `steady`; None where nobody looked."""
    levels = [{**level, "steady": settled.levels.get(level["level"])} for level in summary["levels"]]
    return {**summary, "levels": levels}


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns that a course is made of, as arrays."""

    sent_ns: Ints
    end_ns: Ints
    first_ns: Ints
    content_ns: tuple[Ints, Ints]
    tokens: Floats
    e2e_ms: Floats

    @classmethod
    def of(cls, requests: pd.DataFrame) -> "_Table":
        streamed = requests["streamed"].to_numpy(dtype=bool)
        ok = (requests["outcome"] == "ok").to_numpy(dtype=bool)
        sent, end = ints(requests["sent_ns"]), ints(requests["end_ns"])
        last = ints(requests["last_content_ns"])
        whole = np.where((last == NEVER) & ok, end, last)
        first = np.where(streamed, ints(requests["first_content_ns"]), whole)
        shown = np.where(first == NEVER, NEVER, whole)
        tokens, e2e = floats(requests["output_tokens"]), floats(requests["e2e_ms"])
        return cls(sent, end, np.where(streamed, first, NEVER), (first, shown), tokens, e2e)

    def course(self, window: Window) -> Course:
        here = (self.sent_ns != NEVER) & (self.sent_ns < window.end_ns) & (self.end_ns >= window.start_ns)
        return course.laid_out(
            window,
            sent_ns=self.sent_ns[here],
            end_ns=self.end_ns[here],
            first_ns=self.first_ns[here],
            content_ns=(self.content_ns[0][here], self.content_ns[1][here]),
            tokens=self.tokens[here],
        )

    def is_enough(self, window: Window) -> bool:
        """Whether so many ended in it, and it is so much longer than one, that its course is more than theirs."""
        ended = (self.end_ns >= window.start_ns) & (self.end_ns < window.end_ns)
        known = self.e2e_ms[ended & ~np.isnan(self.e2e_ms)]
        if int(np.count_nonzero(ended)) < LEAST_REQUESTS or not len(known):
            return False
        return window.seconds * 1e3 >= LEAST_LENGTHS * float(np.median(known))


def _look(table: _Table, window: Window) -> _Look:
    if not table.is_enough(window):
        few = Steady(
            None, window.start_ns, window.end_ns, ("too few requests to tell whether it was steady",)
        )
        return _Look(window, few, window, (None, None))
    whole = table.course(window)
    found = steady.find(whole)
    kept = steady.narrowed(window, whole, found)
    first, last = (round((at - whole.start_ns) / whole.bin_ns) for at in (found.start_ns, found.end_ns))
    part = whole.tokens_per_s[first:last]
    rates = (float(whole.tokens_per_s.mean()), float(part.mean())) if len(part) else (None, None)
    return _Look(window, found, kept, rates)


def _entry(looks: Sequence[_Look], *, is_auto: bool) -> dict[str, Any]:
    """A level's `steady`."""
    known = [look.found.is_steady for look in looks]
    total = sum(look.window.seconds for look in looks)
    kept = sum(look.kept.seconds for look in looks)
    before, after = (_mean(look.rates[n] for look in looks) for n in (0, 1))
    return {
        "is_steady": False if False in known else None if None in known else True,
        "from_s": max((look.kept.start_ns - look.window.start_ns) / 1e9 for look in looks),
        "share_dropped": 1 - kept / total if total > 0 else 0.0,
        "cut": is_auto and kept < total,
        "window_output_tokens_per_s": before,
        "steady_output_tokens_per_s": after,
        "reasons": list(dict.fromkeys(reason for look in looks for reason in look.found.reasons)),
    }


def _findings(title: str, looks: Sequence[_Look], *, is_auto: bool) -> Iterator[Finding]:
    name = f"level {title}"
    for look in looks:
        why = "; ".join(look.found.reasons)
        whole, part = look.rates
        if look.found.is_steady is False:
            yield (
                "suspect",
                f"{name}: load was not steady in its window ({why}); hold it longer, or raise --warmup",
            )
        elif look.found.is_steady is None and is_auto:
            yield "suspect", f"{name}: --warmup auto cut nothing: {why}; hold it longer"
        elif whole is not None and part and abs(whole / part - 1) > MATTERS and not is_auto:
            off = f"{100 * abs(whole / part - 1):.3g} % {'below' if whole < part else 'above'} that of its steady part"
            yield "suspect", f"{name}: {why}, and its rate is {off}; raise --warmup, or give --warmup auto"


def _is_even(level: int, run: Mapping[str, Any]) -> bool:
    """Whether a level's load was meant to be the same all through."""
    told = (run.get("points") or {}).get(str(level)) or {}
    arrivals = str(run.get("settings", {}).get("arrivals") or _EVEN[0])
    return level > 0 and (told.get("kind") == "concurrency" or arrivals.partition(":")[0] in _EVEN)


def _missed(run: Mapping[str, Any]) -> set[int]:
    """Levels whose load was too much, and known to be."""
    steps = (run.get("search") or {}).get("steps", ())
    met = {step["level"] for step in steps if step["met"]}
    full = run.get("saturated")
    return {step["level"] for step in steps} - met | ({full["level"]} if full else set())


def _relabelled(requests: pd.DataFrame, windows: Sequence[Window], cut: Sequence[Window]) -> pd.DataFrame:
    """Measured requests that were due outside what is left of their window: warm-up before it, cool-down after it."""
    phases = requests["phase"].astype(object).to_numpy(copy=True)
    due, level, repeat = (ints(requests[name]) for name in ("scheduled_ns", "level", "repeat"))
    measured = phases == Phase.MEASURE.value
    for whole, part in zip(windows, cut, strict=True):
        mine = measured & (level == whole.level) & (repeat == whole.repeat)
        if part.start_ns > whole.start_ns:
            phases[mine & (due < part.start_ns)] = Phase.WARMUP.value
        if part.end_ns < whole.end_ns:
            phases[mine & (due >= part.end_ns)] = Phase.DRAIN.value
    return requests.assign(phase=pd.Series(phases, index=requests.index, dtype=requests["phase"].dtype))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
