"""A worker's journal: where it lies, what it begins with, what is left of it."""

from pathlib import Path
from typing import Any

import pytest

from harness import files, journal
from harness.distributed.notebook import Notebook
from harness.errors import ConfigError

RUN = {"schema": 1, "run_id": "r-1"}


def kinds(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """What a journal holds."""
    return list(journal.read(path))


def test_on_a_machine_of_its_own_it_is_a_run_directory(tmp_path: Path) -> None:
    """run.json beside it, so that it can be read without the master; nothing is left once the master has it."""
    book = Notebook.open(tmp_path / "mine", RUN, "h-0")
    assert not book.in_place
    assert book.place.endswith(f":{tmp_path}/mine/r-1/journal-h-0.jsonl")
    book.note_clock(5, -3, 2)
    source, offer = book.close()
    assert files.from_json(tmp_path / "mine" / "r-1" / "run.json") == RUN
    book.note_clock(6, -3, 2)  # orders go on while a worker waits for others: not a line that was lost
    (kind, first), clock, (last, _) = kinds(book.path)
    assert (kind, first["name"], first["run_id"]) == ("worker", "h-0", "r-1")
    assert clock == ("clock", {"time_ns": 5, "offset_ns": -3, "uncertainty_ns": 2})
    assert last == "event"
    assert (offer.name, offer.size) == ("journal-h-0.jsonl", book.path.stat().st_size)
    assert source.read(0, offer.size) == book.path.read_bytes()
    assert book.dropped == 0
    book.remove()
    assert list((tmp_path / "mine").iterdir()) == []


def test_in_the_masters_own_folder_it_is_the_masters(tmp_path: Path) -> None:
    """It is not for the worker to delete, unless nobody will come for it."""
    (tmp_path / "r-1").mkdir()
    files.write(tmp_path / "r-1" / "run.json", files.as_json(RUN))
    (tmp_path / "r-1" / "journal.jsonl").touch()
    book = Notebook.open(tmp_path, RUN, "h-0")
    assert book.in_place
    book.close()
    book.remove()
    assert book.path.is_file()
    book.remove(unused=True)
    assert sorted(path.name for path in (tmp_path / "r-1").iterdir()) == ["journal.jsonl", "run.json"]


def test_a_folder_of_another_run_is_not_the_masters(tmp_path: Path) -> None:
    """A run.json that says another id is overwritten by the right one."""
    (tmp_path / "r-1").mkdir()
    files.write(tmp_path / "r-1" / "run.json", files.as_json({"run_id": "r-0"}))
    book = Notebook.open(tmp_path, RUN, "h-0")
    book.close()
    assert not book.in_place
    assert files.from_json(tmp_path / "r-1" / "run.json") == RUN


def test_two_workers_of_one_machine_share_a_folder(tmp_path: Path) -> None:
    """The first to go leaves the other's; the last takes run.json with it."""
    one = Notebook.open(tmp_path, RUN, "h-0")
    other = Notebook.open(tmp_path, RUN, "h-1")
    for book in (one, other):
        book.close()
    assert not other.in_place
    one.remove()
    assert sorted(path.name for path in (tmp_path / "r-1").iterdir()) == ["journal-h-1.jsonl", "run.json"]
    other.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the option that mends it."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="choose another --results-dir for this worker"):
        Notebook.open(tmp_path / "file", RUN, "h-0")
