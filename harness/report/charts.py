"""The figures of a report, in the order in which they are read; each only where there is something to show.

    summary.json ─► rates, throughput against latency, errors
    requests.parquet ─► moments ─► spreads, single requests, the run over time, asked and got
    client.csv, server_metrics.csv ─► the load generator's and the server's own course

A figure is plain data for plotly's JavaScript. Where summary.json has a number, that number is drawn. Pure.
"""

from collections.abc import Iterator

from harness.report import gantt, level_figures, over_time, scatter, spread_figures, told, watched
from harness.report.material import Chart, Material
from harness.report.moments import Moments

__all__ = ["charts"]


def charts(material: Material) -> Iterator[Chart]:
    """All of them, made one at a time; of a run without a success no rates, since what came belongs to requests that failed."""
    moments = Moments(material.requests, material.summary.get("drop_answers_under") or 0)
    if material.summary["totals"]["succeeded"]:
        yield from level_figures.rates(material)
        yield from level_figures.passes(material)
        yield from level_figures.tradeoff(material)
    yield from spread_figures.spreads(material, moments)
    yield from scatter.scatters(material, moments)
    yield from over_time.over_time(material, moments)
    yield from gantt.timeline(material, moments)
    yield from watched.client(material, moments)
    yield from watched.server(material, moments)
    yield from told.errors(material)
    yield from told.lengths(material, moments)
