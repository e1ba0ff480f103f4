"""Service levels: what `--slo` asks for, and whether a single request meets it.

    ttft_p95<2s     of a figure of requests: its statistic over a level. Statistics are those of summary.json
    goodput>=95%    of a figure of a whole level: it has none
    mlperf:MODEL    several at once, of a published benchmark (`harness.slo_presets`)

The rule: an SLO on a figure of requests asks the same of each single request, its statistic dropped. A request
is *good* if it ended well and meets all of them (DistServe's goodput, arXiv 2401.09670): `good` for one record,
`good_rows` for a table. Whether levels and runs meet them: `harness.judgement`.

Times are in ms and shares from 0 to 1, as in summary.json, in whichever unit they were written. docs/metrics.md,
"Service levels", has the grammar. May be imported under load; only `good_rows` needs pandas.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from harness import slo_presets
from harness.errors import ConfigError
from harness.record import Outcome, RequestRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

__all__ = ["FIGURES", "Figure", "Slo", "Slos", "good", "good_rows", "on_requests", "parse", "read"]

Op = Literal["<", "<=", ">", ">="]

_TIMES: Final = ("mean", "median", "p50", "p90", "p95", "p99", "max")
_RATES: Final = ("mean", "median", "p5", "p10", "p50", "p90")
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TO_MS: Final = {"s": Decimal(1000), "ms": Decimal(1), "us": Decimal("0.001")}
_SHAPE: Final = re.compile(
    r"\s*([a-z0-9_]+)\s*([<>]=?)\s*([0-9]{1,12}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})\s*"
    r"([^\s(]*)\s*(?:\(\s*([a-z0-9.-]{1,40}:[a-z0-9.-]{1,80})\s*\)\s*)?",
    re.ASCII | re.IGNORECASE,
)
_PRESET: Final = re.compile(r"\s*[a-z]+\s*:.*", re.ASCII | re.IGNORECASE | re.DOTALL)
_EXAMPLES: Final = "ttft_p95<2s, error_rate<1% or goodput>=95%"


@dataclass(frozen=True, slots=True)
class Figure:
    """Something an SLO may be on."""

    name: str
    unit: str  # of limits and values: ms, share, tokens/s, requests/s
    entry: str | None = None  # where a level of summary.json has it; None: it is computed for the judgement
    column: str | None = None  # the figure of a single request; None if a request has none
    statistics: tuple[str, ...] = ()


FIGURES: Final[Mapping[str, Figure]] = {
    one.name: one
    for one in (
        *(Figure(name, "ms", f"{name}_ms", f"{name}_ms", _TIMES) for name in ("ttft", "ttfa", "tpot", "e2e", "ttft_scheduled", "e2e_scheduled")),
        Figure("chunk_gap", "ms", "chunk_gap_ms", None, _TIMES),
        Figure(
            "output_tokens_per_s", "tokens/s", "request_output_tokens_per_s", "output_tokens_per_s", _RATES
        ),
        Figure("error_rate", "share"),
        Figure("goodput", "share"),
        *(Figure(name, "tokens/s", name) for name in ("system_output_tokens_per_s", "system_total_tokens_per_s")),
        Figure("requests_per_s", "requests/s", "requests_per_s"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slo:
    """One service level objective."""

    figure: Figure
    statistic: str | None  # None for a figure of a whole level
    op: Op
    limit: float  # in the figure's unit
    text: str  # as given, without blanks
    preset: str | None = None  # what it was asked for as, where it is one of several that a name stands for

    def describe(self) -> str:
        """The text that `parse` makes this of: `ttft_p95<2s`, or `tpot_p99<=40ms (mlperf:llama2-70b-interactive)`."""
        return self.text if self.preset is None else f"{self.text} ({self.preset})"

    def meets(self, value: float) -> bool:
        """Whether a value, in the figure's unit, is what was asked for."""
        return _COMPARE[self.op](value, self.limit)


Slos = tuple[Slo, ...]


_AFTER_FIRST: Final = ("tpot_ms", "output_tokens_per_s")  # columns that a request may be too short for


def on_requests(slos: Slos) -> Slos:
    """Those on a figure of requests: without any, nobody can say whether a request is good."""
    return tuple(slo for slo in slos if slo.figure.column is not None)


def good(request: RequestRecord, slos: Slos) -> bool | None:
    """Whether a request ended well and meets every SLO on a figure of requests; None if there is no such SLO.

    A figure that was not measured is not met, but for a rate after the first token where nothing came after it. While
    load runs, a request whose tokens are counted only afterwards has no such rate yet, and is not good yet.
    """
    asked = False
    for slo in slos:
        column = slo.figure.column
        if column is None:
            continue
        asked = True
        if request.outcome != Outcome.OK:
            return False
        value = getattr(request, column)
        met = _all_at_once(request, column) if value is None else _COMPARE[slo.op](value, slo.limit)
        if not met:
            return False
    return True if asked else None


def _all_at_once(request: RequestRecord, column: str) -> bool:
    """Whether there can be no rate after the first token: no token came after it, or no time passed."""
    first, tokens = request.first_content_ns, request.output_tokens
    if column not in _AFTER_FIRST or not request.streamed or first is None:
        return False
    few = tokens is not None and tokens - (request.first_chunk_tokens or 1) < 1
    return few or first == request.last_content_ns


def good_rows(requests: "pd.DataFrame", slos: Slos) -> "npt.NDArray[np.bool_] | None":
    """`good` for each row of a table of requests (columns of requests.parquet); None if there is no SLO on one."""
    import numpy as np  # noqa: PLC0415  as pandas, it is not for the time of load

    from harness.windows import NEVER, floats, ints  # noqa: PLC0415

    asked = on_requests(slos)
    if not asked:
        return None
    found: npt.NDArray[np.bool_] = (requests["outcome"] == Outcome.OK.value).to_numpy(dtype=bool)
    first, after = ints(requests["first_content_ns"]), floats(requests["first_chunk_tokens"])
    few = floats(requests["output_tokens"]) - np.where(after > 0, after, 1.0) < 1
    few |= first == ints(requests["last_content_ns"])
    at_once = few & requests["streamed"].to_numpy(dtype=bool) & (first != NEVER)
    for slo in asked:
        column = str(slo.figure.column)
        values = floats(requests[column])
        met = _COMPARE[slo.op](values, slo.limit)  # type: ignore[arg-type]  # one flag a row; NaN meets nothing
        found = found & (met | (np.isnan(values) & at_once) if column in _AFTER_FIRST else met)
    return found


def read(given: Iterable[str]) -> Slos:
    """All SLOs of some texts, each of which may hold several with commas between; each once, presets as what they mean.

    Raises:
        ConfigError: the first that cannot be read, or goodput without an SLO on a figure of requests.
    """
    parts = [one for text in given for part in text.split(",") if part.strip() for one in _expanded(part)]
    slos = tuple(dict.fromkeys(map(parse, parts)))
    if not on_requests(slos):
        for slo in slos:
            if slo.figure.name == "goodput":
                _refuse(
                    slo.text,
                    "goodput is the share of requests that meet the SLOs on single requests, and there are "
                    "none; add one, e.g. --slo 'ttft_p95<2s'",
                )
    return slos


def _expanded(text: str) -> list[str]:
    """A preset as the SLOs it stands for; anything else as it is."""
    if not _PRESET.fullmatch(text):
        return [text]
    return slo_presets.expand(text) or _refuse(
        text, f"no such preset; there are {', '.join(slo_presets.names())}"
    )


def parse(text: str) -> Slo:
    """`ttft_p95<2s`, `error_rate < 1%`, `goodput>0.95`: blanks and capitals do not matter.

    Raises:
        ConfigError: it is none; the line says what would be right.
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        _refuse(text, f"write a figure, one of < <= > >=, and a value with its unit: {_EXAMPLES}")
    name, op, number, unit, preset = (part and part.lower() for part in shape.groups())
    figure, statistic = _figure(text, name)
    limit = _limit(text, figure, Decimal(number), unit)
    _check(text, figure, op, limit)
    return Slo(figure, statistic, op, limit, f"{name}{op}{number}{unit}", preset)  # type: ignore[arg-type]  # by _SHAPE


def _refuse(text: str, why: str) -> NoReturn:
    raise ConfigError(f"--slo {text.strip()!r}: {why}")


def _figure(text: str, name: str) -> tuple[Figure, str | None]:
    """`ttft_p95` as its figure and statistic."""
    if whole := FIGURES.get(name):
        if whole.statistics:
            _refuse(text, f"which {name}? Write one of {', '.join(f'{name}_{s}' for s in whole.statistics)}")
        return whole, None
    stem, _, statistic = name.rpartition("_")
    figure = FIGURES.get(stem)
    if figure is None:
        _refuse(text, f"no figure is called {name}; there are {_listed()}")
    if statistic not in figure.statistics:
        there = f"there are {', '.join(figure.statistics)}" if figure.statistics else f"write {stem} alone"
        _refuse(text, f"{stem} has no statistic {statistic}; {there}")
    return figure, statistic


def _listed() -> str:
    of_requests = [one.name for one in FIGURES.values() if one.statistics]
    of_levels = [one.name for one in FIGURES.values() if not one.statistics]
    return f"{', '.join(of_requests)}, each with a statistic as in ttft_p95, and {', '.join(of_levels)}"


def _limit(text: str, figure: Figure, number: Decimal, unit: str) -> float:
    """The limit in the figure's unit. Decimal, so that 1.1s is 1100 ms and 95% is 0.95, to the last bit."""
    if figure.unit == "ms":
        if unit not in _TO_MS:
            _refuse(text, f"{figure.name} is a time: give its unit, s, ms or us, e.g. {number}s")
        return float(number * _TO_MS[unit])
    if figure.unit == "share":
        if unit not in {"", "%"}:
            _refuse(text, f"{figure.name} is a share: write e.g. 5% or 0.05")
        if number > 100 if unit else number >= 1:
            _refuse(text, f"{figure.name} is a share: write 0% to 100%, or a bare number below 1")
        return float(number / 100 if unit else number)
    if unit:
        _refuse(text, f"{figure.name} is in {figure.unit}: write a bare number, e.g. {number}")
    return float(number)


def _check(text: str, figure: Figure, op: str, limit: float) -> None:
    """Refuse what nothing could meet, and what nothing could miss."""
    lowest, highest = limit == 0, figure.unit == "share" and limit == 1
    if (lowest and op == "<") or (highest and op == ">"):
        _refuse(
            text, f"nothing can meet this: {figure.name} is never {'above 100%' if highest else 'below 0'}"
        )
    if (lowest and op == ">=") or (highest and op == "<="):
        _refuse(
            text, f"nothing can miss this: {figure.name} is never {'above 100%' if highest else 'below 0'}"
        )
