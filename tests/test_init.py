"""`tokenswarm init`: what it writes, what it leaves alone, and what it says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from locust_runs import LOCUSTFILES, ROOT

from harness import cli, files, shipped
from harness.errors import ConfigError

OURS: Final = {f"locustfiles/{path.name}": path.read_bytes() for path in LOCUSTFILES.glob("*.py")}


def held(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which one is."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_locustfiles_as_in_a_checkout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of ours, byte for byte, no caches; what was written is named, then what to type."""
    assert cli.main(["init"]) == 0
    assert held(here) == OURS
    assert len(OURS) >= 12
    out = capsys.readouterr().out
    assert out.splitlines()[: len(OURS)] == sorted(OURS)
    assert "Try one:\n  tokenswarm simulate --port 8080 &\n  locust -f locustfiles/own.py --host" in out


def test_the_next_command_is_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both lines it shows are commands: the simulator's parser takes one, Locust's and ours the other."""
    assert cli.main(["init"]) == 0
    simulate, locust = re.findall(r"^  (.+)$", capsys.readouterr().out, re.MULTILINE)
    assert cli._parser().parse_args(simulate.removesuffix(" &").split()[1:]).port == "8080"
    words = locust.split()
    assert words[0] == "locust"
    done = subprocess.run(
        [sys.executable, "-m", *words, "--list"], capture_output=True, text=True, cwd=here, check=False
    )
    assert (done.returncode, "Traveller" in done.stdout) == (0, True), done.stderr


def test_into_another_folder_with_dashboards(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DIR is made with all above it; the dashboards are those of the checkout, which are those that are generated."""
    assert cli.main(["init", "a b/c", "--with-dashboards"]) == 0
    dashboards = {f"dashboards/{name}": content for name, content in held(ROOT / "dashboards").items()}
    assert held(here / "a b" / "c") == OURS | dashboards
    assert {"dashboards/live-run.json", "dashboards/provisioning/alerting/tokenswarm.yaml"} <= set(dashboards)
    out = capsys.readouterr().out
    assert "Try one, in 'a b/c':\n" in out
    assert "tokenswarm dashboards push" in out


def test_a_second_time_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is missing is written again."""
    cli.main(["init"])
    stamps = {path: path.stat().st_mtime_ns for path in here.rglob("*.py")}
    (here / "locustfiles" / "vllm.py").unlink()
    capsys.readouterr()
    assert cli.main(["init"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [
        "locustfiles/vllm.py",
        f"{len(OURS) - 1} of {len(OURS)} files were there already, unchanged",
    ]
    assert held(here) == OURS
    again = {path: path.stat().st_mtime_ns for path in here.rglob("*.py")}
    assert [path.name for path in stamps if stamps[path] != again[path]] == ["vllm.py"]


def test_what_somebody_changed_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files that differ are named, exit code 2, and no file is written: not even one that would be new."""
    mine = {"locustfiles/openai.py": b"# mine\n", "locustfiles/own.py": b"", "locustfiles/notes.txt": b"n"}
    (here / "locustfiles").mkdir()
    for name, content in mine.items():
        (here / name).write_bytes(content)
    assert cli.main(["init"]) == 2
    said = capsys.readouterr()
    assert said.err == (
        "tokenswarm init: error: nothing written, for these are there and differ: locustfiles/openai.py, "
        "locustfiles/own.py; give another DIR, or --force to lose what was changed in them\n"
    )
    assert said.out == ""
    assert held(here) == mine
    assert cli.main(["init", "--force"]) == 0
    assert held(here) == OURS | {"locustfiles/notes.txt": b"n"}


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        ("file", "DIR 'file' is no folder: give one, or a name that is free"),
        ("file/sub", "file/sub/locustfiles: cannot be written (Not a directory); give a DIR of yours"),
        ("taken", "in the way, and no file: taken/locustfiles/tgi.py; move it, or give another DIR"),
    ],
)
def test_a_place_that_will_not_do(
    here: Path, capsys: pytest.CaptureFixture[str], directory: str, said: str
) -> None:
    """Exit code 2 and one line that names it, with --force too; nothing is written."""
    (here / "file").write_text("x", encoding="utf-8")
    (here / "taken" / "locustfiles" / "tgi.py").mkdir(parents=True)
    for more in ([], ["--force"]):
        assert cli.main(["init", directory, *more]) == 2
        assert capsys.readouterr().err == f"tokenswarm init: error: {said}\n"
    assert held(here) == {"file": b"x"}


def test_a_full_disk_is_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the disk says, the file, and the way out."""

    def full(path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "write", full)
    assert cli.main(["init"]) == 2
    assert capsys.readouterr().err == (
        "tokenswarm init: error: locustfiles/demo.py: cannot be written (No space left on device); give a DIR of yours\n"
    )
    assert held(here) == {}


def test_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the package first, as in a wheel; else beside it, as in a checkout; else that is said."""
    package = tmp_path / "harness"
    monkeypatch.setattr(shipped, "PACKAGE", package)
    with pytest.raises(ConfigError, match=r"no folder .*harness/locustfiles or .*; install it anew"):
        shipped.folder(shipped.LOCUSTFILES)
    for place in (tmp_path / "locustfiles", package / "locustfiles"):
        place.mkdir(parents=True)
        assert shipped.folder(shipped.LOCUSTFILES) == place
    with pytest.raises(ConfigError, match=r"no .*/harness/locustfiles/openai.py: tokenswarm is incomplete"):
        shipped.locustfile("openai.py")


def test_a_locustfile_for_every_kind_of_server() -> None:
    """What a user would look for."""
    assert set(OURS) >= {
        f"locustfiles/{name}.py"
        for name in ("openai", "vllm", "llamacpp", "tgi", "sambanova", "sambastudio", "maritaca", "maritalk")
    } | {"locustfiles/generic.py", "locustfiles/own.py"}
