"""What the records say of a search's trials, beside what was known of them while load ran.

A search decides by sketches, which are within 1 %, and by what parts had said in time. When the results are computed each
trial is judged again from its own requests and windows, as a level of summary.json is.

The rule: what the run decided stays as it was, since it decided what was held next. Where the records say otherwise the
step says so, the answer that they would have given is beside it, and the verdict is suspect. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness import metrics, search
from harness.doubts import Finding
from harness.evidence import Trial, judged
from harness.journal import Window
from harness.slo import Slos
from harness.trials import said
from harness.windows import ints

__all__ = ["checked"]


def checked(
    run: Mapping[str, Any],
    requests: pd.DataFrame,
    windows: Sequence[Window],
    slos: Slos,
    drop_under: int | None = None,
) -> tuple[dict[str, Any] | None, list[Finding]]:
    """(summary.json's `search`, doubts); (None, []) of a run without one.

    Args:
        run: run.json.
        requests: the whole table.
        windows: of all levels.
        slos: what was searched for.
        drop_under: as of `metrics.summarise`.
    """
    told = run.get("search")
    if not told:
        return None, []
    steps: list[dict[str, Any]] = []
    trials: list[Trial] = []
    for step in told["steps"]:
        here = [w for w in windows if (w.level, w.repeat) == (step["level"], step["repeat"])]
        entries = metrics.levels(_part(requests, step, here), here, slos, drop_under)
        found = next((one["slo"] for one in entries if one["level"] == step["level"]), None) or []
        trial = judged(step["value"], found)
        trials.append(trial)
        records = {"met": trial.met, "missed": list(trial.missed), "slo": found}
        steps.append({**step, "records": records, "agrees": trial.met == step["met"]})
    asked = search.parse(told["option"])
    whole = {**told, "steps": steps, "records_answer": said(asked, trials)["answer"]}
    return whole, [("suspect", line) for line in _doubts(asked, steps, told)]


def _doubts(asked: search.Search, steps: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> list[str]:
    """Where live counts and records differ, and where levels contradict each other."""
    found = [
        f"search: step {step['number']} ({step['title']}) {_word(step['met'])} while load ran, and by the records it "
        f"{_word(step['records']['met'])}; hold levels longer"
        for step in steps
        if not step["agrees"]
    ]
    partial = [str(step["number"]) for step in steps if not step["whole"]]
    if partial:
        found.append(
            f"search: step{'s' * (len(partial) > 1)} {', '.join(partial)}: load was not whole, or not all was counted in time"
        )
    return [*found, *(f"search for the highest {asked.kind}: {doubt}" for doubt in told["doubts"])]


def _word(met: bool | None) -> str:
    if met is None:
        return "could not be judged"
    return "met the SLOs" if met else "missed them"


def _part(requests: pd.DataFrame, step: Mapping[str, Any], windows: Sequence[Window]) -> pd.DataFrame:
    """The requests of one trial, and those that were under way in its windows."""
    own = ((requests["level"] == step["level"]) & (requests["repeat"] == step["repeat"])).to_numpy(dtype=bool)
    sent, end = ints(requests["sent_ns"]), ints(requests["end_ns"])
    during = np.zeros(len(requests), dtype=bool)
    for window in windows:
        during |= (sent < window.end_ns) & (end >= window.start_ns)
    other = ((requests["level"] == step["level"]) & (requests["repeat"] != step["repeat"])).to_numpy(
        dtype=bool
    )
    part: pd.DataFrame = requests[own | (during & ~other)]
    return part
