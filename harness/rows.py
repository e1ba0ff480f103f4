"""requests.parquet: one row a request, the table from which every figure can be computed again.

Columns are the contract's, then the record's other fields, in the order of `COLUMNS`; stamps are Unix ns,
integers are int64, and null means not measured. Integers come back as pandas' nullable `Int64`: as floats,
stamps of this size would be off by up to 128 ns. Imported only once load is over: pandas and
pyarrow are not for a load process.

The file's metadata carries `tokenswarm.schema`; `harness.record` has the history.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import ConfigError
from harness.record import SCHEMA, RequestRecord

__all__ = ["COLUMNS", "count", "load", "write"]

ROW_GROUP: Final = 5_000  # rows held in memory while writing

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
}
_EMPTY: Final = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
# Null in older tables.
_LATER: Final = (
    *("dns_ms", "tls_ms"),  # since schema 2
    *("server_ttft_ms", "server_e2e_ms", "server_tokens_per_s", "acceptance_rate", "batch_size"),  # since 3
    *("retry_after_s", "prompt_token_source"),
)


def write(path: Path, records: Iterable[RequestRecord]) -> int:
    """Write the records, stamps already in Unix ns, and return how many there were.

    Raises:
        OSError: the disk refused.
        ValueError: a value that the schema cannot hold.
    """
    kinds = {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "list": pa.list_(pa.float64()),
    }
    schema = pa.schema(
        [pa.field(name, kinds[kind]) for name, kind in COLUMNS.items()],
        metadata={"tokenswarm.schema": str(SCHEMA)},
    )
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for group in _groups(records):
            rows = [record.row(0) for record in group]
            columns = {name: [_plain(row[name]) for row in rows] for name in COLUMNS}
            try:
                file.write_table(pa.table(columns, schema=schema))
            except (OverflowError, pa.ArrowTypeError) as error:
                raise ValueError(str(error)) from error
            written += len(rows)
    return written


def count(path: Path) -> int:
    """The number of rows a file holds, read from its footer."""
    return int(pq.read_metadata(path).num_rows)


def load(path: Path) -> pd.DataFrame:
    """The table as a DataFrame: `Int64` integers, float64 durations, one array of gaps a row.

    Raises:
        ConfigError: missing, damaged, or without a column of `COLUMNS`.
    """
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path}: not a readable Parquet file ({first}); restore it or run again"
        ) from error
    for name in _LATER:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, _EMPTY[COLUMNS[name]]))
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ConfigError(f"{path}: column {missing[0]} is missing; was it written by tokenswarm?")
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _groups(records: Iterable[RequestRecord]) -> Iterator[list[RequestRecord]]:
    iterator = iter(records)
    while group := list(islice(iterator, ROW_GROUP)):
        yield group


def _plain(value: Any) -> Any:  # noqa: ANN401  cells of every column
    return list(value) if isinstance(value, tuple) else value
