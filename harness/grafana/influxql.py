"""InfluxQL as the dashboards use it: text to a tree.

The rule: what is not understood is an error, so a query that this reads names what it names. It reads a part of the language:
one `SELECT` (sources in brackets included) or `SHOW TAG VALUES`, with Grafana's variables where a dashboard may have them.
Left out on purpose, as not every InfluxDB from 1.8 to 3.x knows it: databases and retention policies in FROM, INTO, SLIMIT.

Pure: no server is asked, and whether the names exist is `harness.grafana.lint`'s question.

Source: https://docs.influxdata.com/influxdb/v1/query_language/spec.
"""

import re
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

__all__ = ["parse", "variables"]

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    |(?P<name>"(?:[^"\\]|\\.)+")
    |(?P<text>'(?:[^'\\]|\\.)*')
    |(?P<regex>/(?:[^/\\\n]|\\.)+/(?=\s|\)|$))
    |(?P<duration>\d+(?:ns|ms|[smhdwu])(?![A-Za-z0-9_]))
    |(?P<number>\d+(?:\.\d+)?(?![A-Za-z0-9_]))
    |(?P<variable>\$\{\w+(?::\w+)?\}|\$\w+)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>=~|!~|!=|<>|<=|>=|[-+*/%(),=<>])
    """,
    re.VERBOSE,
)
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")
_COMPARISONS: Final = ("=", "!=", "<>", "<", "<=", ">", ">=", "=~", "!~")
_FILLS: Final = ("null", "none", "previous", "linear")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Select | ShowTagValues:
    """The statement.

    Raises:
        ValueError: what was expected, and where.
    """
    reader = _Reader(text)
    statement = reader.show() if reader.peek("SHOW") else reader.select()
    reader.end()
    return statement


def variables(text: str) -> frozenset[str]:
    """The names of the variables in a text, Grafana's own (`__interval`, `timeFilter`) included."""
    return frozenset(braced or bare for braced, bare in _VARIABLE.findall(text))


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        # A slash divides unless it begins a pattern, and a pattern comes only after a comparison.
        if match and match.lastgroup == "regex" and (not found or found[-1].text not in ("=~", "!~")):
            found.append(_Token("mark", "/", at))
            at += 1
            continue
        if match is None:
            raise ValueError(f"at {at}: cannot read {text[at : at + 20]!r}")
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match.group(), at))
        at = match.end()
    return found


class _Reader:
    """Reads tokens from left to right, never back."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), _Token("end", "the end", len(text))]
        self._at = 0

    def peek(self, *texts: str) -> bool:
        token = self._tokens[self._at]
        return token.kind in ("word", "mark") and token.text.upper() in texts

    def take(self, *texts: str) -> bool:
        self._at += (found := self.peek(*texts))
        return found

    def need(self, *texts: str) -> str:
        if not self.peek(*texts):
            raise self._wrong(" or ".join(texts))
        return self._next().text

    def end(self) -> None:
        if self._tokens[self._at].kind != "end":
            raise self._wrong("the end")

    def show(self) -> ShowTagValues:
        for word in ("SHOW", "TAG", "VALUES", "FROM"):
            self.need(word)
        measurement = self._name()
        for word in ("WITH", "KEY", "="):
            self.need(word)
        return ShowTagValues(measurement, self._name(), self._where())

    def select(self) -> Select:
        self.need("SELECT")
        columns = [self._column()]
        while self.take(","):
            columns.append(self._column())
        self.need("FROM")
        source: str | Select
        if self.take("("):
            source = self.select()
            self.need(")")
        else:
            source = self._name()
        where = self._where()
        every, by, fill = self._group()
        if self.take("ORDER"):
            for word in ("BY", "TIME"):
                self.need(word)
            self.need("ASC", "DESC")
        limit = int(self._of("number").text) if self.take("LIMIT") else None
        return Select(tuple(columns), source, where, every, by, fill, limit)

    def _column(self) -> tuple[Expression, str | None]:
        expression = self._sum()
        return expression, self._name() if self.take("AS") else None

    def _where(self) -> tuple[Condition, ...]:
        if not self.take("WHERE"):
            return ()
        conditions = [*self._condition()]
        while self.take("AND", "OR"):
            conditions += self._condition()
        return tuple(conditions)

    def _condition(self) -> tuple[Condition, ...]:
        if self.take("("):
            inner = [*self._condition()]
            while self.take("AND", "OR"):
                inner += self._condition()
            self.need(")")
            return tuple(inner)
        left = self._sum()
        if left == Literal_("variable", "$timeFilter"):
            return (Condition(left),)
        return (Condition(left, self.need(*_COMPARISONS), self._sum()),)

    def _group(self) -> tuple[Expression | None, tuple[str, ...], str | None]:
        every, by, fill = None, [], None
        if self.take("GROUP"):
            self.need("BY")
            while True:
                if self.take("TIME"):
                    self.need("(")
                    every = self._sum()
                    self.need(")")
                else:
                    by.append(self._name())
                if not self.take(","):
                    break
        if self.take("FILL"):
            self.need("(")
            token = self._next()
            if token.text not in _FILLS and token.kind != "number":
                raise ValueError(f"at {token.at}: fill({token.text}): one of {', '.join(_FILLS)} or a number")
            fill = token.text
            self.need(")")
        return every, tuple(by), fill

    def _sum(self) -> Expression:
        left = self._product()
        while self.peek("+", "-"):
            left = Operation(self._next().text, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._atom()
        while self.peek("*", "/", "%"):
            left = Operation(self._next().text, left, self._atom())
        return left

    def _atom(self) -> Expression:
        if self.take("("):
            inner = self._sum()
            self.need(")")
            return inner
        token = self._next()
        match token.kind:
            case "name":
                return Name(token.text[1:-1])
            case "word" if self.take("("):
                arguments: list[Expression] = []
                while not self.take(")"):
                    arguments.append(self._sum())
                    self.peek(")") or self.need(",")
                return Call(token.text.upper(), tuple(arguments))
            case "word" if token.text == "time":
                return Name("time")
            case "number" | "text" | "regex" | "duration" | "variable":
                return Literal_(token.kind, token.text)
        self._at -= 1
        raise self._wrong("a value")

    def _name(self) -> str:
        return self._of("name").text[1:-1]

    def _of(self, kind: str) -> _Token:
        if self._tokens[self._at].kind != kind:
            raise self._wrong('a "name"' if kind == "name" else f"a {kind}")
        return self._next()

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _wrong(self, expected: str) -> ValueError:
        token = self._tokens[self._at]
        return ValueError(f"at {token.at}: {expected} expected, not {token.text}")
