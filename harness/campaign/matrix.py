"""The runs that a campaign makes: every target with every combination of axes, every round, in the order asked for.

    interleaved   round after round; neighbours differ: targets take turns, then the values of the first axis, then
                  of the next, so that a slow drift of machine or server does not pass for a difference between them
    grouped       target after target, value after value, the first axis slowest, all rounds of one before the next:
                  as few starts and switches of models as can be

A run is its key. What a run is asked (`asked`) is compared with what it was asked before, so neither seeds nor folders
depend on which other runs there are: a target or a value more changes no run that is there.
"""

import hashlib
import itertools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.campaign.axes import Axis
from harness.campaign.file import Campaign, Target
from harness.campaign.placeholders import fill, used
from harness.campaign.values import Given

__all__ = ["Run", "plan"]

_SEEDS: Final = 2**31
_NAME_LETTERS: Final = 80  # of a run's name, which `--run-name` takes


@dataclass(frozen=True, slots=True)
class Run:
    """One `locust --headless`."""

    target: str
    values: tuple[tuple[str, str], ...]  # axis and value, of those that the target takes part in
    round: int
    locustfile: Path
    host: str | None  # None: a free port of this machine
    serve: str | None
    classes: tuple[str, ...]
    options: Mapping[str, Given]
    labels: Mapping[str, str]
    env: Mapping[str, str]

    @property
    def row(self) -> str:
        """What it is a repetition of: `np4 prompt-tokens=128`."""
        return " ".join([self.target, *(f"{axis}={value}" for axis, value in self.values)])

    @property
    def key(self) -> str:
        """`np4 prompt-tokens=128 #1`."""
        return f"{self.row} #{self.round}"

    @property
    def slug(self) -> str:
        """The key as a folder's name, and a run's."""
        if not self.values:
            return f"{self.target}-{self.round}"
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", self.key)  # two keys may become one
        return f"{plain[: _NAME_LETTERS - 9].rstrip('-')}-{zlib.crc32(self.key.encode()):08x}"

    @property
    def model(self) -> str | None:
        """Which model, or expert of a composition, it asks for; None if it does not say."""
        parts = self.options.get("backend-option", ())
        experts = [] if isinstance(parts, bool) else [p[7:] for p in parts if p.startswith("expert=")]
        given = self.options.get("model", ())
        return next(iter([*experts, *([] if isinstance(given, bool) else given)]), None)

    @property
    def has_trial(self) -> bool:
        """Whether a trial request goes before its load."""
        return self.options.get("preflight") != ("no",)

    def words(self, host: str, results: Path) -> list[str]:
        """What follows `locust` on its command line."""
        told = [*self.labels.items()]
        serve = self.serve and fill(self.serve, {"port": host.rpartition(":")[2]})
        return [
            *("-f", str(self.locustfile), "--headless", "--host", host),
            *([f"--serve={serve}"] if serve else []),
            *(word for name, given in self.options.items() for word in _words(name, given)),
            *(f"--label={name}={value}" for name, value in told),
            *(f"--run-name={self.slug}", f"--results-dir={results}", *self.classes),
        ]

    def asked(self) -> dict[str, Any]:
        """Everything that its figures may depend on, for `campaign.json`."""
        digest = hashlib.sha256(self.locustfile.read_bytes()).hexdigest()
        return {
            "host": self.host,
            "serve": self.serve,
            "locustfile": f"{self.locustfile.name} sha256:{digest[:16]}",
            "classes": list(self.classes),
            "options": {
                name: given if isinstance(given, bool) else list(given)
                for name, given in self.options.items()
            },
            "labels": dict(self.labels),
            "env": dict(self.env),
        }


def plan(campaign: Campaign) -> list[Run]:
    """All runs in their order."""
    found = [
        (_place(campaign.order, at, places, round_), _run(campaign, target, values, round_))
        for at, target in enumerate(campaign.targets)
        for places, values in _combinations(target, campaign.axes)
        for round_ in range(1, campaign.rounds + 1)
    ]
    return [run for _, run in sorted(found, key=lambda one: one[0])]


def _place(order: str, target: int, places: tuple[int, ...], round_: int) -> tuple[int, ...]:
    if order == "grouped":
        return (target, *places, round_)
    return (round_, *reversed(places), target)


def _combinations(
    target: Target, axes: Sequence[Axis]
) -> Iterator[tuple[tuple[int, ...], list[tuple[Axis, Given]]]]:
    """The values of the axes that a target takes part in, with the place of each; place 0 of the others.

    It does where its text has `{name}`, and with an option that it does not give itself.
    """
    named = used(target.texts())
    mine = [
        axis for axis in axes if axis.name in named or (axis.is_option and axis.name not in target.options)
    ]
    for chosen in itertools.product(*(range(len(axis.values)) for axis in mine)):
        place = {axis.name: at for axis, at in zip(mine, chosen, strict=True)}
        values = [(axis, axis.values[at]) for axis, at in zip(mine, chosen, strict=True)]
        yield tuple(place.get(axis.name, 0) for axis in axes), values


def _run(campaign: Campaign, target: Target, chosen: list[tuple[Axis, Given]], round_: int) -> Run:
    values = tuple((axis.name, _text(given)) for axis, given in chosen)
    filling = dict(values)
    own = {**{axis.name: given for axis, given in chosen if axis.is_option}, **target.options}
    options = {
        name: given if isinstance(given, bool) else tuple(fill(text, filling) for text in given)
        for name, given in own.items()
    }
    seed = _seed(campaign, target, values, round_, options.get("seed"))
    return Run(
        target=target.name,
        values=values,
        round=round_,
        locustfile=target.locustfile,
        host=target.host and fill(target.host, filling),
        serve=target.serve and fill(target.serve, filling),
        classes=target.classes,
        options=options | ({"seed": seed} if seed else {}),
        labels={
            "campaign": campaign.name,
            "target": target.name,
            **{name: fill(text, filling) for name, text in target.labels.items()},
            "round": str(round_),
        },
        env={name: fill(text, filling) for name, text in target.env.items()},
    )


def _seed(
    campaign: Campaign, target: Target, values: tuple[tuple[str, str], ...], round_: int, given: Given | None
) -> Given | None:
    """Runs at one server must not ask the same prompts again: it may have them in its cache.

    Targets do ask the same, so that they can be compared, unless they are at one address and no server is started anew.
    None: none is to be added.
    """
    if campaign.seeds == "same" or any(axis == "seed" for axis, _ in values):
        return given
    alike = [
        one for one in campaign.targets if one.host == target.host and not one.serve and not target.serve
    ]
    which = target.name if len(alike) > 1 and alike[0] is not target else ""
    if not values and round_ == 1 and not which:
        return given
    base = 1 if given is None or isinstance(given, bool) else int(given[0]) if given[0].isdigit() else None
    if base is None:
        return given  # which the parser will refuse
    text = "\n".join([which, str(round_), *(f"{axis}={value}" for axis, value in values)])
    return (str((base + zlib.crc32(text.encode())) % _SEEDS),)


def _text(given: Given) -> str:
    return str(given).lower() if isinstance(given, bool) else " ".join(given)


def _words(name: str, given: Given) -> list[str]:
    if isinstance(given, bool):
        return [f"--{name}"] if given else []
    return [f"--{name}={text}" for text in given]
