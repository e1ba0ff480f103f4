"""What report.html says about a run beside its figures: settings, server and host, in readable groups.

Pure text from `run.json`'s parts. The load generator's own section is in `harness.report.client`. Nothing is left out because it is unknown here: what
no group names comes last, as dotted names. What was not set is not listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

__all__ = ["Pairs", "about", "environment", "flat"]

Pairs = list[tuple[str, str]]

_WORKLOAD: Final = (
    ("tokenizer", "tokenizer"),
    ("exact_output", "exact output length"),
    ("extra_body", "extra body"),
    ("text", "text"),
    ("lengths", "lengths from"),
    ("mix", "mixture"),
    ("dataset", "dataset"),
    ("dataset_order", "its order"),
    ("bust_cache", "each prompt begins anew"),
    ("template", "templates from"),
    ("shared_prefix", "shared prefixes, tokens"),
    ("turns", "turns of a chat"),
    ("turn_tokens", "tokens of later turns"),
    ("think_time", "think time"),
    ("seed", "seed"),
)
_LOAD: Final = (
    ("levels", "levels, users"),
    ("arrivals", "arrivals"),
    ("rates", "levels, requests/s"),
    ("prompt_levels", "levels, prompt tokens"),
    ("output_levels", "levels, output tokens"),
    ("search", "search"),
    ("speed_up", "times as fast"),
    ("max_concurrency", "in flight at most"),
    ("seconds_per_level", "seconds a level"),
    ("refill", "refill"),
    ("requests_per_level", "measured requests a level"),
    ("requests_per_user", "measured requests of each user at a level"),
    ("repeats", "passes"),
    ("warmup", "warm-up requests a user"),
    ("warmup_s", "warm-up, s"),
    ("cooldown_s", "cool-down, s"),
    ("num_users", "users"),
    ("spawn_rate", "users started a second"),
    ("run_time_s", "run time, s"),
    ("require_valid", "verdict"),
)
_SERVER: Final = (
    *(("host", "address"), ("backend", "backend"), ("api_mode", "API"), ("model", "model")),
    ("proxy", "through the proxy"),
    ("ca_file", "certificates trusted"),
    ("insecure", "certificate"),
    ("metrics_page", "metrics"),
)
# Worth saying only where they were given.
_FLAGS: Final = {
    "insecure": "not verified (--insecure)",
    "require_valid": "has to be valid (--require-valid)",
}
_TIMEOUTS: Final = (
    ("connect_timeout_s", "to connect, s"),
    ("first_token_timeout_s", "to the first token, s"),
    ("idle_timeout_s", "without a byte, s"),
    ("total_timeout_s", "a whole request, s"),
)
_OF_A_USER: Final = (
    ("prompt_tokens", "prompt tokens"),
    ("output_tokens", "output tokens"),
    ("sizer", "prompts sized by"),
    ("path", "path"),
)
_OF_A_SERVER: Final = (
    ("server", "says it is"),
    ("version", "version"),
    ("slots", "slots"),
    ("context", "context, tokens"),
    ("forces_length", "can force a length"),
    ("notes", "notes"),
)
# What is so unless somebody asks for something else, and not worth a line.
_USUAL: Final[Mapping[str, object]] = {
    "text": "en",
    "dataset_order": "file",
    "bust_cache": False,
    "think_time": "0s",
    "speed_up": 1.0,
    "refill": "steady",
    "cooldown_s": 0.0,
}
_SAID_ELSEWHERE: Final = {"anchor_unix_ns", "run_name", "users", "labels", "results_dir"}


def about(settings: Mapping[str, Any]) -> list[tuple[str, Pairs]]:
    """The run's settings as (heading, pairs): workload, load, server, timeouts, labels, and what is left."""
    settings = {name: value for name, value in settings.items() if _USUAL.get(name, _USUAL) != value}
    settings |= {name: said if settings.get(name) else None for name, said in _FLAGS.items()}
    users, labels = settings.get("users"), settings.get("labels")
    lanes = {str(name): lane for name, lane in users.items()} if isinstance(users, Mapping) else {}
    sizes = () if lanes else _OF_A_USER[:2]
    named = [
        ("Workload", [*_lanes(lanes), *_picked(settings, (*sizes, *_WORKLOAD))]),
        ("Load", [*_picked(settings, () if lanes else (("users", "users"),)), *_picked(settings, _LOAD)]),
        ("Server", [*_picked(settings, _SERVER), *_servers(lanes)]),
        ("Time limits", _picked(settings, _TIMEOUTS)),
        ("Labels", flat(labels) if isinstance(labels, Mapping) else []),
    ]
    known = {name for table in (_WORKLOAD, _LOAD, _SERVER, _TIMEOUTS, _OF_A_USER[:2]) for name, _ in table}
    rest = {name: value for name, value in settings.items() if name not in known | _SAID_ELSEWHERE}
    return [(heading, pairs) for heading, pairs in (*named, ("Other settings", flat(rest))) if pairs]


def environment(run: Mapping[str, Any]) -> Pairs:
    """Where it ran and with which versions."""
    host, versions = run.get("host"), run.get("versions")
    machine = host if isinstance(host, Mapping) else {}
    named = _picked(machine, (("name", "host"), ("machine", "machine"), ("cpus", "CPUs")))
    rest = {name: value for name, value in machine.items() if name not in {"name", "machine", "cpus"}}
    return [*named, *flat(rest), *flat(versions if isinstance(versions, Mapping) else {})]


def _lanes(lanes: Mapping[str, Any]) -> Pairs:
    """Each user class's sizes; its name only where there are several."""
    return [
        (f"{user}: {name}" if len(lanes) > 1 else name, text)
        for user, lane in lanes.items()
        if isinstance(lane, Mapping)
        for name, text in _picked(lane, _OF_A_USER)
    ]


def _servers(lanes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the server said of itself, each thing once."""
    facts = [lane.get("server") for lane in lanes.values() if isinstance(lane, Mapping)]
    pairs = [pair for fact in facts if isinstance(fact, Mapping) for pair in _picked(fact, _OF_A_SERVER)]
    limits = [flat(fact["limits"]) for fact in facts if isinstance(fact, Mapping) and fact.get("limits")]
    yield from dict.fromkeys([*pairs, *chain.from_iterable(limits)])


def _picked(values: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> Pairs:
    return [(said, text) for name, said in names if (text := _text(values.get(name)))]


def flat(values: Mapping[str, Any], prefix: str = "") -> Pairs:
    """Nested values under dotted names; what was not set is left out."""
    pairs: Pairs = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{prefix}{name}.")
        elif text := _text(value):
            pairs.append((f"{prefix}{name}", text))
    return pairs


def _text(value: Any) -> str:  # noqa: ANN401  settings are JSON
    """A setting in words; empty for one that was not set."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(str, value))
        case dict():
            return ", ".join(f"{name}: {_text(item) or 'null'}" for name, item in value.items())
        case _:
            return str(value)
