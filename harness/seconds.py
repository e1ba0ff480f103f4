"""One second of this client's own life, and client.csv, where a run keeps all of them.

A `Second` is what one process noticed about itself in about a second of load. It rides in the journal while load
runs (kind `health`), so that a crash costs none; when the run is over the sends of that second are added from
the records, and the rows go to client.csv. Every figure about the client can be computed again from that file.

Percentiles of a whole run cannot be had from those of its seconds. So a row also holds the values themselves, to two
digits and with how often each was seen: `0.13*80 0.2*18 12*1`.

Values in, text out, and back. No clock here, and no opinion: that is `harness.client_doubts`.
"""

import csv
import io
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from harness import files

__all__ = ["Second", "Send", "counted", "expanded", "load", "of_json", "spread", "text", "with_sends"]

LEAST: Final = 0.01  # ms; nobody asks how much less than 10 us
_LEAST: Final = str(LEAST)

Send = tuple[str, int, float]  # worker, when it was due in Unix ns, by how much it was late in ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """docs/metrics.md, "The client itself", says what each column means. None: not measured here."""

    time_ns: int  # its start, Unix time
    worker: str
    seconds: float  # its length; a blocked process makes longer ones
    cpu_percent: float
    waited_percent: float | None = None
    waited_ms: float | None = None
    throttled_percent: float | None = None
    taken_percent: float | None = None
    loop_lag_ms_p50: float | None = None
    loop_lag_ms_p99: float | None = None
    loop_lag_ms_max: float | None = None
    blocked_ms: float = 0.0
    blocked_working_ms: float = 0.0
    reads: int = 0
    kernel_reads: int = 0
    most_ready: int = 0
    read_delay_ms_p50: float | None = None
    read_delay_ms_p99: float | None = None
    read_delay_ms_max: float | None = None
    unparsed: int = 0
    clock_steps: int = 0
    gc_pauses: int = 0
    gc_ms: float = 0.0
    gc_ms_max: float | None = None
    sends: int | None = None
    late_send_ms_p50: float | None = None
    late_send_ms_p99: float | None = None
    late_send_ms_max: float | None = None
    loop_lags_ms: str = ""
    read_delays_ms: str = ""
    clock_offset_ns: int = 0  # what was taken off `time_ns` to bring it to the run's clock

    @property
    def end_ns(self) -> int:
        """Unix ns."""
        return self.time_ns + int(self.seconds * 1e9)

    @classmethod
    def read(cls, row: Mapping[str, str]) -> Self:
        """The second of a row of client.csv; columns it does not know are passed over.

        Raises:
            ValueError: a cell that is no number, or a column is missing.
        """
        try:
            found = cls(**{name: _KINDS[name](cell) for name, cell in row.items() if name in _KINDS and cell})
        except TypeError as error:
            raise ValueError(str(error)) from None
        for cell in (found.loop_lags_ms, found.read_delays_ms):
            expanded(cell)
        return found


def _kind(annotation: object) -> Any:  # noqa: ANN401  what reads a cell
    return next(kind for kind in (str, int, float) if annotation in (kind, kind | None))


_KINDS: Final = {field.name: _kind(field.type) for field in fields(Second)}
NAMES: Final = tuple(_KINDS)


def of_json(value: Mapping[str, Any]) -> Second:
    """The second of a journal's line.

    Raises:
        TypeError: a field is missing.
    """
    return Second(**{name: value[name] for name in NAMES if name in value})


def text(rows: Iterable[Second]) -> str:
    """client.csv: one line a second and worker, in order of time."""
    out = io.StringIO()
    table = csv.DictWriter(out, NAMES, lineterminator="\n")
    table.writeheader()
    table.writerows(
        {name: _cell(value) for name, value in asdict(row).items()}
        for row in sorted(rows, key=lambda row: (row.time_ns, row.worker))
    )
    return out.getvalue()


def load(path: Path) -> list[Second]:
    """The rows of client.csv; none if a run has no such file.

    Raises:
        ConfigError: it is damaged.
    """
    return files.from_csv(path, lambda file: [Second.read(row) for row in csv.DictReader(file)])


def with_sends(rows: Sequence[Second], sends: Iterable[Send]) -> list[Second]:
    """The rows, with what was due in each of them."""
    late: list[list[float]] = [[] for _ in rows]
    places: dict[str, list[tuple[int, int]]] = {}
    for start, index in sorted((row.time_ns, index) for index, row in enumerate(rows)):
        places.setdefault(rows[index].worker, []).append((start, index))
    for worker, due_ns, late_ms in sends:
        mine = places.get(worker, [])
        at = bisect_right(mine, (due_ns, len(rows))) - 1
        if at >= 0 and due_ns < rows[mine[at][1]].end_ns:
            late[mine[at][1]].append(late_ms)
    return [_with_late(row, found) for row, found in zip(rows, late, strict=True)]


def _with_late(row: Second, late_ms: Sequence[float]) -> Second:
    p50, p99, most = spread(late_ms)
    return replace(row, sends=len(late_ms), late_send_ms_p50=p50, late_send_ms_p99=p99, late_send_ms_max=most)


def spread(values: Sequence[float]) -> tuple[float, float, float] | tuple[None, None, None]:
    """(p50, p99, max), the first two linear between order statistics; None for nothing."""
    if not values:
        return None, None, None
    ordered = sorted(values)
    return _quantile(ordered, 0.50), _quantile(ordered, 0.99), ordered[-1]


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def counted(values: Iterable[float]) -> str:
    """Values to two digits, each with how often: `0.13*80 12*1`; what is below `LEAST` counts as that."""
    times = Counter(f"{value:.2g}" if value > LEAST else _LEAST for value in values)
    pairs = sorted((float(value), number) for value, number in times.items())
    return " ".join(f"{value:g}*{number}" for value, number in pairs)


def expanded(cell: str) -> list[tuple[float, int]]:
    """(value, how often) of such a cell.

    Raises:
        ValueError: it is none.
    """
    pairs = (part.split("*") for part in cell.split())
    return [(float(value), int(number)) for value, number in pairs]


def _cell(value: Any) -> object:  # noqa: ANN401  a number, a text or None
    return f"{value:.6g}" if isinstance(value, float) else value
