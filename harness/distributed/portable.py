"""What a master's files say, for workers that do not have them: lengths in the options' own words, and traces in columns.

Values in, values out. Datasets have a way of their own (`harness.menus`).
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness.distributions import portable
from harness.joint import Pairs
from harness.settings import Settings
from harness.traces import Trace

__all__ = ["options", "pairs", "rows", "same_pairs", "trace"]

_ROWS: Final = 2_000  # of a trace in one line
_PLAIN: Final = ("path", "left_out")  # of pairs


def options(settings: Settings) -> dict[str, Any]:
    """The options whose text names a file of lengths, with what it says instead."""
    content, model = settings.content, settings.load
    single = {
        "prompt_tokens": settings.prompt_sizes,
        "output_tokens": settings.output_sizes,
        "turns": content.turns,
        "turn_tokens": content.turn_sizes,
    }
    several = {"prompt_levels": model.prompt_levels, "output_levels": model.output_levels}
    found: dict[str, Any] = {name: portable(sizes) for name, sizes in single.items() if sizes is not None}
    found |= {name: ";".join(map(portable, sizes)) for name, sizes in several.items() if sizes}
    if content.parts:
        found["mix"] = [part.portable() for part in content.parts]
    return found


def rows(trace: Trace) -> Iterator[list[Any]]:
    """A trace, some rows at a time: offsets, prompt tokens, output tokens, how many blocks each has, the blocks."""
    for begin in range(0, len(trace), _ROWS):
        part = slice(begin, begin + _ROWS)
        counts: list[int] = []
        blocks: list[int] = []
        if len(trace.block_bounds):
            bounds = trace.block_bounds[begin : begin + _ROWS + 1]
            counts = np.diff(bounds).tolist()
            blocks = trace.block_values[bounds[0] : bounds[-1]].tolist()
        columns = (trace.offset_ns, trace.prompt_tokens, trace.output_tokens)
        yield [*(column[part].tolist() for column in columns), counts, blocks]


def pairs(told: Pairs) -> dict[str, Any]:
    """All of a file of pairs."""
    columns = {"prompts": told.prompts, "outputs": told.outputs, "bounds": told.bounds}
    lists = {name: None if column is None else column.tolist() for name, column in columns.items()}
    return {name: getattr(told, name) for name in _PLAIN} | lists


def same_pairs(said: Mapping[str, Any]) -> Pairs:
    """The pairs that `pairs` has told."""
    bounds = said["bounds"]
    return Pairs(
        **{name: said[name] for name in _PLAIN},
        prompts=array("i", said["prompts"]),
        outputs=array("i", said["outputs"]),
        bounds=None if bounds is None else array("d", bounds),
    )


def trace(path: str, form: str, columns: Sequence[Sequence[Any]]) -> Trace:
    """The trace whose `rows` these are."""
    offsets, prompts, outputs, counts, blocks = (
        np.concatenate([np.asarray(part[at], np.int64) for part in columns]) for at in range(5)
    )
    bounds = np.append(0, np.cumsum(counts)) if len(counts) else counts
    return Trace(Path(path), form, offsets, prompts, outputs, blocks, bounds)
