"""The dashboards: every query answers, names what is written, and is right at every zoom; the committed files are the generator's."""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influx_servers import Influx, influx

from harness.grafana import build, files, influxql, lint, queries
from harness.grafana.board import Row, grid
from harness.grafana.definitions import OUTPUT
from harness.grafana.panels import stat
from harness.grafana.queries import Query, counter_rates, filled, seconds
from harness.grafana.syntax import Call, Condition, Literal_, Name, Operation, Select
from harness.influx.lines import Encoder
from harness.influx.schema import MEASUREMENTS

__all__ = ["influx"]  # the fixture

ROOT: Final = Path(__file__).parent.parent
SECOND: Final = 10**9
START: Final = 1_794_000_000 * SECOND + 345_678_901  # an odd moment
LONG: Final = 150  # seconds of load
RUN: Final = "20261106T213320Z-vllm-chat-0a1b2c"
OTHER: Final = "20261106T213320Z-vllm-chat-0a1b2cd"  # the same and more: a prefix is not a match
WORKERS: Final = ("local-1", "box, with=odd name-2")
MODEL: Final = "meta-llama/Llama 3.1, 8B (it)"


def tokens(worker: int, second: int) -> float:
    """Output tokens of a worker in a second: uneven, so that a wrong mean shows."""
    return 100.0 * (worker + 1) + 7 * (second % 11) + (300 if 60 <= second < 70 else 0)


def correction(worker: int, second: int) -> float:
    """What is set right in it."""
    return (second * 13 + worker) % 5 - 2.0


def written(run: str = RUN) -> Iterator[bytes]:
    """A run's points, of every measurement and with every field."""
    whole = START - START % SECOND + SECOND
    for second in range(LONG):
        at = whole + second * SECOND
        yield from _of_workers(run, at, second)
        yield from _of_the_run(run, at, second)
    own = {"run": run, "model": MODEL, "backend": "vllm", "hardware": "none"}
    yield _line("llm_run", START, own, begin_ms=whole // 10**6, end_ms=whole // 10**6 + LONG * 1000)
    for level in (1, 2, 4):
        yield _line("llm_level", START + level, {"run": run, "level": str(level)}, concurrency=level)
    for kind in ("start", "level", "stop", "end", "worker", "guard", "note"):
        yield _line("llm_event", whole + len(kind), {"run": run, "kind": kind})


def _of_workers(run: str, at: int, second: int) -> Iterator[bytes]:
    for n, worker in enumerate(WORKERS):
        tags = {"run": run, "worker": worker}
        yield _line(
            "llm_second",
            at,
            tags,
            output_tokens=tokens(n, second),
            output_tokens_correction=correction(n, second),
            good=3 if second % 10 else 2,
        )
        yield _line("llm_client", at + 1234, tags)
        yield _line("llm_request", at + 2345, tags | {"outcome": "ok"}, seq=second + 1)
        if second % 5 == 0:
            yield _line("llm_writer", at + 3456, tags)
            yield _line("llm_error", at, tags | {"error_class": "timeout"})
        if second == 0:
            yield _line("llm_worker", START, tags)


def _of_the_run(run: str, at: int, second: int) -> Iterator[bytes]:
    yield _line("llm_load", at, {"run": run}, t_s=float(second), level=1 << second // 50)
    if (at // SECOND) % 3 == 0:
        yield _line("llm_percentiles", at, {"run": run})
    counters = (
        "prompt_tokens",
        "generated_tokens",
        "prefix_cache_hits",
        "prefix_cache_queries",
        "preemptions",
        "requests",
    )
    grown = {f"{name}_total": 1000.0 + 50 * second * (n + 1) for n, name in enumerate(counters)}
    yield _line("llm_server", at + 20_000_000 * (second % 7), {"run": run}, **grown)


def _line(measurement: str, at: int, tags: dict[str, str], **values: object) -> bytes:
    """One point with every field; those that nothing is said of have any value of their kind."""
    fields = MEASUREMENTS[measurement].fields
    any_of = {"int": 3, "float": 4.5, "string": 'some "text", any', "bool": True}
    return Encoder(MEASUREMENTS[measurement]).line(
        at, {name: any_of[f.kind] for name, f in fields.items()} | values, **tags
    )


@pytest.fixture(scope="module")
def bucket(influx: Influx) -> Influx:
    """A bucket with two runs, one second for second like the other."""
    own = influx.new_bucket()
    own.write(b"\n".join([*written(), *written(OTHER)]))
    return own


BEGIN_MS: Final = START // 10**6
END_MS: Final = BEGIN_MS + (LONG + 2) * 1000
WHOLE_MS: Final = (START // SECOND + 1) * 1000  # its first second


def ask(
    bucket: Influx, query: str, interval_s: int = 10, begin_ms: int = BEGIN_MS, end_ms: int = END_MS
) -> list[dict[str, Any]]:
    """The rows for the run in a range."""
    return bucket.query(filled(query, RUN, begin_ms, end_ms, interval_s * 1000))


@pytest.mark.parametrize("name", build.FILES)
@pytest.mark.parametrize("interval_s", [1, 10, 60])
def test_every_query_answers(bucket: Influx, name: str, interval_s: int) -> None:
    """No panel, variable or annotation asks for what is not there: each column of each query has values."""
    empty = {}
    for where, query in build.queries(build.dashboards()[name]):
        rows = ask(bucket, query, interval_s)
        columns = {column for row in rows for column in row}
        if dead := [one for one in columns if all(row.get(one) is None for row in rows)] or not rows:
            empty[where] = dead
    assert empty == {}


@pytest.mark.parametrize("interval_s", [1, 10, 60])
@pytest.mark.parametrize(("begin_s", "end_s"), [(0, LONG), (7, 143), (33, 34)])
def test_system_tokens_are_right_at_every_zoom(
    bucket: Influx, interval_s: int, begin_s: int, end_s: int
) -> None:
    """Each point is the mean of the sums of its seconds that are in view: no dip at an edge, and the area is exact."""
    query = seconds({"system": OUTPUT}).text
    rows = ask(bucket, query, interval_s, WHOLE_MS + begin_s * 1000, WHOLE_MS + end_s * 1000 - 1)
    sums: dict[int, list[float]] = {}
    for second in range(begin_s, end_s):
        at = WHOLE_MS // 1000 + second
        total = sum(tokens(n, second) + correction(n, second) for n in range(len(WORKERS)))
        sums.setdefault(at - at % interval_s, []).append(total)
    drawn = {row["time"] // SECOND: row["system"] for row in rows if row["system"] is not None}
    assert drawn == pytest.approx({at: sum(values) / len(values) for at, values in sums.items()})
    area = sum(drawn[at] * len(values) for at, values in sums.items())
    assert area == pytest.approx(sum(sum(values) for values in sums.values()))


def test_the_newest_seconds_are_not_drawn_until_all_have_written(influx: Influx) -> None:
    """One worker has written its newest seconds and the other has not: no dip."""
    bucket = influx.new_bucket()
    now = time.time_ns() // SECOND
    encoder = Encoder(MEASUREMENTS["llm_second"], run=RUN)
    values = {"output_tokens": 50.0, "output_tokens_correction": 0.0}
    behind = {"a": 1, "b": 3}
    lines = [
        encoder.line((now - ago) * SECOND, values, worker=worker)
        for worker, newest in behind.items()
        for ago in range(newest, 40)
    ]
    bucket.write(b"\n".join(lines))
    query = seconds({"system": OUTPUT}).text
    for interval_s in (1, 10):
        rows = ask(bucket, query, interval_s, (now - 60) * 1000, now * 1000)
        assert {row["system"] for row in rows} <= {100.0, None}
        assert 100.0 in {row["system"] for row in rows}


def test_a_counter_is_a_rate_by_the_looks_own_times(bucket: Influx) -> None:
    """Looks that come up to 120 ms late do not make a jagged line of a steady counter."""
    rows = ask(bucket, counter_rates({"server": "generated_tokens_total"}).text, 10)
    drawn = [row["server"] for row in rows if row["server"] is not None]
    assert len(drawn) in (15, 16)
    assert drawn == pytest.approx([100.0] * len(drawn), rel=0.03)


def panel_query(name: str, title: str, number: int = 0) -> str:
    """One query of a panel."""
    return next(
        q for where, q in build.queries(build.dashboards()[name]) if where == f"{title}, {'ABCD'[number]}"
    )


def test_tiles_say_what_their_descriptions_say(bucket: Influx) -> None:
    """Shares are of sums over workers and seconds: 3 failed of 6 that ended, 2 or 3 good of 9."""
    assert [row["errors"] for row in ask(bucket, panel_query("live-run.json", "Errors"))] == [50.0]
    good = 100 * sum(3 if second % 10 else 2 for second in range(LONG)) / (9 * LONG)
    assert [
        row["good"] for row in ask(bucket, panel_query("live-run.json", "Good requests"))
    ] == pytest.approx([good])
    assert [row["lost"] for row in ask(bucket, panel_query("live-run.json", "Points given up"))] == [12]
    assert [row["missing"] for row in ask(bucket, panel_query("trust.json", "Requests missing"))] == [0]
    rows = ask(bucket, panel_query("live-run.json", "Errors by class"), 10)
    assert {row["errors"] for row in rows[1:-1]} == {2 * 2 * 3 / 10}


def test_a_request_that_is_missing_is_counted(influx: Influx) -> None:
    """The highest number of each worker less how many there are."""
    bucket = influx.new_bucket()
    lines = [
        _line("llm_request", START + seq, {"run": RUN, "worker": worker, "outcome": outcome}, seq=seq)
        for worker, outcome, there in (("a", "ok", (1, 2, 5)), ("a", "failed", (4,)), ("b", "ok", (2, 3)))
        for seq in there
    ]
    bucket.write(b"\n".join(lines))
    assert [row["missing"] for row in ask(bucket, panel_query("trust.json", "Requests missing"))] == [2]


def test_runs_are_compared_over_elapsed_time(bucket: Influx) -> None:
    """Joined by time, the two tables of a run give its figure by the seconds since load began."""
    values, clock = (
        {row["time"]: row for row in ask(bucket, panel_query("compare-runs.json", "System tokens/s", n))}
        for n in (2, 3)
    )
    both = sorted((clock[at]["s"], values[at]["this run"]) for at in values.keys() & clock.keys())
    assert len(both) == len(values) == len(clock) == 51
    start = WHOLE_MS // 1000
    expected: dict[int, list[tuple[float, float]]] = {}
    for second in range(LONG):
        total = sum(tokens(n, second) + correction(n, second) for n in range(len(WORKERS)))
        expected.setdefault((start + second) // 3, []).append((second, total))
    means = [tuple(sum(c) / len(cells) for c in zip(*cells, strict=True)) for cells in expected.values()]
    assert [pair for one in both for pair in one] == pytest.approx([pair for one in means for pair in one])


def test_choices_narrow_the_list_of_runs(bucket: Influx) -> None:
    """A model's name is no pattern, and All is every run."""
    query = next(
        q for where, q in build.queries(build.dashboards()["live-run.json"]) if where == "variable run"
    )

    def runs(**chosen: str) -> list[str]:
        return [row["value"] for row in bucket.query(filled(query, RUN, BEGIN_MS, END_MS, 1000, **chosen))]

    assert sorted(runs()) == [RUN, OTHER]
    assert sorted(runs(model=MODEL, backend="vllm")) == [RUN, OTHER]
    assert runs(model="meta-llama/Llama 3.1, 8B .it.") == []
    assert runs(backend="vll") == []


def test_annotations_are_of_their_kind(bucket: Influx) -> None:
    """Each annotation shows the events of its own kinds, and all together show all."""
    made = build.dashboards()["live-run.json"]
    kinds = {
        one["name"]: {row["kind"] for row in ask(bucket, one["target"]["query"])}
        for one in made["annotations"]["list"]
        if "target" in one
    }
    assert kinds == {
        "Start and end": {"start", "stop", "end"},
        "Level changes": {"level"},
        "Workers": {"worker"},
        "Guards": {"guard"},
        "Notes": {"note"},
    }


def test_filled_is_what_grafana_would_send() -> None:
    """Chosen values are escaped where the format says so, All is taken as it is, and the rest is put in as text."""
    query = 'time(${__interval}) $__interval_ms $timeFilter "run" =~ /^${run:regex}$/ /^${model:regex}$/ $slo_ttft_ms'
    assert filled(query, "a.b/c", 1000, 2000, 500, slo_ttft_ms="7") == (
        'time(500ms) 500 time >= 1000ms and time <= 2000ms "run" =~ /^a\\.b\\/c$/ /^.*$/ 7'
    )
    with pytest.raises(KeyError, match="nobody"):
        filled("$nobody", "r", 0, 1, 1)


def test_the_dashboards_are_sound() -> None:
    """The lint has nothing to say."""
    assert lint.dashboards(build.dashboards()) == []


def test_the_committed_files_are_the_generators() -> None:
    """Byte for byte: else `make dashboards`."""
    assert list(files.check(ROOT / "dashboards")) == []


def test_a_chart_of_one_figure_over_another_says_whose_form_it_has_and_what_it_counts_to_the_right() -> None:
    """Grafana takes a chart without a version for one from before 11.1, converts its series, and shows none of them.

    An axis takes the unit of what is drawn unless it has its own.
    """
    charts = [p for board in build.dashboards().values() for p in board["panels"] if p["type"] == "xychart"]
    assert len(charts) == 10
    for chart in charts:
        assert chart["pluginVersion"] == "11.1.0", chart["title"]
        own = {
            o["matcher"]["options"]: {p["id"] for p in o["properties"]}
            for o in chart["fieldConfig"]["overrides"]
        }
        for pair in chart["options"]["series"]:
            assert {"unit", "custom.axisLabel"} <= own[pair["x"]["matcher"]["options"]], chart["title"]


def test_titles_of_the_five() -> None:
    """Links of the console and of provisioning go by these."""
    assert {name: (one["uid"], one["title"]) for name, one in build.dashboards().items()} == {
        "live-run.json": ("tokenswarm-live", "Live run"),
        "capacity.json": ("tokenswarm-capacity", "Capacity"),
        "compare-runs.json": ("tokenswarm-compare", "Compare runs"),
        "trust.json": ("tokenswarm-trust", "Trust"),
        "server.json": ("tokenswarm-server", "Server"),
    }


def test_drift_is_said_with_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing, one edited by hand, and one that nobody makes: exit 1, and `make dashboards`."""
    folder = ["--folder", str(tmp_path)]
    assert files.main(folder) == 0
    assert files.main(["--check", *folder]) == 0
    capsys.readouterr()
    (tmp_path / "trust.json").unlink()
    live = tmp_path / "live-run.json"
    live.write_bytes(live.read_bytes().replace(b'"5s"', b'"6s"', 1))
    (tmp_path / "mine.json").write_text("{}")
    alerts = tmp_path / "provisioning" / "alerting" / "tokenswarm.yaml"
    alerts.write_text(alerts.read_text().replace("for: 1m", "for: 2m", 1))
    assert files.main(["--check", *folder]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{live} is not what harness/grafana makes (edited by hand, or the generator has changed): {files.FIX}",
        f"{tmp_path / 'trust.json'} is missing: {files.FIX}",
        f"{alerts} is not what harness/grafana makes (edited by hand, or the generator has changed): {files.FIX}",
        f"{tmp_path / 'mine.json'}: harness/grafana makes no such file: remove it, or add it to harness/grafana/build.py",
    ]
    assert "make dashboards" in files.FIX


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ('SELECT "verdikt" FROM "llm_run"', "llm_run has no field or tag verdikt"),
        ('SELECT SUM("tokens") FROM "llm_second"', "llm_second has no field or tag tokens"),
        ('SELECT SUM("sent") FROM "llm_seconds"', "there is no measurement llm_seconds: one of "),
        (
            'SELECT SUM("sent") FROM "llm_second" WHERE "model" =~ /^x$/',
            "llm_second has no field or tag model",
        ),
        (
            'SELECT SUM("sent") FROM "llm_second" GROUP BY "model"',
            "GROUP BY model: llm_second has no such tag",
        ),
        ('SELECT SUM("verdict") FROM "llm_run"', "SUM(verdict): verdict is a string, not a number"),
        ('SELECT COUNT("worker") FROM "llm_second"', "COUNT(worker): worker is a tag, not a field"),
        (
            'SELECT SUM("x") FROM (SELECT LAST("state") AS "x" FROM "llm_run")',
            "SUM(x): x is a string, not a number",
        ),
        ('SELECT "name" + 1 AS "n" FROM "llm_run"', "name +: it is a string, not a number"),
        (
            'SELECT "a" FROM (SELECT SUM("sent") AS "b" FROM "llm_second")',
            "the subquery has no field or tag a",
        ),
        ('SELECT "run" FROM "llm_run"', "only tags are selected: InfluxDB answers nothing without a field"),
        (
            'SELECT "sent", SUM("failed") FROM "llm_second"',
            "sent stands beside an aggregate, which has no single point",
        ),
        (
            'SELECT SUM("sent") FROM "llm_second" WHERE "run" = 5',
            "run =: it is a text, which is compared with",
        ),
        (
            'SELECT SUM("sent") FROM "llm_second" WHERE "sent" = \'5\'',
            "sent =: it is a number and is compared with a text",
        ),
        ('SELECT SUM("sent") FROM "llm_second" GROUP BY time(1s)', "GROUP BY time(...) without fill(...)"),
        (
            'SELECT "sent" FROM "llm_second" GROUP BY time(1s) fill(null)',
            "GROUP BY time(...) without an aggregate",
        ),
        ('SELECT SAMPLE("sent", 3) FROM "llm_second"', "SAMPLE: not a function that every InfluxDB has"),
        (
            'SELECT "sent" FROM "llm_second" WHERE "run" =~ /^$run$/',
            "/^$run$/: a chosen value has to stand as",
        ),
        (
            'SELECT "sent" FROM "llm_second" WHERE "run" =~ /^${baseline:regex}$/',
            "$baseline: there is no such variable",
        ),
        ('SELECT "sent", "sent" FROM "llm_second"', "two columns are called sent"),
        ('SHOW TAG VALUES FROM "llm_run" WITH KEY = "level"', "llm_run has no tag level"),
        (
            'SHOW TAG VALUES FROM "llm_run" WITH KEY = "run" WHERE "modell" = \'x\'',
            "llm_run has no field or tag modell",
        ),
        ('SELECT "sent" INTO "x" FROM "llm_second"', "at 14: FROM expected, not INTO"),
        ('SELECT "sent" FROM "db"."rp"."llm_second"', "at 23: cannot read"),
        ('from(bucket: "x") |> range(start: -1h)', "at 11: cannot read"),
        ('SELECT SUM("sent" FROM "llm_second"', "at 18: , expected, not FROM"),
        ("SELECT", "at 6: a value expected, not the end"),
    ],
)
def test_lint_finds_what_is_wrong_with_a_query(query: str, problem: str) -> None:
    """Names, kinds and forms that InfluxDB would answer with nothing, or not every version with the same."""
    assert any(found.startswith(problem) for found in lint.query(query, {"run"})), lint.query(query, {"run"})


def test_lint_knows_what_is_right() -> None:
    """Arithmetic, patterns with slashes, subqueries, brackets."""
    for query in (
        'SELECT 100 * SUM("failed") / (SUM("sent") + 1) AS "x" FROM "llm_second" WHERE ("run" = \'a\' OR "worker" =~ /a\\/b/)',
        'SELECT TOP("e2e_ms", 5) AS "e", "phase" FROM "llm_request" WHERE time > now() - 5s AND "phase" = \'measure\' LIMIT 5',
    ):
        assert lint.query(query) == []


TILE: Final = ("panels", 0)
QUERY: Final = (*TILE, "targets", 0, "query")
OVERRIDE: Final = {"matcher": {"id": "byName", "options": "sistem"}, "properties": []}
BOX: Final = {"name": "user", "type": "textbox", "query": ""}


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            QUERY,
            'SELECT SUM("token") AS "system" FROM "llm_second"',
            "System tokens/s, A: llm_second has no field or tag token",
        ),
        ((*TILE, "fieldConfig", "defaults", "unit"), None, "System tokens/s: no unit"),
        ((*TILE, "description"), "", "System tokens/s: no description"),
        ((*TILE, "title"), "", "panel 1: no title"),
        ((*TILE, "targets"), [], "System tokens/s: no query"),
        (("templating", "list", 4), BOX, "variable user: no query uses it"),
        ((*TILE, "description"), "of $who", "$who: there is no such variable, in 'of $who'"),
        (("panels", 1, "gridPos", "x"), 2, "System tokens/s and Per-request p50: one lies over the other"),
        (("panels", 7, "gridPos", "w"), 4, "Points given up: not within 24 columns"),
        (("panels", 1, "id"), 1, "id 1: two panels have it"),
        (
            ("panels", 8, "targets", 1, "refId"),
            "A",
            "System and per-request throughput against the load: two queries are called A",
        ),
        ((*TILE, "targets", 0, "datasource"), {"uid": "mine"}, "data source mine: only tokenswarm"),
        (
            (*TILE, "type"),
            "piechart",
            "System tokens/s: piechart is not one of row, stat, table, text, timeseries, xychart",
        ),
        (
            (*TILE, "fieldConfig", "overrides"),
            [OVERRIDE],
            "System tokens/s: an override for sistem, and there is no such column",
        ),
        (
            (*TILE, "targets", 0, "alias"),
            "$tag_run",
            "System tokens/s: alias $tag_run: the query is not grouped by it",
        ),
        (
            ("panels", -1, "panels", 0, "targets", 0, "query"),
            'SELECT "x" FROM "llm_run"',
            "Slowest requests, A: llm_run has no field or tag x",
        ),
        (
            (*TILE, "transformations"),
            [{"id": "joinByField", "options": {"byField": "Tyme"}}],
            "System tokens/s: joinByField: there is no column Tyme",
        ),
        (("panels", 1, "title"), "System tokens/s", "System tokens/s: two panels are called so"),
    ],
)
def test_lint_finds_what_is_wrong_with_a_dashboard(
    path: tuple[str | int, ...], value: object, problem: str
) -> None:
    """One thing is spoilt in Live run, and that is said, with the place."""
    made = copy.deepcopy(build.dashboards()["live-run.json"])
    inner: Any = made
    for step in path[:-1]:
        inner = inner[step]
    if isinstance(inner, list) and path[-1] == len(inner):
        inner.append(value)
    else:
        inner[path[-1]] = value
    assert f"Live run: {problem}" in lint.dashboard(made)


def test_two_dashboards_of_one_uid_are_found() -> None:
    """Grafana would keep one of them."""
    made = build.dashboards()
    made["server.json"]["uid"] = made["trust.json"]["uid"]
    assert lint.dashboards(made) == [
        f"{name}: uid tokenswarm-trust: another has it too" for name in ("trust.json", "server.json")
    ]


def test_a_row_is_as_wide_as_the_dashboard() -> None:
    """Rows share their width out; one that does not fill it is a mistake."""
    tile = stat("a", "none", "what it is", Query('SELECT "x" FROM "y"'))
    assert [
        panel["gridPos"]
        for panel in grid([Row(5, (tile, tile)), Row(3, (tile,), title="more", folded=True)])[:3]
    ] == [
        {"h": 5, "w": 12, "x": 0, "y": 0},
        {"h": 5, "w": 12, "x": 12, "y": 0},
        {"h": 1, "w": 24, "x": 0, "y": 5},
    ]
    with pytest.raises(ValueError, match="the row of a is 20 wide, not 24"):
        grid([Row(5, (tile,) * 5)])


def test_files_are_json_that_grafana_can_read() -> None:
    """Classic dashboards with a stable order of keys, and nothing that a person's Grafana put in."""
    for name, made in build.dashboards().items():
        stored = json.loads((ROOT / "dashboards" / name).read_bytes())
        assert stored == made
        assert (stored["schemaVersion"], stored["id"], stored["tags"]) == (41, None, ["tokenswarm"])


names = st.text("abz 09_-.", min_size=1)
literals = st.one_of(
    st.integers(0, 10**9).map(lambda n: Literal_("number", str(n))),
    st.sampled_from(
        [Literal_("duration", "10s"), Literal_("variable", "$x"), Literal_("variable", "${y:regex}")]
    ),
    st.text("ab '\"/", max_size=5).map(lambda t: Literal_("text", "'" + t.replace("'", "\\'") + "'")),
)
expressions = st.recursive(
    names.map(Name) | literals,
    lambda inner: (
        st.builds(Call, st.sampled_from(["SUM", "LAST", "NOW"]), st.lists(inner, max_size=2).map(tuple))
        | st.builds(Operation, st.sampled_from("+-*/%"), inner, inner)
    ),
    max_leaves=6,
)
conditions = st.builds(
    Condition,
    names.map(Name),
    st.sampled_from(["=~", "!~"]),
    st.sampled_from(["/^a$/", "/^${run:regex}$/", "/a\\/b (c)/"]).map(lambda t: Literal_("regex", t)),
) | st.builds(Condition, names.map(Name), st.sampled_from(["=", "!=", "<", ">="]), literals)


def selects(source: st.SearchStrategy[Any]) -> st.SearchStrategy[Select]:
    """SELECTs over a source."""
    return st.builds(
        Select,
        st.lists(st.tuples(expressions, st.none() | names), min_size=1, max_size=3).map(tuple),
        source,
        st.lists(conditions, max_size=3).map(tuple),
        st.none() | st.just(Literal_("variable", "$__interval")),
        st.lists(names, max_size=2).map(tuple),
        st.none() | st.sampled_from(["null", "none", "0"]),
        st.none() | st.integers(1, 99),
    )


def shown(value: object) -> str:
    """The text of a tree, every operation in brackets."""
    match value:
        case str(text) | Name(text):
            return f'"{text}"'
        case Literal_(_, text):
            return text
        case Call(function, arguments):
            return f"{function.lower()}({', '.join(map(shown, arguments))})"
        case Operation(operator, left, right):
            return f"({shown(left)} {operator} {shown(right)})"
        case Condition(left, operator, right):
            return f"{shown(left)} {operator} {shown(right)}"
        case Select(columns, source, where, every, by, fill, limit):
            parts = ", ".join(shown(one) + (f" AS {shown(alias)}" if alias else "") for one, alias in columns)
            groups = [*([f"time({shown(every)})"] if every else []), *map(shown, by)]
            return (
                f"select {parts} FROM {f'({shown(source)})' if isinstance(source, Select) else shown(source)}"
                + (f" where {' and '.join(map(shown, where))}" if where else "")
                + (f" GROUP BY {', '.join(groups)}" if groups else "")
                + (f" fill({fill})" if fill else "")
                + (f" limit {limit}" if limit else "")
            )
    raise AssertionError(value)


@given(selects(names | selects(names)))
def test_what_is_written_is_read(statement: Select) -> None:
    """The tree of a text is the tree that the text was made of."""
    assert influxql.parse(shown(statement)) == statement


@given(st.text(max_size=40) | st.text('SELECTFROM "a"()/=~$1s,', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but a tree, or a ValueError that says where."""
    try:
        influxql.parse(text)
    except ValueError as error:
        said = str(error)
    else:
        said = "at all"
    assert said.startswith("at ")


def test_every_variable_has_a_value_in_filled() -> None:
    """`filled` knows the variables of all dashboards."""
    for made in build.dashboards().values():
        for _, query in build.queries(made):
            assert queries.filled(query, RUN, 0, 1, 1).count("$") == query.count("$/")
