"""docs/web-ui.md: its commands are understood, its variables are known, and what it promises of the login's example holds."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import requests
from locust_runs import ROOT, start_cold, until
from test_deploy import commands, complaints

from harness.options import unknown_variables
from harness.servers.process import free_port

GUIDE: Final = (ROOT / "docs/web-ui.md").read_text(encoding="utf-8")
COMMANDS: Final = list(commands(GUIDE))


def parts(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """A command's variables and its own words."""
    environment = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    return environment, [word for word in words if word.partition("=")[0] not in environment]


def test_its_commands_are_understood() -> None:
    """By Locust's parser and ours; each `tokenswarm` subcommand is one."""
    cases: list[tuple[Mapping[str, str], str, Sequence[str]]] = []
    for words in COMMANDS:
        environment, rest = parts(words)
        if rest[0] == "locust":
            cases.append((environment, str(ROOT / rest[rest.index("-f") + 1]), rest[1:]))
        elif rest[0] == "tokenswarm":
            done = subprocess.run(
                [sys.executable, "-m", "harness", rest[1], "--help"],
                capture_output=True,
                check=False,
                cwd=ROOT,
            )
            assert done.returncode == 0, words
    assert len(cases) >= 3
    assert complaints(cases) == []


def test_its_variables_are_known() -> None:
    """Whatever it names is one that is read."""
    named = set(re.findall(r"TOKENSWARM_[A-Z_]*[A-Z]", GUIDE))
    assert len(named) >= 4
    assert unknown_variables(dict.fromkeys(named, "")) == []


def test_the_logins_example_works(tmp_path: Path) -> None:
    """As it stands: a hash in a file, and a page that asks for the password."""
    make = next(words for words in COMMANDS if words[:2] == ["tokenswarm", "web-password"])
    environment, rest = next(parts(words) for words in COMMANDS if "--web-login" in words)
    with (tmp_path / make[-1]).open("w") as file:
        command = [sys.executable, "-m", "harness", *make[1:-2]]
        subprocess.run(command, input="a long password\n", text=True, stdout=file, check=True, cwd=ROOT)
    port = free_port()
    options = [*rest[rest.index("--host") :], "--web-port", str(port)]
    process = start_cold(ROOT / rest[rest.index("-f") + 1], tmp_path / "results", *options, env=environment)
    try:
        with requests.Session() as session:

            def is_up() -> bool:
                assert process.poll() is None
                try:
                    return session.get(f"http://127.0.0.1:{port}/", timeout=5).url.endswith("/login")
                except requests.ConnectionError:
                    return False

            until(is_up)
            form = {"username": "admin", "password": "a long password"}
            inside = session.post(f"http://127.0.0.1:{port}/tokenswarm/login", data=form, timeout=20)
            assert (inside.url, "tokenswarm-bar" in inside.text) == (f"http://127.0.0.1:{port}/", True)
    finally:
        process.terminate()
        process.communicate(timeout=60)
