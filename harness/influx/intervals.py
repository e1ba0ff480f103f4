"""Percentiles of each interval of a run, exact, from its table: `llm_percentiles`.

The rule: the requests of an interval are those of phase `measure` that ended well in it, whichever worker's; percentiles are as
`harness.metrics` computes them, linear between order statistics. All intervals from one before the first to one after the last are
written, those without a request too, so that a point written while load ran is replaced.

Intervals are shared by all workers, whose rows lie one after the other in the table. So how many requests each interval has is
counted first (`add`); then (`points`) the table is read again, as many intervals at once as memory shall hold, of the stored
groups that have any of them.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from harness import rows
from harness.influx.bins import LONGEST_S, column
from harness.influx.point import INTERVAL_S, SECOND, Point, Values
from harness.influx.schema import QUANTILES
from harness.windows import Floats, Ints

__all__ = ["INTERVAL_NS", "Intervals"]

INTERVAL_NS: Final = INTERVAL_S * SECOND
HELD: Final = 500_000  # requests whose figures are in memory at once
_FIGURES: Final = tuple(QUANTILES)
_COLUMNS: Final = ("outcome", "phase", "end_ns", "level", *_FIGURES)


class Intervals:
    """The intervals of one table. `add` all of it, then take the `points`."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self._counts: Counter[int] = Counter()

    def add(self, part: pa.Table) -> None:
        """Count the rows of a part; columns `outcome`, `phase`, `end_ns`."""
        which, counts = np.unique(column(part, "end_ns")[_measured(part)] // INTERVAL_NS, return_counts=True)
        for interval, number in zip(which.tolist(), counts.tolist(), strict=True):
            self._counts[interval] += number

    def points(self) -> Iterator[Point]:
        """`llm_percentiles`, in order of time.

        Raises:
            ConfigError: the table cannot be read any more.
        """
        if not self._counts:
            return
        first, last = min(self._counts) - 1, max(self._counts) + 1
        if (last - first) * INTERVAL_NS > LONGEST_S * 1_000_000_000:
            return  # damage, of which `bins` says more
        begin = first
        held = 0
        for interval in range(first, last + 1):
            held += self._counts[interval]
            if held >= HELD or interval == last:
                yield from self._of(begin, interval + 1)
                begin, held = interval + 1, 0

    def _of(self, begin: int, end: int) -> Iterator[Point]:
        """Those from `begin` until before `end`."""
        ended, levels, figures = self._read(begin * INTERVAL_NS, end * INTERVAL_NS)
        order = np.argsort(ended, kind="stable")
        ended, levels, figures = ended[order], levels[order], figures[:, order]
        edges = np.searchsorted(ended, np.arange(begin, end + 1) * INTERVAL_NS).tolist()
        for place, interval in enumerate(range(begin, end)):
            here = slice(edges[place], edges[place + 1])
            number = edges[place + 1] - edges[place]
            values: Values = {"requests": number, "level": int(levels[here][-1]) if number else None}
            for figure, name in zip(figures[:, here], _FIGURES, strict=True):
                values |= _quantiles(name, figure[~np.isnan(figure)])
            yield Point(interval * INTERVAL_NS, values)

    def _read(self, begin_ns: int, end_ns: int) -> tuple[Ints, Ints, Floats]:
        """When measured requests ended, their levels, and one row of their values a figure."""
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((len(_FIGURES), 0)))]
        for part in rows.groups(self._table, _COLUMNS, only=_touched(self._table, begin_ns, end_ns)):
            ended = column(part, "end_ns")
            here = _measured(part) & (ended >= begin_ns) & (ended < end_ns)
            if here.any():
                values = [part.column(name).to_numpy()[here] for name in _FIGURES]
                found.append((ended[here], column(part, "level")[here], np.array(values, np.float64)))
        ends, levels, figures = zip(*found, strict=True)
        return np.concatenate(ends), np.concatenate(levels), np.concatenate(figures, axis=1)


def _quantiles(name: str, values: Floats) -> Values:
    names = QUANTILES[name]
    if not len(values):
        return {}
    found = np.percentile(values, [int(quantile[1:]) for quantile in names])
    return {f"{name}_{quantile}": float(one) for quantile, one in zip(names, found, strict=True)}


def _measured(part: pa.Table) -> npt.NDArray[np.bool_]:
    outcome, phase = (part.column(name).to_numpy(zero_copy_only=False) for name in ("outcome", "phase"))
    return np.asarray((outcome == "ok") & (phase == "measure"), bool)


def _touched(table: Path, begin_ns: int, end_ns: int) -> list[int]:
    """The stored groups in which a request may have ended then."""
    stored = pq.read_metadata(table)
    found = []
    for number in range(stored.num_row_groups):
        group = stored.row_group(number)
        for place in range(group.num_columns):
            known = group.column(place)
            if known.path_in_schema == "end_ns":
                range_ = known.statistics
                if (
                    range_ is None
                    or not range_.has_min_max
                    or (range_.min < end_ns and range_.max >= begin_ns)
                ):
                    found.append(number)
    return found
