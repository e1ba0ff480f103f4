"""`--export`: names, files, open loops, hostile text, nothing measured, and what is said where it cannot be done."""

import json
import os
from argparse import ArgumentParser
from pathlib import Path

import exported_run
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record
from synthetic_run import run as synthetic

from harness import cli, export, files, rows
from harness.errors import ConfigError, ErrorClass
from harness.export import Outlets
from harness.export import cli as arguments
from harness.export.statistics import flat
from harness.export.told import file_name
from harness.journal import Window
from harness.record import Outcome, TokenSource

HOSTILE = "</script><script>alert(1)</script>\x1b[31m\u202eevil\x00,=cmd|'/c calc'!A1\n|`*_#<&"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ", ()),
        ("llmperf", ("llmperf",)),
        (" SambaNova ,maritaca,sambanova", ("sambanova", "maritaca")),
    ],
)
def test_exports_are_named_with_commas(text: str, names: tuple[str, ...]) -> None:
    """In any case, each once."""
    assert export.names(text) == names


def test_an_unknown_export_is_one_line_that_lists_them() -> None:
    """Before anything is done."""
    with pytest.raises(ConfigError) as caught:
        export.names("llmperf,vllm")
    said = (
        "--export 'vllm': there is no such export; use llmperf, sambanova, maritaca, or several with commas"
    )
    assert str(caught.value) == said


def test_the_report_command_writes_them_and_prints_the_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the files are those that `write` makes; an unknown name is told before anything is made again."""
    made = exported_run.make(tmp_path)
    assert cli.main(["report", str(made), "--export", "nobody"]) == 2
    assert "there is no such export" in capsys.readouterr().err
    junit = tmp_path / "deep" / "er" / "j.xml"
    cli.main(["report", str(made), "--export", "maritaca,llmperf", "--junit", str(junit)])
    printed = capsys.readouterr().out.splitlines()
    paths = [Path(line) for line in printed if line.startswith(str(tmp_path)) and Path(line).is_file()]
    assert paths == [*export.write(made, ("maritaca", "llmperf")), junit]
    assert len(paths) == 1 + 2 * 3 + 1
    cli.main(["report", str(made), "--json", "--export", "maritaca"])
    streams = capsys.readouterr()
    assert json.loads(streams.out)["run_id"] == made.name  # nothing else is on stdout
    assert str(made / "benchmark.csv") in streams.err


def test_written_twice_they_are_the_same(tmp_path: Path) -> None:
    """Nothing in them is of the time of writing, so that they can be compared; and no half file is left."""
    made = exported_run.make(tmp_path)
    first = {path: path.read_bytes() for path in export.write(made, export.NAMES)}
    assert {path: path.read_bytes() for path in export.write(made, export.NAMES)} == first
    assert not list(made.rglob(".*"))


def test_an_open_loop_is_a_real_workload(tmp_path: Path) -> None:
    """SambaNova's `realworkload` with its rate; llmperf and Maritaca know no load without users: null and empty."""
    records, _ = synthetic(levels=(1, 2), repeats=1)
    windows = [Window(level, 1, BASE_NS, BASE_NS + 10**12) for level in (1, 2)]
    points = {
        str(key): {"users": 0, "kind": "rate", "value": rate, "title": f"{rate:g} req/s", "rate": rate}
        for key, rate in ((1, 0.5), (2, 10.0))
    }
    made = exported_run.make(tmp_path, records, windows, run={"points": points}, arrivals="poisson")
    names = {path.name for path in export.write(made, export.NAMES) if "sambanova" in path.parts}
    assert {name.split("_stream_")[0] for name in names} == {
        "realworkload_0_org-Model-8B-it_550_12_0-5_exponential",
        "realworkload_0_org-Model-8B-it_550_12_10-0_exponential",
    }
    told = {
        one["qps"]: one
        for path in (made / "sambanova").glob("*_summary.json")
        for one in [json.loads(path.read_text())]
    }
    assert set(told) == {0.5, 10.0}
    assert {one["qps_distribution"] for one in told.values()} == {"exponential"}
    assert "num_concurrent_requests" not in told[0.5]
    [theirs] = (made / "llmperf/level-1").glob("*_summary.json")
    assert json.loads(theirs.read_text())["num_concurrent_requests"] is None
    csv = pd.read_csv(made / "benchmark.csv")
    assert csv["concurrency"].isna().all()
    assert csv["i"].isna().all()
    assert csv["total_tps"].notna().any()


@pytest.mark.parametrize(
    ("arrivals", "rate", "process"),
    [("poisson:4", 4.0, "exponential"), ("constant:2.5", 2.5, "constant"), ("gamma:3,0.5", 3.0, "gamma")],
)
def test_a_schedule_without_a_sweep_says_its_rate(
    tmp_path: Path, arrivals: str, rate: float, process: str
) -> None:
    """`--arrivals poisson:4` is 4 requests a second, exponential gaps."""
    records, _ = synthetic(levels=(1,), repeats=1)
    points = {"1": {"users": 0, "kind": "arrivals", "value": None, "title": arrivals, "rate": None}}
    made = exported_run.make(
        tmp_path,
        records,
        [Window(1, 1, BASE_NS, BASE_NS + 10**12)],
        run={"points": points},
        arrivals=arrivals,
    )
    _, path = export.write(made, ("sambanova",))
    told = json.loads(path.read_text())
    assert (told["qps"], told["qps_distribution"]) == (rate, process)
    assert f"_{str(rate).replace('.', '-')}_{process}_stream_" in path.name


def test_nothing_measured_is_null_and_never_zero(tmp_path: Path) -> None:
    """A level in which every request failed, and a run without any level."""
    failed = {"outcome": Outcome.FAILED, "error_class": ErrorClass.CONNECT, "end_ns": BASE_NS + 1000}
    made = exported_run.make(
        tmp_path, [record(f"r{n}", **failed) for n in range(3)], [Window(1, 1, BASE_NS, BASE_NS + 10**9)]
    )
    for name in ("llmperf", "sambanova"):
        individual, summary = (json.loads(path.read_text()) for path in export.write(made, (name,)))
        assert len(individual) == 3
        assert {
            key for one in individual for key, value in one.items() if isinstance(value, float | int)
        } <= {"error_code"}
        told = {key: value for key, value in summary.items() if key.startswith("results_")}
        numbers = {key: value for key, value in told.items() if value is not None}
        assert set(numbers) <= {
            *("results_num_requests_started", "results_error_rate", "results_number_errors"),
            *("results_error_code_frequency", "results_num_completed_requests"),
            *("results_num_completed_requests_per_min", "results_mean_output_throughput_token_per_s"),
            "results_client_total_output_throughput",
        }
        assert (told["results_error_rate"], told["results_num_completed_requests"]) == (1, 0)
    (tmp_path / "empty").mkdir()
    empty = exported_run.make(tmp_path / "empty", [], [])
    assert [path.name for path in export.write(empty, export.NAMES)] == ["benchmark.csv"]
    assert (empty / "benchmark.csv").read_text().count("\n") == 1


def test_warm_up_is_left_out(tmp_path: Path) -> None:
    """Only measured requests are in them: 30 of each pass."""
    records, windows = synthetic()
    assert sum(one.level == 4 for one in records) == 68
    found = export.write(exported_run.make(tmp_path, records, windows), ("llmperf",))
    assert [len(json.loads(path.read_text())) for path in found[::2]] == [60, 60, 60]


def test_automatic_warm_up_is_left_out_too(tmp_path: Path) -> None:
    """With `--warmup auto` what is measured is found afterwards: the exports have what the summary counts."""
    records, windows = [], [Window(4, 1, BASE_NS, BASE_NS + 40_000_000_000)]
    for index in range(800):
        slow = 10 if index < 200 else 1  # the first 20 s are another server
        sent = BASE_NS + index * 50_000_000
        first = sent + slow * 10_000_000
        stamps = {"scheduled_ns": sent, "sent_ns": sent, "first_content_ns": first, "chunks": 2}
        last = first + slow * 18_000_000
        records.append(
            record(
                f"r{index}", level=4, **stamps, last_content_ns=last, end_ns=last, output_tokens=20, prompt_tokens=9,
                chunk_gaps_us=(slow * 18_000.0,), token_source=TokenSource.SERVER, http_status=200,
            )
        )  # fmt: skip
    plain = exported_run.make(tmp_path, records, windows)
    [individual, _] = export.write(plain, ("llmperf",))
    assert len(json.loads(individual.read_text())) == 800
    (tmp_path / "auto").mkdir()
    auto = exported_run.make(tmp_path / "auto", records, windows, warmup_auto=True)
    [individual, _] = export.write(auto, ("llmperf",))
    kept = json.loads(individual.read_text())
    assert 300 < len(kept) < 650
    assert {one["ttft_s"] for one in kept} == {0.01}


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    """In a model's name, a label, an error and a request's name: no file elsewhere, no control character, valid JSON."""
    failed = {"outcome": Outcome.FAILED, "error_class": ErrorClass.HTTP_SERVER, "http_status": 500}
    records = [
        record("a", name=HOSTILE, first_content_ns=BASE_NS + 5, last_content_ns=BASE_NS + 9, chunks=1),
        record("b", **failed, error_message=HOSTILE + "x" * 1_000_000),
    ]
    made = exported_run.make(
        tmp_path,
        records,
        [Window(1, 1, BASE_NS, BASE_NS + 10**9)],
        model="../../" + HOSTILE + "é" * 500_000,
        labels={"note": HOSTILE},
    )
    paths = export.write(made, export.NAMES)
    assert len(paths) == 5
    for path in paths:
        assert made in path.resolve().parents
        assert path.name.isprintable()
        assert len(path.name.encode()) < 255
        text = path.read_text()
        assert not any(character in text for character in "\x1b\x00\u202e") or path.name.endswith(
            "summary.json"
        )
    individual = json.loads(paths[0].read_text())
    assert individual[1]["error_code"] == 500
    assert individual[1]["error_msg"].isprintable()
    assert len(individual[1]["error_msg"]) <= 2_000
    assert json.loads(paths[1].read_text())["note"] == HOSTILE  # as it was given: JSON escapes what it has to
    assert "\\u0000" in paths[1].read_text()


@given(model=st.text(max_size=300))
def test_any_model_makes_a_name_for_a_file(model: str) -> None:
    """Word characters and hyphens, as the tools' own substitutions leave them."""
    name = file_name(f"{model}_550_150")
    assert "/" not in name
    assert "\0" not in name
    assert "--" not in name
    assert name.endswith("550_150")


def test_nested_settings_are_joined_with_an_underscore() -> None:
    """`flatten_dict` of both tools: an empty object leaves nothing."""
    assert flat({"a": {"b": {"c": 1}, "d": {}}, "e": [1, {"f": 2}]}) == {"a_b_c": 1, "e": [1, {"f": 2}]}


def test_a_run_without_results_is_one_line(tmp_path: Path) -> None:
    """No run, no summary, a table that is none."""
    made = exported_run.make(tmp_path)
    with pytest.raises(ConfigError, match="not a run directory"):
        export.write(tmp_path, ("llmperf",))
    (made / "requests.parquet").write_bytes(b"PAR1 nothing")
    for name in export.NAMES:
        with pytest.raises(ConfigError, match=r"requests\.parquet: not a readable Parquet file"):
            export.write(made, (name,))
    (made / "summary.json").write_text("[")
    for name in export.NAMES:
        with pytest.raises(ConfigError, match=r"summary\.json: not JSON"):
            export.write(made, (name,))
    (made / "summary.json").unlink()
    with pytest.raises(ConfigError, match="make it with `tokenswarm report"):
        export.write(made, ("maritaca",))
    assert not list(made.rglob("*.json.part")) + list(made.rglob("*.part"))


def test_at_the_end_of_a_run_nothing_is_raised(tmp_path: Path) -> None:
    """What cannot be written is said, with how to write it later; what can be is written all the same."""
    made = exported_run.make(tmp_path)
    (made / "llmperf").write_text("a file where a folder is to be")
    said = export.outcome(made, Outlets(("llmperf",), tmp_path / "j.xml"), {})
    assert len(said) == 1
    assert said[0].startswith(f"--export: {made}: cannot write the results (")
    assert said[0].endswith(f"`tokenswarm report {made} --export llmperf` writes it")
    assert (tmp_path / "j.xml").is_file()
    assert export.outcome(made, Outlets(("maritaca",)), {}) == [
        f"exported for maritaca: {made / 'benchmark.csv'}"
    ]
    assert export.outcome(made, Outlets(("sambanova",)), {}) == [
        f"exported for sambanova: 6 files in {made / 'sambanova'}"
    ]
    (tmp_path / "d").mkdir()
    [line] = export.outcome(made, Outlets((), tmp_path / "d"), {})
    assert line.startswith(f"--junit: {tmp_path / 'd'}: cannot write the results (")
    assert export.outcome(made, Outlets(("maritaca",), tmp_path / "never.xml"), None) == []
    assert not (tmp_path / "never.xml").exists()


def test_where_junit_can_be_is_known_before_load(tmp_path: Path) -> None:
    """A directory, a file for a folder, and a name that is none are refused; missing folders are made later."""
    (tmp_path / "file").write_text("")
    assert export.junit_path("") is None
    assert export.junit_path(str(tmp_path / "a" / "b.xml")) == tmp_path / "a" / "b.xml"
    for text, why in (
        (str(tmp_path), "is a directory; name a file"),
        (str(tmp_path / "file" / "x.xml"), "cannot write in "),
        ("a\0b", "no file can have this name"),
        ("x" * 5_000, "no file can have this name"),
    ):
        with pytest.raises(ConfigError, match=r"^--junit ") as caught:
            export.junit_path(text)
        assert why in str(caught.value)
        assert len(str(caught.value)) < 1_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    """Before load."""
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot write in"):
        export.junit_path(str(tmp_path / "j.xml"))


def test_a_million_rows_are_never_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read and written group by group: in each form the whole file is the parts', in order."""
    made = exported_run.make(tmp_path)
    whole = {path: path.read_bytes() for path in export.write(made, ("llmperf", "sambanova"))}
    monkeypatch.setattr(rows, "ROW_GROUP", 35)  # seven rows a batch
    asked = []
    real = rows.groups

    def counted(path: Path, names: tuple[str, ...], **more: object) -> object:
        for table in real(path, names, **more):
            asked.append(table.num_rows)
            yield table

    monkeypatch.setattr(rows, "groups", counted)
    again = {path: path.read_bytes() for path in export.write(made, ("llmperf", "sambanova"))}
    assert max(asked) == 7
    individual = [path for path in whole if "individual" in path.name]
    assert {path: again[path] for path in individual} == {path: whole[path] for path in individual}
    for path in set(whole) - set(individual):  # sums in another order
        assert json.loads(again[path]) == pytest.approx(json.loads(whole[path]))


def test_the_arguments_have_defaults() -> None:
    """Nothing is written unless it is asked for."""
    parser = ArgumentParser()
    arguments.add_arguments(parser)
    args = parser.parse_args([])
    arguments.check(args)
    assert (export.names(args.export), export.junit_path(args.junit)) == ((), None)
    assert files.as_json({}) == b"{}\n"
