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
FEW = ["p90", "p95", "p99"]  # withheld of a handful


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
            "first_chunk_tokens": 1,
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
ONE = "level 1: only 1 successful request, where 5 are few"


@pytest.fixture(scope="module")
def hand() -> dict:
    """The summary of the table above, with 9 requests planned."""
    return summarise(HAND, HAND_WINDOWS, run_id="hand", planned=9)


def test_totals_reconcile_over_all_phases(hand):
    """Offered is the plan; what was not recorded was not sent; tokens are of every request."""
    assert hand["totals"] == {
        "offered": 9, "succeeded": 4, "failed": 2, "cancelled": 1, "unsent": 2, "probes": 0, "prompt_tokens": 47,
        "output_tokens": 22,
    }  # fmt: skip
    assert (hand["schema"], hand["run_id"], hand["complete"], hand["incomplete"]) == (1, "hand", True, [])


def test_level_counts(hand):
    """Counts are of measured requests of every outcome; lengths and sources of the successful ones."""
    [level] = hand["levels"]
    counts = {
        "concurrency": 1, "repeat_count": 1, "requests": 6, "succeeded": 3, "failed": 2, "cancelled": 1,
        "errors": {"connect": 1, "truncated": 1}, "windows": 1, "window_s": 0.2, "window_s_shortest": 0.2,
        "output_length": {
            "asked": 3, "compared": 3, "got_equal": 1, "shorter": 1, "longer": 1,  # by a token: within what is fair
            "near": 1, "mean_share_off": pytest.approx((0 - 1 / 10 + 1 / 3) / 3),
            "off": 0, "off_shorter": 0, "off_longer": 0, "off_own_end": 0, "off_median": None, "off_median_asked": None,
        },
        "empty": 0, "zero_counted": 0,
        "cached_tokens": 3, "reconnects": 3, "token_sources": {"server": 2, "tokenizer": 1}, "goodput": None,
        "slo": None,
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

    def figures(name: str) -> dict:
        return {key: told for key, told in level[name].items() if key != "withheld"}

    assert figures("request_output_tokens_per_s") == pytest.approx(
        {"mean": 75, "median": 75, "std": math.sqrt(1250), "p5": 52.5, "p10": 55, "p90": 95, "n": 2}
    )
    assert level["request_total_tokens_per_s"]["mean"] == pytest.approx((250 + 39 / 0.19) / 2)
    assert figures("ttft_ms") == pytest.approx(
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
    assert figures("send_delay_ms") == pytest.approx(
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
    assert level["ttft_ms"]["withheld"] == FEW
    assert level["request_output_tokens_per_s"]["withheld"] == ["p5", "p10", "p90"]
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
    assert level["ttfa_ms"] == {
        **dict.fromkeys(NOTHING, pytest.approx(20)),
        "std": None,
        "n": 1,
        "withheld": FEW,
    }
    assert level["server_decode_ms"] == {
        **dict.fromkeys(NOTHING, 150.0),
        "std": None,
        "n": 1,
        "withheld": FEW,
    }
    for name in ("server_queue_ms", "server_prefill_ms", "connect_ms"):
        assert level[name] == {**NOTHING, "n": 0, "withheld": []}


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
    assert level["e2e_ms"] == {**NOTHING, "n": 0, "withheld": []}
    assert summary["totals"]["prompt_tokens"] is None


def test_a_run_without_a_level_has_no_verdict_to_be_proud_of():
    """Requests came while users were still being started: the table is empty, and that is said; a stopped run says why itself."""
    ramp = HAND.assign(phase="ramp")
    summary = summarise(ramp, [], run_id="x")
    assert summary["levels"] == []
    assert summary["verdict"] == {
        "status": "invalid",
        "reasons": [
            (
                "nothing was measured: load ended before all users were up and past their warm-up; unless it was stopped, "
                "give a longer -t, or a higher -r (1 a second if not given)"
            )
        ],
    }
    interrupted = summarise(ramp, [], run_id="x", incomplete=["interrupted"])["verdict"]
    assert interrupted["reasons"] == ["incomplete: interrupted"]


def test_without_a_window_the_system_was_not_measured():
    """Rates of a window that was never recorded are null, with a reason."""
    [level] = summarise(HAND, [], run_id="x")["levels"]
    names = ("system_output_tokens_per_s", "system_total_tokens_per_s", "requests_per_s", "window_s")
    assert [level[name] for name in names] == [None] * 4
    assert level["ttft_ms"]["mean"] == pytest.approx(25)
    reasons = summarise(HAND, [], run_id="x")["verdict"]["reasons"]
    assert reasons == [
        "level 1: 2 of 6 requests failed (33.3 %): latencies are of those that survived",
        "level 1: only 3 successful requests, where 5 are few",
        "level 1: no measuring window was recorded, so the system's rates are not measured",
    ]


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
            "1 of 1 requests gave content that nobody counted; their tokens are missing from every rate; give --tokenizer",
            ONE,
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
            ONE,
            "level 1: a window of 0.2 s is shorter than the median request of 0.8 s; raise --requests-per-level",
        ],
    }
    assert (summary["complete"], summary["totals"]["offered"], summary["totals"]["unsent"]) == (False, 1, 0)


def answers(*sizes: tuple[int, int], asked: int = 150, finish: str | None = "stop", **fields) -> pd.DataFrame:
    """Successful requests of level 1: of each size so many, one after another in the window."""
    made = [size for count, size in sizes for _ in range(count)]
    return table(
        *(
            streamed(
                str(n),
                100 + n,
                [101 + n, 102 + n],
                size,
                requested_output_tokens=asked,
                finish_reason=finish,
                **fields,
            )
            for n, size in enumerate(made)
        )
    )


def verdict(requests: pd.DataFrame, **options) -> tuple[str, list[str]]:
    """The verdict of a sweep with these rows."""
    found = summarise(requests, HAND_WINDOWS, run_id="x", **{"planned": len(requests), **options})["verdict"]
    return found["status"], found["reasons"]


SHORT = "level 1: 18 of 18 answers were shorter than asked (median 21 of 150 tokens)"


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        (answers((18, 21), finish="length"), f"{SHORT}; see --exact-output"),
        (answers((18, 21), finish=None), f"{SHORT}; see --exact-output"),
        (answers((18, 21)), f"{SHORT}, 18 of them ended by themselves; see --exact-output"),
        (answers((18, 165)), None),  # a tenth, and no more
        (
            answers((18, 166)),
            "level 1: 18 of 18 answers were longer than asked (median 166 of 150 tokens); see --exact-output",
        ),
        (answers((19, 150), (1, 10), finish="length"), None),  # 5 %, and no more
        (
            answers((37, 150), (1, 10), (1, 200), finish="length"),
            (
                "level 1: 2 of 39 answers were of another length than asked, 1 shorter and 1 longer "
                "(median 105 of 150 tokens); see --exact-output"
            ),
        ),
        (answers((10, 150), (10, 21)), None),  # half of them ended by themselves, and no more than half
        (
            answers((9, 150), (10, 21)),
            (
                "level 1: 10 of 19 answers were shorter than asked (median 21 of 150 tokens), "
                "10 of them ended by themselves; see --exact-output"
            ),
        ),
        (answers((18, 4), asked=5, finish="length"), None),  # a token is the server's way of counting
    ],
)
def test_answers_of_another_length_are_a_doubt(requests, reason):
    """Beyond a tenth and 5 % of the level's answers, or beyond half of them if they ended by themselves."""
    assert verdict(requests) == (("valid", []) if reason is None else ("suspect", [reason]))


def test_answers_that_may_end_by_themselves_are_no_doubt():
    """`--exact-output no` says so; what the limit cut is still one."""
    assert verdict(answers((18, 21)), own_ends=True) == ("valid", [])
    assert verdict(answers((18, 21), finish="length"), own_ends=True)[0] == "suspect"


def test_lengths_of_a_level_by_hand():
    """Six answers of 100: equal, one off by 10 and fair, three short of which two ended by themselves, one long."""
    requests = pd.concat(
        [
            answers((1, 100), (1, 90), (2, 40), (1, 112), asked=100),
            answers((1, 60), asked=100, finish="length"),
        ],
        ignore_index=True,
    )
    [level] = summarise(requests, HAND_WINDOWS, run_id="x")["levels"]
    assert level["output_length"] == {
        "asked": 6, "compared": 6, "got_equal": 1, "shorter": 4, "longer": 1, "off": 4, "off_shorter": 3,
        "off_longer": 1, "off_own_end": 2, "off_median": 50.0, "off_median_asked": 100.0, "near": 1,
        "mean_share_off": pytest.approx((0 - 0.1 - 2 * 0.6 + 0.12 - 0.4) / 6),
    }  # fmt: skip


@pytest.mark.parametrize(("size", "off"), [(76, 0), (74, 18), (21, 18)])
def test_estimated_lengths_are_off_only_by_half(size, off):
    """A guess of four characters a token may be a third wrong by itself, but not by seven times."""
    requests = answers((18, size), finish=None, token_source=TokenSource.ESTIMATED)
    summary = summarise(requests, HAND_WINDOWS, run_id="x")
    length = summary["levels"][0]["output_length"]
    assert (length["shorter"], length["off"]) == (18, off)
    said = (
        f"level 1: 18 of 18 answers were shorter than asked (median {size} of 150 tokens); see --exact-output"
    )
    assert (said in summary["verdict"]["reasons"]) == bool(off)


@pytest.mark.parametrize(
    ("tokens", "counted", "doubted"), [(32, None, True), (32, 8, False), (8, None, False), (4, None, False)]
)
def test_bundles_whose_first_nobody_counts_are_a_doubt(tokens, counted, doubted):
    """4 events of 8 tokens: TPOT is 3 gaps over 31 tokens and not over 24, 23 % too low."""
    rows_ = [
        streamed(str(n), 100 + n, [110 + n, 120 + n, 130 + n, 140 + n], tokens, first_chunk_tokens=counted)
        for n in range(9)
    ]
    said = (
        "level 1: events carry 8 tokens each and none says how many the first does: TPOT may be 23 % too low"
    )
    reasons = verdict(table(*rows_))[1]
    assert any(reason.startswith(said) for reason in reasons) == (doubted and tokens == 32)
    assert any("events carry" in reason for reason in reasons) == (doubted or (tokens, counted) == (8, None))


def test_a_servers_times_longer_than_the_request_are_a_doubt():
    """Seconds read as ms in mid-run; half as long again and 50 ms are let pass."""
    fair = [streamed(str(n), 100, [120, 140], 5, server_decode_ms=100.0) for n in range(9)]
    assert verdict(table(*fair)) == ("valid", [])
    status, reasons = verdict(table(*fair, streamed("x", 100, [120, 140], 5, server_e2e_ms=90_000.0)))
    assert status == "suspect"
    assert reasons == [
        (
            "the server's own times of 1 of 10 requests are longer than the requests were: are they in another unit? "
            "(docs/backends.md)"
        )
    ]


def test_a_filter_that_leaves_nothing_is_a_doubt():
    """Every statistic is empty then."""
    summary = summarise(answers((9, 20)), HAND_WINDOWS, run_id="x", drop_under=100)
    assert "level 1: --drop-answers-under leaves none of its 9 answers" in summary["verdict"]["reasons"]


def test_prompts_of_another_size_are_a_doubt():
    """What the server counted against what was asked for; more than 5 % of them, by more than a tenth."""
    fields = {"requested_prompt_tokens": 550}
    counted = [answers((18, 150), prompt_tokens=size, **fields) for size in (100, 495, 494)]
    assert [verdict(requests) for requests in counted] == [
        (
            "suspect",
            [
                (
                    "level 1: 18 of 18 prompts were counted 100 tokens by the server where 550 were asked; "
                    "give the model's own --tokenizer"
                )
            ],
        ),
        ("valid", []),
        (
            "suspect",
            [
                (
                    "level 1: 18 of 18 prompts were counted 494 tokens by the server where 550 were asked; "
                    "give the model's own --tokenizer"
                )
            ],
        ),
    ]


@pytest.mark.parametrize(
    ("ok", "failed", "status", "reason"),
    [
        (99, 1, "valid", None),
        (98, 2, "suspect", "level 1: 2 of 100 requests failed (2 %): latencies are of those that survived"),
        (
            80,
            20,
            "suspect",
            "level 1: 20 of 100 requests failed (20 %): latencies are of those that survived",
        ),
        (24, 36, "invalid", "level 1: 36 of 60 requests failed (60 %): latencies are of those that survived"),
        (0, 3, "invalid", "level 1: none of its 3 measured requests succeeded"),
    ],
)
def test_failures_are_a_doubt_about_latencies(ok, failed, status, reason):
    """More than 1 % is suspect, more than 20 % invalid."""
    rows_ = [streamed(str(n), 100, [120, 140], 5) for n in range(ok)]
    broken = [record(f"f{n}", sent_ns=at(150), end_ns=at(160), outcome=Outcome.FAILED) for n in range(failed)]
    assert verdict(table(*rows_, *broken)) == (status, [] if reason is None else [reason])


def test_answers_without_tokens_are_doubts():
    """A server that counts 0 for text, and successes in which nothing came."""
    zero = [streamed(f"z{n}", 100, [120, 140], 0) for n in range(30)]
    empty = [record(f"e{n}", sent_ns=at(100), end_ns=at(120), output_tokens=None) for n in range(3)]
    ours = [streamed(f"t{n}", 100, [120], 0, token_source=TokenSource.TOKENIZER) for n in range(2)]
    summary = summarise(table(*zero, *empty, *ours), HAND_WINDOWS, run_id="x")
    assert (summary["levels"][0]["zero_counted"], summary["levels"][0]["empty"]) == (30, 3)
    assert summary["verdict"] == {
        "status": "suspect",
        "reasons": [
            "level 1: the server counted 0 tokens for 30 answers that had text",
            "level 1: 3 of 35 answers held no text",
        ],
    }


@pytest.mark.parametrize(("succeeded", "status"), [(5, "valid"), (4, "suspect")])
def test_a_handful_of_requests_is_no_statistic(succeeded, status):
    """Fewer than five successes of a level are said."""
    reasons = [] if succeeded == 5 else ["level 1: only 4 successful requests, where 5 are few"]
    assert verdict(answers((succeeded, 150))) == (status, reasons)


@pytest.mark.parametrize(("planned", "cure"), [(None, "raise -t"), (9, "raise --requests-per-level")])
def test_a_short_window_is_cured_where_its_end_was_set(planned, cure):
    """A timed run has no number of requests to raise."""
    rows_ = [streamed(str(n), 100, [120, 900], 4) for n in range(9)]
    reason = f"level 1: a window of 0.2 s is shorter than the median request of 0.8 s; {cure}"
    assert verdict(table(*rows_), planned=planned) == ("suspect", [reason])


def failed(name: str, text: str | None, **fields) -> RequestRecord:
    """A failed request and what the server said."""
    why = {"outcome": Outcome.FAILED, "error_class": ErrorClass.OVERLOAD, "http_status": 429}
    return record(name, **{**why, "error_message": text, **fields})


def test_failures_are_listed_by_kind_the_commonest_first():
    """Any phase; texts that differ in numbers or ids are one, shown by the first; no text is null, a success none."""
    requests = table(
        failed("1", None, error_class=ErrorClass.CONNECT, http_status=None),
        failed("2", "request 17 failed", phase=Phase.WARMUP),
        failed("3", "request 18 failed"),
        failed("4", "request 9f3a-07c4 failed"),
        failed("5", "request 19 failed", http_status=503),
        failed("6", "slow down " * 100),
        record("7"),
        record("8", outcome=Outcome.CANCELLED, error_message="given up"),
    )
    assert summarise(requests, [], run_id="x")["failures"] == [
        {"error_class": "overload", "http_status": 429, "message": "request 17 failed", "count": 3},
        {"error_class": "connect", "http_status": None, "message": None, "count": 1},
        {"error_class": "overload", "http_status": 503, "message": "request 19 failed", "count": 1},
        {"error_class": "overload", "http_status": 429, "message": ("slow down " * 100)[:500], "count": 1},
    ]


def test_no_more_than_ten_kinds_of_failure_are_listed():
    """The rest are in the table and in each level's `errors`."""
    letters = "abcdefghijklm"
    requests = table(*(failed(f"{a}{n}", f"about {a}") for i, a in enumerate(letters) for n in range(i + 1)))
    listed = summarise(requests, [], run_id="x")["failures"]
    assert [(one["message"], one["count"]) for one in listed] == [
        (f"about {a}", i + 1) for i, a in reversed(list(enumerate(letters)))
    ][:10]


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


@pytest.mark.parametrize("least", [1, 5, 9, 100])
def test_short_answers_are_dropped_only_where_asked_and_are_counted(hand, least):
    """They leave the statistics and nothing else: outcomes, lengths and the system's rates still know them."""
    [whole] = hand["levels"]
    assert (hand["drop_answers_under"], whole["dropped_short"]) == (None, 0)
    summary = summarise(HAND, HAND_WINDOWS, run_id="hand", planned=9, drop_under=least)
    [level] = summary["levels"]
    answers = HAND[(HAND["phase"] == "measure") & (HAND["outcome"] == "ok")]
    kept = answers[answers["output_tokens"] >= least]
    assert summary["drop_answers_under"] == least
    assert level["dropped_short"] == len(answers) - len(kept)
    assert level["output_tokens"]["n"] == len(kept)
    assert level["e2e_ms"]["n"] == kept["e2e_ms"].notna().sum()
    for name in (
        "succeeded",
        "requests",
        "errors",
        "output_length",
        "system_output_tokens_per_s",
        "requests_per_s",
    ):
        assert level[name] == whole[name]
    assert summary["totals"] == hand["totals"]


@pytest.mark.parametrize(("first", "status"), [(99, "suspect"), (98, "valid"), (50, "valid")])
def test_streams_in_name_only_are_a_doubt(first, status):
    """All events at the answer's very end: such a TTFT is no TTFT, and a rate after it is no rate."""
    ends = [100 + first + (100 - first) * n / 7 for n in range(8)]  # of an E2E of 100 ms
    said = (
        "level 1: streams in name only: all events of an answer come at its end (within 1 % of E2E), so TTFT is E2E; "
        "see --stream no"
    )
    rows_ = [streamed(str(n), 100, ends, 8) for n in range(20)]
    assert verdict(table(*rows_)) == (status, [said] if status == "suspect" else [])


def test_few_events_may_come_together():
    """Seven and less prove nothing, nor does an answer that was not streamed."""
    rows_ = [streamed(str(n), 100, [199.0] * 6 + [199.5], 7) for n in range(20)]
    assert verdict(table(*rows_)) == ("valid", [])
