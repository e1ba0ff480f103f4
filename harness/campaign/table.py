"""The comparison of a campaign's runs: for the console, as Markdown, as CSV. Values in, text out.

A row is a target with its axes at one level, as in the tables people publish: prefill, decode, decode per user, scaling. The
best at each level are marked; what is missing is named, and what cannot be trusted is said and is never the best.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.campaign.figures import COLUMNS, Column, Figure, Row, best
from harness.carried import STAR, says
from harness.grid import NULL, Group, clean, columns, number, wrap

__all__ = ["Comparison", "Switch", "as_csv", "as_markdown", "as_text"]

_MET: Final = {True: "met", False: "MISSED", None: NULL}
_WIDTH: Final = 110
_LEGEND: Final = (
    "prefill: prompt tokens/s while a prompt is read, by the server's own time (~: by TTFT, which has queueing in it: at "
    "least so much).  decode: output tokens/s of all users that arrived in the level's windows.  per user: decode / users.  "
    "scaling: decode / decode at the first level.  The rest: medians of requests."
)
_BEST: Final = "* best at this number of users, or other level."
_FEW: Final = f"{NULL}{STAR} {says(['p95'])} campaign.csv has the number."
_ROUNDS: Final = (
    "Of several rounds: their median; +- half of what lies between the least and the greatest decode, in % of it; and "
    "* also for who comes up to the best in some round."
)
_SWITCHES: Final = (
    "ours: TTFT of the first request after a switch - median TTFT of those sent when it was over. SambaNova's: "
    "max - min of the server's own TTFT at the largest batch of the run. Formulas: docs/campaigns.md."
)


@dataclass(frozen=True, slots=True)
class Switch:
    """Runs that began with another model than the one before them."""

    target: str
    before: str
    after: str
    ours_ms: tuple[float, ...]  # one a switch, where it could be told
    theirs_ms: tuple[float, ...]
    count: int
    hidden: int  # whose trial request paid


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a campaign's end has to say."""

    name: str
    rows: Sequence[Row]
    axes: Mapping[str, Mapping[str, str]]  # of each row's name: axis and value
    targets: Mapping[str, str]  # of each row's name
    missing: Sequence[tuple[str, str]]  # run, why
    doubts: Sequence[tuple[str, str]]  # row and verdict, reason
    switches: Sequence[Switch]
    done: int
    planned: int
    rounds: int


def as_text(found: Comparison, width: int = _WIDTH) -> str:
    """For a terminal."""
    lines = [f"campaign {found.name}: {found.done} of {found.planned} runs"]
    if found.rows:
        lines += ["", *columns(_groups(found), width), "", *wrap(_BEST, width)]
        lines += [*(wrap(_ROUNDS, width) if found.rounds > 1 else []), *wrap(_LEGEND, width)]
        lines += wrap(_FEW, width) if _is_withheld(found) else []
    for heading, told in _notes(found):
        lines += ["", f"{heading}:", *(line for one in told for line in wrap(one, width, "  - ", "    "))]
    if found.switches:
        lines += ["", *columns(_switch_groups(found.switches), width), "", *wrap(_SWITCHES, width)]
    return "\n".join(lines) + "\n"


def as_markdown(found: Comparison) -> str:
    """The same, for a wiki or a pull request."""
    lines = [f"# Campaign {clean(found.name)}", "", f"{found.done} of {found.planned} runs.", ""]
    if found.rows:
        lines += [*_markdown(_groups(found), bold=True), "", f"Bold: {_BEST[2:]}"]
        lines += [*([_ROUNDS.replace("* also", "bold also")] if found.rounds > 1 else []), "", _LEGEND]
        lines += ["", _FEW.replace(STAR, f"\\{STAR}")] if _is_withheld(found) else []
    for heading, told in _notes(found):
        lines += ["", f"## {heading.capitalize()}", "", *(f"- {clean(one)}" for one in told)]
    if found.switches:
        lines += ["", "## Switching", "", *_markdown(_switch_groups(found.switches)), "", _SWITCHES]
    return "\n".join(lines) + "\n"


def as_csv(found: Comparison) -> str:
    """One line a row, full figures; runs that are missing are lines too, with why."""
    axes = list(dict.fromkeys(axis for values in found.axes.values() for axis in values))
    spread = [f"{c.name}{part}" for c in COLUMNS for part in ("", "_min", "_max")]
    names = ["target", *axes, "level", "kind", "value", "rounds", "succeeded", "requests", *spread]
    out = io.StringIO()
    lines = csv.DictWriter(
        out,
        [*names, "prefill_is_lower_bound", "best", "withheld", "verdict", "slo_met", "missing"],
        lineterminator="\n",
    )
    lines.writeheader()
    winners = {column.name: best(found.rows, column) for column in COLUMNS}
    for at, row in enumerate(found.rows):
        won = " ".join(name for name, places in winners.items() if at in places)
        lines.writerow(
            {"target": found.targets[row.name], **found.axes[row.name], **_csv_row(row), "best": won}
        )
    for run, why in found.missing:
        lines.writerow({"target": run, "missing": why})
    return out.getvalue()


def _csv_row(row: Row) -> dict[str, object]:
    figures: dict[str, object] = {}
    for name, figure in row.figures.items():
        parts = (("", figure.median), ("_min", figure.least), ("_max", figure.most))
        figures |= {f"{name}{part}": value for part, value in parts}
    return {
        "level": row.title,
        "kind": row.kind,
        "value": row.value,
        "rounds": row.rounds,
        "succeeded": row.succeeded,
        "requests": row.requests,
        "prefill_is_lower_bound": "yes" if row.is_lower_bound else "no",
        "withheld": " ".join(sorted(row.withheld)),
        "verdict": row.verdict,
        "slo_met": {True: "yes", False: "no", None: ""}[row.slo_met],
        **figures,
    }


def _groups(found: Comparison) -> list[Group]:
    """The first of them make up a published table, with what says whether to believe it; the rest are details."""
    axes = list(dict.fromkeys(axis for values in found.axes.values() for axis in values))
    judged = any(row.slo_met is not None for row in found.rows)
    whose, tail, rounds = [], [], []
    for row in found.rows:
        own = found.axes[row.name]
        whose.append(
            [clean(found.targets[row.name]), *(clean(own.get(axis, NULL)) for axis in axes), row.title]
        )
        ok = f"{row.succeeded}/{row.requests}"
        tail.append([ok, *([_MET[row.slo_met]] if judged else []), row.verdict])
        rounds.append([_spread(row), str(row.rounds)])
    figures = [_group(found.rows, name) for name in dict.fromkeys(column.group for column in COLUMNS)]
    return [
        ("", ("target", *axes, "level"), whose),
        *figures[:2],
        *([("decode", ("+-", "rounds"), rounds)] if found.rounds > 1 else []),
        ("", ("ok/all", *(["SLO"] if judged else []), "verdict"), tail),
        *figures[2:],
    ]


def _group(rows: Sequence[Row], name: str) -> Group:
    mine = [column for column in COLUMNS if column.group == name]
    cells = [_cells(rows, column) for column in mine]
    return name, tuple(f"{one.heading} " for one in mine), [list(line) for line in zip(*cells, strict=True)]


def _cells(rows: Sequence[Row], column: Column) -> list[str]:
    winners = best(rows, column)
    lower = column.name == "prefill_tokens_per_s"
    return [
        f"{NULL}{STAR}"
        if column.name in row.withheld
        else _cell(
            row.figures.get(column.name), column, is_best=at in winners, is_least=lower and row.is_lower_bound
        )
        for at, row in enumerate(rows)
    ]


def _is_withheld(found: Comparison) -> bool:
    return any(row.withheld for row in found.rows)


def _cell(figure: Figure | None, column: Column, *, is_best: bool, is_least: bool) -> str:
    if figure is None:
        return f"{NULL} "
    return f"{'~' if is_least else ''}{number(figure.median, scale=column.scale)}{'*' if is_best else ' '}"


def _spread(row: Row) -> str:
    figure = row.figures.get("decode_tokens_per_s")
    if figure is None or row.rounds < 2 or not figure.median:
        return NULL
    return f"{50 * (figure.most - figure.least) / figure.median:.1f}%"


def _notes(found: Comparison) -> Iterator[tuple[str, list[str]]]:
    if found.missing:
        yield "missing", [f"{run}: {why}" for run, why in found.missing]
    if found.doubts:
        yield "verdicts", [f"{row}: {reason}" for row, reason in found.doubts]


def _switch_groups(switches: Sequence[Switch]) -> list[Group]:
    names = [[clean(one.target), clean(one.before), clean(one.after)] for one in switches]
    hidden = [
        [f'{one.hidden} of {one.count}: preflight = "no" shows it' if one.hidden else "none"]
        for one in switches
    ]
    return [
        ("switch", ("target", "from", "to"), names),
        ("ours s", ("median", "min", "max", "n"), [_of_many(one.ours_ms) for one in switches]),
        (
            "SambaNova's s",
            ("median", "n"),
            [[_of_many(one.theirs_ms)[0], str(len(one.theirs_ms))] for one in switches],
        ),
        ("", ("hidden by a trial request",), hidden),
    ]


def _of_many(times_ms: Sequence[float]) -> list[str]:
    if not times_ms:
        return [NULL, NULL, NULL, "0"]
    over = Figure.of(times_ms)
    return [
        *(number(value, scale=1e-3) for value in (over.median, over.least, over.most)),
        str(len(times_ms)),
    ]


def _markdown(groups: Sequence[Group], *, bold: bool = False) -> Iterator[str]:
    """One table of all groups; a cell that ends with `*` is bold instead."""
    heads = [
        " ".join(filter(None, (heading, name.strip()))) for heading, names, _ in groups for name in names
    ]
    yield _line(heads)
    yield _line(["---", *("---:" for _ in heads[1:])])
    for cells in zip(*(rows for _, _, rows in groups), strict=True):
        flat = [clean(cell).replace("|", "\\|") for group in cells for cell in group]
        yield _line([_emphasised(cell) if bold and cell.endswith(STAR) else cell for cell in flat])


def _emphasised(cell: str) -> str:
    """The best in bold; a dash for what is withheld keeps its star."""
    return f"{NULL}\\{STAR}" if cell == f"{NULL}{STAR}" else f"**{cell[:-1]}**"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
