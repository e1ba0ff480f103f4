"""The run directories below the results directory: which there are, the newest first, and what has changed since.

    results/RUN-ID                       a run
    results/CAMPAIGN/runs/RUN-ID         a campaign's; its id here is that path

No file is opened: names sort by the time in them, and what may have changed shows in the stamps of the directory, of run.json and
of summary.json (each is renamed into place). The looking is cut into slices, so that thousands of directories hold nothing up.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harness import inside
from harness.digest import is_journal

__all__ = ["Entry", "entries", "is_id", "stamped"]

SLICE: Final = 50  # directories that are looked at before others have their turn: about a millisecond
MOST: Final = 20_000  # the newest; whoever has more has other means
_RUN_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-", re.ASCII)
_RUNS: Final = "runs"  # of a campaign's folder


@dataclass(frozen=True, slots=True)
class Entry:
    """A run directory. `stamp`: anything that differs once one of its results has."""

    id: str
    began: str  # as run ids begin: they sort by it
    stamp: tuple[int, ...] = ()
    journal_ns: int | None = None  # when its journal was last written to, Unix ns, where there is no summary

    @property
    def parts(self) -> list[str]:
        """The names that lead to it from the results directory."""
        return self.id.split("/")


def is_id(run: str) -> bool:
    """It could be one of ours: one plain name, or a campaign's, `runs` and one more."""
    parts = run.split("/")
    return all(map(inside.is_plain, parts)) and (len(parts) == 1 or (len(parts) == 3 and parts[1] == _RUNS))


def entries(root: Path, pause: Callable[[], object]) -> list[Entry]:
    """All run directories below `root`, the newest first, without their stamps; none where there is no such folder.

    Links are not followed, and names that JSON cannot hold are left out.
    """
    found: list[Entry] = []
    for count, (name, path) in enumerate(_folders(root)):
        if count % SLICE == SLICE - 1:
            pause()
        if _RUN_NAME.match(name):
            found.append(Entry(name, name[:16]))
        elif _is_file(path, "run.json"):
            found.append(Entry(name, _began(path)))
        elif _is_file(path, "campaign.json"):
            found += [
                Entry(f"{name}/{_RUNS}/{run}", run[:16] if _RUN_NAME.match(run) else _began(below))
                for run, below in _folders(Path(path, _RUNS))
            ]
    found.sort(key=lambda entry: (entry.began, entry.id), reverse=True)
    return found[:MOST]


def stamped(root: Path, found: list[Entry], pause: Callable[[], object]) -> list[Entry]:
    """The same with their stamps, without those that are gone."""
    told: list[Entry] = []
    for count, entry in enumerate(found):
        if count % SLICE == SLICE - 1:
            pause()
        path = os.path.join(root, entry.id)  # noqa: PTH118  thousands of them
        try:
            own = os.lstat(path).st_mtime_ns
        except OSError:
            continue
        run, summary = _stamp(f"{path}/run.json"), _stamp(f"{path}/summary.json")
        journal_ns = None if summary[0] else _journal_ns(path)
        told.append(Entry(entry.id, entry.began, (own, *run, *summary), journal_ns))
    return told


def _folders(root: str | Path) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(root) as every:
            for one in every:
                if one.is_dir(follow_symlinks=False) and inside.is_plain(one.name):
                    yield one.name, one.path
    except OSError:
        return


def _is_file(path: str, name: str) -> bool:
    return os.path.isfile(f"{path}/{name}")  # noqa: PTH113


def _began(path: str) -> str:
    try:
        made = os.lstat(path).st_mtime
        return datetime.fromtimestamp(made, UTC).strftime("%Y%m%dT%H%M%SZ")
    except (OSError, ValueError, OverflowError):
        return ""


def _stamp(path: str) -> tuple[int, int]:
    """When it was written, and its size; zeros where it is not."""
    try:
        found = os.lstat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _journal_ns(path: str) -> int | None:
    try:
        with os.scandir(path) as every:
            return max(
                (one.stat(follow_symlinks=False).st_mtime_ns for one in every if is_journal(one.name)),
                default=None,
            )
    except OSError:
        return None
