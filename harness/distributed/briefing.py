"""What a master gives each worker to prepare itself from: lines of JSON, and no secret among them.

The first line has the options, run.json, and for each user class what was learnt of the server and what words
cost. Every further line is one prompt of this worker's share. So a worker tokenises nothing and asks the server nothing
that the master knows; prompts of all workers together are those that one process would send, each once.

Values in, values out. Options are checked again by the worker (`harness.options`): its environment, its files and its
key are its own.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import msgspec
import orjson

import harness
from harness.distributed import portable
from harness.errors import ConfigError
from harness.menus import Stock
from harness.option_table import OPTIONS
from harness.prompts import Costs
from harness.server_facts import Facts
from harness.settings import Settings
from harness.supply import Around
from harness.timetable import Timetable
from harness.traces import Trace
from harness.workload import Piece, Sharing

__all__ = ["Briefing", "Share", "options_of", "read", "write"]

SCHEMA: Final = 1
_OWN: Final = ("results_dir", "serve", "export", "junit")  # of each process, not the run's
_PIECE: Final = tuple(one.name for one in fields(Piece))
_LOCUSTS: Final = ("host", "num_users", "spawn_rate", "run_time")


@dataclass(slots=True, kw_only=True)
class Share:
    """What one worker is told of one user class."""

    facts: Facts
    sharing: Sharing
    salt: str | None  # of the run's cache
    stocks: list[Stock]  # of its menu


@dataclass(frozen=True, slots=True)
class Briefing:
    """All that a worker prepares itself from."""

    options: Namespace
    run: Mapping[str, Any]  # run.json
    shares: Mapping[str, Share]  # by the name of the user class
    trace: Trace | None = None


def options_of(parsed: Namespace, host: str, settings: Settings) -> dict[str, Any]:
    """The options that all processes of a run have in common; what files say of lengths is written out."""
    names = [name.replace("-", "_") for name, *_ in OPTIONS]
    kept = {name: getattr(parsed, name, None) for name in (*names, *_LOCUSTS) if name not in _OWN}
    return kept | {"host": host, **portable.options(settings)}


def write(
    options: Mapping[str, Any],
    run: Mapping[str, Any],
    shares: Mapping[str, Share],
    timetable: Timetable | None = None,
) -> Iterator[bytes]:
    """The lines of a briefing; `timetable` is an open loop's, whose trace goes with it."""
    trace = None if timetable is None else timetable.trace
    told = {
        name: {
            "facts": asdict(share.facts),
            "sharing": list(share.sharing),
            "salt": share.salt,
            "stocks": [_head(stock) for stock in share.stocks],
        }
        for name, share in shares.items()
    }
    head = {
        "schema": SCHEMA,
        "version": harness.__version__,
        "options": options,
        "run": run,
        "classes": told,
        "trace": trace and [str(trace.path), trace.format],
    }
    yield orjson.dumps(head, option=_LINE)
    if trace is not None:
        for columns in portable.rows(trace):
            yield orjson.dumps(("", columns), option=_LINE)
    for name, share in shares.items():
        for at, stock in enumerate(share.stocks):
            for piece in stock.pieces:
                yield orjson.dumps((name, at, *(getattr(piece, one) for one in _PIECE)), option=_LINE)
            for entry in stock.entries or ():
                yield orjson.dumps((name, at, orjson.Fragment(entry)), option=_LINE)


def read(lines: Iterable[bytes], pause: Callable[[], object]) -> Briefing:
    """A briefing from its lines; `pause` is called after each, since there may be 100 MB of them.

    Raises:
        ConfigError: it is of another version of tokenswarm.
        ValueError: it is damaged.
    """
    each = iter(lines)
    head = orjson.loads(next(each, b"null"))
    version = head.get("version") if isinstance(head, Mapping) else None
    if version != harness.__version__ or head["schema"] != SCHEMA:
        raise ConfigError(
            f"the master runs tokenswarm {version}, this worker {harness.__version__}: install the same on both"
        )
    shares = {name: _share(told) for name, told in head["classes"].items()}
    columns: list[list[Any]] = []
    for line in each:
        name, at, *said = orjson.loads(line)
        if not name:
            columns.append(at)
            continue
        stock = shares[name].stocks[at]
        if stock.entries is None:
            stock.pieces.append(Piece(*said))
        else:
            stock.entries.append(orjson.dumps(said[0]))
        pause()
    path, form = head["trace"] or ("", "")
    trace = portable.trace(path, form, columns) if path else None
    return Briefing(Namespace(**_defaults() | head["options"]), head["run"], shares, trace)


def _head(stock: Stock) -> dict[str, Any]:
    """All of it but its lines."""
    return {
        "costs": None if stock.costs is None else asdict(stock.costs),
        "around": asdict(stock.around),
        "pairs": stock.pairs and portable.pairs(stock.pairs),
        "travels": stock.entries is not None,
        "size": stock.size,
    }


def _share(told: Mapping[str, Any]) -> Share:
    return Share(
        facts=msgspec.convert(told["facts"], Facts),
        sharing=Sharing(*told["sharing"]),
        salt=told["salt"],
        stocks=[_stock(one) for one in told["stocks"]],
    )


def _stock(told: Mapping[str, Any]) -> Stock:
    costs = told["costs"]
    return Stock(
        costs=None if costs is None else msgspec.convert(costs, Costs, strict=False),
        around=msgspec.convert(told["around"], Around),
        pairs=told["pairs"] and portable.same_pairs(told["pairs"]),
        entries=[] if told["travels"] else None,
        size=told["size"],
    )


def _defaults() -> dict[str, Any]:
    return {name.replace("-", "_"): default for name, default, *_ in OPTIONS}


_LINE: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
