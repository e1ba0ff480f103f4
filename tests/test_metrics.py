"""Every figure of the summary against values worked out by hand, and the laws that windows obey."""

import math
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record

from harness import rows
from harness.errors import ErrorClass
from harness.journal import Window
from harness.metrics import summarise
from harness.record import Outcome, Phase, RequestRecord, TokenSource
from harness.windows import Arrived, Streams

MS = 1_000_000
NOTHING = dict.fromkeys(["mean", "median", "std", "p50", "p90", "p95", "p99", "max"])


def at(ms: float) -> int:
    """A stamp this many ms after the run began."""
    return BASE_NS + round(ms * MS)


def table(*records: RequestRecord) -> pd.DataFrame:
    """What requests.parquet would give for these records."""
    frame = pd.DataFrame([{**one.row(0), "chunk_gaps_us": list(one.chunk_gaps_us)} for one in records])
    integers = [name for name, kind in rows.COLUMNS.items() if kind == "int64"]
    return (
        frame.astype(dict.fromkeys(integers, "Int64"))
        if len(frame)
        else pd.DataFrame(columns=list(rows.COLUMNS))
    )


def streamed(
    name: str, sent: float, arrivals: list[float], tokens: int | None, **fields: object
) -> RequestRecord:
    """A streamed request with content events at these ms."""
    gaps = tuple((b - a) * 1e3 for a, b in pairwise(arrivals))
    return record(
        name,
        **{
            "scheduled_ns": at(sent - 1),
            "sent_ns": at(sent),
            "first_content_ns": at(arrivals[0]),
            "first_answer_ns": at(arrivals[0]),
            "last_content_ns": at(arrivals[-1]),
            "end_ns": at(arrivals[-1] + 1),
            "chunk_gaps_us": gaps,
            "chunks": len(arrivals),
            "output_tokens": tokens,
            "token_source": None if tokens is None else TokenSource.SERVER,
            **fields,
        },
    )


# Level 1, one window [100 ms, 300 ms). By hand:
#   a  sent 100, events 120 140 160, 5 tokens, prompt 10   TTFT 20  TPOT 40/4=10  E2E 60   rate 100/s  total 250/s
#   b  sent 150, events 180 260 340, 9 tokens, prompt 30   TTFT 30  TPOT 160/8=20 E2E 190  rate 50/s   total 39/.19
#   c  not streamed, sent 200, ended 280, 4 tokens         no TTFT, no TPOT       E2E 80   no rate     no prompt count
#   d  failed in mid-stream, events 250 290, 2 tokens; e failed without content; f cancelled; w warm-up 90 110, 2 tokens
HAND = table(
    streamed("a", 100, [120, 140, 160], 5, prompt_tokens=10, requested_output_tokens=5, cached_tokens=3),
    streamed(
        "b", 150, [180, 260, 340], 9, prompt_tokens=30, requested_output_tokens=10, first_answer_ns=None,
        token_source=TokenSource.TOKENIZER, server_decode_ms=150.0, reconnects=1,
    ),
    record(
        "c", scheduled_ns=at(200), sent_ns=at(200), first_content_ns=at(280), last_content_ns=at(280), end_ns=at(280),
        streamed=False, chunks=1, output_tokens=4, requested_output_tokens=3, token_source=TokenSource.SERVER,
    ),
    streamed("d", 240, [250, 290], 2, outcome=Outcome.FAILED, error_class=ErrorClass.TRUNCATED, reconnects=2),
    record("e", sent_ns=at(245), end_ns=at(246), outcome=Outcome.FAILED, error_class=ErrorClass.CONNECT),
    record("f", sent_ns=at(299), end_ns=at(400), outcome=Outcome.CANCELLED),
    streamed("w", 80, [90, 110], 2, prompt_tokens=7, phase=Phase.WARMUP),
)  # fmt: skip
HAND_WINDOWS = [Window(1, 1, at(100), at(300))]


ESTIMATED = (
    "output tokens of 1 of 1 requests are estimated: the server did not count them and there was no tokenizer; "
    "give --tokenizer"
)


@pytest.fixture(scope="module")
def hand() -> dict:
    """The summary of the table above, with 9 requests planned."""
    return summarise(HAND, HAND_WINDOWS, run_id="hand", planned=9)


def test_totals_reconcile_over_all_phases(hand):
    """Offered is the plan; what was not recorded was not sent; tokens are of every request."""
    assert hand["totals"] == {
        "offered": 9, "succeeded": 4, "failed": 2, "cancelled": 1, "unsent": 2, "prompt_tokens": 47, "output_tokens": 22,
    }  # fmt: skip
    assert (hand["schema"], hand["run_id"], hand["complete"], hand["incomplete"]) == (1, "hand", True, [])


def test_level_counts(hand):
    """Counts are of measured requests of every outcome; lengths and sources of the successful ones."""
    [level] = hand["levels"]
    counts = {
        "concurrency": 1, "repeat_count": 1, "requests": 6, "succeeded": 3, "failed": 2, "cancelled": 1,
        "errors": {"connect": 1, "truncated": 1}, "windows": 1, "window_s": 0.2, "window_s_shortest": 0.2,
        "output_length": {"asked": 3, "got_equal": 1, "shorter": 1, "longer": 1},
        "cached_tokens": 3, "reconnects": 3, "token_sources": {"server": 2, "tokenizer": 1}, "goodput": None,
    }  # fmt: skip
    assert {name: level[name] for name in counts} == counts


def test_system_rates_count_what_arrived_in_the_window(hand):
    """Any request's events inside [100, 300): a 5, b 2 of 3 events, c 4, d 2, w 1 of 2 events."""
    [level] = hand["levels"]
    output = 5 + 9 * 2 / 3 + 4 + 2 + 1
    assert level["system_output_tokens_per_s"] == pytest.approx(output / 0.2)
    assert level["system_output_tokens_per_s_repeats"] == [level["system_output_tokens_per_s"]]
    assert level["system_total_tokens_per_s"] == pytest.approx(
        (output + 10 + 30) / 0.2
    )  # w's prefill ended before
    assert level["requests_per_s"] == pytest.approx(3 / 0.2)  # a, c and w ended inside, b after it
    assert level["wall_output_tokens_per_s"] == pytest.approx(18 / (0.341 - 0.1))
    assert level["tokens_per_chunk"] == pytest.approx(14 / 6)


def test_request_figures(hand):
    """Statistics are over successful measured requests, each over those where it was measured."""
    [level] = hand["levels"]
    rate = level["request_output_tokens_per_s"]
    assert rate == pytest.approx(
        {"mean": 75, "median": 75, "std": math.sqrt(1250), "p5": 52.5, "p10": 55, "p90": 95, "n": 2}
    )
    assert level["request_total_tokens_per_s"]["mean"] == pytest.approx((250 + 39 / 0.19) / 2)
    assert level["ttft_ms"] == pytest.approx(
        {
            "mean": 25,
            "median": 25,
            "std": math.sqrt(50),
            "p50": 25,
            "p90": 29,
            "p95": 29.5,
            "p99": 29.9,
            "max": 30,
            "n": 2,
        }
    )
    assert level["ttft_scheduled_ms"]["median"] == pytest.approx(26)
    assert level["send_delay_ms"] == pytest.approx(
        {
            "mean": 2 / 3,
            "median": 1,
            "std": math.sqrt(1 / 3),
            "p50": 1,
            "p90": 1,
            "p95": 1,
            "p99": 1,
            "max": 1,
            "n": 3,
        }
    )
    assert (level["tpot_ms"]["mean"], level["tpot_ms"]["max"]) == pytest.approx((15, 20))
    assert (level["e2e_ms"]["mean"], level["e2e_ms"]["median"], level["e2e_ms"]["n"]) == pytest.approx(
        (110, 80, 3)
    )
    assert (level["chunk_gap_ms"]["mean"], level["chunk_gap_ms"]["n"]) == pytest.approx((50, 4))
    assert (level["prompt_tokens"]["mean"], level["prompt_tokens"]["n"]) == (20, 2)
    assert (level["output_tokens"]["mean"], level["output_tokens"]["max"]) == (6, 9)


def test_one_value_has_no_spread_and_no_value_is_null(hand):
    """The std is null for one value; everything is null, and n is 0, where nothing was measured."""
    [level] = hand["levels"]
    assert level["ttfa_ms"] == {**dict.fromkeys(NOTHING, pytest.approx(20)), "std": None, "n": 1}
    assert level["server_decode_ms"] == {**dict.fromkeys(NOTHING, 150.0), "std": None, "n": 1}
    for name in ("server_queue_ms", "server_prefill_ms", "connect_ms"):
        assert level[name] == {**NOTHING, "n": 0}


def test_an_empty_run_is_null_and_invalid():
    """No request: nothing measured, nothing divided by zero."""
    summary = summarise(table(), [Window(2, 1, at(0), at(1000))], run_id="none")
    assert summary["verdict"] == {
        "status": "invalid",
        "reasons": ["no request was recorded", "level 2: none of its 0 measured requests succeeded"],
    }
    [level] = summary["levels"]
    assert level["system_output_tokens_per_s"] == 0  # a window in which nothing arrived is a measurement
    assert level["wall_output_tokens_per_s"] is None
    assert level["tokens_per_chunk"] is None
    assert level["e2e_ms"] == {**NOTHING, "n": 0}
    assert summary["totals"]["prompt_tokens"] is None


def test_without_a_window_the_system_was_not_measured():
    """Rates of a window that was never recorded are null, with a reason."""
    [level] = summarise(HAND, [], run_id="x")["levels"]
    names = ("system_output_tokens_per_s", "system_total_tokens_per_s", "requests_per_s", "window_s")
    assert [level[name] for name in names] == [None] * 4
    assert level["ttft_ms"]["mean"] == pytest.approx(25)
    reasons = summarise(HAND, [], run_id="x")["verdict"]["reasons"]
    assert reasons == ["level 1: no measuring window was recorded, so the system's rates are not measured"]


def test_uncounted_content_is_null_not_zero():
    """Content whose tokens nobody counted gives no rate, and a reason."""
    requests = table(streamed("a", 100, [120, 140], None))
    summary = summarise(requests, HAND_WINDOWS, run_id="x")
    assert summary["levels"][0]["system_output_tokens_per_s"] is None
    assert summary["levels"][0]["system_total_tokens_per_s"] is None
    assert summary["levels"][0]["wall_output_tokens_per_s"] is None
    assert summary["verdict"] == {
        "status": "suspect",
        "reasons": [
            "1 of 1 requests gave content that nobody counted; their tokens are missing from every rate"
        ],
    }


def test_missing_prompt_counts_leave_the_total_null():
    """Output can be known where the total is not."""
    [level] = summarise(table(streamed("a", 100, [120, 140], 4)), HAND_WINDOWS, run_id="x")["levels"]
    assert level["system_output_tokens_per_s"] == pytest.approx(20)
    assert level["system_total_tokens_per_s"] is None


def test_passes_over_a_level_are_added_not_averaged():
    """Two windows of different length: tokens together over seconds together, and each by itself."""
    requests = table(
        streamed("a", 100, [120, 140], 6),
        streamed("b", 1000, [1100, 1200], 8, repeat=2),
    )
    windows = [Window(1, 1, at(100), at(200)), Window(1, 2, at(1000), at(1400))]
    [level] = summarise(requests, windows, run_id="x")["levels"]
    assert level["system_output_tokens_per_s"] == pytest.approx(14 / 0.5)
    assert level["system_output_tokens_per_s_repeats"] == pytest.approx([60, 20])
    assert level["wall_output_tokens_per_s"] == pytest.approx(
        14 / (0.041 + 0.201)
    )  # the pause between is no work
    assert (level["repeat_count"], level["windows"], level["window_s"]) == (2, 2, 0.5)


def test_the_verdict_is_the_worst_finding_and_keeps_every_reason():
    """Invalid before suspect, each reason once; estimates, short windows and lost results are found here."""
    requests = table(streamed("a", 100, [120, 900], 4, token_source=TokenSource.ESTIMATED))
    summary = summarise(
        requests,
        HAND_WINDOWS,
        run_id="x",
        planned=0,
        incomplete=["worker w3 was lost"],
        findings=[("suspect", "client CPU at 97 %"), ("suspect", "client CPU at 97 %")],
    )
    assert summary["verdict"] == {
        "status": "invalid",
        "reasons": [
            "incomplete: worker w3 was lost",
            "client CPU at 97 %",
            "1 requests were recorded where 0 were planned",
            ESTIMATED,
            "level 1: a window of 0.2 s is shorter than the median request of 0.8 s; raise --requests-per-level",
        ],
    }
    assert (summary["complete"], summary["totals"]["offered"], summary["totals"]["unsent"]) == (False, 1, 0)


@pytest.mark.parametrize(
    ("start", "end", "tokens"), [(120, 140, 1), (120, 141, 2), (119, 120, 0), (121, 160, 1), (160, 161, 1)]
)
def test_a_window_includes_its_start_and_excludes_its_end(start, end, tokens):
    """An event exactly on an edge belongs to the window that begins there."""
    streams = Streams.of(table(streamed("a", 100, [120, 140, 160], 3, prompt_tokens=5)))
    assert streams.arrived(Window(1, 1, at(start), at(end))) == Arrived(
        tokens, 5 if start <= 120 < end else 0
    )


@settings(deadline=None)  # a noisy machine is no failure
@given(
    requests=st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.lists(st.integers(0, 10**8), max_size=6),
            st.integers(0, 50),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    cuts=st.lists(st.integers(0, 2 * 10**9), max_size=6),
)
def test_windows_that_tile_the_run_share_out_every_token(requests, cuts):
    """Adjoining windows count every output and prompt token once, wherever the cuts fall."""
    records = [
        record(
            str(n),
            sent_ns=BASE_NS,
            first_content_ns=BASE_NS + start,
            last_content_ns=BASE_NS + start + sum(gaps),
            end_ns=BASE_NS + start + sum(gaps),
            chunk_gaps_us=tuple(gap / 1e3 for gap in gaps) if live else (),
            streamed=live,
            chunks=len(gaps) + 1,
            output_tokens=tokens,
            prompt_tokens=7,
        )
        for n, (start, gaps, tokens, live) in enumerate(requests)
    ]
    edges = [BASE_NS, *sorted(BASE_NS + cut for cut in cuts), BASE_NS + 10**10]
    streams = Streams.of(table(*records))
    parts = [streams.arrived(Window(1, 1, a, b)) for a, b in pairwise(edges)]
    assert sum(p.output_tokens or 0 for p in parts) == pytest.approx(sum(r[2] for r in requests))
    assert sum(p.prompt_tokens or 0 for p in parts) == 7 * len(requests)


def test_blocks_bound_memory_without_changing_the_sum(monkeypatch):
    """Laying events out in blocks of two requests gives what one block gives."""
    streams = Streams.of(HAND)
    whole = streams.arrived(HAND_WINDOWS[0])
    monkeypatch.setattr("harness.windows.BLOCK", 2)
    assert streams.arrived(HAND_WINDOWS[0]) == whole


def test_stamps_read_from_the_file_keep_every_nanosecond(tmp_path: Path):
    """An event one ns before the window's end is inside; as float64 it would have moved out."""
    one = record("a", first_content_ns=BASE_NS + 1, last_content_ns=BASE_NS + 1, chunks=1, output_tokens=1)
    rows.write(tmp_path / "t.parquet", [one, record("b")])
    streams = Streams.of(rows.load(tmp_path / "t.parquet"))
    assert streams.arrived(Window(1, 1, BASE_NS, BASE_NS + 1)).output_tokens == 0
    assert streams.arrived(Window(1, 1, BASE_NS + 1, BASE_NS + 2)).output_tokens == 1
