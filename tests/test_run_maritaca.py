"""Whole runs against a server that speaks the dialects of Maritaca's cloud, and what is said before load."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from locust_runs import Result, refused, run, simulator, truth

from harness.servers.process import Server

QUICK = ("--prefill-rate", "20000", "--step-base-ms", "3", "--step-per-seq-ms", "0.5", "--slots", "2")
SMALL = ("--prompt-tokens", "60", "--output-tokens", "10", "--levels", "4", "--requests-per-level", "8")
KEY = {"MARITACA_API_KEY": "right"}


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """The cloud, behind a key."""
    options = ("--speak", "maritaca", "--api-key-env", "SIMULATED_KEY", "--log", str(log))
    with simulator(*QUICK, *options, env={"SIMULATED_KEY": "right"}, health="/api/models") as running:
        yield running


def whole_run(tmp_path: Path, host: str, mode: str, stream: str, *options: str) -> Result:
    """A small sweep with the right key."""
    done = run(
        "maritaca.py", tmp_path / "r", "--host", host, "--api-mode", mode, "--stream", stream, *SMALL, *options,
        env=KEY,
    )  # fmt: skip
    assert done.code == 0, done.err
    return done


def compared(done: Result, log: Path, *, stream: bool) -> pd.DataFrame:
    """Each request beside the truth; what holds for every route is checked here."""
    both = done.requests.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(done.requests) == 8
    assert (both.outcome == "ok").all()
    assert (both.streamed == stream).all()
    assert both.ttft_ms.notna().all() == both.ttft_ms.notna().any() == stream
    assert (both.requested_output_tokens == 10).all()
    assert (
        both[["server_queue_ms", "server_prefill_ms", "server_decode_ms", "server_ttft_ms"]]
        .isna()
        .all(axis=None)
    )
    if stream:
        error_ms = both.ttft_ms - (both.first_token_ns - both.received_ns) / 1e6
        assert error_ms.min() > -0.05
        assert error_ms.min() < 5  # the machine may stand still for some of them
    (level,) = done.summary["levels"]
    assert level["output_length"]["asked"] == 8
    return both


@pytest.mark.parametrize("stream", ["yes", "no"])
@pytest.mark.parametrize("mode", ["chat", "responses"])
def test_every_request_agrees_with_the_server(
    tmp_path: Path, server: Server, log: Path, mode: str, stream: str
) -> None:
    """The newer routes count tokens, asked for whole or streamed; the host alone is address enough."""
    host = server.url + ("" if mode == "chat" else "/api")
    both = compared(whole_run(tmp_path, host, mode, stream), log, stream=stream == "yes")
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.token_source == "server").all()
    assert (
        both.finish_reason == both.output_tokens_true.map(lambda n: "length" if n == 10 else "stop")
    ).all()
    assert (both.cached_tokens == 0).all() or both.cached_tokens.isna().all()
    if stream == "yes":
        assert (both.chunks == both.output_tokens_true).all()


@pytest.mark.parametrize("per_message", [4, 1])
def test_messages_of_several_tokens(tmp_path: Path, server: Server, log: Path, per_message: int) -> None:
    """The older route's streams end by closing and count nothing: what is in the tables is marked as estimated."""
    option = ("--backend-option", f"tokens_per_message={per_message}")
    both = compared(whole_run(tmp_path, server.url, "legacy", "yes", *option), log, stream=True)
    assert (both.chunks == -(-both.output_tokens_true // per_message)).all()
    assert (both.prompt_tokens == both.requested_prompt_tokens).all()
    assert (both.token_source == "estimated").all()
    assert (both.prompt_token_source == "estimated").all()
    assert both.finish_reason.isna().all()


def test_a_whole_answer_of_the_older_route_is_counted(tmp_path: Path, server: Server, log: Path) -> None:
    """Its address tells the mode."""
    done = run(
        "maritaca.py", tmp_path / "r", "--host", server.url + "/api/chat/inference", "--stream", "no", *SMALL,
        env={"MARITALK_API_KEY": "right"},
    )  # fmt: skip
    assert done.code == 0, done.err
    both = compared(done, log, stream=False)
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.token_source == "server").all()


BAD = [
    ("", (), {}, "put the API key into the environment variable"),
    ("", (), {"MARITACA_API_KEY": "wrong"}, "the API key given is not the right one"),
    ("", ("--api-mode", "legacy"), {"MARITALK_API_KEY": "wrong"}, "the API key given is not the right one"),
    ("", ("--model", "sabia-9"), KEY, "--model 'sabia-9' is not served here; the server lists 'simulated'"),
    ("", ("--exact-output", "yes"), KEY, "--exact-output yes: backend 'maritaca' (--api-mode chat) has no way"),
    ("", ("--api-mode", "native"), KEY, "'native' is not a mode of backend 'maritaca': use one of chat, legacy, responses"),
    ("", ("--backend-option", "tokens_per_message=two"), KEY, "tokens_per_message"),
    ("/api/chat/inference", ("--api-mode", "chat"), KEY, "is the route of --api-mode legacy, not of 'chat'"),
    ("/api/v1/responses", ("--api-mode", "legacy"), KEY, "is the route of --api-mode responses, not of 'legacy'"),
    ("/elsewhere", ("--api-mode", "responses"), KEY, "/elsewhere/models"),
    ("", ("--api-mode", "responses", "--extra-body", '{"max_output_tokens": 0}'), KEY, "answered 422"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[case[3][:40] for case in BAD])
def test_what_cannot_go_well_is_said_before_load(
    tmp_path: Path, server: Server, log: Path, bad: tuple[str, tuple[str, ...], dict[str, str], str]
) -> None:
    """One line, exit 2, and no request of a load."""
    path, options, env, said = bad
    assert said in refused("maritaca.py", tmp_path, server.url + path, *SMALL, *options, log=log, env=env)
