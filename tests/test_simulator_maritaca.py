"""Maritaca's cloud as the simulator speaks it, against replies written by hand."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from test_simulator import Server, simulator

from harness.simulator import tokens

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200", "--speak", "maritaca")
MESSAGES = [{"role": "user", "content": "Oi"}]  # 8 tokens in the template, the begin marker with them
LEGACY = {"model": "m", "messages": MESSAGES, "max_tokens": 6}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the module."""
    with simulator(tmp_path_factory.mktemp("maritaca"), *QUICK) as running:
        yield running


@pytest.mark.parametrize("path", ["/api/chat/completions", "/api/v1/chat/completions"])
def test_chat_stream(server: Server, path: str):
    """OpenAI's chunks, a usage chunk if asked for, and nothing of how long it took."""
    body = {"model": "m", "messages": MESSAGES, "max_tokens": 3, "stream_options": {"include_usage": True}}
    *data, done = server.stream(path, body)
    assert done == "[DONE]"
    role, *contents, finish, usage = [json.loads(d) for d in data]
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [c["object"] for c in contents] == ["chat.completion.chunk"] * 3
    assert finish["choices"][0]["finish_reason"] == "length"
    assert (usage["choices"], usage["usage"]) == (
        [],
        {
            "prompt_tokens": 8,
            "completion_tokens": 3,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    )
    assert "timings" not in usage


def test_chat_whole(server: Server):
    """Its sample names the object `chat_completion`."""
    reply = server.post("/api/chat/completions", {"model": "m", "messages": MESSAGES, "max_tokens": 3})
    assert (reply["object"], reply["choices"][0]["finish_reason"]) == ("chat_completion", "length")
    assert tokens.count(reply["choices"][0]["message"]["content"]) == 3
    assert reply["usage"]["total_tokens"] == 11


@pytest.mark.parametrize(("wanted", "sizes"), [(None, [4, 2]), (1, [1] * 6), (6, [6]), (9, [6])])
def test_legacy_stream(server: Server, wanted: int | None, sizes: list[int]):
    """Messages of 4 tokens unless asked otherwise, the rest in the last one; no counts, no end mark."""
    extra = {} if wanted is None else {"num_tokens_per_message": wanted}
    data = [json.loads(d) for d in server.stream("/api/chat/inference", {**LEGACY, **extra})]
    assert [list(d) for d in data] == [["text"]] * len(sizes)
    assert [tokens.count(d["text"]) for d in data] == sizes


def test_legacy_whole(server: Server):
    """The answer and its counts; the same text as streamed."""
    reply = server.post("/api/chat/inference", LEGACY)
    streamed = "".join(json.loads(d)["text"] for d in server.stream("/api/chat/inference", LEGACY))
    assert reply == {
        "answer": streamed,
        "model": "m",
        "usage": {"prompt_tokens": 8, "completion_tokens": 6, "total_tokens": 14},
    }


def test_legacy_prompts(server: Server):
    """A string is one user's message; with `chat_mode` false it is the prompt itself."""
    as_list = server.post("/api/chat/inference", LEGACY)
    assert server.post("/api/chat/inference", {**LEGACY, "messages": "Oi"}) == as_list
    prompt = server.post("/api/chat/inference", {**LEGACY, "messages": "Oi", "chat_mode": False})
    assert prompt["usage"]["prompt_tokens"] == 2


def events(raw: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Named events: the name and the data."""
    *parts, rest = raw.decode().split("\n\n")
    assert rest == ""
    lines = [part.split("\n") for part in parts]
    assert all(len(pair) == 2 for pair in lines)
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in ((pair[0], pair[1]) for pair in lines)
    ]


def test_responses_stream(server: Server):
    """Every event has its name, its type and the next number; the last has the usage; no [DONE]."""
    body = {"model": "m", "input": "Oi", "max_output_tokens": 2, "stream": True}
    status, raw, _ = server.raw("POST", "/api/v1/responses", body, {"X-Request-Id": "r1"})
    assert status == 200
    found = events(raw)
    assert [name for name, _ in found] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [data["type"] for _, data in found] == [name for name, _ in found]
    assert [data["sequence_number"] for _, data in found] == list(range(10))
    deltas = [data["delta"] for name, data in found if name.endswith("delta")]
    assert [tokens.count(delta) for delta in deltas] == [1, 1]
    assert found[6][1]["text"] == "".join(deltas)
    completed = found[-1][1]["response"]
    assert completed["id"] == "resp_r1"
    assert {k: completed["usage"][k] for k in ("input_tokens", "output_tokens", "total_tokens")} == {
        "input_tokens": 8,
        "output_tokens": 2,
        "total_tokens": 10,
    }
    assert completed["output"][0]["content"][0]["text"] == "".join(deltas)


def test_responses_say_early_that_they_were_taken(tmp_path: Any):
    """What precedes the text comes at once, not with the first token."""
    with simulator(tmp_path, *QUICK, "--prefill-rate", "4") as slow:  # 8 tokens in 2 s
        connection = slow.connect()
        body = {"model": "m", "input": "Oi", "max_output_tokens": 1, "stream": True}
        connection.request("POST", "/api/v1/responses", json.dumps(body))
        reply = connection.getresponse()
        assert reply.read(24) == b"event: response.created\n"
        assert slow.rows() == []
        connection.close()


def test_responses_whole(server: Server):
    """The response itself; instructions are a system message."""
    body = {"model": "m", "input": MESSAGES, "instructions": "Seja breve.", "max_output_tokens": 2}
    reply = server.post("/api/v1/responses", body)
    assert (reply["object"], reply["status"], reply["usage"]["output_tokens"]) == ("response", "completed", 2)
    assert reply["usage"]["input_tokens"] == 8 + 7  # marker, line, "Seja", " breve", ".", marker, line
    assert reply["output"][0]["role"] == "assistant"


def test_models(server: Server):
    """The list, with the context."""
    (model,) = server.call("GET", "/api/models")[1]["data"]
    assert (model["id"], model["owned_by"], model["context_length"]) == ("m", "maritaca-ai", 200)
    assert model["top_provider"]["context_length"] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/api/chat/inference", {**LEGACY, "model": "x"}, 404, "Model x not found"),
        ("/api/chat/completions", {"model": "x", "messages": MESSAGES}, 404, "Model x not found"),
        ("/api/v1/responses", {"input": "Oi"}, 404, "Model None not found"),
        (
            "/api/v1/responses",
            {"model": "m", "input": "Oi", "stream": True, "tools": [{"type": "web_search"}]},
            400,
            "built-in tools cannot be used with stream: true",
        ),
        ("/api/nowhere", {}, 404, "Not Found"),
        ("/api/models", {}, 405, "Method Not Allowed"),
    ],
)
def test_errors(server: Server, path: str, body: Any, status: int, detail: str):
    """`detail` in words."""
    found, raw, _ = server.raw("POST", path, body)
    assert (found, json.loads(raw)) == (status, {"detail": detail})


def test_wrong_fields(server: Server):
    """A field that is wrong is a 422 with its place."""
    status, raw, _ = server.raw("POST", "/api/chat/inference", {**LEGACY, "max_tokens": 0})
    assert (status, json.loads(raw)) == (
        422,
        {
            "detail": [
                {
                    "loc": ["body", "max_tokens"],
                    "msg": "max_tokens must be an integer >= 1, not 0",
                    "type": "value_error",
                }
            ]
        },
    )


def test_keys(tmp_path: Any):
    """`Key K` and `Bearer K` both open every route; anything else is a 401 with `detail`."""
    with simulator(tmp_path, *QUICK, "--api-key-env", "SIM_KEY", env={"SIM_KEY": "k"}) as guarded:
        for value, status in (("Key k", 200), ("Bearer k", 200), ("Bearer x", 401), ("k", 401)):
            assert guarded.raw("GET", "/api/models", headers={"Authorization": value})[0] == status
        status, raw, _ = guarded.raw("POST", "/api/chat/inference", LEGACY)
        assert (status, raw) == (401, b'{"detail":"Invalid API Key"}')


def test_errors_inside_a_stream(tmp_path: Any):
    """An old stream ends with an object of `detail`, a response with `response.failed`."""
    options = (*QUICK, "--fault", "stream-error:1,after=1,code=500")
    with simulator(tmp_path, *options) as faulty:
        *_, last = faulty.stream("/api/chat/inference", LEGACY)
        assert json.loads(last) == {"detail": "Internal Server Error"}
        body = {"model": "m", "input": "Oi", "max_output_tokens": 3, "stream": True}
        name, data = events(faulty.raw("POST", "/api/v1/responses", body)[1])[-1]
        assert (name, data["response"]["status"]) == ("response.failed", "failed")
        assert data["response"]["error"] == {"code": "server_error", "message": "Internal Server Error"}
