"""Replies that need no engine, as bytes, and the id that every reply carries."""

import uuid
from collections.abc import Mapping

from harness.simulator.dialect import Call, Plain
from harness.simulator.exchange import reply_headers
from harness.simulator.wire import LAST_CHUNK, chunk, head

_ID_CHARACTERS = 128


def plain_reply(answer: Plain, call: Call) -> bytes:
    """The whole reply; without its body if only the head was asked for."""
    if answer.streamed and call.request.minor == 1:
        fields = [("Content-Type", answer.content_type), ("Transfer-Encoding", "chunked")]
        body = chunk(answer.body) + LAST_CHUNK
    else:
        fields = content(answer)
        body = b"" if call.request.method == "HEAD" else answer.body
    return head(answer.status, [*fields, *answer.headers, *reply_headers(call)]) + body


def content(answer: Plain) -> list[tuple[str, str]]:
    """The headers that tell of the body."""
    kind = [("Content-Type", answer.content_type)] if answer.body else []
    return [*kind, ("Content-Length", str(len(answer.body)))]


def request_id(headers: Mapping[str, str]) -> str:
    """The client's own, if it can stand in a header and in a log."""
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= _ID_CHARACTERS and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex
