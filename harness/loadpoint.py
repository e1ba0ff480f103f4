"""What one level of a sweep holds: so many users, or such a rate of arrivals, or prompts of such a length.

A level has a whole number for its name (`level` in requests.parquet). In a sweep over concurrency it is the number
of users; in any other it counts from 1, and the point says what was held. run.json keeps the points, so that tables
and reports can name levels without guessing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

__all__ = ["KINDS", "LoadPoint", "axis", "entry", "heading", "ordered", "short", "stored", "title"]

KINDS: Final = ("concurrency", "rate", "arrivals", "prompt_tokens", "output_tokens")

_AXES: Final = {
    "concurrency": "users (level)",
    "rate": "arrivals asked for, requests/s (level)",
    "arrivals": "level",
    "prompt_tokens": "prompt tokens asked for (level)",
    "output_tokens": "output tokens asked for (level)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """One level's load. `users` 0: an open loop, whose arrivals decide how many there are."""

    key: int  # the level's name
    users: int
    kind: str = "concurrency"
    rate: float | None = None  # arrivals a second, where a sweep sets it
    text: str = ""  # the arrival process or the length, as its option would say it
    value: float | None = None  # what is swept over, as a number
    wave: bool = False  # all users at once, all awaited
    cap: int | None = None  # of an open loop: in flight at once

    @classmethod
    def of_users(cls, users: int) -> Self:
        """A level of concurrency."""
        return cls(key=users, users=users, value=float(users))

    @property
    def is_open(self) -> bool:
        """Requests come by a schedule, whether earlier ones are done or not."""
        return self.kind != "concurrency" and not self.users

    @property
    def title(self) -> str:
        """In a few words, e.g. `8 users` or `5 req/s`."""
        match self.kind:
            case "concurrency":
                return f"{self.users:,} user{'s' * (self.users != 1)}"
            case "rate":
                return f"{self.value:g} req/s"
            case "arrivals":
                return self.text
            case _:
                return f"{self.text} {self.kind.replace('_', ' ')}"


def stored(points: Iterable[LoadPoint]) -> dict[str, dict[str, Any]]:
    """For run.json: by the level's name, as text."""
    return {str(point.key): asdict(point) | {"title": point.title} for point in points}


def entry(
    level: int, points: Mapping[str, Mapping[str, Any]] | None, unsent: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """What summary.json says of a level's load. `concurrency` is None in an open loop: nobody set it."""
    told = (points or {}).get(str(level)) or stored([LoadPoint.of_users(level)])[str(level)]
    return {
        "level": level,
        "concurrency": told["users"] or None,
        "kind": told["kind"],
        "value": told["value"],
        "title": told["title"],
        "rate": told["rate"],
        "wave": bool(told.get("wave")),
        "max_concurrency": told.get("cap"),
        "unsent": None if unsent is None else unsent.get(str(level), 0),
    }


def ordered(levels: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Levels by name, but rates by rate: a search names them in the order in which it came to try them."""
    found = list(levels)
    if all(level["kind"] == "rate" for level in found):
        found.sort(key=lambda level: float(level["value"] or 0))
    return found


def short(level: Mapping[str, Any]) -> str:
    """What a level of summary.json is called in a table's first column and in a sentence: `8`, `5 req/s`."""
    return str(level["level"]) if level.get("kind", "concurrency") == "concurrency" else str(level["title"])


def heading(levels: Iterable[Mapping[str, Any]]) -> str:
    """The name of that column."""
    kinds = {level.get("kind", "concurrency") for level in levels}
    return "users" if kinds <= {"concurrency"} else "load"


def axis(levels: Iterable[Mapping[str, Any]]) -> str:
    """What a chart over levels has on its axis."""
    kinds = {str(level.get("kind", "concurrency")) for level in levels}
    return _AXES[kinds.pop()] if len(kinds) == 1 else "level"


def title(level: int, points: Mapping[str, Mapping[str, Any]] | None) -> str:
    """What a level is called, from run.json's points; levels of users where it has none."""
    told = (points or {}).get(str(level))
    return str(told["title"]) if told else LoadPoint.of_users(level).title
