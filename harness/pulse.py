"""What one part says of its last seconds, once a second, for whoever looks on while load runs (`harness.web.sampler`).

    seconds   tokens and requests of each second: those of answers that are over, and of those under way what
              `harness.influx.tally` gives them. Every second is said again until it has not changed for `AGAIN_S`
    settled   the seconds before this one are told for good: every answer that came in them is over
    lately    figures of the requests that succeeded in the last `LATELY_S`, as sketches
    client    how this process itself is doing (`harness.client_watch`)

A pulse is a whole state, so one that is lost or comes twice does no harm; and it is small, since it holds what is new and no
history. It costs some microseconds a request and one a second for each answer under way, and is there only where somebody
may look: in a process with a web UI, and on the workers of one.

The rule: what cannot be counted is passed over and said (`odd`); a user never hears of it. No clock here.
"""

import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.client_watch import ClientWatch, Seen
from harness.hearsay import MOST, Malformed, mapping, number
from harness.influx.point import SECOND
from harness.influx.tally import KEPT, Streaming, Tally
from harness.record import Outcome, Phase, RequestRecord
from harness.seconds import Second
from harness.sketch import Sketch

__all__ = ["FIGURES", "LATELY_S", "Beat", "Pulse", "Said", "Told", "read"]

VERSION: Final = 1
FIGURES: Final = ("ttft_ms", "tpot_ms", "e2e_ms", "output_tokens_per_s")
LATELY_S: Final = 10
AGAIN_S: Final = 10
READ_NS: Final = 40_000_000  # after a second's end, for what was stamped in it to have been read
_SERIES: Final = ("output_tokens", "prompt_tokens", "succeeded", "failed")
_KEYS: Final = frozenset({"version", "until", "settled", "first", "seconds", "lately", "client", "odd"})
_LATEST: Final = MOST // SECOND
_ROW: Final = struct.Struct("<4f")

Told = tuple[float, float, float, float]  # output tokens, prompt tokens, succeeded, failed; of one second


@dataclass(frozen=True, slots=True)
class Beat:
    """What a part said last."""

    until: int  # it has told of the seconds before this one, Unix time
    settled: int
    seconds: Mapping[int, Told]  # those that are new, or were changed lately
    lately: Mapping[str, Sketch]
    client: Seen
    odd: int  # requests that could not be counted in any second


@dataclass(frozen=True, slots=True)
class Said:
    """What one part said last of itself, to whoever looks on."""

    name: str
    state: str  # as in `harness.orders.Report`, or lost
    users: int
    in_flight: int
    live: object  # `harness.live.Live.stored`; None: nothing yet
    pulse: object  # `harness.pulse.Pulse.stored`; None: nothing yet, or nobody may look
    is_present: bool  # more is to come


class Pulse:
    """Of one part; a `harness.feed.Feed`."""

    def __init__(self, begin_ns: int, shift_ns: int, flying: Callable[[], Iterable[Streaming]]) -> None:
        """Load begins.

        Args:
            begin_ns: now, by the clock of stamps.
            shift_ns: makes Unix time of the run's clock of a stamp.
            flying: the requests whose response is under way.
        """
        self._tally, self._shift_ns, self._flying = Tally(begin_ns, shift_ns), shift_ns, flying
        self._begin_ns = begin_ns
        self._seconds: dict[int, Told] = {}
        self._changed: dict[int, int] = {}  # second -> in which second it was
        self._until = (begin_ns + shift_ns) // SECOND
        self._lately: dict[str, Counter[int]] = {figure: Counter() for figure in FIGURES}
        self._ended: deque[tuple[int, list[tuple[str, int]]]] = (
            deque()
        )  # second, and what is in `_lately` of it
        self._client = ClientWatch()
        self._odd = 0
        self._last: dict[str, Any] | None = None

    def record(self, record: RequestRecord, exchange: Streaming) -> None:
        """A request is over. Never raises."""
        try:
            self._tally.add(record, exchange)
            if record.outcome is Outcome.OK and record.phase is not Phase.PROBE:
                self._count(record)
        except Exception:  # noqa: BLE001  # whatever is odd about it, the user goes on
            self._odd += 1

    def second(self, second: Second) -> None:
        """A second of this process's own life is over."""
        self._client.add(second)

    def stored(self, now_ns: int, *, is_over: bool = False) -> dict[str, Any]:
        """What it has to say now, for a message. `is_over`: nothing is in flight any more; that is said for good."""
        if self._last is not None:
            return self._last
        said = self._now(now_ns, is_over=is_over)
        self._last = said if is_over else None
        return said

    def _now(self, now_ns: int, *, is_over: bool) -> dict[str, Any]:
        flying = () if is_over else tuple(self._flying())
        # A tally leaves a second open for one second more, which is for writing each but seldom twice.
        closed = (
            self._tally.finish(now_ns) if is_over else self._tally.close(now_ns + SECOND - READ_NS, flying)
        )
        here = (now_ns + self._shift_ns) // SECOND
        for at_ns, values, _ in closed:
            second = at_ns // SECOND
            self._seconds[second] = tuple(float(values[name] or 0.0) for name in _SERIES)  # type: ignore[assignment]  # four
            self._changed[second], self._until = here, max(self._until, second + 1)
        for second in [one for one, when in self._changed.items() if when < here - AGAIN_S]:
            del self._changed[second], self._seconds[second]
        self._expire(here - LATELY_S)
        first = min(self._seconds, default=self._until)
        rows = (self._seconds.get(second, (0.0, 0.0, 0.0, -1.0)) for second in range(first, self._until))
        return {
            "version": VERSION,
            "until": self._until,
            "settled": self._until if is_over else min(self._until, self._open_since(flying)),
            "first": first,
            "seconds": b"".join(_ROW.pack(*(max(-1.0, min(one, 1e30)) for one in row)) for row in rows),
            "lately": {figure: _sketch(counts).stored() for figure, counts in self._lately.items()},
            "client": self._client.stored(),
            "odd": self._odd,
        }

    def _open_since(self, flying: Iterable[Streaming]) -> int:
        """The first second that an answer under way may still have tokens in: the one its first bytes were read in."""
        firsts = (times[0] for one in flying if (times := one.received.read_times))
        earliest = min(firsts, default=None)
        return self._until if earliest is None else (earliest + self._shift_ns) // SECOND

    def _count(self, record: RequestRecord) -> None:
        known = ((figure, getattr(record, figure)) for figure in FIGURES)
        bins = [(figure, Sketch.key(value)) for figure, value in known if value is not None]
        for figure, key in bins:
            self._lately[figure][key] += 1
        self._ended.append(((record.end_ns + self._shift_ns) // SECOND, bins))

    def _expire(self, before: int) -> None:
        while self._ended and self._ended[0][0] < before:
            for figure, key in self._ended.popleft()[1]:
                counts = self._lately[figure]
                counts[key] -= 1
                if not counts[key]:
                    del counts[key]


def read(value: object) -> Beat:
    """What a part said.

    Raises:
        Malformed: it is not what `Pulse.stored` gives.
    """
    said = mapping(value, _KEYS)
    if said["version"] != VERSION:
        raise Malformed("another version")
    until, settled, first = (number(said[name]) for name in ("until", "settled", "first"))
    packed = said["seconds"]
    if not isinstance(packed, bytes) or len(packed) % _ROW.size or first > until or until > _LATEST:
        raise Malformed("not seconds")
    # What is older than a tally keeps is never changed; a minute more is for one that was asked late.
    if len(packed) // _ROW.size != until - first or until - first > KEPT + 60:
        raise Malformed("not so many seconds")
    seconds = dict(enumerate(_ROW.iter_unpack(packed), first))
    for row in seconds.values():
        if not all(-1.0 <= one <= 2e30 for one in row):  # NaN is neither
            raise Malformed("not an amount")
    lately = mapping(said["lately"], frozenset(FIGURES))
    return Beat(
        until=until,
        settled=min(settled, until),
        seconds={second: row for second, row in seconds.items() if row[3] >= 0},
        lately={figure: Sketch.read(lately[figure]) for figure in FIGURES},
        client=Seen.read(said["client"]),
        odd=number(said["odd"]),
    )


def _sketch(counts: Mapping[int, int]) -> Sketch:
    made = Sketch()
    for key, times in counts.items():
        made.tally(key, times)
    return made
