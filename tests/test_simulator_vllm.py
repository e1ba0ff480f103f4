"""vLLM as the simulator speaks it, against replies written by hand."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from test_simulator import Server, simulator, wait_for

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200")
CHAT = {
    "model": "m",
    "messages": [{"role": "user", "content": "Oi"}],  # 8 tokens in the template
    "max_tokens": 3,
    "ignore_eos": True,
}
USAGE = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11, "prompt_tokens_details": None}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One without per-request metrics."""
    with simulator(tmp_path_factory.mktemp("vllm"), *QUICK, "--speak", "vllm") as running:
        yield running


def chunks(server: Server, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream's chunks; it must end with [DONE]."""
    *data, done = server.stream(path, body)
    assert done == "[DONE]"
    return [json.loads(d) for d in data]


def test_chat_stream(server: Server):
    """Role, tokens, finish with `stop_reason`, usage chunk if asked for; no timings anywhere."""
    found = chunks(server, "/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}})
    role, *contents, finish, usage = found
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(contents) == 3
    assert finish["choices"] == [
        {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length", "stop_reason": None}
    ]
    assert (usage["choices"], usage["usage"]) == ([], USAGE)
    assert all(set(c) <= {"id", "object", "created", "model", "choices", "usage"} for c in found)
    assert all("usage" not in c for c in found[:-1])


def test_usage_as_it_goes(server: Server):
    """`continuous_usage_stats` puts a running usage on every token's chunk."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    found = chunks(server, "/v1/chat/completions", {**CHAT, "stream_options": options})
    assert [c["usage"]["completion_tokens"] for c in found[1:4]] == [1, 2, 3]
    assert found[-1]["usage"] == USAGE


def test_metrics_of_a_request(tmp_path: Any):
    """When on, they ride on the usage chunk and in whole replies, in ms; only the queue's time holds the queue."""
    with simulator(tmp_path, *QUICK, "--speak", "vllm-metrics") as telling:
        found = chunks(telling, "/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}})
        whole = telling.post("/v1/completions", {"prompt": [5] * 8, "max_tokens": 3, "ignore_eos": True})
        for metrics in (found[-1]["metrics"], whole["metrics"]):
            queue = metrics.pop("queue_time_ms")
            assert 0 <= queue < 100
            assert metrics == {
                "time_to_first_token_ms": 2.0,
                "generation_time_ms": 5.0,
                "mean_itl_ms": 2.5,
                "tokens_per_second": pytest.approx(3 / 0.007),
            }
        assert not any("metrics" in c for c in chunks(telling, "/v1/chat/completions", CHAT))
        one = telling.post("/v1/chat/completions", {**CHAT, "max_tokens": 1})["metrics"]
        assert (one["mean_itl_ms"], one["tokens_per_second"]) == (None, 500.0)


@pytest.mark.parametrize(
    ("fields", "prompt", "output"),
    [
        ({"prompt": [7] * 12, "max_tokens": 9, "ignore_eos": True}, 12, 9),
        ({"prompt": "Oi", "max_tokens": 9, "min_tokens": 9}, 2, 9),
        ({"prompt": "Oi", "ignore_eos": True}, 2, 16),
        ({"prompt": "Oi", "ignore_eos": True, "cache_salt": "run-1"}, 2, 16),
    ],
)
def test_exact_lengths(server: Server, fields: dict[str, Any], prompt: int, output: int):
    """Token ids are counted as they are; `ignore_eos` and `min_tokens` hold; completions default to 16."""
    usage = server.post("/v1/completions", fields)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (prompt, output)


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "word"),
    [
        (
            "/v1/chat/completions",
            {**CHAT, "max_tokens": 500},
            400,
            "BadRequestError",
            "is too large: 500. This model's maximum context length is 200 tokens and your request has 8",
        ),
        (
            "/v1/completions",
            {"prompt": [1] * 200},
            400,
            "BadRequestError",
            "your request has 200 input tokens",
        ),
        (
            "/v1/completions",
            {"prompt": "a", "max_tokens": 3, "min_tokens": 4},
            400,
            "BadRequestError",
            "min_tokens",
        ),
        ("/v1/completions", {"prompt": "a", "cache_salt": ""}, 400, "BadRequestError", "non-empty string"),
        (
            "/v1/completions",
            {"prompt": "a", "model": "x"},
            404,
            "NotFoundError",
            "The model `x` does not exist.",
        ),
        ("/v1/completions", b"{", 400, "BadRequestError", "not JSON"),
        ("/generate", {}, 404, "Not Found", "Not Found"),
        ("/health", {}, 405, "Method Not Allowed", "Method Not Allowed"),
    ],
)
def test_errors(server: Server, *, path: str, body: Any, status: int, kind: str, word: str):
    """An object with the status as its code."""
    found, raw, _ = server.raw("POST", path, body)
    error = json.loads(raw)["error"]
    assert (found, error["code"], error["type"]) == (status, status, kind)
    assert set(error) == {"message", "type", "param", "code"}
    assert word in error["message"]


def test_key(tmp_path: Any):
    """It guards /v1 alone; a 401's `error` is a string."""
    with simulator(
        tmp_path, *QUICK, "--speak", "vllm", "--api-key-env", "SIM_KEY", env={"SIM_KEY": "k"}
    ) as guarded:
        for path in ("/v1/chat/completions", "/v1/completions"):
            assert guarded.raw("POST", path, CHAT)[:2] == (401, b'{"error":"Unauthorized"}')
        assert guarded.raw("GET", "/v1/models", headers={"X-Api-Key": "k"})[0] == 401
        assert guarded.raw("GET", "/v1/models", headers={"Authorization": "Bearer k"})[0] == 200
        for path in ("/health", "/metrics", "/version", "/load", "/ping"):
            assert guarded.raw("GET", path)[0] == 200
        assert guarded.raw("POST", "/tokenize", {"prompt": "Oi"})[0] == 200


def test_facts(server: Server):
    """/health has no body; /version, /v1/models, /tokenize."""
    assert server.raw("GET", "/health")[:2] == (200, b"")
    assert server.raw("GET", "/version")[1] == b'{"version":"0.33.0"}'
    (model,) = server.call("GET", "/v1/models")[1]["data"]
    assert (model["id"], model["owned_by"], model["max_model_len"]) == ("m", "vllm", 200)
    tokenized = server.post("/tokenize", {"prompt": "Oi a"})
    assert (tokenized["count"], tokenized["max_model_len"], len(tokenized["tokens"])) == (3, 200, 3)
    assert server.post("/tokenize", {"prompt": "Oi a", "add_special_tokens": False})["count"] == 2
    assert server.post("/tokenize", {"messages": CHAT["messages"]})["count"] == 8


def metrics(server: Server) -> dict[str, float]:
    """The page's samples without the labels that all have."""
    text = server.raw("GET", "/metrics")[1].decode()
    found = re.findall(r"^vllm:(\w+)\{engine=\"0\",model_name=\"m\",?([^}]*)\} (\S+)$", text, re.MULTILINE)
    return {f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in found}


def test_metrics_count_what_usage_counts(server: Server):
    """Tokens, requests and times grow by exactly what the replies named."""
    before = metrics(server)
    server.post("/v1/completions", {"prompt": [7] * 40, "max_tokens": 5, "ignore_eos": True})
    after = wait_for(
        lambda: (
            (m := metrics(server))["request_generation_tokens_count"]
            > before["request_generation_tokens_count"]
            and m
        )
    )
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert (grown["prompt_tokens_total"], grown["generation_tokens_total"]) == (40, 5)
    assert (grown["prefix_cache_queries_total"], grown["prefix_cache_hits_total"]) == (40, 0)
    assert grown['request_success_total{finished_reason="length"}'] == 1
    assert grown['request_success_total{finished_reason="stop"}'] == 0
    assert grown["request_prefill_time_seconds_sum"] == pytest.approx(0.010)
    assert grown["request_decode_time_seconds_sum"] == pytest.approx(0.010)
    assert grown["request_time_per_output_token_seconds_sum"] == pytest.approx(0.0025)
    assert (after["num_requests_running"], after["kv_cache_usage_perc"]) == (0, 0)


def test_metrics_show_what_goes_on(tmp_path: Any):
    """Running, waiting, tokens so far and the share of the cache they fill."""
    options = (*QUICK, "--speak", "vllm", "--slots", "1", "--step-base-ms", "20")
    with simulator(tmp_path, *options) as narrow:
        body = {"prompt": [7] * 100, "max_tokens": 99, "ignore_eos": True}
        connections = [narrow.connect() for _ in range(2)]
        for connection in connections:
            connection.request("POST", "/v1/completions", json.dumps(body))
        busy = wait_for(
            lambda: (
                (m := metrics(narrow))["num_requests_waiting"] == 1 and m["generation_tokens_total"] > 3 and m
            )
        )
        assert busy["num_requests_running"] == 1
        assert busy["prompt_tokens_total"] == 100
        assert busy["kv_cache_usage_perc"] == (100 + busy["generation_tokens_total"]) / 200
        assert json.loads(narrow.raw("GET", "/load")[1]) == {"server_load": 2}
        for connection in connections:
            connection.close()


def test_overload(tmp_path: Any):
    """Only with a limited queue: 503, and the stream is not opened."""
    options = (*QUICK, "--speak", "vllm", "--slots", "1", "--max-queue", "0")
    with simulator(tmp_path, *options) as full:
        busy = full.connect()
        busy.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "max_tokens": 190}))

        def refused() -> Any:
            status, raw, _ = full.raw("POST", "/v1/chat/completions", {**CHAT, "stream": True})
            return raw if status == 503 else None

        error = json.loads(wait_for(refused, 1))["error"]
        assert (error["message"], error["type"], error["code"]) == (
            "Service Unavailable",
            "Service Unavailable",
            503,
        )
        busy.close()


def test_error_inside_a_stream(tmp_path: Any):
    """Its object as an event, then [DONE] all the same."""
    options = (*QUICK, "--speak", "vllm", "--fault", "stream-error:1,after=1,code=500")
    with simulator(tmp_path, *options) as faulty:
        *_, error, done = faulty.stream("/v1/completions", {"prompt": "a", "ignore_eos": True})
        assert done == "[DONE]"
        assert json.loads(error) == {
            "error": {
                "message": "Internal Server Error",
                "type": "InternalServerError",
                "param": None,
                "code": 500,
            }
        }


def test_loading(tmp_path: Any):
    """Not well until the model is there."""
    with simulator(tmp_path, *QUICK, "--speak", "vllm", "--load-seconds", "0.5") as early:
        assert early.raw("GET", "/health")[:2] == (503, b"")
        assert wait_for(lambda: early.raw("GET", "/health")[0] == 200)
