"""What the console and the report show of the workers and of the audit: one line, one table, one section.

From summary.json's `audit` alone; nothing is computed here but the sum over error classes. Workers are named after their hosts,
so their names are cleaned and escaped like anything else from outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness.grid import NULL, Group, clean, columns, wrap
from harness.report.text import safe

__all__ = ["line", "section", "table"]

NAME, SHORT = 32, 16  # characters of a worker's name on the console, and where that is narrow
WIDE: Final = 100
LISTED: Final = 20  # workers there; of more, those with something to tell
EVENTS: Final = 10  # of a worker, in the report

_COUNTS: Final = ("offered", "sent", "succeeded", "failed", "cancelled", "unaccounted")
_HEADINGS: Final = (
    *("worker", "state", "reconciles", "offered", "sent", "ok", "failed", "cancelled", "unaccounted"),
    *("heard of, s", "silent, s", "clock, ms", "journal"),
)


def line(audit: Mapping[str, Any] | None) -> str | None:
    """`40 offered = 40 ok + 0 failed + 0 cancelled; 40 rows; reconciles`; None for a run without an audit."""
    if not audit:
        return None
    least = "" if all(one["signed"] for one in audit["workers"]) else "at least "
    parts = [f"{audit['succeeded']:,} ok", f"{_failed(audit):,} failed", f"{audit['cancelled']:,} cancelled"]
    if audit["unaccounted"]:
        parts.append(f"{least}{audit['unaccounted']:,} unaccounted")
    unsure = least if audit["unaccounted"] else ""
    said = [f"{unsure}{audit['offered']:,} offered = {' + '.join(parts)}", f"{audit['rows']:,} rows"]
    if audit["unsent"]:
        said.append(f"{audit['unsent']:,} of {audit['planned']:,} planned were never offered")
    if len(audit["workers"]) > 1:
        said.append(f"{len(audit['workers']):,} workers")
    return "; ".join([*said, "reconciles" if audit["reconciles"] else f"DOES NOT RECONCILE{_with(audit)}"])


def _with(audit: Mapping[str, Any]) -> str:
    """Whose books they are, as far as it is a single worker's."""
    names = [clean(one["name"]) for one in audit["workers"] if not one["reconciles"]]
    return f" ({names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''})" if names else ""


def table(audit: Mapping[str, Any] | None, width: int) -> list[str]:
    """The workers side by side, if there are several; of very many those with something to tell."""
    workers = audit["workers"] if audit else []
    if len(workers) < 2:
        return []
    shown = workers if len(workers) <= LISTED else [one for one in workers if _is_odd(one)][:LISTED]
    if not shown:
        return wrap(f"{len(workers):,} workers, all of them to the end; the report lists them all", width)
    most = NAME if width >= WIDE else SHORT
    worker, *names = _to_the_left("worker", *(_cut(clean(one["name"]), most) for one in shown))
    state, *states = _to_the_left("state", *(_cut(clean(one["state"]), len("unknown")) for one in shown))
    counts = ("offered", "succeeded", "failed", "cancelled")
    groups: list[Group] = [
        ("", (worker, state), list(zip(names, states, strict=True))),
        (
            "requests",
            ("offered", "ok", "failed", "cancelled"),
            [[f"{_count(one, name):,}" for name in counts] for one in shown],
        ),
        ("", ("unaccounted",), [[f"{one['unaccounted']:,}"] for one in shown]),
        ("clock ms", ("offset", "+/-"), [_clock(one) for one in shown]),
        ("silent", ("s",), [[_figure(one["longest_silence_s"], "{:.1f}")] for one in shown]),
    ]
    more = len(workers) - len(shown)
    rest = f"and {more:,} more workers; the report lists them all"
    return [*columns(groups, width), *(wrap(rest, width) if more else ())]


def section(audit: Mapping[str, Any] | None) -> Iterator[str]:
    """The report's "Workers and audit": every worker a row, a card on a telephone."""
    if not audit:
        return
    yield "<section><h2>Workers and audit</h2>"
    yield f"<p>{escape(line(audit) or '')}</p>"
    yield '<div class="wide"><table class="workers"><thead><tr>'
    yield "".join(f"<th>{heading}</th>" for heading in _HEADINGS) + "</tr></thead><tbody>"
    for one in audit["workers"]:
        cells = "".join(
            f'<td data-of="{heading}">{safe(cell)}</td>'
            for heading, cell in zip(_HEADINGS[1:], _cells(one), strict=True)
        )
        yield f"<tr{_trouble(one)}><th>{safe(one['name'])}</th>{cells}</tr>"
    yield "</tbody></table></div>"
    for note in _notes(audit):
        yield f'<p class="note">{safe(note)}</p>'
    yield "</section>"


def _cells(one: Mapping[str, Any]) -> list[str]:
    offset, uncertainty = _clock(one)
    begin, end, silence = (
        _figure(one[name], "{:.1f}") for name in ("joined_s", "last_heard_s", "longest_silence_s")
    )
    return [
        one["state"],
        "yes" if one["reconciles"] else "no",
        *(f"{_count(one, name):,}" for name in _COUNTS),
        NULL if begin == end == NULL else f"{begin} to {end}",
        silence,
        NULL if offset == NULL else f"{offset} \N{PLUS-MINUS SIGN} {uncertainty}",
        {True: "whole", False: "not whole", None: NULL}[one["journal_verified"]],
    ]


def _notes(audit: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit into cells."""
    yield from audit["differences"]
    for one in audit["workers"]:
        if one["differences"]:
            yield f"{one['name']}: {'; '.join(one['differences'])}."
        events = one["events"]
        more = [f"and {len(events) - EVENTS:,} more"] if len(events) > EVENTS else []
        if events:
            yield f"{one['name']}: {'; '.join([*events[:EVENTS], *more])}."


def _to_the_left(*cells: str) -> list[str]:
    """A title and its cells, all as wide as the widest."""
    widest = max(map(len, cells))
    return [cell.ljust(widest) for cell in cells]


def _cut(name: str, most: int) -> str:
    """Names of pods differ at their ends, so what is too long loses its middle."""
    half = most // 2
    return name if len(name) <= most else f"{name[: half - 2]}...{name[1 - half :]}"


def _is_odd(one: Mapping[str, Any]) -> bool:
    return one["state"] != "ended" or bool(one["unaccounted"] or one["events"]) or not one["reconciles"]


def _trouble(one: Mapping[str, Any]) -> str:
    if not one["reconciles"]:
        return ' class="bad"'
    return "" if one["state"] == "ended" and not one["unaccounted"] else ' class="odd"'


def _count(one: Mapping[str, Any], name: str) -> int:
    return _failed(one) if name == "failed" else int(one[name])


def _failed(one: Mapping[str, Any]) -> int:
    """Of all error classes."""
    return sum(one["failed"].values())


def _clock(one: Mapping[str, Any]) -> Sequence[str]:
    return _figure(one["clock_offset_ms"], "{:+.2f}"), _figure(one["clock_uncertainty_ms"], "{:.2f}")


def _figure(value: float | None, form: str) -> str:
    return NULL if value is None else form.format(value)
