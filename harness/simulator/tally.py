"""What the server's metrics pages count besides the batch's own totals: requests, and how they went.

Times are the model's own (`Sequence`), in s; a request counts when it has ended. Pages in Prometheus' text
format are put together here too.

Source: Prometheus text exposition format 0.0.4.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from harness.simulator.batching import Sequence

PAGE_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKENS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound, as Prometheus wants them."""

    bounds: tuple[float, ...]
    sum: float = 0.0
    count: int = 0
    _counts: dict[int, int] = field(default_factory=dict)  # by index into bounds; the last one is beyond all

    def add(self, value: float) -> None:
        """One observation."""
        at = bisect_left(self.bounds, value)
        self._counts[at] = self._counts.get(at, 0) + 1
        self.sum += value
        self.count += 1

    def buckets(self) -> Iterable[tuple[str, int]]:
        """Each bound, as its label, with how many are not above it."""
        below = 0
        for index, bound in enumerate(self.bounds):
            below += self._counts.get(index, 0)
            yield f"{bound:g}", below
        yield "+Inf", self.count


def _seconds() -> Histogram:
    return Histogram(SECONDS)


def _tokens() -> Histogram:
    return Histogram(TOKENS)


@dataclass(slots=True)
class Tally:
    """Requests since the start."""

    accepted: int = 0
    succeeded: int = 0
    stopped: int = 0  # of these, ended by the model itself
    refused: dict[str, int] = field(default_factory=dict)  # by the dialect's word for why
    queue_s: Histogram = field(default_factory=_seconds)
    prefill_s: Histogram = field(default_factory=_seconds)
    decode_s: Histogram = field(default_factory=_seconds)
    first_s: Histogram = field(default_factory=_seconds)  # arrival to first token
    inference_s: Histogram = field(default_factory=_seconds)  # prefill and decode
    total_s: Histogram = field(default_factory=_seconds)
    per_token_s: Histogram = field(default_factory=_seconds)  # inference by the tokens it gave
    per_later_token_s: Histogram = field(default_factory=_seconds)  # decode by the tokens after the first
    prompt_tokens: Histogram = field(default_factory=_tokens)
    output_tokens: Histogram = field(default_factory=_tokens)

    def ended(self, sequence: Sequence, finish: str) -> None:
        """A request is over, `finish` as the job has it; one that was given up leaves no times."""
        queue, prefill, decode = (
            _s(ms) for ms in (sequence.queue_ms, sequence.prefill_ms, sequence.decode_ms)
        )
        if sequence.cancelled or not sequence.done:
            return
        self.succeeded += 1
        self.stopped += finish == "stop"
        for histogram, value in (
            (self.queue_s, queue),
            (self.prefill_s, prefill),
            (self.decode_s, decode),
            (self.first_s, queue + prefill),
            (self.inference_s, prefill + decode),
            (self.total_s, queue + prefill + decode),
            (self.prompt_tokens, sequence.prompt_tokens),
            (self.output_tokens, sequence.produced),
        ):
            histogram.add(value)
        if sequence.produced:
            self.per_token_s.add((prefill + decode) / sequence.produced)
        if sequence.produced > 1:
            self.per_later_token_s.add(decode / (sequence.produced - 1))

    def turned_away(self, why: str) -> None:
        """A request got an error instead of an answer."""
        self.refused[why] = self.refused.get(why, 0) + 1


def _s(ms: float | None) -> float:
    return 0.0 if ms is None else ms / 1e3


Value: TypeAlias = float | Histogram | dict[str, int]
Metric: TypeAlias = tuple[str, str, str, Value]  # name, kind, help, value; a dict's keys are whole labels


def page(metrics: Iterable[Metric], labels: str = "") -> bytes:
    """A page of metrics; `labels`, such as `model_name="m"`, are on every sample."""
    lines = []
    for name, kind, text, value in metrics:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *_samples(name, value, labels)]
    return ("\n".join(lines) + "\n").encode()


def _samples(name: str, value: Value, labels: str) -> Iterable[str]:
    if isinstance(value, Histogram):
        for bound, count in value.buckets():
            yield f"{name}_bucket{_braces(labels, label('le', bound))} {count}"
        yield f"{name}_sum{_braces(labels)} {value.sum}"
        yield f"{name}_count{_braces(labels)} {value.count}"
    elif isinstance(value, dict):
        for own, count in value.items():
            yield f"{name}{_braces(labels, own)} {count}"
    else:
        yield f"{name}{_braces(labels)} {value}"


def label(name: str, value: str) -> str:
    """One label, as it stands between the braces."""
    safe = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{safe}"'


def _braces(*labels: str) -> str:
    given = ",".join(filter(None, labels))
    return f"{{{given}}}" if given else ""
