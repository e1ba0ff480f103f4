"""manifest.json of a bundle: what is in it, to the byte.

    {"format": 1, "run_id": ..., "tokenswarm": ..., "complete": true,
     "members": [{"name", "bytes", "sha256", "role", "of"}, ...],      sorted by name
     "not_packed": [{"path", "why"}, ...]}

`role`: result, locustfile, import or data; `of`: what run.json calls a locustfile, an import (its path) or a file of
data (as the option gave it), None for results. Pure: bytes in, values out.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from harness.errors import ConfigError

__all__ = [
    "DATA",
    "IMPORT",
    "LOCUSTFILE",
    "NAME",
    "RESULT",
    "Left",
    "Manifest",
    "Member",
    "read",
    "text",
    "usable",
]

FORMAT: Final = 1
NAME: Final = "manifest.json"
RESULT, LOCUSTFILE, IMPORT, DATA = "result", "locustfile", "import", "data"
_ROLES: Final = (RESULT, LOCUSTFILE, IMPORT, DATA)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST: Final = 250  # bytes of a name, which the archive's format holds


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle; `name` has slashes and is relative to the bundle's folder."""

    name: str
    bytes: int
    sha256: str
    role: str = RESULT
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A file that belongs to the run and is not in its bundle."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds."""

    run_id: str
    tokenswarm: str  # the version that made the run
    complete: bool
    members: tuple[Member, ...]
    not_packed: tuple[Left, ...] = ()

    def of_role(self, role: str) -> list[Member]:
        """The members of a role, in order."""
        return [member for member in self.members if member.role == role]


def text(manifest: Manifest) -> bytes:
    """The file's bytes, the same for the same manifest."""
    members = sorted(manifest.members, key=lambda member: member.name)
    value = {"format": FORMAT, **asdict(manifest), "members": [asdict(member) for member in members]}
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read(data: bytes) -> Manifest:
    """The manifest of these bytes.

    Raises:
        ConfigError: they are none, or of a format that this version does not read.
    """
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise _wrong(f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _wrong("is not a JSON object")
    if value.get("format") != FORMAT:
        raise _wrong(f"has format {str(value.get('format'))[:40]!r}, and this version reads {FORMAT}")
    members = tuple(_member(one) for one in _list(value, "members"))
    if len({member.name for member in members}) < len(members):
        raise _wrong("names a file twice")
    run_id = _word(value, "run_id")
    if not usable(run_id) or "/" in run_id:
        raise _wrong(f"has run_id {run_id[:80]!r}, which is no plain name")
    return Manifest(
        run_id=run_id,
        tokenswarm=_word(value, "tokenswarm"),
        complete=value.get("complete") is True,
        members=members,
        not_packed=tuple(Left(_word(one, "path"), _word(one, "why")) for one in _list(value, "not_packed")),
    )


def usable(name: str) -> bool:
    """Whether a name stays inside the folder it is unpacked to, on any system, and fits into the archive."""
    parts = name.split("/")
    plain = all(part not in {"", ".", ".."} for part in parts)
    printable = name.isprintable() and "\\" not in name and ":" not in name
    return plain and printable and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST


def _member(value: Any) -> Member:  # noqa: ANN401  a JSON edge
    if not isinstance(value, dict):
        raise _wrong("lists a file that is no JSON object")
    name, size, digest, of = _word(value, "name"), value.get("bytes"), _word(value, "sha256"), value.get("of")
    if not usable(name):
        raise _wrong(f"lists {name[:80]!r}, a name that leads elsewhere or is too long")
    if type(size) is not int or size < 0:
        raise _wrong(f"says of {name[:80]!r} that it has {str(size)[:40]!r} bytes")
    if not _DIGEST.fullmatch(digest):
        raise _wrong(f"says of {name[:80]!r} no SHA-256")
    if value.get("role") not in _ROLES or not (of is None or isinstance(of, str)):
        raise _wrong(f"says of {name[:80]!r} not what it is for")
    return Member(name, size, digest, value["role"], of)


def _word(value: Any, name: str) -> str:  # noqa: ANN401  a JSON edge
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise _wrong(f"has no text under {name!r}")
    return found


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list):
        raise _wrong(f"has no list under {name!r}")
    return found


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"{NAME} {what}; make the bundle again with `tokenswarm bundle`")
