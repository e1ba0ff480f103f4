"""The summary at its edges, exactly: who counts as offered, whose windows and chunks count, and over which time."""

from typing import Any

import pytest
from synthetic_run import record
from test_metrics import at, streamed, table

from harness.journal import Window
from harness.metrics import levels, summarise
from harness.record import Outcome, Phase, RequestRecord, TokenSource

SECOND = [Window(1, 1, at(0), at(1000))]


def one_level(*records: RequestRecord, windows: list[Window] = SECOND) -> dict[str, Any]:
    """The only level of these requests."""
    (level,) = levels(table(*records), windows, (), None)
    return level


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [(Outcome.OK, (2, 0, 0)), (Outcome.FAILED, (0, 2, 0)), (Outcome.CANCELLED, (0, 0, 2))],
)
def test_an_outcome_that_nobody_had_is_none(outcome: Outcome, counts: tuple[int, int, int]) -> None:
    """Two requests of one outcome, in the totals of the run."""
    requests = table(*(record(name, sent_ns=at(1), end_ns=at(9), outcome=outcome) for name in "ab"))
    totals = summarise(requests, SECOND, run_id="x")["totals"]
    assert (totals["succeeded"], totals["failed"], totals["cancelled"]) == counts


@pytest.mark.parametrize(
    ("planned", "unsent", "offered", "missing"),
    [
        (7, None, 8, 5),
        (None, None, 3, 0),
        (None, {"1": 4}, 7, 4),
        (0, None, 3, 0),
        (1, None, 3, 0),
        (1, {"1": 1}, 4, 1),
    ],
)
def test_offered_are_the_planned_and_the_probes_or_what_there_was(
    planned: int | None, unsent: dict[str, int] | None, offered: int, missing: int
) -> None:
    """Of two requests and a probe: the load model never planned the probe."""
    requests = table(
        record("a", sent_ns=at(1), end_ns=at(9)),
        record("b", sent_ns=at(1), end_ns=at(9)),
        record("p", sent_ns=at(1), end_ns=at(9), phase=Phase.PROBE),
    )
    totals = summarise(requests, SECOND, run_id="x", planned=planned, unsent=unsent)["totals"]
    assert (totals["offered"], totals["unsent"], totals["probes"]) == (offered, missing, 1)


def test_a_run_of_probes_alone_offered_them() -> None:
    """And nothing more."""
    probe = table(record("p", sent_ns=at(1), end_ns=at(9), phase=Phase.PROBE))
    assert summarise(probe, [], run_id="x")["totals"]["offered"] == 1


def test_no_answer_is_too_short_where_none_was_to_be() -> None:
    """Not even one of no tokens."""
    level = one_level(streamed("a", 10, [20, 30], 0), streamed("b", 10, [20, 30], 1))
    assert (level["succeeded"], level["dropped_short"], level["zero_counted"]) == (2, 0, 1)


def test_passes_are_those_of_the_windows() -> None:
    """A pass in whose window nothing ended was one all the same; without windows the requests tell."""
    requests = [streamed("a", 10, [20, 30], 2)]
    windows = [Window(1, 1, at(0), at(1000)), Window(1, 2, at(2000), at(2400))]
    level = one_level(*requests, windows=windows)
    assert (level["repeat_count"], level["windows"]) == (2, 2)
    assert (level["window_s"], level["window_s_shortest"]) == (1.4, 0.4)
    alone = one_level(*requests, streamed("b", 10, [20, 30], 2, repeat=3), windows=[])
    assert (alone["repeat_count"], alone["window_s"], alone["window_s_shortest"]) == (2, None, None)


def test_the_rate_by_the_wall() -> None:
    """Eight tokens from the first sent at 500 ms to the last end at 2500 ms are 4/s; each pass has its own time."""
    first = streamed("a", 500, [600, 2499], 6)
    unsent = record("u", sent_ns=None, end_ns=at(700), output_tokens=2, token_source=TokenSource.SERVER)
    assert one_level(first, unsent)["wall_output_tokens_per_s"] == 4.0
    later = streamed("b", 9000, [9100, 9999], 4, repeat=2)  # 1 s more
    assert one_level(first, unsent, later)["wall_output_tokens_per_s"] == 4.0
    assert one_level(unsent)["wall_output_tokens_per_s"] is None  # over no time
    assert one_level(streamed("n", 500, [600, 2499], None))["wall_output_tokens_per_s"] is None


def test_tokens_a_chunk_are_of_those_who_had_chunks() -> None:
    """6 tokens in 3 events and 4 in one: 2.5. Who had no event, no count or no stream is left out."""
    level = one_level(
        streamed("a", 10, [20, 30, 40], 6),
        streamed("b", 10, [20], 4),
        record(
            "c", sent_ns=at(10), end_ns=at(50), output_tokens=2, chunks=0, token_source=TokenSource.SERVER
        ),
        streamed("d", 10, [20, 30], None),
        record("e", sent_ns=at(10), end_ns=at(50), output_tokens=9, chunks=1, streamed=False),
    )
    assert level["tokens_per_chunk"] == 2.5
    assert level["empty"] == 1


def test_gaps_between_chunks() -> None:
    """10, 15 and 5 ms, of requests that succeeded."""
    failed = streamed("f", 10, [20, 99], 2, outcome=Outcome.FAILED)
    gaps = one_level(streamed("a", 10, [20, 30, 45], 3), streamed("b", 10, [20, 25], 2), failed)[
        "chunk_gap_ms"
    ]
    assert (gaps["n"], gaps["mean"], gaps["median"], gaps["max"]) == (3, 10.0, 10.0, 15.0)
