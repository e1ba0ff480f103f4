"""What one part has counted of the level under way: how its measured requests ended, and what the system gave.

Counts begin anew with the first request of a later segment that ends, whatever it was for; an earlier segment's
request that ends late is counted where that segment is kept (`harness.live`). Of measured requests: outcomes, how many are good (`harness.slo.good`), and the sum
of each figure, which is what a sketch cannot say. Of all of the segment: tokens and requests by time (`harness.level_bins`).

`harness.sofar` makes a level's entry of it while load runs; results come from the records. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness.hearsay import MOST, Malformed, amount, mapping, number
from harness.level_bins import Bins
from harness.record import Outcome, Phase, RequestRecord
from harness.slo import Slos, good

__all__ = ["Counted", "LevelCounts", "merged", "read"]

_MOST_SUM: Final = 1e300
_KEYS: Final = frozenset({"segment", "outcomes", "good", "uncounted", "sums", "bins"})
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


@dataclass(frozen=True, slots=True)
class Counted:
    """What parts have counted of one segment together."""

    segment: int | None = None  # None: nobody has said anything
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)  # of measured requests
    good: int | None = None  # None: there is no SLO on requests
    uncounted: int = 0  # succeeded requests, measured or not, whose output tokens nobody has counted so far
    sums: Mapping[str, float] = field(default_factory=dict)  # of each figure of those that are in its sketch
    bins: Bins = field(default_factory=Bins)

    @property
    def requests(self) -> int:
        """Measured requests that are over."""
        return sum(self.outcomes.values())


class LevelCounts:
    """One part's, of one segment."""

    __slots__ = ("_slos", "bins", "good", "outcomes", "segment", "sums", "uncounted")

    def __init__(self, slos: Slos = (), segment: int = 0) -> None:
        self._slos = slos
        self.segment = segment
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.good: int | None = None
        self.uncounted = 0
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.bins = Bins()

    def add(self, record: RequestRecord, anchor_ns: int) -> None:
        """Count a request of this segment that is over; `anchor_ns` makes the run's Unix time of its stamps."""
        if record.phase is Phase.PROBE:
            return
        if record.phase is Phase.MEASURE:
            self.outcomes[record.outcome] += 1
            if (is_good := good(record, self._slos)) is not None:
                self.good = (self.good or 0) + is_good
        self._give(record, anchor_ns)

    def measure(self, figure: str, value: float) -> None:
        """A figure of a measured request that succeeded."""
        self.sums[figure] += value

    def _give(self, record: RequestRecord, anchor_ns: int) -> None:
        """What the system gave with it: also with those that failed in mid-answer."""
        is_ok = record.outcome is Outcome.OK
        last = record.last_content_ns or (record.end_ns if is_ok else None)
        first = record.first_content_ns if record.streamed else last
        if first is not None and last is not None:
            if record.output_tokens is not None:
                self.bins.spread(first + anchor_ns, max(first, last) + anchor_ns, record.output_tokens)
            if record.prompt_tokens is not None:
                self.bins.add("prompt", first + anchor_ns, record.prompt_tokens)
        if is_ok:
            self.uncounted += record.output_tokens is None
            self.bins.add("ended", record.end_ns + anchor_ns, 1.0)

    def stored(self) -> dict[str, Any]:
        """All of it, for a message."""
        return {
            "segment": self.segment,
            "outcomes": {outcome.value: min(count, MOST) for outcome, count in self.outcomes.items()},
            "good": None if self.good is None else min(self.good, MOST),
            "uncounted": min(self.uncounted, MOST),
            "sums": {figure: min(max(float(total), 0.0), _MOST_SUM) for figure, total in self.sums.items()},
            "bins": self.bins.stored(),
        }


def read(stored: object, figures: frozenset[str]) -> Counted:
    """What one part said of it.

    Raises:
        Malformed: it is not what `LevelCounts.stored` gives.
    """
    said = mapping(stored, _KEYS)
    outcomes = mapping(said["outcomes"], _OUTCOMES)
    counts = {outcome: number(outcomes[outcome.value]) for outcome in Outcome}
    is_good = None if said["good"] is None else number(said["good"])
    if (is_good or 0) > counts[Outcome.OK]:
        raise Malformed("more was good than succeeded")
    return Counted(
        segment=number(said["segment"]),
        outcomes=counts,
        good=is_good,
        uncounted=number(said["uncounted"]),
        sums={figure: amount(total) for figure, total in mapping(said["sums"], figures, some=True).items()},
        bins=Bins.read(said["bins"]),
    )


def merged(parts: Iterable[Counted], segment: int | None) -> Counted:
    """What those of them that are at this segment have counted together."""
    here = [part for part in parts if part.segment == segment]
    sums: defaultdict[str, float] = defaultdict(float)
    for part in here:
        for figure, total in part.sums.items():
            sums[figure] += total
    known = [part.good for part in here if part.good is not None]
    return Counted(
        segment=segment,
        outcomes={outcome: sum(part.outcomes[outcome] for part in here) for outcome in Outcome},
        good=sum(known) if known else None,
        uncounted=sum(part.uncounted for part in here),
        sums=dict(sums),
        bins=Bins.together([part.bins for part in here]),
    )
