"""Journals become one table: value for value what each record says of itself, each once, on one clock, whatever is damaged."""

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record, run
from test_journal import RECORDS

from harness import columns, rows
from harness.errors import ConfigError
from harness.journal import Journal, Window, pack, unpack
from harness.merge import Told, merge
from harness.record import STAMPS, RequestRecord
from harness.seconds import Second
from harness.shift import Shift

S = 10**9
LINES = RECORDS.map(lambda one: pack(one, 0))
ODD = st.sampled_from(
    [None, -1, 0, 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 1e308, 5.0, 5.5, True, "ok", "", [], [1], [None], {}]
)  # fmt: skip


def journal(path: Path, *lines: tuple[str, Mapping[str, Any]]) -> Path:
    """A journal of these lines."""
    with Journal(path) as written:
        for kind, value in lines:
            written.append(kind, value)
    return path


def of_records(*records: RequestRecord) -> list[tuple[str, Mapping[str, Any]]]:
    """Their lines."""
    return [("record", pack(one, 0)) for one in records]


def clock(at_ns: int, offset_ns: int, uncertainty_ns: int = 1_000) -> tuple[str, Mapping[str, Any]]:
    """A `clock` line."""
    return "clock", {"time_ns": at_ns, "offset_ns": offset_ns, "uncertainty_ns": uncertainty_ns}


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table."""
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def names(path: Path) -> list[str]:
    """Whose rows there are, in order."""
    return [row["request_id"] for row in table(path)]


def by_definition(lines: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """What `unpack`, `row` and the schema make of each line by itself, and how many they refuse."""
    found = []
    for line in lines:
        try:
            found += rows.of_rows([unpack(line).row(0)]).to_pylist()
        except (TypeError, ValueError, OverflowError, pa.ArrowException):
            continue
    return found, len(lines) - len(found)


@settings(deadline=None)
@given(st.lists(LINES, max_size=6))
def test_columns_say_what_records_say(lines: list[dict[str, Any]]) -> None:
    """Every value of every column, figures included, for any records."""
    made, refused = columns.of_lines(lines, Shift())
    assert made.schema == rows.ARROW
    assert (made.to_pylist(), refused) == by_definition(lines)


@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, min_size=1, max_size=4), st.data())
def test_odd_values_are_taken_or_refused_as_one_by_one(
    lines: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Wrong types, numbers out of range or beyond a float's integers, unknown words, nulls, missing fields."""
    line = data.draw(st.sampled_from(lines))
    name = data.draw(st.sampled_from([*columns._STORED, "invented"]))
    if data.draw(st.booleans()):
        line[name] = data.draw(ODD)
    else:
        line.pop(name, None)
    lines = [json.loads(orjson.dumps(one)) for one in lines if _storable(one)]
    made, refused = columns.of_lines(lines, Shift())
    assert (made.to_pylist(), refused) == by_definition(lines)


def _storable(line: dict[str, Any]) -> bool:
    try:
        orjson.dumps(line)
    except TypeError:
        return False
    return True


def test_a_whole_synthetic_run_goes_the_fast_way_and_is_exact() -> None:
    """A few hundred requests with all that goes wrong are computed together, and no value differs."""
    lines = [{**pack(one, 0), "later": 1} for one in run(per_level=60)[0]]
    made = columns._together(lines, Shift())
    assert made.to_pylist() == by_definition(lines)[0]


def test_several_journals_become_one_table_in_order(tmp_path: Path) -> None:
    """One after the other, with what each says besides."""
    second = Second(time_ns=BASE_NS, worker="w2", seconds=1.0, cpu_percent=20.0)
    one = journal(tmp_path / "journal-1.jsonl", *of_records(record("a"), record("b")))
    two = journal(
        tmp_path / "journal-2.jsonl",
        ("worker", {"name": "w2", "host": "h", "pid": 1, "run_id": "run-1"}),
        ("health", asdict(second)),
        ("event", {"time_ns": BASE_NS, "what": "begins"}),
        ("window", asdict(Window(1, 1, 5, 6))),
        ("server", {"time_ns": BASE_NS, "queued": 3.0}),
        *of_records(record("c", worker="w2", end_ns=BASE_NS + 7)),
    )
    told = merge(tmp_path / "t.parquet", [one, two])
    assert names(tmp_path / "t.parquet") == ["a", "b", "c"]
    first, last = told.journals
    assert (told.before, told.rows, told.last_ns, told.garbled) == (0, 3, BASE_NS + 7, 0)
    assert (first.worker, first.records, first.doubled) == (None, 2, 0)
    assert (last.worker, last.run_id, last.records, last.size) == ("w2", "run-1", 1, two.stat().st_size)
    assert (last.seconds, last.windows) == ([second], [Window(1, 1, 5, 6)])
    assert last.events == [{"time_ns": BASE_NS, "what": "begins"}]
    assert [(sample.time_ns, sample.queued) for sample in last.samples] == [(BASE_NS, 3.0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "journal-1.jsonl",
        "journal-2.jsonl",
        "t.parquet",
    ]


def test_merging_again_or_a_copy_or_a_beginning_doubles_nothing(tmp_path: Path) -> None:
    """Rows that are there stay and come first; what is new follows; how many were doubled is told."""
    place = tmp_path / "t.parquet"
    one = journal(tmp_path / "1", *of_records(*(record(str(n)) for n in range(40))))
    begun = tmp_path / "begun"
    begun.write_bytes(one.read_bytes()[: one.stat().st_size // 2])
    merge(place, [begun])
    there = table(place)
    copy = Path(shutil.copy(one, tmp_path / "copy"))
    told = merge(place, [one, copy])
    assert (told.before, told.rows) == (len(there), 40)
    assert [(v.records, v.doubled) for v in told.journals] == [(40, len(there)), (40, 40)]
    assert table(place)[: len(there)] == there
    assert names(place) == [str(n) for n in range(40)]
    merge(place, [copy])
    assert names(place) == [str(n) for n in range(40)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=4), st.integers(0, 4))
def test_each_request_is_there_once_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, ids: list[list[str]], cut: int
) -> None:
    """However ids repeat within and across journals, merged at once or in two goes."""
    folder = tmp_path_factory.mktemp("m")
    paths = [
        journal(folder / f"j{place}", *of_records(*(record(one, level=place + 1) for one in some)))
        for place, some in enumerate(ids)
    ]
    told = [merge(folder / "t", part) for part in (paths[:cut], paths[cut:])]
    first = {one: place + 1 for place, some in reversed(list(enumerate(ids))) for one in some}
    assert {row["request_id"]: row["level"] for row in table(folder / "t")} == first
    assert len(table(folder / "t")) == len(first) == told[1].rows
    assert sum(v.records - v.doubled for one in told for v in one.journals) == len(first)


def test_requests_that_share_a_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash only says where to look."""
    monkeypatch.setattr("builtins.hash", lambda _: 7)
    one = journal(tmp_path / "1", *of_records(record("a"), record("b"), record("a")))
    assert merge(tmp_path / "t", [one]).rows == 2
    assert names(tmp_path / "t") == ["a", "b"]


def test_damage_is_counted_and_never_fatal(tmp_path: Path) -> None:
    """Torn and garbage lines, unknown kinds, foreign values, numbers out of range: only these lines are lost."""
    good = pack(record("good"), 0)
    bad: list[Any] = [
        {"kind": "dream", "time_ns": 1},
        {"kind": ["record"]},
        {"kind": "record", **good, "outcome": "asleep"},
        {"kind": "record", **good, "level": 2**63},
        {"kind": "record", **good, "chunks": 5.5},
        {"kind": "record", **good, "streamed": None},
        {"kind": "record", **good, "ttft_ms": 1, "chunk_gaps_us": "abc"},
        {"kind": "record", **{name: value for name, value in good.items() if name != "worker"}},
        {"kind": "health", "time_ns": "noon", "worker": "w", "seconds": 1.0, "cpu_percent": 1.0},
        {"kind": "health", "time_ns": 5, "worker": "w", "seconds": 1.0, "cpu_percent": "most"},
        {"kind": "health", "time_ns": 5, "worker": "w", "seconds": 1.0, "cpu_percent": 1, "loop_lags_ms": "x"},
        {"kind": "server", "time_ns": True},
        {"kind": "window", "level": 1, "repeat": 1, "start_ns": 1},
        {"kind": "window", "level": 1, "repeat": 1, "start_ns": 1, "end_ns": 2.5},
        {"kind": "event", "what": "when?"},
    ]  # fmt: skip
    lines = [*(orjson.dumps(one) for one in bad), b"\0\0", b"[1]", b"{}", b"\xff", b"7", b""]
    lines += [orjson.dumps({"kind": "record", **good, "invented": {}}), b'{"kind":"record","request_id":"tor']
    path = tmp_path / "j"
    path.write_bytes(b"\n".join(lines))
    told = merge(tmp_path / "t", [path])
    assert names(tmp_path / "t") == ["good"]
    assert told.garbled == len(bad) + 5 + 1
    volume = told.journals[0]
    assert (volume.seconds, volume.samples, volume.windows, volume.events) == ([], [], [], [])


def test_the_tail_continues_the_last_line(tmp_path: Path) -> None:
    """What the disk refused in mid-line is part of the journal."""
    whole = journal(tmp_path / "w", *of_records(record("a"), record("b"))).read_bytes()
    for cut in (5, len(whole) // 2 + 20, len(whole) - 1):
        path = tmp_path / f"j{cut}"
        path.write_bytes(whole[:cut])
        told = merge(tmp_path / f"t{cut}", [path], {path: whole[cut:]})
        assert (names(tmp_path / f"t{cut}"), told.garbled) == (["a", "b"], 0)


def test_texts_are_counted_where_the_server_did_not(tmp_path: Path) -> None:
    """The counter sees the lines that have a text, and only these."""
    seen = []

    def count(line: dict[str, Any]) -> dict[str, Any]:
        seen.append(line["request_id"])
        return line | {"output_tokens": 3}

    path = journal(tmp_path / "j", *of_records(record("a", text="x"), record("b", output_tokens=9, text="y")))
    merge(tmp_path / "t", [path], count=count)
    assert [(row["request_id"], row["output_tokens"]) for row in table(tmp_path / "t")] == [
        ("a", 3),
        ("b", 9),
    ]
    assert seen == ["a"]


def test_stamps_move_to_the_runs_clock_and_durations_stay(tmp_path: Path) -> None:
    """The offset at a record's end, drawn between estimates, constant outside, taken from every stamp of the record."""
    records = [
        replace(one, request_id=f"r{n}", end_ns=BASE_NS + at * S)
        for n, (one, at) in enumerate(zip(run(per_level=4)[0][:4], (0, 10, 15, 90), strict=True))
    ]
    second = Second(time_ns=BASE_NS + 15 * S, worker="w", seconds=1.0, cpu_percent=1.0)
    path = journal(
        tmp_path / "j", *of_records(*records), clock(BASE_NS + 20 * S, 3_000_000), clock(BASE_NS + 10 * S, 1_000_000),
        ("health", asdict(second)), ("event", {"time_ns": BASE_NS + 15 * S, "what": "x"}),
    )  # fmt: skip
    told = merge(tmp_path / "t", [path])
    moved = [1_000_000, 1_000_000, 2_000_000, 3_000_000]
    for row, one, offset in zip(table(tmp_path / "t"), records, moved, strict=True):
        plain = one.row(0)
        assert {name: row[name] for name in STAMPS} == {
            name: None if plain[name] is None else plain[name] - offset for name in STAMPS
        }
        assert row["clock_offset_ns"] == offset
        rest = set(plain) - set(STAMPS) - {"chunk_gaps_us", "clock_offset_ns"}
        assert {name: row[name] for name in rest} == {name: plain[name] for name in rest}
        assert row["chunk_gaps_us"] == list(plain["chunk_gaps_us"])
    assert told.journals[0].seconds == [
        replace(second, time_ns=BASE_NS + 15 * S - 2_000_000, clock_offset_ns=2_000_000)
    ]
    assert told.journals[0].events == [{"time_ns": BASE_NS + 15 * S - 2_000_000, "what": "x"}]
    assert told.last_ns == BASE_NS + 90 * S - 3_000_000


def test_clocks_that_agree_within_their_uncertainty_are_one(tmp_path: Path) -> None:
    """Then nothing moves; one estimate beyond its uncertainty, and all count."""
    same = [clock(BASE_NS, 900), clock(BASE_NS + S, -1_000)]
    agreed = journal(tmp_path / "a", *same, *of_records(record()))
    merge(tmp_path / "ta", [agreed])
    assert (row := table(tmp_path / "ta")[0])["end_ns"] == BASE_NS
    assert row["clock_offset_ns"] == 0
    apart = journal(tmp_path / "b", *same, clock(BASE_NS + 2 * S, 1_001), *of_records(record()))
    merge(tmp_path / "tb", [apart])
    assert table(tmp_path / "tb")[0]["end_ns"] == BASE_NS - 900


def test_merging_again_keeps_what_was_taken_off(tmp_path: Path) -> None:
    """Rows that are there stay shifted by what their own journal said; those of the next have its own offset."""
    first = journal(tmp_path / "a", clock(BASE_NS, 7_000), *of_records(record("a")))
    later = journal(tmp_path / "b", clock(BASE_NS, -9_000), *of_records(record("a"), record("b")))
    merge(tmp_path / "t", [first])
    merge(tmp_path / "t", [first, later])
    found = [
        (row["request_id"], row["end_ns"] - BASE_NS, row["clock_offset_ns"]) for row in table(tmp_path / "t")
    ]
    assert found == [("a", -7_000, 7_000), ("b", 9_000, -9_000)]


def test_a_record_by_itself_is_shifted_as_many_are(tmp_path: Path) -> None:
    """The slow way, for records out of the ordinary, notes the offset too."""
    shift = Shift.of([dict(clock(BASE_NS, 4_000)[1])])
    lines = [value for _, value in of_records(record("a"), record("b", error_message="x"))]
    strange = {**lines[0], "first_chunk_tokens": 2**60}
    (fast, _), (slow, _) = columns.of_lines(lines, shift), columns.of_lines([strange, *lines[1:]], shift)
    same = ["request_id", "end_ns", "scheduled_ns", "clock_offset_ns"]
    assert slow.select(same).to_pylist() == fast.select(same).to_pylist()
    assert slow.column("clock_offset_ns").to_pylist() == [4_000, 4_000]


@given(
    st.lists(st.tuples(st.integers(0, 10**13), st.integers(-(10**18), 10**18)), min_size=1, max_size=5, unique_by=lambda p: p[0]),
    st.integers(-(10**13), 2 * 10**13),
)  # fmt: skip
def test_the_offset_lies_between_its_neighbours(points: list[tuple[int, int]], at: int) -> None:
    """Exact at the estimates, within a rounding between them, the nearest one's outside."""
    points = sorted(points)
    shift = Shift.of([dict(clock(BASE_NS + time, offset)[1], uncertainty_ns=-1) for time, offset in points])
    assert [shift.at_one(BASE_NS + time) for time, _ in points] == pytest.approx(
        [offset for _, offset in points], abs=512
    )
    around = [offset for time, offset in points if time <= at][-1:] + [o for time, o in points if time >= at][
        :1
    ]
    assert min(around) - 512 <= shift.at_one(BASE_NS + at) <= max(around) + 512


@pytest.mark.parametrize(
    "line",
    [b'{"kind":"clock","time_ns":"x","offset_ns":5,"uncertainty_ns":0}', b'{"kind":"clock","time_ns"', b'{"kind":"clock"}',
     b'{"kind":"clock","time_ns":1,"offset_ns":4611686018427387904,"uncertainty_ns":0}'],
)  # fmt: skip
def test_clock_lines_that_make_no_sense_move_nothing(tmp_path: Path, line: bytes) -> None:
    """Nor does a text that quotes one."""
    path = journal(tmp_path / "j", *of_records(record(error_message='\n{"kind":"clock",')))
    path.write_bytes(path.read_bytes() + line + b"\n")
    merge(tmp_path / "t", [path])
    assert table(tmp_path / "t")[0]["end_ns"] == BASE_NS


def test_a_table_of_an_older_version_gains_its_columns(tmp_path: Path) -> None:
    """Rows without what was not known then, followed by new ones."""
    rows.write(tmp_path / "t", [record("old", dns_ms=1.0)])
    later = ["dns_ms", "batch_size", "session_id", "turn", "ttft_scheduled_ms", "clock_offset_ns"]
    pq.write_table(pq.read_table(tmp_path / "t").drop_columns(later), tmp_path / "t")
    new = {"batch_size": 4, "session_id": "s", "turn": 2, "first_content_ns": BASE_NS + 7_000_000}
    merge(
        tmp_path / "t",
        [journal(tmp_path / "j", *of_records(record("new", **new)), clock(BASE_NS, 5_000))],
    )
    assert [[row[name] for name in ("request_id", *later)] for row in table(tmp_path / "t")] == [
        ["old", None, None, None, None, None, 0],
        ["new", None, 4, "s", 2, 7.0, 5_000],
    ]
    assert pq.read_schema(tmp_path / "t").metadata == {b"tokenswarm.schema": b"6"}


def test_a_damaged_table_is_left_as_it_is(tmp_path: Path) -> None:
    """One line says so, and no part of a new one stays."""
    (tmp_path / "t").write_bytes(b"PAR1 not really PAR1")
    path = journal(tmp_path / "j", *of_records(record()))
    with pytest.raises(ConfigError, match=r"t: not a readable Parquet file"):
        merge(tmp_path / "t", [path])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["j", "t"]
    assert (tmp_path / "t").read_bytes() == b"PAR1 not really PAR1"


def test_large_journals_are_written_in_groups_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks, row groups and the second pass over doubled rows keep every row and its place."""
    monkeypatch.setattr(rows, "ROW_GROUP", 500)
    ids = [str(n) for n in range(3_000)]
    repeated = random.Random(1).sample(ids, 700)
    one = journal(tmp_path / "1", *of_records(*(record(n) for n in ids)))
    two = journal(tmp_path / "2", *of_records(*(record(n) for n in (*repeated, "last"))))
    told: Told = merge(tmp_path / "t", [one, two])
    assert names(tmp_path / "t") == [*ids, "last"]
    assert [v.doubled for v in told.journals] == [0, 700]
    assert pq.read_metadata(tmp_path / "t").num_row_groups > 1
