"""What people see of service levels: in the console, in the report, and nothing where none was asked for."""

import re
from html import escape

import pytest
from report_pages import Page, page
from synthetic_run import run
from test_metrics import table

from harness import tables
from harness.grid import NULL
from harness.metrics import summarise
from harness.report import slo as report_slo
from harness.slo import read

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
    text = page(*sweep, summary=summary).partition("<footer>")[0].partition("</style>")[2]
    assert "SLO" not in text
    assert "oodput" not in text
    assert "ervice level" not in text
    assert list(report_slo.section(summary)) == []


def test_the_report_has_a_table_of_them(sweep) -> None:
    """A row an SLO with its values by level, a pill and a tile above; well formed and escaped."""
    summary = summary_of(sweep, *ASKED, "tpot_p99<9s")
    text = page(*sweep, summary=summary)
    found = Page(text)
    assert found.open == []
    for asked in (*ASKED, "tpot_p99<9s"):
        assert asked in found.words
    for index, asked in enumerate((*ASKED, "tpot_p99<9s")):
        cells = text.partition(f"<tr><th>{escape(asked)}</th>")[2].partition("</tr>")[0]
        told = [re.sub("<.*?>", "", cell) for cell in re.findall("<td>(.*?)</td>", cells)]
        assert told == [report_slo.cell(level["slo"][index]) for level in summary["levels"]]
    assert found.words.count("SLO missed") == 1
    assert "Service levels missed: met at no level" in found.words


@pytest.mark.parametrize(("asked", "pill"), [("ttft_p95<9s", "SLOs met"), ("ttft_p95<1ms", "SLO missed")])
def test_the_first_line_says_whether_they_were_met(sweep, asked: str, pill: str) -> None:
    """In a word beside the verdict, with its colour."""
    text = page(*sweep, summary=summary_of(sweep, asked))
    [tone] = re.findall(f'<span class="pill([^"]*)">{pill}</span>', text)
    assert tone == ("" if pill == "SLOs met" else " invalid")
