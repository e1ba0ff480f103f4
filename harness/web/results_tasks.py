"""What is asked of `tokenswarm` for the page of results: its words, and what its answers mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from harness.errors import ConfigError
from harness.web.results_child import Done
from harness.web.results_jobs import Task
from harness.web.results_place import Entry

__all__ = ["Tasks", "compared"]

RUNS: Final = 8  # of one comparison
LOUDEST: Final = 12  # changes that are said here; the page has all
OUTCOMES: Final = {0: "not worse", 3: "worse", 6: "cannot be told"}
_FLAGS: Final = {
    "allow_different": ("--allow-different", "all"),
    "allow_invalid": ("--allow-invalid",),
    "by_point": ("--by-point",),
}
_CHANGED: Final = ("regression", "improvement")


def compared(told: Mapping[str, Any]) -> list[str]:
    """The ids of a request to compare, the base first.

    Raises:
        ConfigError: there are too few, too many, or one twice.
    """
    base, new = told.get("base"), told.get("new")
    ids = [base, *new] if isinstance(new, list) else [base]
    if not all(isinstance(one, str) for one in ids) or not 2 <= len(ids) <= RUNS:
        raise ConfigError(f"a comparison takes a base and 1 to {RUNS - 1} others")
    if len(set(ids)) < len(ids):
        raise ConfigError("a run cannot be held against itself: pick two")
    return [str(one) for one in ids]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Of the runs below `root`."""

    root: Path

    def report(self, entry: Entry) -> Task:
        """Summary and report made again of the tables, after a crash of the journal."""
        return Task(
            "report",
            (entry.id, entry.stamp),
            lambda _: ["report", str(self.root / entry.id)],
            frozenset({0, 3, 4, 5}),  # how the run did; 2 is what could not be done
            "report.html",
        )

    def bundle(self, entry: Entry, *, incomplete: bool) -> Task:
        """A run as evidence in one file."""
        more = ["--incomplete"] if incomplete else []
        return Task(
            "bundle",
            (entry.id, entry.stamp, incomplete),
            lambda file: ["bundle", str(self.root / entry.id), "--output", str(file), *more],
            frozenset({0}),
            f"{entry.parts[-1]}.tar.gz",
        )

    def compare(self, each: Sequence[Entry], told: Mapping[str, Any]) -> Task:
        """Each but the first against the first."""
        flags = [word for name, words in _FLAGS.items() if told.get(name) is True for word in words]
        paths = [str(self.root / entry.id) for entry in each]
        return Task(
            "comparison",
            (tuple((entry.id, entry.stamp) for entry in each), *flags),
            lambda file: ["compare", *paths, *flags, "--json", "--html", str(file)],
            frozenset(OUTCOMES),
            "comparison.html",
            tell=_compared,
            lasting=True,
        )


def _compared(done: Done) -> dict[str, Any]:
    """The outcome, and the changes that are the largest."""
    told = orjson.loads(done.out)
    found = [
        {"run": new["name"]}
        | {name: one[name] for name in ("level", "figure", "unit", "base", "new", "change", "word")}
        for new in told["new"]
        for one in new["figures"]
        if one["word"] in _CHANGED
    ]
    found.sort(key=lambda one: (one["word"] != _CHANGED[0], -abs(one["change"] or 0.0)))
    return {
        "outcome": OUTCOMES[done.code],
        "passes_needed": told["passes_needed"],
        "each": [{"run": one["name"], "verdict": one["verdict"]} for one in told["new"]],
        "changes": found[:LOUDEST],
        "changed": len(found),
        "notes": told["notes"][:LOUDEST],
    }
