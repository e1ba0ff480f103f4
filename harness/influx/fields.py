"""What a measurement is made of: fields with kind, unit and meaning. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["QUANTILES", "Field", "Measurement", "count", "number", "quantiles", "text"]

Kind = Literal["int", "float", "string", "bool"]


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a point. A value that was not measured is left out of the point, never 0."""

    kind: Kind
    unit: str  # "" for what has none: names, counts
    meaning: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One kind of point."""

    name: str
    meaning: str
    writer: str  # who writes it
    time: str  # which moment a point's time is
    tags: tuple[str, ...]  # `run` first
    fields: Mapping[str, Field]
    rewritten: bool = False  # the same point is written again, later with more


def count(meaning: str, unit: str = "") -> Field:
    """A whole number."""
    return Field("int", unit, meaning)


def number(unit: str, meaning: str) -> Field:
    """Any number."""
    return Field("float", unit, meaning)


def text(meaning: str) -> Field:
    """A text."""
    return Field("string", "", meaning)


QUANTILES: Final[Mapping[str, tuple[str, ...]]] = {
    "ttft_ms": ("p50", "p90", "p95", "p99"),
    "tpot_ms": ("p50", "p90", "p95", "p99"),
    "e2e_ms": ("p50", "p90", "p95", "p99"),
    "output_tokens_per_s": ("p10", "p50", "p90"),
}
"""Which quantiles of which figure of a request are written: `<figure>_<quantile>`."""

_UNITS: Final = {"ttft_ms": "ms", "tpot_ms": "ms/token", "e2e_ms": "ms", "output_tokens_per_s": "tokens/s"}
_WORDS: Final = {
    "ttft_ms": "time to first token",
    "tpot_ms": "time per output token after the first",
    "e2e_ms": "request sent to last content",
    "output_tokens_per_s": "rate of one request after its first token",
}


def quantiles(of: str) -> dict[str, Field]:
    """All of `QUANTILES`, of these requests."""
    return {
        f"{figure}_{quantile}": Field("float", _UNITS[figure], f"{quantile} of {_WORDS[figure]}, {of}")
        for figure, some in QUANTILES.items()
        for quantile in some
    }
