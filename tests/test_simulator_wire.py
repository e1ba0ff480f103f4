"""The simulator's HTTP/1.1, without a socket."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulator.wire import LAST_CHUNK, MAX_HEAD_BYTES, BadHttp, Request, RequestParser, chunk, head

POST = (
    b"POST /a?x=1&y= HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nContent-Length: 5\r\nx-two:  2 \r\n\r\nh\xc3\xa3\r\n"
)
GET = b"GET /b HTTP/1.0\r\n\r\n"


def _all(parser: RequestParser, data: bytes) -> list[Request]:
    parser.feed(data)
    found = []
    while (request := parser.take()) is not None:
        found.append(request)
    return found


@given(cuts=st.lists(st.integers(0, len(POST + GET + POST)), max_size=6))
def test_requests_survive_any_cut(cuts: list[int]):
    """However the bytes come, the same requests come out."""
    data, parser, found = POST + GET + POST, RequestParser(), []
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        found += _all(parser, data[start:end])
    first = Request(
        method="POST",
        path="/a",
        query={"x": "1", "y": ""},
        headers={"host": "h", "x-two": "1, 2", "content-length": "5"},
        minor=1,
        body="hã\r\n".encode(),
    )
    second = Request(method="GET", path="/b", query={}, headers={}, minor=0)
    assert found == [first, second, first]


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1", b"", True),
        (b"1", b"Connection: Close\r\n", False),
        (b"0", b"", False),
        (b"0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_keep_alive(version: bytes, connection: bytes, kept: bool):
    """HTTP/1.1 keeps the connection unless told to close; HTTP/1.0 the other way round."""
    (request,) = _all(RequestParser(), b"GET / HTTP/1.%b\r\nHost: h\r\n%b\r\n" % (version, connection))
    assert request.keep_alive is kept


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES, 431),
    ],
)
def test_bad_requests(data: bytes, status: int):
    """What is not a request we serve raises, with the status to answer."""
    parser = RequestParser()
    parser.feed(data)
    with pytest.raises(BadHttp) as caught:
        parser.take()
    assert caught.value.status == status


def test_expect_continue():
    """A client that holds its body back is seen as soon as its head is there."""
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.take() is None
    assert parser.awaits_continue
    (request,) = _all(parser, b"ok")
    assert request.body == b"ok"
    assert not parser.awaits_continue


def test_response_bytes():
    """Heads and chunks as RFC 9112 writes them."""
    assert head(404, [("A", "b")]) == b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n"
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert LAST_CHUNK == b"0\r\n\r\n"
