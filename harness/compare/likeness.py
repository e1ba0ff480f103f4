"""Whether runs are of the same load, and what else differs.

What shapes the load has to be the same, or a difference in the figures says nothing of the server. What people compare
(host, model, versions, labels) may differ, and is listed. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import ConfigError

__all__ = ["SHAPING", "Other", "allowed", "differences"]

SHAPING: Final = (
    *("backend", "api_mode", "prompt_tokens", "output_tokens", "lengths", "prompt_levels", "output_levels"),
    *("levels", "rates", "arrivals", "search", "speed_up", "max_concurrency", "users"),
    *("requests_per_level", "requests_per_user", "seconds_per_level", "refill"),
    *("warmup", "warmup_s", "warmup_auto", "cooldown_s", "spawn_rate", "run_time_s"),
    *("text", "template", "shared_prefix", "dataset", "dataset_order", "bust_cache", "mix"),
    *("turns", "turn_tokens", "think_time", "stream", "exact_output", "extra_body", "prompt_ids"),
    *("cache_salt", "drop_answers_under", "retry_after", "seed", "probe_every_s", "probe_tokens"),
)
_FILES: Final = {"lengths", "template", "dataset"}  # paths: another machine has another folder
_OF_A_LANE: Final = ("stream", "prompt_tokens", "output_tokens")  # as they came to be for a class of users
_NOT_WORTH_SAYING: Final = {"anchor_unix_ns", "results_dir", "metrics_page", "users"}
_HASHES: Final = ("sha256", "hash", "digest")


@dataclass(frozen=True, slots=True)
class Other:
    """One thing in which a run is not as the base."""

    name: str
    base: str
    new: str


def allowed(given: Sequence[str]) -> frozenset[str]:
    """What `--allow-different` names; `--` before and dashes in a name do not matter.

    Raises:
        ConfigError: there is no such setting.
    """
    names = [name.strip().lstrip("-").replace("-", "_") for name in given]
    for name, text in zip(names, given, strict=True):
        if name not in {*SHAPING, "all"}:
            raise ConfigError(
                f"--allow-different {text!r}: no setting that has to be the same; give all, or one of {', '.join(SHAPING)}"
            )
    return frozenset(SHAPING) if "all" in names else frozenset(names)


def differences(
    base: Mapping[str, Any], new: Mapping[str, Any], datasets: tuple[Sequence[Any], Sequence[Any]]
) -> tuple[list[Other], list[Other]]:
    """(what shapes the load, what does not) and differs between two runs' settings, of run.json."""
    shaping = list(_shaping(base, new, datasets))
    names = [*base, *(name for name in new if name not in base)]
    other = [name for name in names if name not in {*SHAPING, *_NOT_WORTH_SAYING}]
    return shaping, list(
        told({name: base.get(name) for name in other}, {name: new.get(name) for name in other})
    )


def told(base: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[Other]:
    """Nested values that differ, under dotted names."""
    for name in [*base, *(name for name in new if name not in base)]:
        one, other = base.get(name), new.get(name)
        if isinstance(one, Mapping) or isinstance(other, Mapping):
            yield from told(_mapping(one), _mapping(other), f"{prefix}{name}.")
        elif not _alike(one, other):
            yield Other(f"{prefix}{name}", _words(one), _words(other))


def _shaping(
    base: Mapping[str, Any], new: Mapping[str, Any], datasets: tuple[Sequence[Any], Sequence[Any]]
) -> Iterator[Other]:
    lanes = _mapping(base.get("users")), _mapping(new.get("users"))
    single = max(map(len, lanes)) <= 1
    for name in SHAPING:
        one, other = base.get(name), new.get(name)
        if name == "users":
            if single:
                continue
            one, other = _lanes(lanes[0]), _lanes(lanes[1])
        elif single and name in _OF_A_LANE and all(lanes):
            one, other = (next(iter(_lanes(lane).values())).get(name) for lane in lanes)
        elif name in _FILES:
            one, other = _file(one), _file(other)
        if name == "dataset":
            one, other = _contents(one, other, datasets)
        if not _alike(one, other):
            yield Other(name, _words(one), _words(other))


def _lanes(users: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each class of users sends; who sizes its prompts and what its server says of itself is not that."""
    return {str(name): {key: _mapping(lane).get(key) for key in _OF_A_LANE} for name, lane in users.items()}


def _file(value: Any) -> Any:  # noqa: ANN401  settings are JSON
    return re.split(r"[/\\]", value)[-1] if isinstance(value, str) else value


def _contents(one: Any, other: Any, datasets: tuple[Sequence[Any], Sequence[Any]]) -> tuple[Any, Any]:  # noqa: ANN401
    """A dataset by what is in it, where both runs know: by its hash, else by its name and its number of entries."""
    hashes = [_told_of(side, _HASHES) for side in datasets]
    if all(hashes):
        return hashes[0], hashes[1]
    sizes = [_told_of(side, ("entries",)) for side in datasets]
    if one == other and all(sizes) and sizes[0] != sizes[1]:
        return (
            f"{_words(one)} of {_words(sizes[0])} entries",
            f"{_words(other)} of {_words(sizes[1])} entries",
        )
    return one, other


def _told_of(datasets: Sequence[Any], names: Sequence[str]) -> list[str]:
    found = [next((one[name] for name in names if one.get(name)), None) for one in map(_mapping, datasets)]
    return [str(one) for one in found] if None not in found else []


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401
    return value if isinstance(value, Mapping) else {}


def _alike(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Equal; what is not set is as good as missing, since an older version may not have known it."""
    return bool(one == other) or not (one or other)


def _words(value: Any) -> str:  # noqa: ANN401
    """A setting in words."""
    match value:
        case None | "" | [] | {}:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(_words, value))
        case Mapping():
            return ", ".join(f"{name}: {_words(item)}" for name, item in value.items())
        case _:
            return str(value)
