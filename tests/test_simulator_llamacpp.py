"""llama.cpp as the simulator speaks it under its own name, newest and of 2025, against replies by hand."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from test_simulator import Server, simulator, wait_for

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200")
CHAT = {
    "model": "any name will do",
    "messages": [{"role": "user", "content": "Oi"}],  # 8 tokens in the template
    "max_tokens": 3,
    "ignore_eos": True,
}
WITH_USAGE = {**CHAT, "stream_options": {"include_usage": True}}
TIMINGS = {  # 8 tokens in 2 ms, then two steps of 2.5 ms
    "cache_n": 0,
    "prompt_n": 8,
    "prompt_ms": 2.0,
    "prompt_per_token_ms": 0.25,
    "prompt_per_second": 4000.0,
    "predicted_n": 3,
    "predicted_ms": 5.0,
    "predicted_per_token_ms": 2.5,
    "predicted_per_second": 400.0,
}
TIMINGS_2025 = {
    **{name: value for name, value in TIMINGS.items() if name != "cache_n"},
    "predicted_per_token_ms": pytest.approx(5 / 3),
    "predicted_per_second": 600.0,
}


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The newest server."""
    with simulator(tmp_path_factory.mktemp("newest"), *QUICK, "--speak", "llamacpp") as running:
        yield running


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """That of August 2025."""
    with simulator(tmp_path_factory.mktemp("old"), *QUICK, "--speak", "llamacpp-2025") as running:
        yield running


def chunks(server: Server, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """A stream's chunks; it must end with [DONE]."""
    *data, done = server.stream(path, body)
    assert done == "[DONE]"
    return [json.loads(d) for d in data]


def test_newest_chat(newest: Server):
    """A role with null content; timings on the usage chunk, or on the finish chunk if there is none."""
    role, *contents, finish, usage = chunks(newest, "/v1/chat/completions", WITH_USAGE)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert len(contents) == 3
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == ({}, "length")
    assert "timings" not in finish
    assert (usage["choices"], usage["timings"]) == ([], TIMINGS)
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    *_, finish = chunks(newest, "/v1/chat/completions", CHAT)
    assert (finish["timings"], "usage" in finish) == (TIMINGS, False)


def test_newest_completions(newest: Server):
    """The last chunk has usage and timings, asked for or not, and no other follows it."""
    body = {"prompt": [5] * 8, "max_tokens": 3, "ignore_eos": True}
    for options in ({}, {"stream_options": {"include_usage": True}}):
        found = chunks(newest, "/v1/completions", {**body, **options})
        assert [c["choices"][0]["finish_reason"] for c in found] == [None] * 3 + ["length"]
        assert (found[-1]["choices"][0]["text"], found[-1]["timings"]) == ("", TIMINGS)
        assert found[-1]["usage"]["total_tokens"] == 11


def test_2025_finish_chunk(old: Server):
    """Usage and timings always on the finish chunk, never on one of their own; the rate counts all tokens."""
    for path, body in (
        ("/v1/chat/completions", WITH_USAGE),
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": [5] * 8, "max_tokens": 3, "ignore_eos": True}),
    ):
        found = chunks(old, path, body)
        assert all(c["choices"] for c in found)
        assert found[-1]["usage"] == {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
        assert found[-1]["timings"] == TIMINGS_2025
        assert found[-1]["choices"][0]["finish_reason"] == "length"


def test_native(newest: Server, old: Server):
    """`/completion` differs only in its timings."""
    body = {"prompt": [5] * 8, "n_predict": 3, "ignore_eos": True}
    new_reply, old_reply = newest.post("/completion", body), old.post("/completion", body)
    assert (new_reply.pop("timings"), old_reply.pop("timings")) == (TIMINGS, TIMINGS_2025)
    for reply in (new_reply, old_reply):
        reply.pop("id_slot")
    assert new_reply == old_reply


@pytest.mark.parametrize("name", ["n_predict", "max_tokens", "max_completion_tokens"])
def test_limits_by_any_name(newest: Server, name: str):
    """-1 is no limit but the context, on OpenAI's routes too."""
    body = {"prompt": [5] * 150, "ignore_eos": True}
    assert newest.post("/v1/completions", {**body, name: 4})["usage"]["completion_tokens"] == 4
    assert newest.post("/v1/completions", {**body, name: -1})["usage"]["completion_tokens"] == 50


def test_too_long(newest: Server, old: Server):
    """The newest has a type of its own for it, with the sizes; the older one has not."""
    status, raw, _ = newest.raw("POST", "/completion", {"prompt": [1] * 200})
    error = json.loads(raw)["error"]
    assert (status, error["type"], error["n_prompt_tokens"], error["n_ctx"]) == (
        400,
        "exceed_context_size_error",
        200,
        200,
    )
    status, raw, _ = old.raw("POST", "/v1/completions", {"prompt": [1] * 200})
    error = json.loads(raw)["error"]
    assert (status, error["type"], sorted(error)) == (
        400,
        "invalid_request_error",
        ["code", "message", "type"],
    )


def test_loading(tmp_path: Any):
    """Every route is 503 with one text until the model is there."""
    with simulator(tmp_path, *QUICK, "--speak", "llamacpp", "--load-seconds", "0.5") as early:
        wanted = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
        for method, path in (("GET", "/health"), ("GET", "/props"), ("POST", "/v1/chat/completions")):
            status, raw, _ = early.raw(method, path)
            assert (status, json.loads(raw)) == (503, wanted)
        assert wait_for(lambda: early.raw("GET", "/health")[:2] == (200, b'{"status":"ok"}'))


FAULT = ("--fault", "stream-error:1,after=1,code=500")
ERROR = {"error": {"code": 500, "message": "Internal Server Error", "type": "server_error"}}


def test_newest_error_inside_a_stream(tmp_path: Any):
    """In `data`, and nothing after it on any route."""
    with simulator(tmp_path, *QUICK, "--speak", "llamacpp", *FAULT) as faulty:
        for path, body in (("/v1/chat/completions", CHAT), ("/completion", {"prompt": "a", "n_predict": 4})):
            *_, last = faulty.stream(path, body)
            assert json.loads(last) == ERROR


def test_2025_error_inside_a_stream(tmp_path: Any):
    """In a field named `error`; OpenAI's routes send [DONE] after it, the native one does not."""
    with simulator(tmp_path, *QUICK, "--speak", "llamacpp-2025", *FAULT) as faulty:
        raw = faulty.raw("POST", "/v1/chat/completions", {**CHAT, "stream": True})[1].decode()
        *_, error, done, rest = raw.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        assert json.loads(error.removeprefix("error: ")) == ERROR
        raw = faulty.raw("POST", "/completion", {"prompt": "a", "n_predict": 4, "stream": True})[1].decode()
        assert json.loads(raw.split("\n\n")[-2].removeprefix("error: ")) == ERROR
