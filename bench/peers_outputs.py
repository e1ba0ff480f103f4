"""What each tool says of a run, read from the files it leaves; every figure as the tool itself computed it.

The rule: nothing is recomputed here, only found and brought to milliseconds. "ITL" is two things in this field: the
gaps between events one by one, or one mean per request ((E2E - TTFT) / (tokens - 1)); `Said.itl_of` says which, so
that it is held against the same thing of the server's log. Where the files name the requests as the server knows
them, the ids come along, and the truth is then of exactly these.
"""

import base64
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from processes import BenchError

__all__ = ["Quantiles", "Said", "aiperf", "evalscope", "guidellm", "inference_perf", "tokenswarm"]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Median and 99th percentile, ms."""

    p50: float
    p99: float

    def less(self, other: "Quantiles") -> "Quantiles":
        """The difference, one by one."""
        return Quantiles(self.p50 - other.p50, self.p99 - other.p99)


@dataclass(frozen=True, slots=True)
class Said:
    """A tool's own report of a run."""

    requests: int  # that its figures are of
    ttft: Quantiles
    itl: Quantiles
    itl_of: Literal["gaps", "means"]
    ids: frozenset[str] | None = (
        None  # of these requests, as in the server's log; None: the files do not name them
    )
    verdict: str | None = None  # what the tool thinks of its own run; only tokenswarm says


def aiperf(folder: Path) -> Said:
    """profile_export_aiperf.json for the figures (inter-chunk latency: gaps), profile_export.jsonl for the ids."""
    report = _json(_one(folder, "profile_export_aiperf.json"))
    lines = _one(folder, "profile_export.jsonl").read_text(encoding="utf-8").splitlines()
    ids = frozenset(json.loads(line)["metadata"]["x_request_id"] for line in lines)
    ttft, gaps = report["time_to_first_token"], report["inter_chunk_latency"]
    if ttft["unit"] != "ms" or gaps["unit"] != "ms":
        raise BenchError(f"aiperf's report is in {ttft['unit']} and {gaps['unit']}, not ms")
    return Said(
        int(ttft["count"]),
        Quantiles(ttft["p50"], ttft["p99"]),
        Quantiles(gaps["p50"], gaps["p99"]),
        "gaps",
        ids,
    )


def guidellm(folder: Path) -> Said:
    """report.json, successful requests; its inter-token latency is one mean a request, weighted by tokens."""
    benchmark = _json(_one(folder, "report.json"))["benchmarks"][0]
    metrics = benchmark["metrics"]
    ttft, itl = (metrics[name]["successful"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
    ids = frozenset(request["response_id"] for request in benchmark["requests"]["successful"])
    return Said(
        int(ttft["count"]),
        Quantiles(ttft["percentiles"]["p50"], ttft["percentiles"]["p99"]),
        Quantiles(itl["percentiles"]["p50"], itl["percentiles"]["p99"]),
        "means",
        ids,
    )


def evalscope(folder: Path) -> Said:
    """benchmark_percentile.json for the figures, the raw answers in benchmark_data.db for the ids."""
    rows = {row["Percentiles"]: row for row in _json(_one(folder, "benchmark_percentile.json"))}
    with closing(sqlite3.connect(_one(folder, "benchmark_data.db"))) as database:
        answers = [
            text for (text,) in database.execute("SELECT response_messages FROM result WHERE success = 1")
        ]
    # Base64 of a pickle, which nobody should load; the server's own name for the request stands in it as it is.
    ids = frozenset(
        found[1].decode()
        for text in answers
        if (found := re.search(rb"[^\w-](gt-\d+)\W", base64.b64decode(text)))
    )
    ttft, gaps = (Quantiles(rows["50%"][name], rows["99%"][name]) for name in ("TTFT (ms)", "ITL (ms)"))
    return Said(len(answers), ttft, gaps, "gaps", ids if len(ids) == len(answers) else None)


def inference_perf(folder: Path) -> Said:
    """summary_lifecycle_metrics.json, in seconds; its per-request file is off by default and would cost it."""
    done = _json(_one(folder, "summary_lifecycle_metrics.json"))["successes"]
    ttft, gaps = (done["latency"][name] for name in ("time_to_first_token", "inter_token_latency"))
    return Said(
        int(done["count"]),
        Quantiles(1e3 * ttft["median"], 1e3 * ttft["p99"]),
        Quantiles(1e3 * gaps["median"], 1e3 * gaps["p99"]),
        "gaps",
    )


def tokenswarm(folder: Path) -> Said:
    """summary.json for the figures, requests.parquet for the ids of the requests they are of."""
    import pandas as pd  # noqa: PLC0415  # a second of start-up, not needed for --help

    summary = _one(folder, "summary.json")
    report = _json(summary)
    level = report["levels"][0]
    rows = pd.read_parquet(summary.with_name("requests.parquet"), columns=["response_id", "phase", "outcome"])
    measured = rows[(rows["phase"] == "measure") & (rows["outcome"] == "ok")]
    return Said(
        int(level["ttft_ms"]["n"]),
        Quantiles(level["ttft_ms"]["p50"], level["ttft_ms"]["p99"]),
        Quantiles(level["chunk_gap_ms"]["p50"], level["chunk_gap_ms"]["p99"]),
        "gaps",
        frozenset(str(name) for name in measured["response_id"].dropna()),
        report["verdict"]["status"],
    )


def _one(folder: Path, name: str) -> Path:
    """The file of that name, wherever below the folder.

    Raises:
        BenchError: there is none.
    """
    found = sorted(folder.rglob(name))
    if not found:
        raise BenchError(f"it left no {name}")
    return found[0]


def _json(path: Path) -> Any:  # noqa: ANN401  # foreign JSON
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise BenchError(f"its {path.name} is not JSON: {error}") from None
