"""Seconds of one worker: what each is given while responses stream, and that nothing is lost or counted twice."""

from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ErrorClass
from harness.influx.tally import Counts, Tally
from harness.record import Outcome, Phase, RequestRecord, TokenSource

S: Final = 1_000_000_000
MS: Final = 1_000_000


@dataclass
class Read:
    """What has come of a response: its reads' stamps."""

    read_times: "array[int]" = field(default_factory=lambda: array("q"))


class Stream:
    """A response that is under way, as the engine knows it."""

    def __init__(self) -> None:
        self.received = Read()


def record(begin_ns: int, events_ns: list[int], tokens: int | None, **more: Any) -> RequestRecord:
    """A streamed request that ended well with its last event."""
    gaps = tuple((after - before) / 1e3 for before, after in pairwise(events_ns))
    return RequestRecord(
        **{
            "request_id": "r",
            "name": "n",
            "worker": "w",
            "level": 1,
            "repeat": 1,
            "phase": Phase.MEASURE,
            "outcome": Outcome.OK,
            "scheduled_ns": begin_ns,
            "sent_ns": begin_ns,
            "end_ns": events_ns[-1] if events_ns else begin_ns,
            "first_content_ns": events_ns[0] if events_ns else None,
            "last_content_ns": events_ns[-1] if events_ns else None,
            "chunk_gaps_us": gaps,
            "chunks": len(events_ns),
            "output_tokens": tokens,
            "token_source": TokenSource.SERVER,
            **more,
        }
    )


def run(
    requests: list[tuple[int, list[int], int | None]], *, tokens_lag: int = 0, shift_ns: int = 0
) -> list[tuple[int, dict[str, Any], dict[str, int]]]:
    """Seconds of requests (begin, events in ms, tokens) as a worker would write them, with a look each second."""
    tally = Tally(0, shift_ns)
    flying = {at: Stream() for at in range(len(requests))}
    ends = {
        at: max(events, default=begin) * MS + tokens_lag for at, (begin, events, _) in enumerate(requests)
    }
    written = []
    last = max(ends.values(), default=0)
    for now in range(S, last + 3 * S, S):
        for at, (begin, events, tokens) in enumerate(requests):
            if at not in flying:
                continue
            stamps = [event * MS for event in events]
            flying[at].received.read_times = array("q", [stamp for stamp in stamps if stamp <= now])
            if ends[at] <= now:
                tally.add(
                    record(begin * MS, stamps, tokens, end_ns=max(stamps, default=begin * MS)), flying.pop(at)
                )
        tally.note(now - MS, Counts(len(requests), len(flying), 0, 1))
        written += tally.close(
            now + MS, [stream for at, stream in flying.items() if requests[at][0] * MS <= now]
        )
    return written + list(tally.finish(last + 3 * S))


def test_a_short_request_is_counted_in_the_seconds_of_its_events() -> None:
    """Complete before its seconds are written, it needs no correction."""
    seconds = run([(100, [200, 900, 1100, 1200], 8)])
    tokens = [values["output_tokens"] for _, values, _ in seconds]
    assert tokens[:2] == pytest.approx([4, 4])
    assert sum(tokens[2:]) == 0
    assert [values["output_tokens_correction"] for _, values, _ in seconds] == [0] * len(seconds)
    assert [at for at, _, _ in seconds] == [n * S for n in range(len(seconds))]


def test_a_long_one_is_estimated_while_it_streams_and_corrected_at_its_end() -> None:
    """A token a read until something is known; at its end what the server counted, less what was given."""
    events = list(range(50, 10_000, 100))  # 100 events in 10 s, of 2 tokens each
    seconds = run([(0, events, 200)])
    tokens = [values["output_tokens"] for _, values, _ in seconds]
    corrections = [values["output_tokens_correction"] for _, values, _ in seconds]
    assert tokens[:8] == pytest.approx([10] * 8)
    assert tokens[8:10] == pytest.approx([20, 20])  # not written yet when it ended
    assert sum(corrections) == pytest.approx(80)
    assert sum(tokens) + sum(corrections) == pytest.approx(200)


def test_tokens_per_read_are_learnt_from_the_responses_that_ended() -> None:
    """A second stream of the same kind is right at once."""
    first, second = list(range(50, 3_000, 100)), list(range(5_050, 12_000, 100))
    seconds = run([(0, first, 3 * len(first)), (5_000, second, 3 * len(second))])
    tokens = [values["output_tokens"] for _, values, _ in seconds]
    assert tokens[5:12] == pytest.approx([30] * 7)
    assert sum(abs(values["output_tokens_correction"]) for _, values, _ in seconds[5:]) == pytest.approx(
        0, abs=1e-9
    )


def test_an_answer_that_nobody_counted_is_an_event_a_token() -> None:
    """Until the run is over and its text can be counted."""
    seconds = run([(0, [100, 200, 300], None)])
    assert sum(values["output_tokens"] for _, values, _ in seconds) == 3


def test_an_answer_that_was_not_streamed_comes_at_its_end() -> None:
    """All of it in one second."""
    tally = Tally(0)
    whole = replace(record(0, [2_500 * MS], 40), streamed=False, first_content_ns=None)
    tally.add(whole, Stream())
    seconds = list(tally.finish(4 * S))
    assert [values["output_tokens"] for _, values, _ in seconds] == [0, 0, 40, 0, 0]


def test_a_request_sent_anew_counts_only_its_last_attempt() -> None:
    """The reads of the first are not the answer's."""
    tally, stream = Tally(0), Stream()
    stream.received.read_times.extend([100 * MS, 200 * MS])
    (first,) = [values for _, values, _ in tally.close(2 * S, [stream])]
    assert first["output_tokens"] == 2
    stream.received = Read(array("q", [1_100 * MS]))
    (second,) = [values for _, values, _ in tally.close(3 * S, [stream])]
    assert second["output_tokens"] == 1
    tally.add(record(0, [1_100 * MS], 7), stream)
    rest = list(tally.finish(4 * S))
    total = 3 + sum(values["output_tokens"] + values["output_tokens_correction"] for _, values, _ in rest)
    assert total == 7


def test_outcomes_and_errors_are_in_the_second_of_their_end() -> None:
    """By class, and good ones by the rule that was given."""
    tally = Tally(0, good=lambda one: one.outcome is Outcome.OK and (one.ttft_ms or 0) < 50)
    tally.add(record(0, [10 * MS], 1), Stream())
    tally.add(record(0, [60 * MS, 1_500 * MS], 2), Stream())
    failed = record(
        0, [], None, outcome=Outcome.FAILED, error_class=ErrorClass.HTTP_SERVER, end_ns=1_600 * MS
    )
    tally.add(failed, Stream())
    seconds = list(tally.finish(2 * S))
    assert [values["succeeded"] for _, values, _ in seconds] == [1, 1, 0]
    assert [values["failed"] for _, values, _ in seconds] == [0, 1, 0]
    assert [values["good"] for _, values, _ in seconds] == [1, 0, 0]
    assert [errors for _, _, errors in seconds] == [{}, {ErrorClass.HTTP_SERVER.value: 1}, {}]


def test_without_service_levels_nothing_is_said_of_good_ones() -> None:
    """Not measured is not 0."""
    assert all(values["good"] is None for _, values, _ in run([(0, [100], 1)]))


def test_counts_are_those_at_the_end_of_each_second() -> None:
    """What was due and sent in a second is how much more it is than at the end of the one before."""
    tally, seconds = Tally(0), []
    for second, counts in enumerate([Counts(5, 5, 2, 5), Counts(9, 5, 0, 5), Counts(9, 0, 0, 5)], 1):
        tally.note(second * S - MS, counts)
        seconds += list(tally.close(second * S + MS, []))
    seconds += list(tally.finish(3 * S - MS))
    told = [(v["scheduled"], v["sent"], v["in_flight"], v["waiting"], v["users"]) for _, v, _ in seconds]
    assert told == [(5, 3, 5, 2, 5), (4, 6, 5, 0, 5), (0, 0, 0, 0, 5)]


def test_seconds_are_those_of_the_runs_clock() -> None:
    """However far this process's is off."""
    seconds = run([(100, [700], 4)], shift_ns=500 * MS)
    assert [values["output_tokens"] for at, values, _ in seconds if at == S] == [4]


_REQUESTS: Final = st.lists(
    st.integers(0, 8_000).flatmap(
        lambda begin: st.tuples(
            st.just(begin),
            st.lists(st.integers(begin, begin + 6_000), max_size=60).map(sorted),
            st.one_of(st.none(), st.integers(0, 500)),
        )
    ),
    max_size=12,
)


@given(_REQUESTS, st.integers(0, 2_500), st.integers(-3 * S, 3 * S))
def test_tokens_and_corrections_are_all_tokens_whatever_comes_when(
    requests: list[tuple[int, list[int], int | None]], late_ms: int, shift_ns: int
) -> None:
    """Also where records come seconds after their last event."""
    seconds = run(requests, tokens_lag=late_ms * MS, shift_ns=shift_ns)
    got = sum(values["output_tokens"] + values["output_tokens_correction"] for _, values, _ in seconds)
    truth = sum(len(events) if tokens is None else tokens for _, events, tokens in requests)
    assert got == pytest.approx(truth, abs=1e-6)
    assert sum(values["succeeded"] for _, values, _ in seconds) == len(requests)
    assert max(Counter(at for at, _, _ in seconds).values()) == 1
