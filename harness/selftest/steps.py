"""One step of the search: what the pacing server sent and what the worker measured, joined by request id.

    TTFT error   (first content - sent) by the worker  -  (first send - arrival of the request) by the server
    gap error    a gap between two events by the worker  -  the gap between their two sends

Both without their sign. A step counts the requests sent inside its window whose first event was sent
`GRACE_NS` or more before the load was cut, so that every event counted had time to arrive. An event that was
sent by then and is not in the worker's record is missing.

Pure: two JSON objects in (the shapes that `pacer` and `load` print), figures out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

GRACE_NS: Final = 50_000_000
TTFT_LIMIT_MS: Final = 1.0
# A server that sends in bursts to catch up asks more of a worker than the load it stands for, and a worker that
# others keep from its core can do nothing: what goes wrong then shows nothing about it.
LATE_LIMIT_MS: Final = 1.0
WAITED_LIMIT_PERCENT: Final = 10.0
FULL_PERCENT: Final = 97.0  # a worker that used all of its core had it, and needs no excuse
HELD_LEAST: Final = 0.95  # of the tokens that the streams should have had; the rest is turn-around


FIRST_MS: Final = 300.0
STREAMING_S: Final = 1.6  # of each answer


class Verdict(StrEnum):
    """What a step has shown."""

    HELD = "held"
    MISSED = "missed"
    UNSHOWN = "unshown"  # missed, but perhaps not by the worker's fault


class Shape(NamedTuple):
    """What every stream does, again and again: a wait, then tokens."""

    first_ms: float
    gap_ms: float
    tokens: int

    @property
    def tokens_per_s(self) -> float:
        """Of one stream, the wait for the first token included."""
        return self.tokens * 1e3 / (self.first_ms + self.gap_ms * (self.tokens - 1))


def shape_for(tokens_per_s: float) -> Shape:
    """The streams of a selftest: a first token after 0.3 s, then the rest of the answer at this rate."""
    return Shape(FIRST_MS, 1e3 / tokens_per_s, max(2, round(STREAMING_S * tokens_per_s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One load, held once. Errors are `None` where there was nothing to measure."""

    streams: int
    requests: int
    ttft_error_p50_ms: float | None
    ttft_error_p99_ms: float | None
    gap_error_p99_ms: float | None
    missing: int  # events
    failed: int  # requests
    failure: str | None  # what the first of them said
    events_per_s: float  # sent in the window
    held: float  # the same over what this many streams should get
    cpu_percent: float  # of the worker's process
    waited_percent: float | None  # of the time, it was ready to run and another had its core
    late_p99_ms: float | None  # sends behind the server's plan
    blocked: int  # sends a socket did not take
    stamp_source: str

    @property
    def verdict(self) -> Verdict:
        """Whether this load was held within the limits above."""
        if self.problem is None:
            return Verdict.HELD
        return Verdict.MISSED if self.excuse is None else Verdict.UNSHOWN

    @property
    def room(self) -> float:
        """By what factor the worker could be asked for more, if it needed as much CPU for each event: 1.1 to 2."""
        return min(2.0, max(1.1, 100 / max(self.cpu_percent, 1.0)))

    @property
    def excuse(self) -> str | None:
        """What besides the worker may have been the cause of a miss, in a few words."""
        if self.cpu_percent >= FULL_PERCENT:
            return None
        if self.waited_percent is not None and self.waited_percent > WAITED_LIMIT_PERCENT:
            return f"others had the worker's core {self.waited_percent:.0f} % of the time"
        if self.late_p99_ms is not None and self.late_p99_ms > LATE_LIMIT_MS:
            return f"the test server was late too, by {self.late_p99_ms:.3g} ms"
        return None

    @property
    def problem(self) -> str | None:
        """Why it was not held, in a few words."""
        if self.failed:
            return f"{self.failed} requests failed ({self.failure})"
        if self.missing:
            return f"{self.missing} events not there {GRACE_NS / 1e6:.0f} ms after they were sent"
        if self.blocked:
            return f"{self.blocked} streams not read for so long that their sockets were full"
        if self.ttft_error_p99_ms is None:
            return "no request came to its first token"
        if self.ttft_error_p99_ms > TTFT_LIMIT_MS:
            return f"TTFT error p99 {self.ttft_error_p99_ms:.3g} ms is over {TTFT_LIMIT_MS:g} ms"
        return f"only {self.held:.0%} of its tokens came" if self.held < HELD_LEAST else None


class Sent(NamedTuple):
    """The server's log of one request: ns, ns each event, ns behind the plan each event."""

    read_ns: int
    sends: Sequence[int]
    lates: Sequence[int]


class Seen(NamedTuple):
    """The worker's record of one request."""

    request_id: str
    sent_ns: int | None
    first_ns: int | None
    gaps_us: Sequence[float]
    failure: str | None
    stamp_source: str


def join(streams: int, shape: Shape, served: Mapping[str, Any], loaded: Mapping[str, Any]) -> Step:
    """The figures of a step."""
    begin, end = int(loaded["begin_ns"]), int(loaded["end_ns"])
    sent = {row[0]: Sent(*row[1:]) for row in served["rows"]}
    seen = [Seen(*row) for row in loaded["rows"]]
    inside = [row for row in seen if row.sent_ns is not None and begin <= row.sent_ns]
    failures = [row.failure for row in seen if row.failure is not None]
    pairs = [(sent[row.request_id], row) for row in inside if row.request_id in sent]
    counted = [(truth, row) for truth, row in pairs if truth.sends and truth.sends[0] <= end - GRACE_NS]
    ttft = [abs(_ttft_error_ms(truth, row.sent_ns, row.first_ns)) for truth, row in counted
            if row.sent_ns is not None and row.first_ns is not None]  # fmt: skip
    gaps = [error for truth, row in counted for error in _gap_errors_ms(truth, row)]
    lates = [late for truth in sent.values()
             for at, late in zip(truth.sends, truth.lates, strict=True) if begin <= at < end]  # fmt: skip
    events_per_s = len(lates) * 1e9 / (end - begin)
    waited = loaded["waited_ns"]
    return Step(
        streams=streams,
        requests=len(counted),
        ttft_error_p50_ms=percentile(ttft, 50),
        ttft_error_p99_ms=percentile(ttft, 99),
        gap_error_p99_ms=percentile(gaps, 99),
        missing=sum(_missing(truth, row, end - GRACE_NS) for truth, row in counted),
        failed=len(failures),
        failure=failures[0] if failures else None,
        events_per_s=events_per_s,
        held=events_per_s / (streams * shape.tokens_per_s),
        cpu_percent=100 * int(loaded["cpu_ns"]) / (end - begin),
        waited_percent=None if waited is None else 100 * int(waited) / (end - begin),
        late_p99_ms=percentile([late / 1e6 for late in lates], 99),
        blocked=int(served["blocked"]),
        stamp_source=_one({row.stamp_source for _, row in counted if row.first_ns is not None}),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that `percent` of them do not exceed; None of none."""
    rank = math.ceil(percent * len(values) / 100)
    return sorted(values)[max(rank, 1) - 1] if values else None


def _ttft_error_ms(truth: Sent, sent_ns: int, first_ns: int) -> float:
    return ((first_ns - sent_ns) - (truth.sends[0] - truth.read_ns)) / 1e6


def _gap_errors_ms(truth: Sent, row: Seen) -> list[float]:
    sends = pairwise(truth.sends)
    return [abs(gap_us / 1e3 - (after - before) / 1e6)
            for gap_us, (before, after) in zip(row.gaps_us, sends, strict=False)]  # fmt: skip


def _missing(truth: Sent, row: Seen, by_ns: int) -> int:
    got = 0 if row.first_ns is None else 1 + len(row.gaps_us)
    return max(0, sum(at <= by_ns for at in truth.sends) - got)


def _one(sources: set[str]) -> str:
    return sources.pop() if len(sources) == 1 else "mixed" if sources else "none"
