"""Why a run's figures may not be trusted, as far as its own table can tell.

A finding is (status, reason); the verdict is the worst status of all of them, with every reason. Reasons
are one line each: what was seen, with its number, and what to do about it. Doubts about the client (its
CPU, late sends, lost workers) come from elsewhere and are only ranked here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from harness.windows import Streams

__all__ = ["Finding", "of_level", "of_table", "verdict"]

Finding = tuple[str, str]  # ("suspect" | "invalid", reason)

_SEVERITY: Final = ("valid", "suspect", "invalid")


def verdict(findings: Sequence[Finding]) -> dict[str, Any]:
    """`{status, reasons}`: the worst status, and all reasons, the worst first, each once."""
    ranked = sorted(dict.fromkeys(findings), key=lambda finding: -_SEVERITY.index(finding[0]))
    return {
        "status": ranked[0][0] if ranked else "valid",
        "reasons": [reason for _, reason in ranked],
    }


def of_table(requests: pd.DataFrame, streams: Streams, planned: int | None) -> Iterator[Finding]:
    """Doubts about the run as a whole."""
    rows = len(requests)
    if not rows:
        yield "invalid", "no request was recorded"
    if planned is not None and planned < rows:
        yield "suspect", f"{rows} requests were recorded where {planned} were planned"
    estimated = int((requests["token_source"] == "estimated").sum())
    if estimated:
        reason = (
            f"output tokens of {estimated} of {rows} requests are estimated: the server did not count them"
        )
        yield "suspect", f"{reason} and there was no tokenizer; give --tokenizer"
    if streams.uncounted:
        reason = f"{streams.uncounted} of {rows} requests gave content that nobody counted"
        yield "suspect", f"{reason}; their tokens are missing from every rate"


def of_level(level: Mapping[str, Any]) -> Iterator[Finding]:
    """Doubts about one level's entry of the summary."""
    name = f"level {level['concurrency']}"
    if not level["succeeded"]:
        yield "invalid", f"{name}: none of its {level['requests']} measured requests succeeded"
    if not level["windows"]:
        yield "suspect", f"{name}: no measuring window was recorded, so the system's rates are not measured"
    shortest, typical_ms = level["window_s_shortest"], level["e2e_ms"]["median"]
    if shortest is not None and typical_ms is not None and shortest * 1e3 < typical_ms:
        typical = f"the median request of {typical_ms / 1e3:.3g} s"
        yield (
            "suspect",
            f"{name}: a window of {shortest:.3g} s is shorter than {typical}; raise --requests-per-level",
        )
