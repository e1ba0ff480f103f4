"""A level's rates over its windows, by hand, to the nanosecond: who came, who ended, who was under way."""

import pandas as pd
from synthetic_run import record
from test_metrics import at, streamed, table

from harness.journal import Window
from harness.record import Outcome, Phase
from harness.system_rates import Counted, counted, rates
from harness.windows import Arrived, Streams

# The window is [100 ms, 300 ms). Under way in it: a 200 ms, c 100 ms, e 1 ns. Due in it: a, c, d, g. Ended in it: b, c, g.
WINDOW = Window(1, 1, at(100), at(300))
SENT = pd.array([at(100), at(50), at(150), None, at(300) - 1, at(10), None, at(100)], dtype="Int64")
REQUESTS = table(
    record("a", scheduled_ns=at(100), end_ns=at(300)),
    record("b", scheduled_ns=at(100) - 1, end_ns=at(100)),
    record("c", scheduled_ns=at(300) - 1, end_ns=at(250)),
    record("d", scheduled_ns=at(250), end_ns=at(260), outcome=Outcome.FAILED),
    record("e", scheduled_ns=at(300), end_ns=at(400)),
    record("f", scheduled_ns=at(5), end_ns=at(20)),
    record("g", scheduled_ns=at(110), end_ns=at(200)),
    record("p", scheduled_ns=at(150), end_ns=at(200), phase=Phase.PROBE),
).assign(sent_ns=SENT)  # as the file has it; through a float it would lose its last digits


def test_who_came_ended_and_was_under_way() -> None:
    """Whoever is due or ends at the window's start is in it, and at its end not; probes are not counted."""
    (seen,) = counted(REQUESTS, Streams.of(REQUESTS), [WINDOW])
    assert (seen.came, seen.ended, seen.busy_s) == (4, 3, 0.300_000_001)
    assert seen.window is WINDOW


def test_windows_are_added_and_then_divided() -> None:
    """0.2 s and 0.3 s: what was counted in both over half a second, and of each by itself its output rate."""
    windows = [Window(1, 1, at(0), at(200)), Window(1, 2, at(500), at(800))]
    seen = [
        Counted(windows[0], Arrived(10.0, 4.0), ended=2, came=3, busy_s=0.4),
        Counted(windows[1], Arrived(30.0, None), ended=3, came=5, busy_s=0.6),
    ]
    assert rates(seen) == {
        "system_output_tokens_per_s": 80.0,
        "system_total_tokens_per_s": 28.0,  # where prompts were not counted there is no total to add
        "system_output_tokens_per_s_repeats": [50.0, 100.0],
        "requests_per_s": 10.0,
        "arrivals_per_s": 16.0,
        "in_flight_mean": 2.0,
    }
    nothing = rates([Counted(windows[0], Arrived(None, 4.0), ended=0, came=0, busy_s=0.0)])
    assert (nothing["system_output_tokens_per_s"], nothing["system_total_tokens_per_s"]) == (None, None)
    assert (nothing["requests_per_s"], nothing["in_flight_mean"]) == (0.0, 0.0)


def test_a_window_of_no_length_has_no_rates() -> None:
    """Nor has a level without one."""
    empty = Counted(Window(1, 1, at(5), at(5)), Arrived(1.0, 1.0), ended=1, came=1, busy_s=0.0)
    for seen in ([empty], []):
        found = rates(seen)
        assert found.pop("system_output_tokens_per_s_repeats") == [None] * len(seen)
        assert set(found.values()) == {None}


def test_tokens_of_streams_count_in_the_window_where_they_came() -> None:
    """Two of the four events of eight tokens lie in [100, 300), and the prompt's tokens came with the first."""
    table_ = table(streamed("s", 90, [100, 299, 300, 400], 8, prompt_tokens=5))
    (first,) = counted(table_, Streams.of(table_), [WINDOW])
    (second,) = counted(table_, Streams.of(table_), [Window(1, 1, at(300), at(500))])
    assert (first.arrived, second.arrived) == (Arrived(4.0, 5.0), Arrived(4.0, 0.0))
