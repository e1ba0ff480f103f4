"""One request and what came back of it: when it is complete, when it has failed, when it has taken too long.

The engine feeds it reads and asks it about deadlines; the greenlet that sent the request waits in `settle`
and there, away from the arrival path, looks whether what came is a whole response.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gevent.event import Event

from harness.clock import now_ns
from harness.errors import ErrorClass, ProtocolError
from harness.received import MAX_RESPONSE_BYTES, Received

# A read says at once whether it may have ended the response, but not where a server says more than it should
# after the end, or ends lines in an odd way: after so long a pause it is looked anyway.
QUIET_NS = 500_000_000
LONG_BYTES = (
    65_536  # so much of a response is still looked through in a moment, and holds a token or else few
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds. `first_token`: from sent to first content; `idle`: between reads after that."""

    connect_s: float = 10.0
    first_token_s: float = 300.0
    idle_s: float = 60.0
    total_s: float = 900.0


@dataclass(slots=True)
class SetUp:
    """How long opening a connection took, in ns; None for what was not done.

    Through a proxy, `dns_ns` and `connect_ns` are those to the proxy, the CONNECT of a tunnel included in the latter.
    """

    dns_ns: int | None = None
    connect_ns: int | None = None
    tls_ns: int | None = None


class Exchange:
    """One request and what came back. `has_content` tells whether a first token is among the bytes."""

    __slots__ = (
        "_check_ns",
        "_closed",
        "_content_seen",
        "_long",
        "_looked",
        "_stirred",
        "end_ns",
        "failure",
        "has_content",
        "payload",
        "received",
        "reconnects",
        "sent_ns",
        "set_up",
    )

    def __init__(self, payload: bytes, has_content: Callable[[Received], bool]) -> None:
        self.payload = payload
        self.has_content = has_content
        self.received = Received()
        self.failure: tuple[ErrorClass, str] | None = None
        self.sent_ns: int | None = None
        self.end_ns: int | None = None  # set when the response is complete, or will not be
        self.set_up = SetUp()  # nothing in it: a kept-alive connection served it
        self.reconnects = 0
        self._stirred = Event()
        self._check_ns = 0
        self._closed: str | None = None
        self._content_seen = False
        self._looked = 0  # how much had come when it was last looked at for a pause
        self._long = LONG_BYTES  # how much must have come to look for a token before there is need

    def start(self) -> None:
        """The next byte written is the request's first."""
        self.received = Received()
        self.failure = None
        self.end_ns = None
        self._stirred.clear()
        self._check_ns = 0
        self._closed = None
        self._content_seen = False
        self._looked = 0
        self._long = LONG_BYTES
        self.sent_ns = now_ns()

    def stir(self) -> None:
        """What has come may be all of it: wake whoever waits in `settle`."""
        self._stirred.set()

    @property
    def is_stirred(self) -> bool:
        """Woken and not come to it yet."""
        return bool(self._stirred.is_set())

    def settle(self, breathe: Callable[[], None]) -> None:
        """Wait until the response is complete or has failed. `breathe` is called on the way through a long one."""
        while self.end_ns is None:
            self._stirred.wait()
            self._stirred.clear()
            if self.end_ns is None:
                self._look(breathe)

    def finish(self, failure: tuple[ErrorClass, str] | None = None) -> None:
        """The response is complete, or will not be."""
        if self.end_ns is None:
            complete = failure is None and self.received.read_times
            self.end_ns = self.received.read_times[-1] if complete else now_ns()
            self.failure = failure
            self._stirred.set()

    def close(self, why: str) -> None:
        """The connection is gone; that may be how this response ends."""
        if self._closed is None:
            self._closed = why
            self.stir()

    def _look(self, breathe: Callable[[], None]) -> None:
        try:
            if self.received.look(breathe) or (self._closed is not None and self.received.close()):
                self.finish()
            elif self._closed is not None:
                self.finish((ErrorClass.RESET, self._closed))
            elif len(self.received.raw) >= MAX_RESPONSE_BYTES:
                self.finish((ErrorClass.TOO_LARGE, f"more than {MAX_RESPONSE_BYTES} bytes of response"))
        except ProtocolError as error:
            self.finish((ErrorClass.BAD_HTTP, str(error)))

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
        # Headers, a role, a ping are no token. Looking costs a parse, so look only when it matters; of a long
        # response before that, for then it may matter for many at once.
        size = len(self.received.raw)
        if not self._content_seen and (now >= min(first_token, idle) or size >= self._long):
            self._content_seen = self.has_content(self.received)
            self._long = 2 * size
        if not self._content_seen and now >= first_token:
            self.finish((ErrorClass.FIRST_TOKEN_TIMEOUT, f"no token after {limits.first_token_s:g} s"))
        elif self._content_seen and now >= idle:
            self.finish((ErrorClass.IDLE_TIMEOUT, f"no byte for {limits.idle_s:g} s in mid-stream"))
        next_idle = idle if idle > now else now + idle_ns
        self._check_ns = min(total, next_idle, self._pause(now), total if self._content_seen else first_token)

    def _pause(self, now: int) -> int:
        """When the next pause will be long enough to look. Stirs if this one is."""
        size = len(self.received.raw)
        if size == self._looked:
            return now + QUIET_NS
        due = self.received.read_times[-1] + QUIET_NS
        if now < due:
            return due
        self._looked = size
        self.stir()
        return now + QUIET_NS
