"""What was found of distributed load, as a part of the page and as lines of the contract. Values in, text out."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import distributed
import master_cost
from distributed import Efficiency
from master_cost import Cost
from score import Figures
from table import short, table
from targets import Target

__all__ = ["METHOD", "lines", "section", "stored"]

Found = Mapping[str, Any]

METHOD: Final = """\
Efficiency is 2 x CPU per event of one process over CPU per event of two. On two cores the server has one and the two processes share
the other, so it is reckoned by CPU; it does not show that two cores would make twice the load, only that nothing is spent
on being two. Processes that share a core are also woken together, which flatters two of them by some percent: where the same load
on each is compared (1 x 500x50, 2 x 500x50), the efficiency is above 2. Workers of the second table are not real: they speak
Locust's protocol and ours from one process (fake_workers.py), with messages of real shape and size. **answer**: from a
worker's heartbeat to the master's answer. **closing**: from the end of load until the master had gone, all journals brought."""


def stored(efficiencies: Mapping[str, Efficiency], costs: Mapping[str, Cost]) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "efficiency": {path: asdict(found) for path, found in efficiencies.items()},
        "masters": {kind: asdict(cost) for kind, cost in costs.items()},
    }


def lines(found: Found) -> list[Target]:
    """Lines of the contract."""
    shown = [line for each in _efficiencies(found) for line in distributed.targets(each)]
    return [
        *shown,
        *(line for cost in _costs(found) if cost.kind != "locust" for line in master_cost.targets(cost)),
    ]


def section(found: Found) -> str:
    """Both tables."""
    shapes = {"1 x 1000x50": "one", "2 x 500x50": "two", "1 x 500x50": "half"}
    rows = [
        [f"{each.path}, {shape}", *_cells(getattr(each, name))]
        for each in _efficiencies(found)
        for shape, name in shapes.items()
    ]
    head = [
        "processes x load",
        "events/s",
        "CPU µs/event",
        "TTFT error ms p50/p99",
        "gap error µs p50/p99",
        "lost",
        "RSS MB",
    ]
    masters = [_master(cost) for cost in _costs(found)]
    columns = ["master", "workers", "requests/s", "CPU %", "% a worker", "orders s p50/p99/max", "answer ms p50/p99/max",
               "report bytes", "RSS MB", "closing s"]  # fmt: skip
    percents = [
        f"{each.path}: the master of two workers took {each.master_percent:.1f} % of a core."
        for each in _efficiencies(found)
        if each.master_percent is not None
    ]
    return "\n\n".join([table(head, rows), *percents, table(columns, masters), METHOD])


def _efficiencies(found: Found) -> list[Efficiency]:
    return [
        Efficiency(**each | {name: Figures(**each[name]) for name in ("one", "two", "half")})
        for each in found["efficiency"].values()
    ]


def _costs(found: Found) -> list[Cost]:
    return [Cost(**each) for each in found["masters"].values()]


def _cells(figures: Figures) -> list[str]:
    return [
        f"{figures.events_per_s:,.0f}",
        f"{figures.cpu_us:.2f}",
        f"{short(figures.ttft_p50_ms)} / {short(figures.ttft_p99_ms)}",
        f"{short(figures.gap_p50_us)} / {short(figures.gap_p99_us)}",
        f"{figures.lost:,.0f}",
        f"{figures.rss_mb:.0f}",
    ]


def _master(cost: Cost) -> list[str]:
    orders = (cost.order_gap_p50_s, cost.order_gap_p99_s, cost.order_gap_max_s)
    answers = (cost.answer_p50_ms, cost.answer_p99_ms, cost.answer_max_ms)
    return [
        cost.kind,
        f"{cost.workers:,}",
        f"{cost.requests_per_s:,.0f}",
        f"{cost.percent:.1f}",
        f"{cost.percent_per_worker:.3f}",
        " / ".join(map(short, orders)),
        " / ".join(map(short, answers)),
        f"{cost.stats_bytes:,.0f}",
        f"{cost.rss_mb:.0f}",
        short(cost.closing_s),
    ]
