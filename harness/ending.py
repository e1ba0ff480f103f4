"""What a run that is over says of itself: why results are missing, and the exit code.

    2   nothing could work: a refused key, a missing model, a dead host
    5   results are missing. It outranks the next ones: what is not there cannot be judged
    4   the verdict is `invalid` and `--require-valid` was given
    3   an SLO was missed, or could not be judged: a gate that could not look does not open. It outranks Locust's
        1, which it may explain; what outranks it says that there is nothing to judge by. Of a search: no load met
        them; that some did not, and what failed there, is what a search is made of, and it ends with 0
    -   otherwise Locust's own rule: 1 if requests failed, else 0

Values in, values out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness.hope import Hope

__all__ = ["INCOMPLETE", "NOT_VALID", "SLO_MISSED", "USAGE", "exit_code", "last_words", "missing"]

USAGE: Final = 2
SLO_MISSED: Final = 3
NOT_VALID: Final = 4
INCOMPLETE: Final = 5


def missing(
    hope: Hope, statements: Sequence[Mapping[str, Any]], *, interrupted: bool, planned: int | None
) -> list[str]:
    """Why results are missing, a line each; none if none are. `statements`: the parts' own (run.json's workers)."""
    reasons = []
    if hope.lost:
        reasons.append(f"stopped early, {hope.lost}")
    if interrupted:
        reasons.append("interrupted")
    totals = [statement["totals"] for statement in statements]
    offered = sum(total["offered"] - total.get("probes", 0) for total in totals)
    if not offered:
        reasons.append("no request was sent")
    if planned is not None and offered < planned:
        reasons.append(f"{planned - offered} of {planned} planned requests were not sent")
    if cancelled := sum(total["cancelled"] for total in totals):
        reasons.append(f"{cancelled} requests were given up in flight")
    return reasons


def exit_code(
    hope: Hope, problem: str | None, summary: Mapping[str, Any] | None, *, require_valid: bool
) -> int | None:
    """Our exit code, or None to leave it to Locust's rule. `problem`: why there are no results."""
    if hope.nothing_worked:
        return USAGE
    if problem or (summary is not None and not summary["complete"]):
        return INCOMPLETE
    if require_valid and summary is not None and summary["verdict"]["status"] == "invalid":
        return NOT_VALID
    if summary is not None and (sought := summary.get("search")):
        return SLO_MISSED if sought["value"] is None else 0
    if summary is not None and (judged := summary.get("slo")) and judged["met"] is not True:
        return SLO_MISSED
    return None


def last_words(hope: Hope, code: int | None) -> list[str]:
    """What a user has to know of the end, below all tables. `code`: our exit code."""
    said = [f"error: stopped early, {hope.lost}"] if hope.lost else []
    if code == NOT_VALID:
        said.append("error: the verdict is invalid, and --require-valid was given (exit 4)")
    if code == SLO_MISSED:
        said.append("error: a service level was missed, or could not be judged (exit 3)")
    return said
