"""MariTalk Local as the simulator speaks it, against replies written by hand: names, units, status, errors."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from test_simulator import Server, simulator, wait_for

from harness.simulator import tokens

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200")
BODY = {
    "prompt": " a" * 39,  # 40 tokens with the begin marker: 10 ms at 4000/s
    "do_sample": True,
    "temperature": 0.7,
    "top_p": 0.95,
    "max_tokens": 5,
    "stop_sequences": [],
    "seed": None,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The newer generation."""
    with simulator(tmp_path_factory.mktemp("maritalk"), *QUICK, "--speak", "maritalk") as running:
        yield running


def test_generate_in_seconds(server: Server):
    """Text and two times in s, nothing else; the wait for the first token is in `queue_time`."""
    status, raw, headers = server.raw("POST", "/generate", BODY)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    reply = json.loads(raw)
    assert list(reply) == ["output", "queue_time", "generation_time"]
    assert tokens.count(reply["output"]) == 5
    assert reply["generation_time"] == 0.01  # four steps of 2.5 ms
    assert 0.01 <= reply["queue_time"] < 0.1


def test_generate_in_milliseconds(tmp_path: Any):
    """The older generation: three times in whole ms, of which `prompt_time` is the sign."""
    with simulator(tmp_path, *QUICK, "--speak", "maritalk-2023") as old:
        reply = old.post("/generate", BODY)
        assert list(reply) == ["output", "queue_time", "prompt_time", "generation_time"]
        assert (reply["prompt_time"], reply["generation_time"]) == (10, 10)
        assert [type(reply[name]) for name in ("queue_time", "prompt_time", "generation_time")] == [int] * 3
        chat = old.post("/chat/generate", {"messages": [{"role": "user", "content": "Oi"}], "max_tokens": 2})
        assert (chat["prompt_time"], chat["generation_time"]) == (2, 2)  # 8 tokens; one step of 2.5 ms


def test_chat_generate(server: Server):
    """Messages instead of a prompt; there is no stream, whatever is asked for."""
    body = {"messages": [{"role": "user", "content": "Olá"}], "max_tokens": 3, "stream": True}
    status, raw, headers = server.raw("POST", "/chat/generate", body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert tokens.count(json.loads(raw)["output"]) == 3


def test_the_length_is_the_models_own(server: Server):
    """`ignore_eos` is not known here: a long limit gives the same short answer with it and without."""
    free = {**BODY, "max_tokens": 150, "prompt": "Oi"}
    first, second = (
        server.post("/generate", body)["output"] for body in (free, {**free, "ignore_eos": True})
    )
    assert first == second


def test_status(server: Server):
    """`GET /` is idle once it serves."""
    assert server.raw("GET", "/")[1] == b'{"status":"idle"}'


def test_loading(tmp_path: Any):
    """While it loads the status says so and generating is refused; then it is idle."""
    with simulator(tmp_path, *QUICK, "--speak", "maritalk", "--load-seconds", "0.5") as early:
        status, raw, _ = early.raw("GET", "/")
        assert (status, raw) == (200, b'{"status":"loading"}')
        status, raw, headers = early.raw("POST", "/generate", BODY)
        assert (status, raw) == (503, b'{"error":"the model is loading"}')
        assert headers["Content-Type"] == "application/json"
        assert wait_for(lambda: early.raw("GET", "/")[1] == b'{"status":"idle"}')
        assert early.raw("POST", "/generate", BODY)[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/generate", {"prompt": 1}, 400, "prompt must be a string, not 1"),
        ("/generate", {**BODY, "max_tokens": 0}, 400, "max_tokens must be an integer >= 1, not 0"),
        ("/generate", {**BODY, "do_sample": 1}, 400, "do_sample must be true or false, not 1"),
        ("/generate", {**BODY, "temperature": "3"}, 400, "temperature must be a number >= 0, not '3'"),
        (
            "/generate",
            {**BODY, "stop_sequences": "a"},
            400,
            "stop_sequences must be a list of strings, not 'a'",
        ),
        ("/chat/generate", {}, 400, "messages must be a list of at least one message"),
        ("/v1/chat/completions", {}, 404, "no such route: /v1/chat/completions"),
    ],
)
def test_errors(server: Server, path: str, body: Any, status: int, error: str):
    """An error is JSON without an `output`, its type exactly what the client takes for data."""
    found, raw, headers = server.raw("POST", path, body)
    assert (found, json.loads(raw)) == (status, {"error": error})
    assert headers["Content-Type"] == "application/json"


def test_no_key(tmp_path: Any):
    """No header is asked for, even where the simulator has a key."""
    with simulator(
        tmp_path, *QUICK, "--speak", "maritalk", "--api-key-env", "SIM_KEY", env={"SIM_KEY": "k"}
    ) as open_one:
        assert open_one.raw("POST", "/generate", BODY)[0] == 200
