"""llmperf's two files: token_benchmark_ray.py of ray-project/llmperf at f1d6bed (2024-12-09).

Fields and their order are those of `OpenAIChatCompletionsClient.llm_request`, the summary's those of `metrics_summary` and
`run_token_benchmark`, flattened by `LLMPerfResults.to_dict`. All formulas are theirs; docs/exports.md says where what goes into
them is not. Pure.
"""

from typing import Any, Final

import numpy as np

from harness.export.batch import Batch
from harness.export.statistics import flat, of_values
from harness.export.told import Level, Seen, file_name, model_part

__all__ = ["SUMMARISED", "fields", "folder", "stem", "summary"]

VERSION: Final = "2023-08-31"  # `RESULTS_VERSION` of llmperf/utils.py
PERCENTS: Final = (25, 50, 75, 90, 95, 99)
SUMMARISED: Final = (
    "inter_token_latency_s",
    "ttft_s",
    "end_to_end_latency_s",
    "request_output_throughput_token_per_s",
    "number_input_tokens",
    "number_output_tokens",
)


def folder(level: Level) -> str:
    """Within the run directory. Their names do not say the level, so each has a folder."""
    return f"llmperf/level-{level.entry['level']}"


def stem(level: Level) -> str:
    """What both names begin with. As they have it, but that `_` in a model's name is kept."""
    return file_name(f"{model_part(level.model)}_{level.prompt.mean}_{level.output.mean}")


def fields(batch: Batch) -> dict[str, Any]:
    """A column for each field of an individual response."""
    tokens, prompts, chunks = (
        batch.floats("output_tokens"),
        batch.floats("prompt_tokens"),
        batch.floats("chunks"),
    )
    between = batch.ratio(batch.floats("e2e_ms", 1e-3), chunks)
    nothing = np.where(batch.ok & (tokens == 0), 0.0, np.nan)
    return {
        "error_code": _codes(batch),
        "error_msg": batch.messages,
        "inter_token_latency_s": np.where(batch.ok & ~(tokens == 0), between, nothing),
        "ttft_s": batch.floats("ttft_ms", 1e-3),
        "end_to_end_latency_s": batch.whole_s,
        "request_output_throughput_token_per_s": batch.ratio(tokens, batch.whole_s),
        "number_total_tokens": _whole(prompts + tokens),
        "number_output_tokens": _whole(tokens),
        "number_input_tokens": _whole(prompts),
    }


def summary(level: Level, seen: Seen, timestamp: int) -> dict[str, Any]:
    """The summary's fields, in their order."""
    completed = seen.requests - seen.errors.total()
    results: dict[str, Any] = {name: of_values(seen.figure(name), PERCENTS) for name in SUMMARISED}
    results |= {
        "num_requests_started": seen.requests,
        "error_rate": seen.errors.total() / seen.requests if seen.requests else 0,
        "number_errors": seen.errors.total(),
        "error_code_frequency": str(dict(seen.errors.most_common())),
        "mean_output_throughput_token_per_s": seen.per_second(
            float(np.nansum(seen.figure("number_output_tokens")))
        ),
        "num_completed_requests": completed,
        "num_completed_requests_per_min": seen.per_second(completed * 60),
    }
    told = {
        "version": VERSION,
        "name": f"{stem(level)}_summary",
        "model": level.model,
        "mean_input_tokens": level.prompt.mean,
        "stddev_input_tokens": level.prompt.stddev,
        "mean_output_tokens": level.output.mean,
        "stddev_output_tokens": level.output.stddev,
        "num_concurrent_requests": level.entry.get("concurrency"),
        "additional_sampling_params": level.settings.get("extra_body") or {},
        "results": results,
    }
    return flat({**(level.settings.get("labels") or {}), **told, "timestamp": timestamp})


def _codes(batch: Batch) -> list[int | None]:
    """None for a success, else the HTTP status, or -1 where the status is not what was wrong."""
    found = zip(batch.ok, batch.values("http_status"), strict=True)
    return [None if ok else status if status not in {None, 200} else -1 for ok, status in found]


def _whole(values: Any) -> list[int | None]:  # noqa: ANN401  an array
    return [None if np.isnan(value) else int(value) for value in values.tolist()]
