"""Exports through the field's own code paths: their statements on our files, against the table computed again.

Statements are those of the notebooks and scripts, sources beside each, with what draws left out.
"""
# ruff: noqa: PD003, PD013, PTH208  their statements as they are

import json
import os
import re
import statistics
from collections import Counter
from pathlib import Path

import exported_run
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from synthetic_run import BASE_NS, record
from synthetic_run import run as synthetic

from harness import export, maritaca_says, rows
from harness.journal import Window
from harness.record import Outcome, RequestRecord, TokenSource


def served(one: RequestRecord, index: int) -> RequestRecord:
    """The same request, of a server that tells of itself as SambaNova's does."""
    if one.outcome is not Outcome.OK or not one.streamed or index % 3 == 0:
        return one
    told = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return RequestRecord(
        **told
        | {
            "server_ttft_ms": 5.0 + index % 7,
            "server_e2e_ms": 40.0 + index % 11,
            "server_tokens_per_s": 300.0 + index,
            "acceptance_rate": 0.5,
            "batch_size": 2 ** (index // 3 % 3),
            "prompt_token_source": TokenSource.SERVER,
        }
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with failures, several passes, and a server that tells of itself now and then; exported."""
    records, windows = synthetic()
    records = [served(one, index) for index, one in enumerate(records)]
    made = exported_run.make(
        tmp_path_factory.mktemp("run"),
        records,
        windows,
        labels={"gpu": "a100"},
        extra_body={"temperature": 0.7},
    )
    export.write(made, export.NAMES)
    return made


def measured(run_dir: Path, level: int) -> list[dict]:
    """The level's measured rows, from the table."""
    rows_ = pq.read_table(run_dir / "requests.parquet").to_pylist()
    return [row for row in rows_ if row["phase"] == "measure" and row["level"] == level]


def span(rows_: list[dict]) -> float:
    """Seconds from the first sent to the last end of each pass."""
    total = 0.0
    for number in {row["repeat"] for row in rows_}:
        mine = [row for row in rows_ if row["repeat"] == number]
        total += (max(row["end_ns"] for row in mine) - min(row["sent_ns"] for row in mine)) / 1e9
    return total


def metrics_summary(df: pd.DataFrame, columns: list[str], percents: list[int]) -> dict[str, float]:
    """`metrics_summary` of llmperf's token_benchmark_ray.py, and `build_metrics_summary` of SambaNova's kit."""
    ret: dict[str, float] = {}
    df_without_errored_req = df[df["error_code"].isna()]
    for key in columns:
        series = pd.Series(list(df_without_errored_req[key])).dropna().astype(float)
        quantiles = series.quantile([percent / 100 for percent in percents]).to_dict()
        for percent, value in zip(percents, quantiles.values(), strict=True):
            ret[f"results_{key}_quantiles_p{percent}"] = value
        ret[f"results_{key}_mean"] = series.mean()
        ret[f"results_{key}_min"] = series.min()
        ret[f"results_{key}_max"] = series.max()
        ret[f"results_{key}_stddev"] = series.std()
    error_codes = df["error_code"].dropna()
    ret["results_num_requests_started"] = len(df)
    ret["results_number_errors"] = len(error_codes)
    ret["results_error_rate"] = len(error_codes) / len(df)
    return ret


LLMPERF_FIELDS = [
    "error_code",
    "error_msg",
    "inter_token_latency_s",
    "ttft_s",
    "end_to_end_latency_s",
    "request_output_throughput_token_per_s",
    "number_total_tokens",
    "number_output_tokens",
    "number_input_tokens",
]


@pytest.mark.parametrize("level", [1, 2, 4])
def test_llmperfs_notebook_reads_its_individual_responses(run_dir: Path, level: int) -> None:
    """analyze-token-benchmark-results.ipynb, and each column again from the table."""
    [path] = (run_dir / f"llmperf/level-{level}").glob("*_individual_responses.json")
    assert path.name == "org-Model-8B-it_550_12_individual_responses.json"
    df = pd.read_json(path)
    assert list(df.columns) == LLMPERF_FIELDS
    valid_df = df[(df["error_code"] != "")]
    final_df = pd.DataFrame()
    final_df["number_input_tokens"] = valid_df["number_input_tokens"]
    final_df["number_output_tokens"] = valid_df["number_output_tokens"]
    final_df["ttft_s"] = valid_df["ttft_s"]
    final_df["end_to_end_latency_s"] = valid_df["end_to_end_latency_s"]
    final_df["generation_throughput"] = valid_df["request_output_throughput_token_per_s"]
    mine = measured(run_dir, level)
    ok = [row for row in mine if row["outcome"] == "ok"]
    counted = [row["prompt_tokens"] for row in ok if row["prompt_tokens"] is not None]
    assert final_df["number_input_tokens"].mean() == pytest.approx(statistics.fmean(counted))
    assert valid_df["number_output_tokens"].mean() == pytest.approx(
        statistics.fmean(row["output_tokens"] for row in mine if row["output_tokens"] is not None)
    )
    all_token_latencies = valid_df["end_to_end_latency_s"].apply(pd.Series).stack().reset_index(drop=True)
    whole = [(row["end_ns"] - row["sent_ns"]) / 1e9 for row in ok]
    assert all_token_latencies.dropna().tolist() == pytest.approx(whole)
    assert final_df["ttft_s"].dropna().tolist() == pytest.approx(
        [row["ttft_ms"] / 1e3 for row in mine if row["ttft_ms"] is not None]
    )
    assert final_df["generation_throughput"].dropna().tolist() == pytest.approx(
        [row["output_tokens"] / second for row, second in zip(ok, whole, strict=True)]
    )
    assert df["inter_token_latency_s"].dropna().tolist() == pytest.approx(
        [row["e2e_ms"] / 1e3 / row["chunks"] for row in ok]
    )
    codes = {"overload": 429, "connect": -1, "truncated": -1, None: -1}
    assert df["error_code"].dropna().tolist() == [codes[r["error_class"]] for r in mine if r not in ok]


@pytest.mark.parametrize("level", [1, 2, 4])
def test_llmperfs_summary_is_what_its_own_function_makes_of_the_responses(run_dir: Path, level: int) -> None:
    """`metrics_summary`, the names of `LLMPerfResults.to_dict`, and the rates from the table."""
    folder = run_dir / f"llmperf/level-{level}"
    told = json.loads((folder / "org-Model-8B-it_550_12_summary.json").read_text())
    df = pd.DataFrame(json.loads((folder / "org-Model-8B-it_550_12_individual_responses.json").read_text()))
    columns = [
        name for name in LLMPERF_FIELDS if name not in {"error_code", "error_msg", "number_total_tokens"}
    ]
    again = metrics_summary(df, columns, [25, 50, 75, 90, 95, 99])
    mine = measured(run_dir, level)
    ok = [row for row in mine if row["outcome"] == "ok"]
    again["results_mean_output_throughput_token_per_s"] = sum(r["output_tokens"] for r in ok) / span(mine)
    again["results_num_completed_requests"] = len(ok)
    again["results_num_completed_requests_per_min"] = len(ok) / span(mine) * 60
    results = {name: value for name, value in told.items() if name.startswith("results_")}
    codes = eval(results.pop("results_error_code_frequency"))  # noqa: S307  as they write it: a dict's repr
    assert codes == Counter(df["error_code"].dropna())
    assert results == pytest.approx(again)
    assert {name: value for name, value in told.items() if not name.startswith("results_")} == {
        "version": "2023-08-31",
        "name": "org-Model-8B-it_550_12_summary",
        "model": "org/Model_8B-it",
        "mean_input_tokens": 550,
        "stddev_input_tokens": 150,
        "mean_output_tokens": 12,
        "stddev_output_tokens": 0,
        "num_concurrent_requests": level,
        "additional_sampling_params_temperature": 0.7,
        "gpu": "a100",
        "timestamp": told["timestamp"],
    }
    assert pd.DataFrame(told, index=[0]).shape[0] == 1


def read_perf_eval_json_files(folder_path: Path, type: str = "individual_responses") -> pd.DataFrame:  # noqa: A002
    """benchmarking/utils.py of the kit."""
    data = []
    for filename in os.listdir(folder_path):
        if type in filename:
            json_data = json.loads((folder_path / filename).read_text())
            if type == "individual_responses":
                data.extend([{"filename": filename, **response} for response in json_data])
            else:
                data.append(json_data)
    df = pd.DataFrame(data)
    return df.rename(
        columns=lambda x: x.replace("results_", "").replace("_quantiles", "").replace("_per_request", "")
    ).copy()


def responses(run_dir: Path, level: int) -> Path:
    """SambaNova's file of a level."""
    [path] = (run_dir / "sambanova").glob(f"synthetic_*_550_12_{level}_stream_*_individual_responses.json")
    return path


@pytest.mark.filterwarnings(
    "ignore:Could not infer format:UserWarning"
)  # of their read_json, on their start_time
@pytest.mark.parametrize("level", [1, 2, 4])
def test_the_kits_notebook_reads_its_individual_responses(run_dir: Path, level: int) -> None:
    """notebooks/analyze-results.ipynb of sambanova/ai-starter-kit, and each column again from the table."""
    df_user = pd.read_json(responses(run_dir, level))
    df_user = df_user[df_user["error_code"].isnull()]
    assert not df_user["batch_size_used"].isnull().all()  # so that it groups
    ok = [row for row in measured(run_dir, level) if row["outcome"] == "ok"]
    for value_vars in (
        ["server_output_token_per_s_per_request", "client_output_token_per_s_per_request"],
        ["server_ttft_s", "client_ttft_s"],
        ["server_end_to_end_latency_s", "client_end_to_end_latency_s"],
    ):
        df_melted = df_user.melt(
            id_vars=["batch_size_used"], value_vars=value_vars, var_name="Metric", value_name="Value"
        )
        for size in (1, 2, 4):
            mask = (df_melted["Metric"] == value_vars[0]) & (df_melted["batch_size_used"] == size)
            names = {
                "server_ttft_s": ("server_ttft_ms", 1e3),
                "server_end_to_end_latency_s": ("server_e2e_ms", 1e3),
            }
            column, scale = names.get(value_vars[0], ("server_tokens_per_s", 1))
            mine = [row[column] / scale for row in ok if row["batch_size"] == size]
            assert np.percentile(df_melted["Value"][mask], [5, 50, 95]) == pytest.approx(
                np.percentile(mine, [5, 50, 95])
            )
    total = df_user.groupby("batch_size_used", dropna=False)["server_number_output_tokens"].sum()
    count = df_user.groupby("batch_size_used", dropna=False).size()
    sizes = Counter(row["batch_size"] for row in ok)
    assert {None if np.isnan(k) else k: v for k, v in count.items()} == sizes
    by_server = Counter()
    for row in ok:
        by_server[row["batch_size"]] += row["output_tokens"]
    assert {None if np.isnan(k) else k: v for k, v in total.items()} == by_server
    gantt = [str(x) for x in df_user["start_time"]], 1000 * df_user["client_ttft_s"]  # their bars
    assert len(gantt[0]) == len(gantt[1]) == len(ok)


def test_the_kits_client_columns_are_their_formulas(run_dir: Path) -> None:
    """`_populate_client_metrics` of sambanova_client.py, row by row from the table."""
    told = json.loads(responses(run_dir, 4).read_text())
    mine = measured(run_dir, 4)
    assert len(told) == len(mine)
    for one, row in zip(told, mine, strict=True):
        assert (one["error_code"] is None) == (row["outcome"] == "ok")
        first = None if row["ttft_ms"] is None else row["ttft_ms"] / 1e3
        assert one["client_ttft_s"] == pytest.approx(first)
        if first is not None:
            events_timings = [first, *(gap / 1e6 for gap in row["chunk_gaps_us"])]
            assert one["client_inter_token_latencies_s"] == pytest.approx(events_timings)
            later = events_timings[1:] or events_timings
            assert one["client_mean_inter_token_latency_s"] == pytest.approx(sum(later) / len(later))
        if row["outcome"] != "ok":
            assert one["client_end_to_end_latency_s"] is None
            assert one["error_code"] == (row["error_class"] or "cancelled")
            continue
        total_request_time = (row["end_ns"] - row["sent_ns"]) / 1e9
        assert one["client_end_to_end_latency_s"] == pytest.approx(total_request_time)
        n = row["output_tokens"]
        seconds = total_request_time if row["chunks"] == 1 else total_request_time - first
        assert one["client_output_token_per_s_per_request"] == pytest.approx(n / seconds)
        both = None if row["prompt_tokens"] is None else (row["prompt_tokens"] + n) / total_request_time
        assert one["client_total_tokens_per_s_per_request"] == pytest.approx(both)
        clock = pd.Timestamp(row["sent_ns"], unit="ns").strftime("%H:%M:%S.%f")
        assert one["start_time"] == clock


def test_the_kits_summaries_stand_in_one_table(run_dir: Path) -> None:
    """compare_different_providers.ipynb and multiple-models-benchmark.ipynb; and `build_metrics_summary` on the responses."""
    df = read_perf_eval_json_files(run_dir / "sambanova", type="summary")
    first_columns = ["name", "model", "num_input_tokens", "num_output_tokens", "num_concurrent_requests"]
    df = df[first_columns + [column for column in df.columns if column not in first_columns]]
    concurrent_values = df["num_concurrent_requests"].unique()
    concurrent_values.sort()
    assert concurrent_values.tolist() == [1, 2, 4]
    assert set(df["num_input_tokens"]) == {550}
    assert df["gpu"].tolist() == ["a100"] * 3
    df = df.set_index("num_concurrent_requests")
    for level in (1, 2, 4):
        individual = pd.DataFrame(json.loads(responses(run_dir, level).read_text()))
        columns = [
            *("client_ttft_s", "client_end_to_end_latency_s", "client_output_token_per_s_per_request"),
            *("number_input_tokens", "number_output_tokens", "client_mean_inter_token_latency_s"),
            *("server_ttft_s", "server_end_to_end_latency_s", "server_output_token_per_s_per_request"),
            *("server_number_input_tokens", "server_number_output_tokens", "acceptance_rate"),
        ]
        again = metrics_summary(individual, columns, [5, 25, 50, 75, 90, 95, 99])
        for name, value in again.items():
            short = name.replace("results_", "").replace("_quantiles", "").replace("_per_request", "")
            assert df.loc[level, short] == pytest.approx(value, abs=5.1e-5), short  # they round to 4 decimals
        mine = measured(run_dir, level)
        tokens = sum(row["output_tokens"] for row in mine if row["outcome"] == "ok")
        assert df.loc[level, "client_total_output_throughput"] == pytest.approx(
            tokens / span(mine), abs=5.1e-5
        )


def test_the_kits_consolidation_reads_names_and_batches(run_dir: Path) -> None:
    """`FileNameParser` and `BatchAnalyzer` of synthetic_performance_eval_script.py."""
    df_individual = read_perf_eval_json_files(run_dir / "sambanova")
    df_summary = read_perf_eval_json_files(run_dir / "sambanova", type="summary")
    uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    seen = {}
    for filename in set(df_individual["filename"]):
        parts = filename.split("_")
        model, in_tok, out_tok, con = parts[2], int(parts[3]), int(parts[4]), int(parts[5])
        seen[con] = uuid.search(filename).group(0)
        assert (model, in_tok, out_tok) == ("org-Model-8B-it", 550, 12)
        df = df_individual[df_individual["filename"] == filename].copy()
        df = df.sort_values("end_time").reset_index(drop=True)
        df["group"] = (df["server_ttft_s"] != df["server_ttft_s"].shift()).cumsum()
        group_counts = df.groupby(["group", "server_ttft_s"]).size().reset_index(name="consecutive_count")
        assert group_counts["consecutive_count"].sum() == df["server_ttft_s"].notna().sum() > 10
    assert set(seen) == {1, 2, 4}
    assert {uuid.search(name).group(0) for name in df_summary["name"]} == set(seen.values())


def test_maritacas_statements_make_the_consoles_figures_of_it(run_dir: Path) -> None:
    """examples/local/benchmark.py of maritaca-ai/maritalk-api, from `df_results` to `system_tokens`."""
    df = pd.read_csv(run_dir / "benchmark.csv")
    assert list(df.columns) == [
        *("concurrency", "i", "prompt_size", "generated_tokens", "generation_time", "total_time"),
        *("generated_tps", "total_tps"),
    ]
    df_results = df.groupby("concurrency")[["generated_tps", "total_tps"]].agg(["mean", "median", "std"])
    df_grouped = df.groupby(["concurrency", "i"])[["prompt_size", "generated_tokens"]].sum()
    df_grouped["system_tokens"] = df_grouped["prompt_size"] + df_grouped["generated_tokens"]
    total_times = df.groupby(["concurrency", "i"])["total_time"].median()
    system_tokens = df_grouped["system_tokens"] / total_times
    system = system_tokens.groupby("concurrency").agg(["median", "std"])

    again = {}
    for level in (1, 2, 4):
        ok = [row for row in measured(run_dir, level) if row["outcome"] == "ok"]
        again[level] = [row["output_tokens"] / decode_s(row) for row in ok if decode_s(row)]
        assert df_results.loc[level, ("generated_tps", "median")] == pytest.approx(
            statistics.median(again[level])
        )
        assert df_results.loc[level, ("generated_tps", "std")] == pytest.approx(
            statistics.stdev(again[level])
        )
    [summary] = [json.loads((run_dir / "summary.json").read_text())]
    shown = maritaca_says.render(rows.load(run_dir / "requests.parquet"), summary)
    for level in (1, 2, 4):
        lines = [line.split() for line in shown.splitlines() if line.strip().startswith(f"{level} ")]
        [own, waves] = [[float(cell) for cell in line] for line in lines]
        assert own[1:7] == pytest.approx(df_results.loc[level].tolist(), rel=6e-3)
        assert waves[1:3] == pytest.approx(system.loc[level].tolist(), rel=6e-3)
        assert waves[3] == len(system_tokens.loc[level])


def decode_s(row: dict) -> float | None:
    """The server's own time, else the client's."""
    if row["server_decode_ms"] is not None:
        return row["server_decode_ms"] / 1e3
    return None if row["ttft_ms"] is None else (row["e2e_ms"] - row["ttft_ms"]) / 1e3


def test_a_csv_by_hand(tmp_path: Path) -> None:
    """Three requests at two users: one full wave, one request that fills none, in units of seconds."""
    ms = 1_000_000

    def one(name: str, sent_ms: int, ttft_ms: int, e2e_ms: int, **more: object) -> RequestRecord:
        sent = BASE_NS + sent_ms * ms
        fields = {
            "level": 2,
            "sent_ns": sent,
            "scheduled_ns": sent,
            "first_content_ns": sent + ttft_ms * ms,
            "last_content_ns": sent + e2e_ms * ms,
            "end_ns": sent + (e2e_ms + 1) * ms,
            "chunks": 2,
            "chunk_gaps_us": ((e2e_ms - ttft_ms) * 1e3,),
            "prompt_tokens": 100,
            "output_tokens": 50,
            "token_source": TokenSource.SERVER,
        }
        return record(name, **fields | more)

    made = exported_run.make(
        tmp_path,
        [
            one("a", 0, 100, 600),
            one("b", 1, 100, 1100, server_decode_ms=250.0),
            one("c", 700, 100, 500, prompt_tokens=None),
            one("d", 1200, 100, 200, outcome=Outcome.FAILED),
        ],
        [Window(2, 1, BASE_NS, BASE_NS + 10**9)],
    )
    export.write(made, ("maritaca",))
    assert (made / "benchmark.csv").read_text().splitlines()[1:] == [
        "2,0,100,50,0.5,0.6,100.0,250.0",
        "2,0,100,50,0.25,1.1,200.0,136.36363636363637",
        "2,,,50,0.4,0.5,125.0,",
    ]
