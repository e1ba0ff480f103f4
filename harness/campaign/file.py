"""A campaign file, read and checked: TOML in, one value out, or every mistake in it with its place.

    [campaign]  name, results, rounds, cooldown, seeds, locustfile
    [options]   options of all runs: ours and Locust's, without their dashes
    [labels], [env]   of all runs
    [axes]      lists that multiply; `order`
    [[target]]  name, locustfile, host, serve, classes, options, labels, env

Relative paths are relative to the file's folder, in which the runs are started too. Whether an option's value is
right is not known here (`harness.campaign.dry`), nor is anything run.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import shipped
from harness.campaign.axes import ORDERS, Axis, check_axes, read_axes
from harness.campaign.placeholders import PORT, used
from harness.campaign.values import Given, Problems, command, labels, options, span, texts, variables
from harness.errors import ConfigError

__all__ = ["ORDERS", "SEEDS", "Axis", "Campaign", "Target", "parse", "read"]

SEEDS: Final = ("different", "same")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_NAMES: Final = "give up to 60 letters, digits, dots, dashes and underscores"
_TABLES: Final = ("campaign", "options", "labels", "env", "axes", "target")
_CAMPAIGN: Final = ("name", "results", "rounds", "cooldown", "seeds", "locustfile")
_TARGET: Final = ("name", "locustfile", "host", "serve", "classes", "options", "labels", "env")


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured: a server that is there, or one that is started for each run."""

    name: str
    locustfile: Path
    host: str | None  # None: a free port of this machine
    serve: str | None
    classes: tuple[str, ...]  # user classes of the locustfile; none: all
    options: Mapping[str, Given]
    labels: Mapping[str, str]
    env: Mapping[str, str]

    def texts(self) -> list[str]:
        """Everything in which `{name}` is replaced."""
        given = [text for value in self.options.values() if not isinstance(value, bool) for text in value]
        return [self.host or "", self.serve or "", *given, *self.labels.values(), *self.env.values()]


@dataclass(frozen=True, slots=True)
class Campaign:
    """A whole file. Targets have the options, labels and variables of all runs in them."""

    path: Path
    name: str
    results: Path
    rounds: int
    order: str
    cooldown_s: float
    seeds: str
    targets: tuple[Target, ...]
    axes: tuple[Axis, ...]

    @property
    def folder(self) -> Path:
        """Where runs are started, and what relative paths are relative to."""
        return self.path.parent


def read(path: Path) -> Campaign:
    """The campaign of a file.

    Raises:
        ConfigError: one line for each thing that is wrong, naming the file and the key or line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or 'cannot be read').lower()}; give a campaign's TOML file"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text in UTF-8 (byte {error.start}); save it as UTF-8") from None
    return parse(text, path.absolute())


def parse(text: str, path: Path) -> Campaign:
    """The campaign of a file's text; `path` is absolute.

    Raises:
        ConfigError: as `read`.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: not TOML: {error}") from None
    problems = Problems()
    campaign = _campaign(tables, path, problems)
    if problems.found:
        raise ConfigError("\n".join(f"{path.name}: {problem}" for problem in problems.found))
    return campaign


def _campaign(tables: Mapping[str, Any], path: Path, problems: Problems) -> Campaign:
    problems.unknown(tables, _TABLES, "")
    head = problems.table(tables, "campaign")
    problems.unknown(head, _CAMPAIGN, "campaign.")
    name = problems.text(head, "name", "campaign.") or ""
    if not _NAME.fullmatch(name):
        problems.add(f"campaign.name {name!r}: {_NAMES}")
    axes, order = read_axes(problems.table(tables, "axes"), problems)
    targets = _targets(tables, head, path.parent, problems)
    _check(axes, targets, problems)
    return Campaign(
        path=path,
        name=name,
        results=path.parent / (problems.text(head, "results", "campaign.") or f"results/{name}"),
        rounds=problems.whole(head, "rounds", "campaign.", default=1, low=1, high=1000),
        order=order,
        cooldown_s=span(head.get("cooldown", 0), "campaign.cooldown", problems),
        seeds=problems.word(head, "seeds", "campaign.", SEEDS),
        targets=targets,
        axes=axes,
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all targets have."""

    folder: Path
    locustfile: str | None
    options: Mapping[str, Given]
    labels: Mapping[str, str]
    env: Mapping[str, str]


def _targets(
    tables: Mapping[str, Any], head: Mapping[str, Any], folder: Path, problems: Problems
) -> tuple[Target, ...]:
    listed = tables.get("target", [])
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        problems.add("target: give at least one [[target]] with a name, a locustfile and a host")
        return ()
    shared = _Shared(
        folder,
        problems.text(head, "locustfile", "campaign."),
        options(problems.table(tables, "options"), "options", problems),
        labels(problems.table(tables, "labels"), "labels", problems),
        variables(problems.table(tables, "env"), "env", problems),
    )
    found = [_target(one, number, shared, problems) for number, one in enumerate(listed, start=1)]
    names = [target.name for target in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"target: two are named {name!r}; give each a name of its own")
    return tuple(found)


def _target(table: Mapping[str, Any], number: int, shared: _Shared, problems: Problems) -> Target:
    name = problems.text(table, "name", f"target[{number}].") or ""
    where = f"target[{number}] {name!r}: " if name else f"target[{number}]."
    if not _NAME.fullmatch(name):
        problems.add(f"target[{number}].name {name!r}: {_NAMES}")
    problems.unknown(table, _TARGET, where)
    host, serve = problems.text(table, "host", where), problems.text(table, "serve", where)
    if host is None and serve is None:
        problems.add(f"{where}host is missing: give the server's address, or `serve` what starts it")
    command(serve, f"{where}serve", problems)
    locustfile = problems.text(table, "locustfile", where) or shared.locustfile
    own = options(problems.table(table, "options", where), f"{where}options", problems)
    marks = labels(problems.table(table, "labels", where), f"{where}labels", problems)
    return Target(
        name=name,
        locustfile=_locustfile(locustfile, shared.folder, where, problems),
        host=host,
        serve=serve,
        classes=texts(table.get("classes", []), f"{where}classes", problems),
        options={**shared.options, **own},
        labels={**shared.labels, **marks},
        env={
            **shared.env,
            **variables(problems.table(table, "env", where), f"{where}env", problems),
        },
    )


def _locustfile(text: str | None, folder: Path, where: str, problems: Problems) -> Path:
    """Beside the campaign file, else one of those that come with tokenswarm."""
    if text is None:
        problems.add(f'{where}locustfile is missing: give one, e.g. locustfile = "openai.py"')
        return folder
    ours = shipped.folder(shipped.LOCUSTFILES)
    found = next((path for path in (folder / text, ours / text) if path.is_file()), None)
    if found is None:
        problems.add(f"{where}locustfile {text!r}: neither in {folder} nor in {ours}; correct the path")
    return found or folder


def _check(axes: Sequence[Axis], targets: Sequence[Target], problems: Problems) -> None:
    """Every axis must be of use somewhere, and every `{name}` one."""
    named = {target.name: used(target.texts()) for target in targets}
    check_axes(axes, set().union(*named.values()), [target.options for target in targets], problems)
    for target in targets:
        if target.host is not None and PORT in named[target.name]:
            problems.add(
                f"target {target.name!r}: {{{PORT}}} is the free port of a target without a host; drop host, or write "
                "its port"
            )
