"""Figures of one request at their edges: no time, almost none, and stamps of which one is missing."""

from dataclasses import replace

import pytest

from harness.record import Outcome, Phase, RequestRecord

# Sent at 1 ms, its first content at 3 ms, its last at 11 ms: four tokens come after the first.
ONE = RequestRecord(
    request_id="1", name="x", worker="w", level=1, repeat=1, phase=Phase.MEASURE, outcome=Outcome.OK,
    scheduled_ns=500_000, sent_ns=1_000_000, first_content_ns=3_000_000, last_content_ns=11_000_000, end_ns=12_000_000,
    first_chunk_tokens=1, prompt_tokens=15, output_tokens=5, chunks=5,
)  # fmt: skip


def test_a_request_by_hand() -> None:
    """10 ms in all, 8 ms of them after the first token."""
    assert (ONE.ttft_ms, ONE.e2e_ms, ONE.tpot_ms) == (2.0, 10.0, 2.0)
    assert (ONE.output_tokens_per_s, ONE.total_tokens_per_s) == (500.0, 2000.0)
    assert (ONE.ttft_scheduled_ms, ONE.e2e_scheduled_ms) == (2.5, 10.5)


def test_a_request_of_which_nothing_is_known_had_no_events_and_no_new_connections() -> None:
    """None, where one of them would be a measurement."""
    one = RequestRecord(
        request_id="1", name="x", worker="w", level=1, repeat=1, phase=Phase.WARMUP, outcome=Outcome.FAILED,
        scheduled_ns=1, end_ns=2,
    )  # fmt: skip
    assert (one.chunks, one.reconnects, one.chunk_gaps_us, one.streamed) == (0, 0, (), True)
    assert one.e2e_ms is None


@pytest.mark.parametrize(("took_ns", "expected"), [(0, None), (-1, None), (1, 20e9), (1_000_000, 20_000.0)])
def test_tokens_over_no_time_are_no_rate(took_ns: int, expected: float | None) -> None:
    """Not from 0 ns, and from 1 ns on."""
    one = replace(ONE, last_content_ns=1_000_000 + took_ns)
    assert one.total_tokens_per_s == (expected and pytest.approx(expected))


@pytest.mark.parametrize("missing", ["first_content_ns", "last_content_ns", "output_tokens"])
def test_without_a_stamp_or_a_count_there_is_no_decode(missing: str) -> None:
    """Whichever is missing."""
    one = replace(ONE, **{missing: None})
    assert one.tpot_ms is None
    assert one.output_tokens_per_s is None


@pytest.mark.parametrize(
    ("tokens", "first", "tpot_ms"), [(5, 4, 8.0), (5, 5, None), (5, 6, None), (2, None, 8.0)]
)
def test_tokens_after_the_first_event(tokens: int, first: int | None, tpot_ms: float | None) -> None:
    """One suffices; a first event that nobody counted had one."""
    assert replace(ONE, output_tokens=tokens, first_chunk_tokens=first).tpot_ms == tpot_ms
    assert replace(ONE, last_content_ns=3_000_000).tpot_ms is None
