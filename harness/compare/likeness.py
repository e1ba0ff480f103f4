"""Whether runs are of the same load, and what else differs.

What shapes the load has to be the same, or a difference in the figures says nothing of the server. What people compare
(host, model, versions, labels) may differ, and is listed. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import ConfigError

__all__ = ["SHAPING", "Other", "Sources", "allowed", "differences", "told"]

SHAPING: Final = (
    *(
        "backend",
        "api_mode",
        "locustfile",
        "prompt_tokens",
        "output_tokens",
        "lengths",
        "prompt_levels",
        "output_levels",
    ),
    *("levels", "rates", "arrivals", "search", "speed_up", "max_concurrency", "users"),
    *("requests_per_level", "requests_per_user", "seconds_per_level", "refill"),
    *("warmup", "warmup_s", "warmup_auto", "cooldown_s", "spawn_rate", "run_time_s"),
    *("text", "template", "shared_prefix", "dataset", "dataset_order", "bust_cache", "mix"),
    *("turns", "turn_tokens", "think_time", "stream", "exact_output", "extra_body", "prompt_ids"),
    *("cache_salt", "drop_answers_under", "retry_after", "seed", "probe_every_s", "probe_tokens"),
)
_FILES: Final = {
    "lengths",
    "template",
    "dataset",
    "arrivals",
}  # may be paths: another machine has another folder
_OF_A_LANE: Final = ("stream", "prompt_tokens", "output_tokens")  # as they came to be for a class of users
_NOT_WORTH_SAYING: Final = {"anchor_unix_ns", "results_dir", "metrics_page", "users"}


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run was made of beside its settings, as far as run.json tells."""

    digests: Mapping[str, str]  # SHA-256 of files, by how settings name them
    code: tuple[str, ...]  # SHA-256 of locustfiles and what they import
    entries: Mapping[str, object]  # of each dataset, how many

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "Sources":
        """Of a run.json; an older one tells less."""
        invocation = _mapping(run.get("invocation"))
        code = [*_list(invocation.get("locustfiles")), *_list(invocation.get("imports"))]
        return cls(
            {
                str(one["given"]): str(one["sha256"])
                for one in map(_mapping, _list(run.get("data")))
                if one.get("given") and one.get("sha256")
            },
            tuple(sorted(str(one["sha256"]) for one in map(_mapping, code) if one.get("sha256"))),
            {
                str(one.get("dataset")): one.get("entries")
                for one in map(_mapping, _list(run.get("datasets")))
            },
        )


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
    base: Mapping[str, Any], new: Mapping[str, Any], sources: tuple[Sources, Sources]
) -> tuple[list[Other], list[Other]]:
    """(what shapes the load, what does not) and differs between two runs' settings, of run.json."""
    shaping = list(_shaping(base, new, sources))
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
    base: Mapping[str, Any], new: Mapping[str, Any], sources: tuple[Sources, Sources]
) -> Iterator[Other]:
    lanes = _mapping(base.get("users")), _mapping(new.get("users"))
    single = max(map(len, lanes)) <= 1
    for name in SHAPING:
        one, other = base.get(name), new.get(name)
        if name == "users":
            if single:
                continue
            one, other = _lanes(lanes[0]), _lanes(lanes[1])
        elif name == "locustfile":
            one, other = (_digest(" ".join(side.code)) for side in sources)
            if not (one and other):  # an older run.json does not tell
                continue
        elif single and name in _OF_A_LANE and all(lanes):
            one, other = (next(iter(_lanes(lane).values())).get(name) for lane in lanes)
        one, other = _files(name, (one, other), sources)
        if not _alike(one, other):
            yield Other(name, _words(one), _words(other))


def _files(name: str, values: tuple[Any, Any], sources: tuple[Sources, Sources]) -> tuple[Any, Any]:
    """Settings with files as what is in them, where both runs know: their hashes, else their names and entries."""
    hashed = [_hashed(value, side.digests) for value, side in zip(values, sources, strict=True)]
    if all(now != before for now, before in zip(hashed, values, strict=True)):
        return hashed[0], hashed[1]
    if name not in _FILES:
        return values
    counts = [side.entries.get(str(value)) for value, side in zip(values, sources, strict=True)]
    named = [re.split(r"[/\\]", value)[-1] if isinstance(value, str) else value for value in values]
    if all(counts) and counts[0] != counts[1]:
        named = [f"{value} of {count} entries" for value, count in zip(named, counts, strict=True)]
    return named[0], named[1]


def _hashed(value: Any, digests: Mapping[str, str]) -> Any:  # noqa: ANN401  settings are JSON
    """A setting with the hashes of the files it names in place of their names."""
    if isinstance(value, list):
        return [_hashed(one, digests) for one in value]
    if isinstance(value, str):
        for given in sorted(digests, key=len, reverse=True):
            value = value.replace(given, _digest(digests[given]))
    return value


def _digest(sha256: str) -> str:
    """Enough of a hash to tell and to find."""
    return " ".join(f"sha256:{one[:12]}" for one in sha256.split())


def _lanes(users: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each class of users sends; who sizes its prompts and what its server says of itself is not that."""
    return {str(name): {key: _mapping(lane).get(key) for key in _OF_A_LANE} for name, lane in users.items()}


def _list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else []


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
