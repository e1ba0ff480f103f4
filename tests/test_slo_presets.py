"""`--slo mlperf:...`: the published limits, what they become, and that a run is judged by them like by any other."""

import json
import re
from pathlib import Path

import exported_run
import pytest
from recomputed import recompute_level, same
from synthetic_run import BASE_NS, record, run

from harness import cli, ending, judgement, rows, slo_presets
from harness.errors import ConfigError
from harness.export import junit
from harness.hope import Hope
from harness.journal import Window
from harness.metrics import summarise
from harness.option_table import OPTIONS
from harness.report import slo as report_slo
from harness.slo import parse, read

# The lines of loadgen/mlperf.conf (mlcommons/inference b66003e1) that say so, in ms.
MLPERF_CONF = """
llama2-70b.Server.ttft_latency = 2000
llama2-70b.Server.tpot_latency = 200
llama2-70b-interactive.Server.ttft_latency = 450
llama2-70b-interactive.Server.tpot_latency = 40
mixtral-8x7b.Server.ttft_latency = 2000
mixtral-8x7b.Server.tpot_latency = 200
llama3_1-405b.Server.ttft_latency = 6000
llama3_1-405b.Server.tpot_latency = 175
llama3_1-405b-interactive.Server.ttft_latency = 4500
llama3_1-405b-interactive.Server.tpot_latency = 80
llama3_1-8b.Server.ttft_latency = 2000
llama3_1-8b.Server.tpot_latency = 100
llama3_1-8b-interactive.Server.ttft_latency = 500
llama3_1-8b-interactive.Server.tpot_latency = 30
deepseek-r1.Server.ttft_latency = 2000
deepseek-r1.Server.tpot_latency = 80
deepseek-r1-interactive.Server.ttft_latency = 1500
deepseek-r1-interactive.Server.tpot_latency = 15
gpt-oss-120b.Server.ttft_latency = 3000
gpt-oss-120b.Server.tpot_latency = 80
gpt-oss-120b-interactive.Server.ttft_latency = 2000
gpt-oss-120b-interactive.Server.tpot_latency = 15
"""
LIMITS = {
    (model, figure): float(limit)
    for model, figure, limit in re.findall(
        r"^(\S+)\.Server\.(ttft|tpot)_latency = (\d+)$", MLPERF_CONF, re.MULTILINE
    )
}


def test_every_limit_is_the_published_one() -> None:
    """Every model with limits on tokens, as LoadGen's own file names it; at p99, and inclusive."""
    assert len(LIMITS) == 22
    assert {model.replace("_", ".") for model, _ in LIMITS} == set(slo_presets.MLPERF)
    for (model, figure), limit in LIMITS.items():
        asked = {one.figure.name.split("_")[0]: one for one in read([f"mlperf:{model}"])}
        one = asked[figure]
        assert (one.statistic, one.op, one.limit) == ("p99", "<=", limit)
        assert one.meets(limit)
        assert not one.meets(limit + 0.001)
        assert one.preset == f"mlperf:{model.replace('_', '.')}"


def test_ttft_is_from_when_a_request_was_due() -> None:
    """As LoadGen has it: a client that sends late does not make a server quick."""
    ttft, tpot = read([" MLPerf: Llama2-70B-Interactive "])
    assert ttft.figure.column == "ttft_scheduled_ms"
    assert (ttft.describe(), tpot.describe()) == (
        "ttft_scheduled_p99<=450ms (mlperf:llama2-70b-interactive)",
        "tpot_p99<=40ms (mlperf:llama2-70b-interactive)",
    )


def test_what_is_stored_is_read_again_without_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is judged by the limits of its day, whatever later versions say; and beside others, each once."""
    asked = read(["error_rate<1%,mlperf:mixtral-8x7b", "mlperf:mixtral-8x7b", "goodput>=99%"])
    said = [one.describe() for one in asked]
    assert said == [
        "error_rate<1%",
        "ttft_scheduled_p99<=2000ms (mlperf:mixtral-8x7b)",
        "tpot_p99<=200ms (mlperf:mixtral-8x7b)",
        "goodput>=99%",
    ]
    monkeypatch.setattr(slo_presets, "MLPERF", {})
    assert read(said) == asked
    assert [parse(text) for text in said] == list(asked)


@pytest.mark.parametrize(
    "text", ["mlperf:gpt-9", "mlperf:", "vendor:x", "MLPERF : <script>", "mlperf:x\0" + "y" * 1000]
)
def test_an_unknown_preset_is_told_with_all_there_are(text: str) -> None:
    """In one line."""
    with pytest.raises(ConfigError) as caught:
        read([text])
    assert f"no such preset; there are {', '.join(slo_presets.names())}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["ttft_p95<2s (x)", "ttft_p95<2s (a:b) c", "ttft_p95<2s (a:<b>)", "ttft_p95<2s ()"]
)
def test_only_a_name_may_stand_behind_an_slo(text: str) -> None:
    """What stands there is shown in reports."""
    with pytest.raises(ConfigError, match="write a figure"):
        read([text])


def test_the_options_help_and_the_document_list_them(capsys: pytest.CaptureFixture[str]) -> None:
    """`tokenswarm options` and docs/metrics.md, with the limits."""
    assert cli.main(["options"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    document = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text()
    [told] = [text for name, *_, text in OPTIONS if name == "slo"]
    for model, (ttft, tpot) in slo_presets.MLPERF.items():
        assert f"mlperf:{model}" in told
        assert f"mlperf:{model}" in shown
        assert f"| `mlperf:{model}` | {ttft:,} | {tpot} |" in document


def judged(asked: list[str]) -> tuple[dict, dict]:
    """A run of two levels: at 1 user TTFT is 100 ms, at 4 users 3 s; TPOT 20 ms."""
    records, windows, ms = [], [], 1_000_000
    for level, ttft in ((1, 100), (4, 3000)):
        begin = BASE_NS + level * 100_000 * ms
        windows.append(Window(level, 1, begin, begin + 60_000 * ms))
        for index in range(20):
            sent = begin + index * 500 * ms
            first = sent + ttft * ms
            records.append(
                record(
                    f"r{level}-{index}", level=level, scheduled_ns=sent, sent_ns=sent, first_content_ns=first,
                    chunks=11, chunk_gaps_us=(20_000.0,) * 10, last_content_ns=first + 200 * ms,
                    end_ns=first + 201 * ms, output_tokens=11, prompt_tokens=5,
                )
            )  # fmt: skip
    slos = read(asked)
    table = rows.of_rows([one.row(0) for one in records]).to_pandas(types_mapper=rows._pandas)
    return summarise(table, windows, run_id="x", slos=slos), {"settings": {}}


def test_a_preset_is_judged_shown_and_exits_with_3() -> None:
    """Level by level and in all, on the console, in JUnit, and by the exit code."""
    summary, told = judged(["mlperf:llama2-70b", "goodput>=95%"])
    both = [f"{figure} (mlperf:llama2-70b)" for figure in ("ttft_scheduled_p99<=2000ms", "tpot_p99<=200ms")]
    assert summary["slo"]["asked"] == [*both, "goodput>=95%"]
    assert (summary["slo"]["met"], summary["slo"]["highest_level"]) == (False, 1)
    one, four = summary["levels"]
    assert [each["met"] for each in one["slo"]] == [True, True, True]
    assert [each["met"] for each in four["slo"]] == [False, True, False]
    assert four["slo"][0]["value"] == pytest.approx(3000)
    assert (one["goodput"]["share"], four["goodput"]["share"]) == (1.0, 0.0)
    lines = report_slo.lines(summary["slo"])
    assert lines[0] == "missed: met up to 1 user"
    assert lines[1].startswith(f"{both[0]}: missed at 4 (worst 3000")
    assert ending.exit_code(Hope(), None, summary, require_valid=False) == 3
    document = junit.text(summary, told)
    assert 'name="4 users: ttft_scheduled_p99&lt;=2000ms (mlperf:llama2-70b)"' in document
    assert 'message="3000 ms, limit 2000 ms, n 20 of too few requests to be sure"' in document
    met, _ = judged(["mlperf:gpt-oss-120b"])  # 3 s are its limit, which is inclusive
    assert met["slo"]["met"] is True
    assert ending.exit_code(Hope(), None, met, require_valid=False) is None


def test_goodput_is_of_all_that_was_offered() -> None:
    """Arrivals that were due and never sent were offered and are not good; in a closed loop there are none."""
    records, windows = run(levels=(1, 2), per_level=60)
    slos = read(["ttft_p95<50ms", "goodput>=50%"])
    table = rows.of_rows([one.row(0) for one in records]).to_pandas(types_mapper=rows._pandas)
    points = {str(n): {"users": 0, "kind": "rate", "value": float(n), "title": f"{n} req/s", "rate": float(n)} for n in (1, 2)}  # fmt: skip
    unsent = {"1": 0, "2": 80}
    closed = summarise(table, windows, run_id="x", slos=slos)["levels"]
    opened = summarise(table, windows, run_id="x", slos=slos, points=points, unsent=unsent)["levels"]
    assert opened[0]["goodput"] == closed[0]["goodput"]
    good = closed[1]["goodput"]["good"]
    assert opened[1]["goodput"]["n"] == closed[1]["goodput"]["n"] + 80 == 200
    assert opened[1]["goodput"]["share"] == good / 200
    assert closed[1]["slo"][1]["met"] is True
    assert opened[1]["slo"][1] | {"few": None} == {
        "slo": "goodput>=50%", "value": good / 200, "limit": 0.5, "unit": "share", "n": 200, "few": None, "met": False,
    }  # fmt: skip
    nobody = judgement.levels([opened[1] | {"requests": 0}], table.iloc[:0], [], slos)
    assert nobody[0]["goodput"]["share"] == 0.0  # 80 were offered, and none of them was answered


def test_a_table_of_a_run_is_recomputed_with_presets(tmp_path: Path) -> None:
    """The other code that computes a summary agrees, unsent arrivals included."""
    asked = ["mlperf:llama3.1-8b-interactive", "goodput>90%"]
    records, windows = run(levels=(1, 2), per_level=40)
    points = {str(n): {"users": 0, "kind": "rate", "value": float(n), "title": f"{n} req/s", "rate": float(n)} for n in (1, 2)}  # fmt: skip
    made = exported_run.make(
        tmp_path, records, windows, slo=asked, run={"points": points, "unsent": {"1": 3, "2": 7}}
    )
    summary = json.loads((made / "summary.json").read_text())
    told = json.loads((made / "run.json").read_text())
    texts = [one.describe() for one in read(asked)]
    plain = json.loads(rows.load(made / "requests.parquet").to_json(orient="records"))
    for row, one in zip(plain, records, strict=True):
        row.update({name: one.row(0)[name] for name in one.row(0) if name in row})
    for level in summary["levels"]:
        again = recompute_level(plain, level["level"], told["windows"], None, texts, told=told)
        same(
            {"goodput": level["goodput"], "slo": level["slo"]},
            {"goodput": again["goodput"], "slo": again["slo"]},
        )
        assert level["goodput"]["n"] == level["requests"] + level["unsent"]
