"""What a step of the engine costs, in ms: by two numbers, or by a table of what was measured.

By two numbers, a decode step of n sequences takes `step_base_ms` + n x `step_per_seq_ms`, and prompts are
read at one speed. A `CostTable` stands in for all three where a real server is to be imitated: real engines
are not that straight. Pure arithmetic; the time is kept elsewhere.
"""

from bisect import bisect_left
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class CostPoint:
    """What was found with `batch` sequences in their slots."""

    batch: int
    prefill_tokens_per_s: float  # of all prompts together
    step_ms: float  # one decode step, a token for each of them


@dataclass(frozen=True, slots=True)
class CostTable:
    """Points with ascending `batch`, at least one; straight lines between them.

    Below the first point that one holds. Beyond the last the speed of prompts stays, and the decode step
    grows on as between the last two.
    """

    points: tuple[CostPoint, ...]

    def prefill_tokens_per_s(self, batch: int) -> float:
        """Speed of reading prompts with so many sequences in slots."""
        low, high, share = self._between(batch)
        return _line(low.prefill_tokens_per_s, high.prefill_tokens_per_s, min(share, 1.0))

    def step_ms(self, decoding: int) -> float:
        """Duration of a decode step of so many sequences."""
        low, high, share = self._between(decoding)
        return _line(low.step_ms, high.step_ms, share)

    def _between(self, batch: int) -> tuple[CostPoint, CostPoint, float]:
        """The two points around `batch` and how far it is from the first to the second; beyond 1 past the last."""
        points = self.points
        at = bisect_left([point.batch for point in points], batch)
        if at == 0 or len(points) == 1:
            return points[0], points[0], 0.0
        low, high = points[min(at, len(points) - 1) - 1], points[min(at, len(points) - 1)]
        return low, high, (batch - low.batch) / (high.batch - low.batch)


def _line(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """What a step costs. The defaults resemble a small model on one modest accelerator.

    An idle engine waits `gather_ms` before its first step, so that requests sent at once begin together.
    `jitter_percent` is the standard deviation of a step's duration (normal, cut at three of them), redrawn
    every `jitter_steps` steps: with 1 it evens out within one answer, with hundreds whole answers are faster
    or slower than others.
    """

    slots: int = 4
    prefill_tokens_per_s: float = 4000.0
    prefill_chunk: int = 512
    step_base_ms: float = 10.0
    step_per_seq_ms: float = 1.5
    gather_ms: float = 0.0
    table: CostTable | None = None  # stands in for the three rates above
    jitter_percent: float = 0.0
    jitter_steps: int = 1
    jitter_seed: int = 0

    def step_ns(self, *, prefill_tokens: int, decoding: int, running: int = 1, number: int = 0) -> int:
        """Duration of one step in ns: the `number`-th since the start, with `running` sequences in slots."""
        prefill_ns = prefill_tokens * 1e9 / self._prefill_rate(running) if prefill_tokens else 0.0
        decode_ns = self._step_ms(decoding) * 1e6 if decoding else 0.0
        return round((prefill_ns + decode_ns) * self._factor(number))

    def _prefill_rate(self, running: int) -> float:
        return self.prefill_tokens_per_s if self.table is None else self.table.prefill_tokens_per_s(running)

    def _step_ms(self, decoding: int) -> float:
        if self.table is None:
            return self.step_base_ms + self.step_per_seq_ms * decoding
        return self.table.step_ms(decoding)

    def _factor(self, number: int) -> float:
        if not self.jitter_percent:
            return 1.0
        drawn = Random(f"jitter {self.jitter_seed} {number // self.jitter_steps}").gauss(0.0, 1.0)
        return max(0.0, 1.0 + self.jitter_percent / 100 * max(-3.0, min(3.0, drawn)))
