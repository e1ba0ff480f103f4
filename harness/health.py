"""How this client itself was doing while load ran: could it be trusted to see what happened?

Once every `PERIOD_S` a greenlet asks for a wake-up and notes by how much it came late. That lag is how
long anything that came in may have waited before it was stamped. CPU is this process's time over the
run's. The figures decide nothing about the server; they say whether ours may be believed.
"""

import resource
from typing import Any

import gevent
import numpy as np

from harness.clock import now_ns

PERIOD_S = 0.02
# A read that waits shows up in a gap between two tokens, and these are some 10 to 50 ms long. Half of a
# short one is worth a warning; several of them mean that the client was the bottleneck.
SUSPECT_LAG_MS = 10.0
INVALID_LAG_MS = 100.0
FEW = 3  # so many late wake-ups at least


class Health:
    """Watches from `start` to `stop`."""

    def __init__(self) -> None:
        self._lags_us: list[int] = []
        self._greenlet: gevent.Greenlet | None = None
        self._begin_ns = 0
        self._begin_cpu_s = 0.0
        self._elapsed_s = 0.0
        self._cpu_s = 0.0

    def start(self) -> None:
        """Load begins."""
        self._begin_ns, self._begin_cpu_s = now_ns(), _cpu_s()
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Load is over."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self._elapsed_s = (now_ns() - self._begin_ns) / 1e9
            self._cpu_s = _cpu_s() - self._begin_cpu_s

    def stored(self) -> dict[str, Any]:
        """The figures for the summary: `loop_lag_ms` {p50, p99, max, n} and `cpu_percent` of one core."""
        lags = np.asarray(self._lags_us) / 1e3
        seen = len(lags) > 0
        return {
            "loop_lag_ms": {
                "p50": float(np.percentile(lags, 50)) if seen else None,
                "p99": float(np.percentile(lags, 99)) if seen else None,
                "max": float(lags.max()) if seen else None,
                "n": len(lags),
            },
            "cpu_percent": 100 * self._cpu_s / self._elapsed_s if self._elapsed_s > 0 else None,
            "stamp_source": "read",
        }

    def findings(self) -> list[tuple[str, str]]:
        """(status, reason) for the verdict; none if the client was well."""
        p99 = self.stored()["loop_lag_ms"]["p99"]
        if p99 is None:
            return []
        # In a run of a second p99 is the worst of fifty: one hiccup is not yet a client too busy to trust.
        worst = sorted(self._lags_us)[-FEW:][0] / 1e3
        lag = min(p99, worst)
        if lag < SUSPECT_LAG_MS:
            return []
        status = "invalid" if lag >= INVALID_LAG_MS else "suspect"
        return [
            (
                status,
                (
                    f"the client's event loop was late by {lag:.0f} ms at p99 (limit {SUSPECT_LAG_MS:.0f} ms): "
                    "this machine is too busy for its stamps to be trusted; give the client a core of its own"
                ),
            )
        ]

    def _watch(self) -> None:
        while True:
            due = now_ns() + int(PERIOD_S * 1e9)
            gevent.sleep(PERIOD_S)
            self._lags_us.append(max(0, now_ns() - due) // 1000)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
