"""When to end a run early: what can only make more failures is not worth sending.

    nothing has succeeded yet, and   a key is refused, a model or host is not there        at once
                                     a body is refused, or the answer is no HTTP           after `ENOUGH`
    nobody has been there            for `GONE_NS`, although requests had succeeded        then

No clock here: records carry their own times.
"""

from dataclasses import dataclass
from typing import Final

from harness.errors import ErrorClass
from harness.record import Outcome, RequestRecord

ENOUGH: Final = 10
GONE_NS: Final = 30_000_000_000
_AT_ONCE: Final = (ErrorClass.AUTH, ErrorClass.NOT_FOUND, ErrorClass.DNS, ErrorClass.CONNECT, ErrorClass.TLS)
_AFTER_A_FEW: Final = (ErrorClass.HTTP_CLIENT, ErrorClass.HTTP_OTHER, ErrorClass.BAD_HTTP)
_NOBODY_THERE: Final = (ErrorClass.CONNECT, ErrorClass.CONNECT_TIMEOUT, ErrorClass.DNS)


@dataclass(slots=True)
class Hope:
    """Looks at every finished request in turn. `lost` says why to stop, once there is a reason."""

    lost: str | None = None
    nothing_worked: bool = False  # the reason is one that the first request had already
    _succeeded: bool = False
    _failed: int = 0
    _gone_since_ns: int | None = None

    def see(self, record: RequestRecord) -> bool:
        """Take in one record. True the one time that hope is lost by it."""
        if record.outcome is Outcome.OK:
            self._succeeded, self._gone_since_ns = True, None
        if record.error_class is None or self.lost is not None:
            return False
        self._failed += 1
        why = f"{record.error_class}: {record.error_message}"
        few = record.error_class in _AFTER_A_FEW and self._failed >= ENOUGH
        if not self._succeeded and (few or record.error_class in _AT_ONCE):
            self.lost, self.nothing_worked = f"no request could succeed: {why}", True
        elif record.error_class not in _NOBODY_THERE:
            self._gone_since_ns = None
        elif self._gone_since_ns is None:
            self._gone_since_ns = record.end_ns
        elif record.end_ns - self._gone_since_ns > GONE_NS:
            self.lost = f"the server has been gone for {GONE_NS / 1e9:.0f} s: {why}"
        return self.lost is not None
