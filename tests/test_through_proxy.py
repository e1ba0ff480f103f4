"""Load and questions through a real proxy: what it gets to see, what it may refuse, and what a user then reads."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import gevent
import pytest
from locust_runs import run, simulator
from native import Script, Talk, self_signed, sleep, standing
from relay import Relay, relaying
from scripted import ANSWER, HEAD, content

from harness.backends import find
from harness.backends.base import Ask
from harness.client import Client
from harness.control import ProxyRefused, session, through
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass
from harness.exchange import Timeouts
from harness.leave import Slot
from harness.poller import HAVE_EPOLL
from harness.proxy import Proxy, parse
from harness.questions import Questions, Unreachable
from harness.record import Outcome, Phase, RequestRecord, StampSource
from harness.target import Target
from harness.tls import KNOWN, Trust, context

TIMEOUTS = Timeouts(connect_s=5, first_token_s=10, idle_s=10, total_s=20)
HASTY = replace(TIMEOUTS, connect_s=0.3)
NAME: Final = "api.corp.test"  # which only the proxy knows
LOGIN: Final = "corp\\user:p@ss word/£"
QUOTED: Final = "corp%5Cuser:p%40ss%20word%2F%C2%A3"
DESCRIPTORS: Final = Path("/proc/self/fd")
KEY: Final = "sk-of-the-server"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the server behind the proxy."""
    return self_signed(tmp_path_factory.mktemp("tls"), NAME)


@pytest.fixture(params=["http", "https"])
def secured(request: pytest.FixtureRequest, certificate: Path) -> Path | None:
    """With TLS and without."""
    return certificate if request.param == "https" else None


def answering(talk: Talk) -> None:
    """The same answer to every request."""
    while talk.request():
        talk.say(*ANSWER)


def at(relay: Relay, *, login: str = "") -> Proxy:
    """A proxy as a variable names it."""
    return parse("HTTPS_PROXY", relay.url.replace("//", f"//{login}@") if login else relay.url)


@contextmanager
def behind(
    script: Script, secured: Path | None, *, login: str | None = None
) -> Iterator[tuple[Target, Relay, list[Talk]]]:
    """A server that only a proxy can find."""
    with (
        standing(script, certificate=secured) as (place, talks),
        relaying({NAME: place.port}, login) as relay,
    ):
        yield Target(tls=secured is not None, host=NAME, port=place.port, prefix="/v1"), relay, talks


class Sender:
    """A client of an engine that goes through a proxy."""

    def __init__(self, target: Target, proxy: Proxy | None, secured: Path | None, timeouts: Timeouts) -> None:
        trust = Trust(secured) if secured else KNOWN
        self.engine = Engine(target, timeouts, tls=context(trust), proxy=proxy)
        self._client = Client(self.engine, find("openai", "chat"), "w0", KEY, lambda *_: None)

    def __call__(self) -> RequestRecord:
        ask, slot = Ask("hello", 2, model="m"), Slot(1, 1, Phase.MEASURE)
        return self._client.run(ask, slot, name="/chat", scheduled_ns=0, prompt_tokens=None)


@contextmanager
def sending(
    target: Target, proxy: Proxy | None, secured: Path | None, timeouts: Timeouts = TIMEOUTS
) -> Iterator[Sender]:
    """A sender, whose engine is closed afterwards."""
    sender = Sender(target, proxy, secured, timeouts)
    try:
        yield sender
    finally:
        sender.engine.close()


def failure(record: RequestRecord) -> tuple[ErrorClass | None, str | None]:
    """What went wrong with a request for which there was no connection."""
    assert (record.outcome, record.sent_ns, record.http_status) == (Outcome.FAILED, None, None)
    return record.error_class, record.error_message


def test_load_goes_through_it(secured: Path | None) -> None:
    """Its name resolves nowhere else, connections are kept, and the stamps are the kernel's as without a proxy."""
    with behind(answering, secured) as (target, relay, talks), sending(target, at(relay), secured) as send:
        first, second = send(), send()
        assert (first.outcome, first.output_tokens, first.chunks) == (Outcome.OK, 2, 2)
        assert (second.outcome, second.output_tokens, second.chunks) == (Outcome.OK, 2, 2)
        assert len(talks) == 1
        assert {first.stamp_source, second.stamp_source} == {
            StampSource.KERNEL if HAVE_EPOLL else StampSource.READ
        }
        assert (first.ttft_ms or 0) > 0
        assert first.dns_ms is not None
        assert first.connect_ms is not None
        assert (first.tls_ms is not None) == target.tls
        assert (second.dns_ms, second.connect_ms, second.tls_ms) == (None, None, None)
        url = f"http://{NAME}:{target.port}/v1/chat/completions"
        asked = [f"CONNECT {NAME}:{target.port} HTTP/1.1"] if target.tls else [f"POST {url} HTTP/1.1"] * 2
        assert [line.decode() for line in relay.asked] == asked
        assert [head.split(b"\r\n")[:2] for head in talks[0].requests] == [
            [b"POST /v1/chat/completions HTTP/1.1", f"Host: {target.authority}".encode()]
        ] * 2


def test_the_time_to_a_slow_tunnel_is_in_connect_ms(certificate: Path) -> None:
    """And in nothing else: a request begins when its connection is there."""

    def slow(talk: Talk) -> None:
        talk.sock.recv(65_536)
        talk.say(b"HTTP/1.1 200 OK\r\n", b"Via: slow\r\n\r\n", pause_s=0.1)
        talk.sock.recv(65_536)
        talk.say(b"no TLS", pause_s=0)

    with (
        standing(slow) as (place, _),
        sending(
            Target(tls=True, host=NAME, port=443), Proxy("127.0.0.1", place.port, "V"), certificate
        ) as send,
    ):
        record = send()
        assert record.error_class is ErrorClass.TLS
        assert (record.error_message or "").startswith(
            f"https://{NAME} through the proxy http://127.0.0.1:{place.port}: "
        )
        assert 200 <= (record.connect_ms or 0) < 1_000


def test_the_login_goes_to_the_proxy_only(secured: Path | None) -> None:
    """And the server's key not to the proxy, where there is a tunnel."""
    with (
        behind(answering, secured, login=LOGIN) as (target, relay, talks),
        sending(target, at(relay, login=QUOTED), secured) as send,
    ):
        assert [send().outcome, send().outcome] == [Outcome.OK, Outcome.OK]
        assert all(b"\r\nProxy-Authorization: Basic " in head for head in relay.heads)
        assert not any(b"roxy-" in head for head in talks[0].requests)
        assert all(KEY.encode() in head for head in talks[0].requests)
        assert any(KEY.encode() in head for head in relay.heads) is not target.tls


def test_it_is_asked_in_two_ways_and_both_know_the_login(secured: Path | None) -> None:
    """The questions before load send the same bytes of login as the load, whatever letters are in it."""
    with (
        behind(answering, secured, login=LOGIN) as (target, relay, _),
        sending(target, at(relay, login=QUOTED), secured) as send,
    ):
        send()
        trust = Trust(secured) if secured else KNOWN
        session(KEY, trust, at(relay, login=QUOTED)).post(
            target.url("/v1/x"), json={}, timeout=5, stream=True
        )
        logins = {
            line for head in relay.heads for line in head.split(b"\r\n") if line.startswith(b"Proxy-Auth")
        }
        assert len(relay.heads) == 2
        assert len(logins) == 1


def test_a_wrong_login_is_said(secured: Path | None) -> None:
    """By load and by questions; neither shows it."""
    with behind(answering, secured, login=LOGIN) as (target, relay, talks):
        where, to = f"the proxy {relay.url}", f"for {NAME}"
        for login, advice in (
            ("", f"put user and password into HTTPS_PROXY, http://USER:PASSWORD@127.0.0.1:{relay.port}"),
            ("corp:hunter2", "the user or password in HTTPS_PROXY is not the right one"),
        ):
            proxy = at(relay, login=login)
            with sending(target, proxy, secured) as send:
                record = send()
            assert (record.outcome, record.error_class) == (Outcome.FAILED, ErrorClass.CONNECT)
            said = "407 Proxy Authentication Required" if target.tls else "407"
            assert (record.error_message or "").startswith(f"{where} answered {said} {to}: {advice}")
            with pytest.raises(ConfigError) as caught:
                questions(target, proxy, secured).get("/v1/models")
            line = f"--host {target}: {where} answered 407 Proxy Authentication Required {to}: {advice}"
            assert str(caught.value) == line
        assert talks == []


def questions(target: Target, proxy: Proxy, secured: Path | None = None) -> Questions:
    """What asks before load."""
    return Questions(
        session(None, Trust(secured) if secured else KNOWN, proxy), target, find("openai", "chat")
    )


def test_a_host_the_proxy_cannot_reach_is_said(secured: Path | None) -> None:
    """Which may be one that is not up yet, so that questions can wait for it."""
    nowhere = Target(tls=secured is not None, host="nowhere.test", port=8000)
    with relaying({}) as relay:
        help_ = "for nowhere.test: is --host right? NO_PROXY=nowhere.test goes past the proxy"
        with sending(nowhere, at(relay), secured) as send:
            record = send()
        if nowhere.tls:
            assert failure(record) == (
                ErrorClass.CONNECT,
                f"the proxy {relay.url} answered 502 Bad Gateway {help_}",
            )
        else:
            assert (record.error_class, record.http_status) == (ErrorClass.HTTP_SERVER, 502)
            assert record.error_message == f"the proxy {relay.url} answered 502 {help_} (no such one)"
        with pytest.raises(Unreachable) as caught:
            questions(nowhere, at(relay), secured).get("/health")
        assert (
            str(caught.value) == f"--host {nowhere}: the proxy {relay.url} answered 502 Bad Gateway {help_}"
        )


def test_a_proxy_that_is_down_is_said(secured: Path | None) -> None:
    """Its name or port, not the server's, is what is wrong."""
    target = Target(tls=secured is not None, host=NAME, port=8000)
    with relaying({}) as relay:
        gone = at(relay)
    with sending(target, gone, secured) as send:
        assert failure(send()) == (ErrorClass.CONNECT, f"the proxy {gone}: connection refused")
    with pytest.raises(Unreachable) as caught:
        questions(target, gone, secured).get("/health")
    assert (
        str(caught.value)
        == f"--host {target} through the proxy {gone} cannot be reached (connection refused); is it up, and is the port right?"
    )
    unknown = Proxy("no-such-proxy.invalid", 3128, "HTTPS_PROXY")
    with sending(target, unknown, secured) as send:
        error_class, message = failure(send())
    assert error_class is ErrorClass.DNS
    assert (message or "").startswith("the proxy http://no-such-proxy.invalid:3128 does not resolve: ")


SILENT: Final = "did not answer CONNECT in 0.3 s"
GARBLED: Final = "does not speak HTTP (it said 'SSH-2.0-OpenSSH_9.6'); is its port right?"
GONE: Final = "closed the connection without an answer to CONNECT; is it an http:// proxy?"


def hang(talk: Talk) -> None:
    """Say nothing."""
    talk.wait()


def dribble(talk: Talk) -> None:
    """A header now and then, for ever."""
    talk.say(b"HTTP/1.1 200 OK\r\n")
    with suppress(OSError):
        while True:
            talk.say(b"A: b\r\n", pause_s=0.05)


def ssh(talk: Talk) -> None:
    """Something else listens there."""
    talk.say(b"SSH-2.0-OpenSSH_9.6\r\n")
    talk.wait()


def leave(talk: Talk) -> None:
    """Close once the request has come."""
    talk.sock.recv(65_536)


def leave_half_way(talk: Talk) -> None:
    """Close in the middle of the answer."""
    talk.sock.recv(65_536)
    talk.say(b"HTTP/1.1 200 OK\r\nVia")


@pytest.mark.parametrize(
    ("script", "error_class", "text"),
    [
        (hang, ErrorClass.CONNECT_TIMEOUT, SILENT),
        (dribble, ErrorClass.CONNECT_TIMEOUT, SILENT),
        (ssh, ErrorClass.CONNECT, GARBLED),
        (leave, ErrorClass.CONNECT, GONE),
        (leave_half_way, ErrorClass.CONNECT, GONE),
    ],
)
def test_a_proxy_that_misbehaves(script: Script, error_class: ErrorClass, text: str) -> None:
    """Every way has its class and its line, in the time that opening a connection may take."""
    with (
        standing(script) as (place, _),
        sending(
            Target(tls=True, host=NAME, port=443), Proxy(place.host, place.port, "V"), None, HASTY
        ) as send,
    ):
        begin = time.monotonic()
        assert failure(send()) == (error_class, f"the proxy http://127.0.0.1:{place.port} {text}")
        assert time.monotonic() - begin < 3


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="no list of open files")
def test_a_request_given_up_while_the_tunnel_is_awaited_leaves_no_socket() -> None:
    """As when a user is stopped there."""
    target = Target(tls=True, host=NAME, port=443)
    with standing(hang) as (place, talks), sending(target, Proxy(place.host, place.port, "V"), None) as send:
        before = open_sockets()
        request = gevent.spawn(send)
        while not talks:
            gevent.sleep(0.01)
        gevent.sleep(0.05)
        assert open_sockets() - before == 2  # ours, and the server's, which is in this process too
        request.kill()
        while open_sockets() > before:  # the server's goes when it sees that ours has gone
            gevent.sleep(0.01)


def open_sockets() -> int:
    """How many this process has open."""
    return sum(name.startswith("socket:") for name in map(link, DESCRIPTORS.iterdir()))


def link(descriptor: Path) -> str:
    """What a descriptor is of; that of the listing itself has gone by now."""
    with suppress(OSError):
        return str(descriptor.readlink())
    return ""


def test_a_proxy_may_quote_a_login_and_nobody_reads_it() -> None:
    """In the body of a refusal, to a request that it should have passed on."""

    def parrot(talk: Talk) -> None:
        head = talk.sock.recv(65_536)
        login = next(line for line in head.split(b"\r\n") if line.startswith(b"Proxy-Auth"))
        body = b'{"error":{"message":"no ' + login + b' or hunter2"}}'
        talk.say(b"HTTP/1.1 403 No\r\nX-Squid-Error: ERR\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with (
        standing(parrot) as (place, _),
        sending(
            Target(tls=False, host=NAME, port=80),
            parse("HTTP_PROXY", f"u:hunter2@127.0.0.1:{place.port}"),
            None,
        ) as send,
    ):
        record = send()
    assert (record.error_class, record.http_status) == (ErrorClass.AUTH, 403)
    assert record.error_message == (
        f"the proxy http://127.0.0.1:{place.port} answered 403 for {NAME}: is --host right? "
        f"NO_PROXY={NAME} goes past the proxy (no Proxy-Authorization: Basic *** or ***)"
    )


def test_a_stream_cut_by_the_proxy_is_a_cut_stream(certificate: Path) -> None:
    """What came counts, as without a proxy."""

    def cut(talk: Talk) -> None:
        talk.request()
        talk.say(HEAD, content("a"))
        sleep(0.05)

    with behind(cut, certificate) as (target, relay, _), sending(target, at(relay), certificate) as send:
        record = send()
    assert (record.outcome, record.error_class, record.chunks) == (Outcome.FAILED, ErrorClass.TRUNCATED, 1)


def test_a_server_of_another_name_is_not_trusted(certificate: Path) -> None:
    """The certificate must be the target's; a proxy that looks into tunnels shows its own."""
    target = Target(tls=True, host="other.test", port=443)
    with (
        standing(answering, certificate=certificate) as (place, _),
        relaying({"other.test": place.port}) as relay,
        sending(target, at(relay), certificate) as send,
    ):
        error_class, message = failure(send())
    assert error_class is ErrorClass.TLS
    assert (message or "").startswith(
        f"https://other.test through the proxy {relay.url}: certificate not accepted ("
    )


def test_questions_tell_the_servers_answers_from_the_proxys(secured: Path | None) -> None:
    """A 502 that came out of a tunnel is the server's own."""

    def broken(talk: Talk) -> None:
        talk.sock.recv(65_536)
        talk.say(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n")

    with behind(broken, secured) as (target, relay, _):
        asked = session(None, Trust(secured) if secured else KNOWN, at(relay, login="u:p"))
        assert through(asked) == f" through the proxy {relay.url}"
        if target.tls:
            assert asked.get(target.url("/health"), timeout=5).status_code == 502
        else:
            with pytest.raises(ProxyRefused, match=f"^the proxy {relay.url} answered 502 Bad for {NAME}: "):
                asked.get(target.url("/health"), timeout=5)


def test_without_a_proxy_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision is made once and given to both: here, that there is none."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with standing(answering) as (target, _), sending(target, None, None) as send:
        assert send().outcome is Outcome.OK
        asked = session(None)
        assert through(asked) == ""
        assert asked.post(target.url("/x"), json={}, timeout=5).status_code == 200


FAST = ("--prefill-rate", "50000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--slots", "4")
LOAD = ("--levels", "2", "--requests-per-level", "6", "--prompt-tokens", "20", "--output-tokens", "8")


@contextmanager
def secure_simulator(certificate: Path) -> Iterator[int]:
    """A simulator that speaks TLS; its port."""
    command = [
        sys.executable,
        "-m",
        "harness.simulator",
        "--port",
        "0",
        *FAST,
        "--tls-cert",
        str(certificate),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"listening on https://127.0.0.1:(\d+) ", process.stdout.readline())
            assert found is not None
            yield int(found[1])
        finally:
            process.terminate()


def everything(folder: Path) -> str:
    """All text that a run left behind."""
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_a_run_through_a_tunnel(tmp_path: Path, certificate: Path) -> None:
    """From the command line: probed, loaded and finished, by names and a login that only the proxy knows."""
    with secure_simulator(certificate) as port, relaying({NAME: port}, LOGIN) as relay:
        env = {"HTTPS_PROXY": relay.url.replace("//", f"//{QUOTED}@"), "HTTP_PROXY": "http://127.0.0.1:9"}
        host = ("--host", f"https://{NAME}:{port}", "--ca-file", str(certificate))
        result = run("openai.py", tmp_path / "results", *host, *LOAD, env=env)
        assert (result.code, result.errors) == (0, [])
        assert {line.split(b" ")[0] for line in relay.asked} == {b"CONNECT"}
    assert f"https://{NAME}:{port} is reached through the proxy {relay.url} (HTTPS_PROXY)" in result.err
    assert result.summary["totals"]["succeeded"] == 6
    kept = json.loads((result.directory / "run.json").read_bytes())["settings"]
    assert kept["proxy"] == f"127.0.0.1:{relay.port}"
    if HAVE_EPOLL:
        assert set(result.requests["stamp_source"]) == {"kernel"}
    shown = result.out + result.err + everything(result.directory)
    assert not any(secret in shown for secret in (QUOTED, LOGIN, "p@ss word", "p%40ss"))


def test_a_run_to_an_http_target(tmp_path: Path) -> None:
    """Asked with whole URLs; and past the proxy where NO_PROXY names the host, with its proxy in run.json null."""
    with simulator(*FAST) as server:
        port = int(server.url.rpartition(":")[2])
        with relaying({NAME: port}) as relay:
            env = {"http_proxy": relay.url}
            result = run("openai.py", tmp_path / "a", "--host", f"http://{NAME}:{port}", *LOAD, env=env)
            assert (result.code, result.errors, result.summary["totals"]["succeeded"]) == (0, [], 6)
            asked = [line.split(b" ")[:2] for line in relay.asked]
            assert {url.startswith(f"http://{NAME}:{port}/".encode()) for _, url in asked} == {True}
            assert [method for method, _ in asked].count(b"POST") >= 6
            relay.heads.clear()
            direct = run(
                "openai.py", tmp_path / "b", "--host", server.url, *LOAD, env=env | {"NO_PROXY": "127.0.0.1"}
            )
            assert (direct.code, direct.errors, relay.heads) == (0, [], [])
    assert json.loads((direct.directory / "run.json").read_bytes())["settings"]["proxy"] is None


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("HTTPS_PROXY", "http://u:hunter2@127.0.0.1:9", "--host https://api.corp.test through the proxy http://127.0.0.1:9 cannot be reached (connection refused); is it up, and is the port right?"),
        ("all_proxy", "socks5://u:hunter2@x:1", "all_proxy names a proxy of scheme 'socks5': only http:// proxies are supported; NO_PROXY=HOST goes past it"),
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_work_ends_it_before_load(
    tmp_path: Path, variable: str, value: str, line: str
) -> None:
    """One line, exit code 2, nothing written, no password shown."""
    result = run("openai.py", tmp_path / "results", "--host", f"https://{NAME}", *LOAD, env={variable: value})
    assert (result.code, result.errors) == (2, [f"tokenswarm: error: {line}"])
    assert not (tmp_path / "results").exists()
    assert "hunter2" not in result.out + result.err
    assert "Traceback" not in result.err
