"""The points of those who send: `llm_second`, `llm_error`, `llm_request` and `llm_client` of one worker.

The load path only counts (2 us a request) and puts things into a queue; `collect`, called by the sink each second, makes lines
of them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from harness.clock import ANCHOR_NS, now_ns
from harness.exchange import Exchange
from harness.influx import points
from harness.influx.lines import Encoder
from harness.influx.point import SECOND
from harness.influx.schema import MEASUREMENTS
from harness.influx.tally import Counts, Tally
from harness.record import RequestRecord
from harness.seconds import Second

__all__ = ["PartPoints"]


class PartPoints:
    """One worker's points of one run."""

    def __init__(
        self,
        run_id: str,
        worker: str,
        *,
        counts: Callable[[], Counts],
        flying: Callable[[], Iterable[Exchange]],
        ahead_ns: int = 0,
        good: Callable[[RequestRecord], bool | None] | None = None,
    ) -> None:
        """Load begins now.

        Args:
            run_id: the run.
            worker: what it is called in it.
            counts: how it stands.
            flying: the requests whose response is under way.
            ahead_ns: this process's Unix time less the run's.
            good: did a request meet the service levels? None: there are none.
        """
        self._counts = counts
        self._flying = flying
        self._records: deque[RequestRecord] = deque()
        self._seconds: deque[Second] = deque()
        self._tally = Tally(now_ns(), ANCHOR_NS - ahead_ns, good)
        self._unique = points.Unique()
        self._seq = 0
        self._odd: Exception | None = None
        self._second, self._error, self._request, self._client = (
            Encoder(MEASUREMENTS[name], run=run_id, worker=worker)
            for name in ("llm_second", "llm_error", "llm_request", "llm_client")
        )

    def record(self, record: RequestRecord, exchange: Exchange) -> None:
        """A request is over. What was read is looked at now, so that it need not be kept. Never raises."""
        try:
            self._tally.add(record, exchange)
        except Exception as error:  # noqa: BLE001  # whatever is odd about it, the user goes on
            self._odd = error
        self._records.append(record)

    def second(self, second: Second) -> None:
        """A second of this client's life is."""
        self._seconds.append(second)

    def collect(self, _: int) -> Iterator[bytes]:
        """The lines of what has happened since it was last asked.

        Raises:
            Exception: after all of them; what a request was that could not be counted.
        """
        at_ns = now_ns()
        self._tally.note(at_ns - SECOND // 2, self._counts())  # that which has just passed
        yield from self._waiting()
        yield from self._lines(self._tally.close(at_ns, self._flying()))
        odd, self._odd = self._odd, None
        if odd is not None:  # the sink tells of it
            raise odd

    def finish(self) -> Iterator[bytes]:
        """The last lines: nothing is in flight any more."""
        self._tally.note(now_ns(), self._counts())
        yield from self._waiting()
        yield from self._lines(self._tally.finish(now_ns()))

    def _waiting(self) -> Iterator[bytes]:
        while self._records:
            record = self._records.popleft()
            self._seq += 1
            at_ns = self._unique.at(record.end_ns + ANCHOR_NS)
            values = points.request_values(record, self._seq)
            yield self._request.line(at_ns, values, outcome=record.outcome.value)
        while self._seconds:
            at_ns, noticed, _ = points.client_point(self._seconds.popleft())
            yield self._client.line(at_ns, noticed)

    def _lines(self, seconds: Iterable[tuple[int, dict[str, object], dict[str, int]]]) -> Iterator[bytes]:
        for at_ns, values, errors in seconds:
            yield self._second.line(at_ns, values)
            for word, number in errors.items():
                yield self._error.line(at_ns, {"requests": number}, error_class=word)
