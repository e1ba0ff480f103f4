"""Does a statement make sense for what is written: names and kinds of `harness.influx.schema` against the tree of a query.

InfluxDB answers a query for a field that does not exist with nothing at all, and a sum of texts with nothing too: a panel stays
empty and nobody knows why. So both are found here. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from harness.grafana.syntax import (
    Call,
    Condition,
    Expression,
    Literal_,
    Name,
    Operation,
    Select,
    ShowTagValues,
)
from harness.influx.schema import MEASUREMENTS

__all__ = ["columns", "problems"]

_NUMBERS: Final = frozenset({"int", "float"})
_ANY: Final = frozenset({"int", "float", "string", "bool"})
# What a function takes; all give numbers but those of `_SAME`, which give what they take.
_FUNCTIONS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        ("SUM", "MEAN", "MEDIAN", "SPREAD", "STDDEV", "MIN", "MAX", "PERCENTILE", "TOP", "BOTTOM"), _NUMBERS
    ),
    **dict.fromkeys(
        ("DERIVATIVE", "NON_NEGATIVE_DERIVATIVE", "DIFFERENCE", "NON_NEGATIVE_DIFFERENCE"), _NUMBERS
    ),
    **dict.fromkeys(("MOVING_AVERAGE", "CUMULATIVE_SUM", "ELAPSED"), _NUMBERS),
    **dict.fromkeys(("COUNT", "FIRST", "LAST", "MODE", "DISTINCT"), _ANY),
}
_SAME: Final = ("FIRST", "LAST", "MODE", "DISTINCT")
# These choose a point, so that its other fields can stand beside them.
_SELECTORS: Final = ("TOP", "BOTTOM", "FIRST", "LAST", "MIN", "MAX", "PERCENTILE")
_TEXT_OPERATORS: Final = ("=", "!=", "<>", "=~", "!~")


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a source has: its name for messages, the kinds of its fields, its tags."""

    name: str
    fields: Mapping[str, str]
    tags: tuple[str, ...]

    def kind(self, name: str) -> str | None:
        """int, float, string, bool, tag or time; None: there is no such thing."""
        if name == "time":
            return "time"
        return "tag" if name in self.tags else self.fields.get(name)


def problems(statement: Select | ShowTagValues) -> list[str]:
    """All that is wrong with it, in words."""
    if isinstance(statement, ShowTagValues):
        scope = _measured(statement.measurement)
        if scope is None:
            return [_unknown(statement.measurement)]
        found = [] if statement.key in scope.tags else [f"{scope.name} has no tag {statement.key}"]
        return [*found, *_conditions(statement.where, scope)]
    if isinstance(statement.source, Select):
        inner = problems(statement.source)
        scope = _Scope("the subquery", columns(statement.source), statement.source.by)
    else:
        inner, scope = [], _measured(statement.source)
        if scope is None:
            return [_unknown(statement.source)]
    return [
        *inner,
        *_columns(statement, scope),
        *_conditions(statement.where, scope),
        *_groups(statement, scope),
    ]


def columns(statement: Select) -> dict[str, str]:
    """The columns that a SELECT gives and their kinds; of what is wrong with it, `float`."""
    if isinstance(statement.source, Select):
        scope: _Scope | None = _Scope("the subquery", columns(statement.source), statement.source.by)
    else:
        scope = _measured(statement.source)
    return {
        alias or _called(expression): (_kind(expression, scope) if scope else None) or "float"
        for expression, alias in statement.columns
    }


def _measured(name: str) -> _Scope | None:
    if (known := MEASUREMENTS.get(name)) is None:
        return None
    return _Scope(name, {field: its.kind for field, its in known.fields.items()}, known.tags)


def _unknown(measurement: str) -> str:
    return f"there is no measurement {measurement}: one of {', '.join(MEASUREMENTS)}"


def _called(expression: Expression) -> str:
    """What InfluxDB calls a column without AS."""
    match expression:
        case Name(name):
            return name
        case Call(function, _):
            return function.lower()
    return "expression"


def _parts(expression: Expression) -> Iterator[Expression]:
    yield expression
    match expression:
        case Call(_, arguments):
            for argument in arguments:
                yield from _parts(argument)
        case Operation(_, left, right):
            yield from _parts(left)
            yield from _parts(right)


def _kind(expression: Expression, scope: _Scope) -> str | None:
    match expression:
        case Name(name):
            return scope.kind(name)
        case Call(function, (first, *_)) if function in _SAME:
            return _kind(first, scope)
        case Literal_(kind, _):
            return "string" if kind == "text" else "float"
    return "float"


def _columns(statement: Select, scope: _Scope) -> Iterator[str]:
    calls, plain = [], []
    for expression, _ in statement.columns:
        yield from _expression(expression, scope)
        found = [part for part in _parts(expression) if isinstance(part, Call)]
        calls += found
        if not found:
            plain.append(expression)
    if calls and plain and (len(calls) > 1 or calls[0].function not in _SELECTORS):
        yield f"{_called(plain[0])} stands beside an aggregate, which has no single point that it could be of"
    if not calls and all(isinstance(one, Name) and scope.kind(one.name) == "tag" for one in plain):
        yield "only tags are selected: InfluxDB answers nothing without a field"
    names = [alias or _called(expression) for expression, alias in statement.columns]
    yield from (f"two columns are called {name}" for name in sorted({n for n in names if names.count(n) > 1}))


def _expression(expression: Expression, scope: _Scope) -> Iterator[str]:
    for part in _parts(expression):
        match part:
            case Name(name) if scope.kind(name) is None:
                yield f"{scope.name} has no field or tag {name}"
            case Operation(operator, left, right):
                for side in (left, right):
                    if isinstance(side, Name) and scope.kind(side.name) not in (*_NUMBERS, None):
                        yield f"{side.name} {operator}: it is a {scope.kind(side.name)}, not a number"
            case Call(function, arguments):
                yield from _call(function, arguments, scope)


def _call(function: str, arguments: tuple[Expression, ...], scope: _Scope) -> Iterator[str]:
    if (takes := _FUNCTIONS.get(function)) is None:
        yield f"{function}: not a function that every InfluxDB has"
    elif not arguments:
        yield f"{function}(): of what?"
    elif (kind := _kind(arguments[0], scope)) is not None and kind not in takes:
        name = _called(arguments[0])
        yield f"{function}({name}): {name} is a {kind}, {'not a field' if takes is _ANY else 'not a number'}"


def _conditions(conditions: tuple[Condition, ...], scope: _Scope) -> Iterator[str]:
    for condition in conditions:
        left, operator, right = condition.left, condition.operator, condition.right
        if not isinstance(left, Name) or right is None:
            continue
        kind = scope.kind(left.name)
        text = isinstance(right, Literal_) and right.kind in ("text", "regex")
        if kind is None:
            yield f"{scope.name} has no field or tag {left.name}"
        elif kind in ("tag", "string") and not (text and operator in _TEXT_OPERATORS):
            yield f"{left.name} {operator}: it is a text, which is compared with 'text' or /pattern/"
        elif kind in _NUMBERS and text:
            yield f"{left.name} {operator}: it is a number and is compared with a text"


def _groups(statement: Select, scope: _Scope) -> Iterator[str]:
    yield from (
        f"GROUP BY {name}: {scope.name} has no such tag" for name in statement.by if name not in scope.tags
    )
    calls = any(isinstance(part, Call) for expression, _ in statement.columns for part in _parts(expression))
    if statement.every is not None and not calls:
        yield "GROUP BY time(...) without an aggregate"
    if statement.every is not None and statement.fill is None:
        yield "GROUP BY time(...) without fill(...): versions differ in what they do with what is missing"
