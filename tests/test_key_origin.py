"""Keys go to the origin they are for and to no other: not by a form, not by a worker, and never across a redirect."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from distributed_runs import IDS, VLLM, stage
from hypothesis import given
from hypothesis import strategies as st
from locust_runs import run, simulator
from web_site import serving

from harness import key_origin, target
from harness.api_key import check_home, read_secret
from harness.backends import find
from harness.backends.base import Ask
from harness.client import Client
from harness.clock import now_ns
from harness.control import session
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass
from harness.exchange import Exchange, Timeouts
from harness.leave import Slot
from harness.llama_sizer import LlamaServerSizer
from harness.record import Outcome, Phase, RequestRecord
from harness.scraper import Scraper
from harness.server_facts import ask_server
from harness.server_sizer import ServerSizer
from harness.target import Target
from harness.trial import judge

KEY = "sk-never-elsewhere"
A, B = target.parse("https://a.example"), target.parse("https://b.example/v1")

# The rules


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example", "https://a.example:443/v1", True),
        ("http://a.example:80", "http://A.Example./x", True),
        ("http://a.example", "https://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("http://a.example:443", "https://a.example", False),
        ("http://a.example", "http://b.a.example", False),
        ("http://127.0.0.1:8000", "http://0x7f000001:8000", True),
        ("http://[::1]", "http://[0:0::1]:80", True),
        ("http://127.0.0.1", "http://localhost", False),
        ("https://bücher.example", "https://xn--bcher-kva.example", True),
    ],
)
def test_what_is_one_origin(one: str, other: str, *, same: bool) -> None:
    """Scheme, host and port, in any spelling; nothing else."""
    assert (key_origin.origin(target.parse(one)) == key_origin.origin(target.parse(other))) == same


@given(
    st.booleans(),
    st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z]{1,5}){0,2}", fullmatch=True),
    st.integers(1, 65535),
)
def test_an_origin_lists_itself(tls: bool, host: str, port: int) -> None:
    """What an error's text says to set is what makes it go away."""
    place = Target(tls, host, port, "/some/path")
    why = key_origin.refusal(place, "TOKENSWARM_API_KEY", None, A)
    assert why
    value = why.rpartition("TOKENSWARM_API_KEY_ORIGIN=")[2]
    listed = key_origin.read({"TOKENSWARM_API_KEY_ORIGIN": value})
    assert listed is not None
    assert key_origin.refusal(place, "TOKENSWARM_API_KEY", listed, None) is None
    assert key_origin.refusal(A, "TOKENSWARM_API_KEY", listed, None) is None


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"TOKENSWARM_API_KEY": KEY}, "TOKENSWARM_API_KEY"),
        ({"OPENAI_API_KEY": KEY}, "OPENAI_API_KEY"),
        ({"TOKENSWARM_API_KEY": KEY, "OPENAI_API_KEY": "other"}, "TOKENSWARM_API_KEY"),
    ],
)
def test_a_key_stays_with_the_host_of_the_start(environ: dict[str, str], source: str) -> None:
    """Another one is refused with what would allow it; the key is not in the text."""
    check_home(("OPENAI_API_KEY",), B, B, environ)
    check_home(("OPENAI_API_KEY",), B, A, {})  # nothing to protect
    with pytest.raises(ConfigError) as told:
        check_home(("OPENAI_API_KEY",), B, A, environ)
    assert str(told.value) == (
        f"the key in {source} is for https://a.example; to send it to https://b.example as well set "
        "TOKENSWARM_API_KEY_ORIGIN=https://a.example,https://b.example"
    )
    with pytest.raises(ConfigError) as told:
        check_home(("OPENAI_API_KEY",), B, None, environ)
    assert str(told.value) == (
        f"the key in {source} is for no host, since none was given when this process was started; to send it to "
        "https://b.example set TOKENSWARM_API_KEY_ORIGIN=https://b.example"
    )


def test_the_list_decides_alone(tmp_path: Path) -> None:
    """Where it is set, in every process: it allows what the start did not name, and refuses what it did."""
    file = tmp_path / "key"
    file.write_text(KEY)
    environ = {
        "TOKENSWARM_API_KEY_FILE": str(file),
        "TOKENSWARM_API_KEY_ORIGIN": "https://b.example, http://c",
    }
    assert read_secret((), B, environ) == KEY
    check_home((), B, A, environ)
    for home in (A, None):
        with pytest.raises(
            ConfigError, match=r"^the key in TOKENSWARM_API_KEY_FILE is for https://b.example, http://c; "
        ):
            check_home((), A, home, environ)
    with pytest.raises(
        ConfigError, match=r"to send it to https://a\.example as well set TOKENSWARM_API_KEY_ORIGIN="
    ):
        read_secret((), A, environ)
    assert (
        read_secret((), A, {**environ, "TOKENSWARM_API_KEY_ORIGIN": " "}) == KEY
    )  # empty: as if it were not set


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a.example", "'a.example' is no origin, which is scheme://host[:port] with http or https"),
        ("ftp://a.example", "'ftp://a.example' is no origin, which is scheme://host[:port] with http or https"),
        ("https://a.example/v1", "'https://a.example/v1' has a path, and an origin has none: write https://a.example"),
        ("https://me:secret@a.example", "an origin has no user or password: give scheme://host[:port] alone"),
        (" , ", "',' names no origin"),
    ],
)  # fmt: skip
def test_malformed_origins_are_told(value: str, problem: str) -> None:
    """Variable, value, what is right; also where there is no key, or it is not needed. No password."""
    environ = {"TOKENSWARM_API_KEY_ORIGIN": value}
    with pytest.raises(ConfigError) as told:
        read_secret((), A, environ)
    example = "for example https://api.example,http://10.0.0.7:8000"
    assert str(told.value) == f"TOKENSWARM_API_KEY_ORIGIN: {problem}; {example}"


# Redirects


@dataclass(frozen=True)
class Heard:
    """A server of our own, and all requests it got: line, headers and body."""

    url: str
    requests: list[str]


@contextmanager
def hearing(status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Iterator[Heard]:
    """It answers everything with that status, and a JSON object that some routes would be content with."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard.append(f"{self.requestline}\n{self.headers}\n{body!r}")
            said = json.dumps({"data": [{"id": "m"}], "tokens": [1, 2], "prompt": "p"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_GET  # noqa: N815  as http.server calls it

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Heard(f"http://127.0.0.1:{server.server_port}", heard)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def redirecting(status: int) -> Iterator[tuple[Heard, Heard]]:
    """A server that sends everybody on to another, and that other."""
    with hearing() as other:
        where = f"{other.url.replace('://', '://me:pw@')}/elsewhere?token=sk-in-query#{KEY}"
        with hearing(status, [("Location", where)]) as first:
            yield first, other


STATUSES = (301, 302, 303, 307, 308)
BACKENDS = (
    "openai",
    "sambastudio",
    "tabbyapi",
    "maritaca",
)  # Authorization: Bearer, key, x-api-key, Authorization: Key


def asked_with_key(name: str) -> Any:
    backend = find(name, None)
    opened = session(None)
    opened.headers.update([backend.credentials(KEY)])
    return backend, opened


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", BACKENDS)
def test_load_follows_no_redirect(name: str, status: int) -> None:
    """It is a failed request that says where it would have gone, without secrets; nothing arrives there."""
    with redirecting(status) as (first, other):
        kept: list[RequestRecord] = []
        engine = Engine(target.parse(first.url), Timeouts(5, 5, 5, 5))

        def keep(record: RequestRecord, _: Exchange) -> None:
            kept.append(record)

        client = Client(engine, find(name, None), "w", KEY, keep)
        slot = Slot(level=1, repeat=1, phase=Phase.MEASURE)
        ask = Ask("1 2 3", 4, model="m")
        client.run(ask, slot, name="n", scheduled_ns=now_ns(), prompt_tokens=None)
        with pytest.raises(ConfigError) as told:
            judge(client, ask, lambda _: None)
        engine.close()
        (record,) = kept
        assert (record.outcome, record.error_class) == (Outcome.FAILED, ErrorClass.HTTP_OTHER)
        assert record.http_status == status
        for said in (record.error_message or "", str(told.value)):
            assert f"(a redirect to {other.url}/elsewhere, which is not followed)" in said
            assert not re.search(f"{KEY}|sk-in-query|me:pw", said)
        assert len(first.requests) >= 2
        assert all(KEY in request for request in first.requests)
        assert other.requests == []


def sized(url: str, asked: requests.Session) -> None:
    LlamaServerSizer(url, chat=True, asked=asked)


def counted(url: str, asked: requests.Session) -> None:
    ServerSizer(find("vllm", "chat"), target.parse(url), "m", asked)


def probed(url: str, asked: requests.Session) -> None:
    ask_server(
        find("vllm", "chat"),
        target.parse(url),
        model=None,
        asked=asked,
        ready_timeout_s=None,
        say=lambda _: None,
    )


def scraped(url: str, asked: requests.Session) -> None:
    scraper = Scraper(f"{url}/metrics", asked, lambda _: None, secret=KEY)
    scraper.ask()
    raise ConfigError(scraper.says or "")


def followed(url: str, asked: requests.Session) -> None:
    """A question of somebody who has forgotten to say that it follows nobody."""
    answer = asked.get(f"{url}/v1/models", timeout=5)
    raise ConfigError(f"{answer.status_code}")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("question", [sized, counted, probed, scraped, followed])
def test_questions_follow_no_redirect(question: Any, status: int) -> None:
    """Preflight, sizing and metrics, with the key in a header that `requests` would take along."""
    with redirecting(status) as (first, other):
        _, opened = asked_with_key("sambastudio")
        with opened, pytest.raises(ConfigError) as told:
            question(first.url, opened)
        assert not re.search(f"{KEY}|sk-in-query|me:pw", str(told.value))
        assert first.requests
        assert all(KEY in request for request in first.requests)
        assert other.requests == []


def test_what_requests_itself_would_do() -> None:
    """The test above can fail: a plain session takes a key that is not in Authorization to the other origin."""
    with redirecting(307) as (first, other):
        with requests.Session() as plain:
            plain.headers["key"] = KEY
            plain.get(first.url, timeout=5)
        assert KEY in other.requests[0]


# Whole runs

PLAIN = (*IDS, "--output-tokens", "4", "-u", "1", "-t", "1s")


@pytest.mark.parametrize("preflight", ["yes", "no"])
def test_a_run_against_a_server_that_redirects(tmp_path: Path, preflight: str) -> None:
    """Nothing of it arrives at the other: not the questions, not the load that was not to be stopped by them."""
    with redirecting(307) as (first, other):
        env = {"TOKENSWARM_API_KEY": KEY}
        options = ("-u", "1", "-t", "1s", "--preflight", preflight, "--model", "m", "--host", first.url)
        done = run("openai.py", tmp_path / "results", *options, env=env)
        assert first.requests
        assert other.requests == []
        assert KEY not in done.err + done.out
        if preflight == "yes":
            assert done.code == 2
            assert f"redirects to {other.url}/elsewhere, and redirects are not followed" in done.errors[0]
        else:
            assert done.code != 0, done.err
            assert set(done.requests.error_class.dropna()) == {"http_other"}
            everything = b"".join(path.read_bytes() for path in done.directory.iterdir() if path.is_file())
            assert KEY.encode() not in everything
            assert b"sk-in-query" not in everything


def test_a_headless_run_with_a_key_for_another_host(tmp_path: Path) -> None:
    """Exit 2 before anything is sent."""
    with hearing() as first:
        env = {"TOKENSWARM_API_KEY": KEY, "TOKENSWARM_API_KEY_ORIGIN": "https://a.example"}
        done = run("vllm.py", tmp_path / "results", *PLAIN, "--host", first.url, env=env)
        assert done.code == 2, done.err
        (line,) = done.errors
        assert line == (
            f"tokenswarm: error: the key in TOKENSWARM_API_KEY is for https://a.example; to send it to {first.url} "
            f"as well set TOKENSWARM_API_KEY_ORIGIN=https://a.example,{first.url}"
        )
        assert first.requests == []


def test_a_worker_goes_by_its_own_list(tmp_path: Path) -> None:
    """It has a key for another host than the master says: the run does not start, and its key goes nowhere."""
    with stage(tmp_path, "one", plain=True, file=VLLM) as on:
        server = on.simulator("--speak", "vllm")
        master = on.master("--host", server.url, *IDS, "-u", "1", "-t", "2s", workers=1)
        env = {"TOKENSWARM_API_KEY": KEY, "TOKENSWARM_API_KEY_ORIGIN": "https://a.example"}
        worker = on.worker("one", env=env)
        assert master.end(60) == 2, master.err
        (line,) = master.errors
        assert line.startswith("tokenswarm: error: worker ")
        assert f"is for https://a.example; to send it to {server.url} as well set" in line
        assert worker.end(30) == 2
        assert KEY not in master.err + worker.err


def test_a_form_cannot_redirect_the_key(tmp_path: Path) -> None:
    """Another host is refused next to the form and in words; the one of the start is loaded with the key."""
    with hearing() as other, simulator("--speak", "vllm") as server:
        env = {"TOKENSWARM_API_KEY": KEY}
        with serving(
            tmp_path, "--host", server.url, *IDS, "--output-tokens", "4", file=Path(VLLM), env=env
        ) as site:
            form = {"user_count": "1", "spawn_rate": "1", "host": other.url}
            answer = requests.post(f"{site.url}/swarm", data=form, timeout=30, headers={"Origin": site.url})
            said = answer.json()
            assert said["success"] is False
            assert (
                f"the key in TOKENSWARM_API_KEY is for {server.url}; to send it to {other.url} as well"
                in said["message"]
            )
            assert KEY not in answer.text
            assert other.requests == []
