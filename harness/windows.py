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
import pyarrow as pa

from harness.journal import Window

__all__ = ["Arrived", "Bools", "Floats", "Ints", "Streams", "floats", "ints"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLOCK: Final = 10_000  # requests whose events are laid out at once; bounds the memory, not the result
NEVER: Final = int(np.iinfo(np.int64).min)  # stands for a stamp that is None


@dataclass(frozen=True, slots=True)
class Arrived:
    """What arrived in one window: tokens, or None where content came and nobody counted any of it."""

    output_tokens: float | None
    prompt_tokens: float | None


@dataclass(frozen=True, slots=True)
class Streams:
    """The arrivals of a requests table as arrays of one entry a request, but for the gaps: of all, one after the other."""

    first_ns: Ints
    last_ns: Ints
    output_tokens: Floats
    prompt_tokens: Floats
    gaps_us: Floats
    bounds: Ints  # the gaps of request n are gaps_us[bounds[n] : bounds[n + 1]]; one entry more than requests
    gaps: Ints  # how many of them are its events'

    @classmethod
    def of(cls, requests: pd.DataFrame) -> Self:
        """Read the columns; a request that gave no content has no event."""
        streamed = requests["streamed"].to_numpy(dtype=bool)
        ok = (requests["outcome"] == "ok").to_numpy(dtype=bool)
        last = ints(requests["last_content_ns"])
        whole = np.where((last == NEVER) & ok, ints(requests["end_ns"]), last)
        first = np.where(streamed, ints(requests["first_content_ns"]), whole)
        gaps_us, bounds = _flat(requests["chunk_gaps_us"])
        gaps = np.where(streamed & (first != NEVER), np.diff(bounds), 0)
        spans = np.zeros(len(first), dtype=np.int64)
        for start in range(0, len(first), BLOCK):
            block = slice(start, start + BLOCK)
            edges = bounds[start : start + BLOCK + 1]
            run = np.append(0, np.cumsum(_ns(gaps_us[edges[0] : edges[-1]])))
            spans[block] = np.where(gaps[block] > 0, np.diff(run[edges - edges[0]]), 0)
        output, prompt = floats(requests["output_tokens"]), floats(requests["prompt_tokens"])
        return cls(first, first + spans, output, prompt, gaps_us, bounds, gaps)

    @property
    def uncounted(self) -> int:
        """Requests that gave content but have no output token count."""
        return int(np.count_nonzero((self.first_ns != NEVER) & np.isnan(self.output_tokens)))

    def arrived(self, window: Window) -> Arrived:
        """Sum what arrived in [start, end), tokens."""
        touching = np.flatnonzero((self.first_ns < window.end_ns) & (self.last_ns >= window.start_ns))
        blocks = np.array_split(touching, len(touching) // BLOCK + 1)
        counts, sums = [], []
        for block in blocks:
            weights = self._weights(block, window)
            known = weights[~np.isnan(weights)]
            counts.append((len(weights), len(known)))
            sums.append(float(known.sum()))
        events, known_events = np.sum(counts, axis=0)
        began = (self.first_ns >= window.start_ns) & (self.first_ns < window.end_ns)
        output = None if events and not known_events else sum(sums)
        return Arrived(output, _known_sum(self.prompt_tokens[began]))

    def gaps_ms(self, rows: npt.NDArray[np.bool_]) -> Floats:
        """All gaps of these requests, one flag each, in ms."""
        gaps: Floats = self.gaps_us[np.repeat(rows, np.diff(self.bounds))]
        gaps /= 1e3  # in place: there may be many, and they are a copy
        return gaps

    def events(self, rows: npt.NDArray[np.intp]) -> tuple[Ints, Floats]:
        """When every event of these requests came, Unix ns, and with how many tokens; NaN where uncounted.

        All of them must have given content. Eight bytes and more an event: of many requests, ask for some at a time.
        """
        gaps = self.gaps[rows]
        events = gaps + 1
        starts = np.cumsum(events) - events
        steps = np.zeros(int(events.sum()), dtype=np.int64)
        later = np.ones(len(steps), dtype=bool)
        later[starts] = False
        places = np.repeat(self.bounds[rows] - (np.cumsum(gaps) - gaps), gaps) + np.arange(int(gaps.sum()))
        steps[later] = _ns(self.gaps_us[places])
        run = np.cumsum(steps)
        times: Ints = run + np.repeat(self.first_ns[rows] - run[starts], events)
        weights: Floats = np.repeat(self.output_tokens[rows] / events, events)
        return times, weights

    def _weights(self, rows: npt.NDArray[np.intp], window: Window) -> Floats:
        """Tokens of every event of these requests that lies in the window; NaN where uncounted."""
        if not len(rows):
            return np.empty(0)
        times, weights = self.events(rows)
        inside = (times >= window.start_ns) & (times < window.end_ns)
        return weights[inside]


def floats(column: "pd.Series[Any]") -> Floats:
    """A column as float64, NaN where null."""
    return np.asarray(column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), np.float64)


def ints(column: "pd.Series[Any]") -> Ints:
    """A column of stamps as int64, `NEVER` where null."""
    return np.asarray(column.astype("Int64").to_numpy(dtype=np.int64, na_value=NEVER), np.int64)


def _flat(column: "pd.Series[Any]") -> tuple[Floats, Ints]:
    """The numbers of a column of lists, one list after the other, and where each begins."""
    kind = pa.list_(pa.float64())
    lists = pa.array(column, kind) if column.dtype == object else pa.array(column)
    whole = (lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists).cast(kind)
    numbers = whole.flatten().to_numpy(zero_copy_only=False)  # what is null has none
    lengths = whole.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float64), np.append(0, np.cumsum(lengths, dtype=np.int64))


def _ns(gaps_us: Floats) -> Ints:
    nanoseconds: Ints = np.rint(np.nan_to_num(gaps_us) * 1e3).astype(np.int64)
    return nanoseconds


def _known_sum(values: Floats) -> float | None:
    """The sum of what is known; None if there is something and all of it is unknown."""
    known = values[~np.isnan(values)]
    return None if len(values) and not len(known) else float(known.sum())
