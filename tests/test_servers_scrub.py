"""Secrets in a server's output."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.servers import scrub
from harness.servers.output import opened
from harness.servers.scrub import blot, held, secrets_in

LETTERS = st.text("ab", min_size=1, max_size=6).map(str.encode)


@given(secret=LETTERS, text=st.text("abc\n", max_size=60).map(str.encode), cuts=st.lists(st.integers(0, 60)))
def test_cuts_do_not_matter(secret: bytes, text: bytes, cuts: list[int]) -> None:
    """However the output arrives in pieces, what passes is the whole with each secret blotted out."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    passed, rest = b"", b""
    for begin, end in itertools.pairwise(places):
        piece = blot(rest + text[begin:end], [secret])
        size = len(piece) - held(piece, [secret])
        passed, rest = passed + piece[:size], piece[size:]
    assert passed + rest == text.replace(secret, b"***")


@given(secrets=st.lists(LETTERS, min_size=1, max_size=4), text=st.text("abc", max_size=60).map(str.encode))
def test_no_secret_is_left(secrets: list[bytes], text: bytes) -> None:
    """Of several secrets, one within another too, none is left whole."""
    left = blot(text, secrets)
    assert not any(secret in left for secret in secrets)


def test_a_line_is_not_held_back() -> None:
    """Only what may begin a secret waits: a log that is followed shows each line as it is written."""
    assert [held(text, [b"secret"]) for text in (b"ready\n", b"a sec", b"secre", b"secrets")] == [0, 3, 5, 1]


def test_which_variables_are_secret() -> None:
    """By the end of the name, and not so short that half the text would be blotted out."""
    environment = {
        "HF_TOKEN": "hf_abcdef",
        "OPENAI_API_KEY": "sk-123456",
        "MARITALK_LICENSE": "0000-1111",
        "password": " with blanks ",
        "TOKENSWARM_RESULTS_DIR": "results/here",
        "TOKENSWARM_API_KEY_FILE": "/etc/key/file",
        "TOKENIZERS_PARALLELISM": "false...",
        "DEBUG_TOKEN": "yes",
    }
    assert sorted(secrets_in(environment)) == [b"0000-1111", b"hf_abcdef", b"sk-123456", b"with blanks"]


def test_the_program_between_a_server_and_its_log() -> None:
    """A secret that arrives in two writes is blotted out; the rest comes through byte for byte."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", scrub.__file__, "MY_LICENSE"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"MY_LICENSE": "0000-1111"},
        bufsize=0,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\xff key 0000-")
        assert process.stdout.read(6) == b"\xff key "
        process.stdin.write(b"1111 ok 0000")
        process.stdin.close()
        assert process.stdout.read() == b"*** ok 0000"


def test_what_is_shown_is_fit_for_a_terminal(tmp_path: Path) -> None:
    """No colours, no overwritten progress, no endless line, twelve lines at most."""
    log = tmp_path / "log"
    with opened(log) as output:
        log.write_bytes(
            b"1\n" * 20
            + b"\x1b[32mINFO\x1b[0m up\n"
            + b" 10%\r 20%\r 30%\n"
            + b"x" * 500
            + b"\n\n bell\x07\n"
        )
        assert output.lines() == ["1"] * 8 + ["INFO up", " 30%", "x" * 400, " bell "]


def test_secrets_of_the_environment_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that logs its arguments may log a key: what we show of it has none."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    log = tmp_path / "log"
    with opened(log) as output:
        log.write_bytes(b"args: --api-key sk-0123456789\n")
        assert output.tail() == "; the end of its output:\n    args: --api-key ***"
