"""The verdict so far: what the final one would say of what is known by now, and never anything worse.

By the same rules: those of levels (`harness.level_doubts`), of the client (`harness.client_watch`), and what the parts' users
and the guards have met with. What only the table of requests tells is left to the end, and so is what may still turn out
well: of the level under way nothing is said but failures that cannot be outnumbered any more, or that are many already.

The rule: without a request that is over there is no verdict, and none is made up. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from harness import level_doubts, loadpoint
from harness.grid import clean
from harness.level_doubts import INVALID_FAILED, SUSPECT_FAILED, Finding

__all__ = ["final", "of_levels", "so_far"]

Json = dict[str, Any]
ENOUGH: Final = 20  # requests of a level that has no number of them
_SEVERITY: Final = ("valid", "suspect", "invalid")


def so_far(findings: Iterable[Finding], *, is_measured: bool) -> Json:
    """For tokens.json."""
    found = sorted(dict.fromkeys(findings), key=lambda one: -_SEVERITY.index(one[0]))
    status = found[0][0] if found else "valid" if is_measured else "none"
    reasons = [{"status": status, "text": clean(text)} for status, text in found]
    return {"status": status, "reasons": reasons, "is_final": False}


def final(verdict: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Json:
    """The summary's. It ranks its reasons and does not say how bad each is; `known`: those of the last one before it."""
    status, before = str(verdict["status"]), {one["text"]: one["status"] for one in known}
    reasons: list[Json] = []
    for reason in verdict["reasons"]:
        text = clean(reason)
        is_worst = status == "suspect" or not reasons or text.startswith("incomplete: ")
        reasons.append({"status": status if is_worst else before.get(text), "text": text})
    return {"status": status, "reasons": reasons, "is_final": True}


def of_levels(
    levels: Iterable[Mapping[str, Any]], coming: Mapping[int, int | None], *, timed: bool
) -> Iterator[Finding]:
    """Doubts about levels as far as they are known (`harness.web.ledger`).

    `coming`: those that are held, or will be again, by name, with the measured requests of all their passes; None: no number.
    """
    for level in levels:
        name, key = f"level {loadpoint.short(level)}", level["level"]
        if level["state"] == "to_come":
            continue
        if key not in coming and level["is_counted"]:
            yield from level_doubts.of_level(name, level, timed=timed)
        elif level["requests"]:
            of = max(level["requests"], coming.get(key) or ENOUGH)
            if (share := level["failed"] / of) > SUSPECT_FAILED:
                said = f"{level['failed']} of {level['requests']} requests failed so far"
                status = "invalid" if share > INVALID_FAILED else "suspect"
                yield status, f"{name}: {said}: latencies are of those that survived"
