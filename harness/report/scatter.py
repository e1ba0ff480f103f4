"""Single requests: prompt tokens against TTFT, and output tokens against E2E, coloured by level.

Of many requests some are chosen by chance, from each level as many as from every other as far as it has them, by a fixed
seed: the same run has the same page. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from harness import loadpoint
from harness.report import palette
from harness.report.material import Chart, Material
from harness.report.moments import Moments
from harness.report.shapes import axis, figure, inert, layout, log_if_wide, note, short

__all__ = ["chosen", "scatters"]

SEED: Final = 20_260_712
POINTS: Final = 1_500  # of each of the two figures
FEW: Final = 5  # tokens between the least and the most: every one has a mark
_FIGURES: Final = (
    ("prompt_tokens", "ttft_ms", "prompt-ttft", "Prompt tokens against TTFT, ms", "prompt tokens", "TTFT, ms"),
    ("output_tokens", "e2e_ms", "output-e2e", "Output tokens against E2E, ms", "output tokens", "E2E, ms"),
)  # fmt: skip

Rows = npt.NDArray[np.intp]


def scatters(material: Material, moments: Moments) -> Iterator[Chart]:
    """A figure for each pair that was measured."""
    for tokens, time, key, title, x, y in _FIGURES:
        sizes, times = moments.amount(tokens), moments.amount(time)
        there = moments.counted & ~np.isnan(sizes) & ~np.isnan(times)
        groups = [np.flatnonzero(there & (moments.level == level["level"])) for level in material.levels]
        of_all = sum(map(len, groups))
        if of_all < 2:
            continue
        picked = chosen(groups, POINTS)
        drawn = [
            {
                "type": "scatter",
                "mode": "markers",
                "name": inert(level["title"]),
                "x": short(sizes[rows]),
                "y": short(times[rows]),
                "marker": {"color": palette.level(place, len(groups)), "size": 5, "opacity": 0.65},
                "hovertemplate": f"%{{x:,}} {x}<br>{y.split(',')[0]} %{{y:,.5~r}} ms<extra>{inert(loadpoint.short(level))}</extra>",
            }
            for place, (level, rows) in enumerate(zip(material.levels, picked, strict=True))
            if len(rows)
        ]
        shown = sum(map(len, picked))
        every = np.concatenate(picked)
        wide = log_if_wide(times[every].tolist())
        whole = {"dtick": 1} if np.ptp(sizes[every]) < FEW else {}  # a token is no fraction
        yield Chart(
            key=key,
            title=title,
            figure=figure(
                drawn,
                layout(xaxis=axis(x, **whole), yaxis=axis(y, **wide), showlegend=len(drawn) > 1),
            ),
            note=note(
                f"{shown:,} of {of_all:,} requests"
                + (
                    ", chosen by chance, as many of each level as there are, seed fixed."
                    if shown < of_all
                    else "."
                ),
                "The axis of times counts in powers of ten." if "type" in wide else "",
            ),
        )


def chosen(groups: Sequence[Rows], most: int) -> list[Rows]:
    """Up to `most` rows in all, in their order: of each group an equal share, or all that it has."""
    rng = np.random.default_rng(SEED)
    shares, left = [0] * len(groups), most
    for done, place in enumerate(sorted(range(len(groups)), key=lambda place: len(groups[place]))):
        shares[place] = min(len(groups[place]), left // (len(groups) - done))
        left -= shares[place]
    return [
        rows if len(rows) == share else np.sort(rng.choice(rows, share, replace=False, shuffle=False))
        for rows, share in zip(groups, shares, strict=True)
    ]
