"""What background probes say of each level, from the table of requests: rows of phase `probe`.

The rule: a level's probes are those that were due inside its windows, when load was whole, whatever became of them. Times
are of those that succeeded, each where it was measured, with the statistics of any other time in summary.json. Probes are
in no level's own statistics.

Pure; needs pandas, so it is not for a process under load. `harness.probing` is what was asked for.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.journal import Window
from harness.record import Outcome, Phase
from harness.spread import spread
from harness.windows import floats, ints

__all__ = ["probes_summary"]

_QUANTILES: Final = (50, 90, 95, 99)
_TIMES: Final = ("ttft_ms", "tpot_ms", "e2e_ms")


def probes_summary(requests: pd.DataFrame, windows: Sequence[Window]) -> list[dict[str, Any]]:
    """One entry for each level that has a window, by its key; empty if the run sent no probe at all.

    Each has `level`, `n` (probes due in its windows), `succeeded`, `failed`, `cancelled`, `errors{class: n}`, and
    `ttft_ms`, `tpot_ms`, `e2e_ms`, each `{mean, median, std, p50, p90, p95, p99, max, n, withheld}`.

    Args:
        requests: the columns of `harness.rows.COLUMNS`, stamps in Unix ns.
        windows: one a level and repeat.
    """
    probes = requests[(requests["phase"] == Phase.PROBE.value).to_numpy(dtype=bool)]
    if not len(probes):
        return []
    due = ints(probes["scheduled_ns"])
    found = []
    for level in sorted({window.level for window in windows}):
        here = np.zeros(len(probes), dtype=bool)
        for window in windows:
            if window.level == level:
                here |= (due >= window.start_ns) & (due < window.end_ns)
        found.append({"level": level, **_figures(probes[here])})
    return found


def _figures(probes: pd.DataFrame) -> dict[str, Any]:
    ended = {outcome: (probes["outcome"] == outcome.value).to_numpy(dtype=bool) for outcome in Outcome}
    good = probes[ended[Outcome.OK]]
    words = probes["error_class"][ended[Outcome.FAILED]].fillna("unknown").value_counts()
    return {
        "n": len(probes),
        "succeeded": len(good),
        "failed": int(ended[Outcome.FAILED].sum()),
        "cancelled": int(ended[Outcome.CANCELLED].sum()),
        "errors": {str(word): int(number) for word, number in sorted(words.items())},
        **{name: spread(floats(good[name]), _QUANTILES, top=True) for name in _TIMES},
    }
