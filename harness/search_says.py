"""What the console and the report say of a search, of a sweep that saturation ended, and of windows that were cut.

Shows what `summary.json` has and computes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import loadpoint
from harness.grid import NULL, Group, clean, columns, wrap
from harness.report.slo import value

__all__ = ["headline", "lines", "section"]

_MET: Final = {True: "yes", False: "no", None: NULL}
_NOTE: Final = (
    "values: as known while load ran, within 1 %; that is what the search went by. records: what the level's own requests "
    "say of it."
)


def headline(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each of the three, where there is something to say."""
    said = []
    if sought := summary.get("search"):
        said.append(str(sought["answer"]))
        if sought["records_answer"] != sought["answer"]:
            said.append(f"by the records: {sought['records_answer']}")
    if full := summary.get("saturated"):
        rest = f"; not held: {', '.join(full['dropped'])}" if full["dropped"] else ""
        said.append(f"saturated at {full['title']}: {full['reason']}{rest}")
    return [*said, *_cuts(summary)]


def lines(summary: Mapping[str, Any], width: int) -> Iterator[str]:
    """For the console: those sentences, and the evidence of a search as a table."""
    said = headline(summary)
    if said:
        yield ""
    yield from (line for one in said for line in wrap(one, width, later="  "))
    sought = summary.get("search")
    if not sought or not sought["steps"]:
        return
    yield from ("", "search: evidence", *columns(_groups(sought["steps"]), width))
    yield from wrap(_NOTE, width)


def section(summary: Mapping[str, Any]) -> Iterator[str]:
    """For the report."""
    said, sought = headline(summary), summary.get("search")
    if not said:
        return
    yield f"<section><h2>{'Search' if sought else 'Load'}</h2>"
    yield from (f"<p>{escape(clean(one))}</p>" for one in said)
    if sought and sought["steps"]:
        groups = _groups(sought["steps"])
        yield '<div class="wide"><table><thead><tr>'
        yield from (
            f"<th>{escape(clean(f'{heading} {name}'.strip()))}</th>"
            for heading, names, _ in groups
            for name in names
        )
        yield "</tr></thead><tbody>"
        for row in zip(*(cells for *_, cells in groups), strict=True):
            first, *others = (escape(clean(cell)) for group in row for cell in group)
            yield f"<tr><th>{first}</th>{''.join(f'<td>{cell}</td>' for cell in others)}</tr>"
        yield f'</tbody></table></div><p class="note">{escape(_NOTE)}</p>'
    yield "</section>"


def _groups(steps: Sequence[Mapping[str, Any]]) -> list[Group]:
    names = list(dict.fromkeys(one["slo"] for step in steps for one in step["live"]))
    values = []
    for step in steps:
        found = {one["slo"]: value(one["value"], one["unit"]) for one in step["live"]}
        values.append([found.get(name, NULL) for name in names])
    return [
        ("", ("step",), [[str(step["number"])] for step in steps]),
        ("", ("load", "requests"), [[step["title"], f"{step['requests']:,}"] for step in steps]),
        ("measured", tuple(clean(name) for name in names), values),
        ("met", ("live", "records"), [[_MET[step["met"]], _MET[step["records"]["met"]]] for step in steps]),
        ("", ("why",), [[clean(step["why"])] for step in steps]),
    ]


def _cuts(summary: Mapping[str, Any]) -> Iterator[str]:
    """What `--warmup auto` left out."""
    for level in summary["levels"]:
        found = level.get("steady")
        if not found or not found["cut"]:
            continue
        share = f"{100 * found['share_dropped']:.2g} %"
        why = "; ".join(found["reasons"])
        yield (
            f"level {loadpoint.short(level)}: --warmup auto left out {share} of its window, the first "
            f"{found['from_s']:.3g} s among it ({why})"
        )
