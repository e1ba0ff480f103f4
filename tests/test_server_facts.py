"""What the server says of itself before load, asked of a small real one, and what a user reads when it cannot be."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from threading import Event, Thread
from typing import Any, NamedTuple

import pytest
from native import self_signed

from harness import questions, server_facts
from harness.backends import find
from harness.control import session
from harness.errors import ConfigError
from harness.server_facts import Facts, ask_server
from harness.target import Target, parse

OPENAI, NATIVE = find("openai", None), find("llamacpp", None)


class Reply(NamedTuple):
    """An answer to a GET."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Site(NamedTuple):
    """A server that runs: its address, and (route, Authorization) of what it was asked."""

    target: Target
    asked: list[tuple[str, str | None]]


Routes = dict[str, Reply | list[Reply]]  # a list is answered one after another, the last again and again
TLS = Callable[[], SSLContext]


@contextmanager
def serving(routes: Routes, context: SSLContext | None = None, port: int = 0) -> Iterator[Site]:
    """A server with these routes; 404 for any other."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            reply = routes.get(self.path, Reply(404, b"no such route"))
            if isinstance(reply, list):
                reply = reply.pop(0) if len(reply) > 1 else reply[0]
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Site(Target(context is not None, "127.0.0.1", server.server_port), asked)
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def answering(raw: bytes) -> Iterator[Target]:
    """Something that is no web server: says `raw` to everyone and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65_536)
                    peer.sendall(raw)

        Thread(target=talk, daemon=True).start()
        yield Target(False, "127.0.0.1", listener.getsockname()[1])


def as_json(value: object, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def models(*names: str, owner: str = "me") -> Reply:
    """A list of models."""
    return as_json({"object": "list", "data": [{"id": name, "owned_by": owner} for name in names]})


def ask(
    target: Target, *, backend: Any = OPENAI, model: str | None = None, secret: str | None = None
) -> Facts:
    """Probe, saying nothing."""
    return ask_server(backend, target, model=model, asked=session(secret))


def line(target: Target, **how: Any) -> str:
    """The one line a user reads."""
    with pytest.raises(ConfigError) as caught:
        ask(target, **how)
    (only,) = str(caught.value).splitlines()
    return only


# -- what is learnt


def test_the_one_model_is_chosen() -> None:
    """No --model and one model: that one. An owner nobody knows promises nothing."""
    with serving({"/health": Reply(), "/v1/models": models("m")}) as site:
        facts = ask(site.target)
        assert facts == Facts("m", None, forces_length=False, has_tokenize=False)
        assert site.asked == [("/health", None), ("/v1/models", None)]
        assert facts.stored() == {
            "model": "m",
            "server": None,
            "version": None,
            "forces_length": False,
            "slots": None,
            "context": None,
            "limits": {},
            "notes": [],
        }


@pytest.mark.parametrize(
    ("owner", "server", "forces", "tokenize"),
    [
        ("vllm", "vLLM", True, False),
        ("sglang", "SGLang", True, False),
        ("tokenswarm", "tokenswarm simulate", True, True),
        ("organization-owner", None, False, False),
    ],
)
def test_the_owner_of_its_models_tells_a_server(
    owner: str, server: str | None, forces: bool, tokenize: bool
) -> None:
    """These know `ignore_eos`; a cloud would refuse it."""
    with serving({"/v1/models": models("m", owner=owner)}) as site:
        assert ask(site.target) == Facts("m", server, forces_length=forces, has_tokenize=tokenize)


def test_llamacpp_tells_its_slots_and_its_context() -> None:
    """From /props, by either backend; it takes any name for its one model."""
    props = as_json({"total_slots": 4, "default_generation_settings": {"n_ctx": 2048}})
    with serving(
        {"/health": Reply(), "/v1/models": models("/m.gguf", owner="llamacpp"), "/props": props}
    ) as site:
        expected = Facts("/m.gguf", "llama.cpp", forces_length=True, has_tokenize=True, slots=4, context=2048)
        assert ask(site.target, backend=NATIVE) == expected
        assert ask(site.target, backend=OPENAI) == expected
        assert ask(site.target, backend=NATIVE, model="any").model == "any"


def test_a_llamacpp_router_wants_a_choice() -> None:
    """It serves several models, so that a name is no longer any name."""
    with serving({"/v1/models": models("a", "b", owner="llamacpp"), "/props": as_json({})}) as site:
        assert line(site.target, backend=NATIVE).startswith("--model is missing and the server has 2")
        assert line(site.target, backend=NATIVE, model="c").startswith("--model 'c' is not served here")
        assert ask(site.target, backend=NATIVE, model="b").model == "b"


@pytest.mark.parametrize(
    "props",
    [{}, [], {"total_slots": "4"}, {"total_slots": -1, "default_generation_settings": []}, {"default_generation_settings": {"n_ctx": 0.5}}],
)  # fmt: skip
def test_odd_props_are_not_measured(props: object) -> None:
    """Whatever stands there, slots and context are None and never 0."""
    with serving({"/v1/models": models("m", owner="llamacpp"), "/props": as_json(props)}) as site:
        facts = ask(site.target, backend=NATIVE)
        assert (facts.slots, facts.context) == (None, None)


def test_no_routes_at_all_are_notes() -> None:
    """A server that knows nothing but its one route can be loaded, if the model is named."""
    with serving({}) as site:
        facts = ask(site.target, model="m")
        assert facts == Facts("m", None, False, False, notes=("GET /v1/models: 404",))
        facts = ask(site.target, backend=NATIVE)
        assert facts.model is None
        assert facts.notes == ("GET /v1/models: 404", "GET /props: 404")


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (Reply(200, b"<html>hello</html>"), "GET /v1/models: not JSON"),
        (Reply(200), "GET /v1/models: not JSON"),
        (as_json({"error": "x"}, 500), "GET /v1/models: 500"),
    ],
)
def test_an_odd_list_of_models_is_a_note(reply: Reply, note: str) -> None:
    """It costs only what could not be learnt."""
    with serving({"/v1/models": reply}) as site:
        assert ask(site.target, model="m").notes == (note,)


@pytest.mark.parametrize(
    "listed", [[], {"data": None}, {"data": {}}, {"data": [None, 3, {}, {"id": 7}, {"id": ""}]}]
)
def test_a_list_without_models_lists_none(listed: object) -> None:
    """Entries without a name are none."""
    with serving({"/v1/models": as_json(listed)}) as site:
        assert ask(site.target, model="m").model == "m"
        assert line(site.target).startswith(
            f"--model is missing and {site.target}/v1/models lists none: give"
        )


def test_a_base_url_that_ends_in_v1() -> None:
    """It is asked for /v1/models and /health, not for /v1/v1/models and /v1/health."""
    with serving({"/v1/models": models("m")}) as site:
        assert ask(parse(f"{site.target}/v1/")).model == "m"
        assert [route for route, _ in site.asked] == ["/health", "/v1/models"]


def test_the_key_goes_along() -> None:
    """As a bearer token, on every question; no key, no header."""
    with serving({"/v1/models": models("m")}) as site:
        ask(site.target, secret="sk-1")
        assert {key for _, key in site.asked} == {"Bearer sk-1"}


def test_no_proxy_and_no_netrc_come_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load uses neither, so the questions before it must not."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving({"/v1/models": models("m")}) as site:
        assert ask(site.target).model == "m"
        assert {key for _, key in site.asked} == {None}


# -- loading


def test_it_waits_while_the_model_is_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 at /health, then 200: it is said once, and load goes ahead."""
    monkeypatch.setattr(server_facts, "_RETRY_S", 0.01)
    said: list[str] = []
    loading = as_json({"error": {"message": "Loading model", "code": 503}}, 503)
    with serving({"/health": [loading, loading, Reply()], "/v1/models": models("m")}) as site:
        assert ask_server(OPENAI, site.target, model=None, asked=session(None), say=said.append).model == "m"
        assert [route for route, _ in site.asked] == ["/health"] * 3 + ["/v1/models"]
    assert said == [f"{site.target} is loading its model; waiting up to 120 s"]


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A /health that stays at 503: one line that says what to do."""
    monkeypatch.setattr(server_facts, "LOADING_DEADLINE_S", 0.0)
    monkeypatch.setattr(server_facts, "_RETRY_S", 0.01)
    with serving({"/health": Reply(503)}) as site:
        assert line(site.target) == (
            f"--host {site.target}: {site.target}/health still says that it is loading after 0 s: wait until the "
            "server has loaded its model, or raise --ready-timeout (--preflight no does not wait)"
        )


def test_a_server_that_is_not_up_is_waited_for_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused connections end a run at once; with --ready-timeout they are waited through, and said."""
    monkeypatch.setattr(server_facts, "_RETRY_S", 0.01)
    with serving({"/health": Reply(), "/v1/models": models("m")}) as site:
        up = site.target
    assert line(up) == f"--host {up} cannot be reached (connection refused); is it up, and is the port right?"
    said: list[str] = []
    with pytest.raises(ConfigError) as caught:
        ask_server(OPENAI, up, model=None, asked=session(None), ready_timeout_s=0.6, say=said.append)
    assert (
        str(caught.value)
        == f"--host {up} cannot be reached (connection refused); is it up, and is the port right?"
    )
    assert said == [f"{up} is not up yet; waiting up to 1 s"]

    def come_up() -> None:
        time.sleep(0.2)
        with serving({"/health": Reply(), "/v1/models": models("late")}, port=up.port):
            done.wait(10)

    done = Event()
    server = Thread(target=come_up, daemon=True)
    server.start()
    try:
        facts = ask_server(OPENAI, up, model=None, asked=session(None), ready_timeout_s=10)
    finally:
        done.set()
        server.join()
    assert facts.model == "late"


def test_what_each_systems_own_routes_say() -> None:
    """Version, slots, context and limits, wherever a system keeps them; a missing route is a note."""
    info = {"model_id": "m", "version": "3.3.6", "max_total_tokens": 4000, "max_concurrent_requests": 128}
    with serving({"/health": Reply(), "/info": as_json(info)}) as site:
        facts = ask(site.target, backend=find("tgi", None))
    assert (facts.model, facts.version, facts.context) == ("m", "3.3.6", 4000)
    assert facts.limits == {"max_concurrent_requests": 128, "max_total_tokens": 4000}
    assert facts.notes == ("GET /v1/models: 404",)
    assert not facts.forces_length
    routes = {"/health": Reply(), "/v1/models": models("m"), "/version": as_json({"version": "0.32.0"})}
    with serving(routes) as site:
        facts = ask(site.target, backend=find("vllm", None))
    assert (facts.model, facts.version, facts.forces_length, facts.notes) == ("m", "0.32.0", True, ())
    with serving({"/": as_json({"status": "idle"})}) as site:
        facts = ask(site.target, backend=find("maritalk", None))
        assert [route for route, _ in site.asked] == ["/"]
    assert (facts.model, facts.forces_length, facts.notes) == (None, False, ())


# -- the model


def test_a_model_that_is_not_served() -> None:
    """The line lists what there is."""
    with serving({"/v1/models": models("a", "b")}) as site:
        assert ask(site.target, model="b").model == "b"
        assert line(site.target, model="c") == (
            "--model 'c' is not served here; the server lists 'a', 'b' (--preflight no sends it all the same)"
        )


def test_several_models_and_none_chosen() -> None:
    """The line lists them, up to eight."""
    with serving({"/v1/models": models(*"abcdefghij")}) as site:
        assert line(site.target) == (
            "--model is missing and the server has 10: choose one of "
            "'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' and 2 more"
        )


def test_no_model_and_no_list() -> None:
    """The line says why there is no list, for --host may be the mistake."""
    with serving({}) as site:
        assert line(site.target) == (
            f"--model is missing and {site.target}/v1/models lists none (GET /v1/models: 404): "
            "give the model's id, and see that --host is the API's base URL"
        )


def test_a_backend_without_a_list_of_models() -> None:
    """No address is shown that was never asked."""
    own = replace(OPENAI, name="own", models=None, needs_model=True)
    with serving({}) as site:
        said = line(site.target, backend=own)
    assert said == "--model is missing, and backend 'own' has no list of models: give its id"


# -- the key


def test_no_key_where_one_is_needed() -> None:
    """The server's words, and where the key goes."""
    refusal = as_json({"error": {"message": "You need\nto log in"}}, 401)
    with serving({"/v1/models": refusal}) as site:
        assert line(site.target) == (
            f"{site.target}/v1/models answered 401 (You need to log in): put the API key into the environment "
            "variable TOKENSWARM_API_KEY, or its file's path into TOKENSWARM_API_KEY_FILE"
        )


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_not_repeated(status: int) -> None:
    """Servers like to quote the key they refuse, and some say it in colour."""
    refusal = as_json({"error": "Incorrect API key: \x1b[31msk-wrong"}, status)
    with serving({"/v1/models": refusal}) as site:
        assert line(site.target, secret="sk-wrong") == (
            f"{site.target}/v1/models answered {status} (Incorrect API key: ?[31m***): the API key given is not the "
            "right one; see TOKENSWARM_API_KEY, TOKENSWARM_API_KEY_FILE"
        )


def test_llamacpp_guards_its_props_only() -> None:
    """With --api-key it lists its models to everyone; the missing key is found all the same."""
    routes: Routes = {
        "/v1/models": models("m", owner="llamacpp"),
        "/props": as_json({"error": "Invalid API Key"}, 401),
    }
    with serving(routes) as site:
        assert line(site.target, backend=NATIVE).startswith(
            f"{site.target}/props answered 401 (Invalid API Key): put"
        )


def test_a_health_page_may_be_private() -> None:
    """Some gateways keep it to themselves; that says nothing of the API."""
    with serving({"/health": Reply(403), "/v1/models": models("m")}) as site:
        assert ask(site.target).model == "m"


# -- the address


def test_nobody_is_listening() -> None:
    """Refused, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    target = Target(False, "127.0.0.1", port)
    assert (
        line(target)
        == f"--host {target} cannot be reached (connection refused); is it up, and is the port right?"
    )


def test_a_host_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing."""
    monkeypatch.setattr(questions, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target(False, "127.0.0.1", listener.getsockname()[1])
        assert line(target) == (
            f"--host {target}: no answer from {target}/health in 0.2 s; is it up? (--preflight no does not ask)"
        )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "ssh-2.0-openssh_9.6"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "??????f"),  # what a TLS server says to plain HTTP
        (b"", "it hangs up without an answer"),
    ],
)
def test_a_host_that_does_not_speak_http(raw: bytes, said: str) -> None:
    """The port or the scheme is wrong; nothing of it may reach the terminal raw."""
    with answering(raw) as target:
        assert line(target) == (
            f"--host {target} does not speak HTTP ({said}): is the port right? is it https:// rather than http://?"
        )


def test_https_to_a_plain_server() -> None:
    """The scheme is wrong."""
    with answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as plain:
        target = Target(True, plain.host, plain.port)
        assert line(target) == (
            f"--host {target} does not speak TLS as it should (wrong version number): is it http:// rather than https://?"
        )


def test_an_answer_that_breaks_off() -> None:
    """Not a broken connection, but an answer that is none."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc") as target:
        told = line(target)
        assert told.startswith(f"--host {target} gave a broken answer (")
        assert told.endswith("): is the port right?")


@pytest.mark.parametrize(
    ("location", "where", "fix"),
    [
        ("https://api.example/v1/models", "https://api.example/v1/models", "https://api.example"),
        ("/openai/v1/models", "{}/openai/v1/models", "{}/openai"),
        ("/login?next=/v1/models%0a", "{}/login", "the API's base URL"),
        (
            "https://me:pw@sso.example/v1/models?token=abc#x",
            "https://sso.example/v1/models",
            "https://sso.example",
        ),
        ("http://[", "something that is no URL", "the API's base URL"),
    ],
)
def test_a_redirect_is_told_with_the_host_to_give(location: str, where: str, fix: str) -> None:
    """Load does not follow it, so that the address must be the right one."""
    with serving({"/v1/models": Reply(307, b"", (("Location", location),))}) as site:
        target = str(site.target)
        assert line(site.target, model="m") == (
            f"{target}/v1/models redirects to {where.format(target)}, and redirects are not followed: "
            f"give --host {fix.format(target)}"
        )


# -- certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SSLContext]:
    """A self-signed certificate of 127.0.0.1, and a server's context with it."""
    cert = self_signed(tmp_path_factory.mktemp("tls"), "127.0.0.1")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    return cert, context


def test_a_certificate_of_ones_own(
    certificate: tuple[Path, SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused with a line that says where its authority goes, and there it is found, as by the load."""
    cert, context = certificate
    with serving({"/v1/models": models("m")}, context) as site:
        assert line(site.target) == (
            f"--host {site.target} has a certificate that is not accepted (self-signed certificate): "
            "give its authority's file with --ca-file"
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert ask(site.target).model == "m"
