"""Text Generation Inference as the simulator speaks it, against bytes written by hand."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from test_simulator import Server, simulator, wait_for

from harness.simulator import tokens

QUICK = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200", "--speak", "tgi")
INPUTS = " a" * 39  # 40 tokens with the begin marker: 10 ms at 4000/s
PARAMETERS = {"max_new_tokens": 3, "details": True}
CHAT = {"model": "tgi", "messages": [{"role": "user", "content": "Oi"}], "max_tokens": 3, "seed": 1}
STREAM_TYPE = "text/event-stream"
SYSTEM = "3.3.6-dev0-native"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose answers hardly ever end by themselves."""
    options = (*QUICK, "--mean-output-tokens", "1e6")
    with simulator(tmp_path_factory.mktemp("tgi"), *options) as running:
        yield running


def events(server: Server, path: str, body: Any) -> list[Any]:
    """A stream's data, without a space after `data:`; [DONE] as it is."""
    status, raw, headers = server.raw("POST", path, body)
    assert (status, headers["Content-Type"]) == (200, STREAM_TYPE)
    *parts, rest = raw.decode().split("\n\n")
    assert rest == ""
    assert all(re.match(r"data:\S", part) for part in parts)
    data = [part.removeprefix("data:") for part in parts]
    return [d if d == "[DONE]" else json.loads(d) for d in data]


def test_generate_stream(server: Server):
    """A token an event; the last one has the full text and the counts; nothing follows it."""
    *firsts, last = events(server, "/generate_stream", {"inputs": INPUTS, "parameters": PARAMETERS})
    assert [list(e) for e in (*firsts, last)] == [["index", "token", "generated_text", "details"]] * 3
    assert [e["index"] for e in (*firsts, last)] == [1, 2, 3]
    assert [(e["generated_text"], e["details"]) for e in firsts] == [(None, None)] * 2
    text = "".join(e["token"]["text"] for e in (*firsts, last))
    assert last["generated_text"] == text
    assert [e["token"]["id"] for e in (*firsts, last)] == [tokens.token_id(p) for p in tokens.split(text)]
    assert {e["token"]["special"] for e in (*firsts, last)} == {False}
    assert last["details"] == {
        "finish_reason": "length",
        "generated_tokens": 3,
        "seed": None,
        "input_length": 40,
    }


def test_stream_headers(server: Server):
    """No times in them."""
    headers = server.raw("POST", "/generate_stream", {"inputs": INPUTS, "parameters": PARAMETERS})[2]
    assert (headers["x-compute-type"], headers["x-compute-characters"]) == ("gpu+optimized", "78")
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-total-time"] is None


def test_generate(server: Server):
    """Text, details, and times in headers: whole ms, but `x-compute-time` in s."""
    status, raw, headers = server.raw("POST", "/generate", {"inputs": INPUTS, "parameters": PARAMETERS})
    reply = json.loads(raw)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert reply["details"]["finish_reason"] == "length"
    assert (reply["details"]["generated_tokens"], reply["details"]["prefill"]) == (3, [])
    assert "".join(t["text"] for t in reply["details"]["tokens"]) == reply["generated_text"]
    found = {name: headers[f"x-{name}"] for name in ("inference-time", "time-per-token", "prompt-tokens")}
    assert found == {"inference-time": "15", "time-per-token": "5", "prompt-tokens": "40"}
    assert (headers["x-generated-tokens"], headers["x-validation-time"]) == ("3", "0")
    assert 0.015 <= float(headers["x-compute-time"]) < 0.2
    assert int(headers["x-total-time"]) == int(float(headers["x-compute-time"]) * 1e3)
    assert int(headers["x-queue-time"]) == int(float(headers["x-compute-time"]) * 1e3 - 15)


def test_details_only_if_asked_for(server: Server):
    """They are off; a stream's last event then has null."""
    body = {"inputs": "Oi", "parameters": {"max_new_tokens": 2}}
    assert list(server.post("/generate", body)) == ["generated_text"]
    *_, last = events(server, "/generate_stream", body)
    assert (last["details"], tokens.count(last["generated_text"])) == (None, 2)


def test_prefill_and_full_text(server: Server):
    """`decoder_input_details` lists the prompt's tokens, the first without logprob; the text may repeat it."""
    parameters = {**PARAMETERS, "decoder_input_details": True, "return_full_text": True}
    reply = server.post("/generate", {"inputs": "Oi você", "parameters": parameters})
    assert [(t["text"], t["logprob"]) for t in reply["details"]["prefill"]] == [
        ("<|begin|>", None),
        ("Oi", -1.0),
        (" você", -1.0),
    ]
    assert reply["generated_text"].startswith("Oi você ")


def test_post_root(server: Server):
    """A list of one answer; a stream only if the body says so."""
    body = {"inputs": "Oi", "parameters": {"max_new_tokens": 2}}
    ((reply,),) = (server.post("/", body),)
    assert reply == server.post("/generate", body)
    *_, last = events(server, "/", {**body, "stream": True})
    assert last["generated_text"] == reply["generated_text"]


def test_sampling_is_off_with_parameters_and_on_without(server: Server):
    """The trap: an empty `parameters` object is greedy, none at all samples."""
    greedy = [server.post("/generate", {"inputs": "x", "parameters": {}}) for _ in range(2)]
    assert greedy[0] == greedy[1]
    sampled = [server.post("/generate", {"inputs": "x"})["generated_text"] for _ in range(2)]
    assert sampled[0] != sampled[1]
    seeded = {"inputs": "x", "parameters": {**PARAMETERS, "do_sample": True, "seed": 7}}
    first, second = (server.post("/generate", seeded) for _ in range(2))
    assert first == second
    assert first["details"]["seed"] == 7


def test_without_a_limit_the_context_is_it(server: Server):
    """`max_new_tokens` null: the rest of the window."""
    body = {"inputs": " a" * 189, "parameters": {"details": True}}
    assert server.post("/generate", body)["details"]["generated_tokens"] == 200 - 190


def test_truncate_keeps_the_end(server: Server):
    """The last tokens stay, and count."""
    parameters = {**PARAMETERS, "truncate": 10, "decoder_input_details": True}
    status, raw, headers = server.raw("POST", "/generate", {"inputs": INPUTS, "parameters": parameters})
    assert (status, headers["x-prompt-tokens"]) == (200, "10")
    assert json.loads(raw)["details"]["prefill"][-1]["text"] == " a"
    whole = {"inputs": "b" + " a" * 9, "parameters": {**PARAMETERS, "truncate": 9}}
    cut = {"inputs": " a" * 9, "parameters": {**PARAMETERS, "truncate": 9}}
    assert (
        server.post("/generate", whole)["generated_text"] == server.post("/generate", cut)["generated_text"]
    )


def test_the_models_own_end(tmp_path: Any):
    """Its last token is `</s>`: it counts and has no text; reasons are TGI's own, or OpenAI's in chat."""
    with simulator(tmp_path, *QUICK, "--mean-output-tokens", "1") as short:
        (only,) = events(short, "/generate_stream", {"inputs": "x", "parameters": {"details": True}})
        assert only["token"] == {"id": 2, "text": "</s>", "logprob": -0.015625, "special": True}
        assert (only["generated_text"], only["details"]["finish_reason"]) == ("", "eos_token")
        assert only["details"]["generated_tokens"] == 1
        details = short.post("/generate", {"inputs": "x", "parameters": {"details": True}})["details"]
        assert [t["text"] for t in details["tokens"]] == ["</s>"]
        chunk, _ = events(short, "/v1/chat/completions", {**CHAT, "stream": True})
        assert chunk["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunk["choices"][0]["finish_reason"] == "stop"
        chunk, _ = events(short, "/v1/completions", {"prompt": "x", "stream": True})
        assert chunk["choices"][0]["finish_reason"] == "eos_token"
        reply = short.post("/v1/completions", {"prompt": "x"})
        assert (reply["choices"][0]["finish_reason"], reply["choices"][0]["text"]) == ("stop", "")


def test_chat_stream(server: Server):
    """Empty id, the role in every delta, the reason on the last token, a usage chunk if asked for, [DONE]."""
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, usage, done = events(server, "/v1/chat/completions", body)
    assert done == "[DONE]"
    assert {(c["id"], c["object"], c["model"], c["system_fingerprint"]) for c in (*chunks, usage)} == {
        ("", "chat.completion.chunk", "m", SYSTEM)
    }
    assert [c["choices"][0]["delta"]["role"] for c in chunks] == ["assistant"] * 3
    assert [tokens.count(c["choices"][0]["delta"]["content"]) for c in chunks] == [1] * 3
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, "length"]
    assert [c["usage"] for c in chunks] == [None] * 3
    assert (usage["choices"], usage["usage"]) == (
        [],
        {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11},
    )
    assert [type(e) for e in events(server, "/v1/chat/completions", {**CHAT, "stream": True})] == [
        dict
    ] * 3 + [str]


def test_chat_whole(server: Server):
    """The usual reply, with the same headers as `/generate`."""
    status, raw, headers = server.raw("POST", "/v1/chat/completions", CHAT)
    reply = json.loads(raw)
    assert (status, reply["id"], reply["object"]) == (200, "", "chat.completion")
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"] == {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    assert (headers["x-inference-time"], headers["x-generated-tokens"]) == ("7", "3")
    assert float(headers["x-compute-time"]) >= 0.007


def test_completions_stream(server: Server):
    """`""` where the end is not there yet, usage on the last chunk unasked, [DONE]."""
    *chunks, done = events(server, "/v1/completions", {"prompt": "Oi", "max_tokens": 3, "stream": True})
    assert done == "[DONE]"
    assert [c["choices"][0]["finish_reason"] for c in chunks] == ["", "", "length"]
    assert [c.get("usage") for c in chunks] == [
        None,
        None,
        {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    ]
    assert {(c["id"], c["object"]) for c in chunks} == {("", "text_completion")}


def test_completions_whole(server: Server):
    """100 tokens where none are named; the headers have all times but the one in s."""
    status, raw, headers = server.raw("POST", "/v1/completions", {"prompt": "Oi"})
    assert (status, json.loads(raw)["usage"]["completion_tokens"]) == (200, 100)
    assert (headers["x-compute-time"], headers["x-generated-tokens"]) == (None, "100")


BAD = [
    ({"best_of": 2}, "`best_of` != 1 is not {}"),
    ({"temperature": 0}, "`temperature` must be strictly positive"),
    ({"top_p": 1.5}, "`top_p` must be > 0.0 and <= 1.0"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": ["a"] * 5}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"truncate": 300}, "`truncate` must be strictly positive and less than 199. Given: 300"),
    (
        {"max_new_tokens": 300},
        "`inputs` tokens + `max_new_tokens` must be <= 200. Given: 2 `inputs` tokens and 300 `max_new_tokens`",
    ),
]


@pytest.mark.parametrize(("parameters", "text"), BAD)
def test_validation(server: Server, parameters: dict[str, Any], text: str):
    """422 with its words; a stream is opened with 200 all the same and has them as its one event."""
    body = {"inputs": "Oi", "parameters": parameters}
    status, raw, _ = server.raw("POST", "/generate", body)
    words = f"Input validation error: {text}"
    whole = words.format("allowed for this endpoint")
    assert (status, json.loads(raw)) == (422, {"error": whole, "error_type": "validation"})
    streamed = words.format("supported when streaming tokens")
    assert events(server, "/generate_stream", body) == [{"error": streamed, "error_type": "validation"}]


def test_prompts_that_are_too_long_or_empty(server: Server):
    """Without a limit it is the inputs that are too long."""
    status, raw, _ = server.raw("POST", "/generate", {"inputs": " a" * 300})
    text = "Input validation error: `inputs` must have less than 199 tokens. Given: 301"
    assert (status, json.loads(raw)["error"]) == (422, text)
    empty = json.loads(server.raw("POST", "/generate", {"inputs": ""})[1])
    assert empty["error"] == "Input validation error: `inputs` cannot be empty"


def test_validation_in_openai_streams(server: Server):
    """Another shape, its code always 422, and [DONE] after it."""
    for path, body in (
        ("/v1/chat/completions", {**CHAT, "max_tokens": 500}),
        ("/v1/completions", {"prompt": "Oi", "max_tokens": 500}),
    ):
        error, done = events(server, path, {**body, "stream": True})
        assert (done, error["error"]["http_status_code"]) == ("[DONE]", 422)
        assert error["error"]["message"].startswith(
            "Input validation error: `inputs` tokens + `max_new_tokens`"
        )
        assert server.raw("POST", path, body)[0] == 422


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/generate", b"{", 400, b"Failed to parse the request body as JSON"),
        (
            "/generate",
            {"inputs": 1},
            422,
            b"Failed to deserialize the JSON body into the target type: inputs",
        ),
        ("/generate_stream", {"inputs": "x", "parameters": {"top_k": "1"}}, 422, b"top_k must be an integer"),
        ("/v1/chat/completions", {"stream": True}, 422, b"messages must be a list"),
        ("/v1/completions", {"prompt": ["a", "b"]}, 422, b"maximum allowed batch size of 1"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, 422, b"Suffix is not supported"),
        ("/nowhere", {}, 404, b""),
    ],
)
def test_shapes(server: Server, path: str, body: Any, status: int, word: bytes):
    """A body of the wrong shape is refused before any stream; what is not there has no body."""
    found, raw, _ = server.raw("POST", path, body)
    assert found == status
    assert word in raw
    assert bool(word) == bool(raw)


def test_facts(server: Server):
    """/info, /health, / and /tokenize."""
    info = server.call("GET", "/info")[1]
    assert {k: info[k] for k in ("model_id", "max_concurrent_requests", "max_input_tokens", "version")} == {
        "model_id": "m",
        "max_concurrent_requests": 128,
        "max_input_tokens": 199,
        "version": "3.3.6-dev0",
    }
    assert info["max_total_tokens"] == 200
    for path in ("/health", "/ping", "/"):
        assert server.raw("GET", path)[:2] == (200, b"")
    assert server.post("/tokenize", {"inputs": "Oi você"}) == [
        {"id": 1, "text": "", "start": 0, "stop": 0},
        {"id": tokens.token_id("Oi"), "text": "Oi", "start": 0, "stop": 2},
        {"id": tokens.token_id(" você"), "text": " você", "start": 2, "stop": 7},
    ]
    chat = server.post("/chat_tokenize", CHAT)
    assert (len(chat["tokenize_response"]), chat["templated_text"]) == (
        8,
        "<|user|>\nOi<|end|>\n<|assistant|>\n",
    )


def metrics(server: Server) -> dict[str, float]:
    """The page's samples."""
    text = server.raw("GET", "/metrics")[1].decode()
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE)}


def test_metrics(server: Server):
    """Requests, tokens and refusals, as they were."""
    before = metrics(server)
    server.post("/generate", {"inputs": INPUTS, "parameters": PARAMETERS})
    server.raw("POST", "/generate", {"inputs": INPUTS, "parameters": {"max_new_tokens": 0}})
    after = wait_for(
        lambda: (m := metrics(server))["tgi_request_success"] > before["tgi_request_success"] and m
    )
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["tgi_request_count"] == 2
    assert grown["tgi_request_success"] == 1
    assert grown['tgi_request_failure{err="validation"}'] == 1
    assert grown["tgi_request_generated_tokens_sum"] == 3
    assert grown["tgi_request_input_length_sum"] == 40
    assert grown['tgi_request_input_length_bucket{le="50"}'] == 1
    assert grown['tgi_request_input_length_bucket{le="20"}'] == 0
    assert grown["tgi_request_inference_duration_sum"] == pytest.approx(0.015)
    assert (after["tgi_queue_size"], after["tgi_batch_current_size"]) == (0, 0)


def test_overload(tmp_path: Any):
    """The 129th request is not queued: 429, or inside the 200 of a stream; OpenAI's routes call it a 422."""
    with simulator(tmp_path, *QUICK, "--slots", "4", "--step-base-ms", "20") as full:
        long = {"inputs": "x", "parameters": {"max_new_tokens": 150, "decoder_input_details": True}}
        barrier = threading.Barrier(128)

        def hold() -> Any:
            connection = full.connect()
            barrier.wait()
            connection.request("POST", "/generate", json.dumps(long))
            return connection

        with ThreadPoolExecutor(128) as pool:
            held = list(pool.map(lambda _: hold(), range(128)))
        wait_for(lambda: metrics(full)["tgi_request_count"] == 128)
        assert metrics(full)["tgi_queue_size"] + metrics(full)["tgi_batch_current_size"] == 128
        words = {"error": "Model is overloaded", "error_type": "overloaded"}
        status, raw, _ = full.raw("POST", "/generate", long)
        assert (status, json.loads(raw)) == (429, words)
        body = {"inputs": "x", "parameters": {"max_new_tokens": 2}}
        assert events(full, "/generate_stream", body) == [words]
        openai = {"message": "Model is overloaded", "http_status_code": 422}
        assert events(full, "/v1/chat/completions", {**CHAT, "stream": True}) == [{"error": openai}, "[DONE]"]
        for connection in held:
            connection.close()


def test_key(tmp_path: Any):
    """Only the inference routes ask for it; a 401 has no body."""
    with simulator(tmp_path, *QUICK, "--api-key-env", "SIM_KEY", env={"SIM_KEY": "k"}) as guarded:
        body = {"inputs": "x", "parameters": {"max_new_tokens": 1}}
        for path in ("/generate", "/generate_stream", "/", "/v1/chat/completions", "/tokenize"):
            assert guarded.raw("POST", path, body)[:2] == (401, b"")
        assert guarded.raw("POST", "/generate", body, {"Authorization": "Bearer k"})[0] == 200
        for path in ("/", "/health", "/info", "/metrics", "/v1/models"):
            assert guarded.raw("GET", path)[0] == 200


def test_loading(tmp_path: Any):
    """Unhealthy until the model is there."""
    with simulator(tmp_path, *QUICK, "--load-seconds", "0.5") as early:
        status, raw, _ = early.raw("GET", "/health")
        assert (status, json.loads(raw)) == (503, {"error": "unhealthy", "error_type": "healthcheck"})
        assert wait_for(lambda: early.raw("GET", "/health")[0] == 200)


def test_errors_inside_a_stream(tmp_path: Any):
    """Native streams end with it; OpenAI's still get their [DONE]."""
    with simulator(tmp_path, *QUICK, "--fault", "stream-error:1,after=1,code=500") as faulty:
        body = {"inputs": "x", "parameters": {"max_new_tokens": 9}}
        _, error = events(faulty, "/generate_stream", body)
        assert error == {"error": "Internal Server Error", "error_type": "incomplete_generation"}
        _, error, done = events(faulty, "/v1/completions", {"prompt": "x", "stream": True})
        assert (error["error"]["message"], done) == ("Internal Server Error", "[DONE]")
