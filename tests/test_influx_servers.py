"""What real InfluxDBs do with our lines, and the real InfluxDBs of the tests themselves.

Everything here runs against each server that this machine has: 2.x, 1.8 or newer, Debian's 1.6 behind nginx.
"""

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import influx_servers
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from influx_servers import Influx, InfluxRefused, Source, open_influx, sources, started

from harness.influx.access import Access
from harness.influx.lines import Encoder, tag
from harness.influx.schema import MEASUREMENTS
from harness.influx.transport import Writer
from harness.servers.process import ServerFailed

ROOT = Path(__file__).parent.parent
FOUND: Sequence[Source | None] = sources() or [None]
S = 1_000_000_000
NOW = 1_763_000_000 * S

ADVERSARIAL = (
    "meta-llama/Llama-3.1-8B Instruct",
    "a=b,c d",
    "say \"hi\" and 'bye'",
    "back\\slash",
    "ends in a backslash\\",
    "\\",
    "two\nlines\r\nand a third",
    "\\n is no line break",
    "tab\tand nul\0 and escape \x1b[31m",
    "#looks,like=a comment 1 2",
    "$run ${run:regex} /^.*$/ ' OR 1=1 --",
    "naïve 模型 🦙🏴\u200d☠️ \u202egnp.exe",
    " leading and trailing ",
    "x" * 10_000,
    "🦙" * 2_500,
    "",
)


@pytest.fixture(scope="module", params=FOUND, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Influx]:
    """Each server there is, ours to stop."""
    with open_influx() if request.param is None else started(request.param) as opened:
        yield opened


@pytest.fixture
def influx(server: Influx) -> Influx:
    """An empty bucket of it."""
    return server.new_bucket()


def deliver(influx: Influx, *lines: bytes) -> None:
    """By the harness's own way: influxdb-client, gzip'd."""
    writer = Writer(access(influx), {})
    try:
        answer = writer.send(gzip.compress(b"\n".join(lines), 1), len(lines))
    finally:
        writer.close()
    assert answer.kind == "delivered", answer


def access(influx: Influx) -> Access:
    return Access(influx.url, influx.token, influx.org, influx.bucket)


def run_point(time_ns: int, text: str) -> bytes:
    """A point of which everything that can hold a name holds `text`."""
    encoder = Encoder(MEASUREMENTS["llm_run"], model=text, backend="llamacpp")
    values = {"model_id": text, "labels": text, "workers": 4}
    return encoder.line(time_ns, values, run=f"{time_ns} {text}", hardware="A100")


def test_adversarial_names_survive(influx: Influx) -> None:
    """Field texts come back to the letter, tags as `tag` says, each in a point of its own."""
    deliver(influx, *(run_point(NOW + n, text) for n, text in enumerate(ADVERSARIAL)))
    rows = sorted(influx.query('SELECT * FROM "llm_run" GROUP BY *'), key=lambda row: int(row["time"]))
    assert [row["model_id"] for row in rows] == list(ADVERSARIAL)
    assert [row["labels"] for row in rows] == list(ADVERSARIAL)
    assert [row["model"] for row in rows] == [tag(text) for text in ADVERSARIAL]
    assert [row["run"] for row in rows] == [tag(f"{NOW + n} {text}") for n, text in enumerate(ADVERSARIAL)]
    assert [row["workers"] for row in rows] == [4] * len(ADVERSARIAL)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=20))
@example(texts=["\x80", "\u2028", "\ufeff", "\ufffe", "a\\", "a\\,b"])
def test_any_text_survives(server: Influx, texts: list[str]) -> None:
    """The same of whatever text there is: one point each, nothing spilled into another tag or field."""
    influx = server.new_bucket()
    deliver(influx, *(run_point(NOW + n, text) for n, text in enumerate(texts)))
    rows = sorted(
        influx.query('SELECT "model_id", "labels" FROM "llm_run" GROUP BY *'),
        key=lambda row: int(row["time"]),
    )
    assert [(row["model_id"], row["labels"], row["model"]) for row in rows] == [(t, t, tag(t)) for t in texts]
    assert {row["backend"] for row in rows} == {"llamacpp"}


def test_a_kind_is_for_good(influx: Influx) -> None:
    """Integers beyond a double, whole floats and booleans keep their kind; a float is refused where an integer was.

    For good means a week or so: servers hold kinds by shard, which the schema of the harness does not rely on.
    """
    largest = (1 << 63) - 1
    influx.write(b'm i=%di,f=2,b=true,s="1" %d' % (largest, NOW))
    assert influx.query('SELECT "i", "f", "b", "s" FROM "m"') == [
        {"time": NOW, "i": largest, "f": 2.0, "b": True, "s": "1"}
    ]
    kinds = {row["fieldKey"]: row["fieldType"] for row in influx.query('SHOW FIELD KEYS FROM "m"')}
    assert kinds == {"i": "integer", "f": "float", "b": "boolean", "s": "string"}
    with pytest.raises(InfluxRefused, match="type conflict") as refused:
        influx.write(b"m i=1.5 %d\nm i=7i %d" % (NOW + 1, NOW + 2))
    assert refused.value.status == (422 if influx.kind == "2.x" else 400)
    rows = influx.query('SELECT "i" FROM "m"')
    assert rows == [{"time": NOW, "i": largest}, {"time": NOW + 2, "i": 7}]  # the others are kept


def test_the_same_point_twice_is_one(influx: Influx) -> None:
    """A repeated delivery changes nothing; a later word of a point adds its fields and takes the place of older ones."""
    encoder = Encoder(MEASUREMENTS["llm_second"], run="r")
    first = [encoder.line(NOW + n * S, {"sent": n, "output_tokens": 0.5}, worker="1") for n in range(100)]
    deliver(influx, *first)
    deliver(influx, *first)
    assert influx.query('SELECT COUNT("sent"), SUM("output_tokens") FROM "llm_second"') == [
        {"time": 0, "count": 100, "sum": 50.0}
    ]
    deliver(influx, encoder.line(NOW, {"sent": 9, "users": 3}, worker="1"))
    row, *_ = influx.query('SELECT "sent", "users", "output_tokens" FROM "llm_second"')
    assert row == {"time": NOW, "sent": 9, "users": 3, "output_tokens": 0.5}


def test_no_row_is_left_out(influx: Influx) -> None:
    """20,000 rows of one statement come in one answer, whole."""
    encoder = Encoder(MEASUREMENTS["llm_request"], run="r", worker="1", outcome="ok")
    for part in range(4):
        span = range(part * 5_000, (part + 1) * 5_000)
        deliver(influx, *(encoder.line(NOW + n, {"seq": n, "ttft_ms": n / 7}) for n in span))
    rows = influx.query('SELECT "seq", "ttft_ms" FROM "llm_request"')
    assert rows == [{"time": NOW + n, "seq": n, "ttft_ms": n / 7} for n in range(20_000)]


# What is sent, and the status and body that 2.x, 1.8 and newer, and the shim answer.
REFUSALS: dict[str, tuple[bytes, dict[str, str], dict[str, tuple[int, str]]]] = {
    "malformed": (
        b"m,t=a nonsense",
        {},
        {
            "2.x": (
                400,
                """{"code":"invalid","message":"unable to parse 'm,t=a nonsense': invalid field format"}""",
            ),
            "1.x": (400, """{"error":"unable to parse 'm,t=a nonsense': invalid field format"}"""),
            "shim": (400, """{"error":"unable to parse 'm,t=a nonsense': invalid field format"}"""),
        },
    ),
    "no such bucket": (
        b"m f=1 1",
        {"bucket": "nope"},
        {
            "2.x": (404, r"""{"code":"not found","message":"bucket \"nope\" not found"}"""),
            "1.x": (404, r"""{"error":"database not found: \"nope\""}"""),
            "shim": (404, r"""{"error":"database not found: \"nope\""}"""),
        },
    ),
    "no such organisation": (
        b"m f=1 1",
        {"org": "nope"},
        {
            "2.x": (404, r"""{"code":"not found","message":"organization name \"nope\" not found"}"""),
            "1.x": (204, ""),  # has none
            "shim": (204, ""),
        },
    ),
    "no organisation": (
        b"m f=1 1",
        {"org": ""},
        {
            "2.x": (400, """{"code":"invalid","message":"Please provide either orgID or org"}"""),
            "1.x": (204, ""),
            "shim": (204, ""),
        },
    ),
    "wrong token": (
        b"m f=1 1",
        {"token": "wrong"},
        {
            "2.x": (401, """{"code":"unauthorized","message":"unauthorized access"}"""),
            "1.x": (401, """{"error":"unable to parse authentication credentials"}"""),
            "shim": (401, """{"code":"unauthorized","message":"unauthorized access"}"""),
        },
    ),
    "another's token": (
        b"m f=1 1",
        {"token": "some:body"},
        {
            "2.x": (401, """{"code":"unauthorized","message":"unauthorized access"}"""),
            "1.x": (401, """{"error":"authorization failed"}"""),
            "shim": (401, """{"code":"unauthorized","message":"unauthorized access"}"""),
        },
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_of_writes(influx: Influx, case: str) -> None:
    """Status and body, to the letter: what the harness explains to its user is what servers say."""
    body, changed, expected = REFUSALS[case]
    parameters = {"org": influx.org, "bucket": influx.bucket, "precision": "ns", **changed}
    token = parameters.pop("token", influx.token)
    headers = {"Authorization": f"Token {token}"}
    assert (
        influx.ask("POST", f"/api/v2/write?{urlencode(parameters)}", body, headers) == expected[influx.kind]
    )


def test_one_malformed_line(influx: Influx) -> None:
    """2.x takes nothing of a body that has one; 1.x takes the others and answers the same status."""
    with pytest.raises(InfluxRefused, match="missing field value") as refused:
        influx.write(b"m f=1 1\nm f= 2\nm f=3 3")
    assert refused.value.status == 400
    kept = [] if influx.kind == "2.x" else [{"time": 1, "f": 1}, {"time": 3, "f": 3}]
    assert influx.query('SELECT "f" FROM "m"') == kept


def test_refusals_of_queries(influx: Influx) -> None:
    """An unknown bucket is an error in an answer of status 200, nonsense one of 400, a wrong token one of 401."""
    nowhere = Influx(influx.url, influx.token, influx.org, "nope", influx.version, influx.kind)
    with pytest.raises(InfluxRefused, match="database not found: nope") as refused:
        nowhere.query('SELECT "f" FROM "m"')
    assert refused.value.status == 200
    with pytest.raises(InfluxRefused, match="found FROM, expected identifier") as refused:
        influx.query("SELECT FROM")
    assert refused.value.status == 400
    status, _ = influx.ask("GET", "/query?db=x&q=SHOW+DATABASES", headers={"Authorization": "Token wrong"})
    assert status == 401


@pytest.fixture(scope="module")
def load(server: Influx) -> Influx:
    """Two runs; of the first two workers' seconds with a hole, requests and percentiles."""
    influx = server.new_bucket()
    run, second = Encoder(MEASUREMENTS["llm_run"]), Encoder(MEASUREMENTS["llm_second"], run="r1 a/b")
    request = Encoder(MEASUREMENTS["llm_request"], run="r1 a/b", outcome="ok")
    deliver(
        influx,
        run.line(NOW, {"state": "complete"}, run="r1 a/b", model="m.1", backend="vllm", hardware="A100"),
        run.line(NOW + 9, {"state": "running"}, run="r2", model="mX1", backend="tgi", hardware="A10"),
        *(
            second.line(NOW + n * S, {"output_tokens": 10.0 * n, "users": n}, worker=worker)
            for worker in ("1", "2")
            for n in (0, 1, 3)
        ),
        *(request.line(NOW + n, {"seq": n, "ttft_ms": float(n)}, worker="1") for n in range(1, 101)),
    )
    return influx


TIMES = "time >= 1763000000000000000 AND time < 1763000004000000000"
RUN = r'"run" =~ /^r1 a\/b$/'
WORKERS = ("1", "2")


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        (
            r'SHOW TAG VALUES FROM "llm_run" WITH KEY = "run" WHERE "model" =~ /^m\.1$/ AND "hardware" =~ /^.*$/',
            [{"key": "run", "value": "r1 a/b"}],
        ),
        (
            'SHOW TAG VALUES FROM "llm_run" WITH KEY = "run"',
            [{"key": "run", "value": "r1 a/b"}, {"key": "run", "value": "r2"}],
        ),
        (
            'SELECT SUM("output_tokens") AS "t" FROM "llm_second" WHERE $TIMES AND $RUN GROUP BY time(1s) fill(null)',
            [{"time": NOW + n * S, "t": value} for n, value in enumerate((0.0, 20.0, None, 60.0))],
        ),
        (
            'SELECT SUM("output_tokens") FROM "llm_second" WHERE $TIMES AND $RUN GROUP BY time(2s), "worker" fill(none)',
            [
                {"time": NOW + n * S, "sum": value, "worker": worker}
                for worker in WORKERS
                for n, value in ((0, 10.0), (2, 30.0))
            ],
        ),
        (
            (
                'SELECT MEAN("t") FROM (SELECT SUM("output_tokens") AS "t" FROM "llm_second" WHERE $TIMES AND $RUN '
                "GROUP BY time(1s) fill(none)) WHERE $TIMES GROUP BY time(2s) fill(null)"
            ),
            [{"time": NOW, "mean": 10.0}, {"time": NOW + 2 * S, "mean": 60.0}],
        ),
        (
            'SELECT LAST("users"), "output_tokens" FROM "llm_second" WHERE $TIMES AND $RUN GROUP BY "worker"',
            [{"time": NOW + 3 * S, "last": 3, "output_tokens": 30.0, "worker": worker} for worker in WORKERS],
        ),
        (
            (
                'SELECT PERCENTILE("ttft_ms", 50) AS "p50", PERCENTILE("ttft_ms", 99) AS "p99", COUNT("seq") AS "n" '
                'FROM "llm_request" WHERE $TIMES AND $RUN'
            ),
            [{"time": NOW, "p50": 50.0, "p99": 99.0, "n": 100}],
        ),
        (
            (
                'SELECT MAX("seq") - MIN("seq") + 1 - COUNT("seq") AS "lost" FROM "llm_request" WHERE $TIMES AND $RUN '
                'GROUP BY "worker"'
            ),
            [{"time": NOW, "lost": 0, "worker": "1"}],
        ),
        (
            (
                'SELECT NON_NEGATIVE_DERIVATIVE("output_tokens", 1s) AS "rate" FROM "llm_second" WHERE $TIMES AND $RUN '
                """AND "worker" = '1'"""
            ),
            [{"time": NOW + S, "rate": 10.0}, {"time": NOW + 3 * S, "rate": 10.0}],
        ),
    ],
    ids=["runs of a model", "runs", "a hole", "by worker", "subquery", "last", "percentiles", "lost", "rate"],
)
def test_statements_of_the_dashboards(load: Influx, statement: str, rows: list[dict[str, object]]) -> None:
    """The InfluxQL that the dashboards are made of means the same to every server."""
    assert load.query(statement.replace("$TIMES", TIMES).replace("$RUN", RUN)) == rows


def test_stopped_and_started(influx: Influx) -> None:
    """While it is stopped nobody listens; started again it is at the same place and has its data."""
    influx.write(b"m f=1 1")
    influx.stop()
    try:
        with pytest.raises(ConnectionRefusedError):
            influx.write(b"m f=2 2")
    finally:
        influx.start()
    assert influx.query('SELECT "f" FROM "m"') == [{"time": 1, "f": 1}]


def test_frozen(influx: Influx) -> None:
    """Frozen it takes a connection and a request and says nothing; it answers when it goes on."""
    host, _, port = influx.url.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port), timeout=0.3)
    parameters = urlencode({"org": influx.org, "bucket": influx.bucket})
    influx.freeze()
    try:
        connection.request(
            "POST", f"/api/v2/write?{parameters}", b"m f=1 1", {"Authorization": f"Token {influx.token}"}
        )
        sock = connection.sock
        with pytest.raises(TimeoutError):
            sock.recv(1)
    finally:
        influx.thaw()
    sock.settimeout(30)
    assert sock.recv(12) == b"HTTP/1.1 204"
    connection.close()
    assert influx.query('SELECT "f" FROM "m"') == [{"time": 1, "f": 1}]


def test_buckets_are_apart(server: Influx) -> None:
    """What is in one is in no other, and a new one is empty."""
    one, other = server.new_bucket(), server.new_bucket()
    one.write(b"m f=1 1")
    assert other.query('SELECT "f" FROM "m"') == []
    assert one.environ == {
        "INFLUXDB_URL": server.url,
        "INFLUXDB_TOKEN": server.token,
        "INFLUXDB_ORG": server.org,
        "INFLUXDB_BUCKET": one.bucket,
    }


HOLDER = """
import sys, time
from influx_servers import *
source = next(s for s in sources() if str(s) == sys.argv[1])
with started(source) as influx:
    print(influx.url, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("source", [found for found in FOUND if found is not None], ids=str)
def test_a_server_goes_with_who_started_it(source: Source, tmp_path: Path) -> None:
    """Even where that was killed outright; its data too."""
    command = [sys.executable, "-c", HOLDER, str(source)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as holder:
        assert holder.stdout is not None
        url = holder.stdout.readline().strip()
        influx = Influx(url, "", "", "", "", "2.x")
        assert influx.ask("GET", "/ping")[0] == 204
        holder.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            influx.ask("GET", "/ping")
        except OSError:
            break
        time.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        influx.ask("GET", "/ping")
    while any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_somebodys_server(server: Influx, monkeypatch: pytest.MonkeyPatch) -> None:
    """INFLUXDB_URL is taken as it is: its version is read, buckets are made in it, and it is not stopped."""
    monkeypatch.setattr(influx_servers, "GIVEN", server.environ)
    with open_influx() as given:
        assert (given.url, given.token, given.bucket) == (server.url, server.token, server.bucket)
        assert given.version.startswith(server.version)
        if server.kind != "shim":
            assert given.kind == server.kind
        bucket = given.new_bucket()
        bucket.write(b"m f=1 1")
        assert bucket.query('SELECT "f" FROM "m"') == [{"time": 1, "f": 1}]
        with pytest.raises(RuntimeError, match="own=True"):
            given.stop()
    assert server.ask("GET", "/ping")[0] == 204


def test_nobody_at_the_given_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistaken INFLUXDB_URL is no reason to skip."""
    monkeypatch.setattr(influx_servers, "GIVEN", {"INFLUXDB_URL": "http://127.0.0.1:9"})
    with (
        pytest.raises(
            pytest.fail.Exception, match=r"INFLUXDB_URL is http://127\.0\.0\.1:9, and nothing answers"
        ),
        open_influx(),
    ):
        pass


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any InfluxDB: an empty PATH, which is returned, and an empty cache beside it."""
    path = tmp_path / "path"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path))
    monkeypatch.delenv("TOKENSWARM_INFLUXD", raising=False)
    monkeypatch.setattr(influx_servers, "GIVEN", {})
    monkeypatch.setattr(influx_servers, "DEBIANS", str(path / "none"))
    return path


def program(path: Path, says: str) -> None:
    """An executable that says one line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)


def test_without_any(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test skips and says how to get one; where real parts are required, it fails."""
    monkeypatch.delenv("TOKENSWARM_REQUIRE_REAL", raising=False)
    with (
        pytest.raises(pytest.skip.Exception, match=r"set INFLUXDB_URL .* or run `make influxd`"),
        open_influx(),
    ):
        pass
    monkeypatch.setenv("TOKENSWARM_REQUIRE_REAL", "1")
    with (
        pytest.raises(pytest.fail.Exception, match=r"set INFLUXDB_URL .* or run `make influxd`"),
        open_influx(),
    ):
        pass


def test_the_highest_is_taken(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By version, wherever it is; one below 1.8 only where nginx is; `TOKENSWARM_INFLUXD` alone where that is set."""
    program(bare / "influxd", "InfluxDB v1.12.4 (git: unknown unknown)")
    program(
        tmp_path / "influxd-2.8.0" / "influxd",
        "InfluxDB v2.8.0 (git: source) build_date: 2026-11-21T17:15:05Z",
    )
    assert [str(source) for source in sources()] == ["2.8.0", "1.12.4"]
    program(bare / "influxd", "InfluxDB v1.6.7~rc0 (git: unknown unknown)")
    monkeypatch.setattr(influx_servers, "nginx", lambda: None)
    assert [str(source) for source in sources()] == ["2.8.0"]
    monkeypatch.setattr(influx_servers, "nginx", lambda: "/usr/sbin/nginx")
    assert [str(source) for source in sources()] == ["2.8.0", "1.6.7 behind nginx"]
    monkeypatch.setenv("TOKENSWARM_INFLUXD", str(bare / "influxd"))
    assert [str(source) for source in sources()] == ["1.6.7 behind nginx"]
    program(bare / "influxd", "something else")
    with pytest.raises(pytest.fail.Exception, match="names no version of InfluxDB"):
        sources()


def test_docker_without_the_image(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Docker answers, the image of docker-compose.yml comes before Debian's; if it cannot be had, that is the next."""
    compose = tmp_path / "docker-compose.yml"
    compose.write_text(
        "services:\n  influxdb:\n    image: influxdb:2.8.0-alpine@sha256:0\n", encoding="utf-8"
    )
    monkeypatch.setattr(influx_servers, "ROOT", tmp_path)
    program(bare / "docker", "$1")
    (found,) = sources()
    assert (found.program, found.container, str(found)) == (
        "influxdb:2.8.0-alpine@sha256:0",
        True,
        "container 2.8.0",
    )
    (bare / "docker").write_text(
        '#!/bin/sh\n[ "$1" = info ] || { echo "no such image" >&2; exit 1; }\n', encoding="utf-8"
    )
    with pytest.raises(ServerFailed, match="docker create failed: no such image"), open_influx():
        pass


BUILD = ROOT / "tests" / "influxd" / "build.sh"


def test_make_influxd_says_what_is_missing(tmp_path: Path) -> None:
    """Exit 2 and one line, before anything is written."""
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    environ = {"PATH": str(tmp_path), "TOKENSWARM_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([BUILD], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("make influxd: no go on the PATH: install Go 1.24 or newer")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cache").exists()


def test_make_influxd_does_nothing_twice(tmp_path: Path) -> None:
    """What is in the cache stays there."""
    program(tmp_path / "influxd-2.8.0" / "influxd", "mine")
    environ = {**os.environ, "TOKENSWARM_CACHE": str(tmp_path)}
    done = subprocess.run([BUILD], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"influxd 2.8.0 is there: {tmp_path}/influxd-2.8.0/influxd\n"


def test_one_version_everywhere() -> None:
    """What is built is what go.mod pins and what the tests look for."""
    version = influx_servers.BUILT.removeprefix("influxd-")
    assert f"\nVERSION={version}\n" in BUILD.read_text(encoding="utf-8")
    assert f"github.com/influxdata/influxdb/v2 v{version}\n" in (BUILD.parent / "go.mod").read_text(
        encoding="utf-8"
    )
