"""Which requests a level's figures are of, and times from when a request was due, to the nanosecond."""

import numpy as np
from synthetic_run import record
from test_metrics import at, table

from harness.population import Population, own_times
from harness.record import Outcome, Phase
from harness.windows import Streams


def test_times_from_the_schedule() -> None:
    """Due at 10 ms, sent at 12.000001, first content at 30, last at 70.5; who was not streamed has no first token."""
    fields = {
        "scheduled_ns": at(10),
        "sent_ns": at(12) + 1,
        "first_content_ns": at(30),
        "last_content_ns": at(70.5),
    }
    requests = table(record("a", **fields), record("b", **fields, streamed=False))
    times = own_times(requests)
    assert times["send_delay_ms"].tolist() == [2.000001, 2.000001]
    assert times["e2e_scheduled_ms"].tolist() == [60.5, 60.5]
    assert times["ttft_scheduled_ms"][0] == 20.0
    assert np.isnan(times["ttft_scheduled_ms"][1])
    assert times["e2e_ms"][0] == 58.499999


def test_who_is_measured_and_who_is_kept() -> None:
    """Of a level only its measured ones; three tokens are enough where three are asked for, and no count is no short one."""
    tokens = {"short": 2, "enough": 3, "uncounted": None}
    requests = table(
        *(record(name, output_tokens=count) for name, count in tokens.items()),
        record("failed", outcome=Outcome.FAILED, output_tokens=9),
        record("cancelled", outcome=Outcome.CANCELLED, output_tokens=9),
        record("warm", phase=Phase.WARMUP, output_tokens=9),
        record("other", level=2, output_tokens=9),
    )
    everyone = Population.of(requests, Streams.of(requests), 3)
    here = everyone.at(1)
    assert here.measured.tolist() == [True] * 5 + [False] * 2
    assert here.ok.tolist() == [True] * 3 + [False] * 4
    assert here.kept.tolist() == [False, True, True] + [False] * 4
    assert np.flatnonzero(here.failed).tolist() == [3]
    assert np.flatnonzero(here.cancelled).tolist() == [4]
    assert np.flatnonzero(everyone.at(2).kept).tolist() == [6]
    assert everyone.kept[5]
