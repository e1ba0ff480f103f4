"""Maritaca's figures, by the formulas of their benchmark script, so that old results can be compared.

With G output tokens, P prompt tokens, t_gen the decode time and T the client's end-to-end time of request j,
and waves of c requests sent one after another at level c:

    generated_tps(j)  = G / t_gen                       one request's decode rate
    total_tps(j)      = (P + G) / T                     one request, prompt tokens included
    System tokens(w)  = sum over wave (P + G) / median over wave (T)

These are their definitions, not ours: `System tokens` divides by the median duration of a wave, which hides
stragglers, and prompt tokens dominate it. Two things differ on purpose, and the caption of `harness.tables` says so:
answers of fewer than 100 tokens are kept, and t_gen is the client's E2E - TTFT where the server does not time
itself. Every function takes the successful, measured rows of one level.
"""

from typing import Final

import numpy as np
import pandas as pd

from harness.windows import Floats, floats

__all__ = ["COLUMNS", "generated_tps", "server_timed", "system_tokens", "total_tps"]

# Of requests.parquet, what these tables are computed from.
COLUMNS: Final = (
    *("level", "repeat", "phase", "outcome", "sent_ns", "prompt_tokens", "output_tokens"),
    *("ttft_ms", "e2e_ms", "server_decode_ms"),
)


def server_timed(rows: pd.DataFrame) -> int:
    """How many rows carry the server's own decode time."""
    return int(np.count_nonzero(~np.isnan(floats(rows["server_decode_ms"]))))


def generated_tps(rows: pd.DataFrame) -> Floats:
    """Decode rates, tokens/s, of the rows where they are known."""
    server = floats(rows["server_decode_ms"])
    client = floats(rows["e2e_ms"]) - floats(rows["ttft_ms"])
    return _ratio(floats(rows["output_tokens"]), np.where(np.isnan(server), client, server))


def total_tps(rows: pd.DataFrame) -> Floats:
    """Prompt and output tokens over end-to-end time, tokens/s, of the rows where they are known."""
    return _ratio(floats(rows["prompt_tokens"]) + floats(rows["output_tokens"]), floats(rows["e2e_ms"]))


def _ratio(tokens: Floats, ms: Floats) -> Floats:
    """Tokens/s of the rows where both are known."""
    use = ~np.isnan(tokens) & (ms > 0)
    return tokens[use] * 1e3 / ms[use]


def system_tokens(rows: pd.DataFrame, level: int) -> tuple[Floats, int]:
    """System tokens, tokens/s, of each full wave in order of sending; and how many rows are in none."""
    tokens = floats(rows["prompt_tokens"]) + floats(rows["output_tokens"])
    usable = rows[~np.isnan(tokens) & ~np.isnan(floats(rows["e2e_ms"]))]
    waves: list[float] = []
    for _, one in usable.sort_values("sent_ns", kind="stable").groupby("repeat"):
        tokens, ms = floats(one["prompt_tokens"]) + floats(one["output_tokens"]), floats(one["e2e_ms"])
        for start in range(0, len(one) - level + 1, level):
            wave = slice(start, start + level)
            median = float(np.median(ms[wave]))
            waves.append(float(tokens[wave].sum()) * 1e3 / median if median > 0 else np.nan)
    return np.array(waves, dtype=np.float64), len(rows) - len(waves) * level
