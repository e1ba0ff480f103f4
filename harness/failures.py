"""The commonest kinds of failure of a run, from its table: what people look at first when something went wrong.

Values in, values out.
"""

import re
from collections import Counter
from typing import Any, Final

import pandas as pd

__all__ = ["kinds"]

_LISTED: Final = 10  # of them
_MESSAGE: Final = 500  # characters of a text that are kept
_NUMBERS: Final = re.compile(r"[0-9a-f-]*\d[0-9a-f-]*", re.IGNORECASE)  # and the ids that have some in them


def kinds(requests: pd.DataFrame) -> list[dict[str, Any]]:
    """The commonest failures of the run, any phase. Texts that differ only in their numbers are one, the first."""
    failed = requests[requests["outcome"] == "failed"]
    columns = (failed[name] for name in ("error_class", "http_status", "error_message"))
    times: Counter[tuple[Any, ...]] = Counter()
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cells in zip(*columns, strict=True):
        word, status, text = (None if pd.isna(cell) else cell for cell in cells)
        message = None if text is None else text[:_MESSAGE]
        key = (word, status, _NUMBERS.sub("0", message or ""))
        times[key] += 1
        code = None if status is None else int(status)
        first.setdefault(key, {"error_class": word, "http_status": code, "message": message})
    return [first[key] | {"count": count} for key, count in times.most_common(_LISTED)]
