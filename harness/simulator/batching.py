"""Continuous batching as arithmetic: who is in a slot, what the next step does, how long it takes.

A step is the engine's unit of work. It decodes every sequence whose prompt is done (one token each) and,
in the same pass, reads up to `prefill_chunk` prompt tokens of the sequences that are still reading theirs,
first come first served:

    step = prefill tokens / prefill_tokens_per_s  +  (step_base_ms + step_per_seq_ms * n, if n > 0 decode)

or what a table says instead (`costs`). The step that reads a prompt's last token also yields that sequence's
first output token, as real engines do. Waiting requests are admitted, oldest first, when a step starts; the
queue has no limit here. So the system's token rate rises with the number of sequences (they share
`step_base_ms`) while each one's falls, up to `slots`; beyond that the time to the first token grows instead.

A sequence can be held: it keeps its slot and gets nothing until its time has come, while others go on.

All times are integers in ns that the caller hands in: no clock, no socket, no sleep here.
"""

from collections import deque
from dataclasses import dataclass, field

from harness.simulator.costs import CostModel

__all__ = ["Batch", "CostModel", "Sequence", "Step", "Totals"]

IDLE_NS = 1_000_000  # how late a sequence may go on after it was held, if nothing else runs


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """One request's way through the engine. An accumulator, changed only by `Batch`.

    `output_tokens` is how many it will produce, known beforehand; 0 means: read the prompt only.
    """

    prompt_tokens: int
    output_tokens: int
    submitted_ns: int
    slot: int | None = None  # stays set after the end: replies name it
    admitted_ns: int | None = None
    first_ns: int | None = None  # end of the step that finished the prompt and gave the first token
    last_ns: int | None = None
    prefilled: int = 0
    produced: int = 0
    cancelled: bool = False
    held_until_ns: int = 0  # no step that starts earlier works on it

    @property
    def prompt_done(self) -> bool:
        """Whether the whole prompt has been read, so that the next step decodes."""
        return self.prefilled >= self.prompt_tokens

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.prompt_done and self.produced >= self.output_tokens

    @property
    def queue_ms(self) -> float | None:
        """Wait for a slot; None if it never got one."""
        return _ms(self.submitted_ns, self.admitted_ns)

    @property
    def prefill_ms(self) -> float | None:
        """Slot to first token; None if the prompt was never finished."""
        return _ms(self.admitted_ns, self.first_ns)

    @property
    def decode_ms(self) -> float | None:
        """First token to last."""
        return _ms(self.first_ns, self.last_ns)


@dataclass(frozen=True, slots=True)
class Step:
    """One planned step: `prefill` pairs a sequence with the prompt tokens it reads now."""

    start_ns: int
    end_ns: int
    prefill: tuple[tuple[Sequence, int], ...]
    decode: tuple[Sequence, ...]


@dataclass(slots=True)
class Totals:
    """Counters since the start, as a server's metrics page shows them.

    Prompts count once finished, output once its sequence has left its slot.
    """

    prompt_tokens: int = 0
    prompt_ns: int = 0
    output_tokens: int = 0
    output_ns: int = 0
    steps: int = 0
    sequence_steps: int = 0  # sum over steps of the sequences in them
    longest: int = 0  # most tokens (prompt and output) that one sequence held


@dataclass(slots=True)
class Batch:
    """The slots and the queue. Call `start`, wait until the step's `end_ns`, call `finish`, repeat."""

    cost: CostModel
    waiting: deque[Sequence] = field(default_factory=deque)  # ascending `submitted_ns`
    running: list[Sequence] = field(default_factory=list)  # in order of admission
    totals: Totals = field(default_factory=Totals)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises ValueError for an empty prompt: there would be nothing to step through."""
        if sequence.prompt_tokens < 1 or sequence.output_tokens < 0:
            raise ValueError(f"needs >= 1 prompt and >= 0 output tokens, not {sequence}")
        self.waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is; its slot is free for the next step. Idempotent."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        elif sequence in self.running:
            self._release(sequence)
        sequence.cancelled = True

    def start(self, at_ns: int) -> Step | None:
        """Admit who has arrived by `at_ns` and plan the step that starts then; None if there is no work."""
        self._admit(at_ns)
        if not self.running:
            return None
        free = [s for s in self.running if s.held_until_ns <= at_ns]
        if not free:  # short, so that a request that comes meanwhile need not wait for those that are held
            until_ns = min(s.held_until_ns for s in self.running)
            return Step(at_ns, min(until_ns, at_ns + IDLE_NS), (), ())
        decode = tuple(s for s in free if s.prompt_done)
        prefill, budget = [], self.cost.prefill_chunk
        for sequence in free:
            share = min(budget, sequence.prompt_tokens - sequence.prefilled)
            if share > 0:
                prefill.append((sequence, share))
                budget -= share
        read = self.cost.prefill_chunk - budget
        cost_ns = self.cost.step_ns(
            prefill_tokens=read, decoding=len(decode), running=len(free), number=self.totals.steps
        )
        return Step(at_ns, at_ns + cost_ns, tuple(prefill), decode)

    def finish(self, step: Step) -> tuple[Sequence, ...]:
        """Apply a step. Returns the sequences that gained a token or ended, oldest admission first."""
        for sequence, share in step.prefill:
            sequence.prefilled += share
        if not (step.prefill or step.decode):
            return ()
        self.totals.steps += 1
        self.totals.sequence_steps += len(self.running)
        touched = {*step.decode, *(s for s, _ in step.prefill if s.prompt_done)}
        moved = tuple(s for s in self.running if s in touched)
        for sequence in moved:
            self._advance(sequence, step.end_ns)
        return moved

    def _admit(self, at_ns: int) -> None:
        # Causality: a step whose start lies a little in the past cannot hold a request that came after it.
        while len(self.running) < self.cost.slots and self.waiting and self.waiting[0].submitted_ns <= at_ns:
            sequence = self.waiting.popleft()
            taken = {s.slot for s in self.running}
            sequence.slot = next(i for i in range(self.cost.slots) if i not in taken)
            sequence.admitted_ns = at_ns
            self.running.append(sequence)

    def _advance(self, sequence: Sequence, at_ns: int) -> None:
        if sequence.first_ns is None:
            sequence.first_ns = at_ns
            self.totals.prompt_tokens += sequence.prompt_tokens
            if sequence.admitted_ns is not None:
                self.totals.prompt_ns += at_ns - sequence.admitted_ns
        sequence.last_ns = at_ns
        sequence.produced += sequence.output_tokens > 0
        if sequence.done:
            self._release(sequence)

    def _release(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.totals.output_tokens += sequence.produced
        if sequence.first_ns is not None and sequence.last_ns is not None:
            self.totals.output_ns += sequence.last_ns - sequence.first_ns
        self.totals.longest = max(self.totals.longest, sequence.prefilled + sequence.produced)


def _ms(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / 1e6
