"""HTTP/1.x framing: where a response ends, what its body is, and which read brought each byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import received as receiving
from harness.errors import ProtocolError
from harness.received import Body, Received, body


def feed(wire: bytes, cuts: list[int]) -> tuple[Received, int | None]:
    """Feed `wire` cut at `cuts`; times are the number of the read. Returns what came and at which byte it ended."""
    received, at = Received(), 0
    for number, cut in enumerate([*sorted({c for c in cuts if 0 < c < len(wire)}), len(wire)]):
        if received.add(wire[at:cut], number) and received.look():
            return received, cut
        at = cut
    return received, None


def body_of(received: Received) -> Body:
    assert received.framer.head is not None
    return body(received, received.framer.head)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"


@pytest.mark.parametrize("wire", [CHUNKED, COUNTED])
def test_every_single_cut_gives_the_same_body_and_end(wire: bytes) -> None:
    """Cutting a response anywhere changes neither its body nor where it ends."""
    for cut in range(len(wire)):
        received, ended = feed(wire, [cut])
        assert ended == len(wire)
        assert body_of(received).data == b"hello world"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.lists(st.integers(0, 900), max_size=30))
def test_chunks_of_any_bytes_cut_anywhere(pieces: list[bytes], cuts: list[int]) -> None:
    """Bodies full of CRLFs and zeros cannot be mistaken for framing, however the reads fall."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    received, ended = feed(wire, cuts)
    assert ended == len(wire)
    assert body_of(received).data == b"".join(pieces)


@pytest.mark.parametrize("many", [1, 2, 3])
def test_chunks_are_joined_batch_by_batch(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a whole body nor one cut in a chunk shows where a batch of chunks ended."""
    monkeypatch.setattr(receiving, "_MANY", many)
    pieces = [b"a", b"bc", b"def", b"gh", b"i"]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    received, ended = feed(wire, [wire.index(b"def") + 1])
    assert ended == len(wire)
    assert body_of(received).data == b"abcdefghi"
    assert body_of(received).arrivals_ns(range(1, 10)) == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    received, _ = feed(wire[: wire.index(b"gh") + 1], [])
    assert body_of(received).data == b"abcdefg"


@given(st.lists(st.sampled_from([b"0\r\n\r\n", b"\r\n", b"\n\n", b"0", b"\r\n\r\n"]), min_size=1, max_size=8))
def test_bodies_that_look_like_ends_byte_by_byte(pieces: list[bytes]) -> None:
    """A body made of nothing but end marks, one byte a read, ends exactly once and at the right byte."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    received, ended = feed(wire, list(range(len(wire))))
    assert ended == len(wire)
    assert body_of(received).data == b"".join(pieces)


def test_arrival_is_that_of_the_read_that_brought_the_byte() -> None:
    """Each byte of a chunked body is dated by its own read, chunk headers notwithstanding."""
    start = CHUNKED.index(b"hello")
    received, _ = feed(CHUNKED, [start + 1, start + 5, CHUNKED.index(b" world") + 2])
    assert body_of(received).arrivals_ns(range(1, 12)) == [0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3]


def test_continue_responses_are_skipped() -> None:
    """100-continue and 103 come before the response and are not it."""
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + COUNTED
    received, ended = feed(wire, list(range(len(wire))))
    assert ended == len(wire)
    assert received.framer.head is not None
    assert (received.framer.head.status, body_of(received).data) == (200, b"hello world")


def test_body_up_to_the_close() -> None:
    """Without length or chunks a body ends with its connection, and such a connection is not kept."""
    received, ended = feed(b"HTTP/1.0 200 OK\r\n\r\nall there is", [])
    assert ended is None
    assert received.close()
    assert body_of(received).data == b"all there is"
    assert received.framer.head is not None
    assert not received.framer.head.keep_alive


@pytest.mark.parametrize("wire", [CHUNKED[:-1], CHUNKED[:60], COUNTED[:-1], b"HTTP/1.1 200", b""])
def test_a_close_in_the_middle_is_not_an_end(wire: bytes) -> None:
    """A connection that closes early leaves the response incomplete."""
    received, ended = feed(wire, [])
    assert ended is None
    assert not received.close()


def test_the_part_that_came_of_a_cut_body() -> None:
    """What was received of a cut chunk still counts."""
    received, _ = feed(CHUNKED[: CHUNKED.index(b" world") + 3], [])
    assert body_of(received).data == b"hello wo"


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/2 200\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_not_http_is_refused(wire: bytes) -> None:
    """Garbage, contradictions and sizes that lie are protocol errors, not bodies."""
    with pytest.raises(ProtocolError):
        feed(wire, [])


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_garbage_never_raises_anything_else(noise: bytes, cuts: list[int]) -> None:
    """Any bytes at all either frame, wait for more, or are a protocol error."""
    for wire in (noise, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + noise):
        try:
            received, _ = feed(wire, cuts)
            received.close()
        except ProtocolError:
            continue
        if received.framer.head is not None:
            body(received, received.framer.head)


def test_keep_alive_rules() -> None:
    """HTTP/1.1 keeps unless told not to; HTTP/1.0 only if told to."""

    def keeps(head: bytes) -> bool:
        received, _ = feed(head + b"\r\nContent-Length: 0\r\n\r\n", [])
        assert received.framer.head is not None
        return received.framer.head.keep_alive

    assert keeps(b"HTTP/1.1 200 OK")
    assert not keeps(b"HTTP/1.1 200 OK\r\nConnection: close")
    assert not keeps(b"HTTP/1.0 200 OK")
    assert keeps(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive")
