"""docs/options.md is the table of options: each in the group of the web form, its variable, its default, an example that is read."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import certifi
import pytest
from locust_runs import ROOT
from test_docs import code, table

from harness.option_table import FLAGS, OPTIONS, REPEATABLE, variable
from harness.options import unknown_variables
from harness.web.form_fields import GROUPS

PAGE: Final = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
OURS: Final = PAGE.partition("\n## Locust's own\n")[0]
ROW: Final = re.compile(r"^\| `--([a-z-]+)`<br>`([A-Z_]+)` \| (.*?) \| (.*) \| `([^`]*)` \|$", re.MULTILINE)
ROWS: Final = {row[0]: row for row in ROW.findall(OURS)}
NOTHING: Final = "\N{EN DASH}"
TABLE: Final = {name: (default, help_text) for name, default, _, help_text in OPTIONS}

# Locust patches the process that imports it: (environment, arguments) in, the settings they make out.
READER: Final = """
import json, os, sys
from locust.argument_parser import get_parser
from harness import options, plugin

found = []
for environment, arguments in json.load(sys.stdin):
    os.environ.update(environment)
    try:
        sys.argv = ["locust"]
        parsed = get_parser().parse_args(["-f", "x.py", "--host", "http://h", "--headless", *arguments])
        found.append(repr(sorted(options.read(parsed, None).stored().items())) + repr(sorted(vars(parsed).items())))
    except (Exception, SystemExit) as error:
        found.append(f"refused: {error}")
    for name in environment:
        del os.environ[name]
print(json.dumps(found))
"""


def test_every_option_has_one_row_in_its_group() -> None:
    """Groups are the web form's, in its order; what is not in the form stands in one of them all the same."""
    listed = ROW.findall(OURS)
    assert len(listed) == OURS.count("\n| `--") == len(OPTIONS)
    assert sorted(ROWS) == sorted(TABLE)
    sections = re.split(r"^## (.+)$", OURS, flags=re.MULTILINE)[1:]
    found = {
        title: [row[0] for row in ROW.findall(body)]
        for title, body in zip(sections[::2], sections[1::2], strict=True)
    }
    assert list(found) == list(GROUPS)
    for title, names in GROUPS.items():
        assert [name for name in found[title] if name in names] == [
            name for name in names if name in found[title]
        ]
        assert set(names) <= set(found[title]), title


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_row_has_variable_and_default_of_the_code(name: str) -> None:
    """A default that the help says in words has the same numbers; where there is none, a dash stands."""
    _, named, default, _, example = ROWS[name]
    value, help_text = TABLE[name]
    assert named == variable(name)
    assert f"--{name}" in shlex.split(example)
    _, told, words = help_text.partition("Default")
    if value:
        assert default == f"`{value}`"
    elif name in FLAGS:
        assert default == "off"
    else:
        assert (default != NOTHING) == bool(told) or name == "run-name", default
        assert set(re.findall(r"\d+", default)) == set(re.findall(r"\d+", words))


def _without(words: list[str], name: str) -> tuple[list[str], list[str]]:
    """(the values that an example gives an option, the rest of its words)."""
    values, rest, at = [], [], 0
    while at < len(words):
        if words[at] == f"--{name}" and name not in FLAGS:
            values.append(words[at + 1])
            at += 1
        elif words[at] == f"--{name}":
            values.append("true")
        else:
            rest.append(words[at])
        at += 1
    return values, rest


def test_examples_are_read_and_variables_say_the_same(tmp_path: Path) -> None:
    """Locust's parser and ours take each example; the same value in the variable makes the same settings, and they are not the default's."""
    (tmp_path / "ca.pem").write_text(Path(certifi.where()).read_text(encoding="utf-8"), encoding="utf-8")
    for file in ("chats.jsonl", "prompts.txt", "pairs.csv", "azure.csv"):
        (tmp_path / file).touch()
    cases: list[tuple[dict[str, str], list[str]]] = [({}, [])]
    for name, row in ROWS.items():
        words = shlex.split(row[4].replace("\\|", "|"))
        values, rest = _without(words, name)
        value = json.dumps(values) if name in REPEATABLE and len(values) > 1 else values[0]
        cases += [({}, words), ({variable(name): value}, rest), ({}, rest)]
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={key: text for key, text in os.environ.items() if not key.startswith(("TOKENSWARM", "LOCUST"))}
        | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    for at, name in enumerate(ROWS):
        given, by_variable, left_out = found[3 * at + 1 : 3 * at + 4]
        assert not given.startswith("refused: "), (name, given)
        assert given == by_variable, name
        assert given != left_out, name


def test_the_other_variables_are_those_that_are_read() -> None:
    """Ours are all there, each is known, and what is of others is read somewhere in our code."""
    named = [word for row in table(PAGE, "variable", "what it is") for word in code(row[0])]
    ours = [word for word in named if word.startswith("TOKENSWARM_")]
    assert unknown_variables(dict.fromkeys(ours, "")) == []
    rest = unknown_variables(dict.fromkeys({f"TOKENSWARM_{word}" for word in _others()} - set(ours), ""))
    assert rest == []
    assert {f"TOKENSWARM_{word}" for word in _others()} == set(ours)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "harness").rglob("*.py")).upper()
    assert [word for word in named if word not in ours and word.rpartition("_")[2] not in sources] == []


def _others() -> tuple[str, ...]:
    from harness.options import _OTHER_VARIABLES  # noqa: PLC0415  the one list of them

    return _OTHER_VARIABLES


def test_locusts_own_are_locusts() -> None:
    """Each that is named is in Locust's help."""
    named = [word for row in table(PAGE, "option", "what it does here") for word in code(row[0])]
    done = subprocess.run(
        [sys.executable, "-m", "locust", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", done.stdout))
    assert len(named) >= 15
    assert [word for word in named if word not in known] == []
