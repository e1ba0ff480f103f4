"""What a master gives each worker to prepare itself from: lines of JSON, and no secret among them.

The first line has the options, run.json, and for each user class what was learnt of the server and what words
cost. Every further line is one prompt of this worker's share. So a worker tokenises nothing and asks the server nothing
that the master knows; prompts of all workers together are those that one process would send, each once.

Values in, values out. Options are checked again by the worker (`harness.options`): its environment, its files and its
key are its own.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
import orjson

import harness
from harness.errors import ConfigError
from harness.option_table import OPTIONS
from harness.probe import Facts
from harness.prompts import Costs
from harness.workload import Piece, Sharing

__all__ = ["Bundle", "Share", "options_of", "read", "write"]

SCHEMA: Final = 1
_OWN: Final = ("results_dir", "serve")  # of each process, not the run's
_LOCUSTS: Final = ("host", "num_users", "spawn_rate", "run_time")


@dataclass(slots=True, kw_only=True)
class Share:
    """What one worker is told of one user class. `costs` None: prompts are drawn token ids."""

    facts: Facts
    sharing: Sharing
    salt: str | None  # of the run's cache
    costs: Costs | None
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that a worker prepares itself from."""

    options: Namespace
    run: Mapping[str, Any]  # run.json
    shares: Mapping[str, Share]  # by the name of the user class


def options_of(parsed: Namespace, host: str) -> dict[str, Any]:
    """The options that all processes of a run have in common."""
    names = [name.replace("-", "_") for name, *_ in OPTIONS]
    kept = {name: getattr(parsed, name, None) for name in (*names, *_LOCUSTS) if name not in _OWN}
    return kept | {"host": host}


def write(options: Mapping[str, Any], run: Mapping[str, Any], shares: Mapping[str, Share]) -> Iterator[bytes]:
    """The lines of a bundle."""
    told = {
        name: {
            "facts": asdict(share.facts),
            "sharing": list(share.sharing),
            "salt": share.salt,
            "costs": None if share.costs is None else asdict(share.costs),
        }
        for name, share in shares.items()
    }
    head = {
        "schema": SCHEMA,
        "version": harness.__version__,
        "options": options,
        "run": run,
        "classes": told,
    }
    yield orjson.dumps(head, option=_LINE)
    for name, share in shares.items():
        for piece in share.pieces:
            yield orjson.dumps((name, piece.words, piece.body, piece.tokens, piece.requested), option=_LINE)


def read(lines: Iterable[bytes], pause: Callable[[], object]) -> Bundle:
    """A bundle from its lines; `pause` is called after each, since there may be 100 MB of them.

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
    for line in each:
        name, *fields = orjson.loads(line)
        shares[name].pieces.append(Piece(*fields))
        pause()
    return Bundle(Namespace(**_defaults() | head["options"]), head["run"], shares)


def _share(told: Mapping[str, Any]) -> Share:
    costs = told["costs"]
    return Share(
        facts=msgspec.convert(told["facts"], Facts),
        sharing=Sharing(*told["sharing"]),
        salt=told["salt"],
        costs=None if costs is None else msgspec.convert(costs, Costs, strict=False),
        pieces=[],
    )


def _defaults() -> dict[str, Any]:
    return {name.replace("-", "_"): default for name, default, *_ in OPTIONS}


_LINE: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
