"""`tokenswarm serve-backend`: a system under test, up until it is no longer wanted.

    tokenswarm serve-backend llamacpp
    tokenswarm serve-backend llamacpp --run 'locust -f locustfiles/llamacpp.py --headless --levels 1,2,4,8'

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 the server ended by itself, 2 it could not be started, 130
interrupted before it was ready. With `--run` it is the command's own, or 1 where that was 0 and the server had
ended before it.
"""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import option_values
from harness.clock import now_ns
from harness.errors import ConfigError
from harness.proxy import past
from harness.say import say
from harness.servers.drive import drive
from harness.servers.kinds import KINDS, add_kinds
from harness.servers.process import Server, serving
from harness.servers.recipe import Recipe
from harness.servers.waiting import address

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "main"]

NAME: Final = "tokenswarm serve-backend"
INTERRUPTED: Final = 130

_DESCRIPTION = """\
Start a server, wait until it is ready, and stop it at Ctrl-C (again: at once), with all that it started.
`tokenswarm serve-backend KIND --help` lists a kind's options.
"""
_EPILOG = """\
examples:
  tokenswarm serve-backend llamacpp --model tiny --slots 4
  tokenswarm serve-backend llamacpp --run 'locust -f locustfiles/llamacpp.py --headless --levels 1,2,4,8'
  tokenswarm serve-backend command --url http://127.0.0.1:8000 -- vllm serve Qwen/Qwen3-0.6B

`tokenswarm simulate` is the built-in server.
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Mount `serve-backend` among a command's subcommands; its `run` default is `main`."""
    parser = subparsers.add_parser(
        "serve-backend",
        help="start the system under test, and stop it when it is no longer wanted",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_kinds(parser.add_subparsers(dest="kind", required=True, metavar="KIND"), _own_options)
    parser.set_defaults(run=main)
    return parser


def _own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run",
        metavar="COMMAND",
        dest="then",
        help="run this when the server is ready, then stop the server and exit with the command's exit code; "
        "LOCUST_HOST is set for it, so that it needs no --host",
    )
    parser.add_argument(
        "--print", action="store_true", dest="only_print", help="show the server's command and do nothing"
    )


def main(args: argparse.Namespace) -> int:
    """Serve. Returns the exit code.

    Raises:
        ConfigError: a bad option, or the server could not be started.
    """
    kind = KINDS[args.kind]
    recipe = kind.recipe(args)
    deadline_s = option_values.seconds(args.deadline, "deadline")
    log = None if args.log is None else Path(args.log)
    command = None if args.then is None else _command(args.then)
    if args.only_print:
        print(recipe.shown())
        return 0
    kind.check()
    start_ns = now_ns()
    reached = False
    try:
        with serving(recipe, deadline_s=deadline_s, log=log, tells=True) as server:
            reached = True
            took_s = (now_ns() - start_ns) / 1e9
            if command is not None:
                return _run(command, recipe, server)
            print(f"{NAME}: {_ready(recipe, took_s)}; try: {recipe.example()}", flush=True)
            server.wait()
    except KeyboardInterrupt:
        return 0 if reached else INTERRUPTED
    return 1  # `serving` has said how it ended


def _ready(recipe: Recipe, took_s: float) -> str:
    return f"{recipe.name} is ready at {recipe.url} after {took_s:.1f} s"


def _run(command: Sequence[str], recipe: Recipe, server: Server) -> int:
    say(f"{recipe.name} is ready at {recipe.url}; running: {shlex.join(command)}")
    host, _ = address(recipe.url)
    environ = past(host, os.environ) | {"LOCUST_HOST": recipe.url}
    code = drive(_found(command), environ, meanwhile=_teller(server))
    return 1 if code == 0 and server.ending() is not None else code


def _teller(server: Server) -> Callable[[], None]:
    """Says once that the server has ended under the command."""
    told: list[str] = []

    def tell() -> None:
        if not told and (how := server.ending()):
            told.append(how)
            say(f"{server.name} has ended ({how}) while the command goes on")

    return tell


def _command(text: str) -> list[str]:
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"--run {text!r}: {str(error).lower()}; write it as a shell would take it"
        ) from None
    if not command:
        raise ConfigError(
            "--run is empty: give a command, e.g. --run 'locust -f locustfiles/openai.py --headless'"
        )
    _found(command)  # before a server is started for nothing
    return command


def _found(command: Sequence[str]) -> list[str]:
    """The command with its program's path; programs beside this Python count, activated or not."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which(command[0]) or shutil.which(command[0], path=beside)
    if program is None:
        raise ConfigError(f"--run: no program {command[0]!r}; install it or give its path")
    return [program, *command[1:]]
