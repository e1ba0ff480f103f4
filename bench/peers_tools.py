"""Who is compared, and how each is told the same load: so many streams, so many requests of one size.

The rule: every tool runs with its own defaults (workers, client, exports) and only what the load needs is set. All are
headless Linux processes that end by themselves; none may look for anything outside the machine.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import peers_outputs as outputs
import peers_tokenizer
from peers_install import environment
from peers_outputs import Said

__all__ = ["TOOLS", "Job", "Tool", "surroundings"]

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Job:
    """One run's load and places."""

    url: str
    streams: int
    requests: int
    tokens: int  # of prompt and answer each; the server sends as many events
    tokenizer: Path
    folder: Path  # for the tool's output

    @property
    def config(self) -> Path:
        """Where a tool's configuration file is, if it takes one."""
        return self.folder / "config.json"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `config` gives the text of `Job.config`."""

    name: str
    command: Callable[[Job], list[str]]
    read: Callable[[Path], Said]
    config: Callable[[Job], str] | None = None
    peer: bool = True  # has an environment of its own


def surroundings(home: Path) -> dict[str, str]:
    """The environment variables of every run: nothing is looked up on a hub, nothing of ours is set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TOKENSWARM_", "LOCUST_", "PYTHON"))
    }
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
    }
    return (
        kept
        | offline
        | {"HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "COLUMNS": "120"}
    )


def _tokenswarm(job: Job) -> list[str]:
    return [
        *(str(Path(sys.executable).with_name("locust")), "-f", str(ROOT / "locustfiles" / "openai.py")),
        *(
            "--host",
            job.url,
            "--headless",
            "--levels",
            str(job.streams),
            "--requests-per-level",
            str(job.requests),
        ),
        *("--prompt-tokens", str(job.tokens), "--output-tokens", str(job.tokens)),
        *("--results-dir", str(job.folder)),
    ]


def _aiperf(job: Job) -> list[str]:
    return [
        *(str(environment("aiperf") / "bin" / "aiperf"), "profile", "--model", "truth", "--url", job.url),
        *("--endpoint-type", "chat", "--streaming", "--concurrency", str(job.streams)),
        *("--request-count", str(job.requests), "--isl", str(job.tokens), "--isl-stddev", "0"),
        *("--osl", str(job.tokens), "--tokenizer", peers_tokenizer.NAME, "--random-seed", "1"),
        *(
            "--ui",
            "none",
            "--no-gpu-telemetry",
            "--no-server-metrics",
            "--output-artifact-dir",
            str(job.folder),
        ),
    ]


def _guidellm(job: Job) -> list[str]:
    return [
        *(str(environment("guidellm") / "bin" / "guidellm"), "run", "--disable-console"),
        *("--backend", f"kind=openai_http,target={job.url},model=truth"),
        *("--profile", f"kind=concurrent,streams={job.streams}"),
        *("--constraint", f"kind=max_requests,count={job.requests}"),
        *("--data", f"kind=synthetic_text,prompt_tokens={job.tokens},output_tokens={job.tokens}"),
        *("--tokenizer", f"kind=hf_auto,model={job.tokenizer}"),
        *("--output", f"kind=json,path={job.folder / 'report.json'}"),
    ]


def _evalscope(job: Job) -> list[str]:
    return [
        *(str(environment("evalscope") / "bin" / "evalscope"), "perf", "--model", "truth"),
        *("--url", f"{job.url}/v1/chat/completions", "--api", "openai", "--stream"),
        *("--parallel", str(job.streams), "--number", str(job.requests), "--dataset", "random"),
        *("--min-prompt-length", str(job.tokens), "--max-prompt-length", str(job.tokens)),
        *("--min-tokens", str(job.tokens), "--max-tokens", str(job.tokens)),
        *("--tokenizer-path", str(job.tokenizer), "--outputs-dir", str(job.folder), "--no-timestamp"),
    ]


def _inference_perf(job: Job) -> list[str]:
    return [str(environment("inference-perf") / "bin" / "inference-perf"), "--config_file", str(job.config)]


def _inference_perf_config(job: Job) -> str:
    """JSON, which is YAML. Its random prompts go to /v1/completions only."""
    size = {
        "min": job.tokens,
        "max": job.tokens,
        "mean": job.tokens,
        "std_dev": 0,
        "total_count": job.requests,
    }
    config = {
        "api": {"type": "completion", "streaming": True},
        "data": {"type": "random", "input_distribution": size, "output_distribution": size},
        "load": {
            "type": "concurrent",
            "base_seed": 1,
            "stages": [{"num_requests": job.requests, "concurrency_level": job.streams}],
        },
        "server": {"type": "vllm", "model_name": "truth", "base_url": job.url},
        "tokenizer": {"pretrained_model_name_or_path": str(job.tokenizer)},
        "storage": {"local_storage": {"path": str(job.folder)}},
    }
    return json.dumps(config)


TOOLS: Final[Mapping[str, Tool]] = {
    tool.name: tool
    for tool in (
        Tool("tokenswarm", _tokenswarm, outputs.tokenswarm, peer=False),
        Tool("aiperf", _aiperf, outputs.aiperf),
        Tool("guidellm", _guidellm, outputs.guidellm),
        Tool("evalscope", _evalscope, outputs.evalscope),
        Tool("inference-perf", _inference_perf, outputs.inference_perf, _inference_perf_config),
    )
}
