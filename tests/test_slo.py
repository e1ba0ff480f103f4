"""`--slo`: what may be written, what it means of one request, and what a run that misses one exits with."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust_runs import run, simulator
from recomputed import check, is_good, split_slo
from synthetic_run import BASE_NS, record
from synthetic_run import run as synthetic

from harness import rows
from harness.errors import ConfigError, ErrorClass
from harness.record import Outcome, RequestRecord
from harness.servers.process import Server
from harness.slo import FIGURES, good, good_rows, parse, read

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "parts", "said"),
    [
        ("ttft_p95<2s", ("ttft", "p95", "<", 2000.0), "ttft_p95<2s"),
        ("ttft_p95<1.1s", ("ttft", "p95", "<", 1100.0), "ttft_p95<1.1s"),  # not 1100.0000000000002
        ("  TPOT_p99 <=  50000 US ", ("tpot", "p99", "<=", 50.0), "tpot_p99<=50000us"),
        ("e2e_max<.5s", ("e2e", "max", "<", 500.0), "e2e_max<.5s"),
        ("ttfa_median>0ms", ("ttfa", "median", ">", 0.0), "ttfa_median>0ms"),
        ("ttft_scheduled_p99<4s", ("ttft_scheduled", "p99", "<", 4000.0), "ttft_scheduled_p99<4s"),
        ("e2e_scheduled_max<=9s", ("e2e_scheduled", "max", "<=", 9000.0), "e2e_scheduled_max<=9s"),
        ("chunk_gap_mean<80ms", ("chunk_gap", "mean", "<", 80.0), "chunk_gap_mean<80ms"),
        ("output_tokens_per_s_p10>=20", ("output_tokens_per_s", "p10", ">=", 20.0), "output_tokens_per_s_p10>=20"),
        ("system_output_tokens_per_s>1000", ("system_output_tokens_per_s", None, ">", 1000.0),
         "system_output_tokens_per_s>1000"),
        ("requests_per_s>2.5", ("requests_per_s", None, ">", 2.5), "requests_per_s>2.5"),
        ("error_rate<1%", ("error_rate", None, "<", 0.01), "error_rate<1%"),
        ("error_rate<=0%", ("error_rate", None, "<=", 0.0), "error_rate<=0%"),
        ("goodput>0.95", ("goodput", None, ">", 0.95), "goodput>0.95"),
        ("goodput >= 100 %", ("goodput", None, ">=", 1.0), "goodput>=100%"),
        ("goodput>95%", ("goodput", None, ">", 0.95), "goodput>95%"),
    ],
)  # fmt: skip
def test_an_slo_is_a_figure_an_operator_and_a_limit(text: str, parts: tuple[object, ...], said: str) -> None:
    """Limits are in ms, shares and rates, exactly; blanks and capitals do not matter, and the text comes back."""
    slo = parse(text)
    assert (slo.figure.name, slo.statistic, slo.op, slo.limit) == parts
    assert slo.describe() == said
    assert parse(said) == slo


NAMES = [
    *(f"{one.name}_{statistic}" for one in FIGURES.values() for statistic in one.statistics),
    *(one.name for one in FIGURES.values() if not one.statistics),
]


@given(
    name=st.sampled_from(NAMES),
    op=st.sampled_from(["<", "<=", ">", ">="]),
    number=st.decimals("0.001", "99.999", places=3),
    blanks=st.lists(st.sampled_from(["", " ", "\t "]), min_size=4, max_size=4),
    unit=st.sampled_from(["s", "ms", "us"]),
)
def test_what_is_written_comes_back(name: str, op: str, number: object, blanks: list[str], unit: str) -> None:
    """Any figure, operator, limit and spacing: the parts are what was written, and `describe` gives the same SLO."""
    kind = {one.name: one.unit for one in FIGURES.values()}.get(name) or FIGURES[name.rpartition("_")[0]].unit
    unit = unit if kind == "ms" else "%" if kind == "share" else ""
    slo = parse(f"{blanks[0]}{name}{blanks[1]}{op}{blanks[2]}{number}{blanks[3]}{unit}")
    scale = {"s": 1000, "ms": 1, "us": 0.001, "%": 0.01, "": 1}[unit]
    assert "_".join(filter(None, (slo.figure.name, slo.statistic))) == name
    assert (slo.op, slo.limit) == (op, pytest.approx(float(str(number)) * scale))
    assert parse(slo.describe()) == slo
    assert split_slo(slo.describe()) == (slo.figure.name, slo.statistic, op, pytest.approx(slo.limit))


WRITE = (
    "write a figure, one of < <= > >=, and a value with its unit: ttft_p95<2s, error_rate<1% or goodput>=95%"
)
THERE = (
    "there are ttft, ttfa, tpot, e2e, ttft_scheduled, e2e_scheduled, chunk_gap, output_tokens_per_s, each with a "
    "statistic as in ttft_p95, and error_rate, goodput, system_output_tokens_per_s, system_total_tokens_per_s, requests_per_s"
)
SHARE = "error_rate is a share: write 0% to 100%, or a bare number below 1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", WRITE),
        ("fast", WRITE),
        ("ttft_p95=2s", WRITE),
        ("ttft_p95<-2s", WRITE),
        ("ttft_p95<1e3ms", "ttft is a time: give its unit, s, ms or us, e.g. 1s"),
        ("ttft_p95<2", "ttft is a time: give its unit, s, ms or us, e.g. 2s"),
        ("ttft_p95<2min", "ttft is a time: give its unit, s, ms or us, e.g. 2s"),
        ("ttft<2s", "which ttft? Write one of ttft_mean, ttft_median, ttft_p50, ttft_p90, ttft_p95, ttft_p99, ttft_max"),
        ("ttft_p75<2s", "ttft has no statistic p75; there are mean, median, p50, p90, p95, p99, max"),
        ("output_tokens_per_s_p99>1", "output_tokens_per_s has no statistic p99; there are mean, median, p5, p10, p50, p90"),
        ("error_rate_p95<1%", "error_rate has no statistic p95; write error_rate alone"),
        ("latency_p95<2s", f"no figure is called latency_p95; {THERE}"),
        ("error_rate<1", SHARE),  # 1 %, or all of them?
        ("error_rate<101%", SHARE),
        ("error_rate<1s", "error_rate is a share: write e.g. 5% or 0.05"),
        ("requests_per_s>2/s", "requests_per_s is in requests/s: write a bare number, e.g. 2"),
        ("e2e_p95<0s", "nothing can meet this: e2e is never below 0"),
        ("goodput>100%", "nothing can meet this: goodput is never above 100%"),
        ("goodput>=0%", "nothing can miss this: goodput is never below 0"),
        ("error_rate<=100%", "nothing can miss this: error_rate is never above 100%"),
    ],
)  # fmt: skip
def test_what_is_none_is_one_line(text: str, why: str) -> None:
    """It names the option, the text, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == f"--slo {text!r}: {why}"


def test_several_in_one_text_and_each_once() -> None:
    """An option may be repeated or have commas; nothing is asked twice."""
    slos = read(["ttft_p95<2s, error_rate<1%", "", " ttft_p95 < 2s ", "ttft_p95<2000ms,"])
    assert [slo.describe() for slo in slos] == ["ttft_p95<2s", "error_rate<1%", "ttft_p95<2000ms"]
    assert read([]) == read([" , "]) == ()


def test_goodput_needs_something_to_be_good_by() -> None:
    """Without an SLO on a figure of requests every request that succeeds would be good."""
    why = (
        "--slo 'goodput>95%': goodput is the share of requests that meet the SLOs on single requests, and there "
        "are none; add one, e.g. --slo 'ttft_p95<2s'"
    )
    for others in ([], ["error_rate<1%"], ["chunk_gap_p99<1s"]):
        with pytest.raises(ConfigError) as caught:
            read([*others, "goodput>95%"])
        assert str(caught.value) == why
    assert len(read(["goodput>95%", "tpot_p50<1s"])) == 2


# TTFT 100 ms, then 10 tokens in 200 ms: TPOT 20 ms, 50 tokens/s, E2E 300 ms.
PLAIN = {
    "sent_ns": BASE_NS,
    "first_content_ns": BASE_NS + 100 * MS,
    "first_answer_ns": BASE_NS + 120 * MS,
    "last_content_ns": BASE_NS + 300 * MS,
    "output_tokens": 11,
    "chunks": 11,
}
ONE_TOKEN = {**PLAIN, "last_content_ns": BASE_NS + 100 * MS, "output_tokens": 1, "chunks": 1}


@pytest.mark.parametrize(
    ("asked", "fields", "is_good"),
    [
        (["ttft_p95<101ms"], PLAIN, True),
        (["ttft_p95<100ms"], PLAIN, False),
        (["ttft_p95<=100ms"], PLAIN, True),
        (["ttft_p50<=100ms", "tpot_max<20ms"], PLAIN, False),
        (["ttfa_mean<=120ms", "tpot_p99<=20ms", "e2e_p90<=300ms", "output_tokens_per_s_p10>=50"], PLAIN, True),
        (["output_tokens_per_s_p10>50"], PLAIN, False),
        (["ttft_p95<1s"], {**PLAIN, "outcome": Outcome.FAILED, "error_class": ErrorClass.TRUNCATED}, False),
        (["ttft_p95<1s"], {**PLAIN, "outcome": Outcome.CANCELLED}, False),
        (["ttft_p95<1s"], {**PLAIN, "streamed": False}, False),  # nobody knows its first token
        (["e2e_p95<1s"], {**PLAIN, "streamed": False}, True),
        (["ttfa_p95<1s"], {**PLAIN, "first_answer_ns": None}, False),  # reasoned, and never answered
        (["e2e_p95<1s"], {"sent_ns": BASE_NS}, False),  # an answer without content
        (["tpot_p95<1ms", "output_tokens_per_s_p10>1000"], ONE_TOKEN, True),  # there is no second token to wait for
        (["tpot_p95<1ms"], {**ONE_TOKEN, "output_tokens": 9, "chunks": 9}, True),  # all in one read
        (["tpot_p95<1ms"], {**PLAIN, "output_tokens": 4, "first_chunk_tokens": 4}, True),  # all in the first event
        (["tpot_p95<1s"], {**PLAIN, "output_tokens": None}, False),  # nobody counted
        (["tpot_p95<1s"], {**ONE_TOKEN, "streamed": False}, False),
        (["tpot_p95<1s"], {"sent_ns": BASE_NS, "output_tokens": 0}, False),
        (["error_rate<1%", "chunk_gap_p99<1ms", "system_output_tokens_per_s>1"], PLAIN, None),
        ([], PLAIN, None),
    ],
)  # fmt: skip
def test_a_request_is_good_if_it_meets_every_slo_by_itself(
    asked: list[str], fields: dict[str, object], is_good: bool | None
) -> None:
    """Its own figure against the limit; what was not measured is not met, what cannot be is; one or many at a time."""
    slos, one = read(asked), record("a", **fields)
    assert good(one, slos) is is_good
    found = good_rows(frame([one, record("b", outcome=Outcome.FAILED)]), slos)
    assert (None if found is None else found.tolist()) == (None if is_good is None else [is_good, False])


def frame(records: list[RequestRecord]) -> pd.DataFrame:
    """What requests.parquet would give for these records."""
    table = pd.DataFrame([one.row(0) for one in records])
    integers = [name for name, kind in rows.COLUMNS.items() if kind == "int64" and name in table]
    return table.astype(dict.fromkeys(integers, "Int64"))


RECORDS, _ = synthetic(levels=(1, 2, 4), per_level=60)
TABLE = frame(RECORDS)


@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(["ttft_p95", "ttfa_p50", "tpot_p99", "e2e_max", "output_tokens_per_s_p10"]),
            st.sampled_from(["<", "<=", ">", ">="]),
            st.integers(1, 400),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_one_by_one_and_as_a_table_they_are_the_same(asked: list[tuple[str, str, int]]) -> None:
    """Also by a third way, with plain loops; records of every kind."""
    texts = [f"{name}{op}{limit}{'' if name.startswith('output') else 'ms'}" for name, op, limit in asked]
    slos = read(texts)
    found = good_rows(TABLE, slos)
    assert found is not None
    assert found.tolist() == [good(one, slos) for one in RECORDS]
    assert found.tolist() == [is_good(one.row(0), [split_slo(text) for text in texts]) for one in RECORDS]


def test_a_table_read_from_its_file_is_judged_alike(tmp_path: Path) -> None:
    """Columns of the file's own kinds, nulls among them."""
    rows.write(tmp_path / "requests.parquet", RECORDS)
    slos = read(["ttft_p95<30ms", "tpot_p95<6ms", "output_tokens_per_s_p10>100"])
    found = good_rows(rows.load(tmp_path / "requests.parquet"), slos)
    assert found is not None
    assert found.tolist() == [good(one, slos) for one in RECORDS]
    assert 20 < sum(found) < len(RECORDS) - 20


SLOW = ("--prefill-rate", "50000", "--step-base-ms", "10", "--step-per-seq-ms", "0", "--slots", "1")
SIZES = ("--prompt-tokens", "30", "--output-tokens", "20")  # an answer takes 200 ms


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for one at a time: who comes third waits for some 400 ms."""
    with simulator(*SLOW) as running:
        yield running


def test_a_sweep_that_saturates_exits_with_3_and_says_how_far_it_went(server: Server, tmp_path: Path) -> None:
    """Level 1 meets everything, level 3 has to wait; figures, table and report say so, and can be recomputed."""
    done = run(
        "openai.py", tmp_path / "r", "--host", server.url, *SIZES, "--levels", "1,3", "--requests-per-level", "9",
        "--slo", "ttft_p90 < 150ms", "--slo", "error_rate<=0%,goodput>=90%", "--slo", "output_tokens_per_s_p10>20",
    )  # fmt: skip
    assert done.code == 3, done.err
    summary = done.summary
    check(done.directory)
    asked = ["ttft_p90<150ms", "error_rate<=0%", "goodput>=90%", "output_tokens_per_s_p10>20"]
    assert json.loads((done.directory / "run.json").read_bytes())["settings"]["slo"] == asked
    assert {name: summary["slo"][name] for name in ("asked", "met", "highest_level", "levels_missed")} == {
        "asked": asked, "met": False, "highest_level": 1, "levels_missed": [3],
    }  # fmt: skip
    one, three = summary["levels"]
    assert [slo["met"] for slo in one["slo"]] == [True] * 4
    assert [slo["met"] for slo in three["slo"]] == [False, True, False, True]
    assert (one["goodput"]["share"], one["goodput"]["n"]) == (1, 9)
    assert one["goodput"]["requests_per_s"] == one["requests_per_s"]
    assert three["goodput"]["good"] <= 2  # the first in the queue, maybe
    assert "\nSLO missed: met up to 1 user\n" in done.out
    assert "SLO" in (done.directory / "report.html").read_text()
    csv = pd.read_csv(done.directory / "levels.csv")
    assert csv["slo_met"].tolist() == ["yes", "no"]
    assert csv["goodput_share"].tolist() == [level["goodput"]["share"] for level in summary["levels"]]


@pytest.mark.parametrize(
    ("slo", "fault", "code"),
    [
        ("ttft_p50<5s,goodput>=50%,error_rate<1%", False, 0),
        ("ttft_p50<5s,error_rate<95%", True, 1),  # Locust's own rule: some requests failed
        ("ttft_p50<5s,error_rate<5%", True, 3),
    ],
)
def test_exit_codes(server: Server, tmp_path: Path, slo: str, fault: bool, code: int) -> None:
    """0 where all are met and nothing failed; a miss outranks failed requests, which an SLO that is met does not excuse."""
    with simulator(*SLOW, "--fault", "status:0.5,code=500") as faulty:
        done = run(
            "openai.py", tmp_path / "r", "--host", (faulty if fault else server).url, *SIZES, "--preflight", "no",
            "--levels", "1", "--requests-per-level", "8", "--slo", slo,
        )  # fmt: skip
    assert done.code == code, done.err
    assert done.summary["slo"]["met"] is (code != 3)


def test_a_bad_slo_is_told_before_any_load(tmp_path: Path) -> None:
    """One line, exit 2, and no run directory."""
    done = run("openai.py", tmp_path / "r", "--host", "http://127.0.0.1:9", "--slo", "ttft_p95<2")
    assert done.code == 2
    why = "--slo 'ttft_p95<2': ttft is a time: give its unit, s, ms or us, e.g. 2s"
    assert done.errors == [f"tokenswarm: error: {why}"]
    assert not (tmp_path / "r").exists()
