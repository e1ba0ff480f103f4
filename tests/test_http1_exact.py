"""HTTP/1.x framing at its limits: the last byte that is taken and the first that is not, and offsets counted by hand."""

from typing import Any

import pytest

from harness import http1
from harness.errors import ProtocolError
from harness.http1 import Framer, Head, no_breath

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
AT = len(HEAD)


def framed(wire: bytes) -> Framer:
    """A framer that has seen all of it at once."""
    framer = Framer()
    framer.ended(bytearray(wire), no_breath)
    return framer


def head_of(wire: bytes) -> Head:
    """The head of a response that has one."""
    head = framed(wire).head
    assert head is not None
    return head


def refused(wire: bytes) -> str:
    """Why it is no response."""
    with pytest.raises(ProtocolError) as caught:
        framed(wire)
    return str(caught.value)


def test_the_limits_are_what_the_comments_say() -> None:
    """64 KiB of head, 10,000 responses before the real one, four million chunks."""
    assert (http1.MAX_HEAD_BYTES, http1.MAX_INTERIM, http1.MAX_CHUNKS) == (64 * 1024, 10_000, 4_000_000)


def test_a_head_may_have_so_many_bytes_and_no_more() -> None:
    """The blank line counts; a head that is not over is refused as soon as it cannot end in time."""
    start = b"HTTP/1.1 200 OK\r\nX: "
    exact = start + b"x" * (http1.MAX_HEAD_BYTES - len(start) - 4) + b"\r\n\r\n"
    assert head_of(exact).body_start == http1.MAX_HEAD_BYTES == len(exact)
    assert "no end of headers in 65536 bytes" in refused(start + b"x" + exact[len(start) :])
    assert framed(exact[:-1]).head is None  # one byte more may still end it
    assert "no end of headers" in refused(exact[:-4] + b"xxxx")
    assert head_of(b"HTTP/1.1 100 Continue\r\n\r\n" + exact).status == 200  # each head by itself


def test_trailers_may_have_as_many() -> None:
    """Counted from after the last chunk's header."""
    start = HEAD + b"0\r\n"
    trailer = b"T: " + b"x" * (http1.MAX_HEAD_BYTES - 7) + b"\r\n\r\n"
    assert framed(start + trailer).end == len(start + trailer)
    assert "no end of trailers" in refused(start + b"T" + trailer)


def test_interim_responses_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are skipped, each with a breath; a third is one too many."""
    monkeypatch.setattr(http1, "MAX_INTERIM", 2)
    interim, breaths = b"HTTP/1.1 199 Wait\r\n\r\n", []
    framer = Framer()
    wire = bytearray(interim * 2 + b"HTTP/1.1 204 Nothing\r\n\r\n")
    assert framer.ended(wire, lambda: breaths.append(1))
    assert (framer.end, len(breaths)) == (len(wire), 2)
    assert framer.ended(wire, no_breath)  # and stays so
    assert refused(interim * 3) == "more than 2 responses of status 1xx"


def test_chunks_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three are taken whichever way they are written; a fourth is one too many."""
    monkeypatch.setattr(http1, "MAX_CHUNKS", 3)
    for chunk in (b"1\r\na\r\n", b"1;x\r\na\r\n", b"1\na\n"):
        assert framed(HEAD + chunk * 3 + b"0\r\n\r\n").end
        assert refused(HEAD + chunk * 4 + b"0\r\n\r\n") == "more than 3 chunks"


def test_where_chunks_lie_and_how_often_there_is_a_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six bytes each, the data at the fourth: two in a stride, the third in full, two in a stride, the last chunk."""
    monkeypatch.setattr(http1, "BREATH_CHUNKS", 2)
    framer, breaths = Framer(), []
    wire = bytearray(HEAD + b"1\r\na\r\n" * 5 + b"0\r\n\r\n")
    assert framer.ended(wire, lambda: breaths.append(1))
    assert [*framer.chunks] == [AT + 6 * n + of for n in range(5) for of in (3, 4)]
    assert (framer.end, len(breaths)) == (len(wire), 2)
    assert framer.unfinished_chunk(wire) is None


def test_a_line_end_elsewhere_is_no_chunks_end() -> None:
    """48 bytes, and a line end after 51; a blank line in the data, which ends no trailers; one before all, no head."""
    framer = framed(HEAD + b"30\r\n" + b"a" * 48 + b"\r\n1\r\nb\r\n0\r\n\r\n")
    assert [at - AT for at in framer.chunks] == [4, 52, 57, 58]
    wire = HEAD + b"4;x\r\n\n\n\n\n\r\n0\r\nT: 1\r\n\r\n"
    assert framed(wire).end == len(wire)
    assert "not an HTTP/1.x status line" in refused(b"\n\n")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", None),
        (b"5", None),
        (b"5\r\n", None),  # nothing of it is here
        (b"5\r\nh", (3, 4)),
        (b"5\r\nhello", (3, 8)),
        (b"5\r\nhello\r", (3, 8)),
        (b"5\r\nhello\r\n", None),
        (b"5\r\nhello\r\nA\r\nw", (13, 14)),
        (b"0\r\n", None),
        (b"0\r\nT", None),
        (b"x\r\nhello", None),  # no chunk at all
    ],
)
def test_what_came_of_the_chunk_that_is_not_all_there(body: bytes, expected: tuple[int, int] | None) -> None:
    """Offsets from the body's first byte."""
    raw, framer = bytearray(HEAD + body), Framer()
    try:
        framer.ended(raw, no_breath)
    except ProtocolError:
        assert body[:1] == b"x"
    found = framer.unfinished_chunk(raw)
    assert (found and (found[0] - AT, found[1] - AT)) == expected


def test_a_chunks_header_may_have_so_many_bytes() -> None:
    """4096 with its line end; 4095 without may still end."""
    longest = b"1;" + b"x" * 4093 + b"\n"
    assert len(longest) == 4096
    framer = framed(HEAD + longest + b"a\n0\n\n")
    assert [*framer.chunks] == [AT + 4096, AT + 4097]
    assert framer.end == AT + 4096 + 5
    assert framed(HEAD + longest[:-1]).end is None
    assert refused(HEAD + b"1;" + b"x" * 4094) == "no end of chunk header in 4096 bytes"
    assert refused(HEAD + b"1;" + b"x" * 4094 + b"\n") == "no end of chunk header in 4096 bytes"


@pytest.mark.parametrize(
    ("size", "data"),
    [
        (b"5", 5),
        (b"05", 5),
        (b"1F", 31),
        (b"1f", 31),
        (b" 5 ", 5),
        (b"5 ;a=b", 5),
        (b"1F;a=b", 31),
        (b"0000000000000005", 5),
    ],
)
def test_sizes_are_hexadecimal(size: bytes, data: int) -> None:
    """Of up to sixteen digits, blanks around them and an extension after them."""
    framer = framed(HEAD + size + b"\r\n" + b"a" * data + b"\r\n0\r\n\r\n")
    assert framer.chunks[1] - framer.chunks[0] == data
    assert framer.chunks[0] == AT + len(size) + 2


@pytest.mark.parametrize("size", [b"", b";x", b"00000000000000005", b"+5", b"5_0", b"0x5", b"5g", b"-0"])
def test_what_is_no_size(size: bytes) -> None:
    """Nor what Python's int() would read."""
    assert "not a chunk size" in refused(HEAD + size + b"\r\nhello\r\n")


@pytest.mark.parametrize("end", [b"x", b"\rx", b"\r\r", b"xx"])
def test_a_chunk_ends_where_its_size_says(end: bytes) -> None:
    """A carriage return alone may be half of the line end, and is waited for."""
    assert refused(HEAD + b"1\r\na" + end) == "chunk is longer than its size says"
    for half in (b"", b"\r"):
        assert framed(HEAD + b"1\r\na" + half).end is None


def test_a_close_ends_only_what_has_no_other_end() -> None:
    """Neither chunks nor a length that has not come, nor a head that has not."""
    for wire, end in {
        b"HTTP/1.1 200 OK\r\n\r\nabc": 22,
        b"HTTP/1.1 200 OK\r\n\r\n": 19,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc": None,
        HEAD + b"1\r\na\r\n": None,
        b"HTTP/1.1 200 OK\r\n": None,
    }.items():
        framer = Framer()
        assert framer.close(bytearray(wire)) == (end is not None)
        assert framer.end == end
    longer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"
    assert framed(longer).end == len(longer) - 1


def test_a_head_by_hand() -> None:
    """Names in lower case, repeated fields joined, blanks around values gone; LF alone ends a line, too."""
    wire = b"HTTP/1.1 404 Not Found\nX-A:  1 \nx-a: 2\nEmpty:\n\nbody"
    assert head_of(wire) == Head(
        404, {"x-a": "1, 2", "empty": ""}, len(wire) - 4, chunked=False, length=None, keep_alive=True
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"", {"length": None}),
        (b"Content-Length: 7", {"length": 7}),
        (b"Content-Length: 0", {"length": 0}),
        (b"Content-Length: 7, 7", {"length": 7}),
        (b"Content-Length: 000000000000007", {"length": 7}),  # 15 digits
        (b"Transfer-Encoding: chunked\r\nContent-Length: 7", {"chunked": True, "length": None}),
        (b"Transfer-Encoding: identity, Chunked", {"chunked": True}),
        (b"Transfer-Encoding: identity", {"chunked": False}),
        (b"Content-Encoding: Identity", {"chunked": False}),
        (b"Connection: Close", {"keep_alive": False}),
        (b"Connection: keep-alive, close", {"keep_alive": False}),
    ],
)
def test_what_a_head_says_of_its_body(fields: bytes, expected: dict[str, Any]) -> None:
    """And of its connection."""
    head = head_of(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" * bool(fields) + b"\r\n")
    assert {name: getattr(head, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("status", "length"), [("200", 9), ("203", 9), ("204", 0), ("205", 9), ("304", 0), ("305", 9), ("500", 9)]
)
def test_a_status_that_has_no_body(status: str, length: int) -> None:
    """204 and 304 have none, whatever length they name (RFC 9112, 6.3)."""
    assert head_of(f"HTTP/1.1 {status} X\r\nContent-Length: 9\r\n\r\n".encode()).length == length


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"HTTP/1.1 099 X", "not an HTTP/1.x status line"),
        (b"HTTP/1.1 2000 X", "not an HTTP/1.x status line"),
        (b"HTTP/1.1", "not an HTTP/1.x status line"),
        (b"HTTP/2.0 200 OK", "not an HTTP/1.x status line"),
        (b"HTTP/1.1 200 OK\r\n: x", "not a header line"),
        (b"HTTP/1.1 200 OK\r\nA : x", "not a header line"),
        (b"HTTP/1.1 200 OK\r\n folded: x", "not a header line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ", "not a content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2", "not a content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +1", "not a content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0000000000000007", "not a content-length"),  # 16 digits
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2, 2", "not a content-length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", "unasked-for transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br", "unasked-for content-encoding 'br'"),
    ],
)
def test_heads_that_are_refused(head: bytes, problem: str) -> None:
    """With what is wrong."""
    assert problem in refused(head + b"\r\n\r\n")
