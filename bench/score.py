"""From the two logs of a run to its figures. Pure: logs and what the client said of itself in, numbers out."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from loads import Load
from stamps import Stamps

__all__ = ["Figures", "judge", "median"]

# What the bench keeps of an answer beside its stamps: id, object, array.
STAMPS_BYTES: Final = 300

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One client under one load; definitions are in `results.DEFINITIONS`. None: not measured."""

    events_per_s: float
    requests_per_s: float
    cpu_us: float  # per event
    busy_percent: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    ttft_max_ms: float | None
    gap_p50_us: float | None
    gap_p99_us: float | None
    gap_max_us: float | None
    merged_percent: float
    lost: float
    failed: float
    unknown: float  # answers whose id the server's log does not have
    behind_p99_ms: float | None  # from an answer's last event until it was in hand, parsed
    rss_mb: float
    rss_growth_mb: float | None
    files_left: float
    server_late_p99_ms: float | None
    others_percent: float


# The worst of all rounds is what these are for.
_WORST: Final = ("ttft_max_ms", "gap_max_us", "lost", "failed", "unknown", "files_left", "others_percent")


def judge(
    load: Load,
    said: Mapping[str, Any],
    server: Mapping[str, Stamps],
    client: Mapping[str, Stamps],
    *,
    rss_mb: Sequence[tuple[int, float]] = (),  # (monotonic ns, MB) seen from outside
    others_percent: float = 0.0,
) -> Figures:
    """The figures of one run."""
    pairs = [(server[name], answer) for name, answer in client.items() if name in server]
    ttft = np.array([_ttft_error_ns(*pair) for pair in pairs if pair[0].times and pair[1].times]) / 1e6
    gaps = _gap_errors_ns(pairs) / 1e3
    steady_s = (said["stop_ns"] - said["steady_ns"]) / 1e9
    arrivals = _joined([np.asarray(answer.times) for answer in client.values()])
    ends = np.array([answer.times[-1] for answer in client.values() if answer.complete and answer.times])
    merged = sum(int(np.count_nonzero(np.diff(np.asarray(answer.times)) == 0)) for answer in client.values())
    behind = np.array([answer.late_ns for answer in client.values() if answer.late_ns]) / 1e6
    late = np.array([request.late_ns for request in server.values()]) / 1e6
    return Figures(
        events_per_s=_within(arrivals, said) / steady_s,
        requests_per_s=_within(ends, said) / steady_s,
        cpu_us=said["cpu_s"] * 1e6 / max(1, len(arrivals)),
        busy_percent=100 * said["steady_cpu_s"] / said["steady_s"],
        ttft_p50_ms=_percentile(ttft, 50),
        ttft_p99_ms=_percentile(ttft, 99),
        ttft_max_ms=_percentile(ttft, 100),
        gap_p50_us=_percentile(gaps, 50),
        gap_p99_us=_percentile(gaps, 99),
        gap_max_us=_percentile(gaps, 100),
        merged_percent=100 * merged / max(1, len(arrivals)),
        lost=sum(answer.asked - len(answer.times) for answer in client.values()),
        failed=said["failed"],
        unknown=len(client) - len(pairs),
        behind_p99_ms=_percentile(behind, 99),
        rss_mb=said["rss_peak_kb"] / 1024,
        rss_growth_mb=_growth_mb(rss_mb, said, client),
        files_left=said["files_left"],
        server_late_p99_ms=_percentile(late, 99) if load.paced else None,
        others_percent=others_percent,
    )


def median(rounds: Sequence[Figures]) -> Figures:
    """The middle of several rounds, field by field; the worst where only that matters."""
    merged: dict[str, Any] = {}
    for name in (field.name for field in fields(Figures)):
        values = [value for figures in rounds if (value := getattr(figures, name)) is not None]
        pick = max if name in _WORST else statistics.median
        merged[name] = pick(values) if values else None
    return Figures(**merged)


def _ttft_error_ns(sent: Stamps, got: Stamps) -> int:
    """What the client makes of the time to first token, less the truth."""
    return abs((got.times[0] - got.start_ns) - (sent.times[0] - sent.start_ns))


def _gap_errors_ns(pairs: Sequence[tuple[Stamps, Stamps]]) -> Values:
    """|client gap - server gap|, one entry a gap, of answers that came whole."""
    whole = [pair for pair in pairs if len(pair[0].times) == len(pair[1].times) > 1]
    errors = [np.abs(np.diff(np.asarray(got.times)) - np.diff(np.asarray(sent.times))) for sent, got in whole]
    return _joined(errors)


def _joined(parts: Sequence[npt.NDArray[Any]]) -> Values:
    return np.concatenate(parts) if parts else np.array([])


def _within(stamps: npt.NDArray[Any], said: Mapping[str, Any]) -> int:
    """How many came in the steady part."""
    return int(np.count_nonzero((stamps >= said["steady_ns"]) & (stamps < said["stop_ns"])))


def _percentile(values: npt.NDArray[Any], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


def _growth_mb(
    samples: Sequence[tuple[int, float]], said: Mapping[str, Any], client: Mapping[str, Stamps]
) -> float | None:
    """Peak memory in the last third of the load less that in the middle one, the bench's own stamps left out."""
    begin, third = said["begin_ns"], (said["stop_ns"] - said["begin_ns"]) // 3
    middle = [rss for time_ns, rss in samples if begin + third <= time_ns < begin + 2 * third]
    last = [rss for time_ns, rss in samples if begin + 2 * third <= time_ns <= begin + 3 * third]
    if not middle or not last:
        return None
    kept = [answer for answer in client.values() if answer.times and answer.times[-1] >= begin + 2 * third]
    own_bytes = sum(
        STAMPS_BYTES + 8 * len(answer.times) for answer in kept if answer.times[-1] < said["stop_ns"]
    )
    return max(last) - max(middle) - own_bytes / 2**20
