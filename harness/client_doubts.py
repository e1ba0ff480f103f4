"""Was the client fit to measure? Findings from the seconds it watched itself (client.csv).

A rule looks at one figure of a second and knows two limits: from the first on that second is doubtful, from the second
on it is bad. One bad second is a hiccup and condemns nothing. Seconds are judged together, for each worker, over
the whole run and over each level, for a squeezed level must not hide in a long run:

    invalid   bad in at least `FEW` seconds and `MANY` of them
    suspect   doubtful in so many, or bad in `FEW` seconds and `SOME` of them

docs/metrics.md has the limits and why they are what they are. A rule never fires on what was not measured.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from harness.journal import Window
from harness.level_doubts import Finding
from harness.seconds import Second

__all__ = ["KINDS", "Rule", "findings", "of_worker", "rules"]

FEW: Final = 3.0  # seconds
MANY: Final = 0.10  # of the seconds watched
SOME: Final = 0.02
WAITED_MS: Final = 100.0  # a second; less is no loss, whatever its share of what was wanted
LAG_P50_MS: Final = (5.0, 10.0)
# The kernel's stamps do not care when we read, and reading goes on between two slices of parsing. Then a late loop moves
# sends and nothing else, and 50 ms is 1 % of an answer of 5 s. Our own stamps may be as late as it was: a token gap.
LATE_MS: Final[Mapping[bool, tuple[float, float]]] = {True: (50.0, 100.0), False: (25.0, 75.0)}
BY_KERNEL: Final = 0.9  # of the reads
UNREAD_MS: Final = (25.0, 75.0)  # token gaps are some 10 to 50 ms long

Status = Literal["suspect", "invalid"]

# What each of `rules` is about, in their order.
KINDS: Final = (
    "core_taken",
    "throttled",
    "squeezed",
    "cpu",
    "loop_late",
    "loop_slow",
    "sent_late",
    "read_late",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`figure` of a second, its two limits, and the reason: what was seen, and what to do about it."""

    figure: Callable[[Second], float | None]
    suspect: float
    invalid: float
    seen: str  # with {value} (the median of the seconds it counts), {when} and {limit}
    advice: Callable[[Sequence[Second]], str]
    told_by: tuple[
        int, ...
    ] = ()  # rules that say the same: one that is worse, or as bad and comes first, is enough


def findings(rows: Sequence[Second], windows: Sequence[Window], *, capped: bool = False) -> list[Finding]:
    """Doubts about the client, worker by worker. `capped`: that requests go out late is what the user's cap is for."""
    workers = sorted({row.worker for row in rows})
    found: list[Finding] = []
    for worker in workers:
        whose = f"worker {worker}: " if len(workers) > 1 else ""
        mine = [row for row in rows if row.worker == worker]
        for status, reason in of_worker(mine, windows, rules(by_kernel=_by_kernel(mine), capped=capped)):
            found.append((status, whose + reason))
    return found


def of_worker(
    rows: Sequence[Second], windows: Sequence[Window], asked: Sequence[Rule], total_s: float | None = None
) -> Iterator[Finding]:
    """One worker's. `total_s`: of all its seconds, where `rows` are only those that some rule counts."""
    stretches = [("", rows), *_levels(rows, windows)]
    said: dict[int, tuple[Status, str]] = {}
    for index, rule in enumerate(asked):
        verdicts = [one for name, part in stretches if (one := _judge(rule, name, part, total_s))]
        if verdicts:
            said[index] = min(verdicts, key=_better)  # the first of the worst
    for index, one in said.items():
        others = [(_better(said[other]), other) for other in asked[index].told_by if other in said]
        if all((_better(one), index) < other for other in others):
            yield one


def _by_kernel(rows: Sequence[Second]) -> bool:
    """Did the kernel stamp what was read? The end of a connection has no stamp, and is a read all the same."""
    reads = sum(row.reads for row in rows)
    return reads > 0 and sum(row.kernel_reads for row in rows) >= BY_KERNEL * reads


def _better(one: tuple[Status, str]) -> int:
    return 0 if one[0] == "invalid" else 1


def _levels(rows: Sequence[Second], windows: Sequence[Window]) -> Iterator[tuple[str, list[Second]]]:
    """Each level's name and the seconds whose middle lies in one of its windows."""
    for level in sorted({window.level for window in windows}):
        spans = [(w.start_ns, w.end_ns) for w in windows if w.level == level]
        middles = [((row.time_ns + row.end_ns) // 2, row) for row in rows]
        yield (
            f" at level {level}",
            [row for middle, row in middles if any(start <= middle < end for start, end in spans)],
        )


def _judge(
    rule: Rule, name: str, rows: Sequence[Second], total_s: float | None = None
) -> tuple[Status, str] | None:
    known = [(value, row) for row in rows if (value := rule.figure(row)) is not None]
    total = sum(row.seconds for row in rows) if total_s is None else total_s
    for status, limit, share in (
        ("invalid", rule.invalid, MANY),
        ("suspect", rule.suspect, MANY),
        ("suspect", rule.invalid, SOME),
    ):
        over = [(value, row) for value, row in known if value >= limit]
        seconds = sum(row.seconds for _, row in over)
        if over and seconds >= max(FEW, share * total):
            value = median(value for value, _ in over)
            seen = rule.seen.format(
                value=f"{value:.0f}", when=_when(name, seconds, total), limit=f"{limit:g}"
            )
            return ("invalid" if status == "invalid" else "suspect"), seen + rule.advice([r for _, r in over])
    return None


def _when(name: str, seconds: float, total: float) -> str:
    return f"{name.strip()} in {seconds:.0f} of {total:.0f} s".strip()


def rules(*, by_kernel: bool, capped: bool) -> tuple[Rule, ...]:
    """In the order in which they are looked at, that of `KINDS`; `told_by` counts in it."""
    late = LATE_MS[by_kernel]
    sends = (math.inf, math.inf) if capped else late
    return (
        Rule(
            lambda row: row.taken_percent, 33, 50,
            "another process has this client's core: others used {value} % of it {when} (limit {limit} %)", _not_alone,
        ),
        Rule(
            _throttled, 1, 10,
            "a CPU limit held the client up for {value} % of the time {when} (limit {limit} %)",
            lambda _: "; raise the limit of its container or cgroup",
        ),
        Rule(
            _waited, 50, 75,
            "the client waited for a core {value} % of the time it wanted to run {when} (limit {limit} %)",
            lambda _: ": other processes have the machine; stop them, or give the client a core of its own", (0, 1),
        ),
        Rule(
            lambda row: row.cpu_percent, 85, 90,
            "this worker is at its limit: {value} % CPU {when} (limit {limit} %)",
            lambda _: ": it sends late and so holds the load back; add workers, or ask for less",
        ),
        Rule(
            lambda row: row.loop_lag_ms_p99, *late,
            "the client's event loop was late by {value} ms {when} (p99 of a second, limit {limit} ms)", _cause, (5,),
        ),
        Rule(
            lambda row: row.loop_lag_ms_p50, *LAG_P50_MS,
            "the client's event loop was late by {value} ms half of the time {when} (limit {limit} ms)", _cause, (4,),
        ),
        Rule(
            lambda row: row.late_send_ms_p99, *sends,
            "requests went out {value} ms after they were due {when} (p99 of a second, limit {limit} ms)",
            lambda _: ": the load was not the one asked for; add workers, or ask for less", (3, 4, 5),
        ),
        Rule(
            lambda row: row.read_delay_ms_p99, *UNREAD_MS,
            "bytes waited {value} ms to be read {when} (p99 of a second, limit {limit} ms)",
            lambda _: ": events that came meanwhile were read as one, so their gaps are lost; add workers", (3, 4, 5),
        ),
    )  # fmt: skip


def _throttled(row: Second) -> float | None:
    return row.throttled_percent


def _waited(row: Second) -> float | None:
    waited_ms, percent = row.waited_ms, row.waited_percent
    if waited_ms is None or percent is None:
        return None
    return percent if waited_ms >= WAITED_MS * row.seconds else 0.0


def _not_alone(rows: Sequence[Second]) -> str:
    waited = median(row.waited_percent or 0.0 for row in rows)
    had_to = (
        f", and {waited:.0f} % of the time the client wanted to run it had to wait" if waited >= 1 else ""
    )
    return f"{had_to}; keep others off the cores it is pinned to"


def _cause(rows: Sequence[Second]) -> str:
    """Why a loop was late: where most of the time went in which it stood still."""
    worked = sum(row.blocked_working_ms for row in rows)
    throttled = sum((row.throttled_percent or 0.0) / 100 * row.seconds * 1e3 for row in rows)
    waited = max(
        0.0, sum(row.waited_ms or 0.0 for row in rows) - throttled
    )  # who is throttled waits, says the kernel
    parts = (
        (
            worked,
            "code of ours or of the locustfile kept it busy; take computing out of user tasks, or add workers",
        ),
        (throttled, "a CPU limit held it up; raise the limit of its container or cgroup"),
        (waited, "other processes had its core; give the client one of its own"),
        (
            sum(row.blocked_ms for row in rows) - worked - throttled - waited,
            (
                "it neither worked nor waited for a core; a user task blocks (a call that gevent does not know of), or the "
                "process was stopped"
            ),
        ),
    )
    return f": {max(parts, key=lambda part: part[0])[1]}"
