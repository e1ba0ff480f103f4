"""The documents say what the code does: their commands run, their tables are the table of backends.

An example is an ```sh block. One whose first line is `# stand-in: tokenswarm simulate ...` is run as it stands against that
simulator, behind a key: only its address, its tokenizer and the size of its load are replaced. Every other is read by the
parser that a user's would be read by.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import pytest
from fixtures_tokenizer import gpt2_folder  # noqa: F401
from locust_runs import LOCUSTFILES, ROOT, Result, run, simulator

from harness import cli
from harness.backends import BACKENDS
from harness.backends.base import Backend
from harness.option_table import OPTIONS
from harness.servers.kinds import KINDS
from harness.simulator.faults import Kind
from harness.simulator.options import add_options, read_settings
from harness.simulator.speech import SPEECHES

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
BACKENDS_MD: Final = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
# What is told of real servers is a report of what was typed then.
GUIDE: Final = BACKENDS_MD.partition("\n## Seen with real servers\n")[0]
STAND_IN: Final = "# stand-in: "
PACE: Final = (
    "--prefill-rate", "20000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--mean-output-tokens", "200",
)  # fmt: skip
SIZES: Final = ("--prompt-tokens", "40", "--output-tokens", "8")
SWEEP: Final = ("--levels", "2", "--requests-per-level", "6", "--repeats", "1", "--warmup", "0")
# Locust's time begins before its users do, on a busy machine by seconds.
TIMED: Final = ("-u", "2", "-r", "2", "-t", "3s")
HEALTH: Final = {
    "maritalk": "/",
    "maritalk-2023": "/",
    "maritaca": "/api/models",
    "sambanova": "/v1/models",
    "sambastudio": "/api/predict/generic/P/E",
}
KEY: Final = "the-right-key"

# Locust patches the process that imports it, so its parser runs in one of its own: commands in, outcomes out.
READER: Final = """
import importlib.util, json, os, sys
from locust import events
from locust.argument_parser import get_parser
from harness import backend_choice, options
from harness.users import LLMUser

outcomes = []
for environment, arguments in json.load(sys.stdin):
    os.environ.update(environment)
    try:
        parsed, unknown = get_parser().parse_known_args(arguments)
        spec = importlib.util.spec_from_file_location("locustfile", parsed.locustfile)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        classes = {name: it for name, it in vars(module).items() if isinstance(it, type) and issubclass(it, LLMUser)}
        del classes["LLMUser"]
        settings = options.read(parsed, None)
        chosen = [backend_choice.choose(it.backend, it.api_mode, it.backend_options, settings) for it in classes.values()]
        asked = [name for name in unknown if name not in classes]
        outcomes.append([[backend.name, backend.mode, backend.stream] for backend, _ in chosen] + asked)
    except Exception as error:
        outcomes.append(str(error))
    for name in environment:
        del os.environ[name]
print(json.dumps(outcomes))
"""


@dataclass(frozen=True)
class Example:
    """One command of a document."""

    line: int
    stand_in: tuple[str, ...] | None  # what `tokenswarm simulate` is given
    environment: Mapping[str, str]
    words: tuple[str, ...]

    @property
    def title(self) -> str:
        """For pytest."""
        return f"line {self.line} {Path(self.given('-f')).stem}"

    def given(self, option: str) -> str:
        """The value of an option; "" if it is not given."""
        return next((self.words[at + 1] for at, word in enumerate(self.words) if word == option), "")

    @property
    def backend(self) -> str:
        """As the document means it; a locustfile is named after its backend."""
        return self.environment.get("TOKENSWARM_BACKEND", Path(self.given("-f")).stem)

    @property
    def streams(self) -> bool:
        """As the options say."""
        return self.given("--stream") != "no" and self.backend != "maritalk"

    def replaced(self, option: str, value: str) -> "Example":
        """With another value of an option that is given."""
        words = list(self.words)
        words[words.index(option) + 1] = value
        return Example(self.line, self.stand_in, self.environment, tuple(words))


def examples(text: str) -> Iterator[Example]:
    """Every command of the ```sh blocks."""
    for found in re.finditer(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        block = found[1].replace("\\\n", " ")
        stand_in = None
        for line in filter(None, map(str.strip, block.splitlines())):
            if line.startswith(STAND_IN):
                words = shlex.split(line.removeprefix(STAND_IN))
                assert words[:2] == ["tokenswarm", "simulate"], line
                stand_in = tuple(words[2:])
                continue
            words = shlex.split(line, comments=True)
            if not words:
                continue
            environment = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
            rest = tuple(word for word in words if word.partition("=")[0] not in environment)
            yield Example(text[: found.start()].count("\n") + 2, stand_in, environment, rest)


ALL: Final = [*examples(BACKENDS_MD), *examples(README)]
LOCUST: Final = [example for example in ALL if example.words[0] == "locust"]
RUNNABLE: Final = [example for example in LOCUST if example.stand_in]


def table(text: str, *heading: str) -> list[list[str]]:
    """The rows of the table whose first heading cells are these."""
    begin = text.index("| " + " | ".join(heading))
    lines = text[begin:].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def rows_of(text: str, *heading: str) -> dict[str, list[str]]:
    """The table's rows by the name that is in their first cell."""
    return {code(row[0])[0]: row for row in table(text, *heading) if code(row[0])}


def variables_in(cell: str) -> list[str]:
    """The variables that a cell names."""
    return [word for word in code(cell) if word.endswith("_KEY")]


def code(cell: str) -> list[str]:
    """What stands between backquotes."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What Locust's parser and ours make of each command: (backend, mode, stream) of its user classes."""
    cases = []
    (own,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    reader = tmp_path_factory.mktemp("own") / "reader.py"
    reader.write_text(own, encoding="utf-8")
    for example in LOCUST:
        given = example.given("-f")
        one = example.replaced("-f", str(reader if given == reader.name else ROOT / given))
        cases.append([dict(example.environment), list(one.words[1:])])
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "TOKENSWARM" not in name and "LOCUST" not in name},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_every_command_is_understood(outcomes: list[Any]) -> None:
    """Locust and tokenswarm know every option and value, and each backend can do what it is told."""
    assert len(outcomes) == len(LOCUST) >= 25
    for example, outcome in zip(LOCUST, outcomes, strict=True):
        named = example.environment.get("TOKENSWARM_BACKEND")
        assert isinstance(outcome, list), (example.title, outcome)
        assert [word for word in outcome if isinstance(word, str)] == [], example.title
        for backend, mode, stream in outcome:
            assert named is None or backend == named
            assert not example.given("--api-mode") or mode == example.given("--api-mode")
            assert stream == example.streams, example.title


def test_every_backend_is_shown_at_work(outcomes: list[Any]) -> None:
    """Each name has a command in the document that runs against a stand-in."""
    shown = {outcome[0][0] for example, outcome in zip(LOCUST, outcomes, strict=True) if example in RUNNABLE}
    assert shown == set(BACKENDS)


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[tuple[str, ...], str]]:
    """A simulator for each that the examples name, behind a key; its URL."""
    with ExitStack() as stack:
        urls = {}
        for asked in dict.fromkeys(example.stand_in or () for example in RUNNABLE):
            options = list(asked)
            del options[options.index("--port") : options.index("--port") + 2]
            speaks = options[options.index("--speak") + 1]
            server = simulator(
                *options, *PACE, "--api-key-env", "SIMULATED_KEY", health=HEALTH.get(speaks, "/health"),
                env={"SIMULATED_KEY": KEY},
            )  # fmt: skip
            urls[asked] = stack.enter_context(server).url
        yield urls


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    stand_ins: dict[tuple[str, ...], str],
    gpt2_folder: Path,  # noqa: F811
) -> Iterator[dict[int, Future[Result]]]:
    """The runs of the examples that were selected, two at a time; most of a run is the start of Python."""
    specs = [getattr(item, "callspec", None) for item in request.session.items if "test_docs" in item.nodeid]
    with ThreadPoolExecutor(2) as pool:
        yield {
            at: pool.submit(
                run,
                Path(example.given("-f")).name,
                tmp_path_factory.mktemp("docs") / "r",
                *_scaled(example, stand_ins[example.stand_in or ()], gpt2_folder),
                env={"HF_HUB_OFFLINE": "1", **example.environment, _key_variable(example): KEY},
            )
            for at, example in enumerate(RUNNABLE)
            if any(spec is not None and spec.params["at"] == at for spec in specs)
        }


def _scaled(example: Example, url: str, tokenizer: Path) -> list[str]:
    """The example's options, but for address, tokenizer and size."""
    path = urlsplit(example.given("--host")).path.replace("PROJECT", "P").replace("ENDPOINT", "E")
    options = [*example.replaced("--host", urlunsplit(urlsplit(url)._replace(path=path))).words[3:], *SIZES]
    options += SWEEP if example.given("--levels") else TIMED
    if example.given("--tokenizer"):
        options += ["--tokenizer", str(tokenizer)]
    if example.given("--prompt-ids"):
        options += ["--prompt-ids", "1000-1200"]  # the stand-in's vocabulary is small
    return options


def _key_variable(example: Example) -> str:
    """The last of the variables that the document names for the backend."""
    keys = rows_of(GUIDE, "backend", "key read from")
    own = variables_in(keys[example.backend][1]) if example.backend in keys else []
    return own[-1] if own else "TOKENSWARM_API_KEY"


@pytest.mark.parametrize(
    ("at", "example"), list(enumerate(RUNNABLE)), ids=[example.title for example in RUNNABLE]
)
def test_an_example_runs(results: dict[int, Future[Result]], at: int, example: Example) -> None:
    """Every request succeeds, is streamed as the options say, and is counted by whom the table says."""
    done = results[at].result(timeout=120)
    assert done.code == 0, done.err
    summary, requests = done.summary, done.requests
    assert summary["totals"]["succeeded"] == summary["totals"]["offered"] == len(requests) >= 2
    assert requests.ttft_ms.notna().all() == example.streams
    assert requests.ttft_ms.isna().all() != example.streams
    who_counts = rows_of(GUIDE, "backend", "`--api-mode`")[example.backend][4]
    by_tokenizer = (
        f"`{example.given('--api-mode')}` streams: tokenizer" in who_counts or who_counts == "tokenizer"
    )
    assert set(requests.token_source) == {"tokenizer" if by_tokenizer else "server"}
    if limit := example.given("--drop-answers-under"):
        assert summary["drop_answers_under"] == int(limit)
        assert [level["dropped_short"] for level in summary["levels"]] == [6]
    assert KEY not in done.out + done.err


def test_other_commands_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulators and servers: their parsers take the options and values, and make of them what is started."""
    monkeypatch.setenv("MARITALK_LICENSE", "a-licence")
    simulate = argparse.ArgumentParser()
    add_options(simulate)
    simulators = [example.stand_in for example in RUNNABLE if example.stand_in]
    simulators += [example.words[2:] for example in ALL if example.words[:2] == ("tokenswarm", "simulate")]
    for words in simulators:
        read_settings(simulate.parse_args(words))
    served = [example for example in ALL if example.words[:2] == ("tokenswarm", "serve-backend")]
    assert {example.words[2] for example in served} == set(KINDS)
    for example in served:
        args = _tokenswarm(example.words[1:])
        if args.kind != "llamacpp":  # which makes its model
            assert KINDS[args.kind].recipe(args).command
        if args.then:
            assert args.then.startswith("locust -f locustfiles/")
    serving = [example.given("--serve") for example in LOCUST if example.given("--serve")]
    assert [_tokenswarm(["serve-backend", *shlex.split(text)]).kind for text in serving] == ["llamacpp"]


def _tokenswarm(words: Sequence[str]) -> argparse.Namespace:
    return cli._parser().parse_args(words)


def test_the_table_of_backends_is_the_one_of_the_code() -> None:
    """Names, modes with the default first, streams, exact length, locustfiles."""
    rows = rows_of(GUIDE, "backend", "`--api-mode`")
    assert sorted(rows) == sorted(BACKENDS)
    for name, row in rows.items():
        modes = BACKENDS[name]
        assert code(row[1]) == [backend.mode for backend in modes], row[0]
        assert row[2] == _streams(modes), row[0]
        assert row[3].partition(" ")[0] == _forces(modes), row[0]
        for locustfile in code(row[7]):
            assert (LOCUSTFILES / locustfile).is_file(), locustfile


def _streams(modes: Sequence[Backend]) -> str:
    assert {backend.can_answer_whole for backend in modes} == {True}
    (can_stream,) = {backend.can_stream for backend in modes}
    return "both" if can_stream else "never"


def _forces(modes: Sequence[Backend]) -> str:
    (forces,) = {backend.forces_length for backend in modes}
    if forces is None:
        return {"openai": "where", "sambanova": "asked"}[modes[0].name]
    return "yes" if forces else "no"


def test_the_readme_has_every_backend() -> None:
    """Its modes, its locustfile, and every variable that its key is read from; those that are alike share a line."""
    rows = {name: row for row in table(README, "backend") for name in code(row[0])}
    assert sorted(rows) == sorted(BACKENDS)
    for name, modes in BACKENDS.items():
        assert code(rows[name][1]) == [backend.mode for backend in modes], name
        (locustfile, *_) = code(rows[name][2])
        text = (LOCUSTFILES / locustfile).read_text(encoding="utf-8")
        assert f'"{name}"' in text or (locustfile == "generic.py" and f"{name} (" in text) or name in text
        assert variables_in(rows[name][3]) == _variables(name), name


def _variables(name: str) -> list[str]:
    return list(dict.fromkeys(v for backend in BACKENDS[name] for v in backend.key_variables))


def test_the_keys_are_the_codes() -> None:
    """Variables, header and scheme of every backend; those that are not in the table have no variable of their own."""
    rows = rows_of(GUIDE, "backend", "key read from")
    for name, modes in BACKENDS.items():
        variables, sent = (
            (variables_in(rows[name][1]), rows[name][2])
            if name in rows
            else ([], "`Authorization: Bearer KEY`")
        )
        assert variables == _variables(name), name
        for backend in modes:
            assert f"`{': '.join(backend.credentials('KEY'))}`" in sent, (name, backend.mode)


def test_every_field_of_backend_option_is_listed() -> None:
    """And for which backends: the modes that have it are those that the footnote and the row name."""
    rows = rows_of(GUIDE, "field", "backends")
    settable = {field for modes in BACKENDS.values() for backend in modes for field in backend.settable}
    assert set(rows) == settable
    openai_style = {
        (backend.name, backend.mode)
        for modes in BACKENDS.values()
        for backend in modes
        if "length_fields" in backend.settable
    }
    whole = {name for name, modes in BACKENDS.items() if {(name, b.mode) for b in modes} <= openai_style}
    footnote = GUIDE[GUIDE.index("¹ All modes of") :].split("`length_fields`")[0]
    first, rest = footnote.split(";", 1)
    assert set(code(first)) == whole
    names = {name for name, _ in openai_style} - whole
    assert names == set(code(rest)) & set(BACKENDS) - {"openai"} | {"sambastudio"}
    for field, backends in (
        ("timing_unit", {"maritalk"}),
        ("tokens_per_message", {"maritaca"}),
        ("expert", {"sambastudio"}),
    ):
        assert (
            {name for name, modes in BACKENDS.items() for b in modes if field in b.settable}
            == backends
            == set(code(rows[field][1])) & set(BACKENDS)
        )


def test_what_is_asked_before_load_is_listed() -> None:
    """The routes of health and facts."""
    for row in table(GUIDE, "backend", "ready"):
        for name in code(row[0]):
            for backend in BACKENDS[name]:
                assert code(row[1])[:1] == ([backend.health] if backend.health else [])
                assert code(row[2]) == [*([backend.models] if backend.models else []), *backend.facts]
    listed = [name for row in table(GUIDE, "backend", "ready") for name in code(row[0])]
    assert sorted(listed) == sorted(BACKENDS)


def test_every_dialect_and_fault_of_the_simulator_is_listed() -> None:
    """`--speak` and `--fault`."""
    assert [name for row in table(GUIDE, "`--speak`") for name in code(row[0])] == list(SPEECHES)
    assert [code(row[0])[0] for row in table(GUIDE, "fault", "keys")] == list(Kind)
    kinds = [name for row in table(GUIDE, "kind", "starts") for name in code(row[0])]
    assert sorted(kinds) == sorted(KINDS)


def test_options_that_the_readme_lists_are_options() -> None:
    """All of them are in docs/options.md (tests/test_options_doc.py); the README has those that most runs need."""
    rows = table(README, "option")
    listed = [word.split()[0] for row in rows for word in code(row[0])]
    known = {f"--{name}" for name, *_ in OPTIONS} | {"--host", "--headless"}
    assert len(set(listed)) == len(listed) >= 8
    assert [word for word in listed if word.startswith("--") and word not in known] == []


OF_OTHERS: Final = {
    *("--parallel", "--metrics", "--api-key", "--enable-per-request-metrics", "--enable-prompt-tokens-details"),
    *("--max-num-queued-reqs", "--stream-interval", "--max-concurrent-requests", "--max-num-seqs"),
}  # fmt: skip


def test_no_option_is_named_that_is_none() -> None:
    """Every `--word` of the guide is Locust's, ours, one of our commands', or a server's own."""
    ours = {f"--{name}" for name, *_ in OPTIONS} | {"--host", "--headless"}
    simulate = argparse.ArgumentParser()
    add_options(simulate)
    ours |= set(simulate._option_string_actions)
    for kind in KINDS:
        ours |= set(re.findall(r"--[a-z-]+", _help("serve-backend", kind)))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", GUIDE))
    assert named - ours - OF_OTHERS == set()


def _help(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *words, "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def test_links_lead_somewhere() -> None:
    """Files that are linked to are there, and headings too."""
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            linked = (path.parent / file) if file else path
            assert linked.exists(), (path.name, target)
            if anchor:
                assert anchor in _anchors(linked.read_text(encoding="utf-8")), (path.name, target)


def _anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
