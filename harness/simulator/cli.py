"""`tokenswarm simulate`: the command around the server.

Values are checked here, not by argparse, so that each bad one is a single line and exit code 2. Exit codes:
0 stopped by SIGINT or SIGTERM, 1 the log could no longer be written, 2 a bad option.
"""

import argparse
import asyncio
import math
import os
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
from harness.simulator.batching import CostModel
from harness.simulator.engine import fine_loop
from harness.simulator.server import Connection, Settings, Simulator
from harness.simulator.speech import SPEECHES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from ssl import SSLContext

NAME = "tokenswarm simulate"
_BACKLOG = 4096
_MOST_FILES = 65_536
_DEFAULTS = Settings()
_COST = _DEFAULTS.cost

_DESCRIPTION = """\
A server that answers like an LLM server, in real time, without a model. It speaks the OpenAI API and
llama.cpp's own, and batches requests continuously: each engine step gives every running request one token
and takes step-base-ms + step-per-seq-ms for each of them, so more users get more tokens per second in all
and fewer each, until the slots are full and requests queue.
"""
_EXAMPLE = """\
example:
  tokenswarm simulate --port 8080 --slots 8 --log truth.jsonl
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, as text; `read_settings` checks them."""
    for option, metavar, default, text in (
        ("--host", "HOST", _DEFAULTS.host, "address to listen on"),
        ("--port", "PORT", _DEFAULTS.port, "port; 0 takes a free one"),
        ("--model", "NAME", _DEFAULTS.model, "the model id it serves"),
        ("--speak", "NAME", _DEFAULTS.speaks, f"whose API it speaks: {', '.join(SPEECHES)}"),
        ("--load-seconds", "S", _DEFAULTS.load_seconds, "for so long it says that it is loading its model"),
        ("--slots", "N", _COST.slots, "requests in the batch at once; more wait"),
        ("--prefill-rate", "TOKENS/S", _COST.prefill_tokens_per_s, "speed of reading prompts"),
        ("--prefill-chunk", "TOKENS", _COST.prefill_chunk, "most prompt tokens in one step"),
        ("--step-base-ms", "MS", _COST.step_base_ms, "a decode step's fixed cost"),
        ("--step-per-seq-ms", "MS", _COST.step_per_seq_ms, "its cost for each running request"),
        ("--context", "TOKENS", _DEFAULTS.context, "most tokens of a request, prompt and output"),
        ("--mean-output-tokens", "TOKENS", _DEFAULTS.mean_output_tokens, "where answers end by themselves"),
        ("--seed", "N", _DEFAULTS.seed, "same seed, same answers"),
    ):
        parser.add_argument(
            option, metavar=metavar, default=str(default), help=f"{text} (default {_shown(default)})"
        )
    parser.add_argument(
        "--log", metavar="FILE", help="write one JSON line a request; an old file is replaced"
    )
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="serve HTTPS with this certificate (PEM, a chain may follow it)"
    )
    parser.add_argument(
        "--tls-key",
        metavar="FILE",
        help="its private key, without a passphrase (default: in --tls-cert's file)",
    )
    parser.add_argument(
        "--api-key-env", metavar="NAME", help="ask for the API key held by this environment variable"
    )


def _shown(default: str | float) -> str:
    return default if isinstance(default, str) else f"{default:g}"


def main(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code."""
    try:
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


def read_settings(args: argparse.Namespace) -> Settings:
    """Check the options. Raises ConfigError for the first bad one."""
    if not args.model.strip() or not args.model.isprintable():
        raise ConfigError(f"--model {args.model!r}: give a name of printable characters")
    return Settings(
        host=args.host,
        port=_integer("--port", args.port, 0, 65535),
        model=args.model,
        speaks=_speaks(args.speak),
        load_seconds=_number("--load-seconds", args.load_seconds, 0, 1e6),
        context=_integer("--context", args.context, 2, 10**9),
        seed=_integer("--seed", args.seed, -(2**63), 2**63 - 1),
        mean_output_tokens=_number("--mean-output-tokens", args.mean_output_tokens, 1, 1e9),
        cost=CostModel(
            slots=_integer("--slots", args.slots, 1, 100_000),
            prefill_tokens_per_s=_number("--prefill-rate", args.prefill_rate, 1e-3, 1e12),
            prefill_chunk=_integer("--prefill-chunk", args.prefill_chunk, 1, 10**9),
            step_base_ms=_number("--step-base-ms", args.step_base_ms, 0, 1e7),
            step_per_seq_ms=_number("--step-per-seq-ms", args.step_per_seq_ms, 0, 1e7),
        ),
        api_key=_api_key(args.api_key_env),
    )


def _integer(option: str, text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: give a whole number") from None
    if not least <= value <= most:
        raise ConfigError(f"{option} {text}: give a whole number from {least} to {most}")
    return value


def _number(option: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: give a number") from None
    if not (math.isfinite(value) and least <= value <= most):
        raise ConfigError(f"{option} {text}: give a number from {least:g} to {most:g}")
    return value


def _speaks(name: str) -> str:
    if name not in SPEECHES:
        raise ConfigError(f"--speak {name}: not known; give one of {', '.join(SPEECHES)}")
    return name


def _api_key(name: str | None) -> str | None:
    if name is None:
        return None
    key = os.environ.get(name, "")
    if not key.strip():
        raise ConfigError(f"--api-key-env {name}: this environment variable is not set; put the key in it")
    return key.strip()


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
