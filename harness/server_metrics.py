"""What an LLM server says of itself on its Prometheus page: vLLM's, TGI's, llama.cpp's and SGLang's names in one vocabulary.

A `Sample` is one look at that page. The page is read while load runs, so only the wanted lines are taken apart:
a vLLM page of 200 kB costs under 1 ms. What a server does not publish is None, and so is what it has not
counted yet: TGI and SGLang publish a counter only from its first increment on.

Series that differ by labels (several models, several engines) are added up; of KV-cache usage the fullest counts.
Two of SGLang's habits would count twice. Ranks of one group (`tp_rank`, `pp_rank`, `moe_ep_rank`) report the same
requests: of these the greatest counts. A breakdown by `priority` stands beside its sum: only the sum counts.

Text in, values out, and the rows of server_metrics.csv. No socket, no clock, no opinion: `harness.scraper` asks,
`harness.reconcile` judges.

Source: vLLM `vllm/v1/metrics/loggers.py`; TGI `router/src/{server,validation,infer}`; llama.cpp
`tools/server/server.cpp` (`/metrics`); SGLang `python/sglang/srt/observability/metrics_collector.py`.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Final

__all__ = ["COUNTERS", "GAUGES", "Page", "Sample", "of_csv", "of_json", "read", "text"]

GAUGES: Final = ("queued", "running", "kv_cache_usage")
COUNTERS: Final = (
    *(
        "prompt_tokens_total",
        "generated_tokens_total",
        "prefix_cache_hits_total",
        "prefix_cache_queries_total",
    ),
    *("preemptions_total", "requests_total"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the page; docs/metrics.md, "The server's own figures", says what each figure means."""

    time_ns: int  # when the page had come, Unix time
    problem: str = ""  # why there is none; a gap
    system: str | None = None  # whose names were on it; None: nobody's yet
    queued: float | None = None  # requests that wait
    running: float | None = None  # requests being worked on
    kv_cache_usage: float | None = None  # 0 to 1, of the fullest engine
    prompt_tokens_total: float | None = None  # cached ones too, but see `reconcile`
    generated_tokens_total: float | None = None
    prefix_cache_hits_total: float | None = None  # prompt tokens taken from the cache
    prefix_cache_queries_total: float | None = None  # prompt tokens looked up in it
    preemptions_total: float | None = None  # requests thrown out of the KV cache and begun again
    requests_total: float | None = None  # requests it has finished


NAMES: Final = tuple(field.name for field in fields(Sample))

# Ways to find a figure, the best first: names whose values are added up. A way counts if all of its names are there.
Ways = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _System:
    name: str
    marks: tuple[str, ...]  # what its names begin with; Prometheus itself may have made `_` of the colon
    figures: Mapping[str, Ways]


_SYSTEMS: Final = (
    _System(
        "vLLM",
        ("vllm:", "vllm_"),
        {
            "queued": (("num_requests_waiting",),),
            "running": (("num_requests_running",),),
            "kv_cache_usage": (("kv_cache_usage_perc",), ("gpu_cache_usage_perc",)),  # the second until 0.9
            "prompt_tokens_total": (("prompt_tokens_total",),),
            "generated_tokens_total": (("generation_tokens_total",),),
            "prefix_cache_hits_total": (("prefix_cache_hits_total",),),  # `gpu_prefix_...` counted blocks
            "prefix_cache_queries_total": (("prefix_cache_queries_total",),),
            "preemptions_total": (("num_preemptions_total",),),
            "requests_total": (("request_success_total",),),  # aborted ones too, by `finished_reason`
        },
    ),
    _System(
        "TGI",
        ("tgi_",),
        {
            "queued": (("queue_size",),),
            "running": (("batch_current_size",),),
            "prompt_tokens_total": (("request_input_length_sum",),),  # of a histogram over requests
            "generated_tokens_total": (("request_generated_tokens_sum",),),
            "requests_total": (("request_success",),),
        },
    ),
    _System(
        "llama.cpp",
        ("llamacpp:", "llamacpp_"),
        {
            "queued": (("requests_deferred",),),
            "running": (("requests_processing",),),
            "kv_cache_usage": (("kv_cache_usage_ratio",),),  # gone since mid-2025
            # The first name alone leaves out what came from the cache; the second is of 2026.
            "prompt_tokens_total": (("prompt_tokens_total", "prompt_tokens_cached_total"), ("prompt_tokens_total",)),
            "generated_tokens_total": (("tokens_predicted_total",),),
            "prefix_cache_hits_total": (("prompt_tokens_cached_total",),),
            "prefix_cache_queries_total": (("prompt_tokens_total", "prompt_tokens_cached_total"),),
        },
    ),
    _System(
        "SGLang",
        ("sglang:", "sglang_"),
        {
            "queued": (("num_queue_reqs",),),
            "running": (("num_running_reqs",),),
            "kv_cache_usage": (("token_usage",),),
            "prompt_tokens_total": (("prompt_tokens_total",),),
            "generated_tokens_total": (("generation_tokens_total",),),
            "prefix_cache_hits_total": (("cached_tokens_total",),),  # in newer ones one series a `cache_source`
            "prefix_cache_queries_total": (("prompt_tokens_total",),),
            "preemptions_total": (("num_retracted_requests_total",),),
            "requests_total": (("num_requests_total",),),
        },
    ),
)  # fmt: skip

_LINE: Final = re.compile(rb'([\w:]+)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*+")*+)\})?[ \t]+(\S+)')
_RANK: Final = re.compile(rb'\b(?:tp_rank|pp_rank|moe_ep_rank)="[^"]*",?')
_PRIORITY: Final = re.compile(rb'\bpriority="[^"]+"')

Page = tuple[str | None, dict[str, float]]  # whose names are on it, and the figures they give
Series = dict[bytes, float]  # by labels, but for the ranks


@cache
def _wanted(mark: str) -> tuple[_System, frozenset[bytes], int]:
    """The system whose names begin with `mark`; how its wanted lines begin, and how much of them that is."""
    system = next(system for system in _SYSTEMS if mark in system.marks)
    names = [f"{mark}{name}".encode() for ways in system.figures.values() for way in ways for name in way]
    long = min(map(len, names))
    return system, frozenset(name[:long] for name in names), long


def read(page: bytes) -> Page:
    """The figures on a page in Prometheus' text format; lines that make no sense are passed over."""
    for mark in (mark for system in _SYSTEMS for mark in system.marks):
        begin = mark.encode()
        if page.startswith(begin) or b"\n" + begin in page or b"# TYPE " + begin in page:
            system, beginnings, long = _wanted(mark)
            lines = [line for line in page.split(b"\n") if line[:long] in beginnings]
            return system.name, _figures(system, mark, _series(lines))
    return None, {}


def _series(lines: Iterable[bytes]) -> dict[str, Series]:
    """The value of each group of ranks, by name."""
    found: dict[str, Series] = {}
    for parts in filter(None, map(_LINE.match, lines)):
        value, labels = _number(parts[3]), parts[2] or b""
        if value is not None and not _PRIORITY.search(labels):
            known, group = found.setdefault(parts[1].decode(), {}), _RANK.sub(b"", labels)
            known[group] = max(known.get(group, value), value)
    return found


def _number(cell: bytes) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _figures(system: _System, mark: str, series: Mapping[str, Series]) -> dict[str, float]:
    """Each figure in the best way that the page allows."""
    found = {}
    for figure, ways in system.figures.items():
        over_labels = max if figure == "kv_cache_usage" else sum
        for way in ways:
            if all(mark + name in series for name in way):
                found[figure] = sum(over_labels(series[mark + name].values()) for name in way)
                break
    return found


def of_json(value: Mapping[str, Any]) -> Sample:
    """The sample of a journal's line.

    Raises:
        TypeError: its time is missing.
    """
    return Sample(**{name: value[name] for name in NAMES if name in value})


def text(samples: Iterable[Sample]) -> str:
    """server_metrics.csv: one line a sample, in order of time; what is not known is an empty cell."""
    out = io.StringIO()
    table = csv.DictWriter(out, NAMES, lineterminator="\n")
    table.writeheader()
    for sample in sorted(samples, key=lambda sample: sample.time_ns):
        table.writerow({name: _cell(value) for name, value in asdict(sample).items()})
    return out.getvalue()


def of_csv(lines: Iterable[str]) -> list[Sample]:
    """The samples of such a file; columns it does not know are passed over.

    Raises:
        ValueError: a cell that is no number, or a column is missing.
    """
    rows = [
        {name: cell for name, cell in row.items() if name in NAMES and cell} for row in csv.DictReader(lines)
    ]
    try:
        return [Sample(**{name: _of_cell(name, cell) for name, cell in row.items()}) for row in rows]
    except TypeError as error:
        raise ValueError(str(error)) from None


def _cell(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _of_cell(name: str, cell: str) -> Any:  # noqa: ANN401  a number or a text
    if name in ("problem", "system"):
        return cell
    return int(cell) if name == "time_ns" else float(cell)
