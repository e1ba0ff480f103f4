"""The one request before load, over a real socket: what passes, and what a user reads of what does not."""

import json
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from scripted import ANSWER, Conversation, serving

from harness.backends import find
from harness.backends.base import Ask, Backend, HttpRequest
from harness.backends.openai import OpenAI
from harness.client import Client
from harness.engine import Engine
from harness.errors import ConfigError
from harness.exchange import Timeouts
from harness.trial import judge

QUICK = Timeouts(connect_s=1, first_token_s=0.4, idle_s=0.4, total_s=0.8)
CHAT, NATIVE = find("openai", "chat"), find("maritalk", "native")


def reply(status: int, body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Trial:
    """What came of one: the line a user reads (None: it passed), what was said, what the server was asked."""

    def __init__(
        self,
        response: bytes,
        backend: Backend = CHAT,
        *,
        secret: str | None = None,
        pause_s: float = 0,
        exact: bool = False,
        hang: bool = False,
    ) -> None:
        self.line: str | None = None
        self.said: list[str] = []
        self.kept: list[object] = []
        self.bodies: list[Any] = []

        def script(talk: Conversation) -> None:
            while body := talk.request():
                self.bodies.append(json.loads(body))
                gevent.sleep(pause_s)
                if hang:
                    gevent.sleep(3)
                talk.say(response)

        with serving(script) as (target, talks):
            engine = Engine(target, QUICK)
            client = Client(engine, backend, "w", secret, lambda record, _: self.kept.append(record))
            try:
                judge(client, Ask("1 2 3", 16, model="m", exact_length=exact), self.said.append)
            except ConfigError as error:
                self.line = str(error).replace(str(target), "HOST")
            finally:
                self.said = [said.replace(str(target), "HOST") for said in self.said]
                engine.close()
            self.head = talks[0].requests[0] if talks and talks[0].requests else b""


def test_an_answer_passes_and_nobody_hears_of_it() -> None:
    """No record is kept; the id tells it apart in a server's log; the key goes along."""
    trial = Trial(b"".join(ANSWER), secret="sk-1")
    assert (trial.line, trial.kept) == (None, [])
    assert trial.said == [f"a trial request first: {ROUTE}"]
    assert b"X-Request-Id: trial-" in trial.head
    assert b"Authorization: Bearer sk-1" in trial.head
    assert [body["max_tokens"] for body in trial.bodies] == [16]


@dataclass(frozen=True, kw_only=True)
class InThePath(OpenAI):
    """A dialect whose model is part of the route."""

    @property
    def path(self) -> str:
        return "/{model}/chat"

    def request(self, ask: Ask) -> HttpRequest:
        return HttpRequest("POST", f"/{ask.model}/chat", super().request(ask).body)


def test_the_route_is_the_one_that_is_asked() -> None:
    """With the model's name in it, as a person would ask it again."""
    trial = Trial(reply(500, b"oops", "text/plain"), InThePath(mode="chat"))
    assert trial.said == ["a trial request first: POST HOST/m/chat"]
    assert trial.line == f"POST HOST/m/chat answered 500 to a trial request (oops){AFTER}"
    assert trial.head.startswith(b"POST /m/chat ")


AFTER = " (--preflight no sends the load all the same)"
PAGE = "; is it a login's or a proxy's page, or another --api-mode?"
ROUTE = "POST HOST/v1/chat/completions"


@pytest.mark.parametrize(
    ("response", "secret", "line"),
    [
        (
            reply(401, b'{"error": {"message": "bad key sk-1"}}'),
            "sk-1",
            (
                f"{ROUTE} answered 401 (bad key ***): the API key given is not the right one; see TOKENSWARM_API_KEY, "
                f"TOKENSWARM_API_KEY_FILE{AFTER}"
            ),
        ),
        (
            reply(401, b"", "text/plain"),
            None,
            (
                f"{ROUTE} answered 401: put the API key into the environment variable TOKENSWARM_API_KEY, or its "
                f"file's path into TOKENSWARM_API_KEY_FILE{AFTER}"
            ),
        ),
        (
            reply(404, b'{"detail": "Not Found"}'),
            None,
            (
                f"{ROUTE} answered 404 (Not Found): is it a server of the kind 'openai' with --api-mode chat, and is "
                f"--model 'm' served here?{AFTER}"
            ),
        ),
        (
            reply(422, b'{"error": "max_tokens"}'),
            None,
            f"{ROUTE} answered 422 to a trial request (max_tokens){AFTER}",
        ),
        (reply(500, b"oops", "text/plain"), None, f"{ROUTE} answered 500 to a trial request (oops){AFTER}"),
        (
            reply(200, b"<html>Log in</html>", "text/html"),
            None,
            (
                f"{ROUTE} did not answer a trial request as 'openai' with --api-mode chat does (a body of type "
                f"'text/html' and no stream: <html>Log in</html>){PAGE}{AFTER}"
            ),
        ),
        (
            reply(200, b'{"object": "list", "data": []}'),
            None,
            (
                f"{ROUTE} did not answer a trial request as 'openai' with --api-mode chat does (JSON that is no "
                f'answer: {{"object": "list", "data": []}}){PAGE}{AFTER}'
            ),
        ),
        (
            reply(200, b'data: {"error": {"message": "no such adapter"}}\n\n', "text/event-stream"),
            None,
            f"{ROUTE} failed a trial request with stream_error (no such adapter){AFTER}",
        ),
    ],
)
def test_what_load_would_only_repeat_is_one_line(response: bytes, secret: str | None, line: str) -> None:
    """Status, the server's words without the key, and what to change."""
    assert Trial(response, secret=secret).line == line


def test_a_refusal_of_what_forces_lengths_says_how_to_do_without() -> None:
    """Some servers refuse `ignore_eos`."""
    trial = Trial(reply(422, b'{"error": "Unexpected fields: ignore_eos"}'), exact=True)
    assert trial.bodies[0]["ignore_eos"] is True
    assert trial.line is not None
    assert (
        "(Unexpected fields: ignore_eos); --exact-output no leaves out what makes answers go on" in trial.line
    )


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_passes(status: int) -> None:
    """It has understood the request."""
    trial = Trial(reply(status, b'{"error": "queue full"}', more="Retry-After: 7\r\n"))
    assert trial.line is None
    assert trial.said[1:] == [
        "the server is busy, the trial request was refused or took too long (queue full); going on"
    ]


def maritalk(**times: float) -> bytes:
    """An answer of MariTalk Local."""
    return reply(200, json.dumps({"output": "um dois", **times}).encode())


SECONDS = {"queue_time": 0.05, "generation_time": 0.1}
MILLISECONDS = {"queue_time": 0, "prompt_time": 60, "generation_time": 90}


@pytest.mark.parametrize(
    ("times", "unit", "wrong"),
    [
        (SECONDS, "auto", None),
        (SECONDS, "s", None),
        (SECONDS, "ms", "it says 0.15 ms of an answer that took"),
        (MILLISECONDS, "auto", None),
        (MILLISECONDS, "ms", None),
        (MILLISECONDS, "s", "it says 90000 ms of an answer that took"),
    ],
)
def test_times_in_another_unit_are_found_out(times: dict[str, float], unit: str, wrong: str | None) -> None:
    """The server's times are held against the client's own: far more, or next to nothing, is another unit."""
    trial = Trial(maritalk(**times), NATIVE.configured({"timing_unit": unit}), pause_s=0.16)
    if wrong is None:
        assert trial.line is None
    else:
        assert trial.line is not None
        assert trial.line.startswith(f"POST HOST/generate: the server's times are in another unit: {wrong} ")
        assert trial.line.endswith(f"try --backend-option timing_unit={'ms' if unit == 's' else 's'}")


def test_a_hanging_server_is_one_line() -> None:
    """No token within the limit."""
    line = Trial(b"", hang=True).line
    assert line is not None
    assert line == f"{ROUTE} failed a trial request with first_token_timeout (no token after 0.4 s){AFTER}"


@pytest.mark.parametrize(("first", "times"), [(reply(500, b"oops", "text/plain"), 2), (reply(400, b"{}"), 1)])
def test_an_accident_is_given_a_second_chance(first: bytes, times: int) -> None:
    """A 500, a reset, half a stream may be chance; a refusal is none."""
    trial = Trial(first)
    assert trial.line is not None
    assert len(trial.bodies) == times
