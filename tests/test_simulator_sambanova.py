"""SambaNova Cloud as the simulator speaks it, against replies written by hand."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from test_simulator import Server, simulator, wait_for

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200", "--speak", "sambanova")
CHAT = {
    "model": "m",
    "messages": [{"role": "user", "content": "Oi"}],  # 8 tokens in the template
    "max_tokens": 3,
    "ignore_eos": True,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the module."""
    with simulator(tmp_path_factory.mktemp("sambanova"), *QUICK) as running:
        yield running


def check_usage(usage: dict[str, Any], began: float) -> None:
    """8 tokens in 2 ms, then two steps of 2.5 ms, all in s; dates in Unix time."""
    start, end = usage.pop("start_time"), usage.pop("end_time")
    assert began - 0.01 <= start <= time.time()
    assert end - start == pytest.approx(0.007, abs=1e-6)
    assert usage == {
        "prompt_tokens": 8,
        "completion_tokens": 3,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 0},
        "time_to_first_token": 0.002,
        "total_latency": 0.007,
        "completion_tokens_per_sec": pytest.approx(3 / 0.007),
        "completion_tokens_after_first_per_sec": 400.0,
        "total_tokens_per_sec": pytest.approx(11 / 0.007),
        "acceptance_rate": None,
        "is_last_response": True,
    }


def test_chat_stream(server: Server):
    """OpenAI's chunks with a fingerprint; the usage chunk has the server's figures in s; [DONE]."""
    began = time.time()
    *data, done = server.stream("/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}})
    assert done == "[DONE]"
    chunks = [json.loads(d) for d in data]
    assert [c["choices"][0]["delta"] for c in chunks[:1]] == [{"role": "assistant", "content": ""}]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * 4 + ["length"]
    assert {c["system_fingerprint"] for c in chunks} == {"fastcoe"}
    assert chunks[-1]["choices"] == []
    check_usage(chunks[-1]["usage"], began)


def test_whole(server: Server):
    """Chat and completions have the usage in the body."""
    began = time.time()
    check_usage(server.post("/v1/chat/completions", CHAT)["usage"], began)
    reply = server.post(
        "/v1/completions", {"model": "m", "prompt": "Oi", "max_tokens": 2, "ignore_eos": True}
    )
    assert (reply["object"], reply["usage"]["total_tokens"]) == ("text_completion", 4)
    assert reply["choices"][0]["finish_reason"] == "length"


def test_one_token_has_no_later_rate(server: Server):
    """Where nothing follows the first token its rate is null."""
    usage = server.post("/v1/chat/completions", {**CHAT, "max_tokens": 1})["usage"]
    assert (usage["completion_tokens"], usage["completion_tokens_after_first_per_sec"]) == (1, None)


def test_limits_in_headers(server: Server):
    """Streams and whole replies name the limit and what is left of it; it falls by one a request."""
    left = []
    for stream in (False, True):
        _, _, headers = server.raw("POST", "/v1/chat/completions", {**CHAT, "stream": stream})
        assert headers["x-ratelimit-limit-requests-day"] == "1000000"
        left.append(int(headers["x-ratelimit-remaining-requests-day"]))
    assert left[0] - left[1] == 1


def test_models(server: Server):
    """The list, with the context."""
    (model,) = server.call("GET", "/v1/models")[1]["data"]
    assert (model["id"], model["context_length"]) == ("m", 200)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({**CHAT, "temperature": 2.5}, 400, "decimal_above_max_value", "temperature"),
        ({**CHAT, "max_tokens": "3"}, 400, "invalid_type", "max_tokens"),
        ({"model": "m"}, 400, "invalid_type", "messages"),
        (
            {**CHAT, "messages": [{"role": "user", "content": "a " * 200}]},
            400,
            "context_length_exceeded",
            None,
        ),
        ({**CHAT, "model": "x"}, 404, "model_not_found", "model"),
        (b"{", 400, "invalid_request", None),
    ],
)
def test_errors(server: Server, body: Any, status: int, code: str, param: str | None):
    """An object with `code`, and the request's id beside it."""
    found, raw, _ = server.raw("POST", "/v1/chat/completions", body, {"X-Request-Id": "r1"})
    reply = json.loads(raw)
    assert (found, reply["request_id"]) == (status, "r1")
    assert set(reply["error"]) == {"message", "type", "param", "code"}
    assert (reply["error"]["code"], reply["error"]["param"]) == (code, param)
    assert reply["error"]["type"] == "invalid_request_error"


def test_key(tmp_path: Any):
    """A Bearer token on every route."""
    with simulator(tmp_path, *QUICK, "--api-key-env", "SIM_KEY", env={"SIM_KEY": "k"}) as guarded:
        status, raw, _ = guarded.raw("GET", "/v1/models")
        assert (status, json.loads(raw)["error"]["code"]) == (401, "invalid_api_key")
        assert guarded.raw("GET", "/v1/models", headers={"Authorization": "Bearer k"})[0] == 200


def test_overload_is_a_504(tmp_path: Any):
    """A full queue answers 504, streamed or not."""
    with simulator(tmp_path, *QUICK, "--slots", "1", "--max-queue", "0") as full:
        busy = full.connect()
        busy.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "max_tokens": 190}))
        for stream in (False, True):

            def refused(stream: bool = stream) -> Any:
                status, raw, _ = full.raw("POST", "/v1/chat/completions", {**CHAT, "stream": stream})
                return raw if status == 504 else None

            assert json.loads(wait_for(refused, 1))["error"]["code"] == "queue_full"
        busy.close()


def test_error_inside_a_stream(tmp_path: Any):
    """An event named `error`; no end mark."""
    with simulator(tmp_path, *QUICK, "--fault", "stream-error:1,after=1,code=500") as faulty:
        raw = faulty.raw("POST", "/v1/chat/completions", {**CHAT, "stream": True})[1]
        name, data = raw.decode().split("\n\n")[-2].split("\n")
        error = json.loads(data.removeprefix("data: "))["error"]
        assert (name, error["message"], error["type"]) == (
            "event: error",
            "Internal Server Error",
            "server_error",
        )
