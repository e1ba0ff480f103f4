"""Plain-text tables of a summary, for a terminal and a pipeline's log.

Plain characters without colour, so that they read on any background and survive a copy. A dash stands
for what was not measured. Every column's window and unit is said in the header; nothing is computed here
but the three statistics of Maritaca's tables.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import maritaca as theirs
from harness.windows import Floats

__all__ = ["maritaca", "number", "render"]

NULL: Final = "\N{EN DASH}"
FEW: Final = 100  # a p99 of fewer is close to the maximum

Group = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # heading, column names, one list of cells a row

_LEGEND: Final = (
    "system: tokens that arrived inside the level's window, of all requests, over its length.  per request: one "
    "stream's tokens/s after its first token.  TTFT, TPOT, E2E: successful requests sent inside the window."
)


_THEIR_FORMULAS: Final = (
    "generated_tps = output tokens / t_gen.  total_tps = (prompt + output tokens) / T.  System tokens = prompt and "
    "output tokens of a wave / median T of the wave.  T: the client's end-to-end time."
)
_THEIR_CLOCK: Final = (
    "t_gen: the server's own decode time for {} requests, the client's E2E - TTFT for {}.  Answers of fewer than "
    "100 tokens are kept; their script drops them."
)


def render(
    summary: Mapping[str, Any],
    settings: Mapping[str, Any],
    width: int = 110,
    run_dir: Path | None = None,
) -> str:
    """The report for a terminal: header, level table, totals, verdict, where the files are."""
    levels = summary["levels"]
    lines = [*_header(summary, settings)]
    if not summary["complete"]:
        lines += ["", *_wrap("INCOMPLETE: " + "; ".join(summary["incomplete"]), width)]
    lines += ["", *_grid(_level_groups(levels), width), ""]
    lines += _wrap(_LEGEND, width)
    if any(0 < level["ttft_ms"]["n"] < FEW for level in levels):
        lines += _wrap(f"* p99 of fewer than {FEW} requests: close to the slowest one.", width)
    lines += ["", *_wrap(_totals(summary["totals"]), width), *_errors(levels, width)]
    lines += ["", *_verdict(summary["verdict"], width)]
    place = run_dir or Path(str(settings.get("results_dir") or "results")) / summary["run_id"]
    lines += ["", f"results: {place}"]
    return "\n".join(lines) + "\n"


def _grid(groups: Sequence[Group], width: int) -> list[str]:
    """Groups of right-aligned columns under their headings, in as many blocks as the width needs.

    The first group names the rows and is repeated in every block.
    """
    first, *others = groups
    blocks: list[list[Group]] = [[first]]
    for group in others:
        taken = sum(_group_width(g) + 3 for g in blocks[-1])
        if taken + _group_width(group) > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(group)
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines else []), *_block(block)]
    return lines


def maritaca(requests: pd.DataFrame, summary: Mapping[str, Any], width: int = 110) -> str:
    """Maritaca's two tables with their formulas (`harness.maritaca`), over successful measured requests."""
    ok = requests[(requests["phase"] == "measure") & (requests["outcome"] == "ok")]
    levels = [int(level["concurrency"]) for level in summary["levels"]]
    own, total, system, notes = [], [], [], []
    for level in levels:
        rows = ok[ok["level"] == level]
        waves, left = theirs.system_tokens(rows, level)
        own.append(_three(theirs.generated_tps(rows)))
        total.append(_three(theirs.total_tps(rows)))
        system.append([*_three(waves)[1:], str(len(waves))])
        if left:
            notes.append(
                f"Level {level}: {left} of {len(rows)} requests fill no wave, or are uncounted: left out."
            )
    users: Group = ("", ("concurrency",), [[str(level)] for level in levels])
    names = ("mean", "median", "std")
    lines = [
        "Maritaca's tables: tokens/s of one request",
        *_grid([users, ("generated_tps", names, own), ("total_tps", names, total)], width),
        "",
        "Maritaca's tables: System tokens, prompt and output tokens/s of a wave of `concurrency` requests",
        *_grid([users, ("System tokens", ("median", "std", "waves"), system)], width),
        "",
    ]
    timed = theirs.server_timed(ok)
    for note in (_THEIR_FORMULAS, _THEIR_CLOCK.format(timed, len(ok) - timed), *notes):
        lines += _wrap(note, width)
    return "\n".join(lines) + "\n"


def number(value: float | None, *, scale: float = 1.0) -> str:
    """At most six characters: one decimal below 1,000, whole below 100,000, then k and M."""
    if value is None:
        return NULL
    value *= scale
    size = abs(value)
    if size < 10 and value != round(value, 1):
        return f"{value:.2f}"
    if size < 999.95:
        return f"{value:.1f}"
    if size < 99_999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.0f}k" if size < 999_500 else f"{value / 1e6:.1f}M"


def _level_groups(levels: Sequence[Mapping[str, Any]]) -> list[Group]:
    def picked(name: str, parts: Sequence[str], scale: float = 1.0) -> list[list[str]]:
        return [[number(level[name][part], scale=scale) for part in parts] for level in levels]

    ttft = picked("ttft_ms", ("p50", "p95", "p99"))
    for cells, level in zip(ttft, levels, strict=True):
        few = 0 < level["ttft_ms"]["n"] < FEW
        cells[-1] += "*" if few else " "
    return [
        (
            "",
            ("users", "reqs", "failed"),
            [[str(level[n]) for n in ("concurrency", "requests", "failed")] for level in levels],
        ),
        (
            "system tok/s",
            ("output", "total"),
            [
                [number(level[f"system_{what}_tokens_per_s"]) for what in ("output", "total")]
                for level in levels
            ],
        ),
        (
            "tok/s per request",
            ("p10", "median", "p90"),
            picked("request_output_tokens_per_s", ("p10", "median", "p90")),
        ),
        ("TTFT ms", ("p50", "p95", "p99 "), ttft),
        ("TPOT ms", ("p50", "p95"), picked("tpot_ms", ("p50", "p95"))),
        ("E2E s", ("p50", "p95"), picked("e2e_ms", ("p50", "p95"), 1e-3)),
    ]


def _header(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    what = [str(settings[name]) for name in ("model", "host") if settings.get(name)]
    yield "  ".join(["tokenswarm", summary["run_id"], *what])
    lengths = [level["window_s"] for level in summary["levels"] if level["window_s"] is not None]
    if lengths:
        repeats = max(level["repeat_count"] for level in summary["levels"])
        spans = f"{number(min(lengths))} s" + (f" to {number(max(lengths))} s" if len(lengths) > 1 else "")
        yield f"measured windows: {spans} a level in {repeats} {'pass' if repeats == 1 else 'passes'}"


def _totals(totals: Mapping[str, Any]) -> str:
    def whole(name: str) -> str:
        return NULL if totals[name] is None else f"{totals[name]:,}"

    return (
        f"all phases: {whole('offered')} offered = {whole('succeeded')} succeeded + {whole('failed')} failed + "
        f"{whole('cancelled')} cancelled + {whole('unsent')} unsent;  "
        f"{whole('prompt_tokens')} prompt and {whole('output_tokens')} output tokens"
    )


def _errors(levels: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    counts: dict[str, int] = {}
    for level in levels:
        for word, times in level["errors"].items():
            counts[word] = counts.get(word, 0) + times
    said = ", ".join(f"{word} {times}" for word, times in sorted(counts.items(), key=lambda item: -item[1]))
    return _wrap(f"failures while measuring: {said}", width) if said else []


def _verdict(verdict: Mapping[str, Any], width: int) -> list[str]:
    lines = [f"verdict: {verdict['status'].upper()}"]
    for reason in verdict["reasons"]:
        lines += textwrap.wrap(reason, width, initial_indent="  - ", subsequent_indent="    ")
    return lines


def _block(groups: Sequence[Group]) -> list[str]:
    """Heading line, name line, rule and rows of one block."""
    head, names, rule = [], [], []
    rows: list[list[str]] = [[] for _ in groups[0][2]]
    for group in groups:
        heading, columns, cells = group
        widths = _widths(group)
        total = _group_width(group)
        head.append(heading.center(total))
        names.append(" ".join(name.rjust(w) for name, w in zip(columns, widths, strict=True)).rjust(total))
        rule.append("-" * total)
        for row, line in zip(rows, cells, strict=True):
            row.append(" ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rjust(total))
    return ["   ".join(parts).rstrip() for parts in (head, names, rule, *rows)]


def _widths(group: Group) -> list[int]:
    _, columns, cells = group
    return [max(map(len, column)) for column in zip(columns, *cells, strict=True)]


def _group_width(group: Group) -> int:
    widths = _widths(group)
    return max(sum(widths) + len(widths) - 1, len(group[0]))


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def _three(values: Floats) -> list[str]:
    """Mean, median, sample std."""
    if not len(values):
        return [NULL] * 3
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return [number(float(values.mean())), number(float(np.median(values))), number(std)]
