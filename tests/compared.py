"""Run directories for tests of `tokenswarm compare`, made by hand: passes with chosen figures, and settings."""

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

SETTINGS = {
    "backend": "openai",
    "api_mode": "chat",
    "model": "m",
    "host": "http://h:1",
    "prompt_tokens": "550",
    "output_tokens": "150",
    "levels": [2, 4],
    "requests_per_level": 60,
    "repeats": 10,
    "seed": 1,
    "text": "en",
    "stream": None,
    "extra_body": {},
    "slo": [],
    "labels": {},
    "run_name": None,
    "users": {"OpenAI": {"stream": True, "prompt_tokens": "550", "output_tokens": "150", "sizer": "x"}},
}
TIMES = {
    "ttft_ms": 50.0,
    "tpot_ms": 10.0,
    "e2e_ms": 1500.0,
    "ttft_scheduled_ms": 51.0,
    "e2e_scheduled_ms": 1501.0,
}
RATES = {"request_output_tokens_per_s": 95.0, "request_total_tokens_per_s": 400.0}
SYSTEM = {"system_output_tokens_per_s": 400.0, "system_total_tokens_per_s": 1500.0, "requests_per_s": 3.0}


def times(value: float | None, n: int = 60) -> dict[str, Any]:
    keys = ("mean", "median", "p50", "p90", "p95", "p99", "max")
    return {**dict.fromkeys(keys, value), "std": None, "n": 0 if value is None else n}


def rates(value: float | None, n: int = 60) -> dict[str, Any]:
    return {**dict.fromkeys(("mean", "median", "p5", "p10", "p90"), value), "std": None, "n": n}


def one_pass(repeat: int, scale: Mapping[str, float], *, failed: int = 0, n: int = 60) -> dict[str, Any]:
    """A pass whose figures are the usual ones times `scale`, by their entries in summary.json."""
    return {
        "repeat": repeat,
        "repeats": 1,
        "requests": n,
        "succeeded": n - failed,
        "failed": failed,
        "window_s": 10.0,
        "error_rate": failed / n if n else None,
        "goodput": None,
        **{name: value * scale.get(name, 1.0) for name, value in SYSTEM.items()},
        **{name: times(value * scale.get(name, 1.0), n) for name, value in TIMES.items()},
        **{name: rates(value * scale.get(name, 1.0), n) for name, value in RATES.items()},
    }


def level(users: int, passes: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A level of users of these passes; its own figures are their plain means."""
    count = max(1, len(passes))
    requests = sum(one["requests"] for one in passes)
    return {
        "level": users,
        "concurrency": users,
        "kind": "concurrency",
        "value": float(users),
        "title": f"{users} users",
        "rate": None,
        "wave": False,
        "max_concurrency": None,
        "requests": requests,
        "failed": sum(one["failed"] for one in passes),
        "goodput": None,
        "prompt_tokens": {"mean": 550.0},
        "output_tokens": {"mean": 150.0},
        **{name: sum(one[name] for one in passes) / count for name in SYSTEM},
        **{name: times(sum(one[name]["p50"] for one in passes) / count, requests) for name in TIMES},
        **{name: rates(sum(one[name]["median"] for one in passes) / count, requests) for name in RATES},
        "passes": list(passes),
        **more,
    }


def noisy(
    seed: object, passes: int = 10, sd: float = 0.01, failed: int = 0, n: int = 60, **scale: float
) -> list[dict[str, Any]]:
    """Passes that vary by `sd`, each figure by itself; `scale` is by entry."""
    rng = Random(str(seed))
    names = [*SYSTEM, *TIMES, *RATES]
    return [
        one_pass(
            repeat,
            {name: scale.get(name, 1.0) * math.exp(rng.gauss(0, sd)) for name in names},
            failed=failed,
            n=n,
        )
        for repeat in range(1, passes + 1)
    ]


def directory(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    *,
    edit: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
    **settings: Any,
) -> Path:
    """Write run.json and summary.json; `edit` may change (run, summary) before."""
    told = copy.deepcopy(SETTINGS) | settings
    told["users"]["OpenAI"] |= {name: told[name] for name in ("prompt_tokens", "output_tokens")}
    run = {
        "schema": 1,
        "run_id": path.name,
        "settings": told,
        "versions": {"tokenswarm": "1"},
        "host": {"name": "h", "cpus": 2},
        "datasets": [],
    }
    summary = {
        "schema": 1,
        "run_id": path.name,
        "verdict": {"status": "valid", "reasons": []},
        "complete": True,
        "levels": copy.deepcopy(list(entries)),
    }
    if edit is not None:
        edit(run, summary)
    path.mkdir()
    (path / "run.json").write_text(json.dumps(run))
    (path / "summary.json").write_text(json.dumps(summary))
    return path


def two_levels(seed: object, **more: Any) -> list[dict[str, Any]]:
    return [level(users, noisy((seed, users), **more)) for users in (2, 4)]
