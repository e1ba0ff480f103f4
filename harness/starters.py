"""`tokenswarm init`: our locustfiles, and on request the dashboards, as files of one's own to start from.

They land as they lie in a checkout, so that commands of the documents and of `--help` work as they stand. What
somebody has changed is not written over unless asked to: where one such file is found, none is written.
"""

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import files, shipped
from harness.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "main"]

_DESCRIPTION = """\
Write starter locustfiles into DIR/locustfiles: one for each kind of server, and own.py, users of your own to begin
with. If a file is there that differs, it is named, nothing is written, and the exit code is 2.
"""
_EPILOG = """\
examples:
  tokenswarm init
  tokenswarm init load-tests --with-dashboards
"""
_NEXT: Final = """\
Try one{where}:
  tokenswarm simulate --port 8080 &
  locust -f locustfiles/own.py --host http://127.0.0.1:8080 --headless --levels 1,2,4 --requests-per-level 20
openai.py suits most servers. The first lines of each file have its command."""
_NEXT_DASHBOARDS: Final = """\
`tokenswarm dashboards push` puts dashboards into a Grafana you have; dashboards/provisioning has the files of one that
is set up by files, and each says what it needs."""
_KINDS: Final = (".py", ".json", ".yaml")  # Python leaves caches beside a locustfile that it has read


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `init` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "init",
        help="write starter locustfiles",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "directory", type=Path, nargs="?", default=Path(), metavar="DIR",
        help="where to; made if missing (default: here)",
    )  # fmt: skip
    parser.add_argument(
        "--with-dashboards",
        action="store_true",
        help="Grafana's dashboards too, and what provisions them, into DIR/dashboards",
    )
    parser.add_argument(
        "--force", action="store_true", help="write over files that differ: what was changed in them is lost"
    )
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Write them, and say what to type next; 0.

    Raises:
        ConfigError: a file that differs is there, or DIR cannot be written.
    """
    folder: Path = args.directory
    names = [shipped.LOCUSTFILES, *([shipped.DASHBOARDS] if args.with_dashboards else [])]
    wanted = {target: content for name in names for target, content in _ours(name, folder)}
    try:
        new = [target for target, content in wanted.items() if not _holds(target, content)]
        _check(folder, [target for target in new if os.path.lexists(target)], force=args.force)
        for target in new:
            target.parent.mkdir(parents=True, exist_ok=True)
            files.write(target, wanted[target])
            print(target)
    except OSError as error:
        where = error.filename or folder
        raise ConfigError(f"{where}: cannot be written ({error.strerror}); give a DIR of yours") from error
    if kept := len(wanted) - len(new):
        print(f"{kept} of {len(wanted)} files were there already, unchanged")
    print(_NEXT.format(where="" if folder == Path() else f", in {shlex.quote(str(folder))}"))
    if args.with_dashboards:
        print(_NEXT_DASHBOARDS)
    return 0


def _ours(name: str, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """(where it goes, what it holds) of all files in one of our folders."""
    top = shipped.folder(name)
    for path in sorted(top.rglob("*")):
        if path.suffix in _KINDS:
            yield folder / name / path.relative_to(top), path.read_bytes()


def _holds(target: Path, content: bytes) -> bool:
    return target.is_file() and target.read_bytes() == content


def _check(folder: Path, others: Sequence[Path], *, force: bool) -> None:
    """Nothing is in the way, but files that may be lost.

    Args:
        folder: DIR.
        others: what is there and differs from ours.
        force: files among them may be lost.

    Raises:
        ConfigError: something is in the way; all of it is named.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"DIR {str(folder)!r} is no folder: give one, or a name that is free")
    if blocked := [str(path) for path in others if not path.is_file()]:
        raise ConfigError(f"in the way, and no file: {', '.join(blocked)}; move it, or give another DIR")
    if others and not force:
        raise ConfigError(
            f"nothing written, for these are there and differ: {', '.join(map(str, others))}; give another DIR, or "
            "--force to lose what was changed in them"
        )
