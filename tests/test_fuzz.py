"""The whole parser, from bytes to an answer, against bytes that nobody meant to send.

`examine` holds what must be true of any response at all. Here it gets noise, and recorded responses that
were flipped, cut, repeated and spliced; `fuzz_atheris.py` gives it whatever reaches new code.
"""

import pytest
from fuzz_atheris import RECORDED, examine, received
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import http1
from harness import received as received_module
from harness.backends import find
from harness.decode import decode
from harness.errors import ProtocolError
from harness.received import Received

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
# What parsers stumble over.
TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b"\n\r\n",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\x7f",
        b"\\u007f",
    ),
    *(
        b"0\r\n\r\n",
        b"0\n\n",
        b"0\r\n\r\n\r\n",
        b"5\r\n",
        b"ffffffffffffffff\r\n",
        b"8000000000000000\r\n",
        b"-1\r\n",
    ),
    *(b"10000000000000000\r\n", b"0x5\r\n", b"5;x=y\r\n", b"00000005\r\n", b"1" + b"0" * 400),
    *(b"data: ", b"data:", b"data: {", b"data: [DONE]\n\n", b"event: error\n", b"error: {}\n\n", b": \n\n"),
    *(
        b'{"content":"',
        b'"}',
        b"},{",
        b"[1",
        b"]}",
        b'"stop":true',
        b'"finish_reason":"stop"',
        b'{"error":{}}',
    ),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 5, 5\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: gzip, chunked\r\n", b"Content-Encoding: gzip\r\n", b"Connection: close\r\n"),
    *(b"Content-Type: application/json\r\n", b"x-request-id: \x1b[31m\r\n"),
]
CUTS = st.one_of(st.just(range(5000)), st.sets(st.integers(1, 4000), max_size=20))
NOISE = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=5)), max_size=20).map(b"".join),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A recorded response after a few accidents."""
    wire = bytearray(draw(st.sampled_from(RECORDED)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(wire)))
        to = min(len(wire), at + draw(st.sampled_from([0, 1, 2, 10, 100, 1000])))
        match draw(st.integers(0, 4)):
            case 0:
                wire[at : at + 1] = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in wire[at : at + 1])
            case 1:
                del wire[at:to]
            case 2:
                wire[at:at] = wire[at:to]
            case 3:
                wire[at:to] = draw(st.sampled_from(TOKENS))
            case _:
                wire[at:] = draw(st.sampled_from(RECORDED))[at:]
    return bytes(wire)


@settings(max_examples=150, deadline=None)
@given(NOISE, st.sampled_from([b"", HEAD, PLAIN]), CUTS)
def test_noise(noise: bytes, head: bytes, cuts: set[int]) -> None:
    """Any bytes, alone or behind a good head: an answer, the same however they are cut, and nothing raised."""
    examine(head + noise, cuts)


@settings(max_examples=200, deadline=None)
@given(mutated(), CUTS)
def test_accidents(wire: bytes, cuts: set[int]) -> None:
    """Real responses, damaged: an answer, the same however they are cut, and nothing raised."""
    examine(wire, cuts)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(RECORDED), st.binary(min_size=1, max_size=30) | st.sampled_from(TOKENS), CUTS)
def test_what_follows_a_response_changes_nothing(wire: bytes, tail: bytes, cuts: set[int]) -> None:
    """Bytes after the end of a response are not part of it, however close they come."""
    examine(wire + tail, cuts)
    alone, followed = received(wire, ()), received(wire + tail, cuts)
    assert followed.framer.end == alone.framer.end == len(wire)
    backend = find("openai", "chat")
    assert decode(backend, followed).text == decode(backend, alone).text


@pytest.mark.parametrize("wire", RECORDED)
def test_recorded_responses_byte_by_byte(wire: bytes) -> None:
    """The unharmed ones, one byte a read."""
    examine(wire, range(len(wire)))


REGRESSIONS = {
    "an integer over any float, beside broken UTF-8": PLAIN
    + b'data: {"timings":{"prompt_ms":1'
    + b"0" * 400
    + b'},"x":"\xff"}\n\n',
    "more after the last chunk, in the shape of one": HEAD + b"0\r\n\r\n\r\n",
    "a last chunk with the other line end": HEAD + b"3\r\n:\n\n\r\n0\n\r\n",
    "headers that end in mixed line ends": b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
    "a length no file has": HEAD + b"ffffffffffffffff\r\nx",
    "a length over 2^63": HEAD + b"8000000000000001\r\nx",
    "garbage in an element of a list": PLAIN
    + b'data: {"content":"a"}\n\ndata: {"content":"a"},5\n\ndata: {"x":[1\n\ndata: {}]}\n\n',
    "a status of zero": b"HTTP/1.1 000 x\r\n\r\n" * 3,
    "a status with a tail": b"HTTP/1.1 2000 x\r\n\r\n",
    "a second byte order mark": PLAIN + b"\xef\xbb\xbf\xef\xbb\xbfdata: {}\n\n",
    "headers one byte over the limit": b"HTTP/1.1 200 OK\r\nX: "
    + b"x" * (http1.MAX_HEAD_BYTES - 23)
    + b"\r\n\r\n",
    "headers as long as they may be": b"HTTP/1.1 200 OK\r\nX: "
    + b"x" * (http1.MAX_HEAD_BYTES - 24)
    + b"\r\n\r\n",
    "trailers one byte over the limit": HEAD + b"0\r\n" + b"x" * (http1.MAX_HEAD_BYTES - 3) + b"\r\n\r\n",
}


@pytest.mark.parametrize("wire", REGRESSIONS.values(), ids=REGRESSIONS)
def test_what_was_found(wire: bytes) -> None:
    """Inputs that once raised, hung, or meant different things in different pieces."""
    for cuts in (range(0, len(wire), 1 + len(wire) // 200), [len(wire) - 1], [len(wire) - 2], [len(HEAD)]):
        examine(wire, cuts)


@pytest.mark.parametrize(
    ("wire", "accepted"),
    [
        (REGRESSIONS["headers as long as they may be"], True),
        (REGRESSIONS["headers one byte over the limit"], False),
        (b"HTTP/1.1 100 x\r\n\r\n" * http1.MAX_INTERIM + b"HTTP/1.1 204 x\r\n\r\n", True),
        (b"HTTP/1.1 100 x\r\n\r\n" * (http1.MAX_INTERIM + 1) + b"HTTP/1.1 204 x\r\n\r\n", False),
        (HEAD + b"0\r\n" + b"x" * (http1.MAX_HEAD_BYTES - 4) + b"\r\n\r\n", True),
        (REGRESSIONS["trailers one byte over the limit"], False),
        (HEAD + b"0;" + b"x" * 4_092 + b"\r\n\r\n", True),
        (HEAD + b"0;" + b"x" * 4_093 + b"\r\n\r\n", False),
    ],
)
def test_limits_do_not_depend_on_the_reads(wire: bytes, accepted: bool) -> None:
    """What is just small enough and what is not: the same in one read and in hundreds."""
    for step in (len(wire), 1_000, 700 if len(wire) > 100_000 else 61):
        kept = Received()
        try:
            ended = [kept.add(wire[at : at + step], at) and kept.look() for at in range(0, len(wire), step)]
        except ProtocolError:
            assert not accepted
        else:
            assert (ended[-1] or kept.close()) is accepted


def test_a_flood_is_kept_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much comes before anybody looks, no more than the limit is kept of it, each byte with its read."""
    monkeypatch.setattr(received_module, "MAX_RESPONSE_BYTES", 1_000)
    kept = Received()
    assert [kept.add(bytes(64), number) for number in range(100)] == [True] * 100
    assert len(kept.raw) == 1_000
    assert list(kept.read_ends) == [min(64 * (number + 1), 1_000) for number in range(100)]
    kept = Received()
    kept.add(PLAIN, 0)
    kept.look()
    content = b'data: {"content":"x"}\n\n'
    woken = [kept.add(content, number) for number in range(1, 100)]
    assert woken == [len(PLAIN) + len(content) * number >= 1_000 for number in range(1, 100)]
    answer = decode(find("llamacpp", "native"), kept)
    assert answer.times == list(range(1, 1 + (1_000 - len(PLAIN)) // len(content)))


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"01\r\nx\r\n"])
def test_chunks_are_bounded_in_number(chunk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs more memory than its byte, so there is a limit to them too."""
    monkeypatch.setattr(http1, "MAX_CHUNKS", 1_000)
    assert received(HEAD + chunk * 1_000 + b"0\r\n\r\n", ()).framer.end is not None
    assert received(HEAD + chunk * 1_001 + b"0\r\n\r\n", ()).framer.end is None


@pytest.mark.parametrize(
    ("coding", "accepted"),
    [
        (b"chunked", True),
        (b"Chunked", True),
        (b"identity, chunked", True),
        (b"chunked, chunked", True),
        (b"gzip, chunked", False),
        (b"chunked, gzip", False),
        (b"xchunked", False),
    ],
)
def test_transfer_codings(coding: bytes, accepted: bool) -> None:
    """Chunked, also where a proxy says it twice; a compressor would hide arrival times."""
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n1\r\nx\r\n0\r\n\r\n" % coding
    assert (received(wire, ()).framer.end == len(wire)) is accepted
