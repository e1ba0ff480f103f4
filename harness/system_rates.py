"""A level's rates over its windows: what the server gave to all together, and what came and went meanwhile.

The rule: whatever arrived inside the windows counts, from any request, whenever that began and however it ended. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.journal import Window
from harness.record import Phase
from harness.windows import NEVER, Arrived, Ints, Streams, ints

__all__ = ["system"]


def system(requests: pd.DataFrame, streams: Streams, windows: Sequence[Window]) -> dict[str, Any]:
    """The server's rates over the level's windows together, and the output rate of each."""
    arrived = [streams.arrived(w) for w in windows]  # probes' tokens too: the server made them
    seconds = sum(w.seconds for w in windows)
    requests = requests[(requests["phase"] != Phase.PROBE.value).to_numpy(dtype=bool)]
    whole = ints(requests["end_ns"])
    end = whole[(requests["outcome"] == "ok").to_numpy(dtype=bool)]
    due, sent = ints(requests["scheduled_ns"]), ints(requests["sent_ns"])
    came = sum(int(np.count_nonzero((due >= w.start_ns) & (due < w.end_ns))) for w in windows)
    busy_s = sum(_busy_s(sent, whole, w) for w in windows)
    ended = sum(int(np.count_nonzero((end >= w.start_ns) & (end < w.end_ns))) for w in windows)
    return {
        "system_output_tokens_per_s": _rate([a.output_tokens for a in arrived], seconds),
        "system_total_tokens_per_s": _rate([_both(a) for a in arrived], seconds),
        "system_output_tokens_per_s_repeats": [
            _rate([a.output_tokens], w.seconds) for a, w in zip(arrived, windows, strict=True)
        ],
        "requests_per_s": _rate([ended], seconds),
        "arrivals_per_s": _rate([came], seconds),
        "in_flight_mean": _rate([busy_s], seconds),
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
