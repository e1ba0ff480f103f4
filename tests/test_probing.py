"""Background probes: what is asked for, when each is due and who sends it, and what they say of each level."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record

from harness import rows
from harness.errors import ConfigError, ErrorClass
from harness.journal import Window
from harness.probe_figures import probes_summary
from harness.probing import MOST, Due, Pace, Probing, read, sender
from harness.record import Outcome, Phase, RequestRecord

S = 1_000_000_000
MS = 1_000_000
EVERY_2S = Probing(2.0, 32, 16)


@pytest.mark.parametrize(
    ("every", "tokens", "expected"),
    [
        ("", "", None),
        ("2s", "", Probing(2.0, 32, 16)),
        ("2s", "32/16", Probing(2.0, 32, 16)),
        (" 500ms ", " 1 / 1000000 ", Probing(0.5, 1, 1_000_000)),
        ("100ms", "8/1", Probing(0.1, 8, 1)),
        ("1h", "8/1", Probing(3600.0, 8, 1)),
    ],
)
def test_what_is_read(every: str, tokens: str, expected: Probing | None) -> None:
    """How often and how large; none where nothing is asked."""
    assert read(every, tokens) == expected


@pytest.mark.parametrize(
    ("every", "tokens", "problem"),
    [
        ("2", "", "--probe-every '2' has no unit; write for example 2s or 2ms"),
        ("0s", "", "--probe-every '0s' is outside the limits; give above 0 and up to 1h"),
        ("2h", "", "--probe-every '2h' is outside the limits; give above 0 and up to 1h"),
        ("99ms", "", "--probe-every '99ms' is a load of its own; give 100ms or more, e.g. 2s"),
        ("", "32/16", "--probe-tokens '32/16' without --probe-every: say how often, e.g. --probe-every 2s"),
        *(
            (
                "2s",
                tokens,
                f"--probe-tokens '{tokens}': give prompt and output tokens, whole numbers from 1 to 1000000, e.g. 32/16",
            )
            for tokens in (
                "32",
                "32/",
                "/16",
                "0/16",
                "32/0",
                "32/16/8",
                "32,16",
                "-1/5",
                "1e3/5",
                "1000001/5",
            )
        ),
    ],
)
def test_what_is_refused(every: str, tokens: str, problem: str) -> None:
    """One line with the option, the value, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        read(every, tokens)
    assert str(caught.value) == problem


def test_what_is_stored() -> None:
    """For run.json."""
    assert EVERY_2S.stored() == {"probe_every_s": 2.0, "probe_tokens": "32/16"}


@pytest.mark.parametrize(
    ("after", "expected"),
    [(-50, Due(0, 100)), (99, Due(0, 100)), (100, Due(1, 102)), (101, Due(1, 102)), (102, Due(2, 104))],
)
def test_when_a_probe_is_due(after: int, expected: Due) -> None:
    """Probe k at the beginning and k times two seconds; the next one after a moment is never that moment's own."""
    assert EVERY_2S.due(after * S, 100 * S) == Due(expected.number, expected.at_ns * S)


@given(
    st.integers(100_000, 3_600_000_000), st.integers(-(10**18), 2 * 10**18), st.integers(-(10**15), 10**15)
)
def test_deadlines_never_drift(every_us: int, begin_ns: int, after: int) -> None:
    """Exactly begin + k x every, the least that is later, for any moment."""
    probing = Probing(every_us / 1e6, 32, 16)
    found = probing.due(begin_ns + after, begin_ns)
    assert found.at_ns == begin_ns + found.number * every_us * 1000
    assert found.at_ns > begin_ns + after
    assert found.number == 0 or found.at_ns - every_us * 1000 <= begin_ns + after


def test_a_steady_pace() -> None:
    """One at each deadline, none between them, and the last one's lateness moves nothing."""
    pace = Pace(EVERY_2S, 100 * S, 100 * S)
    taken = []
    for now in (99.9, 100.0, 100.1, 101.9, 103.5, 103.6, 104.0, 105.9):
        taken.append(pace.take(int(now * S)))
        if taken[-1] is not None:
            pace.finished()
    assert taken == [
        *(None, Due(0, 100 * S), None, None),
        *(Due(1, 102 * S), None, Due(2, 104 * S), None),
    ]
    assert (pace.sent, pace.skipped, pace.in_flight, pace.next_ns) == (3, 0, 0, 106 * S)


def test_probes_in_flight_hold_up_nobody_until_there_are_too_many() -> None:
    """A server that answers none gets ten; what comes then is skipped and counted, until one is over."""
    pace = Pace(EVERY_2S, 0, 0)
    taken = [pace.take(at * S) for at in range(0, 30, 2)]
    assert taken == [*(Due(k, 2 * k * S) for k in range(MOST)), *[None] * 5]
    assert (pace.sent, pace.skipped, pace.in_flight) == (10, 5, 10)
    pace.finished()
    assert pace.take(30 * S) == Due(15, 30 * S)
    assert (pace.sent, pace.skipped, pace.in_flight) == (11, 5, 10)


def test_a_sender_that_stood_still_skips_what_is_over() -> None:
    """The latest is sent, with when it was due; those before it are counted."""
    pace = Pace(EVERY_2S, 0, 0)
    assert pace.take(0) == Due(0, 0)
    assert pace.take(9 * S) == Due(4, 8 * S)
    assert (pace.sent, pace.skipped, pace.next_ns) == (2, 3, 10 * S)


def test_whoever_takes_over_goes_on_from_there() -> None:
    """The same deadlines, none of them twice: what is due when it takes over is its own."""
    first, second = Pace(EVERY_2S, 0, 0), Pace(EVERY_2S, 0, 4 * S)
    sent = [first.take(at * S) for at in (0, 2)] + [second.take(at * S) for at in (3, 4, 6)]
    assert sent == [Due(0, 0), Due(1, 2 * S), None, Due(2, 4 * S), Due(3, 6 * S)]


@given(
    st.integers(1, 20).map(lambda tenths: tenths / 10),
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
)
def test_every_probe_is_sent_or_skipped_once(every_s: float, waits: list[tuple[float, bool]]) -> None:
    """However irregularly it is asked: numbers rise, and sent and skipped are all that came due."""
    pace, now, taken = Pace(Probing(every_s, 1, 1), 0, 0), 0, []
    for wait_s, ends in waits:
        now += int(wait_s * S)
        if ends and pace.in_flight:
            pace.finished()
        if probe := pace.take(now):
            taken.append(probe.number)
            assert now - round(every_s * S) < probe.at_ns <= now
        assert 0 <= pace.in_flight <= MOST
        assert pace.sent + pace.skipped == now // round(every_s * S) + 1
    assert taken == sorted(set(taken))
    assert len(taken) == pace.sent


def test_who_sends() -> None:
    """The first that is there; who comes back takes nothing back."""
    assert sender([], None) is None
    assert sender(["w1", "w2"], None) == "w1"
    assert sender(["w2", "w3"], "w1") == "w2"
    assert sender(["w1", "w2", "w3"], "w2") == "w2"
    assert sender([], "w2") is None


def probe(name: str, due_ms: float, ttft_ms: float | None, **fields: object) -> RequestRecord:
    """A probe that was due so long after the run began; 5 tokens at 10 ms each after the first, if it succeeded."""
    due = BASE_NS + round(due_ms * MS)
    came = {}
    if ttft_ms is not None:
        first = due + round(ttft_ms * MS)
        came = {
            "first_content_ns": first,
            "last_content_ns": first + 40 * MS,
            "chunk_gaps_us": (1e4,) * 4,
            "chunks": 5,
            "output_tokens": 5,
        }
    end = came.get("last_content_ns", due + MS)
    return record(
        name, **{"phase": Phase.PROBE, "scheduled_ns": due, "sent_ns": due, "end_ns": end, **came, **fields}
    )


def table(*records: RequestRecord) -> pd.DataFrame:
    """What requests.parquet would give for these records."""
    frame = pd.DataFrame([{**one.row(0), "chunk_gaps_us": list(one.chunk_gaps_us)} for one in records])
    integers = [name for name, kind in rows.COLUMNS.items() if kind == "int64" and name in frame]
    return frame.astype(dict.fromkeys(integers, "Int64"))


def window(level: int, repeat: int, start_ms: int, end_ms: int) -> Window:
    """A window so long after the run began."""
    return Window(level, repeat, BASE_NS + start_ms * MS, BASE_NS + end_ms * MS)


def test_what_probes_say_of_each_level() -> None:
    """Worked out by hand: level 1 has two windows, level 2 one; what was due outside them, and the load, is in neither."""
    requests = table(
        probe("ramp", 999, 1),
        probe("a", 1000, 20),
        probe("b", 1900, 40),
        probe("edge", 2000, 500),
        probe("c", 3000, 60, level=2),
        probe("refused", 3100, None, outcome=Outcome.FAILED, error_class=ErrorClass.OVERLOAD),
        probe("cut", 3200, None, outcome=Outcome.CANCELLED),
        probe("d", 5000, 30),
        probe("load", 1500, 7, phase=Phase.MEASURE),
    )
    windows = [window(1, 1, 1000, 2000), window(2, 1, 3000, 4000), window(1, 2, 5000, 6000)]
    one, two = probes_summary(requests, windows)
    assert {name: one[name] for name in ("level", "n", "succeeded", "failed", "cancelled", "errors")} == {
        "level": 1,
        "n": 3,
        "succeeded": 3,
        "failed": 0,
        "cancelled": 0,
        "errors": {},
    }
    assert one["ttft_ms"] == {
        "mean": pytest.approx(30),
        "median": pytest.approx(30),
        "std": pytest.approx(10),
        "p50": pytest.approx(30),
        "p90": pytest.approx(38),
        "p95": pytest.approx(39),
        "p99": pytest.approx(39.8),
        "max": pytest.approx(40),
        "n": 3,
        "withheld": ["p90", "p95", "p99"],
    }
    assert (one["tpot_ms"]["mean"], one["e2e_ms"]["max"]) == (pytest.approx(10), pytest.approx(80))
    assert {name: two[name] for name in ("level", "n", "succeeded", "failed", "cancelled", "errors")} == {
        "level": 2,
        "n": 3,
        "succeeded": 1,
        "failed": 1,
        "cancelled": 1,
        "errors": {"overload": 1},
    }
    assert (two["ttft_ms"]["median"], two["ttft_ms"]["std"], two["ttft_ms"]["n"]) == (
        pytest.approx(60),
        None,
        1,
    )


def test_a_level_without_probes_has_nothing_measured() -> None:
    """None, never 0; and a run without any probe has no entry at all."""
    requests = table(probe("a", 1000, 20))
    (level,) = probes_summary(requests, [window(4, 1, 5000, 6000)])
    assert (level["level"], level["n"], level["ttft_ms"]["mean"], level["ttft_ms"]["n"]) == (4, 0, None, 0)
    assert probes_summary(table(probe("m", 1, 2, phase=Phase.MEASURE)), [window(4, 1, 0, 9)]) == []
