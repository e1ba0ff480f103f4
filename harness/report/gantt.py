"""Single requests in time: from the send to the first content, and on to the last; a bar each, in order of sending.

A stretch of neighbours is shown, of the highest load's last window, since what requests do to one another (queues, batches,
waves) shows only there. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.report import palette
from harness.report.material import Chart, Material
from harness.report.moments import Flags, Moments
from harness.report.shapes import axis, figure, inert, layout, note
from harness.report.shapes import moments as seconds
from harness.windows import NEVER, Ints

__all__ = ["stretch", "timeline"]

MOST: Final = 300  # requests
DECIMALS: Final = 4  # of a second
LATE_NS: Final = 1_000_000  # a send that much after it was due is shown

# What is refused at once is over in no time, and is to be seen all the same.
_EDGED: Final = {"marker": {"color": palette.FAILED, "line": {"width": 1.5, "color": palette.FAILED}}}

Rows = npt.NDArray[np.intp]


def timeline(material: Material, moments: Moments) -> Iterator[Chart]:
    """The figure; none where no request was sent."""
    rows, rule = stretch(material, moments)
    if not len(rows) or moments.origin_ns is None:
        return
    drawn = list(_bars(moments, rows, moments.origin_ns))
    height = max(300, min(560, 110 + 8 * len(rows)))
    whole = {"dtick": 1} if len(rows) <= 10 else {}  # a request is no fraction
    yield Chart(
        key="timeline",
        title="Requests in time: waiting for the first content, and getting the rest",
        figure=figure(
            drawn,
            layout(
                height,
                barmode="overlay",
                bargap=0.15 if len(rows) < 100 else 0,
                xaxis=axis("seconds since load began"),
                yaxis=axis("requests, in order sent", autorange="reversed", showgrid=False, rangemode="normal", tickformat="d", **whole),
            ),
        ),
        note=note(rule, "An answer that is not streamed is waited for to its end."),
        wide=True,
    )  # fmt: skip


def stretch(material: Material, moments: Moments) -> tuple[Rows, str]:
    """The requests that are shown, in order of sending, and by which rule."""
    start = np.where(moments.sent == NEVER, moments.due, moments.sent)
    load = (start != NEVER) & ~moments.probes
    for level in reversed(material.levels):
        windows = [window for window in material.windows if window.level == level["level"]]
        if not windows:
            continue
        window = max(windows, key=lambda window: window.start_ns)
        here = np.flatnonzero(load & (start >= window.start_ns) & (start < window.end_ns))
        if len(here):
            where = f"in the last window of {level['title']}"
            return _first(here, start), _rule(min(MOST, len(here)), len(here), where)
    here = np.flatnonzero(load)
    return _first(here, start), _rule(min(MOST, len(here)), len(here), "in the run, which has no window")


def _rule(shown: int, of_all: int, where: str) -> str:
    if shown == of_all:
        return (
            f"All {of_all:,} requests that were sent {where}."
            if of_all > 1
            else f"The one request sent {where}."
        )
    return f"The first {shown:,} of the {of_all:,} requests that were sent {where}, one after the other."


def _first(rows: Rows, start: Ints) -> Rows:
    """So many as are shown, the earliest first."""
    if len(rows) > MOST:
        rows = rows[np.argpartition(start[rows], MOST)[:MOST]]
    return rows[np.lexsort((rows, start[rows]))]


def _bars(moments: Moments, rows: Rows, origin: int) -> Iterator[dict[str, Any]]:
    """A trace a kind of time; every bar of it has its place, its begin and its length."""
    sent, due, end = moments.sent[rows], moments.due[rows], moments.end[rows]
    begun = np.where(sent == NEVER, due, sent)
    ok, failed, streamed = moments.ok[rows], moments.failed[rows], moments.streamed[rows]
    first = np.where(streamed & (moments.first[rows] != NEVER), moments.first[rows], moments.last[rows])
    first = np.where(ok & (first == NEVER), end, first)
    last = np.where(moments.last[rows] == NEVER, first, moments.last[rows])
    late = (sent != NEVER) & (due != NEVER) & (sent - due > LATE_NS)
    kinds: tuple[tuple[str, str, Flags, Ints, Ints, dict[str, Any]], ...] = (
        ("due, not yet sent", palette.CANCELLED, late, due, sent, {"opacity": 0.5}),
        ("waiting for content", palette.WAITING, ok, begun, first, {}),
        ("content arrives", palette.OUTPUT, ok & streamed & (last > first), first, last, {}),
        ("failed", palette.FAILED, failed, begun, end, _EDGED),
        ("given up", palette.CANCELLED, ~ok & ~failed, begun, end, {}),
    )
    why = moments.words("error_class", rows)
    for name, colour, which, from_, to, more in kinds:
        there = np.flatnonzero(which & (to >= from_))
        if len(there):
            yield _trace(name, colour, there, (from_ - origin, to - from_), why) | more


def _trace(
    name: str, colour: str, there: Rows, spans: tuple[Ints, Ints], why: Sequence[Any]
) -> dict[str, Any]:
    begins, lengths = (span[there] / 1e9 for span in spans)
    words = [inert(why[place] or "") for place in there.tolist()]
    told = {"text": [f": {word}" if word else "" for word in words]} if name == "failed" else {}
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": (there + 1).tolist(),
        "base": seconds(begins, DECIMALS),
        "x": seconds(lengths, DECIMALS),
        "width": 0.9,
        "marker": {"color": colour, "line": {"width": 0}},
        "customdata": seconds(lengths, DECIMALS),  # %{x} would be the bar's end
        "textposition": "none",
        "hovertemplate": f"request %{{y}}: {name}{'%{text}' if told else ''}<br>from %{{base}} s, for %{{customdata}} s<extra></extra>",
        **told,
    }
