"""`tokenswarm collect`: what a crash left is merged, once, and the run goes on saying that it was not complete."""

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import BASE_NS, record, run
from test_merge import journal, names, of_records
from test_results import finished, started

from harness import files, rows
from harness.cli import main
from harness.record import RequestRecord
from harness.results import CRASHED, load_run, load_summary, unmerged

LOST = "worker w2 was lost 3.0 s after load began"
OLD = 1_700_000_000


def of_worker(path: Path, records: Sequence[RequestRecord], name: str = "w2", run_id: str = "run-1") -> Path:
    """A worker's journal, not written to for long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whose = {"name": name, "host": "h", "pid": 1, "run_id": run_id}
    second = {"time_ns": BASE_NS, "worker": name, "seconds": 1.0, "cpu_percent": 30.0}
    lines = [("worker", whose), ("health", second), ("event", {"time_ns": BASE_NS, "what": f"{name} begins"})]
    journal(path, *lines, *of_records(*records))
    os.utime(path, (OLD, OLD))
    return path


def requests(count: int, worker: str = "w2") -> list[RequestRecord]:
    """Some of a worker's."""
    return [record(f"{worker}-{n}", worker=worker, output_tokens=5, chunks=5) for n in range(count)]


def lost(tmp_path: Path, **changes: Any) -> Path:
    """A run that ended without its second worker."""
    records, windows = run(levels=(1,), per_level=8, repeats=1)
    directory = started(tmp_path, records, windows)
    finished(directory, planned=20, incomplete=[LOST, "another reason"], **changes)
    return directory.path


def collect(*arguments: Path) -> int:
    """The command's exit code."""
    return main(["collect", *map(str, arguments)])


def test_a_lost_workers_journal_joins_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its requests, seconds and events; the reason stays, followed by what came; the file given is not touched."""
    directory = lost(tmp_path)
    before = names(directory / "requests.parquet")
    path = of_worker(tmp_path / "elsewhere" / "journal-w2.jsonl", requests(4))
    content = path.read_bytes()
    assert collect(directory, path) == 5
    assert f"{path}: 4 records, 4 new, 0 there already\n" in capsys.readouterr().out
    assert names(directory / "requests.parquet") == [*before, *(f"w2-{n}" for n in range(4))]
    told, summary = load_run(directory), load_summary(directory)
    assert told["incomplete"] == [LOST, "journal of w2 collected later: 4 records", "another reason"]
    assert (told["complete"], summary["complete"]) == (False, False)
    assert told["events"] == [{"time_ns": BASE_NS, "what": "w2 begins"}]
    assert (directory / "client.csv").read_text().count(",w2,") == 1
    assert summary["totals"]["offered"] == 20
    assert summary["totals"]["unsent"] == 20 - len(before) - 4
    assert path.read_bytes() == content


def test_collecting_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not by the same file, a copy, its beginning or the folder it lies in; all at once neither."""
    directory = lost(tmp_path)
    path = of_worker(tmp_path / "w" / "journal-w2.jsonl", requests(4))
    begun = tmp_path / "begun.jsonl"
    begun.write_bytes(path.read_bytes()[:-30])
    assert collect(directory, path) == 5
    kept = {
        name: (directory / name).read_bytes() for name in ("requests.parquet", "client.csv", "summary.json")
    }
    told = load_run(directory)
    copy = Path(shutil.copy(path, tmp_path / "copy.jsonl"))
    capsys.readouterr()
    assert collect(directory, path, path, copy, tmp_path / "w") == 5
    assert capsys.readouterr().out.count("4 records, 0 new, 4 there already") == 2
    assert {name: (directory / name).read_bytes() for name in kept} == kept
    assert load_run(directory) == told
    assert collect(directory, begun) == 5
    assert "3 records, 0 new, 3 there already, 1 line that could not be read" in capsys.readouterr().out
    assert names(directory / "requests.parquet")[-4:] == [f"w2-{n}" for n in range(4)]


def test_a_killed_masters_directory_is_collected(tmp_path: Path) -> None:
    """Every journal in it, and one from elsewhere; those in it are deleted, as nobody writes them any more."""
    records, windows = run(levels=(1,), per_level=8, repeats=1)
    directory = started(tmp_path, records, windows).path
    of_worker(directory / "journal-w1.jsonl", requests(3, "w1"), "w1")
    away = of_worker(tmp_path / "w2" / "journal-w2.jsonl", requests(2))
    assert collect(directory, away.parent) == 5
    assert len(names(directory / "requests.parquet")) == len(records) + 5
    assert load_run(directory)["incomplete"] == [CRASHED, "journal of w2 collected later: 2 records"]
    assert list(directory.glob("journal*")) == []
    assert away.exists()
    assert len(load_run(directory)["windows"]) == 1


def test_nothing_is_collected_while_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own end would take the tables for whole."""
    going_on = started(tmp_path, *run(levels=(1,), per_level=8, repeats=1))
    assert collect(going_on.path) == 2
    assert "its run is still going on" in capsys.readouterr().err
    assert not (going_on.path / "requests.parquet").exists()


def test_a_journal_that_may_still_be_written_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker whose master was killed goes on for some seconds; what it adds is collected later."""
    directory = started(tmp_path, run(levels=(1,), per_level=8, repeats=1)[0]).path
    path = of_worker(directory / "journal-w2.jsonl", requests(2))
    os.utime(path)
    assert collect(directory) == 5
    assert f"{path} is kept: its worker may still be writing it" in capsys.readouterr().err
    assert unmerged(directory, load_run(directory)) == []
    of_worker(path, requests(3)[2:])
    assert unmerged(directory, load_run(directory)) == [path]
    assert main(["report", str(directory)]) == 5
    assert "journal-w2.jsonl may hold more than these results: `tokenswarm collect" in capsys.readouterr().err
    assert path.exists()
    assert collect(directory) == 5
    assert not path.exists()
    assert [name for name in names(directory / "requests.parquet") if "w2" in name] == [
        "w2-0",
        "w2-1",
        "w2-2",
    ]


def test_a_journal_not_known_to_be_whole_is_never_deleted(tmp_path: Path) -> None:
    """One that the run's end named as such, whatever is collected or reported afterwards."""
    records, windows = run(levels=(1,), per_level=8, repeats=1)
    run_directory = started(tmp_path, records, windows)
    path = of_worker(run_directory.path / "journal-w2.jsonl", requests(2))
    statements = [{"name": "w2", "state": "lost", "signed": False, "totals": {"offered": 2, "sent": 2}}]
    finished(run_directory, incomplete=[LOST], keep=["journal-w2.jsonl"], workers=statements)
    assert [one.name for one in run_directory.path.glob("journal*")] == ["journal-w2.jsonl"]
    assert load_run(run_directory.path)["workers"] == statements
    assert load_summary(run_directory.path)["audit"]["workers"][0]["rows"] == 2
    for command in ("collect", "report"):
        assert main([command, str(run_directory.path)]) == 5
        assert path.exists()
    assert load_run(run_directory.path)["incomplete"] == [LOST]
    assert len(names(run_directory.path / "requests.parquet")) == len(records) + 2


def test_a_workers_own_directory_keeps_its_journal(tmp_path: Path) -> None:
    """Results can be had of it alone; the master's still lack it, so it stays, to be collected there too."""
    master = lost(tmp_path)
    own = tmp_path / "own"
    path = of_worker(own / "journal-w2.jsonl", requests(4))
    shutil.copy(master / "run.json", own)
    told = {name: value for name, value in load_run(own).items() if name not in ("windows", "journals")}
    files.write(own / "run.json", files.as_json(told))
    for command in (["collect"], ["report"], ["collect"]):
        assert main([*command, str(own)]) == 5
        assert path.exists()
    assert names(own / "requests.parquet") == [f"w2-{n}" for n in range(4)]
    assert collect(master, own) == 5
    assert names(master / "requests.parquet")[-4:] == names(own / "requests.parquet")


def test_a_complete_run_stays_complete(tmp_path: Path) -> None:
    """A copy of what it has makes no difference: exit 0."""
    records, windows = run(levels=(1,), per_level=8, repeats=1)
    run_directory = started(tmp_path, records, windows)
    copy = Path(shutil.copy(run_directory.journal.path, tmp_path / "copy.jsonl"))
    finished(run_directory)
    assert collect(run_directory.path, copy) == 0
    assert load_run(run_directory.path)["incomplete"] == []
    assert len(names(run_directory.path / "requests.parquet")) == len(records)


def test_a_signed_journal_is_verified_when_it_comes(tmp_path: Path) -> None:
    """Byte for byte what the worker signed; another is merged as far as it goes and stays unverified."""
    path = of_worker(tmp_path / "journal-w2.jsonl", requests(3))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    signed = {"bytes": path.stat().st_size, "sha256": digest, "verified": False}
    directory = lost(tmp_path, workers=[{"name": "w2", "state": "ended", "signed": True, "journal": signed}])
    part = tmp_path / "part.jsonl"
    part.write_bytes(path.read_bytes()[:-9])
    collect(directory, part)
    assert load_run(directory)["workers"][0]["journal"]["verified"] is False
    collect(directory, path)
    assert load_run(directory)["workers"][0]["journal"] == signed | {"verified": True}
    later = [line for line in load_run(directory)["incomplete"] if "later" in line]
    assert later == ["journal of w2 collected later: 2 records", "journal of w2 collected later: 1 record"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p / "none.jsonl", r"none\.jsonl: no such file; give a journal"),
        (lambda p: _file(p / "notes.txt", b"hello\n"), r"notes\.txt: not a journal \(no line of one in it\)"),
        (lambda p: _file(p / "empty.jsonl", b""), r"empty\.jsonl: not a journal"),
        (lambda p: _file(p / "x.bin", bytes(range(256)) * 99), r"x\.bin: not a journal"),
        (lambda p: _file(p / "other.jsonl", b'{"kind":"talk"}\n[1]\n'), r"other\.jsonl: not a journal"),
        (lambda p: (p / "bare").mkdir() or p / "bare", r"bare: holds no journal\*\.jsonl"),
        (
            lambda p: of_worker(p / "journal-x.jsonl", requests(1), run_id="run-2"),
            r"journal-x\.jsonl: the journal of run 'run-2', not of 'run-1'",
        ),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, says: str
) -> None:
    """Exit 2, naming the file and what would be right."""
    directory = lost(tmp_path)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert collect(directory, make(tmp_path)) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(rf"tokenswarm collect: error: .*{says}.*\n", said), said
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_no_run_or_has_nothing_to_collect_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also another run's journal without a worker's line: the run.json beside it tells."""
    assert collect(tmp_path) == 2
    assert "not a run directory (no run.json)" in capsys.readouterr().err
    directory = lost(tmp_path)
    assert collect(directory) == 2
    assert "no journal lies in it and none was given; `tokenswarm report`" in capsys.readouterr().err
    other = started(tmp_path, [record()], run_id="run-9").journal.path
    assert collect(directory, other) == 2
    assert "the journal of run 'run-9', not of 'run-1'" in capsys.readouterr().err


def test_a_full_disk_keeps_the_journal_and_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2; the next attempt brings everything."""
    directory = lost(tmp_path)
    before = (directory / "requests.parquet").read_bytes()
    path = of_worker(directory / "journal-w2.jsonl", requests(4))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(rows.Writer, "add", full)
        assert collect(directory) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert (directory / "requests.parquet").read_bytes() == before
    assert path.exists()
    assert list(directory.glob(".*")) == []
    assert collect(directory) == 5
    assert (names(directory / "requests.parquet")[-1], path.exists()) == ("w2-3", False)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And says what the exit codes mean."""
    with pytest.raises(SystemExit) as ended:
        main(["collect", "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "tokenswarm collect results/20261121T101500Z-llamacpp-native-1a2b3c journal-hostb-0.jsonl" in said
    assert "0 complete, 5 not, 2 wrong usage" in said
