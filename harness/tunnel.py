"""What is said to a proxy and what it answers: CONNECT, and answers that are its own and not the server's.

Load and questions use it alike. A tunnel is asked for before TLS begins. Its answer is read to its last byte and no further, so that none of it is
taken for the server's, and no byte of the server's, which cannot speak first, is lost.

Bytes in, verdicts out: the socket and the clock are those of `harness.connection`. Every text names the proxy, and
has nothing of its user and password in it, even where the proxy says them.

Source: RFC 9110 9.3.6 (CONNECT), RFC 9209 (Proxy-Status).
"""

import re
from collections.abc import Mapping
from typing import Final

from harness import __version__
from harness.errors import ErrorClass
from harness.http1 import Head
from harness.proxy import Proxy, authority
from harness.target import Target

MAX_ANSWER_BYTES: Final = 65_536
_SHOWN: Final = 80  # characters of what a proxy said
_HTTP: Final = b"HTTP/1."
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.\d ([1-9]\d\d)(?: ([^\r\n]*))?\r?\n")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_GATEWAY: Final = (407, 502, 504)  # what only a proxy or a gateway answers


class Refused(Exception):
    """A proxy did not open a tunnel. The text names it and says what would help."""

    def __init__(self, error_class: ErrorClass, text: str) -> None:
        super().__init__(text)
        self.error_class = error_class


def connect(proxy: Proxy, target: Target) -> bytes:
    """The request for a tunnel to a target."""
    where = authority(target.host, target.port)
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", f"User-Agent: tokenswarm/{__version__}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def is_open(proxy: Proxy, target: Target, answer: bytes) -> bool:
    """Has the proxy opened the tunnel, `answer` being all that came so far? False: wait for more.

    Raises:
        Refused: it will not open one.
    """
    at = 0
    while True:
        if not _HTTP.startswith(answer[at : at + len(_HTTP)]):
            raise _refused(proxy, "does not speak HTTP", answer[at:])
        blank = _BLANK_LINE.search(answer, at)
        if (blank.end() if blank else len(answer)) > MAX_ANSWER_BYTES:
            raise _refused(proxy, f"gave no end of headers in {MAX_ANSWER_BYTES} bytes")
        if blank is None:
            return False
        line = _STATUS_LINE.match(answer, at)
        if line is None:
            raise _refused(proxy, "gave a broken answer", answer[at:])
        at, status = blank.end(), int(line[1])
        if status >= 200:  # others are interim
            break
    if status >= 300:
        raise Refused(ErrorClass.CONNECT, refusal(proxy, target.host, status, line[2] or b""))
    if len(answer) > at:
        raise _refused(proxy, "opened a tunnel and spoke into it itself", answer[at:])
    return True


def hung_up(proxy: Proxy) -> Refused:
    """The proxy closed the connection instead of an answer to CONNECT."""
    return _refused(proxy, "closed the connection without an answer to CONNECT; is it an http:// proxy?")


def kept_silent(proxy: Proxy, limit_s: float) -> Refused:
    """The proxy did not answer CONNECT in time."""
    return Refused(ErrorClass.CONNECT_TIMEOUT, f"the proxy {proxy} did not answer CONNECT in {limit_s:g} s")


def is_own(status: int, headers: Mapping[str, str]) -> bool:
    """Is this the proxy's own answer, not that of the server behind it? As far as can be told.

    `headers` has its names in lower case, or does not mind. Squid says so in a header, and so do proxies that know
    RFC 9209.
    """
    return status in _GATEWAY or "x-squid-error" in headers or "error=" in headers.get("proxy-status", "")


def refusal(proxy: Proxy, host: str, status: int, phrase: bytes) -> str:
    """One line on an answer of the proxy's own, and what would help.

    Args:
        proxy: whose answer it is.
        host: the target's, for which the proxy was asked.
        status: of the answer.
        phrase: the rest of its status line.
    """
    said = f"the proxy {proxy} answered {status} {_shown(proxy, phrase)}".rstrip() + f" for {host}"
    if status == 407 and proxy.login:
        return f"{said}: the user or password in {proxy.variable} is not the right one"
    if status == 407:
        return f"{said}: put user and password into {proxy.variable}, http://USER:PASSWORD@{proxy.authority}"
    return f"{said}: is --host right? NO_PROXY={host} goes past the proxy"


def told(proxy: Proxy | None, host: str, head: Head | None, message: str | None) -> str | None:
    """A failed request's message, if `proxy` was to pass that request on: nothing secret, and whose answer it was.

    `head` is the answer's, None if none came.
    """
    if proxy is None or not message:
        return message
    message = proxy.hide(message)
    if head is None or not is_own(head.status, head.headers):
        return message
    return f"{refusal(proxy, host, head.status, b'')} ({message})"


def _refused(proxy: Proxy, what: str, said: bytes = b"") -> Refused:
    shown = _shown(proxy, said)
    quoted = f" (it said {repr(shown) if shown else 'no text'}); is its port right?" if said else ""
    return Refused(ErrorClass.CONNECT, f"the proxy {proxy} {what}{quoted}")


def _shown(proxy: Proxy, data: bytes) -> str:
    """The beginning of what a proxy said, on one line. It may quote our password, so that is looked for before any cut."""
    text = proxy.hide(data.decode("utf-8", "replace"))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_SHOWN]
