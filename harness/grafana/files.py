"""Writes the dashboards, or says what is wrong with those that are committed: `python -m harness.grafana.files [--check]`.

The committed files are what people copy and what Grafana is provisioned with; they are never edited by hand.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from harness.grafana import build, lint

__all__ = ["check", "main", "write"]

FOLDER: Final = Path("dashboards")
FIX: Final = "run `make dashboards` and commit what it writes"


def write(folder: Path) -> list[Path]:
    """Write each of them into a folder, which is made; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, made in build.dashboards().items():
        path = folder / name
        path.write_bytes(build.text(made))
        paths.append(path)
    return paths


def check(folder: Path) -> Iterator[str]:
    """What is wrong: with the dashboards themselves, and with the files in a folder against them, byte for byte."""
    made = build.dashboards()
    yield from lint.dashboards(made)
    for name, one in made.items():
        path = folder / name
        if not path.is_file():
            yield f"{path} is missing: {FIX}"
        elif path.read_bytes() != build.text(one):
            yield f"{path} is not what harness/grafana makes (edited by hand, or the generator has changed): {FIX}"
    for path in sorted(folder.glob("*.json")):
        if path.name not in made:
            yield f"{path}: harness/grafana makes no such dashboard: remove it, or add it to harness/grafana/build.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code: 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.grafana.files", description="Write the dashboards from their source."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say what is wrong with those that are there"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they are (default %(default)s)")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        for path in write(chosen.folder):
            print(path)
        return 0
    found = list(check(chosen.folder))
    for problem in found:
        print(problem, file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
