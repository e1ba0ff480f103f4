"""`tokenswarm report`: a run's tables once more, on the console, as Markdown or as JSON, and its files made again.

The exit code judges the run as the run itself would have: 3, 4 and 5 as of `harness.ending`. What Locust alone decides (1) and
what ended before load (2) is not known here.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import ending, files, results
from harness.export import cli as export
from harness.hope import Hope
from harness.report import damage

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "exit_code", "main"]

EPILOG: Final = """\
Exit code: 0 fine; 2 wrong usage, or no run is there; 3 an SLO was missed or could not be judged, or a search found no load that
meets them; 4 the verdict is invalid and the run was made with --require-valid; 5 the results are incomplete. The highest.

Examples:
  tokenswarm report results/20261121T101500Z-llamacpp-native-1a2b3c
  tokenswarm report results/20261121T101500Z-llamacpp-native-1a2b3c --markdown >> "$GITHUB_STEP_SUMMARY"
  tokenswarm report results/20261121T101500Z-llamacpp-native-1a2b3c --json | jq .verdict
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `report` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "report",
        help="print a run's tables and write its reports again",
        description="Print a run's tables and write its summary.json, levels.csv and report.html again, from its\n"
        "requests.parquet or, after a crash, from the journal the run left.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--markdown", action="store_true", help="print the tables as Markdown, for a pull request"
    )
    form.add_argument("--json", action="store_true", help="print summary.json")
    export.add_arguments(parser)
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Make the results again and print them; 0, 3, 4 or 5.

    Raises:
        ConfigError: it is no run directory, a file of it is damaged, or the disk refused.
    """
    directory: Path = args.directory
    export.check(args)
    damage.check(results.load_run(directory), directory / "run.json")
    with damage.refused(directory):
        summary = results.rebuild(directory)
        run = results.load_run(directory)
        said = _text(args, summary, run)
    print(said, end="")
    export.write(args)
    for path in results.unmerged(directory, run):
        print(
            f"tokenswarm report: {path.name} may hold more than these results: "
            f"`tokenswarm collect {shlex.quote(str(directory))}` merges it",
            file=sys.stderr,
        )
    return exit_code(summary, run)


def exit_code(summary: Mapping[str, Any], run: Mapping[str, Any]) -> int:
    """What the run's own end would say of these results, as far as they tell."""
    asked = run.get("settings", {}).get("require_valid") is True
    return ending.exit_code(Hope(), None, summary, require_valid=asked) or 0


def _text(args: argparse.Namespace, summary: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    if args.json:
        return files.as_json(summary).decode()
    from harness.report import markdown  # noqa: PLC0415  pandas takes a second to import

    if args.markdown:
        return markdown.render(summary, run)
    from harness import maritaca_says, tables  # noqa: PLC0415

    theirs = maritaca_says.of_run(args.directory, summary)
    return f"{theirs}\n{tables.render(summary, run['settings'], run_dir=args.directory)}\n"
