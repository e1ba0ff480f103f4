"""`tokenswarm compare BASE NEW...`: exit code 0 no regression, 3 regression, 6 inconclusive, 2 may not be compared."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import files
from harness.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from harness.compare.judge import Options

__all__ = ["add_parser", "main"]

_DESCRIPTION = """\
Compare runs of the same load: whether NEW is worse than BASE beyond what repeated passes differ by, figure by figure and
level by level, with 95 % intervals. More than one NEW makes a table. Exit code: 0 no regression, 3 regression,
6 inconclusive (it says how many passes would do), 2 not to be compared.
"""
_EPILOG = """\
examples:
  locust -f locustfiles/vllm.py --host URL --headless --levels 1,4,16 --requests-per-level 60 --repeats 10
  tokenswarm compare results/BASE results/NEW
  tokenswarm compare results/BASE results/NEW --fail-on 'ttft_p95>+10%' --fail-on 'error_rate>+1pp' --markdown
  tokenswarm compare results/A100 results/H100 results/L4 --allow-different all --html table.html
docs/compare.md says how it judges, and how often it is wrong.
"""
_MARGIN: Final = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,6})?)\s*%?", re.ASCII)


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `compare` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "compare",
        help="say whether a run is worse than another, beyond noise",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="a run directory")
    parser.add_argument(
        "new", type=Path, nargs="+", metavar="NEW", help="one or more that are held against it"
    )
    parser.add_argument(
        "--margin",
        default="5%",
        metavar="SHARE",
        help="no regression means that more than this worse is ruled out for every figure; of a share, as many "
        "percentage points (default 5%%)",
    )
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="'FIGURE>+10%'",
        help="judge this limit instead, at every level (repeatable): 'ttft_p95>+10%%', "
        "'system_output_tokens_per_s<-5%%', 'error_rate>+1pp'",
    )
    parser.add_argument("--by-point", action="store_true", help="judge the bare numbers of runs of one pass")
    parser.add_argument(
        "--allow-different",
        action="append",
        default=[],
        metavar="NAME",
        help="compare though this setting differs (repeatable); all: whatever differs",
    )
    parser.add_argument(
        "--allow-invalid",
        action="store_true",
        help="compare runs that are incomplete or whose verdict is invalid",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")
    form.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts, too")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Compare and print. Returns the exit code.

    Raises:
        ConfigError: a bad option, or runs that may not be compared.
    """
    from harness.compare import as_json, console, likeness, markdown  # noqa: PLC0415  as light as it can be
    from harness.compare.comparison import compare  # noqa: PLC0415

    options, accepted = _options(args), likeness.allowed(args.allow_different)
    try:
        found = compare([args.base, *args.new], options, accepted=accepted, allow_invalid=args.allow_invalid)
    except RecursionError:
        raise ConfigError(
            "a run.json or summary.json is nested too deeply to be one; restore the file"
        ) from None
    render = markdown.render if args.markdown else as_json.render if args.json else console.render
    print(render(found))
    if args.html is not None:
        from harness.compare import page  # noqa: PLC0415

        with files.refusals(args.html, "choose another place with --html"):
            files.write(args.html, page.render(found))
    return found.code


def _options(args: argparse.Namespace) -> "Options":
    from harness.compare import rules  # noqa: PLC0415
    from harness.compare.judge import Options  # noqa: PLC0415

    shape = _MARGIN.fullmatch(args.margin.strip())
    if shape is None or not float(shape.group(1)):
        raise ConfigError(f"--margin {args.margin!r}: give a share above 0 and below 100 %, e.g. 5%")
    return Options(float(shape.group(1)) / 100, rules.read(args.fail_on), args.by_point)
