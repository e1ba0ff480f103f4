"""requests.parquet: one row a request, the table from which every figure can be computed again.

Columns are the contract's, then the record's other fields, in the order of `COLUMNS`; stamps are Unix ns,
integers are int64, and null means not measured. Integers come back as pandas' nullable `Int64`: as floats,
stamps of this size would be off by up to 128 ns. Imported only once load is over: pandas and
pyarrow are not for a load process.

The file's metadata carries `tokenswarm.schema`; `harness.record` has the history.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from gevent.threadpool import ThreadPoolExecutor

from harness.errors import ConfigError
from harness.record import SCHEMA, RequestRecord

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ARROW", "COLUMNS", "Writer", "count", "groups", "ids", "load", "of_rows", "write"]

ROW_GROUP: Final = 50_000  # rows at most, and
GROUP_BYTES: Final = 32 * 1024 * 1024  # about, held in memory while writing

COLUMNS: Final = {
    "request_id": "string",
    "response_id": "string",
    "name": "string",
    "worker": "string",
    "level": "int64",
    "repeat": "int64",
    "phase": "string",
    "scheduled_ns": "int64",
    "sent_ns": "int64",
    "first_content_ns": "int64",
    "last_content_ns": "int64",
    "end_ns": "int64",
    "ttft_ms": "double",
    "tpot_ms": "double",
    "e2e_ms": "double",
    "chunk_gaps_us": "list",
    "chunks": "int64",
    "prompt_tokens": "int64",
    "output_tokens": "int64",
    "requested_prompt_tokens": "int64",
    "requested_output_tokens": "int64",
    "cached_tokens": "int64",
    "token_source": "string",
    "stamp_source": "string",
    "http_status": "int64",
    "outcome": "string",
    "error_class": "string",
    "finish_reason": "string",
    "server_queue_ms": "double",
    "server_prefill_ms": "double",
    "server_decode_ms": "double",
    "reconnects": "int64",
    # not in the contract
    "first_answer_ns": "int64",
    "first_chunk_tokens": "int64",
    "streamed": "bool",
    "error_message": "string",
    "dns_ms": "double",
    "connect_ms": "double",
    "tls_ms": "double",
    "ttfa_ms": "double",
    "output_tokens_per_s": "double",
    "total_tokens_per_s": "double",
    "server_ttft_ms": "double",
    "server_e2e_ms": "double",
    "server_tokens_per_s": "double",
    "acceptance_rate": "double",
    "batch_size": "int64",
    "retry_after_s": "double",
    "prompt_token_source": "string",
    "clock_offset_ns": "int64",
    "ttft_scheduled_ms": "double",
    "e2e_scheduled_ms": "double",
    "session_id": "string",
    "turn": "int64",
}
_KINDS: Final = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "list": pa.list_(pa.float64()),
}
ARROW: Final = pa.schema(
    [pa.field(name, _KINDS[kind]) for name, kind in COLUMNS.items()],
    metadata={"tokenswarm.schema": str(SCHEMA)},
)
# Columns whose values repeat. A dictionary of any other would only be built to be thrown away.
_REPEATING: Final = (
    *("name", "worker", "level", "repeat", "phase", "chunks", "prompt_tokens", "output_tokens"),
    *("requested_prompt_tokens", "requested_output_tokens", "cached_tokens", "token_source", "stamp_source"),
    *("http_status", "outcome", "error_class", "finish_reason", "reconnects", "first_chunk_tokens"),
    *("error_message", "batch_size", "prompt_token_source", "turn"),
)
# Null in older tables.
_LATER: Final = (
    *("dns_ms", "tls_ms"),  # since schema 2
    *("server_ttft_ms", "server_e2e_ms", "server_tokens_per_s", "acceptance_rate", "batch_size"),  # since 3
    *("retry_after_s", "prompt_token_source"),
    *("ttft_scheduled_ms", "e2e_scheduled_ms", "session_id", "turn"),  # since 5
)
_SHIFTED: Final = (
    "clock_offset_ns"  # since 4; 0 in older tables, whose senders' own clocks nobody can tell any more
)


class Writer:
    """A table being written, in row groups of bounded size; use it in a `with` statement.

    Raises:
        OSError: the disk refused.
    """

    def __init__(self, path: Path) -> None:
        self.written = 0
        self._kept: list[pa.Table] = []
        self._kept_rows = self._kept_bytes = 0
        self._file = pq.ParquetWriter(path, ARROW, compression="zstd", use_dictionary=list(_REPEATING))
        self._thread = ThreadPoolExecutor(
            1
        )  # a real one, under gevent too: compresses one group while the next is made
        self._writing: Future[None] | None = None

    def add(self, table: pa.Table) -> None:
        """Rows of the schema `ARROW`."""
        self._kept.append(table)
        self._kept_rows += table.num_rows
        self._kept_bytes += table.nbytes
        self.written += table.num_rows
        if self._kept_rows >= ROW_GROUP or self._kept_bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._wait()
        if self._kept_rows:
            self._writing = self._thread.submit(self._file.write_table, pa.concat_tables(self._kept))
        self._kept, self._kept_rows, self._kept_bytes = [], 0, 0

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
            self._wait()
        finally:
            self._thread.shutdown()
            self._file.close()


def write(path: Path, records: Iterable[RequestRecord]) -> int:
    """Write the records, stamps already in Unix ns, and return how many there were.

    Raises:
        OSError: the disk refused.
        ValueError: a value that the schema cannot hold.
    """
    iterator = iter(records)
    with Writer(path) as file:
        while group := list(islice(iterator, 1_000)):
            try:
                file.add(of_rows([record.row(0) for record in group]))
            except (OverflowError, pa.ArrowTypeError) as error:
                raise ValueError(str(error)) from error
        return file.written


def of_rows(made: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as `RequestRecord.row` makes them.

    Raises:
        OverflowError, ValueError, TypeError: a value that the schema cannot hold.
    """
    return pa.table({name: [row[name] for row in made] for name in COLUMNS}, schema=ARROW)


def groups(
    path: Path, names: Sequence[str] = tuple(COLUMNS), *, only: Collection[int] | None = None
) -> Iterator[pa.Table]:
    """The rows of a stored table, some at a time, with these columns of today's schema.

    Args:
        path: requests.parquet.
        names: the columns that are needed.
        only: stored row groups that are needed; None: all.

    Raises:
        ConfigError: damaged, or without a column of `COLUMNS`.
    """
    kinds = pa.schema([ARROW.field(name) for name in names], metadata=ARROW.metadata)
    without = [name for name in COLUMNS if name not in names]
    try:
        with pq.ParquetFile(path) as file:
            _check(file.schema_arrow.names, path)
            there = [name for name in names if name in file.schema_arrow.names]
            # One by one: asked for all of them, Arrow keeps what it has read of each until the last.
            for number in range(file.num_row_groups) if only is None else only:
                for batch in file.iter_batches(ROW_GROUP // 5, row_groups=[number], columns=there):
                    yield _whole(pa.Table.from_batches([batch]), without).select(list(names)).cast(kinds)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def ids(path: Path) -> Iterator[list[str | None]]:
    """The request ids of a stored table, some at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP, columns=["request_id"]):
            yield batch.column(0).to_pylist()


def count(path: Path) -> int:
    """The number of rows a file holds, read from its footer.

    Raises:
        ConfigError: missing or damaged.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def load(path: Path, *, without: Collection[str] = ()) -> pd.DataFrame:
    """The table as a DataFrame: `Int64` integers, float64 durations, a list of gaps a row.

    Args:
        path: requests.parquet.
        without: columns that are not needed; of many requests, some take much memory.

    Raises:
        ConfigError: missing, damaged, or without a column of `COLUMNS`.
    """
    try:
        with pq.ParquetFile(
            path
        ) as file:  # a group at a time: together they would take half as much memory again
            _check(file.schema_arrow.names, path)
            names = [name for name in file.schema_arrow.names if name not in without]
            parts = [file.read_row_group(n, names, use_threads=False) for n in range(file.num_row_groups)]
            table = pa.concat_tables([file.schema_arrow.empty_table().select(names), *parts])
            del parts
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    table = _whole(table, without)
    if "chunk_gaps_us" in table.column_names:  # in one piece, so that nobody has to copy them again
        gaps = table.column("chunk_gaps_us").combine_chunks()
        table = table.set_column(table.column_names.index("chunk_gaps_us"), "chunk_gaps_us", gaps)
        del gaps
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas, split_blocks=True, self_destruct=True)
    pa.default_memory_pool().release_unused()
    return frame


def _pandas(kind: pa.DataType) -> Any:  # noqa: ANN401  a pandas type or None
    if pa.types.is_list(kind):
        return pd.ArrowDtype(kind)  # an array object for each request would take more than its gaps
    return pd.Int64Dtype() if kind == pa.int64() else None


def _unreadable(path: Path, error: Exception) -> ConfigError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ConfigError(f"{path}: not a readable Parquet file ({first}); restore it or run again")


def _whole(table: pa.Table, without: Collection[str] = ()) -> pa.Table:
    """With the columns that were not there yet when it was written."""
    for name in _LATER:
        if name not in (*table.column_names, *without):
            table = table.append_column(name, pa.nulls(table.num_rows, _KINDS[COLUMNS[name]]))
    if _SHIFTED not in (*table.column_names, *without):
        table = table.append_column(_SHIFTED, pa.array(np.zeros(table.num_rows, np.int64)))
    return table


def _check(names: Collection[str], path: Path) -> None:
    missing = [name for name in COLUMNS if name not in (*names, *_LATER, _SHIFTED)]
    if missing:
        raise ConfigError(f"{path}: column {missing[0]} is missing; was it written by tokenswarm?")
