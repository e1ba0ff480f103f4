"""A comparison as GitHub-flavoured Markdown, for a pull request. Whatever came from outside is made inert."""

from collections.abc import Iterator, Sequence
from typing import Final

from harness.compare.best import best
from harness.compare.comparison import Comparison, clip
from harness.compare.judge import Judged
from harness.compare.strips import strips
from harness.compare.wording import (
    MIND,
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
from harness.report.markdown import inert

__all__ = ["render"]

_HEADS: Final = ("", "base", "new", "change", "95 % interval", "")


def render(found: Comparison) -> str:
    """All of it, without a final newline."""
    first, *rest = headline(found)
    lines = [f"### tokenswarm compare: {first.lower()}", "", f"{'; '.join(rest)}.", ""]
    for name, run, role in zip(
        found.names, (found.base, *found.new), ("base", *("new" for _ in found.new)), strict=True
    ):
        what = [
            inert(clip(run.settings[key])) for key in ("backend", "model", "host") if run.settings.get(key)
        ]
        lines.append(f"- {role}: **{inert(name)}** ({', '.join(what)}; {run.verdict})")
    lines += ["", *(_two(found) if len(found.new) == 1 else _many(found))]
    if drawn := list(strips(found)):
        lines += ["", "```text", *drawn, "```"]
    if found.asked:
        lines += ["", *_checks(found)]
    for heading, told_ in remarks(found):
        said = [f"- {inert(one)}" for one in told_]
        if heading == MIND:
            lines += ["", *said]
        else:
            lines += ["", "<details><summary>", f"{heading.capitalize()} ({len(told_)})", "</summary>", ""]
            lines += [*said, "", "</details>"]
    return "\n".join([*lines, "", f"<sub>{legend(found)}</sub>"])


def _two(found: Comparison) -> Iterator[str]:
    yield from _head(("level", *_HEADS), (0, 1, 6))
    for one in found.found:
        if not one.cell.why:
            yield _line(
                [
                    inert(one.cell.level),
                    name_of(one.cell),
                    value(one.cell, one.cell.base),
                    value(one.cell, one.cell.new),
                    _loud(one, changed(one.cell)),
                    interval(one.cell),
                    _loud(one, told(one)),
                ]
            )


def _many(found: Comparison) -> Iterator[str]:
    table = best(found)
    yield from _head(["level", "run", *(heading for heading, _ in table.columns)])
    for at, row in enumerate(table.rows):
        cells = [inert(row.level), inert(found.names[row.run])]
        for _, places in table.columns:
            place = places[at]
            shown = f"**{place.value}**" if place.is_best else place.value
            against = f"<br>{place.change} ({place.interval})" if place.change and row.run else ""
            cells.append(shown + against + (" worse" if place.word == "regression" else ""))
        yield _line(cells)
    yield ""
    yield "Bold: the best at this level, or not told from it. Changes are against the base, with their 95 % intervals."


def _checks(found: Comparison) -> Iterator[str]:
    yield from _head(("limit", "run", "level", "change", "95 % interval", ""), (0, 1, 2, 5))
    for one in found.asked:
        told_ = checked(one)
        yield _line(
            [
                inert(one.rule.text),
                inert(found.names[1 + one.cell.run]),
                inert(one.cell.level),
                changed(one.cell),
                interval(one.cell),
                f"**{told_}**" if one.word == "beyond" else told_,
            ]
        )


def _loud(one: Judged, text: str) -> str:
    return f"**{text}**" if one.word == "regression" else text


def _head(names: Sequence[str], left: Sequence[int] = (0, 1)) -> Iterator[str]:
    yield _line(names)
    yield _line([":---" if at in left else "---:" for at in range(len(names))])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
