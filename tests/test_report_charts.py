"""The figures of a report: every number again by other code, nothing that plotly refuses, and what they are not to show."""

import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import plotly.graph_objects as go
import pytest
from devtools import Tab, open_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from recomputed import events
from synthetic_run import BASE_NS, record, run

from harness import metrics, rows
from harness.errors import ConfigError, ErrorClass
from harness.journal import Window
from harness.loadpoint import LoadPoint, stored
from harness.record import Outcome, Phase, RequestRecord
from harness.report import embed, gantt, palette, plotly_js, scatter
from harness.report.binned import Bins, in_flight, tokens, width_s
from harness.report.charts import charts
from harness.report.material import Chart, Material
from harness.report.moments import Moments
from harness.report.shapes import inert, short
from harness.seconds import Second
from harness.server_metrics import Sample
from harness.slo import read

S = 10**9
HOSTILE = (
    "<b>bold</b><a href='javascript:alert(1)'>x</a> %{y} &lt; &amp; \u202egnp.exe \x1b[31m $x$ </script><!--"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tables."""
    return tmp_path_factory.mktemp("charts")


def material(
    place: Path,
    records: Sequence[RequestRecord],
    windows: Sequence[Window] = (),
    *,
    slos: Sequence[str] = (),
    points: Any = None,
    **more: Any,
) -> Material:
    """What a report of these is made of."""
    path = place / "requests.parquet"
    rows.write(path, records)
    requests = rows.load(path, without=("request_id", "response_id"))
    summary = metrics.summarise(requests, windows, run_id="r", slos=read(slos), points=points)
    told = {"run_id": "r", "points": points, "settings": {}}
    return Material(summary=summary, run=told, requests=requests, windows=windows, **more)


def drawn(made: Material) -> dict[str, Chart]:
    """All charts by key, each held against plotly's schema and JSON's."""
    found = list(charts(made))
    for chart in found:
        go.Figure(chart.figure)  # raises at an attribute or a value that there is not
        text = orjson.dumps(chart.figure)
        assert b"NaN" not in text
        assert json.loads(text) == json.loads(json.dumps(chart.figure, allow_nan=False))
        assert_axes_have_units(chart)
    assert len({chart.key for chart in found}) == len(found)
    return {chart.key: chart for chart in found}


def assert_axes_have_units(chart: Chart) -> None:
    """Every axis says what it counts."""
    axes = {name: one for name, one in chart.figure["layout"].items() if name[1:5] == "axis"}
    assert set(axes) >= {"xaxis", "yaxis"}
    assert all(one["title"]["text"] for one in axes.values()), chart.key
    used = {trace.get("yaxis", "y") for trace in chart.figure["data"]}
    assert used <= {name.replace("axis", "") for name in axes}, chart.key


def trace(chart: Chart, name: str) -> dict[str, Any]:
    """The chart's only trace of that name."""
    (found,) = [one for one in chart.figure["data"] if one.get("name") == name]
    return found


@pytest.fixture(scope="module")
def sweep(place: Path) -> tuple[list[RequestRecord], Material]:
    """A closed loop of three levels in two passes, with all that goes wrong."""
    records, windows = run(levels=(1, 2, 16), per_level=80)
    return records, material(place, records, windows, slos=("ttft_p95<50ms", "e2e_p50<900s"))


# What is drawn


def test_a_sweep_has_all_figures_in_the_order_of_reading(sweep: tuple[Any, Material]) -> None:
    """Rates first, then latency, single requests, time, and what went wrong."""
    assert list(drawn(sweep[1])) == [
        *("rates", "tradeoff", "ttft", "tpot", "e2e", "prompt-ttft", "output-e2e", "over-time", "timeline"),
        *("errors", "lengths"),
    ]


def test_rates_are_the_summarys(sweep: tuple[Any, Material]) -> None:
    """System and per-request rates, in two panels over one axis of numbers."""
    made, chart = sweep[1], drawn(sweep[1])["rates"]
    system = trace(chart, "system output tokens/s")
    assert system["x"] == [1, 2, 16]
    assert system["y"] == pytest.approx([one["system_output_tokens_per_s"] for one in made.levels], rel=1e-4)
    each = trace(chart, "output tokens/s of a request")
    parts = [one["request_output_tokens_per_s"] for one in made.levels]
    assert each["y"] == pytest.approx([part["median"] for part in parts], rel=1e-4)
    high = [value + up for value, up in zip(each["y"], each["error_y"]["array"], strict=True)]
    low = [value - down for value, down in zip(each["y"], each["error_y"]["arrayminus"], strict=True)]
    assert high == pytest.approx([part["p90"] for part in parts], rel=1e-3)
    assert low == pytest.approx([part["p10"] for part in parts], rel=1e-3)
    layout = chart.figure["layout"]
    assert each["yaxis"] == "y2"
    assert layout["yaxis"]["domain"][0] > layout["yaxis2"]["domain"][1]
    assert layout["xaxis"]["anchor"] == "y2"


def test_error_bars_are_the_intervals(sweep: tuple[Any, Material]) -> None:
    """From the value to either end, and none below zero where the value lies outside; the note counts the passes."""
    made = sweep[1]
    levels = [dict(level) for level in made.levels]
    for number, level in enumerate(levels):
        value = level["system_output_tokens_per_s"]
        between = {"low": value - 3, "high": value + 4 - 8 * (number == 2), "passes": 2, "method": "t"}
        level["intervals"] = {"system_output_tokens_per_s": between}
    chart = drawn(replace(made, summary={**made.summary, "levels": levels}))["rates"]
    bars = trace(chart, "system output tokens/s")["error_y"]
    assert bars["array"] == pytest.approx([4, 4, 0])
    assert bars["arrayminus"] == pytest.approx([3, 3, 3])
    assert "95 % confidence intervals over 2 passes" in chart.note
    total = trace(chart, "system total tokens/s")
    assert "error_y" not in total


def test_limits_are_drawn_where_their_figure_is_and_not_far_above_it(sweep: tuple[Any, Material]) -> None:
    """`ttft_p95<50ms` on TTFT's boxes; 900 s would squash those of E2E."""
    found = drawn(sweep[1])
    limit = trace(found["ttft"], "SLO ttft_p95&lt;50ms")
    assert limit["y"] == [50, 50]
    assert limit["line"]["dash"] == "dash"
    others = [one.get("name", "") for key in found if key != "ttft" for one in found[key].figure["data"]]
    assert not any(name.startswith("SLO") for name in others)


def test_boxes_have_the_statistics_of_the_levels(sweep: tuple[Any, Material]) -> None:
    """Medians and p95 are the summary's; quartiles are of the measured requests that succeeded."""
    records, made = sweep
    box = drawn(made)["e2e"].figure["data"][0]
    assert box["median"] == pytest.approx([one["e2e_ms"]["median"] for one in made.levels], rel=1e-4)
    assert box["upperfence"] == pytest.approx([one["e2e_ms"]["p95"] for one in made.levels], rel=1e-4)
    for place, level in enumerate((1, 2, 16)):
        values = [
            one.e2e_ms
            for one in records
            if (one.level, one.phase, one.outcome) == (level, Phase.MEASURE, Outcome.OK)
        ]
        q1, _, q3 = statistics.quantiles(values, n=4, method="inclusive")
        assert (box["q1"][place], box["q3"][place]) == pytest.approx((q1, q3), rel=1e-4)


def test_whiskers_of_few_requests_reach_to_the_ends(place: Path) -> None:
    """What 59 requests cannot carry is not drawn as a percentile, and the note says so."""
    records, windows = run(levels=(1, 2), per_level=20, repeats=1)
    made = material(place, records, windows)
    chart = drawn(made)["e2e"]
    assert chart.figure["data"][0]["upperfence"] == pytest.approx(
        [one["e2e_ms"]["max"] for one in made.levels], rel=1e-4
    )
    assert "fewer than 59 requests" in chart.note
    assert {one[0] for one in chart.figure["data"][1]["customdata"]} == {"least"}


def test_the_tradeoff_has_a_point_a_level_and_withholds_what_few_cannot_carry(place: Path) -> None:
    """p50 of 20 requests is drawn, p95 is not."""
    records, windows = run(levels=(1, 2), per_level=20, repeats=1)
    made = material(place, records, windows)
    chart = drawn(made)["tradeoff"]
    p50 = trace(chart, "TTFT p50")
    assert p50["x"] == pytest.approx([one["ttft_ms"]["p50"] for one in made.levels], rel=1e-4)
    assert p50["y"] == pytest.approx([one["system_output_tokens_per_s"] for one in made.levels], rel=1e-4)
    assert p50["text"] == ["1", "2"]
    assert not any(one["name"] == "TTFT p95" for one in chart.figure["data"])
    assert "p95 needs 59 requests" in chart.note


def test_scatters_are_the_rows(sweep: tuple[Any, Material]) -> None:
    """Every request that succeeded and was counted, where they are few."""
    records, made = sweep
    chart = drawn(made)["output-e2e"]
    for level in (1, 2, 16):
        mine = [
            one
            for one in records
            if (one.level, one.phase, one.outcome) == (level, Phase.MEASURE, Outcome.OK)
        ]
        points = trace(chart, f"{level} user{'s' * (level > 1)}")
        assert Counter(points["x"]) == Counter(one.output_tokens for one in mine)
        assert sorted(points["y"]) == pytest.approx(sorted(one.e2e_ms for one in mine), rel=1e-4)
    number = sum(len(one["x"]) for one in chart.figure["data"])
    assert chart.note.startswith(f"{number:,} of {number:,} requests.")


@given(sizes=st.lists(st.integers(0, 60), max_size=6), most=st.integers(0, 150))
def test_chosen_requests_are_theirs_and_as_many_as_can_be(sizes: list[int], most: int) -> None:
    """Each at most once, none beyond the number asked for, none left out for nothing, the same every time."""
    edges = np.append(0, np.cumsum(sizes)).astype(int)
    groups = [np.arange(a, b) for a, b in itertools.pairwise(edges)]
    found = scatter.chosen(groups, most)
    for group, rows_ in zip(groups, found, strict=True):
        assert set(rows_.tolist()) <= set(group.tolist())
        assert len(set(rows_.tolist())) == len(rows_)
        assert rows_.tolist() == sorted(rows_.tolist())
    assert sum(map(len, found)) == min(most, sum(sizes)) if sizes else not found
    again = scatter.chosen(groups, most)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


# The run over time


def test_tokens_over_time_add_up_to_all_that_came(sweep: tuple[Any, Material]) -> None:
    """Bin by bin, by plain loops over events; and in all, those of every request, whatever became of it."""
    records, made = sweep
    chart = drawn(made)["over-time"]
    line = trace(chart, "system output tokens/s")
    plain = rows.of_rows([one.row(0) for one in records]).to_pylist()
    came = [(time, share) for row in plain for time, share in events(row) if share]
    whole = sum(one for _, one in came)
    width = 2 * line["x"][0]
    assert sum(y * width for y in line["y"]) == pytest.approx(whole, rel=1e-4)
    start = min(row["sent_ns"] for row in plain)
    expected = Counter[int]()
    for time, share in came:
        expected[int((time - start) // round(width * S))] += share
    assert [y * width for y in line["y"]] == pytest.approx(
        [expected[n] for n in range(len(line["y"]))], rel=1e-4, abs=1e-9
    )


def test_requests_in_flight_are_the_mean_over_a_bin(place: Path) -> None:
    """Two requests of 1.5 s and 0.25 s: in bins of half a second 1, 1, 1 and a half of the second's."""
    made = material(
        place,
        [record("a", sent_ns=BASE_NS, end_ns=BASE_NS + 3 * S // 2), record("b", sent_ns=BASE_NS + S, end_ns=BASE_NS + 5 * S // 4),
         record("p", phase=Phase.PROBE, sent_ns=BASE_NS, end_ns=BASE_NS + S)],
    )  # fmt: skip
    moments = Moments(made.requests)
    assert in_flight(moments, Bins(BASE_NS, S // 2, 4)).tolist() == pytest.approx([1, 1, 1.5, 0])
    assert in_flight(moments, Bins(BASE_NS + S // 4, S, 1)).tolist() == pytest.approx([1.25])


def test_tokens_that_nobody_counted_are_in_no_bin_and_said(place: Path) -> None:
    """Content without a count is neither 0 nor guessed."""
    content = {
        "first_content_ns": BASE_NS + S // 10,
        "last_content_ns": BASE_NS + S // 10,
        "chunks": 1,
        "end_ns": BASE_NS + S,
    }
    records = [record("a", **content, output_tokens=7), record("b", **content, output_tokens=None)]
    made = material(place, records)
    found = tokens(Moments(made.requests), Bins.over(BASE_NS, BASE_NS + S))
    assert found.sum() == 7
    assert "1 request gave content that nobody counted" in drawn(made)["over-time"].note


def test_failures_stand_where_they_were_noticed(sweep: tuple[Any, Material]) -> None:
    """As many as there were, all phases."""
    records, made = sweep
    bars = trace(drawn(made)["over-time"], "failed requests")
    assert sum(bars["y"]) == sum(one.outcome is Outcome.FAILED for one in records)


def test_windows_and_warm_up_are_shaded(sweep: tuple[Any, Material]) -> None:
    """Every window from its start to its end, and before it what was sent to warm up."""
    records, made = sweep
    start = min(one.sent_ns for one in records)
    shapes = drawn(made)["over-time"].figure["layout"]["shapes"]
    shown = [one[end] for one in shapes if one["name"] == "window" for end in ("x0", "x1")]
    ends = [(end - start) / S for w in made.windows for end in (w.start_ns, w.end_ns)]
    assert shown == pytest.approx(ends, abs=1e-3)
    warm = [one["x0"] for one in shapes if one["name"] == "warm-up"]
    firsts = [
        min(o.sent_ns for o in records if (o.level, o.repeat, o.phase) == (w.level, w.repeat, Phase.WARMUP))
        for w in made.windows
    ]
    assert warm == pytest.approx([(first - start) / S for first in firsts], abs=1e-3)


@given(st.floats(0.001, 1e7))
def test_bins_are_neither_too_many_nor_too_few(length: float) -> None:
    """At most 1,500, and a second where that is enough; a hundred and more where none is under 0.1 s."""
    bins = Bins.over(BASE_NS, BASE_NS + round(length * S))
    assert bins.number <= 1_500
    assert bins.number * bins.width_ns > round(length * S)
    if 100 <= length < 1_499:
        assert width_s(length) == 1.0
    if length >= 10:
        assert bins.number >= 100


# Single requests in time


def test_a_timeline_has_the_stamps_of_the_rows(sweep: tuple[Any, Material]) -> None:
    """Of the highest level's last window: from the send to the first content, and on to the last."""
    records, made = sweep
    start = min(one.sent_ns for one in records)
    window = [w for w in made.windows if w.level == 16][-1]
    mine = sorted(
        (one for one in records if window.start_ns <= one.sent_ns < window.end_ns),
        key=lambda one: one.sent_ns,
    )
    chart = drawn(made)["timeline"]
    assert f"{len(mine):,} requests that were sent in the last window of 16 users" in chart.note

    def spans(name: str) -> dict[int, tuple[float, float]]:
        one = trace(chart, name)
        return {y: (base, base + x) for y, base, x in zip(one["y"], one["base"], one["x"], strict=True)}

    ok = {n: one for n, one in enumerate(mine, 1) if one.outcome is Outcome.OK}
    streamed = {
        n: one for n, one in ok.items() if one.streamed and one.last_content_ns > one.first_content_ns
    }

    def seconds(from_: int, to: int) -> Any:
        return pytest.approx(((from_ - start) / S, (to - start) / S), abs=2e-4)

    waiting, content = spans("waiting for content"), spans("content arrives")
    assert waiting.keys() == ok.keys()
    assert content.keys() == streamed.keys()
    for n, one in ok.items():
        assert waiting[n] == seconds(one.sent_ns, one.first_content_ns)
    for n, one in streamed.items():
        assert content[n] == seconds(one.first_content_ns, one.last_content_ns)
    failed = spans("failed")
    assert failed.keys() == {n for n, one in enumerate(mine, 1) if one.outcome is Outcome.FAILED}
    for n, span in failed.items():
        assert span == seconds(mine[n - 1].sent_ns, mine[n - 1].end_ns)


def test_a_timeline_of_many_shows_the_first_of_a_stretch(place: Path) -> None:
    """300 neighbours and not 300 by chance, in order of sending; how many there were is said."""
    records = [
        record(f"r{n}", sent_ns=BASE_NS + (n * 7 % 1000) * S, end_ns=BASE_NS + (n * 7 % 1000 + 1) * S)
        for n in range(1000)
    ]
    made = material(place, records, [Window(1, 1, BASE_NS + 100 * S, BASE_NS + 900 * S)])
    rows_, rule = gantt.stretch(made, Moments(made.requests))
    assert [int(row * 7 % 1000) for row in rows_] == list(range(100, 400))
    assert (
        rule
        == "The first 300 of the 800 requests that were sent in the last window of 1 user, one after the other."
    )


def test_a_late_send_is_shown_as_such(place: Path) -> None:
    """In an open loop a user waits from when it was due."""
    due = {"scheduled_ns": BASE_NS, "sent_ns": BASE_NS + S, "end_ns": BASE_NS + 2 * S}
    late = trace(
        drawn(material(place, [record(**due), record("b", end_ns=BASE_NS + S)]))["timeline"],
        "due, not yet sent",
    )
    assert (late["base"], late["x"]) == ([0], [1])


# Client and server


def second(at_s: float, worker: str = "w", **more: Any) -> Second:
    """A second of a client's life."""
    return Second(
        time_ns=BASE_NS + round(at_s * S), worker=worker, seconds=1.0, **{"cpu_percent": 10.0, **more}
    )


def test_the_clients_course_is_its_seconds(place: Path) -> None:
    """CPU of each worker, lag of the worst, unknown lag as a gap; seconds before load have negative times."""
    seconds = [
        *(second(n, "a", cpu_percent=10 + n, loop_lag_ms_p99=n or None, loop_lag_ms_max=2 * n + 1) for n in range(-1, 4)),
        *(second(n, "b", cpu_percent=50, loop_lag_ms_p99=1.5) for n in range(2, 4)),
    ]  # fmt: skip
    chart = drawn(material(place, [record(end_ns=BASE_NS + S)], seconds=seconds))["client"]
    assert trace(chart, "a")["x"] == [-1, 0, 1, 2, 3]
    assert trace(chart, "a")["y"] == [9, 10, 11, 12, 13]
    assert trace(chart, "b")["y"] == [None, None, None, 50, 50]
    assert trace(chart, "loop late, p99")["y"] == [-1, None, 1, 2, 3]
    assert "2 workers" in chart.note


def test_of_many_workers_the_busiest_and_the_median_are_drawn(place: Path) -> None:
    """Twenty lines say nothing."""
    seconds = [second(n, f"w{w}", cpu_percent=w) for n in range(4) for w in range(21)]
    chart = drawn(material(place, [record(end_ns=BASE_NS + S)], seconds=seconds))["client"]
    assert trace(chart, "busiest worker")["y"] == [20] * 4
    assert trace(chart, "median worker")["y"] == [10] * 4


def test_a_long_watch_is_drawn_by_its_worst_seconds(place: Path) -> None:
    """At most 1,500 points, and no peak is lost."""
    seconds = [second(n, loop_lag_ms_p99=99.0 if n == 3_333 else 1.0) for n in range(5_000)]
    line = trace(
        drawn(material(place, [record(end_ns=BASE_NS + S)], seconds=seconds))["client"], "loop late, p99"
    )
    assert len(line["y"]) <= 1_501
    assert max(line["y"]) == 99


def test_the_servers_course_is_its_samples(place: Path) -> None:
    """Queue and running as they are, the cache in percent; a look that failed is a gap."""
    samples = [
        Sample(time_ns=BASE_NS + n * S, queued=n, running=4.0, kv_cache_usage=n / 10, problem="")
        if n != 2
        else Sample(time_ns=BASE_NS + n * S, problem="timeout")
        for n in range(5)
    ]
    chart = drawn(material(place, [record(end_ns=BASE_NS + S)], samples=samples))["server"]
    assert trace(chart, "waiting in its queue")["y"] == [0, 1, None, 3, 4]
    assert trace(chart, "KV cache in use")["y"] == pytest.approx([0, 10, None, 30, 40])
    assert trace(chart, "KV cache in use")["yaxis"] == "y2"


# Errors and lengths


def test_errors_are_the_levels(sweep: tuple[Any, Material]) -> None:
    """Stacked by class; as many as the summary counts."""
    made = sweep[1]
    chart = drawn(made)["errors"]
    for one in chart.figure["data"]:
        assert one["y"] == [level["errors"].get(one["name"], 0) for level in made.levels]
    assert sum(sum(one["y"]) for one in chart.figure["data"]) == sum(level["failed"] for level in made.levels)


def test_more_classes_than_colours_are_put_together(place: Path) -> None:
    """None is lost: the rarest are `others`."""
    records = [
        record(f"{word}{n}", outcome=Outcome.FAILED, error_class=word)
        for number, word in enumerate(ErrorClass)
        for n in range(number + 1)
    ]
    chart = drawn(material(place, records))["errors"]
    assert [one["name"] for one in chart.figure["data"]][-1] == "others"
    assert len(chart.figure["data"]) == len(palette.CLASSES)
    assert sum(one["y"][0] for one in chart.figure["data"]) == len(records)


def test_lengths_are_means_of_what_can_be_compared(place: Path) -> None:
    """By hand: requests of which only one side is known are in neither bar."""
    sizes = [(100, 90, 10, 12), (200, 210, 20, 20), (None, 5_000, 30, 31)]
    records = [
        record(f"{n}", requested_prompt_tokens=a, prompt_tokens=b, requested_output_tokens=c, output_tokens=d)
        for n, (a, b, c, d) in enumerate(sizes)
    ]
    data = drawn(material(place, records))["lengths"].figure["data"]
    assert [(one["name"], one["y"], one["customdata"]) for one in data] == [
        ("asked for", [150], [2]),
        ("counted", [150], [2]),
        ("asked for", [20], [3]),
        ("counted", [21], [3]),
    ]


# Runs of every kind


def test_an_empty_run_has_no_figure(place: Path) -> None:
    """Nothing to show is nothing, and no error."""
    assert drawn(material(place, [])) == {}


def test_one_request_has_its_bar(place: Path) -> None:
    """No distribution of one, no line of one."""
    content = {
        "first_content_ns": BASE_NS + S,
        "last_content_ns": BASE_NS + 2 * S,
        "chunks": 2,
        "chunk_gaps_us": (1e6,),
    }
    found = drawn(material(place, [record(**content, output_tokens=2, end_ns=BASE_NS + 2 * S)]))
    assert list(found) == ["over-time", "timeline"]


def test_a_run_in_which_all_failed_shows_when_and_why(place: Path) -> None:
    """Also requests that never went out."""
    records = [
        record(f"{n}", sent_ns=None if n % 2 else BASE_NS + n * S, scheduled_ns=BASE_NS + n * S, end_ns=BASE_NS + (n + 1) * S,
               outcome=Outcome.FAILED, error_class=ErrorClass.CONNECT)
        for n in range(10)
    ]  # fmt: skip
    found = drawn(material(place, records))
    assert list(found) == ["over-time", "timeline", "errors"]
    assert sum(trace(found["over-time"], "failed requests")["y"]) == 10
    assert trace(found["timeline"], "failed")["y"] == list(range(1, 11))


def test_whole_answers_have_no_first_token(place: Path) -> None:
    """Without streams: E2E instead of TTFT, and rates of prompt and output."""
    records, windows = run(levels=(1, 2), per_level=40, repeats=1)
    plain = [
        replace(one, streamed=False, first_content_ns=one.last_content_ns, chunk_gaps_us=())
        for one in records
    ]
    found = drawn(material(place, plain, windows))
    assert "ttft" not in found
    assert "tpot" not in found
    assert "E2E" in found["tradeoff"].title
    assert trace(found["rates"], "prompt and output tokens/s of a request")["yaxis"] == "y2"
    assert "content arrives" not in {one["name"] for one in found["timeline"].figure["data"]}


def test_an_open_loops_levels_are_rates(place: Path) -> None:
    """On an axis of requests/s, in their order, named by the rate."""
    records, windows = run(levels=(1, 2), per_level=40, repeats=1)
    points = stored(
        LoadPoint(key=key, users=0, kind="rate", rate=rate, text=f"poisson:{rate}", value=rate)
        for key, rate in ((1, 5.0), (2, 2.5))
    )
    found = drawn(material(place, records, windows, points=points))
    assert trace(found["rates"], "system output tokens/s")["x"] == [2.5, 5]
    assert "requests/s" in found["rates"].figure["layout"]["xaxis"]["title"]["text"]
    assert found["ttft"].figure["layout"]["xaxis"]["categoryarray"] == ["2.5 req/s", "5 req/s"]
    assert "in the last window of 5 req/s" in found["timeline"].note


def test_levels_without_numbers_stand_in_a_row(place: Path) -> None:
    """Arrival processes have no value to put on an axis."""
    records, windows = run(levels=(1, 2), per_level=40, repeats=1)
    points = stored(
        LoadPoint(key=key, users=0, kind="arrivals", text=text)
        for key, text in ((1, "poisson:5"), (2, "steps:1@3s"))
    )
    chart = drawn(material(place, records, windows, points=points))["rates"]
    assert trace(chart, "system output tokens/s")["x"] == ["poisson:5", "steps:1@3s"]
    assert chart.figure["layout"]["xaxis"]["type"] == "category"


def test_one_level_has_histograms(place: Path) -> None:
    """Instead of boxes and of lines of one point: every request in one bin, the median the summary's."""
    records, windows = run(levels=(4,), per_level=80, repeats=2)
    made = material(place, records, windows)
    found = drawn(made)
    assert "rates" not in found
    assert "tradeoff" not in found
    for key, entry in (("ttft", "ttft_ms"), ("tpot", "tpot_ms"), ("e2e", "e2e_ms")):
        bars, median = found[key].figure["data"]
        assert sum(bars["y"]) == made.levels[0][entry]["n"]
        assert median["x"][0] == pytest.approx(made.levels[0][entry]["median"], rel=1e-4)


def test_one_level_held_twice_has_a_bar_a_pass(place: Path) -> None:
    """With the interval in words."""
    records, windows = run(levels=(4,), per_level=30, repeats=2)
    made = material(place, records, windows)
    rates = made.levels[0]["system_output_tokens_per_s_repeats"]
    passes = [{"repeat": n, "system_output_tokens_per_s": rate} for n, rate in enumerate(rates, 1)]
    between = {"low": 1.0, "high": 2.0, "passes": 2, "method": "t"}
    level = {**made.levels[0], "passes": passes, "intervals": {"system_output_tokens_per_s": between}}
    chart = drawn(replace(made, summary={**made.summary, "levels": [level]}))["passes"]
    assert chart.figure["data"][0]["y"] == pytest.approx(rates, rel=1e-4)
    assert "1 to 2 tokens/s" in chart.note


@settings(deadline=None, max_examples=25)
@given(
    levels=st.lists(st.integers(1, 6), unique=True, max_size=3).map(sorted),
    per_level=st.integers(1, 8),
    seed=st.integers(0, 99),
    keep=st.floats(0, 1),
)
def test_any_part_of_any_run_can_be_drawn(
    tmp_path_factory: pytest.TempPathFactory, levels: list[int], per_level: int, seed: int, keep: float
) -> None:
    """Whatever is missing: the figures are plotly's and JSON's, and nothing is NaN."""
    records, windows = run(levels=tuple(levels), per_level=per_level, repeats=1, seed=seed)
    kept = records[: round(len(records) * keep)]
    drawn(material(tmp_path_factory.mktemp("any"), kept, windows[: round(len(windows) * keep)]))


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=20))
def test_short_numbers_are_near_and_never_nan(values: list[float | None]) -> None:
    """Five digits; what is no number is None."""
    for value, made in zip(values, short(values), strict=True):
        if value is None or not math.isfinite(value):
            assert made is None
        elif 1e-290 < abs(value) < 1e290:
            assert made == pytest.approx(value, rel=6e-5)
            digits = f"{made:.17g}".lower().split("e")[0].replace(".", "").lstrip("-0")
            assert len(f"{made:.5g}") >= 1
            assert float(f"{made:.5g}") == pytest.approx(made, rel=1e-15), digits
    assert all(one is None or math.isfinite(one) for one in short(values))


# In the browser


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    """Of a real Chromium."""
    with open_browser(tmp_path) as browser, browser.tab() as opened:
        yield opened


def until(tab: Tab, what: str) -> None:
    """Wait in the page until an expression holds."""
    tab.run(f"new Promise((done) => {{const look = () => {what} ? done(1) : setTimeout(look, 20); look();}})")


def page(folder: Path, found: Sequence[Chart]) -> Path:
    """A page of these charts and nothing else."""
    scripts = "".join(embed.scripts(plotly_js.sources()))
    path = folder / "charts.html"
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>charts</title>{"".join(embed.charts(found))}{scripts}',
        encoding="utf-8",
    )
    return path


def hostile(place: Path) -> Material:
    """Workers, levels, SLOs and errors with names that mean something to a terminal, to HTML or to plotly."""
    records, windows = run(levels=(1, 2), per_level=40, repeats=1)
    points = stored(LoadPoint(key=key, users=0, kind="arrivals", text=f"{HOSTILE} {key}") for key in (1, 2))
    seconds = [second(n, f"{HOSTILE} {w}") for n in range(4) for w in "ab"]
    made = material(place, records, windows, points=points, seconds=seconds)
    errors = [{**level, "errors": {HOSTILE: 3}} for level in made.levels]
    return replace(made, summary={**made.summary, "levels": errors})


def test_hostile_names_appear_letter_by_letter(place: Path, tab: Tab, tmp_path: Path) -> None:
    """In legends, on axes and in hover labels of a real Chromium: no element, no link, no template is made of them."""
    found = list(charts(hostile(place)))
    tab.open(page(tmp_path, found))
    until(tab, "document.documentElement.dataset.plots === 'drawn'")
    text = tab.run(
        "Array.from(document.querySelectorAll('svg text')).map((one) => one.textContent).join('\\n')"
    )
    assert "<b>bold</b><a href='javascript:alert(1)'>x</a> %{y} &lt; &am" in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    tab.run("Plotly.Fx.hover(document.getElementById('plot-errors'), [{curveNumber: 0, pointNumber: 0}])")
    until(tab, "document.querySelector('#plot-errors .hoverlayer text')")
    hovered = tab.run("document.querySelector('#plot-errors .hoverlayer').textContent")
    assert "3 <b>bold</b><a href='javascript:alert(1)'>x</a> %{y} &lt; &am" in hovered
    assert tab.run("document.querySelectorAll('svg a, svg b, svg tspan[style*=bold]').length") == 0
    assert tab.complaints == []


def test_figures_are_drawn_at_every_width_in_the_readers_colours(
    sweep: tuple[Any, Material],
    tab: Tab,
    tmp_path: Path,
) -> None:
    """As wide as their place at 390 and 1280 px, dark where the system is; nothing is asked of any network."""
    found = list(drawn(sweep[1]).values())
    tab.view(390, scheme="dark")
    tab.open(page(tmp_path, found))
    until(tab, "document.documentElement.dataset.plots === 'drawn'")
    assert tab.run("document.querySelectorAll('.plot .main-svg').length") >= len(found)
    widths = "Array.from(document.querySelectorAll('.plot')).every((p) => Math.abs(p.clientWidth - p.querySelector('.main-svg').getBoundingClientRect().width) < 1)"
    assert tab.run(widths)
    colour = "document.querySelector('#plot-rates .scatterlayer .js-line').style.stroke"
    assert tab.run(colour) == _css(palette.DARK[palette.OUTPUT])
    tab.view(1280, scheme="light")
    until(tab, widths)
    until(tab, f"{colour} === {json.dumps(_css(palette.OUTPUT))}")
    assert tab.run("document.querySelectorAll('.modebar a[href], .plotlyjsicon').length") == 0
    assert tab.complaints == []
    assert tab.asked_for == []


def _css(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


def test_every_light_colour_has_its_dark_one() -> None:
    """What a figure may be painted with is known to the script."""
    single = {
        value for name, value in vars(palette).items() if isinstance(value, str) and value.startswith("#")
    }
    levels = {palette.level(place, number) for number in range(1, 40) for place in range(number)}
    assert single | set(palette.CLASSES) | levels <= set(palette.DARK)


def test_inert_texts_are_short() -> None:
    """A name of a megabyte is no legend."""
    assert len(inert("x" * 1_000_000)) < 100
    assert inert("a<b>&\n\x00") == "a&lt;b&gt;&amp; ?"


def test_without_plotly_there_is_a_plain_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its JavaScript is all that is used of it, and is asked for only when a page has figures."""
    monkeypatch.setattr(plotly_js, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="plotly is not installed"):
        plotly_js.sources()
