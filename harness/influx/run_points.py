"""What run.json and summary.json say of a run and of its levels, as points.

Pure: no clock, no file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from harness.influx.point import Json, Point, Values, begun_ns, percent, started_ns
from harness.influx.schema import QUANTILES

__all__ = ["level_points", "run_point", "run_tags"]

NONE: Final = "none"  # a tag of which nothing is known


def run_point(
    run: Json,
    summary: Json | None = None,
    *,
    now_ns: int,
    begin_ns: int | None = None,
    workers: int | None = None,
) -> Point:
    """`llm_run`: what a run is and, once there is a summary, what came of it.

    Args:
        run: run.json.
        summary: summary.json; None while it runs.
        now_ns: its end so far, Unix time, where run.json does not know `finished_at`.
        begin_ns: when load began, Unix time; None: as run.json says.
        workers: how many send, where run.json does not list them yet.
    """
    settings = run.get("settings") or {}
    begin = begin_ns or begun_ns(run)
    finished = run.get("finished_at")
    end = now_ns if summary is None or not finished else started_ns({"started_at": finished})
    values: Values = {
        **_what_it_is(run, settings),
        "state": "running" if summary is None else "complete" if summary.get("complete") else "incomplete",
        "workers": len(run.get("workers") or ()) or workers,
        "begin_ns": begin,
        "begin_ms": None if begin is None else begin // 1_000_000,
        "end_ns": end,
        "end_ms": -(-end // 1_000_000),  # up, so that a link shows all of it
        **({} if summary is None else _what_came_of_it(summary)),
        **_points_of(run),
    }
    return Point(started_ns(run), values, run_tags(settings))


def run_tags(settings: Json) -> dict[str, str]:
    """The tags of `llm_run` but for `run`, from the settings in run.json."""
    hardware = (settings.get("labels") or {}).get("hardware")
    return {
        "model": str(settings.get("model") or NONE),
        "backend": str(settings.get("backend") or NONE),
        "hardware": str(hardware or NONE),
    }


def _what_it_is(run: Json, settings: Json) -> Values:
    labels = settings.get("labels") or {}
    users = list((settings.get("users") or {}).values())
    said = [one.get("server") or {} for one in users]
    servers = [f"{one.get('server') or ''} {one.get('version') or ''}".strip() for one in said]
    return {
        "model_id": settings.get("model"),
        "hardware_label": labels.get("hardware"),
        "name": settings.get("run_name"),
        "host": _address(settings.get("host")),
        "api_mode": settings.get("api_mode"),
        "server": ", ".join(dict.fromkeys(filter(None, servers))) or None,
        "labels": ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or None,
        "prompt_tokens_asked": _asked(settings, users, "prompt_tokens"),
        "output_tokens_asked": _asked(settings, users, "output_tokens"),
        "slo": ",".join(settings.get("slo") or ()) or None,
        "version": (run.get("versions") or {}).get("tokenswarm"),
    }


def _asked(settings: Json, users: Sequence[Json], name: str) -> str | None:
    """A distribution of sizes: the run's, or where it has none those of its kinds of users."""
    own = settings.get(name)
    each = dict.fromkeys(str(one[name]) for one in users if one.get(name))
    return str(own) if own else " | ".join(each) or None


def _address(host: object) -> str | None:
    """A URL without login, path and query."""
    if not host:
        return None
    parts = urlsplit(str(host))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else None


def _what_came_of_it(summary: Json) -> Values:
    totals, audit, verdict = (summary.get(name) or {} for name in ("totals", "audit", "verdict"))
    succeeded, failed = totals.get("succeeded"), totals.get("failed")
    cancelled = totals.get("cancelled")
    # Without an audit `offered` is what was planned: those that were given to users are then those with a row.
    recorded = None if succeeded is None else succeeded + (failed or 0) + (cancelled or 0)
    levels = [one for one in summary.get("levels", ()) if one.get("system_output_tokens_per_s") is not None]
    best: Json = max(levels, key=lambda one: one["system_output_tokens_per_s"], default={})
    return {
        "verdict": verdict.get("status"),
        "reasons": "; ".join(verdict.get("reasons", ())) or None,
        "slo_met": _met(summary.get("slo")),
        "offered": audit.get("offered", recorded),
        "succeeded": succeeded,
        "failed": failed,
        "cancelled": cancelled,
        "output_tokens": totals.get("output_tokens"),
        "prompt_tokens": totals.get("prompt_tokens"),
        "best_system_output_tokens_per_s": best.get("system_output_tokens_per_s"),
        "best_level": None if not best else _key(best),
        "best_title": best.get("title"),
        "error_percent": percent(failed, (succeeded or 0) + (failed or 0)),
        "server_counted_percent": _counted_by_server(summary.get("levels", ())),
    }


def _counted_by_server(levels: Iterable[Json]) -> float | None:
    """Of the measured answers that anybody counted, those that the server did."""
    sources = [one.get("token_sources") or {} for one in levels]
    return percent(sum(one.get("server", 0) for one in sources), sum(sum(one.values()) for one in sources))


def level_points(run: Json, summary: Json) -> Iterator[Point]:
    """`llm_level` as in summary.json, one a level."""
    begun = started_ns(run)
    for entry in summary.get("levels", ()):
        level = _key(entry)
        rates = entry.get("request_output_tokens_per_s") or {}
        good = entry.get("goodput") or {}
        output, total = (entry.get(f"system_{whose}_tokens_per_s") for whose in ("output", "total"))
        share = good.get("share")
        values: Values = {
            "concurrency": entry.get("concurrency"),
            "title": entry.get("title"),
            "value": entry.get("value", entry.get("concurrency")),
            "rate": entry.get("rate"),
            "unsent": entry.get("unsent"),
            "arrivals_per_s": entry.get("arrivals_per_s"),
            "in_flight_mean": entry.get("in_flight_mean"),
            "final": 1,
            "window_s": entry.get("window_s"),
            "requests": entry.get("requests"),
            "failed": entry.get("failed"),
            "error_percent": percent(entry.get("failed"), entry.get("requests")),
            "goodput_percent": None if share is None else 100 * share,
            "goodput_requests_per_s": good.get("requests_per_s"),
            "requests_per_s": entry.get("requests_per_s"),
            "system_output_tokens_per_s": output,
            "system_prompt_tokens_per_s": None if output is None or total is None else total - output,
            "system_total_tokens_per_s": total,
            **_quantiles(entry, rates),
            "request_output_tokens_per_s_mean": rates.get("mean"),
            "slo_met": _met_all(entry.get("slo")),
        }
        yield Point(begun + level, values, {"level": str(level)})


def _key(entry: Json) -> int:
    """A level's name; its users in results that know of nothing else."""
    return int(entry["level"] if "level" in entry else entry["concurrency"])


def _quantiles(entry: Json, rates: Json) -> Values:
    return {
        f"{figure}_{quantile}": (
            rates.get("median" if quantile == "p50" else quantile)
            if figure == "output_tokens_per_s"
            else (entry.get(figure) or {}).get(quantile)
        )
        for figure, quantiles in QUANTILES.items()
        for quantile in quantiles
    }


def _points_of(run: Json) -> Values:
    delivery = run.get("metrics") or {}
    return {"points_created": delivery.get("created"), "points_lost": delivery.get("lost")}


def _met(judged: object) -> str | None:
    """Yes or no; None where nothing was asked, or nothing could be judged."""
    met = judged.get("met") if isinstance(judged, Mapping) else judged
    return {True: "yes", False: "no"}.get(met) if isinstance(met, bool) else None


def _met_all(judged: object) -> str | None:
    """The same of several, each with its `met`: no where one is missed, yes where all are met."""
    if isinstance(judged, Mapping) or not isinstance(judged, Sequence):
        return _met(judged)
    each = [_met(one) for one in judged]
    return "no" if "no" in each else "yes" if each and all(one == "yes" for one in each) else None
