"""Events and windows by hand: each to its nanosecond, each with its tokens."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from harness import windows
from harness.journal import Window
from harness.windows import NEVER, Streams, floats, ints

HELD = {"streamed": True, "outcome": "ok", "end_ns": 9_000, "prompt_tokens": 7}
THREE = {
    **HELD,
    "first_content_ns": 1_000,
    "last_content_ns": 4_500,
    "chunk_gaps_us": [1.5, 2.0],
    "output_tokens": 6,
}
ONE = {**HELD, "first_content_ns": 3_000, "last_content_ns": 3_000, "chunk_gaps_us": [], "output_tokens": 5}
WHOLE = {
    "streamed": False, "outcome": "ok", "first_content_ns": 10, "last_content_ns": None, "end_ns": 2_000,
    "chunk_gaps_us": None, "output_tokens": 4, "prompt_tokens": 11,
}  # fmt: skip
NOTHING = {
    "streamed": True, "outcome": "failed", "first_content_ns": None, "last_content_ns": None, "end_ns": 2_000,
    "chunk_gaps_us": None, "output_tokens": None, "prompt_tokens": 3,
}  # fmt: skip


def streams(*rows: dict[str, Any]) -> Streams:
    """Of a table with these rows."""
    frame = pd.DataFrame(list(rows), columns=list(THREE))
    stamps = ("first_content_ns", "last_content_ns", "end_ns")
    frame[list(stamps)] = frame[list(stamps)].astype("Int64")
    return Streams.of(frame)


def arrived(table: Streams, start_ns: int, end_ns: int) -> tuple[float | None, float | None]:
    """(output, prompt) tokens of one window."""
    found = table.arrived(Window(1, 1, start_ns, end_ns))
    return found.output_tokens, found.prompt_tokens


def events(table: Streams, *rows: int) -> tuple[list[int], list[float]]:
    """When, and with how many tokens."""
    times, weights = table.events(np.array(rows, dtype=np.intp))
    return times.tolist(), weights.tolist()


def test_each_event_is_in_the_window_in_which_it_came() -> None:
    """From the first nanosecond on, up to the last and without it; prompt tokens with the first content."""
    table = streams(THREE)
    assert events(table, 0) == ([1_000, 2_500, 4_500], [2.0, 2.0, 2.0])
    assert (table.first_ns.tolist(), table.last_ns.tolist()) == ([1_000], [4_500])
    assert arrived(table, 1_000, 1_001) == (2.0, 7.0)
    assert arrived(table, 1_001, 2_500) == (0.0, 0.0)
    assert arrived(table, 0, 1_000) == (0.0, 0.0)
    assert arrived(table, 2_500, 4_500) == (2.0, 0.0)
    assert arrived(table, 2_500, 4_501) == (4.0, 0.0)
    assert arrived(table, 4_500, 4_501) == (2.0, 0.0)
    assert arrived(table, 4_501, 9_000) == (0.0, 0.0)
    assert arrived(table, 0, 10_000) == (6.0, 7.0)


@pytest.mark.parametrize(
    ("gap_us", "gap_ns"),
    [(0.0004, 0), (0.0006, 1), (1.0, 1_000), (float("nan"), 0), (123_456.789, 123_456_789)],
)
def test_a_gap_is_whole_nanoseconds(gap_us: float, gap_ns: int) -> None:
    """The nearest; what is not known is none."""
    table = streams({**THREE, "chunk_gaps_us": [gap_us]})
    assert events(table, 0)[0] == [1_000, 1_000 + gap_ns]
    assert table.last_ns.tolist() == [1_000 + gap_ns]


def test_an_answer_that_was_not_streamed_comes_at_its_end() -> None:
    """At its content's stamp if it has one, else at its end, if it succeeded; a first content it cannot have had."""
    assert events(streams(WHOLE), 0) == ([2_000], [4.0])
    assert events(streams({**WHOLE, "last_content_ns": 1_500}), 0) == ([1_500], [4.0])
    assert events(streams({**WHOLE, "last_content_ns": 1_500, "chunk_gaps_us": [1.0]}), 0) == ([1_500], [4.0])
    failed = streams({**WHOLE, "outcome": "failed"})
    assert failed.first_ns.tolist() == [NEVER]
    assert arrived(failed, 0, 10_000) == (0.0, 0.0)
    cut = streams({**WHOLE, "outcome": "failed", "last_content_ns": 1_500})
    assert arrived(cut, 0, 10_000) == (4.0, 11.0)


def test_what_gave_no_content_has_no_event() -> None:
    """Whatever else its row has."""
    table = streams({**NOTHING, "chunk_gaps_us": [1.0, 2.0]}, THREE)
    assert table.gaps.tolist() == [0, 2]
    assert table.bounds.tolist() == [0, 2, 4]
    assert (table.first_ns.tolist(), table.last_ns.tolist()) == ([NEVER, 1_000], [NEVER, 4_500])
    assert arrived(table, 0, 10_000) == (6.0, 7.0)
    assert table.uncounted == 0


def test_what_nobody_counted() -> None:
    """Is none where nothing in the window is known, and left out beside what is; a window without content has 0."""
    unknown = {**THREE, "output_tokens": None, "prompt_tokens": None}
    table = streams(unknown, ONE)
    assert table.uncounted == 1
    assert arrived(table, 1_000, 2_600) == (None, None)
    assert arrived(table, 1_000, 3_001) == (5.0, 7.0)
    assert arrived(table, 5_000, 6_000) == (0.0, 0.0)
    assert streams(unknown, unknown, ONE, NOTHING).uncounted == 2


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 7, 10_000])
def test_blocks_bound_the_memory_and_not_the_result(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """However many requests are laid out at once."""
    monkeypatch.setattr(windows, "BLOCK", block)
    later = {**THREE, "first_content_ns": 2_000, "chunk_gaps_us": [10.0]}
    table = streams(ONE, THREE, WHOLE, NOTHING, later)
    assert table.last_ns.tolist() == [3_000, 4_500, 2_000, NEVER, 12_000]
    assert arrived(table, 0, 20_000) == (5.0 + 6.0 + 4.0 + 6.0, 7.0 + 7.0 + 11.0 + 7.0)
    assert arrived(table, 2_000, 3_001) == (5.0 + 2.0 + 4.0 + 3.0, 7.0 + 11.0 + 7.0)
    assert arrived(table, 12_000, 12_001) == (3.0, 0.0)


def test_events_of_some_in_any_order() -> None:
    """One request's after the other's, as they were asked for."""
    table = streams(
        THREE, ONE, WHOLE, {**THREE, "first_content_ns": 50, "chunk_gaps_us": [0.001], "output_tokens": 3}
    )
    assert events(table, 3, 0) == ([50, 51, 1_000, 2_500, 4_500], [1.5, 1.5, 2.0, 2.0, 2.0])
    assert events(table, 1, 2) == ([3_000, 2_000], [5.0, 4.0])
    assert arrived(streams(), 0, 10) == (0.0, 0.0)


def test_gaps_are_in_milliseconds() -> None:
    """Of those who are flagged; the table keeps its own."""
    table = streams(THREE, ONE, {**THREE, "chunk_gaps_us": [4_000.0]})
    assert table.gaps_ms(np.array([False, True, True])).tolist() == [4.0]
    assert table.gaps_ms(np.array([True, False, True])).tolist() == [0.0015, 0.002, 4.0]
    assert table.gaps_us.tolist() == [1.5, 2.0, 4_000.0]


@pytest.mark.parametrize("kind", ["object", "list", "chunked", "float32"])
def test_lists_of_any_kind(kind: str) -> None:
    """As pandas has them, or as Parquet is read."""
    lists: list[Any] = [[1.5, 2.0], None, [], [0.5]]
    if kind == "object":
        column = pd.Series(lists, dtype=object)
    else:
        of = pa.list_(pa.float32() if kind == "float32" else pa.float64())
        whole = pa.array(lists, of)
        both: Any = pa.chunked_array([whole[:2], whole[2:]]) if kind == "chunked" else whole
        column = pd.Series(pd.arrays.ArrowExtensionArray(both))
    frame = pd.DataFrame([THREE, ONE, ONE, THREE])
    frame["chunk_gaps_us"] = column
    table = Streams.of(frame)
    assert table.gaps_us.tolist() == [1.5, 2.0, 0.5]
    assert table.bounds.tolist() == [0, 2, 2, 2, 3]
    assert table.last_ns.tolist() == [4_500, 3_000, 3_000, 1_500]


def test_columns_with_nulls() -> None:
    """NaN where a number is missing, `NEVER` where a stamp is."""
    numbers = floats(pd.Series([1, None, 2.5], dtype="Float64"))
    assert numbers.dtype == np.float64
    assert [numbers[0], np.isnan(numbers[1]), numbers[2]] == [1.0, True, 2.5]
    stamps = ints(pd.Series([1_700_000_000_123_456_789, None], dtype="Int64"))
    assert stamps.dtype == np.int64
    assert stamps.tolist() == [1_700_000_000_123_456_789, NEVER]
