"""`tokenswarm collect`: journals that a crash left behind, merged into a run by hand.

The journal of a worker that was killed, cut off or frozen lies where it ran; those of a run whose master was killed lie in its run
directory. Each is read as far as it goes, and its requests join the run's table unless they are there already: to collect
a journal twice, or a copy of it, does no harm. What the run says of itself stays true: it was not complete, and is not
made so afterwards.

A journal given on the command line is never changed. One in the run directory is deleted once it is merged, but for one
that a worker may still be writing.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import files, journal, results
from harness.errors import ConfigError
from harness.run_hold import refuse_held

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from harness.merge import Told
    from harness.volume import Volume

__all__ = ["add_parser", "main"]

KINDS: Final = frozenset(("record", "health", "server", "window", "event", "worker", "clock"))
EPILOG: Final = """\
Examples:
  tokenswarm collect results/20261121T101500Z-llamacpp-native-1a2b3c
  scp hostb:results/20261121T101500Z-llamacpp-native-1a2b3c/journal-hostb-0.jsonl .
  tokenswarm collect results/20261121T101500Z-llamacpp-native-1a2b3c journal-hostb-0.jsonl
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `collect` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "collect",
        help="merge journals that a crash left behind into a run's results",
        description="Merge journals into a run's results: those that lie in its directory after a crash, and those given,\n"
        "such as a lost worker's, copied from its host. Requests that are there already stay as they are, so a\n"
        "journal may be given twice. Then all results are written again. Exit code: 0 complete, 5 not, 2 wrong usage.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "journals",
        type=Path,
        nargs="*",
        metavar="JOURNAL",
        help="a journal*.jsonl, or a directory that holds some; none is changed",
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Merge, write, print; 0 or 5.

    Raises:
        ConfigError: what was given is not what it should be, or the disk refused. Nothing is lost.
    """
    directory = args.directory
    refuse_held(directory)
    run = results.load_run(directory)
    paths = _journals(directory, args.journals, str(run["run_id"]))
    from harness import maritaca_says, outputs, tables  # noqa: PLC0415  # pandas takes a second to import

    told = outputs.gather(directory, paths)
    run = with_collected(run, told, directory)
    summary = outputs.complete(
        directory, run, told, keep=outputs.owned(told, directory), quiet_s=outputs.QUIET_S
    )
    for line in _said(told, directory):
        print(line)
    print(maritaca_says.of_run(directory, summary))
    print(tables.render(summary, run["settings"], run_dir=directory))
    return 0 if summary["complete"] else 5


def _journals(directory: Path, given: Sequence[Path], run_id: str) -> list[Path]:
    """The files to merge, the run's own first, each once.

    Raises:
        ConfigError: one is not there, is no journal, or is another run's; or there is none at all.
    """
    paths = sorted(directory.glob("journal*.jsonl"))
    for path in given:
        if path.is_dir():
            found = sorted(path.glob("journal*.jsonl"))
            if not found:
                raise ConfigError(
                    f"{path}: holds no journal*.jsonl; give a worker's run directory or a journal"
                )
            paths += found
        elif path.is_file():
            if not any(kind in KINDS for kind, _ in _beginning(path)):
                raise ConfigError(
                    f"{path}: not a journal (no line of one in it); give a worker's journal-<worker>.jsonl"
                )
            paths.append(path)
        else:
            raise ConfigError(f"{path}: no such file; give a journal*.jsonl or a directory that holds some")
    if not paths:
        raise ConfigError(
            f"{directory}: no journal lies in it and none was given; `tokenswarm report` shows what there is"
        )
    once = list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
    for path in once:
        if (other := _run_of(path)) not in (None, run_id):
            raise ConfigError(f"{path}: the journal of run {other!r}, not of {run_id!r}")
    return once


def _beginning(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of its first part that holds any."""
    return next((pairs for lines in journal.blocks(path) if (pairs := journal.parse(lines)[0])), [])


def _run_of(path: Path) -> str | None:
    """Which run it says it is of, or the run.json beside it does; None if neither."""
    said = (value.get("run_id") for kind, value in _beginning(path) if kind == "worker")
    if (run_id := next(said, None)) is not None:
        return str(run_id)
    beside = path.parent / "run.json"
    return str(files.from_json(beside).get("run_id")) if beside.is_file() else None


def with_collected(run: Mapping[str, Any], told: "Told", directory: Path) -> dict[str, Any]:
    """run.json with what has come: a line behind that of its worker, and its statement's journal, if it is that one."""
    before = "windows" in run  # else the results are made now, for the first time
    lines = list(run.get("incomplete", ())) + ([] if before else [results.CRASHED])
    for one in told.journals:
        new = one.records - one.doubled
        if new and (before or one.path.parent != directory):
            name = one.worker or one.path.name
            own = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
            at = max((place for place, line in enumerate(lines) if own.search(line)), default=len(lines) - 1)
            lines.insert(at + 1, f"journal of {name} collected later: {_many(new, 'record')}")
    collected = dict(run) | {"incomplete": list(dict.fromkeys(lines))}
    if "workers" in run:
        collected["workers"] = [_verified(one, told) for one in run["workers"]]
    return collected


def _verified(statement: Mapping[str, Any], told: "Told") -> dict[str, Any]:
    """A worker's statement; its journal is verified if it is what the worker signed, byte for byte."""
    signed = statement.get("journal")
    if not isinstance(signed, Mapping) or signed.get("verified") or not signed.get("sha256"):
        return dict(statement)
    for one in told.journals:
        if one.worker == statement.get("name") and one.size == signed.get("bytes"):
            with one.path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == signed["sha256"]:
                    return dict(statement) | {"journal": {**signed, "verified": True}}
    return dict(statement)


def _said(told: "Told", directory: Path) -> Iterator[str]:
    for one in told.journals:
        yield f"{one.path}: {_counts(one)}"
        if one.path.parent == directory and one.path.exists():
            print(
                f"tokenswarm collect: {one.path} is kept: its worker may still be writing it", file=sys.stderr
            )


def _counts(one: "Volume") -> str:
    said = f"{_many(one.records, 'record')}, {one.records - one.doubled:,} new, {one.doubled:,} there already"
    return said + (f", {_many(one.garbled, 'line')} that could not be read" if one.garbled else "")


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
