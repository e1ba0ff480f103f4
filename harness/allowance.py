"""So many requests over all parts of a run and not one more: who may still send how many (`--max-requests`).

The rule: what all parts together may send is never more than the limit, whatever is lost or late. So what a lost part held
counts as sent, for nobody knows, and one that said its last word gives the rest back. What is taken back, from a part
without users or for another that has nothing, is granted anew only when that part has said that it knows.

Parts hold what they may send beforehand, in shrinking portions of what is left (`portions`), so that none waits for the
master while there is something left. In a closed loop each holds half its users' share, and at least one request for
each of them. In an open loop arrivals come to the parts in turn, and so does the allowance: dealt evenly since the parts are
what they are, so the requests sent are the schedule's first.

No clock and no messages here. Trial requests and probes are none of these requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["Allowance", "Given", "portions"]

LEAST_HELD: Final = 16  # open loop: at 200 arrivals/s to a part, they last until the next portion comes
PATIENCE: Final = 8  # looks at which nobody has sent anything
LAST: Final = 20  # open loop: the last 1 in 20 requests is dealt out at once


def portions(
    left: int, holds: Mapping[str, int], weights: Mapping[str, int], least: Mapping[str, int]
) -> dict[str, int]:
    """How much more of what is `left` each gets.

    Each is to hold its weight's share of half of it, and `least` in any case as long as there is something; who holds
    least for its weight comes first. A single one gets everything.
    """
    found, half, total = dict.fromkeys(weights, 0), left / 2, sum(weights.values())
    for name in sorted(weights, key=lambda name: holds[name] / weights[name]):
        wanted = max(least[name], round(half * weights[name] / total)) - holds[name]
        found[name] = left if len(weights) == 1 else min(left, max(0, wanted))
        left -= found[name]
    return found


class Given(NamedTuple):
    """A part's word on what it has sent."""

    offered: int  # leaves that it has given in the whole run
    revision: int = 0  # the last of which it had heard then
    is_over: bool = False  # that was its last word


@dataclass(slots=True)
class _Part:
    granted: int = 0  # since the run began
    bound: int = 0  # what it may believe to have been granted: more, until it has heard of less
    offered: int = 0  # leaves it has given, by its last word
    base: int = 0  # what it had when parts last came or went
    revision: int = 0  # how often something was taken back

    @property
    def holds(self) -> int:
        return max(0, self.granted - self.offered)

    def grant(self, more: int) -> None:
        self.granted += more
        self.bound = max(self.bound, self.granted)

    def take_back(self, granted: int) -> None:
        if granted < self.granted:
            self.granted = granted
            self.revision += 1


@dataclass(slots=True)
class Allowance:
    """What is left of `most` requests, and who holds it."""

    most: int
    _parts: dict[str, _Part] = field(default_factory=dict)
    _takers: tuple[str, ...] = ()
    _present: frozenset[str] = frozenset()
    _seen: int = 0  # leaves given, when they were last counted
    _looks: int = 0  # since there was one more

    @property
    def spent(self) -> int:
        """Leaves given; of a part that is not there all that it held, for nobody knows."""
        return sum(
            part.offered if name in self._present else max(part.bound, part.offered)
            for name, part in self._parts.items()
        )

    def of(self, name: str) -> int:
        """Leaves that a part may give in the whole run, those that it has given among them."""
        return self._parts.get(name, _Part()).granted

    def revision(self, name: str) -> int:
        """Which of its revisions that is; part and master tell each other, so that nothing is granted twice."""
        return self._parts.get(name, _Part()).revision

    def hear(self, name: str, given: Given) -> None:
        """A part's word."""
        part = self._part(name)
        part.offered = given.offered  # less than before, where an arrival went without asking
        part.granted = given.offered if given.is_over else max(part.granted, given.offered)
        if given.is_over or given.revision == part.revision:
            part.bound = part.granted

    def deal(self, users: Mapping[str, int]) -> None:
        """Closed loop: the parts that are there, with their users. What one without users holds is taken back."""
        self._present = frozenset(users)
        for name in (name for name, number in users.items() if not number):
            self._part(name).take_back(self._part(name).offered)
        # Of those who hold nothing, that one comes first which has made use of what it got.
        names = sorted((name for name in users if users[name]), key=self.revision)
        takers = {name: users[name] for name in names}
        if not takers:
            return
        self._even_out([self._part(name) for name in takers])
        holds = {name: self._part(name).holds for name in takers}
        for name, more in portions(self._left(), holds, takers, takers).items():
            self._parts[name].grant(more)

    def _even_out(self, parts: Sequence[_Part]) -> None:
        """Where nothing goes on, who has nothing gets half of what the richest holds: that one may have no use for it."""
        is_pending = any(part.bound > part.granted for part in self._parts.values())
        offered = sum(part.offered for part in self._parts.values())
        self._looks, self._seen = self._looks + 1 if offered == self._seen else 0, offered
        if self._left() or is_pending or self._looks < PATIENCE or all(part.holds for part in parts):
            return
        richest = max(parts, key=lambda part: part.holds)
        richest.take_back(richest.offered + richest.holds // 2)
        self._looks = 0

    def deal_evenly(self, names: Iterable[str]) -> None:
        """Open loop: the parts that are there."""
        takers = tuple(sorted(names))
        self._present = frozenset(takers)
        if not takers:
            return
        parts = [self._part(name) for name in takers]
        if takers != self._takers:
            self._takers = takers
            for part in parts:
                part.base = part.offered
        left, held = self._left(), sum(part.holds for part in parts)
        wanted = max(-(-(left + held) // 2), len(parts) * max(LEAST_HELD, self.most // LAST // len(parts)))
        dealt = left if len(parts) == 1 else max(0, min(left, wanted - held))
        total = sum(part.granted - part.base for part in parts) + dealt
        each, over = divmod(total, len(parts))
        for place, part in enumerate(parts):
            more = min(left, max(0, each + (place < over) - (part.granted - part.base)))
            part.grant(more)
            left -= more

    def _part(self, name: str) -> _Part:
        return self._parts.setdefault(name, _Part())

    def _left(self) -> int:
        return max(0, self.most - sum(max(part.bound, part.offered) for part in self._parts.values()))
