"""How exact this client is and what an event costs it: against the truth, beside the physical limit and other clients.

A C server streams on an exact schedule and logs when it really sent; every client in turn takes the same load; the
two logs are compared. Writes RESULTS.md (and its numbers, results.json) beside this file.
"""

import argparse
import os
import platform
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import bookkeeping
import distributed
import distributed_page
import idle
import master_cost
import results
import soak
import stamps
import toolchain
from clients import CLIENTS
from loads import LOADS, QUICK, Load
from processes import HERE, BenchError, Place, places, run, serving
from score import Figures, judge, median
from table import Row, table

QUICK_CLIENTS: Final = ("c", "c-own", "tokenswarm")
EPILOG: Final = f"""\
examples:
  make bench                                            everything but the soak, about half an hour
  python bench/bench.py --quick                         one short round, ten seconds; writes nothing
  python bench/bench.py --clients c,tokenswarm --loads 1000x50 --rounds 5
  python bench/bench.py --soak 30                       thirty minutes at 300 streams of 50 events/s
  python bench/bench.py --bookkeeping                   what Locust and our bookkeeping cost a request
  python bench/bench.py --distributed                   two processes against one, a hundred workers on one master

clients: {", ".join(CLIENTS)}
loads:   {", ".join(LOADS)}

RESULTS.md is written when every client and every load was measured, and by --soak, --bookkeeping and --distributed;
--save writes it in other cases too.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; the exit code: 0 done (met or not), 2 wrong usage or not possible here, 130 interrupted."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended
    try:
        _check(args)
        toolchain.build_c(_say)
        if args.soak is not None:
            return _soak(args)
        if args.bookkeeping:
            return _bookkeeping(args)
        if args.distributed:
            return _distributed(args)
        return _loads(args)
    except BenchError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clients", metavar="A,B", help="only these clients")
    parser.add_argument("--loads", metavar="A,B", help="only these loads")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="rounds, all clients in each (default 3)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="length of each load instead of its own")
    parser.add_argument(
        "--quick", action="store_true", help=f"one round of {QUICK.name} with {', '.join(QUICK_CLIENTS)}"
    )
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="a long run of tokenswarm: memory, losses, descriptors"
    )
    parser.add_argument("--bookkeeping", action="store_true", help="cost of a request outside the engine")
    parser.add_argument(
        "--distributed", action="store_true", help="two processes against one; what workers cost a master"
    )
    parser.add_argument("--save", action="store_true", help="write RESULTS.md even of a part of it")
    return parser


def _check(args: argparse.Namespace) -> None:
    """What is wrong with the options, before anything starts."""
    if platform.system() != "Linux":
        raise BenchError("it needs Linux: epoll, SO_TIMESTAMPNS and pinned cores")
    if args.rounds < 1:
        raise BenchError(f"--rounds {args.rounds}: at least 1")
    if args.soak is not None and not 0.1 <= args.soak <= 1440:
        raise BenchError(f"--soak {args.soak:g}: minutes, from 0.1 to 1440")
    kinds = {
        "--soak": args.soak is not None,
        "--bookkeeping": args.bookkeeping,
        "--distributed": args.distributed,
    }
    if len(given := [name for name, is_given in kinds.items() if is_given]) > 1:
        raise BenchError(f"{given[0]} and {given[1]} are two runs: give one of them")
    chosen = _chosen_loads(args)
    _chosen(args.clients, CLIENTS, "--clients", "client")
    shortest = max(load.spread_s for load in chosen) + 0.5
    if args.seconds is not None and args.soak is None and args.seconds < shortest:
        raise BenchError(
            f"--seconds {args.seconds:g}: at least {shortest:g}, since starts are spread over {shortest - 0.5:g} s"
        )
    if len(os.sched_getaffinity(0)) < 2:
        _say("only one core: server and client share it, and the figures show little but that")


def _chosen(given: str | None, known: Iterable[str], option: str, kind: str) -> list[str]:
    names = list(known)
    wanted = [name.strip() for name in given.split(",") if name.strip()] if given is not None else names
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise BenchError(
            f"{option} {given!r}: no {kind} {(unknown or [''])[0]!r}; choose from {', '.join(names)}"
        )
    return wanted


def _chosen_loads(args: argparse.Namespace) -> list[Load]:
    if args.quick and args.loads is None:
        return [QUICK]
    return [LOADS[name] for name in _chosen(args.loads, LOADS, "--loads", "load")]


def _loads(args: argparse.Namespace) -> int:
    chosen = [load.lasting(args.seconds) if args.seconds else load for load in _chosen_loads(args)]
    quick = args.quick and args.clients is None
    names = list(QUICK_CLIENTS) if quick else _chosen(args.clients, CLIENTS, "--clients", "client")
    rounds = 1 if args.quick else args.rounds
    server, client = places()
    why_not = toolchain.build_venv(_say) if any(CLIENTS[name].needs_venv for name in names) else None
    idle_mb = None if args.quick else idle.worker_mb()
    seconds = rounds * len(names) * sum(load.seconds + 5 for load in chosen)
    _say(
        f"{rounds} rounds of {len(names)} clients under {len(chosen)} loads, about {max(1, seconds / 60):.0f} min; {client.priority}"
    )
    found: dict[str, dict[str, list[Figures] | str]] = {
        load.name: {name: [] for name in names} for load in chosen
    }
    for number in range(rounds):
        for load in chosen:
            for name in names:
                what = (
                    why_not if CLIENTS[name].needs_venv and why_not else _measured(name, load, server, client)
                )
                _say(f"round {number + 1}/{rounds} {load.name:<8} {name:<20} {_line(what)}")
                _keep(found[load.name], name, what)
    rows = {
        load: {name: row if isinstance(row, str) else median(row) for name, row in by.items()}
        for load, by in found.items()
    }
    print("\n" + results.tables(rows, idle_mb) + "\n")
    part = _part(client, {"rows": _stored(rows), "idle_mb": idle_mb})
    if args.save or (set(names) == set(CLIENTS) and {load.name for load in chosen} == set(LOADS)):
        _save("loads" if any(load.paced for load in chosen) else "unlimited", part)
    whole = set(names) == set(CLIENTS) and args.loads is None
    return _bookkeeping(args) if whole and not args.quick else 0


def _keep(by_client: dict[str, list[Figures] | str], name: str, what: Row) -> None:
    """One failure is the client's row: a median of the rounds that happened to work would flatter it."""
    rounds = by_client[name]
    if isinstance(what, str):
        by_client[name] = what
    elif not isinstance(rounds, str):
        rounds.append(what)


def _measured(name: str, load: Load, server: Place, client: Place) -> Row:
    """One client under one load; a client's failure is a row too."""
    with tempfile.TemporaryDirectory() as folder:
        truth, own = Path(folder) / "truth", Path(folder) / "client"
        try:
            with serving(server, truth) as up:
                outcome = run(
                    CLIENTS[name].command(up.port, load, own), client, deadline_s=4 * load.seconds + 60
                )
            rss = [(sample.time_ns, sample.rss_mb) for sample in outcome.samples]
            return judge(
                load,
                outcome.said,
                stamps.read(truth),
                stamps.read(own),
                rss_mb=rss,
                others_percent=outcome.others_percent,
            )
        except (BenchError, ValueError) as error:
            return f"not measured: {error}"


def _line(what: Row) -> str:
    if isinstance(what, str):
        return what
    return f"{what.events_per_s:9,.0f} events/s {what.cpu_us:7.2f} µs/event" + (
        f"  (others took {what.others_percent:.0f} % of its core)" if what.others_percent > 3 else ""
    )


def _soak(args: argparse.Namespace) -> int:
    server, client = places()
    found = soak.measure(server, client, args.soak)
    print("\n" + table(["target", "measured", ""], [target.cells for target in soak.targets(found)]))
    if args.save or args.soak >= 30:
        _save("soak", _part(client, asdict(found)))
    return 0


def _bookkeeping(args: argparse.Namespace) -> int:
    server, client = places()
    cost = bookkeeping.measure(server, client, args.rounds, args.seconds or bookkeeping.SECONDS)
    print("\n" + table(["target", "measured", ""], [bookkeeping.target(cost).cells]))
    if args.save or args.rounds >= 3:
        _save("bookkeeping", _part(client, asdict(cost)))
    return 0


def _distributed(args: argparse.Namespace) -> int:
    server, client = places()
    both = {
        path: distributed.measure(path, (server, client), args.rounds, args.seconds)
        for path in distributed.PATHS
    }
    load = master_cost.Load(seconds=args.seconds or 60.0)
    calm = (replace(server, priority="none"), replace(client, priority="none"))
    costs = {}
    for kind in master_cost.MASTERS:
        _say(f"{load.workers} workers on one master, {load.seconds:.0f} s: {kind}")
        costs[kind] = master_cost.measure(kind, *calm, load)
    found = distributed_page.stored(both, costs)
    print("\n" + table(["target", "measured", ""], [line.cells for line in distributed_page.lines(found)]))
    if args.save or args.rounds >= 3:
        _save("distributed", _part(client, found))
    return 0


def _stored(rows: dict[str, dict[str, Row]]) -> dict[str, dict[str, object]]:
    return {
        load: {name: row if isinstance(row, str) else asdict(row) for name, row in by.items()}
        for load, by in rows.items()
    }


def _part(client: Place, found: dict[str, object]) -> results.Part:
    command = "python bench/bench.py" + "".join(f" {shlex.quote(word)}" for word in sys.argv[1:])
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return results.Part(date, command, toolchain.machine(), toolchain.versions(), client.priority, found)


def _save(name: str, part: results.Part) -> None:
    path = HERE / "results.json"
    parts = results.load(path) | {name: part}
    if name == "loads" and set(part.found["rows"]) == set(LOADS):
        parts.pop("unlimited", None)  # they are among these
    results.save(path, parts)
    _say("bench/RESULTS.md written")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
