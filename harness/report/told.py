"""What went wrong at which level, and what was asked for beside what came. Pure."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from harness.report import palette
from harness.report.material import Chart, Material
from harness.report.moments import Moments
from harness.report.places import Places
from harness.report.shapes import axis, bar, figure, inert, layout, note, short

__all__ = ["errors", "lengths"]

PANELS: Final = ([0.56, 1.0], [0.0, 0.44])
TALL: Final = 440  # px
OTHERS: Final = "others"


def errors(material: Material) -> Iterator[Chart]:
    """Failed requests of each level by error class, stacked; none where none failed."""
    levels = material.levels
    whole: Counter[str] = Counter()
    for level in levels:
        whole.update(level["errors"])
    if not whole:
        return
    places = Places.of(levels)
    named = [word for word, _ in whole.most_common(len(palette.CLASSES))]
    if len(whole) > len(named):
        named = [*named[:-1], OTHERS]
    drawn = []
    for word, colour in zip(named, palette.CLASSES, strict=False):
        counts = [
            sum(n for other, n in level["errors"].items() if other == word or (word == OTHERS and other not in named))
            for level in levels
        ]  # fmt: skip
        shares = short([100 * n / level["requests"] for n, level in zip(counts, levels, strict=True)])
        hover = f"%{{x}}: %{{y:,}} {inert(word)}<br>%{{customdata:,.4~r}} % of its requests"
        drawn.append(bar(inert(word), places.names, counts, colour, hover, customdata=shares))
    yield Chart(
        key="errors",
        title="Failed requests by error class",
        figure=figure(
            drawn,
            layout(
                barmode="stack", xaxis=places.row, yaxis=axis("failed requests", rangemode="tozero")
            ),
        ),
        note=f"{sum(whole.values()):,} measured requests failed.",
    )  # fmt: skip


def lengths(material: Material, moments: Moments) -> Iterator[Chart]:
    """Mean prompt and output tokens that were asked for, beside those that were counted; a panel each."""
    if not material.levels:
        return
    places, drawn, compared = Places.of(material.levels), [], 0
    good = moments.measured & moments.ok
    axes: dict[str, dict[str, Any]] = {}
    for what, title in (("prompt_tokens", "prompt tokens"), ("output_tokens", "output tokens")):
        got, asked = moments.amount(what), moments.amount(f"requested_{what}")
        both = good & ~np.isnan(got) & ~np.isnan(asked)
        if not both.any():
            continue
        rows = [both & (moments.level == level["level"]) for level in material.levels]
        number = "y" if not axes else "y2"
        axes[number] = axis(title, rangemode="tozero")
        for name, values, colour in (("asked for", asked, palette.GIVEN), ("counted", got, palette.OUTPUT)):
            means = short([values[one].mean() if one.any() else np.nan for one in rows])
            counts = [int(one.sum()) for one in rows]
            hover = f"%{{x}}: %{{y:,.5~r}} {title} {name}, mean of %{{customdata:,}} requests"
            more = {"yaxis": number, "customdata": counts, "legendgroup": name, "showlegend": number == "y"}
            drawn.append(bar(name, places.names, means, colour, hover, offsetgroup=name, **more))
        compared = max(compared, int(both.sum()))
    if not axes:
        return
    panels = PANELS if len(axes) > 1 else ([0.0, 1.0],)
    found = {
        f"yaxis{name[1:]}": one | {"domain": domain}
        for (name, one), domain in zip(axes.items(), panels, strict=True)
    }
    yield Chart(
        key="lengths",
        title="Tokens asked for and tokens counted, mean a request",
        figure=figure(
            drawn,
            layout(
                TALL if len(axes) > 1 else 300,
                barmode="group",
                xaxis=places.row | {"anchor": list(axes)[-1]},
                **found,
            ),
        ),
        note=note(f"Of {compared:,} requests that succeeded and of which both are known."),
    )
