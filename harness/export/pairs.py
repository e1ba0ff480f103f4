"""`..._individual_responses.json` and `..._summary.json` of each level, written in one pass over the table.

A row group at a time is read, and each request written as soon as it is: a million requests take the memory of one row
group and of the figures that the summaries are of.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from harness import files, results, rows, steadiness
from harness.export import llmperf, sambanova
from harness.export.batch import NEEDS, Batch
from harness.export.told import Level, Seen, sizes
from harness.journal import Window
from harness.windows import floats

__all__ = ["write"]

_FORMS: Final[Mapping[str, ModuleType]] = {"llmperf": llmperf, "sambanova": sambanova}
_SMALL: Final = ("level", "phase", "requested_prompt_tokens", "requested_output_tokens", "prompt_tokens", "output_tokens", "streamed")  # fmt: skip
_LISTS: Final = orjson.OPT_SERIALIZE_NUMPY


@dataclass(slots=True)
class _Open:
    """A level's file being written, and what has been seen of it."""

    level: Level
    stem: Path
    file: BinaryIO
    seen: Seen


def write(run_dir: Path, name: str) -> list[Path]:
    """Write one form of a run's levels into its directory; returns the files, two a level.

    Raises:
        ConfigError: the run has no results, they are damaged, or the disk refused.
    """
    form = _FORMS[name]
    run, summary = results.load_run(run_dir), results.load_summary(run_dir)
    phases = _phases(run_dir, run)
    found: list[Path] = []
    with files.refusals(run_dir, "free space, then export again"):
        with ExitStack() as stack:
            opened = {
                int(level.entry["level"]): _open(stack, run_dir, form, level)
                for level in _levels(run_dir, run, summary, phases)
            }
            _write_rows(run_dir, form, opened, phases)
        for one in opened.values():
            told = form.summary(one.level, one.seen, _timestamp(run))
            files.write(_named(one.stem, "summary"), files.as_json(told))
            found += [_named(one.stem, "individual_responses"), _named(one.stem, "summary")]
    return found


def _named(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}_{what}.json")


def _timestamp(run: Mapping[str, Any]) -> int:
    """When the run ended, Unix s: both tools take the time at which they write."""
    begun = int(run.get("begun_ns") or 0) // 1_000_000_000
    windows = [int(window["end_ns"]) // 1_000_000_000 for window in run.get("windows") or ()]
    return max([begun, *windows])


def _phases(run_dir: Path, run: Mapping[str, Any]) -> "Sequence[str] | None":
    """Each request's phase where `--warmup auto` has found it afterwards; None: as the table has it."""
    if not (run.get("settings") or {}).get("warmup_auto"):
        return None
    table = rows.load(run_dir / "requests.parquet", without=("chunk_gaps_us", "request_id", "response_id"))
    windows = [Window(**window) for window in run.get("windows", ())]
    settled: list[str] = steadiness.settle(table, windows, run).requests["phase"].tolist()
    return settled


def _levels(
    run_dir: Path, run: Mapping[str, Any], summary: Mapping[str, Any], phases: Sequence[str] | None
) -> Iterator[Level]:
    """The run's levels, with the sizes their requests asked for."""
    parts = [measured for measured, *_ in _measured(run_dir, _SMALL, phases)]
    every = pa.concat_tables([rows.ARROW.empty_table().select(list(_SMALL)), *parts]).to_pandas()
    settings = run.get("settings") or {}
    alike = len(settings.get("users") or ()) < 2 and not settings.get("mix")
    for entry in summary["levels"]:
        mine = every[every["level"] == entry["level"]]

        def size(what: str, column: str, entry: Mapping[str, Any] = entry, mine: Any = mine) -> Any:  # noqa: ANN401
            told = settings.get(what) if alike and entry.get("kind") != what else None
            return sizes(told, floats(mine[f"requested_{column}"]), floats(mine[column]))

        yield Level(
            entry=entry,
            run=run,
            prompt=size("prompt_tokens", "prompt_tokens"),
            output=size("output_tokens", "output_tokens"),
            is_streamed=bool(mine["streamed"].any()),
        )


def _measured(
    run_dir: Path, names: Sequence[str], phases: Sequence[str] | None
) -> Iterator[tuple[pa.Table, ...]]:
    """The measured rows, some at a time."""
    at = 0
    for table in rows.groups(run_dir / "requests.parquet", names):
        phase = table.column("phase") if phases is None else pa.array(phases[at : at + table.num_rows])
        at += table.num_rows
        yield (table.filter(pc.equal(phase, "measure")),)


def _open(stack: ExitStack, run_dir: Path, form: ModuleType, level: Level) -> _Open:
    stem = run_dir / form.folder(level) / form.stem(level)
    stem.parent.mkdir(parents=True, exist_ok=True)
    return _Open(level, stem, stack.enter_context(_beside(_named(stem, "individual_responses"))), Seen())


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    """A list being written beside `path`, renamed into place if all went well: several at once, unlike `files.place`."""
    beside = path.with_name(f".{path.name}.part"[-200:])
    try:
        with beside.open("wb") as file:
            file.write(b"[")
            yield file
            file.write(b"\n]\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()


def _write_rows(
    run_dir: Path, form: ModuleType, opened: Mapping[int, _Open], phases: Sequence[str] | None
) -> None:
    fields: Callable[[Batch], dict[str, Any]] = form.fields
    for (table,) in _measured(run_dir, NEEDS, phases):
        for level in pc.unique(table.column("level")).to_pylist():
            if level not in opened:  # the table has grown since the summary was made
                continue
            one, batch = opened[level], Batch(table.filter(pc.equal(table.column("level"), level)))
            columns = fields(batch)
            one.file.write(_lines(columns, first=not one.seen.requests))
            one.seen.add(batch, columns, form.SUMMARISED)


def _lines(columns: Mapping[str, Any], *, first: bool) -> bytes:
    """A line for each request. NaN becomes null."""
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    names = list(columns)
    each = [
        orjson.dumps(dict(zip(names, row, strict=True)), option=_LISTS) for row in zip(*plain, strict=True)
    ]
    return (b"" if first else b",") + b"\n" + b",\n".join(each) if each else b""
