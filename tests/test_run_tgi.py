"""Whole runs against a server that speaks TGI's dialect, its overload inside 200 streams, and what is said before load."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import refused, run, simulator, truth

from harness.servers.process import Server

FAST = ("--prefill-rate", "20000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--slots", "2")
SMALL = ("--prompt-tokens", "60", "--output-tokens", "10", "--levels", "4", "--requests-per-level", "8")
KEY = {"TOKENSWARM_API_KEY": "right"}
ROUTES = {
    ("native", "yes"): "/generate_stream",
    ("native", "no"): "/generate",
    ("chat", "yes"): "/v1/chat/completions",
    ("chat", "no"): "/v1/chat/completions",
    ("completions", "yes"): "/v1/completions",
    ("completions", "no"): "/v1/completions",
}


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """TGI's dialect behind a key; answers end by themselves, some before ten tokens."""
    options = ("--speak", "tgi", "--api-key-env", "SIMULATED_KEY", "--log", str(log))
    ends = ("--mean-output-tokens", "12")
    with simulator(*FAST, *ends, *options, env={"SIMULATED_KEY": "right"}) as running:
        yield running


@pytest.mark.parametrize(("mode", "stream"), ROUTES)
def test_every_request_agrees_with_the_server(
    tmp_path: Path, server: Server, log: Path, mode: str, stream: str
) -> None:
    """Counts, asked against got where no length can be forced, and times only where TGI says them."""
    done = run(
        "tgi.py", tmp_path / "r", "--host", server.url, "--api-mode", mode, "--stream", stream, *SMALL, env=KEY
    )  # fmt: skip
    assert done.code == 0, done.err
    ours = done.requests
    both = ours.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(ours) == 8
    assert (both.outcome == "ok").all()
    assert (both.route == ROUTES[mode, stream]).all()
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.requested_output_tokens == 10).all()
    assert both.output_tokens.max() <= 10
    assert ((both.finish_reason == "length") == (both.output_tokens == 10)).all()
    assert set(both.finish_reason) <= {"length", "stop"}
    assert (both.streamed == (stream == "yes")).all()
    both = both[both.chunks > 0]  # a first token may be the end, which has no text
    assert len(both) >= 5
    assert both.ttft_ms.notna().all() == (stream == "yes")
    assert both.ttft_ms.isna().all() == (stream == "no")
    if stream == "yes":
        assert both.server_queue_ms.isna().all()
    else:  # headers, cut to whole ms
        assert ((both.queue_ms - both.server_queue_ms).between(-0.01, 1.01)).all()
        assert both.server_queue_ms.max() > 10  # two of four wait for a slot
        spent = both.queue_ms + both.prefill_ms + both.decode_ms
        assert (both.server_e2e_ms - spent).min() > -1.01
        assert (both.server_e2e_ms <= both.e2e_ms + 1).all()
    assert both.server_decode_ms.isna().all()


@pytest.mark.parametrize(("mode", "stream"), [("native", "yes"), ("chat", "yes"), ("native", "no")])
def test_overload_is_told_apart_from_other_failures(tmp_path: Path, mode: str, stream: str) -> None:
    """Eight users where one works and two wait: a 200 stream with an error in it is no success."""
    with simulator("--speak", "tgi", "--slots", "1", "--max-queue", "2", "--step-base-ms", "20") as crowded:
        done = run(
            "tgi.py", tmp_path / "r", "--host", crowded.url, "--api-mode", mode, "--stream", stream,
            "--prompt-tokens", "20", "--output-tokens", "10", "--levels", "8", "--requests-per-level", "24",
        )  # fmt: skip
    assert done.code == 1
    failed = done.requests[done.requests.outcome == "failed"]
    assert set(failed.error_class) == {"overload"}
    assert set(failed.error_message) == {"Model is overloaded"}
    assert set(failed.http_status) == {200 if stream == "yes" else 429}
    assert failed.ttft_ms.isna().all()
    assert failed.output_tokens.isna().all()
    (level,) = done.summary["levels"]
    assert level["errors"] == {"overload": len(failed)}
    assert 0 < len(failed) < 24


def test_what_tgi_is_and_allows_is_kept(tmp_path: Path, server: Server) -> None:
    """`/info`, in run.json."""
    done = run("tgi.py", tmp_path / "r", "--host", server.url, *SMALL, env=KEY)
    assert done.code == 0, done.err
    said = json.loads((done.directory / "run.json").read_bytes())["settings"]["users"]["TGI"]["server"]
    assert (said["version"], said["context"], said["slots"]) == ("3.3.6-dev0", 8192, None)
    assert said["limits"]["max_concurrent_requests"] == 128


BAD = [
    ((), {}, "answered 401"),
    ((), {"TOKENSWARM_API_KEY": "wrong"}, "the API key given is not the right one"),
    (("--exact-output", "yes"), KEY, "--exact-output yes: backend 'tgi' (--api-mode native) has no way to make an answer go on"),
    (("--extra-body", '{"best_of": 2}'), KEY, "best_of"),
    (("--output-tokens", "9000"), KEY, "the server takes 8192 tokens a request"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[said[:30] for _, _, said in BAD])
def test_what_cannot_go_well_is_said_before_load(
    tmp_path: Path, server: Server, log: Path, case: tuple[tuple[str, ...], dict[str, str], str]
) -> None:
    """One line, exit 2, nothing generated but the trial."""
    options, env, said = case
    line = refused("tgi.py", tmp_path, server.url, *SMALL, *options, log=log, env=env)
    assert said in line
    assert "wrong" not in line


def test_a_server_of_another_kind_is_said_before_load(tmp_path: Path) -> None:
    """`/generate_stream` is not there: one line that names the backend and the mode."""
    log = tmp_path / "truth.jsonl"
    with simulator("--speak", "vllm", "--log", str(log)) as other:
        line = refused("tgi.py", tmp_path, other.url, *SMALL, log=log)
    assert "/generate_stream answered 404" in line
    assert "is it a server of the kind 'tgi' with --api-mode native" in line
