"""`tokenswarm report`: in which form, with which exit code, and what it says of directories that are damaged."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import record, run
from test_results import finished, started

from harness import files
from harness.cli import main

SLO = ("ttft_p95<1ms", "ttft_p95<9s")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that is as it should be; copy it before changing anything."""
    records, windows = run(levels=(1, 2), per_level=8, repeats=1)
    directory = started(tmp_path_factory.mktemp("r"), records, windows)
    finished(directory)
    return directory.path


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "run-1"))


def changed(directory: Path, **entries: Any) -> Path:
    """The same with other entries in run.json; `settings` gains."""
    run = files.from_json(directory / "run.json")
    settings = {**run["settings"], **entries.pop("settings", {})}
    files.write(directory / "run.json", files.as_json({**run, "settings": settings, **entries}))
    return directory


def report(*arguments: object) -> int:
    """The command's exit code."""
    return main(["report", *map(str, arguments)])


def test_json_is_summary_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte, and nothing else."""
    assert report(directory, "--json") == 0
    said = capsys.readouterr()
    assert said.out == (directory / "summary.json").read_text()
    assert said.err == ""
    assert json.loads(said.out)["run_id"] == "run-1"


def test_markdown_and_tables_are_of_the_same_run(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One begins with a heading, the other with Maritaca's tables; both have its levels."""
    assert report(directory, "--markdown") == 0
    markdown = capsys.readouterr().out
    assert markdown.startswith("## ")
    assert "| 2 | " in markdown
    assert report(directory) == 0
    tables = capsys.readouterr().out
    assert tables.startswith("Maritaca's tables")
    assert f"results: {directory}" in tables


def test_two_forms_at_once_are_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By argparse, with 2."""
    with pytest.raises(SystemExit) as ended:
        report(directory, "--json", "--markdown")
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize("form", [[], ["--json"], ["--markdown"]])
@pytest.mark.parametrize(
    ("settings", "entries", "code"),
    [
        ({"slo": [SLO[1]]}, {}, 0),
        ({"slo": [SLO[0]]}, {}, 3),
        ({"slo": ["system_output_tokens_per_s>1"]}, {"windows": []}, 3),  # not judged: no window closed
        ({}, {"findings": [["invalid", "no"]]}, 0),
        ({"require_valid": True, "slo": [SLO[0]]}, {"findings": [["invalid", "no"]]}, 4),
        ({"require_valid": True, "slo": [SLO[0]]}, {"incomplete": ["interrupted"]}, 5),
    ],
)  # fmt: skip
def test_the_exit_code_judges_as_the_run_does(
    directory: Path, form: list[str], settings: dict[str, Any], entries: dict[str, Any], code: int
) -> None:
    """The highest that applies, in every form."""
    changed(directory, settings=settings, **entries)
    assert report(directory, *form) == code


def test_a_summary_that_is_garbage_is_made_again(directory: Path) -> None:
    """It is never read; nor are the other results."""
    before = (directory / "summary.json").read_bytes()
    for name in ("summary.json", "levels.csv", "report.html"):
        (directory / name).write_bytes(b"\x00{garbage")
    assert report(directory) == 0
    assert (directory / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"settings": []}, "settings is [], not an object"),
        ({"windows": {"a": 1}}, "windows is {'a': 1}, not a list of windows"),
        (
            {"windows": [{"level": "1"}]},
            "windows is [{'level': '1'}], not a list of windows (level, repeat, start_ns",
        ),
        ({"planned": "many"}, "planned is 'many', not a whole number"),
        ({"points": [1]}, "points is [1], not an object of objects"),
        ({"findings": ["doubt"]}, "findings is ['doubt'], not a list of pairs"),
        ({"findings": [["odd", "why"]]}, "not a list of pairs"),
        ({"incomplete": "no"}, "incomplete is 'no', not a list of texts"),
        ({"workers": 3}, "workers is 3, not a list of objects"),
        ({"journals": {"a": None}}, "not an object of objects"),
        ({"unsent": {"1": "2"}}, "not an object of whole numbers"),
        ({"search": [1]}, "search is [1], not an object"),
        ({"run_id": 7}, "run_id is 7, not text"),
        ({"host": "x" * 1_000_000}, f"host is '{'x' * 56}..., not an object"),
    ],
)
def test_a_run_json_of_other_types_is_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str], entries: dict[str, Any], says: str
) -> None:
    """Naming the file, the entry, what it is and what it should be."""
    run = files.from_json(directory / "run.json")
    files.write(directory / "run.json", files.as_json({**run, **entries}))
    assert report(directory) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"tokenswarm report: error: {directory / 'run.json'}: ")
    assert says in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "entries",
    [
        {"settings": {"slo": ["nonsense"]}},
        {"settings": {"slo": 5}},
        {"workers": [{"name": "w"}]},
        {"search": {"steps": "x"}},
        {"saturated": {"no": 1}},
        {"points": {"1": {}}},
        {"steady": 1, "started_at": "yesterday"},
    ],
)
def test_what_is_wrong_further_down_is_one_line_too(
    directory: Path, capsys: pytest.CaptureFixture[str], entries: dict[str, Any]
) -> None:
    """No traceback, whatever it is: a line and 2, or results."""
    changed(directory, **entries)
    assert report(directory) in {0, 2}
    assert capsys.readouterr().err.count("\n") <= 1


def test_files_that_are_missing_broken_or_folders_are_one_line(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each names what to restore."""

    def says(text: str) -> None:
        assert report(directory) == 2
        said = capsys.readouterr().err
        assert text in said
        assert said.count("\n") == 1

    table = (directory / "requests.parquet").read_bytes()
    (directory / "requests.parquet").write_bytes(table[: len(table) // 2])
    says("requests.parquet: not a readable Parquet file")
    (directory / "requests.parquet").unlink()
    says("requests.parquet is missing")
    (directory / "requests.parquet").mkdir()
    says("requests.parquet is missing")
    (directory / "requests.parquet").rmdir()
    (directory / "requests.parquet").write_bytes(table)
    (directory / "summary.json").unlink()
    (directory / "summary.json").mkdir()
    says("cannot write the results")
    (directory / "run.json").write_text('{"schema": 1, ')
    says("run.json: not JSON")
    assert report(tmp_path / "nowhere") == 2
    assert "not a run directory (no run.json)" in capsys.readouterr().err


def test_a_crashed_run_is_incomplete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its journal, with 5, in any form."""
    directory = started(tmp_path, [record("r1")])
    directory.journal.close()
    directory.held.let_go()
    assert report(directory.path, "--markdown") == 5
    assert "These results are incomplete" in capsys.readouterr().out
