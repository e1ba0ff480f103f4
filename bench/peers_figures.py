"""From the server's log, what a tool said and what it used to its figures. Pure: values in, numbers out.

The rule: the truth is the server's log alone. TTFT is there from the request having been read to just before the
first event's send(), so a tool's TTFT has the way of the request and of the first event in it on top: some 0.05 ms
on one machine. The traffic is the part of a run that the load is: from the first request that overlaps another one
(what comes before is a tool trying the connection) to the last event.
"""

import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from peers_outputs import Quantiles, Said
from stamps import Stamps

__all__ = ["Figures", "Traffic", "Truth", "Used", "judge", "median", "traffic", "truth"]

Series = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Used:
    """What a run took, as `peers_tree` saw it."""

    cpu: Series  # (monotonic ns, CPU seconds so far)
    memory: Series  # (monotonic ns, MB)
    processes: int
    whole_cpu_s: float  # start-up and report included
    server_cpu: Series
    others_percent: float  # of all cores, over the whole run, taken by neither the tool nor the server
    wall_s: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """The load as the server saw it."""

    begin_ns: int
    end_ns: int
    requests: int  # answered whole
    events: int

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end_ns - self.begin_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Truth:
    """The server's own times, ms."""

    requests: int
    ttft: Quantiles
    gaps: Quantiles
    means: Quantiles  # of each request's mean gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One tool's run. CPU in seconds per 1,000 events, memory in MB of PSS, times in ms, bias = said - true."""

    requests_per_s: float
    events_per_s: float
    cpu: float  # during traffic
    cpu_whole: float  # of the whole run, start-up and report included, over the same events
    memory: float  # peak during traffic
    memory_whole: float
    processes: float
    ttft_p50: float
    ttft_p99: float
    true_ttft_p50: float
    true_ttft_p99: float
    ttft_bias_p50: float
    ttft_bias_p99: float
    itl_p50: float
    itl_p99: float
    true_itl_p50: float
    true_itl_p99: float
    itl_bias_p50: float
    itl_bias_p99: float
    said: float  # requests the tool's figures are of
    unmatched: float  # of these, not in the server's log or not answered whole
    served: float  # requests the server answered in the traffic
    server_percent: float  # of one core
    others_percent: float
    wall_s: float


# Of these the worst round counts.
_WORST: Final = ("unmatched", "others_percent")


def traffic(log: Collection[Stamps]) -> Traffic:
    """When load was on, and how much.

    Raises:
        ValueError: no two requests overlap.
    """
    whole = sorted((request for request in log if request.times), key=lambda request: request.start_ns)
    starts = [request.start_ns for request, after in pairwise(whole) if after.start_ns < request.times[-1]]
    if not starts:
        raise ValueError("the server saw no two requests at a time")
    load = [request for request in whole if request.start_ns >= starts[0]]
    return Traffic(
        begin_ns=starts[0],
        end_ns=max(request.times[-1] for request in load),
        requests=sum(request.complete for request in load),
        events=sum(len(request.times) for request in load),
    )


def truth(requests: Iterable[Stamps]) -> Truth:
    """The true figures of these requests, those not answered whole left out.

    Raises:
        ValueError: there is none.
    """
    whole = [request for request in requests if request.complete and len(request.times) == request.asked > 1]
    if not whole:
        raise ValueError("none of its requests is in the server's log")
    ttft = np.array([request.times[0] - request.start_ns for request in whole]) / 1e6
    gaps = np.concatenate([np.diff(np.asarray(request.times)) for request in whole]) / 1e6
    means = (
        np.array([(request.times[-1] - request.times[0]) / (request.asked - 1) for request in whole]) / 1e6
    )
    return Truth(len(whole), _quantiles(ttft), _quantiles(gaps), _quantiles(means))


def judge(log: dict[str, Stamps], said: Said, used: Used) -> Figures:
    """The figures of one run.

    Raises:
        ValueError: the log has no load, or none of the requests that the tool speaks of.
    """
    load = traffic(log.values())
    ids = log.keys() if said.ids is None else said.ids
    true = truth(log[name] for name in ids if name in log)
    itl = true.gaps if said.itl_of == "gaps" else true.means
    ttft_bias, itl_bias = said.ttft.less(true.ttft), said.itl.less(itl)
    within = [mb for time_ns, mb in used.memory if load.begin_ns <= time_ns <= load.end_ns]
    peak = max((mb for _, mb in used.memory), default=0.0)
    return Figures(
        requests_per_s=load.requests / load.seconds,
        events_per_s=load.events / load.seconds,
        cpu=_between(used.cpu, load) * 1e3 / load.events,
        cpu_whole=used.whole_cpu_s * 1e3 / load.events,
        memory=max(within, default=peak),
        memory_whole=peak,
        processes=used.processes,
        ttft_p50=said.ttft.p50,
        ttft_p99=said.ttft.p99,
        true_ttft_p50=true.ttft.p50,
        true_ttft_p99=true.ttft.p99,
        ttft_bias_p50=ttft_bias.p50,
        ttft_bias_p99=ttft_bias.p99,
        itl_p50=said.itl.p50,
        itl_p99=said.itl.p99,
        true_itl_p50=itl.p50,
        true_itl_p99=itl.p99,
        itl_bias_p50=itl_bias.p50,
        itl_bias_p99=itl_bias.p99,
        said=said.requests,
        unmatched=abs(said.requests - true.requests),
        served=load.requests,
        server_percent=100 * _between(used.server_cpu, load) / load.seconds,
        others_percent=used.others_percent,
        wall_s=used.wall_s,
    )


def median(rounds: Sequence[Figures]) -> Figures:
    """The middle of several rounds, field by field; the worst where only that matters."""
    merged: dict[str, float] = {}
    for name in (field.name for field in fields(Figures)):
        values = [getattr(figures, name) for figures in rounds]
        merged[name] = max(values) if name in _WORST else statistics.median(values)
    return Figures(**merged)


def _between(used: Series, load: Traffic) -> float:
    """What was used in the traffic, between two samples by straight line."""
    times, values = zip(*used, strict=True)
    begin, end = np.interp([load.begin_ns, load.end_ns], times, values)
    return float(end - begin)


def _quantiles(values: npt.NDArray[Any]) -> Quantiles:
    p50, p99 = np.percentile(values, [50, 99])
    return Quantiles(float(p50), float(p99))
