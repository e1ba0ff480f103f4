"""The log of stamps that the truth server and every client write: who asked when, and when each event came.

The form is described in stamps.h. The rule: it is kept in memory and written when load is over. Standard library
only, since clients in other virtual environments write it too; on Linux `time.perf_counter_ns` is the C programs'
CLOCK_MONOTONIC, so stamps of both sides compare as they are.
"""

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["Stamps", "Times", "read", "write"]

MAGIC: Final = b"TSSTAMP1"
Times: TypeAlias = "array[int]"  # subscriptable as of Python 3.12
_HEAD: Final = struct.Struct("<IIqqBB6x")


@dataclass(slots=True)
class Stamps:
    """One request. All stamps in ns of CLOCK_MONOTONIC.

    `start_ns`: the request had been read (server), was about to be written (client). `late_ns`: the worst a send
    was behind its plan (server); from the last event's stamp until the client had the whole answer parsed (client).
    """

    id: str
    asked: int  # events
    start_ns: int
    times: Times  # one an event, ascending; just before its send() (server), its arrival (client)
    late_ns: int = 0
    complete: bool = True


def write(path: Path, requests: Iterable[Stamps]) -> None:
    """Write a log."""
    with path.open("wb") as file:
        file.write(MAGIC)
        for request in requests:
            name = request.id.encode()
            got = len(request.times)
            head = (request.asked, got, request.start_ns, request.late_ns, request.complete, len(name))
            file.write(_HEAD.pack(*head) + name + bytes(-len(name) % 8))
            file.write(request.times.tobytes())


def read(path: Path) -> dict[str, Stamps]:
    """A log by request id.

    Raises:
        ValueError: not a log, or one that breaks off, or an id twice.
    """
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{path} is no log of stamps")
    found: dict[str, Stamps] = {}
    at = len(MAGIC)
    while at < len(data):
        if at + _HEAD.size > len(data):
            raise ValueError(f"{path} breaks off")
        asked, got, start_ns, late_ns, complete, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        name = data[at : at + length].decode()
        at += length + -length % 8
        if at + 8 * got > len(data):
            raise ValueError(f"{path} breaks off in request {name}")
        times = array("q", data[at : at + 8 * got])
        at += 8 * got
        if name in found:
            raise ValueError(f"{path} has request {name} twice")
        found[name] = Stamps(name, asked, start_ns, times, late_ns, bool(complete))
    return found
