"""Goodput and service levels of levels and runs, against values worked out by hand."""

import json
from pathlib import Path

import pytest
from recomputed import recompute_level, same
from synthetic_run import record, run
from test_metrics import HAND, HAND_WINDOWS, at, streamed, table

from harness import judgement, rows
from harness.journal import Window
from harness.metrics import summarise
from harness.record import Outcome, Phase
from harness.slo import read


def judged(*asked: str) -> dict:
    """The one level of the table by hand: a and b streamed, c whole, d and e failed, f cancelled, w warming up."""
    [level] = summarise(HAND, HAND_WINDOWS, run_id="hand", planned=9, slos=read(asked))["levels"]
    return level


@pytest.mark.parametrize(
    ("asked", "good", "per_s"),
    [
        (["e2e_p95<100ms"], 2, 15.0),  # a and c of six; a, c and w ended inside the 0.2 s
        (["ttft_p95<=20ms"], 1, 10.0),  # c has no TTFT
        (["tpot_p50<15ms"], 1, 5.0),
        (["e2e_p95<1s", "ttft_p95<=30ms"], 2, 10.0),  # a and b, but b ended after the window; w
        (["e2e_p95<1ms"], 0, 0.0),
    ],
)
def test_goodput_is_over_all_measured_requests(asked: list[str], good: int, per_s: float) -> None:
    """Failed and cancelled ones count as not good; the rate is of what ended inside the window, as `requests_per_s`."""
    assert judged(*asked)["goodput"] == {
        "share": pytest.approx(good / 6),
        "requests_per_s": pytest.approx(per_s),
        "good": good,
        "n": 6,
    }


@pytest.mark.parametrize(
    ("asked", "value", "n", "met"),
    [
        ("e2e_p95<179ms", 179.0, 3, False),  # of 60, 80 and 190
        ("e2e_p95<=179.1ms", 179.0, 3, True),
        ("e2e_p50<81ms", 80.0, 3, True),
        ("e2e_max<0.2s", 190.0, 3, True),
        ("ttft_mean<25ms", 25.0, 2, False),
        ("output_tokens_per_s_p50>=75", 75.0, 2, True),
        ("chunk_gap_max<=80ms", 80.0, 4, True),
        ("error_rate<33%", 2 / 6, 6, False),
        ("error_rate<34%", 2 / 6, 6, True),
        ("requests_per_s>=15", 15.0, None, True),
        ("system_output_tokens_per_s>91", 90.0, None, False),
    ],
)
def test_a_levels_value_is_the_one_in_its_entry(asked: str, value: float, n: int | None, met: bool) -> None:
    """Percentiles are of successful measured requests; shares of all measured ones; rates of the window."""
    [one] = judged(asked)["slo"]
    assert (one["slo"], one["met"], one["n"]) == (asked, met, n)
    assert one["value"] == pytest.approx(value)


def test_goodput_can_be_asked_for_itself() -> None:
    """Its share against the limit, with the other SLOs saying what good is."""
    level = judged("e2e_p95<100ms", "goodput>=33.3%", "goodput>34%")
    assert [one["met"] for one in level["slo"]] == [False, True, False]
    assert [one["value"] for one in level["slo"]][1:] == [pytest.approx(1 / 3)] * 2


def test_without_slos_there_is_nothing() -> None:
    """Null, in the level and in all; only figures of levels asked for: no goodput."""
    summary = summarise(HAND, HAND_WINDOWS, run_id="hand")
    assert (summary["slo"], summary["levels"][0]["slo"], summary["levels"][0]["goodput"]) == (
        None,
        None,
        None,
    )
    assert judged("error_rate<1%")["goodput"] is None


@pytest.mark.parametrize(
    ("asked", "n", "few"),
    [
        ("e2e_p99<1s", 99, True),
        ("e2e_p99<1s", 100, False),
        ("e2e_p95<1s", 19, True),
        ("e2e_p95<1s", 20, False),
        ("e2e_p90<1s", 9, True),
        ("e2e_p90<1s", 10, False),
        ("e2e_median<1s", 1, True),
        ("e2e_median<1s", 2, False),
        ("e2e_mean<1s", 1, False),
        ("e2e_max<1s", 1, False),
        ("error_rate<1%", 99, True),
        ("error_rate<1%", 100, False),
        ("error_rate<=0%", 1, False),
        ("goodput>=95%", 19, True),
        ("goodput>=95%", 20, False),
        ("goodput>=90%", 10, False),
        ("output_tokens_per_s_p5>1", 19, True),
        ("output_tokens_per_s_p5>1", 20, False),
        ("requests_per_s>1", 1, False),
    ],
)
def test_a_statistic_of_too_few_is_judged_and_marked(asked: str, n: int, few: bool) -> None:
    """A p95 needs 20 values for one of them to lie beyond it, a share of 1 % a hundred requests."""
    requests = table(*(streamed(str(i), 100, [120, 140, 160], 5) for i in range(n)))
    slos = read([asked, "ttft_p50<1s"])
    [level] = summarise(requests, [Window(1, 1, at(100), at(300))], run_id="x", slos=slos)["levels"]
    assert (level["slo"][0]["few"], level["slo"][0]["met"]) == (few, True)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """Whole answers have no TTFT: null, and so is the level, unless something else is missed."""
    whole = record("c", sent_ns=at(100), last_content_ns=at(180), end_ns=at(180), streamed=False, chunks=1)
    slos = read(["ttft_p95<1s", "e2e_p95<1s"])
    summary = summarise(table(whole), HAND_WINDOWS, run_id="x", slos=slos)
    [level] = summary["levels"]
    assert [(one["value"], one["n"], one["met"]) for one in level["slo"]] == [
        (None, 0, None),
        (80.0, 1, True),
    ]
    assert (summary["slo"]["met"], summary["slo"]["levels_unknown"], summary["slo"]["highest_level"]) == (
        None,
        [1],
        None,
    )
    missed = summarise(table(whole), HAND_WINDOWS, run_id="x", slos=read(["ttft_p95<1s", "e2e_p95<1ms"]))
    assert missed["slo"]["met"] is False


def test_a_run_of_which_nothing_was_measured_met_nothing() -> None:
    """No requests: shares and statistics are null; no level at all: so is the run."""
    slos = read(["ttft_p95<1s", "error_rate<1%", "goodput>=90%"])
    summary = summarise(table(), HAND_WINDOWS, run_id="x", slos=slos)
    [level] = summary["levels"]
    assert level["goodput"] == {"share": None, "requests_per_s": 0.0, "good": 0, "n": 0}
    assert [one["met"] for one in level["slo"]] == [None] * 3
    assert summarise(table(), [], run_id="x", slos=slos)["slo"]["met"] is None


def levels_of(times: dict[int, float]) -> dict:
    """The run's judgement of levels whose requests took so many ms, by a limit of 100 ms."""
    requests = [
        record(
            f"{level}-{i}", level=level, sent_ns=at(0), first_content_ns=at(ms), last_content_ns=at(ms), end_ns=at(ms),
            chunks=1, outcome=Outcome.OK, phase=Phase.MEASURE, output_tokens=1,
        )
        for level, ms in times.items()
        for i in range(30)
    ]  # fmt: skip
    windows = [Window(level, 1, at(0), at(1000)) for level in times]
    return summarise(table(*requests), windows, run_id="x", slos=read(["e2e_p95<=100ms"]))["slo"]


@pytest.mark.parametrize(
    ("times", "met", "highest", "missed", "worst"),
    [
        ({1: 50, 2: 80, 4: 100}, True, 4, [], (100, 4)),
        ({1: 50, 2: 80, 4: 101}, False, 2, [4], (101, 4)),
        ({1: 150, 2: 80, 4: 90}, False, 4, [1], (150, 1)),
        ({1: 150, 2: 180}, False, None, [1, 2], (180, 2)),
    ],
)
def test_a_run_meets_what_every_level_meets(
    times: dict[int, float], met: bool, highest: int | None, missed: list[int], worst: tuple[float, int]
) -> None:
    """One level that misses is a miss; the highest that meets all, where each was missed, and its worst value are told."""
    told = levels_of(times)
    assert (told["met"], told["highest_level"], told["levels_missed"]) == (met, highest, missed)
    [each] = told["each"]
    assert (each["met"], each["missed_at"], each["unknown_at"]) == (met, missed, [])
    assert (each["worst"], each["worst_level"]) == (pytest.approx(worst[0]), worst[1])
    assert told["asked"] == ["e2e_p95<=100ms"]


def test_the_worst_of_a_rate_is_the_lowest() -> None:
    """For `>` as the highest is for `<`."""
    records, windows = run(levels=(1, 4))
    slos = read(["system_output_tokens_per_s>1", "requests_per_s<1000"])
    summary = summarise(table(*records), windows, run_id="x", slos=slos)
    one, four = summary["levels"]
    assert four["requests_per_s"] > one["requests_per_s"]
    assert [each["worst_level"] for each in summary["slo"]["each"]] == [1, 4]


@pytest.mark.parametrize("least", [None, 9])
def test_everything_again_by_plain_loops(tmp_path: Path, least: int | None) -> None:
    """Every figure of a run with failures, warm-up, several passes and short answers; dropped ones may be good."""
    records, windows = run(levels=(1, 2, 4), per_level=80)
    rows.write(tmp_path / "t.parquet", records)
    requests = rows.load(tmp_path / "t.parquet")
    asked = [
        *("ttft_p95<50ms", "ttfa_p99<1s", "tpot_p50<4ms", "e2e_mean<80ms", "output_tokens_per_s_p10>=150"),
        *("chunk_gap_p99<9ms", "error_rate<12%", "goodput>40%", "system_output_tokens_per_s>300"),
        *("requests_per_s>=20", "system_total_tokens_per_s<3000", "output_tokens_per_s_median<9999"),
    ]
    summary = summarise(requests, windows, run_id="x", slos=read(asked), drop_under=least)
    plain = json.loads(requests.to_json(orient="records"))
    for row, one in zip(plain, records, strict=True):  # floats and lists to the last digit
        row.update({name: one.row(0)[name] for name in one.row(0) if name in row})
    spans = [
        {"level": w.level, "repeat": w.repeat, "start_ns": w.start_ns, "end_ns": w.end_ns} for w in windows
    ]
    for level in summary["levels"]:
        again = recompute_level(plain, level["concurrency"], spans, least, asked)
        same(
            {"goodput": level["goodput"], "slo": level["slo"]},
            {"goodput": again["goodput"], "slo": again["slo"]},
        )
        assert level["slo"][0]["n"] > 20
        assert 0.1 < level["goodput"]["share"] < 0.9
    met = [one["met"] for level in summary["levels"] for one in level["slo"]]
    assert True in met
    assert False in met


def test_all_met() -> None:
    """A miss decides, then what is not known."""
    cases = [([True, True], True), ([True, None], None), ([None, False, True], False), ([], None)]
    for met, expected in cases:
        assert judgement.all_met([{"met": one} for one in met]) is expected
