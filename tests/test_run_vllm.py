"""Whole runs against a server that speaks vLLM's dialect, and what is said before load if it cannot go well."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import refused, run, simulator, truth

from harness.servers.process import Server

FAST = ("--prefill-rate", "20000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--slots", "2")
SMALL = ("--prompt-tokens", "60", "--output-tokens", "10", "--levels", "4", "--requests-per-level", "8")


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """Its dialect with per-request metrics, behind a key."""
    options = ("--speak", "vllm-metrics", "--api-key-env", "SIMULATED_KEY", "--log", str(log))
    with simulator(*FAST, *options, env={"SIMULATED_KEY": "right"}) as running:
        yield running


@pytest.mark.parametrize("stream", ["yes", "no"])
@pytest.mark.parametrize("mode", ["chat", "completions"])
def test_every_request_agrees_with_the_server(
    tmp_path: Path, server: Server, log: Path, mode: str, stream: str
) -> None:
    """Counts, asked against got, and the server's own times in ms; a first token only where it was seen."""
    done = run(
        "vllm.py", tmp_path / "r", "--host", server.url, "--api-mode", mode, "--stream", stream, *SMALL,
        env={"VLLM_API_KEY": "right"},
    )  # fmt: skip
    assert done.code == 0, done.err
    ours = done.requests
    both = ours.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(ours) == 8
    assert (both.outcome == "ok").all()
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.output_tokens == both.requested_output_tokens).all()
    assert (both.finish_reason == "length").all()
    assert (both.token_source == "server").all()
    assert (both.streamed == (stream == "yes")).all()
    assert both.ttft_ms.notna().all() == (stream == "yes")
    assert both.ttft_ms.isna().all() == (stream == "no")
    for figure in ("queue", "prefill", "decode"):
        assert (both[f"server_{figure}_ms"] - both[f"{figure}_ms"]).abs().max() < 0.01, figure
    assert both.server_queue_ms.max() > 10  # two of four wait for a slot
    assert (both.server_ttft_ms == both.server_prefill_ms).all()
    spent = both.server_queue_ms + both.server_prefill_ms + both.server_decode_ms
    assert (both.e2e_ms > spent - 1).all()
    (level,) = done.summary["levels"]
    assert level["requests"] == 8
    assert (level["ttft_ms"]["n"] > 0) == (stream == "yes")


def test_prompts_of_token_ids_have_exactly_the_asked_length(
    tmp_path: Path, server: Server, log: Path
) -> None:
    """No tokenizer on the way, none to disagree with; each request with a salt of its own."""
    done = run(
        "vllm.py", tmp_path / "r", "--host", server.url, "--api-mode", "completions", *SMALL,
        "--prompt-ids", "1000-1200", "--cache-salt", "request", env={"TOKENSWARM_API_KEY": "right"},
    )  # fmt: skip
    assert done.code == 0, done.err
    both = done.requests.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == 8
    assert (both.prompt_tokens_true == 60).all()
    assert (both.prompt_tokens == 60).all()


BAD = [
    ((), {}, "401 (Unauthorized): put the API key into the environment variable"),
    ((), {"VLLM_API_KEY": "wrong"}, "401 (Unauthorized): the API key given is not the right one"),
    (("--model", "nobody"), {"VLLM_API_KEY": "right"}, "--model 'nobody' is not served here; the server lists 'simulated'"),
    (("--prompt-ids", "5-9"), {"VLLM_API_KEY": "right"}, "--prompt-ids: backend 'vllm' (--api-mode chat) takes no token ids; drop it"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[said[:30] for _, _, said in BAD])
def test_what_cannot_go_well_is_said_before_load(
    tmp_path: Path, server: Server, log: Path, case: tuple[tuple[str, ...], dict[str, str], str]
) -> None:
    """One line, exit 2, nothing generated."""
    options, env, said = case
    line = refused("vllm.py", tmp_path, server.url, *SMALL, *options, log=log, env=env)
    assert said in line
    assert "wrong" not in line


def test_an_address_with_a_stray_path_is_said_before_load(tmp_path: Path, server: Server, log: Path) -> None:
    """Its list of models is not there: one line, exit 2, nothing generated."""
    key = {"VLLM_API_KEY": "right"}
    line = refused("vllm.py", tmp_path, server.url + "/api/v2", *SMALL, log=log, env=key)
    assert "/api/v2/v1/models" in line
    assert "404" in line
