"""A level's requests apart by what they were: by name, where there are several kinds, and by turn, where there are chats.

The same population and the same formulas as the level's own statistics (`harness.metrics`): measured requests, and of times,
rates and counts those that succeeded. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import figure_columns
from harness.figure_columns import Column
from harness.grid import clean
from harness.spread import TIME_QUANTILES, spread
from harness.windows import floats

__all__ = ["COLUMNS", "by_name", "by_turn", "cells", "chats", "lacking", "table"]

_FIGURES: Final = ("prompt_tokens", "output_tokens", "cached_tokens", "ttft_ms", "tpot_ms", "e2e_ms")
TURNS: Final = 20  # told one by one; those beyond come together

COLUMNS: Final = (
    Column("prompt", "prompt_tokens", "mean"),
    Column("output", "output_tokens", "mean"),
    Column("cached", "cached_tokens", "mean"),
    Column("TTFT ms p50", "ttft_ms", "p50"),
    Column("p95", "ttft_ms", "p95"),
    Column("TPOT ms p50", "tpot_ms", "p50"),
    Column("E2E s p50", "e2e_ms", "p50", 1e-3),
    Column("p95", "e2e_ms", "p95", 1e-3),
)


def by_name(requests: pd.DataFrame) -> list[dict[str, Any]]:
    """An entry for each level and name, in order; none where all measured requests have one name."""
    here = (requests["phase"] == "measure").to_numpy(dtype=bool)
    if requests["name"][here].nunique() < 2:
        return []
    measured = requests[[*_FIGURES, "level", "name", "outcome"]][here]
    return [
        {"level": int(rows["level"].iloc[0]), "name": str(rows["name"].iloc[0]), **_figures(rows)}
        for _, rows in measured.groupby(["level", "name"], sort=True)
    ]


def by_turn(requests: pd.DataFrame) -> list[dict[str, Any]]:
    """An entry for each level and turn of its chats; `turn` is the first of those that come together at the end."""
    here = ((requests["phase"] == "measure") & requests["turn"].notna()).to_numpy(dtype=bool)
    if not here.any():
        return []
    measured = requests[[*_FIGURES, "level", "turn", "outcome"]][here]
    turns = measured["turn"].astype("int64").clip(upper=TURNS)
    return [
        {"level": int(rows["level"].iloc[0]), "turn": int(rows["turn"].min()), **_figures(rows)}
        for _, rows in measured.groupby([measured["level"], turns], sort=True)
    ]


def chats(requests: pd.DataFrame) -> dict[str, Any] | None:
    """How many chats there were, in all phases, and how many turns they had; None without any."""
    told = requests[["session_id", "turn"]][requests["session_id"].notna().to_numpy(dtype=bool)]
    if not len(told):
        return None
    lengths = told.groupby("session_id")["turn"].max().astype("int64").to_numpy()
    return {
        "sessions": len(lengths),
        "turns": len(told),
        "turns_mean": float(np.mean(lengths)),
        "turns_max": int(lengths.max()),
    }


def cells(entry: Mapping[str, Any]) -> list[str]:
    """A row of `COLUMNS`, with what the entry is called in front."""
    turn = entry.get("turn")
    name = clean(entry["name"]) if turn is None else f"turn {turn}{' and later' * (turn == TURNS)}"
    asked = f"{entry['succeeded']}/{entry['requests']}"
    return [name, asked, *(column.cell(entry) for column in COLUMNS)]


def lacking(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which percentiles of these rows are withheld somewhere."""
    return figure_columns.lacking(COLUMNS, entries)


def table(entries: Sequence[Mapping[str, Any]], titles: Mapping[int, str]) -> Iterator[list[str]]:
    """Rows for a table: the level's title, then `cells`."""
    for entry in entries:
        yield [titles.get(entry["level"], str(entry["level"])), *cells(entry)]


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    ok = rows[rows["outcome"] == "ok"]
    return {
        "requests": len(rows),
        "succeeded": len(ok),
        "failed": int((rows["outcome"] == "failed").sum()),
        **{name: spread(floats(ok[name]), TIME_QUANTILES, top=True) for name in _FIGURES},
    }
