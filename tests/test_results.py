"""A run directory from creation to report, through crashes, full disks and damage; and every number again.

`recomputed.recompute` derives the whole summary from requests.parquet and run.json without harness.metrics.
"""

import csv
import errno
import json
import os
from dataclasses import asdict, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from gevent import GreenletExit
from recomputed import check, recompute, same
from synthetic_run import BASE_NS, record, run

from harness import files, loadpoint, results, rows
from harness.errors import ConfigError
from harness.journal import Window, pack
from harness.levels_csv import asked_sizes
from harness.loadpoint import LoadPoint
from harness.record import FIGURES, TokenSource
from harness.results import CRASHED, RunDirectory, load_run, load_summary, rebuild
from harness.run_place import check_place
from harness.seconds import Second, load
from harness.uncounted import count_missing

ALL_FILES = ["client.csv", "levels.csv", "report.html", "requests.parquet", "run.json", "summary.json"]


def started(tmp_path: Path, records=(), windows=(), run_id="run-1", settings=None) -> RunDirectory:
    """A run directory whose journal holds these."""
    directory = RunDirectory.create(tmp_path / "results", run_id, settings or {"model": "m"})
    for one in records:
        directory.journal.append("record", pack(one, 0))
    for window in windows:
        directory.journal.append(
            "window",
            {
                "level": window.level,
                "repeat": window.repeat,
                "start_ns": window.start_ns,
                "end_ns": window.end_ns,
            },
        )
    return directory


def finished(directory: RunDirectory, **changes) -> dict:
    """Finish with plain arguments."""
    plain = {"planned": None, "incomplete": [], "findings": [], "count_tokens": None}
    return directory.finish(**{**plain, "counted_by": TokenSource.TOKENIZER, **changes})


@pytest.mark.parametrize("count_tokens", [None, lambda text: len(text.split())])
def test_every_number_of_the_summary_is_recomputed_from_the_table(tmp_path, count_tokens):
    """Some 370 requests with failures, cancelled, unstreamed and missing figures: no number differs."""
    records, windows = run(per_level=60)
    directory = started(tmp_path, records, windows)
    summary = finished(directory, planned=len(records) + 5, count_tokens=count_tokens)
    on_disk = load_summary(directory.path)
    same(on_disk, json.loads(json.dumps(summary)))
    again = recompute(directory.path)
    same({name: summary[name] for name in again}, again)
    check(directory.path)
    kinds = {(r.outcome, r.streamed, r.phase) for r in records}
    assert len(kinds) >= 6, "the synthetic run has lost its variety"
    assert summary["levels"][0]["errors"], "the synthetic run has lost its failures"


def test_what_an_open_loop_and_chats_add_is_recomputed_too(tmp_path):
    """Levels that are named by what they held, arrivals that nobody sent, requests by name and by turn."""
    records, windows = run(per_level=60)
    told = [
        replace(
            one,
            name=("chat", "rag")[number % 3 == 0],
            level={1: 1, 2: 2, 4: 3}[one.level],
            **({"session_id": f"s{number // 25}", "turn": number % 25 + 1} if number % 7 else {}),
        )
        for number, one in enumerate(records)
    ]
    held = [replace(one, level={1: 1, 2: 2, 4: 3}[one.level]) for one in windows]
    points = [LoadPoint(key=key, users=0, kind="rate", rate=2.5 * key, value=2.5 * key) for key in (1, 2, 3)]
    directory = started(tmp_path, told, held)
    summary = finished(directory, unsent={"2": 7}, more={"points": loadpoint.stored(points)})
    check(directory.path)
    said = [(one["title"], one["concurrency"], one["unsent"]) for one in summary["levels"]]
    assert said == [("2.5 req/s", None, 0), ("5 req/s", None, 7), ("7.5 req/s", None, 0)]
    assert summary["totals"]["unsent"] == 7
    assert [one["name"] for one in summary["names"]] == ["chat", "rag"] * 3
    assert {one["turn"] for one in summary["turns"]} == set(range(1, 21)), "turns from 20 on come together"
    assert summary["chats"]["turns_max"] == 25


def test_a_finished_directory_holds_the_results_and_no_journal(tmp_path):
    """The five files, no leftovers; run.json says when, whole, and with which windows."""
    records, windows = run(levels=(1,), per_level=5, repeats=1)
    directory = started(tmp_path, records, windows)
    directory.journal.append("event", {"time_ns": BASE_NS, "what": "level 1 begins"})
    finished(directory, findings=[("suspect", "a doubt")])
    assert sorted(p.name for p in directory.path.iterdir()) == ALL_FILES
    told = load_run(directory.path)
    assert (told["complete"], told["findings"]) == (True, [["suspect", "a doubt"]])
    assert [Window(**window) for window in told["windows"]] == windows
    assert told["events"] == [{"time_ns": BASE_NS, "what": "level 1 begins"}]
    assert datetime.fromisoformat(told["finished_at"]) >= datetime.fromisoformat(told["started_at"])
    assert datetime.fromisoformat(told["started_at"]).utcoffset().total_seconds() == 0


def test_the_table_holds_every_record_exactly(tmp_path):
    """Row for row what `RequestRecord.row` says, with the contract's types."""
    records, _ = run(levels=(2,), per_level=40, repeats=1)
    directory = started(tmp_path, records)
    finished(directory, count_tokens=lambda text: len(text.split()))
    back = pq.read_table(directory.path / "requests.parquet")
    assert back.schema.metadata == {b"tokenswarm.schema": b"6"}
    assert str(back.schema.field("chunk_gaps_us").type).startswith("list<")
    assert {str(back.schema.field(n).type) for n in back.column_names if n.endswith("_ns")} == {"int64"}
    counted = [count_missing(r, lambda t: len(t.split()), TokenSource.TOKENIZER) for r in records]
    expected = [{**r.row(0), "chunk_gaps_us": list(r.chunk_gaps_us)} for r in counted]
    assert sorted(back.column_names) == sorted(expected[0])
    assert back.select(sorted(back.column_names)).to_pylist() == [
        dict(sorted(row.items())) for row in expected
    ]
    assert set(FIGURES) <= set(back.column_names)


def test_created_run_json_says_what_ran_and_keeps_no_secret(tmp_path):
    """Settings as given, but nothing under a secret's name and no login in a URL."""
    settings = {
        "host": "http://me:pw@h:1/v1",
        "api_key": "sk-1",
        "prompt_tokens": "550",
        "label": {"password": "x", "a": "b"},
    }
    told = load_run(started(tmp_path, settings=settings).path)
    assert told["settings"] == {
        "host": "http://***@h:1/v1",
        "api_key": "***",
        "prompt_tokens": "550",
        "label": {"password": "***", "a": "b"},
    }
    assert (told["schema"], told["run_id"], told["complete"], told["finished_at"]) == (
        1,
        "run-1",
        False,
        None,
    )
    assert told["host"]["cpus"] == os.cpu_count()
    installed = {
        name: told["versions"][name] for name in ("tokenswarm", "locust", "pyarrow", "influxdb-client")
    }
    assert installed == {name: version(name) for name in installed}


@pytest.mark.parametrize("run_id", ["", "a/b", "..", "."])
def test_a_run_id_that_is_not_a_folder_name_is_refused(tmp_path, run_id):
    """It must not reach outside the results directory."""
    with pytest.raises(ConfigError, match="must be a plain folder name"):
        RunDirectory.create(tmp_path, run_id, {})


def test_places_that_cannot_hold_a_run_are_refused_in_one_line(tmp_path):
    """A taken run id, a file in the way, and a place where nothing can be made."""
    started(tmp_path)
    with pytest.raises(ConfigError, match=r"run-1: already exists; choose another --run-name"):
        started(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--results-dir '.*file': not a folder; choose another"):
        RunDirectory.create(tmp_path / "file", "r", {})
    with pytest.raises(
        ConfigError, match=r"--results-dir '.*deeper': cannot write there \(Not a directory\)"
    ):
        RunDirectory.create(tmp_path / "file" / "deeper", "r", {})


def test_a_run_that_is_stopped_while_its_facts_are_asked_for_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's `platform` may wait for another process: who is killed in that wait has no run to discard yet."""

    def stopped() -> str:
        raise GreenletExit

    monkeypatch.setattr(results, "versions", stopped)
    with pytest.raises(GreenletExit):
        RunDirectory.create(tmp_path / "results", "r", {})
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "chunks", "count_tokens", "tokens", "source"),
    [
        ("one two three", 1, lambda text: len(text.split()), 3, TokenSource.TOKENIZER),
        ("123456789", 2, None, 3, TokenSource.ESTIMATED),  # 9 characters / 4, rounded up
        ("123456789", 5, None, 5, TokenSource.ESTIMATED),  # an event has at least a token
        ("", 0, None, None, None),  # nothing came: nothing to count
        (None, 3, None, None, None),
    ],
)
def test_missing_token_counts_are_filled_from_the_text(text, chunks, count_tokens, tokens, source):
    """By the counter if there is one, else by the greater of events and characters / 4."""
    filled = count_missing(record(text=text, chunks=chunks), count_tokens, TokenSource.TOKENIZER)
    assert (filled.output_tokens, filled.token_source) == (tokens, source)


def test_a_server_count_is_never_replaced():
    """Text that came along does not matter then."""
    counted = record(text="a b", output_tokens=9, token_source=TokenSource.SERVER)
    assert count_missing(counted, lambda _: 1, TokenSource.TOKENIZER) is counted


def test_rebuild_after_a_crash_uses_the_journal_and_says_incomplete(tmp_path):
    """All whole lines count, of every process's journal; the torn one is reported; a second rebuild agrees."""
    records, windows = run(levels=(1, 2), per_level=6, repeats=1)
    directory = started(tmp_path, records, windows)
    with (directory.path / "journal-w2.jsonl").open("wb") as file:
        file.write(b'{"kind":"record","request_id":"torn')
    directory.held.let_go()
    summary = rebuild(directory.path)
    assert summary["totals"]["offered"] == len(records)
    assert summary["incomplete"] == [CRASHED, "1 journal lines could not be read"]
    assert summary["verdict"]["status"] == "invalid"
    assert sorted(p.name for p in directory.path.iterdir()) == ALL_FILES
    told = load_run(directory.path)
    assert told["complete"] is False
    last = max(r.end_ns for r in records)
    assert datetime.fromisoformat(told["finished_at"]).timestamp() == pytest.approx(last / 1e9, abs=0.001)
    same(rebuild(directory.path), summary)


def test_rebuild_from_the_table_gives_the_same_summary(tmp_path):
    """Lost derived files come back as they were; the verdict's outside findings too."""
    records, windows = run(levels=(1,), per_level=10, repeats=1)
    directory = started(tmp_path, records, windows)
    summary = finished(directory, planned=99, findings=[("suspect", "a doubt")])
    before = {name: (directory.path / name).read_bytes() for name in ALL_FILES}
    for name in ("summary.json", "levels.csv", "report.html"):
        (directory.path / name).unlink()
    same(rebuild(directory.path), summary)
    assert {name: (directory.path / name).read_bytes() for name in ALL_FILES} == before


def test_lines_the_disk_refused_are_in_the_results(tmp_path):
    """Records still in memory at the end are written with the rest."""
    directory = started(tmp_path, [record("a")])
    os.close(directory.journal._fd)
    directory.journal._fd = os.open("/dev/full", os.O_WRONLY)  # the disk fills up in mid-run
    directory.journal.append("record", pack(record("b"), 0))
    assert "No space left" in (directory.journal.problem or "")
    assert finished(directory)["totals"]["succeeded"] == 2


def test_dropped_lines_make_the_run_incomplete(tmp_path):
    """What memory could not hold either is said in the verdict."""
    directory = started(tmp_path, [record("a")])
    directory.journal.dropped = 3
    summary = finished(directory)
    assert summary["complete"] is False
    assert summary["verdict"]["reasons"][0].startswith("incomplete: 3 journal lines were lost")


@pytest.mark.parametrize("refused", ["requests.parquet", "run.json", "summary.json", "report.html"])
def test_a_disk_that_refuses_at_the_end_keeps_the_journal(tmp_path, monkeypatch, refused):
    """One line says so, no half file stays, and `rebuild` completes the results later."""
    records, windows = run(levels=(1,), per_level=5, repeats=1)
    directory = started(tmp_path, records, windows)
    place = files.place

    def full(path, fill):
        if path.name == refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return place(path, fill)

    with monkeypatch.context() as patch:
        patch.setattr(files, "place", full)
        with pytest.raises(ConfigError, match=r"cannot write the results \(No space left on device\)"):
            finished(directory)
    assert (directory.path / "journal.jsonl").exists()
    assert not list(directory.path.glob(".*"))
    directory.held.let_go()
    assert rebuild(directory.path)["totals"]["offered"] == len(records)
    assert sorted(p.name for p in directory.path.iterdir()) == ALL_FILES


def test_the_journal_stays_if_the_table_lacks_a_row(tmp_path, monkeypatch):
    """Nothing is deleted on a count that does not agree."""
    directory = started(tmp_path, [record("a"), record("b")])
    monkeypatch.setattr(rows, "count", lambda _: 1)
    with pytest.raises(ConfigError, match="1 rows of 2 records; the journal is kept"):
        finished(directory)
    assert (directory.path / "journal.jsonl").exists()


def test_what_is_not_a_run_directory_or_damaged_is_one_line(tmp_path):
    """No run.json, broken JSON, another schema, a table that is missing, broken or foreign."""
    with pytest.raises(ConfigError, match=r"not a run directory \(no run.json\)"):
        rebuild(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"run.json: not JSON"):
        rebuild(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 9, "run_id": "r"}')
    with pytest.raises(ConfigError, match="schema 9, this version reads 1"):
        rebuild(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 1, "run_id": "r"}')
    with pytest.raises(ConfigError, match=r"requests.parquet is missing, and there is no journal to make it"):
        rebuild(tmp_path)
    (tmp_path / "requests.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(ConfigError, match=r"requests.parquet: not a readable Parquet file"):
        rebuild(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "requests.parquet")
    with pytest.raises(ConfigError, match="column request_id is missing"):
        rebuild(tmp_path)
    with pytest.raises(ConfigError, match=r"no summary.json; make it with `tokenswarm report"):
        load_summary(tmp_path)


def test_levels_csv_has_a_row_a_level_and_nothing_for_null(tmp_path):
    """Nested figures are columns, open sets one cell, null an empty one."""
    records, windows = run(levels=(1, 2), per_level=8, repeats=2)
    directory = started(tmp_path, records, windows)
    summary = finished(directory)
    with (directory.path / "levels.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["concurrency"] for row in table] == ["1", "2"]
    first, level = table[0], summary["levels"][0]
    assert float(first["ttft_ms_p95"]) == level["ttft_ms"]["p95"]
    assert float(first["system_output_tokens_per_s"]) == level["system_output_tokens_per_s"]
    assert [float(x) for x in first["system_output_tokens_per_s_repeats"].split()] == level[
        "system_output_tokens_per_s_repeats"
    ]
    assert (first["server_queue_ms_p50"], first["server_queue_ms_n"], first["goodput"]) == ("", "0", "")
    assert first["token_sources"] == f"server={level['token_sources']['server']}"
    interval = level["intervals"]["ttft_ms.p50"]
    assert [float(first[f"ttft_ms_p50_ci95_{end}"]) for end in ("low", "high")] == [
        interval["low"],
        interval["high"],
    ]
    assert (first["ttft_ms_p95_ci95_low"], "passes" in first, "intervals" in first) == ("", False, False)
    withheld = first["withheld"].split()
    assert {"ttft_ms_p90", "ttft_ms_p95", "ttft_ms_p99", "request_output_tokens_per_s_p5"} <= set(withheld)
    assert set(withheld) <= set(first)


def test_levels_csv_of_several_runs_can_stand_in_one_table(tmp_path):
    """Every row says of which run, which model and which sizes; users of different sizes by their names."""
    records, windows = run(levels=(1, 2), per_level=4, repeats=1)
    lanes = {
        "Chatter": {"prompt_tokens": "lognormal:120,60", "output_tokens": "30"},
        "Reader": {"prompt_tokens": "uniform:400,800", "output_tokens": "30"},
    }
    directory = started(tmp_path, records, windows, settings={"model": "m, 7B", "users": lanes})
    finished(directory)
    with (directory.path / "levels.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    names = ["run_id", "model", "requested_prompt_tokens", "requested_output_tokens"]
    assert list(table[0])[:7] == [*names, "level", "concurrency", "kind"]
    assert [(row["level"], row["concurrency"], row["kind"]) for row in table] == [
        ("1", "1", "concurrency"),
        ("2", "2", "concurrency"),
    ]
    assert [[row[name] for name in names] for row in table] == [
        ["run-1", "m, 7B", "Chatter=lognormal:120,60 Reader=uniform:400,800", "30"]
    ] * 2


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({}, None),
        ({"prompt_tokens": "550"}, "550"),
        ({"prompt_tokens": "550", "users": 4}, "550"),  # Locust's own -u
        ({"prompt_tokens": None, "users": {"A": {"prompt_tokens": "30"}, "B": {}}}, "30"),
    ],
)
def test_the_sizes_asked_for_are_those_of_the_users_or_the_option(settings, sizes):
    """As they were written."""
    assert asked_sizes(settings, "prompt_tokens") == sizes


def test_a_window_told_twice_is_one_and_the_last_word_counts(tmp_path):
    """A window is kept when it closes and may be told again; another pass over the level is another window."""
    first, again, second = Window(1, 1, 5, 6), Window(1, 1, 5, 9), Window(1, 2, 20, 30)
    directory = started(tmp_path, [record()], [first, second, again])
    finished(directory)
    assert [Window(**window) for window in load_run(directory.path)["windows"]] == [again, second]


def test_what_was_planned_survives_a_crash(tmp_path):
    """It is noted at the beginning, so that a rebuild knows what was never sent."""
    directory = RunDirectory.create(tmp_path, "r", {}, planned=60)
    for name in ("a", "b"):
        directory.journal.append("record", pack(record(name), 0))
    directory.held.let_go()
    totals = rebuild(directory.path)["totals"]
    assert (totals["offered"], totals["succeeded"], totals["unsent"]) == (60, 2, 58)
    assert load_run(started(tmp_path).path)["planned"] is None


def test_the_results_of_a_run_that_goes_on_are_not_made(tmp_path):
    """They would be taken for whole at its end; nothing is written, and at the end they are made as ever."""
    records, windows = run(levels=(1,), per_level=6, repeats=1)
    directory = started(tmp_path, records, windows)
    before = {path.name: path.read_bytes() for path in directory.path.iterdir()}
    going_on = f"{directory.path}: its run is still going on; its results are made when it ends"
    assert refusal(lambda: rebuild(directory.path)) == going_on
    assert {path.name: path.read_bytes() for path in directory.path.iterdir()} == before
    assert finished(directory)["totals"]["offered"] == len(records)
    assert rebuild(directory.path)["totals"]["offered"] == len(records)


def refusal(make) -> str:
    """The one line that it is refused with."""
    with pytest.raises(ConfigError) as raised:
        make()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("place", ["file", "file/deeper", "file/deeper/still", "x" * 300, "link/deeper"])
def test_a_bad_place_is_refused_before_anything_is_made(tmp_path, place):
    """In the words of `create`, and nothing is there afterwards that was not before."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    said = refusal(lambda: check_place(tmp_path / place))
    assert sorted(tmp_path.rglob("*")) == before
    assert said == refusal(lambda: RunDirectory.create(tmp_path / place, "r", {}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_without_the_right_to_write_is_refused(tmp_path):
    """Also where only a parent of it is there."""
    tmp_path.chmod(0o500)
    for place in (tmp_path, tmp_path / "a" / "b"):
        with pytest.raises(ConfigError, match=r"cannot write there \(Permission denied\); choose another"):
            check_place(place)
    tmp_path.chmod(0o700)


def test_a_good_place_is_fine_and_stays_as_it_was(tmp_path, monkeypatch):
    """A directory, a relative one, and one that is still to be made."""
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path, Path("results"), Path(), tmp_path / "a" / "b" / "c"):
        check_place(place)
    assert list(tmp_path.iterdir()) == []


def test_own_ends_that_were_asked_for_are_no_doubt(tmp_path):
    """`--exact-output no` is in the settings, and a rebuild from the table still knows."""
    words = {"finish_reason": "stop", "requested_output_tokens": 150, "output_tokens": 9, "chunks": 1}
    records = [record(str(n), token_source=TokenSource.SERVER, **words) for n in range(6)]
    window = [Window(1, 1, BASE_NS, BASE_NS + 10**9)]
    statuses = []
    for exact in (False, None, True):
        directory = started(tmp_path, records, window, f"r-{exact}", {"exact_output": exact})
        finished(directory, planned=6)
        statuses.append(rebuild(directory.path)["verdict"]["status"])
    assert statuses == ["valid", "suspect", "suspect"]


def test_a_file_is_whole_or_as_it_was(tmp_path):
    """A write that fails half way leaves the old content and nothing beside it."""
    path = tmp_path / "x"
    files.write(path, "old")

    def half(beside: Path) -> None:
        beside.write_text("ne")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        files.place(path, half)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "old")]


def watched(at_s: int, **figures) -> Second:
    """A second of this run's client."""
    plain = {"cpu_percent": 20.0, "waited_percent": 0.0, "waited_ms": 0.0, "loop_lags_ms": "1*99 9*1"}
    return Second(time_ns=BASE_NS + at_s * 10**9, worker="w1", seconds=1.0, **{**plain, **figures})


def with_health(directory: RunDirectory, seconds_: list[Second]) -> None:
    """As a run journals them."""
    for one in seconds_:
        directory.journal.append("health", asdict(one))


def test_the_clients_seconds_become_a_table_of_their_own(tmp_path):
    """One row each, with what was sent in it; the summary's client is what that file and the requests say."""
    records, windows = run(levels=(1, 2), per_level=40, repeats=1)
    directory = started(tmp_path, records, windows)
    with_health(directory, [watched(at, cpu_percent=10.0 * at) for at in range(5)])
    summary = finished(directory)
    table = pd.read_csv(directory.path / "client.csv")
    requests = rows.load(directory.path / "requests.parquet")
    sent = requests[requests["sent_ns"].notna() & (requests["reconnects"] == 0)]
    set_up = sent[["dns_ms", "connect_ms", "tls_ms"]].astype(float).fillna(0).sum(axis=1)
    late = ((sent["sent_ns"] - sent["scheduled_ns"]).astype(float) / 1e6 - set_up).clip(lower=0)
    assert table["cpu_percent"].tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
    for row in table.itertuples():
        due = sent["scheduled_ns"].astype("int64")
        mine = late[(due >= row.time_ns) & (due < row.time_ns + 10**9)]
        assert row.sends == len(mine)
        if len(mine):
            assert row.late_send_ms_p99 == pytest.approx(mine.quantile(0.99), rel=1e-4)
            assert row.late_send_ms_max == pytest.approx(mine.max(), rel=1e-4)
    assert table["sends"].sum() > 60
    client = summary["client"]
    assert client["cpu_percent"] == {"mean": 20.0, "worst_second": 40.0}
    assert client["late_send_ms"]["n"] == len(late)
    assert client["late_send_ms"]["p50"] == pytest.approx(late.median())
    assert client["late_send_ms"]["max"] == pytest.approx(late.max())
    assert (client["loop_lag_ms"]["p50"], client["loop_lag_ms"]["n"]) == (1.0, 500)
    assert client["stamp_source"] == "read"


def test_the_clients_verdict_is_in_the_summary_and_computed_again(tmp_path):
    """From client.csv alone, which is therefore as good as the journal was."""
    records, windows = run(levels=(1,), per_level=40, repeats=1)
    directory = started(tmp_path, records, windows)
    with_health(directory, [watched(at, waited_percent=80.0, waited_ms=400.0) for at in range(12)])
    first = finished(directory)
    reason = "the client waited for a core 80 % of the time it wanted to run in 12 of 12 s (limit 75 %)"
    assert first["verdict"]["status"] == "invalid"
    assert sum(one.startswith(reason) for one in first["verdict"]["reasons"]) == 1
    again = rebuild(directory.path)
    assert again["verdict"] == first["verdict"]
    same(again["client"], first["client"])
    (directory.path / "client.csv").unlink()
    assert not any("waited for a core" in one for one in rebuild(directory.path)["verdict"]["reasons"])


def test_a_crash_keeps_the_clients_seconds(tmp_path):
    """They were in the journal, whatever else was torn."""
    records, windows = run(levels=(1,), per_level=10, repeats=1)
    directory = started(tmp_path, records, windows)
    with_health(directory, [watched(0), watched(1, cpu_percent=99.0)])
    with directory.journal.path.open("ab") as file:
        file.write(b'{"kind":"health","time_ns":1\n{"kind":"health","worker":"w1"}\n{"kind":"hea')
    directory.journal.close()
    directory.held.let_go()
    summary = rebuild(directory.path)
    assert [row.cpu_percent for row in load(directory.path / "client.csv")] == [20.0, 99.0]
    assert summary["client"]["cpu_percent"]["worst_second"] == 99.0
    assert "3 journal lines could not be read" in summary["incomplete"]


def test_a_damaged_client_file_is_one_line(tmp_path):
    """It can be done without, and the line says so."""
    directory = started(tmp_path, run(levels=(1,), per_level=5, repeats=1)[0])
    with_health(directory, [watched(0)])
    finished(directory)
    path = directory.path / "client.csv"
    path.write_text(path.read_text().replace("w1,1,20", "w1,1,a lot"))
    with pytest.raises(
        ConfigError, match=r"client\.csv: cannot be read \(.*\); restore the file, or remove it$"
    ):
        rebuild(directory.path)
