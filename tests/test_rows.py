"""requests.parquet: what is written comes back, in whatever groups, and older or foreign files are known for what they are."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic_run import record, run

from harness import rows
from harness.errors import ConfigError


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    """Stamps to the ns, gaps to the last digit, null where nothing was measured."""
    records = run(per_level=20)[0]
    path = tmp_path / "t.parquet"
    assert rows.write(path, records) == rows.count(path) == len(records)
    frame = rows.load(path)
    assert list(frame.columns) == list(rows.COLUMNS)
    for one, (_, row) in zip(records, frame.iterrows(), strict=True):
        assert row["end_ns"] == one.end_ns
        assert list(row["chunk_gaps_us"]) == list(one.chunk_gaps_us)
        assert np.isnan(row["tpot_ms"]) if one.tpot_ms is None else row["tpot_ms"] == one.tpot_ms
    integers = [name for name, kind in rows.COLUMNS.items() if kind == "int64"]
    assert {str(frame[name].dtype) for name in integers} == {"Int64"}
    assert [one for part in rows.ids(path) for one in part] == [one.request_id for one in records]


def test_an_older_table_was_not_shifted(tmp_path: Path) -> None:
    """Where `clock_offset_ns` is not there yet it is 0, and never null; a table that has none is still our own."""
    path = tmp_path / "requests.parquet"
    rows.write(path, [record("a"), record("b")])
    pq.write_table(pq.read_table(path).drop_columns(["clock_offset_ns"]), path)
    frame = rows.load(path)
    assert (frame["clock_offset_ns"].tolist(), str(frame["clock_offset_ns"].dtype)) == ([0, 0], "Int64")
    assert [one["clock_offset_ns"].to_pylist() for one in rows.groups(path)] == [[0, 0]]


def test_columns_that_are_not_needed_are_not_read(tmp_path: Path) -> None:
    """The others are as they would be."""
    path = tmp_path / "t.parquet"
    rows.write(path, run(per_level=5)[0])
    whole, part = rows.load(path), rows.load(path, without=("request_id", "batch_size", "chunk_gaps_us"))
    assert set(whole) - set(part) == {"request_id", "batch_size", "chunk_gaps_us"}
    assert part.equals(whole[list(part)])


@pytest.mark.parametrize(("rows_", "bytes_"), [(1, 10**9), (7, 10**9), (10**6, 1), (10**6, 10**9)])
def test_groups_do_not_change_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_: int, bytes_: int
) -> None:
    """A group ends at so many rows or bytes; all rows are there, in order, in `groups` too."""
    records = run(levels=(2,), per_level=20, repeats=1)[0]
    monkeypatch.setattr(rows, "ROW_GROUP", max(rows_, 5))
    monkeypatch.setattr(rows, "GROUP_BYTES", bytes_)
    with rows.Writer(tmp_path / "t") as file:
        for start in range(0, len(records), 3):
            file.add(rows.of_rows([one.row(0) for one in records[start : start + 3]]))
    assert file.written == len(records)
    back = [row for group in rows.groups(tmp_path / "t") for row in group.to_pylist()]
    assert back == rows.of_rows([one.row(0) for one in records]).to_pylist()


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    """A run that never sent anything has one."""
    assert rows.write(tmp_path / "t", []) == 0
    frame = rows.load(tmp_path / "t")
    assert (len(frame), list(frame.columns), list(rows.groups(tmp_path / "t"))) == (0, list(rows.COLUMNS), [])


def test_a_value_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """By name of the error, not by a wrong number in the table."""
    with pytest.raises(ValueError, match=r"too large|too big|out of range"):
        rows.write(tmp_path / "t", [record(chunks=2**70)])


def test_foreign_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    """Naming the file and what is wrong with it, however it is read."""
    path = tmp_path / "t"
    path.write_bytes(b"PAR1 not really PAR1")
    for read in (rows.load, lambda path: list(rows.groups(path))):
        with pytest.raises(
            ConfigError, match=r"t: not a readable Parquet file \(.*\); restore it or run again$"
        ):
            read(path)
    rows.write(path, [record()])
    pq.write_table(pq.read_table(path).drop_columns(["request_id"]), path)
    for read in (rows.load, lambda path: list(rows.groups(path))):
        with pytest.raises(ConfigError, match="column request_id is missing; was it written by tokenswarm"):
            read(path)
    with pytest.raises(ConfigError, match="column request_id is missing"):
        rows.load(path, without=("request_id",))
