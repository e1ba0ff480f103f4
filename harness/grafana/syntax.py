"""The tree of a query, as `harness.grafana.influxql` reads it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Call", "Condition", "Expression", "Literal_", "Name", "Operation", "Select", "ShowTagValues"]


@dataclass(frozen=True, slots=True)
class Name:
    """A field, a tag, a column of a subquery, or `time`."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal_:  # noqa: N801  # `Literal` is typing's
    """A value that is written out, or a variable in its place."""

    kind: Literal["number", "text", "regex", "duration", "variable"]
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function, its name in upper case."""

    function: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """Arithmetic."""

    operator: str
    left: "Expression"
    right: "Expression"


Expression = Name | Literal_ | Call | Operation


@dataclass(frozen=True, slots=True)
class Condition:
    """`left operator right`; `$timeFilter` is one by itself and has neither operator nor right side."""

    left: Expression
    operator: str = ""
    right: Expression | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT. `where` has all conditions, whatever joins them: only what they name matters."""

    columns: tuple[tuple[Expression, str | None], ...]
    source: "str | Select"
    where: tuple[Condition, ...] = ()
    every: Expression | None = None  # of GROUP BY time(...)
    by: tuple[str, ...] = ()
    fill: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ShowTagValues:
    """SHOW TAG VALUES FROM measurement WITH KEY = key."""

    measurement: str
    key: str
    where: tuple[Condition, ...] = ()
