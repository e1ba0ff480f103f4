"""The report of a run for a terminal and a pipeline's log: a summary in `harness.grid`'s plain tables.

A dash stands for what was not measured, one with a star for what so few requests do not carry (`harness.carried`). Every column's window and unit is said in the header; nothing is
computed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness import (
    arrival_says,
    carried,
    groups,
    interval_says,
    length_says,
    loadpoint,
    search_says,
    segment_says,
    server_says,
)
from harness.grid import NULL, Group, clean, columns, number, wrap
from harness.report import beside as report_beside
from harness.report import client as report_client
from harness.report import server as report_server
from harness.report import slo as report_slo
from harness.report import workers as report_workers

__all__ = ["render"]

_LEGEND: Final = (
    "system: tokens that arrived inside the level's window, of all requests, over its length.  per request: one "
    "stream's tokens/s after its first token.  TTFT, TPOT, E2E, tokens/request (means): successful requests sent "
    "inside the window."
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
        lines += ["", *wrap("INCOMPLETE: " + "; ".join(summary["incomplete"]), width)]
    lines += ["", *columns(_level_groups(levels), width), ""]
    lines += wrap(_LEGEND, width)
    lines += _withheld([*_lacking(levels), *arrival_says.lacking(levels)], width)
    lines += segment_says.lines(summary, width)
    lines += interval_says.lines(levels, width)
    lines += _arrivals(levels, width)
    lines += report_beside.probes(summary, width)
    lines += _apart(summary, width)
    lines += search_says.lines(summary, width)
    lines += _slo(summary.get("slo"), width)
    lines += _server_says(levels, width)
    lines += [
        line for said in length_says.lengths(summary) for line in wrap(f"lengths: {said}", width, later="  ")
    ]
    lines += [
        line for said in length_says.sized(levels) for line in wrap(f"lengths: {said}", width, later="  ")
    ]
    lines += ["", *wrap(_totals(summary["totals"]), width), *_failures(summary["failures"], width)]
    for said in filter(None, (report_beside.limited(summary), report_beside.ended(summary))):
        lines += ["", *wrap(said, width, later="  ")]
    lines += _audit(summary.get("audit"), width)
    if watched := report_client.line(summary["client"]):
        lines += ["", *wrap(f"load generator: {watched}", width, later="  ")]
    if looked := report_server.line(summary.get("server_metrics")):
        lines += ["", *wrap(f"server: {looked}", width, later="  ")]
    lines += ["", *_verdict(summary["verdict"], width)]
    place = run_dir or Path(str(settings.get("results_dir") or "results")) / summary["run_id"]
    lines += ["", f"results: {clean(place)}"]
    return "\n".join(lines) + "\n"


def _level_groups(levels: Sequence[Mapping[str, Any]]) -> list[Group]:
    def picked(name: str, parts: Sequence[str], scale: float = 1.0) -> list[list[str]]:
        return [[carried.cell(level[name], part, scale=scale) for part in parts] for level in levels]

    return [
        (
            "",
            (loadpoint.heading(levels), "ok/all"),
            [[loadpoint.short(level), f"{level['succeeded']}/{level['requests']}"] for level in levels],
        ),
        (
            "tokens/request",
            ("prompt", "output"),
            [[number(level[f"{what}_tokens"]["mean"]) for what in ("prompt", "output")] for level in levels],
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
        ("TTFT ms", ("p50", "p95", "p99"), picked("ttft_ms", ("p50", "p95", "p99"))),
        ("TPOT ms", ("p50", "p95"), picked("tpot_ms", ("p50", "p95"))),
        ("E2E s", ("p50", "p95"), picked("e2e_ms", ("p50", "p95"), 1e-3)),
        *([("SLO", report_slo.COLUMNS, [*map(report_slo.cells, levels)])] if _asked(levels) else []),
    ]


def _lacking(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which percentiles of the level table are withheld somewhere."""
    shown = {
        "request_output_tokens_per_s": ("p10", "p90"),
        "ttft_ms": ("p95", "p99"),
        "tpot_ms": ("p95",),
        "e2e_ms": ("p95",),
    }
    return [
        key
        for name, keys in shown.items()
        for key in carried.lacking([level[name] for level in levels], keys)
    ]


def _withheld(keys: Sequence[str], width: int) -> list[str]:
    return wrap(f"{NULL}{carried.STAR} {carried.says(keys)}", width) if keys else []


def _asked(levels: Sequence[Mapping[str, Any]]) -> bool:
    return any(level.get("slo") for level in levels)


def _slo(judged: Mapping[str, Any] | None, width: int) -> Iterator[str]:
    first, *others = report_slo.lines(judged) or [""]
    if first:
        yield from ("", *wrap(f"SLO {first}", width))
        yield from (line for said in others for line in wrap(said, width, "  - ", "    "))


def _server_says(levels: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    names, cells = server_says.columns(levels)
    if not names:
        return []
    users = _first(levels)
    return ["", *columns([users, (server_says.CAPTION, names, cells)], width)]


def _arrivals(levels: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    names, cells = arrival_says.columns(levels)
    if not names:
        return []
    lines = ["", *columns([_first(levels), (arrival_says.CAPTION, names, cells)], width)]
    return [*lines, *wrap(arrival_says.LEGEND, width)]


def _apart(summary: Mapping[str, Any], width: int) -> Iterator[str]:
    """By name and by turn, where there are several."""
    titles = {level["level"]: loadpoint.short(level) for level in summary["levels"]}
    heading = loadpoint.heading(summary["levels"])
    for what, entries in (
        ("by request name", summary.get("names")),
        ("by turn of a chat", summary.get("turns")),
    ):
        if entries:
            rows = list(groups.table(entries, titles))
            names = [column.heading for column in groups.COLUMNS]
            whose: Group = ("", (heading, "", "ok/all"), [row[:3] for row in rows])
            yield from ("", *columns([whose, (what, names, [row[3:] for row in rows])], width))
            yield from _withheld(groups.lacking(entries), width)
    if held := summary.get("chats"):
        mean = f"{held['turns_mean']:.1f} turns on average, {held['turns_max']} at most"
        yield from ("", *wrap(f"chats: {held['sessions']:,} sessions in all phases, {mean}", width))


def _first(levels: Sequence[Mapping[str, Any]]) -> Group:
    return ("", (loadpoint.heading(levels),), [[loadpoint.short(level)] for level in levels])


def _header(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    what = [str(settings[name]) for name in ("model", "host") if settings.get(name)]
    yield "  ".join(map(clean, ["tokenswarm", summary["run_id"], *what]))
    lengths = [level["window_s"] for level in summary["levels"] if level["window_s"] is not None]
    if lengths:
        repeats = max(level["repeat_count"] for level in summary["levels"])
        spans = " to ".join(dict.fromkeys(f"{number(one)} s" for one in (min(lengths), max(lengths))))
        yield f"measured windows: {spans} a level in {repeats} {'pass' if repeats == 1 else 'passes'}"


def _totals(totals: Mapping[str, Any]) -> str:
    def whole(name: str) -> str:
        return NULL if totals[name] is None else f"{totals[name]:,}"

    return (
        f"all phases: {whole('offered')} offered = {whole('succeeded')} succeeded + {whole('failed')} failed + "
        f"{whole('cancelled')} cancelled + {whole('unsent')} unsent;  "
        f"{whole('prompt_tokens')} prompt and {whole('output_tokens')} output tokens"
    )


def _audit(audit: Mapping[str, Any] | None, width: int) -> Iterator[str]:
    if workers := report_workers.table(audit, width):
        yield from ("", *workers)
    if said := report_workers.line(audit):
        yield from ("", *wrap(f"audit: {said}", width, later="  "))


def _failures(failures: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A line each: how often, which class, with which status, and what it said as far as the width goes."""
    if not failures:
        return []
    cells = [
        (f"{one['count']:,}", clean(one["error_class"] or "unknown"), str(one["http_status"] or NULL))
        for one in failures
    ]
    count, word, status = (max(map(len, column)) for column in zip(*cells, strict=True))
    heading = "failures in all phases: how many, class, HTTP status, what the first of them said"
    lines = ["", *wrap(heading, width)]
    for (times, name, code), one in zip(cells, failures, strict=True):
        line = f"  {times:>{count}}  {name:{word}}  {code:>{status}}  {clean(one['message'] or NULL)}"
        lines.append(line if len(line) <= width else line[: width - 3] + "...")
    return lines


def _verdict(verdict: Mapping[str, Any], width: int) -> list[str]:
    reasons = (wrap(reason, width, "  - ", "    ") for reason in verdict["reasons"])
    return [f"verdict: {verdict['status'].upper()}", *(line for reason in reasons for line in reason)]
