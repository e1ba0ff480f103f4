"""The bench: does the truth server keep and log its schedule, do clients agree with it, do tables say what the logs say?

Machines that run tests are noisy, so the server is held to what it logged and to what it may never do (send early,
lose an event, forget its seed), and clients to bounds that only a broken one passes.
"""

import json
import math
import shutil
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import bookkeeping  # noqa: E402
import processes  # noqa: E402
import results  # noqa: E402
import score  # noqa: E402
import soak  # noqa: E402
import stamps  # noqa: E402
import table  # noqa: E402
import toolchain  # noqa: E402
from clients import CLIENTS  # noqa: E402
from loads import LOADS, QUICK, Load  # noqa: E402
from processes import Place, Sample  # noqa: E402
from stamps import Stamps  # noqa: E402
from targets import targets  # noqa: E402

import bench  # noqa: E402

native = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="the truth server needs Linux and cc"
)
MILLISECOND = 1_000_000
SMALL = Load("small", 10, 10, 10_000, 30_000, 20, spread_s=0.1, seconds=0.6)


@pytest.fixture(scope="module")
def core() -> Place:
    """The C programs, built; children with no priority over the tests' neighbours."""
    toolchain.build_c()
    return Place(processes.places()[0].core, "none")


class Truth:
    """A truth server, asked over plain HTTP; its log once it has been stopped."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self._log = port, log

    def ask(
        self, model: str, name: str, path: str = "/v1/chat/completions", **more: Any
    ) -> tuple[int, bytes]:
        """Status and body of one answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"model": model, "stream": True, **more})
        connection.request("POST", path, body, {"X-Request-Id": name})
        answer = connection.getresponse()
        assert answer.status != 200 or answer.getheader("X-Request-Id") == name
        found = answer.status, answer.read()
        connection.close()
        return found

    @property
    def log(self) -> dict[str, Stamps]:
        return stamps.read(self._log)


@pytest.fixture
def truth(core: Place, tmp_path: Path) -> Iterator[Truth]:
    """A server; `log` is there after `stop`."""
    log = tmp_path / "truth"
    with processes.serving(core, log) as server:
        yield Truth(server.port, log)


def events_of(body: bytes) -> list[Any]:
    """The JSON of every event but the end mark, which must be the last."""
    *data, end, rest = [part.removeprefix(b"data: ") for part in body.split(b"\n\n")]
    assert (end, rest) == (b"[DONE]", b"")
    return [json.loads(event) for event in data]


def due(name: str, start_ns: int, *, t0: int, k: int, d: int, j: int) -> list[int]:
    """The server's plan by its documented rule: gaps drawn from the id with FNV-1a and splitmix64. Times in µs."""
    mask = 2**64 - 1
    seed = 1469598103934665603
    for byte in name.encode():
        seed = (seed ^ byte) * 1099511628211 & mask
    times = [start_ns + t0 * 1000]
    for _ in range(k - 1):
        seed = seed + 0x9E3779B97F4A7C15 & mask
        mixed = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
        uniform = ((mixed ^ mixed >> 31) >> 11) * 2.0**-52 - 1.0
        gap = float(d * 1000)
        times.append(times[-1] + int(gap * (1.0 + uniform * j / 100.0)))
    return times


@native
def test_the_server_keeps_the_schedule_of_each_id_and_logs_how_late_it_was(
    core: Place, tmp_path: Path
) -> None:
    """No event goes out before its due time, and the logged lateness is exactly the worst of its sends."""
    log = tmp_path / "truth"
    with processes.serving(core, log) as server:
        for name in ("a", "b-1", "c.2"):
            Truth(server.port, log).ask("gt:t0=20000,k=15,d=4000,j=20", name)
    for name, request in stamps.read(log).items():
        plan = due(name, request.start_ns, t0=20_000, k=15, d=4_000, j=20)
        late = [sent - planned for sent, planned in zip(request.times, plan, strict=True)]
        assert (min(late) >= 0, max(late)) == (True, request.late_ns)
        gaps = [after - before for before, after in pairwise(plan)]
        assert all(3.2e6 <= gap <= 4.8e6 for gap in gaps)
        assert len(set(gaps)) == 14
        assert (request.asked, request.complete) == (15, True)
    assert server.totals["open"] <= 1  # it may be told to end before it has heard the last one hang up
    assert (server.totals["requests"], server.totals["events"]) == (3, 45)


@native
def test_aligned_streams_share_one_grid(core: Place, tmp_path: Path) -> None:
    """With s=1 every due time is a whole multiple of d on the machine's monotonic clock."""
    log = tmp_path / "truth"
    with processes.serving(core, log) as server:
        Truth(server.port, log).ask("gt:t0=7000,k=5,d=10000,j=50,s=1", "grid")
    (request,) = stamps.read(log).values()
    step = 10 * MILLISECOND
    first = math.ceil((request.start_ns + 7 * MILLISECOND) / step) * step
    late = [sent - first - number * step for number, sent in enumerate(request.times)]
    assert (min(late) >= 0, max(late)) == (True, request.late_ns)


@native
def test_what_a_stream_says(truth: Truth) -> None:
    """As many events as asked for, of b tokens, a finish reason, usage where it is asked for; the id in each."""
    status, body = truth.ask("gt:t0=0,k=3,d=1000,b=2", "me", stream_options={"include_usage": True})
    *content, finish, usage = events_of(body)
    assert status == 200
    assert [event["choices"][0]["delta"] for event in content] == [{"content": " the the"}] * 3
    assert (finish["choices"][0]["finish_reason"], usage["choices"]) == ("length", [])
    assert usage["usage"]["completion_tokens"] == 6
    assert {event["id"] for event in (*content, finish, usage)} == {"me"}
    assert {event["model"] for event in content} == {"gt:t0=0,k=3,d=1000,b=2"}


@native
def test_completions_roles_and_no_usage(truth: Truth) -> None:
    """The other route has `text`; r=1 puts a role first; usage only on request."""
    completions = events_of(truth.ask("gt:t0=0,k=2,d=0", "one", "/v1/completions", prompt="x")[1])
    assert [event["choices"][0]["text"] for event in completions] == [" the", " the", ""]
    role, *content, finish = events_of(truth.ask("gt:t0=20000,k=2,d=0,r=1", "two")[1])
    assert role["choices"][0]["delta"] == {"role": "assistant"}
    assert [event["choices"][0]["delta"] for event in content] == [{"content": " the"}] * 2
    assert finish["choices"][0]["delta"] == {}


@native
def test_a_whole_answer(truth: Truth) -> None:
    """Without `stream` it is one JSON object."""
    status, body = truth.ask("gt:t0=0,k=4,d=1000", "whole", stream=False)
    said = json.loads(body)
    assert (status, said["choices"][0]["message"]["content"]) == (200, " the the the the")
    assert said["usage"]["completion_tokens"] == 4


@native
@pytest.mark.parametrize(
    ("path", "model", "status"),
    [
        ("/v1/chat/completions", "gt:k=0", 400),
        ("/v1/chat/completions", "gt:t0=1,k=2,x=3", 400),
        ("/v1/chat/completions", "gt:k=2,", 200),
        ("/v1/elsewhere", "gt:k=2", 404),
    ],
)
def test_what_it_refuses(truth: Truth, path: str, model: str, status: int) -> None:
    """A schedule it does not understand is refused, not guessed."""
    assert truth.ask(model, "x", path)[0] == status


def exchange(port: int, *parts: bytes) -> bytes:
    """Bytes sent in parts, and all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        for part in parts:
            sock.sendall(part)
            time.sleep(0.01)
        return b"".join(iter(lambda: sock.recv(65536), b""))


@native
def test_requests_in_pieces_and_in_a_row(truth: Truth) -> None:
    """A head cut anywhere is put together; requests that come at once are answered in order."""
    health = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    said = exchange(truth.port, health[:9], health[9:] + health + last)
    assert said.count(b'{"status":"ok"}') == 2
    assert json.loads(said.rpartition(b"\r\n\r\n")[2])["data"][0]["id"] == "gt:t0=50000,k=64,d=10000"
    assert said.rindex(b'"ok"') < said.index(b'"owned_by"')


@native
def test_a_body_it_cannot_measure_is_refused(truth: Truth) -> None:
    """Chunked request bodies are not read, and it says so instead of waiting."""
    head = b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert exchange(truth.port, head).startswith(b"HTTP/1.1 413 ")


@native
def test_a_slow_reader_gets_everything(truth: Truth) -> None:
    """Sends that a full socket takes only in part are taken up again where they stopped."""
    body = json.dumps({"model": "gt:t0=0,k=30000,d=0", "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", truth.port))
        sock.sendall(head.encode() + body)
        time.sleep(0.3)  # its buffers are full now
        said = b"".join(iter(lambda: sock.recv(65536), b""))
    assert said.count(b'"text":" the"') == 30_000
    assert said.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


@native
def test_a_client_that_leaves(core: Place, tmp_path: Path) -> None:
    """Its answer is logged as broken off; the server serves on."""
    log = tmp_path / "truth"
    with processes.serving(core, log) as server:
        body = b'{"model":"gt:t0=1000,k=1000,d=5000","stream":true}'
        head = b"POST /v1/completions HTTP/1.1\r\nX-Request-Id: gone\r\nContent-Length: %d\r\n\r\n" % len(
            body
        )
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
            sock.sendall(head + body)
            sock.recv(65536)
        Truth(server.port, log).ask("gt:k=2,d=0", "after")
    found = stamps.read(log)
    assert (found["gone"].complete, found["after"].complete) == (False, True)
    assert 1 <= len(found["gone"].times) < 1000


def run_client(
    name: str, load: Load, core: Place, folder: Path
) -> tuple[dict[str, Any], dict[str, Stamps], dict[str, Stamps]]:
    """What a client said of itself, the truth, and its own log."""
    truth, own = folder / "truth", folder / "client"
    with processes.serving(core, truth) as server:
        outcome = processes.run(CLIENTS[name].command(server.port, load, own), core, deadline_s=60)
    return outcome.said, stamps.read(truth), stamps.read(own)


@native
@pytest.mark.parametrize("name", ["c", "c-own", "tokenswarm", "tokenswarm-own", "tokenswarm-portable"])
def test_clients_agree_with_the_truth(name: str, core: Place, tmp_path: Path) -> None:
    """Same requests, every event, none stamped before it was sent; half of the gaps within 5 ms on any machine."""
    said, truth, own = run_client(name, SMALL, core, tmp_path)
    assert own.keys() == truth.keys()
    assert len(own) >= SMALL.streams
    for name_of, answer in own.items():
        assert (answer.asked, len(answer.times), answer.complete) == (10, 10, True)
        sent = truth[name_of]
        assert answer.start_ns <= sent.start_ns
        # 0.2 ms: the kernel stamps in wall time, which is brought back to the monotonic clock by an anchor.
        assert all(
            came >= went - MILLISECOND / 5 for came, went in zip(answer.times, sent.times, strict=True)
        )
    figures = score.judge(SMALL, said, truth, own)
    assert (figures.lost, figures.failed, figures.unknown, figures.files_left) == (0, 0, 0, 0)
    assert figures.ttft_p50_ms is not None
    assert figures.gap_p50_us is not None
    assert figures.ttft_p50_ms < 20
    assert figures.gap_p50_us < 5000
    assert said["stamps"] == ("kernel" if name in {"c", "tokenswarm"} else "read")


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
integers = st.integers(-(2**63), 2**63 - 1)
requests = st.builds(
    Stamps,
    names,
    st.integers(0, 2**32 - 1),
    integers,
    st.lists(integers, max_size=5).map(lambda times: array("q", times)),
    integers,
    st.booleans(),
)


@given(st.lists(requests, max_size=5, unique_by=lambda request: request.id))
def test_a_log_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[Stamps]
) -> None:
    """Whatever is in it."""
    path = tmp_path_factory.mktemp("logs") / "log"
    stamps.write(path, written)
    assert stamps.read(path) == {request.id: request for request in written}


def test_a_log_that_is_none(tmp_path: Path) -> None:
    """Cut short, of another kind, or with an id twice: an error that names it."""
    path = tmp_path / "log"
    request = Stamps("one", 1, 5, array("q", [7]))
    stamps.write(path, [request])
    whole = path.read_bytes()
    for data, text in (
        (b"nothing", "is no log"),
        (whole[:20], "breaks off"),
        (whole[:-1], "breaks off"),
        (whole + whole[8:], "request one twice"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=text):
            stamps.read(path)


def synthetic() -> tuple[dict[str, Any], dict[str, Stamps], dict[str, Stamps]]:
    """Two answers of three events in ms, one of which lost its last; steady from 10 to 20 ms."""

    def of(name: str, start: float, *times: float, late: float = 0) -> Stamps:
        whole = array("q", [int(time * MILLISECOND) for time in times])
        return Stamps(name, 3, int(start * MILLISECOND), whole, int(late * MILLISECOND), len(times) == 3)

    server = [of("a", 1, 11, 13, 15, late=0.5), of("b", 2, 12, 14, 16, late=1.5)]
    client = [of("a", 0.5, 11.25, 13.35, 15.25, late=2), of("b", 1.5, 12.25, 12.25)]
    said = {
        "begin_ns": 0, "steady_ns": 10 * MILLISECOND, "stop_ns": 20 * MILLISECOND, "end_ns": 30 * MILLISECOND,
        "cpu_s": 0.0001, "steady_cpu_s": 0.004, "steady_s": 0.01, "failed": 1, "rss_peak_kb": 20480, "files_left": 0,
    }  # fmt: skip
    return said, {request.id: request for request in server}, {request.id: request for request in client}


LOAD = Load("200x50", 2, 3, 2_000, 10_000, 0, spread_s=0.01, seconds=0.02)


def test_figures_come_from_the_logs() -> None:
    """Each figure, computed by hand."""
    found = score.judge(LOAD, *synthetic(), others_percent=7.0)
    assert found.events_per_s == pytest.approx(5 / 0.01)
    assert found.requests_per_s == pytest.approx(1 / 0.01)
    assert found.cpu_us == pytest.approx(100 / 5)
    assert found.busy_percent == pytest.approx(40)
    # TTFT: a 10.75 for 10, b 10.75 for 10.
    assert found.ttft_p50_ms == pytest.approx(0.75)
    # Gaps of the whole answer: 2.1 for 2, 1.9 for 2.
    assert (found.gap_p50_us, found.gap_max_us) == (pytest.approx(100), pytest.approx(100))
    assert (found.lost, found.failed, found.unknown) == (1, 1, 0)
    assert found.merged_percent == pytest.approx(20)
    assert found.behind_p99_ms == pytest.approx(2)
    assert found.server_late_p99_ms == pytest.approx(1.49)
    assert (found.rss_mb, found.rss_growth_mb, found.others_percent) == (20, None, 7)


def test_memory_growth_leaves_the_benchs_own_stamps_out() -> None:
    """Last third against the middle one, less what the answers that ended in it take here."""
    said, truth, own = synthetic()
    rss = [
        (int(at * MILLISECOND), mb) for at, mb in ((2, 90.0), (8, 10.0), (12, 11.0), (14, 15.0), (25, 99.0))
    ]
    found = score.judge(LOAD, said, truth, own, rss_mb=rss)
    own_mb = (score.STAMPS_BYTES + 3 * 8) / 2**20  # only `a` ended after 13.3 ms
    assert found.rss_growth_mb == pytest.approx(15 - 11 - own_mb)


def figures(**given: float) -> score.Figures:
    """A run's figures, fine by every target unless said otherwise."""
    fine = {
        "events_per_s": 42_000, "requests_per_s": 500, "cpu_us": 10, "busy_percent": 50, "ttft_p50_ms": 0.05,
        "ttft_p99_ms": 0.2, "ttft_max_ms": 1, "gap_p50_us": 1, "gap_p99_us": 10, "gap_max_us": 20, "merged_percent": 0,
        "lost": 0, "failed": 0, "unknown": 0, "behind_p99_ms": 1, "rss_mb": 100, "rss_growth_mb": 1, "files_left": 0,
        "server_late_p99_ms": 0.1, "others_percent": 0,
    }  # fmt: skip
    return score.Figures(**{name: float(value) for name, value in (fine | given).items()})


def test_medians_and_the_worst() -> None:
    """The middle of the rounds, but the worst of what must not happen at all."""
    rounds = [
        figures(cpu_us=value, lost=lost, gap_max_us=value) for value, lost in ((9, 0), (30, 2), (10, 0))
    ]
    middle = score.median(rounds)
    assert (middle.cpu_us, middle.lost, middle.gap_max_us, middle.events_per_s) == (10, 2, 30, 42_000)


def met(rows: Mapping[str, Mapping[str, table.Row]], idle_mb: float | None = 50) -> list[bool | None]:
    """Which targets are met."""
    return [target.met for target in targets(rows, idle_mb, (), None)]


def test_targets() -> None:
    """Met, missed and unmeasured are three things."""
    ours: dict[str, table.Row] = {
        "c": figures(),
        "tokenswarm": figures(),
        "fast-readline": figures(cpu_us=31),
    }
    fine = dict.fromkeys(LOADS, ours) | {"max100": {"tokenswarm": figures(events_per_s=120_000)}}
    assert met(fine) == [True] * 10 + [None, None]
    assert met({}) == [None] * 12
    slow = fine | {"1000x50": {"c": figures(), "tokenswarm": figures(cpu_us=16, busy_percent=86, rss_mb=150)}}
    assert met(slow) == [False, False, True, *[True] * 5, True, False, None, None]
    vague = fine | {"500x50": ours | {"tokenswarm": figures(ttft_p99_ms=0.6, gap_p50_us=6)}}
    assert met(vague)[3:7] == [True, False, True, False]
    assert met(fine | {"200x50": ours | {"fast-readline": "not measured: no"}})[8] is None


def test_the_table_shows_the_figures() -> None:
    """A row a client, in the figures' own digits; a client that failed says why."""
    rows: dict[str, table.Row] = {
        "c": figures(cpu_us=8),
        "tokenswarm": figures(cpu_us=12.344, lost=3),
        "httpx": "not measured: no",
    }
    head, rule, _, ours, failed, _, why = table.figures_table(LOADS["200x50"], rows, 60.0).splitlines()
    cells = dict(
        zip(
            (cell.strip() for cell in head.split("|")),
            (cell.strip() for cell in ours.split("|")),
            strict=True,
        )
    )
    assert (cells["CPU µs/event"], cells["x C"], cells["lost"], cells["above idle MB"]) == (
        "12.34",
        "1.54",
        "3",
        "40",
    )
    assert (cells["TTFT error ms p50/p99/max"], cells["events/s"]) == ("0.050 / 0.200 / 1.00", "42,000")
    assert (len(rule), why) == (len(head), "httpx: not measured: no")
    assert set(failed.split("|")[2].split()) == {"-"}


def test_parts_are_kept_apart(tmp_path: Path) -> None:
    """Measuring one part anew leaves the others' numbers, and the page has them all."""
    path = tmp_path / "results.json"
    part = results.Part("today", "make bench", {"CPU": "abc"}, {"locust": "1"}, "fifo", {})
    cost = {"engine_us": 40.0, "parse_us": 49.0, "client_us": 120.0, "locust_us": 200.0}
    rows = {"200x50": {"c": asdict(figures()), "httpx": "not measured: no"}}
    results.save(path, {"loads": replace(part, found={"rows": rows, "idle_mb": 50.0})})
    results.save(path, results.load(path) | {"bookkeeping": replace(part, found=cost)})
    page = (tmp_path / "RESULTS.md").read_text()
    assert results.load(path).keys() == {"loads", "bookkeeping"}
    assert "151 µs (200 less 49 of engine and parser)" in page
    verdict = next(line for line in page.splitlines() if "Locust's layer" in line)
    assert verdict.split("|")[3].strip() == "NOT MET"
    assert "SCHED_FIFO" in page
    assert "### 200 streams x 50 events/s" in page


def test_the_cost_of_a_request_is_taken_well_inside_the_load() -> None:
    """CPU between two looks, over the requests read between them; start and end left out."""
    second = 1_000_000_000
    reads = [number * second // 100 for number in range(1000)]  # 100 a second for 10 s
    samples = [
        Sample(int(at * second), 0.0, cpu_s, 9) for at, cpu_s in ((0, 5), (1, 6), (3, 7), (8, 7.1), (9.9, 9))
    ]
    assert bookkeeping._cost_us(samples, reads) == pytest.approx(0.1e6 / 500)
    with pytest.raises(processes.BenchError, match="too short"):
        bookkeeping._cost_us(samples[:2], reads)


def test_a_soaks_verdict() -> None:
    """Flat from minute three on, within 5 %; nothing lost; nothing open."""
    flat = [(10.0 * step, 50 + 40 * (step < 18) + 0.1 * step, 300) for step in range(180)]
    calm = soak.Soak(1800.0, flat, 100, 100, 100, 0, 0)
    assert [target.met for target in soak.targets(calm)] == [False, True, True]  # 51.8 grows to 67.9
    still = [(second, 50 + 40 * (second < 180), files) for second, _, files in flat]
    assert [target.met for target in soak.targets(soak.Soak(1800.0, still, 100, 99, 100, 0, 1))] == [
        True,
        False,
        False,
    ]
    assert soak.targets(soak.Soak(5.0, [], 1, 1, 1, 0, 0))[0].met is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--clients", "c,curl"), "--clients 'c,curl': no client 'curl'; choose from c, c-own,"),
        (("--clients", ""), "--clients '': no client ''; choose from"),
        (("--loads", "9x9"), "--loads '9x9': no load '9x9'; choose from 200x50,"),
        (("--rounds", "0"), "--rounds 0: at least 1"),
        (("--seconds", "2"), "--seconds 2: at least 2.4, since starts are spread over 1.9 s"),
        (("--soak", "0"), "--soak 0: minutes, from 0.1 to 1440"),
        (("--soak", "1", "--bookkeeping"), "--soak and --bookkeeping are two runs: give one of them"),
    ],
)
def test_wrong_options(options: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the option and the values it may have; exit code 2."""
    assert bench.main(options) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bench: error: {text}")
    assert said.count("\n") == 1


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(processes.BenchError, match="apt-get install gcc"):
        toolchain.build_c()


@native
def test_a_client_that_fails_is_a_row(core: Place) -> None:
    """The others go on; the row has the client's last words."""
    broken = Load(
        "broken", 1, 0, 0, 0, 0, spread_s=0.0, seconds=0.2
    )  # a request of no events: the reader refuses
    assert str(bench._measured("c", broken, core, core)).startswith("not measured: usage: c-reader")


@native
def test_quick() -> None:
    """One short round of the real thing prints a table with every client's events and writes nothing."""
    page = BENCH / "RESULTS.md"
    before = page.stat().st_mtime_ns if page.exists() else None
    command = [sys.executable, str(BENCH / "bench.py"), "--quick", "--clients", "c,tokenswarm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    rows = {
        line.split("|")[1].strip(): line.split("|")
        for line in done.stdout.splitlines()
        if line.startswith("|")
    }
    assert done.returncode == 0, done.stderr
    nominal = QUICK.streams * QUICK.events / (QUICK.events * QUICK.gap_us / 1e6 + QUICK.first_us / 1e6)
    for name in ("c", "tokenswarm"):
        # As many as the schedule gives, or fewer on a machine that starves the client.
        assert 0.5 * nominal < float(rows[name][2].replace(",", "")) < 1.1 * nominal, done.stdout
    assert (page.stat().st_mtime_ns if page.exists() else None) == before
