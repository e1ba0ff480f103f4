"""What is told beside the levels' figures: refusals, probes, and the guard that ended the run."""

from typing import Any

import pandas as pd
from synthetic_run import BASE_NS, record

from harness.beside import with_beside
from harness.errors import ErrorClass
from harness.journal import Window
from harness.record import Outcome, Phase, RequestRecord
from harness.refusals import rate_limited
from harness.report import beside as report_beside

MS = 1_000_000


def refused(name: str, status: int = 429, after_s: float | None = None, **fields: object) -> RequestRecord:
    return record(
        name,
        outcome=Outcome.FAILED,
        error_class=ErrorClass.OVERLOAD,
        http_status=status,
        retry_after_s=after_s,
        **fields,
    )


def table(*records: RequestRecord) -> pd.DataFrame:
    return pd.DataFrame([{**one.row(0), "chunk_gaps_us": list(one.chunk_gaps_us)} for one in records])


REFUSALS = table(
    record("a", http_status=200),
    refused("b"),
    refused("c", after_s=2.5),
    refused("d", status=503, after_s=90.0),
    refused("e", after_s=4.0, phase=Phase.PROBE),
)


def test_refusals_and_rests() -> None:
    """429s of any phase; what any refusal asked for; who rested, 60 s at most, which probes do not."""
    assert rate_limited(REFUSALS, rests=True) == {
        "requests": 3, "retry_after_s_total": 96.5, "rests": 2, "rest_s": 62.5,
    }  # fmt: skip


def test_nobody_rests_who_was_not_to() -> None:
    """An open loop, or --retry-after no: the same refusals, and no rest."""
    found = rate_limited(REFUSALS, rests=False)
    assert (found["requests"], found["retry_after_s_total"], found["rests"], found["rest_s"]) == (
        3,
        96.5,
        0,
        0.0,
    )


def test_a_run_without_refusals_says_nothing() -> None:
    """Counts are 0, for they were counted, and no line is shown."""
    found = rate_limited(table(record("a")), rests=True)
    assert found == {"requests": 0, "retry_after_s_total": 0.0, "rests": 0, "rest_s": 0.0}
    assert report_beside.limited({"rate_limited": found, "levels": []}) is None


def summary(**run: object) -> dict[str, Any]:
    levels = [{"level": level, "kind": "concurrency"} for level in (1, 8)]
    return with_beside({"levels": levels}, run, REFUSALS, [Window(1, 1, BASE_NS, BASE_NS + 1_000 * MS)])


def test_levels_count_what_is_measured() -> None:
    """The level of all rows has two 429s, for the third is a probe's; the other none; the run has all."""
    found = summary(settings={"retry_after": True, "arrivals": None})
    by_level = {level["level"]: level["rate_limited"] for level in found["levels"]}
    level = REFUSALS["level"].iloc[0]
    assert by_level[level]["requests"] == 2
    assert sum(one["requests"] for one in by_level.values()) == 2
    assert (found["rate_limited"]["requests"], found["rate_limited"]["rests"]) == (3, 2)
    assert summary(settings={"arrivals": "poisson:3"})["rate_limited"]["rests"] == 0
    assert found["ended_by"] is None


def test_refusals_in_words() -> None:
    """How many, at which level, what was asked for and how it was heeded."""
    found = summary(settings={})
    level = REFUSALS["level"].iloc[0]
    assert report_beside.limited(found) == (
        f"3 requests were refused with HTTP 429 (measured ones by level: {level}: 2); refusals asked for 96.5 s of rest in "
        "all (Retry-After), and users rested 2 times, 62.5 s"
    )


def test_the_guard_in_words() -> None:
    """Its sentence, and how far it was passed; and nothing of a hostile text is markup in the report."""
    by = {
        "guard": "max_tokens",
        "text": "--max-tokens 10: 12 tokens after <b>1 s</b>",
        "over": "in the end 13",
    }
    found = summary(settings={}, ended_by=by)
    assert report_beside.ended(found) == f"ended by {by['text']}; in the end 13"
    page = "".join(report_beside.section(found))
    assert "&lt;b&gt;1 s&lt;/b&gt;" in page
    assert "<b>1 s" not in page


def test_older_summaries_show_nothing() -> None:
    """Without the three entries there is no line, no table and no section."""
    old: dict[str, Any] = {"levels": []}
    assert (report_beside.ended(old), report_beside.limited(old), report_beside.probes(old, 110)) == (
        None,
        None,
        [],
    )
    assert list(report_beside.section(old)) == []
