"""One server as a child process: start it, wait until it is healthy, stop it, leave nothing behind.

    with running(command, url=url, health="/health", name="llama.cpp", deadline_s=60) as server:
        ...

Rules of this file
1. Leaving the context, by whatever way, ends the child and all it started: SIGTERM to its process group,
   SIGKILL after a grace time or at once on a second Ctrl-C. SIGTERM of our own process leaves it like
   Ctrl-C does. On Linux the child dies even if we are killed outright (`harness.servers.leash`).
2. The child has a session of its own, so that Ctrl-C at the terminal reaches us and not it: the server
   must outlive the drain of the load.
3. Every failure to start is one `ServerFailed` that says what happened and shows the end of the log.

It works in a plain process and in one that gevent has patched, and knows neither gevent nor Locust. It
does not restart a server, and reads nothing from it but the status of its health route.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO
from urllib.parse import urlsplit

from harness.errors import ConfigError
from harness.servers.leash import leashed

__all__ = ["Server", "ServerFailed", "free_port", "running"]

POLL_S = 0.05
FIRST_NEWS_S, NEWS_EVERY_S = 2.0, 10.0
GRACE_S = 5.0
LOG_LINES, LOG_BYTES = 12, 8192


class ServerFailed(ConfigError):
    """A server could not be started. First line: which, why, the fix; then the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answered its health route; gone when its context is left."""

    name: str
    url: str
    pid: int  # also the id of its process group and session


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody had a moment ago; the caller may still lose it to another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str],
    *,
    url: str,
    health: str,
    name: str,
    deadline_s: float,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    grace_s: float = GRACE_S,
) -> Iterator[Server]:
    """Run `command` until the context is left; entered once `url` + `health` answers 200.

    Output goes to `log`, emptied first, or to a nameless temporary file. `env` replaces the whole
    environment. A server that died on its own while in use is reported on stderr, not raised: what the
    load saw of it is in the records.

    Raises:
        ServerFailed: no such program, the port is taken, it exited before it was healthy, or it was not
            healthy within `deadline_s`.
    """
    _check_startable(command, env, url, name)
    with _open_log(log) as output, _sigterm_as_interrupt():
        process = _start(command, env, output)
        try:
            _wait_healthy(process, output, url=url, health=health, name=name, deadline_s=deadline_s)
            yield Server(name=name, url=url, pid=process.pid)
            if process.poll() is not None:
                _say(f"{name} died during the run ({_ending(process)}){_tail(output)}")
        finally:
            _stop(process, grace_s)


def _check_startable(command: Sequence[str], env: Mapping[str, str] | None, url: str, name: str) -> None:
    """What the launcher could only tell badly, and what a health check would mistake for success."""
    path = None if env is None else env.get("PATH")
    if shutil.which(command[0], path=path) is None:
        raise ServerFailed(
            f"{name} cannot be started: no program {command[0]!r}; install it or give its path"
        )
    with suppress(OSError), socket.create_connection(_address(url), timeout=1):
        raise ServerFailed(
            f"{name} cannot be started: something already listens at {url}; stop it or choose another port"
        )


def _start(
    command: Sequence[str], env: Mapping[str, str] | None, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        leashed(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )


def _wait_healthy(
    process: subprocess.Popen[bytes],
    output: IO[bytes],
    *,
    url: str,
    health: str,
    name: str,
    deadline_s: float,
) -> None:
    start = time.monotonic()
    news_s, answer = FIRST_NEWS_S, "nothing listened"
    while True:
        status = _status(url, health)
        if process.poll() is not None:
            raise ServerFailed(f"{name} exited before it was ready ({_ending(process)}){_tail(output)}")
        if status == 200:
            return
        if status is not None:
            answer = f"it answered {status}"
        waited_s = time.monotonic() - start
        if waited_s >= deadline_s:
            raise ServerFailed(
                f"{name} was not ready within {deadline_s:g} s: {answer} at {url}{health}{_tail(output)}"
            )
        if waited_s >= news_s:
            _say(f"waiting for {name} at {url} ({waited_s:.0f} s of at most {deadline_s:g} s)")
            news_s += NEWS_EVERY_S
        time.sleep(POLL_S)


def _status(url: str, health: str) -> int | None:
    """Status of the health route; None while nothing speaks HTTP there. No proxy is ever asked."""
    host, port = _address(url)
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", urlsplit(url).path.rstrip("/") + health, headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End the child and whatever else is in its group; a second Ctrl-C cuts the grace short."""
    try:
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], signum: int) -> None:
    # An empty group is no such process on Linux, and one of zombies is no permission on macOS.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)


def _open_log(log: Path | None) -> IO[bytes]:
    """`log`, emptied, or a file without a name, which even SIGKILL leaves no trace of."""
    try:
        if log is None:
            return tempfile.TemporaryFile()
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("w+b")
    except OSError as error:
        raise ServerFailed(f"cannot write the server's log {log or ''}: {error.strerror}") from error


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM unwinds the stack like Ctrl-C, where nobody else has claimed it."""
    on_main = threading.current_thread() is threading.main_thread()
    if not on_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"


def _tail(output: IO[bytes]) -> str:
    """The end of the log as indented lines, ready to follow a sentence."""
    # `pread`, because the child writes at the very offset that a seek of ours would move.
    size = os.fstat(output.fileno()).st_size
    text = os.pread(output.fileno(), LOG_BYTES, max(0, size - LOG_BYTES)).decode(errors="replace")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-LOG_LINES:]
    return "; the end of its output:" + "".join(f"\n    {line}" for line in lines) if lines else ", no output"


def _say(text: str) -> None:
    print(f"tokenswarm: {text}", file=sys.stderr, flush=True)
