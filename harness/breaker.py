"""The latest stretches of a run, from its cumulated counters, and whether too much failed in one of them.

A run is ended by a stretch up to now in which a share of `limit` or more of the finished requests failed, if

    it is long     at least `WINDOW_S`, or all of a younger run: a hiccup of 0.1 s at 1,000 requests/s ends nothing
    it says much   at least `FEWEST` requests, and so many failures that a server which fails half as often as the limit
                   would hardly ever show them: finished x D(share || limit / 2) >= ln(10^5), D being the relative
                   entropy of two coins (Chernoff's bound on a chance of 1 in 100,000)

The longest stretch looked at is as long as a share of just the limit needs to say so much (`most`: 1,154 requests for
5 %). So an outage ends a run with the first 20 requests or, later, within some seconds; twice the limit takes about 170
requests at 5 %; and a server that fails at half the limit goes on: over 10,000 requests fewer than 1 in 100 such runs
are ended, where a plain window of the last 400 ends every third. One failure out of two says nothing.

Warm-up counts as any request; what was cancelled does not. Pure: times come in as arguments.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from harness.record import Outcome

__all__ = ["FEWEST", "WINDOW_S", "Counted", "Recent", "Stretch", "evidence", "most"]

WINDOW_S: Final = 30.0
FEWEST: Final = 20
ENOUGH: Final = math.log(100_000)
_KEPT: Final = 512  # looks; of more, every other one is forgotten


class Counted(Protocol):
    """What all parts of a run have counted since it began: `harness.live.View`."""

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """Finished requests by how they ended."""

    @property
    def errors(self) -> Mapping[str, int]:
        """The failed ones by error class."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens that servers counted."""

    @property
    def output_tokens(self) -> int:
        """Tokens that servers counted."""

    @property
    def uncounted(self) -> int:
        """Succeeded requests whose output tokens nobody has counted."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came in a stretch of time; that from the beginning of the run is what has been counted."""

    length_s: float = 0.0
    finished: int = 0  # succeeded or failed
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def commonest(self) -> tuple[str, int] | None:
        """The error class that most of the failures have, and how many; the first by name of several."""
        return max(sorted(self.errors.items()), key=lambda item: item[1], default=None)


class Recent:
    """Keeps as many looks at a run's counters as its latest stretches need. Look about twice a second."""

    __slots__ = ("_limit", "_looks", "_requests")

    def __init__(self, limit: float | None) -> None:
        """A run that has just begun.

        Args:
            limit: the share of failures that ends it, above 0 and up to 1; None: none does.
        """
        self._limit = limit
        self._requests = FEWEST if limit is None else most(limit)
        self._looks = [Stretch()]

    def see(self, counted: Counted, at_s: float) -> None:
        """Look once more, `at_s` after the run began.

        Counters that went back, because a part's last word could not be read, stay what they were.
        """
        last = self._looks[-1]
        succeeded, said = counted.outcomes[Outcome.OK], counted.outcomes[Outcome.FAILED]
        failed = max(said, last.failed)
        now = Stretch(
            length_s=max(at_s, last.length_s),
            finished=max(succeeded + said, last.finished + failed - last.failed),  # never less than failed
            failed=failed,
            prompt_tokens=max(counted.prompt_tokens, last.prompt_tokens),
            output_tokens=max(counted.output_tokens, last.output_tokens),
            errors=Counter(counted.errors) | Counter(last.errors),
        )
        self._looks.append(now)
        while len(self._looks) > 2 and _is_long(self._looks[1], now, self._requests):
            del self._looks[0]
        if len(self._looks) > _KEPT:
            del self._looks[1:-1:2]

    def latest(self) -> Stretch:
        """The shortest stretch of `WINDOW_S` and `FEWEST` requests, or all that there is."""
        return _between(self._looks[next(self._starts())], self._looks[-1])

    def broken(self) -> Stretch | None:
        """The stretch that says most clearly that too much fails, if one says so clearly enough."""
        if self._limit is None:
            return None
        now = self._looks[-1]
        says: dict[int, float] = {}
        for start in self._starts():
            since = self._looks[start]
            says[start] = evidence(now.failed - since.failed, now.finished - since.finished, self._limit)
        clearest = max(says, key=lambda start: says[start])
        return _between(self._looks[clearest], now) if says[clearest] >= ENOUGH else None

    def _starts(self) -> Iterator[int]:
        """Where the stretches begin that are long enough, the shortest first; at least one."""
        now = self._looks[-1]
        for start in range(len(self._looks) - 2, 0, -1):
            if _is_long(self._looks[start], now, FEWEST):
                yield start
        yield 0


def evidence(failed: int, finished: int, limit: float) -> float:
    """How clearly failures say that `limit` is reached, in nats; 0 if their share is less or requests are too few."""
    if finished < FEWEST or failed / finished < limit:
        return 0.0
    share, half = failed / finished, limit / 2
    passed = (1 - share) * math.log((1 - share) / (1 - half)) if share < 1 else 0.0
    return finished * (share * math.log(share / half) + passed)


def most(limit: float) -> int:
    """Finished requests of the longest stretch that is looked at: `limit` of them failing is evidence enough."""
    passed = (1 - limit) * math.log((1 - limit) / (1 - limit / 2)) if limit < 1 else 0.0
    return max(FEWEST, math.ceil(ENOUGH / (limit * math.log(2) + passed)))


def _is_long(since: Stretch, now: Stretch, requests: int) -> bool:
    return now.length_s - since.length_s >= WINDOW_S and now.finished - since.finished >= requests


def _between(since: Stretch, now: Stretch) -> Stretch:
    return Stretch(
        length_s=now.length_s - since.length_s,
        finished=now.finished - since.finished,
        failed=now.failed - since.failed,
        prompt_tokens=now.prompt_tokens - since.prompt_tokens,
        output_tokens=now.output_tokens - since.output_tokens,
        errors=Counter(now.errors) - Counter(since.errors),
    )
