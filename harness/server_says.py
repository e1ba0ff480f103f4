"""What servers say of single requests, beside the client's own times: the columns of one small table.

Medians over a level's successful measured requests, by the server's own clock and formulas; a column is there
only if some server said so. Where such a time begins and ends is the server's business: SambaNova's TTFT leaves
queueing out, llama.cpp's prefill and decode leave out both the queue and the network.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness.grid import number

__all__ = ["CAPTION", "columns"]

CAPTION: Final = "by the server's own word, medians"
_COLUMNS: Final = (
    ("queue ms", "server_queue_ms", 1.0),
    ("prefill ms", "server_prefill_ms", 1.0),
    ("decode ms", "server_decode_ms", 1.0),
    ("TTFT ms", "server_ttft_ms", 1.0),
    ("E2E s", "server_e2e_ms", 1e-3),
    ("tok/s per request", "server_tokens_per_s", 1.0),
    ("accepted %", "acceptance_rate", 100.0),
    ("batch", "batch_size", 1.0),
)


def columns(levels: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """(names, a row of cells for each level); no names where no server said anything."""
    said = [column for column in _COLUMNS if any(level.get(column[1], {}).get("n") for level in levels)]
    cells = [
        [number(level.get(name, {}).get("median"), scale=scale) for _, name, scale in said]
        for level in levels
    ]
    return tuple(heading for heading, _, _ in said), cells
