"""A run's tables as Markdown, for a pull request or an issue: what GitHub and GitLab show of it is what was measured.

Whatever came from outside is text there and nothing else: no markup, no link, no mention of a person or an issue, no emoji, no
formula. Characters that could mean something are written as HTML's numbers, which Markdown never takes for its own marks; an
empty comment goes between those that a forge looks for afterwards, in the finished text.
Source: CommonMark 0.31.2, 6.1 and 2.5; GitHub Flavored Markdown 0.29, 6.9.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import arrival_says, loadpoint, search_says, server_says
from harness.report import failures, head, levels
from harness.report import slo as report_slo
from harness.report.text import SHORT, cut

__all__ = ["inert", "render", "table"]

_SENTENCE: Final = 500  # characters of a reason or of an error's words
_SOUGHT: Final = "@#:"  # by a forge, in the finished text: mentions, issues, addresses and emoji
_NAMES: Final = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_MARKS: Final = re.compile(
    r"(?i)[\\`*\[\]<>&|~$@#]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word it is nothing
    r"|:(?=//)|(?<!\d):(?=[\w+-]+:)|(?<=www)\."
)
_FIRST: Final = re.compile(r"[-+=]|\d(?=\d{0,8}[.)](?:\s|$))")  # it would begin a list, a rule or a heading


def render(summary: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The whole text: verdict, headline, levels, service levels, failures, and what is to be known of the cells."""
    return "\n".join(_lines(summary, run)) + "\n"


def _lines(summary: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[str]:
    settings = run.get("settings") or {}
    yield from (f"## {inert(head.title(summary, settings))}", "")
    said = [f"**verdict: {inert(summary['verdict']['status'])}**"]
    if judged := summary.get("slo"):
        said.append(f"**service levels {inert(report_slo.headline(judged))}**")
    dates = head.when(run.get("started_at"), run.get("finished_at"))
    said += [inert(one, SHORT) for one in (dates, f"run {summary['run_id']}") if one]
    yield from (" \N{MIDDLE DOT} ".join(said), "")
    yield from _doubts(summary)
    yield from (
        f"- **{inert(figure)}** {inert(what)} ({inert(where)})" for figure, what, where in head.tiles(summary)
    )
    yield from _tables(summary)
    yield from (f"\n{inert(one, _SENTENCE)}" for one in search_says.headline(summary))
    yield from (f"\n{inert(one)}" for one in levels.notes(summary))


def _doubts(summary: Mapping[str, Any]) -> Iterator[str]:
    """What stands above everything else, as a quotation."""
    for one in (head.nothing(summary), head.warning(summary)):
        if one:
            yield f"> **{inert(one)}**"
            yield ">"
    reasons = summary["verdict"]["reasons"]
    yield from (f"> - {inert(reason, _SENTENCE)}" for reason in reasons)
    if reasons:
        yield ""


def _tables(summary: Mapping[str, Any]) -> Iterator[str]:
    every = summary["levels"]
    names = [loadpoint.heading(every), "ok/all"]
    names += [f"{heading} {name}" for heading, columns in levels.COLUMNS for name, *_ in columns]
    asked = summary.get("slo") is not None
    names += [f"SLO {name}" for name in report_slo.COLUMNS if asked]
    rows = [
        [
            inert(loadpoint.short(level), SHORT),
            f"{level['succeeded']:,}/{level['requests']:,}",
            *_figures(level),
            *(report_slo.cells(level) if asked else ()),
        ]
        for level in every
    ]
    yield from table("Levels", names, rows)
    for caption, (more, cells) in (
        (arrival_says.CAPTION, arrival_says.columns(every)),
        (server_says.CAPTION, server_says.columns(every)),
    ):
        whose = [inert(loadpoint.short(level), SHORT) for level in every]
        rows = [[name, *map(_starred, row)] for name, row in zip(whose, cells, strict=True)] if more else []
        yield from table(caption, [loadpoint.heading(every), *more], rows)
    titles = [inert(loadpoint.short(level), SHORT) for level in every]
    yield from table("Service levels", [loadpoint.heading(every), *titles], list(_service_levels(summary)))
    rows = [
        [count, inert(word, SHORT), status, inert(message, _SENTENCE)]
        for count, word, status, message in failures.cells(summary["failures"])
    ]
    yield from table("Failures in all phases", failures.HEADINGS, rows, left=(1, 3))


def _figures(level: Mapping[str, Any]) -> Iterator[str]:
    for (_, columns), cells in zip(levels.COLUMNS, levels.cells(level), strict=True):
        for (_, name, *_), cell in zip(columns, cells, strict=True):
            between = levels.interval(level, name)
            yield f"{cell} ({between})" if between else _starred(cell)


def _service_levels(summary: Mapping[str, Any]) -> Iterator[list[str]]:
    judged = summary.get("slo")
    if not judged:
        return
    for index, text in enumerate(judged["asked"]):
        yield [
            inert(text, SHORT),
            *(_starred(report_slo.cell(level["slo"][index])) for level in summary["levels"]),
        ]


def _starred(cell: str) -> str:
    return cell.replace("*", r"\*")


def table(
    caption: str, names: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> Iterator[str]:
    """A table below its caption; nothing without rows. Cells are inert already; columns in `left` begin at the left."""
    if not rows:
        return
    yield from ("", f"**{caption}**", "", f"| {' | '.join(names)} |")
    yield f"|{'|'.join(':---' if at in left else '---:' for at in range(len(names)))}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def inert(text: object, most: int = 2_000) -> str:
    """Text from outside as Markdown that shows it and does nothing."""
    line = cut(text, most)
    first = _number(line[0]) if _FIRST.match(line) else ""
    return first + _MARKS.sub(lambda found: _number(found[0]), line[bool(first) :])


def _number(character: str) -> str:
    return f"{_NAMES.get(character, f'&#{ord(character)};')}{'<!-- -->' if character in _SOUGHT else ''}"
