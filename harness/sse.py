"""Server-sent events out of a body's bytes.

Follows the WHATWG rules (https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an
event stream") with three deviations, each caused by a serving system:

    1. An unfinished last event is given out, not dropped: some servers forget the last blank line, and
       a stream that was really cut is found out by its missing end mark.
    2. A field named `error` counts as data of an event of that name (llama.cpp up to August 2025).
    3. Data stays bytes. JSON is decoded as a whole, so no character can be torn.

Works on a whole body; the offset given with each event says which bytes completed it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\n|\r")


class SseEvent(NamedTuple):
    """One event: its name (`message` if it has none), its data, and the offset just past its end."""

    name: str
    data: bytes
    end: int


def events(stream: bytes) -> Iterator[SseEvent]:
    """All events that carry data, in order. Comments, ids and retry hints are passed over."""
    name, data, at = "message", [], 0
    for line, end in _lines(stream):
        at = end
        if line:
            field, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value.decode("utf-8", "replace") or "message"
            elif field == b"error":
                name = "error"
                data.append(value)
        else:
            if data:
                yield SseEvent(name, data[0] if len(data) == 1 else b"\n".join(data), end)
            name, data = "message", []
    if data:
        yield SseEvent(name, b"\n".join(data), at)


def _lines(stream: bytes) -> Iterator[tuple[bytes, int]]:
    """(line without its end, offset past its end), for LF, CRLF and CR."""
    start = 3 if stream.startswith(b"\xef\xbb\xbf") else 0
    if b"\r" not in stream:  # almost always; bytes.find beats the expression
        while (stop := stream.find(b"\n", start)) >= 0:
            yield stream[start:stop], stop + 1
            start = stop + 1
    else:
        for match in _LINE_END.finditer(stream, start):
            yield stream[start : match.start()], match.end()
            start = match.end()
    if start < len(stream):
        yield stream[start:], len(stream)
