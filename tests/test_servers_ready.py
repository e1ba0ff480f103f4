"""When a server counts as ready, and the waiting for it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from native import self_signed

from harness.servers import waiting
from harness.servers.process import ServerFailed, free_port, serving
from harness.servers.ready import CHECKS, ReadyCheck, Standing
from harness.servers.recipe import Recipe, base_url

# PORT, then the status of every route but /there.
STAND_IN = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/there" else int(sys.argv[2]))
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if sys.argv[3:]:
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    ("status", "body", "standing"),
    [
        (200, b"", Standing.READY),  # TGI, vLLM
        (200, b'{"status": "ok"}', Standing.READY),  # llama.cpp
        (200, b'{"status": "idle"}', Standing.READY),  # MariTalk Local
        (200, b'{"status": "busy"}', Standing.READY),
        (200, b'{"status": "loading"}', Standing.LOADING),
        (200, b'{"status": "loading model"}', Standing.LOADING),
        (200, b'["loading"]', Standing.READY),
        (200, b'{"status": "load', Standing.READY),  # cut short: no JSON, no claim
        (204, b"", Standing.READY),
        (401, b"", Standing.READY),
        (403, b"", Standing.READY),
        (307, b"", Standing.LACKS),
        (404, b"", Standing.LACKS),
        (405, b"", Standing.LACKS),
        (415, b"", Standing.LACKS),  # llama.cpp at "/"
        (500, b"", Standing.LOADING),
        (503, b'{"error": {"message": "Loading model"}}', Standing.LOADING),
    ],
)
def test_what_an_answer_says(status: int, body: bytes, standing: Standing) -> None:
    """One table for all servers: what is ready, what loads, what has no such route."""
    assert ReadyCheck("/health").judge(status, body) is standing


def test_each_backend_has_its_route() -> None:
    """MariTalk Local tells at "/"; only servers whose routes are known are held to them."""
    assert {name: (check.route, check.strict) for name, check in CHECKS.items()} == {
        "llamacpp": ("/health", True),
        "maritalk": ("/", False),
        "tgi": ("/health", True),
        "vllm": ("/health", True),
        "openai": ("/health", False),
    }


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
        ("10.0.0.7", "http://10.0.0.7:80"),
    ],
)
def test_where_a_server_is_reached(host: str, url: str) -> None:
    """One that listens everywhere is asked at the loopback."""
    assert base_url(host, 80) == url


@contextmanager
def _standing_in(status: int, check: ReadyCheck, deadline_s: float = 20) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-c", STAND_IN, str(port), str(status)]
    with serving(
        Recipe("stand-in", command, f"http://127.0.0.1:{port}", check), deadline_s=deadline_s
    ) as server:
        yield server.url


def test_a_server_without_the_route_is_up(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the route was only a guess, a server that goes on answering 404 is taken for ready, and that is said."""
    monkeypatch.setattr(waiting, "SETTLED_S", 0.2)
    with _standing_in(404, ReadyCheck("/health", strict=False)):
        pass
    expected = "tokenswarm: stand-in answers 404 to /health: it is up, more it does not tell\n"
    assert capfd.readouterr().err == expected


def test_a_server_that_loads_is_not_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 is no missing route, however long it lasts."""
    monkeypatch.setattr(waiting, "SETTLED_S", 0.1)
    with pytest.raises(ServerFailed, match="it answered 503"):
        _standing_in(503, ReadyCheck("/health", strict=False), deadline_s=1).__enter__()


def test_a_route_below_the_base_url() -> None:
    """The route is asked below the URL's own path, whose last slash does not count."""
    port = free_port()
    command = [sys.executable, "-c", STAND_IN.replace('"/there"', '"/a/b/there"'), str(port), "404"]
    recipe = Recipe("stand-in", command, f"http://127.0.0.1:{port}/a/b/", ReadyCheck("/there"))
    with serving(recipe, deadline_s=20) as server:
        assert server.ending() is None


def test_an_https_server_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    """A self-signed server is ready when it answers: whom the load trusts is the load's question."""
    certificate = self_signed(tmp_path, "127.0.0.1")
    port = free_port()
    command = [sys.executable, "-c", STAND_IN, str(port), "404", str(certificate)]
    recipe = Recipe("stand-in", command, f"https://127.0.0.1:{port}", ReadyCheck("/there"))
    with serving(recipe, deadline_s=20) as server:
        assert server.ending() is None


def test_what_does_not_speak_http_is_not_up() -> None:
    """Something that listens and says nothing readable is waited for until the deadline, which says so."""
    port = free_port()
    code = (
        "import socket, sys\nserver = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n    talk = server.accept()[0]\n    talk.sendall(b'SSH-2.0-x\\r\\n')\n    talk.close()"
    )
    recipe = Recipe(
        "stand-in", [sys.executable, "-c", code, str(port)], f"http://127.0.0.1:{port}", ReadyCheck("/")
    )
    with pytest.raises(ServerFailed, match="nothing listened that speaks HTTP"):
        serving(recipe, deadline_s=0.8).__enter__()
    with socket.create_server(("127.0.0.1", port)):  # it is gone
        pass
