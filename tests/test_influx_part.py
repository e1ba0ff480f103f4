"""The points of those who send: a request that cannot be counted is no reason to stop."""

import pytest
from test_influx_tally import record

from harness.exchange import Exchange
from harness.influx.part import PartPoints
from harness.influx.tally import Counts
from harness.record import RequestRecord


def test_a_request_that_cannot_be_counted_stops_nobody() -> None:
    """Its user hears nothing of it, its own point is there, and it is told of when lines are collected; once."""

    def good(one: RequestRecord) -> bool:
        return 1 / (one.output_tokens or 0) < 1

    part = PartPoints("r", "w", counts=lambda: Counts(1, 0, 0, 1), flying=list, good=good)
    exchange = Exchange(b"", lambda _: False)
    part.record(record(0, [1], 0), exchange)
    part.record(record(0, [1], 7), exchange)
    lines: list[bytes] = []
    with pytest.raises(ZeroDivisionError):
        lines.extend(part.collect(0))
    requests = [line for line in lines if line.startswith(b"llm_request,")]
    assert [b"output_tokens=7i" in line for line in requests] == [False, True]
    assert not [line for line in part.collect(0) if line.startswith(b"llm_request,")]
