"""What `harness.digest` has said of run directories, kept as the JSON that it wrote until a directory changes.

Nothing is parsed here: a list of runs is those lines, one after another.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
from gevent.lock import RLock

from harness.web.results_child import call
from harness.web.results_place import Entry

__all__ = ["Shelf"]

MOST: Final = 10_000  # of a kilobyte or a few each
LIMIT_S: Final = 120.0

Line = tuple[bytes, bytes]  # row and details, both JSON


class Shelf:
    """The digests of one process' pages."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, str], tuple[tuple[int, ...], Line]] = OrderedDict()
        self._lock = RLock()  # one child at a time: a second page waits, and finds what it needs

    def rows(self, root: Path, entries: Sequence[Entry]) -> list[bytes]:
        """Rows of these directories, in order."""
        return [row for row, _ in self._lines(root, entries)]

    def details(self, root: Path, entry: Entry) -> bytes:
        """The details of one."""
        ((_, details),) = self._lines(root, [entry])
        return details

    def _lines(self, root: Path, entries: Sequence[Entry]) -> list[Line]:
        with self._lock:
            new = [entry for entry in entries if self._known(root, entry) is None]
            read = self._read(root, new) if new else {}
            lines = [self._known(root, entry) or read[entry.id] for entry in entries]
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return lines

    def _known(self, root: Path, entry: Entry) -> Line | None:
        stamp, line = self._kept.get((root, entry.id), (None, None))
        return line if stamp == entry.stamp else None

    def _read(self, root: Path, entries: Sequence[Entry]) -> dict[str, Line]:
        """Lines by id; of one that could not be read, one that says so and is not kept."""
        ids = b"\0".join(entry.id.encode() for entry in entries)
        done = call(["-m", "harness.digest", str(root)], given=ids, limit_s=LIMIT_S)
        lines = [line.partition(b"\t") for line in done.out.split(b"\n")[:-1]]
        why = f"it could not be read ({(done.err.strip().splitlines() or ['the reader was stopped'])[-1][:200]})"
        found: dict[str, Line] = {}
        for count, entry in enumerate(entries):
            if count < len(lines):
                row, _, details = lines[count]
                found[entry.id] = row, details
                self._kept[root, entry.id] = entry.stamp, (row, details)
                self._kept.move_to_end((root, entry.id))
            else:
                told = {"id": entry.id, "run_id": entry.parts[-1], "state": "damaged", "problem": why}
                found[entry.id] = orjson.dumps(told), orjson.dumps({"id": entry.id})
        return found
