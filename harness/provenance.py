"""Where a run comes from, for run.json: the project's commit, how it was started, the files it read.

    source      the commit of a checkout, read from .git without running anything; None for an installed package
    invocation  the command line and what it came to (`harness.invocation`)
    data        datasets, traces, lengths and templates: as given, path, size, SHA-256

A file is read once, in pieces, and hashed. It changes nothing and starts nothing.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import harness
from harness import invocation
from harness.credential import read as read_credential
from harness.errors import ConfigError
from harness.hashing import fingerprint
from harness.hiding import Hider
from harness.settings import Settings

__all__ = ["commit", "data", "gather", "keys"]

_HASH: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_LINKS: Final = 5


def gather(
    settings: Settings, argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """All of it, as entries of run.json. Large files take a second a GB or two: call it aside.

    `argv`: the words behind `locust`; None: this process's.
    """
    argv = sys.argv[1:] if argv is None else argv
    return {
        "source": {"commit": commit(Path(harness.__file__).parent)},
        "invocation": invocation.stored(settings.given, argv, environ, Hider(environ, keys(environ))),
        "data": data(settings),
    }


def data(settings: Settings) -> list[dict[str, Any]]:
    """The files that say what requests are, each once."""
    found: dict[str, dict[str, Any]] = {}
    for option, text in _files(settings):
        if text not in found:
            found[text] = {"option": option, "given": text, **fingerprint(Path(text).expanduser())}
    return list(found.values())


def commit(package: Path) -> str | None:
    """The commit that a checkout is at; None: there is none, or it cannot be told.

    Source: gitrepository-layout(5); .git may be a file that names the folder (worktrees).
    """
    top = package.parent / ".git"
    try:
        if top.is_file():
            top = (package.parent / top.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
        if not (top / "HEAD").is_file():
            return None
        common = top / "commondir"
        shared = (top / common.read_text(encoding="utf-8").strip()).resolve() if common.is_file() else top
        return _resolved(top, shared, "HEAD")
    except (OSError, ValueError):
        return None


def _resolved(top: Path, shared: Path, name: str) -> str | None:
    for _ in range(_LINKS):
        path = next((folder / name for folder in (top, shared) if (folder / name).is_file()), None)
        said = path.read_text(encoding="utf-8").strip() if path else _packed(shared, name)
        if not said.startswith("ref:"):
            return said if _HASH.fullmatch(said) else None
        name = said.removeprefix("ref:").strip()
        if not name.startswith("refs/") or ".." in name:
            return None
    return None


def _packed(shared: Path, name: str) -> str:
    packed = shared / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {name}")), "")


def keys(environ: Mapping[str, str]) -> list[str]:
    """Keys in files, which may stand in a command line all the same."""
    found = []
    for name in ("TOKENSWARM_API_KEY", "INFLUXDB_TOKEN", "GRAFANA_TOKEN"):
        try:
            found.append(read_credential({f"{name}_FILE": environ.get(f"{name}_FILE", "")}, name, "key"))
        except ConfigError:  # said where it is needed
            continue
    return found


def _files(settings: Settings) -> Iterator[tuple[str, str]]:
    content, load = settings.content, settings.load
    named: list[tuple[str, object]] = [
        ("--dataset", content.dataset),
        ("--lengths", content.lengths),
        ("--template", content.template),
        ("--arrivals", load.arrivals and load.arrivals.trace),
        ("--prompt-tokens", _path(settings.prompt_sizes)),
        ("--output-tokens", _path(settings.output_sizes)),
        ("--turns", _path(content.turns)),
        ("--turn-tokens", _path(content.turn_sizes)),
        *(("--prompt-levels", _path(one)) for one in load.prompt_levels),
        *(("--output-levels", _path(one)) for one in load.output_levels),
    ]
    for part in content.parts:
        named += [
            ("--mix", one) for one in (part.dataset, part.lengths, _path(part.prompt), _path(part.output))
        ]
    yield from ((option, str(path)) for option, path in named if path)


def _path(sizes: object) -> object:
    """The file behind a distribution."""
    return getattr(sizes, "path", None)
