"""The page "Tokens": its headings, explanations and places, which `static/tokens*.js` fill with what `tokens.json` says.

All that comes from a run gets onto the page in the browser, as text. What the scripts need to know beforehand stands in one
attribute: the table's columns, how many requests a percentile needs, the limits of a healthy client, and the colours.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import orjson

from harness.carried import NEED
from harness.client_doubts import LATE_MS
from harness.errors import ErrorClass
from harness.grid import NULL
from harness.report import palette
from harness.report.definitions import DEFINITIONS
from harness.report.levels import COLUMNS
from harness.report.slo import COLUMNS as SLO_COLUMNS

if TYPE_CHECKING:
    from harness.web.site import Site

__all__ = ["SCRIPTS", "about", "body"]

SCRIPTS: Final = (
    "plotly.js",
    "tokens_text.js",
    "tokens_series.js",
    "tokens_figures.js",
    "tokens_charts.js",
    "tokens_table.js",
    "tokens_state.js",
    "tokens.js",
    "change.js",  # the form in #change
)

CPU_PERCENT: Final = 85.0  # from there on a second of the client is doubtful (`harness.client_doubts`)
LEVELS: Final = COLUMNS[1:]  # without the lengths: they are asked for, and nothing to watch

# Key, title, what is to be known of it.
CHARTS: Final = (
    ("rates", "Tokens/s of the whole system and of each request",
     "Above: tokens as they arrived in each second. Middle: an answer's tokens/s after its first token, of the last 10 s. Below: load."),
    ("ttft", "Time to first token", "Of the requests that ended in the last 10 s, however few: a trend, no result."),
    ("tpot", "Time per output token", "Of the requests that ended in the last 10 s, however few: a trend, no result."),
    ("e2e", "End to end", "Of the requests that ended in the last 10 s, however few: a trend, no result."),
    ("flight", "In flight and backlog", "Backlog: arrivals that are due and wait for the cap on requests in flight."),
    ("errors", "Errors by class", "Failed requests, stacked."),
    ("client", "Load generator",
     "The busiest process, and the lateness of its event loop. Above the dashed lines it is no fair witness."),
)  # fmt: skip

TILES: Final = ("rate", "each", "ttft", "flight", "requests", "client")

# What this page has beside the report.
HERE: Final = (
    ("So far", "live figures come from sketches that are within 1 % of the true value; at the end the table is summary.json itself"),
    ("Answers under way", "of the newest seconds not all tokens are counted yet: they are drawn dotted, and corrected as answers end"),
    ("In flight", "requests sent and not over"),
    ("Backlog", "arrivals of an open loop that are due and wait, because as many as allowed are in flight"),
    ("By hand", "users or rate changed while load runs: from there on a level of its own, with its own figures"),
    ("Bad seconds", "seconds in which the load generator could not keep up, by what held it up"),
)  # fmt: skip
_WANTED: Final = (
    *("Window", "System output tokens/s", "System total tokens/s", "Tokens/s per request", "Users"),
    *("TTFT", "TPOT", "E2E", "Population", "Percentiles", NULL, f"{NULL}*"),
)


def about() -> dict[str, Any]:
    """What the scripts know beforehand; JSON."""
    colours = {
        name.lower(): getattr(palette, name)
        for name in ("OUTPUT", "TOTAL", "EACH", "MEDIAN", "TAIL", "WAITING", "FAILED", "LIMIT", "GIVEN")
    }
    return {
        "columns": [column for _, columns in LEVELS for column in columns],
        "need": NEED,
        "limits": {"cpu_percent": CPU_PERCENT, "lag_ms": LATE_MS[True][0]},
        "errors": [word.value for word in ErrorClass],
        "colours": colours | {"classes": palette.CLASSES},
        "dark": palette.DARK,
        "themes": palette.THEMES,
    }


def body(site: "Site") -> str:
    """HTML for <main>; nothing in it comes from a run."""
    known = escape(orjson.dumps(about()).decode())
    return "\n".join(
        (
            f'<link rel="stylesheet" href="{escape(site.url("assets/tokens.css"))}">',
            f'<div id="tokens" data-about="{known}" data-state="loading">',
            _HEAD.format(start=escape(f"{site.base}/")),
            f'<div id="live" hidden>{_PROGRESS}',
            *_tiles(),
            *_charts(CHARTS[:1]),
            *_levels(),
            '<div class="charts">',
            *_charts(CHARTS[1:]),
            "</div>",
            _WORKERS,
            "</div>",
            *_definitions(),
            "</div>",
        )
    )


def _tiles() -> Iterator[str]:
    yield '<div class="tiles" id="tiles">'
    for name in TILES:
        yield f'<div><b id="tile-{name}">{NULL}</b><span id="tile-{name}-what"></span><small id="tile-{name}-more"></small></div>'
    yield "</div>"


def _charts(charts: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for key, title, note in charts:
        yield (
            f'<figure id="figure-{key}"><figcaption><h3>{escape(title)}</h3><p class="note">{escape(note)}'
            f' <span id="note-{key}"></span></p></figcaption>'
            f'<div class="plot" id="chart-{key}" role="img" aria-label="{escape(title)}"></div>'
            f'<p class="nothing" id="empty-{key}" hidden></p></figure>'
        )


def _levels() -> Iterator[str]:
    """The table without rows."""
    yield '<section class="card" id="levels"><h2>Levels <span class="pill none" id="levels-state"></span></h2>'
    yield '<div class="wide"><table id="level-table"><thead><tr><th colspan="2"></th>'
    yield from (f'<th class="group" colspan="{len(columns)}">{heading}</th>' for heading, columns in LEVELS)
    yield f'<th class="group slo" colspan="{len(SLO_COLUMNS)}" hidden>SLO</th>'
    yield '</tr><tr><th id="level-heading">users</th><th>ok/all</th>'
    for _, columns in LEVELS:
        yield from (f"<th{_first(i)}>{column[0]}</th>" for i, column in enumerate(columns))
    yield from (
        f'<th class="slo{" first" if i == 0 else ""}" hidden>{name}</th>'
        for i, name in enumerate(SLO_COLUMNS)
    )
    yield '</tr></thead><tbody></tbody></table></div><p class="note" id="levels-note"></p></section>'


def _definitions() -> Iterator[str]:
    said = dict(DEFINITIONS)
    yield '<details class="card" id="definitions"><summary>What these numbers are</summary><dl>'
    for word, meaning in (*HERE, *((word, said[word]) for word in _WANTED)):
        yield f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>"
    yield "</dl></details>"


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""


_HEAD: Final = """<p class="alert" id="trouble" role="status" hidden></p>
<section class="card" id="none" hidden><h1>No run yet</h1>
<p>Nothing has been sent from here since this process began. As soon as a run begins, its token rates, latencies and levels
appear here by themselves.</p>
<p><a class="button primary" href="{start}">Start a run</a></p>
<p class="note">The form asks for the system under test and the load: a number of users, or a sweep such as 1,2,4,8,16.</p></section>
<header id="head" hidden><div><h1 id="title"></h1><p class="sub" id="what"></p></div>
<div class="pills" aria-live="polite"><span class="pill none" id="state"></span><span class="pill none" id="verdict"></span>
<button type="button" class="danger" id="stop" hidden>Stop</button>
<a class="button" id="report" hidden>Report</a><a class="button primary" id="again" href="{start}" hidden>Start a run</a></div></header>
<p class="alert bad" id="problem" role="alert" hidden></p>
<section class="alert" id="reasons" hidden><strong id="reasons-title"></strong><ul id="reasons-list"></ul>
<details id="reasons-more" hidden><summary id="reasons-count"></summary><ul id="reasons-others"></ul></details></section>"""

_PROGRESS: Final = """<section class="card" id="progress" aria-label="Progress">
<div class="bar" id="bar" role="progressbar" aria-label="Share of the run" aria-valuemin="0" aria-valuemax="100"><i id="filled"></i></div>
<p class="where"><span id="where"></span><span class="sub" id="times"></span></p>
<div id="change"></div></section>"""

_WORKERS: Final = """<section class="card" id="workers" hidden><h2>Workers <span class="sub" id="workers-count"></span></h2>
<div class="wide"><table id="worker-table"><thead><tr><th>name</th><th>state</th><th>users</th><th>in flight</th><th>CPU %</th>
<th>bad seconds</th></tr></thead><tbody></tbody></table></div><p class="note" id="workers-note"></p></section>"""
