"""`tokenswarm simulate`: the command around the server.

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the log could no longer be written, 2 a bad option.
"""

import argparse
import asyncio
import resource
import signal
import socket
import sys
from contextlib import nullcontext
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.simulator import tls
from harness.simulator.engine import fine_loop
from harness.simulator.options import add_options, profile_list, read_settings
from harness.simulator.server import Connection, Settings, Simulator

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from ssl import SSLContext

__all__ = ["NAME", "add_options", "add_parser", "main", "read_settings"]

NAME = "tokenswarm simulate"
_BACKLOG = 4096
_MOST_FILES = 65_536

_DESCRIPTION = """\
A server that answers like an LLM server, in real time, without a model. It speaks the API that --speak
names, and batches requests continuously: each engine step gives every running request one token and takes
step-base-ms + step-per-seq-ms for each of them, so more users get more tokens per second in all and fewer
each, until the slots are full and requests queue. A profile has the costs of a published system instead, and
faults make it go wrong, the same way for the same requests under the same seed.
"""
_EXAMPLE = """\
example:
  tokenswarm simulate --port 8080 --slots 8 --log truth.jsonl
  tokenswarm simulate --port 9000 --profile maritalk-1xA100-small
  tokenswarm simulate --fault reset:0.02,after=5-50 --fault status:0.1,code=429,retry-after=1
  locust -f locustfiles/openai.py --host http://127.0.0.1:8080 --headless -u 8 -t 60s
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Mount `simulate` among a command's subcommands; its `run` default is `main`."""
    parser = subparsers.add_parser(
        "simulate",
        help="run the built-in LLM server",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=main)
    return parser


def main(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code."""
    try:
        if args.profile == "list":
            print(profile_list(), end="")
            return 0
        settings = read_settings(args)
        secure = tls.context(args.tls_cert, args.tls_key)
        # The log after the port: a command that cannot start must not empty an old log.
        with _listen(settings.host, settings.port) as listener, _open_log(args.log) as log:
            return _run(settings, listener, log, secure)
    except ConfigError as error:
        print(f"{NAME}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the loop could take the signal
        return 0


def _open_log(path: str | None) -> "AbstractContextManager[FileIO | None]":
    if path is None:
        return nullcontext()
    try:
        return Path(path).open("wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"--log {path}: {error.strerror}; name a file that can be written") from None


def _run(settings: Settings, listener: socket.socket, log: FileIO | None, secure: "SSLContext | None") -> int:
    with asyncio.Runner(loop_factory=fine_loop) as runner:
        return runner.run(_serve(settings, listener, log, secure))


async def _serve(
    settings: Settings, listener: socket.socket, log: FileIO | None, secure: "SSLContext | None"
) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    _allow_many_files()
    simulator = Simulator(settings, log)
    stop = asyncio.Event()
    simulator.failed.add_done_callback(lambda _: stop.set())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: Connection(simulator), sock=listener, backlog=_BACKLOG, ssl=secure
    )
    print(_banner(settings, listener, "https" if secure else "http"), flush=True)
    await stop.wait()
    server.close()
    simulator.shut()
    await asyncio.sleep(0)  # lets the aborted connections close
    if simulator.failed.done():
        print(f"{NAME}: error: --log: {simulator.failed.result().strerror}; stopped", file=sys.stderr)
        return 1
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Bind one address: with port 0, a name with two addresses would get two ports."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not a host name"
        raise ConfigError(f"--host {host}: {why}; give an address of this machine") from None
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # a taken port shows here on some systems
    except OSError as error:
        listener.close()
        why = f"--host {host} --port {port}: {error.strerror}"
        raise ConfigError(f"{why}; choose another, --port 0 takes a free one") from None
    return listener


def _banner(settings: Settings, listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    return f"{NAME}: listening on {url} (model {settings.model}, {settings.cost.slots} slots)"


def _allow_many_files() -> None:
    """Thousands of connections need more descriptors than the usual soft limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    problem = context.get("exception") or context.get("message")
    print(f"{NAME}: internal error: {problem!r}", file=sys.stderr)
