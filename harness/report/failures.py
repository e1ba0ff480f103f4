"""The report's part on what went wrong: kinds of failure with the first example of each, and in which levels they came."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import loadpoint
from harness.grid import NULL, number
from harness.report.text import SHORT, safe

__all__ = ["cells", "section"]

HEADINGS: Final = ("requests", "class", "HTTP", "what the first of them said")


def cells(failures: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """A row of `HEADINGS` for each kind, not cleaned."""
    return [
        (
            f"{one['count']:,}",
            str(one["error_class"] or "unknown"),
            str(one["http_status"] or NULL),
            str(one["message"] or NULL),
        )
        for one in failures
    ]


def section(summary: Mapping[str, Any]) -> Iterator[str]:
    """Both tables; the second only where several levels were measured. Nothing for a run without a failure."""
    failures = summary["failures"]
    if not failures:
        return
    yield "<section><h2>Failures in all phases</h2>"
    yield '<div class="wide"><table class="failures"><thead><tr>'
    yield "".join(f"<th>{heading}</th>" for heading in HEADINGS) + "</tr></thead><tbody>"
    for count, word, status, message in cells(failures):
        told = (safe(word, SHORT), safe(status), safe(message))
        yield f"<tr><td>{count}</td>" + "".join(f"<td>{cell}</td>" for cell in told) + "</tr>"
    yield "</tbody></table></div>"
    yield from _by_level(summary["levels"])
    yield "</section>"


def _by_level(levels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    words = sorted({word for level in levels for word in level["errors"]})
    if len(levels) < 2 or not words:
        return
    yield '<p class="caption">Measured requests that failed, by class and level</p>'
    yield f'<div class="wide"><table class="by narrow"><thead><tr><th>{loadpoint.heading(levels)}</th>'
    yield from (f"<th>{safe(loadpoint.short(level), SHORT)}</th>" for level in levels)
    yield "</tr></thead><tbody>"
    for word in words:
        counts = "".join(f"<td>{level['errors'].get(word, 0):,}</td>" for level in levels)
        yield f"<tr><th>{safe(word, SHORT)}</th>{counts}</tr>"
    shares = [
        f"{number(level['failed'] / level['requests'], scale=100)} %" if level["requests"] else NULL
        for level in levels
    ]
    yield "<tr><th>share of all</th>" + "".join(f"<td>{share}</td>" for share in shares)
    yield "</tr></tbody></table></div>"
