"""The pages for those who come from another tool: our side of them is held against the code.

Of each docs/migrating-*.md: every command of ours is read by the parser that a run uses, and planned; the first is run, small,
against the simulator that its block names; every option and figure that is said to be here exists. Other tools' commands stand in
```console blocks, which nothing runs; what is said of those tools is true of the version that the page names, and not tested.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from fixtures_tokenizer import gpt2_folder  # noqa: F401
from locust_runs import LOCUSTFILES, ROOT, Result, run, simulator
from test_docs import HEALTH, PACE, Example, code, examples
from test_docs import READER as BACKENDS_OF
from test_load_models_doc import READER as PLANS_OF

from harness import cli
from harness.backends import BACKENDS
from harness.export import NAMES
from harness.option_table import OPTIONS, variable
from harness.rows import COLUMNS
from harness.servers.process import Server

PAGES: Final = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("migrating*.md"))
}
TOOLS: Final = [name for name in PAGES if name != "migrating"]
NUMBERS: Final = "Your numbers"  # the heading of what figures are called here
EXPORTED: Final = {
    "llmperf": "llmperf/*/*_summary.json",
    "sambanova": "sambanova/*_summary.json",
    "maritaca": "benchmark.csv",
}
VARIABLES: Final = {
    *(variable(name) for name, *_ in OPTIONS),
    *(name for modes in BACKENDS.values() for backend in modes for name in backend.key_variables),
    *("TOKENSWARM_API_KEY", "TOKENSWARM_API_KEY_FILE", "TOKENSWARM_BACKEND"),
}  # fmt: skip
# What makes a command small; an option that it does not have is not given.
SMALL: Final = {
    "--levels": "1,2", "--rates": "20", "--arrivals": "poisson:20", "--max-concurrency": "2",
    "--prompt-levels": "40,80", "--output-levels": "4,8", "--prompt-tokens": "60", "--output-tokens": "8",
    "--requests-per-level": "4", "--seconds-per-level": "1s", "--repeats": "2", "--max-requests": "6",
    "-u": "2", "-r": "2", "-t": "2s", "--users": "2", "--spawn-rate": "2", "--run-time": "2s",
}  # fmt: skip
# Of the parser that reads a run's options, after the plans: all that it knows.
_KNOWN: Final = "\nprint(json.dumps(sorted(get_parser()._option_string_actions)))"


@dataclass(frozen=True)
class Row:
    """A row of a table whose first two columns are what is theirs and what it is here."""

    section: str
    table: int  # of the page
    theirs: str
    here: str

    @property
    def spans(self) -> list[str]:
        """What stands between backquotes of our side."""
        return code(self.here)


def rows_of(page: str) -> Iterator[Row]:
    """Every row of such tables."""
    section, table, inside = "", 0, False
    for line in PAGES[page].splitlines():
        if heading := re.match(r"#+ (.+)$", line):
            section = heading[1]
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not inside:
            inside, ours = True, cells[0].split(",")[0] == "theirs" and cells[1] == "here"
            table += 1
        elif ours and not set(cells[0]) <= set("-: "):
            assert len(cells) >= 2, (page, line)
            yield Row(section, table, cells[0], cells[1])


def commands(page: str) -> list[Example]:
    """Those that are ours."""
    return list(examples(PAGES[page]))


LOCUST: Final = [(page, one) for page in TOOLS for one in commands(page) if one.words[0] == "locust"]
FIRST: Final = {
    page: next((one for name, one in LOCUST if name == page and one.stand_in), None) for page in TOOLS
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one for each page, in which its files are."""
    found = tmp_path_factory.mktemp("pages")
    for page, text in PAGES.items():
        (found / page).mkdir()
        for name, body in _files(text):
            (found / page / name).write_text(body, encoding="utf-8")
    return found


def _files(text: str) -> list[tuple[str, str]]:
    """A block under a line that is a file's name and a colon is that file."""
    return re.findall(r"^`([\w.-]+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _read(script: str, cases: list[Any], folder: Path) -> list[Any]:
    """The lines that a process prints which reads commands as a run does. Locust patches who imports it, so not here."""
    clean = {
        name: value for name, value in os.environ.items() if "TOKENSWARM" not in name and "LOCUST" not in name
    }
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(cases), capture_output=True, text=True, check=False, cwd=folder, env=clean
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _words(page: str, example: Example, folder: Path) -> list[str]:
    """Without `locust`; the locustfile, and files that the page has made, by their whole paths."""
    path = ROOT / example.given("-f")
    words = list((example.replaced("-f", str(path)) if path.exists() else example).words[1:])
    for name, _ in _files(PAGES[page]):
        words = [
            re.sub(rf"(?<![\w./-]){re.escape(name)}\b", str(folder / page / name), word) for word in words
        ]
    return words


@pytest.fixture(scope="module")
def read(folder: Path) -> tuple[list[Any], list[str]]:
    """What each command would hold, or what is wrong with it; and every option that a run knows."""
    plans, known = _read(PLANS_OF + _KNOWN, [_words(page, one, folder) for page, one in LOCUST], folder)
    return plans, known


def test_every_command_is_planned(read: tuple[list[Any], list[str]]) -> None:
    """None is refused: options, values, files, and what contradicts each other."""
    plans, _ = read
    refused = [
        (page, one.line, plan)
        for (page, one), plan in zip(LOCUST, plans, strict=True)
        if isinstance(plan, str)
    ]
    assert refused == []
    assert {page for page, _ in LOCUST} == set(TOOLS)


def test_every_backend_can_do_what_it_is_told(folder: Path) -> None:
    """Mode, stream and options of the locustfile's backend; no word is left over."""
    (outcomes,) = _read(
        BACKENDS_OF, [[dict(one.environment), _words(page, one, folder)] for page, one in LOCUST], folder
    )
    for (page, one), outcome in zip(LOCUST, outcomes, strict=True):
        assert isinstance(outcome, list), (page, one.line, outcome)
        assert outcome, (page, one.line)
        assert [word for word in outcome if isinstance(word, str)] == [], (page, one.line)


def test_other_commands_are_ours_and_understood() -> None:
    """What is no `locust` is a `tokenswarm`; anybody else's command stands in a block that is not run."""
    for page in PAGES:
        for one in commands(page):
            assert one.words[0] in {"locust", "tokenswarm"}, (page, one.line, one.words)
            if one.words[0] == "tokenswarm":
                cli._parser().parse_args(one.words[1:])


def test_their_commands_stand_beside_ours() -> None:
    """In the section *The same run here*, and the version of theirs that was read is named."""
    for page in TOOLS:
        begin = PAGES[page].index("The same run here\n")
        section = PAGES[page][begin : PAGES[page].index(f" {NUMBERS}\n", begin)]
        assert re.search(r"^```(console|text)\n", section, re.MULTILINE), page
        assert re.search(r"\b[0-9a-f]{7,40}\b|\b\d+\.\d+\.\d+\b", PAGES[page]), page


def test_the_index_names_every_page() -> None:
    """And every page is in it."""
    assert set(re.findall(r"\]\((migrating-[\w-]+)\.md\)", PAGES["migrating"])) >= set(TOOLS)


@pytest.mark.parametrize("page", TOOLS)
def test_no_option_of_theirs_is_told_of_twice(page: str) -> None:
    """Of one table: two rows for one option would contradict each other, or one of them be forgotten."""
    seen: set[tuple[int, str]] = set()  # of what is no option the whole cell
    for row in rows_of(page):
        assert row.here, (page, row.theirs)
        if NUMBERS in row.section:
            continue
        flags = code(
            re.split(" (?:of|with) ", row.theirs)[0]
        )  # `confidence` of `--metrics` is no second `--metrics`
        for span in [word for word in flags if word.startswith("-")] or [row.theirs]:
            assert (row.table, span) not in seen, (page, span)
            seen.add((row.table, span))
    assert len(seen) >= 6, page


@pytest.mark.parametrize("page", TOOLS)
def test_every_option_that_is_said_to_be_here_is(page: str, read: tuple[list[Any], list[str]]) -> None:
    """Locust's or ours, a command, a locustfile or a variable; a cell without any says that there is none."""
    _, known = read
    for row in rows_of(page):
        if NUMBERS in row.section:
            continue
        if not row.spans:
            assert row.here.startswith(("none", "always")), (page, row.theirs, row.here)
        for span in row.spans:
            words = shlex.split(span)
            if words[0] == "tokenswarm":
                _is_command(words[1])
            elif words[0].startswith("-"):
                unknown = [word for word in words if re.match(r"--?[a-z]", word) and word not in known]
                assert unknown == [], (page, row.theirs, span)
                given = dict(pairwise(words))
                if "-f" in given:
                    assert (ROOT / given["-f"]).is_file(), span
                if "--export" in given:
                    assert set(given["--export"].split(",")) <= {*NAMES, "NAMES"}, span
            elif re.fullmatch(r"[A-Z][A-Z_]+", span):
                assert span in VARIABLES, (page, row.theirs, span)
            else:
                assert (LOCUSTFILES / Path(span).name).is_file(), (page, row.theirs, span)


def _is_command(name: str) -> None:
    """One of `tokenswarm`'s."""
    choices = next(iter(cli._parser()._subparsers._group_actions)).choices  # type: ignore[union-attr]
    assert choices is not None
    assert name in choices


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory,
    folder: Path,
    gpt2_folder: Path,  # noqa: F811
) -> Iterator[dict[str, Future[Result]]]:
    """The first command of each page, small, two at a time; most of a run is the start of Python."""
    with ExitStack() as stack:
        # Started here, not by the threads: a simulator ends with the thread that started it.
        urls = {
            asked: stack.enter_context(_stand_in(asked)).url
            for asked in {one.stand_in for one in FIRST.values() if one}
        }
        small = {
            page: _smaller(one, urls[one.stand_in], gpt2_folder)
            for page, one in FIRST.items()
            if one is not None
        }
        with ThreadPoolExecutor(2) as pool:
            yield {
                page: pool.submit(
                    _run, _words(page, one, folder), one.environment, tmp_path_factory.mktemp(page)
                )
                for page, one in small.items()
            }


def _stand_in(asked: tuple[str, ...] | None) -> AbstractContextManager[Server]:
    """The simulator that a block names, at a port of its own and at a quick pace."""
    options = list(asked or ())
    if "--port" in options:
        del options[options.index("--port") : options.index("--port") + 2]
    speaks = options[options.index("--speak") + 1] if "--speak" in options else "openai"
    return simulator(*options, *PACE, health=HEALTH.get(speaks, "/health"))


def _smaller(example: Example, url: str, tokenizer: Path) -> Example:
    """It as it stands, but for address, tokenizer and size."""
    for option, value in {**SMALL, "--host": url, "--tokenizer": str(tokenizer)}.items():
        # A process that is named without its rate stays so: the rate is another option's.
        if (given := example.given(option)) and (option != "--arrivals" or ":" in given):
            example = example.replaced(option, value)
    return example


def _run(words: list[str], environment: Mapping[str, str], place: Path) -> Result:
    at = words.index("-f")
    rest = [*words[:at], *words[at + 2 :]]
    return run(words[at + 1], place / "r", *rest, env={"HF_HUB_OFFLINE": "1", **environment})


@pytest.mark.parametrize("page", TOOLS)
def test_the_first_command_of_the_page_runs(results: dict[str, Future[Result]], page: str) -> None:
    """Every request succeeds, all are accounted for, and the files that it promises are there."""
    example = FIRST[page]
    assert example is not None, f"{page} has no command whose block begins with a stand-in"
    done = results[page].result(timeout=180)
    assert done.code in {0, 3}, done.err  # 3: the page's service levels are not meant for the simulator
    summary = done.summary
    assert summary["complete"]
    assert summary["totals"]["succeeded"] == summary["totals"]["offered"] == len(done.requests) >= 2
    for name in filter(None, example.given("--export").split(",")):
        assert list(done.directory.glob(EXPORTED[name])), name


def _names(value: object) -> Iterator[str]:
    """Every key below."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from _names(below)
    elif isinstance(value, list):
        for one in value:
            yield from _names(one)


@pytest.fixture(scope="module")
def stored(results: dict[str, Future[Result]]) -> set[str]:
    """Every name in the summaries of these runs, of which one has service levels, and every column of a request."""
    return {*COLUMNS}.union(*(_names(one.result(timeout=180).summary) for one in results.values()))


@pytest.mark.parametrize("page", TOOLS)
def test_every_figure_that_is_said_to_be_here_is(stored: set[str], page: str) -> None:
    """In summary.json, as a real run writes it, and told of in docs/metrics.md; or a column of requests.parquet."""
    told = set(re.findall(r"\w+", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))
    figures = [(row, span) for row in rows_of(page) if NUMBERS in row.section for span in row.spans]
    assert len(figures) >= 8, page
    for row, span in figures:
        if span.startswith("-"):
            continue
        parts = span.split(".")
        assert [part for part in parts if part not in stored] == [], (page, row.theirs, span)
        assert parts[0] in told or parts[0] in COLUMNS, (page, row.theirs, span)
    for row in rows_of(page):
        if NUMBERS in row.section and not row.spans:
            assert row.here.startswith("none"), (page, row.theirs, row.here)
