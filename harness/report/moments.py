"""The requests of a run as arrays of one entry a request: what the figures are drawn from.

Each array is made when it is first asked for, and none is copied whole after that: of a million requests there may be
some thirty. Stamps are Unix ns in int64, `windows.NEVER` where there is none; amounts are float64, NaN where unknown. Pure.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from harness.windows import NEVER, Floats, Ints, Streams, floats, ints

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Flags", "Moments"]

Flags = npt.NDArray[np.bool_]

S: Final = 1e9


@dataclass(frozen=True)
class Moments:
    """Of a table with the columns of requests.parquet; `short`: answers of fewer tokens are in no statistic."""

    requests: "pd.DataFrame"
    short: int = 0

    def __len__(self) -> int:
        return len(self.requests)

    @cached_property
    def sent(self) -> Ints:
        """First byte written."""
        return ints(self.requests["sent_ns"])

    @cached_property
    def due(self) -> Ints:
        """When it should have been sent."""
        return ints(self.requests["scheduled_ns"])

    @cached_property
    def first(self) -> Ints:
        """First content."""
        return ints(self.requests["first_content_ns"])

    @cached_property
    def last(self) -> Ints:
        """Last content."""
        return ints(self.requests["last_content_ns"])

    @cached_property
    def end(self) -> Ints:
        """When it was over, or had failed."""
        return ints(self.requests["end_ns"])

    @cached_property
    def level(self) -> Ints:
        """Its level's name."""
        return ints(self.requests["level"])

    @cached_property
    def repeat(self) -> Ints:
        """Its pass."""
        return ints(self.requests["repeat"])

    @cached_property
    def streams(self) -> Streams:
        """When which tokens came."""
        return Streams.of(self.requests)

    @cached_property
    def streamed(self) -> Flags:
        """Whether its answer came in pieces."""
        return np.asarray(self.requests["streamed"].to_numpy(dtype=bool))

    @cached_property
    def ok(self) -> Flags:
        """Succeeded."""
        return self.which("outcome", "ok")

    @cached_property
    def failed(self) -> Flags:
        """Failed; the others that did not succeed were given up by us."""
        return self.which("outcome", "failed")

    @cached_property
    def measured(self) -> Flags:
        """Of the phase `measure`: sent inside a window."""
        return self.which("phase", "measure")

    @cached_property
    def probes(self) -> Flags:
        """Sent beside the load."""
        return self.which("phase", "probe")

    @cached_property
    def counted(self) -> Flags:
        """Those that a level's statistics of times, rates and counts look at (`harness.metrics`)."""
        good = self.measured & self.ok
        return good & ~(self.amount("output_tokens") < self.short) if self.short else good

    @cached_property
    def origin_ns(self) -> int | None:
        """When load began: the first request was sent. None if none was."""
        sent = self.sent[self.sent != NEVER]
        if len(sent):
            return int(sent.min())
        due = self.due[self.due != NEVER]
        return int(due.min()) if len(due) else None

    @property
    def end_ns(self) -> int:
        """When the last of them was over; there is one at least."""
        return int(self.end.max())

    def which(self, column: str, word: str) -> Flags:
        """Those that have this word in a column."""
        return np.asarray((self.requests[column] == word).to_numpy(dtype=bool, na_value=False))

    def amount(self, column: str) -> Floats:
        """A column of numbers; not kept."""
        return floats(self.requests[column])

    def words(self, column: str, rows: npt.NDArray[np.intp]) -> list[Any]:
        """What these requests have in a column; None where nothing."""
        return [None if cell is None or cell != cell else cell for cell in self.requests[column].iloc[rows]]  # noqa: PLR0124  NaN
