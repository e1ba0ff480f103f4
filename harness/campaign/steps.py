"""One run after another: start, wait, note how it ended, rest, go on.

Each run is a `locust --headless` in a process group of its own, so that Ctrl-C at the terminal reaches us and we hand it on,
once for each: the first lets the run drain and ends the campaign after it, the second has it give up what is in
flight, the third ends it. A run that fails does not end the campaign. What Locust prints goes to a log.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Final

from harness import files
from harness.campaign.matrix import Run
from harness.campaign.state import DONE_CODES, Entry, State
from harness.clock import now_ns, unix_now_ns
from harness.demo import LOCUST
from harness.errors import ConfigError
from harness.proxy import past
from harness.say import say
from harness.servers.drive import SIGNALS
from harness.servers.leash import leashed
from harness.servers.process import free_port

__all__ = ["HERE", "Stop", "environment", "go", "shown", "stopping"]

HERE: Final = "http://127.0.0.1:{port}"  # of a target without a host
_LOOK_S: Final = 0.2
_TELL_S: Final = 60.0
_SAID_BYTES: Final = 65_536
_OWN_ERROR: Final = "tokenswarm: error: "
_ENDING: Final = (
    b"tokenswarm: campaign: ending this run, then stopping; Ctrl-C again gives up what is in flight\n"
)


@dataclass(slots=True)
class Stop:
    """What Ctrl-C has said so far, and to whom it is handed on."""

    count: int = 0
    child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """A signal came."""
        self.count += 1
        if self.child is None:
            return
        if self.count == 1:
            os.write(2, _ENDING)  # `print` may be what the signal has interrupted
        self.child.send_signal(number)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Signals are heard by the `Stop` meanwhile."""
    stop = Stop()
    before = {number: signal.signal(number, stop.hear) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def go(
    left: Sequence[Run], every: Sequence[Run], state: State, *, folder: Path, cooldown_s: float, stop: Stop
) -> None:
    """Run what is `left` of `every`, until that is done or `stop` has heard something. `folder`: where to start Locust."""
    for number, run in enumerate(left):
        if number and cooldown_s:
            say(f"campaign: resting {cooldown_s:g} s")
            _rest(cooldown_s, stop)
        if stop.count:
            return
        remaining = _remaining_s(left[number:], state, cooldown_s)
        about = f", {_span(remaining)} left" if remaining is not None else ""
        say(f"campaign: run {every.index(run) + 1} of {len(every)}: {run.key}{about}")
        entry = _one(run, state, folder, stop)
        state.put(run.key, entry)
        say(f"campaign:   {_told(entry)}")


def _one(run: Run, state: State, folder: Path, stop: Stop) -> Entry:
    results = state.folder / "runs" / run.slug
    before = state.entries.get(run.key)
    attempts = before.attempts + 1 if before is not None else 1
    log = results / f"locust-{attempts}.log"
    with files.refusals(results, "free some space, then start the campaign again"):
        results.mkdir(parents=True, exist_ok=True)
        known = {path.name for path in results.iterdir()}
    began = Entry(
        "running", run.asked(), unix_now_ns(), log=str(log.relative_to(state.folder)), attempts=attempts
    )
    state.put(run.key, began)
    host = (run.host or HERE).replace("{port}", str(free_port()))
    begin_ns = now_ns()
    code = _locust(run, run.words(host, results), folder, log, stop)
    seconds = round((now_ns() - begin_ns) / 1e9, 1)
    new = sorted(path for path in results.iterdir() if path.name not in known and path.is_dir())
    directory = str(new[-1].relative_to(state.folder)) if new else None
    is_whole = bool(new) and (new[-1] / "summary.json").is_file()
    ended = replace(began, seconds=seconds, exit_code=code, directory=directory)
    if code in DONE_CODES and is_whole:
        return replace(ended, status="done")
    if stop.count:
        return replace(ended, status="interrupted")
    lacks = files.from_json(new[-1] / "summary.json")["incomplete"] if is_whole else []
    return replace(ended, status="failed", reason="; ".join(lacks) or _reason(code, log))


def _locust(run: Run, words: Sequence[str], folder: Path, log: Path, stop: Stop) -> int:
    """Run Locust to its end; its exit code, or 128 + its signal."""
    with log.open("wb") as output:
        output.write(f"$ {shown(run, words)}\n".encode())
        output.flush()
        stop.child = subprocess.Popen(
            leashed([sys.executable, "-c", LOCUST, *words]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(run, os.environ),
            cwd=folder,
            process_group=0,
        )
    if stop.count:  # it came before there was a child
        stop.child.send_signal(signal.SIGINT)
    code = _wait(stop.child, run)
    stop.child = None
    return code if code >= 0 else 128 - code


def _wait(child: "subprocess.Popen[bytes]", run: Run) -> int:
    begin_ns = now_ns()
    while True:
        try:
            return child.wait(_TELL_S)
        except subprocess.TimeoutExpired:
            say(f"campaign:   {run.key}: {_span((now_ns() - begin_ns) / 1e9)} so far")


def environment(run: Run, environ: Mapping[str, str]) -> dict[str, str]:
    """What a run is started under: ours, and what the file adds."""
    whole = {**environ, **run.env}
    return past("127.0.0.1", whole) if run.host is None else whole


def shown(run: Run, words: Sequence[str]) -> str:
    """The command as a user would type it."""
    return " ".join(
        [*(f"{name}={shlex.quote(value)}" for name, value in run.env.items()), shlex.join(["locust", *words])]
    )


def _rest(seconds: float, stop: Stop) -> None:
    end_ns = now_ns() + int(seconds * 1e9)
    while not stop.count and now_ns() < end_ns:
        time.sleep(_LOOK_S)


def _remaining_s(left: Sequence[Run], state: State, cooldown_s: float) -> float | None:
    """By how long runs took so far, those of the same target if there are any; None: nothing is known yet."""
    took: dict[str, list[float]] = {}
    for key, entry in state.entries.items():
        if entry.is_done and entry.seconds is not None:
            took.setdefault(key.split(" ")[0], []).append(entry.seconds)
    everyones = [one for times in took.values() for one in times]
    if not everyones:
        return None
    means = [took.get(run.target, everyones) for run in left]
    return sum(sum(times) / len(times) for times in means) + cooldown_s * (len(left) - 1)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _told(entry: Entry) -> str:
    took = (
        f"{entry.status} in {_span(entry.seconds or 0).removeprefix('about ')}, exit code {entry.exit_code}"
    )
    return f"{took}: {entry.reason}" if entry.reason else took


def _reason(code: int, log: Path) -> str:
    """Why a run failed, by what it said last of errors."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _SAID_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        raise ConfigError(f"{log}: {error.strerror}; start the campaign again") from None
    own = [line.removeprefix(_OWN_ERROR) for line in lines if line.startswith(_OWN_ERROR)]
    said = own[0] if own else next((line.strip() for line in reversed(lines) if line.strip()), "")
    shorter = said if len(said) <= 300 else f"{said[:297]}..."
    return f"exit code {code}: {shorter}" if not own else shorter
