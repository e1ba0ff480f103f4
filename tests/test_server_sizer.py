"""Servers that count prompts by routes of their own: what they are asked, by whom, and what of that is believed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from harness.backends import find
from harness.control import session
from harness.errors import ConfigError
from harness.server_sizer import RouteMissing, ServerSizer
from harness.target import Target


class Counter:
    """A server that counts words, one more for the beginning, five more for a template."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.answer: tuple[int, bytes] | None = None  # instead of a count

    def count(self, route: str, body: Any) -> Any:
        if "messages" in body:
            words = 6 + len(body["messages"][0]["content"].split())
        else:
            text = body.get("prompt", body.get("inputs"))
            words = len(text.split()) + (body.get("add_special_tokens") is not False)
        if route == "/tokenize" and "inputs" not in body:
            return {"count": words, "tokens": [1] * words}
        return {"tokenize_response": [{}] * words} if route == "/chat_tokenize" else [{}] * words


@contextmanager
def counting() -> Iterator[tuple[Target, Counter]]:
    """It runs."""
    counter = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            counter.seen.append((self.path, body))
            status, said = counter.answer or (200, json.dumps(counter.count(self.path, body)).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Target(tls=False, host="127.0.0.1", port=server.server_port), counter
    finally:
        server.shutdown()
        server.server_close()


VLLM = {"model": "m"}
ASKED = {
    ("vllm", "chat"): ("/tokenize", VLLM | {"messages": [{"role": "user", "content": "a b"}], "add_generation_prompt": True}, 8),
    ("vllm", "completions"): ("/tokenize", VLLM | {"prompt": "a b", "add_special_tokens": True}, 3),
    ("tgi", "native"): ("/tokenize", {"inputs": "a b"}, 3),
    ("tgi", "chat"): ("/chat_tokenize", {"messages": [{"role": "user", "content": "a b"}]}, 8),
    ("tgi", "completions"): ("/tokenize", {"inputs": "a b"}, 3),
}  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), ASKED)
def test_prompts_with_all_that_goes_with_them_and_answers_without(name: str, mode: str) -> None:
    """A prompt's count has the template and the begin marker in it; a generated text's has neither."""
    route, body, prompt = ASKED[name, mode]
    with counting() as (target, counter):
        sizer = ServerSizer(find(name, mode), target, "m", session(None))
        counter.seen.clear()
        assert sizer.count("a b") == prompt
        assert counter.seen == [(route, body)]
        assert sizer.count_output("a b") == 2
    how = "with its chat template" if mode == "chat" else "without a chat template"
    assert sizer.describe == f"the server's own tokenizer at {target}, {how}"


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((404, b"{}"), RouteMissing, "gave 404, so this is no vllm server; give --tokenizer"),
        ((200, b"<html>"), RouteMissing, "gave no JSON, so this is no vllm server; give --tokenizer"),
        ((200, b'{"count": -1}'), RouteMissing, "gave no count of tokens; give --tokenizer"),
        ((200, b'{"count": "3"}'), RouteMissing, "gave no count of tokens; give --tokenizer"),
        ((200, b'{"count": 3}'), RouteMissing, "counts no tokens in a sentence"),
        ((401, b"{}"), ConfigError, "gave 401; check the API key"),
        ((503, b"busy"), ConfigError, "gave 503 ('busy'); is the model loaded?"),
    ],
)
def test_a_server_that_does_not_count(answer: tuple[int, bytes], kind: type[ConfigError], said: str) -> None:
    """Without such a route another tokenizer may be chosen; a refusal is the user's business."""
    with counting() as (target, counter):
        counter.answer = answer
        with pytest.raises(ConfigError) as caught:
            ServerSizer(find("vllm", "chat"), target, "m", session(None))
    assert type(caught.value) is kind
    assert str(caught.value).endswith(said)


def test_a_backend_without_such_a_route() -> None:
    """There is nothing to ask."""
    with (
        counting() as (target, counter),
        pytest.raises(RouteMissing, match="'openai' has no route that counts"),
    ):
        ServerSizer(find("openai", "chat"), target, "m", session(None))
    assert counter.seen == []
