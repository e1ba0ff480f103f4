"""What levels that were held say to a search: each as a `Trial`, all trials of one value as `Looks`.

The rule: a value met its SLOs if most of its trials did, a tie is a miss until a third look breaks it, and what could
not be judged is a miss. Of values that contradict each other the lower miss counts (`ends`).

`judged` makes a trial of a level's `slo` in summary.json, and tells whether chance may have decided it: a value near
its limit is as good as unknown. What to hold next is `harness.search`'s to say. Pure.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Looks", "Trial", "ends", "judged", "seen"]

_SPREAD: Final = 3.0  # of a statistic of n times: see `_is_clear`
_ALIKE: Final = 0.10  # by which two holds of one level differ without a reason


@dataclass(frozen=True, slots=True)
class Trial:
    """One level as it was held once."""

    value: float  # users, or requests/s
    met: bool | None  # all SLOs; None: it cannot be said, which is not met
    missed: tuple[str, ...] = ()  # the SLOs that were not met, in words
    is_clear: bool = False  # so far from the limits that another look would say the same


@dataclass(frozen=True, slots=True)
class Looks:
    """All trials of one value."""

    met: int
    missed: int
    clear: int

    @property
    def is_tied(self) -> bool:
        """As often met as missed: nothing is known."""
        return self.met == self.missed

    @property
    def is_met(self) -> bool:
        """Most of them met."""
        return self.met > self.missed

    @property
    def is_settled(self) -> bool:
        """Another trial is not worth its time."""
        return self.met + self.missed > 1 or self.clear > 0


def seen(evidence: Iterable[Trial]) -> dict[float, Looks]:
    """What is known of each value, in the order of first trials."""
    found: dict[float, Looks] = {}
    for one in evidence:
        so_far = found.get(one.value, Looks(0, 0, 0))
        met = so_far.met + bool(one.met)
        found[one.value] = Looks(met, so_far.missed + (not one.met), so_far.clear + one.is_clear)
    return found


def ends(known: Mapping[float, Looks]) -> tuple[float | None, float | None]:
    """(the highest that met below any miss, the lowest that missed); a tie is a miss until it is broken."""
    high = min((value for value, looks in known.items() if not looks.is_met), default=None)
    below = [value for value, looks in known.items() if looks.is_met and (high is None or value < high)]
    return max(below, default=None), high


def judged(value: float, slos: Iterable[Mapping[str, Any]]) -> Trial:
    """A trial of a level's `slo` in summary.json: met if each is, clear if what decides is.

    A miss is clear if one of the missed is; that they were met only if all are.
    """
    each = list(slos)
    missed = tuple(str(one["slo"]) for one in each if one["met"] is False)
    unknown = tuple(f"{one['slo']} (not measured)" for one in each if one["met"] is None)
    if missed:
        return Trial(value, False, missed, any(_is_clear(one) for one in each if one["met"] is False))
    if unknown or not each:
        return Trial(value, None, unknown)
    return Trial(value, True, (), all(map(_is_clear, each)))


def _is_clear(one: Mapping[str, Any]) -> bool:
    """Whether a value is so far from its limit that its noise cannot have decided.

    Two standard errors. Of a share, a binomial's, and one request more. Of a statistic of n times, 1.5 / sqrt(n) of
    it: with an exponential tail quantile q has sqrt(q / (1 - q)) / ln(1 / (1 - q)) / sqrt(n), from 1.44 for the median
    to 1.45 for p95 and 2.2 for p99. In no case less than a tenth, by which levels differ from one hold to the next.
    """
    value, limit, n = one["value"], float(one["limit"]), one["n"]
    if value is None or not value >= 0 or n == 0:
        return False
    if one["unit"] == "share":
        away = 0.0 if n is None else 2 * math.sqrt(limit * (1 - limit) / n) + 1 / n
        return abs(float(value) - limit) > away
    away = max(_ALIKE, 0.0 if n is None else _SPREAD / math.sqrt(n))
    return limit > 0 and abs(float(value) / limit - 1) > away
