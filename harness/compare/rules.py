"""`--fail-on`: limits of one's own on what may become of a figure.

    ttft_p95>+10%                       fails if the TTFT's p95 grew by more than 10 %
    system_output_tokens_per_s<-5%      if the system's rate fell by more than 5 %
    error_rate>+1pp                     if more than one request in a hundred more failed: points; % is the same

Names are those of `--slo`. A limit may also ask for a gain: `ttft_p95>-20%` fails if it did not fall by 20 %. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from harness.compare.figures import FIGURES, Figure
from harness.errors import ConfigError

__all__ = ["Rule", "read"]

_SHAPE: Final = re.compile(
    r"\s*([a-z0-9_]+)\s*([<>])=?\s*([+-]?)\s*([0-9]{1,6}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})\s*(\S*)\s*",
    re.ASCII | re.IGNORECASE,
)
_EXAMPLES: Final = "ttft_p95>+10%, system_output_tokens_per_s<-5% or error_rate>+1pp"


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit."""

    figure: Figure
    worsening: (
        float  # the share, or the points / 100, by which it may get worse; negative: a gain that is asked for
    )
    text: str  # as given, without blanks


def read(given: Iterable[str]) -> tuple[Rule, ...]:
    """All rules of some texts, each of which may hold several with commas between; each once.

    Raises:
        ConfigError: the first that cannot be read.
    """
    parts = [part for text in given for part in text.split(",")]
    return tuple(dict.fromkeys(_parse(part) for part in parts))


def _parse(text: str) -> Rule:
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        _refuse(text, f"write a figure, > or <, and a change with its sign and unit: {_EXAMPLES}")
    name, op, sign, number, unit = (part.lower() for part in shape.groups())
    figure = _figure(text, name)
    if (op == ">") != (figure.toward > 0):
        _refuse(
            text, f"less of it is {'better' if op == '<' else 'worse'}: write e.g. {name}{_right(figure)}"
        )
    if op == "<" and not sign:
        _refuse(text, f"write the change with its sign: {name}<-{number}{unit}")
    if unit not in ({"%", "pp"} if figure.is_share else {"%"}):
        what = "percentage points: write e.g. 1pp" if figure.is_share else "per cent: write e.g. 10%"
        _refuse(text, f"the change of {name} is in {what}")
    worsening = figure.toward * (-1 if sign == "-" else 1) * float(number) / 100
    if figure.toward * worsening <= -1 or (figure.is_share and abs(worsening) >= 1):
        _refuse(text, "nothing changes by so much: give less than 100")
    return Rule(figure, worsening, f"{name}{op}{sign or '+'}{number}{unit}")


def _figure(text: str, name: str) -> Figure:
    if found := FIGURES.get(name):
        return found
    named = [one.name for one in FIGURES.values() if one.key and one.name == f"{name}_{one.key}"]
    if named:
        _refuse(text, f"which {name}? Write one of {', '.join(named)}")
    return _refuse(text, f"no figure called {name} is compared; there are {', '.join(FIGURES)}")


def _right(figure: Figure) -> str:
    unit = "pp" if figure.is_share else "%"
    return f">+10{unit}" if figure.toward > 0 else f"<-10{unit}"


def _refuse(text: str, why: str) -> NoReturn:
    raise ConfigError(f"--fail-on {text.strip()!r}: {why}")
