"""A selftest in words: a line a step, the table, the limit, what a planned load needs. Values in, text out."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Final, NamedTuple

import orjson

from harness.selftest import capacity
from harness.selftest.capacity import Limit
from harness.selftest.steps import FIRST_MS, Step

BUSY_PERCENT: Final = 5.0  # an idle machine takes 1 or 2


class Plan(NamedTuple):
    """A load somebody has in mind."""

    streams: int
    tokens_per_s: float  # of each

    def workers(self, limit: Limit) -> int:
        """How many workers like the one measured it needs."""
        return capacity.workers_for(self.streams, self.tokens_per_s, limit.tokens_per_s)


def progress(step: Step) -> str:
    """One step, as it is made."""
    held = f"TTFT error p99 {_ms(step.ttft_error_p99_ms)} ms"
    said = f"missed, {step.problem}" if step.problem else f"held, {held}"
    if step.problem and step.excuse:
        said += f" ({step.excuse})"
    return f"  {step.streams:>6,} streams, {step.events_per_s:>7,.0f} tokens/s, CPU {step.cpu_percent:>3.0f} %: {said}"


def text(made: Sequence[Step], limit: Limit, plan: Plan | None, *, tls: bool) -> str:
    """Table and words."""
    parts = [_table(made), "", _limit(limit, tls=tls), *_notes(made, limit)]
    return "\n".join([*parts, *([_planned(plan, limit)] if plan else [])])


def as_json(made: Sequence[Step], limit: Limit, plan: Plan | None, *, tls: bool) -> str:
    """The same for programs."""
    planned = None
    if plan:
        planned = {**plan._asdict(), "workers": plan.workers(limit), "cores": _cores()}
    result = {
        "limit": {**asdict(limit), "tls": tls},
        "machine": capacity.machine(),
        "plan": planned,
        "steps": [{**asdict(step), "verdict": step.verdict} for step in made],
    }
    return orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()


def nothing(made: Sequence[Step]) -> str:
    """Why no load was held."""
    least, busy = min(made, key=lambda step: step.streams), _busy(made)
    return f"not even {least.streams} streams were held: {least.problem}{busy and '. '}{busy}"


def _table(made: Sequence[Step]) -> str:
    columns = ("streams", "tokens/s", "TTFT error p50", "p99 ms", "gap error p99 ms", "missing", "CPU %", "server late p99 ms")  # fmt: skip
    rows = [
        (
            f"{step.streams:,}",
            f"{step.events_per_s:,.0f}",
            _ms(step.ttft_error_p50_ms),
            _ms(step.ttft_error_p99_ms),
            _ms(step.gap_error_p99_ms),
            f"{step.missing:,}",
            f"{step.cpu_percent:.0f}",
            _ms(step.late_p99_ms),
        )
        for step in made
    ]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (columns, *rows)
    ]
    return "\n".join(
        [lines[0], *(f"{line}  {step.verdict}" for line, step in zip(lines[1:], made, strict=True))]
    )


def _limit(limit: Limit, *, tls: bool) -> str:
    bound = "at least " if limit.at_least else ""
    return (
        f"One worker here holds {bound}{limit.streams:,} streams x {limit.tokens_per_stream:g} tok/s"
        f"{' over TLS' if tls else ''} ({limit.events_per_s:,.0f} tokens/s in all, each answer's first after "
        f"{FIRST_MS / 1e3:g} s) with TTFT error p99 {_ms(limit.ttft_error_p99_ms)} ms."
    )


def _notes(made: Sequence[Step], limit: Limit) -> list[str]:
    notes = []
    if limit.at_least:
        tried = max(step.streams for step in made) > limit.streams
        notes.append(
            "What it missed beyond that may not have been its fault: see the steps above."
            if tried
            else "More streams than that were not tried."
        )
    if not limit.own_cores:
        notes.append("Worker and test server shared a core: with one of its own a worker holds more.")
    if busy := _busy(made):
        notes.append(f"{busy}.")
    return notes


def _busy(made: Sequence[Step]) -> str:
    waits = [step.waited_percent for step in made if step.waited_percent is not None]
    if not waits or median(waits) < BUSY_PERCENT:
        return ""
    return (
        f"Other programs had the worker's core for {median(waits):.0f} % of the time (median of the steps): "
        "measure on an idle machine"
    )


def _planned(plan: Plan, limit: Limit) -> str:
    workers, cores = plan.workers(limit), _cores()
    need = (
        f"{plan.streams:,} streams x {plan.tokens_per_s:g} tok/s need {workers:,} worker{'s' * (workers > 1)}"
    )
    if workers < cores:
        where = f"start them here with `--processes {workers}`" if workers > 1 else "one is enough"
    else:
        spare = max(1, cores - 1)
        machines = -(-workers // spare)
        where = (
            f"with one left for everything else, spread them over {machines:,} such machines"
            if machines > 1
            else "it is enough for them if the server under test is elsewhere"
        )
    return f"{need} (each at most {capacity.SHARE:.0%} of its limit); this machine has {cores} core{'s' * (cores > 1)}: {where}."


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.0f}"
