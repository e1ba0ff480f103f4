"""The highest load that meets the service levels, in few steps: `--search concurrency:1-256`, `rate:1-100`.

From `low` the load is doubled until a level misses or `high` is reached; then the gap between the highest level that
met and the lowest that missed is halved until it is as narrow as asked. Between levels of concurrency half way is the
mean, between rates the geometric mean, since their precision is a share.

    trials at most = 1 + ceil(log2(high / low)) + ceil(log2(gap / precision)) + those that confirm
                     gap: of the last doubling, high / 2 at most; of rates, logarithms of ratios

The rule: one trial is one look at a noisy system, and one wrong look would send the search to the wrong half and
never back. Only two trials bear the answer, the last that met and the first that missed, so only these are held
again, and only if what was measured leaves it open (`Trial.is_clear`). If the two looks differ, a third decides, and
where that moves an end, the search goes on from there. No value is tried more than three times, so it ends.

What to try next follows from the trials alone, so a search can be taken up where it stopped. Where the system
contradicts itself, the lower value is answered and the contradiction said. This module holds no load and judges no
level: `harness.evidence` reads what `harness.judgement` made of one. Pure.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from harness.errors import ConfigError
from harness.evidence import Looks, Trial, ends, seen

__all__ = ["Answer", "Kind", "Search", "Step", "Trial", "parse"]

Kind = Literal["concurrency", "rate"]

_DEFAULT: Final[Mapping[Kind, float]] = {"concurrency": 1.0, "rate": 0.05}
_HIGHEST: Final[Mapping[Kind, float]] = {"concurrency": 999_999, "rate": 1_000_000}
_LEAST: Final = 0.001  # requests/s
_FINEST, _COARSEST = 0.001, 1.0  # precision of a rate
_SHAPE: Final = re.compile(
    r"\s*(concurrency|rate)\s*:\s*(\d+\.?\d*|\.\d+)\s*-\s*(\d+\.?\d*|\.\d+)\s*(?:,\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*)?",
    re.ASCII | re.IGNORECASE,
)
_EXAMPLES: Final = "concurrency:1-256 or rate:1-100, with a precision concurrency:8-256,8 or rate:1-100,2%"
_TIMES: Final = {1: "once", 2: "twice"}


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the evidence: what was tried, why, and what came of it."""

    number: int
    value: float
    why: str
    met: bool | None
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the trials say."""

    value: float | None  # the highest that met, below any that missed; None: not even the lowest did
    first_miss: float | None  # the lowest that missed; None: none did
    limited_by: tuple[str, ...]  # what was missed there, in words
    is_at_high: bool  # the highest allowed met: the limit lies above
    is_complete: bool  # False: the search was ended before it had narrowed the limit down
    steps: int  # trials held
    doubts: tuple[str, ...]  # where trials contradict each other, or could not be judged


@dataclass(frozen=True, slots=True)
class Search:
    """A search for the highest value in [low, high].

    `precision`: how near the answer has to be to a value that misses: in users, or as a share of the rate. None: one
    user, or 5 %. `confirm`: hold the two ends again where a single trial leaves them open.
    """

    kind: Kind
    low: float
    high: float
    precision: float | None = None
    confirm: bool = True

    def next(self, evidence: Sequence[Trial]) -> float | None:
        """What to hold next, given all trials so far; None: it is over. Users are whole numbers."""
        move = self._move(evidence)
        return None if move is None else move[0]

    def steps(self, evidence: Sequence[Trial]) -> Iterator[Step]:
        """The trials in order, each with why it was made."""
        for number, one in enumerate(evidence, 1):
            move = self._move(evidence[: number - 1])
            why = move[1] if move is not None and move[0] == one.value else "given"
            yield Step(number, one.value, why, one.met, one.missed)

    def answer(self, evidence: Sequence[Trial]) -> Answer:
        """What the trials say, also before the search is over."""
        known = seen(evidence)
        low, high = ends(known)
        missed = [word for one in evidence if one.value == high and not one.met for word in one.missed]
        return Answer(
            value=low,
            first_miss=high,
            limited_by=tuple(dict.fromkeys(missed)),
            is_at_high=low is not None and low >= self.high,
            is_complete=self.next(evidence) is None,
            steps=len(evidence),
            doubts=tuple(self._doubts(evidence, known)),
        )

    def say(self, answer: Answer) -> str:
        """The answer in one line."""
        trials = f"{answer.steps} trial{'' if answer.steps == 1 else 's'}"
        if answer.value is None and answer.first_miss is None:
            return f"the highest {self.kind} that meets the SLOs is not known: {trials}"
        if answer.value is None:
            lower = "" if self.kind == "concurrency" and self.low <= 1 else "; search lower"
            return f"no {self.kind} meets the SLOs: {self._missed(answer)} ({trials}){lower}"
        found = f"{self.words(answer.value)} ({trials})"
        if not answer.is_complete:
            above = "" if answer.first_miss is None else f" and below {self.words(answer.first_miss)}"
            return f"the highest {self.kind} that meets the SLOs is at least {found}{above}; the search was ended early"
        if answer.first_miss is None:
            return f"the highest {self.kind} that meets the SLOs is {found}, the most that was allowed; search higher"
        return f"the highest {self.kind} that meets the SLOs is {found}; {self._missed(answer)}"

    def words(self, value: float) -> str:
        """`8 users`, `5.66 req/s`."""
        unit = "req/s" if self.kind == "rate" else "user" if value == 1 else "users"
        return f"{value:,.10g} {unit}"

    def describe(self) -> str:
        """The text that `parse` makes this of."""
        text = f"{self.kind}:{self.low:.10g}-{self.high:.10g}"
        if self.precision is None:
            return text
        rate = self.kind == "rate"
        return f"{text},{100 * self.precision:.10g}%" if rate else f"{text},{self.precision:.10g}"

    def _missed(self, answer: Answer) -> str:
        value = answer.first_miss or 0.0
        verb = "misses" if value == 1 and self.kind == "concurrency" else "miss"
        return f"{self.words(value)} {verb} {', '.join(answer.limited_by) or 'the SLOs'}"

    def _move(self, evidence: Sequence[Trial]) -> tuple[float, str] | None:
        """(what to hold next, why)."""
        known = seen(evidence)
        for value, looks in known.items():
            if looks.is_tied:
                return value, f"{self.words(value)} met and missed: a third look decides"
        low, high = ends(known)
        if low is None and high != self.low:
            return self.low, "the lowest"
        if high is None and low is not None and low < self.high:
            return min(2 * low, self.high), f"{self.words(low)} met: doubled"
        if low is not None and high is not None and not self._is_narrow(low, high):
            why = f"between {low:,.10g}, which met, and {self.words(high)}, which missed"
            return self._between(low, high), why
        for end, said in ((low, "the highest that met"), (high, "the lowest that missed")):
            if self.confirm and end is not None and not known[end].is_settled:
                return end, f"{said}, once more"
        return None

    def _is_narrow(self, low: float, high: float) -> bool:
        precision = _DEFAULT[self.kind] if self.precision is None else self.precision
        return high - low <= precision if self.kind == "concurrency" else high <= low * (1 + precision)

    def _between(self, low: float, high: float) -> float:
        if self.kind == "concurrency":
            return float((low + high) // 2)
        middle = math.sqrt(low * high)
        digits = math.ceil(2 - math.log10(self.precision or _DEFAULT["rate"]))  # rounding must not decide
        rounded = float(f"{middle:.{digits - 1}e}")
        return rounded if low < rounded < high else middle

    def _doubts(self, evidence: Sequence[Trial], known: Mapping[float, Looks]) -> Iterator[str]:
        for value, looks in sorted(known.items()):
            if looks.met and looks.missed:
                often = f"{_times(looks.met)} and missed {_times(looks.missed)}"
                yield f"{self.words(value)} met the SLOs {often}"
        _, high = ends(known)
        above = [
            value
            for value, looks in sorted(known.items())
            if high is not None and value > high and looks.is_met
        ]
        if high is not None and above:
            met = ", ".join(f"{value:,.10g}" for value in above[:-1])
            which = f"{met} and {self.words(above[-1])}" if met else self.words(above[-1])
            yield f"{which} met the SLOs though {self.words(high)} did not: the system is not monotone, or noisy"
        unknown = Counter(one.value for one in evidence if one.met is None)
        for value, times in sorted(unknown.items()):
            yield f"{self.words(value)} could not be judged ({_times(times)}), which counts as missed"


def parse(text: str, option: str = "--search") -> Search:
    """`concurrency:1-256`, `rate:1-100`, each with a precision after a comma: users, or per cent of the rate.

    Raises:
        ConfigError: it is none; the line says what would be right.
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ConfigError(f"{option} {text!r}: write {_EXAMPLES}")
    kind: Kind = "rate" if shape[1].lower() == "rate" else "concurrency"
    low, high = float(shape[2]), float(shape[3])
    if why := _wrong_range(kind, low, high):
        raise ConfigError(f"{option} {text!r}: {why}")
    if shape[4] is None:
        return Search(kind, low, high)
    precision = float(shape[4])
    if kind == "rate":
        precision /= 100
        if shape[5] != "%" or not _FINEST <= precision <= _COARSEST:
            raise ConfigError(
                f"{option} {text!r}: give the precision of a rate from 0.1% to 100%, e.g. rate:1-100,2%"
            )
    elif shape[5] or not precision.is_integer() or not 1 <= precision <= high - low:
        most = f"a whole number of users from 1 to {high - low:.10g}"
        raise ConfigError(f"{option} {text!r}: give the precision of a concurrency as {most}")
    return Search(kind, low, high, precision)


def _wrong_range(kind: Kind, low: float, high: float) -> str | None:
    if kind == "concurrency" and not (low.is_integer() and high.is_integer() and low >= 1):
        return "users are whole numbers, from 1; write e.g. concurrency:1-256"
    if kind == "rate" and low < _LEAST:
        return f"the lowest rate has to be {_LEAST:g} requests/s or more, since it is doubled from there"
    if high > _HIGHEST[kind]:
        return f"the highest may be {_HIGHEST[kind]:,.0f} at most"
    if low >= high:
        return f"{low:.10g} is not below {high:.10g}; write the lowest first, e.g. {kind}:1-100"
    return None


def _times(number: int) -> str:
    return _TIMES.get(number, f"{number} times")
