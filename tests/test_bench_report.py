"""The bench of large reports: the run that it makes is one, and what it measures is a report of it."""

import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import report  # noqa: E402

from harness import files, maritaca, maritaca_says, rows  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, report.Report]:
    """A small one, and its report."""
    place = tmp_path_factory.mktemp("bench") / "run"
    report.make(place, records=3_000, events=4)
    return place, report.measure(place)


def test_the_made_run_is_as_it_says(made: tuple[Path, report.Report]) -> None:
    """Levels and passes, failures, and rows that hold together."""
    requests = rows.load(made[0] / "requests.parquet")
    summary = files.from_json(made[0] / "summary.json")
    assert len(requests) == summary["totals"]["offered"] == 3_000
    assert [level["level"] for level in summary["levels"]] == list(report.LEVELS)
    assert {level["repeat_count"] for level in summary["levels"]} == {report.REPEATS}
    ok = requests[requests["outcome"] == "ok"]
    assert (
        ok["first_content_ns"]
        + ok["e2e_ms"].mul(1e6).round().astype("Int64")
        - ok["ttft_ms"].mul(1e6).round().astype("Int64")
        - ok["last_content_ns"]
    ).abs().max() <= 1
    gaps_us = pd.Series([sum(gaps) for gaps in ok["chunk_gaps_us"]], index=ok.index)
    assert ((ok["last_content_ns"] - ok["first_content_ns"]).astype(float) / 1e3 - gaps_us).abs().max() < 1
    assert (requests["error_class"] == "overload").sum() == 30
    assert (requests["error_class"] == "truncated").sum() == 10


def test_a_report_costs_something_and_is_there(made: tuple[Path, report.Report]) -> None:
    """Time, memory of its own process, and the page with all charts."""
    place, told = made
    assert told.cost.seconds > 0
    assert told.cost.cpu_s > 0
    assert 50 < told.cost.peak_mb < 1_000
    page = (place / "report.html").read_text(encoding="utf-8")
    assert told.page_mb == pytest.approx(len(page.encode()) / 1e6)
    assert page.count('<figure class="chart') == 12


def test_a_column_alone_is_the_column_of_the_whole(made: tuple[Path, report.Report]) -> None:
    """Maritaca's tables, made from the few columns that they need, are those made from all."""
    path = made[0] / "requests.parquet"
    whole, few = rows.load(path), rows.load(path, only=maritaca.COLUMNS)
    assert set(few.columns) == set(maritaca.COLUMNS)
    pd.testing.assert_frame_equal(few, whole[list(few.columns)])
    summary = files.from_json(made[0] / "summary.json")
    assert maritaca_says.render(few, summary) == maritaca_says.render(whole, summary) != ""
