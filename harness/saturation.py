"""Whether more load still gives more: what `--stop-when-saturated` asks after each level.

    closed loop   the level gives less than 3 % more tokens/s for each doubling of the users than an earlier one;
                  that it gives 10 % or more is ruled out; and answers took longer in proportion, or more of them failed
    open loop     fewer than 95 % of the offered requests ended, or those waiting and under way grew all through the
                  window

The rule: a sweep that is ended too soon has no answer, one that goes on has lost minutes. So each condition has to
hold beyond noise (99 %, one-sided), and the noise is measured, not assumed: from the rates of equally long parts
of the window (batch means) or of repeats, and from how much the number of requests under way grew from one
part to the next. Without these, so many requests as ended are taken to vary by their square root. Thresholds are per
doubling, so that 8 -> 9 users need not give what 8 -> 16 have to; and every earlier level is compared with, the
nearest first, so that a plateau is found in small steps too.

In a closed loop a rate that stands still means answers that take longer (Little's law). Where neither they do nor
requests fail, load did not reach the server, and nothing is said of it. Reasons are in words. Pure.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Held", "of_rates", "of_users"]

FLAT: Final = math.log(1.03)  # for each doubling of the load
WORTH: Final = math.log(1.10)  # to be ruled out, for each doubling
SLOWER: Final = 0.5  # of the growth of the load, as powers: half in proportion, since medians are noisy too
REFUSED: Final = 0.10  # by so much the failed share has to rise instead
ACHIEVED: Final = 0.95  # of the rate offered
FILLING: Final = 0.25  # of an open loop's window, in which the server's batch may still fill
PARTS: Final = 10  # of the rest of it
ENOUGH: Final = 5  # parts of one level for a spread of its own; else the spread of all levels is taken
GROWN: Final = 0.02  # of the requests offered; less growth than that is of no concern

# Student's t, one-sided 99 %, of 1, 2, ... degrees of freedom; then within 0.02 of 2.33 + 4.1 / degrees.
_T99: Final = (31.82, 6.96, 4.54, 3.75, 3.36, 3.14, 3.00, 2.90, 2.82, 2.76, 2.72, 2.68, 2.65, 2.62, 2.60)
_Z99: Final = 2.326


@dataclass(frozen=True, slots=True)
class Held:
    """One level as it was held. None: not measured."""

    offered: float  # users, or requests/s
    window_s: float  # length of its windows together
    requests: int  # that ended well in them
    tokens_per_s: float | None = None  # of the system
    latency_ms: float | None = None  # median E2E
    failed: float = 0.0  # share of its requests
    rates: tuple[float, ...] = ()  # tokens/s of equally long parts of the windows, or of repeats
    due: int | None = None  # requests whose time came in the windows; None: as many as the rate says
    present: tuple[float, ...] = ()  # requests waiting or under way, seen in equal steps through one window


def of_users(levels: Sequence[Held]) -> str | None:
    """Why the last level of a sweep over concurrency gives no more than an earlier one did; None if it may.

    `levels`: those held so far, by rising number of users.
    """
    if not levels:
        return None
    last = levels[-1]
    for earlier in reversed(levels[:-1]):
        if earlier.offered < last.offered and (reason := _flat(earlier, last, levels)):
            return reason
    return None


def of_rates(levels: Sequence[Held]) -> str | None:
    """Why the last level of a sweep over rates got more than the system can do; None if it may keep up.

    `levels`: those held so far, by rising rate. The first of them says how long an answer takes without a queue.
    """
    if not levels:
        return None
    unhurried_s = (
        min((level.latency_ms for level in levels if level.latency_ms is not None), default=0.0) / 1e3
    )
    return _growing(levels[-1], unhurried_s) or _behind(levels[-1], unhurried_s)


def _flat(earlier: Held, last: Held, levels: Sequence[Held]) -> str | None:
    before, now = earlier.tokens_per_s, last.tokens_per_s
    if not before or not now or before <= 0 or now <= 0:
        return None
    doublings = math.log2(last.offered / earlier.offered)
    gain = math.log(now / before)
    if gain >= FLAT * doublings or gain + _uncertainty(earlier, last, levels) >= WORTH * doublings:
        return None
    why = _slower(earlier, last) or _refused(earlier, last)
    if why is None:
        return None
    percent = 100 * math.expm1(gain)
    rate = f"{_rate(now)} tokens/s, {abs(percent):.2g} % {'more' if percent >= 0 else 'less'} than {earlier.offered:,.10g}"
    return f"{last.offered:,.10g} users get {rate}, and {why}"


def _slower(earlier: Held, last: Held) -> str | None:
    if earlier.latency_ms is None or last.latency_ms is None:
        return "how long answers take was not measured"
    growth = math.log(last.offered / earlier.offered)
    if earlier.latency_ms <= 0 or math.log(last.latency_ms / earlier.latency_ms) < SLOWER * growth:
        return None
    return f"an answer takes {last.latency_ms / earlier.latency_ms:.3g} times as long"


def _refused(earlier: Held, last: Held) -> str | None:
    if last.failed - earlier.failed < REFUSED:
        return None
    return f"{100 * last.failed:.3g} % of the requests fail"


def _uncertainty(earlier: Held, last: Held, levels: Sequence[Held]) -> float:
    """By how much ln(last / earlier) of the two system rates may be too small; 99 %, one-sided."""
    found = [_error(level, levels) for level in (earlier, last)]
    degrees = min(
        freedom for _, freedom in found
    )  # fewer than Welch's, which lies between this and their sum
    return _t99(degrees) * math.hypot(*(error for error, _ in found))


def _error(level: Held, levels: Sequence[Held]) -> tuple[float, float]:
    """(relative standard error of a level's rate, degrees of freedom it is known with)."""
    parts = len(level.rates)
    if parts >= ENOUGH:
        return math.sqrt(_variance(level)) / math.sqrt(parts), parts - 1
    others = [one for one in levels if len(one.rates) > 1]
    if parts < 2 or not others:
        return 1 / math.sqrt(max(1, level.requests)), math.inf
    degrees = sum(len(one.rates) - 1 for one in others)
    pooled = sum(_variance(one) * (len(one.rates) - 1) for one in others) / degrees
    return math.sqrt(pooled / parts), degrees


def _variance(level: Held) -> float:
    """Of the rates of its parts, in squares of their mean."""
    mean = statistics.fmean(level.rates)
    return statistics.variance(level.rates) / mean**2 if mean > 0 else math.inf


def _behind(level: Held, unhurried_s: float) -> str | None:
    """Fewer requests ended than came, beyond noise and those that a server holds in any case."""
    due = level.offered * level.window_s if level.due is None else level.due
    held = level.offered * min(unhurried_s, level.window_s)
    if due <= 0 or ACHIEVED * due - level.requests <= held + _Z99 * math.sqrt(due):
        return None
    share = 100 * level.requests / due
    return f"of {_rate(due / level.window_s)} req/s that came, {_rate(level.requests / level.window_s)} ended ({share:.2g} %)"


def _growing(level: Held, unhurried_s: float) -> str | None:
    """Requests under way grew from part to part of the window, beyond the noise of that growth.

    The growth of the parts, and not the looks, is what is taken for independent: near its limit the number under way
    wanders like a sum of chances, and a line through that has a slope of its own.
    """
    looks = len(level.present)
    if looks < 2 or level.window_s <= 0:
        return None
    filling = max(FILLING, 2 * unhurried_s / level.window_s)
    first = math.ceil(filling * (looks - 1))
    if looks - 1 - first < PARTS or filling > 0.5:
        return None
    places = [first + round(part * (looks - 1 - first) / PARTS) for part in range(PARTS + 1)]
    growth = [level.present[b] - level.present[a] for a, b in itertools.pairwise(places)]
    total, error = sum(growth), statistics.stdev(growth) * math.sqrt(PARTS)
    seconds = level.window_s * (looks - 1 - first) / (looks - 1)
    if total <= _t99(PARTS - 1) * error or total < GROWN * level.offered * seconds:
        return None
    to = f"from {_rate(level.present[first])} to {_rate(level.present[-1])} in {seconds:,.3g} s"
    return f"at {_rate(level.offered)} req/s the requests waiting and under way grew steadily, {to}"


def _t99(degrees: float) -> float:
    return _T99[int(degrees) - 1] if degrees <= len(_T99) else _Z99 + 4.1 / degrees


def _rate(value: float) -> str:
    """Four digits, or more where the number has them: never an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
