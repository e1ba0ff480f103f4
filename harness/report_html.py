"""report.html: one run on one page that can be mailed, printed and opened offline in ten years.

One file: no script, no font, no request to anywhere; light or dark as the reader's system is. It shows
`summary.json` and `run.json` and computes nothing. Whatever came from outside (names, settings, reasons,
errors) is escaped on its way in.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness.report_style import CSS
from harness.svg import Series, chart
from harness.tables import FEW, NULL, number

__all__ = ["render"]

_X: Final = "concurrent requests (level)"

_DEFINITIONS: Final = (
    ("Window", "per level and pass, from the end of warm-up to the end of arrivals; half open, the same for numerator and denominator"),
    ("System output tokens/s", "output tokens whose chunk arrived inside the window, of every request, finished or not, over the window's length"),
    ("System total tokens/s", "the same, and each request's prompt tokens, counted when its first content arrives"),
    ("Tokens/s per request", "(output tokens - tokens of the first chunk) / (last content - first content): the speed one user reads at"),
    ("TTFT", "first content event - request sent; content is answer or reasoning text, never an empty or role-only event"),
    ("TPOT", "(last content - first content) / (output tokens - tokens of the first chunk)"),
    ("Chunk gap", "time between two content events; a token gap only where tokens per chunk is 1"),
    ("E2E", "last content - request sent; the end mark comes later and is not in it"),
    ("Population", "requests sent inside the window that succeeded; failures are counted beside them; totals are of all phases"),
    ("Percentiles", "exact, from every request, linear interpolation; never averaged over workers or passes"),
    (NULL, "not measured, which is not 0"),
)  # fmt: skip

_COLUMNS: Final[Sequence[tuple[str, Sequence[tuple[str, str, str, float]]]]] = (
    ("system tokens/s", (("output", "system_output_tokens_per_s", "", 1), ("total", "system_total_tokens_per_s", "", 1))),
    ("tokens/s per request", tuple((p, "request_output_tokens_per_s", p, 1) for p in ("p10", "median", "p90"))),
    ("TTFT ms", tuple((p, "ttft_ms", p, 1) for p in ("p50", "p95", "p99"))),
    ("TPOT ms", tuple((p, "tpot_ms", p, 1) for p in ("p50", "p95"))),
    ("E2E s", tuple((p, "e2e_ms", p, 1e-3) for p in ("p50", "p95"))),
)  # fmt: skip


def render(
    summary: Mapping[str, Any],
    settings: Mapping[str, Any],
    run: Mapping[str, Any] | None = None,
) -> str:
    """The page. `run` is run.json: when, where and with which versions."""
    run = run or {}
    title = str(settings.get("run_name") or summary["run_id"])
    body = [
        *_head(title, summary, settings, run),
        *_verdict(summary),
        *_tiles(summary),
        *_charts(summary["levels"]),
        "<section><h2>Levels</h2>",
        *_level_table(summary["levels"]),
        "</section>",
        '<div class="columns">',
        *_pairs("Totals, all phases", _totals(summary)),
        *_pairs("Failures while measuring", _errors(summary["levels"])),
        *_pairs("Load generator", _flat(summary.get("client", {}))),
        *_pairs("Settings", _flat(settings)),
        *_pairs("Environment", _flat({name: run.get(name) for name in ("host", "versions")})),
        "</div>",
        *_pairs("Definitions", _DEFINITIONS),
        _FOOTER,
    ]
    return _PAGE.format(title=escape(title), css=CSS, body="\n".join(body))


_FOOTER: Final = (
    '<footer>tokenswarm. Every figure can be computed again from <a href="requests.parquet">requests.parquet</a> and '
    '<a href="run.json">run.json</a>; all of them are in <a href="summary.json">summary.json</a> and '
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


def _head(
    title: str, summary: Mapping[str, Any], settings: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[str]:
    status = escape(str(summary["verdict"]["status"]))
    yield f'<header><div><h1>{escape(title)}</h1><p class="sub">'
    when = [run.get("started_at"), run.get("finished_at")]
    said = [
        *(str(settings[name]) for name in ("model", "host") if settings.get(name)),
        " to ".join(str(time)[:19].replace("T", " ") for time in when if time)
        + (" UTC" if any(when) else ""),
        f"run {summary['run_id']}",
    ]
    yield " &middot; ".join(escape(part) for part in said if part)
    yield f'</p></div><span class="pill {status}">{status}</span></header>'


def _verdict(summary: Mapping[str, Any]) -> Iterator[str]:
    reasons = summary["verdict"]["reasons"]
    if reasons:
        yield f'<section class="doubt {escape(str(summary["verdict"]["status"]))}">'
        yield f"<strong>{_warning(summary)}</strong><ul>"
        yield from (f"<li>{escape(reason)}</li>" for reason in reasons)
        yield "</ul></section>"


def _warning(summary: Mapping[str, Any]) -> str:
    if not summary["complete"]:
        return "These results are incomplete"
    if summary["verdict"]["status"] == "invalid":
        return "These results cannot be trusted"
    return "Read these results with care"


def _tiles(summary: Mapping[str, Any]) -> Iterator[str]:
    """The three figures people ask for first, each with the level it belongs to."""
    levels, totals = summary["levels"], summary["totals"]
    rated = [level for level in levels if level["system_output_tokens_per_s"] is not None]
    peak = max(rated, key=lambda level: level["system_output_tokens_per_s"], default=None)
    tiles = []
    if peak is not None:
        at = f"at {peak['concurrency']} concurrent"
        tiles += [
            (number(peak["system_output_tokens_per_s"]), "output tokens/s, whole system", f"highest, {at}"),
            (
                number(peak["request_output_tokens_per_s"]["median"]),
                "tokens/s for each request",
                f"median, {at}",
            ),
            (number(peak["ttft_ms"]["p95"]) + " ms", "time to first token", f"p95, {at}"),
        ]
    bad = totals["offered"] - totals["succeeded"]
    tiles.append(
        (f"{totals['succeeded']:,}", "requests succeeded", f"of {totals['offered']:,}; {bad:,} did not")
    )
    yield '<div class="tiles">'
    for figure, what, where in tiles:
        yield f"<div><b>{escape(figure)}</b><span>{escape(what)}</span><small>{escape(where)}</small></div>"
    yield "</div>"


def _charts(levels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    labels = [str(level["concurrency"]) for level in levels]

    def part(name: str, key: str) -> list[float | None]:
        return [level[name][key] for level in levels]

    system = [level["system_output_tokens_per_s"] for level in levels]
    rate = "request_output_tokens_per_s"
    each = Series("median", part(rate, "median"), "s2", part(rate, "p10"), part(rate, "p90"), label="above")
    yield '<div class="charts"><section>'
    yield chart("Whole system: output tokens/s", _X, labels, [Series("system", system, label="above")])
    yield chart("Each request: output tokens/s, median and p10 to p90", _X, labels, [each])
    yield "</section><section>"
    for title, name, keys in (
        ("Time to first token, ms", "ttft_ms", ("p50", "p95", "p99")),
        ("Time per output token after the first, ms", "tpot_ms", ("p50", "p95")),
    ):
        lines = [
            Series(key, part(name, key), f"t{i}", label="below" if i == 1 else None)
            for i, key in enumerate(keys, 1)
        ]
        yield chart(title, _X, labels, lines)
    yield "</section></div>"


def _level_table(levels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield '<div class="wide"><table><thead><tr><th colspan="3"></th>'
    yield from (f'<th class="group" colspan="{len(columns)}">{heading}</th>' for heading, columns in _COLUMNS)
    yield "</tr><tr><th>users</th><th>requests</th><th>failed</th>"
    for _, columns in _COLUMNS:
        yield from (f"<th{_first(i)}>{column[0]}</th>" for i, column in enumerate(columns))
    yield "</tr></thead><tbody>"
    for level in levels:
        yield f"<tr><th>{level['concurrency']}</th><td>{level['requests']}</td><td>{level['failed']}</td>"
        for _, columns in _COLUMNS:
            for i, (_, name, key, scale) in enumerate(columns):
                star = "*" if key == "p99" and 0 < level[name]["n"] < FEW else ""
                value = level[name][key] if key else level[name]
                yield f"<td{_first(i)}>{number(value, scale=scale)}{star}</td>"
        yield "</tr>"
    yield "</tbody></table></div>"
    if any(0 < level["ttft_ms"]["n"] < FEW for level in levels):
        yield f'<p class="note">* p99 of fewer than {FEW} requests: close to the slowest one.</p>'


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""


def _totals(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = ("offered", "succeeded", "failed", "cancelled", "unsent", "prompt_tokens", "output_tokens")
    totals = summary["totals"]
    return [(name.replace("_", " "), NULL if totals[name] is None else f"{totals[name]:,}") for name in names]


def _errors(levels: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (f"{word}, level {level['concurrency']}", f"{times:,}")
        for level in levels
        for word, times in level["errors"].items()
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names; what was not set is left out."""
    pairs: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, Mapping):
            pairs += _flat(item, f"{prefix}{name}.")
        elif isinstance(item, (list, tuple)):
            pairs += [(f"{prefix}{name}", ", ".join(map(str, item)))] if item else []
        elif item is not None:
            pairs.append((f"{prefix}{name}", f"{item:.4g}" if isinstance(item, float) else str(item)))
    return pairs


def _pairs(heading: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    if pairs:
        yield f"<section><h2>{escape(heading)}</h2><dl>"
        yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
        yield "</dl></section>"
