"""Which files of a run go into its bundle, each hashed; and which do not, with the reason.

In go the run's own results, bodies.csv, the locustfile with what it imports from beside it and, if asked for, its data.
A locustfile or data file is held against the hash that run.json has of it: another one than was run is not packed.

The rule: no secret. Every file is looked through for the secrets that this environment holds before anything is written; one
that has any ends it. (`run.json` and the records are made without them; a locustfile is not ours.)
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from harness import rows
from harness.bundles import bodies
from harness.bundles.manifest import DATA, IMPORT, LOCUSTFILE, RESULT, Left, Manifest, Member, usable
from harness.bundles.packing import MOST_BYTES
from harness.errors import ConfigError
from harness.hashing import of_file

__all__ = ["Contents", "gather", "refuse_secrets"]

_NEEDED: Final = ("run.json", "requests.parquet", "summary.json", "levels.csv")
_OTHERS: Final = ("client.csv", "server_metrics.csv", "report.html")
_BODIES: Final = "bodies.csv"
_PIECE: Final = 1 << 20


@dataclass(slots=True)
class Contents:
    """What goes in: members, and where each lies; and what does not."""

    members: list[Member] = field(default_factory=list)
    sources: dict[str, Path] = field(default_factory=dict)
    not_packed: list[Left] = field(default_factory=list)

    def add(
        self, name: str, source: Path, role: str = RESULT, of: str | None = None, sha256: str | None = None
    ) -> bool:
        """Take a file in; `sha256`: what it must have. Whether it was.

        Raises:
            ConfigError: it cannot be read, or is larger than the archive's format holds.
        """
        try:
            digest, size = of_file(source)
        except OSError as error:
            if role == RESULT:
                raise ConfigError(f"{source}: cannot be read ({error.strerror}); restore the file") from error
            return self._leave(source, f"cannot be read ({error.strerror})")
        if sha256 is not None and digest != sha256:
            return self._leave(source, "it is not the file of the run any more (SHA-256 differs)")
        if size > MOST_BYTES:
            raise ConfigError(f"{source}: {size} bytes are more than a bundle's file may have ({MOST_BYTES})")
        if not usable(name):
            return self._leave(source, "its name is too long or not printable")
        self.members.append(Member(name, size, digest, role, of))
        self.sources[name] = source
        return True

    def manifest(self, run: Mapping[str, Any]) -> Manifest:
        """What the bundle says of itself."""
        return Manifest(
            run_id=str(run["run_id"]),
            tokenswarm=str(_of(run, "versions").get("tokenswarm")),
            complete=run.get("complete") is True,
            members=tuple(sorted(self.members, key=lambda member: member.name)),
            not_packed=tuple(self.not_packed),
        )

    def _leave(self, source: Path, why: str) -> bool:
        self.not_packed.append(Left(str(source), why))
        return False


def gather(
    run_dir: Path, run: Mapping[str, Any], scratch: Path, *, with_data: bool, incomplete: bool
) -> Contents:
    """Everything that goes in, hashed.

    Args:
        run_dir: the run directory.
        run: its run.json.
        scratch: an empty folder, for bodies.csv.
        with_data: datasets, traces, lengths and templates too.
        incomplete: results that are not there are left out, but for run.json and the table.

    Raises:
        ConfigError: a file is missing or cannot be read, or data is not what was run.
        OSError: the disk refused.
    """
    found = Contents()
    for name in (*_NEEDED, *_OTHERS):
        if (run_dir / name).is_file():
            found.add(name, run_dir / name)
        elif name in _NEEDED and not (incomplete and name in _NEEDED[2:]):
            raise ConfigError(f"{run_dir / name}: missing; make it with `tokenswarm report {run_dir}`")
    bodies.write(run_dir / "requests.parquet", scratch / _BODIES)
    found.add(_BODIES, scratch / _BODIES)
    _add_programs(found, _of(run, "invocation"))
    for one in _listed(run, "data"):
        _add_data(found, one, with_data=with_data)
    return found


def refuse_secrets(contents: Contents, secrets: tuple[str, ...]) -> None:
    """See that no file has one of these; the tables' texts are looked through as well.

    Raises:
        ConfigError: naming the file, not the secret.
    """
    needles = [secret.encode("utf-8", "surrogateescape") for secret in secrets]
    for name, source in contents.sources.items():
        if needles and (
            _holds_in_table(source, secrets) if name.endswith(".parquet") else _holds(source, needles)
        ):
            raise ConfigError(
                f"{source}: holds the value of a variable of this environment that is named as a secret; take it "
                "out, or unset the variable if it is none"
            )


def _holds(source: Path, needles: list[bytes]) -> bool:
    overlap = max(map(len, needles)) - 1
    rest = b""
    with source.open("rb") as file:
        while piece := file.read(_PIECE):
            rest += piece
            if any(needle in rest for needle in needles):
                return True
            rest = rest[-overlap:] if overlap else b""
    return False


def _holds_in_table(source: Path, secrets: tuple[str, ...]) -> bool:
    texts = [name for name, kind in rows.COLUMNS.items() if kind == "string"]
    return any(
        pc.any(pc.match_substring(column, secret)).as_py()
        for table in rows.groups(source, texts)
        for column in table.columns
        for secret in secrets
    )


def _add_programs(found: Contents, invocation: Mapping[str, Any]) -> None:
    """The locustfiles and their imports, as they lie to one another."""
    roles = [(LOCUSTFILE, one) for one in _listed(invocation, "locustfiles")]
    roles += [(IMPORT, one) for one in _listed(invocation, "imports")]
    known = [(role, Path(str(one.get("path"))), one.get("sha256")) for role, one in roles]
    if not known:
        found.not_packed.append(Left("the locustfile", "run.json does not say where it lies"))
        return
    top = Path(os.path.commonpath([path.parent for _, path, _ in known]))
    for role, path, sha256 in known:
        if sha256 is not None:
            name = "/".join(("locustfiles", *path.relative_to(top).parts))
            found.add(name, path, role, str(path), str(sha256))


def _add_data(found: Contents, one: Mapping[str, Any], *, with_data: bool) -> None:
    path, sha256 = Path(str(one.get("path"))), one.get("sha256")
    if not with_data:
        found.not_packed.append(Left(str(path), f"data of {one.get('option')}; --with-data packs it"))
        return
    suffix = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in path.name
    )
    name = f"data/{str(sha256)[:12]}-{suffix[-80:]}"
    if name in found.sources:  # two names of one file
        name = f"data/{len(found.sources)}-{name.removeprefix('data/')}"
    if not isinstance(sha256, str) or not found.add(name, path, DATA, str(one.get("given")), sha256):
        why = found.not_packed[-1].why if found.not_packed else "run.json has no SHA-256 of it"
        raise ConfigError(f"{path}: {why}; restore the file, or leave --with-data out")


def _of(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _listed(value: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    found = value.get(name)
    yield from (one for one in (found if isinstance(found, list) else ()) if isinstance(one, dict))
