"""`tokenswarm demo`: the server up, Locust through, the server gone, whatever happens in between."""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import demo, shipped
from harness.servers.drive import SIGNALS
from harness.servers.process import Server

ROOT = Path(__file__).parent.parent
# The demonstration with stand-ins for the simulator and for what the locustfile would load.
PROGRAM = """
import argparse, dataclasses, pathlib, sys
from harness import demo
from harness.servers.process import free_port, running

def server():
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    return running(command, url=f"http://127.0.0.1:{port}", health="/", name="stand-in", deadline_s=30)

demo.DEMOS["simulator"] = dataclasses.replace(demo.DEMOS["simulator"], start=server)
locust = [sys.executable, "-c", sys.argv[1]]
demo._command = lambda demo, args, locustfile, server: [*locust, server.url]
parser = argparse.ArgumentParser()
demo.add_parser(parser.add_subparsers())
sys.exit(demo.main(parser.parse_args(["demo"])))
"""
# Drains for half a second after the first SIGINT, gives up at the second.
DRAINS = """
import signal, sys, time
count = 0
def interrupted(signum, frame):
    global count
    count += 1
    print("signal", signum, flush=True)
    if count == 2:
        sys.exit(9)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGTERM, interrupted)
print("load on", sys.argv[1], flush=True)
while not count:
    time.sleep(0.02)
time.sleep({drain_s})
import urllib.request
print("server answers", urllib.request.urlopen(sys.argv[1]).status, flush=True)
sys.exit(7)
"""


def _start(locust: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, locust]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )


def _until_load(process: subprocess.Popen[str]) -> str:
    """Read on to the load's first line; the server's URL."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.fullmatch(r"load on (\S+)\n", line):
            return found[1]
    pytest.fail(f"no load: {process.communicate()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return True
    except OSError:
        return False


def test_exit_code_of_locust_is_ours() -> None:
    """Locust's exit code comes out, its output passes through after the command line, the server is gone."""
    process = _start("import sys; print('load on', sys.argv[1]); sys.exit(3)")
    out, err = process.communicate(timeout=30)
    lines = out.splitlines()
    url = lines[0].rpartition(" ")[2]
    assert lines[0] == f"tokenswarm demo: the built-in simulator, 8 slots, at {url}"
    assert lines[2] == f"load on {url}"
    assert (process.returncode, err) == (3, "")
    assert not _answers(url)


@pytest.mark.parametrize("whole_group", [False, True], ids=["kill", "terminal"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_drains_before_the_server_stops(signum: signal.Signals, whole_group: bool) -> None:
    """One signal, by `kill` or from the terminal, reaches Locust once; the server lives until it is done."""
    process = _start(DRAINS.format(drain_s=0.5))
    url = _until_load(process)
    (os.killpg if whole_group else os.kill)(process.pid, signum)
    out, err = process.communicate(timeout=30)
    assert out.splitlines() == [f"signal {signum.value}", "server answers 200"]
    assert (process.returncode, err) == (7, "")
    assert not _answers(url)


def test_second_ctrl_c_reaches_locust_too() -> None:
    """The second Ctrl-C is Locust's to act on; we still wait for it and stop the server."""
    process = _start(DRAINS.format(drain_s=60))
    url = _until_load(process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    out, err = process.communicate(timeout=30)
    assert (out.splitlines(), process.returncode, err) == (["signal 2"] * 2, 9, "")
    assert not _answers(url)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_killed_demo_leaves_nothing() -> None:
    """SIGKILL of the demonstration takes both Locust and the server along."""
    process = _start(DRAINS.format(drain_s=60))
    url = _until_load(process)
    process.kill()
    # Locust holds the other end of our pipe: its end is the pipe's.
    assert process.communicate(timeout=30)[0] == ""
    deadline = time.monotonic() + 5
    while _answers(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _answers(url)


def test_ctrl_c_while_locust_imports_is_quiet() -> None:
    """Ctrl-C in Locust's first moments ends it by SIGINT, without a traceback; what is run is Locust."""
    command = [sys.executable, "-c", f"print('up', flush=True); {demo.LOCUST}", "--version"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGINT, "")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"up\nlocust 2\..*", done.stdout.rstrip())


def test_locust_ended_by_a_signal() -> None:
    """A load process that dies by signal N gives 128 + N, as a shell has it."""
    assert demo.drive([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == 137


def test_handlers_are_restored() -> None:
    """After the load our signal handlers are those from before."""
    before = [signal.getsignal(signum) for signum in SIGNALS]
    assert demo.drive([sys.executable, "-c", ""]) == 0
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def _parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_parser(parser.add_subparsers())
    return parser.parse_args(["demo", *arguments])


def test_command_is_what_a_user_would_type(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our options become Locust's; those not given are the demonstration's own; it is shown ready to paste."""
    commands: list[list[str]] = []

    def drive(command: list[str], environ: Mapping[str, str]) -> int:
        commands.append(command)
        assert environ["NO_PROXY"] == environ["no_proxy"] == "127.0.0.1"  # whatever proxies there are
        return 0

    monkeypatch.setattr(demo, "drive", drive)
    assert demo.main(_parsed("--levels", "1,3", "--results-dir", "my results")) == 0
    url = commands[0][commands[0].index("--host") + 1]
    assert capfd.readouterr().out.splitlines()[1] == (
        f"$ locust -f {ROOT}/locustfiles/demo.py --host {url} --headless --levels 1,3 --requests-per-level 60 "
        "--warmup 1 --results-dir 'my results'"
    )
    assert commands[0][:3] == [sys.executable, "-c", demo.LOCUST]
    assert not _answers(url)


def test_sizes_are_sent_where_the_locustfile_has_none() -> None:
    """The llama.cpp demonstrations choose their sizes, and N replaces the requests per level."""
    args, server = _parsed("--requests-per-level", "9"), Server(name="x", url="http://x", pid=1)
    command = demo._command(demo.DEMOS["gemma"], args, Path("llamacpp.py"), server)
    assert command[3:] == [
        "-f",
        "llamacpp.py",
        "--host",
        "http://x",
        "--headless",
        "--levels",
        "1,2",
        "--requests-per-level",
        "9",
        "--warmup",
        "1",
        "--prompt-tokens",
        "32",
        "--output-tokens",
        "16",
        "--results-dir",
        "results",
    ]


def test_missing_locustfile_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A package that has lost its files: exit code 2, nothing started."""
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "harness")
    assert demo.main(_parsed()) == 2
    assert capfd.readouterr().err == (
        f"tokenswarm demo: no folder {tmp_path}/harness/locustfiles or {tmp_path}/locustfiles: "
        "tokenswarm is incomplete; install it anew\n"
    )


def test_unknown_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A server we do not have: exit code 2 and the three that we have."""
    with pytest.raises(SystemExit) as caught:
        _parsed("--server", "vllm")
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("vllm", "simulator", "llamacpp", "gemma"))
