"""Real runs into a real InfluxDB: what is there afterwards is what happened, whatever became of InfluxDB meanwhile.

The truth is requests.parquet, which other tests hold against the simulator's own log.
"""

import dataclasses
import gzip
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pandas as pd
import pytest
from influx_servers import Influx, open_influx
from locust_runs import NUMBERS, Result, finish, run, simulator, start, until

from harness.grafana import build, queries
from harness.influx.lines import tag
from harness.influx.schema import MEASUREMENTS
from harness.servers.process import Server, free_port

CANARY: Final = "canary-e5b1c0ffee"
SIMULATED: Final = ("--slots", "16", "--step-base-ms", "10", "--step-per-seq-ms", "0.5", "--jitter", "0")
LOAD: Final = (*NUMBERS, "--output-tokens", "120")  # 2 s a request
# A letter to break each syntax between here and there: line protocol, InfluxQL, JSON, a shell, a folder's name.
ODD: Final = "a b,c=\"d\"=e\\ 'f' 🦙 ü%2F/..;$x"
LONG: Final = "x" * 10_000
# Of what a run that goes well, or ends itself, has none of.
UNHEARD_OF: Final = ("annotation Notes",)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with simulator(*SIMULATED) as served:
        yield served


@pytest.fixture
def bucket(influx: Influx) -> Influx:
    return influx.new_bucket()


def processes(number: int) -> tuple[str, ...]:
    """So many workers, and a port of their own."""
    port = str(free_port())
    return ("--processes", str(number), "--master-bind-port", port, "--master-port", port)


def run_id(done: Result) -> str:
    return done.directory.name


def one(bucket: Influx, query: str) -> dict[str, Any]:
    (row,) = bucket.query(query)
    return row


def system_tokens(bucket: Influx, run: str) -> float:
    """The integral of system tokens/s: what all seconds were given, corrections included."""
    sums = one(
        bucket,
        f'SELECT SUM("output_tokens") AS "t", SUM("output_tokens_correction") AS "c" FROM "llm_second" WHERE "run" = \'{run}\'',
    )
    return float(sums["t"] + sums["c"])


def counted(bucket: Influx, run: str, measurement: str, field: str) -> int:
    rows = bucket.query(f'SELECT COUNT("{field}") AS "n" FROM "{measurement}" WHERE "run" = \'{run}\'')
    return int(rows[0]["n"]) if rows else 0


def replay(done: Result, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "replay", str(done.directory), "--to-influx"]
    return subprocess.run(command, capture_output=True, text=True, env=dict(env), timeout=120, check=False)


def requests_agree(bucket: Influx, done: Result) -> None:
    """Every request is there once, with its own figures."""
    rows = bucket.query(
        f'SELECT "request_id", "seq", "ttft_ms", "e2e_ms", "output_tokens", "worker" FROM "llm_request" '
        f"WHERE \"run\" = '{run_id(done)}'"
    )
    there = pd.DataFrame(rows).set_index("request_id").sort_index()
    truth = done.requests.set_index("request_id").sort_index()
    assert there.index.is_unique
    assert list(there.index) == list(truth.index)
    for figure in ("ttft_ms", "e2e_ms", "output_tokens"):
        assert there[figure].tolist() == pytest.approx(truth[figure].tolist()), figure
    for _, own in there.groupby("worker"):
        assert sorted(own.seq) == list(range(1, len(own) + 1))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory, influx: Influx, server: Server) -> tuple[Result, Influx]:
    """A sweep with 4 workers."""
    bucket = influx.new_bucket()
    levels = ("--levels", "4,8", "--requests-per-level", "3x", *processes(4), "--slo", "ttft_p95<2s")
    done = run(
        "openai.py",
        tmp_path_factory.mktemp("four") / "r",
        "--host",
        server.url,
        *LOAD,
        *levels,
        env=bucket.environ,
    )
    assert done.code == 0, done.err
    return done, bucket


def test_the_integral_of_the_systems_rate_is_the_tokens_of_the_run(four: tuple[Result, Influx]) -> None:
    """Within 0.5 %, with 4 workers and no point lost; requests one by one."""
    done, bucket = four
    truth = done.requests.output_tokens.sum()
    assert truth == 36 * 120
    assert system_tokens(bucket, run_id(done)) == pytest.approx(truth, rel=0.005)
    requests_agree(bucket, done)
    stored = orjson.loads((done.directory / "run.json").read_bytes())
    assert stored["metrics"]["created"] == stored["metrics"]["delivered"] > 150
    assert stored["metrics"]["lost"] == 0
    for worker in stored["workers"]:
        assert worker["metrics"]["lost"] == 0
        assert worker["metrics"]["created"] > worker["totals"]["offered"]
    row = one(bucket, 'SELECT * FROM "llm_run"')
    assert (row["points_lost"], row["state"], row["workers"]) == (0, "complete", 4)
    assert row["output_tokens"] == truth


def test_levels_are_those_of_the_summary(four: tuple[Result, Influx]) -> None:
    """One point each, the figures of while it ran overwritten."""
    done, bucket = four
    rows = {row["concurrency"]: row for row in bucket.query('SELECT * FROM "llm_level"')}
    for level in done.summary["levels"]:
        row = rows.pop(level["concurrency"])
        assert row["final"] == 1
        assert row["system_output_tokens_per_s"] == pytest.approx(level["system_output_tokens_per_s"])
        assert row["ttft_ms_p95"] == pytest.approx(level["ttft_ms"]["p95"])
        assert row["goodput_percent"] == pytest.approx(100 * level["goodput"]["share"])
    assert not rows


def test_an_open_loop_shows_what_it_held_and_what_it_held_back(
    bucket: Influx, server: Server, tmp_path: Path
) -> None:
    """Rates by their numbers and in words; the cap's backlog while it grows; replayed, levels and requests are the same."""
    done = run(
        *("openai.py", tmp_path / "r", "--host", server.url, *LOAD),
        *("--rates", "2,12", "--arrivals", "constant", "--seconds-per-level", "6s", "--max-concurrency", "6"),
        env=bucket.environ,
    )
    assert done.code == 0, done.err
    levels = {row["level"]: row for row in bucket.query('SELECT * FROM "llm_level"')}
    assert [(row["title"], row["value"], row["rate"], row["final"]) for row in levels.values()] == [
        ("2 req/s", 2.0, 2.0, 1),
        ("12 req/s", 12.0, 12.0, 1),
    ]
    assert {row.get("concurrency") for row in levels.values()} == {None}
    for level in done.summary["levels"]:
        row = levels[str(level["level"])]
        assert row["unsent"] == level["unsent"]
        assert row["arrivals_per_s"] == pytest.approx(level["arrivals_per_s"])
        assert row["in_flight_mean"] == pytest.approx(level["in_flight_mean"])
    load = pd.DataFrame(bucket.query('SELECT * FROM "llm_load"'))
    assert set(load.value) == {0.0, 2.0, 12.0}
    assert set(load.steps) == {2}
    # 12 a second are due and, after the first 6, 3 a second go: 9 more wait with each second, some 48 in the end.
    # The last report may be 3 s old, so it was made after 3 of the 6 seconds at least.
    assert 10 <= load.backlog.max() <= 60
    seconds = pd.DataFrame(bucket.query('SELECT * FROM "llm_second"'))
    assert (seconds.waiting <= seconds.in_flight).all()
    assert (seconds.in_flight - seconds.waiting).max() <= 6
    assert seconds.waiting.max() >= 20
    requests_agree(bucket, done)
    before = bucket.query('SELECT * FROM "llm_level"')
    again = replay(done, bucket.environ)
    assert again.returncode == 0, again.stderr
    assert bucket.query('SELECT * FROM "llm_level"') == before
    requests_agree(bucket, done)


def test_every_second_of_every_worker_is_there(four: tuple[Result, Influx]) -> None:
    """Whole seconds, none left out, and what began is what was counted in all."""
    done, bucket = four
    rows = pd.DataFrame(bucket.query('SELECT * FROM "llm_second"'))
    assert (rows.time % 1_000_000_000 == 0).all()
    for worker, own in rows.groupby("worker"):
        gaps = own.time.sort_values().diff().dropna()
        assert (gaps == 1_000_000_000).all(), worker
    totals = done.summary["totals"]
    assert rows.scheduled.sum() == rows.sent.sum() == rows.succeeded.sum() == totals["succeeded"] == 36
    assert rows.good.sum() == 36
    assert rows.prompt_tokens.sum() == totals["prompt_tokens"]
    both = rows.groupby("time").in_flight.sum()
    assert both.max() == 8


def test_what_happened_is_there_as_events(four: tuple[Result, Influx]) -> None:
    """In order: load begins, who is at work, each level, the end."""
    _, bucket = four
    events = [(row["kind"], row["title"]) for row in bucket.query('SELECT "kind", "title" FROM "llm_event"')]
    kinds = [kind for kind, _ in events]
    assert kinds == ["start", "worker", "level", "level", "stop", "end"]
    assert [title for kind, title in events if kind == "level"] == ["4 users", "8 users"]


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory, influx: Influx) -> tuple[tuple[Result, ...], Influx]:
    """A sweep of 4 workers against a server that tells all about itself and fails now and then; an open loop; one that ends itself."""
    bucket = influx.new_bucket()
    folder = tmp_path_factory.mktemp("eventful")
    with simulator(*SIMULATED, "--speak", "vllm", "--fault", "status:0.05,code=500") as served:
        options = ("--host", served.url, *LOAD, "--slo", "ttft_p95<2s", "--exit-code-on-error", "0")
        levels = ("--levels", "4,8", "--requests-per-level", "4x", *processes(4))
        swept = run("vllm.py", folder / "swept", *options, *levels, env=bucket.environ)
        arrivals = ("--arrivals", "constant:4", "--max-concurrency", "4", "-t", "4s")
        opened = run("vllm.py", folder / "opened", *options, *arrivals, env=bucket.environ)
    with simulator(*SIMULATED, "--fault", "status:1,code=401") as served:
        options = ("--host", served.url, "--prompt-tokens", "30", "-u", "4", "-t", "60s", "--preflight", "no")
        ended = run("openai.py", folder / "ended", *options, env=bucket.environ)
    assert swept.code == 0, swept.err
    assert opened.directory.is_dir(), opened.err
    assert "stopped early" in ended.err, ended.err
    return (swept, opened, ended), bucket


def test_every_query_of_every_dashboard_returns_rows(eventful: tuple[tuple[Result, ...], Influx]) -> None:
    """With its variables filled in, for runs that have just been made."""
    runs, bucket = eventful
    silent = []
    for made in build.dashboards().values():
        for where, query in build.queries(made):
            if where not in UNHEARD_OF and not any(_answers(bucket, query, done) for done in runs):
                silent.append((made["title"], where, query))
    assert silent == [], "\n".join(map(str, silent))


def _answers(bucket: Influx, query: str, done: Result) -> bool:
    whose = f'FROM "llm_run" WHERE "run" = \'{run_id(done)}\''
    begin_ms, end_ms = (int(one(bucket, f'SELECT "{name}" {whose}')[name]) for name in ("begin_ms", "end_ms"))
    rows = bucket.query(queries.filled(query, run_id(done), begin_ms - 1_000, end_ms + 1_000, 1_000))
    return any(value is not None for row in rows for name, value in row.items() if name != "time")


def test_replaying_a_run_changes_nothing_but_estimates(four: tuple[Result, Influx]) -> None:
    """The same points: as many as before, each where it was; seconds are exact now."""
    done, bucket = four
    run = run_id(done)
    kinds = [
        name
        for name in MEASUREMENTS
        if name not in ("llm_writer", "llm_second", "llm_load", "llm_percentiles")
    ]
    before = {name: bucket.query(f'SELECT * FROM "{name}"') for name in kinds}
    again = replay(done, bucket.environ)
    assert again.returncode == 0, again.stderr
    for name in kinds:
        after = bucket.query(f'SELECT * FROM "{name}"')
        assert [row["time"] for row in after] == [row["time"] for row in before[name]], name
    requests_agree(bucket, done)
    truth = done.requests.output_tokens.sum()
    assert system_tokens(bucket, run) == pytest.approx(truth, rel=1e-9)


@pytest.fixture(scope="module")
def own() -> Iterator[Influx]:
    """A server that may be stopped."""
    with open_influx(own=True) as opened:
        yield opened


def test_a_server_that_is_away_for_a_while_changes_nothing(
    tmp_path: Path, own: Influx, server: Server
) -> None:
    """Stopped in mid-run: load goes on as it did, and afterwards everything is there once."""
    bucket = own.new_bucket()
    options = ("--host", server.url, *LOAD, "-u", "8", "-r", "8", "-t", "22s", *processes(2))
    process = start("openai.py", tmp_path / "r", "--headless", *options, env=bucket.environ)
    until(lambda: len(bucket.query('SELECT "sent" FROM "llm_second"')) > 4)
    own.stop()
    time.sleep(8)
    own.start()
    done = finish(process, tmp_path / "r")
    assert done.code == 0, done.err
    assert "InfluxDB has all" in done.err, done.err
    requests_agree(bucket, done)
    assert system_tokens(bucket, run_id(done)) == pytest.approx(done.requests.output_tokens.sum(), rel=0.005)
    table = done.requests
    measured = table[table.phase == "measure"]
    # The simulator's own pace: 120 steps of 10 + 8 x 0.5 ms. An influence of ours would show.
    assert measured.tpot_ms.median() == pytest.approx(14, rel=0.1)
    verdict = done.summary["verdict"]
    # Whoever else uses this machine.
    others = [why for why in verdict["reasons"] if "waited for a core" in why]
    assert verdict["status"] != "invalid" or others, verdict


def test_a_server_that_never_comes_back_costs_nothing_and_replay_brings_all(
    tmp_path: Path, own: Influx, server: Server
) -> None:
    """A warning at the start, figures as ever, what is missing at the end, and afterwards everything once."""
    bucket = own.new_bucket()
    own.stop()
    options = ("--host", server.url, *LOAD, "-u", "4", "-r", "4", "-t", "6s")
    done = run("openai.py", tmp_path / "r", *options, env=bucket.environ)
    own.start()
    assert done.code == 0, done.err
    assert "warning: no metrics yet" in done.err
    assert "cannot be reached" in done.err
    assert "are not in InfluxDB (" in done.err
    assert f"`tokenswarm replay {done.directory} --to-influx` sends all points of this run again" in done.err
    stored = orjson.loads((done.directory / "run.json").read_bytes())
    assert stored["metrics"]["lost"] == stored["metrics"]["created"] > 0
    assert not bucket.query('SELECT * FROM "llm_second"')
    again = replay(done, bucket.environ)
    assert again.returncode == 0, again.stderr
    requests_agree(bucket, done)
    truth = done.requests.output_tokens.sum()
    assert system_tokens(bucket, run_id(done)) == pytest.approx(truth, rel=1e-9)
    twice = replay(done, bucket.environ)
    assert twice.returncode == 0, twice.stderr
    assert counted(bucket, run_id(done), "llm_request", "seq") == len(done.requests)
    assert system_tokens(bucket, run_id(done)) == pytest.approx(truth, rel=1e-9)


def test_odd_names_come_back_to_the_letter(tmp_path: Path, bucket: Influx) -> None:
    """Of the model, the run and labels: in the fields as they were, in the tags as tags can have them."""
    labels = ("--label", f"hardware={ODD}", "--label", f"note={LONG}")
    with simulator(*SIMULATED, "--model", ODD) as server:
        options = (
            "--host",
            server.url,
            "--model",
            ODD,
            "--run-name",
            "a.b-c_d",
            *labels,
            *LOAD,
            "-u",
            "2",
            "-t",
            "3s",
        )
        done = run("openai.py", tmp_path / "r", *options, env=bucket.environ)
    assert done.code == 0, done.err
    assert "InfluxDB has all" in done.err, done.err
    row = one(bucket, 'SELECT * FROM "llm_run"')
    assert row["model_id"] == row["hardware_label"] == ODD
    assert row["model"] == row["hardware"] == tag(ODD)
    assert row["labels"] == f"hardware={ODD},note={LONG}"
    assert row["name"] == "a.b-c_d"
    assert row["run"] == run_id(done)
    tags = bucket.query('SHOW TAG VALUES FROM "llm_run" WITH KEY = "model"')
    assert [found["value"] for found in tags] == [tag(ODD)]


def test_no_secret_is_in_anything_that_a_run_leaves(tmp_path: Path, influx: Influx) -> None:
    """Tokens and keys are in no point, no output and no file, also where servers refuse and quote them."""
    bucket = dataclasses.replace(influx.new_bucket())
    secrets = {
        "TOKENSWARM_API_KEY": f"{CANARY}-key",
        "GRAFANA_URL": "http://127.0.0.1:1",
        "GRAFANA_TOKEN": f"{CANARY}-grafana",
    }
    with simulator(*SIMULATED, "--api-key-env", "THE_KEY", env={"THE_KEY": f"{CANARY}-key"}) as server:
        options = ("--host", server.url, *LOAD, "-u", "2", "-t", "3s")
        good = run("openai.py", tmp_path / "good", *options, env=bucket.environ | secrets)
        wrong = bucket.environ | secrets | {"INFLUXDB_TOKEN": f"{CANARY}-influx"}
        bad = run("openai.py", tmp_path / "bad", *options, env=wrong)
    assert good.code == bad.code == 0, good.err + bad.err
    for done in (good, bad):
        for said in (done.out, done.err):
            assert CANARY not in said
            assert influx.token not in said
        for path in done.directory.rglob("*"):
            found = path.read_bytes()
            found += gzip.decompress(found) if found[:2] == b"\x1f\x8b" else b""
            assert CANARY.encode() not in found, path
            assert influx.token.encode() not in found, path
    for name in MEASUREMENTS:
        assert CANARY not in str(bucket.query(f'SELECT * FROM "{name}"'))
        assert influx.token not in str(bucket.query(f'SELECT * FROM "{name}"'))


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("INFLUXDB_URL", "127.0.0.1:8086", "no scheme"),
        ("INFLUXDB_URL", f"http://me:{CANARY}@127.0.0.1:8086", "INFLUXDB_TOKEN"),
        ("INFLUXDB_TOKEN_FILE", "/no/such/file", "INFLUXDB_TOKEN_FILE"),
        ("GRAFANA_URL", "grafana", "GRAFANA_URL"),
    ],
)
def test_a_variable_that_cannot_be_right_ends_it_before_load(
    tmp_path: Path, server: Server, variable: str, value: str, says: str
) -> None:
    """One line with the fix, exit 2, nothing kept, no secret shown."""
    env = {"INFLUXDB_URL": "http://127.0.0.1:1", variable: value}
    done = run("openai.py", tmp_path / "r", "--host", server.url, *LOAD, "-u", "1", "-t", "2s", env=env)
    assert done.code == 2, done.err
    (line,) = done.errors
    assert variable in line
    assert says in line
    assert CANARY not in done.err
    assert not list((tmp_path / "r").glob("*"))
