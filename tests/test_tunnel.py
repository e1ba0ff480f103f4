"""What a proxy is told and answers, from bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import target, tunnel
from harness.errors import ErrorClass
from harness.http1 import Head
from harness.proxy import parse
from harness.tunnel import MAX_ANSWER_BYTES, Refused

API = target.parse("https://api.corp")
PROXY, KNOWN = (
    parse("HTTPS_PROXY", "proxy:3128"),
    parse("HTTPS_PROXY", "http://Aladdin:open%20sesame@proxy:3128"),
)
OPENED = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"


def refused(answer: bytes) -> tuple[ErrorClass, str]:
    """The error of an answer."""
    with pytest.raises(Refused) as caught:
        tunnel.is_open(KNOWN, API, answer)
    return caught.value.error_class, str(caught.value)


def test_connect_names_host_and_port() -> None:
    """Always both, brackets around an IPv6 address; the login only where there is one."""
    head = b"CONNECT api.corp:443 HTTP/1.1\r\nHost: api.corp:443\r\nUser-Agent: tokenswarm/"
    assert tunnel.connect(PROXY, API).startswith(head)
    assert tunnel.connect(PROXY, API).endswith(b"\r\n\r\n")
    assert b"Authorization" not in tunnel.connect(PROXY, API)
    assert b"\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n" in tunnel.connect(
        KNOWN, API
    )
    assert tunnel.connect(PROXY, target.parse("https://[::1]:8443")).startswith(
        b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n"
    )


@pytest.mark.parametrize(
    "answer",
    [
        OPENED,
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\nVia: x\n\n",
        b"HTTP/1.1 204 Sure\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OPENED,
    ],
)
def test_a_tunnel_is_open_after_its_last_byte(answer: bytes) -> None:
    """And not one before; 2xx opens it, whatever the headers say, 1xx does not."""
    assert [tunnel.is_open(PROXY, API, answer[:size]) for size in range(len(answer))] == [False] * len(answer)
    assert tunnel.is_open(PROXY, API, answer)


HELP = " for api.corp: is --host right? NO_PROXY=api.corp goes past the proxy"


@pytest.mark.parametrize(
    ("answer", "error_class", "text"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", ErrorClass.CONNECT, f"answered 403 Forbidden{HELP}"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n", ErrorClass.CONNECT, f"answered 502 Bad Gateway{HELP}"),
        (b"HTTP/1.1 503\r\n\r\n", ErrorClass.CONNECT, f"answered 503{HELP}"),
        (b"HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n", ErrorClass.CONNECT, f"answered 301 Moved{HELP}"),
        (b"HTTP/1.0 407 Who?\r\n\r\n", ErrorClass.CONNECT, "answered 407 Who? for api.corp: the user or password in HTTPS_PROXY is not the right one"),
        (b"HTTP/1.1 403 not you, Aladdin:open sesame\r\n\r\n", ErrorClass.CONNECT, f"answered 403 not you, ***{HELP}"),
        (b"HTTP/1.1 403 " + b"\x1b[2J" + b"x" * 100 + b"\r\n\r\n", ErrorClass.CONNECT, f"answered 403 [2J{'x' * 77}{HELP}"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ErrorClass.CONNECT, "does not speak HTTP (it said 'SSH-2.0-OpenSSH_9.6'); is its port right?"),
        (b"\x15\x03\x01", ErrorClass.CONNECT, "does not speak HTTP (it said no text); is its port right?"),
        (b"HTTP/2.0 200 OK", ErrorClass.CONNECT, "does not speak HTTP (it said 'HTTP/2.0 200 OK'); is its port right?"),
        (b"HTTP/1.1 abc\r\n\r\n", ErrorClass.CONNECT, "gave a broken answer (it said 'HTTP/1.1 abc'); is its port right?"),
        (OPENED + b"220 mail", ErrorClass.CONNECT, "opened a tunnel and spoke into it itself (it said '220 mail'); is its port right?"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * MAX_ANSWER_BYTES, ErrorClass.CONNECT, "gave no end of headers in 65536 bytes"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_proxy_and_what_helps(answer: bytes, error_class: ErrorClass, text: str) -> None:
    """On one short line, without anything secret or unprintable."""
    assert refused(answer) == (error_class, f"the proxy http://proxy:3128 {text}")


def test_a_login_that_is_missing_is_asked_for() -> None:
    """Another line than for one that is wrong."""
    advice = "put user and password into HTTPS_PROXY, http://USER:PASSWORD@proxy:3128"
    with pytest.raises(Refused, match=f": {advice}$"):
        tunnel.is_open(PROXY, API, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")


def test_silence_and_a_hang_up() -> None:
    """Their classes and lines."""
    assert tunnel.kept_silent(KNOWN, 2.5).error_class is ErrorClass.CONNECT_TIMEOUT
    assert (
        str(tunnel.kept_silent(KNOWN, 2.5)) == "the proxy http://proxy:3128 did not answer CONNECT in 2.5 s"
    )
    gone = "the proxy http://proxy:3128 closed the connection without an answer to CONNECT; is it an http:// proxy?"
    assert (tunnel.hung_up(KNOWN).error_class, str(tunnel.hung_up(KNOWN))) == (ErrorClass.CONNECT, gone)


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda rest: b"HTTP/1.1 " + rest))
def test_any_bytes_are_a_verdict(answer: bytes) -> None:
    """Open, not yet, or refused on one printable line; a byte more never makes a refusal an open tunnel."""
    verdicts: list[bool | str] = []
    for size in range(len(answer) + 1):
        try:
            verdicts.append(tunnel.is_open(KNOWN, API, answer[:size]))
        except Refused as error:
            verdicts.append("refused" if str(error).isprintable() else "unprintable")
    order = {False: 0, True: 1, "refused": 2}
    assert verdicts == sorted(verdicts, key=order.__getitem__)


@pytest.mark.parametrize(
    ("status", "headers", "own"),
    [
        (407, {}, True),
        (502, {}, True),
        (504, {}, True),
        (503, {}, False),  # an overloaded server says so too
        (403, {}, False),
        (403, {"x-squid-error": "ERR_ACCESS_DENIED 0"}, True),
        (503, {"proxy-status": "proxy.corp; error=destination_unavailable"}, True),
        (503, {"proxy-status": "proxy.corp; received-status=503"}, False),
        (200, {}, False),
    ],
)
def test_whose_answer_it_is(status: int, headers: dict[str, str], own: bool) -> None:
    """As far as status and headers tell."""
    assert tunnel.is_own(status, headers) is own


def test_a_failures_message_tells_whose_it_is() -> None:
    """Where a proxy was to pass a request on; and it has nothing secret in it, whoever said it."""

    def head(status: int) -> Head:
        return Head(status, {}, 0, chunked=False, length=0, keep_alive=True)

    assert tunnel.told(None, "api", head(502), "bad") == "bad"
    assert tunnel.told(PROXY, "api", head(502), None) is None
    assert tunnel.told(KNOWN, "api", None, "reset by open sesame") == "reset by ***"
    assert tunnel.told(KNOWN, "api", head(500), "open sesame") == "***"
    assert tunnel.told(PROXY, "api", head(502), "no route") == (
        "the proxy http://proxy:3128 answered 502 for api: is --host right? NO_PROXY=api goes past the proxy (no route)"
    )
