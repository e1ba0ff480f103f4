"""report.html: what was found first, then the charts, then every table, in one file that needs nothing else.

No font, no style sheet and no request to anywhere, light or dark as the reader's system is. Nothing is computed here that
`summary.json` has. Without JavaScript the charts are missing and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import search_says
from harness.grid import NULL
from harness.report import (
    beside,
    charts,
    client,
    embed,
    failures,
    head,
    levels,
    passes,
    plotly_js,
    segments,
    server,
    settings,
    slo,
    tokens,
    workers,
)
from harness.report.definitions import DEFINITIONS
from harness.report.material import Material
from harness.report.style import CSS
from harness.report.text import SHORT, safe

__all__ = ["render"]

_FOOTER: Final = (
    '<footer>tokenswarm. Every figure can be computed again from <a href="requests.parquet">requests.parquet</a>, '
    '<a href="client.csv">client.csv</a> and <a href="run.json">run.json</a>; all of them are in <a href="summary.json">summary.json</a> and '
    '<a href="levels.csv">levels.csv</a>.</footer>'
)

Part = tuple[str, str, Sequence[str]]  # anchor, what the list of contents calls it, HTML


def render(material: Material) -> str:
    """The page."""
    summary, run = material.summary, material.run
    drawn = list(charts.charts(material))
    parts = [part for part in _parts(material, list(embed.charts(drawn))) if part[2]]
    body = [
        *head.header(summary, material.settings, run),
        *head.verdict(summary),
        *_tiles(head.tiles(summary)),
        *_contents(parts),
        *(
            piece
            for anchor, _, html in parts
            for piece in (f'<div class="part" id="{anchor}">', *html, "</div>")
        ),
        _FOOTER,
    ]
    title = head.title(summary, material.settings)
    return embed.document(title, body, plotly_js.sources() if drawn else (), CSS)


def _parts(material: Material, drawn: Sequence[str]) -> Iterator[Part]:
    """Everything below the headline, in order; what there is nothing to say of is empty."""
    summary, run = material.summary, material.run
    failed: Part = ("failures", "Failures", list(failures.section(summary)))
    if not summary["totals"]["succeeded"]:  # then this is what the page is about
        yield failed
    yield "charts", "Charts", drawn
    yield "levels", "Levels", list(levels.table(summary))
    yield "segments", "Segments", list(segments.section(summary))
    yield "passes", "Passes", list(passes.section(material.levels))
    yield "slo", "Service levels", list(slo.section(summary))
    yield "search", "Search" if summary.get("search") else "Load", list(search_says.section(summary))
    if summary["totals"]["succeeded"]:
        yield failed
    yield "tokens", "Tokens", list(tokens.section(material))
    yield "beside", "Probes and guards", list(beside.section(summary))
    yield "workers", "Workers and audit", list(workers.section(summary.get("audit")))
    about = [
        ("Totals, all phases", _totals(summary)),
        ("Load generator", client.pairs(summary.get("client", {}))),
        ("Server's own metrics", server.pairs(summary.get("server_metrics"))),
        *settings.about(material.settings),
        ("Environment", settings.environment(run)),
    ]
    listed = [piece for heading, pairs in about for piece in _pairs(heading, pairs)]
    yield "settings", "Client, server, settings", ['<div class="columns">', *listed, "</div>"]
    if material.levels:
        yield "definitions", "Definitions", list(_pairs("Definitions", DEFINITIONS, ' class="terms"'))


def _contents(parts: Iterable[Part]) -> Iterator[str]:
    yield '<nav aria-label="Contents"><ul>'
    yield from (f'<li><a href="#{anchor}">{escape(name)}</a></li>' for anchor, name, _ in parts)
    yield "</ul></nav>"


def _tiles(tiles: Iterable[head.Tile]) -> Iterator[str]:
    yield '<div class="tiles">'
    for figure, what, where in tiles:
        small = ' class="none"' if not figure[:1].isdigit() else ""
        yield f"<div><b{small}>{escape(figure)}</b><span>{escape(what)}</span><small>{escape(where)}</small></div>"
    yield "</div>"


def _totals(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = ("offered", "succeeded", "failed", "cancelled", "unsent", "prompt_tokens", "output_tokens")
    totals = summary["totals"]
    return [(name.replace("_", " "), NULL if totals[name] is None else f"{totals[name]:,}") for name in names]


def _pairs(heading: str, pairs: Sequence[tuple[str, str]], style: str = "") -> Iterator[str]:
    if pairs:
        yield f"<section><h2>{escape(heading)}</h2><dl{style}>"
        yield from (f"<dt>{safe(name, SHORT)}</dt><dd>{safe(value)}</dd>" for name, value in pairs)
        yield "</dl></section>"
