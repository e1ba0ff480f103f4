"""A trace: when requests came somewhere else, and how long they were, read from a file to be sent again.

    Mooncake     JSONL {"timestamp": ms, "input_length", "output_length", "hash_ids"}; blocks of 512 tokens
    Azure LLM    CSV TIMESTAMP,ContextTokens,GeneratedTokens (2023, 2024; 2025 with NumImages)
    BurstGPT     CSV Timestamp,...,Request tokens,Response tokens,...; failed rows are left out and counted
    plain        CSV or JSONL with timestamp, time or t in seconds (timestamp_ms in ms), and lengths if there are any;
                 or one number a line

The first line says which it is, never the file's name; gzip is told by its first bytes. `harness.trace_formats` has the
details of each.

The rule: a file is believed whole or not at all. Times that go back, numbers that are none and lines cut short end the
run before it begins, with the file, the line, what stands there and what should. Nothing is sorted, guessed or
skipped, but the rows that the format itself marks as failed. Only the columns are kept in memory, 24 bytes a row, and
8 a block.

Times begin at 0 with the first row, whenever that was; `speed_up` divides them.
"""

import gzip
import math
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from harness import trace_formats
from harness.errors import ConfigError
from harness.trace_formats import BLOCK_TOKENS, NOT_SAID, Format, Unreadable

__all__ = ["BLOCK_TOKENS", "NOT_SAID", "Due", "Trace", "read"]

Ints = npt.NDArray[np.int64]
LINE_MOST: Final = 1_048_576  # bytes; the longest of Mooncake's lines has two thousand
AROUND_S: Final = 5.0
_NS: Final = 1_000_000_000
_LAST_NS: Final = 2**63 - 1
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"


class Due(NamedTuple):
    """One request of a trace."""

    offset_ns: int  # since the trace's first
    prompt_tokens: int | None  # None: the trace does not say
    output_tokens: int | None
    blocks: tuple[
        int, ...
    ] = ()  # ids of the prompt's blocks of 512 tokens, in order; the same id is the same text


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests by ascending time. It is a `harness.arrivals.Schedule` as well."""

    path: Path
    format: str  # "Mooncake", "Azure LLM", "BurstGPT" or "plain"
    offset_ns: Ints  # since the first request, divided by the speed-up
    prompt_tokens: Ints  # -1: not said
    output_tokens: Ints
    block_values: Ints  # the blocks of all requests, one after the other; empty if the format has none
    block_bounds: Ints  # request i has those from bounds[i] to bounds[i + 1]; empty if the format has none
    left_out: int = 0  # rows that the format marks as failed

    def __len__(self) -> int:
        return len(self.offset_ns)

    def due(self, number: int) -> Due:
        """The request of that number, from 0."""
        prompt, output = int(self.prompt_tokens[number]), int(self.output_tokens[number])
        blocks: tuple[int, ...] = ()
        if len(self.block_bounds):
            begin, end = self.block_bounds[number], self.block_bounds[number + 1]
            blocks = tuple(self.block_values[begin:end].tolist())
        return Due(
            int(self.offset_ns[number]),
            None if prompt == NOT_SAID else prompt,
            None if output == NOT_SAID else output,
            blocks,
        )

    @property
    def length_s(self) -> float:
        """From the first request to the last."""
        return int(self.offset_ns[-1]) / _NS

    def offsets(self, seed: int) -> Iterator[int]:  # noqa: ARG002 - the protocol's signature; nothing is drawn
        """When each request is due: ns since the first."""
        for begin in range(0, len(self), 4096):
            yield from self.offset_ns[begin : begin + 4096].tolist()

    def rate(self, at_s: float) -> float:
        """Requests a second in the ten seconds around a moment, or in what of them lies inside the trace."""
        begin, end = max(at_s - AROUND_S, 0.0), min(at_s + AROUND_S, self.length_s)
        if end <= begin:
            return 0.0
        inside = bisect_right(self.offset_ns, end * _NS) - bisect_left(self.offset_ns, begin * _NS)
        return inside / (end - begin)

    def expected(self, at_s: float) -> float:
        """Requests due until then."""
        return float(bisect_right(self.offset_ns, at_s * _NS))

    def describe(self) -> str:
        """The text of `--arrivals`."""
        return f"trace:{self.path}"


def read(path: Path, *, speed_up: float = 1.0, most: int | None = None) -> Trace:
    """Read a trace.

    Args:
        path: plain or compressed with gzip; `~` is one's home.
        speed_up: times are divided by it: 2 sends twice as fast.
        most: read no more than so many requests; the rest of the file is not looked at.

    Raises:
        ConfigError: the file cannot be read, is of no known format, or has a line that is none of its format.
    """
    if not (math.isfinite(speed_up) and 0 < speed_up <= 1_000_000):
        raise ConfigError(
            f"--speed-up {speed_up:g}: give a number above 0 and up to 1000000; 2 is twice as fast"
        )
    with _opened(path) as source:
        columns = _Columns(path)
        for number, line in _lines(source, path):
            try:
                columns.take(number, line)
            except Unreadable as reason:
                raise ConfigError(f"{path} line {number}: {reason}") from None
            if most is not None and len(columns.times) >= most:
                break
    return columns.trace(speed_up)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked if they are packed; whatever the system or gzip has against them is a ConfigError."""
    try:
        file = path.expanduser().open("rb")
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # RuntimeError: no home; ValueError: a path no system has
        raise _unopened(path, error) from None
    with file:
        try:
            packed = file.peek(2)[:2] == _GZIP
            yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if packed else file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ConfigError(
                f"{path}: its gzip data is cut short or damaged ({error}); fetch it again"
            ) from None
        except OSError as error:
            raise _unopened(path, error) from None


def _unopened(path: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).rstrip(".")
    return ConfigError(f"{path}: the trace cannot be read ({reason}); give a file, e.g. trace:azure.csv")


def _lines(source: BinaryIO, path: Path) -> Iterator[tuple[int, str]]:
    """Each line that is not blank, with its number, without its end."""
    number = 0
    while raw := source.readline(LINE_MOST):
        number += 1
        if number == 1:
            raw = raw.removeprefix(_BOM)
        if len(raw) == LINE_MOST and not raw.endswith(b"\n"):
            raise ConfigError(
                f"{path} line {number}: is longer than a line of any trace; is this the right file?"
            )
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError:
            raise ConfigError(
                f"{path} line {number}: is not UTF-8 text; give a trace as CSV, JSONL or numbers, plain or in gzip"
            ) from None
        if line:
            yield number, line


class _Columns:
    """What has been read so far."""

    def __init__(self, path: Path) -> None:
        self.times = array("q")
        self._path = path
        self._prompts, self._outputs = array("q"), array("q")
        self._blocks, self._bounds = array("q"), array("q", [0])
        self._format: Format | None = None
        self._last_ns = 0
        self._last_line = 0
        self._left_out = 0

    def take(self, number: int, line: str) -> None:
        """One more line."""
        if self._format is None:
            self._format, is_row = trace_formats.told_by(line)
            if not is_row:
                return
        row = self._format.row(line)
        if row is None:
            self._left_out += 1
            return
        time_ns, prompt, output, blocks = row
        if time_ns < self._last_ns:
            self._goes_back(self._format, time_ns)
        elif time_ns > _LAST_NS:
            raise Unreadable(
                f"has a time of {self._format.show(time_ns)}, after the year 2262; give {self._format.unit}"
            )
        self._last_ns, self._last_line = time_ns, number
        self.times.append(time_ns)
        self._prompts.append(prompt)
        self._outputs.append(output)
        if self._format.has_blocks:
            self._blocks.extend(blocks)
            self._bounds.append(len(self._blocks))

    def _goes_back(self, form: Format, time_ns: int) -> None:
        raise Unreadable(
            f"its time {form.show(time_ns)} comes after {form.show(self._last_ns)} on line {self._last_line}; "
            "sort the file by time"
        )

    def trace(self, speed_up: float) -> Trace:
        """All of it."""
        if self._format is None:
            raise ConfigError(f"{self._path}: is empty; give {trace_formats.KNOWN}")
        if not self.times:
            failed = f" but {self._left_out} failed ones" if self._left_out else ""
            raise ConfigError(f"{self._path}: has no request{failed}; give a trace with at least one")
        times = np.frombuffer(self.times, dtype=np.int64)
        times = times - times[0]
        if speed_up != 1:
            times = np.rint(times / speed_up).astype(np.int64)
        has_blocks = self._format.has_blocks
        return Trace(
            self._path,
            self._format.name,
            times,
            np.frombuffer(self._prompts, dtype=np.int64),
            np.frombuffer(self._outputs, dtype=np.int64),
            np.array(self._blocks, dtype=np.int64),
            np.array(self._bounds if has_blocks else (), dtype=np.int64),
            self._left_out,
        )
