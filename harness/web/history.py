"""The seconds of a run as rows, for the page's charts: bounded, corrected where something becomes known of them, sent once.

A row is one second; its columns are `COLUMNS`. Rows have places, counted up over all runs of a process and never given twice,
so who says which place comes next for it (`since`) is sent what is new and what has changed, and who is of another run or was
away while rows were put together is told to begin anew.

The rule: at most `MOST` rows. Beyond it neighbours are put together two by two, those of a level with each other: rates and
counts become the mean over both, by time; of what was sampled, and of percentiles, which cannot be averaged, the later stays,
which looks back over `harness.pulse.LATELY_S`. A second that may still be corrected is left alone. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.influx.tally import KEPT  # seconds for which one may be corrected

__all__ = ["COLUMNS", "MEANS", "MOST", "History", "Part", "Row", "together"]

COLUMNS: Final = (
    *("t_ms", "level", "users", "in_flight", "backlog", "system_output_tokens_per_s", "system_total_tokens_per_s"),
    *("settled", "request_tokens_per_s_p50", "request_tokens_per_s_p10", "ttft_ms_p50", "ttft_ms_p95", "ttft_ms_p99"),
    *("tpot_ms_p50", "tpot_ms_p95", "e2e_ms_p50", "e2e_ms_p95", "e2e_ms_p99", "requests_per_s", "errors_per_s"),
    *("cpu_percent", "lag_ms"),
)  # fmt: skip
MEANS: Final = frozenset(  # by time; null where only one of two is known
    {
        *("in_flight", "backlog", "system_output_tokens_per_s", "system_total_tokens_per_s"),
        *("requests_per_s", "errors_per_s"),
    }
)
GREATEST: Final = frozenset({"cpu_percent", "lag_ms"})  # a peak must not vanish
MOST: Final = 3_600

_LEVEL, _SETTLED = COLUMNS.index("level"), COLUMNS.index("settled")
_MEANS: Final = tuple(at for at, name in enumerate(COLUMNS) if name in MEANS)
_GREATEST: Final = tuple(at for at, name in enumerate(COLUMNS) if name in GREATEST)


@dataclass(slots=True)
class Row:
    """One second, or several that were put together."""

    second: int  # the first, Unix time
    seconds: int  # how many
    values: list[Any]  # of COLUMNS
    touched: int = 0  # the place that came next when it was last changed


@dataclass(frozen=True, slots=True)
class Part:
    """What somebody is to be sent: the rows from place `begin` on."""

    begin: int
    end: int
    rows: Sequence[Sequence[Any]]
    replaced: bool


class History:
    """Of one run after the other."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._rows: list[Row] = []
        self._first = 0  # the place of the first row
        self._places: dict[int, int] = {}  # second -> index of its row, for those that stand alone

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def next(self) -> int:
        """The place of the next row."""
        return self._first + len(self._rows)

    @property
    def rows(self) -> Sequence[Row]:
        """All of them."""
        return self._rows

    def clear(self) -> None:
        """Another run begins."""
        self._first, self._rows, self._places = self.next, [], {}

    def append(self, second: int, values: Mapping[str, Any]) -> None:
        """One second more; what is not given is null."""
        if len(self._rows) >= self._most:
            self._halve()
        row = [values.get(name) for name in COLUMNS]
        row[0] = second * 1000
        row[_SETTLED] = bool(row[_SETTLED])
        self._places[second] = len(self._rows)
        self._rows.append(Row(second, 1, row, self.next))

    def change(self, second: int, values: Mapping[str, Any]) -> bool:
        """Something has become known of a second; False where it is not there by itself (any more)."""
        index = self._places.get(second)
        if index is None:
            return False
        row = self._rows[index]
        changed = [row.values[at] if name not in values else values[name] for at, name in enumerate(COLUMNS)]
        if changed != row.values:
            row.values, row.touched = changed, self.next
        return True

    def since(self, place: int) -> Part:
        """What is new from a place on, and before it what has changed since it was the next."""
        is_here = self._first < place <= self.next or place == self._first == 0
        if not is_here:  # who has come as far as the first row has others before it
            return Part(self._first, self.next, [row.values for row in self._rows], replaced=True)
        old = max(0, len(self._rows) - KEPT - 100)  # what is before it does not change any more
        changed = (at for at in range(old, len(self._rows)) if self._rows[at].touched >= place)
        index = min(next(changed, len(self._rows)), place - self._first)
        rows = [row.values for row in self._rows[index:]]
        return Part(self._first + index, self.next, rows, replaced=False)

    def _halve(self) -> None:
        """Put neighbours together; the rows get new places."""
        after = self.next
        kept: list[Row] = []
        is_open = False  # the last of `kept` may take one more
        latest = self._rows[-1].second
        for row in self._rows:
            is_final = row.values[_SETTLED] or row.second < latest - KEPT
            if is_open and is_final and kept[-1].values[_LEVEL] == row.values[_LEVEL]:
                kept[-1], is_open = together(kept[-1], row), False
            else:
                kept.append(row)
                is_open = is_final
        if len(kept) >= self._most:  # many levels, or nothing settles: the oldest go
            kept = kept[len(kept) - self._most // 2 :]
        self._first, self._rows = after, kept
        self._places = {row.second: at for at, row in enumerate(kept) if row.seconds == 1}


def together(one: Row, other: Row) -> Row:
    """Two neighbours as one row, `one` the earlier."""
    a, values = one.values, list(other.values)
    seconds = one.seconds + other.seconds
    values[0] = a[0]
    values[_SETTLED] = a[_SETTLED] and values[_SETTLED]
    for at in _MEANS:
        before, after = a[at], values[at]
        is_known = before is not None and after is not None
        values[at] = (before * one.seconds + after * other.seconds) / seconds if is_known else None
    for at in _GREATEST:
        if values[at] is None or (a[at] is not None and a[at] > values[at]):
            values[at] = a[at]
    return Row(one.second, seconds, values, max(one.touched, other.touched))
