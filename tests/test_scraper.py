"""Looking at /metrics once a second, and never at the load's cost."""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import pytest
from greenlets import until
from locust_runs import run, simulator, truth
from native import _NODELAY, _TCP, SHUT_RDWR, Talk, _socket, _start, standing

from harness import files, scraper
from harness.control import session
from harness.results import rebuild
from harness.scraper import Scraper, refusal
from harness.server_metrics import Sample, of_csv
from harness.servers import llamacpp
from harness.servers.process import free_port

FIXTURES = Path(__file__).parent / "fixtures"
PROMETHEUS = "text/plain; version=0.0.4"
SWEEP = ("--levels", "2", "--requests-per-level", "8", "--prompt-tokens", "20", "--output-tokens", "20")


def page(running: int = 0, tokens: int = 0) -> bytes:
    """A small page of llama.cpp's."""
    return (
        f"llamacpp:requests_processing {running}\nllamacpp:requests_deferred 0\n"
        f"llamacpp:prompt_tokens_total {tokens}\nllamacpp:tokens_predicted_total {tokens}\n"
    ).encode()


def answer(body: bytes, status: str = "200 OK", kind: str = PROMETHEUS) -> bytes:
    """A whole response."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def head(talk: Talk) -> bytes:
    """The next request's head, of a GET; b"" when the client is gone."""
    while b"\r\n\r\n" not in talk._buffer:
        data = talk.sock.recv(65_536)
        if not data:
            return b""
        talk._buffer += data
    found, _, talk._buffer = talk._buffer.partition(b"\r\n\r\n")
    talk.requests.append(found)
    return found


def saying(*answers: bytes) -> Callable[[Talk], None]:
    """A script that gives one answer after another, the last one again and again, on all of its connections."""
    left = list(answers)

    def script(talk: Talk) -> None:
        while head(talk):
            talk.say(left.pop(0) if len(left) > 1 else left[0])

    return script


@contextmanager
def scraping(script: Callable[[Talk], None]) -> Iterator[tuple[Scraper, list[Sample], list[Talk]]]:
    """A scraper of a server that runs `script`, what it has kept, and the server's conversations."""
    kept: list[Sample] = []
    with standing(script) as (target, talks):
        yield Scraper(target.url("/metrics"), session(None), kept.append), kept, talks


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its waits, a tenth as long."""
    for name in ("PERIOD_S", "TIMEOUT_S", "SETTLE_S"):
        monkeypatch.setattr(scraper, name, getattr(scraper, name) / 10)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (answer(page()), "llama.cpp's, {url}"),
        (answer((FIXTURES / "metrics_vllm.txt").read_bytes()), "vLLM's, {url}"),
        (answer((FIXTURES / "metrics_tgi.txt").read_bytes(), kind="text/plain; charset=utf-8"), "TGI's, {url}"),
        (answer(b""), "empty so far, {url}"),
        (answer(b"{}", "404 Not Found"), "none, {url} answered 404"),
        (answer(b"{}", "501 Not Implemented"), "none, {url} answered 501: start llama.cpp with --metrics"),
        (answer(b"", "401 Unauthorized"), "none, {url} answered 401"),
        (answer(b"", "307 Temporary Redirect\r\nLocation: /elsewhere"), "none, {url} answered 307"),
        (answer(b"<!doctype html>", kind="text/html"), "none, {url} is not Prometheus text but text/html"),
        (answer(b"<html>", kind=PROMETHEUS), "none, {url} is not Prometheus text"),
        (answer(b'{"a": 1}', kind="application/json"), "none, {url} is not Prometheus text but application/json"),
        (answer(b"Not a page."), "none, {url} is not Prometheus text"),
        (answer(b"# TYPE up gauge\nup 1\n"), "none, {url} has no names of vLLM, TGI, llama.cpp or SGLang"),
        (answer(b"up 1\n" * 1_000_000), "none, {url} has more than 4 MB"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "none, {url} cannot be read (SSH-2.0-OpenSSH_9.6"),
        (answer(page())[:-9], "none, {url} cannot be read ("),
    ],
)  # fmt: skip
def test_what_comes_back_decides(response: bytes, said: str) -> None:
    """One line in any case, and no error; without a page nothing is asked again."""

    def script(talk: Talk) -> None:
        if head(talk):
            talk.say(response)

    with scraping(script) as (looks, kept, talks):
        looks.ask()
        says = looks.says or ""
        assert says.lower().startswith(said.format(url=looks.url).lower())
        if says.startswith("none"):
            looks.start()
            looks.stop()
            assert kept == []
        assert sum(len(talk.requests) for talk in talks) == 1


@pytest.mark.usefixtures("fast")
def test_a_server_that_does_not_answer_costs_one_timeout() -> None:
    """Before load, where it is waited for."""
    with scraping(Talk.wait) as (looks, _, _):
        with gevent.Timeout(5):
            looks.ask()
        assert looks.says == f"none, {looks.url} did not answer in 0.2 s"


def test_what_a_server_makes_of_the_key_is_not_repeated() -> None:
    """Nor what steers a terminal: the line goes to the screen, to run.json and into the table."""

    def script(talk: Talk) -> None:
        key = head(talk).partition(b"Bearer ")[2].split(b"\r\n")[0]
        talk.say(b"refused \x1b[31m" + key + b"\r\n\r\n")

    with standing(script) as (target, _):
        looks = Scraper(target.url("/metrics"), session("sk-Secret"), print, secret="sk-Secret")
        looks.ask()
    assert looks.says == f"none, {looks.url} cannot be read (refused ?[31m***)"


def test_nobody_there() -> None:
    """A dead server is the load's to complain of."""
    looks = Scraper(f"http://127.0.0.1:{free_port()}/metrics", session(None), print)
    looks.ask()
    assert looks.says == f"none, {looks.url} cannot be read (connection refused)"


@pytest.mark.usefixtures("fast")
def test_looks_once_a_period_over_one_connection() -> None:
    """The first sample is from before load, the last from after it; the question says what it wants."""
    pages = [answer(page(2, tokens)) for tokens in range(0, 500, 100)]
    with scraping(saying(*pages, answer(page(0, 900)))) as (looks, kept, talks):
        looks.ask()
        assert kept == []
        looks.start()
        until(lambda: len(kept) == 5, 30)
        looks.stop()
        looks.stop()
        gevent.sleep(0.2)
    assert [sample.generated_tokens_total for sample in kept] == [0, 100, 200, 300, 400, 900]
    assert [sample.running for sample in kept] == [2, 2, 2, 2, 2, 0]
    gaps_s = [(b.time_ns - a.time_ns) / 1e9 for a, b in pairwise(kept[:5])]
    assert sum(gaps_s) > 0.3  # 0.1 s each, though one after a late one may be shorter
    assert min(gaps_s) < 0.3
    (talk,) = talks
    assert b"GET /metrics HTTP/1.1" in talk.requests[0]
    assert b"accept-encoding: identity" in talk.requests[0].lower()


@pytest.mark.usefixtures("fast")
def test_a_failed_look_is_a_gap_and_the_next_one_goes_on() -> None:
    """What was not seen is not measured; nothing is made up for it."""
    with scraping(saying(answer(page(1, 5)), answer(b"", "503 Service Unavailable"), answer(page(1, 7)))) as (
        looks,
        kept,
        _,
    ):
        looks.ask()
        looks.start()
        until(lambda: len(kept) >= 3, 30)
        looks.stop()
    assert [sample.problem for sample in kept[:3]] == ["", "answered 503", ""]
    assert [sample.generated_tokens_total for sample in kept[:3]] == [5, None, 7]


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("after", "looks_more"),
    [([0], 1), ([2, 0], 2), ([2, 2, 2, 2], scraper.SETTLE)],
)
def test_at_the_end_a_busy_server_may_come_to_rest(after: list[int], looks_more: int) -> None:
    """Requests that were given up go on for a moment; but not for as long as others keep it busy."""
    answers = [answer(page(2)), *(answer(page(running)) for running in after)]
    with scraping(saying(*answers)) as (looks, kept, _):
        looks.ask()
        looks.start()
        looks.stop()
    assert [sample.running for sample in kept] == [2, *after[:looks_more]]


def test_a_page_begins_as_such() -> None:
    """Names, labels, comments; blanks before them."""
    for begin in (
        b"# HELP a b",
        b"# TYPE a gauge",
        b"# any remark",
        b"a:b_c 1",
        b'a{b="c"} 2',
        b"\n\na NaN",
        b"",
    ):
        assert refusal(200, PROMETHEUS, begin) is None
    for begin in (b"hello world", b"<html>", b"a,b\n1,2"):
        assert refusal(200, PROMETHEUS, begin) == "is not Prometheus text"


# Whole runs. In front of the simulator stands somebody who answers for /metrics.


@contextmanager
def fronted(url: str, metrics: Callable[[Talk], None]) -> Iterator[tuple[str, list[Talk]]]:
    """A relay before `url` that has `metrics` talk to those who ask for /metrics; its address and conversations."""
    to = (urlsplit(url).hostname, urlsplit(url).port)
    asked: list[Talk] = []

    def script(talk: Talk) -> None:
        begin = talk.sock.recv(65_536)
        if begin.startswith(b"GET /metrics "):
            talk._buffer = begin
            asked.append(talk)
            metrics(talk)
            return
        with _socket() as behind:
            behind.setsockopt(_TCP, _NODELAY, 1)
            behind.connect(to)
            behind.sendall(begin)
            _start(pump, (behind, talk.sock))
            pump(talk.sock, behind)

    def pump(source: Any, sink: Any) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(SHUT_RDWR)

    with standing(script) as (target, _):
        yield str(target), asked


def test_a_run_keeps_and_compares_what_the_server_says(tmp_path: Path) -> None:
    """Queue and counters against the simulator's own log; the file gives the same summary again."""
    log = tmp_path / "log.jsonl"
    with simulator("--log", str(log), "--slots", "2") as server:
        done = run(
            "llamacpp.py", tmp_path / "r", "--host", server.url, *SWEEP, "--levels", "6", "--warmup", "1"
        )
    assert done.code == 0, done.err
    assert f"tokenswarm: server metrics: llama.cpp's, {server.url}/metrics" in done.err
    seen = done.summary["server_metrics"]
    theirs = truth(log)
    assert (
        seen["output_tokens"]["server"] == seen["output_tokens"]["ours"] == int(theirs["output_tokens"].sum())
    )
    assert seen["prompt_tokens"]["result"] == "equal"
    assert (seen["system"], seen["gaps"]) == ("llama.cpp", 0)
    assert (seen["queued"]["max"], seen["running"]["max"]) == (4, 2)
    samples = of_csv((done.directory / "server_metrics.csv").read_text().splitlines())
    assert len(samples) == seen["polls"]
    assert samples[0].time_ns < done.requests["sent_ns"].min()
    assert samples[-1].time_ns > done.requests["end_ns"].max()
    assert (samples[-1].running, samples[-1].queued) == (0, 0)
    assert "output tokens: llama.cpp counted 280, this client 280, the same" in re.sub(r"\s+", " ", done.out)
    html = (done.directory / "report.html").read_text()
    assert "<h2>Server&#x27;s own metrics</h2>" in html
    assert rebuild(done.directory) == done.summary


def test_no_metrics_are_asked_for_with_the_option(tmp_path: Path) -> None:
    """`--server-metrics no`: not one question."""
    with simulator() as server, fronted(server.url, saying(answer(page()))) as (url, asked):
        done = run("llamacpp.py", tmp_path / "r", "--host", url, *SWEEP, "--server-metrics", "no")
    assert done.code == 0, done.err
    assert asked == []
    assert done.summary["server_metrics"] is None
    assert "server metrics" not in done.err


def drip(talk: Talk) -> None:
    """A page that never ends, a byte at a time, so that no single read is late."""
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n")
    while True:
        talk.say(b"#", pause_s=0.1)


def test_a_page_that_drips_is_given_up(tmp_path: Path) -> None:
    """The limit is for the whole question; the run is as any other without metrics."""
    with simulator() as server, fronted(server.url, drip) as (url, asked):
        done = run("llamacpp.py", tmp_path / "r", "--host", url, *SWEEP)
    assert done.code == 0, done.err
    assert f"tokenswarm: server metrics: none, {url}/metrics did not answer in 2 s" in done.err
    assert len(asked) == 1
    assert done.summary["server_metrics"] is None
    assert not (done.directory / "server_metrics.csv").exists()
    assert done.summary["verdict"]["status"] == "valid"


def test_the_load_does_not_wait_for_a_page_that_no_longer_comes(tmp_path: Path) -> None:
    """Looks that hang are gaps; nothing is compared, and the load is none the slower."""
    said = [answer(page())]

    def once(talk: Talk) -> None:
        if head(talk) and said:
            talk.say(said.pop())
        talk.wait()

    with simulator() as server, fronted(server.url, once) as (url, _):
        done = run("llamacpp.py", tmp_path / "r", "--host", url, *SWEEP, "--requests-per-level", "40")
    assert done.code == 0, done.err
    seen = done.summary["server_metrics"]
    assert (seen["polls"] - seen["gaps"], seen["gaps"] >= 1) == (1, True)
    assert seen["output_tokens"]["why"] == "its metrics were not seen after the last request"
    assert seen["output_tokens"]["ours"] == 40 * 20
    [level] = done.summary["levels"]
    assert level["e2e_ms"]["max"] < 1_900, "a request waited for the metrics"


def test_a_server_that_counts_less_than_it_answers_makes_the_run_suspect(tmp_path: Path) -> None:
    """Half of the tokens are on its page: one of the two counts is wrong, and the verdict says so."""
    with simulator() as server, fronted(server.url, saying(answer(page()), answer(page(0, 80)))) as (url, _):
        done = run("llamacpp.py", tmp_path / "r", "--host", url, *SWEEP)
    assert done.code == 0, done.err
    verdict = done.summary["verdict"]
    assert verdict["status"] == "suspect"
    assert any(
        reason.startswith(
            "llama.cpp itself counted 80 output tokens during this run, where its answers to us add up to 160"
        )
        for reason in verdict["reasons"]
    )


@pytest.mark.real
def test_a_real_llamacpp_counts_what_we_count(tmp_path: Path) -> None:
    """To the token, prompts taken from its cache among them; the run is cut short, so some requests are given up."""
    if importlib.util.find_spec("xllamacpp") is None and os.environ.get("TOKENSWARM_REQUIRE_REAL") != "1":
        pytest.skip("xllamacpp is not installed; `make test` installs it")
    options = ("--prompt-tokens", "60", "--output-tokens", "30")
    with llamacpp.running_llamacpp(llamacpp.tiny_model(files.cache_dir()), slots=2) as server:
        whole = run(
            "llamacpp.py",
            tmp_path / "a",
            "--host",
            server.url,
            *options,
            "--levels",
            "4",
            "--requests-per-level",
            "40",
        )
        cut = run(
            "llamacpp.py", tmp_path / "b", "--host", server.url, *options[:2], "--output-tokens", "1900",
            "-u", "8", "-r", "8", "-t", "3s", "--stop-timeout", "1",
        )  # fmt: skip
    assert whole.code == 0, whole.err
    seen = whole.summary["server_metrics"]
    assert (seen["system"], seen["gaps"]) == ("llama.cpp", 0)
    assert seen["output_tokens"]["server"] == seen["output_tokens"]["ours"] == 40 * 30
    assert seen["prompt_tokens"]["server"] == seen["prompt_tokens"]["ours"] == 40 * 60
    assert seen["grown"]["prefix_cache_hits"] == whole.requests["cached_tokens"].sum()
    given_up = cut.summary["server_metrics"]
    assert cut.summary["totals"]["cancelled"] > 0, cut.err
    assert (given_up["running"]["max"], given_up["queued"]["max"]) == (2, 6)
    # More, where it was some time until it had noticed that nobody listened any longer.
    assert given_up["output_tokens"]["result"] in ("unfinished", "equal", "more")
    assert not any("itself counted" in reason for reason in cut.summary["verdict"]["reasons"])


def test_the_waits_are_those_that_are_documented() -> None:
    """A second between looks, two for one, and at most half a second more at the end of a run."""
    assert (scraper.PERIOD_S, scraper.TIMEOUT_S, scraper.MOST_BYTES) == (1.0, 2.0, 4_000_000)
    assert (scraper.SETTLE - 1) * scraper.SETTLE_S == 0.5
