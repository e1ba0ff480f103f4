"""The wheel: what is in it, what it says of itself, and that it works where there is no checkout.

It is built without a network and installed into an environment of its own, which sees the packages of this one.
"""

import ast
import email.message
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from locust_runs import ROOT, simulator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_deploy import commands, complaints

from harness import cli

PYPROJECT: Final[Mapping[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: Final[Mapping[str, Any]] = PYPROJECT["project"]
EXTRAS: Final[Mapping[str, list[str]]] = PROJECT["optional-dependencies"]
INSTALLING: Final = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
NAME: Final = f"tokenswarm-{PROJECT['version']}"
SOURCES: Final = ("harness", "locustfiles", "dashboards")


def files(*folders: str) -> set[str]:
    """What belongs to the project below these: what git has or would take."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *folders],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}


def built(source: Path, kind: str, out: Path) -> Path:
    """The package, from a source tree, by the build backend as it is installed here."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive."""
    return built(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return built(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    """What the wheel says of itself."""
    return BytesParser().parsebytes(zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/METADATA"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every module, page and profile; every locustfile and dashboard inside the package; no tests, no benches."""
    inside = {name if name.startswith("harness/") else f"harness/{name}" for name in files(*SOURCES)}
    said = {
        f"{NAME}.dist-info/{one}"
        for one in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }
    assert set(zipfile.ZipFile(wheel).namelist()) == inside | said
    assert inside >= {
        "harness/py.typed", "harness/web/static/tokens.js", "harness/simulator/profiles/llamacpp.toml",
        "harness/locustfiles/openai.py", "harness/locustfiles/own.py", "harness/dashboards/live-run.json",
        "harness/dashboards/provisioning/datasources/influxdb.yaml",
    }  # fmt: skip


def test_the_source_archive_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """Byte for byte; and it holds no tests, results or caches."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path / "source", filter="data")
    beside = {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert names == files(*SOURCES, "docs") | beside
    again = built(tmp_path / "source" / NAME, "wheel", tmp_path / "out")
    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())


def test_what_it_says_of_itself(metadata: email.message.Message) -> None:
    """Name, version, licence, types, Pythons, extras; a command."""
    assert (metadata["Name"], metadata["Version"]) == ("tokenswarm", PROJECT["version"])
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers
    pythons = [one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert metadata.get_all("Provides-Extra") == sorted(EXTRAS)
    assert PROJECT["scripts"] == {"tokenswarm": "harness.__main__:main"}


def test_its_description_has_no_dead_link(metadata: email.message.Message) -> None:
    """The README, but for links and pictures that lead to files beside it; their words stay."""
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = str(metadata.get_payload())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = r"\]\((?!https?:|#)[^)]*\)"
    assert re.search(links, readme)
    assert re.findall(links, text) == []
    assert re.findall(r"\]\(https?:[^)]*\)", text) == re.findall(r"\]\(https?:[^)]*\)", readme)
    assert text.startswith("# tokenswarm\n")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in readme.splitlines() if line.startswith("#")
    ]
    assert "docs/metrics.md" in text


def _locked(name: str) -> dict[str, set[str]]:
    """Package to versions of a lock file."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", text, re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("runtime", [*PROJECT["dependencies"], *PYPROJECT["dependency-groups"]["build"]]),
        *((extra, needs) for extra, needs in EXTRAS.items()),
        ("dev", PYPROJECT["dependency-groups"]["dev"]),
    ],
    ids=["runtime", *EXTRAS, "dev"],
)
def test_the_locks_hold_what_is_asked_for(lock: str, asked: Sequence[str]) -> None:
    """Each requirement, at a version that its bounds allow; the lock of an extra has the extras it builds on too."""
    versions = _locked(lock)
    for text in asked:
        one = Requirement(text)
        if one.name == PROJECT["name"]:
            test_the_locks_hold_what_is_asked_for(
                lock, [need for extra in one.extras for need in EXTRAS[extra]]
            )
            continue
        held = versions[canonicalize_name(one.name)]
        assert all(one.specifier.contains(version) for version in held), text
    assert PYPROJECT["build-system"]["requires"] == PYPROJECT["dependency-groups"]["build"][:2]


def test_every_extra_that_is_named_is_one() -> None:
    """In what the code says to somebody who lacks a package, and in the documents; the page of installing has all."""
    said = {
        path: path.read_text(encoding="utf-8") for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    }
    named = {extra for text in said.values() for extra in re.findall(r"(?:tokenswarm|\.whl)\[(\w+)\]", text)}
    code = ast.parse((ROOT / "harness" / "servers" / "llamacpp.py").read_bytes())
    lacking = [
        call.args[2]
        for call in ast.walk(code)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("_require", "_missing")
    ]
    named |= {one.value for one in lacking if isinstance(one, ast.Constant)}
    assert len(lacking) >= 3
    assert named == set(EXTRAS) == set(re.findall(r"^\| `(\w+)` \|", INSTALLING, re.MULTILINE))


@pytest.mark.parametrize("word", ["--help", "--version", "init --help"])
def test_the_command_reads_little(word: str) -> None:
    """Of all packages only what reads and writes JSON: no Locust, gevent, pandas, numpy, transformers, plotly."""
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom harness.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert end.code == 0\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *word.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "['harness', 'orjson']\n"


# --- installed


class Installed:
    """The wheel in an environment of its own, and an empty folder to be in."""

    def __init__(self, top: Path, wheel: Path) -> None:
        """Make it: our package is the wheel's, all others are those of this environment."""
        self.python, self.folder = top / "venv" / "bin" / "python", top / "empty"
        self.folder.mkdir()
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", str(top / "venv")], check=True, timeout=60
        )
        self._run([sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check",
                   "install", "--quiet", "--no-deps", "--no-index", str(wheel)])  # fmt: skip
        (self.packages,) = (top / "venv" / "lib").glob("python*/site-packages")
        (self.packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not re.search("PYTHONPATH|API_KEY|LOCUST|TOKENSWARM_|_proxy$|_PROXY$", name)
        }
        return subprocess.run(
            command, cwd=self.folder, env=clean, capture_output=True, text=True, check=False, timeout=120,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def tokenswarm(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command that the wheel installs."""
        return self._run([str(self.python.with_name("tokenswarm")), *words])

    def locust(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Locust, of that environment."""
        return self._run([str(self.python), "-m", "locust", *words])

    def code(self, text: str) -> str:
        """What a piece of Python prints there."""
        done = self._run([str(self.python), "-c", text])
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Once for all that follow."""
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    """Not this checkout; the version is the wheel's, and every subcommand has its help."""
    assert installed.code("import harness; print(harness.__file__)") == str(
        installed.packages / "harness/__init__.py"
    )
    assert installed.tokenswarm("--version").stdout == f"tokenswarm {PROJECT['version']}\n"
    helped = installed.code(
        "from harness import cli\n"
        "for name in cli._parser()._subparsers._group_actions[0].choices:\n"
        "    try: cli.main([name, '--help'])\n"
        "    except SystemExit as end: print(f'exit {end.code} {name}')"
    )
    ended = re.findall(r"^exit (\d) (\S+)$", helped, re.MULTILINE)
    assert {code for code, _ in ended} == {"0"}
    assert {name for _, name in ended} >= {"init", "demo", "simulate", "report", "dashboards", "campaign"}


def test_the_demonstration(installed: Installed) -> None:
    """From an empty folder, with the locustfile on board; the results have a report."""
    done = installed.tokenswarm("demo", "--levels", "2", "--requests-per-level", "8")
    assert done.returncode == 0, done.stderr
    assert f"locust -f {installed.packages}/harness/locustfiles/demo.py" in done.stdout
    assert str(ROOT) not in done.stdout + done.stderr
    (run,) = (installed.folder / "results").iterdir()
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert installed.tokenswarm("report", str(run)).returncode == 0
    assert len((run / "report.html").read_bytes()) == pytest.approx(len(page), rel=0.01)


def test_starters_make_load(installed: Installed) -> None:
    """What `init` writes is what the wheel holds, and runs as it says."""
    assert installed.tokenswarm("init", "mine", "--with-dashboards").returncode == 0
    mine = installed.folder / "mine"
    written = {path.relative_to(mine).as_posix() for path in mine.rglob("*") if path.is_file()}
    assert written == files("locustfiles", "dashboards")
    with simulator("--slots", "4") as server:
        done = installed.locust(
            "-f", "mine/locustfiles/own.py", "--host", server.url, "--headless", "--levels", "2",
            "--requests-per-level", "40", "--results-dir", "own",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (installed.folder / "own").iterdir()
    rows = pd.read_parquet(run / "requests.parquet")
    assert (rows.outcome == "ok").all()
    assert len(rows) == 40
    assert {"question", "follow-up"} <= set(rows.name) <= {"question", "follow-up", "summary"}


def test_files_of_ours_are_found(installed: Installed) -> None:
    """By a campaign, by the published experiments, and the dashboards written are those on board."""
    file = installed.folder / "c.toml"
    file.write_text(
        '[campaign]\nname = "c"\nlocustfile = "vllm.py"\n[[target]]\nname = "a"\nhost = "http://127.0.0.1:1"\n',
        encoding="utf-8",
    )
    shipped = f"{installed.packages}/harness/locustfiles"
    asked = "from pathlib import Path; from harness.campaign.file import read; "
    assert installed.code(f"{asked}print(read(Path('c.toml')).targets[0].locustfile)") == f"{shipped}/vllm.py"
    asked = "from harness.reproduce.sweeps import *; from harness.simulator.profile import load; "
    sweep = f"{asked}print(sweep_of(load('tgi-fp16'), Path('x')).command('u')[4], TOKENIZER.is_dir())"
    assert installed.code(sweep) == f"{shipped}/tgi.py True"
    assert installed.tokenswarm("dashboards", "write", "written").returncode == 0
    for path in (installed.packages / "harness" / "dashboards").rglob("*.*"):
        written = (
            installed.folder / "written" / path.relative_to(installed.packages / "harness" / "dashboards")
        )
        assert written.read_bytes() == path.read_bytes()


# --- docs/installing.md


def test_the_page_of_installing_is_true() -> None:
    """Its commands are understood; its extras and its Pythons are the package's."""
    said = list(commands(INSTALLING))
    for words in said:
        if words[0] == "tokenswarm" and words[1] not in ("--version", "--help"):
            cli._parser().parse_args([word for word in words[1:] if word != "&"])
    loads = [words for words in said if words[0] == "locust"]
    assert complaints([({}, str(ROOT / words[words.index("-f") + 1]), words[1:]) for words in loads]) == []
    assert len(loads) >= 1
    pythons = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert re.findall(r"\b3\.1\d\b", INSTALLING.partition(" wheel ")[0]) == pythons


# --- docs/licences.md


def _licences(name: str = "licences") -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "requirements" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look
    spec.loader.exec_module(module)
    return module


def test_the_list_of_licences_is_current() -> None:
    """Every package of the locks, with what it says of itself; nothing binds, but the weights that are asked for by name."""
    licences = _licences()
    assert licences.main(["--check"]) == 0
    tables = licences.read()
    assert {one.name for one in tables["runtime"]} <= set(_locked("runtime"))
    assert {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]} <= {
        one.name for one in tables["runtime"]
    }
    assert {one.licence for one in tables["gemma"]} == licences.BINDING
    assert {one.name for one in tables["llamacpp"]} == {"xllamacpp", "gguf"}


@pytest.mark.parametrize(
    ("licence", "table", "said"),
    [
        ("GPL-3.0-or-later", "runtime", "p 1: GPL-3.0-or-later is in no list"),
        ("MIT AND AGPL-3.0-only", "llamacpp", "p 1: AGPL-3.0-only is in no list"),
        ("Gemma terms of use", "runtime", "p 1: Gemma terms of use is in no list"),
        ("", "gemma", "p 1 names no licence: read it, and put it into DECIDED"),
        ("MIT AND (Apache-2.0 OR BSD-2-Clause)", "runtime", None),
    ],
)
def test_a_licence_that_binds_is_found(licence: str, table: str, said: str | None) -> None:
    """Copyleft, alone or with others, terms of use where nobody asked for them, and nothing at all."""
    licences = _licences()
    found = list(licences.problems({table: [licences.Package("p", "1", licence)]}))
    assert len(found) == (said is not None)
    assert all(one.startswith(said or "") for one in found)


def test_packages_of_other_systems_are_not_listed() -> None:
    """By the lock's own markers; a Mac's are."""
    lock = (
        "a==1 \\\n    --hash=sha256:0\nb==2 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n"
        "c==3 ; sys_platform == 'darwin' and python_full_version < '3.12' \\\n    --hash=sha256:0\n"
    )
    assert list(_licences().pinned(lock)) == [("a", "1"), ("c", "3")]
