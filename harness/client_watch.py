"""How one process of the client is doing while load runs, by the rules of the final verdict (`harness.client_doubts`).

Only seconds that some rule counts are kept, so an hour of a client that is well takes no memory. What is found is what
would be found if the run ended now, over all its seconds: how much a single level was hurt is judged at the end only, and
how late sends were is not known before. So it is never worse than the final verdict on the same seconds.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from harness.client_doubts import BY_KERNEL, KINDS, of_worker, rules
from harness.grid import clean
from harness.hearsay import Malformed, amount, mapping, number
from harness.level_doubts import Finding
from harness.seconds import Second

__all__ = ["ClientWatch", "Seen"]

MOST: Final = 2_000  # seconds that are looked at again; what is found by then stays
FINDINGS, LENGTH = 8, 400  # at most, and of each in characters
_STRICT: Final = rules(by_kernel=False, capped=False)
_BY_KERNEL: Final = rules(by_kernel=True, capped=False)
_KEYS: Final = frozenset({"seconds", "cpu_percent", "lag_ms", "bad", "findings"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one process."""

    seconds: float = 0.0  # that were watched
    cpu_percent: float | None = None  # of a core, in the last second
    lag_ms: float | None = None  # p99 of how late its loop was, in the last second
    bad: Mapping[str, int] = field(default_factory=dict)  # seconds that a rule calls bad, by `KINDS`
    findings: tuple[Finding, ...] = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """What `ClientWatch.stored` gave.

        Raises:
            Malformed: it is anything else.
        """
        said = mapping(value, _KEYS)
        found = said["findings"]
        if not isinstance(found, (list, tuple)) or len(found) > FINDINGS:
            raise Malformed("not findings")
        return cls(
            seconds=amount(said["seconds"]),
            cpu_percent=_maybe(said["cpu_percent"]),
            lag_ms=_maybe(said["lag_ms"]),
            bad={kind: number(n) for kind, n in mapping(said["bad"], frozenset(KINDS), some=True).items()},
            findings=tuple(_finding(one) for one in found),
        )


class ClientWatch:
    """Of one process, from the beginning of load."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._reads = self._kernel_reads = 0
        self._last: Second | None = None
        self._bad: Counter[str] = Counter()
        self._doubtful: list[Second] = []
        self._met, self._stride = 0, 1  # doubtful seconds so far, and of how many one is kept
        self._judged = (0, 0.0)  # doubtful seconds, and all of them, when it was last judged
        self._findings: list[Finding] = []

    def add(self, second: Second) -> None:
        """One second is over."""
        self._last = second
        self._seconds += second.seconds
        self._reads += second.reads
        self._kernel_reads += second.kernel_reads
        asked = self._rules()
        for kind, rule in zip(KINDS, asked, strict=True):
            if (value := rule.figure(second)) is not None and value >= rule.invalid:
                self._bad[kind] += 1
        is_doubtful = any(
            (value := rule.figure(second)) is not None and value >= rule.suspect for rule in _STRICT
        )
        if not is_doubtful:
            return
        self._met += 1
        if self._met % self._stride == 0:
            self._doubtful.append(replace(second, loop_lags_ms="", read_delays_ms=""))
        if len(self._doubtful) > MOST:
            self._doubtful, self._stride = self._doubtful[::2], self._stride * 2

    def findings(self) -> list[Finding]:
        """What would be found if the run ended now."""
        number, judged = len(self._doubtful), self._judged
        # Of many, one more or less matters little; a finding may cease as good seconds come.
        if number <= 100 or number >= judged[0] * 1.02 or self._seconds >= judged[1] * 1.02:
            self._judged = (number, self._seconds)
            self._findings = list(of_worker(self._doubtful, (), self._rules(), self._seconds / self._stride))
        return self._findings[:FINDINGS]

    def stored(self) -> dict[str, Any]:
        """All of it, for a message."""
        last = self._last
        return {
            "seconds": self._seconds,
            "cpu_percent": None if last is None else max(0.0, float(last.cpu_percent)),
            "lag_ms": None if last is None or last.loop_lag_ms_p99 is None else float(last.loop_lag_ms_p99),
            "bad": dict(self._bad),
            "findings": [[status, reason[:LENGTH]] for status, reason in self.findings()],
        }

    def _rules(self) -> Any:  # noqa: ANN401  as `rules` gives them
        is_kernel = self._reads > 0 and self._kernel_reads >= BY_KERNEL * self._reads
        return _BY_KERNEL if is_kernel else _STRICT


def _maybe(value: object) -> float | None:
    return None if value is None else amount(value)


def _finding(value: object) -> Finding:
    status, reason = value if isinstance(value, (list, tuple)) and len(value) == 2 else (None, None)
    if status not in ("suspect", "invalid") or not isinstance(reason, str):
        raise Malformed("not a finding")
    return str(status), clean(reason)[:LENGTH]
