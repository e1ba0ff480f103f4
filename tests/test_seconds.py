"""A second of the client's life: kept in the journal's way, in client.csv, and joined with what was sent in it."""

from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.seconds import NAMES, Second, counted, expanded, load, of_json, spread, text, with_sends

NS = 1_000_000_000
BASE = 1_800_000_000 * NS
FULL = Second(
    time_ns=BASE + 7, worker="w1", seconds=1.25, cpu_percent=12.5, waited_percent=0.5, waited_ms=1.5, throttled_percent=0.0,
    taken_percent=3.0, loop_lag_ms_p50=0.25, loop_lag_ms_p99=2.5, loop_lag_ms_max=30.5, blocked_ms=30.5,
    blocked_working_ms=1.5, reads=1000, kernel_reads=999, most_ready=40, read_delay_ms_p50=0.05, read_delay_ms_p99=0.5,
    read_delay_ms_max=4.5, unparsed=3, clock_steps=1, gc_pauses=2, gc_ms=0.75, gc_ms_max=0.5, sends=2,
    late_send_ms_p50=0.125, late_send_ms_p99=0.5, late_send_ms_max=0.5, loop_lags_ms="0.25*99 30*1", read_delays_ms="0.05*10",
    clock_offset_ns=-1_500_000,
)  # fmt: skip


def second(at_s: float, *, worker: str = "w1", length_s: float = 1.0) -> Second:
    """One that begins `at_s` after `BASE`."""
    return Second(time_ns=BASE + int(at_s * NS), worker=worker, seconds=length_s, cpu_percent=1.0)


def test_the_file_gives_back_what_went_in(tmp_path: Path) -> None:
    """Every column, None as an empty cell, stamps to the nanosecond; rows in order of time."""
    bare = second(-1)
    path = tmp_path / "client.csv"
    path.write_text(text([FULL, bare]))
    assert load(path) == [bare, FULL]
    assert (
        path.read_text().splitlines()[0].split(",") == list(NAMES) == [field.name for field in fields(Second)]
    )
    assert all(getattr(FULL, name) not in (None, "") for name in NAMES), "the example has lost a column"


def test_a_journal_line_gives_back_what_went_in() -> None:
    """Through JSON, as the journal does it; fields of a later version are passed over."""
    line = orjson.loads(orjson.dumps(asdict(FULL) | {"of_later": 1}))
    assert of_json(line) == FULL
    with pytest.raises(TypeError):
        of_json({"worker": "w"})


def test_a_run_without_the_file_has_no_rows(tmp_path: Path) -> None:
    """As those of earlier versions."""
    assert load(tmp_path / "client.csv") == []


@pytest.mark.parametrize(
    "damage",
    [("12.5", "much"), ("30*1", "30*"), (f"{BASE + 7}", "")],
    ids=["no number", "torn list", "no time"],
)
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, damage: tuple[str, str]) -> None:
    """Its name and the cure."""
    path = tmp_path / "client.csv"
    path.write_text(text([FULL]).replace(*damage))
    with pytest.raises(ConfigError) as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: cannot be read (")
    assert said.endswith("); restore the file, or remove it")
    assert "\n" not in said


def test_sends_go_to_the_second_they_were_due_in() -> None:
    """Half open, by worker; what nobody watched is left out; a second without a send has none, not 0 ms."""
    rows = [second(0), second(1), second(0.5, worker="w2"), second(2, length_s=3)]
    sends = [
        ("w1", BASE - 1, 99.0),
        ("w1", BASE, 1.0),
        ("w1", BASE + NS - 1, 3.0),
        ("w2", BASE + NS - 1, 7.0),
        ("w2", BASE, 99.0),
        ("w3", BASE, 99.0),
        ("w1", BASE + 4 * NS, 5.0),
        ("w1", BASE + 5 * NS, 99.0),
    ]
    found = with_sends(rows, sends)
    assert [(row.sends, row.late_send_ms_p50, row.late_send_ms_max) for row in found] == [
        (2, 2.0, 3.0),
        (0, None, None),
        (1, 7.0, 7.0),
        (1, 5.0, 5.0),
    ]
    assert [
        replace(row, sends=None, late_send_ms_p50=None, late_send_ms_p99=None, late_send_ms_max=None)
        for row in found
    ] == rows


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_numpys(values: list[float]) -> None:
    """Linear between order statistics, as everywhere else."""
    assert spread(values) == pytest.approx(
        (*np.percentile(values, (50, 99)), max(values)), rel=1e-9, abs=1e-9
    )


def test_nothing_has_no_percentiles() -> None:
    """None, never 0."""
    assert spread([]) == (None, None, None)


@given(st.lists(st.floats(0, 1e5), max_size=200))
def test_values_keep_two_digits_and_their_number(values: list[float]) -> None:
    """Within five percent of what they were, in order, none lost; below 10 us nobody cares."""
    back = [value for value, times in expanded(counted(values)) for _ in range(times)]
    assert back == sorted(back)
    for kept, value in zip(back, sorted(values), strict=True):
        assert kept == pytest.approx(max(value, 0.01), rel=0.0501)


def test_a_cell_reads_well() -> None:
    """Plain numbers, each once."""
    assert counted([0.13, 0.1342, 12.2, 0.0, 0.000001, 1234.0]) == "0.01*2 0.13*2 12*1 1200*1"
