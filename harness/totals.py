"""Requests by how they ended: as a worker counts its own, and as the table holds them.

`offered` are leaves to send. Each ends in one row, so for rows it is their number. A worker's word is another machine's:
what is not of the kind it should be counts as not said. Pure, and without pandas of its own.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counts", "differences", "of_rows"]

_OUTCOMES: Final = {"ok": "succeeded", "cancelled": "cancelled"}  # in the table, in a worker's totals
_FAILED: Final = "failed "


@dataclass(frozen=True, slots=True)
class Counts:
    """`ended`: `succeeded`, `cancelled` and `failed CLASS`. `sent`: those of which a byte went out."""

    offered: int = 0
    sent: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    dropped: int = 0  # journal lines that the disk refused

    @classmethod
    def said(cls, totals: object) -> Self:
        """A worker's own totals; all 0 if it gave none."""
        told = totals if isinstance(totals, Mapping) else {}
        failed = told.get("failed")
        ended = Counter({name: _whole(told.get(name)) for name in _OUTCOMES.values()})
        for word, number in failed.items() if isinstance(failed, Mapping) else ():
            ended[f"{_FAILED}{word}"] = _whole(number)
        return cls(
            offered=_whole(told.get("offered")),
            sent=_whole(told.get("sent")),
            ended=ended,
            dropped=_whole(told.get("dropped")),
        )

    @property
    def failed(self) -> dict[str, int]:
        """By error class, those that there were."""
        words = {key: number for key, number in self.ended.items() if key.startswith(_FAILED) and number}
        return {key.removeprefix(_FAILED): number for key, number in sorted(words.items())}


def of_rows(requests: "pd.DataFrame") -> dict[str, Counts]:
    """What the table holds of each worker."""
    keys = [requests[name].fillna("unknown") for name in ("worker", "outcome", "error_class")]
    sizes = requests.groupby(keys, observed=True).size()
    ended: dict[str, Counter[str]] = {}
    names = (map(str, sizes.index.get_level_values(level)) for level in range(3))
    for worker, outcome, word, number in zip(*names, sizes, strict=True):
        ended.setdefault(worker, Counter())[_OUTCOMES.get(outcome, f"{_FAILED}{word}")] += int(number)
    out = requests["sent_ns"].notna().groupby(keys[0], observed=True).sum()
    sent = dict(zip(map(str, out.index), map(int, out), strict=True))
    return {name: Counts(counts.total(), sent[name], counts) for name, counts in ended.items()}


def differences(said: Counts, rows: Counts, excused: int) -> list[str]:
    """What a worker's last word says and its rows do not bear out, or in what it contradicts itself.

    `excused`: how many of its rows may be missing. None may be too many.
    """
    found = []
    if said.offered != said.ended.total():
        found.append(f"it signed {said.offered:,} offered, of which {said.ended.total():,} ended")
    short = (said.ended - rows.ended).total()
    for name in sorted(said.ended | rows.ended):
        signed, there = said.ended[name], rows.ended[name]
        if there > signed or (there < signed and short > excused):
            found.append(f"it signed {signed:,} {name}, the table has {there:,}")
    if not 0 <= said.sent - rows.sent <= min(short, excused):
        found.append(f"it signed {said.sent:,} sent, the table has {rows.sent:,}")
    return found


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
