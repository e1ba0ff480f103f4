"""A run directory as the comparison sees it: `run.json` and `summary.json`, every part that is used checked for its type.

Files may be of another version, cut short or written by hand. Whatever does not fit is one line that names the file, the
place in it and the way out; nothing after this module meets a surprise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from harness import results
from harness.compare.figures import FIGURES, Figure, Measured, Part
from harness.compare.likeness import Sources
from harness.errors import ConfigError

__all__ = ["Level", "Run", "load"]

_WORDS: Final = ("valid", "suspect", "invalid")


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a run."""

    key: tuple[object, ...]  # what was held: equal keys are the same load
    title: str  # `8 users`
    kind: str
    value: float | None  # what is swept over, as a number
    figures: Mapping[str, Measured]  # by their names
    lengths: Mapping[str, float | None]  # mean prompt and output tokens of a request, as counted
    requests: int
    batch: int  # repeats that one of its passes is of; 1 unless there were very many


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    path: Path
    run_id: str
    name: str  # --run-name, else the run id
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]  # versions and host, of run.json
    sources: Sources
    levels: tuple[Level, ...]
    verdict: str
    reasons: tuple[str, ...]
    complete: bool


def load(path: Path) -> Run:
    """The run of a directory.

    Raises:
        ConfigError: it is none, or its files are damaged or of a version without passes.
    """
    try:
        run, summary = results.load_run(path), results.load_summary(path)
    except OSError as error:  # a name that cannot be one, a folder that may not be looked into
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a run directory") from error
    except ValueError as error:
        raise ConfigError(f"{str(path)!r}: not a path ({error}); give a run directory") from error
    settings = _Place(path / "run.json", "settings", run.get("settings")).mapping()
    place = _Place(path / "summary.json", "", summary)
    verdict = place.at("verdict")
    run_id = place.at("run_id").text()
    if run_id != run["run_id"]:
        raise ConfigError(
            f"{path}: run.json is of run {run['run_id']!r} and summary.json of {run_id!r}; restore the files"
        )
    status = verdict.at("status").text()
    if status not in _WORDS:
        raise verdict.at("status").wrong(f"one of {', '.join(_WORDS)}")
    return Run(
        path=path,
        run_id=run_id,
        name=str(settings.get("run_name") or run_id),
        settings=settings,
        facts={name: run.get(name) for name in ("versions", "host", "source")},
        sources=Sources.of(run),
        levels=tuple(_levels(place.at("levels"))),
        verdict=status,
        reasons=tuple(one.text() for one in verdict.at("reasons").places()),
        complete=place.at("complete").flag(),
    )


def _levels(place: "_Place") -> list[Level]:
    found: list[Level] = []
    for one in place.places():
        level = _level(one)
        again = sum(other.key[:-1] == level.key[:-1] for other in found)  # a search may hold a load twice
        found.append(replace(level, key=(*level.key[:-1], again)))
    return found


def _level(place: "_Place") -> Level:
    kind, title = place.at("kind").text(), place.at("title").text()
    users, cap = place.at("concurrency").number(), place.at("max_concurrency").number()
    if place.get("passes") is None:
        raise ConfigError(
            f"{place.file}: {place.path}.passes is missing, the figures of each pass: an older version wrote this; "
            f"make it again with `tokenswarm report {place.file.parent}`"
        )
    passes = place.at("passes").places()
    return Level(
        key=(kind, title, users, cap, place.at("wave").flag(), 0),
        title=title,
        kind=kind,
        value=place.at("value").number(),
        figures={name: _measured(figure, place, passes) for name, figure in FIGURES.items()},
        lengths={
            name: place.at(name).at("mean").number() if place.get(name) is not None else None
            for name in ("prompt_tokens", "output_tokens")
        },
        requests=place.at("requests").count(),
        batch=max((one.at("repeats").count() for one in passes), default=1),
    )


def _measured(figure: Figure, level: "_Place", passes: "list[_Place]") -> Measured:
    return Measured(_whole(figure, level), tuple(_part(figure, one) for one in passes))


def _whole(figure: Figure, level: "_Place") -> Part:
    """The level's own figure: all its passes together."""
    requests = level.at("requests").count()
    if figure.name == "error_rate":  # a level has the counts only
        failed = level.at("failed").count()
        return Part(failed / requests if requests else None, None, requests)
    if figure.name == "goodput":
        told = level.get("goodput")
        return Part(None if told is None else level.at("goodput").at("share").number(), None, requests)
    return _part(figure, level)


def _part(figure: Figure, place: "_Place") -> Part:
    requests = place.at("requests").count()
    if figure.key is None:
        return Part(place.at(figure.entry).number(), None, requests)
    spread = place.at(figure.entry)
    n = spread.at("n").count()
    return Part(spread.at(figure.key).number() if n else None, n, requests)


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a JSON file, for saying what is wrong there."""

    file: Path
    path: str
    value: Any

    def wrong(self, right: str) -> ConfigError:
        """For raising: what should stand here."""
        found = (
            repr(self.value)
            if isinstance(self.value, str | int | float | None)
            else type(self.value).__name__
        )
        return ConfigError(
            f"{self.file}: {self.path or 'the whole'} is {found[:80]}, not {right}; restore the file, or make it "
            f"again with `tokenswarm report {self.file.parent}`"
        )

    def get(self, name: str) -> Any:  # noqa: ANN401  a JSON edge
        return self.mapping().get(name)

    def at(self, name: str) -> "_Place":
        return _Place(self.file, f"{self.path}.{name}" if self.path else name, self.get(name))

    def mapping(self) -> Mapping[str, Any]:
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object")
        return self.value

    def items(self) -> list[Any]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return self.value

    def places(self) -> "list[_Place]":
        return [_Place(self.file, f"{self.path}[{at}]", one) for at, one in enumerate(self.items())]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def number(self) -> float | None:
        """A finite number, or None where nothing was measured."""
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        try:
            value = float(self.value)
        except OverflowError:
            raise self.wrong("a number of a possible size") from None
        if not (math.isfinite(value) and abs(value) < 1e15):
            raise self.wrong("a number of a possible size")
        return value

    def count(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not 0 <= self.value < 2**53:
            raise self.wrong("a count")
        return self.value
