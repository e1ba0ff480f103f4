"""What was measured, by the formulas of whoever published, and how far it is from what they found.

Two sets of formulas. Maritaca's are in `harness.maritaca`; where the server counts no prompt tokens, the size
that the prompt was built to, by tokenizer, stands for them, as it does in their script. Those of the prefill
and decode phases are in `harness.simulator.fit.phases`: per wave, then the median over the waves.

A published mean or median is met if what was measured is within 3 % of it, or within the standard deviation
published with it. A standard deviation itself is shown and not judged: it is one sample's of five waves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from harness import maritaca
from harness.simulator.fit import Answer, phases
from harness.simulator.profile import Figure
from harness.windows import Floats, floats

TOLERANCE: Final = 0.03
Key = tuple[str, str]  # figure, stat


@dataclass(frozen=True, slots=True)
class Cell:
    """One published number beside ours. `std` is the spread published with it, None if there was none."""

    published: Figure
    measured: float | None
    std: float | None

    @property
    def difference(self) -> float | None:
        """Measured over published, less 1."""
        return None if self.measured is None else self.measured / self.published.value - 1

    @property
    def rule(self) -> str | None:
        """Which rule it is met by; None if by none."""
        if self.difference is None or self.measured is None:
            return None
        if abs(self.difference) <= TOLERANCE:
            return f"{TOLERANCE:.0%}"
        if self.std is not None and abs(self.measured - self.published.value) <= self.std:
            return f"std {self.std:g}"
        return None

    @property
    def is_judged(self) -> bool:
        """Whether it is a mean, a median or a single value."""
        return self.published.stat != "std"


def compare(published: Iterable[Figure], measured: Mapping[int, Mapping[Key, float]]) -> list[Cell]:
    """Every published figure with ours, by number of clients."""
    figures = list(published)
    spreads = {(f.clients, f.figure): f.value for f in figures if f.stat == "std"}
    return [
        Cell(f, measured.get(f.clients, {}).get((f.figure, f.stat)), spreads.get((f.clients, f.figure)))
        for f in figures
    ]


def measure(requests: pd.DataFrame, clients: int, formulas: str) -> dict[Key, float]:
    """The figures of one level's successful measured requests; one that cannot be computed is left out."""
    if formulas == "maritaca":
        return _maritaca(requests, clients)
    rates = [phases(_answers(wave)) for _, wave in requests.groupby("repeat")]
    found: dict[Key, float] = {}
    for index, name in enumerate(("prefill_tps", "decode_tps")):
        known = [rate[index] for rate in rates]
        if known and None not in known:
            found[name, "value"] = float(np.median([rate for rate in known if rate is not None]))
    return found


def _counted(requests: pd.DataFrame) -> Floats:
    """Prompt tokens: the server's count, else the size asked for."""
    counts, sizes = floats(requests["prompt_tokens"]), floats(requests["requested_prompt_tokens"])
    return np.where(np.isnan(counts), sizes, counts)


def _maritaca(requests: pd.DataFrame, clients: int) -> dict[Key, float]:
    rows = requests.assign(prompt_tokens=_counted(requests))
    series: Mapping[str, Floats] = {
        "generated_tps": maritaca.generated_tps(rows),
        "total_tps": maritaca.total_tps(rows),
        "system_tps": maritaca.system_tokens(rows, clients)[0],
    }
    found: dict[Key, float] = {}
    for name, values in series.items():
        if len(values):
            found[name, "mean"] = float(values.mean())
            found[name, "median"] = float(np.median(values))
        if len(values) > 1:
            found[name, "std"] = float(values.std(ddof=1))
    return found


def _answers(wave: pd.DataFrame) -> Sequence[Answer]:
    """One event is one token here: the simulator sends it so."""
    columns = zip(
        _counted(wave), wave["sent_ns"], wave["first_content_ns"], wave["chunk_gaps_us"], strict=True
    )
    return [Answer(int(prompt), int(sent), _stamps(first, gaps)) for prompt, sent, first, gaps in columns]


def _stamps(first_ns: int | None, gaps_us: Sequence[float] | None) -> Sequence[int]:
    if pd.isna(first_ns) or first_ns is None:
        return []
    gaps = np.asarray([] if gaps_us is None else gaps_us, dtype=np.float64)
    later: list[int] = (int(first_ns) + np.rint(np.cumsum(gaps) * 1e3).astype(np.int64)).tolist()
    return [int(first_ns), *later]
