"""`tokenswarm selftest`: finds the limit, tells it, keeps it (`harness.selftest.capacity`).

Steps go to stderr as they are made, the result to stdout. Exit codes: 0 the limit was found, 2 a bad option,
5 it could not be measured.
"""

import argparse
import math
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from harness import files
from harness.errors import ConfigError
from harness.selftest import capacity, steps, telling
from harness.selftest.capacity import Limit
from harness.selftest.search import Shown, highest
from harness.selftest.steps import Step, Verdict
from harness.selftest.telling import Plan

if TYPE_CHECKING:
    from harness.selftest.lab import Lab

NAME: Final = "tokenswarm selftest"
START_TOKENS_PER_S: Final = 10_000
LEAST_STREAMS: Final = 5

_DESCRIPTION = """\
Find how many streams one worker process sustains on this machine with a TTFT error of at most 1 ms at p99.
A server in a process of its own streams on a plan and logs when it really sent; a worker's client reads,
parses and records as in a run; the streams are doubled, then closed in on, for about 45 s. The result is kept
in the cache directory, and a run whose plan exceeds it says so before it starts. Let nothing else run.
"""
_EXAMPLE = """\
example:
  tokenswarm selftest
  tokenswarm selftest --streams 5000 --rate 40
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Mount `selftest` among a command's subcommands; its `run` default is `main`."""
    parser = subparsers.add_parser(
        "selftest",
        help="find how much load one worker sustains on this machine",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tokens-per-stream",
        metavar="TOKENS/S",
        default="50",
        help="rate of each stream while it streams (default 50)",
    )
    parser.add_argument("--streams", metavar="N", help="a planned load: say how many workers N streams need")
    parser.add_argument(
        "--rate", metavar="TOKENS/S", help="of each stream of the planned load (default: --tokens-per-stream)"
    )
    parser.add_argument("--tls", action="store_true", help="measure over TLS; needs the openssl command")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=main)
    return parser


def main(args: argparse.Namespace) -> int:
    """Measure and tell. Returns the exit code.

    Raises:
        ConfigError: a bad option, or `--tls` without openssl.
    """
    rate = _number("--tokens-per-stream", args.tokens_per_stream, 1, 1000)
    plan = _plan(args.streams, args.rate, rate)

    from harness.selftest.lab import CannotMeasure, laboratory  # noqa: PLC0415  --help has no use for it

    made: list[Step] = []
    try:
        with laboratory(steps.shape_for(rate), tls=args.tls) as lab:
            limit = _find(lab, rate, made)
            own_cores = lab.own_cores
    except CannotMeasure as error:
        print(f"{NAME}: error: could not measure: {error}", file=sys.stderr)
        return 5
    if limit is None:
        print(f"{NAME}: error: could not measure: {telling.nothing(made)}", file=sys.stderr)
        return 5
    limit = replace(limit, own_cores=own_cores)
    _keep(limit, tls=args.tls)
    tell = telling.as_json if args.json else telling.text
    print(tell(made, limit, plan, tls=args.tls))
    return 0


def _find(lab: "Lab", rate: float, made: list[Step]) -> Limit | None:
    """Search; every step made is added to `made`."""

    def trial(streams: int) -> Shown:
        step = lab.measure(streams)
        made.append(step)
        print(telling.progress(step), file=sys.stderr, flush=True)
        return Shown(step.verdict, step.room)

    start = max(LEAST_STREAMS, round(START_TOKENS_PER_S / rate))
    found = highest(trial, start=start, least=LEAST_STREAMS, most=lab.most_streams)
    if found is None:
        return None
    last = next(s for s in reversed(made) if s.streams == found.load and s.verdict is Verdict.HELD)
    return Limit(
        streams=found.load,
        tokens_per_stream=rate,
        at_least=found.at_least,
        events_per_s=last.events_per_s,
        ttft_error_p99_ms=last.ttft_error_p99_ms or 0.0,
        stamp_source=last.stamp_source,
        cpu_percent=last.cpu_percent,
        own_cores=True,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _keep(limit: Limit, *, tls: bool) -> None:
    try:
        capacity.store(limit, tls=tls)
    except OSError as error:
        where = files.cache_dir() / capacity.FILE
        print(
            f"{NAME}: the result could not be kept in {where} ({error.strerror}): runs will not know of it; "
            "set TOKENSWARM_CACHE to a folder that can be written",
            file=sys.stderr,
        )


def _plan(streams: str | None, rate: str | None, default_rate: float) -> Plan | None:
    if streams is None:
        if rate is not None:
            raise ConfigError(
                f"--rate {rate} says nothing alone: add --streams N, the number of streams planned"
            )
        return None
    planned = _number("--streams", streams, 1, 100_000_000)
    if planned != int(planned):
        raise ConfigError(f"--streams {streams}: give a whole number")
    return Plan(int(planned), default_rate if rate is None else _number("--rate", rate, 1e-3, 1e6))


def _number(option: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: give a number, for example 50") from None
    if not (math.isfinite(value) and least <= value <= most):
        raise ConfigError(f"{option} {text}: give a number from {least:g} to {most:,.0f}")
    return value
