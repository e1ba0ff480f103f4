"""A window in bins: against plain sums, at its edges, and fast."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.course import Course, bin_ns, laid_out, of_requests
from harness.journal import Window
from harness.windows import NEVER, Streams

S = 1_000_000_000


def window(seconds, start_s=0):
    """A window of one level."""
    return Window(8, 1, start_s * S, (start_s + seconds) * S)


def course_of(rows, over):
    """The course of (sent, first, last, end, tokens) in seconds; None: never, or not counted."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    sent, first, last, end = (
        np.array([NEVER if v is None else round(v * S) for v in column], np.int64) for column in columns[:4]
    )
    tokens = np.array([np.nan if v is None else v for v in columns[4]], np.float64)
    return laid_out(over, sent_ns=sent, end_ns=end, first_ns=first, content_ns=(first, last), tokens=tokens)


def test_one_request_is_spread_over_its_bins():
    """In flight for the part of each bin, tokens evenly from the first content to the last, TTFT where it came."""
    course = course_of([(0.05, 0.2, 0.6, 0.65, 40.0)], window(10))
    assert (course.bin_ns, course.bins, course.bin_s) == (S // 10, 100, 0.1)
    assert course.in_flight[:8].tolist() == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.5, 0])
    assert course.tokens_per_s[:7].tolist() == pytest.approx([0, 0, 100, 100, 100, 100, 0])
    assert course.ttft_ms[2] == pytest.approx(150.0)
    assert np.isnan(np.delete(course.ttft_ms, 2)).all()


def test_what_lies_across_the_edges_counts_for_its_part():
    """A request from before the window to after it gives the window its share; one outside gives nothing."""
    course = course_of(
        [(80.0, 90.0, 130.0, 130.0, 400.0), (0.0, 1.0, 2.0, 3.0, 100.0), (200.0, 201.0, 202.0, 203.0, 100.0)],
        window(20, start_s=100),
    )
    assert course.in_flight == pytest.approx(np.ones(100))
    assert course.tokens_per_s == pytest.approx(np.full(100, 10.0))
    assert np.isnan(course.ttft_ms).all()


def test_an_answer_in_one_piece_is_in_one_bin():
    """What takes no time is not spread, and a mean of two is a mean."""
    course = course_of([(0.0, 0.25, 0.25, 0.25, 7.0), (0.1, 0.25, 0.25, 0.3, 3.0)], window(10))
    assert course.tokens_per_s[2] == pytest.approx(100.0)
    assert course.tokens_per_s.sum() == pytest.approx(100.0)
    assert course.ttft_ms[2] == pytest.approx(200.0)


def test_what_was_never_sent_or_counted():
    """A failed connection is not in flight; tokens that nobody counted are as many as the others' mean."""
    course = course_of(
        [(None, None, None, 1.0, None), (0.0, 0.1, 0.2, 0.2, 10.0), (0.0, 0.1, 0.2, 0.2, None)], window(10)
    )
    assert course.in_flight[:3].tolist() == pytest.approx([2, 2, 0])
    assert course.tokens_per_s[:3].tolist() == pytest.approx([0, 200, 0])
    assert course_of([(0.0, 0.1, 0.2, 0.2, None)], window(10)).tokens_per_s[1] == pytest.approx(10.0)


def test_a_window_without_requests_or_without_length():
    """Empty bins, and no bins."""
    course = course_of([], window(10))
    assert course.tokens_per_s.tolist() == [0.0] * 100
    assert course_of([], window(0)).bins == 0
    assert list(course_of([], window(0)).series())[2:] == []


@pytest.mark.parametrize(
    ("seconds", "bin_s"),
    [(1, 0.1), (10, 0.1), (19, 0.1), (20, 0.2), (60, 0.5), (120, 1), (3600, 20), (86_400, 500)],
)
def test_bins_are_round_and_a_hundred_at_least(seconds, bin_s):
    """1, 2, 5 and their tens; 0.1 s at least."""
    assert bin_ns(window(seconds)) == round(bin_s * S)


def test_a_series_is_left_out_where_half_of_it_is_missing():
    """A TTFT in every second bin has its gaps closed; one in fewer tells nothing."""
    whole, nothing = np.ones(4), np.nan
    filled = Course(0, S, whole, whole, np.array([2.0, nothing, 4.0, nothing]))
    assert [name for name, *_ in filled.series()] == ["tokens/s", "requests in flight", "TTFT"]
    assert [*filled.series()][2][1].tolist() == [2.0, 3.0, 4.0, 4.0]
    assert [*filled.series()][2][2].tolist() == [True, False, True, False]
    sparse = Course(0, S, whole, whole, np.array([2.0, nothing, nothing, nothing]))
    assert [name for name, *_ in sparse.series()] == ["tokens/s", "requests in flight"]


SPAN = st.tuples(st.floats(-30, 60), st.floats(0, 50), st.floats(0, 50), st.floats(0, 1), st.integers(1, 900))


@settings(max_examples=60, deadline=None)
@given(st.lists(SPAN, max_size=30), st.integers(1, 40))
def test_every_bin_is_what_a_loop_says(spans, seconds):
    """Bin by bin and request by request, overlap by overlap."""
    rows = [(a, a + b, a + b + c, a + b + c + d, float(n)) for a, b, c, d, n in spans]
    course = course_of(rows, window(seconds))
    for place in range(course.bins):
        low, high = place * course.bin_s, (place + 1) * course.bin_s
        flying = sum(max(0.0, min(end, high) - max(sent, low)) for sent, _, _, end, _ in rows)
        tokens = 0.0
        for _, first, last, _, number in rows:
            if last - first > 1e-6:
                tokens += number * max(0.0, min(last, high) - max(first, low)) / (last - first)
            elif low <= first < high and round(first * S) // course.bin_ns == place:
                tokens += number
        assert course.in_flight[place] == pytest.approx(flying / course.bin_s, abs=1e-4)
        assert course.tokens_per_s[place] == pytest.approx(tokens / course.bin_s, abs=1e-4, rel=1e-4)


def table():
    """Three requests as requests.parquet has them: streamed, in one piece, failed before any content."""
    return pd.DataFrame(
        {
            "sent_ns": pd.array([0, S, 2 * S], "Int64"),
            "end_ns": pd.array([4 * S, 3 * S, 3 * S], "Int64"),
            "first_content_ns": pd.array([S, None, None], "Int64"),
            "last_content_ns": pd.array([3 * S, 3 * S, None], "Int64"),
            "streamed": [True, False, True],
            "outcome": ["ok", "ok", "failed"],
            "output_tokens": pd.array([5, 20, None], "Int64"),
            "prompt_tokens": pd.array([10, 10, None], "Int64"),
            "chunk_gaps_us": [[500_000.0] * 4, [], []],
        }
    )


def test_a_table_of_requests_is_laid_out():
    """The columns of the results: whoever was there counts; only streamed answers have a TTFT."""
    requests = table()
    course = of_requests(requests, Streams.of(requests), window(10))
    by_second = course.tokens_per_s.reshape(10, 10).mean(axis=1)
    assert by_second.tolist() == pytest.approx([0, 2.5, 2.5, 20, 0, 0, 0, 0, 0, 0])
    assert course.in_flight.reshape(10, 10).mean(axis=1).tolist() == pytest.approx(
        [1, 2, 3, 1, 0, 0, 0, 0, 0, 0]
    )
    assert np.flatnonzero(~np.isnan(course.ttft_ms)).tolist() == [10]
    assert course.ttft_ms[10] == pytest.approx(1000.0)


def test_a_million_requests_take_less_than_half_a_second():
    """CPU time of the best of three; the whole of what they gave is there."""
    random, number = np.random.default_rng(1), 1_000_000
    sent = np.sort(random.integers(0, 550 * S, number))
    first = sent + random.integers(S // 100, S, number)
    last = first + random.integers(0, 20 * S, number)
    tokens = np.full(number, 100.0)
    took = []
    for _ in range(3):
        began = time.process_time()
        course = laid_out(
            window(600), sent_ns=sent, end_ns=last, first_ns=first, content_ns=(first, last), tokens=tokens
        )
        took.append(time.process_time() - began)
    assert min(took) < 0.5
    assert course.tokens_per_s.sum() * course.bin_s == pytest.approx(1e8)
    assert course.in_flight.sum() * course.bin_s == pytest.approx((last - sent).sum() / S)
