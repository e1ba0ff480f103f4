"""What one part of a run has counted so far, and how the parts' counts become one view of the run.

A part is a worker, or the one process of a local run. It adds each record as it comes (`Live`) and says all
that it has counted since the run began with each of Locust's reports (`Live.stored`), so a report that is
lost or comes twice does no harm. `merged` makes one `View` of what the parts said last.

Percentiles come from merged sketches, never from averages: DDSketch's bins are 2 % wide, so a quantile is
within 1 % of the order statistic that numpy calls `lower`, and bins of several parts add up to the bins of
all their requests: those of phase `measure` with outcome `ok` where the figure was measured. `sketches` look at the
segment that is under way and begin anew with each, as does `level` (`harness.level_counts`); `course` at the whole run,
for whoever compares two moments of it.

Pure: no clock, no socket, no Locust. These figures are for looking on while load runs; those of the results
are computed from the records (`harness.metrics`).
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

from harness import level_counts
from harness.errors import ErrorClass
from harness.hearsay import MOST, Malformed, mapping, number
from harness.level_counts import Counted, LevelCounts
from harness.record import Outcome, Phase, RequestRecord
from harness.slo import Slos

VERSION: Final = 3
FIGURES: Final = (
    *("ttft_ms", "tpot_ms", "e2e_ms", "output_tokens_per_s"),
    *("ttft_scheduled_ms", "e2e_scheduled_ms"),
)

# One microsecond to 28 hours, or a token in 17 minutes to a hundred million a second. What is beyond counts
# as the end of the range: that is what bounds a sketch, whatever a server or a peer may say.
LOWEST, HIGHEST = 1e-3, 1e8
_BINS: Final = LogarithmicMapping(relative_accuracy=0.01)
_FIRST, _LAST = _BINS.key(LOWEST), _BINS.key(HIGHEST)
_BIN_MOST: Final = 2**32 - 1

STORED_BYTES: Final = 70_000
"""No `Live.stored` takes more as msgpack. 1,268 bins of 4 bytes a sketch at worst; 6 to 20 kB are usual."""

_COUNTERS: Final = ("sent", "prompt_tokens", "output_tokens", "uncounted")
_KEYS: Final = frozenset(
    {"version", "segment", "outcomes", "errors", "sketches", "course", "level", *_COUNTERS}
)
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
_WORDS: Final = frozenset(word.value for word in ErrorClass)


class Sketch:
    """How one figure is distributed. Values are positive; a quantile is within 1 %."""

    __slots__ = ("store",)

    def __init__(self) -> None:
        self.store = DenseStore()

    @property
    def count(self) -> int:
        """How many values it has seen."""
        return int(self.store.count)

    def add(self, value: float) -> None:
        """Count one value."""
        self.store.add(_BINS.key(min(max(value, LOWEST), HIGHEST)))

    def merge(self, other: "Sketch") -> None:
        """Count all of another's values too; the other stays as it is."""
        self.store.merge(other.store)

    def quantile(self, share: float) -> float | None:
        """The value at rank `share` x (count - 1), rounded down, 0 <= share <= 1; None without values."""
        if not self.store.count:
            return None
        return _BINS.value(self.store.key_at_rank(share * (self.store.count - 1)))

    def since(self, earlier: "Sketch") -> "Sketch":
        """What has come on top of an earlier state of it; of another one's state nothing that makes sense."""
        found = Sketch()
        before = {earlier.store.offset + at: n for at, n in enumerate(earlier.store.bins) if n}
        for at, seen in enumerate(self.store.bins):
            key = self.store.offset + at
            if (more := seen - before.get(key, 0)) > 0:
                found.store.add(key, more)
        return found

    def stored(self) -> list[int | bytes]:
        """[key of the first bin, the bins' counts in order as little-endian unsigned 32-bit integers]."""
        store = self.store
        if not store.count:
            return [0, b""]
        bins = store.bins[store.min_key - store.offset : store.max_key - store.offset + 1]
        return [store.min_key, struct.pack(f"<{len(bins)}I", *(min(int(n), _BIN_MOST) for n in bins))]

    @classmethod
    def read(cls, stored: object) -> "Sketch":
        """What `stored` gave.

        Raises:
            Malformed: anything else, bins outside the range among it.
        """
        first, packed = stored if isinstance(stored, (list, tuple)) and len(stored) == 2 else (None, None)
        if type(first) is not int or not isinstance(packed, bytes) or len(packed) % 4:
            raise Malformed("a sketch is not [int, bytes]")
        last = first + len(packed) // 4 - 1
        if packed and (first < _FIRST or last > _LAST):
            raise Malformed("bins outside the range of a sketch")
        counts = struct.unpack(f"<{len(packed) // 4}I", packed)
        sketch = cls()
        if total := sum(counts):
            store = sketch.store
            store.bins, store.count = [float(n) for n in counts], total
            store.offset, store.min_key, store.max_key = first, first, last
        return sketch


class Live:
    """What this part has counted, from the beginning of the run. Made anew for each run.

    `sent`: requests of which a byte went out. `uncounted`: succeeded requests whose output tokens nobody has
    counted so far. Tokens are those that servers said, of requests of any phase and outcome.
    """

    __slots__ = (
        *("_drop_under", "_slos", "anchor_ns", "course", "errors", "level", "outcomes"),
        *("segment", "sketches", *_COUNTERS),
    )

    def __init__(self, slos: Slos = (), *, drop_under: int | None = None, anchor_ns: int = 0) -> None:
        """What makes a request good, below how many tokens it is in no sketch of a level, and what makes Unix time of stamps."""
        self._slos, self._drop_under = slos, drop_under or 0
        self.anchor_ns = anchor_ns  # to the run's clock, as far as its offset is known
        self.level = LevelCounts(slos)
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.errors: dict[str, int] = {}  # error class -> requests
        self.sent = self.prompt_tokens = self.output_tokens = self.uncounted = 0
        self.segment = 0  # whose requests the sketches look at
        self.sketches = _sketches()
        self.course = _sketches()

    def add(self, record: RequestRecord, segment: int) -> None:
        """Count one finished request that was given leave in this segment of the plan (0, 1, ...; -1: in an earlier one)."""
        if segment > self.level.segment:
            self.level = LevelCounts(self._slos, segment)
        if segment == self.level.segment:
            self.level.add(record, self.anchor_ns)
        self.outcomes[record.outcome] += 1
        self.sent += record.sent_ns is not None
        self.prompt_tokens += record.prompt_tokens or 0
        self.output_tokens += record.output_tokens or 0
        if record.error_class is not None:
            word = record.error_class.value
            self.errors[word] = self.errors.get(word, 0) + 1
        if record.outcome is not Outcome.OK:
            return
        self.uncounted += record.output_tokens is None
        if record.phase is not Phase.MEASURE:
            return
        if segment > self.segment:
            self.segment, self.sketches = segment, _sketches()
        is_short = record.output_tokens is not None and record.output_tokens < self._drop_under
        # What is of a segment that is over is in no sketch of this one.
        is_left_out = is_short or segment < self.segment
        for figure in FIGURES:
            value = getattr(record, figure)
            if value is not None:
                self.course[figure].add(value)
                if not is_left_out:
                    self.sketches[figure].add(value)
                    self.level.measure(figure, value)

    def stored(self) -> dict[str, Any]:
        """All of it, for a message: str, int, bytes, list and dict, `STORED_BYTES` at most as msgpack."""
        return {
            "version": VERSION,
            "segment": self.segment,
            "outcomes": {outcome.value: min(count, MOST) for outcome, count in self.outcomes.items()},
            "errors": {word: min(count, MOST) for word, count in self.errors.items()},
            **{name: min(getattr(self, name), MOST) for name in _COUNTERS},
            "sketches": {figure: sketch.stored() for figure, sketch in self.sketches.items()},
            "course": {figure: sketch.stored() for figure, sketch in self.course.items()},
            "level": self.level.stored(),
        }


@dataclass(frozen=True, slots=True)
class View:
    """What the parts have counted together; counters as in `Live`."""

    outcomes: Mapping[Outcome, int]
    errors: Mapping[str, int]
    sent: int
    prompt_tokens: int
    output_tokens: int
    uncounted: int
    segment: int | None  # whose requests the sketches look at; None: no part has said anything
    sketches: Mapping[str, Sketch]
    course: Mapping[str, Sketch]  # those of the whole run
    level: Counted  # of that segment, or of the latest that any request of has ended
    parts: int  # whose counters these are
    skipped: int = 0  # that said what cannot be read

    def quantile(self, figure: str, share: float) -> float | None:
        """A quantile of one of `FIGURES` over the segment so far; None without values."""
        return self.sketches[figure].quantile(share)

    def count(self, figure: str) -> int:
        """Of how many requests that is."""
        return self.sketches[figure].count


def merged(values: Iterable[object], segment: int | None = None) -> View:
    """One view of what each part said last (`Live.stored`), in any order.

    Args:
        values: one a part. What cannot be read, is of another version or contradicts itself is skipped
            and counted, as a whole; nothing raises.
        segment: the one under way; sketches of a part at any other are left out, its counters are not.
            None: the latest that a part says it is at.
    """
    parts: list[View] = []
    skipped = 0
    for value in values:
        try:
            parts.append(_read(value))
        except Malformed:
            skipped += 1
    at = max((part.segment or 0 for part in parts), default=None) if segment is None else segment
    level = max((part.level.segment or 0 for part in parts), default=None) if segment is None else segment
    errors: Counter[str] = Counter()
    sketches, course = _sketches(), _sketches()
    for part in parts:
        errors.update(part.errors)
        for figure in FIGURES:
            course[figure].merge(part.course[figure])
            if part.segment == at:
                sketches[figure].merge(part.sketches[figure])
    return View(
        outcomes={outcome: sum(part.outcomes[outcome] for part in parts) for outcome in Outcome},
        errors=dict(sorted(errors.items())),
        **{name: sum(getattr(part, name) for part in parts) for name in _COUNTERS},
        segment=at,
        sketches=sketches,
        course=course,
        level=level_counts.merged((part.level for part in parts), level),
        parts=len(parts),
        skipped=skipped,
    )


def _sketches() -> dict[str, Sketch]:
    return {figure: Sketch() for figure in FIGURES}


def _read(value: object) -> View:
    """What one part said; raises Malformed where that is not what `Live.stored` gives."""
    said = mapping(value, _KEYS)
    if said["version"] != VERSION:
        raise Malformed("another version")
    outcomes = mapping(said["outcomes"], _OUTCOMES)
    errors = mapping(said["errors"], _WORDS, some=True)
    sketches, course = (mapping(said[name], frozenset(FIGURES)) for name in ("sketches", "course"))
    view = View(
        outcomes={outcome: number(outcomes[outcome.value]) for outcome in Outcome},
        errors={word: number(count) for word, count in errors.items()},
        **{name: number(said[name]) for name in _COUNTERS},
        segment=number(said["segment"]),
        sketches={figure: Sketch.read(sketches[figure]) for figure in FIGURES},
        course={figure: Sketch.read(course[figure]) for figure in FIGURES},
        level=level_counts.read(said["level"], frozenset(FIGURES)),
        parts=1,
    )
    succeeded = view.outcomes[Outcome.OK]
    if view.uncounted > succeeded or any(
        sketch.count > succeeded for sketch in (*view.sketches.values(), *view.course.values())
    ):
        raise Malformed("more was measured than succeeded")
    if any(view.level.outcomes[outcome] > view.outcomes[outcome] for outcome in Outcome):
        raise Malformed("more was measured than ended")
    return view
