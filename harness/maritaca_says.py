"""Maritaca's two tables for a console, by their own formulas (`harness.maritaca`), which are not our definitions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import loadpoint, rows
from harness import maritaca as theirs
from harness.grid import NULL, Group, columns, number, wrap
from harness.windows import Floats, floats

__all__ = ["is_asked", "of_run", "render"]

_FORMULAS: Final = (
    "generated_tps = output tokens / t_gen.  total_tps = (prompt + output tokens) / T.  System tokens = prompt and "
    "output tokens of a wave / median T of the wave.  T: the client's end-to-end time."
)
_CLOCK: Final = (
    "t_gen: the server's own decode time for {} requests, the client's E2E - TTFT for {}, not known for {}."
)
_FILTER: Final = "Answers of fewer than {} tokens are {}; their script drops those of fewer than 100."


def is_asked(settings: Mapping[str, Any]) -> bool:
    """Whether a run is one for these tables: of Maritaca's servers, or in the ways of their script."""
    backends = [str(users["backend"]) for users in settings["users"].values()]
    is_theirs = any(name.startswith(("maritalk", "maritaca")) for name in backends)
    return is_theirs or settings["refill"] == "waves" or settings["drop_answers_under"] is not None


def of_run(directory: Path, summary: Mapping[str, Any]) -> str:
    """The tables of a run directory, as `render` makes them."""
    return render(rows.load(directory / "requests.parquet", only=theirs.COLUMNS), summary)


def render(requests: pd.DataFrame, summary: Mapping[str, Any], width: int = 110) -> str:
    """Both tables, over successful measured requests; "" where no load is a number of users."""
    ok = requests[(requests["phase"] == "measure") & (requests["outcome"] == "ok")]
    ok = ok[~(floats(ok["output_tokens"]) < (summary.get("drop_answers_under") or 0))]
    levels = [level for level in summary["levels"] if level["concurrency"]]
    if not levels:  # waves are of a number of users
        return ""
    own, total, system, notes = [], [], [], []
    for level in levels:
        rows = ok[ok["level"] == level["level"]]
        waves, left = theirs.system_tokens(rows, int(level["concurrency"]))
        own.append(_three(theirs.generated_tps(rows)))
        total.append(_three(theirs.total_tps(rows)))
        system.append([*_three(waves)[1:], str(len(waves))])
        if left:
            notes.append(
                f"Level {loadpoint.short(level)}: {left} of {len(rows)} requests fill no wave, or are uncounted: left out."
            )
    users: Group = ("", ("concurrency",), [[loadpoint.short(level)] for level in levels])
    names = ("mean", "median", "std")
    lines = [
        "Maritaca's tables: tokens/s of one request",
        *columns([users, ("generated_tps", names, own), ("total_tps", names, total)], width),
        "",
        "Maritaca's tables: System tokens, prompt and output tokens/s of a wave of `concurrency` requests",
        *columns([users, ("System tokens", ("median", "std", "waves"), system)], width),
        "",
    ]
    timed = theirs.server_timed(ok)
    by_client = int((ok["server_decode_ms"].isna() & ok["ttft_ms"].notna()).sum())
    limit = summary.get("drop_answers_under")
    kept = _FILTER.format(limit or 100, "left out, as --drop-answers-under asks" if limit else "kept")
    for note in (
        _FORMULAS,
        _CLOCK.format(timed, by_client, len(ok) - timed - by_client),
        kept,
        *notes,
    ):
        lines += wrap(note, width)
    return "\n".join(lines) + "\n"


def _three(values: Floats) -> list[str]:
    """Mean, median, sample std."""
    if not len(values):
        return [NULL] * 3
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return [number(float(values.mean())), number(float(np.median(values))), number(std)]
