"""What happened in each second of one worker, while it goes on.

A response is parsed only when it is complete, so until then nobody knows its tokens; but each of its reads has a stamp.
While it streams, a second is given `reads in it x tokens per read`, the latter learnt from the responses that were
complete lately. With its record comes the truth: its tokens are spread evenly over the reads from its first content to its last,
in place of what had been given for it. So a second is written `LAG` seconds after its end, and once more whenever something
becomes known of it; what is older than `KEPT` seconds stays, and what would belong there is the correction of the second that
is open now. The sum of tokens and corrections over a run is exact.

Pure: stamps and records in, values out. All times are of one clock, in ns; whoever calls says how far it is from the run's.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from harness.influx.point import SECOND
from harness.record import Outcome, RequestRecord

__all__ = ["KEPT", "LAG", "Counts", "Streaming", "Tally"]

LAG: Final = 1  # seconds that are kept open behind the one under way
KEPT: Final = 1_000  # seconds that can still be written again: longer than a request may take by default
_REMEMBERED: Final = 0.9  # of what was learnt, with each second in which responses ended


class _Received(Protocol):
    @property
    def read_times(self) -> Sequence[int]:
        """Stamps of its reads so far, ascending."""


class Streaming(Protocol):
    """A request whose response is under way (`harness.exchange`)."""

    @property
    def received(self) -> _Received:
        """What has come of it; another one if it is sent anew."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a worker stands, in all since load began."""

    offered: int  # requests that were due
    in_flight: int  # of these, not over
    waiting: int  # of those in flight, not sent yet
    users: int

    @property
    def sent(self) -> int:
        """Requests that went out."""
        return self.offered - self.waiting


@dataclass(slots=True)
class _Bin:
    """One second."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    good: int = 0
    output_tokens: float = 0.0
    at_first: float = 0.0  # of these, when it was first written
    correction: float = 0.0
    prompt_tokens: int = 0
    counts: Counts | None = None  # at its end; once it is written never None
    before: Counts | None = None  # at its beginning


@dataclass(slots=True)
class _Flight:
    """What seconds that are written were given for one response that was under way then."""

    received: _Received
    reads: int = 0
    given: list[tuple[int, float]] = field(default_factory=list)  # second, tokens

    def more(self, received: _Received, until_ns: int) -> int:
        """Reads before `until_ns` that nothing has been given for yet."""
        if received is not self.received:  # it was sent anew, and nothing but its reads counts
            self.received, self.reads = received, 0
        found = bisect_left(received.read_times, until_ns) - self.reads
        self.reads += found
        return found


class Tally:
    """The seconds of one worker. `add` each record, `close` once a second."""

    def __init__(
        self, begin_ns: int, shift_ns: int = 0, good: Callable[[RequestRecord], bool | None] | None = None
    ) -> None:
        """An empty one.

        Args:
            begin_ns: when load begins, by the stamps' clock.
            shift_ns: makes Unix time of the run's clock of it.
            good: did a request meet the service levels? None: there are none.
        """
        self._shift_ns = shift_ns
        self._good = good
        self._bins: dict[int, _Bin] = {}
        self._changed: set[int] = set()  # seconds to be written again
        self._next = self._second(begin_ns)  # the oldest that is not written
        self._last = Counts(0, 0, 0, 0)
        self._flights: dict[Streaming, _Flight] = {}
        self._lately = [0.0, 0.0]  # tokens and reads of responses that ended lately

    def add(self, record: RequestRecord, stream: Streaming) -> None:
        """One request is over; `stream`: what `close` knew it by."""
        its, outcome, counted = self._bin(record.end_ns), record.outcome, record.output_tokens
        # Where nobody has counted, an event is taken for a token, here as while it streamed.
        tokens = record.chunks if counted is None else counted
        its.prompt_tokens += record.prompt_tokens or 0
        if self._good is not None and self._good(record):
            its.good += 1
        if outcome is not Outcome.OK:
            its.failed += outcome is Outcome.FAILED
            its.cancelled += outcome is Outcome.CANCELLED
            if record.error_class is not None:
                its.errors[record.error_class.value] += 1
        else:
            its.succeeded += 1
        if flight := self._flights.pop(stream, None):
            for second, given in flight.given:
                self._give(second, -given)
        if outcome is Outcome.OK and counted is not None:
            self._lately[0] += tokens
            self._lately[1] += len(stream.received.read_times)
        if tokens:
            self._spread(record, stream, tokens)

    def note(self, stamp_ns: int, counts: Counts) -> None:
        """How it stands at the end of the second that this stamp is in."""
        self._bin(stamp_ns).counts = counts

    def close(
        self, now_ns: int, flying: Iterable[Streaming]
    ) -> Iterator[tuple[int, dict[str, Any], dict[str, int]]]:
        """Each second that is over for `LAG` or has changed: (its start, Unix ns; values of `llm_second`; requests by error class).

        `flying`: all responses that are under way.
        """
        flying = tuple(flying)
        yield from self._again()  # before any of them is kept no more
        while self._next < self._second(now_ns) - LAG:
            self._estimate(flying)
            yield self._written()

    def finish(self, now_ns: int) -> Iterator[tuple[int, dict[str, Any], dict[str, int]]]:
        """All that is left, to the second under way; nothing is in flight any more."""
        yield from self._again()
        while self._next <= self._second(now_ns):
            yield self._written()

    def _second(self, stamp_ns: int) -> int:
        return (stamp_ns + self._shift_ns) // SECOND

    def _bin(self, stamp_ns: int) -> _Bin:
        """The second of a stamp; where that is kept no more, or was before all, the oldest that is open."""
        second = (stamp_ns + self._shift_ns) // SECOND
        found = self._bins.get(second)
        if found is None:
            second = max(second, self._next)
            found = self._bins.setdefault(second, _Bin())
        elif second < self._next:
            self._changed.add(second)
        return found

    def _give(self, second: int, tokens: float) -> None:
        """Tokens that came in a second."""
        found = self._bins.get(second)
        if found is not None:
            found.output_tokens += tokens
            if second < self._next:
                self._changed.add(second)
        elif second >= self._next:
            self._bins[second] = _Bin(output_tokens=tokens)
        else:
            self._bins.setdefault(self._next, _Bin()).correction += tokens

    def _written(self) -> tuple[int, dict[str, Any], dict[str, int]]:
        """The oldest second that is open is so no more."""
        second = self._next
        its = self._bins.setdefault(second, _Bin())
        its.before, its.counts, its.at_first = self._last, its.counts or self._last, its.output_tokens
        self._last = its.counts
        self._next += 1
        self._bins.pop(second - KEPT, None)
        self._changed.discard(second - KEPT)
        return self._values(second)

    def _again(self) -> Iterator[tuple[int, dict[str, Any], dict[str, int]]]:
        changed, self._changed = self._changed, set()
        for second in sorted(changed):
            yield self._values(second)

    def _values(self, second: int) -> tuple[int, dict[str, Any], dict[str, int]]:
        its = self._bins[second]
        counts, before = its.counts or self._last, its.before or self._last
        values = {
            "scheduled": max(0, counts.offered - before.offered),  # less where a backlog was given up
            "sent": max(0, counts.sent - before.sent),
            "succeeded": its.succeeded,
            "failed": its.failed,
            "cancelled": its.cancelled,
            "good": None if self._good is None else its.good,
            "output_tokens": max(
                0.0, its.output_tokens
            ),  # what was given and taken back may leave a last digit
            "output_tokens_at_first": its.at_first,
            "output_tokens_correction": its.correction,
            "prompt_tokens": its.prompt_tokens,
            "in_flight": counts.in_flight,
            "waiting": counts.waiting,
            "users": counts.users,
        }
        return second * SECOND, values, dict(its.errors)

    def _estimate(self, flying: Sequence[Streaming]) -> None:
        """Give the oldest open second tokens of responses under way: for what came before its end and nothing was given for yet."""
        tokens, reads = self._lately
        each = tokens / reads if reads else 1.0
        second, until_ns = self._next, (self._next + 1) * SECOND - self._shift_ns
        for stream in flying:
            flight = self._flights.get(stream)
            if flight is None:
                flight = self._flights[stream] = _Flight(stream.received)
            if more := flight.more(stream.received, until_ns):
                flight.given.append((second, more * each))
                self._give(second, more * each)
        self._lately = [tokens * _REMEMBERED, reads * _REMEMBERED]

    def _spread(self, record: RequestRecord, stream: Streaming, tokens: int) -> None:
        """Give its tokens to the seconds in which it was read."""
        first_ns, last_ns = record.first_content_ns, record.last_content_ns or record.end_ns
        if not record.streamed or first_ns is None:
            first_ns = last_ns
        first, last = self._second(first_ns), self._second(last_ns)
        if first == last:
            return self._give(last, tokens)
        reads = stream.received.read_times
        begin = bisect_left(reads, first_ns)
        end = bisect_right(reads, last_ns, begin)
        if begin == end:  # nobody knows when it came
            return self._give(last, tokens)
        done = begin
        for second in range(first, last + 1):
            upto = bisect_left(reads, (second + 1) * SECOND - self._shift_ns, done, end)
            if upto > done:
                self._give(second, tokens * (upto - done) / (end - begin))
            done = upto
        return None
