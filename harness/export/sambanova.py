"""SambaNova's two files: benchmarking/ of sambanova/ai-starter-kit at 84464c13 (2026-04-27).

Fields and their order are those of `SambaNovaCloudAPI.compute_metrics` (src/llmperf/sambanova_client.py), the summary's those of
`build_metrics_summary` and of `SyntheticPerformanceEvaluator` for levels of users, `RealWorkLoadPerformanceEvaluator` for rates
(src/performance_evaluation.py). All formulas are theirs; docs/exports.md says where what goes into them is not. Pure.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from harness.export.batch import Batch, Floats
from harness.export.statistics import flat, of_values
from harness.export.told import Level, Seen, file_name, model_part
from harness.grid import clean

__all__ = ["SUMMARISED", "fields", "folder", "stem", "summary"]

PERCENTS: Final = (5, 25, 50, 75, 90, 95, 99)
DIGITS: Final = 4  # of the statistics, as they round them
SUMMARISED: Final = (
    "client_ttft_s",
    "client_end_to_end_latency_s",
    "client_output_token_per_s_per_request",
    "number_input_tokens",
    "number_output_tokens",
    "client_mean_inter_token_latency_s",
    "server_ttft_s",
    "server_end_to_end_latency_s",
    "server_output_token_per_s_per_request",
    "server_output_token_after_first_per_s_first_ten_per_request",
    "server_number_input_tokens",
    "server_number_output_tokens",
    "acceptance_rate",
)
_RATE: Final = re.compile(r"(constant|poisson|gamma):([0-9.]+).*")
_PROCESSES: Final = {"constant": "constant", "poisson": "exponential"}  # whose gaps are: their word


def folder(_: Level) -> str:
    """Within the run directory; their notebooks read all levels of one folder."""
    return "sambanova"


def stem(level: Level) -> str:
    """What both names begin with: `synthetic_0_MODEL_550_150_8_stream_UUID`, or `realworkload_..._10-0_exponential_...`."""
    whose = uuid5(NAMESPACE_URL, f"{level.run['run_id']}/{level.entry['level']}")
    sizes = f"{level.prompt.mean}_{level.output.mean}"
    users, mode = level.entry.get("concurrency"), "stream" if level.is_streamed else ""
    if users is None:
        kind, load = "realworkload", "_".join(str(part) for part in _arrivals(level))
    else:
        kind, load = "synthetic", str(users)
    return file_name(f"{kind}_0_{model_part(level.model)}_{sizes}_{load}_{mode}_{whose}")


def fields(batch: Batch) -> dict[str, Any]:
    """A column for each field of an individual response."""
    latencies, length = batch.latencies(), batch.whole_s
    tokens, prompts, first = (
        batch.floats("output_tokens"),
        batch.floats("prompt_tokens"),
        batch.floats("ttft_ms", 1e-3),
    )
    server = np.where(_by_server(batch, "token_source"), tokens, np.nan)
    asked = np.where(_by_server(batch, "prompt_token_source"), prompts, np.nan)
    took, all_tokens = batch.floats("server_e2e_ms", 1e-3), prompts + tokens
    one = batch.floats("chunks") == 1
    return {
        "error_code": [None if ok else why or "cancelled" for ok, why in zip(batch.ok, batch.values("error_class"), strict=True)],
        "error_msg": batch.messages,
        "prompt_name": [clean(name) for name in batch.values("name")],
        "start_time": _clock(batch, "sent_ns"),
        "end_time": _clock(batch, "end_ns"),
        "server_number_input_tokens": _whole(asked),
        "server_number_output_tokens": _whole(server),
        "server_number_total_tokens": _whole(asked + server),
        "server_ttft_s": batch.floats("server_ttft_ms", 1e-3),
        "server_end_to_end_latency_s": took,
        "server_output_token_per_s_per_request": batch.floats("server_tokens_per_s"),
        "server_total_tokens_per_s_per_request": batch.ratio(asked + server, took),
        "server_output_token_after_first_per_s_first_ten_per_request": np.full(len(batch), np.nan),
        "batch_size_used": batch.values("batch_size"),
        "acceptance_rate": batch.floats("acceptance_rate"),
        "number_input_tokens": _whole(prompts),
        "number_output_tokens": _whole(tokens),
        "number_total_tokens": _whole(all_tokens),
        "client_ttft_s": first,
        "client_end_to_end_latency_s": length,
        "client_output_token_per_s_per_request": batch.ratio(tokens, np.where(one, length, length - first)),
        "client_total_tokens_per_s_per_request": batch.ratio(all_tokens, length),
        "client_inter_token_latencies_s": latencies,
        "client_mean_inter_token_latency_s": _means(latencies),
    }  # fmt: skip


def summary(level: Level, seen: Seen, timestamp: int) -> dict[str, Any]:
    """The summary's fields, in their order."""
    completed = seen.requests - seen.errors.total()
    results: dict[str, Any] = {name: of_values(seen.figure(name), PERCENTS, DIGITS) for name in SUMMARISED}
    mean = results["client_output_token_per_s_per_request"]["mean"]
    results |= {
        "num_requests_started": seen.requests,
        "error_rate": seen.errors.total() / seen.requests if seen.requests else 0,
        "number_errors": seen.errors.total(),
        "error_code_frequency": str(dict(seen.errors.most_common())),
        "client_total_output_throughput": _rounded(
            seen.per_second(float(np.nansum(seen.figure("number_output_tokens"))))
        ),
        "mean_output_throughput_token_per_s": mean,
        "num_completed_requests": completed,
        "num_completed_requests_per_min": _rounded(seen.per_second(completed * 60)),
    }
    users = level.entry.get("concurrency")
    load = {"num_concurrent_requests": users} if users is not None else dict(
        zip(("qps", "qps_distribution"), _arrivals(level), strict=True)
    )  # fmt: skip
    told = {
        "name": f"{stem(level)}_summary",
        "model": level.model,
        **load,
        "results": results,
        "num_input_tokens": level.prompt.mean,
        "num_output_tokens": level.output.mean,
        "additional_sampling_params": level.settings.get("extra_body") or {},
        "model_idx": 0,
    }
    return flat({**(level.settings.get("labels") or {}), **told, "timestamp": timestamp})


def _arrivals(level: Level) -> tuple[float, str]:
    """Requests a second as asked for, or as they came where the schedule changes; and the process, in their words."""
    asked = _RATE.fullmatch(str(level.settings.get("arrivals") or ""))
    kind = asked[1] if asked else str(level.settings.get("arrivals") or "poisson").split(":", 1)[0]
    rate = level.entry.get("rate")
    if rate is None:
        rate = float(asked[2]) if asked else round(float(level.entry.get("arrivals_per_s") or 0), 3)
    return float(rate), _PROCESSES.get(kind, kind)


def _by_server(batch: Batch, name: str) -> Any:  # noqa: ANN401  an array of flags
    return np.array([source == "server" for source in batch.values(name)], dtype=bool)


def _clock(batch: Batch, name: str) -> list[str | None]:
    """`HH:MM:SS.ffffff`, UTC."""
    return [
        datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%H:%M:%S.") + f"{ns % 1_000_000_000 // 1_000:06}"
        if ns else None
        for ns in batch.stamps(name).tolist()
    ]  # fmt: skip


def _means(latencies: list[Floats | None]) -> Floats:
    """Of the gaps after the first content; of a single event, its own latency."""
    return np.array(
        [np.nan if one is None else one[1:].mean() if len(one) > 1 else one[0] for one in latencies]
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _whole(values: Any) -> list[int | None]:  # noqa: ANN401  an array
    return [None if np.isnan(value) else int(value) for value in values.tolist()]
