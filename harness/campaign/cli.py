"""`tokenswarm campaign FILE.toml`: a matrix of runs, one after another, and one table at the end.

Exit code: the worst of its runs', in the order in which one outranks the other: 2, 5, 4, 3, 1, 0; a run that is missing
counts as 5. 2 also for a file that is wrong, found before any load.
"""

import argparse
import fnmatch
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import files
from harness.campaign import file, matrix, steps
from harness.campaign.check import ambient, problems
from harness.campaign.file import Campaign
from harness.campaign.matrix import Run
from harness.campaign.state import NAME, Entry, State, locked
from harness.errors import ConfigError
from harness.say import say

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "main", "worst"]

_DESCRIPTION = """\
Run a matrix: every target of a TOML file, each reached or started in turn, with every combination of the file's axes.
Each run is a `locust --headless` with a run directory of its own. What is done is not run again, so the same command
goes on where it was stopped. At the end one table compares them all: on the console, in campaign.md and campaign.csv.
"""
_EPILOG = """\
example, slots.toml:
  [campaign]
  name = "llamacpp-slots"
  locustfile = "llamacpp.py"

  [options]
  levels = [1, 4]
  requests-per-level = "10x"
  prompt-tokens = 128
  output-tokens = 64

  [[target]]
  name = "np1"
  serve = "llamacpp --slots 1"

  [[target]]
  name = "np4"
  serve = "llamacpp --slots 4"

  tokenswarm campaign slots.toml --dry-run      what it would run
  tokenswarm campaign slots.toml                run it, or the rest of it

docs/campaigns.md has the whole format.
"""
_RANK: Final = (0, 1, 3, 4, 5, 2)  # the worst last
_INCOMPLETE: Final = 5


@dataclass(frozen=True, slots=True)
class _Job:
    """A campaign as this command is to run it."""

    campaign: Campaign
    folder: Path  # of its results
    runs: Sequence[Run]  # all
    chosen: Sequence[Run]  # by --only
    state: State


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `campaign` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "campaign",
        help="run a matrix of targets and settings from a TOML file, and compare them in one table",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE.toml", help="what to run")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only this target, or the runs whose name matches, e.g. 'np4*' (repeatable)",
    )
    parser.add_argument("--retry", action="store_true", help="run those that failed again")
    parser.add_argument(
        "--retry-invalid", action="store_true", help="run those whose verdict is invalid again"
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="the campaign's folder, instead of the file's"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="say what has been run and what has not")
    what.add_argument("--dry-run", action="store_true", help="check everything and print the commands")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Run the campaign, or what is left of it. Returns the exit code.

    Raises:
        ConfigError: the file or a run's options are wrong; nothing was run.
    """
    job = _job(args)
    if args.list:
        _list(job)
        return 0
    left = [run for run in job.chosen if _is_left(job.state.of(run), args, job.folder)]
    _check(job, left)
    if args.dry_run:
        _print_commands(job, left)
        return 0
    with locked(job.folder):
        state = State.load(job.folder, job.campaign.name)  # another may have run meanwhile
        job = _Job(job.campaign, job.folder, job.runs, job.chosen, state)
        _tell(job, left)
        with steps.stopping() as stop:
            steps.go(
                left,
                job.runs,
                state,
                folder=job.campaign.folder,
                cooldown_s=job.campaign.cooldown_s,
                stop=stop,
            )
        _print_table(job)
    return worst([job.state.of(run) for run in job.chosen])


def _job(args: argparse.Namespace) -> _Job:
    campaign = file.read(args.file)
    runs = matrix.plan(campaign)
    folder = (args.results or campaign.results).absolute()
    chosen = [run for run in runs if _is_chosen(run, args.only)]
    if not chosen:
        names = ", ".join(dict.fromkeys(run.target for run in runs))
        raise ConfigError(
            f"--only {' '.join(args.only)}: no run is named so; targets are {names} (--list shows all runs)"
        )
    return _Job(campaign, folder, runs, chosen, State.load(folder, campaign.name))


def _is_chosen(run: Run, only: Sequence[str] | None) -> bool:
    if not only:
        return True
    names = (run.target, run.row, run.key)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in only)


def _is_left(entry: Entry | None, args: argparse.Namespace, folder: Path) -> bool:
    if entry is None or entry.status == "interrupted":
        return True
    if entry.status == "failed":
        return bool(args.retry)
    summary = folder / str(entry.directory) / "summary.json"
    if not summary.is_file():
        return True
    return bool(args.retry_invalid) and files.from_json(summary)["verdict"]["status"] == "invalid"


def _check(job: _Job, left: Sequence[Run]) -> None:
    if found := problems(left, job.campaign.folder, job.folder):
        raise ConfigError("\n".join(f"{job.campaign.path.name}: {problem}" for problem in found))


def _tell(job: _Job, left: Sequence[Run]) -> None:
    """What is done already, what has changed since, what else has a say."""
    for key, lines in job.state.changed(job.chosen).items():
        say(f"campaign: the file asks something else of {key} than when it was run; it is run again")
        for line in lines:
            say(f"campaign:   {line}")
    if orphans := job.state.orphans(job.runs):
        say(
            f"campaign: {len(orphans)} runs are no longer in the file and not in the table: {', '.join(orphans)}"
        )
    for name in ambient(os.environ):
        say(f"campaign: {name} is set in this shell and holds in every run")
    failed = [
        run for run in job.chosen if run not in left and (e := job.state.of(run)) and e.status == "failed"
    ]
    told = f"{len(left)} of {len(job.runs)} runs to do"
    say(f"campaign {job.campaign.name}: {told}; results: {job.folder}")
    if failed:
        say(f"campaign: {len(failed)} failed before and are left so; --retry runs them again")


def _print_table(job: _Job) -> None:
    from harness.campaign import gather, table  # noqa: PLC0415  # pandas takes a second to import

    found = gather.gather(job.campaign.name, job.runs, job.state)
    gather.written(found, job.folder)
    print(f"\n{table.as_text(found)}\nresults: {job.folder} (campaign.md, campaign.csv, {NAME}, runs/)")


def _list(job: _Job) -> None:
    for run in job.chosen:
        entry = job.state.of(run)
        if entry is None:
            changed = "changed since" if run.key in job.state.entries else ""
            print(f"{'to do':12} {run.key}  {changed}".rstrip())
        else:
            where = entry.directory or entry.log or ""
            print(f"{entry.status:12} {run.key}  exit code {entry.exit_code}  {where}".rstrip())


def _print_commands(job: _Job, left: Sequence[Run]) -> None:
    print(f"cd {shlex.quote(str(job.campaign.folder))}")
    for run in left:
        print(f"\n# {run.key}")
        words = run.words((run.host or steps.HERE).replace("{port}", "PORT"), job.folder / "runs" / run.slug)
        print(steps.shown(run, words))


def worst(entries: Sequence[Entry | None]) -> int:
    """The exit code of all runs together."""
    codes = []
    for entry in entries:
        known = entry is not None and entry.status in {"done", "failed"} and entry.exit_code in _RANK
        codes.append(entry.exit_code if known and entry is not None else _INCOMPLETE)
    return max((code for code in codes if code is not None), key=_RANK.index, default=0)
