"""Server-sent events out of a body's bytes.

Follows the WHATWG rules (https://html.spec.whatwg.org/multipage/server-sent-events.html, "Interpreting an
event stream") with three deviations, each caused by a serving system:

    1. An unfinished last event is given out, not dropped: some servers forget the last blank line, and
       a stream that was really cut is found out by its missing end mark.
    2. A field named `error` counts as data of an event of that name (llama.cpp up to August 2025).
    3. Data stays bytes. JSON is decoded as a whole, so no character can be torn.

Works on a whole body; the offset given with each event says which bytes completed it. `windows` and `as_list`
are a quick way to the same events, for the streams that nearly all servers send: one `data:` line an event.

A body may be one endless line or nothing but line ends: no more of it than a window is cut up at a time, no
event grows beyond the limit it is read with, and `breathe` is called on the way through what has no events.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from harness.http1 import no_breath

WINDOW_BYTES = 128 * 1024
BREATH_LINES = 128
_DATA = (b"data", b"error")
USUAL = (b"data: {", b"data:{")  # how nearly all events begin: all of a stream in the one way or the other
_NO_LIMIT = 1 << 62
_LINE_END = re.compile(rb"\r\n|\n|\r")
# Stands between the events of a list: a string that no server says, and text that could spell it with an
# escape is not read as a list.
_APART = "\x7f"
_JOINT = b',"\x7f",{'
_ESCAPED = b"\\u007"


class SseEvent(NamedTuple):
    """One event: its name (`message` if it has none), its data, and the offset just past its end."""

    name: str
    data: bytes
    end: int


class Window(NamedTuple):
    """A range of a stream, cut at its empty lines: where it begins, what lies between the cuts, the cut.

    An event never reaches over a cut: `events` of each block's range together give those of the stream.
    """

    start: int
    blocks: list[bytes]
    cut: bytes


def windows(stream: bytes) -> Iterator[Window]:
    """The whole stream; each window holds about `WINDOW_BYTES`, or one block that is longer."""
    cut = b"\r\n\r\n" if b"\r" in stream and b"\r\n\r\n" in stream else b"\n\n"
    start = 0
    while start < len(stream):
        found = stream.find(cut, start + WINDOW_BYTES)
        stop = len(stream) if found < 0 else found + len(cut)
        blocks = stream[start:stop].split(cut)
        if not blocks[-1]:
            blocks.pop()  # nothing follows the last cut
        yield Window(start, blocks, cut)
        start = stop


def as_list(blocks: list[bytes], cut: bytes) -> bytes | None:
    """The data of blocks that are one line `data: {...}` each, as one JSON list; None where they are not.

    JSON holds no bare line ends. What is no such block leaves one, or something else that is not JSON. In
    the list `apart` tells whether each block was one object.
    """
    text = cut.join(blocks)
    head = next((usual for usual in USUAL if text.startswith(usual)), None)
    if head is None or b"\x7f" in text or (b"\\" in text and _ESCAPED in text):
        return None
    text = text.replace(cut + head, _JOINT)
    return None if b"\n" in text or b"\r" in text else b"[" + text[len(head) - 1 :] + b"]"


def apart(listed: list[Any], blocks: int) -> list[Any] | None:
    """The objects of so many blocks out of what `as_list` made; None if one block was not exactly one object.

    Two objects in one block could make up for one that is spread over two.
    """
    return listed[::2] if listed[1::2] == [_APART] * (blocks - 1) else None


def events(
    stream: bytes,
    start: int = 0,
    stop: int | None = None,
    *,
    limit: int = _NO_LIMIT,
    breathe: Callable[[], None] = no_breath,
) -> Iterator[SseEvent]:
    """All events that carry data, in order. Comments, ids and retry hints are passed over.

    Args:
        stream: a whole body.
        start: where to begin: the stream's beginning, or between two events.
        stop: where to end: between two events, or the stream's end.
        limit: an event whose data is longer than so many bytes ends there, and nothing comes after it.
        breathe: called every `BREATH_LINES` lines.
    """
    name, size, at = "message", 0, start
    data: list[bytes] = []
    for number, (line, end) in enumerate(_lines(stream, start, len(stream) if stop is None else stop), 1):
        at = end
        if number % BREATH_LINES == 0:
            breathe()
        if line:
            field, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if field in _DATA:
                name = "error" if field == b"error" else name
                data.append(value)
                size += len(value) + 1
                if size > limit + 1:
                    break
            elif field == b"event":
                name = value.decode("utf-8", "replace") or "message"
        else:
            if data:
                yield SseEvent(name, data[0] if len(data) == 1 else b"\n".join(data), end)
            name, size = "message", 0
            data = []
    if data:
        yield SseEvent(name, b"\n".join(data), at)


def _lines(stream: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int]]:
    """(line without its end, offset past its end), for LF, CRLF and CR."""
    if start == 0 and stream.startswith(b"\xef\xbb\xbf"):
        start = 3
    if stream.find(b"\r", start, stop) < 0:  # almost always; bytes.find beats the expression
        while (end := stream.find(b"\n", start, stop)) >= 0:
            yield stream[start:end], end + 1
            start = end + 1
    else:
        for match in _LINE_END.finditer(stream, start, stop):
            yield stream[start : match.start()], match.end()
            start = match.end()
    if start < stop:
        yield stream[start:stop], stop
