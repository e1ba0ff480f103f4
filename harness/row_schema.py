"""The columns of requests.parquet, what each holds, and since when: what a stored table is held against before it is read.

Columns are the contract's, then the record's other fields, in the order of `COLUMNS`. The file's metadata carries
`tokenswarm.schema`; `harness.record` has the history. Imported only once load is over: pyarrow is not for a load process.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from harness.errors import ConfigError
from harness.record import SCHEMA

__all__ = ["ARROW", "COLUMNS", "REPEATING", "check", "whole"]

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
    "user_class": "string",
    "number": "int64",
    "body_sha256": "string",
}
_KINDS: Final = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "list": pa.list_(pa.float64()),
}
_WORDS: Final = {
    "string": "text",
    "int64": "64-bit integers",
    "double": "64-bit floats",
    "bool": "booleans",
    "list": "lists of 64-bit floats",
}
ARROW: Final = pa.schema(
    [pa.field(name, _KINDS[kind]) for name, kind in COLUMNS.items()],
    metadata={"tokenswarm.schema": str(SCHEMA)},
)
# Columns whose values repeat. A dictionary of any other would only be built to be thrown away.
REPEATING: Final = (
    *("name", "worker", "level", "repeat", "phase", "chunks", "prompt_tokens", "output_tokens"),
    *("requested_prompt_tokens", "requested_output_tokens", "cached_tokens", "token_source", "stamp_source"),
    *("http_status", "outcome", "error_class", "finish_reason", "reconnects", "first_chunk_tokens"),
    *("error_message", "batch_size", "prompt_token_source", "turn", "user_class"),
)
# Null in older tables.
_LATER: Final = (
    *("dns_ms", "tls_ms"),  # since schema 2
    *("server_ttft_ms", "server_e2e_ms", "server_tokens_per_s", "acceptance_rate", "batch_size"),  # since 3
    *("retry_after_s", "prompt_token_source"),
    *("ttft_scheduled_ms", "e2e_scheduled_ms", "session_id", "turn"),  # since 5
    *("user_class", "number", "body_sha256"),  # since 6
)
_SHIFTED: Final = (
    "clock_offset_ns"  # since 4; 0 in older tables, whose senders' own clocks nobody can tell any more
)


def check(stored: pa.Schema, path: Path, names: Collection[str] = COLUMNS) -> None:
    """See that a stored table has all columns, and that those which are to be read hold what they should.

    Args:
        stored: its schema.
        path: where it lies, for the error.
        names: the columns that are to be read.

    Raises:
        ConfigError: naming the file and the column.
    """
    missing = [name for name in COLUMNS if name not in (*stored.names, *_LATER, _SHIFTED)]
    if missing:
        raise ConfigError(f"{path}: column {missing[0]} is missing; was it written by tokenswarm?")
    for field in stored:
        kind = COLUMNS.get(field.name)
        if kind is not None and field.name in names and not _is(field.type, kind):
            raise ConfigError(
                f"{path}: column {field.name} holds {str(field.type)[:80]} where {_WORDS[kind]} belong; "
                "restore the file, or run again"
            )


def whole(table: pa.Table, without: Collection[str] = ()) -> pa.Table:
    """With the columns that were not there yet when it was written, but for those named."""
    for name in _LATER:
        if name not in (*table.column_names, *without):
            table = table.append_column(name, pa.nulls(table.num_rows, _KINDS[COLUMNS[name]]))
    if _SHIFTED not in (*table.column_names, *without):
        table = table.append_column(_SHIFTED, pa.array(np.zeros(table.num_rows, np.int64)))
    return table


def _is(found: pa.DataType, kind: str) -> bool:
    """Whether a stored column is of that kind; text and lists may have offsets of either width."""
    if kind == "string":
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if kind == "list":
        is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
        return bool(is_list and found.value_type == pa.float64())
    return bool(found == _KINDS[kind])
