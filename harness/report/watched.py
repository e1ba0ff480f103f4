"""What the load generator noticed of itself, and what the server said of itself, over time. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from harness.report import palette
from harness.report.binned import width_s
from harness.report.material import Chart, Material
from harness.report.moments import Moments
from harness.report.shapes import axis, figure, inert, layout, line, log_if_wide, note, short
from harness.report.shapes import moments as seconds
from harness.windows import Floats

__all__ = ["client", "server"]

LINES: Final = len(palette.CLASSES)  # workers that have a line each
LEAST: Final = 3  # points; fewer make no line
PANELS: Final = ([0.56, 1.0], [0.0, 0.44])
TALL: Final = 440  # px


def client(material: Material, moments: Moments) -> Iterator[Chart]:
    """CPU of each worker, and how late the loop was."""
    rows = material.seconds
    origin = _origin(moments, [row.time_ns for row in rows])
    if len({row.time_ns for row in rows}) < LEAST:
        return
    at = np.array([row.time_ns - origin for row in rows]) / 1e9
    worker = np.array([row.worker for row in rows])
    stretch = _Stretch(at)
    p99 = stretch.most(_column(rows, lambda row: row.loop_lag_ms_p99))
    top = stretch.most(_column(rows, lambda row: row.loop_lag_ms_max))
    late = [
        line(name, stretch.x, short(values), colour, f"%{{x:,}} s: {name} %{{y:,.4~r}} ms", yaxis="y2")
        for name, values, colour in (("loop late, p99", p99, palette.MEDIAN), ("loop late, most", top, palette.TOTAL))
        if not np.isnan(values).all()
    ]  # fmt: skip
    drawn = [*_cpu(_column(rows, lambda row: row.cpu_percent), worker, stretch), *late]
    many = len(set(worker.tolist()))
    yield Chart(
        key="client",
        title="Load generator: CPU, % of a core, and how late its loop was, ms",
        figure=figure(
            [one | {"mode": "lines"} for one in drawn],
            layout(
                TALL if late else 300,
                xaxis=axis("seconds since load began", **({"anchor": "y2"} if late else {})),
                yaxis=axis("CPU, % of a core", domain=PANELS[0] if late else [0, 1], rangemode="tozero"),
                **(
                    {"yaxis2": axis("loop late, ms", domain=PANELS[1], **log_if_wide(short([*p99, *top])))}
                    if late
                    else {}
                ),
            ),
        ),
        note=note(
            f"{many} workers; how late is of the worst of them." if many > 1 else "",
            f"The worst second of every {stretch.width:g} s." if stretch.width > 1 else "A point a second.",
        ),
    )


def _cpu(values: Floats, worker: Any, stretch: "_Stretch") -> Iterator[dict[str, Any]]:  # noqa: ANN401  an array of names
    names = sorted(set(worker.tolist()))
    if len(names) <= LINES:
        for place, name in enumerate(names):
            colour = palette.OUTPUT if len(names) == 1 else palette.CLASSES[place]
            hover = f"%{{x:,}} s: {inert(name)} %{{y:,.4~r}} %"
            said = "CPU" if len(names) == 1 else inert(name)
            yield line(
                said, stretch.x, short(stretch.most(np.where(worker == name, values, np.nan))), colour, hover
            )
        return
    for said, reduce, colour in (
        ("busiest worker", np.nanmax, palette.FAILED),
        ("median worker", np.nanmedian, palette.OUTPUT),
    ):
        found = short(stretch.of(values, reduce))
        yield line(said, stretch.x, found, colour, f"%{{x:,}} s: {said} %{{y:,.4~r}} %")


def server(material: Material, moments: Moments) -> Iterator[Chart]:
    """Queue, running requests, and the KV cache in use."""
    samples = material.samples
    origin = _origin(moments, [sample.time_ns for sample in samples])
    if len(samples) < LEAST:
        return
    stretch = _Stretch(np.array([sample.time_ns - origin for sample in samples]) / 1e9)

    def drawn(name: str, figure_: str, unit: str, colour: str, **more: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
        values = stretch.most(_column(samples, lambda one: getattr(one, figure_)))
        if not np.isnan(values).all():
            scale = 100 if figure_ == "kv_cache_usage" else 1
            hover = f"%{{x:,}} s: {name} %{{y:,.4~r}}{unit}"
            yield line(name, stretch.x, short(values * scale), colour, hover, **more)

    many = [
        *drawn("waiting in its queue", "queued", " requests", palette.WAITING),
        *drawn("running", "running", " requests", palette.OUTPUT),
    ]
    cache = list(drawn("KV cache in use", "kv_cache_usage", " %", palette.TOTAL, yaxis="y2" if many else "y"))
    if not many and not cache:
        return
    both = bool(many and cache)
    axes = [
        *([axis("requests", rangemode="tozero")] if many else []),
        *([axis("KV cache, %", rangemode="tozero")] if cache else []),
    ]
    yield Chart(
        key="server",
        title="The server by its own metrics",
        figure=figure(
            [one | {"mode": "lines"} for one in [*many, *cache]],
            layout(
                TALL if both else 300,
                xaxis=axis("seconds since load began", **({"anchor": "y2"} if both else {})),
                **{
                    f"yaxis{'' if not place else place + 1}": one
                    | ({"domain": PANELS[place]} if both else {})
                    for place, one in enumerate(axes)
                },
            ),
        ),
        note=note(
            "Gaps: looks that failed.",
            f"The highest of every {stretch.width:g} s." if stretch.width > 1 else "A point a look.",
        ),
    )


class _Stretch:
    """Points in time together where they are many: one for every `width` seconds."""

    def __init__(self, at_s: Floats) -> None:
        length = float(at_s.max() - at_s.min())
        self.width = max(1.0, width_s(length))
        self._first = float(np.floor(at_s.min() / self.width))
        self._place = np.rint(at_s / self.width - self._first).astype(np.intp)
        self.number = int(self._place.max()) + 1
        self.x = seconds((np.arange(self.number) + self._first) * self.width)

    def most(self, values: Floats) -> Floats:
        """The greatest of each; NaN where there is none."""
        found = np.full(self.number, -np.inf)
        known = ~np.isnan(values)
        np.maximum.at(found, self._place[known], values[known])
        return np.where(np.isinf(found), np.nan, found)

    def of(self, values: Floats, reduce: Callable[[Floats], Any]) -> Floats:
        """What `reduce` makes of each; NaN where there is none."""
        known = np.flatnonzero(~np.isnan(values))
        order = known[np.argsort(self._place[known], kind="stable")]
        places, starts = np.unique(self._place[order], return_index=True)
        found = np.full(self.number, np.nan)
        for place, rows in zip(places, np.split(order, starts[1:]), strict=True):
            found[place] = reduce(values[rows])
        return found


def _column(rows: Sequence[Any], figure_: Callable[[Any], float | None]) -> Floats:
    return np.array([np.nan if (value := figure_(row)) is None else value for row in rows], dtype=np.float64)


def _origin(moments: Moments, times: Sequence[int]) -> int:
    """The first request's send, as in all figures; else the first of these."""
    return moments.origin_ns if moments.origin_ns is not None else min(times, default=0)
