"""The simulator's arithmetic, against numbers worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.simulator.batching import Batch, CostModel, Sequence

MS = 1_000_000
# 1 ms a prompt token; a decode step of n sequences takes 10 + 2 n ms.
COST = CostModel(slots=2, prefill_tokens_per_s=1000, prefill_chunk=8, step_base_ms=10, step_per_seq_ms=2)


def _sequence(prompt: int, output: int, at_ms: int = 0) -> Sequence:
    return Sequence(prompt_tokens=prompt, output_tokens=output, submitted_ns=at_ms * MS)


def _run(batch: Batch, at_ns: int = 0) -> list[int]:
    """Step until nothing is left; the end of each step, in ms."""
    ends = []
    while (step := batch.start(at_ns)) is not None:
        batch.finish(step)
        at_ns = step.end_ns
        ends.append(at_ns / MS)
    return ends


@pytest.mark.parametrize(
    ("prefill", "decoding", "ms"),
    [(5, 0, 5.0), (0, 1, 12.0), (0, 2, 14.0), (3, 2, 17.0), (0, 0, 0.0)],
)
def test_step_cost(prefill: int, decoding: int, ms: float):
    """A step costs its prompt tokens plus, if anything decodes, the base and a share for each sequence."""
    assert COST.step_ns(prefill_tokens=prefill, decoding=decoding) == ms * MS


def test_one_sequence_alone():
    """5 prompt tokens take 5 ms and give the first token; two more take 12 ms each."""
    batch, one = Batch(COST), _sequence(5, 3)
    batch.submit(one)
    assert _run(batch) == [5, 17, 29]
    assert (one.queue_ms, one.prefill_ms, one.decode_ms, one.produced) == (0.0, 5.0, 24.0, 3)


def test_prefill_shares_its_step_with_decodes():
    """While one decodes, the other's 20-token prompt is read in chunks of 8, 8 and 4 on top of each step."""
    batch, first, second = Batch(COST), _sequence(1, 5), _sequence(20, 2)
    batch.submit(first)
    batch.submit(second)
    # Step 1 reads 1 + 7; steps 2 and 3 read 8 and 5 beside one decode; then 14 ms for both; then one alone.
    assert _run(batch) == [8, 28, 45, 59, 71]
    assert (first.first_ns, first.last_ns) == (8 * MS, 71 * MS)
    assert (second.first_ns, second.last_ns) == (45 * MS, 59 * MS)
    assert second.prefill_ms == 45.0


def test_third_request_waits_for_a_slot():
    """With two slots the third request enters the lower freed slot at the step after a sequence ends."""
    batch = Batch(COST)
    short, long, late = _sequence(2, 2), _sequence(2, 4), _sequence(2, 1)
    for sequence in (short, long, late):
        batch.submit(sequence)
    # 4 ms prefill of both; 14 ms for both (short ends); 12 + 2 for long and late's prompt; 12 for long.
    assert _run(batch) == [4, 18, 32, 44]
    assert (late.queue_ms, late.prefill_ms, late.decode_ms, late.slot) == (18.0, 14.0, 0.0, 0)
    assert (short.slot, long.slot) == (0, 1)


def test_queue_is_first_in_first_out():
    """Admission follows arrival whatever the sizes."""
    batch = Batch(COST)
    sequences = [_sequence(size, 1) for size in (9, 1, 8, 2, 7)]
    for sequence in sequences:
        batch.submit(sequence)
    _run(batch)
    admitted = [s.admitted_ns for s in sequences]
    assert admitted == sorted(admitted)


def test_no_request_joins_a_step_that_began_before_it_came():
    """A step starting at 3 ms admits only what had arrived by then."""
    batch, later = Batch(COST), _sequence(1, 1, at_ms=4)
    batch.submit(later)
    assert batch.start(3 * MS) is None
    step = batch.start(4 * MS)
    assert step is not None
    assert step.prefill == ((later, 1),)


def test_prompt_only_request_ends_without_a_token():
    """Zero output tokens: the prompt is read, nothing is produced, the slot is free."""
    batch, one = Batch(COST), _sequence(4, 0)
    batch.submit(one)
    step = batch.start(0)
    assert step is not None
    assert batch.finish(step) == (one,)
    assert (one.done, one.produced, one.prefill_ms, batch.running) == (True, 0, 4.0, [])


def test_cancel_in_mid_step_frees_the_slot():
    """A sequence cancelled during a step gains nothing from it, and the next one takes its slot."""
    batch, gone, waiting = Batch(CostModel(slots=1)), _sequence(1, 9), _sequence(1, 1)
    batch.submit(gone)
    batch.submit(waiting)
    step = batch.start(0)
    assert step is not None
    batch.cancel(gone)
    batch.cancel(gone)
    assert batch.finish(step) == ()
    batch.start(step.end_ns)
    assert (gone.produced, batch.running, waiting.slot) == (0, [waiting], 0)


def test_a_held_sequence_keeps_its_slot_and_gets_nothing():
    """Held from 24 to 50 ms: the other decodes alone meanwhile, at the cost of one; then both go on together."""
    batch, held, other = Batch(COST), _sequence(2, 4), _sequence(2, 6)
    batch.submit(held)
    batch.submit(other)
    at_ns, ends = 0, []
    while (step := batch.start(at_ns)) is not None:
        batch.finish(step)
        at_ns = step.end_ns
        ends.append(at_ns / MS)
        if at_ns == 18 * MS:
            held.held_until_ns = 40 * MS
    # 4 ms for both prompts, 14 for both; 12 and 12 for the other alone, until 42; 14 and 14; 12 for the other.
    assert ends == [4, 18, 30, 42, 56, 70]
    assert (held.last_ns, other.last_ns, held.slot, other.slot) == (70 * MS, 70 * MS, 0, 1)
    assert (held.produced, other.produced) == (4, 6)


def test_a_sequence_held_alone_goes_on_when_its_time_has_come():
    """With nothing else to do the engine idles in short steps, which count for nothing, so that it can admit."""
    batch, held, late = Batch(COST), _sequence(2, 2), _sequence(2, 1, at_ms=6)
    held.held_until_ns = 9_500_000
    batch.submit(held)
    batch.submit(late)
    ends = _run(batch)
    # 1 ms idle steps until `late` is there at 6 ms; its prompt takes 2; then idle again, the last one cut short.
    assert ends == [1, 2, 3, 4, 5, 6, 8, 9, 9.5, 11.5, 23.5]
    assert (late.last_ns, held.first_ns, batch.totals.steps) == (8 * MS, 11_500_000, 3)


def test_cancel_in_the_queue():
    """A waiting request that is cancelled never gets a slot."""
    batch, gone = Batch(COST), _sequence(1, 1)
    batch.submit(gone)
    batch.cancel(gone)
    assert batch.start(0) is None
    assert gone.queue_ms is None


def test_totals():
    """The counters hold finished prompts, finished outputs and the time each took."""
    batch = Batch(COST)
    batch.submit(_sequence(5, 3))
    _run(batch)
    total = batch.totals
    assert (total.prompt_tokens, total.prompt_ns) == (5, 5 * MS)
    assert (total.output_tokens, total.output_ns) == (3, 24 * MS)
    assert (total.steps, total.sequence_steps, total.longest) == (3, 3, 8)


def test_empty_prompt_is_refused():
    """There is no step that could finish an empty prompt."""
    with pytest.raises(ValueError, match=">= 1 prompt"):
        Batch(COST).submit(_sequence(0, 1))


def _closed_loop(users: int, rounds: int = 6) -> tuple[float, float, float]:
    """System tokens/s, one stream's tokens/s and mean TTFT in ms, with the default costs."""
    batch, at_ns, left, done = Batch(CostModel()), 0, rounds * users, []
    for _ in range(users):
        batch.submit(_sequence(550, 150))
    while (step := batch.start(at_ns)) is not None:
        at_ns = step.end_ns
        for sequence in batch.finish(step):
            if sequence.done:
                done.append(sequence)
                left -= 1
                if left >= users:
                    batch.submit(Sequence(prompt_tokens=550, output_tokens=150, submitted_ns=at_ns))
    rate = 149 * 1e3 * len(done) / sum(s.decode_ms or 0 for s in done)
    ttft = sum((s.queue_ms or 0) + (s.prefill_ms or 0) for s in done) / len(done)
    return 150e9 * len(done) / at_ns, rate, ttft


def test_defaults_show_the_trade():
    """Up to the slots the system gains and each stream loses; beyond them only the wait grows."""
    system, stream, ttft = zip(*(_closed_loop(users) for users in (1, 2, 4, 8, 16)), strict=True)
    assert system[0] < system[1] < system[2]
    assert system[2] > 2 * system[0]
    assert stream[0] > stream[1] > stream[2]
    assert system[3] == pytest.approx(system[2], rel=0.1)
    assert system[4] == pytest.approx(system[2], rel=0.1)
    assert ttft[4] > 2 * ttft[3] > 4 * ttft[2]


@settings(max_examples=60, deadline=None)
@given(
    requests=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 12)), min_size=1, max_size=20),
    slots=st.integers(1, 5),
    chunk=st.integers(1, 16),
)
def test_every_request_is_served_in_full(requests: list[tuple[int, int]], slots: int, chunk: int):
    """No token is lost or invented, and neither the slots nor the chunk is ever exceeded."""
    batch = Batch(CostModel(slots=slots, prefill_chunk=chunk))
    sequences = [_sequence(prompt, output) for prompt, output in requests]
    for sequence in sequences:
        batch.submit(sequence)
    at_ns = 0
    while (step := batch.start(at_ns)) is not None:
        assert len({s.slot for s in batch.running}) == len(batch.running) <= slots
        assert sum(share for _, share in step.prefill) <= chunk
        at_ns = step.end_ns
        batch.finish(step)
    assert [s.produced for s in sequences] == [output for _, output in requests]
    assert batch.totals.prompt_tokens == sum(prompt for prompt, _ in requests)
    assert batch.totals.output_tokens == sum(output for _, output in requests)
