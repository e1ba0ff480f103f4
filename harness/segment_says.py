"""What the console says of load that was changed while it ran: each segment with its own figures, in order of time.

Shows what `summary.json` has (`segments`) and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import carried
from harness.grid import NULL, Group, clean, columns, number, wrap

__all__ = ["NOTE", "lines"]

NOTE: Final = (
    "Load was changed while it ran: each segment by itself, in order of time. A level that was held more than once is one row in "
    "the table of levels, of all its segments together. What was sent while users came or went is in none."
)
_SPREADS: Final = (
    ("tok/s per request", "request_output_tokens_per_s", ("median",), 1.0),
    ("TTFT ms", "ttft_ms", ("p50", "p95"), 1.0),
    ("TPOT ms", "tpot_ms", ("p50",), 1.0),
    ("E2E s", "e2e_ms", ("p50",), 1e-3),
)


def lines(summary: Mapping[str, Any], width: int) -> list[str]:
    """A row a segment; nothing where load was never changed."""
    segments: Sequence[Mapping[str, Any]] = summary.get("segments") or ()
    if not segments:
        return []
    told = [one["figures"] or {} for one in segments]
    groups: list[Group] = [
        ("", ("from s", "load"), [[number(one["begin_s"]), clean(one["title"])] for one in segments]),
        ("", ("ok/all",), [[_counts(one)] for one in told]),
        ("system tok/s", ("output",), [[number(one.get("system_output_tokens_per_s"))] for one in told]),
    ]
    groups += [
        (
            heading,
            parts,
            [[carried.cell(one.get(name), part, scale=scale) for part in parts] for one in told],
        )
        for heading, name, parts, scale in _SPREADS
    ]
    groups.append(("", ("what",), [[clean(one["label"] or "")] for one in segments]))
    return ["", "segments", *columns(groups, width), *wrap(NOTE, width)]


def _counts(figures: Mapping[str, Any]) -> str:
    return f"{figures['succeeded']:,}/{figures['requests']:,}" if figures else NULL
