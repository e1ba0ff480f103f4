"""`tokenswarm bundle`: what goes in, that it is the same bytes each time, and that no key does."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bundled import RUN_ID, digest, made, members

from harness import cli, files, rows
from harness.bundles import bodies, packing

KEY = "sk-planted-0123456789"
RESULTS = [
    "bodies.csv",
    "client.csv",
    "levels.csv",
    "report.html",
    "requests.parquet",
    "run.json",
    "summary.json",
]
PROGRAMS = ["locustfiles/lib/texts.py", "locustfiles/mine.py"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith(("_KEY", "_TOKEN"))]:
        monkeypatch.delenv(name)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a command that ends with 2."""
    assert cli.main(list(words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_everything_is_in_it_and_as_the_manifest_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read by Python's own tar reader, each file is the run's, byte for byte, with size and hash as listed."""
    directory = made(tmp_path)
    assert cli.main(["bundle", str(directory)]) == 0
    found = members(tmp_path / f"{RUN_ID}.tar.gz")
    names = [f"{RUN_ID}/{name}" for name in sorted([*RESULTS, *PROGRAMS])]
    assert list(found) == [f"{RUN_ID}/manifest.json", *names]
    manifest = json.loads(found.pop(f"{RUN_ID}/manifest.json"))
    assert [(f"{RUN_ID}/{m['name']}", m["bytes"], m["sha256"]) for m in manifest["members"]] == [
        (name, len(data), sha256(data).hexdigest()) for name, data in found.items()
    ]
    for name in set(RESULTS) - {"bodies.csv"}:
        assert found[f"{RUN_ID}/{name}"] == (directory / name).read_bytes()
    assert (manifest["run_id"], manifest["complete"], manifest["not_packed"]) == (RUN_ID, True, [])
    assert cli.main(["bundle", "--check", f"{RUN_ID}.tar.gz"]) == 0
    assert f"{len(names)} files" in capsys.readouterr().out


def test_bodies_are_in_the_order_of_the_sequence(tmp_path: Path) -> None:
    """A line a request, by number, whatever the order in which they ended."""
    directory = made(tmp_path)
    cli.main(["bundle", str(directory)])
    text = members(tmp_path / f"{RUN_ID}.tar.gz")[f"{RUN_ID}/bodies.csv"].decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == bodies.COLUMNS
    assert [(line["number"], line["body_sha256"]) for line in lines] == [
        (str(n), digest(f"body {n}")) for n in range(34)
    ]
    assert [line["number"] for line in lines] != [
        str(n) for n in rows.load(directory / "requests.parquet")["number"]
    ]


def test_the_same_run_makes_the_same_bytes(tmp_path: Path) -> None:
    """Elsewhere, later, under another owner's umask and with other times of files."""
    directory = made(tmp_path)
    assert cli.main(["bundle", str(directory), "--output", "one.tar.gz"]) == 0
    for path in directory.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    (tmp_path / "there").mkdir()
    assert cli.main(["bundle", str(directory), "--output", "there"]) == 0
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "there" / f"{RUN_ID}.tar.gz").read_bytes()


def test_data_goes_in_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise it is named as not packed."""
    directory = made(tmp_path, data=True)
    assert cli.main(["bundle", str(directory), "--output", "a"]) == 0
    assert "prompts one.jsonl: data of --dataset; --with-data packs it" in capsys.readouterr().err
    assert cli.main(["bundle", str(directory), "--output", "b", "--with-data"]) == 0
    (name,) = set(members(tmp_path / "b")) - set(members(tmp_path / "a"))
    assert name.startswith(f"{RUN_ID}/data/")
    assert name.endswith("-prompts-one.jsonl")
    assert members(tmp_path / "b")[name] == (tmp_path / "prompts one.jsonl").read_bytes()
    (tmp_path / "prompts one.jsonl").write_text("changed")
    said = refused(capsys, "bundle", str(directory), "--output", "c", "--with-data")
    assert "is not the file of the run any more" in said


def test_a_locustfile_that_has_changed_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And said so: another program is no evidence."""
    directory = made(tmp_path)
    (tmp_path / "scripts" / "mine.py").write_text("other")
    assert cli.main(["bundle", str(directory), "--output", "b"]) == 0
    assert "mine.py: it is not the file of the run any more" in capsys.readouterr().err
    assert f"{RUN_ID}/locustfiles/mine.py" not in members(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda run: (run / "summary.json").unlink(),
            "summary.json: missing; make it with `tokenswarm report",
        ),
        (lambda run: (run / "requests.parquet").unlink(), "no requests.parquet; `tokenswarm report"),
        (lambda run: (run / "run.json").unlink(), "not a run directory"),
        (lambda run: (run / "run.json").write_bytes(b'{"schema": 1, "run'), "run.json: not JSON"),
        (lambda run: _edit(run, run_id="../../x"), "run_id is no plain name"),
        (lambda run: _edit(run, run_id=["x"]), "run_id is no plain name"),
        (lambda run: _edit(run, complete=False, incomplete=["a worker\nwas lost"]), "a worker\\nwas lost"),
        (lambda run: _edit(run, complete="yes"), "its results are not complete (it did not finish)"),
        (lambda run: (run / "journal-w.jsonl").write_text("{}"), "journal-w.jsonl is not in its results"),
        (lambda run: (run / "requests.parquet").write_bytes(b"PAR1"), "not a readable Parquet file"),
        (
            lambda run: _retyped(run / "requests.parquet"),
            "column number holds string where 64-bit integers belong",
        ),
    ],
)
def test_what_is_not_whole_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], said: str
) -> None:
    """In one line that names it; nothing is written."""
    directory = made(tmp_path)
    change(directory)
    assert cli.main(["bundle", str(directory), "--output", "b"]) == 2
    assert said.replace("\\n", "\n") in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def _edit(run: Path, **changes: Any) -> None:
    files.write(run / "run.json", files.as_json(files.from_json(run / "run.json") | changes))


def _retyped(path: Path) -> None:
    table = pq.read_table(path)
    at = table.column_names.index("number")
    pq.write_table(table.set_column(at, "number", pa.nulls(table.num_rows, pa.string())), path)


@pytest.mark.parametrize(
    "what", [None, 5, [], "x", {"locustfiles": 5}, {"locustfiles": [5, {}]}, {"imports": {}}]
)
def test_an_invocation_that_makes_no_sense(tmp_path: Path, what: Any) -> None:
    """A run of an older version has none: it is packed without a locustfile."""
    directory = made(tmp_path)
    _edit(directory, invocation=what, data=what, versions=what)
    assert cli.main(["bundle", str(directory), "--output", "b"]) == 0
    assert not [name for name in members(tmp_path / "b") if "locustfiles" in name]
    assert cli.main(["bundle", "--check", "b"]) == 0


def test_incomplete_runs_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what there is; the check says that it is not all."""
    directory = made(tmp_path, complete=False)
    said = refused(capsys, "bundle", str(directory), "--output", "b")
    assert said.endswith("its results are not complete (interrupted); --incomplete packs them")
    (directory / "summary.json").unlink()
    assert cli.main(["bundle", str(directory), "--output", "b", "--incomplete"]) == 0
    assert cli.main(["bundle", "--check", "b"]) == 0
    assert "a run that is not complete" in capsys.readouterr().out


def test_nothing_is_overwritten_silently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a folder taken for a file, or a folder made."""
    directory = made(tmp_path)
    (tmp_path / "b").write_text("mine")
    assert "b: exists already; --force replaces it" in refused(
        capsys, "bundle", str(directory), "--output", "b"
    )
    assert (tmp_path / "b").read_text() == "mine"
    assert "no such folder" in refused(capsys, "bundle", str(directory), "--output", "no/such/b")
    assert cli.main(["bundle", str(directory), "--output", "b", "--force"]) == 0
    assert cli.main(["bundle", "--check", "b"]) == 0
    assert "give a run directory" in refused(capsys, "bundle")
    assert "--check takes a bundle" in refused(capsys, "bundle", "x", "--check", "b")


def test_ctrl_c_and_a_full_disk_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half bundle, and the old one as it was."""
    directory = made(tmp_path)
    (tmp_path / "b").write_text("old")
    before = sorted(path.name for path in tmp_path.iterdir())
    for error, code in ((KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 2)):

        def stop(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(packing, "_add", stop)
        assert cli.main(["bundle", str(directory), "--output", "b", "--force"]) == code
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert (tmp_path / "b").read_text() == "old"


def test_a_file_that_changes_while_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter, longer or other bytes: the bundle would not be as it says."""
    directory = made(tmp_path)
    pack = packing.pack
    whole = (directory / "levels.csv").read_bytes()
    for other in (whole[:-1], whole + b"x", b"x" + whole[1:]):

        def late(*args: Any, other: bytes = other) -> int:
            (directory / "levels.csv").write_bytes(other)
            return pack(*args)

        (directory / "levels.csv").write_bytes(whole)
        monkeypatch.setattr(packing, "pack", late)
        assert cli.main(["bundle", str(directory), "--output", "b"]) == 2
        assert not (tmp_path / "b").exists()


def test_no_key_is_in_any_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that stands in a file ends it, in the table's compressed columns too; without it, no byte has it."""
    directory = made(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "scripts" / "mine.py").write_text("# mine.py\n")
    assert cli.main(["bundle", str(directory), "--output", "clean"]) == 0
    assert all(KEY.encode() not in data for data in everything(tmp_path / "clean"))
    report = (directory / "report.html").read_bytes()
    (directory / "report.html").write_bytes(
        b" " * (2**20 - 5) + KEY.encode() + report
    )  # over the edge of a piece
    said = refused(capsys, "bundle", str(directory), "--output", "b")
    assert "report.html: holds the value of a variable" in said
    assert KEY not in said
    (directory / "report.html").write_bytes(report)
    table = pq.read_table(directory / "requests.parquet")
    at = table.column_names.index("error_message")
    texts = pa.array([f"refused {KEY}", *[None] * (table.num_rows - 1)])
    pq.write_table(table.set_column(at, "error_message", texts), directory / "requests.parquet")
    assert "requests.parquet: holds the value" in refused(capsys, "bundle", str(directory), "--output", "b")
    monkeypatch.delenv("OPENAI_API_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("TOKENSWARM_API_KEY_FILE", str(tmp_path / "key"))
    assert "requests.parquet: holds the value" in refused(capsys, "bundle", str(directory), "--output", "b")


def everything(bundle: Path) -> list[bytes]:
    """The bundle's bytes: as they are, unpacked, and the values of its table."""
    found = members(bundle)
    table = pq.read_table(io.BytesIO(found[f"{RUN_ID}/requests.parquet"]))
    return [
        bundle.read_bytes(),
        gzip.decompress(bundle.read_bytes()),
        *found.values(),
        repr(table.to_pylist()).encode(),
    ]


def test_a_hostile_name_is_shown_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paths in run.json may hold anything; nothing of it reaches a terminal as it is."""
    directory = made(tmp_path)
    hostile = "/x/\x1b[31m\u202e<script>\n.jsonl"
    _edit(
        directory,
        data=[{"option": "--dataset", "given": "g", "path": hostile, "sha256": "0" * 64, "bytes": 1}],
    )
    assert cli.main(["bundle", str(directory), "--output", "b"]) == 0
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert len(said.splitlines()) == 1
