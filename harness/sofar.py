"""A level's entry as far as it is known while load runs: what searches and sweeps decide by.

It has the shape of a level of summary.json, less what only the records can tell. Percentiles come from sketches and are
within 1 %; rates are those of the bins inside the window. The rule: None where nothing is known, as in the summary. What
is decided by it is checked against the records when the results are computed (`harness.trial_records`). Pure.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final

from harness.journal import Window
from harness.live import Sketch, View
from harness.loadpoint import LoadPoint
from harness.record import Outcome
from harness.slo import FIGURES, Slo, Slos

__all__ = ["entry", "parts_of", "unknown"]

_ENTRIES: Final[Mapping[str, str]] = {  # figure of `harness.live`, by what the summary calls it
    **{name: name for name in ("ttft_ms", "tpot_ms", "e2e_ms", "ttft_scheduled_ms", "e2e_scheduled_ms")},
    "request_output_tokens_per_s": "output_tokens_per_s",
}
_QUANTILES: Final = {"median": 0.5, **{f"p{n}": n / 100 for n in (5, 10, 50, 90, 95, 99)}, "max": 1.0}
_KNOWN: Final = {*_ENTRIES, *("system_output_tokens_per_s", "system_total_tokens_per_s", "requests_per_s")}
_WITHOUT_ENTRY: Final = frozenset(name for name, figure in FIGURES.items() if figure.entry is None)


def unknown(slos: Slos) -> list[Slo]:
    """Those on figures that nobody can tell while load runs."""
    return [slo for slo in slos if slo.figure.entry not in _KNOWN and slo.figure.name not in _WITHOUT_ENTRY]


def entry(
    view: View, point: LoadPoint, window: Window | None, *, unsent: int | None = None
) -> dict[str, Any]:
    """What is known of the segment that `view` looks at; `window` None: it never was whole, so there are no rates."""
    level = view.level
    counts = {outcome: level.outcomes.get(outcome, 0) for outcome in Outcome}
    return {
        "level": point.key,
        "kind": point.kind,
        "value": point.value,
        "title": point.title,
        "requests": level.requests,
        "succeeded": counts[Outcome.OK],
        "failed": counts[Outcome.FAILED],
        "cancelled": counts[Outcome.CANCELLED],
        "unsent": unsent,
        "goodput": _goodput(view, unsent or 0),
        **{name: _spread(view, figure) for name, figure in _ENTRIES.items()},
        "window_s": None if window is None else window.seconds,
        **_rates(view, window),
    }


def parts_of(view: View, window: Window, parts: int) -> tuple[float, ...]:
    """Output tokens/s in so many equal parts of a window; nothing where answers are uncounted."""
    if view.level.uncounted or parts < 1:
        return ()
    marks = [window.start_ns + (window.end_ns - window.start_ns) * n // parts for n in range(parts + 1)]
    bins, seconds = view.level.bins, window.seconds / parts
    return tuple(bins.within("output", a, b) / seconds for a, b in itertools.pairwise(marks))


def _rates(view: View, window: Window | None) -> dict[str, float | None]:
    """As the summary has them; tokens are unknown where nobody has counted some of them yet."""
    names = ("system_output_tokens_per_s", "system_total_tokens_per_s", "requests_per_s")
    if window is None or window.seconds <= 0:
        return dict.fromkeys(names)
    output, prompt, ended = (
        view.level.bins.within(series, window.start_ns, window.end_ns) / window.seconds
        for series in ("output", "prompt", "ended")
    )
    is_counted = not view.level.uncounted
    return dict(
        zip(
            names,
            (output if is_counted else None, output + prompt if is_counted else None, ended),
            strict=True,
        )
    )


def _goodput(view: View, unsent: int) -> dict[str, float | int | None]:
    level = view.level
    offered = level.requests + unsent
    share = level.good / offered if level.good is not None and offered else None
    return {"share": share, "requests_per_s": None, "good": level.good, "n": offered}


def _spread(view: View, figure: str) -> dict[str, float | int | None]:
    sketch: Sketch = view.sketches[figure]
    number = sketch.count
    mean = view.level.sums.get(figure, 0.0) / number if number else None
    return {
        "mean": mean,
        **_quantiles(sketch, number - 1),
        "n": number,
    }


def _quantiles(sketch: Sketch, most: int) -> dict[str, float | None]:
    """Between two order statistics as the summary has it: of few requests, the lower one alone is far too low."""
    if most < 1:
        return {name: sketch.quantile(share) for name, share in _QUANTILES.items()}
    below = [math.floor(share * most) for share in _QUANTILES.values()]
    ranks = [rank for one in below for rank in (one, min(one + 1, most))]
    values = sketch.quantiles([min(1.0, (rank + 0.5) / most) for rank in ranks])
    if values is None:
        return dict.fromkeys(_QUANTILES)
    found: dict[str, float | None] = {}
    for at, (name, share) in enumerate(_QUANTILES.items()):
        low, high = values[2 * at], values[2 * at + 1]
        found[name] = low + (share * most - below[at]) * (high - low)
    return found
