"""docs/load-models.md says what the code does: its commands are read as a run reads them, two are run, its tables hold.

A block under a line that is a file's name and a colon is that file; commands find it where they are run.
"""

import json
import re
import statistics
import subprocess
import sys
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from locust_runs import ROOT, Result, run, simulator
from test_docs import Example, code, examples, table

from harness import arrivals, distributions, texts, think, traces
from harness.datasets.opening import open_dataset
from harness.errors import ConfigError
from harness.option_table import OPTIONS
from harness.templates import read as read_templates

GUIDE: Final = (ROOT / "docs" / "load-models.md").read_text(encoding="utf-8")
COMMANDS: Final = [example for example in examples(GUIDE) if example.words[0] == "locust"]
OF_LOAD: Final = {  # what this page has to tell of
    *("requests-per-level", "seconds-per-level", "repeats", "warmup", "cooldown", "refill", "levels", "rates"),
    *("arrivals", "max-concurrency", "speed-up", "prompt-levels", "output-levels", "search", "stop-when-saturated"),
    *("prompt-tokens", "output-tokens", "lengths", "mix", "text", "dataset", "dataset-order", "template"),
    *("shared-prefix", "bust-cache", "turns", "turn-tokens", "think-time", "prompt-ids", "cache-salt", "seed"),
    *("max-requests", "max-time", "max-tokens", "max-cost", "price-in", "price-out", "max-error-rate"),
    *("probe-every", "probe-tokens"),
}  # fmt: skip

# Locust patches the process that imports it: commands in, what would be held out.
READER: Final = """
import json, sys
from locust.argument_parser import get_parser
from harness import joint, options, planning, templates, users
from harness.timetable import Timetable

found = []
for words in json.load(sys.stdin):
    try:
        settings = options.read(get_parser().parse_args(words), None)
        timetable = Timetable.of(settings, lambda line: None)
        plan = planning.new_plan(settings, timetable)
        for part in settings.content.parts:
            part.lengths and joint.read(part.lengths)
        settings.content.lengths and joint.read(settings.content.lengths)
        settings.content.template and templates.read(settings.content.template)
        found.append([[one.point.title, one.repeat] for one in plan.segments])
    except (Exception, SystemExit) as error:
        found.append(f"{type(error).__name__}: {error}")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page."""
    found = tmp_path_factory.mktemp("page")
    for name, text in re.findall(r"^`([\w.-]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL):
        (found / name).write_text(text, encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def plans(folder: Path) -> list[Any]:
    """What each command would hold, or what is wrong with it."""
    cases = [list(example.replaced("-f", str(ROOT / example.given("-f"))).words[1:]) for example in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def test_every_command_is_understood(plans: list[Any]) -> None:
    """Options, values and files: none is refused, and each names the simulator of the page."""
    assert len(plans) == len(COMMANDS) > 20
    assert [said for said in plans if isinstance(said, str)] == []
    assert {example.given("--host") for example in COMMANDS} == {"http://127.0.0.1:9000"}


def test_commands_hold_what_the_page_says(plans: list[Any]) -> None:
    """Levels by their names; repeats after all levels; waves as many as are asked for."""
    held = dict(zip(map(_shape, COMMANDS), plans, strict=True))
    assert held["--rates 10,20,40 --repeats 2"] == [
        [f"{rate} req/s", repeat] for repeat in (1, 2) for rate in (10, 20, 40)
    ]
    assert held["--levels 1,2,4 --repeats 5"][:4] == [
        ["1 user", 1],
        ["2 users", 1],
        ["4 users", 1],
        ["1 user", 2],
    ]
    assert len(held["--levels 1,2,4 --repeats 5"]) == 15
    assert [title for title, _ in held["--output-levels 16,64,128"]] == [
        "16 output tokens", "64 output tokens", "128 output tokens",
    ]  # fmt: skip


def _shape(example: Example) -> str:
    """What a command sweeps over."""
    given = {name: example.given(name) for name in ("--levels", "--rates", "--output-levels", "--repeats")}
    return " ".join(f"{name} {value}" for name, value in given.items() if value) or f"line {example.line}"


def test_every_option_of_the_load_is_told_of() -> None:
    """By its name; and those that are told of are options."""
    known = {name for name, *_ in OPTIONS}
    assert known >= OF_LOAD
    named = {word.removeprefix("--") for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", GUIDE)}
    assert OF_LOAD - named == set()
    others = {"host", "headless", "slo", "refill"}
    simulated = {"speak", "port", "slots", "step-base-ms", "step-per-seq-ms", "prefill-rate"}
    assert named - known - others - simulated == set()


def test_each_arrival_process_is_as_its_row_says() -> None:
    """Its text is read and written alike, its gaps have that variation, and it ends where that is said."""
    rows = table(GUIDE, "`--arrivals`", "gaps")
    for text, _, variation, first, ends in ((code(row[0])[0], *row[1:]) for row in rows):
        found = arrivals.parse(text)
        assert arrivals.parse(found.describe()) == found
        if text.startswith("trace:"):
            continue
        assert (found.length_s is None) == ends.startswith("with `-t`"), text
        if not variation:
            continue
        offsets = list(islice(found.offsets(1), 20_000))
        gaps = [after - before for before, after in pairwise(offsets)]
        expected = float(re.findall(r"[\d.]+", variation)[-1])
        assert statistics.pstdev(gaps) / statistics.fmean(gaps) == pytest.approx(
            expected, rel=0.05, abs=1e-6
        ), text
        assert (offsets[0] == 0) == (first == "at 0"), text


def test_forms_of_lengths_pauses_and_texts_are_read() -> None:
    """Each form of the tables is read and written alike."""
    forms = [code(row[0])[0] for row in table(GUIDE, "form", "meaning")]
    assert len(forms) == 7
    for form in forms:
        if not form.startswith("file:"):
            assert distributions.parse(form, "--prompt-tokens").describe() == form
    (pauses,) = [row[1] for row in table(GUIDE, "option", "|") if code(row[0]) == ["--think-time"]]
    for form in code(pauses):
        assert think.parse(form).describe() == form
    told = [name for row in table(GUIDE, "`--text`", "|") for name in code(row[0])]
    assert sorted(told) == sorted(texts.TEXTS)


def test_the_files_of_the_page_are_what_it_calls_them(folder: Path) -> None:
    """A trace of Azure's, pairs, two templates, three entries."""
    trace = traces.read(folder / "azure.csv", speed_up=2)
    assert (trace.format, len(trace), trace.due(2).prompt_tokens) == ("Azure LLM", 5, 879)
    assert len(read_templates(folder / "prompts.txt")) == 2
    dataset = open_dataset(folder / "chats.jsonl")
    assert [len(entry.turns) for entry in dataset.entries()] == [4, 3, 1]


def test_a_trace_that_goes_back_is_refused_as_shown(tmp_path: Path) -> None:
    """The page's line is the one that is printed."""
    (shown,) = re.findall(r"^trace\.csv (line 3: .*)$", GUIDE, re.MULTILINE)
    path = tmp_path / "trace.csv"
    path.write_text("timestamp\n2.5\n1\n")
    with pytest.raises(ConfigError) as error:
        traces.read(path)
    assert str(error.value) == f"{path} {shown}"


def _found(word: str) -> Example:
    (found,) = [one for one in COMMANDS if word in one.words]
    return found


@pytest.mark.parametrize(("word", "rows"), [("trace:azure.csv", 5), ("--mix", None)], ids=["trace", "mix"])
def test_a_command_runs(folder: Path, tmp_path: Path, word: str, rows: int | None) -> None:
    """Against the page's simulator: every request succeeds, the results are complete."""
    example = _found(word)
    (stand_in,) = [one.words for one in examples(GUIDE) if one.words[:2] == ("tokenswarm", "simulate")]
    options = list(stand_in[2:])
    del options[options.index("--port") : options.index("--port") + 2]
    if example.given("-t"):
        example = example.replaced("-t", "2s")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with simulator(*options) as server:
        done: Result = run("vllm.py", tmp_path / "r", *example.replaced("--host", server.url).words[3:])
    assert done.code == 0, done.err
    assert done.summary["complete"]
    table_of = done.requests
    assert set(table_of.outcome) == {"ok"}
    assert rows is None or len(table_of) == rows
    if word == "--mix":
        assert set(table_of.name) == {"chat", "rag"}
