"""report.html: one run on one page that can be mailed, printed and opened offline in ten years.

One file: no script, no font, no request to anywhere; light or dark as the reader's system is. It shows
`summary.json` and `run.json` and computes nothing. Whatever came from outside (names, settings, reasons,
errors) is cleaned and escaped on its way in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import (
    loadpoint,
    report_beside,
    report_client,
    report_levels,
    report_server,
    report_settings,
    report_slo,
    report_workers,
    search_says,
)
from harness.grid import NULL, clean, number
from harness.report_style import CSS
from harness.svg import Series, bars, chart
from harness.tables import FEW

__all__ = ["render"]

_TTFT: Final = "Time to first token, ms"
_TPOT: Final = "Time per output token after the first, ms"
_E2E: Final = "End to end, ms"
_BY_SERVER: Final = (
    ("Decoding by the server's own clock, ms", "server_decode_ms"),
    ("Queue by the server's own clock, ms", "server_queue_ms"),
)
_NONE: Final = "not measured"

_DEFINITIONS: Final = (
    ("Window", "per level and pass, from the end of warm-up to the end of arrivals; half open, the same for numerator and denominator"),
    ("System output tokens/s", "output tokens whose chunk arrived inside the window, of every request, finished or not, over the window's length"),
    ("System total tokens/s", "the same, and each request's prompt tokens, counted when its first content arrives"),
    ("Tokens/s per request", "(output tokens - tokens of the first chunk) / (last content - first content): the speed one user reads at"),
    ("Tokens/request", "mean prompt and output tokens of the successful requests, as the server counted them; where it did not, a tokenizer or an estimate"),
    ("Users", "a level counts users: with think time, or users of other kinds beside, fewer requests than that are in flight"),
    ("TTFT", "first content event - request sent; content is answer or reasoning text, never an empty or role-only event"),
    ("TPOT", "(last content - first content) / (output tokens - tokens of the first chunk)"),
    ("Chunk gap", "time between two content events; a token gap only where tokens per chunk is 1"),
    ("E2E", "last content - request sent; the end mark comes later and is not in it. An answer that is not streamed comes with its last byte"),
    ("Population", "requests sent inside the window that succeeded; failures are counted beside them; totals are of all phases"),
    ("Offered", "leave to send that a user was given; each ends in one row: succeeded, failed or cancelled. Unaccounted: leaves without a row"),
    ("Percentiles", "exact, from every request, linear interpolation; never averaged over workers or passes"),
    (NULL, "not measured, which is not 0"),
)  # fmt: skip


def render(
    summary: Mapping[str, Any],
    settings: Mapping[str, Any],
    run: Mapping[str, Any] | None = None,
) -> str:
    """The page. `run` is run.json: when, where and with which versions."""
    run = run or {}
    levels = summary["levels"]
    body = [
        *_head(summary, settings, run),
        *_verdict(summary),
        *_tiles(summary),
        *search_says.section(summary),
        *report_slo.section(summary),
        *_failures(summary["failures"]),
        *(_charts(levels, summary.get("slo")) if summary["totals"]["succeeded"] else ()),
        *report_levels.table(summary),
        '<div class="columns">',
        *(piece for heading, pairs in report_settings.about(settings) for piece in _pairs(heading, pairs)),
        *_pairs("Totals, all phases", _totals(summary)),
        *_pairs("Load generator", report_client.pairs(summary.get("client", {}))),
        *_pairs("Server's own metrics", report_server.pairs(summary.get("server_metrics"))),
        *_pairs("Environment", report_settings.environment(run)),
        "</div>",
        *report_beside.section(summary),
        *report_workers.section(summary.get("audit")),
        *_charted(report_server.charts(summary.get("server_metrics"))),
        *_charted(report_client.charts(summary.get("client", {}))),
        *_pairs("Definitions", _DEFINITIONS),
        _FOOTER,
    ]
    return _PAGE.format(title=_safe(_title(summary, settings)), css=CSS, body="\n".join(body))


_FOOTER: Final = (
    '<footer>tokenswarm. Every figure can be computed again from <a href="requests.parquet">requests.parquet</a>, '
    '<a href="client.csv">client.csv</a> and <a href="run.json">run.json</a>; all of them are in <a href="summary.json">summary.json</a> and '
    '<a href="levels.csv">levels.csv</a>.</footer>'
)

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - tokenswarm</title>
<style>{css}</style></head>
<body><main>
{body}
</main></body></html>
"""


def _safe(text: object) -> str:
    """Text from outside: one line, printable, escaped."""
    return escape(clean(text))


def _title(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The run's name, else what was tested, else the run id."""
    what = [str(settings[name]) for name in ("backend", "model", "host") if settings.get(name)]
    return str(settings.get("run_name") or " \N{MIDDLE DOT} ".join(what) or summary["run_id"])


def _head(summary: Mapping[str, Any], settings: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[str]:
    status, title = _safe(summary["verdict"]["status"]), _title(summary, settings)
    told = ("backend", "model", "host") if settings.get("run_name") else ()
    said = [
        *(str(settings[name]) for name in told if settings.get(name)),
        _when(run.get("started_at"), run.get("finished_at")),
        *([] if title == summary["run_id"] else [f"run {summary['run_id']}"]),
    ]
    yield f'<header><div><h1>{_safe(title)}</h1><p class="sub">'
    yield " &middot; ".join(_safe(part) for part in said if part)
    yield f'</p></div><span class="pill {status}">{status}</span></header>'


def _when(begun: object, ended: object) -> str:
    """`2026-11-21 04:23:12 to 04:23:48 UTC`, the date said once."""
    begin, end = (str(time or "")[:19].replace("T", " ") for time in (begun, ended))
    if begin[:10] == end[:10]:
        end = end[11:]
    both = " to ".join(time for time in (begin, end) if time)
    return both and f"{both} UTC"


def _verdict(summary: Mapping[str, Any]) -> Iterator[str]:
    reasons = summary["verdict"]["reasons"]
    if reasons:
        yield f'<section class="doubt {_safe(summary["verdict"]["status"])}">'
        yield f"<strong>{_warning(summary)}</strong><ul>"
        yield from (f"<li>{_safe(reason)}</li>" for reason in reasons)
        yield "</ul></section>"


def _warning(summary: Mapping[str, Any]) -> str:
    if not summary["complete"]:
        return "These results are incomplete"
    if summary["verdict"]["status"] == "invalid":
        return "These results cannot be trusted"
    return "Read these results with care"


def _tiles(summary: Mapping[str, Any]) -> Iterator[str]:
    """The figures people ask for first, each with the level it belongs to; counts alone if nothing succeeded."""
    totals = summary["totals"]
    rated = [level for level in summary["levels"] if level["succeeded"]]
    bad = totals["offered"] - totals["succeeded"]
    tiles = [(f"{totals['succeeded']:,}", "requests succeeded", f"of {totals['offered']:,}; {bad:,} did not")]
    if rated:
        tiles = [*_rates(max(rated, key=lambda level: level["system_output_tokens_per_s"] or 0.0)), *tiles]
    elif not totals["succeeded"]:
        names = ("failed", "cancelled", "unsent")
        tiles += [
            (f"{totals[name]:,}", f"requests {name}", "in all phases") for name in names if totals[name]
        ]
    yield '<div class="tiles">'
    for figure, what, where in tiles:
        small = ' class="none"' if figure == _NONE else ""
        yield f"<div><b{small}>{escape(figure)}</b><span>{escape(what)}</span><small>{escape(where)}</small></div>"
    yield "</div>"


def _rates(peak: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The tiles of the level with the highest throughput."""
    system = peak["system_output_tokens_per_s"]
    each, ttft = peak["request_output_tokens_per_s"]["median"], peak["ttft_ms"]["p95"]
    what, when = "tokens/s for each request", "time to first token"
    if not peak["ttft_ms"]["n"]:  # not streamed
        each, ttft = peak["request_total_tokens_per_s"]["median"], peak["e2e_ms"]["p95"]
        what, when = "prompt and output tokens/s for each request", "end to end"
    at = f"at {peak['title']}"
    return [
        (
            _NONE if system is None else number(system),
            "output tokens/s, whole system",
            at if system is None else f"highest, {at}",
        ),
        (_NONE if each is None else number(each), what, f"median, {at}"),
        (_NONE if ttft is None else f"{number(ttft)} ms", when, f"p95, {at}"),
    ]


def _charts(levels: Sequence[Mapping[str, Any]], slo: Mapping[str, Any] | None) -> Iterator[str]:
    """Lines over the levels, with those of the SLOs; of a single level, bars of its figures."""
    if levels:
        yield from _charted(_bars(levels[0]) if len(levels) == 1 else _lines(levels, slo))


def _charted(charts: Iterable[str]) -> Iterator[str]:
    drawn = [f"<section>{one}</section>" for one in charts]
    if drawn:
        yield from ('<div class="charts">', *drawn, "</div>")


def _lines(levels: Sequence[Mapping[str, Any]], slo: Mapping[str, Any] | None) -> Iterator[str]:
    labels = [loadpoint.short(level) for level in levels]

    def part(name: str, key: str) -> list[float | None]:
        return [level[name][key] for level in levels]

    def drawn(title: str, name: str, lines: list[Series], limits: str = "s1") -> str:
        return chart(
            title, loadpoint.axis(levels), labels, [*lines, *report_slo.series(slo, name, lines, limits)]
        )

    system = Series("system", [level["system_output_tokens_per_s"] for level in levels], label="above")
    each, total = "request_output_tokens_per_s", "request_total_tokens_per_s"
    yield drawn("Whole system: output tokens/s", "system_output_tokens_per_s", [system], "t2")
    if _is_streamed(levels):
        yield drawn(_TTFT, "ttft_ms", _percentiles(part, "ttft_ms", ("p50", "p95", "p99")))
        yield drawn("Each request: output tokens/s, median and p10 to p90", each, [_band(part, each)])
        yield drawn(_TPOT, "tpot_ms", _percentiles(part, "tpot_ms", ("p50", "p95")))
        return
    yield drawn(_E2E, "e2e_ms", _percentiles(part, "e2e_ms", ("p50", "p95", "p99")))
    yield drawn(
        "Each request: prompt and output tokens/s, median and p10 to p90", total, [_band(part, total)]
    )
    for title, name in _BY_SERVER:
        if any(level.get(name, {}).get("n") for level in levels):
            yield drawn(title, name, _percentiles(part, name, ("p50", "p95")))


def _is_streamed(levels: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any answer came as a stream; without one there is no first token and nothing after it."""
    return any(level["ttft_ms"]["n"] for level in levels)


def _band(part: Callable[[str, str], list[float | None]], name: str) -> Series:
    return Series("median", part(name, "median"), "s2", part(name, "p10"), part(name, "p90"), label="above")


def _percentiles(
    part: Callable[[str, str], list[float | None]], name: str, keys: Sequence[str]
) -> list[Series]:
    return [
        Series(key, part(name, key), f"t{i}", label="below" if i == 1 else None)
        for i, key in enumerate(keys, 1)
    ]


def _bars(level: Mapping[str, Any]) -> Iterator[str]:
    rate, times = "request_output_tokens_per_s", ("p50", "p90", "p95", "p99", "max")
    for title, name, keys, style in (
        ("Each request: output tokens/s", rate, ("p10", "median", "p90"), "s2"),
        (_TTFT, "ttft_ms", times, "t2"),
        (_E2E, "e2e_ms", times, "s1"),
        (_TPOT, "tpot_ms", times, "t2"),
        *((title, name, times[:4], "s1") for title, name in _BY_SERVER),
    ):
        if not level.get(name, {}).get("n") or (name.startswith("server_") and level["ttft_ms"]["n"]):
            continue  # what the server says is drawn where we could not look for ourselves
        few = 0 < level[name]["n"] < FEW
        names = ["p99*" if few and key == "p99" else key for key in keys]
        yield bars(title, names, [level[name][key] for key in keys], style)


def _failures(failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not failures:
        return
    yield '<section><h2>Failures in all phases</h2><div class="wide"><table class="failures"><thead><tr>'
    yield "<th>requests</th><th>class</th><th>HTTP</th><th>what the first of them said</th></tr></thead><tbody>"
    for one in failures:
        cells = (one["error_class"] or "unknown", one["http_status"] or NULL, one["message"] or NULL)
        yield (
            f"<tr><td>{one['count']:,}</td>" + "".join(f"<td>{_safe(cell)}</td>" for cell in cells) + "</tr>"
        )
    yield "</tbody></table></div></section>"


def _totals(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = ("offered", "succeeded", "failed", "cancelled", "unsent", "prompt_tokens", "output_tokens")
    totals = summary["totals"]
    return [(name.replace("_", " "), NULL if totals[name] is None else f"{totals[name]:,}") for name in names]


def _pairs(heading: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    if pairs:
        yield f"<section><h2>{escape(heading)}</h2><dl>"
        yield from (f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in pairs)
        yield "</dl></section>"
