"""The InfluxQL of the dashboards' panels.

The rule: what is drawn is right at any zoom. Workers write one point a second, so a rate is the sum over the workers in each
second, and over the seconds of a wider interval their mean: of the seconds that are there, so that an interval which the run or
the view covers in part is not drawn as a dip. (A sum divided by the interval would be one; a mean over points would be one
worker's share.) The newest seconds are left out until all workers have written theirs.

Pure text; `filled` is for who wants to run it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ALL",
    "BASELINE",
    "RANGE",
    "RUN",
    "SETTLED",
    "WORKER",
    "Query",
    "by_worker",
    "counter_rates",
    "elapsed",
    "filled",
    "gauges",
    "percentiles",
    "seconds",
    "select",
    "sub",
]

RUN: Final = '"run" =~ /^${run:regex}$/'
BASELINE: Final = '"run" =~ /^${baseline:regex}$/'
WORKER: Final = '"worker" =~ /^${worker:regex}$/'
RANGE: Final = "$timeFilter"
# Second s is written at s + 2 and takes up to a second to get there; the rest is for clocks that differ.
SETTLED: Final = "time < now() - 5s"
INTERVAL: Final = "$__interval"
ALL: Final = ".*"  # what the choice `All` stands for
_VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<bare>\w+)")
_SPECIAL: Final = re.compile(r"[\\^$*+?.()|\[\]{}/]")  # what Grafana's format `regex` escapes


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel. `alias`: how its series are called, Grafana's `$col` and `$tag_...` in it."""

    text: str
    alias: str = "$col"
    table: bool = False


def select(
    columns: Mapping[str, str],
    source: str,
    *where: str,
    every: str = "",
    by: str = "",
    fill: str = "null",
    tail: str = "",
) -> str:
    """One SELECT.

    Args:
        columns: what each is called, and what it is: a field's or tag's name, or an expression.
        source: a measurement's name, or `sub(...)`.
        where: conditions, all of which hold; none or "" is none.
        every: the width of its intervals in time.
        by: a tag to group by.
        fill: what an interval without a point is, if there are intervals.
        tail: what comes last, of ORDER and LIMIT.
    """
    groups = [*([f"time({every})"] if every else []), *([f'"{by}"'] if by else [])]
    parts = ["SELECT", ", ".join(_column(name, of) for name, of in columns.items())]
    parts += ["FROM", source if source.startswith("(") else f'"{source}"']
    if conditions := [one for one in where if one]:
        parts += ["WHERE", " AND ".join(conditions)]
    if groups:
        parts += ["GROUP BY", ", ".join(groups)]
    if every:
        parts.append(f"fill({fill})")
    return " ".join([*parts, *([tail] if tail else [])])


def sub(query: str) -> str:
    """A query as the source of another."""
    return f"({query})"


def _column(name: str, of: str) -> str:
    if name == of:
        return f'"{name}"'
    return f'"{of}" AS "{name}"' if of.isidentifier() else f'{of} AS "{name}"'


def seconds(columns: Mapping[str, str]) -> Query:
    """Figures of all workers together from `llm_second`: each column's name, and its sums of one second."""
    inner = {f"c{n}": sums for n, sums in enumerate(columns.values())}
    outer = {name: f'MEAN("c{n}")' for n, name in enumerate(columns)}
    of_a_second = select(inner, "llm_second", RANGE, SETTLED, RUN, every="1s", fill="none")
    return Query(select(outer, sub(of_a_second), RANGE, every=INTERVAL))


def percentiles(columns: Mapping[str, str], fill: str = "null") -> Query:
    """Of `llm_percentiles`: each column's name, and the field. Of a wider interval the mean over its 3-second ones."""
    return gauges("llm_percentiles", {name: f'MEAN("{field}")' for name, field in columns.items()}, fill)


def gauges(measurement: str, columns: Mapping[str, str], fill: str = "null") -> Query:
    """Of a measurement with one point at a time: each column's name, and what is drawn of an interval."""
    return Query(select(columns, measurement, RANGE, RUN, every=INTERVAL, fill=fill))


def by_worker(measurement: str, drawn: str) -> Query:
    """One series a worker; `drawn`: what of an interval."""
    columns = {"drawn": drawn}
    return Query(select(columns, measurement, RANGE, RUN, WORKER, every=INTERVAL, by="worker"), "$tag_worker")


def counter_rates(columns: Mapping[str, str]) -> Query:
    """Counters of `llm_server` as rates: each column's name, and the counter. A restart of the server leaves a gap.

    Of each pair of looks by their own times first: with about a look a second, the last look of each second of the clock
    would be 0 to 2 s from the one before it.
    """
    inner = {f"c{n}": f'NON_NEGATIVE_DERIVATIVE("{field}", 1s)' for n, field in enumerate(columns.values())}
    outer = {name: f'MEAN("c{n}")' for n, name in enumerate(columns)}
    return Query(select(outer, sub(select(inner, "llm_server", RANGE, RUN)), RANGE, every=INTERVAL))


def elapsed(name: str, value: str, measurement: str, sums: str = "", run: str = RUN) -> tuple[Query, Query]:
    """A figure of one run, and how long its load had been going on (`s`): two tables to be joined by time.

    No time range: run and baseline are of different times. Intervals are `$width` wide, whatever the range.

    Args:
        name: the column's name.
        value: what is drawn of an interval.
        measurement: of which.
        sums: `value` is not of points but of these, over all points of one second, called `v`.
        run: which run.
    """
    source = (
        sub(select({"v": sums}, measurement, SETTLED, run, every="1s", fill="none")) if sums else measurement
    )
    drawn = select({name: value}, source, SETTLED, "" if sums else run, every="$width", fill="none")
    clock = select({"s": 'MEAN("t_s")'}, "llm_load", SETTLED, run, every="$width", fill="none")
    return Query(drawn, table=True), Query(clock, table=True)


def filled(query: str, run: str, begin_ms: int, end_ms: int, interval_ms: int, **others: str) -> str:
    """The query as Grafana would send it for one run, that is its own baseline, in a range of time.

    Args:
        query: with variables in it.
        run: the run's id.
        begin_ms: Unix ms.
        end_ms: Unix ms.
        interval_ms: the width of one point.
        others: values of further variables, or of these; those that choose are `All` if nothing is said.

    Raises:
        KeyError: a variable that no dashboard has.
    """
    values = {
        "timeFilter": f"time >= {begin_ms}ms and time <= {end_ms}ms",
        "__interval": f"{interval_ms}ms",
        "__interval_ms": str(interval_ms),
        "width": "3s",
        "run": run,
        "baseline": run,
        **dict.fromkeys(("model", "backend", "hardware", "worker"), ALL),
        **dict.fromkeys(("slo_ttft_ms", "slo_tpot_ms"), "1000"),
        **others,
    }

    def value(match: re.Match[str]) -> str:
        text = values[match["braced"] or match["bare"]]
        # Grafana takes the value of `All` as it is.
        return _SPECIAL.sub(r"\\\g<0>", text) if match["format"] == "regex" and text != ALL else text

    return _VARIABLE.sub(value, query)
