"""Seconds of one worker: what each is given while responses stream, and that nothing is lost or counted twice."""

from array import array
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ErrorClass
from harness.influx.tally import KEPT, Counts, Tally
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


Seconds = list[tuple[int, dict[str, Any], dict[str, int]]]


def run(
    requests: list[tuple[int, list[int], int | None]], *, tokens_lag: int = 0, shift_ns: int = 0
) -> tuple[Seconds, Seconds]:
    """(each second as it was first written, and as it was last) of requests (begin, events in ms, tokens); a look each second."""
    tally = Tally(0, shift_ns)
    flying = {at: Stream() for at in range(len(requests))}
    ends = {
        at: max(events, default=begin) * MS + tokens_lag for at, (begin, events, _) in enumerate(requests)
    }
    written: Seconds = []
    last = max(ends.values(), default=0)
    for now in range(S, last + 3 * S, S):
        for at, (begin, events, tokens) in enumerate(requests):
            if at not in flying:
                continue
            stamps = [event * MS for event in events]
            flying[at].received.read_times = array("q", [stamp for stamp in stamps if stamp <= now])
            if ends[at] <= now:
                end_ns = max(stamps, default=begin * MS)
                tally.add(record(begin * MS, stamps, tokens, end_ns=end_ns), flying.pop(at))
        tally.note(now - MS, Counts(len(requests), len(flying), 0, 1))
        written += tally.close(
            now + MS, [stream for at, stream in flying.items() if requests[at][0] * MS <= now]
        )
    written += tally.finish(last + 3 * S)
    first = {at: one for at, *one in reversed(written)}
    final = {at: one for at, *one in written}
    return [(at, *first[at]) for at in sorted(first)], [(at, *final[at]) for at in sorted(final)]


def tokens_of(seconds: Seconds) -> list[float]:
    return [values["output_tokens"] for _, values, _ in seconds]


def test_a_short_request_is_counted_in_the_seconds_of_its_events() -> None:
    """Complete before its seconds are written, these are right at once."""
    first, final = run([(100, [200, 900, 1100, 1200], 8)])
    assert tokens_of(first) == tokens_of(final)
    assert tokens_of(first)[:2] == pytest.approx([4, 4])
    assert sum(tokens_of(first)[2:]) == 0
    assert [at for at, _, _ in first] == [n * S for n in range(len(first))]


def test_a_long_one_is_estimated_while_it_streams_and_put_right_at_its_end() -> None:
    """A token a read until something is known; then its seconds are written again with what the server counted."""
    events = list(range(50, 10_000, 100))  # 100 events in 10 s, of 2 tokens each
    first, final = run([(0, events, 200)])
    assert tokens_of(first)[:8] == pytest.approx([10] * 8)
    assert tokens_of(first)[8:10] == pytest.approx([20, 20])  # not written yet when it ended
    assert tokens_of(final)[:10] == pytest.approx([20] * 10)
    assert [values["output_tokens_at_first"] for _, values, _ in final] == tokens_of(first)
    assert sum(tokens_of(final)) == pytest.approx(200)
    assert not any(values["output_tokens_correction"] for _, values, _ in final)


def test_tokens_per_read_are_learnt_from_the_responses_that_ended() -> None:
    """A second stream of the same kind is right at once."""
    one, other = list(range(50, 3_000, 100)), list(range(5_050, 12_000, 100))
    first, final = run([(0, one, 3 * len(one)), (5_000, other, 3 * len(other))])
    assert tokens_of(first)[5:12] == pytest.approx([30] * 7)
    assert tokens_of(final)[5:12] == pytest.approx([30] * 7)


def test_what_is_too_old_to_be_written_again_is_the_open_seconds_correction() -> None:
    """Of a request longer than seconds are kept."""
    tally, stream = Tally(0), Stream()
    events = [second * S + MS for second in range(KEPT + 500)]
    written = {}
    for now in range(S, events[-1], S):
        stream.received.read_times = array("q", [event for event in events if event <= now])
        written |= {at: values for at, values, _ in tally.close(now + MS, [stream])}
    stream.received.read_times = array("q", events)
    tally.add(record(0, events, 3 * len(events)), stream)
    written |= {at: values for at, values, _ in tally.finish(events[-1])}
    assert written[0]["output_tokens"] == 1
    assert written[(KEPT + 400) * S]["output_tokens"] == pytest.approx(3)
    corrections = [values["output_tokens_correction"] for values in written.values()]
    old = sum(values["output_tokens"] == 1 for values in written.values())
    assert 490 <= old <= 500
    assert sum(corrections) == pytest.approx(2 * old)
    assert len([one for one in corrections if one]) == 1


def test_an_answer_that_nobody_counted_is_an_event_a_token() -> None:
    """Until the run is over and its text can be counted."""
    _, seconds = run([(0, [100, 200, 300], None)])
    assert sum(tokens_of(seconds)) == 3


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
    rest = {at: values["output_tokens"] for at, values, _ in tally.finish(4 * S)}
    assert rest == {0: 0, S: 7, 2 * S: 0, 3 * S: 0, 4 * S: 0}


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
    assert all(values["good"] is None for _, values, _ in run([(0, [100], 1)])[1])


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
    _, seconds = run([(100, [700], 4)], shift_ns=500 * MS)
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
def test_every_second_gets_its_own_tokens_in_the_end(
    requests: list[tuple[int, list[int], int | None]], late_ms: int, shift_ns: int
) -> None:
    """Also where records come seconds after their last event."""
    first, seconds = run(requests, tokens_lag=late_ms * MS, shift_ns=shift_ns)
    truth = sum(len(events) if tokens is None else tokens for _, events, tokens in requests)
    assert sum(tokens_of(seconds)) == pytest.approx(truth, abs=1e-6)
    for at, values, _ in seconds:  # each its own, whatever it had been given before
        here = sum(
            (len(events) if tokens is None else tokens)
            * sum(at <= event * MS + shift_ns < at + S for event in events)
            / len(events)
            for _, events, tokens in requests
            if events
        )
        if not any(tokens and not events for _, events, tokens in requests):
            assert values["output_tokens"] == pytest.approx(here, abs=1e-6)
    assert sum(values["succeeded"] for _, values, _ in seconds) == len(requests)
    assert [at for at, *_ in first] == [at for at, *_ in seconds]
