"""Maritaca's benchmark.csv: examples/local/benchmark.py of maritaca-ai/maritalk-api at 4e58d0b (2026-07-17).

    concurrency        users of the level; empty in an open loop, where nobody set it
    i                  the wave: `concurrency` requests sent one after another; empty for a request that fills none
    prompt_size        prompt tokens
    generated_tokens   output tokens
    generation_time    the server's own decode time, else the client's E2E - TTFT, s
    total_time         E2E, s
    generated_tps      generated_tokens / generation_time
    total_tps          (prompt_size + generated_tokens) / total_time

Their statements make of it the figures of the console's tables (`harness.maritaca`), whose rows these are: successful,
measured, and not left out by `--drop-answers-under`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import files, results, rows
from harness.windows import Floats, floats

__all__ = ["FILE", "table", "write"]

FILE: Final = "benchmark.csv"
_NEEDS: Final = (
    *("level", "repeat", "phase", "sent_ns", "outcome", "prompt_tokens", "output_tokens", "ttft_ms"),
    *("e2e_ms", "server_decode_ms"),
)


def write(run_dir: Path) -> list[Path]:
    """Write it into the run directory.

    Raises:
        ConfigError: the run has no results, they are damaged, or the disk refused.
    """
    summary = results.load_summary(run_dir)
    without = [name for name in rows.COLUMNS if name not in _NEEDS]
    made = table(rows.load(run_dir / "requests.parquet", without=without), summary)
    with files.refusals(run_dir, "free space, then export again"):
        files.place(run_dir / FILE, lambda beside: made.to_csv(beside, index=False, lineterminator="\n"))
    return [run_dir / FILE]


def table(requests: pd.DataFrame, summary: Mapping[str, Any]) -> pd.DataFrame:
    """The rows, level by level in order of sending; `requests` has the columns of requests.parquet."""
    ok = requests[(requests["phase"] == "measure") & (requests["outcome"] == "ok")]
    ok = ok[~(floats(ok["output_tokens"]) < (summary.get("drop_answers_under") or 0))]
    parts = [_level(ok[ok["level"] == entry["level"]], entry) for entry in summary["levels"]]
    return pd.concat([_level(ok.iloc[:0], {"concurrency": None}), *parts], ignore_index=True)


def _level(mine: pd.DataFrame, entry: Mapping[str, Any]) -> pd.DataFrame:
    mine = mine.sort_values(["repeat", "sent_ns"], kind="stable")
    prompt, output, total = (
        floats(mine["prompt_tokens"]),
        floats(mine["output_tokens"]),
        floats(mine["e2e_ms"]),
    )
    decode = floats(mine["server_decode_ms"])
    decode = np.where(np.isnan(decode), total - floats(mine["ttft_ms"]), decode)
    users = entry["concurrency"]
    usable = ~np.isnan(prompt + output) & ~np.isnan(total)
    return pd.DataFrame(
        {
            "concurrency": _whole(np.full(len(mine), np.nan if users is None else users)),
            "i": _whole(_waves(mine["repeat"].to_numpy(dtype=np.int64), usable, users)),
            "prompt_size": _whole(prompt),
            "generated_tokens": _whole(output),
            "generation_time": np.round(decode / 1e3, 9),
            "total_time": np.round(total / 1e3, 9),
            "generated_tps": _rate(output, decode),
            "total_tps": _rate(prompt + output, total),
        }
    )


def _waves(passes: "np.ndarray[Any, np.dtype[np.int64]]", usable: Any, users: int | None) -> Floats:  # noqa: ANN401
    """The number of each request's wave, counted over all passes; NaN where its pass ends before the wave is full."""
    waves = np.full(len(passes), np.nan)
    begun = 0
    for number in np.unique(passes) if users else ():
        mine = np.flatnonzero((passes == number) & usable)
        full = len(mine) // int(users or 1)
        waves[mine[: full * int(users or 1)]] = begun + np.repeat(np.arange(full), int(users or 1))
        begun += full
    return waves


def _rate(tokens: Floats, ms: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ms > 0, tokens * 1e3 / ms, np.nan)


def _whole(values: Floats) -> "pd.Series[Any]":
    """Whole numbers, which stay so where some are missing."""
    return pd.Series(values).round().astype("Int64")
