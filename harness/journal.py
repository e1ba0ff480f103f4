"""The append-only journal of one process: what happened, kept while load runs.

One JSON object a line, `{"kind": ..., ...}`, written by one `write(2)` to a file opened for appending, so
that a killed process loses at most the line it was writing. Kinds:

    record   the base fields of a `RequestRecord`, stamps in Unix ns, fields at their default left out;
             `text` only while the output tokens are uncounted
    health   one second of this process's own life (`harness.seconds`)
    server   one look at the server's own metrics (`harness.server_metrics`)
    window   {level, repeat, start_ns, end_ns}: a measuring window, Unix ns, half open [start, end)
    event    {time_ns, what}: anything else worth knowing afterwards
    worker   {name, host, pid, run_id}: whose journal it is; a worker's first line
    clock    {time_ns, offset_ns, uncertainty_ns}: by how much this process's Unix time is ahead of the run's, as
             estimated at time_ns of its own. All stamps of a journal are on its own clock; whoever merges it
             subtracts the offset (`harness.shift`)

The rule: `append` never raises and never waits for anything but the disk. When the disk refuses, lines
stay in memory up to a bound, are retried at the next append, and `problem` says so. Derived figures (TTFT,
TPOT, ...) are never stored here; `RequestRecord` computes them again. No pandas here: the load process
imports this module.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import orjson

from harness.errors import ConfigError, ErrorClass
from harness.record import STAMPS, Outcome, Phase, RequestRecord, StampSource, TokenSource

__all__ = [
    "ENUMS",
    "FIELDS",
    "INTEGERS",
    "Journal",
    "Reading",
    "Window",
    "blocks",
    "pack",
    "parse",
    "read",
    "unpack",
]

MEMORY_BYTES: Final = 64 * 1024 * 1024  # about 60,000 streamed requests of 150 tokens
BLOCK_BYTES: Final = 1024 * 1024  # of a journal, read at once

FIELDS: Final = {f.name: f.default for f in fields(RequestRecord)}
INTEGERS: Final = frozenset(f.name for f in fields(RequestRecord) if f.type in (int, int | None))
ENUMS: Final[Mapping[str, type[StrEnum]]] = {
    "phase": Phase,
    "outcome": Outcome,
    "token_source": TokenSource,
    "prompt_token_source": TokenSource,
    "stamp_source": StampSource,
    "error_class": ErrorClass,
}


@dataclass(frozen=True, slots=True)
class Window:
    """The measuring window of one pass over one level, Unix ns, half open: start is in, end is out."""

    level: int
    repeat: int
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Length; 0 for a window that never opened."""
        return max(0, self.end_ns - self.start_ns) / 1e9


class Journal:
    """One process's journal. `append` from any greenlet; not for several processes on one file.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.path = path
        self.dropped = 0  # lines lost for good
        self._memory_bytes = memory_bytes
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._reason: str | None = None
        try:
            torn = _ends_torn(path)
            self._fd: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot write the journal: {error.strerror}; choose another --results-dir"
            ) from error
        if torn:  # a line broken by a crash must not swallow the first new one
            self._keep(b"\n")

    def append(self, kind: str, value: Mapping[str, Any]) -> None:
        """Write one line, or keep it in memory if the disk refuses; never raises."""
        line = _encode({"kind": kind, **value})
        if self._kept_bytes + len(line) > self._memory_bytes:
            self._flush()
        if self._kept_bytes + len(line) > self._memory_bytes:
            self.dropped += 1
            return
        self._keep(line)
        self._flush()

    @property
    def problem(self) -> str | None:
        """What is wrong with the file in one line, or None."""
        # A line that another thread is about to write is no problem: it takes a refusal, or a closed file.
        reason = self._reason or ("closed" if self._fd is None else None)
        if not self.dropped and (reason is None or not self._kept):
            return None
        return (
            f"{self.path}: {reason or 'full'}; {len(self._kept)} lines kept in memory, {self.dropped} dropped"
        )

    @property
    def kept(self) -> bytes:
        """What did not reach the file, in order; it continues the file's last line."""
        return b"".join(self._kept)

    def close(self) -> None:
        """Try once more to write what is kept, then close; further lines stay in memory."""
        self._flush()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, line: bytes) -> None:
        self._kept.append(line)
        self._kept_bytes += len(line)

    def _flush(self) -> None:
        """Write the kept lines in order until one is refused; a line cut short keeps its rest."""
        while self._kept and self._fd is not None:
            line = self._kept[0]
            try:
                written = os.write(self._fd, line)
            except OSError as error:
                self._reason = error.strerror
                return
            self._kept_bytes -= written
            if written < len(line):
                self._kept[0] = line[written:]
            else:
                self._kept.popleft()


class Reading(Iterator[tuple[str, dict[str, Any]]]):
    """The (kind, value) pairs of a journal, in order of writing.

    `garbled` counts the lines passed over so far: torn by a crash, or not ours.
    """

    def __init__(self, path: Path, tail: bytes = b"") -> None:
        self.garbled = 0
        self._pairs = self._read(path, tail)

    def __next__(self) -> tuple[str, dict[str, Any]]:
        return next(self._pairs)

    def _read(self, path: Path, tail: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        for lines in blocks(path, tail):
            pairs, garbled = parse(lines)
            self.garbled += garbled
            yield from pairs


def read(path: Path, tail: bytes = b"") -> Reading:
    """Read a journal, then `tail` (`Journal.kept`: what the disk refused) as its continuation."""
    return Reading(path, tail)


def pack(record: RequestRecord, anchor_ns: int) -> dict[str, Any]:
    """A record as a journal value: stamps shifted to Unix time by `anchor_ns`, defaults left out."""
    value = {
        name: found
        for name, default in FIELDS.items()
        if (found := getattr(record, name)) != default or default is MISSING
    }
    for stamp in STAMPS:
        if stamp in value:
            value[stamp] += anchor_ns
    if record.output_tokens is not None:
        value.pop("text", None)
    return value


def unpack(value: Mapping[str, Any]) -> RequestRecord:
    """The record of a journal value, stamps in Unix ns; unknown keys are ignored, missing ones default.

    Raises:
        ValueError: a field without default is missing, one that is always known is null, an integer is none or has
            over 64 bits, or an enumeration has an unknown word.
        TypeError: gaps that are no list.
    """
    known = {name: value[name] for name in FIELDS if name in value}
    missing = [name for name, default in FIELDS.items() if default is MISSING and known.get(name) is None]
    if missing:
        raise ValueError(f"not a request record: {', '.join(missing)} missing")
    for name, found in known.items():
        if found is None and FIELDS[name] is not None:
            raise ValueError(f"not a request record: {name} is null")
        if found is not None and name in INTEGERS and not _fits(found):
            raise ValueError(f"not a request record: {name} is {found!r}")
        if found is not None and name in ENUMS:
            known[name] = ENUMS[name](found)
    if "chunk_gaps_us" in known:
        known["chunk_gaps_us"] = tuple(known["chunk_gaps_us"])
    return RequestRecord(**known)


def _fits(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _encode(value: dict[str, Any]) -> bytes:
    """One line. What JSON cannot hold (a lone surrogate, an integer over 64 bits) is replaced, not fatal."""
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return orjson.dumps(_storable(value), option=orjson.OPT_APPEND_NEWLINE, default=str)


def _storable(value: Any) -> Any:  # noqa: ANN401  a JSON edge
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else None
        case dict():
            return {str(key): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value


def _ends_torn(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def blocks(path: Path, tail: bytes = b"", size: int = BLOCK_BYTES) -> Iterator[list[bytes]]:
    """A journal's lines with their ends, about `size` bytes of them at once; then what `tail` continues."""
    rest = b""
    with path.open("rb") as file:
        while lines := file.readlines(size):
            if not lines[-1].endswith(b"\n"):  # the file's last
                rest = lines.pop()
            yield lines
    yield (rest + tail).splitlines(keepends=True)


def parse(lines: Iterable[bytes]) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """The (kind, value) pairs of these lines, and how many lines are none."""
    pairs, garbled = [], 0
    for line in lines:
        try:
            value = orjson.loads(line)
            pairs.append((value.pop("kind"), value))
        except (ValueError, TypeError, AttributeError, KeyError):
            garbled += bool(line.strip())  # an empty line is the mend of a torn one
    return pairs, garbled
