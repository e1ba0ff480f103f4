"""Where in a level's course its steady state begins, and whether it ends before the level does.

In each series of a course (`harness.course`) what differs from the rest at either end is cut off; the latest start
and the earliest end of them all count. Where a start-up ends is found in two steps:

    MSER    cut before the bin d for which  sum (y_i - mean)^2 / (n - d)^2  over i >= d  is least  (White 1997, of
            batch means as MSER-5; here the bins are the batches). It tells of any kind of start-up that there is one,
            and about where it ends
    hinge   the least-squares line that bends once, y = a + b min(i - h, 0). Where it describes the start as well as
            the mean does the rest, the start-up was a ramp and h is its end. MSER alone is more than two bins off in
            one noisy ramp of seven, and in half of the slow ones
    else    back from d to the last two values in a row that are 3 standard deviations off: MSER likes to take some of
            the rest too, and to cut behind a single odd value. What fills a gap between two values is none

The rule: nothing is dropped by chance. A start that could be noise stays (4 standard errors), and so does one whose
mean is within 1 % of the rest's. Neighbouring bins share requests, so standard errors are those of an autoregressive
series: sqrt((1 + r) / (1 - r)) times as large, r being the correlation of neighbours.

A level is *not steady* if its start-up takes half of it or more, if less than half is left, or if a trend remains, of
3 standard errors and 5 % of the mean. One too short for 20 bins cannot be judged. Pure.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from harness.course import Course
from harness.journal import Window
from harness.windows import Bools, Floats

__all__ = ["Steady", "find", "mser", "narrowed"]

LEAST_BINS: Final = 20
UNLIKE: Final = 4.0  # standard errors; more than the usual 3, since the place was chosen for being unlike
FAR: Final = 3.0  # standard deviations, of a single value
MATTERS: Final = 0.01  # of the mean
FITS: Final = 3.0  # standard errors by which values may vary more around a ramp than the rest does
TREND, TREND_ERRORS = 0.05, 3.0
_HIGHEST_R: Final = 0.95  # beyond it there are too few independent bins to tell
_ROUNDING: Final = 1e-12
_STEP: Final = 0.25  # bins between the hinges that are tried


@dataclass(frozen=True, slots=True)
class Steady:
    """What was found in one course."""

    is_steady: bool | None  # None: it is too short to tell
    start_ns: int  # of the steady part; of the whole course where there is none
    end_ns: int
    reasons: tuple[str, ...]  # in words: what was cut off, or why it is not steady


def find(course: Course) -> Steady:
    """Where the course is steady."""
    bins = course.bins
    whole = Steady(None, course.start_ns, course.start_ns + bins * course.bin_ns, ())
    if bins < LEAST_BINS:
        short = f"{bins * course.bin_s:.3g} s are too short to tell whether it was steady"
        return replace(whole, reasons=(short,))
    series = list(course.series())
    cuts = [(name, *_cuts(values, known)) for name, values, known in series]
    slowest, start, _ = max(cuts, key=lambda cut: cut[1])
    earliest, _, end = min(cuts, key=lambda cut: cut[2])
    if start >= bins // 2 or 2 * (end - start) <= bins:
        name = slowest if start >= bins - end else earliest
        why = f"not steady: {name} kept changing for more than half of {bins * course.bin_s:.3g} s"
        return replace(whole, is_steady=False, reasons=(why,))
    trends = [_trend(name, values[start:end], course.bin_s) for name, values, _ in series]
    if any(trends):
        return replace(whole, is_steady=False, reasons=tuple(filter(None, trends)))
    late = f"steady after {start * course.bin_s:.3g} s: {slowest} had to settle" if start else ""
    early = f"steady until {end * course.bin_s:.3g} s: {earliest} changed" if end < bins else ""
    start_ns, end_ns = (course.start_ns + place * course.bin_ns for place in (start, end))
    return Steady(True, start_ns, end_ns, tuple(filter(None, (late, early))))


def narrowed(window: Window, course: Course, found: Steady) -> Window:
    """The steady part of a window; all of it where nothing is steady or nobody can tell.

    What is left after the last whole bin goes with that bin.
    """
    if not found.is_steady:
        return window
    is_cut = found.end_ns < course.start_ns + course.bins * course.bin_ns
    return replace(window, start_ns=found.start_ns, end_ns=found.end_ns if is_cut else window.end_ns)


def mser(values: Floats) -> tuple[int, int]:
    """(first, one after the last) of the half or more of the values that is best kept; all, where nothing is gained."""
    count = len(values)
    if count < 2:
        return 0, count
    off = values - values.mean()
    sums, squares = (np.append(0.0, np.cumsum(what)) for what in (off, off**2))
    starts, ends = np.arange(count // 2 + 1)[:, None], np.arange(count, (count - 1) // 2, -1)[None, :]
    lengths = np.maximum(ends - starts, 1)
    around = squares[ends] - squares[starts] - (sums[ends] - sums[starts]) ** 2 / lengths
    statistic = np.where(2 * lengths >= count, around / lengths**2, np.inf)
    start, end = np.unravel_index(int(np.argmin(statistic)), statistic.shape)
    return int(starts[start, 0]), int(ends[0, end])


def _cuts(values: Floats, known: Bools) -> tuple[int, int]:
    """(first, one after the last) of the values that are alike; known: which of them fill no gap."""
    start, end = mser(values)
    is_free = 2 * (end - start) > len(values) + 1  # else it would have cut off more, had it been allowed to
    first = _settled(values[:end], known[:end], start, is_free=is_free)
    backwards = values[start:][::-1], known[start:][::-1]
    return first, len(values) - _settled(*backwards, len(values) - end, is_free=is_free)


def _settled(values: Floats, known: Bools, cut: int, *, is_free: bool) -> int:
    """How many values at the beginning differ from the rest, given MSER's word for it."""
    if not cut or not _is_unlike(values, cut):
        return 0
    bend = _bend(values, cut)
    if bend is not None:
        return bend
    return _reached(values, known, cut) if is_free else cut


def _reached(values: Floats, known: Bools, cut: int) -> int:
    """How many values at the beginning are unlike the rest, up to MSER's cut: it likes to take some of the rest with it.

    One alone that is no start is a hiccup. MSER likes to cut right behind it, however long the start-up is over. What fills
    a gap beside it is no second one.
    """
    rest = values[cut:]
    is_far = np.abs(values[:cut] - rest.mean()) > FAR * rest.std()
    places = np.flatnonzero(known[:cut])
    together = is_far[places] & np.append(True, is_far[places][:-1])
    if together.any():
        return int(places[together][-1]) + 1
    others = values[:cut][~is_far]
    return cut if _is_unlike(np.append(others, rest), len(others)) else 0


def _is_unlike(values: Floats, cut: int) -> bool:
    """Whether what would be cut off differs from the rest, beyond noise and by an amount that matters."""
    rest = values[cut:]
    apart = abs(float(values[:cut].mean()) - float(rest.mean()))
    error = float(rest.std()) * _correlated(rest) * math.sqrt(1 / cut + 1 / len(rest))
    return apart > UNLIKE * error and apart > MATTERS * abs(float(rest.mean()))


def _bend(values: Floats, cut: int) -> int | None:
    """Where a ramp ends, if the values begin with one: the best hinge, rounded up; None if they do not.

    They do if the line is as near to them as the mean is to the rest, and nothing after the bend is unlike that.
    """
    number = np.arange(len(values))
    hinges = np.arange(_STEP, 0.75 * len(values), _STEP)
    ramps = np.minimum(number[None, :] - hinges[:, None], 0.0)
    centred = ramps - ramps.mean(axis=1, keepdims=True)
    spread, common = (centred**2).sum(axis=1), centred @ (values - values.mean())
    best = int(np.argmax(common**2 / spread))
    off = values - values.mean() - centred[best] * (common[best] / spread[best])
    bend = math.ceil(float(hinges[best]))
    rest = values[max(bend, cut) :]
    most = (1 + FITS * math.sqrt(2 / bend) * _correlated(rest)) * float(rest.var())
    if float((off[:bend] ** 2).mean()) > most + _ROUNDING * float((values**2).mean()):
        return None
    return None if bend < cut and _is_unlike(values[bend:], cut - bend) else bend


def _trend(name: str, values: Floats, bin_s: float) -> str:
    """In words how a series still rises or falls; empty if it does not."""
    count, mean = len(values), float(values.mean())
    number = np.arange(count) - (count - 1) / 2
    slope = float(number @ values) / float(number @ number)
    off = values - mean - slope * number
    error = float(off.std()) * _correlated(off) / math.sqrt(float(number @ number))
    change = slope * count
    if abs(slope) <= TREND_ERRORS * error or abs(change) <= TREND * abs(mean):
        return ""
    verb = "rising" if slope > 0 else "falling"
    return f"not steady: {name} still {verb}, from {mean - change / 2:,.4g} to {mean + change / 2:,.4g} in {count * bin_s:.3g} s"


def _correlated(values: Floats) -> float:
    """By how much standard errors are larger because neighbours are alike and so fewer values are known; at least 1.

    Among n values the correlation seen is (2 + 4 r) / n too small once a line was taken out of them (Marriott and
    Pope 1954), and Student's quantiles are some 1 + 3 / n times the normal ones at three errors.
    """
    off = values - values.mean()
    square = float(off @ off)
    seen = float(off[1:] @ off[:-1]) / square if square > 0 else 0.0
    r = min(_HIGHEST_R, max(0.0, seen + (2 + 4 * seen) / len(values)))
    return math.sqrt((1 + r) / (1 - r)) * (1 + 3 / (len(values) * (1 - r) / (1 + r)))
