"""What became of a run's datasets: how often each was gone through, and whether its disk kept up.

Each part counts the entries it has handed out (`harness.orders.Totals`); this adds them up. A dataset that was gone through
more than once gave the same prompts again, which a prefix cache may know. Pure but for what streams say of themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from harness.datasets.stream import Stream

__all__ = ["findings", "lines", "taken", "uses"]

Streams = Mapping[str, Stream]  # by the name that the options give

_WAITED_S: Final = 0.1  # of all users of a part together: less is no other load than was asked for


def taken(some: Iterable[Streams]) -> dict[str, int]:
    """Entries that this process has handed out of each dataset."""
    found: dict[str, int] = {}
    for streams in some:
        for name, stream in streams.items():
            found[name] = found.get(name, 0) + stream.taken
    return found


def findings(some: Iterable[Streams]) -> list[tuple[str, str]]:
    """For the verdict: who waits for a disk does not load a server."""
    return [
        ("suspect", _waited(name, stream))
        for streams in some
        for name, stream in streams.items()
        if stream.waited_s >= _WAITED_S
    ]


def uses(some: Iterable[Streams], statements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For `run.json`, an entry for each dataset: its entries, those handed out by all parts, and how many passes that is.

    Args:
        some: the directing process's own, which know how many entries there are.
        statements: the parts' last words.
    """
    sizes = {name: stream.entries for streams in some for name, stream in streams.items()}
    handed = [statement["totals"].get("entries") or {} for statement in statements]
    found = []
    for name, entries in sizes.items():
        count = sum(one.get(name, 0) for one in handed)
        found.append({"dataset": name, "entries": entries, "taken": count, "passes": count / entries})
    return found


def lines(told: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a user is told of each."""
    return [_line(**one) for one in told]


def _line(dataset: str, entries: int, taken: int, passes: float) -> str:
    if taken <= entries:
        return f"--dataset {dataset}: {taken:,} of its {entries:,} entries were used"
    return (
        f"--dataset {dataset}: gone through {passes:.1f} times ({taken:,} of {entries:,} entries): prompts came again, "
        "which a prefix cache may know (--bust-cache yes makes each new)"
    )


def _waited(name: str, stream: Stream) -> str:
    return (
        f"--dataset {name}: users waited {stream.starved:,} times for the disk, {stream.waited_s:.1f} s in all, so the "
        "load was less than asked for; put it on a quicker disk, or make it smaller"
    )
