"""docs/adding-a-backend.md, done as it says, in a copy of the tree: the backend works, and the tables name what there is."""

import ast
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import pytest
from answers import sent
from locust_runs import ROOT, Result, run

from harness.backends import find
from harness.backends.base import Ask, Backend, Delta
from harness.backends.openai import OpenAI
from harness.servers.process import Server, free_port, running

DOC: Final = (ROOT / "docs" / "adding-a-backend.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"(?:^\*\*`(\S+)`\*\*\n\n)?^```(\w+)\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)
FILES: Final = {path: body for path, kind, body in BLOCKS if path and kind != "diff"}
DIFFS: Final = [(path, body) for path, kind, body in BLOCKS if path and kind == "diff"]
ADAPTER, TEST, LOCUSTFILE, FIXTURE, REPLAY = (
    "harness/backends/ollama.py",
    "tests/backends/test_ollama.py",
    "locustfiles/ollama.py",
    "tests/fixtures/ollama_generate.jsonl",
    "/tmp/replay.py",
)
SMALL: Final = ("--levels", "2", "--requests-per-level", "8", "--prompt-tokens", "26", "--output-tokens", "5")


class Copy(NamedTuple):
    """A copy of the tree in which the document has been followed."""

    root: Path

    def at(self, path: str) -> Path:
        """Where a file of the document is."""
        return self.root / path.lstrip("/")

    def python(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of Python's tools there."""
        return subprocess.run(
            [sys.executable, "-B", "-m", *command],
            cwd=self.root, env={"PYTHONPATH": str(self.root), "PATH": ""}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    def load(self, results: Path, url: str, *options: str) -> Result:
        """A Locust run with the document's locustfile."""
        options = ("--host", url, *SMALL, *options)
        return run(self.at(LOCUSTFILE), results, *options, env={"PYTHONPATH": str(self.root)})

    @contextmanager
    def replay(self, recording: Path | None = None) -> Iterator[Server]:
        """The document's stand-in for a server."""
        port = free_port()
        command = [sys.executable, str(self.at(REPLAY)), str(recording or self.at(FIXTURE)), str(port)]
        url = f"http://127.0.0.1:{port}"
        with running(command, url=url, health="/", name="the replay", deadline_s=30) as server:
            yield server


def patched(text: str, diff: str) -> str:
    """The text after a diff of one hunk, which has to fit in one place."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    assert text.count(before) == 1, f"the document's diff no longer fits:\n{diff}"
    return text.replace(before, after)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """What is in the tree, the files of the document, and its changes to others."""
    made = Copy(tmp_path_factory.mktemp("adding"))
    for folder in ("harness", "locustfiles"):
        shutil.copytree(ROOT / folder, made.root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (made.root / "tests").mkdir()
    # What conftest.py imports is among the helpers, which are all that is no test.
    helpers = [f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py") if not path.match("test_*")]
    for name in ("pyproject.toml", "tests/test_architecture.py", *helpers):
        shutil.copy(ROOT / name, made.root / name)
    for path, body in FILES.items():
        made.at(path).parent.mkdir(parents=True, exist_ok=True)
        made.at(path).write_text(body, encoding="utf-8")
    for path, diff in DIFFS:
        made.at(path).write_text(patched(made.at(path).read_text(encoding="utf-8"), diff), encoding="utf-8")
    return made


def test_the_document_has_its_files() -> None:
    """All of them new, and nothing changed but the two tables."""
    assert set(FILES) == {ADAPTER, TEST, LOCUSTFILE, FIXTURE, REPLAY}
    assert not [path for path in FILES if (ROOT / path).exists() and path != REPLAY]
    assert {path for path, _ in DIFFS} <= {"harness/backends/__init__.py", "tests/test_architecture.py"}


def test_the_adapter_is_small() -> None:
    """Under a hundred lines, and as many as the document says."""
    lines = len(FILES[ADAPTER].splitlines())
    assert lines < 100
    assert f"`/api/generate`, in {lines} lines" in DOC


def test_the_checks_pass(copy: Copy) -> None:
    """Its files are formatted and clean and typed, with this project's settings."""
    files = (ADAPTER, TEST, LOCUSTFILE)
    for command in (("ruff", "format", "--check"), ("ruff", "check", "--no-cache")):
        done = copy.python(*command, *files, "harness/backends/__init__.py")
        assert done.returncode == 0, done.stdout + done.stderr
    done = copy.python("mypy", "--cache-dir", "mypy", ADAPTER, "harness/backends/__init__.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_own_test_passes(copy: Copy) -> None:
    """And the core, whose list it is in, sees only the core."""
    for chosen in ((TEST,), ("tests/test_architecture.py", "-k", "core or budget and ollama")):
        done = copy.python("pytest", "-q", "-p", "no:cacheprovider", *chosen)
        assert done.returncode == 0, done.stdout
        assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout


def test_a_streamed_run(tmp_path: Path, copy: Copy) -> None:
    """Counts and finish reason are the server's, its ns are ms, and TTFT is the first line's 20 ms, not the last's 100."""
    with copy.replay() as server:
        done = copy.load(tmp_path / "r", server.url)
    assert done.code == 0, done.err
    rows = done.requests
    assert (len(rows), set(rows.outcome), set(rows.streamed)) == (8, {"ok"}, {True})
    assert set(zip(rows.prompt_tokens, rows.output_tokens, rows.chunks, strict=True)) == {(26, 5, 4)}
    assert (set(rows.finish_reason), set(rows.token_source)) == ({"length"}, {"server"})
    times = zip(rows.server_prefill_ms, rows.server_decode_ms, rows.server_e2e_ms, strict=True)
    assert set(times) == {(8.25, 80.125, 90.125)}
    assert rows.server_queue_ms.isna().all()
    assert 20 <= rows.ttft_ms.min() < 80
    assert 60 <= (rows.e2e_ms - rows.ttft_ms).median() < 300
    assert (rows.tpot_ms - (rows.e2e_ms - rows.ttft_ms) / 4).abs().max() < 0.001
    (reason,) = [why for why in done.summary["verdict"]["reasons"] if "events carry" in why]
    assert reason.removeprefix("level 2: ") in re.sub(r"\n *", " ", DOC)  # among what the document shows
    said = json.loads((done.directory / "run.json").read_bytes())["settings"]["users"]["Ollama"]
    assert (said["backend"], said["api_mode"], said["path"]) == ("ollama-native", "generate", "/api/generate")
    assert (said["server"]["model"], said["server"]["version"]) == ("gemma3:latest", "0.40.12")


def test_a_run_of_whole_answers(tmp_path: Path, copy: Copy) -> None:
    """The same counts and times, and no TTFT."""
    with copy.replay() as server:
        done = copy.load(tmp_path / "r", server.url, "--stream", "no")
    assert done.code == 0, done.err
    rows = done.requests
    assert (len(rows), set(rows.outcome), set(rows.streamed)) == (8, {"ok"}, {False})
    assert set(zip(rows.prompt_tokens, rows.output_tokens, rows.server_decode_ms, strict=True)) == {
        (26, 5, 80.125)
    }
    assert rows.ttft_ms.isna().all()
    assert rows.tpot_ms.isna().all()


def test_an_error_in_the_stream_is_told_before_load(tmp_path: Path, copy: Copy) -> None:
    """In the server's words; with exit 2."""
    recording = tmp_path / "broken.jsonl"
    begin = FILES[FIXTURE].splitlines(keepends=True)[:2]
    recording.write_text("".join(begin) + '{"error":"the runner has stopped"}\n', encoding="utf-8")
    with copy.replay(recording) as server:
        done = copy.load(tmp_path / "r", server.url)
    assert done.code == 2
    (line,) = done.errors
    assert "failed a trial request with stream_error (the runner has stopped)" in line


def test_a_wrong_unit_is_told_before_load(tmp_path: Path, copy: Copy) -> None:
    """In the words that the document's table has."""
    wrong = Copy(tmp_path / "wrong")
    shutil.copytree(copy.root, wrong.root, ignore=shutil.ignore_patterns("mypy", "__pycache__"))
    text = wrong.at(ADAPTER).read_text(encoding="utf-8")
    assert text.count("said / 1e6") == 1
    wrong.at(ADAPTER).write_text(text.replace("said / 1e6", "said"), encoding="utf-8")
    with wrong.replay() as server:
        done = wrong.load(tmp_path / "r", server.url)
    assert done.code == 2
    (line,) = done.errors
    words = "the server's times are in another unit: it says 9.0125e+07 ms of an answer that took "
    assert words in line
    assert words in DOC


# -- without code


def test_the_options_of_the_first_section() -> None:
    """Are the generic backend's, with their defaults, and do what is said."""
    (command,) = [body for path, kind, body in BLOCKS if "--backend-option" in body and kind == "sh"]
    options = dict(option.split("=", 1) for option in re.findall(r"--backend-option (\S+)", command))
    backend = find("openai", None).configured(options)
    assert backend.credentials("K") == ("x-api-key", "K")
    assert sent(backend, Ask("p", 9, exact_length=True))[1] == {
        "messages": [{"role": "user", "content": "p"}], "max_completion_tokens": 9, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    rows = table("`--backend-option`")
    assert {name for names, *_ in rows for name in names} == set(OpenAI.settable)
    plain: Any = OpenAI(mode="chat")
    words = {True: "yes", False: "no"}
    for names, (defaults, *_) in rows:
        values = [getattr(plain, name) for name in names]
        assert code(defaults) == [words.get(value, value) for value in values]


def test_the_options_of_the_locustfile_are_taken() -> None:
    """As an attribute of the user class."""
    (body,) = [body for path, kind, body in BLOCKS if not path and "class Gateway(LLMUser)" in body]
    (given,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(body))
        if isinstance(node, ast.AnnAssign) and node.value and "backend_options" in ast.unparse(node.target)
    ]
    assert find("openai", None).configured(given).credentials("K") == ("x-api-key", "K")


def test_the_subclass_is_such_a_backend() -> None:
    """With nothing but other defaults."""
    (body,) = [body for path, kind, body in BLOCKS if not path and "class Gateway(OpenAI)" in body]
    names: dict[str, Any] = {"OpenAI": OpenAI, "dataclass": dataclasses.dataclass, "ClassVar": ClassVar}
    names["__name__"] = __name__  # dataclasses look for their module
    exec(body, names)  # noqa: S102  it is ours
    gateway: Backend = names["Gateway"](mode="chat", templates=True)
    assert gateway.credentials("K") == ("x-api-key", "K")
    assert (gateway.name, gateway.key_variables) == ("gateway", ("GATEWAY_API_KEY",))
    assert sent(gateway, Ask("p", 9))[1]["max_completion_tokens"] == 9


# -- the tables


def code(cell: str) -> list[str]:
    """What stands in back-quotes."""
    return re.findall(r"`([^`]*)`", cell)


def table(first: str) -> list[tuple[list[str], list[str]]]:
    """The rows of the table whose first heading is that: the names in the first cell, and the other cells."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", DOC, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found.splitlines()]
    return [(code(row[0]), row[1:]) for row in rows]


def named(first: str) -> list[str]:
    """All names in the first column of a table."""
    return [name for names, _ in table(first) for name in names]


def test_every_field_of_a_backend_is_explained() -> None:
    """Once, with its default."""
    fields = {field.name: field.default for field in dataclasses.fields(Backend)}
    own = {"settable": tuple(Backend.settable), "key_variables": Backend.key_variables}
    assert sorted(named("field")) == sorted([*fields, *own])
    for (name,), (default, *_) in table("field"):
        said = (fields | own)[name]
        if name == "settable":
            assert code(default) == list(Backend.settable)
        elif said is dataclasses.MISSING:
            assert default == ""
        else:
            assert code(default) == [getattr(said, "name", said if isinstance(said, str) else repr(said))]


def test_every_method_of_a_backend_is_explained() -> None:
    """Those that must be written in the sentence before the table of those that may."""
    methods = {name for name in vars(Backend) if not name.startswith("_") and name not in named("field")}
    assert set(named("method")) == methods - Backend.__abstractmethods__ - {"configured"}
    (sentence,) = re.findall(r"^Methods: (.*?) are yours to write\.", DOC, re.MULTILINE)
    assert set(code(sentence)) == Backend.__abstractmethods__


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("`Delta`", list(Delta._fields)),
        ("`Ask`", [*(field.name for field in dataclasses.fields(Ask)), "words"]),
    ],
)
def test_everything_that_is_asked_and_said_is_explained(heading: str, names: Sequence[str]) -> None:
    """Each once."""
    assert sorted(named(heading)) == sorted(names)


def test_there_are_twelve_traps() -> None:
    """As the heading says."""
    traps = DOC.partition("## 8. Twelve traps")[2].partition("## 9.")[0]
    assert re.findall(r"^(\d+)\. \*\*", traps, re.MULTILINE) == [str(number) for number in range(1, 13)]
