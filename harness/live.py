"""What one part of a run has counted so far, and how the parts' counts become one view of the run.

A part is a worker, or the one process of a local run. It adds each record as it comes (`Live`) and says all
that it has counted since the run began with each of Locust's reports (`Live.stored`), so a report that is
lost or comes twice does no harm. `merged` makes one `View` of what the parts said last.

Percentiles come from merged sketches (`harness.sketch`), never from averages, and are within 1 %: of requests of phase
`measure` with outcome `ok` where the figure was measured. `sketches` look at the segment that is under way and begin anew
with each, as does `level` (`harness.level_counts`); `course` at the whole run, for whoever compares two moments of it.
`earlier` are the segments before: what came of them last is said until `TOLD_NS` after, so that a master that hears a part
every few seconds has every segment to its end, and with it the requests that end in the next.

Pure: no clock, no socket, no Locust. These figures are for looking on while load runs; those of the results
are computed from the records (`harness.metrics`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness import level_counts
from harness.errors import ErrorClass
from harness.hearsay import MOST, Malformed, mapping, number
from harness.level_counts import Counted, LevelCounts
from harness.record import Outcome, Phase, RequestRecord
from harness.sketch import HIGHEST, LOWEST, Sketch
from harness.slo import Slos

__all__ = ["FIGURES", "HIGHEST", "LOWEST", "Held", "Live", "Sketch", "View", "joined", "merged", "read"]

VERSION: Final = 4
FIGURES: Final = (
    *("ttft_ms", "tpot_ms", "e2e_ms", "output_tokens_per_s"),
    *("ttft_scheduled_ms", "e2e_scheduled_ms"),
)

STORED_BYTES: Final = 310_000
"""No `Live.stored` takes more as msgpack. 1,268 bins of 4 bytes a sketch at worst; 6 to 20 kB are usual."""
EARLIER, TOLD_NS = 6, 15_000_000_000  # segments; of waves of less than half a second, a master may miss some

_COUNTERS: Final = ("sent", "prompt_tokens", "output_tokens", "uncounted")
_KEYS: Final = frozenset(
    {"version", "segment", "outcomes", "errors", "sketches", "course", "level", "earlier", *_COUNTERS}
)
_HELD: Final = frozenset({"segment", "sketches", "level"})
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
_WORDS: Final = frozenset(word.value for word in ErrorClass)


class Live:
    """What this part has counted, from the beginning of the run. Made anew for each run.

    `sent`: requests of which a byte went out. `uncounted`: succeeded requests whose output tokens nobody has
    counted so far. Tokens are those that servers said, of requests of any phase and outcome.
    """

    __slots__ = (
        *("_drop_under", "_slos", "anchor_ns", "course", "earlier", "errors", "is_busy"),
        *("level", "outcomes", "segment", "sketches", *_COUNTERS),
    )

    def __init__(self, slos: Slos = (), *, drop_under: int | None = None, anchor_ns: int = 0) -> None:
        """What makes a request good, below how many tokens it is in no sketch of a level, and what makes Unix time of stamps."""
        self.is_busy: Callable[[int], bool] = lambda _: False  # requests of an earlier segment are in flight
        self._slos, self._drop_under = slos, drop_under or 0
        self.anchor_ns = anchor_ns  # to the run's clock, as far as its offset is known
        self.level = LevelCounts(slos)
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.errors: dict[str, int] = {}  # error class -> requests
        self.sent = self.prompt_tokens = self.output_tokens = self.uncounted = 0
        self.segment = 0  # whose requests the sketches look at
        self.sketches = _sketches()
        self.course = _sketches()
        self.earlier: dict[int, _Earlier] = {}  # the latest of the segments before, in order

    def add(self, record: RequestRecord, segment: int) -> None:
        """Count one finished request that was given leave in this segment of the plan (0, 1, ...; -1: in one that is forgotten)."""
        if segment > self.level.segment:
            self._past(self.level.segment).level = self.level
            self.level = LevelCounts(self._slos, segment)
        counts = self.level if segment == self.level.segment else None
        if counts is None and (before := self.earlier.get(segment)) is not None:
            counts, before.last_ns = before.level, record.end_ns
        if counts is not None:
            counts.add(record, self.anchor_ns)
        if self.earlier:
            self._forget(record.end_ns)
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
        if record.phase is Phase.MEASURE:
            self._measure(record, segment, counts)

    def _measure(self, record: RequestRecord, segment: int, counts: LevelCounts | None) -> None:
        if segment > self.segment:
            self._past(self.segment).sketches = self.sketches
            self.segment, self.sketches = segment, _sketches()
        before = self.earlier.get(segment)
        into = self.sketches if segment == self.segment else None if before is None else before.sketches
        is_short = record.output_tokens is not None and record.output_tokens < self._drop_under
        for figure in FIGURES:
            value = getattr(record, figure)
            if value is not None:
                self.course[figure].add(value)
                if not is_short and into is not None:
                    into[figure].add(value)
                    if counts is not None:
                        counts.measure(figure, value)

    def _past(self, segment: int) -> "_Earlier":
        """The place of a segment that has just ceased to be the one under way."""
        if segment not in self.earlier:
            self.earlier[segment] = _Earlier(_sketches(), LevelCounts(self._slos, segment))
        return self.earlier[segment]

    def _forget(self, now_ns: int) -> None:
        """What has been told often enough; and of many, the oldest."""
        for segment, one in list(self.earlier.items()):
            one.last_ns = now_ns if one.last_ns is None else one.last_ns
            is_old = now_ns - one.last_ns > TOLD_NS and not self.is_busy(segment)
            # Measured answers may still be the latest in it, while other requests are of the next.
            if (is_old or len(self.earlier) > EARLIER) and segment != self.segment:
                del self.earlier[segment]

    def stored(self) -> dict[str, Any]:
        """All of it, for a message: str, int, bytes, list and dict, `STORED_BYTES` at most as msgpack."""
        return {
            "version": VERSION,
            "segment": self.segment,
            "outcomes": {outcome.value: min(count, MOST) for outcome, count in self.outcomes.items()},
            "errors": {word: min(count, MOST) for word, count in self.errors.items()},
            **{name: min(getattr(self, name), MOST) for name in _COUNTERS},
            "sketches": _stored(self.sketches),
            "course": _stored(self.course),
            "level": self.level.stored(),
            "earlier": [
                {
                    "segment": segment,
                    "sketches": _stored(self.sketches if segment == self.segment else one.sketches),
                    "level": one.level.stored(),
                }
                for segment, one in self.earlier.items()
            ],
        }


def _stored(sketches: Mapping[str, Sketch]) -> dict[str, Any]:
    return {figure: sketch.stored() for figure, sketch in sketches.items()}


@dataclass(slots=True)
class _Earlier:
    """A segment before the one under way; `last_ns`: when one of its requests ended last, by the stamps' clock."""

    sketches: dict[str, Sketch]
    level: LevelCounts
    last_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What one part has counted of one segment."""

    sketches: Mapping[str, Sketch]
    level: Counted
    said: object = None  # what was read


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
    earlier: Mapping[int, Held] = field(default_factory=dict)  # of one part alone: its segments before

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
            parts.append(read(value))
        except Malformed:
            skipped += 1
    return joined(parts, segment, skipped)


def joined(parts: Sequence[View], segment: int | None = None, skipped: int = 0) -> View:
    """One view of what some parts said, each read already (`read`), as `merged` makes it; none of them is changed."""
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


def read(value: object, before: View | None = None) -> View:
    """What one part said; `before`: what it had said the last time, of which what is the same need not be read again.

    Raises:
        Malformed: it is not what `Live.stored` gives.
    """
    said = mapping(value, _KEYS)
    if said["version"] != VERSION:
        raise Malformed("another version")
    outcomes = mapping(said["outcomes"], _OUTCOMES)
    errors = mapping(said["errors"], _WORDS, some=True)
    view = View(
        outcomes={outcome: number(outcomes[outcome.value]) for outcome in Outcome},
        errors={word: number(count) for word, count in errors.items()},
        **{name: number(said[name]) for name in _COUNTERS},
        segment=number(said["segment"]),
        sketches=_read_sketches(said["sketches"]),
        course=_read_sketches(said["course"]),
        level=level_counts.read(said["level"], frozenset(FIGURES)),
        parts=1,
        earlier=_read_earlier(said["earlier"], {} if before is None else before.earlier),
    )
    succeeded = view.outcomes[Outcome.OK]
    if view.uncounted > succeeded or any(
        sketch.count > succeeded for sketch in (*view.sketches.values(), *view.course.values())
    ):
        raise Malformed("more was measured than succeeded")
    if any(view.level.outcomes[outcome] > view.outcomes[outcome] for outcome in Outcome):
        raise Malformed("more was measured than ended")
    return view


def _read_sketches(said: object) -> dict[str, Sketch]:
    each = mapping(said, frozenset(FIGURES))
    return {figure: Sketch.read(each[figure]) for figure in FIGURES}


def _read_earlier(said: object, before: Mapping[int, Held]) -> dict[int, Held]:
    if not isinstance(said, (list, tuple)) or len(said) > EARLIER + 1:
        raise Malformed("not so many segments")
    found: dict[int, Held] = {}
    for one in said:
        held = mapping(one, _HELD)
        segment = number(held["segment"])
        if (known := before.get(segment)) is None or known.said != one:
            level = level_counts.read(held["level"], frozenset(FIGURES))
            known = Held(_read_sketches(held["sketches"]), level, one)
        found[segment] = known
    return found
