"""The report's table of token counts: what each level asked for, what it got, and who counted.

Of successful measured requests. Means are over those where both sizes are known, so that they may be compared; how many of
these came to the size is from summary.json (`prompt_length`, `output_length`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from harness import loadpoint
from harness.grid import NULL, number
from harness.report.material import Material
from harness.report.text import SHORT, safe
from harness.windows import Floats, floats, ints

__all__ = ["section"]

_KINDS: Final = (("prompt", "prompt_tokens", "prompt_length"), ("output", "output_tokens", "output_length"))
_COLUMNS: Final = ("compared", "asked", "got", "within 1 %", "shorter", "longer")
_NOTE: Final = (
    "Of successful measured requests; asked and got are means over those where both are known (compared). Shorter and longer "
    "count any difference, by a single token too. Prompts that were counted here, and not by the server, are not compared."
)


def section(material: Material) -> Iterator[str]:
    """Nothing where no level has a request whose size was asked for and is known."""
    rows = [(level, _cells(level, material.requests)) for level in material.levels]
    if not any(level[length]["compared"] for level, _ in rows for *_, length in _KINDS):
        return
    yield '<section><h2>Tokens, asked for and got</h2><div class="wide"><table><thead><tr><th></th>'
    yield from (f'<th class="group" colspan="{len(_COLUMNS)}">{kind} tokens</th>' for kind, *_ in _KINDS)
    yield f'<th class="group"></th></tr><tr><th>{loadpoint.heading(material.levels)}</th>'
    for _ in _KINDS:
        yield from (f"<th{_first(at)}>{name}</th>" for at, name in enumerate(_COLUMNS))
    yield '<th class="first">counted by</th></tr></thead><tbody>'
    for level, groups in rows:
        yield f"<tr><th>{safe(loadpoint.short(level), SHORT)}</th>"
        for cells in groups:
            yield from (f"<td{_first(at)}>{cell}</td>" for at, cell in enumerate(cells))
        yield f'<td class="first">{_sources(level["token_sources"])}</td></tr>'
    yield f'</tbody></table></div><p class="note">{_NOTE}</p></section>'


def _cells(level: Mapping[str, Any], requests: pd.DataFrame) -> Sequence[Sequence[str]]:
    good = (requests["phase"] == "measure") & (requests["outcome"] == "ok")
    here = good.to_numpy(dtype=bool) & (ints(requests["level"]) == level["level"])
    found = []
    for _, column, length in _KINDS:
        told = level[length]
        asked, got = floats(requests[f"requested_{column}"][here]), floats(requests[column][here])
        if column == "prompt_tokens":  # what we counted ourselves is what we asked for
            ours = requests["prompt_token_source"][here].isin(["tokenizer", "estimated"])
            got = np.where(ours, np.nan, got)
        both = ~np.isnan(asked) & ~np.isnan(got)
        counts = (f"{told[name]:,}" if told["compared"] else NULL for name in ("near", "shorter", "longer"))
        found.append([f"{told['compared']:,}", _mean(asked[both]), _mean(got[both]), *counts])
    return found


def _mean(values: Floats) -> str:
    return number(float(values.mean())) if len(values) else NULL


def _sources(sources: Mapping[str, int]) -> str:
    """`server`, or with counts where there are several."""
    told = list(sources) if len(sources) == 1 else [f"{name} {count:,}" for name, count in sources.items()]
    return safe(", ".join(told) or NULL)


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""
