"""The report's table of segments: load that was changed while it ran, in order of time, each stretch with its own figures.

From summary.json's `segments`; there are none where load was never changed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.grid import NULL, number
from harness.report.passes import COLUMNS
from harness.report.text import SHORT, safe
from harness.segment_says import NOTE

__all__ = ["labels", "section"]


def section(summary: Mapping[str, Any]) -> Iterator[str]:
    """Nothing where load was never changed."""
    segments = summary.get("segments")
    if not segments:
        return
    yield '<section><h2>Segments</h2><div class="wide"><table class="segments"><thead><tr>'
    yield "<th>load</th><th>what</th><th>from s</th><th>ok/all</th>"
    yield "".join(f"<th>{column.heading}</th>" for column in COLUMNS) + "</tr></thead><tbody>"
    for one in segments:
        told = one["figures"] or {}
        counts = f"{told['succeeded']:,}/{told['requests']:,}" if told else NULL
        yield f"<tr><th>{safe(one['title'], SHORT)}</th><td>{safe(one['label'] or '', SHORT)}</td>"
        yield f"<td>{number(one['begin_s'])}</td><td>{counts}</td>"
        yield "".join(f"<td>{column.cell(told)}</td>" for column in COLUMNS) + "</tr>"
    yield f'</tbody></table></div><p class="note">{NOTE}</p></section>'


def labels(summary: Mapping[str, Any]) -> dict[tuple[int, int], str]:
    """What was changed when a pass over a level began, by level and repeat; of those that have a label."""
    told = summary.get("segments") or ()
    return {(one["level"], one["repeat"]): str(one["label"]) for one in told if one["label"]}
