"""What summary.json says beside the levels' own figures: refusals for the rate, probes, and the guard that ended the run.

Computed with the results, from the tables and run.json alone, and so again years later. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.journal import Window
from harness.probe_figures import probes_summary
from harness.refusals import rate_limited

__all__ = ["with_beside"]


def with_beside(
    summary: Mapping[str, Any], run: Mapping[str, Any], requests: pd.DataFrame, windows: Sequence[Window]
) -> dict[str, Any]:
    """The summary with `rate_limited`, in all and of each level, `probes` and `ended_by`.

    Args:
        summary: what `harness.metrics` made of the same tables.
        run: run.json.
        requests: the table of requests.
        windows: those of all levels.
    """
    settings = run.get("settings", {})
    rests = settings.get("retry_after") is not False and not settings.get("arrivals")
    told = requests[
        ["level", "phase", "http_status", "retry_after_s"]
    ]  # a copy of all columns takes gigabytes
    measured = told[(told["phase"] == "measure").to_numpy(dtype=bool)]
    levels = []
    for level in summary["levels"]:
        here = measured[(measured["level"] == level["level"]).to_numpy(dtype=bool)]
        levels.append({**level, "rate_limited": rate_limited(here, rests=rests)})
    return {
        **summary,
        "levels": levels,
        "rate_limited": rate_limited(told, rests=rests),
        "probes": probes_summary(requests, windows),
        "ended_by": run.get("ended_by"),
    }
