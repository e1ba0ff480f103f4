"""A page around its body, and charts in it: an empty place each, its figure as JSON beside it, and once, at the end, the scripts that draw.

    <figure class="chart"> caption, note, <div class="plot" id="plot-KEY">, <script type="application/json" id="data-KEY">

A figure holds text from outside, and JSON in a script element ends at the first `</script>` that is in it. So `<`, `>`, `&`
and the two line ends that JSON has and JavaScript once had not are written by their numbers: the same JSON, and inert.

The page's policy allows exactly the scripts that we put there, by their digests, and no address at all: markup that got in
past everything else could still neither run nor send anything.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

import orjson

from harness.report.material import Chart
from harness.report.text import SHORT, safe

__all__ = ["charts", "document", "policy", "scripts"]

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - tokenswarm</title>
<style>{css}</style></head>
<body><main>
{body}
</main>
{scripts}
</body></html>
"""

_NO_SCRIPT: Final = '<noscript><p class="note">The charts need JavaScript. Every figure that they are of is in the tables below.</p></noscript>'

_ESCAPES: Final = {
    ord(character): f"\\u{ord(character):04x}"
    for character in ("<", ">", "&", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}")
}


def document(title: str, body: Iterable[str], sources: Sequence[str], css: str) -> str:
    """The whole page: its body's HTML, and the scripts that it may run."""
    return _PAGE.format(
        policy=policy(sources),
        title=safe(title, SHORT),
        css=css,
        body="\n".join(body),
        scripts="\n".join(scripts(sources)),
    )


def charts(drawn: Sequence[Chart]) -> Iterator[str]:
    """The places of all charts with their figures; nothing where there are none."""
    if not drawn:
        return
    yield _NO_SCRIPT
    yield '<div class="charts">'
    for one in drawn:
        key = escape(one.key)
        note = f'<p class="note">{safe(one.note)}</p>' if one.note else ""
        yield f'<figure class="chart{" whole" if one.wide else ""}"><figcaption><h3>{safe(one.title)}</h3>{note}</figcaption>'
        height = int(
            one.figure["layout"].get("height", 0)
        )  # at once, so that nothing moves while figures are drawn
        yield f'<div class="plot" id="plot-{key}" role="img" aria-label="{safe(one.title)}" style="min-height:{height}px"></div>'
        yield f'<script type="application/json" id="data-{key}">{_json(one)}</script></figure>'
    yield "</div>"


def _json(chart: Chart) -> str:
    """Plotly's figure, inert between script tags."""
    return orjson.dumps(chart.figure).decode().translate(_ESCAPES)


def scripts(sources: Sequence[str]) -> Iterator[str]:
    """The elements, in order.

    Raises:
        ValueError: a source that would end its element.
    """
    for source in sources:
        if "</script" in source.lower() or "<!--" in source:
            raise ValueError("a script that holds the end of a script element, or the beginning of a comment")
        yield f"<script>{source}</script>"


def policy(sources: Sequence[str]) -> str:
    """The value of Content-Security-Policy: no address, no script but these."""
    digests = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in sources]
    run = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {run}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
