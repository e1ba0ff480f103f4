"""Why one level's figures may not be trusted, as far as its counts and windows tell: while load runs, and afterwards.

`level` is its entry in summary.json, or what of it is known (`harness.sofar`). A finding is (status, reason). The other
doubts need the table of requests (`harness.doubts`). May be imported under load. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["FEW", "INVALID_FAILED", "SUSPECT_FAILED", "Finding", "of_level"]

Finding = tuple[str, str]  # ("suspect" | "invalid", reason)

MANY_UNSENT: Final = 0.01  # of the arrivals that were due
SUSPECT_FAILED, INVALID_FAILED = 0.01, 0.20  # of a level's requests
FEW: Final = 5  # successful requests of a level


def of_level(name: str, level: Mapping[str, Any], *, timed: bool) -> Iterator[Finding]:
    """Failures, arrivals that were never sent, and windows; `timed`: its end was a time and not a number of requests."""
    yield from outcomes(name, level)
    yield from unsent_of(name, level)
    yield from window_of(name, level, timed=timed)


def outcomes(name: str, level: Mapping[str, Any]) -> Iterator[Finding]:
    requests, succeeded, failed = level["requests"], level["succeeded"], level["failed"]
    if not succeeded:
        yield "invalid", f"{name}: none of its {requests} measured requests succeeded"
        return
    share = failed / requests
    if share > SUSPECT_FAILED:
        status = "invalid" if share > INVALID_FAILED else "suspect"
        said = f"{failed} of {requests} requests failed ({100 * share:.3g} %)"
        yield status, f"{name}: {said}: latencies are of those that survived"
    if succeeded < FEW:
        plural = "" if succeeded == 1 else "s"
        yield "suspect", f"{name}: only {succeeded} successful request{plural}, where {FEW} are few"


def unsent_of(name: str, level: Mapping[str, Any]) -> Iterator[Finding]:
    unsent = level.get("unsent")
    if not unsent:
        return
    due, cap = unsent + level["requests"], level.get("max_concurrency")
    cure = (
        f"raise --max-concurrency {cap}"
        if cap
        else "add workers or ask for less, unless a worker was lost or stopped"
    )
    said = f"{unsent:,} of {due:,} arrivals ({100 * unsent / due:.3g} %) were due and never sent"
    status = "invalid" if unsent > MANY_UNSENT * due else "suspect"
    yield status, f"{name}: {said}: what they would have waited is in no figure; {cure}"


def window_of(name: str, level: Mapping[str, Any], *, timed: bool) -> Iterator[Finding]:
    if not level["windows"]:
        yield "suspect", f"{name}: no measuring window was recorded, so the system's rates are not measured"
    shortest, typical_ms = level["window_s_shortest"], level["e2e_ms"]["median"]
    is_wave = level.get("wave")  # as long as its slowest request, and no shorter
    if not is_wave and shortest is not None and typical_ms is not None and shortest * 1e3 < typical_ms:
        typical = f"the median request of {typical_ms / 1e3:.3g} s"
        cure = "raise -t" if timed else "raise --requests-per-level"
        yield "suspect", f"{name}: a window of {shortest:.3g} s is shorter than {typical}; {cure}"
