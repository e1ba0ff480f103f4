"""What the console and the report say of service levels; nothing for a run that was not given any.

It shows what `harness.judgement` found and judges nothing itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import loadpoint
from harness.grid import NULL, clean, number
from harness.judgement import all_met

__all__ = ["COLUMNS", "cell", "cells", "headline", "lines", "section"]

COLUMNS: Final = ("good %", "met")
_MET: Final = {True: "yes", False: "no", None: NULL}
_WORDS: Final = {True: "met", False: "missed", None: "cannot be judged"}
_STATES: Final = {True: "met", False: "missed", None: "not judged"}
_GOODPUT: Final = (
    "Goodput: measured requests that succeeded and meet every SLO on a figure of requests, each by itself."
)


def cells(level: Mapping[str, Any]) -> list[str]:
    """A level's goodput and whether it meets its SLOs."""
    goodput = level.get("goodput") or {}
    return [number(goodput.get("share"), scale=100), _MET[all_met(level.get("slo") or ())]]


def headline(judged: Mapping[str, Any]) -> str:
    """`missed: met up to 4 users`."""
    state, every = _STATES[judged["met"]], _levels(judged)
    passed = [level for level in every if level in judged["levels_met"]]
    if len(every) < 2 or not passed:
        why = "nothing was measured" if not every else "met at no level" if len(every) > 1 else ""
        return f"{state}: {why}" if why else state
    if passed == every:
        return f"met at every level, up to {_users(judged, passed[-1])}"
    if passed == every[: len(passed)]:
        return f"{state}: met up to {_users(judged, passed[-1])}"
    *others, last = passed
    return f"{state}: met at {f'{_list(judged, others)} and ' if others else ''}{_users(judged, last)}"


def lines(judged: Mapping[str, Any] | None) -> list[str]:
    """The headline, and a line for each SLO."""
    if not judged:
        return []
    several = len(_levels(judged)) > 1
    return [headline(judged), *(_line(judged, one, several=several) for one in judged["each"])]


def _line(judged: Mapping[str, Any], one: Mapping[str, Any], *, several: bool) -> str:
    """`ttft_p95<2s: missed at 8, 16 (worst 2340.0 ms at 16)`."""

    def at(levels: Sequence[int]) -> str:
        return f" at {_list(judged, levels)}" if several else ""

    said = [
        _WORDS[met] + at(one[key]) for met, key in ((False, "missed_at"), (None, "unknown_at")) if one[key]
    ]
    text = f"{one['slo']}: {', '.join(said) or _WORDS[one['met']]}"
    if one["worst"] is not None:
        figure = value(one["worst"], one["unit"])
        text += f" ({f'worst {figure}' if several else figure}{at([one['worst_level']])})"
    return text + (f"; of too few requests to be sure{at(one['few_at'])}" if one["few_at"] else "")


def _levels(judged: Mapping[str, Any]) -> list[int]:
    order = [int(level) for level in judged.get("titles", ())]  # that of the table: rates are listed by rate
    known = [*judged["levels_met"], *judged["levels_missed"], *judged["levels_unknown"]]
    return sorted(known, key=lambda level: (order.index(level) if level in order else len(order), level))


def value(figure: float | None, unit: str) -> str:
    """A judged value with its unit; shares in percent."""
    if figure is None:
        return NULL
    return f"{number(figure, scale=100)} %" if unit == "share" else f"{number(figure)} {unit}"


def section(summary: Mapping[str, Any]) -> Iterator[str]:
    """The report's table: a row an SLO, a column a level."""
    judged, levels = summary.get("slo"), summary["levels"]
    if not judged:
        return
    tone = {True: "", False: ' class="doubt invalid"', None: ' class="doubt suspect"'}[judged["met"]]
    yield f"<section{tone}><h2>Service levels {escape(headline(judged))}</h2>"
    yield f'<div class="wide"><table><thead><tr><th>{loadpoint.heading(levels)}</th>'
    yield from (f"<th>{escape(clean(loadpoint.short(level)))}</th>" for level in levels)
    yield "</tr></thead><tbody>"
    if any(level["goodput"] for level in levels):
        yield "<tr><th>goodput, % of requests</th>"
        yield from (f"<td>{cells(level)[0]}</td>" for level in levels)
        yield "</tr><tr><th>goodput, requests/s</th>"
        yield from (f"<td>{number((level['goodput'] or {}).get('requests_per_s'))}</td>" for level in levels)
        yield "</tr>"
    for index, text in enumerate(judged["asked"]):
        yield f"<tr><th>{escape(clean(text))}</th>"
        yield from (f"<td>{_cell(level['slo'][index])}</td>" for level in levels)
        yield "</tr>"
    yield "</tbody></table></div>"
    notes = [_GOODPUT] if any(level["goodput"] for level in levels) else []
    if any(one["few"] for level in levels for one in level["slo"]):
        notes.append("* of so few requests that one more or less may decide.")
    yield from (f'<p class="note">{note}</p>' for note in notes)
    yield "</section>"


def cell(one: Mapping[str, Any]) -> str:
    """One SLO at one level: `54.7 ms* met`."""
    return f"{_judged(one)} {_WORDS[one['met']]}"


def _judged(one: Mapping[str, Any]) -> str:
    return f"{value(one['value'], one['unit'])}{'*' if one['few'] else ''}"


def _cell(one: Mapping[str, Any]) -> str:
    word = _WORDS[one["met"]]
    return f"{escape(_judged(one))} {word if one['met'] else f'<strong>{word}</strong>'}"


def _list(judged: Mapping[str, Any], levels: Sequence[int]) -> str:
    return ", ".join(_title(judged, level) for level in levels)


def _users(judged: Mapping[str, Any], level: int) -> str:
    title = _title(judged, level)
    return f"{title} {'user' if level == 1 else 'users'}" if title.isdigit() else title


def _title(judged: Mapping[str, Any], level: int) -> str:
    return clean(judged.get("titles", {}).get(str(level), level))
