"""Server-sent events: the specification's examples, and what serving systems do beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import sse


def told(stream: bytes) -> list[tuple[str, bytes]]:
    return [(event.name, event.data) for event in sse.events(stream)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_examples_of_the_specification(newline: bytes) -> None:
    """WHATWG 9.2.6, examples 2 to 5, with every line end."""
    stock = b"data: YHOO\ndata: +2\ndata: 10\n\n"
    assert told(stock.replace(b"\n", newline)) == [("message", b"YHOO\n+2\n10")]
    blocks = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert told(blocks.replace(b"\n", newline)) == [
        ("message", b"first event"),
        ("message", b"second event"),
        ("message", b" third event"),
    ]
    assert told(b"data\n\ndata\ndata\n\n".replace(b"\n", newline)) == [("message", b""), ("message", b"\n")]
    assert told(b"event: add\ndata: 73857293\n\n".replace(b"\n", newline)) == [("add", b"73857293")]


def test_offsets_are_those_of_the_blank_line() -> None:
    """An event is complete with the blank line after it, not before."""
    stream = b": ping\n\ndata: a\n\ndata: b\r\n\r\n"
    assert [event.end for event in sse.events(stream)] == [17, len(stream)]


def test_what_servers_do_beside_it() -> None:
    """A field named error, a missing last blank line, a byte order mark."""
    assert told(b'error: {"code":500}\n\n') == [("error", b'{"code":500}')]
    assert told(b"data: [DONE]") == [("message", b"[DONE]")]
    assert told(b"data: [DONE]\n") == [("message", b"[DONE]")]
    assert told(b"\xef\xbb\xbfdata: x\n\n") == [("message", b"x")]


def test_unicode_line_separators_do_not_split() -> None:
    """Only LF, CRLF and CR end a line; U+2028 and U+0085 are text."""
    assert told("data: a\u2028b\u0085c\n\n".encode()) == [("message", "a\u2028b\u0085c".encode())]


@given(
    st.lists(
        st.binary(min_size=1, max_size=30).filter(lambda d: not set(d) & {10, 13}), min_size=1, max_size=10
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.booleans(),
)
def test_any_data_comes_back(datas: list[bytes], newline: bytes, spaced: bool) -> None:
    """Data without line ends survives, with or without the space after the colon."""
    if not spaced:
        datas = [data for data in datas if not data.startswith(b" ")] or [b"x"]
    prefix = b"data: " if spaced else b"data:"
    stream = b"".join(prefix + data + newline * 2 for data in datas)
    assert [data for _, data in told(stream)] == datas
