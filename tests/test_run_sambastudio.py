"""Whole runs against endpoints that speak SambaStudio's dialects, and what is said before load."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import refused, run, simulator, truth

from harness.servers.process import Server

QUICK = ("--prefill-rate", "20000", "--step-base-ms", "3", "--step-per-seq-ms", "0.5", "--slots", "2")
SMALL = ("--prompt-tokens", "60", "--output-tokens", "10", "--levels", "4", "--requests-per-level", "8")
KEY = {"SAMBASTUDIO_API_KEY": "right"}
V1, V2, OPENAI = "/api/predict/generic/P1/E2", "/api/v2/predict/generic/P1/E2", "/openai/v1/P1/E2"


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """Endpoints of every flavour, behind a key; their one expert is called `simulated`."""
    options = ("--speak", "sambastudio", "--api-key-env", "SIMULATED_KEY", "--log", str(log))
    with simulator(*QUICK, *options, env={"SIMULATED_KEY": "right"}, health=V1) as running:
        yield running


FLAVOURS = {
    V1: ("--model", "COE/simulated"),
    V2: ("--backend-option", "expert=simulated"),
    OPENAI: ("--model", "Bundle/simulated"),
}


@pytest.mark.parametrize("stream", ["yes", "no"])
@pytest.mark.parametrize("path", FLAVOURS, ids=["v1", "v2", "openai"])
def test_every_request_agrees_with_the_server(
    tmp_path: Path, server: Server, log: Path, stream: str, path: str
) -> None:
    """The address tells the flavour; counts are the server's, its seconds are ms, and its queue is in none of them."""
    done = run(
        "sambastudio.py", tmp_path / "r", "--host", server.url + path, "--stream", stream, *SMALL, *FLAVOURS[path],
        env=KEY,
    )  # fmt: skip
    assert done.code == 0, done.err
    both = done.requests.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(done.requests) == 8
    assert (both.outcome == "ok").all()
    assert (both.streamed == (stream == "yes")).all()
    assert both.ttft_ms.notna().all() == both.ttft_ms.notna().any() == (stream == "yes")
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.token_source == "server").all()
    assert (both.requested_output_tokens == 10).all()
    ends = both.output_tokens_true.map(lambda tokens: "length" if tokens == 10 else "stop")
    assert (both.finish_reason == ends).all()
    assert (both.server_ttft_ms - both.prefill_ms).abs().max() < 0.01  # s would be off by a thousand
    assert (both.server_e2e_ms - both.prefill_ms - both.decode_ms).abs().max() < 0.01
    several = both[both.output_tokens_true > 1]
    after_first = (several.output_tokens_true - 1) / several.decode_ms * 1e3
    assert (several.server_tokens_per_s / after_first - 1).abs().max() < 0.01
    assert both.server_queue_ms.isna().all()
    assert both.acceptance_rate.isna().all()
    if path != OPENAI:
        assert both.batch_size.between(1, 2).all()
    if stream == "yes":
        assert (both.chunks == both.output_tokens_true).all()
        assert (both.ttft_ms > both.server_ttft_ms + both.queue_ms - 1).all()
    (level,) = done.summary["levels"]
    assert level["output_length"]["asked"] == level["output_length"]["compared"] == 8


BAD = [
    (V1, (), {}, "put the API key into the environment variable"),
    (V2, (), {"SAMBASTUDIO_API_KEY": "wrong"}, "the API key given is not the right one"),
    (OPENAI, ("--model", "simulated"), {"TOKENSWARM_API_KEY": "wrong"}, "the API key given is not the right one"),
    (V1, ("--api-mode", "v2"), KEY, "is a generic v1 endpoint, not for --api-mode v2: use --api-mode v1, or leave it out"),
    (V2, ("--api-mode", "openai"), KEY, "is a generic v2 endpoint, not for --api-mode openai"),
    (OPENAI, ("--api-mode", "v1"), KEY, "is no generic endpoint's address: give the one the platform shows"),
    ("", (), KEY, "is no generic endpoint's address: give the one the platform shows"),
    ("/api/predict/nlp/P1/E2", (), KEY, "is of the older nlp family, which is not spoken here: give "),
    (V2, ("--model", "COE/nobody"), KEY, "select_expert 'nobody' is not in this composition"),
    (V1, ("--backend-option", "expert=nobody"), KEY, "select_expert 'nobody' is not in this composition"),
    (OPENAI, (), KEY, "--model is missing"),
    (OPENAI, ("--model", "nobody"), KEY, "is --model 'nobody' served here?"),
    (V1, ("--extra-body", '{"top_k": -1}'), KEY, "answered 400 to a trial request (top_k"),
    (V1, ("--exact-output", "yes"), KEY, "--exact-output yes: backend 'sambastudio' (--api-mode v1) has no way"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[case[3][:40] for case in BAD])
def test_what_cannot_go_well_is_said_before_load(
    tmp_path: Path, server: Server, log: Path, bad: tuple[str, tuple[str, ...], dict[str, str], str]
) -> None:
    """One line, exit 2, and no request of a load."""
    path, options, env, said = bad
    assert said in refused("sambastudio.py", tmp_path, server.url + path, *SMALL, *options, log=log, env=env)


def test_a_class_for_each_expert(tmp_path: Path, server: Server, log: Path) -> None:
    """Each sends what only it will send, before load; this endpoint has none of the two."""
    line = refused("sambastudio_experts.py", tmp_path, server.url + V2, *SMALL, log=log, env=KEY)
    assert "select_expert 'Meta-Llama-3-8B-Instruct' is not in this composition; it has 'simulated'" in line
