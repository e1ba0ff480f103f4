"""What people see of service levels: in the console, in the report, and nothing where none was asked for."""

import re

import pytest
from synthetic_run import run
from test_metrics import table
from test_report_html import Page

from harness import report_html, report_slo, tables
from harness.grid import NULL
from harness.metrics import summarise
from harness.slo import read
from harness.svg import Series

ASKED = (
    "ttft_p95<57ms",
    "ttft_p50<34ms",
    "system_output_tokens_per_s>250",
    "goodput>=10%",
    "error_rate<0.5%",
)


@pytest.fixture(scope="module")
def sweep():
    """Requests and windows of levels 1, 2 and 4."""
    records, windows = run(per_level=60)
    return table(*records), windows


def summary_of(sweep, *asked: str) -> dict:
    """Its summary with these SLOs."""
    return summarise(*sweep, run_id="r", slos=read(asked))


def state(met: bool | None, passed: list[int], missed: list[int], unknown: tuple[int, ...] = ()) -> dict:
    """A run's judgement, as far as its headline goes."""
    return {"met": met, "levels_met": passed, "levels_missed": missed, "levels_unknown": unknown}


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (state(True, [8], []), "met"),
        (state(True, [1, 2, 8], []), "met at every level, up to 8 users"),
        (state(False, [1, 2], [4, 8]), "missed: met up to 2 users"),
        (state(False, [1], [4]), "missed: met up to 1 user"),
        (state(False, [2, 4, 8], [1]), "missed: met at 2, 4 and 8 users"),
        (state(False, [4], [1, 8]), "missed: met at 4 users"),
        (state(False, [], [1, 8]), "missed: met at no level"),
        (state(False, [], [8]), "missed"),
        (state(None, [1], [], (2,)), "not judged: met up to 1 user"),
        (state(None, [], [], (2,)), "not judged"),
        (state(None, [], []), "not judged: nothing was measured"),
    ],
)
def test_the_headline_says_how_far_it_went(judged: dict, said: str) -> None:
    """`up to` only where every lower level meets them too."""
    assert report_slo.headline(judged) == said


def test_the_console_has_a_column_and_a_line_each(sweep) -> None:
    """Goodput and the outcome by level, then where each was missed and by how much."""
    summary = summary_of(sweep, *ASKED)
    text = tables.render(summary, {})
    one, two, four = summary["levels"]
    block = re.search(r"^ +SLO\n.*\n-.*\n((?: .*\n){3})", text, re.MULTILINE)
    assert block is not None
    assert [line.split()[2:] for line in block[1].splitlines()] == [
        report_slo.cells(level) for level in (one, two, four)
    ]
    assert report_slo.cells(one) == [f"{100 * one['goodput']['share']:.1f}", "no"]
    flat = " ".join(text.split())
    assert "SLO missed: met at no level - ttft_p95<57ms: " in flat
    worst = min(level["system_output_tokens_per_s"] for level in summary["levels"])
    assert f"- system_output_tokens_per_s>250: missed at 1 (worst {worst:.1f} tokens/s at 1)" in flat
    highest = max(level["failed"] / level["requests"] for level in summary["levels"])
    at = next(x["concurrency"] for x in summary["levels"] if x["failed"] / x["requests"] == highest)
    assert (
        f"- error_rate<0.5%: missed at 1, 2, 4 (worst {100 * highest:.1f} % at {at}); of too few requests"
        in flat
    )
    assert "- goodput>=10%: met (worst " in flat


def test_one_level_needs_no_names_of_levels() -> None:
    """Its value alone."""
    records, windows = run(levels=(2,), per_level=60)
    summary = summarise(table(*records), windows, run_id="r", slos=read(["e2e_max<1s", "ttft_max<1ms"]))
    first, second = (summary["levels"][0][name]["max"] for name in ("e2e_ms", "ttft_ms"))
    assert report_slo.lines(summary["slo"]) == [
        "missed",
        f"e2e_max<1s: met ({first:.1f} ms)",
        f"ttft_max<1ms: missed ({second:.1f} ms)",
    ]


def test_what_was_not_measured_is_a_dash_and_no_miss() -> None:
    """In the console and in the report's cells."""
    records, windows = run(levels=(2,), per_level=9)
    failed = table(*records)
    summary = summarise(
        failed[failed["outcome"] == "failed"], windows, run_id="r", slos=read(["ttft_p95<1s"])
    )
    assert report_slo.lines(summary["slo"]) == ["not judged", "ttft_p95<1s: cannot be judged"]
    assert report_slo.cells(summary["levels"][0])[1] == NULL
    assert f"<td>{NULL} <strong>cannot be judged</strong></td>" in "".join(report_slo.section(summary))


def test_without_slos_nobody_sees_any(sweep) -> None:
    """No line, no column, no section."""
    summary = summary_of(sweep)
    assert "SLO" not in tables.render(summary, {})
    assert "SLO" not in report_html.render(summary, {})
    assert "oodput" not in report_html.render(summary, {})
    assert list(report_slo.section(summary)) == []


def test_the_report_has_a_table_of_them_and_lines_in_its_charts(sweep) -> None:
    """A row an SLO with its values by level; limits drawn where they are in sight; well formed and escaped."""
    summary = summary_of(sweep, *ASKED, "tpot_p99<9s")
    page = Page(report_html.render(summary, {}))
    assert page.open == []
    words = page.text
    for text in (*ASKED, "tpot_p99<9s"):
        assert text in words
    value = summary["levels"][2]["slo"][0]
    assert f"{value['value']:.1f} ms {'met' if value['met'] else ''}" in words
    lines = [line for line in words.splitlines() if line.startswith("SLO")]
    names = sorted(line for line in lines if " at " not in line)
    assert names == ["SLO", "SLO", "SLO p50", "SLO p95"]  # one of them the heading of a column
    assert "SLO p99" not in words  # 9 s on an axis of ms
    assert len(re.findall("SLO p95 at [124]: 57", words)) == 3  # tooltips
    assert "Service levels missed: met at no level" in words


def test_a_limit_far_above_is_not_drawn() -> None:
    """It would squash what the chart is there for; one below everything is drawn."""
    drawn = [Series("p95", [10.0, None, 40.0])]
    judged = {"asked": ["ttft_p95<80ms", "ttft_p99<81ms", "ttft_max<1ms", "tpot_p95<5ms"]}
    assert report_slo.series(judged, "ttft_ms", drawn, "s1") == [
        Series("SLO p95", [80.0] * 3, "s1"),
        Series("SLO max", [1.0] * 3, "s1"),
    ]
    assert report_slo.series(None, "ttft_ms", drawn, "s1") == []
    rate = {"asked": ["output_tokens_per_s_p10>5", "system_output_tokens_per_s>7"]}
    assert [one.name for one in report_slo.series(rate, "request_output_tokens_per_s", drawn, "s1")] == [
        "SLO p10"
    ]
    assert [one.name for one in report_slo.series(rate, "system_output_tokens_per_s", drawn, "s1")] == ["SLO"]
