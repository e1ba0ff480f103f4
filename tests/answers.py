"""Raw HTTP answers as a server would send them, read as a run reads them; and JSON of any shape."""

import json
from typing import Any

from hypothesis import strategies as st

from harness.answer import Answer
from harness.backends.base import Ask, Backend, Delta
from harness.decode import decode
from harness.errors import MalformedChunk
from harness.received import Received

# What JSON can hold, in the shapes servers might give it.
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def sent(backend: Backend, ask: Ask) -> tuple[str, Any]:
    """(path, body) of a request."""
    request = backend.request(ask)
    assert request.method == "POST"
    return request.path, json.loads(request.body)


def answered(
    backend: Backend,
    body: bytes,
    *,
    status: str = "200 OK",
    content_type: str = "application/json",
    close: bool = False,
) -> Answer:
    """What an answer of one length, or (`close`) one that the end of its connection ends, is read as."""
    length = "Connection: close" if close else f"Content-Length: {len(body)}"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{length}\r\n\r\n"
    return read_wire(backend, [head.encode() + body])


def streamed(
    backend: Backend, *parts: bytes, content_type: str = "text/event-stream", cut: bool = False
) -> Answer:
    """What a chunked answer, one chunk and one read a part, is read as; the n-th part comes at n ms."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    reads = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part]
    return read_wire(backend, [head.encode(), *reads, b"" if cut else b"0\r\n\r\n"])


def read_wire(backend: Backend, reads: list[bytes]) -> Answer:
    """What the reads of one connection are read as; the first comes at 0, the others a millisecond apart."""
    received = Received()
    for number, data in enumerate(reads):
        if data and received.add(data, number * 1_000_000):
            received.look()
    received.close()
    return decode(backend, received)


def survives(backend: Backend, data: bytes) -> Delta | None:
    """Reading it gives a delta, or says that it is malformed (None); nothing else may happen."""
    try:
        delta = backend.read(data)
    except MalformedChunk:
        return None
    for name in ("answer", "reasoning", "full_text"):
        assert isinstance(getattr(delta, name), str)
    for name in ("prompt_tokens", "output_tokens", "cached_tokens", "batch_size"):
        value = getattr(delta, name)
        assert value is None or (isinstance(value, int) and value >= 0)
    for name in ("queue_ms", "prefill_ms", "decode_ms", "server_ttft_ms", "server_e2e_ms"):
        value = getattr(delta, name)
        assert value is None or 0 <= value < float("inf")
    assert delta.error is None or delta.error.isprintable()
    return delta
