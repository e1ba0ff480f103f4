"""`tokenswarm replay`: a finished run's points made again from its directory, sent to InfluxDB or written to a file.

For a server that was away while load ran, one that lost its data, or one that was never told. Points that are there already stay
one (same measurement, tags and time), so a run may be replayed as often as one likes, and where a replay broke off, it is simply
begun again.

Here are the words and the exit codes; the points are made in `harness.influx.rereading` and sent in `harness.influx.redelivery`.
"""

import argparse
import gzip
import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from harness import files
from harness.clock import now_ns
from harness.errors import ConfigError
from harness.influx import access

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from harness.influx.rereading import Reread

__all__ = ["add_parser", "main"]

EVERY_NS: Final = 5_000_000_000  # between lines of progress
INCOMPLETE: Final = 5
INTERRUPTED: Final = 130
EPILOG: Final = """\
Examples:
  INFLUXDB_URL=http://127.0.0.1:8086 INFLUXDB_TOKEN_FILE=token INFLUXDB_ORG=lab \\
      tokenswarm replay results/20261121T101500Z-llamacpp-native-1a2b3c --to-influx
  tokenswarm replay results/20261121T101500Z-llamacpp-native-1a2b3c --to-file run.lp.gz

INFLUXDB_URL, INFLUXDB_TOKEN or INFLUXDB_TOKEN_FILE, INFLUXDB_ORG (2.x) and INFLUXDB_BUCKET (tokenswarm) say where
to. Exit code: 0 all points delivered, 2 wrong usage or no InfluxDB there, 5 some points were not delivered.
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `replay` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "replay",
        help="write a finished run's points to InfluxDB again",
        description="Make the points of a finished run again from its directory, and send them to InfluxDB, where the\n"
        "dashboards show them. Points that are there already are not doubled, so a run may be replayed twice.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--to-influx", action="store_true", help="send them to INFLUXDB_URL")
    where.add_argument(
        "--to-file",
        type=Path,
        metavar="FILE",
        help="write them to a file in line protocol, gzip'd if it ends in .gz, for `influx write` where no "
        "network reaches",
    )
    parser.add_argument("--dry-run", action="store_true", help="only count them, by measurement")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Replay one run; 0, 5, or 130 after Ctrl-C.

    Raises:
        ConfigError: no place was given or it cannot be reached, or what was given is no run directory.
    """
    directory: Path = args.directory
    if not (args.to_influx or args.to_file or args.dry_run):
        raise ConfigError("say where to: --to-influx, or --to-file FILE; --dry-run only counts the points")
    to = access.read(os.environ) if args.to_influx and not args.dry_run else None
    if args.to_influx and not args.dry_run and to is None:
        raise ConfigError(
            "INFLUXDB_URL is not set: set it to your InfluxDB's base URL, for example http://127.0.0.1:8086, "
            "and INFLUXDB_TOKEN, or use --to-file"
        )
    from harness.influx.rereading import Reread  # noqa: PLC0415  pandas takes a second to import

    run = Reread(directory)
    if args.dry_run:
        return _count(run)
    return _write(run, args.to_file) if to is None else _send(run, to, directory)


class Progress:
    """Says now and then how far it is, on stderr."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._said_ns = now_ns()
        self.read = 0
        self.points: Counter[str] = Counter()

    def note_read(self, requests: int) -> None:
        """So many requests have been read."""
        self.read = requests

    def note(self, measurement: str, points: int, rest: str = "") -> None:
        """So many points more; `rest`: what else there is to say."""
        self.points[measurement] += points
        if now_ns() - self._said_ns >= EVERY_NS:
            self._said_ns = now_ns()
            said = f"{self.read:,} of {self._requests:,} requests read, {self.points.total():,} points made"
            tell(said + rest)


def tell(line: str) -> None:
    """One line for people; what is asked for goes to stdout."""
    print(f"tokenswarm replay: {line}", file=sys.stderr, flush=True)


def _count(run: "Reread") -> int:
    progress = Progress(run.requests)
    for name, lines in run.lines(progress.note_read):
        progress.note(name, len(lines))
    _print(progress.points)
    return 0


def _print(points: "Counter[str]") -> None:
    wide = max(map(len, points))
    for name, number in sorted(points.items()):
        print(f"{name:<{wide}}  {number:>12,}")
    print(f"{'points':<{wide}}  {points.total():>12,}")


def _write(run: "Reread", path: Path) -> int:
    """To a file, whole or not at all."""
    progress = Progress(run.requests)

    def fill(beside: Path) -> None:
        with _opened(beside, packed=path.suffix == ".gz") as file:
            for name, lines in run.lines(progress.note_read):
                file.write(b"\n".join(lines) + b"\n")
                progress.note(name, len(lines))

    try:
        with files.refusals(path, "free space or give another --to-file"):
            files.place(path, fill)
    except KeyboardInterrupt:
        tell(f"interrupted; {path} was not written")
        return INTERRUPTED
    print(f"{progress.points.total():,} points written to {path}")
    return 0


def _opened(path: Path, *, packed: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "wb", compresslevel=3)) if packed else path.open("wb")


def _send(run: "Reread", to: access.Access, directory: Path) -> int:
    """To InfluxDB."""
    from harness.influx import redelivery  # noqa: PLC0415  gevent is not for those who only count

    progress = Progress(run.requests)
    tell(f"to {redelivery.greeted(to, run.run_line())}")
    try:
        state = redelivery.deliver(to, run.lines(progress.note_read), progress.note, tell)
    except KeyboardInterrupt:
        tell("interrupted; replay it again to complete it: what is there stays as it is")
        return INTERRUPTED
    created = state.created
    if state.lost:
        why = f" ({state.problem})" if state.problem else ""
        tell(
            f"error: {state.lost:,} of {created:,} points were not delivered{why}; "
            f"once that is mended: tokenswarm replay {quote(str(directory))} --to-influx"
        )
        return INCOMPLETE
    for spool in directory.glob("*.spool"):  # what a process that was killed could not send is there now
        with suppress(OSError):
            spool.unlink()
    print(f"{created:,} points delivered to {to}")
    return 0
