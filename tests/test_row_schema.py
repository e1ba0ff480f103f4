"""A stored table is held against its schema before it is read: a column of another kind is one line, never a traceback."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_run import record, run

from harness import row_schema, rows
from harness.errors import ConfigError

OTHERS = {
    "string": (pa.int64(), "text"),
    "int64": (pa.string(), "64-bit integers"),
    "double": (pa.int64(), "64-bit floats"),
    "bool": (pa.string(), "booleans"),
    "list": (pa.list_(pa.string()), "lists of 64-bit floats"),
}


def changed(path: Path, name: str, kind: pa.DataType) -> None:
    """The table with nulls of another kind in one column."""
    table = pq.read_table(path)
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, pa.nulls(table.num_rows, kind)), path)


@pytest.mark.parametrize("name", rows.COLUMNS)
def test_a_column_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    """Whatever reads it, and only if it reads that column."""
    path = tmp_path / "requests.parquet"
    rows.write(path, [record()])
    other, word = OTHERS[rows.COLUMNS[name]]
    changed(path, name, other)
    said = rf"requests\.parquet: column {name} holds .* where {word} belong; restore the file, or run again$"
    for read in (rows.load, lambda path: list(rows.groups(path))):
        with pytest.raises(ConfigError, match=said):
            read(path)
    if name != "name":
        assert [part.column_names for part in rows.groups(path, ["name"])] == [["name"]]
    assert name not in rows.load(path, without=(name,))


def test_ids_are_texts(tmp_path: Path) -> None:
    """The reading that a merge begins with."""
    path = tmp_path / "t"
    rows.write(path, [record()])
    changed(path, "request_id", pa.float64())
    with pytest.raises(ConfigError, match="column request_id holds double where text belong"):
        list(rows.ids(path))


def test_wider_offsets_are_the_same_kind(tmp_path: Path) -> None:
    """What other programs write of our tables: large strings and large lists."""
    path = tmp_path / "t"
    records = run(levels=(1,), per_level=5, repeats=1)[0]
    rows.write(path, records)
    before = rows.of_rows([one.row(0) for one in records]).to_pylist()
    kinds = {"string": pa.large_string(), "list": pa.large_list(pa.float64())}
    wide = pa.schema(
        [pa.field(n, kinds.get(kind, rows.ARROW.field(n).type)) for n, kind in rows.COLUMNS.items()]
    )
    pq.write_table(pq.read_table(path).cast(wide), path)
    assert [row for part in rows.groups(path) for row in part.to_pylist()] == before
    assert list(rows.load(path)["request_id"]) == [one.request_id for one in records]


def test_tables_before_schema_6_have_no_bodies(tmp_path: Path) -> None:
    """The columns are null, which is not the same as a body that is empty."""
    path = tmp_path / "t"
    rows.write(path, [record(body_sha256="0" * 64, number=3, user_class="Chat")])
    assert rows.load(path)[["user_class", "number", "body_sha256"]].to_numpy().tolist() == [
        ["Chat", 3, "0" * 64]
    ]
    pq.write_table(pq.read_table(path).drop_columns(["user_class", "number", "body_sha256"]), path)
    (row,) = [row for part in rows.groups(path) for row in part.to_pylist()]
    assert (row["user_class"], row["number"], row["body_sha256"]) == (None, None, None)


def test_all_columns_of_a_record_are_known() -> None:
    """Each field but the text, and each figure, has a column and the other way round."""
    assert set(record().row(0)) == set(row_schema.COLUMNS)
    assert set(row_schema.REPEATING) < set(row_schema.COLUMNS)
