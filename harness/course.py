"""A level's window in bins of equal length: what the system gave, how many requests were in flight, how they waited.

The rule: what takes time is spread over it. A request is in flight from its first byte sent to its end, and counts in
each bin for the part of the bin; the tokens of an answer are spread evenly between its first and its last content.
That is near enough to see where something changes, and not for how much there was: `harness.windows` counts events.

Any request counts that was there then, whatever phase, level or outcome it has. Tokens that nobody counted are
taken to be as many as those of the others, so that they leave no dip. `harness.steady` reads it. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from harness.journal import Window
from harness.windows import NEVER, Bools, Floats, Ints, Streams, ints

__all__ = ["Course", "bin_ns", "laid_out", "of_requests"]

BINS: Final = 100  # at least, where they are no shorter than that:
SHORTEST_NS: Final = 100_000_000
BLOCK: Final = 50_000  # requests that are laid out at once: they fit into a cache
_NICE: Final = tuple(step * SHORTEST_NS * 10**power for power in range(12) for step in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class Course:
    """One entry a bin in each series. What is left of the window after its last whole bin is in none."""

    start_ns: int
    bin_ns: int
    tokens_per_s: Floats
    in_flight: Floats  # mean over the bin
    ttft_ms: Floats  # mean of those whose first token came in it; NaN where none did

    @property
    def bins(self) -> int:
        """How many there are."""
        return len(self.tokens_per_s)

    @property
    def bin_s(self) -> float:
        """The length of each."""
        return self.bin_ns / 1e9

    def series(self) -> Iterator[tuple[str, Floats, Bools]]:
        """Each series with its name, its gaps filled, and in which bins it has a value of its own.

        A TTFT that fewer than half of the bins have is left out.
        """
        everywhere = np.ones(self.bins, dtype=bool)
        yield "tokens/s", self.tokens_per_s, everywhere
        yield "requests in flight", self.in_flight, everywhere
        known = ~np.isnan(self.ttft_ms)
        places = np.flatnonzero(known)
        if 2 * len(places) >= self.bins > 0:
            yield "TTFT", np.interp(np.arange(self.bins), places, self.ttft_ms[places]), known


def bin_ns(window: Window) -> int:
    """The longest of 0.1, 0.2, 0.5, 1, ... s that gives a hundred bins; 0.1 s at least."""
    length = window.end_ns - window.start_ns
    return max((width for width in _NICE if width * BINS <= length), default=SHORTEST_NS)


def of_requests(requests: pd.DataFrame, streams: Streams, window: Window) -> Course:
    """The course of a window, of a table with the columns of requests.parquet and its `Streams`."""
    sent, end = ints(requests["sent_ns"]), ints(requests["end_ns"])
    shown = streams.first_ns != NEVER
    first = np.where(requests["streamed"].to_numpy(dtype=bool), streams.first_ns, NEVER)
    last = np.where(shown, streams.last_ns, NEVER)
    return laid_out(
        window,
        sent_ns=sent,
        end_ns=end,
        first_ns=first,
        content_ns=(streams.first_ns, last),
        tokens=streams.output_tokens,
    )


def laid_out(
    window: Window,
    *,
    sent_ns: Ints,
    end_ns: Ints,
    first_ns: Ints,
    content_ns: tuple[Ints, Ints],
    tokens: Floats,
) -> Course:
    """The course of a window.

    Args:
        window: what is looked at.
        sent_ns: one entry a request, as all that follow; `windows.NEVER` where it was not.
        end_ns: when it was over.
        first_ns: its first token; `NEVER` also where it was not streamed.
        content_ns: its first and its last content.
        tokens: of its answer; NaN where nobody counted them.
    """
    width = bin_ns(window)
    bins = max(0, window.end_ns - window.start_ns) // width
    if not bins:
        return Course(window.start_ns, width, np.empty(0), np.empty(0), np.empty(0))
    start, end = (_places(stamps, window, width) for stamps in (sent_ns, end_ns))
    known = tokens[~np.isnan(tokens)]
    amounts = np.where(np.isnan(tokens), known.mean() if len(known) else 1.0, tokens)
    from_, to = (_places(stamps, window, width) for stamps in content_ns)
    arrived = _spread(from_, to, amounts, bins)
    came = (sent_ns != NEVER) & (first_ns >= window.start_ns) & (first_ns < window.start_ns + bins * width)
    where = (first_ns[came] - window.start_ns) // width
    waited = np.bincount(where, (first_ns[came] - sent_ns[came]) / 1e6, bins)
    number = np.bincount(where, minlength=bins)
    ttft = np.divide(waited, number, out=np.full(bins, np.nan), where=number > 0)
    return Course(window.start_ns, width, arrived * 1e9 / width, _spread(start, end, end - start, bins), ttft)


def _places(stamps: Ints, window: Window, width: int) -> Floats:
    """Stamps as distances from the window's start, in bins; NaN for what never was."""
    return np.where(stamps == NEVER, np.nan, (stamps - window.start_ns) / width)


def _spread(starts: Floats, ends: Floats, amounts: Floats, bins: int) -> Floats:
    """How much falls into each bin if every amount is spread evenly from its start to its end, both in bins.

    What is NaN is left out, and what lies outside [0, bins); what takes no time is in one bin.
    """
    total = np.zeros(bins)
    for begin in range(0, len(starts), BLOCK):
        block = slice(begin, begin + BLOCK)
        total += _spread_block(starts[block], ends[block], amounts[block], bins)
    return total


def _spread_block(starts: Floats, ends: Floats, amounts: Floats, bins: int) -> Floats:
    here = (ends >= 0) & (starts < bins) & (ends >= starts)
    starts, ends, amounts = starts[here], ends[here], amounts[here]
    from_, to = np.maximum(starts, 0.0), np.minimum(ends, bins)
    first, last = from_.astype(np.intp), np.minimum(to.astype(np.intp), bins - 1)
    lengths = ends - starts
    rates = np.divide(amounts, lengths, out=np.zeros(len(starts)), where=lengths > 0)
    single = first == last
    alone = np.where(lengths > 0, rates * (to - from_), amounts)[single]
    at_start, at_end = (rates * (first + 1 - from_))[~single], (rates * (to - last))[~single]
    found = np.zeros(bins)
    found += np.bincount(first[single], alone, bins)
    found += np.bincount(first[~single], at_start, bins)
    found += np.bincount(last[~single], at_end, bins)
    wide = (
        last > first + 1
    )  # only these: a rate of many bins is small, and may be added up and taken off again
    change = np.bincount(first[wide] + 1, rates[wide], bins) - np.bincount(last[wide], rates[wide], bins)
    return found + np.cumsum(change)
