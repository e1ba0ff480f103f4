"""`tokenswarm rerun BUNDLE`: the run of a bundle made again, and its requests' bodies held against those of the first.

Exit code: Locust's, where all bodies that both runs sent are the same; 6 where that is not shown: a body differs, none could be
held against another, or a run that had a fixed number of requests sent fewer. 2, and whatever else ended the run before there
were results, stays as it is.
"""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from harness.bundles.command import Command
    from harness.bundles.manifest import Manifest
    from harness.bundles.sequence import Row, Verdict

__all__ = ["NOT_SHOWN", "add_parser", "main", "words_of"]

NOT_SHOWN: Final = 6
_DESCRIPTION = """\
Make the run of a bundle again: the same options, seed and locustfile send the same sequence of request bodies, byte for byte.
Afterwards each body's SHA-256 is held against the bundle's. Keys come from the environment, as ever.
"""
_EPILOG = """\
examples:
  tokenswarm rerun evidence.tar.gz
  tokenswarm rerun evidence.tar.gz --host http://10.0.0.7:8000      the same bodies to another server
  tokenswarm rerun evidence.tar.gz --dry-run                        the command, and nothing else
  tokenswarm rerun evidence.tar.gz --option header='X-Tenant: a'    what a bundle does not hold

exit code: Locust's own; 6 if the bodies are not shown to be the same.
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `rerun` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "rerun",
        help="send a bundle's sequence of requests again, and see that it was the same",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what `tokenswarm bundle` made")
    parser.add_argument("--host", metavar="URL", help="the server (default: the run's own)")
    parser.add_argument(
        "--results-dir",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="where the run directory is made",
    )
    parser.add_argument(
        "--no-serve", action="store_true", help="do not start the server that --serve started"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the command and end")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="extra",
        help="an option for Locust, such as one that was hidden: header='X-Tenant: a' (repeatable)",
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Make the run again and compare.

    Raises:
        ConfigError: the bundle is damaged, or lacks what the run needs; nothing was sent.
    """
    from harness import results  # noqa: PLC0415  # pandas takes a second to import
    from harness.bundles import opening  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="tokenswarm-rerun-") as name:
        folder = Path(name)
        told = opening.unpack(args.bundle, folder)
        run = results.load_run(folder)
        made = words_of(run, told, folder, args)
        for note in made.notes:
            _say(note)
        if args.dry_run:
            _print(made, folder)
            return 0
        for doubt in _doubts(run):
            _say(doubt)
        return _go(made, run, folder, args.results_dir)


def words_of(run: Mapping[str, Any], told: "Manifest", folder: Path, args: argparse.Namespace) -> "Command":
    """The command of a bundle that was unpacked to `folder`.

    Raises:
        ConfigError: a file that the run read is neither in the bundle nor where it was.
    """
    from harness.bundles import command, manifest  # noqa: PLC0415

    return command.build(
        run,
        [folder / member.name for member in told.of_role(manifest.LOCUSTFILE)],
        _data(run, told, folder),
        host=args.host,
        results_dir=args.results_dir.absolute(),
        serve=not args.no_serve,
        extra=[f"--{word}" for word in args.extra],
    )


def _data(run: Mapping[str, Any], told: "Manifest", folder: Path) -> dict[str, Path]:
    """Where each file of data lies: in the bundle, or where it was, or here under the name it was given by."""
    from harness.bundles import manifest  # noqa: PLC0415

    packed = {member.of: folder / member.name for member in told.of_role(manifest.DATA)}
    listed = run.get("data")
    found: dict[str, Path] = {}
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("given"), str):
            raise ConfigError("run.json: its list of data is damaged; make the bundle again")
        given = one["given"]
        found[given] = packed.get(given) or _where_it_was(one, given)
    return found


def _where_it_was(one: Mapping[str, Any], given: str) -> Path:
    from harness import hashing  # noqa: PLC0415
    from harness.grid import clean  # noqa: PLC0415

    places = dict.fromkeys((Path(str(one.get("path"))), Path(given).expanduser().absolute()))
    why = "there is no such file"
    for place in places:
        try:
            if hashing.of_file(place)[0] == one.get("sha256"):
                return place
            why = "it is another file now (SHA-256 differs)"
        except OSError:
            continue
    raise ConfigError(
        f"{clean(str(one.get('option')))} {clean(given)}: not in the bundle, and at {clean(str(next(iter(places))))} {why}; "
        "restore it, or pack the run with --with-data"
    )


def _go(made: "Command", run: Mapping[str, Any], folder: Path, results_dir: Path) -> int:
    from harness.bundles.command import environment  # noqa: PLC0415
    from harness.demo import LOCUST  # noqa: PLC0415
    from harness.servers.drive import drive  # noqa: PLC0415

    known = _runs(results_dir)
    print(f"$ {shlex.join(['locust', *made.words])}", flush=True)
    code = drive([sys.executable, "-c", LOCUST, *made.words], environment(os.environ, made.environ))
    new = [path for path in sorted(_runs(results_dir) - known) if _is_ours(path, folder)]
    if not new or not (new[-1] / "requests.parquet").is_file():
        _say(f"the run left no results (exit code {code}); there is nothing to hold against the bundle")
        return code or NOT_SHOWN
    return _judged(folder, run, new[-1], code)


def _runs(results_dir: Path) -> set[Path]:
    return {path for path in results_dir.iterdir() if path.is_dir()} if results_dir.is_dir() else set()


def _is_ours(path: Path, folder: Path) -> bool:
    """Whether it is the run of the locustfile that was unpacked here, and not somebody else's of the same time."""
    try:
        return str(folder).encode() in (path / "run.json").read_bytes()
    except OSError:
        return False


def _judged(folder: Path, base: Mapping[str, Any], directory: Path, code: int) -> int:
    """Print what the comparison says; the exit code."""
    from harness import results  # noqa: PLC0415
    from harness.bundles import sequence  # noqa: PLC0415

    new = results.load_run(directory)
    settings = base["settings"]
    by_level = bool(settings.get("prompt_levels") or settings.get("output_levels")) and not settings.get(
        "arrivals"
    )
    told = sequence.compared(
        _rows(folder / "requests.parquet"), _rows(directory / "requests.parquet"), by_level=by_level
    )
    missing = code == 0 and _is_counted(base) and told.only_base > 0
    shown = told.compared > 0 and not told.different and not missing
    for line in _lines(told, base, new, shown=shown, missing=missing):
        print(line)
    return code if shown else NOT_SHOWN


def _is_counted(run: Mapping[str, Any]) -> bool:
    """Whether every such run sends the same numbers: a plan, and nobody among whom timing shares it out."""
    settings = run["settings"]
    alone = _count(run) <= 1 and len(_items(settings.get("users"))) == 1
    return run.get("planned") is not None and alone and not settings.get("turns")


def _rows(path: Path) -> Iterator["Row"]:
    from harness import rows  # noqa: PLC0415
    from harness.bundles import sequence  # noqa: PLC0415

    for table in rows.groups(path, sequence.COLUMNS):
        yield from table.to_pylist()


def _lines(
    told: "Verdict", base: Mapping[str, Any], new: Mapping[str, Any], *, shown: bool, missing: bool
) -> Iterator[str]:
    yield ""
    if not told.compared:
        yield "rerun: no request could be held against the bundle's: neither has bodies' hashes of the same places"
    else:
        result = "the same" if not told.different else f"{told.same} the same, {told.different} different"
        yield f"rerun: {told.compared} request bodies held against the bundle's: {result}"
    for (level, repeat), (same, different) in sorted(told.by_level.items()):
        if different:
            yield f"rerun:   level {level}, pass {repeat}: {same} the same, {different} different"
    if told.first is not None:
        yield f"rerun:   first difference: {told.first.what}: {told.first.base_sha256}, now {told.first.new_sha256}"
    if told.only_base or told.only_new:
        less = "; the run had a fixed number of requests, so some are missing" if missing else ""
        yield f"rerun: {told.only_base} requests only in the bundle, {told.only_new} only in this run{less}"
    if told.later_turns:
        yield f"rerun: {told.later_turns} later turns of chats are not compared: the server's own answers are in them"
    if not shown:
        yield from (f"rerun: {why}" for why in (*_doubts(base), *_changes(base, new)))
        yield f"rerun: not shown to be the same sequence (exit code {NOT_SHOWN})"


def _doubts(run: Mapping[str, Any]) -> Iterator[str]:
    """Why no two runs of such settings send the same bytes."""
    settings = run["settings"]
    if settings.get("cache_salt", "off") != "off":
        yield f"--cache-salt {settings['cache_salt']} puts something new into every run's bodies: they cannot be the same"
    if settings.get("bust_cache"):
        yield "--bust-cache begins every prompt with something new: bodies cannot be the same"


def _changes(base: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What differs between the runs and may be why."""
    from harness.grid import clean  # noqa: PLC0415

    for what, ours, theirs in (
        ("tokenswarm", _deep(base, "versions", "tokenswarm"), _deep(new, "versions", "tokenswarm")),
        ("Python", _deep(base, "versions", "python"), _deep(new, "versions", "python")),
        ("model", _deep(base, "settings", "model"), _deep(new, "settings", "model")),
        *(
            (f"what sizes {name}'s prompts", _deep(user, "sizer"), _deep(new, "settings", "users", name, "sizer"))
            for name, user in _items(_deep(base, "settings", "users"))
        ),
        *(
            (f"whether {name}'s server goes on to a length", _deep(user, "server", "forces_length"),
             _deep(new, "settings", "users", name, "server", "forces_length"))
            for name, user in _items(_deep(base, "settings", "users"))
        ),
        ("workers", _count(base), _count(new)),
    ):  # fmt: skip
        if ours != theirs:
            yield f"another {clean(what)}: {clean(str(ours))[:200]} then, {clean(str(theirs))[:200]} now"


def _deep(value: Any, *names: str) -> Any:  # noqa: ANN401  a JSON edge
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _items(value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401  a JSON edge
    return list(value.items()) if isinstance(value, dict) else []


def _count(run: Mapping[str, Any]) -> int:
    workers = run.get("workers")
    return len(workers) if isinstance(workers, list) else 0


def _print(made: "Command", folder: Path) -> None:
    """The command with BUNDLE in place of the folder that will be gone."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in sorted(made.environ.items())]
    print(" ".join([*variables, shlex.join(["locust", *made.words])]).replace(str(folder), "BUNDLE"))
    print("# BUNDLE is where the bundle is unpacked to")


def _say(what: str) -> None:
    print(f"tokenswarm rerun: {what}", file=sys.stderr, flush=True)
