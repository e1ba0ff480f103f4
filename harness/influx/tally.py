"""What happened in each second of one worker, while it goes on.

A response is parsed only when it is complete, so until then nobody knows its tokens; but each of its reads has a stamp.
While it streams, a second is given `reads in it x tokens per read`, the latter learnt from the responses that were
complete lately. With its record comes the truth: its tokens are spread evenly over its content events, and what
falls into seconds that are written already, less what they had been given for it, is the correction of the second that is
open now. So a second is an estimate, and the sum of tokens and corrections over a run is exact.

A second is written `LAG` seconds after its end, with all that belongs to it. A stamp of a second that is written counts in the
oldest that is not.

Pure: stamps and records in, values out. All times are of one clock, in ns; whoever calls says how far it is from the run's.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from harness.record import Outcome, RequestRecord

__all__ = ["LAG", "SECOND", "Counts", "Streaming", "Tally"]

SECOND: Final = 1_000_000_000
LAG: Final = 1  # seconds that are kept open behind the one under way
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

    offered: int  # requests given leave
    in_flight: int
    waiting: int  # of those in flight, not sent yet
    users: int

    @property
    def sent(self) -> int:
        """Requests that went out."""
        return self.offered - self.waiting


@dataclass(slots=True)
class _Bin:
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    good: int = 0
    output_tokens: float = 0.0
    prompt_tokens: int = 0
    counts: Counts | None = None  # at its end


@dataclass(slots=True)
class _Flight:
    """What has been given to seconds that are written, for one response that was under way then."""

    received: _Received
    reads: int = 0
    tokens: float = 0.0

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
        self._next = self._second(begin_ns)  # the oldest that is not written
        self._last = Counts(0, 0, 0, 0)
        self._flights: dict[Streaming, _Flight] = {}
        self._correction = 0.0
        self._lately = [0.0, 0.0]  # tokens and reads of responses that ended lately

    def add(self, record: RequestRecord, stream: Streaming) -> None:
        """One request is over; `stream`: what `close` knew it by."""
        its = self._bin(record.end_ns)
        its.outcomes[record.outcome] += 1
        its.prompt_tokens += record.prompt_tokens or 0
        its.good += self._good is not None and bool(self._good(record))
        if record.error_class is not None:
            its.errors[record.error_class.value] += 1
        flight = self._flights.pop(stream, None)
        given = flight.tokens if flight else 0.0
        # Where nobody has counted, an event is taken for a token, here as while it streamed.
        tokens = record.chunks if record.output_tokens is None else record.output_tokens
        if record.output_tokens is not None and record.outcome is Outcome.OK:
            self._lately[0] += tokens
            self._lately[1] += len(stream.received.read_times)
        self._correction += self._spread(record, tokens) - given

    def note(self, stamp_ns: int, counts: Counts) -> None:
        """How it stands at the end of the second that this stamp is in."""
        self._bin(stamp_ns).counts = counts

    def close(
        self, now_ns: int, flying: Iterable[Streaming]
    ) -> Iterator[tuple[int, dict[str, Any], dict[str, int]]]:
        """Each second that is over for `LAG`: (its start, Unix ns; values of `llm_second`; requests by error class).

        `flying`: all responses that are under way.
        """
        flying = tuple(flying)
        while self._next < self._second(now_ns) - LAG:
            yield self._written(flying)

    def finish(self, now_ns: int) -> Iterator[tuple[int, dict[str, Any], dict[str, int]]]:
        """All that is left, to the second under way; nothing is in flight any more."""
        while self._next <= self._second(now_ns):
            yield self._written(())

    def _second(self, stamp_ns: int) -> int:
        return (stamp_ns + self._shift_ns) // SECOND

    def _bin(self, stamp_ns: int) -> _Bin:
        return self._bins.setdefault(max(self._second(stamp_ns), self._next), _Bin())

    def _written(self, flying: Sequence[Streaming]) -> tuple[int, dict[str, Any], dict[str, int]]:
        second = self._next
        estimate = self._estimate(flying, (second + 1) * SECOND - self._shift_ns)
        its = self._bins.pop(second, None) or _Bin()
        self._next += 1
        counts, before = its.counts or self._last, self._last
        self._last = counts
        values = {
            "scheduled": counts.offered - before.offered,
            "sent": max(0, counts.sent - before.sent),
            "succeeded": its.outcomes[Outcome.OK],
            "failed": its.outcomes[Outcome.FAILED],
            "cancelled": its.outcomes[Outcome.CANCELLED],
            "good": None if self._good is None else its.good,
            "output_tokens": its.output_tokens + estimate,
            "output_tokens_correction": self._correction,
            "prompt_tokens": its.prompt_tokens,
            "in_flight": counts.in_flight,
            "waiting": counts.waiting,
            "users": counts.users,
        }
        self._correction = 0.0
        return second * SECOND, values, dict(its.errors)

    def _estimate(self, flying: Sequence[Streaming], until_ns: int) -> float:
        """Tokens of responses under way, of what came before `until_ns` and no second has been given yet."""
        tokens, reads = self._lately
        each = tokens / reads if reads else 1.0
        given = 0.0
        for stream in flying:
            flight = self._flights.get(stream)
            if flight is None:
                flight = self._flights[stream] = _Flight(stream.received)
            if more := flight.more(stream.received, until_ns):
                flight.tokens += more * each
                given += more * each
        self._lately = [tokens * _REMEMBERED, reads * _REMEMBERED]
        return given

    def _spread(self, record: RequestRecord, tokens: int) -> float:
        """Give its tokens to the seconds in which its content events came; what falls into written ones is returned."""
        if not tokens:
            return 0.0
        first_ns, written_ns = record.first_content_ns, self._next * SECOND - self._shift_ns
        if not record.streamed or first_ns is None or not record.chunk_gaps_us:
            at_ns = record.last_content_ns or record.end_ns
            if at_ns < written_ns:
                return float(tokens)
            self._bin(at_ns).output_tokens += tokens
            return 0.0
        each = tokens / (len(record.chunk_gaps_us) + 1)
        after_ns = np.cumsum(record.chunk_gaps_us) * 1e3
        last = self._second(first_ns + int(after_ns[-1]))
        past = 0 if first_ns >= written_ns else 1 + int(np.searchsorted(after_ns, written_ns - first_ns))
        done = past
        for second in range(max(self._second(first_ns), self._next), last + 1):
            until_ns = (second + 1) * SECOND - self._shift_ns - first_ns
            upto = 1 + int(np.searchsorted(after_ns, until_ns))
            self._bins.setdefault(second, _Bin()).output_tokens += (upto - done) * each
            done = upto
        return past * each
