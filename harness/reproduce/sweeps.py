"""Runs the experiments: a simulator for each profile, and one Locust sweep against it, as users run it.

A published wave is c requests at once, all awaited before the next. Here it is one pass over level c with one
request a user: the next level begins when all have been answered. So r waves of each level are
`--levels 1,2,4,8 --requests-per-level 1x --repeats r`.

Profiles are worked off side by side, for both sides of an experiment mostly wait: each of those that nobody
streams in a lane of its own, and those that are streamed, with up to 1,300 tokens a second, in a few.
"""

import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import harness
from harness import shipped
from harness.errors import ConfigError
from harness.proxy import past
from harness.say import say
from harness.servers.leash import leashed
from harness.servers.process import free_port, running
from harness.simulator.profile import Experiment, Profile

STREAMING_LANES: Final = 2
TOKENIZER: Final = Path(harness.__file__).parent / "simulator" / "tokenizer"
_LOOK_S: Final = 0.2
_STOP_S: Final = 5.0
NOT_STREAMED: Final = frozenset({"maritalk"})
_HEALTH: Final = {"maritalk": "/"}


@dataclass(frozen=True, slots=True)
class Sweep:
    """One Locust command: the levels of a profile. Its run directory is the only one in `folder`."""

    profile: Profile
    experiment: Experiment
    levels: tuple[int, ...]
    folder: Path
    attempt: int = 1

    def command(self, url: str) -> list[str]:
        """What to run; a user would type `locust` for its first three words."""
        settings = {
            "-f": shipped.locustfile(f"{self.profile.speaks}.py"),
            "--host": url,
            "--levels": ",".join(map(str, self.levels)),
            "--requests-per-level": "1x",
            "--repeats": self.experiment.repeats,
            "--prompt-tokens": self.experiment.prompt_tokens,
            "--output-tokens": self.experiment.output_tokens,
            "--tokenizer": TOKENIZER,
            "--results-dir": self.folder,
        }
        words = [str(word) for pair in settings.items() for word in pair]
        return [sys.executable, "-m", "locust", *words, "--headless"]

    @property
    def log(self) -> Path:
        """What Locust printed."""
        return self.folder / "locust.log"

    def again(self, levels: tuple[int, ...]) -> "Sweep":
        """Some of its levels once more, in a folder of their own."""
        attempt = self.attempt + 1
        folder = self.folder.with_name(f"{self.profile.name}-{attempt}")
        return replace(self, levels=levels, attempt=attempt, folder=folder)


@dataclass(slots=True)
class Lane:
    """Sweeps that are run one after another."""

    left: deque[Sweep]
    sweep: Sweep | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)


def sweep_of(profile: Profile, folder: Path) -> Sweep | None:
    """A profile's sweep over its levels in their order. None, if nothing was published of it."""
    experiment = profile.experiment
    if experiment is None:
        return None
    return Sweep(profile, experiment, tuple(experiment.levels), folder / profile.name)


def lanes(profiles: Iterable[Profile], folder: Path) -> list[Lane]:
    """What runs beside what; never two sweeps of one profile, for they would load the same server."""
    alone: list[Lane] = []
    shared = [Lane(deque()) for _ in range(STREAMING_LANES)]
    for profile in profiles:
        own = sweep_of(profile, folder)
        if own is None:
            continue
        if profile.speaks in NOT_STREAMED:
            alone.append(Lane(deque([own])))
        else:
            min(shared, key=lambda lane: sum(len(sweep.levels) for sweep in lane.left)).left.append(own)
    return [lane for lane in (*alone, *shared) if lane.left]


def run(profiles: Sequence[Profile], folder: Path, ended: Callable[[Sweep], tuple[int, ...]]) -> None:
    """Run all sweeps. `ended` is called with each when it is over, and says which levels have to be run again.

    Raises:
        ConfigError: Locust failed, or a server did not start.
    """
    with ExitStack() as stack:
        urls = {profile.name: stack.enter_context(_serving(profile)) for profile in profiles}
        busy = lanes(profiles, folder)
        stack.callback(_stop, busy)
        while busy:
            for lane in busy:
                if lane.process is None:
                    _begin(lane, urls)
                elif lane.process.poll() is not None and lane.sweep is not None:
                    _check(lane.sweep, lane.process.returncode)
                    if levels := ended(lane.sweep):
                        lane.left.appendleft(lane.sweep.again(levels))
                    lane.process = lane.sweep = None
            busy[:] = [lane for lane in busy if lane.process is not None or lane.left]
            time.sleep(_LOOK_S)


@contextmanager
def _serving(profile: Profile) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "harness.simulator", "--port", str(port), "--profile", profile.name]
    url = f"http://127.0.0.1:{port}"
    health = _HEALTH.get(profile.speaks, "/health")
    with running(command, url=url, health=health, name=profile.name, deadline_s=60):
        yield url


def _begin(lane: Lane, urls: dict[str, str]) -> None:
    sweep = lane.left.popleft()
    sweep.folder.mkdir(parents=True, exist_ok=True)
    command = sweep.command(urls[sweep.profile.name])
    say(f"reproduce: {sweep.profile.name}: {shlex.join(['locust', *command[3:]])}")
    with sweep.log.open("wb") as log:
        # A session of its own: Ctrl-C at the terminal is ours to hand on.
        lane.process = subprocess.Popen(
            leashed(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=past("127.0.0.1", os.environ),
            start_new_session=True,
        )
    lane.sweep = sweep


def _check(sweep: Sweep, code: int) -> None:
    if code:
        raise ConfigError(f"{sweep.profile.name}: locust ended with exit code {code}; see {sweep.log}")


def _stop(busy: Iterable[Lane]) -> None:
    processes = [lane.process for lane in busy if lane.process is not None]
    for process in processes:
        process.terminate()
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        process.kill()
        process.wait()
