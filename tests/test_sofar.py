"""A level's entry while load runs: the shape of the summary's, percentiles within 1 %, rates of the window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import sofar
from harness.journal import Window
from harness.level_slo import judged
from harness.live import Live, View, merged
from harness.loadpoint import LoadPoint
from harness.record import Outcome, Phase, RequestRecord
from harness.slo import read

MS, S = 1_000_000, 1_000_000_000
POINT = LoadPoint.of_users(4)


def record(
    at_s: float, ttft_ms: float, *, outcome: Outcome = Outcome.OK, tokens: int | None = 20
) -> RequestRecord:
    """A streamed answer, sent at a moment, in 1 s after its first token."""
    sent = round(at_s * S)
    first = sent + round(ttft_ms * MS)
    return RequestRecord(
        request_id="r", name="/chat", worker="w0", level=4, repeat=1, phase=Phase.MEASURE, outcome=outcome,
        scheduled_ns=sent - 10 * MS, sent_ns=sent, first_content_ns=first, last_content_ns=first + S,
        end_ns=first + S, prompt_tokens=30, output_tokens=tokens,
    )  # fmt: skip


def view(*records: RequestRecord, slos: tuple[str, ...] = ()) -> View:
    """What one part has counted of them."""
    live = Live(read(slos))
    for one in records:
        live.add(one, 0)
    return merged([live.stored()], 0)


@given(
    ttfts=st.lists(st.floats(1.0, 10_000.0), min_size=1, max_size=60), share=st.sampled_from([50, 90, 95, 99])
)
def test_percentiles_are_the_summarys_within_a_hundredth(ttfts: list[float], share: int) -> None:
    """Also of a handful of requests, where the lower of two order statistics would be far off."""
    found = sofar.entry(view(*(record(1, ttft) for ttft in ttfts)), POINT, None)["ttft_ms"]
    assert found[f"p{share}"] == pytest.approx(float(np.percentile(ttfts, share)), rel=0.0101)
    assert found["mean"] == pytest.approx(float(np.mean(ttfts)), rel=1e-6)
    assert found["max"] == pytest.approx(max(ttfts), rel=0.0101)
    assert found["n"] == len(ttfts)


def test_counts_rates_and_goodput() -> None:
    """Ten answers of 20 tokens in a window of 10 s, one failure, half of them good."""
    records = [record(n + 0.5, 100 if n % 2 else 400) for n in range(10)]
    failed = record(3, 100, outcome=Outcome.FAILED, tokens=None)
    found = sofar.entry(view(*records, failed, slos=("ttft_p95<200ms",)), POINT, Window(4, 1, 0, 20 * S))
    assert (found["requests"], found["succeeded"], found["failed"], found["cancelled"]) == (11, 10, 1, 0)
    assert found["goodput"] == {"share": pytest.approx(5 / 11), "requests_per_s": None, "good": 5, "n": 11}
    assert found["system_output_tokens_per_s"] == pytest.approx(10.0, rel=1e-4)
    assert found["requests_per_s"] == pytest.approx(0.5)
    assert found["e2e_scheduled_ms"]["max"] == pytest.approx(1410, rel=0.011)
    assert (found["level"], found["title"]) == (4, "4 users")


def test_every_figure_of_a_search_can_be_judged() -> None:
    """Each SLO that is not refused has its value in an entry; the others are named."""
    asked = read(
        [
            "ttft_p95<1s,tpot_mean<1s,e2e_max<9s,ttft_scheduled_p99<1s,e2e_scheduled_p50<3s,output_tokens_per_s_p10>1",
            "error_rate<50%,goodput>50%,system_output_tokens_per_s>1,system_total_tokens_per_s>1,requests_per_s>0.1",
        ]
    )
    assert sofar.unknown(asked) == []
    found = sofar.entry(view(record(1, 100), slos=("ttft_p95<1s",)), POINT, Window(4, 1, S, 3 * S))
    assert [judged(slo, found)["met"] for slo in asked] == [True] * len(asked)
    assert [one.describe() for one in sofar.unknown(read(["ttfa_p95<1s,chunk_gap_p99<1s,ttft_p95<1s"]))] == [
        "ttfa_p95<1s",
        "chunk_gap_p99<1s",
    ]


def test_what_nobody_knows_is_null() -> None:
    """Rates without a window, tokens that nobody has counted, quantiles of nothing."""
    found = sofar.entry(view(record(1, 100, tokens=None)), POINT, Window(4, 1, S, 3 * S))
    assert found["system_output_tokens_per_s"] is None
    assert found["requests_per_s"] == pytest.approx(0.5)
    empty = sofar.entry(merged([], 0), POINT, None)
    assert (empty["requests_per_s"], empty["ttft_ms"]["p95"], empty["ttft_ms"]["n"]) == (None, None, 0)
    assert judged(read(["ttft_p95<1s"])[0], empty)["met"] is None


def test_equal_parts_of_a_window() -> None:
    """One answer of 20 tokens a second: 20 tokens/s in each part, none where it was idle."""
    found = sofar.parts_of(view(*(record(n, 1) for n in range(5))), Window(4, 1, 0, 10 * S), 5)
    assert found == pytest.approx((20, 20, 10, 0, 0), abs=0.1)
    assert sofar.parts_of(view(record(0, 1, tokens=None)), Window(4, 1, 0, 10 * S), 5) == ()
