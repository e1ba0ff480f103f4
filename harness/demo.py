"""`tokenswarm demo`: a server, a sweep over concurrency against it, and the server gone again.

The server is one this machine can run without any set-up: the built-in simulator, llama.cpp on a tiny
random model, or llama.cpp on Gemma 3 270M. Load is made by Locust in a child process, with the very
command line a user would type; it is printed before it runs. Its exit code is ours.
"""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import files, shipped
from harness.errors import ConfigError
from harness.proxy import past
from harness.servers import llamacpp
from harness.servers.drive import drive
from harness.servers.process import Server, free_port, running

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "main"]

# `python -m locust`, but that Ctrl-C while it is still importing ends it without a traceback.
LOCUST = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "runpy.run_module('locust', run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True, slots=True)
class Demo:
    """One demonstration. Sizes are in tokens a request; None leaves them to the locustfile."""

    about: str
    start: Callable[[], AbstractContextManager[Server]]
    locustfile: str
    levels: str
    requests_per_level: int
    prompt_tokens: int | None = None
    output_tokens: int | None = None


def _simulator() -> AbstractContextManager[Server]:
    """Eight slots: system throughput rises up to eight users, and beyond them only the queue does."""
    port = free_port()
    costs = ["--slots", "8", "--prefill-rate", "12000", "--step-base-ms", "3", "--step-per-seq-ms", "0.5"]
    return running(
        [sys.executable, "-m", "harness.simulator", "--port", str(port), *costs],
        url=f"http://127.0.0.1:{port}",
        health="/health",
        name="the simulator",
        deadline_s=30,
    )


def _tiny() -> AbstractContextManager[Server]:
    return llamacpp.running_llamacpp(llamacpp.tiny_model(files.cache_dir()), slots=4, context=2048)


def _gemma() -> AbstractContextManager[Server]:
    return llamacpp.running_llamacpp(llamacpp.gemma_model(files.cache_dir()), slots=2, context=512)


# Sizes that keep the first two under forty seconds of load on two cores, and carry a p95. Gemma makes a handful of tokens a
# second there, so it gets a handful of requests.
DEMOS = {
    "simulator": Demo("the built-in simulator, 8 slots", _simulator, "demo.py", "1,2,4,8,16", 60),
    "llamacpp": Demo("llama.cpp, tiny random model, 4 slots", _tiny, "llamacpp.py", "1,2,4,8", 80, 256, 128),
    "gemma": Demo("llama.cpp, Gemma 3 270M, 2 slots", _gemma, "llamacpp.py", "1,2", 8, 32, 16),
}


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `demo` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "demo",
        help="start a server here and sweep it over a few levels of load",
        description="Start a server on this machine, sweep it over levels of concurrency with Locust, print "
        "and keep the results, stop the server.",
        epilog="example: tokenswarm demo --server llamacpp --levels 1,4,16",
    )
    parser.add_argument(
        "--server",
        choices=DEMOS,
        default="simulator",
        help="; ".join(f"{name}: {demo.about}" for name, demo in DEMOS.items()) + " (default: %(default)s)",
    )
    parser.add_argument("--levels", metavar="1,2,4", help="numbers of users (default: the server's own)")
    parser.add_argument(
        "--requests-per-level", metavar="N", help="measured requests a level (default: the server's own)"
    )
    parser.add_argument(
        "--results-dir", default="results", help="where the results go (default: %(default)s)"
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Run the demonstration; Locust's exit code, 128 + N where signal N ended it, 2 where it could not begin."""
    demo = DEMOS[args.server]
    try:
        locustfile = shipped.locustfile(demo.locustfile)
        with demo.start() as server:
            command = _command(demo, args, locustfile, server)
            print(f"tokenswarm demo: {demo.about}, at {server.url}\n$ {_shown(command)}", flush=True)
            return drive(command, past("127.0.0.1", os.environ))
    except KeyboardInterrupt:  # before Locust ran: from then on `drive` has the signals
        return 128 + signal.SIGINT
    except ConfigError as error:
        print(f"tokenswarm demo: {error}", file=sys.stderr)
        return 2


def _command(demo: Demo, args: argparse.Namespace, locustfile: Path, server: Server) -> list[str]:
    load = {
        "--levels": args.levels or demo.levels,
        "--requests-per-level": args.requests_per_level or demo.requests_per_level,
        "--warmup": 1,
        "--prompt-tokens": demo.prompt_tokens,
        "--output-tokens": demo.output_tokens,
        "--results-dir": args.results_dir,
    }
    options = [text for option, value in load.items() if value is not None for text in (option, str(value))]
    locust = [sys.executable, "-c", LOCUST, "-f", str(locustfile), "--host", server.url, "--headless"]
    return [*locust, *options]


def _shown(command: Sequence[str]) -> str:
    """The command as a user would type it."""
    return shlex.join(["locust", *command[3:]])
