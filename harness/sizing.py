"""`tokenswarm plan`: how many workers a load needs and how to start them, in words or as JSON.

What it says is computed by `harness.layout`. It measures nothing, starts nothing and asks nobody.
"""

import argparse
import math
import os
from typing import TYPE_CHECKING

import orjson

from harness import layout
from harness.errors import ConfigError
from harness.layout import Layout, Load, commands, lay_out
from harness.selftest import capacity

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "as_json", "main", "text"]

_DESCRIPTION = """\
Say how many workers a load needs and how to start them: cores, hosts, memory, network, command lines. It rests on
what `tokenswarm selftest` measured on this machine, so plan on the machine that will be a worker (or one like it).
"""
_EXAMPLE = """\
examples:
  tokenswarm plan --streams 2000 --rate 50
  tokenswarm plan --streams 20000 --rate 30 --tls --prompt-tokens 2000 --output-tokens 400 --cores-per-host 16
"""


def text(needed: Layout) -> str:
    """The plan for people."""
    load, limit = needed.load, needed.limit
    hosts = sum(host.count for host in needed.hosts)
    held = f"one was seen to hold {capacity.described(limit)}" if limit else "not measured here"
    basis = f"for open files, {layout.OPEN_FILES:,} streams a worker" if needed.by_files else held
    each = f"{needed.streams_each:,} streams, {load.events_per_s / needed.workers:,.0f} events/s"
    spare = f"{needed.spare} core{'s' * (needed.spare != 1)} a host for the system, or a simulator beside it"
    rows = [
        ("workers", f"{needed.workers:,}, a core each ({basis}; each gets at most {capacity.SHARE:.0%} of that)"
                    if not needed.by_files else f"{needed.workers:,}, a core each ({basis})"),
        ("each", f"{each}, about {needed.worker_mb:,.0f} MB of memory"),
        ("master", f"1 core, of which it takes about {max(1, round(needed.master_percent))} %" if needed.master_percent is not None
                   else "none: one process does it all"),
        ("kept free", spare if needed.spare else "no core: the system shares the workers'"),
        ("network", f"about {_round(needed.down_mbit)} Mbit/s from the server, {_round(needed.up_mbit)} to it"),
        ("hosts", f"{hosts:,} of {needed.cores} core{'s' * (needed.cores > 1)}"),
    ]  # fmt: skip
    head = (
        f"{load.streams:,} streams x {load.rate:g} tok/s{' over TLS' if load.tls else ''}: at most "
        f"{load.events_per_s:,.0f} events/s, {_round(load.requests_per_s)} requests/s "
        f"(of {load.prompt_tokens:g} + {load.output_tokens:g} tokens)"
    )
    shown = [head, "", *(f"  {name:<10} {said}" for name, said in rows), ""]
    for where, line in commands(needed):
        shown += [f"{where}:", f"  {line}"]
    if hosts > 1:
        shown += [
            "",
            "Hosts reach the first one on port 5557; each needs the API key in its own environment.",
        ]
    return "\n".join([*shown, *(f"\nnote: {said}." for said in needed.notes())])


def as_json(needed: Layout) -> str:
    """The same for programs."""
    load, limit = needed.load, needed.limit
    found = {
        "load": load,
        "events_per_s": load.events_per_s,
        "requests_per_s": load.requests_per_s,
        "workers": needed.workers,
        "streams_per_worker": needed.streams_each,
        "memory_mb_per_worker": needed.worker_mb,
        "master": needed.master,
        "master_cpu_percent": needed.master_percent,
        "network_mbit_per_s": {"from_server": needed.down_mbit, "to_server": needed.up_mbit},
        "cores_per_host": needed.cores,
        "spare_cores_per_host": needed.spare,
        "hosts": needed.hosts,
        "commands": [{"where": where, "command": line} for where, line in commands(needed)],
        "selftest": limit,
        "share_of_limit": capacity.SHARE,
        "notes": list(needed.notes()),
    }
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `plan` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "plan",
        help="say how many workers a load needs and how to start them",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options = (
        ("--streams", "N", None, "requests that are open at once (users)"),
        ("--rate", "TOKENS/S", None, "of one stream while it streams, not of all together"),
        ("--prompt-tokens", "P", "550", "mean size of a prompt (default 550)"),
        ("--output-tokens", "O", "150", "mean size of an answer (default 150)"),
        ("--cores-per-host", "C", None, "cores of each host (default: this machine's)"),
        (
            "--spare-cores",
            "K",
            None,
            "of each host, for the system and for a simulator if it runs there (default 1)",
        ),
    )
    for name, value, default, said in options:
        parser.add_argument(name, metavar=value, default=default, help=said)
    parser.add_argument("--tls", action="store_true", help="the server is reached over https")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Print the plan. Returns the exit code.

    Raises:
        ConfigError: a bad option.
    """
    load = Load(
        streams=_whole("--streams", args.streams, 1, 100_000_000),
        rate=_number("--rate", args.rate, 1e-3, 1e5),
        tls=args.tls,
        prompt_tokens=_number("--prompt-tokens", args.prompt_tokens, 0, 1e8),
        output_tokens=_number("--output-tokens", args.output_tokens, 1, 1e7),
    )
    cores = (
        _cores() if args.cores_per_host is None else _whole("--cores-per-host", args.cores_per_host, 1, 4096)
    )
    spare = None if args.spare_cores is None else _whole("--spare-cores", args.spare_cores, 0, 4096)
    needed = lay_out(load, cores=cores, spare=spare)
    print(as_json(needed) if args.json else text(needed))
    return 0


def _number(option: str, given: str | None, least: float, most: float) -> float:
    span = f"a number from {least:g} to {most:,.0f}"
    if given is None:
        raise ConfigError(f"{option} is missing: give {span}")
    try:
        value = float(given)
    except ValueError:
        raise ConfigError(f"{option} {given}: give {span}") from None
    if not (math.isfinite(value) and least <= value <= most):
        raise ConfigError(f"{option} {given}: give {span}")
    return value


def _whole(option: str, given: str | None, least: int, most: int) -> int:
    value = _number(option, given, least, most)
    if value != int(value):
        raise ConfigError(f"{option} {given}: give a whole number")
    return int(value)


def _round(value: float) -> str:
    """Two digits that mean something."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
