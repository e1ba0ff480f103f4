"""A run's figures once more, from requests.parquet and run.json alone, without harness.metrics.

Plain loops over rows and events, so that the two agree only if both are right.
"""

import json
import math
import re
import statistics
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest


def spread(values, quantiles, *, top=True):
    """Statistics from the standard library where it has them."""
    values = [v for v in values if v is not None]
    figures = {
        "mean": statistics.fmean(values) if values else None,
        "median": statistics.median(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        **{f"p{q}": float(np.percentile(values, q)) if values else None for q in quantiles},
        "n": len(values),
    }
    if top:
        figures["max"] = max(values, default=None)
    least = {f"p{q}": {90: 29, 10: 29, 95: 59, 5: 59, 99: 1000}.get(q, 1) for q in quantiles}
    return figures | {"withheld": [name for name, need in least.items() if 0 < len(values) < need]}


def total(values):
    """Sum of what is known, None if nothing is."""
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def events(row):
    """(ns, share of the output tokens) of every content event."""
    if not row["streamed"]:
        return [] if row["last_content_ns"] is None else [(row["last_content_ns"], row["output_tokens"])]
    if row["first_content_ns"] is None:
        return []
    times = [row["first_content_ns"]]
    for gap in row["chunk_gaps_us"]:
        times.append(times[-1] + round(gap * 1000))
    share = None if row["output_tokens"] is None else row["output_tokens"] / len(times)
    return [(time, share) for time in times]


def lengths(ok, what):
    """How the sizes of successful requests compare with those asked for."""
    asked = [r for r in ok if r[f"requested_{what}"] is not None]
    both = [(r, r[what], r[f"requested_{what}"]) for r in asked if r[what] is not None]
    signs = Counter(int(np.sign(got - want)) for _, got, want in both)
    off = [
        (r, got, want)
        for r, got, want in both
        if abs(got - want) > 1
        and abs(got - want) > 0.1 * want
        and not (what == "output_tokens" and r["token_source"] == "estimated")
    ]
    own = sum(got < want and r["finish_reason"] not in (None, "length") for r, got, want in off)
    return {
        "asked": len(asked),
        "compared": len(both),
        "got_equal": signs[0],
        "shorter": signs[-1],
        "longer": signs[1],
        "near": sum(abs(got - want) <= want / 100 for _, got, want in both if want),
        "mean_share_off": statistics.fmean((got - want) / want for _, got, want in both if want)
        if any(want for *_, want in both)
        else None,
        "off": len(off),
        "off_shorter": sum(got < want for _, got, want in off),
        "off_longer": sum(got > want for _, got, want in off),
        **({"off_own_end": own} if what == "output_tokens" else {}),
        "off_median": statistics.median(got for _, got, _ in off) if off else None,
        "off_median_asked": statistics.median(want for _, _, want in off) if off else None,
    }


def failures(rows_):
    """The kinds of failure and how often each was, the commonest first; texts alike but for numbers are one."""
    kinds = {}
    for row in rows_:
        if row["outcome"] == "failed":
            text = row["error_message"]
            shape = re.sub(r"[0-9A-Fa-f-]*[0-9][0-9A-Fa-f-]*", "#", text or "")
            kind = kinds.setdefault((row["error_class"], row["http_status"], shape), [text, 0])
            kind[1] += 1
    found = [
        {"error_class": word, "http_status": status, "message": text, "count": count}
        for (word, status, _), (text, count) in kinds.items()
    ]
    return sorted(found, key=lambda one: -one["count"])[:10]


def is_good(row, asked):
    """Whether a request meets every SLO on a figure of requests; `asked` as (figure, statistic, operator, limit)."""
    later = None if row["output_tokens"] is None else row["output_tokens"] - (row["first_chunk_tokens"] or 1)
    short = row["streamed"] and row["first_content_ns"] is not None
    short = short and (row["first_content_ns"] == row["last_content_ns"] or (later is not None and later < 1))
    for figure, _, sign, limit in asked:
        value = row.get(f"{figure}_ms", row.get(figure))
        if value is None:
            if figure not in ("tpot", "output_tokens_per_s") or not short:
                return False
        elif not holds(value, sign, limit):
            return False
    return row["outcome"] == "ok"


def holds(value, sign, limit):
    """`value sign limit`."""
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[sign]


def split_slo(text):
    """(figure, statistic, operator, limit in ms, tokens/s or a share) of an SLO."""
    name, sign, number, unit = re.fullmatch(r"(\w+)([<>]=?)([0-9.]+)(\S*)(?: \(.*\))?", text).groups()
    limit = float(number) * {"s": 1000, "ms": 1, "us": 1e-3, "%": 0.01, "": 1}[unit]
    figure, statistic = re.fullmatch(r"(.*?)(?:_(p\d+|mean|median|max))?", name).groups()
    return figure, statistic, sign, limit


def recompute_slos(texts, level, good):
    """`goodput` and `slo` of a level, from its figures and the numbers of good requests: (measured, ended in windows)."""
    asked = [split_slo(text) for text in texts]
    n = level["requests"]
    due = n + (level["unsent"] or 0)
    goodput = {
        "share": good[0] / due,
        "requests_per_s": good[1] / level["window_s"],
        "good": good[0],
        "n": due,
    }
    single = any(s is not None and figure != "chunk_gap" for figure, s, *_ in asked)
    judged = []
    for text, (figure, statistic, sign, limit) in zip(texts, asked, strict=True):
        if figure in ("error_rate", "goodput"):
            value = goodput["share"] if figure == "goodput" else level["failed"] / n
            of, unit, part = due if figure == "goodput" else n, "share", limit
        elif statistic is None:
            value, of, unit, part = (
                level[figure],
                None,
                "requests/s" if figure[0] == "r" else "tokens/s",
                None,
            )
        else:
            own = level[f"{figure}_ms"] if f"{figure}_ms" in level else level[f"request_{figure}"]
            rates = "p5" in own
            value = own["median" if statistic == "p50" else statistic]
            of, unit = own["n"], "tokens/s" if rates else "ms"
            part = (
                {"mean": None, "max": None, "median": 0.5}[statistic]
                if statistic[0] == "m"
                else int(statistic[1:]) / 100
            )
        few = part is not None and 0 < part < 1 and 0 < of < round(1 / min(part, 1 - part), 6)
        judged.append(
            {
                "slo": text, "value": value, "limit": limit, "unit": unit, "n": of, "few": few,
                "met": None if value is None else holds(value, sign, limit),
            }
        )  # fmt: skip
    return {"goodput": goodput if single else None, "slo": judged}


HIGH, LOW = (50, 90, 95, 99), (5, 10, 90)


def recompute_load(level, told):
    """What a level held, by run.json: users, or what its point says."""
    point = (told.get("points") or {}).get(str(level))
    if point is None:
        users = {"kind": "concurrency", "value": level, "title": f"{level} user{'s' * (level > 1)}"}
        held = {"concurrency": level, "rate": None, **users}
    else:
        held = {name: point[name] for name in ("kind", "value", "title", "rate")}
        held["concurrency"] = point["users"] or None
    left = told.get("unsent")
    wave = bool(point and point.get("wave"))
    return {
        "level": level,
        "unsent": left if left is None else left.get(str(level), 0),
        "wave": wave,
        "max_concurrency": (point or {}).get("cap"),
        **held,
    }


def recompute_refusals(rows_, told):
    """Answers with 429, and for how long refusals with Retry-After made users rest, a minute each at most."""
    settings = told.get("settings") or {}
    resting = settings.get("retry_after") is not False and not settings.get("arrivals")
    asked = [r["retry_after_s"] for r in rows_ if r["retry_after_s"]]
    rested = [r["retry_after_s"] for r in rows_ if r["retry_after_s"] and r["phase"] != "probe" and resting]
    return {
        "requests": sum(r["http_status"] == 429 for r in rows_),
        "retry_after_s_total": sum(asked),
        "rests": len(rested),
        "rest_s": sum(min(60, s) for s in rested),
    }


def recompute_group(mine):
    """The figures of some measured requests that have a name or a turn in common."""
    ok = [r for r in mine if r["outcome"] == "ok"]
    figures = ("prompt_tokens", "output_tokens", "cached_tokens", "ttft_ms", "tpot_ms", "e2e_ms")
    return {
        "requests": len(mine),
        "succeeded": len(ok),
        "failed": sum(r["outcome"] == "failed" for r in mine),
        **{figure: spread([r[figure] for r in ok], HIGH) for figure in figures},
    }


def recompute_apart(rows_):
    """Measured requests by level and name, where there are several names, and by level and turn; and all chats."""
    measured = [r for r in rows_ if r["phase"] == "measure"]
    names = (
        sorted({(r["level"], r["name"]) for r in measured}) if len({r["name"] for r in measured}) > 1 else []
    )
    turns = sorted({(r["level"], min(r["turn"], 20)) for r in measured if r["turn"]})
    sessions = Counter()
    for row in rows_:
        if row["session_id"] is not None:
            sessions[row["session_id"]] = max(sessions[row["session_id"]], row["turn"])
    return {
        "names": [
            {"level": level, "name": name}
            | recompute_group([r for r in measured if (r["level"], r["name"]) == (level, name)])
            for level, name in names
        ],
        "turns": [
            {"level": level, "turn": turn}
            | recompute_group(
                [r for r in measured if r["turn"] and (r["level"], min(r["turn"], 20)) == (level, turn)]
            )
            for level, turn in turns
        ],
        "chats": {
            "sessions": len(sessions),
            "turns": sum(r["session_id"] is not None for r in rows_),
            "turns_mean": statistics.fmean(sessions.values()),
            "turns_max": max(sessions.values()),
        }
        if sessions
        else None,
    }


def recompute_passes(rows_, level, windows, *, least, slos, told):
    """`passes` and `intervals`: each pass is a level whose other passes were a warm-up."""
    mine = [w for w in windows if w["level"] == level]
    measured = [r for r in rows_ if r["phase"] == "measure" and r["level"] == level]
    repeats = sorted({w["repeat"] for w in mine} | {r["repeat"] for r in measured})
    names = ("requests", "succeeded", "failed", "window_s", "system_output_tokens_per_s")
    names += ("system_total_tokens_per_s", "requests_per_s", "request_output_tokens_per_s")
    names += (
        "request_total_tokens_per_s",
        "ttft_ms",
        "tpot_ms",
        "e2e_ms",
        "ttft_scheduled_ms",
        "e2e_scheduled_ms",
    )
    passes = []
    for repeat in repeats:
        others = {id(r) for r in measured if r["repeat"] != repeat}
        part = [{**r, "phase": "warmup"} if id(r) in others else r for r in rows_]
        own = [w for w in mine if w["repeat"] == repeat]
        one = recompute_level(part, level, own, least, slos, told=told, alone=True)
        good = one["goodput"] and one["goodput"]["share"]
        if len(repeats) > 1 and (told.get("unsent") or {}).get(str(level)):
            good = None
        rates = {"error_rate": one["failed"] / one["requests"] if one["requests"] else None, "goodput": good}
        passes.append({"repeat": repeat, "repeats": 1, **{name: one[name] for name in names}, **rates})
    return {"passes": passes, "intervals": recompute_intervals(passes)}


@cache
def student_t(df):
    """The t with 95 % of its density between -t and t: Simpson's rule, bisected."""

    def inside(t):
        x = np.linspace(0, t, 100_001)
        y = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) * (1 + x * x / df) ** (-(df + 1) / 2)
        return (
            2 * (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum()) * t / 300_000 / (df * np.pi) ** 0.5
        )

    low, high = 1.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 0.95 else (low, middle)
    return low


def recompute_intervals(passes):
    """Student's t of the passes' figures; runs of ten passes and more, whose resamples are drawn, are in test_intervals."""
    if len(passes) < 2:
        return {}
    assert len(passes) < 10
    plain = (
        "system_output_tokens_per_s",
        "system_total_tokens_per_s",
        "requests_per_s",
        "error_rate",
        "goodput",
    )
    told = {name: [one[name] for one in passes] for name in plain}
    for name, keys in {
        **dict.fromkeys(("request_output_tokens_per_s", "request_total_tokens_per_s"), ("median",)),
        **dict.fromkeys(("ttft_ms", "tpot_ms", "e2e_ms"), ("mean", "p50", "p95")),
        **dict.fromkeys(("ttft_scheduled_ms", "e2e_scheduled_ms"), ("p50", "p95")),
    }.items():
        for key in keys:
            if not any(key in one[name]["withheld"] for one in passes):
                told[f"{name}.{key}"] = [one[name][key] for one in passes]
    found = {}
    for path, known in told.items():
        values = [value for value in known if value is not None]
        if len(set(values)) > 1:
            t = student_t(len(values) - 1)
            mean, half = statistics.fmean(values), t * statistics.stdev(values) / len(values) ** 0.5
            most = 1.0 if path in ("error_rate", "goodput") else float("inf")
            ends = {"low": max(0.0, mean - half), "high": min(most, mean + half)}
            found[path] = {"mean": mean, **ends, "passes": len(values), "method": "t"}
    return found


def recompute_level(rows_, level, windows, least=None, slos=(), *, told=None, alone=False):
    """One entry of `levels`, from the rows; `told` is run.json. `alone`: without its passes."""
    windows = [w for w in windows if w["level"] == level]
    seconds = [(w["end_ns"] - w["start_ns"]) / 1e9 for w in windows]
    measured = [r for r in rows_ if r["phase"] == "measure" and r["level"] == level]
    succeeded = [r for r in measured if r["outcome"] == "ok"]
    ok = [r for r in succeeded if least is None or r["output_tokens"] is None or r["output_tokens"] >= least]

    def inside(time):
        return any(w["start_ns"] <= time < w["end_ns"] for w in windows)

    def arrived(window):
        return sum(
            share or 0
            for r in rows_
            for time, share in events(r)
            if window["start_ns"] <= time < window["end_ns"]
        )

    prompts = sum(r["prompt_tokens"] or 0 for r in rows_ if events(r) and inside(events(r)[0][0]))
    output = [arrived(w) for w in windows]
    spans = [
        (max(r["end_ns"] for r in ok if r["repeat"] == n) - min(r["sent_ns"] for r in ok if r["repeat"] == n))
        / 1e9
        for n in {r["repeat"] for r in ok}
    ]
    whole = [r for r in ok if r["streamed"]]
    times = (
        "ttft_ms",
        "ttfa_ms",
        "tpot_ms",
        "e2e_ms",
        "server_queue_ms",
        "server_prefill_ms",
        "server_decode_ms",
    )
    said = ("server_ttft_ms", "server_e2e_ms", "server_tokens_per_s", "acceptance_rate", "batch_size")
    figures = (*times, *said, "dns_ms", "connect_ms", "tls_ms", "prompt_tokens", "output_tokens")
    high, low = HIGH, LOW
    load = [r for r in rows_ if r["phase"] != "probe"]
    busy_ns = sum(
        max(0, min(r["end_ns"], w["end_ns"]) - max(r["sent_ns"], w["start_ns"]))
        for r in load
        for w in windows
        if r["sent_ns"] is not None
    )
    figures_of = {
        **recompute_load(level, told or {}),
        "repeat_count": len({w["repeat"] for w in windows}),
        "requests": len(measured),
        "succeeded": len(succeeded),
        "dropped_short": len(succeeded) - len(ok),
        "failed": sum(r["outcome"] == "failed" for r in measured),
        "cancelled": sum(r["outcome"] == "cancelled" for r in measured),
        "errors": dict(Counter(r["error_class"] for r in measured if r["outcome"] == "failed")),
        "windows": len(windows),
        "window_s": sum(seconds),
        "window_s_shortest": min(seconds),
        "system_output_tokens_per_s": sum(output) / sum(seconds),
        "system_total_tokens_per_s": (sum(output) + prompts) / sum(seconds),
        "system_output_tokens_per_s_repeats": [o / s for o, s in zip(output, seconds, strict=True)],
        "requests_per_s": sum(r["outcome"] == "ok" and inside(r["end_ns"]) for r in load) / sum(seconds),
        "arrivals_per_s": sum(inside(r["scheduled_ns"]) for r in load) / sum(seconds),
        "in_flight_mean": busy_ns / 1e9 / sum(seconds),
        "wall_output_tokens_per_s": sum(r["output_tokens"] for r in ok) / sum(spans),
        "request_output_tokens_per_s": spread([r["output_tokens_per_s"] for r in ok], low, top=False),
        "request_total_tokens_per_s": spread([r["total_tokens_per_s"] for r in ok], low, top=False),
        **{name: spread([r[name] for r in ok], high) for name in figures},
        "chunk_gap_ms": spread([gap / 1e3 for r in ok for gap in r["chunk_gaps_us"]], high),
        "send_delay_ms": spread([(r["sent_ns"] - r["scheduled_ns"]) / 1e6 for r in ok], high),
        "ttft_scheduled_ms": spread([(r["first_content_ns"] - r["scheduled_ns"]) / 1e6 for r in whole], high),
        "e2e_scheduled_ms": spread(
            [(r["last_content_ns"] - r["scheduled_ns"]) / 1e6 for r in ok if r["chunks"]], high
        ),
        "first_chunk_counted": sum(r["first_chunk_tokens"] is not None for r in ok),
        "content_share": statistics.median(
            1 - r["ttft_ms"] / r["e2e_ms"] for r in whole if r["chunks"] >= 8 and r["e2e_ms"]
        )
        if any(r["chunks"] >= 8 and r["e2e_ms"] for r in whole)
        else None,
        "tokens_per_chunk": sum(r["output_tokens"] for r in whole) / sum(r["chunks"] for r in whole),
        "output_length": lengths(succeeded, "output_tokens"),
        "prompt_length": lengths(succeeded, "prompt_tokens"),
        "empty": sum(not r["chunks"] for r in ok),
        "zero_counted": sum(
            r["chunks"] > 0 and (r["output_tokens"], r["token_source"]) == (0, "server") for r in ok
        ),
        "cached_tokens": total(r["cached_tokens"] for r in ok),
        "rate_limited": recompute_refusals(measured, told or {}),
        "reconnects": sum(r["reconnects"] for r in measured),
        "token_sources": dict(Counter(r["token_source"] for r in ok if r["token_source"] is not None)),
    }
    if not alone:
        figures_of |= recompute_passes(rows_, level, windows, least=least, slos=slos, told=told or {})
    if not slos:
        return figures_of | {"goodput": None, "slo": None}
    asked = [one for one in map(split_slo, slos) if one[1] is not None and one[0] != "chunk_gap"]
    good = [r for r in rows_ if is_good(r, asked)]
    counts = (sum(r in measured for r in good), sum(inside(r["end_ns"]) for r in good if r in load))
    return figures_of | recompute_slos(slos, figures_of, counts)


def recompute(run_dir: Path) -> dict:
    """Totals, levels and failures of a run from its two primary files."""
    told = json.loads((run_dir / "run.json").read_text())
    table = pq.read_table(run_dir / "requests.parquet").to_pylist()
    outcomes = Counter(row["outcome"] for row in table)
    probes = sum(row["phase"] == "probe" for row in table)
    offered = max((told["planned"] or 0) + probes, len(table) + sum((told.get("unsent") or {}).values()))
    return {
        "totals": {
            "offered": offered,
            "succeeded": outcomes["ok"],
            "failed": outcomes["failed"],
            "cancelled": outcomes["cancelled"],
            "unsent": offered - len(table),
            "probes": probes,
            "prompt_tokens": total(row["prompt_tokens"] for row in table),
            "output_tokens": total(row["output_tokens"] for row in table),
        },
        "levels": [
            recompute_level(
                table,
                level,
                told["windows"],
                told["settings"].get("drop_answers_under"),
                told["settings"].get("slo") or (),
                told=told,
            )
            for level in sorted({window["level"] for window in told["windows"]})
        ],
        **recompute_apart(table),
        "rate_limited": recompute_refusals(table, told),
        "failures": failures(table),
    }


def recompute_audit(run_dir: Path) -> dict | None:
    """The counts of the audit, in all and by worker; None for a run whose workers stated nothing."""
    told = json.loads((run_dir / "run.json").read_text())
    if told.get("workers") is None:
        return None
    table = pq.read_table(run_dir / "requests.parquet").to_pylist()
    stated = {one["name"]: one for one in told["workers"]}

    def counted(mine):
        return {
            "sent": sum(row["sent_ns"] is not None for row in mine),
            "succeeded": sum(row["outcome"] == "ok" for row in mine),
            "failed": dict(Counter(row["error_class"] for row in mine if row["outcome"] == "failed")),
            "cancelled": sum(row["outcome"] == "cancelled" for row in mine),
            "rows": len(mine),
        }

    names = [*stated, *sorted({row["worker"] for row in table} - set(stated))]
    workers = [{"name": name, **counted([r for r in table if r["worker"] == name])} for name in names]
    probes = sum(row["phase"] == "probe" for row in table)
    return {**counted(table), "planned": told["planned"], "probes": probes, "workers": workers}


def check_audit(run_dir: Path) -> None:
    """The counts are the table's; what was offered went into rows, or is unaccounted for; nothing planned is left over."""
    audit, again = json.loads((run_dir / "summary.json").read_text()).get("audit"), recompute_audit(run_dir)
    if again is None:
        assert audit is None
        return
    workers = [{name: one[name] for name in again["workers"][0]} for one in audit["workers"]]
    same({name: audit[name] for name in again} | {"workers": workers}, again)
    for one in [audit, *audit["workers"]]:
        assert one["offered"] == one["rows"] + one["unaccounted"]
    for name in ("offered", "unaccounted"):
        assert audit[name] == sum(one[name] for one in audit["workers"])
    planned, probes = audit["planned"], audit["probes"]
    assert audit["unsent"] == (None if planned is None else max(0, planned + probes - audit["offered"]))


NOT_HERE = ("steady",)  # what it says is a matter of judgement: tests/test_steady.py


def same(left, right, path="summary"):
    """Equal keys, kinds and nulls; numbers to eleven digits."""
    if isinstance(left, dict):
        left, right = (
            {name: value for name, value in one.items() if name not in NOT_HERE} for one in (left, right)
        )
        assert left.keys() == right.keys(), f"{path}: {sorted(left.keys() ^ right.keys())}"
        for name, value in left.items():
            same(value, right[name], f"{path}.{name}")
    elif isinstance(left, list):
        assert len(left) == len(right), path
        for index, (a, b) in enumerate(zip(left, right, strict=True)):
            same(a, b, f"{path}[{index}]")
    elif left is None or right is None or isinstance(left, str):
        assert left == right, path
    else:
        assert left == pytest.approx(right, rel=1e-11), path


def recompute_row(row):
    """The figures of one request from its stamps and counts."""
    sent, first, last = row["sent_ns"], row["first_content_ns"], row["last_content_ns"]
    output, prompt, streamed = row["output_tokens"], row["prompt_tokens"], row["streamed"]
    e2e = None if sent is None or last is None else (last - sent) / 1e6
    decoded = None if output is None else output - (row["first_chunk_tokens"] or 1)
    timed = streamed and first is not None and decoded is not None and decoded >= 1 and last > first
    answered = row["first_answer_ns"]
    return {
        "ttft_ms": (first - sent) / 1e6 if streamed and first is not None else None,
        "ttft_scheduled_ms": (first - row["scheduled_ns"]) / 1e6 if streamed and first is not None else None,
        "e2e_scheduled_ms": None if last is None else (last - row["scheduled_ns"]) / 1e6,
        "ttfa_ms": (answered - sent) / 1e6 if streamed and answered is not None else None,
        "e2e_ms": e2e,
        "tpot_ms": (last - first) / decoded / 1e6 if timed else None,
        "output_tokens_per_s": decoded / ((last - first) / 1e9) if timed else None,
        "total_tokens_per_s": None
        if None in (e2e, prompt, output) or not e2e
        else (prompt + output) / (e2e / 1e3),
    }


def check(run_dir):
    """A run directory's summary and every row's figures are what its primary columns say."""
    again = recompute(run_dir)
    summary = json.loads((run_dir / "summary.json").read_text())
    same({name: summary[name] for name in again}, again)
    check_audit(run_dir)
    for row in pq.read_table(run_dir / "requests.parquet").to_pylist():
        figures = recompute_row(row)
        same({name: row[name] for name in figures}, figures, row["request_id"])
