"""The simulator over real sockets: what each dialect sends, what it counts, what it does to its clients.

The servers run in their own processes, as users start them, with steps short enough for a quick test.
"""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.simulator import tokens
from harness.simulator.cli import NAME
from harness.simulator.engine import fine_loop

KEY = "s3cret-ação"
CHAT = {
    "model": "m",
    "messages": [{"role": "user", "content": "Olá, mundo!"}],
    "max_tokens": 5,
    "ignore_eos": True,
}


@dataclass(frozen=True)
class Server:
    """A running simulator."""

    process: subprocess.Popen[str]
    banner: str
    port: int
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, body (JSON if it is) and headers."""
        with closing(self.connect()) as connection:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            reply = connection.getresponse()
            raw = reply.read()
            is_json = reply.headers["Content-Type"].startswith("application/json")
            return reply.status, json.loads(raw) if is_json else raw.decode(), reply.headers

    def raw(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, the body's bytes and headers."""
        with closing(self.connect()) as connection:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.headers

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a 200."""
        status, reply, _ = self.call("POST", path, body)
        assert status == 200, reply
        return reply

    def stream(self, path: str, body: dict[str, Any]) -> list[str]:
        """The events' data, the framing checked."""
        status, text, headers = self.call("POST", path, {**body, "stream": True})
        assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        *events, rest = text.split("\n\n")
        assert rest == ""
        assert all(event.startswith("data: ") for event in events)
        return [event.removeprefix("data: ") for event in events]

    def tokenize(self, text: str) -> list[int]:
        return self.post("/tokenize", {"content": text, "add_special": True})["tokens"]

    def metrics(self) -> dict[str, float]:
        text = self.call("GET", "/metrics")[1]
        return {
            name: float(value) for name, value in re.findall(r"^llamacpp:(\w+) (\S+)$", text, re.MULTILINE)
        }

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def row(self, response_id: str) -> dict[str, Any]:
        """The log's line of a request; written just after its last byte, so it may take a moment."""
        return wait_for(lambda: next((r for r in self.rows() if r["id"] == response_id), None))


def wait_for(look: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"nothing after {seconds} s")


@contextmanager
def simulator(tmp_path: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """A simulator for a `with` block; it must stop by SIGINT with exit code 0 and nothing on stderr."""
    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "harness.simulator", "--model", "m", "--log", str(log), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    )
    try:
        assert process.stdout is not None
        banner = process.stdout.readline()
        port = int(banner.split(" (")[0].rpartition(":")[2])
        yield Server(process, banner, port, log)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()  # closes the pipes, also where a test has failed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with quick steps and a small context."""
    options = ("--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--context", "200")
    with simulator(tmp_path_factory.mktemp("simulator"), *options) as running:
        yield running


def test_banner(server: Server):
    """The one line on stdout says where, which model and how many slots."""
    assert server.banner == f"{NAME}: listening on http://127.0.0.1:{server.port} (model m, 4 slots)\n"


def test_chat_stream(server: Server):
    """Role chunk, a chunk a token, finish chunk, usage chunk without choices, [DONE]; one id throughout."""
    *data, done = server.stream("/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}})
    assert done == "[DONE]"
    chunks = [json.loads(d) for d in data]
    role, *contents, finish, usage = chunks
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    texts = [c["choices"][0]["delta"]["content"] for c in contents]
    assert [tokens.count(text) for text in texts] == [1] * 5
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == ({}, "length")
    assert usage["choices"] == []
    prompt = len(server.tokenize(server.post("/apply-template", CHAT)["prompt"]))
    assert usage["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": 5,
        "total_tokens": prompt + 5,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert (usage["timings"]["predicted_n"], usage["timings"]["prompt_n"]) == (5, prompt)
    assert "timings" not in finish
    assert {(c["object"], c["model"]) for c in chunks} == {("chat.completion.chunk", "m")}
    assert {c["id"] for c in chunks} == {role["id"]}
    assert role["id"].startswith("chatcmpl-")


def test_completions_stream(server: Server):
    """No role chunk; without include_usage no usage chunk, and the timings ride on the finish chunk."""
    *data, done = server.stream(
        "/v1/completions", {"prompt": "Once upon a time", "max_tokens": 3, "ignore_eos": True}
    )
    assert done == "[DONE]"
    *contents, finish = [json.loads(d) for d in data]
    assert tokens.count("".join(c["choices"][0]["text"] for c in contents)) == len(contents) == 3
    assert (finish["choices"][0]["text"], finish["choices"][0]["finish_reason"]) == ("", "length")
    assert finish["timings"]["predicted_n"] == 3
    assert not any("usage" in c for c in (*contents, finish))


def test_native_stream(server: Server):
    """A token an event with its id and running count; a last event with `stop`; no [DONE]."""
    data = server.stream("/completion", {"prompt": "Olá, mundo", "n_predict": 4, "ignore_eos": True})
    *events, last = [json.loads(d) for d in data]
    assert [(e["tokens_predicted"], e["tokens_evaluated"], e["stop"], e["index"]) for e in events] == [
        (k, 4, False, 0) for k in (1, 2, 3, 4)
    ]
    text = "".join(e["content"] for e in events)
    assert [e["tokens"][0] for e in events] == server.post("/tokenize", {"content": text})["tokens"]
    assert (last["content"], last["stop"], last["stop_type"]) == ("", True, "limit")
    assert (last["tokens_predicted"], last["tokens_evaluated"]) == (4, 4)
    assert last["timings"]["prompt_n"] == 4
    # 2.5 ms a step alone; others of this module's requests are over by now.
    assert last["timings"]["predicted_ms"] == pytest.approx(7.5)
    assert last["timings"]["predicted_per_second"] == pytest.approx(400)


def test_whole_replies_agree_with_streams(server: Server):
    """Streamed or not, the same request gets the same text, as at temperature 0."""
    deltas = [json.loads(d)["choices"][0]["delta"] for d in server.stream("/v1/chat/completions", CHAT)[:-1]]
    reply = server.post("/v1/chat/completions", CHAT)
    message = reply["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "".join(d.get("content", "") for d in deltas)}
    assert (reply["object"], reply["usage"]["completion_tokens"]) == ("chat.completion", 5)
    body = {"prompt": "x", "n_predict": 6, "ignore_eos": True}
    native = server.post("/completion", body)
    text = "".join(json.loads(d)["content"] for d in server.stream("/completion", body))
    assert (native["content"], len(native["tokens"]), native["stop"]) == (text, 6, True)


@pytest.mark.parametrize(
    ("fields", "finish", "size"),
    [
        ({"max_tokens": 7, "ignore_eos": True}, "length", 7),
        ({"max_tokens": 7, "min_tokens": 7}, "length", 7),
        ({"min_tokens": 16}, "length", 16),
        ({"prompt": [5, 6, 7], "max_tokens": 300, "ignore_eos": True}, "length", 197),
    ],
)
def test_exact_lengths(server: Server, fields: dict[str, Any], finish: str, size: int):
    """ignore_eos and min_tokens = max_tokens are exact; the default is 16; the context is the last limit."""
    reply = server.post("/v1/completions", {"prompt": "to be", **fields})
    assert (reply["choices"][0]["finish_reason"], reply["usage"]["completion_tokens"]) == (finish, size)


def test_natural_length_is_repeatable(tmp_path: Path):
    """Without ignore_eos answers end by themselves: on average as asked, the same each time for a prompt."""
    options = (
        "--mean-output-tokens",
        "10",
        "--step-base-ms",
        "0",
        "--step-per-seq-ms",
        "0.01",
        "--slots",
        "64",
    )
    with simulator(tmp_path, *options) as quick, ThreadPoolExecutor(8) as pool:

        def size(i: int) -> int:
            reply = quick.post("/completion", {"prompt": f"number {i}"})
            assert (reply["stop_type"], tokens.count(reply["content"])) == ("eos", reply["tokens_predicted"])
            return int(reply["tokens_predicted"])

        first = list(pool.map(size, range(200)))
        assert list(pool.map(size, range(20))) == first[:20]
    # Fixed seed, so a fixed sample: the geometric law has mean 10 and its sample mean a deviation of 0.67.
    assert 8 < sum(first) / len(first) < 12
    assert min(first) >= 1


def test_n_predict_0_reads_the_prompt_only(server: Server):
    """llama.cpp's prompt-only request gives one last event and no token."""
    (last,) = [json.loads(d) for d in server.stream("/completion", {"prompt": "a b c", "n_predict": 0})]
    assert (last["stop"], last["tokens_predicted"], last["tokens_evaluated"]) == (True, 0, 4)
    assert last["timings"]["predicted_per_second"] is None


def test_metrics_count_what_usage_counts(server: Server):
    """/metrics grows by exactly the tokens that the replies named."""
    before = server.metrics()
    usage = server.post("/v1/chat/completions", CHAT)["usage"]
    native = server.post("/completion", {"prompt": "a b", "n_predict": 2, "ignore_eos": True})
    after = server.metrics()
    grown = {name: after[name] - before[name] for name in ("prompt_tokens_total", "tokens_predicted_total")}
    assert grown["prompt_tokens_total"] == usage["prompt_tokens"] + native["tokens_evaluated"]
    assert grown["tokens_predicted_total"] == 5 + 2
    spent = after["tokens_predicted_seconds_total"] - before["tokens_predicted_seconds_total"]
    assert spent == pytest.approx(5 * 0.0025)  # (5 - 1) + (2 - 1) steps
    assert (after["requests_processing"], after["requests_deferred"]) == (0, 0)


def test_plain_routes(server: Server):
    """Models, health, props, slots and tokens with their pieces."""
    (model,) = server.call("GET", "/v1/models")[1]["data"]
    assert (model["id"], model["owned_by"], model["max_model_len"]) == ("m", "tokenswarm", 200)
    assert server.call("GET", "/health")[1] == {"status": "ok"}
    props = server.call("GET", "/props")[1]
    assert (props["total_slots"], props["default_generation_settings"]["n_ctx"]) == (4, 200)
    slots = server.call("GET", "/slots")[1]
    assert [(s["id"], s["is_processing"]) for s in slots] == [(i, False) for i in range(4)]
    pieces = server.post("/tokenize", {"content": "Hello a", "add_special": True, "with_pieces": True})
    assert pieces["tokens"] == [
        {"id": 1, "piece": "<|begin|>"},
        {"id": 45602, "piece": "Hello"},
        {"id": 16, "piece": " a"},
    ]
    template = server.post("/apply-template", {"messages": [{"role": "system", "content": "Be brief."}]})
    assert template["prompt"] == "<|system|>\nBe brief.<|end|>\n<|assistant|>\n"


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "word"),
    [
        ("/v1/completions", b"{", 400, "BadRequestError", "not JSON"),
        ("/v1/completions", [], 400, "BadRequestError", "JSON object"),
        ("/v1/completions", {}, 400, "BadRequestError", "prompt"),
        ("/v1/completions", {"prompt": ["a", "b"]}, 400, "BadRequestError", "prompt"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 0}, 400, "BadRequestError", "max_tokens"),
        ("/v1/completions", {"prompt": "a", "max_tokens": True}, 400, "BadRequestError", "max_tokens"),
        ("/v1/completions", {"prompt": "a", "min_tokens": 17}, 400, "BadRequestError", "min_tokens"),
        ("/v1/completions", {"prompt": "a", "stream": 1}, 400, "BadRequestError", "stream"),
        ("/v1/completions", {"prompt": "a", "stream_options": {}}, 400, "BadRequestError", "stream_options"),
        ("/v1/completions", {"prompt": "a", "n": 2}, 400, "BadRequestError", "n must be 1"),
        ("/v1/completions", {"prompt": "a", "model": "x"}, 404, "NotFoundError", "`x` does not exist"),
        ("/v1/completions", {"prompt": "a " * 200}, 400, "exceed_context_size_error", "context size"),
        ("/v1/chat/completions", {"messages": []}, 400, "BadRequestError", "messages"),
        ("/v1/chat/completions", {"messages": [{"role": 1}]}, 400, "BadRequestError", "messages[0].role"),
        ("/completion", b"\xff", 400, "invalid_request_error", "not JSON"),
        ("/completion", {"prompt": 5}, 400, "invalid_request_error", "prompt"),
        ("/completion", {"prompt": "a", "n_predict": -2}, 400, "invalid_request_error", "n_predict"),
        ("/completion", {"prompt": [1] * 200}, 400, "exceed_context_size_error", "200 tokens"),
        ("/tokenize", {"content": 1}, 400, "invalid_request_error", "content"),
        ("/nowhere", {}, 404, "not_found_error", "/nowhere"),
        ("/health", {}, 405, "invalid_request_error", "takes GET"),
    ],
)
def test_errors(server: Server, *, path: str, body: Any, status: int, kind: str, word: str):
    """Each bad request gets its dialect's error body, which names what is wrong."""
    found, reply, _ = server.call("POST", path, body)
    error = reply["error"]
    assert (found, error["code"], error["type"]) == (status, status, kind)
    assert word in error["message"]


def test_request_ids(server: Server):
    """The client's X-Request-Id comes back and is in the body's id and the log; else each gets its own."""
    _, reply, headers = server.call("POST", "/v1/completions", {"prompt": "a"}, {"X-Request-Id": "mine-7"})
    assert (reply["id"], headers["X-Request-Id"]) == ("cmpl-mine-7", "mine-7")
    row = server.row("cmpl-mine-7")
    assert (row["request_id"], row["route"], row["outcome"]) == ("mine-7", "/v1/completions", "ok")
    own = [server.call("GET", "/health")[2]["X-Request-Id"] for _ in range(2)]
    assert own[0] != own[1]


def test_log_tells_when_bytes_left(server: Server):
    """The stamps lie in order around the client's own, and the parts are the model's exact costs."""
    sent = time.perf_counter_ns()
    headers = {"X-Request-Id": "stamped"}
    server.call(
        "POST",
        "/completion",
        {"prompt": [9] * 40, "n_predict": 5, "stream": True, "ignore_eos": True},
        headers,
    )
    ended = time.perf_counter_ns()
    row = server.row("stamped")
    stamps = [row[f"{k}_ns"] for k in ("received", "first_token", "last_token", "finished")]
    assert sent < stamps[0] < stamps[1] < stamps[2] <= stamps[3] < ended
    assert (row["prompt_tokens"], row["output_tokens"]) == (40, 5)
    assert (row["prefill_ms"], row["decode_ms"]) == (10.0, 10.0)  # 40 at 4000/s; 4 steps of 2.5 ms
    modelled = row["queue_ms"] + row["prefill_ms"]
    measured = (stamps[1] - stamps[0]) / 1e6
    assert modelled - 0.01 <= measured <= modelled + row["max_late_ms"] + 10


def test_connection_is_kept(server: Server):
    """Plain replies, streams, errors and requests sent ahead all share one connection."""
    with closing(server.connect()) as connection:
        for path, body, status in (
            ("/completion", {"prompt": "a", "n_predict": 2, "stream": True}, 200),
            ("/completion", {"prompt": 1}, 400),
            ("/v1/chat/completions", CHAT, 200),
        ):
            connection.request("POST", path, json.dumps(body))
            local = connection.sock.getsockname()
            reply = connection.getresponse()
            assert reply.read()
            assert (reply.status, connection.sock.getsockname()) == (status, local)
    body = b'{"prompt":"a","n_predict":2,"stream":true}'
    one = b"POST /completion HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    last = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as ahead:
        ahead.sendall(one + one + last)
        received = b"".join(iter(lambda: ahead.recv(65536), b""))
    assert [received.count(b) for b in (b"HTTP/1.1 200 OK", b'"stop":true', b'{"status":"ok"}')] == [3, 2, 1]


def test_http_1_0_stream_ends_by_close(server: Server):
    """A client of HTTP/1.0 cannot read chunks: it gets plain bytes and the end of the connection."""
    body = b'{"prompt":"a","n_predict":2,"stream":true}'
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as old:
        old.sendall(b"POST /completion HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head, _, stream = b"".join(iter(lambda: old.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert [json.loads(e[6:])["stop"] for e in stream.decode().split("\n\n")[:-1]] == [False, False, True]


def test_not_http(server: Server):
    """Bytes that are no request get a 400 and the end of the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
        other.sendall(b"hello there\r\n\r\n")
        received = b"".join(iter(lambda: other.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"not an HTTP/1.x request line" in received


@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_frees_the_slot(server: Server, stream: bool):
    """A client that leaves in mid-request is logged as cancelled and its slot is free at once."""
    name = f"gone-{stream}"
    connection = server.connect()
    body = {"prompt": [1], "n_predict": 190, "ignore_eos": True, "stream": stream}
    connection.request("POST", "/completion", json.dumps(body), {"X-Request-Id": name})
    wait_for(lambda: server.metrics()["requests_processing"] == 1)
    connection.close()
    wait_for(lambda: server.metrics()["requests_processing"] == 0)
    row = server.row(name)
    assert row["outcome"] == "cancelled"
    assert row["output_tokens"] < 190


def test_more_requests_than_slots_wait(tmp_path: Path):
    """A full server defers; its only slot serves in order, and /slots and ?fail_on_no_slot say so."""
    with simulator(tmp_path, "--slots", "1", "--step-base-ms", "5") as narrow, ThreadPoolExecutor(2) as pool:
        body = {"prompt": [1], "n_predict": 60, "ignore_eos": True}
        first = pool.submit(narrow.post, "/completion", body)
        wait_for(lambda: narrow.metrics()["requests_processing"] == 1)
        second = pool.submit(narrow.post, "/completion", body)
        wait_for(lambda: narrow.metrics()["requests_deferred"] == 1)
        (slot,) = narrow.call("GET", "/slots")[1]
        assert (slot["is_processing"], slot["next_token"]["has_next_token"]) == (True, True)
        assert narrow.call("GET", "/slots?fail_on_no_slot=1")[0] == 503
        assert first.result()["tokens_predicted"] == second.result()["tokens_predicted"] == 60
        early, late = wait_for(lambda: narrow.rows() if len(narrow.rows()) == 2 else None)
        assert late["queue_ms"] > 50 > early["queue_ms"]


def test_four_users_get_more_in_all_and_less_each(tmp_path: Path):
    """With the default costs four streams together outrun one, and each runs slower than one alone."""
    with simulator(tmp_path) as default, ThreadPoolExecutor(4) as pool:

        def rates(users: int) -> tuple[float, float]:
            body = {"prompt": "a b c", "n_predict": 40, "ignore_eos": True}
            began = time.perf_counter()
            replies = list(pool.map(lambda _: default.post("/completion", body), range(users)))
            system = 40 * users / (time.perf_counter() - began)
            return system, min(r["timings"]["predicted_per_second"] for r in replies)

        (one, alone), (four, each) = rates(1), rates(4)
    assert four > 2 * one
    assert each < 0.9 * alone


def test_5000_events_per_second(tmp_path: Path):
    """50 streams of 100 events/s each arrive at the pace that was modelled."""
    options = ("--slots", "50", "--step-base-ms", "10", "--step-per-seq-ms", "0", "--prefill-rate", "1e9")

    async def drain(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"prompt":"a","max_tokens":100,"ignore_eos":true,"stream":true}'
        writer.write(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        received = await reader.read()
        writer.close()
        return received.count(b'"finish_reason":null')

    async def all_of_them(port: int) -> list[int]:
        return await asyncio.gather(*(drain(port) for _ in range(50)))

    with simulator(tmp_path, *options) as wide:
        began = time.perf_counter()
        events = asyncio.run(all_of_them(wide.port))
        took = time.perf_counter() - began
    assert events == [100] * 50
    assert 0.99 <= took < 1.5  # 99 steps of 10 ms, and as much again for a busy machine


def test_api_key(tmp_path: Path):
    """With a key, all but /health asks for it, as a Bearer token or as X-Api-Key."""
    with simulator(tmp_path, "--api-key-env", "SIM_KEY", env={"SIM_KEY": KEY}) as guarded:
        status, reply, _ = guarded.call("POST", "/v1/chat/completions", CHAT)
        assert status == 401
        assert reply == {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}
        assert guarded.call("GET", "/v1/models", headers={"Authorization": "Bearer wrong"})[0] == 401
        assert guarded.call("GET", "/health")[0] == 200
        key = KEY.encode().decode("latin-1")
        assert guarded.call("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200
        assert guarded.call("GET", "/metrics", headers={"X-Api-Key": key})[0] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_cleanly(tmp_path: Path, number: signal.Signals):
    """SIGINT and SIGTERM end it with 0 and no word, and the request in flight is logged as cancelled."""
    with simulator(tmp_path) as stopped:
        connection = stopped.connect()
        body = {"prompt": "a", "n_predict": 5000, "ignore_eos": True, "stream": True}
        connection.request("POST", "/completion", json.dumps(body))
        assert connection.getresponse().read(10) == b'data: {"in'
        stopped.process.send_signal(number)
        assert stopped.process.wait(10) == 0
        assert [row["outcome"] for row in stopped.rows()] == ["cancelled"]
        connection.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_log_that_cannot_be_written_stops_the_server():
    """A full disk is one line on stderr and exit code 1, after the reply in progress."""
    command = [sys.executable, "-m", "harness.simulator", "--log", "/dev/full"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(" (")[0].rpartition(":")[2])
        server = Server(process, "", port, Path("/dev/full"))
        assert server.post("/completion", {"prompt": "a", "n_predict": 1})["tokens_predicted"] == 1
        assert (
            process.communicate(timeout=10)[1] == f"{NAME}: error: --log: No space left on device; stopped\n"
        )
        assert process.returncode == 1


def test_timers_are_finer_than_a_millisecond():
    """The loop wakes within the millisecond that plain epoll would round up to."""

    async def lateness() -> float:
        loop = asyncio.get_running_loop()
        late = []
        for _ in range(50):
            due = loop.time() + 0.0011
            waiter = loop.create_future()
            loop.call_at(due, waiter.set_result, None)
            await waiter
            late.append(loop.time() - due)
        return sorted(late)[10]

    with asyncio.Runner(loop_factory=fine_loop) as runner:
        assert -1e-6 < runner.run(lateness()) < 0.0005
