"""Two runs' bodies held against each other: has the second sent what the first did?

A request is known by its place: the user class, its number in the sequence of that class, and which turn of a chat it is
(`harness.menu` says why the body follows from these). What is held against what:

    a number          with the same number of the same user class, whatever level it fell to: a level that ends by the clock
                      gives more of the sequence to one run than to the other
    a sweep over lengths in a closed loop   each level has its own sequence: the n-th request of a level with the n-th,
                      for each worker
    a probe           with the probe of the same number
    no number         a prompt of the locustfile's own: as many of each body here as there
    a later turn      with nothing: the server's own answers are in it

A place that only one of both has come to is no difference; how many there are is said. Pure: rows in, counts out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = ["COLUMNS", "Difference", "Verdict", "compared"]

COLUMNS: Final = ("user_class", "number", "turn", "level", "repeat", "phase", "worker", "body_sha256")
_PROBE: Final = "probe"

Row = Mapping[str, Any]


class Place(NamedTuple):
    """Of one request in its sequence. `level` is 0 where levels share one; `origin` tells workers apart where they do not."""

    kind: str  # "" or "probe"
    user_class: str
    level: int
    origin: int
    number: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which the bodies are not the same."""

    what: str
    base_sha256: str
    new_sha256: str


@dataclass(slots=True)
class Verdict:
    """How many requests were held against each other, and what came of it."""

    same: int = 0
    different: int = 0
    only_base: int = 0  # places that only the first run has come to
    only_new: int = 0
    later_turns: int = 0  # of the first run's chats
    first: Difference | None = None
    by_level: dict[tuple[int, int], list[int]] = field(
        default_factory=dict
    )  # (level, repeat): same, different

    @property
    def compared(self) -> int:
        """Requests of the first run that have a counterpart."""
        return self.same + self.different


@dataclass(slots=True)
class _Sent:
    """What one run has sent."""

    placed: dict[Place, tuple[str, int, int]] = field(default_factory=dict)  # digest, level, repeat
    own: Counter[tuple[str, str]] = field(default_factory=Counter)  # of (user class, digest)
    later_turns: int = 0


def compared(base: Iterable[Row], new: Iterable[Row], *, by_level: bool = False) -> Verdict:
    """Hold two runs' rows (`COLUMNS`) against each other. `by_level`: each level has a sequence of its own."""
    first, second = _sent(base, by_level=by_level), _sent(new, by_level=by_level)
    found = Verdict(later_turns=first.later_turns)
    for place in sorted(first.placed):
        digest, level, repeat = first.placed[place]
        other = second.placed.get(place)
        if other is None:
            found.only_base += 1
            continue
        counts = found.by_level.setdefault((level, repeat), [0, 0])
        if other[0] == digest:
            found.same += 1
            counts[0] += 1
        else:
            found.different += 1
            counts[1] += 1
            found.first = found.first or Difference(_named(place, level), digest, other[0])
    found.only_new = sum(place not in first.placed for place in second.placed)
    _own_prompts(found, first.own, second.own)
    return found


def _own_prompts(found: Verdict, first: Counter[tuple[str, str]], second: Counter[tuple[str, str]]) -> None:
    """Bodies without a number: what is left over on both sides is another body, on one side only it is none."""
    found.same += (first & second).total()
    here, there = first - second, second - first
    changed = min(here.total(), there.total())
    found.different += changed
    found.only_base += here.total() - changed
    found.only_new += there.total() - changed
    if changed and found.first is None:
        (name, digest), (_, other) = min(here), min(there)
        found.first = Difference(f"a prompt of {name or 'the locustfile'}'s own", digest, other)


def _sent(run: Iterable[Row], *, by_level: bool) -> _Sent:
    found = _Sent()
    sent: Iterable[Row] = (row for row in run if row["body_sha256"] is not None)
    kept = list(sent) if by_level else sent  # a million rows are not held if they need not be
    begins = _begins(kept) if by_level else {}
    queues: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in kept:
        name, number = row["user_class"] or "", row["number"]
        if row["turn"] is not None and row["turn"] > 1:
            found.later_turns += 1
        elif number is None:
            found.own[name, row["body_sha256"]] += 1
        elif row["phase"] == _PROBE:
            _put(found, Place(_PROBE, name, 0, 0, number), row)
        elif by_level:
            queues[name, row["level"], begins[str(row["worker"])]].append(row)
        else:
            _put(found, Place("", name, 0, 0, number), row)
    for (name, level, origin), queue in queues.items():
        for nth, row in enumerate(sorted(queue, key=lambda row: int(row["number"]))):
            _put(found, Place("", name, level, origin, nth), row)
    return found


def _begins(kept: Iterable[Row]) -> dict[str, int]:
    """The first number of each worker, which it has in every run."""
    found: dict[str, int] = {}
    for row in kept:
        if row["number"] is not None and row["phase"] != _PROBE:
            worker, number = str(row["worker"]), int(row["number"])
            found[worker] = min(found.get(worker, number), number)
    return found


def _put(found: _Sent, place: Place, row: Row) -> None:
    if place in found.placed:  # no run of ours makes two of one place; such are known by their bodies
        found.own[place.user_class, row["body_sha256"]] += 1
    else:
        found.placed[place] = (str(row["body_sha256"]), row["level"], row["repeat"])


def _named(place: Place, level: int) -> str:
    what = "probe" if place.kind else f"{place.user_class}, request"
    return f"{what} {place.number} (level {level})"
