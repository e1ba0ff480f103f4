"""A comparison as one HTML page that needs nothing else, in the style of a run's report."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from harness.compare.best import best
from harness.compare.charts import charts
from harness.compare.comparison import Comparison, clip, squeeze
from harness.compare.wording import (
    changed,
    checked,
    headline,
    interval,
    legend,
    name_of,
    remarks,
    told,
    value,
)
from harness.report import embed, plotly_js
from harness.report.style import CSS
from harness.report.text import SHORT, safe

__all__ = ["render"]

_PILLS: Final = {"no regression": "valid", "inconclusive": "suspect", "regression": "invalid"}
_CSS: Final = """
.compared :is(th,td):is(:first-child,:nth-child(2),:last-child){text-align:left}
.compared .worse{color:var(--bad);font-weight:600}.compared .better{color:var(--good);font-weight:600}
.compared .unclear{color:var(--doubt)}
"""
_CLASSES: Final = {"regression": "worse", "improvement": "better", "unclear": "unclear"}
_CHECKED: Final = {"beyond": "worse", "unclear": "unclear"}


def render(found: Comparison) -> str:
    """The page."""
    drawn = list(charts(found))
    rows = _two(found) if len(found.new) == 1 else _many(found)
    body = [
        *_head(found),
        *embed.charts(drawn),
        *_section("Limits", _checks(found) if found.asked else ()),
        *_section("Figures", rows, f'<p class="note">{safe(legend(found))}</p>'),
        *_remarks(found),
        "<footer>tokenswarm compare. Everything is computed from the runs' summary.json and run.json.</footer>",
    ]
    title = f"{found.verdict}: {found.names[-1]} against {found.names[0]}"
    return embed.document(title, body, plotly_js.sources() if drawn else (), CSS + _CSS)


def _head(found: Comparison) -> Iterator[str]:
    others = ", ".join(found.names[1:])
    yield f'<header><div><h1>{safe(others, SHORT)}</h1><p class="sub">against {safe(found.names[0], SHORT)}</p></div>'
    yield f'<span class="pill {_PILLS[found.verdict]}">{found.verdict}</span></header>'
    first, *rest = headline(found)
    kind = {"inconclusive": "suspect", "regression": "invalid"}.get(found.verdict, "")
    yield f'<section class="doubt {kind}"><strong>{escape(first.capitalize())}</strong><ul>'
    yield from (f"<li>{safe(one)}</li>" for one in rest)
    yield "</ul></section>"
    yield "<section><h2>Runs</h2><dl>"
    every = (found.base, *found.new)
    for at, (run, name) in enumerate(zip(every, found.names, strict=True)):
        what = [str(run.settings[key]) for key in ("backend", "model", "host") if run.settings.get(key)]
        verdict = f"; compared: {found.verdicts[at - 1]}" if at else ""
        yield f"<dt>{('base', 'new')[at > 0]}</dt>"
        yield f"<dd><strong>{safe(name, SHORT)}</strong> &middot; "
        yield f"{safe(', '.join(what), SHORT)} &middot; run {safe(run.run_id, SHORT)}; {run.verdict}{verdict}</dd>"
    yield "</dl></section>"


def _section(heading: str, rows: "Iterator[str] | tuple[()]", after: str = "") -> Iterator[str]:
    table = list(rows)
    if table:
        yield f'<section><h2>{heading}</h2><div class="wide"><table class="compared">'
        yield from table
        yield f"</tbody></table></div>{after}</section>"


def _two(found: Comparison) -> Iterator[str]:
    yield _heads("level", "figure", "base", "new", "change", "95 % interval", "")
    for one in found.found:
        if not one.cell.why:
            cells = (
                value(one.cell, one.cell.base),
                value(one.cell, one.cell.new),
                changed(one.cell),
                interval(one.cell),
            )
            yield _row(
                [clip(one.cell.level, 40), name_of(one.cell), *cells, told(one)], _CLASSES.get(one.word, "")
            )


def _many(found: Comparison) -> Iterator[str]:
    table = best(found)
    yield _heads("level", "run", *(heading for heading, _ in table.columns))
    for at, row in enumerate(table.rows):
        yield f"<tr><td>{safe(clip(row.level, 40))}</td><td>{safe(squeeze(found.names[row.run], 40))}</td>"
        for _, places in table.columns:
            one = places[at]
            shown = f"<strong>{one.value}</strong>" if one.is_best else one.value
            against = f"<br><small>{one.change} ({one.interval})</small>" if one.change else ""
            yield f'<td class="{_CLASSES.get(one.word, "")}">{shown}{against}</td>'
        yield "</tr>"


def _checks(found: Comparison) -> Iterator[str]:
    yield _heads("limit", "run", "level", "change", "95 % interval", "")
    for one in found.asked:
        cells = (
            squeeze(found.names[1 + one.cell.run], 40),
            clip(one.cell.level, 40),
            changed(one.cell),
            interval(one.cell),
        )
        yield _row([one.rule.text, *cells, checked(one)], _CHECKED.get(one.word, ""))


def _heads(*names: str) -> str:
    return f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr></thead><tbody>"


def _row(cells: Sequence[str], last: str) -> str:
    *plain, word = (safe(cell, SHORT) for cell in cells)
    return f'<tr>{"".join(f"<td>{cell}</td>" for cell in plain)}<td class="{last}">{word}</td></tr>'


def _remarks(found: Comparison) -> Iterator[str]:
    for heading, lines in remarks(found):
        yield f"<section><h2>{escape(heading.capitalize())}</h2><ul>"
        yield from (f"<li>{safe(one)}</li>" for one in lines)
        yield "</ul></section>"
