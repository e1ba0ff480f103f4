"""SambaStudio as the simulator speaks it, against lines written by hand."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from test_simulator import Server, simulator

from harness.simulator import tokens

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200", "--speak", "sambastudio")
PROMPT = " a" * 39  # 40 tokens with the begin marker: 10 ms at 4000/s
PARAMS_V1 = {
    "max_tokens_to_generate": {"type": "int", "value": "3"},
    "do_sample": {"type": "bool", "value": "False"},
    "temperature": {"type": "float", "value": "0.7"},
    "select_expert": {"type": "str", "value": "m"},
    "process_prompt": {"type": "bool", "value": "false"},
}
PARAMS_V2 = {
    "max_tokens_to_generate": 3,
    "do_sample": False,
    "temperature": 0.7,
    "select_expert": "m",
    "process_prompt": False,
}
SPEED = {  # 40 tokens in 10 ms, then two steps of 2.5 ms
    "prompt_tokens_count": 40,
    "completion_tokens_count": 3,
    "total_tokens_count": 43,
    "time_to_first_token": 0.01,
    "total_latency": 0.015,
    "completion_tokens_per_sec": 200.0,
    "completion_tokens_after_first_per_sec": 400.0,
    "total_tokens_per_sec": pytest.approx(43 / 0.015),
    "batch_size_used": 1,
    "acceptance_rate": None,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the module."""
    with simulator(tmp_path_factory.mktemp("sambastudio"), *QUICK) as running:
        yield running


def lines(server: Server, path: str, body: Any) -> list[dict[str, Any]]:
    """A stream's documents, one a line, nothing before or between them."""
    status, raw, headers = server.raw("POST", path, body)
    assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.decode().split("\n")[:-1]]


def test_v1_stream(server: Server):
    """A token a line; the last one has the full text, the counts and times in s under their older names."""
    body = {"instance": PROMPT, "params": PARAMS_V1}
    *pieces, last = lines(server, "/api/predict/generic/stream/proj-1/end-2", body)
    values = [piece["result"]["responses"][0] for piece in pieces]
    assert [list(value) for value in values] == [["is_last_response", "stream_token"]] * 3
    assert [value["is_last_response"] for value in values] == [False] * 3
    ((final,),) = (last["result"]["responses"],)
    assert final == {
        "is_last_response": True,
        "completion": "".join(value["stream_token"] for value in values),
        "prompt": PROMPT,
        "stop_reason": "max_len_reached",
        **SPEED,
    }


def test_v1_predict(server: Server):
    """A list of prompts, a list of predictions; the same text as streamed."""
    body = {"instances": [PROMPT], "params": PARAMS_V1}
    (prediction,) = server.post("/api/predict/generic/p/e", body)["predictions"]
    streamed = lines(server, "/api/predict/generic/stream/p/e", {"instance": PROMPT, "params": PARAMS_V1})
    assert prediction["completion"] == streamed[-1]["result"]["responses"][0]["completion"]
    assert {name: prediction[name] for name in SPEED} == SPEED


def test_v2_stream(server: Server):
    """Items under their own id, and the newer names."""
    body = {"items": [{"id": "item7", "value": PROMPT}], "params": PARAMS_V2}
    *pieces, last = lines(server, "/api/v2/predict/generic/stream/p/e", body)
    items = [line["result"]["items"] for line in (*pieces, last)]
    assert [(len(found), found[0]["id"], list(found[0])) for found in items] == [
        (1, "item7", ["id", "value"])
    ] * 4
    assert [list(found[0]["value"]) for found in items[:-1]] == [["is_last_response", "stream_token"]] * 3
    final = items[-1][0]["value"]
    assert final["completion"] == "".join(found[0]["value"]["stream_token"] for found in items[:-1])
    assert final["is_last_response"] is True
    assert (final["prompt_tokens"], final["completion_tokens"], final["total_tokens"]) == (40, 3, 43)
    assert (final["time_to_first_response"], final["model_execution_time"]) == (0.01, 0.015)
    assert final["completion_tokens_per_sec_after_first_response"] == 400.0


def test_v2_predict(server: Server):
    """The same value without a stream."""
    body = {"items": [{"id": "a", "value": PROMPT}], "params": PARAMS_V2}
    (item,) = server.post("/api/v2/predict/generic/p/e", body)["items"]
    assert (item["id"], tokens.count(item["value"]["completion"])) == ("a", 3)


def test_process_prompt(server: Server):
    """With it the value is JSON that holds a conversation, and gets the chat template."""
    value = json.dumps(
        {
            "conversation_id": "c",
            "messages": [{"message_id": 0, "role": "user", "content": "Oi"}],
        }
    )
    body = {"items": [{"id": "a", "value": value}], "params": {**PARAMS_V2, "process_prompt": True}}
    (item,) = server.post("/api/v2/predict/generic/p/e", body)["items"]
    assert (item["value"]["prompt"], item["value"]["prompt_tokens"]) == (
        "<|user|>\nOi<|end|>\n<|assistant|>\n",
        8,
    )


def test_length_is_an_upper_bound(server: Server):
    """Nothing holds the model's own end off, and an answer that it ends says so."""
    body = {"items": [{"id": "a", "value": "x"}], "params": {"ignore_eos": True, "min_tokens": 150}}
    (item,) = server.post("/api/v2/predict/generic/p/e", body)["items"]
    assert (item["value"]["stop_reason"], item["value"]["completion_tokens"] < 150) == ("end_of_text", True)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/p/e/chat/completions", "/openai/v1/p/e/chat/completions"]
)
def test_openai_flavour(server: Server, path: str):
    """OpenAI's chunks; the usage has the speed in s."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Oi"}], "max_tokens": 3}
    *data, done = server.stream(path, {**body, "stream_options": {"include_usage": True}})
    assert done == "[DONE]"
    usage = json.loads(data[-1])
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 8,
        "completion_tokens": 3,
        "total_tokens": 11,
        "time_to_first_token": 0.002,
        "total_latency": 0.007,
        "completion_tokens_per_sec": pytest.approx(3 / 0.007),
        "completion_tokens_after_first_per_sec": 400.0,
        "total_tokens_per_sec": pytest.approx(11 / 0.007),
        "is_last_response": True,
    }


V1, V2 = "/api/predict/generic/p/e", "/api/v2/predict/generic/p/e"


def item(**params: Any) -> dict[str, Any]:
    """A body of version 2."""
    return {"items": [{"id": "a", "value": "x"}], "params": params}


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        (V2, item(select_expert="other"), 404, "select_expert 'other' is not in this composition"),
        (V1, {"instances": ["x"], "params": {"top_k": 3}}, 400, "params.top_k must be"),
        (
            V1,
            {"instances": ["x"], "params": {"top_k": {"type": "int", "value": "no"}}},
            400,
            "params.top_k: 'no' is not of type int",
        ),
        (
            V1,
            {"instances": ["x"], "params": {"do_sample": {"type": "bool", "value": "yes"}}},
            400,
            "'yes' is not of type bool",
        ),
        (
            V1,
            {"instances": ["x"], "params": {"top_k": {"type": "float", "value": "0.5"}}},
            400,
            "top_k must be an integer",
        ),
        (V1, {"instance": "x"}, 400, "instances must be a list of one string"),
        (V1.replace("generic", "generic/stream"), {"instances": ["x"]}, 400, "instance must be a string"),
        (V2, {"items": [{"id": "a#b", "value": "x"}]}, 400, "items[0].id must be a string without #"),
        (V2, item(max_tokens_to_generate="150"), 400, "max_tokens_to_generate must be an integer"),
        (V2, item(process_prompt=True), 400, "with process_prompt the value must be a JSON string"),
        (V2, item(max_tokens_to_generate=0), 400, "max_tokens_to_generate must be an integer >= 1"),
        ("/api/predict/generic/p", {}, 404, "no such route"),
        ("/api/predict/generic/p/e/f", {}, 404, "no such route"),
        ("/api/predict/generic//e", {}, 404, "no such route"),
    ],
)
def test_errors(server: Server, path: str, body: Any, status: int, word: str):
    """Not a 200, and `error` in the body, which says what is wrong."""
    found, raw, _ = server.raw("POST", path, body)
    error = json.loads(raw)["error"]
    assert (found, error["code"]) == (status, status)
    assert word in error["message"]


def test_keys(tmp_path: Any):
    """The generic API takes the key in `key`, the OpenAI flavour as a Bearer token."""
    with simulator(tmp_path, *QUICK, "--api-key-env", "SIM_KEY", env={"SIM_KEY": "k"}) as guarded:
        bearer = {"Authorization": "Bearer k"}
        assert guarded.raw("POST", V2, item(), {"key": "k"})[0] == 200
        assert guarded.raw("POST", V2, item(), bearer)[0] == 401
        assert guarded.raw("POST", V1, {"instances": ["x"]}, {"key": "wrong"})[0] == 401
        chat = {"messages": [{"role": "user", "content": "Oi"}], "max_tokens": 1}
        assert guarded.raw("POST", "/v1/chat/completions", chat, bearer)[0] == 200
        assert guarded.raw("POST", "/v1/chat/completions", chat, {"key": "k"})[0] == 401


def test_errors_inside_a_stream(tmp_path: Any):
    """A line without `result`; in the OpenAI flavour an event named `error_event`."""
    with simulator(tmp_path, *QUICK, "--fault", "stream-error:1,after=1,code=500") as faulty:
        body = {"items": [{"id": "a", "value": "x"}], "params": {"max_tokens_to_generate": 9}}
        first, last = lines(faulty, "/api/v2/predict/generic/stream/p/e", body)
        assert "result" in first
        wanted = {"error": {"message": "Internal Server Error", "type": "server_error", "code": 500}}
        assert last == wanted
        chat = {"messages": [{"role": "user", "content": "Oi"}], "max_tokens": 9, "stream": True}
        raw = faulty.raw("POST", "/v1/chat/completions", chat)[1]
        name, data = raw.decode().split("\n\n")[-2].split("\n")
        assert (name, json.loads(data.removeprefix("data: "))) == ("event: error_event", wanted)


def test_overload(tmp_path: Any):
    """A full queue is a 503."""
    with simulator(tmp_path, *QUICK, "--slots", "1", "--max-queue", "0") as full:
        busy = full.connect()
        busy.request("POST", V2, json.dumps(item(max_tokens_to_generate=150)))
        found, raw = 200, b""
        for _ in range(200):
            found, raw, _ = full.raw("POST", V2, item(max_tokens_to_generate=1))
            if found != 200:
                break
        assert (found, json.loads(raw)["error"]["type"]) == (503, "overloaded")
        busy.close()
