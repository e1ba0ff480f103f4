"""A level's rates over its windows: what the server gave to all together, and what came and went meanwhile.

The rule: whatever arrived inside the windows counts, from any request, whenever that began and however it ended. Each window
is counted once; a level's rates and a pass's are of the same counts. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.journal import Window
from harness.record import Phase
from harness.windows import NEVER, Arrived, Ints, Streams, ints

__all__ = ["Counted", "counted", "rates"]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was seen in one window."""

    window: Window
    arrived: Arrived  # of all requests; probes' tokens too: the server made them
    ended: int  # successful requests
    came: int  # requests that were due
    busy_s: float  # that requests were under way, summed


def counted(requests: pd.DataFrame, streams: Streams, windows: Iterable[Window]) -> Iterator[Counted]:
    """Each window, in order."""
    load = (requests["phase"] != Phase.PROBE.value).to_numpy(dtype=bool)
    whole = ints(requests["end_ns"])[load]
    end = whole[(requests["outcome"] == "ok").to_numpy(dtype=bool)[load]]
    due, sent = (ints(requests[name])[load] for name in ("scheduled_ns", "sent_ns"))
    for window in windows:
        yield Counted(
            window,
            streams.arrived(window),
            int(np.count_nonzero((end >= window.start_ns) & (end < window.end_ns))),
            int(np.count_nonzero((due >= window.start_ns) & (due < window.end_ns))),
            _busy_s(sent, whole, window),
        )


def rates(seen: Sequence[Counted]) -> dict[str, Any]:
    """The server's rates over these windows together, and the output rate of each."""
    seconds = sum(one.window.seconds for one in seen)
    return {
        "system_output_tokens_per_s": _rate([one.arrived.output_tokens for one in seen], seconds),
        "system_total_tokens_per_s": _rate([_both(one.arrived) for one in seen], seconds),
        "system_output_tokens_per_s_repeats": [
            _rate([one.arrived.output_tokens], one.window.seconds) for one in seen
        ],
        "requests_per_s": _rate([sum(one.ended for one in seen)], seconds),
        "arrivals_per_s": _rate([sum(one.came for one in seen)], seconds),
        "in_flight_mean": _rate([sum(one.busy_s for one in seen)], seconds),
    }


def _busy_s(sent: Ints, end: Ints, window: Window) -> float:
    """Seconds that all requests together were under way inside a window."""
    inside = np.minimum(end, window.end_ns) - np.maximum(sent, window.start_ns)
    return float(inside[(sent != NEVER) & (inside > 0)].sum() / 1e9)


def _both(arrived: Arrived) -> float | None:
    if arrived.output_tokens is None or arrived.prompt_tokens is None:
        return None
    return arrived.output_tokens + arrived.prompt_tokens


def _rate(amounts: Iterable[float | None], seconds: float) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) / seconds if known and seconds > 0 else None
