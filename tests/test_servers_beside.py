"""A server for the length of a Locust process, in one that gevent has patched as Locust does."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from locust_runs import until

from harness import target
from harness.errors import ConfigError
from harness.servers import beside
from harness.servers.beside import start
from harness.servers.process import free_port

ROOT = Path(__file__).parent.parent
# URL, what to serve, how to end.
HOLDER = """
from gevent import monkey; monkey.patch_all()
import os, signal, sys, time
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
from harness import target
from harness.servers import beside
served = beside.start(sys.argv[2], target.parse(sys.argv[1]))
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
print(served.server.pid, flush=True)
time.sleep(0.1)
match sys.argv[3]:
    case "stop":
        served.stop()
        served.stop()
        print("stopped", flush=True)
        time.sleep(60)
    case "exit":
        sys.exit(3)
    case "leave":
        os._exit(3)
    case "wait":
        time.sleep(60)
"""


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _hold(port: int, serve: str, end: str) -> subprocess.Popen[str]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", HOLDER, url, serve, end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize(("end", "code"), [("exit", 3), ("leave", 3), ("kill", -9)])
def test_the_server_goes_with_the_process(end: str, code: int) -> None:
    """By whichever way the process ends, `os._exit` and SIGKILL included, the server ends with it."""
    port = free_port()
    process = _hold(port, f"llamacpp --context 256 --port {port}", "wait" if end == "kill" else end)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    if end == "kill":
        process.kill()
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err == (
        f"tokenswarm: --serve: starting llama.cpp\ntokenswarm: --serve: llama.cpp is ready at http://127.0.0.1:{port}\n"
    )
    until(lambda: not _answers(port), timeout=10)


def test_stopping_it_early() -> None:
    """`stop` returns when the server is gone; a second one does nothing."""
    port = free_port()
    process = _hold(port, "llamacpp --context 256", "stop")
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    assert process.stdout.readline() == "stopped\n"
    assert not _answers(port)
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("serve", "host", "message"),
    [
        ("llamacpp", "http://gpu1:8080", ("--serve llamacpp starts a server on this machine, but --host is "
         "http://gpu1:8080: give --host http://127.0.0.1:8080")),
        ("llamacpp --port 9", "http://127.0.0.1:8080", ("--serve llamacpp would listen at http://127.0.0.1:9, but "
         "--host is http://127.0.0.1:8080: make them one")),
        ("llamacpp --slot", "http://127.0.0.1:8080", "--serve llamacpp: argument --slots: expected one argument"),
        ("tgi", "http://127.0.0.1:8080", "--serve tgi: the following arguments are required: --model"),
        ("llamacpp --slots 0", "http://127.0.0.1:8080", "--slots '0': give a whole number from 1 to 1000000"),
        ("", "http://127.0.0.1:8080", "--serve is empty: give a command line, or a kind of server such as llamacpp"),
        ("serve 'it", "http://127.0.0.1:8080", ("--serve \"serve 'it\": no closing quotation; write it as a shell "
         "would take it")),
        ("no-such-server -x", "http://127.0.0.1:8080", ("no-such-server cannot be started: no program "
         "'no-such-server'; install it or give its path")),
        ("command --name n --", "http://127.0.0.1:8080",
         "no command to run: write it after --, e.g. -- vllm serve MODEL --port 8000"),
    ],
)  # fmt: skip
def test_what_cannot_be_served(serve: str, host: str, message: str) -> None:
    """One line that names the option and the fix, before anything is started."""
    with pytest.raises(ConfigError) as caught:
        start(serve, target.parse(host))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("serve", "command"),
    [
        ("vllm serve org/m --port 8000", ["vllm", "serve", "org/m", "--port", "8000"]),
        ("command -- vllm --help", ["vllm", "--help"]),
        ("python -m 'my server'", ["python", "-m", "my server"]),
    ],
)
def test_a_command_line_is_not_taken_for_a_kind(serve: str, command: list[str]) -> None:
    """A kind is followed by options; the program of the same name by its subcommand."""
    recipe, deadline_s, log = beside.read(serve, target.parse("http://localhost:8000/v1"), 9.0)
    assert (list(recipe.command), recipe.url, deadline_s, log) == (
        command,
        "http://localhost:8000",
        9.0,
        None,
    )
