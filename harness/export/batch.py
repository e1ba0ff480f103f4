"""Some measured requests of one level, as columns: what the exported fields are computed from.

Numbers are arrays with NaN for what was not measured. Stamps stay whole numbers, in Unix ns. Pure.
"""

from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.grid import clean

__all__ = ["NEEDS", "Batch", "Floats", "none_for_nan"]

Floats = npt.NDArray[np.float64]

LONGEST: Final = 2_000  # characters of an error's text
NEEDS: Final = (
    *("name", "level", "repeat", "phase", "sent_ns", "end_ns", "ttft_ms", "e2e_ms", "chunk_gaps_us", "chunks"),
    *("prompt_tokens", "output_tokens", "token_source", "prompt_token_source", "http_status", "outcome"),
    *("error_class", "error_message", "streamed", "server_ttft_ms", "server_e2e_ms", "server_tokens_per_s"),
    *("acceptance_rate", "batch_size"),
)  # fmt: skip


class Batch:
    """Rows of requests.parquet with the columns `NEEDS`."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def floats(self, name: str, scale: float = 1.0) -> Floats:
        """A number of each, times `scale`, rounded to nine decimals: what is scaled is a time with that many."""
        found: Floats = self._table.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return found if scale == 1.0 else np.round(found * scale, 9)

    def values(self, name: str) -> list[Any]:
        """A column as Python values, null as None."""
        found: list[Any] = self._table.column(name).to_pylist()
        return found

    def stamps(self, name: str) -> npt.NDArray[np.int64]:
        """A stamp of each, Unix ns; 0 where there is none."""
        found: npt.NDArray[np.int64] = self._table.column(name).fill_null(0).to_numpy()
        return found

    @cached_property
    def ok(self) -> npt.NDArray[np.bool_]:
        """Which ended well."""
        return np.array([outcome == "ok" for outcome in self.values("outcome")], dtype=bool)

    @cached_property
    def whole_s(self) -> Floats:
        """From the first byte written to the end of the response, end mark included, s; of those that ended well."""
        sent, end = self.stamps("sent_ns"), self.stamps("end_ns")
        return np.where(self.ok & (sent != 0) & (end != 0), (end - sent) / 1e9, np.nan)

    @cached_property
    def messages(self) -> list[str]:
        """What went wrong, in one line; empty where nothing did."""
        known: dict[tuple[Any, Any], str] = {}
        found = []
        for key in zip(self.values("error_class"), self.values("error_message"), strict=True):
            if key not in known:
                known[key] = clean(": ".join(str(part) for part in key if part))[:LONGEST]
            found.append(known[key])
        return ["" if ok else said or "cancelled" for ok, said in zip(self.ok, found, strict=True)]

    def latencies(self) -> list[npt.NDArray[np.float64] | None]:
        """[TTFT, gap, gap, ...] of each, s; None where no content came, or not as a stream."""
        column = self._table.column("chunk_gaps_us").combine_chunks()
        lengths = np.diff(column.offsets.to_numpy()) if len(column) else np.zeros(0, dtype=np.int64)
        lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
        first, gaps = self.floats("ttft_ms", 1e-3), np.round(column.flatten().to_numpy() / 1e6, 9)
        ends = np.cumsum(lengths)
        joined = np.insert(gaps, ends - lengths, first)  # before the gaps of each
        starts = np.concatenate(([0], ends + np.arange(1, len(ends) + 1)))
        return [
            None if np.isnan(time) else joined[start:end]
            for time, start, end in zip(first, starts[:-1], starts[1:], strict=True)
        ]

    def ratio(self, above: Floats, below: Floats) -> Floats:
        """`above / below` of each, NaN where either is unknown or there is nothing to divide by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(below > 0, above / below, np.nan)


def none_for_nan(value: float) -> float | None:
    """For JSON."""
    return None if np.isnan(value) else float(value)
