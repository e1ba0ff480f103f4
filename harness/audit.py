"""Was every leave to send accounted for? What the workers say of themselves, beside the rows of the table.

A leave to send (`offered`) ends in exactly one row: succeeded, failed (by error class) or cancelled. So for each worker,
and in all,

    offered = succeeded + failed + cancelled + unaccounted         unaccounted: leaves without a row
    planned + probes = offered + unsent                            in a sweep; a timed run has no plan

Everything but `offered` is counted from the rows. A worker's signed totals have to agree with its rows, class by class,
and with themselves; rows may be missing only where it is known why: journal lines that its disk refused, or a journal
that is not here. The last word of a lost worker may be older than its journal, so more rows than it tells of are no
contradiction; then both `offered` and `unaccounted` are the least that they can be.

Trial requests are in no table. Pure, and without pandas of its own: `missing` is asked before results are made.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from harness import totals
from harness.grid import clean
from harness.hearsay import finite
from harness.totals import Counts

if TYPE_CHECKING:
    import pandas as pd

    from harness.doubts import Finding

__all__ = ["account", "findings", "missing"]

SILENT_S: Final = 3.0  # reports come each second
LOST_S: Final = 10.0  # so long a silence has given a worker's leaves to others
LATE_S: Final = 1.0  # after load began
VAGUE_MS: Final = 5.0  # of a clock
NAMED: Final = 3  # workers that a finding names

_SUMS: Final = ("offered", "sent", "succeeded", "cancelled", "unaccounted", "rows")
_UNKNOWN: Final = "unknown"  # the state of a worker nobody spoke of


def account(
    statements: Sequence[Mapping[str, Any]] | None, requests: "pd.DataFrame", planned: int | None
) -> dict[str, Any] | None:
    """`audit` of summary.json (docs/metrics.md, "Audit"); None for a run without statements, as older ones are.

    `planned`: requests meant to be sent in all phases, None if there was no plan.
    """
    if statements is None:
        return None
    rows = totals.of_rows(requests)
    workers = [_worker(one, rows.pop(str(one.get("name")), Counts())) for one in statements]
    # Rows of which nobody says how many there should be: nothing to reconcile them with.
    workers += [_worker({"name": name, "state": _UNKNOWN}, counts) for name, counts in sorted(rows.items())]
    sums = {name: sum(one[name] for one in workers) for name in _SUMS}
    failed: Counter[str] = Counter()
    for one in workers:
        failed.update(one["failed"])
    probes = int((requests["phase"] == "probe").sum()) if "phase" in requests else 0  # beside the plan
    over = (
        planned is not None and sums["offered"] - probes > planned and not any(map(_may_be_doubled, workers))
    )
    differences = [f"{_many(sums['offered'])} offered where {planned:,} were planned"] if over else []
    return {
        "reconciles": not differences and all(one["reconciles"] for one in workers),
        "planned": planned,
        **sums,
        "failed": dict(sorted(failed.items())),
        "probes": probes,
        "unsent": None if planned is None else max(0, planned - (sums["offered"] - probes)),
        "differences": differences,
        "workers": workers,
    }


def _worker(one: Mapping[str, Any], rows: Counts) -> dict[str, Any]:
    said, clock, events = Counts.said(one.get("totals")), one.get("clock"), one.get("events")
    signed, known = _is_signed(one), one.get("state") != _UNKNOWN
    offered = max(said.offered, rows.offered if signed else (said.ended | rows.ended).total())
    excused = said.offered if _verified(one) is False else said.dropped
    differences = totals.differences(said, rows, excused) if signed else []
    timed = clock if isinstance(clock, Mapping) else {}
    return {
        "name": str(one.get("name")),
        "state": str(one.get("state")),
        "signed": signed,
        "offered": offered,
        "sent": rows.sent,
        "succeeded": rows.ended["succeeded"],
        "failed": rows.failed,
        "cancelled": rows.ended["cancelled"],
        "unaccounted": offered - rows.offered,
        "rows": rows.offered,
        "reconciles": known and not differences,
        "differences": differences if known else ["no worker of that name took part"],
        **{name: finite(one.get(name)) for name in ("joined_s", "last_heard_s", "longest_silence_s")},
        "clock_offset_ms": finite(timed.get("offset_ms")),
        "clock_uncertainty_ms": finite(timed.get("uncertainty_ms")),
        "journal_verified": _verified(one),
        "events": [str(event) for event in events] if isinstance(events, list | tuple) else [],
    }


def _may_be_doubled(worker: Mapping[str, Any]) -> bool:
    """Whether leaves of its may have been given to others as well: it was taken for lost."""
    return not worker["signed"] or (worker["longest_silence_s"] or 0.0) >= LOST_S


def findings(audit: Mapping[str, Any] | None) -> "Iterator[Finding]":
    """Doubts: books that do not balance; workers that were silent, came late, or whose clock is not known well."""
    if audit is None:
        return
    for difference in audit["differences"]:
        yield "invalid", f"the audit does not reconcile: {difference}"
    for one in audit["workers"]:
        if not one["reconciles"]:
            had = f" has {_many(one['rows'])} in the table and" if one["state"] == _UNKNOWN else ""
            yield "invalid", f"{_who([one])}{had} does not reconcile: {'; '.join(one['differences'])}"
    workers = audit["workers"]
    lively = [one for one in workers if one["state"] != "lost"]  # of which more is said elsewhere
    if silent := [one for one in lively if (one["longest_silence_s"] or 0.0) > SILENT_S]:
        said = (
            f"{_who(silent)} said nothing for {_worst(silent, 'longest_silence_s', 's')}, frozen or cut off"
        )
        yield "suspect", f"{said}: meanwhile the load may not have been the one asked for"
    if late := [one for one in workers if (one["joined_s"] or 0.0) > LATE_S]:
        said = f"{_who(late)} joined late, {_worst(late, 'joined_s', 's')} after load began"
        yield "suspect", f"{said}: users were spread anew, and the load was not steady meanwhile"
    if len(workers) > 1:
        yield from _of_clocks([one for one in workers if one["rows"] and one["state"] != _UNKNOWN])


def _of_clocks(workers: Sequence[Mapping[str, Any]]) -> "Iterator[Finding]":
    """One clock agrees with itself; of several, windows are as sharp as they agree."""
    name, kept = "clock_uncertainty_ms", "durations are not touched"
    if vague := [one for one in workers if (one[name] or 0.0) > VAGUE_MS]:
        said = f"clock known to {_worst(vague, name, 'ms')}"
        yield "suspect", f"{_who(vague)}: {said}: windows and levels are only so sharp; {kept}"
    if unknown := [one for one in workers if one[name] is None]:
        said = "clock never compared with the master's: windows and levels are only as sharp as these agree"
        yield "suspect", f"{_who(unknown)}: {said}; {kept}"


def missing(
    statements: Iterable[Mapping[str, Any]] | None, audit: Mapping[str, Any] | None = None, run: str = "RUN"
) -> list[str]:
    """Why results are incomplete, one line each: lost and left workers, journals that are not here or not whole.

    `audit`, if there is one already, says how many requests are unaccounted for. Without it a journal that is in the run
    directory may hold all of them, and nothing is said of them. `run` is the run directory, for the command to type.
    """
    known = {one["name"]: int(one["unaccounted"]) for one in (audit or {}).get("workers", ())}
    lines = []
    for one in statements or ():
        if happened := _what_happened(one):
            number = known.get(str(one.get("name")), _unfetched(one))
            least = "" if _is_signed(one) else "at least "
            lacking = (
                f"; {least}{number:,} of its requests unaccounted for when the run ended" if number else ""
            )
            lines.append(happened + lacking + _where(one, run))
        dropped = Counts.said(one.get("totals")).dropped
        if dropped and one.get("name") != "local":  # a local run says so of its own journal, and why
            lines.append(
                f"worker {one.get('name')}: its disk refused {dropped:,} lines of its journal, which are lost"
            )
    return [clean(line) for line in lines]


def _what_happened(one: Mapping[str, Any]) -> str:
    """The beginning of its line; empty for a worker of which nothing is missing."""
    name, heard = one.get("name"), finite(one.get("last_heard_s"))
    when = "" if heard is None else f" {heard:.1f} s after load began"
    match one.get("state"):
        case "lost":
            return f"worker {name} was lost" + (when and f", last heard of{when}")
        case "left":
            return f"worker {name} left{when}, stopped on its own side"
    if not _is_signed(one):
        return f"worker {name}: its last word did not arrive whole"
    return f"worker {name}: its journal is not known to be whole" if _verified(one) is False else ""


def _unfetched(one: Mapping[str, Any]) -> int:
    """Requests without a row because its journal is not in the run directory; 0 if it is: who knows what it holds."""
    journal = one.get("journal")
    here = isinstance(journal, Mapping) and journal.get("file")
    return (
        0
        if here or (_is_signed(one) and _verified(one) is not False)
        else Counts.said(one.get("totals")).offered
    )


def _where(one: Mapping[str, Any], run: str) -> str:
    """Where its journal lies, and how to bring it in."""
    journal = one.get("journal")
    told = journal if isinstance(journal, Mapping) else {}
    place = str(told.get("place") or "")
    if _verified(one) or (not told and _is_signed(one)):
        return ""
    if told.get("file"):
        return "; its journal is in the results as far as it was written"
    if not place:
        return "; where its journal lies is not known"
    host, _, path = place.partition(":") if "/" not in place.partition(":")[0] else ("", "", place)
    once = ", once it is on this machine" if host and path else ""
    command = f"`tokenswarm collect {quote(run)} {quote(path or place)}`"
    return f"; its journal lies at {place}: {command} merges it{once}"


def _is_signed(one: Mapping[str, Any]) -> bool:
    return one.get("signed") is True


def _verified(one: Mapping[str, Any]) -> bool | None:
    """Whether its journal is here, byte for byte; None if it never told of one."""
    journal = one.get("journal")
    return journal.get("verified") is True if isinstance(journal, Mapping) else None


def _who(workers: Sequence[Mapping[str, Any]]) -> str:
    """`worker a`, `workers a, b`, `workers a, b, c and 97 more`."""
    names = ", ".join(clean(one["name"]) for one in workers[:NAMED])
    more = f" and {len(workers) - NAMED:,} more" if len(workers) > NAMED else ""
    return f"{'worker' if len(workers) == 1 else 'workers'} {names}{more}"


def _worst(workers: Sequence[Mapping[str, Any]], name: str, unit: str) -> str:
    most = max(one[name] for one in workers)
    return f"{most:.1f} {unit}" + (" at worst" if len(workers) > 1 else "")


def _many(number: int) -> str:
    return f"{number:,} request{'' if number == 1 else 's'}"
