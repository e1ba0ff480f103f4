"""Service levels by name: what `--slo mlperf:llama2-70b-interactive` stands for.

The limits are those of MLCommons' own LoadGen configuration, `loadgen/mlperf.conf` of mlcommons/inference at commit
b66003e1 (2026-08-20, LoadGen 6.0.17; the file itself last changed in b0662794, 2026-07-02): `MODEL.Server.ttft_latency`
and `MODEL.Server.tpot_latency`, in ms, at `*.Server.target_latency_percentile = 99`. Their submission checker has the same
ones (`tools/submission/submission_checker/constants.py`, `LLM_LATENCY_LIMITS`). Limits are inclusive, as in
`loadgen/results.cc`, where only a latency *above* the limit misses it. Models whose limit is on whole answers (gptj, qwen3-vl)
have none on tokens, and are not here.

LoadGen counts a first token from when its query was *scheduled* (`loadgen/loadgen.cc`, `TokenComplete`), so TTFT is
`ttft_scheduled` here. Pure.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["MLPERF", "expand", "names"]

MLPERF: Final[Mapping[str, tuple[int, int]]] = {  # model: (TTFT, TPOT) at p99, ms
    "llama2-70b": (2000, 200),
    "llama2-70b-interactive": (450, 40),
    "llama3.1-405b": (6000, 175),
    "llama3.1-405b-interactive": (4500, 80),
    "llama3.1-8b": (2000, 100),
    "llama3.1-8b-interactive": (500, 30),
    "mixtral-8x7b": (2000, 200),
    "deepseek-r1": (2000, 80),
    "deepseek-r1-interactive": (1500, 15),
    "gpt-oss-120b": (3000, 80),
    "gpt-oss-120b-interactive": (2000, 15),
}


def names() -> list[str]:
    """Every preset, as `--slo` takes it."""
    return [f"mlperf:{model}" for model in MLPERF]


def expand(text: str) -> list[str] | None:
    """The SLOs a preset stands for, each naming it: `tpot_p99<=40ms (mlperf:llama2-70b-interactive)`.

    None if there is no such preset. Blanks and capitals do not matter, and `llama3_1`, as LoadGen writes it, is `llama3.1`.
    """
    source, _, model = text.strip().lower().replace(" ", "").partition(":")
    model = model.replace("_", ".")
    if source != "mlperf" or model not in MLPERF:
        return None
    ttft, tpot = MLPERF[model]
    return [
        f"ttft_scheduled_p99<={ttft}ms (mlperf:{model})",
        f"tpot_p99<={tpot}ms (mlperf:{model})",
    ]
