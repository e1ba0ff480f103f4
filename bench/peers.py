"""tokenswarm beside aiperf, guidellm, evalscope perf and inference-perf, against a server that knows the truth.

The rule: the same load for all, one tool at a time, rounds that alternate, every tool in an environment of its own
(`peers_install`). A tool that cannot be installed or fails gets a row that says why; the others go on. Method and
definitions stand in the results file (`peers_table`).
"""

import argparse
import datetime as dt
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import peers_tokenizer
from loads import Load
from peers_figures import Figures, median
from peers_install import ENVIRONMENTS, Failed, install, version
from peers_outputs import Said
from peers_run import Bench, job_of, measure
from peers_table import Row, page, tables, targets
from peers_tools import ROOT, TOOLS, surroundings
from processes import HERE, BenchError
from table import table
from toolchain import build_c, machine, versions

LOAD: Final = Load("200x50", 200, 100, 20_000, 300_000, 20, spread_s=0.0, seconds=20.0)
EXAMPLES: Final = """\
examples:
  make bench-peers                                       all of it: some gigabytes to install once, then a quarter of an hour
  .venv/bin/python bench/peers.py --tools tokenswarm,inference-perf --rounds 1 --seconds 5 --out /tmp/trial.md
"""


@dataclass(slots=True)
class Runs:
    """What came of one tool's runs so far."""

    figures: list[Figures] = field(default_factory=list)
    said: Said | None = None
    failures: list[str] = field(default_factory=list)

    def row(self) -> Row:
        """For the tables: the median round, or why there is none."""
        return (median(self.figures), self.said.itl_of) if self.said else f"FAILED: {self.failures[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit code: 0 if any tool was measured, 1 if none, 2 for usage and what is missing here."""
    options = _parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the children go as they do for Ctrl-C
    try:
        runs = _all_rounds(options)
    except BenchError as error:
        print(f"bench-peers: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench-peers: stopped; nothing was written", file=sys.stderr)
        return 130
    rows = {name: one.row() for name, one in runs.items()}
    print(f"\n{tables(rows, options.load)}\n")
    print(table(["target", "measured", "met"], [target.cells for target in targets(rows)]))
    if not any(one.figures for one in runs.values()):
        return 1
    failures = [f"{name}, {failure}" for name, one in runs.items() for failure in one.failures]
    _write(options, rows, failures)
    return 0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked, checked."""

    tools: tuple[str, ...]
    rounds: int
    load: Load
    out: Path
    command: str

    @property
    def requests(self) -> int:
        """Whole waves of all streams, as many as fit the time, at least two: the tail of a wave weighs the same for all."""
        answer_s = (self.load.first_us + (self.load.events - 1) * self.load.gap_us) / 1e6
        return self.load.streams * max(2, round(self.load.seconds / answer_s))

    @property
    def bench(self) -> Bench:
        """What all runs share. The tokenizer lies in the hub's cache, where aiperf looks."""
        home = ENVIRONMENTS / "hub"
        tokenizer = peers_tokenizer.write(home)
        return Bench(self.load, self.requests, tokenizer, surroundings(home), ENVIRONMENTS / "runs")


def _parsed(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="bench/peers.py",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tools", default=",".join(TOOLS), help="which, by comma (default all: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs (default %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=LOAD.seconds,
        help="load per run if the tool keeps up (default %(default)g)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "RESULTS-peers.md",
        help="where results go (default bench/RESULTS-peers.md)",
    )
    given = parser.parse_args(arguments)
    tools = tuple(dict.fromkeys(name.strip() for name in given.tools.split(",") if name.strip()))
    unknown = [name for name in tools if name not in TOOLS]
    if unknown or not tools:
        parser.error(
            f"--tools {given.tools!r}: {', '.join(unknown) or 'nothing'} is not one of {', '.join(TOOLS)}"
        )
    if given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: give 1 or more")
    if not 1 <= given.seconds <= 3600:
        parser.error(f"--seconds {given.seconds:g}: give 1 to 3600")
    if not given.out.parent.is_dir():
        parser.error(f"--out {given.out}: there is no folder {given.out.parent}")
    command = shlex.join(["bench/peers.py", *(sys.argv[1:] if arguments is None else arguments)])
    return Options(tools, given.rounds, LOAD.lasting(given.seconds), given.out, command)


def _all_rounds(options: Options) -> dict[str, Runs]:
    """Install, then run round by round, each in another order."""
    build_c(print)
    runs = {name: Runs() for name in options.tools}
    ready = []
    for name, one in runs.items():
        outcome = install(name) if TOOLS[name].peer else None
        if isinstance(outcome, Failed):
            one.failures.append(outcome.reason)
            print(f"{name}: {outcome.reason}", flush=True)
        else:
            ready.append(name)
    bench = options.bench
    for number in range(options.rounds):
        first = number % max(1, len(ready))
        for name in ready[first:] + ready[:first]:
            _one_run(bench, name, number, options.rounds, runs[name])
    return runs


def _one_run(bench: Bench, name: str, number: int, rounds: int, one: Runs) -> None:
    print(f"round {number + 1}/{rounds} {name:14} ", end="", flush=True)
    try:
        figures, said = measure(bench, TOOLS[name], f"{name}-{number + 1}")
    except BenchError as error:
        one.failures.append(f"round {number + 1}: {error}")
        print(f"FAILED: {error}", flush=True)
        return
    one.figures.append(figures)
    one.said = said
    print(
        f"{figures.requests_per_s:5.1f} requests/s  {figures.cpu:.4f} CPU s/1,000 events  {figures.memory:5.0f} MB  "
        f"TTFT p50 {figures.ttft_p50:.2f} (true {figures.true_ttft_p50:.2f}) ms  others {figures.others_percent:.0f} %"
        + (f"  verdict {said.verdict}" if said.verdict else ""),
        flush=True,
    )


def _write(options: Options, rows: dict[str, Row], failures: Sequence[str]) -> None:
    ours = versions()
    facts = {
        **machine(),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "command": f"`{options.command}`",
        "tokenswarm": ", ".join(
            f"{name} {ours[name]}" for name in ("tokenswarm", "locust", "gevent", "harness/ sha256")
        ),
        "peers": ", ".join(f"{name} {version(name)}" for name in options.tools if TOOLS[name].peer) or "none",
        "failed runs, left out": "; ".join(failures) or "none",
    }
    commands = {name: _shown(options, name) for name in options.tools}
    text = page(
        rows, options.load, facts=facts, commands=commands, requests=options.requests, rounds=options.rounds
    )
    options.out.write_text(text, encoding="utf-8")
    print(f"\nwritten to {options.out}")


def _shown(options: Options, name: str) -> str:
    """A tool's command as the reader would type it in the repository."""
    job = job_of(options.bench, Path("OUT"), "http://127.0.0.1:PORT")
    tool = TOOLS[name]
    command = shlex.join(tool.command(job))
    config = f"\n# {job.config}: {tool.config(job)}" if tool.config else ""
    return (command + config).replace(f"{ROOT}/", "")


if __name__ == "__main__":
    sys.exit(main())
