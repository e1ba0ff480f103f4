"""Figures of one request, worked out by hand from the formulas in `harness.record`."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ErrorClass
from harness.record import FIGURES, STAMPS, Outcome, Phase, RequestRecord, TokenSource

MS = 1_000_000
NOTHING = dict.fromkeys(FIGURES)


def record(**values: Any) -> RequestRecord:
    """A record with what every record has, and `values`."""
    common: dict[str, Any] = {
        "request_id": "r1",
        "name": "/chat",
        "worker": "w0",
        "level": 4,
        "repeat": 1,
        "phase": Phase.MEASURE,
        "outcome": Outcome.OK,
        "scheduled_ns": 1_000 * MS,
        "end_ns": 1_700 * MS,
    }
    return RequestRecord(**(common | values))


def figures(of: RequestRecord) -> dict[str, float | None]:
    """The derived figures by name."""
    return {name: getattr(of, name) for name in FIGURES}


# Sent at 1010 ms, five events from 1110 to 1510 ms, the first one reasoning, the answer from 1210 ms.
STREAM = {
    "sent_ns": 1_010 * MS,
    "first_content_ns": 1_110 * MS,
    "first_answer_ns": 1_210 * MS,
    "last_content_ns": 1_510 * MS,
    "chunks": 5,
    "prompt_tokens": 91,
    "output_tokens": 9,
}


def test_a_stream_by_hand() -> None:
    """From sent, never from scheduled, but for the two that say so; to the last content, never to the end."""
    assert figures(record(**STREAM)) == {
        "ttft_ms": 100,
        "ttfa_ms": 200,
        "tpot_ms": 50,  # 400 ms for the 8 tokens after the first
        "e2e_ms": 500,
        "output_tokens_per_s": 20,
        "total_tokens_per_s": 200,  # 91 + 9 tokens in half a second
        "ttft_scheduled_ms": 110,  # it was due 10 ms before it was sent
        "e2e_scheduled_ms": 510,
    }


def test_tokens_of_the_first_event_are_not_decoded_after_it() -> None:
    """k1 = 5: 4 tokens in the 400 ms after the first event."""
    made = record(**STREAM, first_chunk_tokens=5)
    assert made.tpot_ms == 100
    assert made.output_tokens_per_s == 10
    assert made.total_tokens_per_s == 200


@pytest.mark.parametrize(
    "change",
    [
        {"output_tokens": 1},
        {"output_tokens": 0},
        {"first_chunk_tokens": 9},
        {"first_chunk_tokens": 12},  # a server that counts oddly makes no negative rate
        {"output_tokens": None},
        {"last_content_ns": 1_110 * MS},  # all events in one read
    ],
    ids=["one token", "none", "all in the first event", "more than all", "not counted", "one read"],
)
def test_no_decode_rate_where_nothing_was_decoded_in_time(change: dict[str, Any]) -> None:
    """TPOT and the stream's rate are not measured; TTFT is."""
    made = record(**(STREAM | change))
    assert (made.tpot_ms, made.output_tokens_per_s) == (None, None)
    assert made.ttft_ms == 100


def test_one_token_has_an_end_to_end_time_and_a_total_rate() -> None:
    """One event: E2E is TTFT, and the prompt counts in the total rate."""
    made = record(**(STREAM | {"output_tokens": 1, "last_content_ns": 1_110 * MS}))
    assert figures(made) == NOTHING | {
        "ttft_ms": 100,
        "ttfa_ms": 200,
        "e2e_ms": 100,
        "total_tokens_per_s": 920,
        "ttft_scheduled_ms": 110,
        "e2e_scheduled_ms": 110,
    }


def test_reasoning_only_has_no_time_to_first_answer() -> None:
    """A stream that was cut while the model was thinking."""
    made = record(**(STREAM | {"first_answer_ns": None}))
    assert (made.ttft_ms, made.ttfa_ms) == (100, None)


def test_what_was_not_streamed_has_no_first_token() -> None:
    """One event, complete with its last byte: E2E and the total rate are there, the stream's figures are not."""
    whole = STREAM | {
        "streamed": False,
        "first_content_ns": 1_510 * MS,
        "first_answer_ns": 1_510 * MS,
        "chunks": 1,
    }
    assert figures(record(**whole)) == NOTHING | {
        "e2e_ms": 500,
        "total_tokens_per_s": 200,
        "e2e_scheduled_ms": 510,
    }


@pytest.mark.parametrize("missing", ["prompt_tokens", "output_tokens"])
def test_the_total_rate_needs_both_counts(missing: str) -> None:
    """A missing count is not zero tokens."""
    assert record(**(STREAM | {missing: None})).total_tokens_per_s is None


def test_zero_counts_are_counts() -> None:
    """A server that says 0 prompt tokens has said something."""
    assert record(**(STREAM | {"prompt_tokens": 0})).total_tokens_per_s == 18


def test_failed_before_anything() -> None:
    """No connection: every figure is not measured, none is 0."""
    made = record(outcome=Outcome.FAILED, error_class=ErrorClass.CONNECT, error_message="refused")
    assert figures(made) == NOTHING


def test_failed_after_sending() -> None:
    """A first-token timeout has a sent time and nothing else."""
    made = record(outcome=Outcome.FAILED, error_class=ErrorClass.FIRST_TOKEN_TIMEOUT, sent_ns=1_010 * MS)
    assert figures(made) == NOTHING


def test_cut_in_mid_stream_keeps_what_was_measured() -> None:
    """What came before a break was measured, but what was not counted gives no rate."""
    cut = {"outcome": Outcome.FAILED, "error_class": ErrorClass.TRUNCATED, "output_tokens": None}
    made = record(**(STREAM | cut))
    assert figures(made) == NOTHING | {
        "ttft_ms": 100,
        "ttfa_ms": 200,
        "e2e_ms": 500,
        "ttft_scheduled_ms": 110,
        "e2e_scheduled_ms": 510,
    }


def test_the_row_is_the_record_in_unix_time_with_its_figures() -> None:
    """Stamps are shifted, missing ones stay missing, the text is not stored, nothing else is changed."""
    made = record(
        **(STREAM | {"first_answer_ns": None}),
        chunk_gaps_us=(100_000.0,) * 4,
        token_source=TokenSource.SERVER,
        text="secret words",
    )
    anchor = 1_700_000_000_000_000_123
    row = made.row(anchor)
    stored = {field.name for field in dataclasses.fields(RequestRecord)} - {"text"}
    assert set(row) == stored | {*FIGURES, "clock_offset_ns"}
    assert {name: row[name] for name in STAMPS} == {
        "scheduled_ns": anchor + 1_000 * MS,
        "sent_ns": anchor + 1_010 * MS,
        "first_content_ns": anchor + 1_110 * MS,
        "first_answer_ns": None,
        "last_content_ns": anchor + 1_510 * MS,
        "end_ns": anchor + 1_700 * MS,
    }
    assert {name: row[name] for name in FIGURES} == figures(made)
    others = set(row) - set(STAMPS) - set(FIGURES) - {"clock_offset_ns"}
    assert {name: row[name] for name in others} == {name: getattr(made, name) for name in others}
    assert row["chunk_gaps_us"] == (100_000.0,) * 4
    assert (row["outcome"], row["phase"], row["token_source"]) == ("ok", "measure", "server")
    assert row["clock_offset_ns"] == 0


@pytest.mark.parametrize("offset", [0, 7, -3 * 10**9])
def test_a_row_of_another_clock_keeps_what_was_taken_off(offset: int) -> None:
    """A stamp and `clock_offset_ns` together are the sender's own time; the figures do not change."""
    made = record(**STREAM)
    plain, moved = made.row(10**18), made.row(10**18, offset)
    assert moved["clock_offset_ns"] == offset
    for name in STAMPS:
        assert moved[name] + offset == plain[name]
    assert {name: moved[name] for name in FIGURES} == {name: plain[name] for name in FIGURES}


optional_stamps = st.none() | st.integers(0, 10**15)
counts = st.none() | st.integers(0, 10**6)


@given(
    stamps=st.tuples(optional_stamps, optional_stamps, optional_stamps, optional_stamps),
    tokens=st.tuples(counts, counts, counts),
    streamed=st.booleans(),
    anchor=st.integers(0, 2 * 10**18),
)
def test_no_figure_raises_and_none_is_a_rate_of_zero(
    stamps: tuple[int | None, ...], tokens: tuple[int | None, ...], streamed: bool, anchor: int
) -> None:
    """Whatever is missing or out of order: TPOT and the rate come together, are positive, and agree."""
    sent, first, answer, last = stamps
    made = record(
        sent_ns=sent,
        first_content_ns=first,
        first_answer_ns=answer,
        last_content_ns=last,
        prompt_tokens=tokens[0],
        output_tokens=tokens[1],
        first_chunk_tokens=tokens[2],
        streamed=streamed,
    )
    row = made.row(anchor)
    assert (made.tpot_ms is None) == (made.output_tokens_per_s is None)
    if made.tpot_ms is not None and made.output_tokens_per_s is not None:
        assert made.tpot_ms > 0
        assert made.tpot_ms * made.output_tokens_per_s == pytest.approx(1_000)
    for name, stamp in zip(
        ("sent_ns", "first_content_ns", "first_answer_ns", "last_content_ns"), stamps, strict=True
    ):
        assert row[name] == (None if stamp is None else stamp + anchor)


@given(
    gaps=st.lists(st.integers(1, 10**9), min_size=1, max_size=30),
    wait=st.integers(0, 10**10),
    shift=st.integers(0, 10**15),
)
def test_figures_are_differences(gaps: list[int], wait: int, shift: int) -> None:
    """One token an event: TPOT is the mean gap, E2E is TTFT and all gaps, whenever the request was sent."""
    first = shift + wait
    made = record(
        sent_ns=shift,
        first_content_ns=first,
        last_content_ns=first + sum(gaps),
        output_tokens=len(gaps) + 1,
        chunks=len(gaps) + 1,
    )
    assert made.ttft_ms == wait / 1e6
    assert made.tpot_ms == pytest.approx(sum(gaps) / len(gaps) / 1e6)
    assert made.e2e_ms == pytest.approx((wait + sum(gaps)) / 1e6)
