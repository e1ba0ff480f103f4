"""What the server's own counters say of a run, beside what this client counted.

Who counted what: the server all that it processed between a look before the first request and one after the last
had ended, for whomever; this client the tokens of all its requests, of any phase and any outcome, as far as they
were counted. So a server may have counted more, for it may have had other clients, and goes on
for a while with a request that we gave up. It cannot have counted less, unless it does not count what came to no end
(TGI, llama.cpp and SGLang count a request when it ends; vLLM each step): then one of the two counts is wrong, and
if it is ours, so are all rates. Only that is a doubt.

Counters that went back, and a missing look at either end, leave nothing to compare. llama.cpp prints six digits:
from a million on its counts are as coarse as that. Older builds of it leave cached prompt tokens out.

Pure: samples, the requests table and windows in, plain values out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import floor, log10
from statistics import fmean
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.doubts import Finding
from harness.journal import Window
from harness.server_metrics import COUNTERS, GAUGES, Sample
from harness.windows import NEVER, floats, ints

__all__ = ["account", "findings"]

SHARE: Final = 0.02  # of our count; less is no disagreement
TIMELINE: Final = 60  # stretches a run is drawn in
_SOURCES: Final = {"output_tokens": "token_source", "prompt_tokens": "prompt_token_source"}
_DIGITS: Final = 6  # that llama.cpp prints of a number


def account(
    samples: Sequence[Sample], requests: pd.DataFrame, windows: Sequence[Window] = ()
) -> dict[str, Any] | None:
    """`server_metrics` of summary.json; None for a run without samples."""
    if not samples:
        return None
    ordered = sorted(samples, key=lambda sample: sample.time_ns)
    good = [sample for sample in ordered if not sample.problem]
    begin, end = _load(requests)
    edges = _edges(good, begin, end)
    grown = {name: _grown(good, edges, name) for name in COUNTERS}
    hits, queries = (grown[f"prefix_cache_{what}_total"] for what in ("hits", "queries"))
    rate = hits / queries if isinstance(hits, int) and isinstance(queries, int) and queries else None
    system = next((sample.system for sample in reversed(good) if sample.system), None)
    return {
        "system": system,
        "polls": len(ordered),
        "gaps": len(ordered) - len(good),
        "seconds": (good[-1].time_ns - good[0].time_ns) / 1e9 if good else None,
        **_spreads([sample for sample in good if begin <= sample.time_ns <= end]),
        "grown": {
            name.removesuffix("_total"): amount if isinstance(amount, int) else None
            for name, amount in grown.items()
        },
        "prefix_cache_hit_rate": rate,
        "levels": _levels(good, windows),
        "output_tokens": _compared(
            requests, "output_tokens", grown["generated_tokens_total"], _blur(good, "generated_tokens_total")
        ),
        "prompt_tokens": _compared(
            _uncached(requests) if _leaves_cached_out(system, good) else requests,
            "prompt_tokens",
            grown["prompt_tokens_total"],
            _blur(good, "prompt_tokens_total"),
        ),
        "timeline": _timeline(good),
    }


def findings(server: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Doubts: only where the server has counted less than its answers to us say."""
    for what in ("output_tokens", "prompt_tokens"):
        if server is not None and server[what]["result"] == "less":
            one, said = server[what], what.replace("_", " ")
            counted = f"{server['system']} itself counted {one['server']:,} {said} during this run, where its answers"
            cure = "is its /metrics that of another server, or of one of several behind this address?"
            yield (
                "suspect",
                f"{counted} to us add up to {one['ours']:,}: what is computed from them is in doubt; {cure}",
            )


def _load(requests: pd.DataFrame) -> tuple[int, int]:
    """From the first request sent to the last one ended, Unix ns; an empty stretch if none was sent."""
    sent = ints(requests["sent_ns"])
    sent = sent[sent != NEVER]
    return (int(sent.min()), int(ints(requests["end_ns"]).max())) if len(sent) else (0, -1)


def _edges(good: Sequence[Sample], begin: int, end: int) -> tuple[Sample, Sample] | str:
    """The last look before load and the last after it, or why they are not there."""
    before = [sample for sample in good if sample.time_ns <= begin]
    if begin > end:
        return "no request was sent"
    if not before:
        return "its metrics were not seen before the first request"
    if good[-1].time_ns < end:
        return "its metrics were not seen after the last request"
    return before[-1], good[-1]


def _grown(good: Sequence[Sample], edges: tuple[Sample, Sample] | str, name: str) -> int | str:
    """By how much a counter grew over the run, or why that is not known."""
    if all(getattr(sample, name) is None for sample in good):
        return "it does not publish this count"
    if any(_count(later, name) < _count(earlier, name) for earlier, later in pairwise(good)):
        return (
            "its counter went back during the run: it was restarted, or there are several behind this address"
        )
    return edges if isinstance(edges, str) else round(_count(edges[1], name) - _count(edges[0], name))


def _count(sample: Sample, name: str) -> float:
    """A counter that is not there yet stands at 0: some servers publish it from its first increment on."""
    value: float | None = getattr(sample, name)
    return 0.0 if value is None else float(value)


def _blur(good: Sequence[Sample], name: str) -> float:
    """How far the growth of a counter may be off because its server rounds what it prints."""
    if not good or good[-1].system != "llama.cpp":
        return 0.0
    ends = [_count(sample, name) for sample in (good[0], good[-1])]
    return sum(0.5 * 10.0 ** (floor(log10(value)) + 1 - _DIGITS) for value in ends if value >= 10**_DIGITS)


def _leaves_cached_out(system: str | None, good: Sequence[Sample]) -> bool:
    return system == "llama.cpp" and all(sample.prefix_cache_hits_total is None for sample in good)


def _uncached(requests: pd.DataFrame) -> pd.DataFrame:
    """The table with the prompt tokens that were not taken from the cache; unknown where that is."""
    return requests.assign(prompt_tokens=requests["prompt_tokens"] - requests["cached_tokens"])


def _compared(requests: pd.DataFrame, what: str, server: int | str, blur: float) -> dict[str, Any]:
    """Two counts of the same tokens, and what is to be said of them.

    `result`: `equal` (2 % apart or less), `more` or `less` by the server's count; `unfinished` if what it lacks may be
    that of requests that failed or were cancelled; `edge` if it is at most a token a request, for whether a start or
    end token counts is its business; None if there is nothing to compare, and `why` says why.
    """
    counts, ok = floats(requests[what]), (requests["outcome"] == "ok").to_numpy(dtype=bool)
    known = ~np.isnan(counts)
    here = requests[_SOURCES[what]].isin(["tokenizer", "estimated"]).to_numpy(dtype=bool)
    ours, finished = int(counts[known].sum()), int(counts[known & ok].sum())
    found = {
        "server": server if isinstance(server, int) else None,
        "ours": ours if known.any() else None,
        "ratio": server / ours if isinstance(server, int) and ours else None,
        "unfinished": ours - finished,
        "uncounted": int((~known & requests["sent_ns"].notna().to_numpy(dtype=bool)).sum()),
        "counted_here": int((known & here).sum()),
        "rounding": blur,
        "result": None,
        "why": server if isinstance(server, str) else None,
    }
    if isinstance(server, int):
        if not known.any():
            return found | {"why": "nobody counted them here"}
        slack = SHARE * ours + blur
        if abs(server - ours) <= slack:
            found["result"] = "equal"
        elif server > ours:
            found["result"] = "more"
        elif server >= finished - slack:
            found["result"] = "unfinished"
        else:
            found["result"] = "edge" if finished - server <= np.count_nonzero(known & ok) else "less"
    return found


def _spreads(samples: Sequence[Sample]) -> dict[str, dict[str, float | int | None]]:
    """`mean`, `max` and `n` of each gauge."""
    spreads: dict[str, dict[str, float | int | None]] = {}
    for gauge in GAUGES:
        values = [value for sample in samples if (value := getattr(sample, gauge)) is not None]
        mean = fmean(values) if values else None
        spreads[gauge] = {"mean": mean, "max": max(values, default=None), "n": len(values)}
    return spreads


def _levels(good: Sequence[Sample], windows: Sequence[Window]) -> list[dict[str, Any]]:
    """The gauges while each level's windows were open."""
    levels = []
    for level in sorted({window.level for window in windows}):
        spans = [(window.start_ns, window.end_ns) for window in windows if window.level == level]
        inside = [s for s in good if any(start <= s.time_ns < end for start, end in spans)]
        levels.append({"level": level, **_spreads(inside)})
    return levels


def _timeline(good: Sequence[Sample]) -> dict[str, list[float | None]]:
    """The run in up to `TIMELINE` stretches of whole seconds: when each begins, s, and the most that was seen in it."""
    if not good:
        return {name: [] for name in ("at_s", *GAUGES)}
    ages = [(sample.time_ns - good[0].time_ns) / 1e9 for sample in good]
    step = int(ages[-1] // TIMELINE) + 1
    stretches: dict[int, list[Sample]] = {}
    for sample, age in zip(good, ages, strict=True):
        stretches.setdefault(round(age) // step, []).append(sample)
    return {
        "at_s": [float(place * step) for place in stretches],
        **{gauge: [_most(part, gauge) for part in stretches.values()] for gauge in GAUGES},
    }


def _most(samples: Iterable[Sample], gauge: str) -> float | None:
    return max((value for sample in samples if (value := getattr(sample, gauge)) is not None), default=None)
