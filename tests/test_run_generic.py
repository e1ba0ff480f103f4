"""Whole runs with the servers that have no file of their own: named ones, and one described by options."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import run, simulator, truth

from harness.servers.process import Server

FAST = ("--prefill-rate", "50000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--slots", "4")
SMALL = ("--prompt-tokens", "40", "--output-tokens", "8", "--levels", "2", "--requests-per-level", "4")


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """One that knows `ignore_eos` and `min_tokens` and ignores what else it does not know; answers end early."""
    with simulator(*FAST, "--speak", "vllm", "--mean-output-tokens", "3", "--log", str(log)) as running:
        yield running


# name, --stream, further options, whether answers go on to the asked length
CASES = [
    ("sglang", "yes", ["--cache-salt", "run"], True),
    ("sglang", "no", ["--api-mode", "completions", "--prompt-ids", "1000-1200"], True),
    ("lmdeploy", "yes", ["--api-mode", "completions"], True),
    ("tensorrt-llm", "no", [], True),
    ("tabbyapi", "yes", ["--backend-option", "length_fields=ignore_eos+min_tokens"], True),
    ("ollama", "yes", [], False),
    ("ctranslate2", "no", ["--api-mode", "completions"], False),
    ("onnx", "yes", ["--backend-option", "max_tokens_field=max_completion_tokens"], False),
    ("openai", "yes", ["--backend-option", "length_fields=none", "--exact-output", "no"], False),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_a_named_server(
    tmp_path: Path, server: Server, log: Path, case: tuple[str, str, list[str], bool]
) -> None:
    """Counts are the server's, and answers go on to the asked length where it can be made to."""
    name, stream, options, exact = case
    done = run(
        "generic.py", tmp_path / "r", "--host", server.url, "--stream", stream, *SMALL, *options,
        env={"TOKENSWARM_BACKEND": name},
    )  # fmt: skip
    assert done.code == 0, done.err
    both = done.requests.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(done.requests) == 4
    assert (both.outcome == "ok").all()
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert both.ttft_ms.isna().all() == (stream == "no")
    assert (both.output_tokens == both.requested_output_tokens).all() == exact


def test_a_name_that_is_none_is_told_what_there_is(tmp_path: Path, server: Server, log: Path) -> None:
    """One line, exit 2."""
    done = run(
        "generic.py", tmp_path / "r", "--host", server.url, *SMALL, env={"TOKENSWARM_BACKEND": "exllama"}
    )
    assert done.code == 2
    (line,) = done.errors
    assert "backend 'exllama' is unknown: use one of openai, llamacpp, vllm" in line
