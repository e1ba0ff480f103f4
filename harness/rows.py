"""requests.parquet: one row a request, the table from which every figure can be computed again.

Its columns are `harness.row_schema`'s; stamps are Unix ns, integers are int64, and null means not measured. Integers come back as pandas' nullable `Int64`: as floats,
stamps of this size would be off by up to 128 ns. Imported only once load is over: pandas and
pyarrow are not for a load process.
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
from harness.record import RequestRecord
from harness.row_schema import ARROW, COLUMNS, REPEATING, check, whole

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["ARROW", "COLUMNS", "Writer", "count", "groups", "ids", "load", "of_rows", "write"]

ROW_GROUP: Final = 50_000  # rows at most, and
GROUP_BYTES: Final = 32 * 1024 * 1024  # about, held in memory while writing

_GAPS: Final = "chunk_gaps_us"


class Writer:
    """A table being written, in row groups of bounded size; use it in a `with` statement.

    Raises:
        OSError: the disk refused.
    """

    def __init__(self, path: Path) -> None:
        self.written = 0
        self._kept: list[pa.Table] = []
        self._kept_rows = self._kept_bytes = 0
        self._file = pq.ParquetWriter(path, ARROW, compression="zstd", use_dictionary=list(REPEATING))
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
        ConfigError: damaged, or a column of `COLUMNS` is missing or holds something else.
    """
    kinds = pa.schema([ARROW.field(name) for name in names], metadata=ARROW.metadata)
    without = [name for name in COLUMNS if name not in names]
    try:
        with pq.ParquetFile(path) as file:
            check(file.schema_arrow, path, names)
            there = [name for name in names if name in file.schema_arrow.names]
            # One by one: asked for all of them, Arrow keeps what it has read of each until the last.
            for number in range(file.num_row_groups) if only is None else only:
                for batch in file.iter_batches(ROW_GROUP // 5, row_groups=[number], columns=there):
                    yield whole(pa.Table.from_batches([batch]), without).select(list(names)).cast(kinds)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def ids(path: Path) -> Iterator[list[str | None]]:
    """The request ids of a stored table, some at a time.

    Raises:
        ConfigError: `request_id` holds something else, or another column is missing.
    """
    with pq.ParquetFile(path) as file:
        check(file.schema_arrow, path, ("request_id",))
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


def load(
    path: Path, *, without: Collection[str] = (), only: Collection[str] = tuple(COLUMNS)
) -> pd.DataFrame:
    """The table as a DataFrame: `Int64` integers, float64 durations, a list of gaps a row.

    Args:
        path: requests.parquet.
        without: columns that are not needed; of many requests, some take much memory.
        only: those that are.

    Raises:
        ConfigError: missing or damaged, or a column of `COLUMNS` is missing or holds something else.
    """
    without = {name for name in COLUMNS if name in without or name not in only}
    try:
        with pq.ParquetFile(
            path
        ) as file:  # a group at a time: together they would take half as much memory again
            check(file.schema_arrow, path, set(COLUMNS).difference(without))
            names = [name for name in file.schema_arrow.names if name not in without]
            read = [name for name in names if name != _GAPS]
            parts = [file.read_row_group(n, read, use_threads=False) for n in range(file.num_row_groups)]
            table = pa.concat_tables([file.schema_arrow.empty_table().select(read), *parts])
            del parts
            if _GAPS in names:
                table = table.add_column(names.index(_GAPS), _GAPS, _gaps(file))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    table = whole(table, without)
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas, split_blocks=True, self_destruct=True)
    pa.default_memory_pool().release_unused()
    return frame


def _gaps(file: pq.ParquetFile) -> pa.ListArray:
    """All gaps in one piece, so that nobody has to copy them again, and never there twice: they are most of a table."""
    groups_ = range(file.num_row_groups)
    column = next(n for n, path in enumerate(file.schema) if path.path.split(".")[0] == _GAPS)
    # Of each group a little more than there are: it counts lists that are empty, too.
    numbers = np.empty(sum(file.metadata.row_group(n).column(column).num_values for n in groups_))
    lengths, there, filled = [np.zeros(1, np.int64)], [np.empty(0, bool)], 0
    for n in groups_:
        lists = file.read_row_group(n, [_GAPS], use_threads=False).column(0).combine_chunks()
        found = lists.flatten().to_numpy(zero_copy_only=False)  # what is null has none
        numbers[filled : filled + len(found)] = found
        filled += len(found)
        lengths.append(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
        there.append(lists.is_valid().to_numpy(zero_copy_only=False))
    bounds = pa.array(np.cumsum(np.concatenate(lengths)), pa.int32())
    return pa.ListArray.from_arrays(bounds, pa.array(numbers[:filled]), mask=pa.array(~np.concatenate(there)))


def _pandas(kind: pa.DataType) -> Any:  # noqa: ANN401  a pandas type or None
    if pa.types.is_list(kind):
        return pd.ArrowDtype(kind)  # an array object for each request would take more than its gaps
    return pd.Int64Dtype() if kind == pa.int64() else None


def _unreadable(path: Path, error: Exception) -> ConfigError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ConfigError(f"{path}: not a readable Parquet file ({first}); restore it or run again")
