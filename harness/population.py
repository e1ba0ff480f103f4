"""Which requests a level's figures are of, as flags over the whole table, and the figures that are told of each pass, too.

Measured are requests of phase `measure`; statistics of times, rates and counts look at those of them that succeeded and were
not dropped as too short (`--drop-answers-under`), each at those where it was measured. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.record import Phase
from harness.windows import Floats, Ints, Streams, floats, ints

__all__ = ["RATES", "Population", "own_times"]

Flags = npt.NDArray[np.bool_]

RATES: Final[Mapping[str, str]] = {  # and their columns
    "request_output_tokens_per_s": "output_tokens_per_s",
    "request_total_tokens_per_s": "total_tokens_per_s",
}


@dataclass(frozen=True, slots=True)
class Population:
    """What each request is: one entry a row of the table."""

    level: Ints
    repeat: Ints
    measured: Flags
    ok: Flags
    failed: Flags
    cancelled: Flags
    kept: Flags  # successful, and not dropped as too short

    @classmethod
    def of(cls, requests: pd.DataFrame, streams: Streams, drop_under: int) -> Self:
        """All requests of a table, whatever their phase but for `measured`."""
        ok, failed, cancelled = (
            (requests["outcome"] == outcome).to_numpy(dtype=bool) for outcome in ("ok", "failed", "cancelled")
        )
        kept = ok & ~(streams.output_tokens < drop_under)  # who was not counted is not short
        measured = (requests["phase"] == Phase.MEASURE.value).to_numpy(dtype=bool)
        level, repeat = (ints(requests[name]) for name in ("level", "repeat"))
        return cls(level, repeat, measured, ok, failed, cancelled, kept)

    def at(self, level: int) -> Self:
        """Those measured at a level; all others are nothing."""
        here = self.measured & (self.level == level)
        told = (here & flags for flags in (self.ok, self.failed, self.cancelled, self.kept))
        return type(self)(self.level, self.repeat, here, *told)


def own_times(ok: pd.DataFrame) -> dict[str, Floats]:
    """Rates (tokens/s) and times (ms) of requests that statistics are of; NaN where one was not measured."""
    return {
        **{name: floats(ok[column]) for name, column in RATES.items()},
        **{name: floats(ok[name]) for name in ("ttft_ms", "tpot_ms", "e2e_ms")},
        **_from_schedule(ok),
    }


def _from_schedule(ok: pd.DataFrame) -> dict[str, Floats]:
    """Send delay, and times from when the request was due: what a user who came on schedule waited."""
    due = ok["scheduled_ns"].astype("Int64")
    first = (ok["first_content_ns"].astype("Int64") - due).where(ok["streamed"].astype(bool))
    return {
        "send_delay_ms": floats(ok["sent_ns"].astype("Int64") - due) / 1e6,
        "ttft_scheduled_ms": floats(first) / 1e6,
        "e2e_scheduled_ms": floats(ok["last_content_ns"].astype("Int64") - due) / 1e6,
    }
