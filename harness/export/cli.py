"""`tokenswarm report RUN --export NAME --junit FILE`: the arguments, and what they write."""

import sys
from argparse import ArgumentParser, Namespace

from harness import export

__all__ = ["add_arguments", "check", "write"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--export` and `--junit` to a command whose `directory` is a run's."""
    parser.add_argument(
        "--export",
        default="",
        metavar="NAMES",
        help=f"also write files that other tools' notebooks read: {', '.join(export.NAMES)}, or several with commas",
    )
    parser.add_argument(
        "--junit", default="", metavar="FILE", help="also write verdict and service levels as JUnit XML"
    )


def check(args: Namespace) -> None:
    """Look at both before anything is computed.

    Raises:
        ConfigError: an export that there is not, or a place where no file can be.
    """
    export.names(args.export)
    export.junit_path(args.junit)


def write(args: Namespace) -> None:
    """Write what was asked for, and print the paths: on stderr where stdout is for a document.

    Raises:
        ConfigError: as `check`, or the run has no results, or the disk refused.
    """
    written = export.write(args.directory, export.names(args.export))
    if (place := export.junit_path(args.junit)) is not None:
        export.write_junit(args.directory, place)
        written.append(place)
    for path in written:
        print(path, file=sys.stderr if args.markdown or args.json else sys.stdout)
