"""`client` of summary.json: how the load generator was doing over the whole run, and in its worst second.

From client.csv's rows and the requests table, nothing else. A figure that has a value every second (CPU, waiting)
gets its mean by time and its worst second; one that has many values a second (lag, late sends, read delays) gets
percentiles of all of them together, never of the seconds' percentiles, and its worst second's p99.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.seconds import Second, Send, expanded
from harness.windows import Floats, floats

__all__ = ["TIMELINE", "late_ms", "sends", "summary"]

TIMELINE: Final = 60  # points at most: the report draws them

_SET_UP: Final = ("dns_ms", "connect_ms", "tls_ms")
_DRAWN: Final = ("cpu_percent", "waited_percent", "loop_lag_ms_p99", "late_send_ms_p99")


def sends(requests: pd.DataFrame) -> Iterator[Send]:
    """Each request that went out: whose, when it was due, and how late *we* were, connection set-up taken off.

    A request whose kept-alive connection had to be replaced is left out: the first attempt's time is in its delay.
    """
    sent = _sent(requests)
    due = (int(stamp) for stamp in sent["scheduled_ns"])
    yield from zip(sent["worker"], due, _late(sent).tolist(), strict=True)


def late_ms(requests: pd.DataFrame) -> Floats:
    """How late each of these sends was, and nothing else."""
    return _late(_sent(requests))


def _sent(requests: pd.DataFrame) -> pd.DataFrame:
    return requests[requests["sent_ns"].notna() & (requests["reconnects"].fillna(0) == 0)]


def _late(sent: pd.DataFrame) -> Floats:
    late = floats(sent["sent_ns"].astype("Int64") - sent["scheduled_ns"].astype("Int64")) / 1e6
    for name in _SET_UP:
        if name in sent:
            late = late - np.nan_to_num(floats(sent[name]))
    return np.maximum(late, 0.0)


def summary(rows: Sequence[Second], late_ms: npt.ArrayLike, stamped: Sequence[str]) -> dict[str, Any]:
    """The figures. `late_ms`: of every send; `stamped`: the clocks that the records' arrivals are from."""
    reads, by_kernel = sum(row.reads for row in rows), sum(row.kernel_reads for row in rows)
    return {
        "seconds": sum(row.seconds for row in rows),
        "workers": len({row.worker for row in rows}),
        "stamp_source": (stamped[0] if len(stamped) == 1 else "mixed") if stamped else None,
        "kernel_stamped_percent": 100 * by_kernel / reads if reads else None,
        "cpu_percent": _level(rows, lambda row: row.cpu_percent),
        "waited_percent": _level(rows, lambda row: row.waited_percent),
        "throttled_percent": _level(rows, lambda row: row.throttled_percent),
        "taken_percent": _level(rows, lambda row: row.taken_percent),
        "loop_lag_ms": _many(
            _repeated(pair for row in rows for pair in expanded(row.loop_lags_ms)),
            [(row.loop_lag_ms_p99, row.loop_lag_ms_max) for row in rows],
        ),
        "late_send_ms": _many(
            np.asarray(late_ms, np.float64), [(row.late_send_ms_p99, row.late_send_ms_max) for row in rows]
        ),
        "read_delay_ms": _many(
            _repeated(pair for row in rows for pair in expanded(row.read_delays_ms)),
            [(row.read_delay_ms_p99, row.read_delay_ms_max) for row in rows],
        ),
        "reads": reads if rows else None,
        "most_ready": max((row.most_ready for row in rows), default=None),
        "most_unparsed": max((row.unparsed for row in rows), default=None),
        "clock_steps": sum(row.clock_steps for row in rows) if rows else None,
        "gc": {
            "pauses": sum(row.gc_pauses for row in rows) if rows else None,
            "total_ms": sum(row.gc_ms for row in rows) if rows else None,
            "max_ms": _most(row.gc_ms_max for row in rows),
        },
        "timeline": _timeline(rows),
    }


def _level(rows: Sequence[Second], figure: Callable[[Second], float | None]) -> dict[str, float | None]:
    known = [(value, row.seconds) for row in rows if (value := figure(row)) is not None]
    seconds = sum(length for _, length in known)
    return {
        "mean": sum(value * length for value, length in known) / seconds if seconds else None,
        "worst_second": _most(value for value, _ in known),
    }


def _repeated(pairs: Iterable[tuple[float, int]]) -> Floats:
    """Values, each as often as it was seen."""
    known = list(pairs)
    values: Floats = np.repeat(
        np.array([value for value, _ in known], np.float64), np.array([times for _, times in known], np.int64)
    )
    return values


def _many(
    values: Floats, by_second: Sequence[tuple[float | None, float | None]]
) -> dict[str, float | int | None]:
    """`by_second`: (p99, max) of each second, exact where the values are rounded."""
    most = _most(most for _, most in by_second)
    there = len(values) > 0
    return {
        "p50": float(np.percentile(values, 50)) if there else None,
        "p99": float(np.percentile(values, 99)) if there else None,
        "max": float(values.max()) if most is None and there else most,
        "n": len(values),
        "worst_second_p99": _most(p99 for p99, _ in by_second),
    }


def _timeline(rows: Sequence[Second]) -> dict[str, list[float | None]]:
    """The run in up to `TIMELINE` stretches of whole seconds: when each begins, s, and its worst second."""
    if not rows:
        return {name: [] for name in ("at_s", *_DRAWN)}
    begin = min(row.time_ns for row in rows)
    ages = [(row.time_ns - begin) / 1e9 for row in rows]
    step = max(1, int(max(ages) // TIMELINE) + 1)
    stretches: dict[int, list[Second]] = {}
    for row, age in zip(rows, ages, strict=True):
        stretches.setdefault(round(age) // step, []).append(row)
    return {
        "at_s": [float(place * step) for place in sorted(stretches)],
        **{
            name: [_most(getattr(row, name) for row in stretches[place]) for place in sorted(stretches)]
            for name in _DRAWN
        },
    }


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
