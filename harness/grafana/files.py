"""Writes dashboards and provisioning, or says what is wrong with what is committed: `python -m harness.grafana.files [--check]`.

The committed files are what people copy and what Grafana is provisioned with; they are never edited by hand.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from harness.grafana import build, lint, provisioning

__all__ = ["check", "main", "write"]

FOLDER: Final = Path("dashboards")
FIX: Final = "run `make dashboards` and commit what it writes"


def write(folder: Path) -> list[Path]:
    """Write each of them into a folder, which is made; the files."""
    paths = []
    for name, content in _made().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def check(folder: Path) -> Iterator[str]:
    """What is wrong: with what is made, and with the files in a folder against it, byte for byte."""
    yield from lint.dashboards(build.dashboards())
    for rule in provisioning.RULES:
        yield from (f"alert {rule.title}: {problem}" for problem in lint.query(rule.query))
    made = _made()
    for name, content in made.items():
        path = folder / name
        if not path.is_file():
            yield f"{path} is missing: {FIX}"
        elif path.read_bytes() != content:
            yield f"{path} is not what harness/grafana makes (edited by hand, or the generator has changed): {FIX}"
    for path in sorted([*folder.glob("*.json"), *folder.rglob("*.yaml")]):
        if path.relative_to(folder).as_posix() not in made:
            yield f"{path}: harness/grafana makes no such file: remove it, or add it to harness/grafana/build.py"


def _made() -> dict[str, bytes]:
    """All files, by their path below the folder."""
    texts = {name: text.encode() for name, text in provisioning.files().items()}
    return {name: build.text(one) for name, one in build.dashboards().items()} | texts


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
