"""The page's rows: bounded, put together honestly, and sent to each viewer once."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.web.history import COLUMNS, GREATEST, MEANS, MOST, History, Row, together

BEGAN = 1_790_000_000
SAMPLED = [name for name in COLUMNS if name not in MEANS | GREATEST | {"t_ms", "settled"}]
NUMBERS = st.none() | st.floats(0, 1e9)
ROWS = st.builds(
    lambda values, seconds, settled: Row(BEGAN, seconds, [BEGAN * 1000, *values[:6], settled, *values[6:]]),
    st.lists(NUMBERS, min_size=len(COLUMNS) - 2, max_size=len(COLUMNS) - 2),
    st.integers(1, 64),
    st.booleans(),
)


def cell(row: Row, name: str) -> Any:
    """One column of a row."""
    return row.values[COLUMNS.index(name)]


def filled(number: int, *, level: int = 4, settled: bool = True, most: int = MOST) -> History:
    """So many seconds of ten tokens more each."""
    history = History(most)
    for second in range(number):
        values = {"level": level, "settled": settled, "system_output_tokens_per_s": 10.0 * second}
        history.append(
            BEGAN + second, values | {"ttft_ms_p95": float(second), "cpu_percent": float(second % 7)}
        )
    return history


def test_ten_thousand_seconds_are_bounded() -> None:
    """Never more than MOST rows; they cover all time without a gap, tokens add up, and percentiles are the later ones."""
    history = History()
    for second in range(10_000):
        values = {
            "level": 4,
            "settled": True,
            "system_output_tokens_per_s": 10.0 * second,
            "ttft_ms_p95": float(second),
        }
        history.append(BEGAN + second, values)
        assert len(history) <= MOST
    rows = history.rows
    assert rows[0].second == BEGAN
    assert all(a.second + a.seconds == b.second for a, b in itertools.pairwise(rows))
    assert rows[-1].second + rows[-1].seconds == BEGAN + 10_000
    total = sum(cell(row, "system_output_tokens_per_s") * row.seconds for row in rows)
    assert total == pytest.approx(sum(10.0 * second for second in range(10_000)))
    assert [cell(row, "ttft_ms_p95") for row in rows] == [
        row.second + row.seconds - 1 - BEGAN for row in rows
    ]
    assert len({row.seconds for row in rows}) > 1


@given(one=ROWS, other=ROWS)
def test_neighbours_are_put_together_honestly(one: Row, other: Row) -> None:
    """Rates by time and only where both are known; peaks stay; a percentile is never made up; all of both is settled or it is not."""
    both = together(one, other)
    assert both.seconds == one.seconds + other.seconds
    assert cell(both, "t_ms") == cell(one, "t_ms")
    for name in MEANS:
        a, b = cell(one, name), cell(other, name)
        if a is None or b is None:
            assert cell(both, name) is None
        else:
            assert cell(both, name) * both.seconds == pytest.approx(
                a * one.seconds + b * other.seconds, rel=1e-9, abs=1e-9
            )
    for name in GREATEST:
        known = [value for value in (cell(one, name), cell(other, name)) if value is not None]
        assert cell(both, name) == max(known, default=None)
    assert [cell(both, name) for name in SAMPLED] == [cell(other, name) for name in SAMPLED]
    assert cell(both, "settled") == (cell(one, "settled") and cell(other, "settled"))


def test_levels_are_not_mixed_and_what_may_change_is_left_alone() -> None:
    """Two levels of one second each stay two rows; a second that is not settled is none with another."""
    history = History(4)
    for second, (level, settled) in enumerate([(1, True), (2, True), (2, True), (2, False), (2, False)]):
        history.append(BEGAN + second, {"level": level, "settled": settled})
    assert [(row.seconds, cell(row, "level")) for row in history.rows] == [(1, 1), (2, 2), (1, 2), (1, 2)]


def test_it_stays_bounded_where_nothing_can_be_put_together() -> None:
    """A level a second: the oldest rows go."""
    history = History(100)
    for second in range(1_000):
        history.append(BEGAN + second, {"level": second, "settled": True})
        assert len(history) <= 100
    assert history.rows[-1].second == BEGAN + 999


def test_a_viewer_is_sent_what_is_new() -> None:
    """All at first, then from its place on; nothing where there is nothing."""
    history = filled(10)
    first = history.since(0)
    assert (first.begin, first.end, len(first.rows), first.replaced) == (0, 10, 10, False)
    history.append(BEGAN + 10, {"level": 4, "settled": True})
    more = history.since(10)
    assert (more.begin, more.end, len(more.rows), more.replaced) == (10, 11, 1, False)
    assert history.since(11).rows == []


def test_what_is_corrected_is_sent_again() -> None:
    """From the first row that has changed since the viewer's look; an unchanged value changes nothing."""
    history = filled(10, settled=False)
    assert history.change(BEGAN + 3, {"system_output_tokens_per_s": 30.0})
    assert history.since(10).rows == []
    assert history.change(BEGAN + 3, {"system_output_tokens_per_s": 31.0, "settled": True})
    assert not history.change(BEGAN + 99, {"settled": True})
    history.append(BEGAN + 10, {})
    again = history.since(10)
    assert (again.begin, len(again.rows)) == (3, 8)
    assert again.rows[0][COLUMNS.index("system_output_tokens_per_s")] == 31.0
    assert history.since(11).begin == 11


def test_who_has_something_else_begins_anew() -> None:
    """After rows were put together, in another run, and with a place from the future."""
    history = filled(100, most=100)
    history.append(BEGAN + 100, {"level": 4, "settled": True})
    assert history.since(100).replaced
    old = history.since(99)
    assert (old.replaced, old.begin, len(old.rows)) == (True, 100, len(history))
    assert history.since(history.next + 1).replaced
    before = history.next
    history.clear()
    assert (history.next, len(history)) == (before, 0)
    history.append(BEGAN, {"level": 1})
    assert history.since(5).replaced
    new = history.since(before)
    assert (new.replaced, new.begin, len(new.rows)) == (True, before, 1)
    assert not history.since(before + 1).replaced
