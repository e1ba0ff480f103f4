"""A worker's journal: where it lies, what it begins with, and how it is handed over.

It lies in `<results-dir>/<run-id>/` of the worker's own machine. If that folder is the master's run directory, since the two
share a file system, the journal is where it belongs from the beginning. Otherwise run.json is put beside it, so that
the folder is a run directory that `tokenswarm collect` can read by itself, should nobody come for it.
"""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from harness import files
from harness.clock import unix_now_ns
from harness.distributed.parcel import FileSource, Offer, offer
from harness.journal import Journal
from harness.scribe import Scribe

__all__ = ["Notebook"]

MASTERS: Final = "journal.jsonl"  # the master's own journal, which is nowhere but in its run directory


class Notebook:
    """One worker's journal of one run."""

    def __init__(self, path: Path, *, in_place: bool) -> None:
        """An open one; see `open`."""
        self.path = path
        self.in_place = in_place
        self.place = f"{platform.node()}:{path.absolute()}"
        self._is_closed = False
        self._journal = Journal(path)
        self.scribe = Scribe(self._journal)

    @classmethod
    def open(cls, results_dir: Path, run: Mapping[str, Any], name: str) -> "Notebook":
        """Begin the journal of the worker `name` in the run whose run.json is given.

        Raises:
            ConfigError: it cannot be written there.
        """
        folder = results_dir / str(run["run_id"])
        with files.refusals(folder, "choose another --results-dir for this worker"):
            known = folder / "run.json"
            is_known = known.is_file() and files.from_json(known).get("run_id") == run["run_id"]
            in_place = is_known and (folder / MASTERS).is_file()  # or another worker of this machine made it
            if not is_known:
                folder.mkdir(parents=True, exist_ok=True)
                mine = folder / f".{name}.json"  # workers of one machine may come here at the same time
                files.write(mine, files.as_json(dict(run)))
                mine.replace(known)
        notebook = cls(folder / f"journal-{name}.jsonl", in_place=in_place)
        notebook.scribe.append(
            "worker",
            {"name": name, "host": platform.node(), "pid": os.getpid(), "run_id": run["run_id"]},
        )
        return notebook

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self.scribe.dropped + self._journal.dropped

    def note_clock(self, time_ns: int, offset_ns: int, uncertainty_ns: int) -> None:
        """By how much this process's clock is ahead of the run's, as estimated now; of no use once all is written."""
        if self._is_closed:
            return
        self.scribe.append(
            "clock", {"time_ns": time_ns, "offset_ns": offset_ns, "uncertainty_ns": uncertainty_ns}
        )

    def close(self) -> tuple[FileSource, Offer]:
        """Write what waits and close it; what there is to hand over. What the disk refused follows the file's end."""
        self.scribe.append("event", {"time_ns": unix_now_ns(), "what": "the journal is complete"})
        self._is_closed = True
        self.scribe.close()
        self._journal.close()
        source = FileSource(self.path, self._journal.kept)
        return source, offer(self.path.name, source)

    def remove(self, *, unused: bool = False) -> None:
        """The master has it, or (`unused`) nobody will. Where it lies in the master's folder, that is the master's business."""
        if self.in_place and not unused:
            return
        with suppress(OSError):
            self.path.unlink()
            folder = self.path.parent
            if not self.in_place and not list(folder.glob("journal*.jsonl")):  # of others on this machine
                (folder / "run.json").unlink()
                folder.rmdir()
