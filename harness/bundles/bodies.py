"""bodies.csv: which request had which body, in the order of each user class's sequence.

    user_class, number, turn, level, repeat, phase, body_sha256

Sorted by these, but the hash; a request without a number (a prompt of the locustfile's own) comes first. An empty hash:
nothing was sent. It is made of requests.parquet alone.
"""

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from harness import rows

__all__ = ["COLUMNS", "write"]

COLUMNS: Final = ("user_class", "number", "turn", "level", "repeat", "phase", "body_sha256")


def write(table: Path, target: Path) -> None:
    """Write `target` from requests.parquet; a million rows take some 200 MB and two seconds.

    Raises:
        ConfigError: the table is damaged.
        OSError: the disk refused.
    """
    whole = pa.concat_tables([rows.ARROW.empty_table().select(list(COLUMNS)), *rows.groups(table, COLUMNS)])
    order = [(name, "ascending", "at_start") for name in COLUMNS]
    pa_csv.write_csv(whole.take(pc.sort_indices(whole, order)), target)
