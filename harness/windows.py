"""Tokens that arrived inside a window, whoever they belong to.

The system's rate counts what the server gave during a window, so it looks at every request that was
streaming then: measured or warming up, finished, failed or cancelled. Times are Unix ns in int64 and never
floats; a window is half open, so that adjoining windows share out every event exactly once.

A request's content events are its first content and the running sum of its gaps after it; each carries
`output_tokens / events`, since a server says how many tokens a response had, not how many an event had.
A response that was not streamed gives all its tokens at its end. Its prompt tokens count when the first
content arrives: that is when prefill is known to be over.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.journal import Window

__all__ = ["Arrived", "Floats", "Ints", "Streams", "floats", "ints"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK: Final = 10_000  # requests whose events are laid out at once; bounds the memory, not the result
NEVER: Final = int(np.iinfo(np.int64).min)  # stands for a stamp that is None


@dataclass(frozen=True, slots=True)
class Arrived:
    """What arrived in one window: tokens, or None where content came and nobody counted any of it."""

    output_tokens: float | None
    prompt_tokens: float | None


@dataclass(frozen=True, slots=True)
class Streams:
    """The arrivals of a requests table as arrays of one entry a request; `gaps_ns` one array a request."""

    first_ns: Ints
    last_ns: Ints
    gaps_ns: list[Ints]
    output_tokens: Floats
    prompt_tokens: Floats

    @classmethod
    def of(cls, requests: pd.DataFrame) -> Self:
        """Read the columns; a request that gave no content has no event."""
        streamed = requests["streamed"].to_numpy(dtype=bool)
        ok = (requests["outcome"] == "ok").to_numpy(dtype=bool)
        last = ints(requests["last_content_ns"])
        whole = np.where((last == NEVER) & ok, ints(requests["end_ns"]), last)
        first = np.where(streamed, ints(requests["first_content_ns"]), whole)
        gaps = [
            np.rint(np.asarray(value, dtype=np.float64) * 1e3).astype(np.int64)
            if several and value is not None
            else np.empty(0, np.int64)
            for value, several in zip(requests["chunk_gaps_us"], streamed & (first != NEVER), strict=True)
        ]
        spans = np.array([gap.sum() for gap in gaps], dtype=np.int64)
        return cls(
            first, first + spans, gaps, floats(requests["output_tokens"]), floats(requests["prompt_tokens"])
        )

    @property
    def uncounted(self) -> int:
        """Requests that gave content but have no output token count."""
        return int(np.count_nonzero((self.first_ns != NEVER) & np.isnan(self.output_tokens)))

    def arrived(self, window: Window) -> Arrived:
        """Sum what arrived in [start, end), tokens."""
        touching = np.flatnonzero((self.first_ns < window.end_ns) & (self.last_ns >= window.start_ns))
        blocks = np.array_split(touching, len(touching) // BLOCK + 1)
        weights = np.concatenate([self._weights(block, window) for block in blocks])
        began = (self.first_ns >= window.start_ns) & (self.first_ns < window.end_ns)
        return Arrived(_known_sum(weights), _known_sum(self.prompt_tokens[began]))

    def _weights(self, rows: npt.NDArray[np.intp], window: Window) -> Floats:
        """Tokens of every event of these requests that lies in the window; NaN where uncounted."""
        events = np.array([len(self.gaps_ns[row]) + 1 for row in rows], dtype=np.int64)
        if not len(rows):
            return np.empty(0)
        starts = np.cumsum(events) - events
        steps = np.zeros(int(events.sum()), dtype=np.int64)
        later = np.ones(len(steps), dtype=bool)
        later[starts] = False
        steps[later] = np.concatenate([self.gaps_ns[row] for row in rows])
        run = np.cumsum(steps)
        times = run + np.repeat(self.first_ns[rows] - run[starts], events)
        inside = (times >= window.start_ns) & (times < window.end_ns)
        weights: Floats = np.repeat(self.output_tokens[rows] / events, events)[inside]
        return weights


def floats(column: "pd.Series[Any]") -> Floats:
    """A column as float64, NaN where null."""
    return np.asarray(column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), np.float64)


def ints(column: "pd.Series[Any]") -> Ints:
    """A column of stamps as int64, `NEVER` where null."""
    return np.asarray(column.astype("Int64").to_numpy(dtype=np.int64, na_value=NEVER), np.int64)


def _known_sum(values: Floats) -> float | None:
    """The sum of what is known; None if there is something and all of it is unknown."""
    known = values[~np.isnan(values)]
    return None if len(values) and not len(known) else float(known.sum())
