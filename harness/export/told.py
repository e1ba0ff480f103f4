"""What an export says of a level beside its requests: its load, sizes, names and how long it took. Pure."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.export.batch import Batch, Floats

__all__ = ["Level", "Seen", "Sizes", "file_name", "model_part", "sizes"]

_NORMAL: Final = re.compile(r"normal:\s*([0-9.]+)\s*,\s*([0-9.]+)")
_MODEL_BYTES: Final = 120  # of a file's name, which may have 255 in all


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens asked for: mean and standard deviation, whole numbers as both tools have them."""

    mean: int
    stddev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a run."""

    entry: Mapping[str, Any]  # of summary.json
    run: Mapping[str, Any]  # run.json
    prompt: Sizes
    output: Sizes
    is_streamed: bool

    @property
    def settings(self) -> Mapping[str, Any]:
        """The run's options, as run.json keeps them."""
        settings: Mapping[str, Any] = self.run.get("settings") or {}
        return settings

    @property
    def model(self) -> str:
        """As it was asked for."""
        return str(self.settings.get("model") or "model")


@dataclass(slots=True)
class Seen:
    """What a level's requests add up to, batch after batch."""

    requests: int = 0
    errors: Counter[Any] = field(default_factory=Counter)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)  # by pass: first sent, last end; Unix ns
    kept: dict[str, list[Floats]] = field(default_factory=dict)

    def add(self, batch: Batch, fields: Mapping[str, Any], keep: tuple[str, ...]) -> None:
        """Count a batch and keep the figures of those that ended well; `fields` are its exported ones."""
        self.requests += len(batch)
        self.errors.update(code for code in fields["error_code"] if code is not None)
        for name in keep:
            self.kept.setdefault(name, []).append(np.asarray(fields[name], dtype=np.float64)[batch.ok])
        sent, end = batch.stamps("sent_ns"), batch.stamps("end_ns")
        passes = batch.stamps("repeat")
        for number in np.unique(passes[sent != 0]).tolist():
            mine = (passes == number) & (sent != 0)
            first, last = int(sent[mine].min()), int(end[mine].max())
            before = self.spans.get(number, (first, last))
            self.spans[number] = (min(first, before[0]), max(last, before[1]))

    def figure(self, name: str) -> Floats:
        """One of those that were kept, of all batches."""
        return np.concatenate(self.kept.get(name) or [np.zeros(0)])

    @property
    def seconds(self) -> float:
        """From the first request sent to the last end, summed over passes, s."""
        return sum(max(0, last - first) for first, last in self.spans.values()) / 1e9

    def per_second(self, number: float) -> float | None:
        """None where no time passed."""
        return number / self.seconds if self.seconds > 0 else None


def sizes(text: object, asked: npt.NDArray[np.float64], counted: npt.NDArray[np.float64]) -> Sizes:
    """What was asked for: as the option says it, else by the requests' own sizes, else, where none had any, as counted.

    Args:
        text: the option's, e.g. `550` or `normal:550,150`; None where it is not one for all.
        asked: of each request, NaN where nothing was.
        counted: of each request, NaN where nobody did.
    """
    if (bell := _NORMAL.fullmatch(str(text or "").strip())) is not None:
        return Sizes(round(float(bell[1])), round(float(bell[2])))
    known = asked[~np.isnan(asked)]
    known = known if len(known) else counted[~np.isnan(counted)]
    if not len(known):
        return Sizes(0, 0)
    return Sizes(round(float(known.mean())), round(float(known.std(ddof=1))) if len(known) > 1 else 0)


def file_name(text: str) -> str:
    """A name for a file, by the two substitutions that both tools make: all but word characters is `-`."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w\d-]+", "-", text))


def model_part(model: str) -> str:
    """A model's name within one, cut where a file's name could not hold it."""
    return file_name(model.replace("_", "-")[:1_000]).encode()[:_MODEL_BYTES].decode(errors="ignore")
