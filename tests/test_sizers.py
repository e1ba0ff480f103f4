"""Sizers: counts equal to the tokenizer's and the server's, and every failure one line that helps."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from fixtures_tokenizer import gpt2_chat_folder, gpt2_folder  # noqa: F401

from harness.control import session
from harness.errors import ConfigError
from harness.files import cache_dir
from harness.llama_sizer import LlamaServerSizer, RouteMissing
from harness.record import TokenSource
from harness.servers.llamacpp import running_llamacpp, tiny_model
from harness.sizers import EstimatingSizer, TransformersSizer, choose, open_tokenizer


def test_estimate_is_four_characters_a_token():
    """The fallback counts a token for every four characters, rounded up, and says it estimates."""
    sizer = EstimatingSizer()
    assert [sizer.count("x" * n) for n in (0, 1, 4, 5, 8, 9)] == [0, 1, 1, 2, 2, 3]
    assert sizer.count_output("x" * 9) == 3
    assert sizer.source is TokenSource.ESTIMATED


def test_plain_tokenizer_counts(gpt2_folder):  # noqa: F811
    """GPT-2 cuts `Hello world` in two; an empty prompt has no overhead; chat without a template is plain."""
    for chat in (False, True):
        sizer = open_tokenizer(str(gpt2_folder), chat=chat)
        assert [sizer.count(text) for text in ("Hello world", "")] == [2, 0]
        assert sizer.count_output("Hello world") == 2
        assert sizer.source is TokenSource.TOKENIZER
        assert sizer.describe.endswith("without a chat template")


def test_chat_template_is_counted(gpt2_chat_folder):  # noqa: F811
    """In chat mode the template's tokens are counted, in completions mode they are not."""
    chat = open_tokenizer(str(gpt2_chat_folder), chat=True)
    plain = open_tokenizer(str(gpt2_chat_folder), chat=False)
    rendered = "<|user|>\nHello world<|endoftext|>\n<|assistant|>\n"
    assert chat.count("Hello world") == plain.count(rendered) == chat.count("") + 2
    assert plain.count("Hello world") == 2
    assert chat.count_output("Hello world") == 2


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nope", "a/b/c", "", "not an id!"])
def test_no_folder_and_no_id(name):
    """What can be neither a folder nor a hub id is refused in one line that names it and the fix."""
    with pytest.raises(ConfigError) as caught:
        open_tokenizer(name, chat=False)
    message = str(caught.value)
    assert message.startswith(f"--tokenizer {name!r} ")
    assert "tokenizer's folder" in message or "a folder that holds" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"config.json": '{"model_type": "gpt2"}'},
        {"tokenizer_config.json": '{"tokenizer_class": "GPT2TokenizerFast"}'},
        {"tokenizer.json": "{", "config.json": '{"model_type": "llama"}'},
        {"tokenizer.json": "{}", "tokenizer_config.json": "{}"},
    ],
)
def test_folder_that_is_no_tokenizer(tmp_path, files):
    """An empty folder, one without a vocabulary (which loads, and encodes to nothing) and a broken one are refused."""
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        open_tokenizer(str(tmp_path), chat=False)
    message = str(caught.value)
    assert message.startswith(f"--tokenizer {str(tmp_path)!r} ")
    assert "give a folder that holds tokenizer.json" in message
    assert "\n" not in message


SCRIPT = """
import sys
from harness.errors import ConfigError
from harness.sizers import open_tokenizer
try:
    print(open_tokenizer(sys.argv[1], chat=False).count("word " * 3000))
except ConfigError as error:
    print(error)
"""


def loaded_alone(name, **environ):
    """(stdout, stderr) of a fresh process that loads a tokenizer, where nothing was imported or set before."""
    quiet = ("TRANSFORMERS_", "HF_", "TOKENIZERS_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(quiet)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(name)],
        env=env | environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout, done.stderr


def test_loading_is_silent(gpt2_folder):  # noqa: F811
    """No line about PyTorch, and none about a text longer than the model's window."""
    assert loaded_alone(gpt2_folder) == ("3001\n", "")


def test_unreachable_hub_is_one_quick_line(tmp_path):
    """An id that is not cached, with the hub out of reach, fails in one line without minutes of retries."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        hub = f"http://127.0.0.1:{closed.getsockname()[1]}"
        started = time.monotonic()
        out, err = loaded_alone("acme/none", HF_ENDPOINT=hub, HF_HOME=str(tmp_path), no_proxy="*")
    assert out == (
        f"--tokenizer 'acme/none' is neither a folder nor in the local hub cache, and {hub} cannot be reached; "
        "give the path of a tokenizer's folder\n"
    )
    assert err == ""
    assert time.monotonic() - started < 25  # the library's own retries take 46 s before it gives up


def test_offline_mode_is_named(tmp_path):
    """With HF_HUB_OFFLINE set the reason given is that, and nothing is asked."""
    out, err = loaded_alone("acme/none", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert "and HF_HUB_OFFLINE is set; give the path" in out
    assert err == ""


class Scripted(BaseHTTPRequestHandler):
    """Answers POSTs from the server's `script` of (status, body); a status of 0 drops the connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers["Authorization"], body))
        script = self.server.script
        status, answer = script.pop(0) if script else (200, {"tokens": body["content"].split()})
        if status == 0:
            self.close_connection = True
            return
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def scripted():
    """An HTTP server that follows a script, then counts words."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.daemon_threads = True
    server.script, server.seen = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_dropped_connection_is_tried_once_more(scripted):
    """One dropped connection costs nothing but a second try; two in a row are an error that names the URL."""
    sizer = LlamaServerSizer(scripted.url, chat=False)
    scripted.script[:] = [(0, b"")]
    assert sizer.count("one two three") == 3
    scripted.script[:] = [(0, b""), (0, b"")]
    with pytest.raises(ConfigError, match=r"/tokenize failed .*is the server up\?$"):
        sizer.count("one")


def test_booleans_headers_and_prefix(scripted):
    """The flags go out as JSON booleans, headers with every request, and a base URL in /v1 loses it."""
    sizer = LlamaServerSizer(f"{scripted.url}/v1/", chat=False, asked=session("k"))
    scripted.seen.clear()
    assert sizer.count("one two") == sizer.count_output("one two") == 2
    assert scripted.seen == [
        ("/tokenize", "Bearer k", {"content": "one two", "add_special": True, "parse_special": True}),
        ("/tokenize", "Bearer k", {"content": "one two", "add_special": False, "parse_special": False}),
    ]


@pytest.mark.parametrize(
    ("answer", "error", "problem"),
    [
        ((404, b"no"), RouteMissing, "gave 404, so this is no llama.cpp server; give --tokenizer"),
        ((200, b"<html>"), RouteMissing, "gave no JSON, so"),
        ((200, [1]), RouteMissing, "gave no JSON object with 'tokens'"),
        ((200, {"tokens": 7}), ConfigError, "gave no list of tokens"),
        ((401, b"who"), ConfigError, "gave 401; check the API key"),
        ((503, b"Loading model"), ConfigError, "gave 503 ('Loading model'); is the model loaded?"),
        ((302, b""), ConfigError, "gave 302"),
    ],
)
def test_server_that_cannot_count(scripted, answer, error, problem):
    """A server without the route, locked, or still loading is an error with the URL and the fix."""
    scripted.script[:] = [answer]
    with pytest.raises(error) as caught:
        LlamaServerSizer(scripted.url, chat=False)
    assert problem in str(caught.value)
    assert scripted.url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_server_is_down():
    """A refused connection is one line with the URL."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"^POST {url}/tokenize failed .*is the server up\?$"):
            LlamaServerSizer(url, chat=False)


def test_choice(gpt2_folder, scripted, monkeypatch):  # noqa: F811
    """First --tokenizer, then the llama.cpp server, then --model on this machine, then the estimate; and why."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = str(gpt2_folder)
    sizer, why = choose(tokenizer=folder, model=None, chat=False, llama_url=scripted.url)
    assert isinstance(sizer, TransformersSizer)
    assert why == f"prompts sized by tokenizer {folder}, without a chat template, as --tokenizer asks"
    sizer, why = choose(tokenizer=None, model=folder, chat=False, llama_url=scripted.url)
    assert isinstance(sizer, LlamaServerSizer)
    assert scripted.url in why
    scripted.script[:] = [(404, b"")]
    sizer, why = choose(tokenizer=None, model=folder, chat=False, llama_url=scripted.url)
    assert isinstance(sizer, TransformersSizer)
    assert why.endswith(", after --model")
    sizer, why = choose(tokenizer=None, model="acme/none", chat=False, llama_url=None)
    assert isinstance(sizer, EstimatingSizer)
    assert why == (
        "prompts sized by an estimate of 4 characters a token (no tokenizer of --model 'acme/none' on this "
        "machine); for exact sizes give --tokenizer"
    )
    assert choose(tokenizer=None, model=None, chat=False, llama_url=None)[0].source is TokenSource.ESTIMATED


def test_choice_does_not_hide_failures(scripted):
    """An explicit tokenizer that does not load, or a llama.cpp server that is still loading, ends the choice."""
    with pytest.raises(ConfigError, match=r"--tokenizer './nope'"):
        choose(tokenizer="./nope", model=None, chat=False, llama_url=scripted.url)
    scripted.script[:] = [(503, b"Loading model")]
    with pytest.raises(ConfigError, match="is the model loaded"):
        choose(tokenizer=None, model=None, chat=False, llama_url=scripted.url)


@pytest.mark.real
def test_counts_are_the_real_servers():
    """Counts equal what a real llama.cpp reports for the same text, with odd blanks and special tokens in it."""
    texts = ["Hello world", "", " a  b ", "olá, manhã\n\n", "a <|im_end|> b", " the" * 100]
    with (
        running_llamacpp(tiny_model(cache_dir()), slots=1, context=512) as server,
        requests.Session() as http,
    ):
        for chat in (False, True):
            sizer = LlamaServerSizer(server.url, chat=chat)
            for text in texts:
                if chat:
                    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
                    answer = http.post(f"{server.url}/v1/chat/completions", json=body, timeout=30).json()
                    assert sizer.count(text) == answer["usage"]["prompt_tokens"]
                elif text:  # this model has no begin token, and refuses to continue nothing
                    body = {"prompt": text, "n_predict": 1, "cache_prompt": False}
                    answer = http.post(f"{server.url}/completion", json=body, timeout=30).json()
                    assert sizer.count(text) == answer["tokens_evaluated"]
