"""One server as a child process: start it, wait until it is healthy, stop it, leave nothing behind.

    with running(command, url=url, health="/health", name="llama.cpp", deadline_s=60) as server:
        ...
    with serving(recipe, deadline_s=600) as server:
        ...

Rules of this file
1. Leaving the context, by whatever way, ends the child and all it started: SIGTERM to its process group,
   SIGKILL after a grace time or at once on a second Ctrl-C; then the recipe's own clean-up. SIGTERM and
   SIGHUP of our own process leave it like Ctrl-C does. If we are killed outright, the child dies at once on
   Linux (`harness.servers.leash`), and the rest of its group and its container a moment later, anywhere
   (`harness.servers.guard`).
2. The child has a session of its own, so that Ctrl-C at the terminal reaches us and not it: the server
   must outlive the drain of the load.
3. Every failure to start is one `ServerFailed` that says what happened and shows the end of the log.

It works in a plain process and in one that gevent has patched, and knows neither gevent nor Locust. It
does not restart a server, and reads nothing from it but its health route.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from harness.say import say
from harness.servers.guard import Guard
from harness.servers.leash import leashed
from harness.servers.output import ServerFailed, opened
from harness.servers.ready import ReadyCheck
from harness.servers.recipe import GRACE_S, Recipe
from harness.servers.waiting import address, wait_until_ready

__all__ = ["Server", "ServerFailed", "brief", "free_port", "running", "serving"]

AFTERWARDS_S = 30.0
BRIEF_CHARACTERS = 200
ALREADY_GONE = re.compile("no such|already in progress", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answered its health route; gone when its context is left."""

    name: str
    url: str
    pid: int  # also the id of its process group and session
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)

    def ending(self) -> str | None:
        """How it ended, in words; None while it runs."""
        if self.process is None or self.process.poll() is None:
            return None
        return _ending(self.process.returncode)

    def wait(self) -> None:
        """Wait until it ends by itself, or a signal ends the waiting."""
        if self.process is not None:
            self.process.wait()


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
    """`serving` of a recipe that has nothing special: ready when `url` + `health` answers 200.

    `env` replaces the whole environment.

    Raises:
        ServerFailed: see `serving`.
    """
    recipe = Recipe(name, command, url, ReadyCheck(health), env=env, grace_s=grace_s)
    with serving(recipe, deadline_s=deadline_s, log=log) as server:
        yield server


@contextmanager
def serving(
    recipe: Recipe,
    *,
    deadline_s: float,
    log: Path | None = None,
    signals: bool = True,
    tells: bool = False,
) -> Iterator[Server]:
    """Run the recipe's command until the context is left; entered once it is ready.

    Output goes to `log`, emptied first, or to a nameless temporary file. `signals` off leaves the process's
    signals alone. `tells`: at Ctrl-C it is said that the server is being stopped, and how to cut that short.
    A server that died on its own while in use is reported on stderr, not raised: what the load saw of it is in
    the records.

    Raises:
        ServerFailed: no such program, the port is taken, it exited before it was ready, or it was not
            ready within `deadline_s`.
    """
    _check_startable(recipe)
    with (
        _signals_as_interrupt() if signals else nullcontext(),
        opened(log, recipe.secret_names) as output,
        _guarded(recipe) as guard,
    ):
        process, told = _start(recipe, output.sink), ""
        try:
            guard.watch(process.pid)
            output.given()
            server = Server(recipe.name, recipe.url, process.pid, process)
            wait_until_ready(recipe, output, server.ending, deadline_s)
            yield server
            if how := server.ending():
                output.finish()
                say(f"{recipe.name} died during the run ({how}){output.tail()}")
        except KeyboardInterrupt:
            told = f"stopping {recipe.name}; Ctrl-C again kills it" if tells else ""
            raise
        finally:
            _stop(process, recipe.grace_s, told)


def _check_startable(recipe: Recipe) -> None:
    """What the launcher could only tell badly, and what a health check would mistake for success."""
    program = recipe.command[0]
    path = None if recipe.env is None else recipe.env.get("PATH")
    if shutil.which(program, path=path) is None:
        raise ServerFailed(f"{recipe.name} cannot be started: no program {program!r}; {recipe.missing}")
    with suppress(OSError), socket.create_connection(address(recipe.url), timeout=1):
        raise ServerFailed(
            f"{recipe.name} cannot be started: something already listens at {recipe.url}; "
            "stop it or choose another port"
        )


def _start(recipe: Recipe, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        leashed(recipe.command, recipe.secret_names),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=recipe.env,
        start_new_session=True,
    )


@contextmanager
def _guarded(recipe: Recipe) -> Iterator[Guard]:
    """A guard, released when all that it would do has been done; an interrupted clean-up is left to it."""
    guard = Guard(recipe.afterwards)
    try:
        yield guard
    finally:
        if recipe.afterwards:
            _clean_up(recipe)
        guard.release()


def _clean_up(recipe: Recipe) -> None:
    code, said = brief(recipe.afterwards, AFTERWARDS_S)
    if code != 0 and not ALREADY_GONE.search(said):
        say(f"{recipe.name} may be left running ({said}): run `{' '.join(recipe.afterwards)}`")


def brief(command: Sequence[str], limit_s: float) -> tuple[int | None, str]:
    """Run a short command to its end: its exit code and what it said on stderr, on one line; None if it had no end."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer in {limit_s:g} s"
    except OSError as error:
        return None, str(error.strerror)
    return done.returncode, " ".join(done.stderr.split())[:BRIEF_CHARACTERS]


def _stop(process: subprocess.Popen[bytes], grace_s: float, told: str = "") -> None:
    """End the child and whatever else is in its group; a second Ctrl-C cuts the grace short, and `told` may say so."""
    try:
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            if told:  # not a moment before: an interrupt would end the telling, and not the grace
                say(told)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], signum: int) -> None:
    # An empty group is no such process on Linux, and one of zombies is no permission on macOS.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack like Ctrl-C, where nobody else has claimed them."""
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for signum in ours:
        signal.signal(signum, _interrupt)
    try:
        yield
    finally:
        for signum in ours:
            signal.signal(signum, signal.SIG_DFL)


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _ending(code: int) -> str:
    return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
