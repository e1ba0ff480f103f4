"""The life of a server as a child process: start, health, failure, end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from alive import goes

from harness.servers import process, waiting
from harness.servers.process import Server, ServerFailed, free_port, running
from harness.servers.ready import ReadyCheck
from harness.servers.recipe import Recipe

ROOT = Path(__file__).parent.parent
# Argument 1: port; 2: how many times to say 503 first. SIGTERM is obeyed unless argument 3 is "deaf".
STAND_IN = """
import http.server, signal, sys
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    loading = int(sys.argv[2])
    def do_GET(self):
        Handler.loading -= 1
        self.send_response(503 if Handler.loading >= 0 else 200)
        self.end_headers()
    def log_message(self, *args): print("asked", self.path, flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
# Runs the stand-in, tells its pid, then waits to be ended.
HOLDER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from harness.servers.process import running
port, command = sys.argv[1], sys.argv[2:]
try:
    with running(command, url=f"http://127.0.0.1:{port}", health="/", name="stand-in", deadline_s=30, grace_s=600) as server:
        print(server.pid, flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit(77)
"""


def _stand_in(port: int, loading: int = 0, manner: str = "obeys") -> list[str]:
    return [sys.executable, "-c", STAND_IN, str(port), str(loading), manner]


def _run(
    command: list[str],
    port: int,
    *,
    health: str = "/",
    deadline_s: float = 30,
    grace_s: float = 5,
    log: Path | None = None,
) -> AbstractContextManager[Server]:
    url = f"http://127.0.0.1:{port}"
    return running(
        command, url=url, health=health, name="stand-in", deadline_s=deadline_s, grace_s=grace_s, log=log
    )


def test_ready_means_200_not_503(tmp_path: Path) -> None:
    """A server that answers 503 is still loading: the context is entered at its first 200, asked /health."""
    port, log = free_port(), tmp_path / "deep" / "server.log"
    with _run(_stand_in(port, loading=3), port, health="/health", log=log) as server:
        assert (server.url, server.name) == (f"http://127.0.0.1:{port}", "stand-in")
        assert not goes(server.pid, within_s=0.1)
    assert goes(server.pid)
    assert log.read_text(encoding="utf-8").split("\n") == ["asked /health"] * 4 + [""]


def test_early_exit_shows_how_the_log_ends() -> None:
    """A server that dies while starting is named with its exit code and the last twelve lines it wrote."""
    port = free_port()
    code = "import sys; [print('line', n, flush=True) for n in range(40)]; sys.exit('no such model')"
    with pytest.raises(ServerFailed) as caught, _run([sys.executable, "-c", code], port):
        pass
    lines = str(caught.value).split("\n")
    assert lines[0] == "stand-in exited before it was ready (exit code 1); the end of its output:"
    assert lines[1:] == [*(f"    line {n}" for n in range(29, 40)), "    no such model"]


def test_death_by_signal_is_told() -> None:
    """A server killed while starting is reported with its signal, and that it wrote nothing."""
    port = free_port()
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    with pytest.raises(ServerFailed) as caught, _run(command, port):
        pass
    expected = "stand-in exited before it was ready (signal 11, Segmentation fault), no output"
    assert str(caught.value) == expected


def test_deadline_names_the_last_answer_and_ends_the_child(tmp_path: Path) -> None:
    """A server that is never ready fails at its deadline, which says what it answered, and is gone."""
    port, pid_file = free_port(), tmp_path / "pid"
    code = f"import os, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n{STAND_IN}"
    command = [sys.executable, "-c", code, str(port), "1000000", "obeys"]
    start = time.monotonic()
    with pytest.raises(ServerFailed) as caught, _run(command, port, deadline_s=1.5):
        pass
    assert time.monotonic() - start >= 1.5
    expected = f"stand-in was not ready within 1.5 s: it answered 503 at http://127.0.0.1:{port}/; the end"
    assert str(caught.value).startswith(expected)
    assert goes(int(pid_file.read_text(encoding="utf-8")))


def test_long_start_is_announced(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A long start prints one line saying what is waited for, and for how long at most."""
    monkeypatch.setattr(waiting, "FIRST_NEWS_S", 0.2)
    port = free_port()
    starting = _run(["sleep", "60"], port, deadline_s=1)
    with pytest.raises(ServerFailed, match="nothing listened that speaks HTTP"), starting:
        pass
    said = rf"tokenswarm: waiting for stand-in at http://127\.0\.0\.1:{port}: nothing listened that speaks HTTP \([01] s of at most 1 s\)\n"
    assert re.fullmatch(said, capfd.readouterr().err)


def test_unknown_program_is_one_line() -> None:
    """A program that does not exist is named before anything starts."""
    port = free_port()
    with pytest.raises(ServerFailed) as caught, _run(["no-such-server", "--port", "1"], port):
        pass
    expected = "stand-in cannot be started: no program 'no-such-server'; install it or give its path"
    assert str(caught.value) == expected


def test_taken_port_is_refused_before_start(tmp_path: Path) -> None:
    """Another server on the port must not be mistaken for ours: nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        made = tmp_path / "started"
        starting = _run(["touch", str(made)], port)
        with pytest.raises(ServerFailed, match="something already listens") as caught, starting:
            pass
    assert f"http://127.0.0.1:{port}" in str(caught.value)
    assert not made.exists()


def test_unwritable_log_is_one_line(tmp_path: Path) -> None:
    """A log that cannot be written is an error that names it."""
    port, log = free_port(), tmp_path / "file" / "server.log"
    log.parent.write_text("not a folder", encoding="utf-8")
    starting = _run(_stand_in(port), port, log=log)
    with pytest.raises(ServerFailed, match=r"cannot write the server's log .*server\.log: "), starting:
        pass


def test_deaf_child_is_killed() -> None:
    """A server that ignores SIGTERM is killed after the grace time."""
    port = free_port()
    with _run(_stand_in(port, manner="deaf"), port, grace_s=0.3) as server:
        start = time.monotonic()
    assert time.monotonic() - start >= 0.3
    assert goes(server.pid)


def test_an_interrupt_counts_as_soon_as_it_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C again kills it: one that comes while that is still being said cuts the grace short, too."""
    port, said = free_port(), []

    def say(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "say", say)
    url = f"http://127.0.0.1:{port}"
    recipe = Recipe("stand-in", _stand_in(port, manner="deaf"), url, ReadyCheck("/"), grace_s=600.0)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), process.serving(recipe, deadline_s=30, tells=True) as server:
        raise KeyboardInterrupt
    assert said == ["stopping stand-in; Ctrl-C again kills it"]
    assert time.monotonic() - start < 300
    assert goes(server.pid)


def test_children_of_the_child_go_too(tmp_path: Path) -> None:
    """What the server itself started, and left behind, ends with it."""
    port, pid_file = free_port(), tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib; worker = subprocess.Popen(['sleep', '300'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(worker.pid))\n{STAND_IN}"
    )
    with _run([sys.executable, "-c", code, str(port), "0", "obeys"], port):
        worker = int(pid_file.read_text(encoding="utf-8"))
        assert not goes(worker, within_s=0.1)
    assert goes(worker)


def test_error_of_the_body_passes_and_the_child_ends() -> None:
    """An exception inside the context comes out unchanged, after the server has ended."""
    port = free_port()
    with pytest.raises(ZeroDivisionError), _run(_stand_in(port), port) as server:
        _ = 1 / 0
    assert goes(server.pid)


def test_death_in_use_is_told_not_raised(capfd: pytest.CaptureFixture[str]) -> None:
    """A server that dies under load is reported on stderr with the end of its log."""
    port = free_port()
    with _run(_stand_in(port), port) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert goes(server.pid)
    expected = (
        "tokenswarm: stand-in died during the run (signal 9, Killed); the end of its output:\n    asked /\n"
    )
    assert capfd.readouterr().err == expected


PATCHED = "from gevent import monkey; monkey.patch_all()\n"


@pytest.mark.parametrize("preamble", ["", PATCHED], ids=["plain", "gevent"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_parent_ends_the_child(signum: signal.Signals, preamble: str) -> None:
    """Ctrl-C and SIGTERM unwind the parent, which ends the server, plain or patched by gevent."""
    port = free_port()
    holder, pid = _hold(port, preamble)
    holder.send_signal(signum)
    assert holder.wait(timeout=20) == 77
    assert goes(pid)


def test_second_ctrl_c_skips_the_grace() -> None:
    """A second Ctrl-C while a deaf server is being stopped kills it at once, ten minutes before its grace is over."""
    port = free_port()
    holder, pid = _hold(port, manner="deaf")
    holder.send_signal(signal.SIGINT)
    for _ in range(5):  # two that come before the process gets to run are one
        time.sleep(0.5)
        holder.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            assert holder.wait(timeout=20) == 77
            break
    assert goes(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
@pytest.mark.parametrize("preamble", ["", PATCHED], ids=["plain", "gevent"])
def test_child_dies_with_a_killed_parent(preamble: str) -> None:
    """SIGKILL of the parent leaves no server, even one that ignores SIGTERM."""
    port = free_port()
    holder, pid = _hold(port, preamble, manner="deaf")
    holder.kill()
    assert holder.wait(timeout=20) == -signal.SIGKILL
    assert goes(pid)


def _hold(port: int, preamble: str = "", manner: str = "obeys") -> tuple[subprocess.Popen[str], int]:
    """A process that holds a stand-in server, and the server's pid."""
    command = [sys.executable, "-c", preamble + HOLDER, str(port), *_stand_in(port, manner=manner)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert holder.stdout is not None
    with holder.stdout:
        return holder, int(holder.stdout.readline())


def test_handler_of_sigterm_is_left_as_it_was() -> None:
    """Outside the context SIGTERM has its former meaning; one that was given a meaning is left alone."""
    port = free_port()
    before = signal.getsignal(signal.SIGTERM)
    with _run(_stand_in(port), port):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
    own = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with _run(_stand_in(port), port, grace_s=600):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            start = time.monotonic()
        assert time.monotonic() - start < 300  # the child does not inherit our deafness
    finally:
        signal.signal(signal.SIGTERM, own)
