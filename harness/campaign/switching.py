"""What changing from one model to another cost, by SambaNova's formula and by ours.

A switch is a run that asks for another model, or expert, than the run before it at the same address, no server being
started between. Its first request pays; that must be one of the load, so such runs are made with `preflight = "no"`:
otherwise the trial request pays, which is in no table, and nothing is said here.

    ours    TTFT of the first request - median TTFT of those that were sent after it had its first token. Requests sent
            meanwhile wait for the same switch and are in neither. Same number of users as the first; warm-up counts
            too. Not streamed: E2E instead of TTFT. Near 0, or below, where nothing had to be switched
    theirs  max(server TTFT) - min(server TTFT) among the requests at the largest batch: a batch is a run of requests, in
            order of their ends, with the very same TTFT by the server, and its size the next power of two. It takes
            the spread of queueing for switching, knows nothing of order, and needs a server that tells its TTFT and has
            no other load

Source of theirs: SambaNova's ai-starter-kit, `benchmarking_bundles`. Values in, values out.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.windows import floats, ints

__all__ = ["Visit", "ours_ms", "switches", "theirs_ms"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One run at one address, for finding switches."""

    key: str
    host: str | None  # None: its server was started for it
    model: str | None
    began_ns: int
    is_done: bool


def switches(visits: Iterable[Visit]) -> Iterator[tuple[Visit, Visit]]:
    """(the run before, the run that switched), in the order in which they were run.

    After a run that did not end well nobody knows which model is loaded.
    """
    last: dict[str, Visit] = {}
    for visit in sorted(visits, key=lambda one: one.began_ns):
        if visit.host is None:
            continue
        before = last.get(visit.host)
        if (
            before is not None
            and before.is_done
            and visit.is_done
            and None not in (before.model, visit.model)
            and before.model != visit.model
        ):
            yield before, visit
        last[visit.host] = visit


def ours_ms(requests: pd.DataFrame) -> float | None:
    """By how much the first request waited longer than later ones do; None if it failed, or nothing came after it."""
    sent = requests[requests["sent_ns"].notna()].sort_values("sent_ns", kind="stable")
    if not len(sent) or sent["outcome"].iloc[0] != "ok":
        return None
    first = sent.iloc[0]
    over_ns = first["first_content_ns"] if first["streamed"] else first["end_ns"]
    column = "ttft_ms" if first["streamed"] else "e2e_ms"
    later = sent[
        (sent["outcome"] == "ok")
        & (ints(sent["sent_ns"]) > int(over_ns))
        & (ints(sent["level"]) == _level(sent))
        & (sent["streamed"].astype(bool) == bool(first["streamed"]))
    ]
    times = floats(later[column])
    times = times[~np.isnan(times)]
    if not len(times) or pd.isna(first[column]):
        return None
    return float(first[column]) - float(np.median(times))


def _level(sent: pd.DataFrame) -> int:
    """The first level that was held; 0 stands for the time in which its users were started."""
    return next((level for level in ints(sent["level"]).tolist() if level > 0), 0)


def theirs_ms(requests: pd.DataFrame) -> float | None:
    """SambaNova's switching time; None if the server tells no TTFT."""
    ok = requests[(requests["outcome"] == "ok") & requests["server_ttft_ms"].notna()]
    ttfts = floats(ok.sort_values("end_ns", kind="stable")["server_ttft_ms"]).tolist()
    if not ttfts:
        return None
    groups = [list(group) for _, group in itertools.groupby(ttfts)]
    largest = max(_batch(group) for group in groups)
    among = [ttft for group in groups if _batch(group) == largest for ttft in group]
    return float(max(among) - min(among))


def _batch(group: Sequence[float]) -> int:
    """The next power of two."""
    return 1 << (len(group) - 1).bit_length()
