"""Whole runs against a server that speaks SambaNova Cloud's dialect, and what is said before load if it cannot go well."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import refused, run, simulator, truth

from harness.servers.process import Server

FAST = ("--prefill-rate", "20000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--slots", "2")
SMALL = ("--prompt-tokens", "60", "--output-tokens", "10", "--levels", "4", "--requests-per-level", "8")
KEY = {"SAMBANOVA_API_KEY": "right"}


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """SambaNova's dialect behind a key."""
    options = ("--speak", "sambanova", "--api-key-env", "SIMULATED_KEY", "--log", str(log))
    with simulator(*FAST, *options, env={"SIMULATED_KEY": "right"}) as running:
        yield running


@pytest.mark.parametrize("stream", ["yes", "no"])
@pytest.mark.parametrize("mode", ["chat", "completions"])
def test_every_request_agrees_with_the_server(
    tmp_path: Path, server: Server, log: Path, mode: str, stream: str
) -> None:
    """Counts, asked against got, and its seconds as ms, without its queue; a base URL may end in /v1."""
    host = server.url + ("/v1" if mode == "chat" else "")
    done = run(
        "sambanova.py", tmp_path / "r", "--host", host, "--api-mode", mode, "--stream", stream, *SMALL,
        "--exact-output", "yes", env=KEY,
    )  # fmt: skip
    assert done.code == 0, done.err
    ours = done.requests
    both = ours.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(ours) == 8
    assert (both.outcome == "ok").all()
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.output_tokens == both.requested_output_tokens).all()
    assert (both.streamed == (stream == "yes")).all()
    assert both.ttft_ms.notna().all() == (stream == "yes")
    assert both.ttft_ms.isna().all() == (stream == "no")
    assert (both.server_ttft_ms - both.prefill_ms).abs().max() < 0.01  # s would be off by a thousand
    assert (both.server_e2e_ms - both.prefill_ms - both.decode_ms).abs().max() < 0.01
    after_first = (both.output_tokens_true - 1) / both.decode_ms * 1e3
    assert (both.server_tokens_per_s / after_first - 1).abs().max() < 0.01
    assert both.acceptance_rate.isna().all()
    assert both.server_queue_ms.isna().all()
    if stream == "yes":
        assert (both.ttft_ms > both.server_ttft_ms + both.queue_ms - 1).all()


BAD = [
    ((), {}, "401"),
    ((), {"SAMBANOVA_API_KEY": "wrong"}, "the API key given is not the right one"),
    (("--model", "nobody"), KEY, "--model 'nobody' is not served here; the server lists 'simulated'"),
    (("--cache-salt", "run"), KEY, "--cache-salt run: backend 'sambanova' (--api-mode chat) knows no cache_salt"),
    (("--extra-body", '{"temperature": 9}'), KEY, "answered 400 to a trial request (temperature: must be at most 2)"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[said[:30] for _, _, said in BAD])
def test_what_cannot_go_well_is_said_before_load(
    tmp_path: Path, server: Server, log: Path, case: tuple[tuple[str, ...], dict[str, str], str]
) -> None:
    """One line, exit 2, nothing generated."""
    options, env, said = case
    line = refused("sambanova.py", tmp_path, server.url, *SMALL, *options, log=log, env=env)
    assert said in line
