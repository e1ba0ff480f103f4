"""`tokenswarm bundle RUN`: a run as evidence in one file, and `--check`, which holds such a file against itself."""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from harness.bundles.manifest import Manifest

__all__ = ["add_parser", "main"]

_DESCRIPTION = """\
Pack a run into one file that others can check and run again: settings and seeds, the command line, versions and host,
the locustfile, every request's record, and the SHA-256 of every request's body. The same run makes the same bytes.
No key is in it: run.json and records are made without any, and every file is looked through before it is packed.
"""
_EPILOG = """\
examples:
  tokenswarm bundle results/20261121T101500Z-llamacpp-native-1a2b3c
  tokenswarm bundle results/20261121T101500Z-llamacpp-native-1a2b3c --with-data --output evidence.tar.gz
  tokenswarm bundle --check evidence.tar.gz
  tokenswarm rerun evidence.tar.gz

docs/bundles.md has the format.
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `bundle` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "bundle",
        help="pack a run into one file that others can check and run again",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, nargs="?", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the bundle, or a folder for it (default: ./RUN-ID.tar.gz)",
    )
    parser.add_argument(
        "--with-data", action="store_true", help="pack datasets, traces, files of lengths and templates, too"
    )
    parser.add_argument("--incomplete", action="store_true", help="pack a run whose results are not complete")
    parser.add_argument("--force", action="store_true", help="replace the file if there is one")
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="hold a bundle against its manifest instead"
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Pack, or check; 0.

    Raises:
        ConfigError: there is nothing to pack, or the bundle is not what it should be.
    """
    if args.check is not None:
        if args.directory is not None or args.output is not None:
            raise ConfigError("--check takes a bundle and nothing else; leave RUN and --output out")
        return _check(args.check)
    if args.directory is None:
        raise ConfigError("give a run directory, such as results/<run-id>, or --check FILE")
    return _pack(args)


def _pack(args: argparse.Namespace) -> int:
    from harness import provenance, results  # noqa: PLC0415  # pandas takes a second to import
    from harness.bundles import contents, packing  # noqa: PLC0415
    from harness.hiding import Hider  # noqa: PLC0415

    directory: Path = args.directory
    run = results.load_run(directory)
    target = _target(args.output, _plain(run, directory), force=args.force)
    _refuse_incomplete(directory, run, allowed=args.incomplete)
    with tempfile.TemporaryDirectory(prefix="tokenswarm-bundle-") as scratch:
        found = contents.gather(
            directory, run, Path(scratch), with_data=args.with_data, incomplete=args.incomplete
        )
        contents.refuse_secrets(found, Hider(os.environ, provenance.keys(os.environ)).secrets)
        told = found.manifest(run)
        size = packing.pack(target, told, found.sources)
    print(f"{target}: {len(told.members)} files, {_many(size)}")
    _say_left(told)
    return 0


def _check(path: Path) -> int:
    from harness.bundles import opening  # noqa: PLC0415
    from harness.grid import clean  # noqa: PLC0415

    told = opening.check(path)
    size = sum(member.bytes for member in told.members)
    state = "" if told.complete else ", a run that is not complete"
    print(f"{path}: {len(told.members)} files, {_many(size)} unpacked, all as the manifest says")
    print(f"run {clean(told.run_id)} by tokenswarm {clean(told.tokenswarm)}{state}")
    _say_left(told)
    return 0


def _plain(run: Mapping[str, Any], directory: Path) -> str:
    from harness.bundles.manifest import usable  # noqa: PLC0415

    run_id = run["run_id"]
    if not isinstance(run_id, str) or "/" in run_id or not usable(run_id) or len(run_id.encode()) > 90:
        raise ConfigError(f"{directory / 'run.json'}: run_id is no plain name; restore the file")
    return run_id


def _target(output: Path | None, run_id: str, *, force: bool) -> Path:
    target = output or Path()
    target = target / f"{run_id}.tar.gz" if target.is_dir() else target
    if target.is_dir():
        raise ConfigError(f"{target}: a folder; give --output another name")
    if target.exists() and not force:
        raise ConfigError(f"{target}: exists already; --force replaces it, --output names another")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"--output {str(target)!r}: no such folder; make it first")
    return target


def _refuse_incomplete(directory: Path, run: Mapping[str, Any], *, allowed: bool) -> None:
    from harness import results  # noqa: PLC0415

    if not (directory / "requests.parquet").is_file():
        raise ConfigError(
            f"{directory}: no requests.parquet; `tokenswarm report {shlex.quote(str(directory))}` makes it of the journal"
        )
    reasons = run.get("incomplete")
    why = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    if not allowed and run.get("complete") is not True:
        raise ConfigError(
            f"{directory}: its results are not complete ({why[:300] or 'it did not finish'}); --incomplete packs them"
        )
    if not allowed and (left := results.unmerged(directory, run)):
        raise ConfigError(
            f"{directory}: {left[0].name} is not in its results; `tokenswarm collect` merges it, --incomplete leaves it out"
        )


def _say_left(told: "Manifest") -> None:
    from harness.grid import clean  # noqa: PLC0415

    for one in told.not_packed:
        print(f"tokenswarm bundle: not packed: {clean(one.path)}: {clean(one.why)}", file=sys.stderr)


def _many(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"
