"""The table of an open loop: what was due, what came of it, and times from when it was due."""

from typing import Any

import pytest

from harness import arrival_says


def _level(**changes: Any) -> dict[str, Any]:
    times: dict[str, Any] = {"p50": 12.5, "p99": 4_830.0, "n": 1_000}
    plain = {
        "unsent": 18,
        "arrivals_per_s": 20.0,
        "requests_per_s": 19.5,
        "in_flight_mean": 0.923,
        "send_delay_ms": {"p50": 1.5, "p99": 4_762.0, "n": 1_000},
        "ttft_scheduled_ms": times,
        "e2e_scheduled_ms": {"p50": 250.0, "p99": 4_857.0, "n": 1_000},
    }
    return plain | changes


def test_columns_and_cells() -> None:
    """In the order of the heading; seconds where it says so."""
    names, (row,) = arrival_says.columns([_level()])
    assert dict(zip(names[:5], row[:5], strict=True)) == {
        "due/s": "20.0",
        "done/s": "19.5",
        "in flight": "0.92",
        "unsent": "18",
        "sent late ms p99": "4762",
    }
    assert names[5:] == ("TTFT ms p50", "p99", "E2E s p50", "p99")
    assert row[5:] == ["12.5", "4830", "0.25", "4.86"]


def test_counts_have_no_fraction_and_what_was_not_measured_no_number() -> None:
    """A level of which nothing came."""
    nothing: dict[str, Any] = {"p50": None, "p99": None}
    level = _level(unsent=12_345, requests_per_s=None, ttft_scheduled_ms=nothing)
    _, (row,) = arrival_says.columns([level])
    assert row[3] == "12,345"
    assert row[1] == row[5] == row[6]
    assert not any(letter.isdigit() for letter in row[1])


def test_a_p99_of_fewer_than_a_thousand_is_withheld() -> None:
    """In its column alone; the footnote is told which."""
    few = _level(ttft_scheduled_ms={"p50": 12.5, "p99": 4_830.0, "n": 999})
    _, (row,) = arrival_says.columns([few])
    assert row[5:] == ["12.5", "\N{EN DASH}*", "0.25", "4.86"]
    assert arrival_says.lacking([_level(), few]) == ["p99"]
    assert arrival_says.lacking([_level()]) == arrival_says.lacking([few | {"unsent": None}]) == []


@pytest.mark.parametrize("levels", [[], [_level(unsent=None)], [_level(unsent=None)] * 3])
def test_there_is_no_table_of_a_closed_loop(levels: list[dict[str, Any]]) -> None:
    """Nobody is due there."""
    assert arrival_says.columns(levels) == ((), [])


def test_every_column_is_explained() -> None:
    """In the legend below the table."""
    for word in ("due/s", "done/s", "in flight", "unsent", "TTFT", "E2E"):
        assert word in arrival_says.LEGEND
