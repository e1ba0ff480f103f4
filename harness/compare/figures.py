"""The figures of a level that runs are compared by: what they are called, where a pass has them, which way is worse.

Names are those of `--slo` (`harness.slo`): `ttft_p95`, `system_output_tokens_per_s`. Times and rates are compared as
ratios, shares by their difference in percentage points. Pure.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from harness.slo import FIGURES as SLO_FIGURES

__all__ = ["FIGURES", "MAIN", "Figure", "Measured", "Part", "find"]

_HEADINGS: Final[Mapping[str, str]] = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "e2e": "E2E",
    "ttft_scheduled": "TTFT from due",
    "e2e_scheduled": "E2E from due",
    "output_tokens_per_s": "tok/s per request",
    "system_output_tokens_per_s": "system output tok/s",
    "system_total_tokens_per_s": "system total tok/s",
    "requests_per_s": "requests/s",
    "error_rate": "error rate",
    "goodput": "goodput",
}
_RATES: Final = {"tokens/s", "requests/s"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a level."""

    name: str  # as --fail-on has it
    entry: str  # where a pass of summary.json has it
    key: str | None  # the statistic in there; None: the entry is the number
    unit: str  # ms, tokens/s, requests/s or share
    heading: str  # for people, without its unit

    @property
    def is_share(self) -> bool:
        """Compared by difference, not by ratio."""
        return self.unit == "share"

    @property
    def toward(self) -> float:
        """The sign of a change for the worse."""
        return -1.0 if self.unit in _RATES or self.name == "goodput" else 1.0

    def size(self, share: float) -> float:
        """How far a worsening by `share` (negative: a gain) is, always in the direction of worse.

        For a time or a rate on the scale of logarithms: 5 % are log 1.05 of a time and -log 0.95 of a rate. For a share
        as it is, 0.05 being five points.
        """
        return share if self.is_share else self.toward * math.log1p(self.toward * share)


@dataclass(frozen=True, slots=True)
class Part:
    """A figure in one pass, or in all together: its value, of how many values, and how many requests there were."""

    value: float | None
    n: int | None  # None for what is of no number of requests
    requests: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure at a level of one run."""

    whole: Part  # of all passes' requests together, as the run's own tables have it
    passes: tuple[Part, ...]

    @property
    def known(self) -> list[Part]:
        """The passes in which it was measured."""
        return [part for part in self.passes if part.value is not None]


def _all() -> Iterator[Figure]:
    for name, heading in _HEADINGS.items():
        one = SLO_FIGURES[name]
        entry = one.entry or name
        if not one.statistics:
            yield Figure(name, entry, None, one.unit, heading)
        for key in one.statistics:
            yield Figure(f"{name}_{key}", entry, key, one.unit, f"{heading} {key}")


FIGURES: Final[Mapping[str, Figure]] = {one.name: one for one in _all()}
# What is compared unasked, in the order of the tables.
MAIN: Final = (
    *("ttft_p50", "ttft_p95", "tpot_p50", "e2e_p50", "e2e_p95"),
    *("system_output_tokens_per_s", "output_tokens_per_s_median", "error_rate", "goodput"),
)


def find(name: str) -> Figure | None:
    """The figure of that name; None if there is none whose passes are known."""
    return FIGURES.get(name)
