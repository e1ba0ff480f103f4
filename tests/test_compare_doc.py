"""docs/compare.md says what the code does: its settings, its figures, its commands, its numbers of need."""

import re
import shlex
from pathlib import Path

import pytest

from harness import carried, cli
from harness.compare.figures import FIGURES, MAIN
from harness.compare.judge import CODES
from harness.compare.likeness import SHAPING
from harness.compare.rules import read

DOC = (Path(__file__).parent.parent / "docs" / "compare.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^tokenswarm compare (.*)$", DOC, re.MULTILINE)


def test_settings_that_have_to_be_equal_are_those_listed() -> None:
    """All of them, and no other."""
    (listed,) = re.findall(r"These settings have to be equal.*?:\n(.*?)\. Files ", DOC, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == set(SHAPING)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_read(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser and the reader of limits; what is missing are the runs alone."""
    assert cli.main(["compare", *shlex.split(command)]) == 2
    told = capsys.readouterr().err
    assert "not a run directory" in told
    assert "results/" in told


def test_limits_named_in_the_text_are_limits() -> None:
    """Each can be read."""
    named = set(re.findall(r"`(\w+[<>][+-]?[0-9.]+(?:%|pp))`", DOC))
    assert {one.text for text in named for one in read([text])} == named


def test_needs_and_codes_are_the_codes() -> None:
    """Percentiles' needs, exit codes, the number of main figures of the simulated table."""
    for key in ("p90", "p95", "p99"):
        assert f"{key}: {carried.NEED[key]:,}" in DOC
    for word, code in CODES.items():
        assert f"| {code} | {word} |" in DOC
    assert len(MAIN) == 9
    assert set(MAIN) <= set(FIGURES)
