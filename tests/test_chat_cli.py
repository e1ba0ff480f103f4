"""`tokenswarm chat` as a user has it: a process, a pipe or a terminal, a real server."""

import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest
from chat_server import HOSTILE, ChatServer, chat_server
from locust_runs import ROOT, simulator, until

from harness import cli
from harness.servers.process import Server

COMMAND = [sys.executable, "-m", "harness", "chat"]
KEY = "sk-canary-0123456789"


@pytest.fixture(scope="module")
def scripted() -> Iterator[ChatServer]:
    """One for all."""
    with chat_server() as server:
        yield server


@pytest.fixture(scope="module")
def simulated() -> Iterator[Server]:
    """One that counts and times."""
    with simulator("--step-base-ms", "3") as server:
        yield server


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """This environment without what would steer a chat."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TOKENSWARM_", "LOCUST_", "OPENAI_"))
    }
    return mine | dict(env)


def talk(said: str | bytes, *options: str, env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[bytes]:
    """Pipe this in and wait for the end."""
    data = said.encode() if isinstance(said, str) else said
    return subprocess.run(
        [*COMMAND, *options], input=data, capture_output=True, timeout=60, check=False, env=clean(env)
    )


def test_questions_from_a_pipe(simulated: Server) -> None:
    """One a line: answers alone on stdout, a line of figures each on stderr, the conversation going along, and medians."""
    done = talk(
        "hello there\n\nand now?\n",
        "--host",
        simulated.url,
        "--max-tokens",
        "12",
        "--seed",
        "3",
        "--top-p",
        "0.9",
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.decode().strip().split("\n")) == 2
    said = done.stderr.decode().splitlines()
    assert len(said) == 3
    for line in said[:2]:
        for part in ("TTFT 0.", "TPOT ", "tokens/s", "latency 0.", "output 12", "prefill ", "end: length"):
            assert part in line, line
    assert said[2].startswith("tokenswarm: medians of 2 answers: TTFT 0.")


def test_json_of_each_answer(simulated: Server, scripted: ChatServer) -> None:
    """A line each, in ASCII alone whatever the model says, with the text and every figure."""
    done = talk("a\nb\n", "--host", simulated.url, "--max-tokens", "5", "--json")
    assert (done.returncode, done.stderr) == (0, done.stderr)
    first, second = map(json.loads, done.stdout.decode().splitlines())
    assert first["output_tokens"] == second["output_tokens"] == 5
    assert (first["token_source"], first["outcome"], first["error"]) == ("server", "ok", None)
    assert first["latency_s"] > first["ttft_s"] > 0
    hostile = talk("hostile\n", "--host", scripted.url, "--json")
    assert hostile.stdout.isascii()
    assert b"\x1b" not in hostile.stdout
    assert json.loads(hostile.stdout)["answer"] == HOSTILE


def test_a_model_cannot_steer_the_terminal(scripted: ChatServer) -> None:
    """Every control is shown, none is sent; reasoning stands apart."""
    done = talk("hostile\nthink\n", "--host", scripted.url, "--system", "Be brief.")
    out = done.stdout.decode()
    assert {
        chr(code) for code in (*range(10), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F))
    }.isdisjoint(out)
    assert "␛[31mred␛]0;owned␇ ␀<U+202E>txt.exe<U+202C>" in out
    assert out.endswith("[reasoning: hm]\nso\n")
    assert b"\x1b" not in done.stderr
    assert scripted.bodies[-1]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [one["role"] for one in scripted.bodies[-1]["messages"]] == ["system", "user", "assistant", "user"]


def test_commands(scripted: ChatServer) -> None:
    """Settings change what is sent next, a reset forgets, and what is no command is said."""
    said = 'one\n/set temperature 0.25\n/model other\n/set extra_body {"top_k": 7}\ntwo\n/reset\n//three\n/settings\n/models\n/help\n/quit\nnever\n'
    before = len(scripted.bodies)
    done = talk(said, "--host", scripted.url, "--extra-body", '{"top_k": 1, "min_p": 0.5}')
    assert done.returncode == 0, done.stderr
    one, two, three = scripted.bodies[before:]
    assert (one["model"], one["top_k"], one.get("temperature"), one["max_tokens"]) == (
        "scripted",
        1,
        None,
        512,
    )
    assert (two["model"], two["top_k"], two["min_p"], two["temperature"]) == ("other", 7, 0.5, 0.25)
    assert [one["content"] for one in two["messages"]] == ["one", "fine words", "two"]
    assert three["messages"] == [{"role": "user", "content": "/three"}]
    for line in ("temperature 0.25", "model other", "scripted", "/reset "):
        assert line in done.stderr.decode()
    wrong = talk("/bogus\n/set temperature hot\n/set colour red\nfine\n", "--host", scripted.url)
    assert wrong.returncode == 1
    assert wrong.stderr.decode().splitlines()[:2] == [
        "tokenswarm: /bogus: there is no such command; /help lists them",
        "tokenswarm: temperature 'hot': give a number from 0 to 5",
    ]
    assert wrong.stdout == b"fine words\n"


def test_exit_codes_and_a_key_that_is_never_shown(scripted: ChatServer) -> None:
    """1 where an answer failed, 2 for wrong use; a server that quotes the key is not heard."""
    failed = talk("fail\nfine\n", "--host", scripted.url, env={"TOKENSWARM_API_KEY": KEY})
    assert failed.returncode == 1
    assert failed.stdout == b"fine words\n"
    assert b"failed: http_server: no: POST" in failed.stderr
    assert f"Bearer {KEY}".encode() in scripted.heads[-1]
    assert KEY.encode() not in failed.stderr + failed.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--host is missing"),
        (("--host", "nowhere"), "has no scheme"),
        (("--host", "{url}", "--temperature", "9", "--max-tokens", "x"), "--max-tokens 'x'"),
        (("--host", "{url}", "--backend", "bogus"), "backend 'bogus' is unknown"),
        (("--host", "{url}", "--api-mode", "bogus"), "--api-mode: 'bogus'"),
        (("--host", "{url}", "--header", "X-Api-Key: a"), "carries a secret"),
        (("--host", "http://127.0.0.1:9"), "--host http://127.0.0.1:9"),
    ],
)
def test_wrong_use_is_2(
    options: tuple[str, ...],
    said: str,
    scripted: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is asked, in words that name the option."""
    for name in list(os.environ):
        if name.startswith(("TOKENSWARM_", "LOCUST_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    before = len(scripted.bodies)
    assert cli.main(["chat", *(option.format(url=scripted.url) for option in options)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(scripted.bodies)) == ("", before)
    assert said in err


class Terminal:
    """The command at a terminal."""

    def __init__(self, *options: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *options],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=clean({"TERM": "dumb"}),
            start_new_session=True,
        )
        os.close(theirs)
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def await_(self, words: str, limit_s: float = 20) -> None:
        """Until it has said this since the last time."""
        deadline = time.monotonic() + limit_s
        while words not in self.said:
            ready, _, _ = select.select([self._ours], [], [], 0.2)
            if ready:
                try:
                    self.said += os.read(self._ours, 65_536).decode(errors="replace")
                except OSError:
                    break
            assert time.monotonic() < deadline, self.said
        assert words in self.said, self.said
        self.said = self.said.partition(words)[2]

    def interrupted(self) -> int:
        """The exit code after Ctrl-C at the prompt: again where it came between the prompt and Python's look at the keys."""
        for _ in range(9):
            os.kill(self.process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(2)
        raise AssertionError(self.said)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)


def test_at_a_terminal_ctrl_c_stops_an_answer_and_a_second_ends(scripted: ChatServer) -> None:
    """What had come stays and goes along; the server sees the client go; at the prompt Ctrl-C ends."""
    terminal = Terminal("--host", scripted.url)
    try:
        terminal.await_("model scripted; /help")
        terminal.type("slow please\n")
        terminal.await_("drop3 ")
        before = scripted.gone
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.await_("tokenswarm: stopped")
        terminal.await_("TTFT 0.")
        until(lambda: scripted.gone > before, 10)
        terminal.type("and now\n")
        terminal.await_("fine words")
        terminal.await_("TTFT 0.")
        assert [one["role"] for one in scripted.bodies[-1]["messages"]] == ["user", "assistant", "user"]
        assert scripted.bodies[-1]["messages"][1]["content"].startswith("drop0 drop1 ")
        terminal.await_("> ")
        assert terminal.interrupted() == 130
        assert "Traceback" not in terminal.said
    finally:
        terminal.close()


def test_at_a_terminal_the_end_of_input_ends(scripted: ChatServer) -> None:
    """Ctrl-D: exit code 0, also after an answer that failed."""
    terminal = Terminal("--host", scripted.url)
    try:
        terminal.await_("> ")
        terminal.type("fail\n")
        terminal.await_("failed: http_server")
        terminal.await_("> ")
        terminal.type("\x04")
        assert terminal.process.wait(10) == 0
    finally:
        terminal.close()


def test_the_commands_of_the_document_run() -> None:
    """Each block of docs/chat.md, as it stands but for the address, against the simulator that it names."""
    text = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n# stand-in: tokenswarm simulate([^\n]*)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```sh") == 2
    for options, command in blocks:
        with simulator(*shlex.split(options), "--step-base-ms", "1") as server:
            local = re.sub(r"http://127\.0\.0\.1:\d+", server.url, command)
            local = re.sub(r"\btokenswarm\b", f"{shlex.quote(sys.executable)} -m harness", local)
            done = subprocess.run(
                ["sh", "-c", local],
                input=b"hello\n",
                capture_output=True,
                timeout=60,
                check=False,
                env=clean({}),
            )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
