"""What an open loop's levels are judged by: did the load come as asked, and what did users who came on schedule wait.

The columns of one small table; there are none in a closed loop, where nobody comes before the last has gone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import figure_columns
from harness.figure_columns import Column

__all__ = ["CAPTION", "LEGEND", "columns", "lacking"]

CAPTION: Final = "open loop: arrivals, and times from when each was due"
LEGEND: Final = (
    "due/s, done/s: requests that were due (and sent) and that ended inside the window, over its length.  in flight: their mean "
    "number.  unsent: due, but never sent.  TTFT and E2E here begin when the request was due, so a client or a cap that "
    "holds it back does not hide what a user would have waited."
)
_COLUMNS: Final = (
    Column("due/s", "arrivals_per_s"),
    Column("done/s", "requests_per_s"),
    Column("in flight", "in_flight_mean"),
    Column("unsent", "unsent"),
    Column("sent late ms p99", "send_delay_ms", "p99"),
    Column("TTFT ms p50", "ttft_scheduled_ms", "p50"),
    Column("p99", "ttft_scheduled_ms", "p99"),
    Column("E2E s p50", "e2e_scheduled_ms", "p50", 1e-3),
    Column("p99", "e2e_scheduled_ms", "p99", 1e-3),
)


def columns(levels: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """(names, a row of cells for each level); no names where no level was an open loop's."""
    if not any(level.get("unsent") is not None for level in levels):
        return (), []
    cells = [[column.cell(level) for column in _COLUMNS] for level in levels]
    return tuple(column.heading for column in _COLUMNS), cells


def lacking(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which percentiles of this table are withheld somewhere."""
    return figure_columns.lacking(_COLUMNS, levels) if columns(levels)[0] else []
