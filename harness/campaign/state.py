"""campaign.json: what has been run, with which words, and how it ended. The file is whole at every moment.

A run is done when its results are complete, whatever they say (exit codes 0, 1, 3, 4). It is *the* run only as long as the
campaign asks what it was asked then (`Run.asked`). Unknown runs, of targets that the file no longer has, are kept.
"""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from harness import files
from harness.campaign.matrix import Run
from harness.errors import ConfigError

__all__ = ["DONE_CODES", "Entry", "State", "changes", "locked"]

SCHEMA: Final = 1
NAME: Final = "campaign.json"
DONE_CODES: Final = (0, 1, 3, 4)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run as it was last run."""

    status: str  # running, done, failed, interrupted
    asked: Mapping[str, Any]
    began_ns: int  # Unix
    seconds: float | None = None
    exit_code: int | None = None
    directory: str | None = None  # of its results, below the campaign's folder
    log: str | None = None
    reason: str | None = None  # why it failed
    attempts: int = 1

    @property
    def is_done(self) -> bool:
        """Its results are there."""
        return self.status == "done"


@dataclass(slots=True)
class State:
    """What is known of a campaign's runs; every change is written at once."""

    folder: Path
    name: str
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, name: str) -> "State":
        """What the folder holds; empty if there is none.

        Raises:
            ConfigError: the folder is of another campaign, or its campaign.json is damaged.
        """
        path = folder / NAME
        if not path.exists():
            return cls(folder, name)
        told = files.from_json(path)
        if told.get("schema") != SCHEMA or not isinstance(told.get("runs"), dict):
            raise ConfigError(f"{path}: not of this version of tokenswarm; give another campaign.results")
        if told.get("name") != name:
            raise ConfigError(
                f"{path}: of the campaign {told.get('name')!r}, not of {name!r}; give another campaign.results"
            )
        try:
            entries = {key: Entry(**entry) for key, entry in told["runs"].items()}
        except TypeError as error:
            raise ConfigError(f"{path}: damaged ({error}); restore the file, or remove it") from None
        return cls(folder, name, entries)

    def put(self, key: str, entry: Entry) -> None:
        """Set a run's entry, on disk too.

        Raises:
            ConfigError: the disk refuses.
        """
        self.entries[key] = entry
        runs = {name: asdict(one) for name, one in self.entries.items()}
        with files.refusals(self.folder / NAME, "free some space, then start the campaign again"):
            files.write(
                self.folder / NAME,
                files.as_json({"schema": SCHEMA, "name": self.name, "runs": runs}),
            )

    def of(self, run: Run) -> Entry | None:
        """How the run ended, if it was asked the same; one that was cut off counts as interrupted."""
        entry = self.entries.get(run.key)
        if entry is None or changes(entry.asked, run.asked()):
            return None
        return replace(entry, status="interrupted") if entry.status == "running" else entry

    def changed(self, runs: Sequence[Run]) -> dict[str, list[str]]:
        """What the file now asks of runs otherwise than when they were run, by run."""
        found = {
            run.key: changes(self.entries[run.key].asked, run.asked())
            for run in runs
            if run.key in self.entries
        }
        return {key: lines for key, lines in found.items() if lines}

    def orphans(self, runs: Sequence[Run]) -> list[str]:
        """Runs that were done and that the file no longer makes."""
        known = {run.key for run in runs}
        return [key for key, entry in self.entries.items() if entry.is_done and key not in known]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, a line each: `options.prompt-tokens: 64 -> 128`."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{name}: {_shown(old.get(name))} -> {_shown(new.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else runs this campaign meanwhile; the lock goes with the process, however that ends.

    Raises:
        ConfigError: somebody does, or the folder cannot be made.
    """
    with files.refusals(folder, "choose another campaign.results"):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "campaign.lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{folder}: a campaign is running in it; wait for its end, or stop it"
            ) from None
        yield
