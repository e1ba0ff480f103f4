"""One request and what came back of it: when it is complete, when it has failed, when it has taken too long.

The engine feeds it reads and asks it about deadlines; the greenlet that sent the request waits for `done`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gevent.event import Event

from harness.clock import now_ns
from harness.errors import ErrorClass, ProtocolError
from harness.http1 import Received

MAX_RESPONSE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds. `first_token`: from sent to first content; `idle`: between reads after that."""

    connect_s: float = 10.0
    first_token_s: float = 300.0
    idle_s: float = 60.0
    total_s: float = 900.0


class Exchange:
    """One request and what came back. `has_content` tells whether a first token is among the bytes."""

    __slots__ = (
        "_check_ns",
        "_content_seen",
        "connect_ns",
        "done",
        "end_ns",
        "failure",
        "has_content",
        "payload",
        "received",
        "reconnects",
        "sent_ns",
    )

    def __init__(self, payload: bytes, has_content: Callable[[Received], bool]) -> None:
        self.payload = payload
        self.has_content = has_content
        self.received = Received()
        self.done = Event()
        self.failure: tuple[ErrorClass, str] | None = None
        self.sent_ns: int | None = None
        self.end_ns: int | None = None
        self.connect_ns: int | None = None  # duration of the connection's set-up; None if it was reused
        self.reconnects = 0
        self._check_ns = 0
        self._content_seen = False

    def start(self) -> None:
        """The next byte written is the request's first."""
        self.received = Received()
        self.done = Event()
        self.failure = None
        self._check_ns = 0
        self._content_seen = False
        self.sent_ns = now_ns()

    def finish(self, failure: tuple[ErrorClass, str] | None = None) -> None:
        """The response is complete, or will not be."""
        if not self.done.is_set():
            self.end_ns = now_ns()
            self.failure = failure
            self.done.set()

    def take(self, fresh: bytes, time_ns: int) -> None:
        """Take in one read."""
        try:
            if self.received.add(fresh, time_ns):
                self.finish()
            elif len(self.received.raw) > MAX_RESPONSE_BYTES:
                self.finish((ErrorClass.TOO_LARGE, f"more than {MAX_RESPONSE_BYTES} bytes of response"))
        except ProtocolError as error:
            self.finish((ErrorClass.BAD_HTTP, str(error)))

    def close(self, why: str) -> None:
        """The connection is gone; that may be how this response ends."""
        try:
            complete = self.received.close()
        except ProtocolError as error:
            self.finish((ErrorClass.BAD_HTTP, str(error)))
            return
        self.finish(None if complete else (ErrorClass.RESET, why))

    @property
    def unanswered(self) -> bool:
        """The connection broke before a single byte came back."""
        return self.failure is not None and self.failure[0] is ErrorClass.RESET and not self.received.raw

    def expire(self, now: int, limits: Timeouts) -> None:
        """Finish if a deadline has passed. Cheap until one may have."""
        if now < self._check_ns or self.sent_ns is None:
            return
        total = self.sent_ns + int(limits.total_s * 1e9)
        if now >= total:
            self.finish((ErrorClass.TOTAL_TIMEOUT, f"not complete after {limits.total_s:g} s"))
            return
        first_token = self.sent_ns + int(limits.first_token_s * 1e9)
        idle_ns = int(limits.idle_s * 1e9)
        reads = self.received.read_times
        idle = reads[-1] + idle_ns if reads else now + idle_ns
        # Headers, a role, a ping are no token. Looking costs a parse, so look only when it matters.
        if not self._content_seen and now >= min(first_token, idle):
            self._content_seen = self.has_content(self.received)
        if not self._content_seen and now >= first_token:
            self.finish((ErrorClass.FIRST_TOKEN_TIMEOUT, f"no token after {limits.first_token_s:g} s"))
        elif self._content_seen and now >= idle:
            self.finish((ErrorClass.IDLE_TIMEOUT, f"no byte for {limits.idle_s:g} s in mid-stream"))
        next_idle = idle if idle > now else now + idle_ns
        self._check_ns = min(total, next_idle, total if self._content_seen else first_token)
