"""A server for the length of a Locust process: what `--serve` starts.

    llamacpp --slots 8                     what follows `tokenswarm serve-backend` (a kind and its options)
    vllm serve Qwen/Qwen3-0.6B             anything else: a command line, run without a shell

It is awaited at the run's `--host`, and stopped by `Served.stop`, at the end of the process at the latest. An
end without any end (SIGKILL, `os._exit`) is the guard's to clean up (`harness.servers.guard`). The process's signals
stay Locust's: Ctrl-C drains the load first.
"""

import argparse
import atexit
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

from harness import option_values
from harness.errors import ConfigError
from harness.say import say
from harness.servers.kinds import DEADLINE_S, KINDS, add_kinds
from harness.servers.process import Server, serving
from harness.servers.ready import CHECKS
from harness.servers.recipe import Recipe
from harness.servers.waiting import address
from harness.target import Target

__all__ = ["Served", "start"]

HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is up. `stop` may be called any number of times."""

    server: Server
    _stack: ExitStack

    def stop(self) -> None:
        """End it and what it started; returns when they are gone."""
        atexit.unregister(self._stack.close)
        self._stack.close()


class _Parser(argparse.ArgumentParser):
    """One whose errors are ours to tell."""

    def error(self, message: str) -> Never:
        raise ConfigError(f"--serve {self.prog.split()[-1]}: {message}")


def start(text: str, host: Target, deadline_s: float = DEADLINE_S) -> Served:
    """Start what `--serve` says, and return when it is ready at `host`, within `deadline_s` unless it says otherwise.

    Raises:
        ConfigError: it cannot be read, does not fit `host`, or did not start; nothing is left running.
    """
    recipe, deadline_s, log = read(text, host, deadline_s)
    stack = ExitStack()
    say(f"--serve: starting {recipe.name}")
    server = stack.enter_context(serving(recipe, deadline_s=deadline_s, log=log, signals=False))
    atexit.register(stack.close)
    say(f"--serve: {recipe.name} is ready at {recipe.url}")
    return Served(server, stack)


def read(text: str, host: Target, deadline_s: float) -> tuple[Recipe, float, Path | None]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"--serve {text!r}: {str(error).lower()}; write it as a shell would take it"
        ) from None
    if not words:
        raise ConfigError("--serve is empty: give a command line, or a kind of server such as llamacpp")
    if words[0] not in KINDS or not all(word.startswith("-") for word in words[1:2]):
        base = host.url("").rstrip("/")
        return Recipe(Path(words[0]).name, words, base, CHECKS["openai"]), deadline_s, None
    return _kind(words, host, deadline_s)


def _kind(words: list[str], host: Target, deadline_s: float) -> tuple[Recipe, float, Path | None]:
    if host.tls or host.host not in HERE:
        raise ConfigError(
            f"--serve {words[0]} starts a server on this machine, but --host is {host}: "
            f"give --host http://127.0.0.1:{host.port}"
        )
    parser = _Parser(prog="--serve", add_help=False)
    add_kinds(parser.add_subparsers(dest="kind", required=True), lambda _: None)
    where = ["--url", host.url("")] if words[0] == "command" else ["--port", str(host.port)]
    args = parser.parse_args([words[0], *where, "--deadline", f"{deadline_s:g}", *words[1:]])
    kind = KINDS[args.kind]
    recipe = kind.recipe(args)
    if address(recipe.url)[1] != host.port:
        raise ConfigError(
            f"--serve {words[0]} would listen at {recipe.url}, but --host is {host}: make them one"
        )
    kind.check()
    log = None if args.log is None else Path(args.log)
    recipe = replace(recipe, url=host.url("").rstrip("/"))
    return recipe, option_values.seconds(args.deadline, "deadline"), log
