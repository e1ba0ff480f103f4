"""Where levels stand on a figure's axis, and which service levels are drawn across it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from harness import loadpoint
from harness.report.shapes import axis, inert, marked, short
from harness.slo import parse

__all__ = ["Places", "limits"]

TICKS: Final = 14  # levels that are all named on an axis of numbers
LOG: Final = 8.0  # times: levels that far apart stand by their powers of two
FAR: Final = 2.0  # times the highest value: a limit beyond that would squash what is drawn

Levels = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Places:
    """One entry a level, in the summary's order."""

    levels: Levels
    names: list[str]  # `8`, `5 req/s`; inert
    numbers: list[float] | None  # what is swept over; None where levels have no such number

    @classmethod
    def of(cls, levels: Levels) -> "Places":
        """Of a summary's levels."""
        values = [level.get("value") for level in levels]
        kinds = {level.get("kind", "concurrency") for level in levels}
        swept = len(kinds) == 1 and "arrivals" not in kinds and None not in values
        numbers = [float(value) for value in values if value is not None] if swept else []
        distinct = len(set(numbers)) == len(levels) and numbers == sorted(numbers)
        return cls(levels, [inert(loadpoint.short(level)) for level in levels], numbers if distinct else None)

    @property
    def x(self) -> list[Any]:
        """On an axis of numbers where there are some, else in a row."""
        return self.names if self.numbers is None else list(short(self.numbers))

    @property
    def axis(self) -> dict[str, Any]:
        """For `x`."""
        title = loadpoint.axis(self.levels)
        if self.numbers is None:
            return self.row
        wide = min(self.numbers) > 0 and max(self.numbers) > LOG * min(self.numbers)
        marks = {"tickvals": self.x, "ticktext": self.names} if self._fit(wide=wide) else {}
        return axis(title, type="log" if wide else "linear", **marks)

    @property
    def row(self) -> dict[str, Any]:
        """An axis on which they stand in a row, by name; for bars and boxes."""
        return axis(
            loadpoint.axis(self.levels), type="category", categoryorder="array", categoryarray=self.names
        )

    def _fit(self, *, wide: bool) -> bool:
        """Whether their names have room beside one another."""
        numbers = self.numbers or []
        if len(numbers) > TICKS:
            return False
        if wide:
            return all(b >= 1.3 * a for a, b in pairwise(numbers))
        span = (numbers[-1] - numbers[0]) or 1.0
        return all(b - a >= span / (TICKS + 2) for a, b in pairwise(numbers))


def limits(
    summary: Mapping[str, Any],
    entry: str,
    unit: str,
    x: Sequence[Any],
    drawn: Sequence[Sequence[float | None]],
    **more: Any,  # noqa: ANN401  whatever plotly has
) -> Iterator[dict[str, Any]]:
    """Lines at the service levels' limits on one figure of levels; none where a limit is far above what is drawn.

    Args:
        summary: whose `slo` says what was asked.
        entry: the figure's name in levels.
        unit: of the limits, for who points at one.
        x: the levels.
        drawn: what else stands on the same axis.
        more: for plotly.
    """
    judged = summary.get("slo")
    if not judged or not x:
        return
    top = max((value for values in drawn for value in values if value is not None), default=0.0)
    for text in judged["asked"]:
        slo = parse(text)
        if (slo.figure.entry or slo.figure.name) == entry and slo.limit <= FAR * top:
            yield marked(f"SLO {text}", x, slo.limit, unit, **more)
