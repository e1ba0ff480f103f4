"""The `tokenswarm` command: what is not a Locust run. Load itself is started with `locust -f ...`."""

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence

from harness import __version__, collect, demo, sizing, starters, web_password
from harness.bundles import cli as bundle
from harness.bundles import rerun
from harness.campaign import cli as campaign
from harness.chat import cli as chat
from harness.compare import cli as compare
from harness.errors import ConfigError
from harness.grafana import cli as dashboards
from harness.influx import replay
from harness.report import cli as report
from harness.selftest import cli as selftest
from harness.servers import cli as serve_backend
from harness.simulator import cli as simulator

_EPILOG = """\
Load is made by Locust itself (`tokenswarm init` writes its locustfiles):
  locust -f locustfiles/llamacpp.py --host http://127.0.0.1:8080 --headless --levels 1,2,4,8
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the process's exit code."""
    args = _parser().parse_args(argv)
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        code = run(args)
        sys.stdout.flush()  # here, where a full disk can still be said
        return code  # noqa: TRY300
    except ConfigError as error:
        print(f"tokenswarm {args.command}: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, a `head` perhaps, has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        print(
            f"tokenswarm {args.command}: error: {error.strerror}: {error.filename or 'the output'}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokenswarm",
        description="Load tests for LLM serving systems, on Locust.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tokenswarm {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    simulator.add_parser(subparsers)
    demo.add_parser(subparsers)
    starters.add_parser(subparsers)
    serve_backend.add_parser(subparsers)
    selftest.add_parser(subparsers)
    listing = subparsers.add_parser(
        "options",
        help="list the options that tokenswarm adds to Locust's",
        description="List the options that tokenswarm adds to Locust's. (`locust --help` shows Locust's own: it prints\n"
        "them before it has read a locustfile.)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listing.set_defaults(run=_options)
    report.add_parser(subparsers)
    collect.add_parser(subparsers)
    dashboards.add_parser(subparsers)
    sizing.add_parser(subparsers)
    replay.add_parser(subparsers)
    campaign.add_parser(subparsers)
    bundle.add_parser(subparsers)
    rerun.add_parser(subparsers)
    compare.add_parser(subparsers)
    chat.add_parser(subparsers)
    web_password.add_parser(subparsers)
    return parser


def _options(_: argparse.Namespace) -> int:
    from harness.option_table import OPTIONS, variable  # noqa: PLC0415

    print("Options of `locust -f LOCUSTFILE`, beside Locust's own; each is also an environment variable.\n")
    for name, default, _in_form, help_text in OPTIONS:
        says = f"{help_text}. Default: {default}" if default else help_text
        print(f"  --{name}  ({variable(name)})")
        print(textwrap.fill(says, 100, initial_indent="      ", subsequent_indent="      "))
    print("\nExample:\n  locust -f locustfiles/openai.py --host http://127.0.0.1:8000 --headless \\")
    print("      --levels 1,2,4,8 --requests-per-level 40 --prompt-tokens normal:550,150 --output-tokens 150")
    return 0
