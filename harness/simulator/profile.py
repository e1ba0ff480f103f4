"""Profiles: what a published system cost, as data in `profiles/*.toml`, for `tokenswarm simulate --profile`.

A profile says whose API it speaks, its model's name and limits, its costs by batch size, where they were
published and what had to be assumed. It is read and checked here, and nothing else: `fit` computed the costs,
`published` has the figures that they were computed from. A profile of one's own is a file of the same form.
"""

import csv
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import ConfigError
from harness.simulator.costs import CostModel, CostPoint, CostTable

FOLDER: Final = Path(__file__).parent / "profiles"
OPTION: Final = "--profile"
_MOST: Final = 1e9


@dataclass(frozen=True, slots=True)
class Experiment:
    """How the figures were measured, as far as is known: waves of requests, each at once, all awaited."""

    levels: tuple[int, ...]  # requests of a wave
    repeats: int  # waves of each level
    prompt_tokens: int
    output_tokens: int
    figures: str  # "maritaca": harness.maritaca's; "phases": of the prefill and the decode phase of a wave


@dataclass(frozen=True, slots=True)
class Profile:
    """One system. `experiment` None: its figures are nowhere published."""

    name: str
    title: str
    source: str
    assumed: tuple[str, ...]
    speaks: str
    model: str
    context: int
    mean_output_tokens: float
    cost: CostModel
    experiment: Experiment | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One published number. `stat` is mean, median or std, or value where only one was given."""

    profile: str
    clients: int
    figure: str
    stat: str
    value: float


def names() -> tuple[str, ...]:
    """The profiles that come with us, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str) -> Profile:
    """The profile `name`, or the one in the file of that path, which ends in .toml.

    Raises:
        ConfigError: one line, with the option, the file and what is wrong.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    if name not in names():
        raise ConfigError(f"{OPTION} {name}: not known; give one of {', '.join(names())}, or a .toml file")
    return _read(FOLDER / f"{name}.toml")


def published() -> tuple[Figure, ...]:
    """All published figures, in the order of their file."""
    with (FOLDER / "published.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(
            Figure(row["profile"], int(row["clients"]), row["figure"], row["stat"], float(row["value"]))
            for row in csv.DictReader(lines)
        )


def _read(path: Path) -> Profile:
    try:
        top = _Table(path, "", tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{OPTION} {path}: {error.strerror}; name a file that can be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{OPTION} {path}: not TOML: {error}") from None
    batch, jitter = top.table("batch"), top.table("jitter", optional=True)
    experiment = top.table("experiment", optional=True)
    found = Profile(
        name=path.stem,
        title=top.text("title"),
        source=top.text("source", ""),
        assumed=tuple(top.texts("assumed")),
        speaks=top.text("speaks"),
        model=top.text("model"),
        context=top.whole("context", 2),
        mean_output_tokens=top.number("mean_output_tokens", 1.0),
        cost=CostModel(
            slots=batch.whole("slots", 1),
            prefill_chunk=batch.whole("prefill_chunk", 1),
            gather_ms=batch.number("gather_ms", 0.0, default=0.0),
            jitter_percent=jitter.number("percent", 0.0, default=0.0),
            jitter_steps=jitter.whole("steps", 1, default=1),
            table=CostTable(tuple(_points(top))),
        ),
        experiment=_experiment(experiment) if experiment.values else None,
    )
    for table in (top, batch, jitter, experiment):
        table.close()
    return found


def _points(top: "_Table") -> list[CostPoint]:
    points: list[CostPoint] = []
    for cost in top.tables("cost"):
        point = CostPoint(
            cost.whole("batch", 1), cost.number("prefill_tokens_per_s", 1e-3), cost.number("step_ms", 0.0)
        )
        cost.close()
        if points and point.batch <= points[-1].batch:
            raise cost.wrong("batch", "ascend from one [[cost]] to the next")
        points.append(point)
    return points


def _experiment(table: "_Table") -> Experiment:
    levels = table.values.pop("levels", None)
    if not isinstance(levels, list) or not levels or not all(type(n) is int and n > 0 for n in levels):
        raise table.wrong("levels", "be a list of numbers of clients, such as [1, 2, 4, 8]")
    return Experiment(
        levels=tuple(levels),
        repeats=table.whole("repeats", 1),
        prompt_tokens=table.whole("prompt_tokens", 1),
        output_tokens=table.whole("output_tokens", 1),
        figures=table.text("figures"),
    )


@dataclass(slots=True)
class _Table:
    """A TOML table that is emptied as it is read. Every getter raises ConfigError for a bad value."""

    path: Path
    where: str  # its name with a dot after it
    values: dict[str, Any]

    def wrong(self, key: str, must: str) -> ConfigError:
        return ConfigError(f"{OPTION} {self.path}: {self.where}{key} must {must}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.pop(key, default)
        if not isinstance(value, str) or not (value.isprintable() and (value or default == "")):
            raise self.wrong(key, "be a line of text")
        return value

    def texts(self, key: str) -> list[str]:
        value = self.values.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
            raise self.wrong(key, "be a list of lines of text")
        return value

    def number(self, key: str, least: float, default: float | None = None) -> float:
        value = self.values.pop(key, default)
        if type(value) not in {int, float} or not (math.isfinite(value) and least <= value <= _MOST):
            raise self.wrong(key, f"be a number from {least:g} to {_MOST:g}")
        return float(value)

    def whole(self, key: str, least: int, default: int | None = None) -> int:
        value = self.values.pop(key, default)
        if type(value) is not int or not least <= value <= _MOST:
            raise self.wrong(key, f"be a whole number from {least} to {_MOST:g}")
        return value

    def table(self, key: str, *, optional: bool = False) -> "_Table":
        value = self.values.pop(key, {} if optional else None)
        if not isinstance(value, Mapping):
            raise self.wrong(key, "be a table")
        return _Table(self.path, f"{self.where}{key}.", dict(value))

    def tables(self, key: str) -> list["_Table"]:
        value = self.values.pop(key, None)
        if not isinstance(value, list) or not value or not all(isinstance(one, Mapping) for one in value):
            raise self.wrong(key, f"be one or more [[{key}]] tables")
        return [_Table(self.path, f"{key}[{index}].", dict(one)) for index, one in enumerate(value)]

    def close(self) -> None:
        """Raises for what nobody asked for: a misspelt key would go unnoticed."""
        if self.values:
            unknown = ", ".join(f"{self.where}{key}" for key in self.values)
            raise ConfigError(f"{OPTION} {self.path}: {unknown}: no such key")
