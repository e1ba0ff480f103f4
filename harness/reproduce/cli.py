"""The command: run, print published beside measured, judge.

Where a run says itself that it cannot be trusted (verdict `invalid`, as when other programs took the machine), the
levels that miss a figure are run again, at most twice; what a sound run misses is missed.

Exit codes: 0 every figure within 3 % or the published standard deviation, 1 one is not, 2 it could not be run.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from harness import rows
from harness.errors import ConfigError
from harness.reproduce import sweeps
from harness.reproduce.figures import TOLERANCE, Cell, Key, compare, measure
from harness.reproduce.sweeps import Sweep
from harness.say import say
from harness.simulator import profile as profiles
from harness.simulator.profile import Profile

NAME: Final = "reproduce-tables"
ATTEMPTS: Final = 3
_EXAMPLE: Final = """\
example:
  python -m harness.reproduce --profile tgi-fp16 --profile llamacpp
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiments and print the tables. Returns the exit code."""
    args = _parser().parse_args(argv)
    began_s = time.monotonic()
    try:
        chosen = [profiles.load(name) for name in args.profile or profiles.names()]
        folder = args.results_dir / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        measured: dict[str, dict[int, dict[Key, float]]] = {one.name: {} for one in chosen}

        def ended(sweep: Sweep) -> tuple[int, ...]:
            found = read(sweep)
            measured[sweep.profile.name].update(found)
            missed = misses(sweep, found) if sweep.attempt < ATTEMPTS else ()
            return missed if missed and is_invalid(sweep) else ()

        sweeps.run([one for one in chosen if one.experiment], folder, ended)
    except ConfigError as error:
        print(f"{NAME}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    figures = profiles.published()
    cells = {
        one: compare([f for f in figures if f.profile == one.name], measured[one.name]) for one in chosen
    }
    for one, found in cells.items():
        print(table(one, found))
    write(folder / "reproduced.csv", (cell for found in cells.values() for cell in found))
    judged = [cell for found in cells.values() for cell in found if cell.is_judged]
    off = [cell for cell in judged if cell.rule is None]
    print(summary(judged, off))
    print(f"{time.monotonic() - began_s:.0f} s; runs and reproduced.csv: {folder}")
    return 1 if off or not judged else 0


def misses(sweep: Sweep, found: Mapping[int, Mapping[Key, float]]) -> tuple[int, ...]:
    """The sweep's levels at which a published figure is not met."""
    published = [f for f in profiles.published() if f.profile == sweep.profile.name and f.clients in found]
    missed = {
        cell.published.clients for cell in compare(published, found) if cell.is_judged and cell.rule is None
    }
    return tuple(sorted(missed))


def is_invalid(sweep: Sweep) -> bool:
    """Whether the run's own verdict is that it cannot be trusted; then it is said why it is run again."""
    (path,) = sweep.folder.glob("*/summary.json")
    verdict = json.loads(path.read_text(encoding="utf-8"))["verdict"]
    if verdict["status"] != "invalid":
        return False
    say(f"reproduce: {sweep.profile.name}: what was missed is run again, for {verdict['reasons'][0]}")
    return True


def read(sweep: Sweep) -> dict[int, dict[Key, float]]:
    """The figures of a sweep that is over, by level. Raises ConfigError if not all of its requests succeeded."""
    found = sorted(sweep.folder.glob("*/requests.parquet"))
    if len(found) != 1:
        raise ConfigError(f"{sweep.folder}: {len(found)} runs in it, not one; see {sweep.log}")
    table = rows.load(found[0])
    ok = table[(table["phase"] == "measure") & (table["outcome"] == "ok")]
    measured: dict[int, dict[Key, float]] = {}
    for level in sweep.levels:
        of_level = ok[ok["level"] == level]
        wanted = level * sweep.experiment.repeats
        if len(of_level) != wanted:
            raise ConfigError(
                f"{found[0]}: {len(of_level)} successful requests at level {level}, not {wanted}; see {sweep.log}"
            )
        measured[level] = measure(of_level, level, sweep.experiment.figures)
    return measured


def table(profile: Profile, cells: Sequence[Cell]) -> str:
    """Published beside measured, one line a figure."""
    lines = [
        f"{profile.name}: {profile.title}",
        f"published in: {profile.source}",
        f"{'clients':>7}  {'figure':13}  {'':6}  {'published':>9}  {'measured':>9}  {'differs':>8}  met by",
    ]
    for cell in cells:
        figure = cell.published
        number = "-" if cell.measured is None else f"{cell.measured:.2f}"
        differs = "-" if cell.difference is None or not cell.is_judged else f"{cell.difference:+.1%}"
        rule = (cell.rule or "NOT MET") if cell.is_judged else "not judged"
        lines.append(
            f"{figure.clients:>7}  {figure.figure:13}  {figure.stat:6}  {figure.value:>9g}  {number:>9}  "
            f"{differs:>8}  {rule}"
        )
    return "\n".join(lines) + "\n"


def summary(judged: Sequence[Cell], off: Sequence[Cell]) -> str:
    """How many figures are met, by which rule, and which are not."""
    near = sum(cell.rule == f"{TOLERANCE:.0%}" for cell in judged)
    text = f"{len(judged)} figures: {near} within {TOLERANCE:.0%}"
    if near + len(off) < len(judged):
        text += f", {len(judged) - near - len(off)} within the published standard deviation"
    if off:
        names = ", ".join(f"{c.published.profile} {c.published.clients} {c.published.figure}" for c in off)
        text += f"; NOT MET {len(off)}: {names}"
    return text


def write(path: Path, cells: Iterable[Cell]) -> None:
    """The same as a table for other programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(
            ("profile", "clients", "figure", "stat", "published", "published_std", "measured", "rule")
        )
        for cell in cells:
            f = cell.published
            lines.writerow(
                (f.profile, f.clients, f.figure, f.stat, f.value, cell.std, cell.measured, cell.rule)
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Run published benchmarks against profiles of the published systems and compare the figures.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--profile", action="append", metavar="NAME", help="only this one (repeatable; default: all)"
    )
    parser.add_argument(
        "--results-dir",
        type=Path,
        default=Path("results/reproduce"),
        metavar="DIR",
        help="default: %(default)s",
    )
    return parser
