"""Whole runs: Locust's command line against the simulator, and what is left in the run directory."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from locust_runs import (
    NUMBERS,
    cold,
    finish,
    held_up_ms,
    journaled,
    run,
    simulator,
    start,
    start_cold,
    truth,
    until,
)
from recomputed import check

from harness.clock import ANCHOR_NS
from harness.servers.process import Server, free_port

FAST = ("--prefill-rate", "50000", "--step-base-ms", "2", "--step-per-seq-ms", "0.5", "--slots", "4")
SMALL = ("--prompt-tokens", "40", "--output-tokens", "12")
SIZED_S = 150.0  # the server's tokenizer sizes prompts, which takes a while on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A quick simulator for the tests that need no log of their own."""
    with simulator(*FAST) as running:
        yield running


@pytest.mark.calm
@pytest.mark.parametrize(
    ("locustfile", "mode"), [("openai.py", "chat"), ("openai.py", "completions"), ("llamacpp.py", "native")]
)
def test_a_sweep_agrees_with_the_server_request_by_request(
    tmp_path: Path, locustfile: str, mode: str
) -> None:
    """Counts, order of clocks and TTFT are the simulator's own, joined by request id."""
    log = tmp_path / "truth.jsonl"
    with simulator(*FAST, "--log", str(log)) as server:
        done = cold(
            locustfile, tmp_path / "results", "--host", server.url, "--api-mode", mode, *SMALL,
            "--levels", "1,2,6", "--requests-per-level", "12", "--repeats", "2", "--warmup", "1",
        )  # fmt: skip
    assert done.code == 0, done.err
    check(done.directory)
    summary, ours, theirs = done.summary, done.requests, truth(log)
    assert summary["complete"]
    planned = 2 * (3 * 12 + 1 + 2 + 6)
    assert summary["totals"] == {
        "offered": planned, "succeeded": planned, "failed": 0, "cancelled": 0, "unsent": 0, "probes": 0,
        "prompt_tokens": int(theirs.prompt_tokens.sum()), "output_tokens": int(theirs.output_tokens.sum()),
    }  # fmt: skip
    assert [level["concurrency"] for level in summary["levels"]] == [1, 2, 6]
    assert [level["requests"] for level in summary["levels"]] == [24, 24, 24]
    assert [level["repeat_count"] for level in summary["levels"]] == [2, 2, 2]
    both = ours.merge(theirs, left_on="request_id", right_on="id", suffixes=("", "_true"))
    if both.empty:  # the log names requests by the response's id where it has one
        both = ours.merge(theirs, left_on="response_id", right_on="id", suffixes=("", "_true"))
    assert len(both) == planned
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert (both.prompt_tokens == both.requested_prompt_tokens).all()
    assert (both.output_tokens == both.output_tokens_true).all()
    assert (both.output_tokens == 12).all()
    true_ttft_ms = (both.first_token_ns - both.received_ns) / 1e6
    error_ms = both.ttft_ms.astype(float) - true_ttft_ms
    assert error_ms.min() > -0.05  # never earlier than it was sent
    assert error_ms.median() < 5  # both processes share a machine with whatever else runs
    at_six = ours[(ours.level == 6) & (ours.phase == "measure")]
    assert (
        at_six.ttft_ms.median() > ours[ours.level == 2].ttft_ms.median() * 1.5
    )  # two of six wait for a slot


@pytest.mark.calm
def test_load_is_whole_all_through_its_windows(tmp_path: Path, server: Server) -> None:
    """At every moment of a window exactly `level` requests are in flight, but for the turn between two."""
    done = run(
        "openai.py",
        tmp_path / "r",
        "--host",
        server.url,
        *SMALL,
        "--levels",
        "3",
        "--requests-per-level",
        "30",
    )
    (window,) = json.loads((done.directory / "run.json").read_bytes())["windows"]
    frame = done.requests
    late_ns = 1e6 * (20 + held_up_ms(done.directory))  # it ends when we notice
    assert window["end_ns"] == pytest.approx(sorted(frame.end_ns)[-3], abs=late_ns)
    busy = sum(
        max(0, min(end, window["end_ns"]) - max(sent, window["start_ns"]))
        for sent, end in zip(frame.sent_ns, frame.end_ns, strict=True)
    )
    assert 2.7 < busy / (window["end_ns"] - window["start_ns"]) <= 3.0


@pytest.mark.calm
def test_a_timed_run_lets_what_is_in_flight_finish(tmp_path: Path) -> None:
    """Plain -u and -t: streams of two seconds that are in flight at the end are waited for and counted."""
    log = tmp_path / "truth.jsonl"
    with simulator(
        "--step-base-ms", "20", "--step-per-seq-ms", "0", "--slots", "8", "--log", str(log)
    ) as server:
        done = run(
            "openai.py", tmp_path / "r", "--host", server.url, "-u", "3", "-r", "3", "-t", "3s",
            "--prompt-tokens", "20", "--output-tokens", "100",
        )  # fmt: skip
    assert done.code == 0, done.err
    totals = done.summary["totals"]
    assert totals["cancelled"] == totals["unsent"] == totals["failed"] == 0
    assert totals["succeeded"] == len(truth(log)) == 6
    assert totals["output_tokens"] == 600
    check(done.directory)
    (level,) = done.summary["levels"]
    assert level["concurrency"] == 3
    assert level["window_s"] == pytest.approx(
        3, abs=0.6
    )  # up to the stop, not to the last end at four seconds
    served, told = truth(log), json.loads((done.directory / "run.json").read_bytes())
    spans_ns = served.last_token_ns - served.first_token_ns
    pace = (99e9 / spans_ns).median()  # 50 tokens/s, on a machine that is free
    assert level["request_output_tokens_per_s"]["median"] == pytest.approx(pace, rel=0.05)
    ((begin, end),) = [
        (window["start_ns"] - ANCHOR_NS, window["end_ns"] - ANCHOR_NS) for window in told["windows"]
    ]
    inside_ns = served.last_token_ns.clip(upper=end) - served.first_token_ns.clip(lower=begin)
    tokens = (100 * inside_ns.clip(lower=0) / spans_ns).sum()  # about 150 a second
    assert level["system_output_tokens_per_s"] == pytest.approx(1e9 * tokens / (end - begin), rel=0.03)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("load", [("--levels", "2,4", "--requests-per-level", "50"), ("-u", "2", "-r", "2")])
def test_interrupted_once_it_drains_and_writes(
    tmp_path: Path, stop: signal.Signals, load: tuple[str, ...]
) -> None:
    """One Ctrl-C: in-flight requests finish, the results are written and marked, exit 5."""
    with simulator("--step-base-ms", "20", "--slots", "8") as server:
        begin = start_cold if stop is signal.SIGINT else start  # as a user does, and as quickly
        process = begin(
            "openai.py",
            tmp_path / "r",
            "--headless",
            "--host",
            server.url,
            *load,
            *NUMBERS,
            "--output-tokens",
            "60",
        )
        _wait_for_records(tmp_path / "r", 2)
        stopped = time.monotonic()
        process.send_signal(stop)
        done = finish(process, tmp_path / "r")
    assert done.code == 5, done.err
    assert time.monotonic() - stopped < 40  # a drain waits for what is in flight, and no longer
    assert "Traceback" not in done.err
    summary = done.summary
    assert not summary["complete"]
    assert summary["incomplete"][0] == "interrupted"
    totals = summary["totals"]
    assert totals["cancelled"] == 0
    assert totals["succeeded"] == len(done.requests) >= 4
    assert totals["offered"] == totals["succeeded"] + totals["unsent"]
    assert not list(done.directory.glob("journal*"))
    assert "INCOMPLETE" in done.out


def test_interrupted_twice_it_gives_up_what_is_in_flight(tmp_path: Path) -> None:
    """Two Ctrl-Cs: streams that would go on for a minute are cancelled and counted with what had come."""
    with simulator("--step-base-ms", "100", "--slots", "8") as server:
        process = start_cold(
            "openai.py",
            tmp_path / "r",
            "--headless",
            "--host",
            server.url,
            "-u",
            "2",
            "-r",
            "2",
            *NUMBERS,
            "--output-tokens",
            "600",
        )
        until(lambda: any((tmp_path / "r").glob("*/run.json")))  # all is prepared; users start at once
        time.sleep(2)  # tokens come every 0.1 s, for a minute
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        until(lambda: journaled(tmp_path / "r", '"topic":"stop"') > 0)
        process.send_signal(signal.SIGINT)
        done = finish(process, tmp_path / "r")
    assert time.monotonic() - begin < 40
    assert done.code == 5, done.err
    assert "Traceback" not in done.err
    assert done.summary["totals"]["cancelled"] == 2
    frame = done.requests
    assert (frame.outcome == "cancelled").all()
    assert (frame.chunks > 5).all()
    assert "2 requests were given up in flight" in done.summary["incomplete"]


def test_a_killed_process_leaves_a_journal_that_reports(tmp_path: Path, server: Server) -> None:
    """After kill -9 `tokenswarm report` has all of the finished level, its rate too, and says what is missing."""
    results = tmp_path / "r"
    process = start(
        "openai.py", results, "--headless", "--host", server.url, *SMALL, "--levels", "2,1", "--requests-per-level", "60"
    )  # fmt: skip
    _wait_for_records(results, 75)
    process.kill()
    process.communicate()
    (directory,) = results.iterdir()
    command = [sys.executable, "-m", "harness", "report", directory]
    reported = subprocess.run(command, capture_output=True, text=True, check=False)
    assert reported.returncode == 5, reported.stderr
    summary = json.loads((directory / "summary.json").read_bytes())
    assert not summary["complete"]
    totals = summary["totals"]
    assert totals["offered"] == 120
    assert totals["succeeded"] + totals["unsent"] == 120
    assert totals["succeeded"] >= 75
    finished = next(level for level in summary["levels"] if level["concurrency"] == 2)
    assert finished["requests"] == 60
    assert finished["system_output_tokens_per_s"] > 0
    assert "INCOMPLETE" in reported.stdout


def test_a_server_that_dies_in_mid_run(tmp_path: Path) -> None:
    """Its requests fail with their class, the run goes on to its end, exit 1 as Locust has it."""
    with simulator("--step-base-ms", "5") as server:
        process = start(
            "openai.py",
            tmp_path / "r",
            "--headless",
            "--host",
            server.url,
            "-u",
            "2",
            "-r",
            "2",
            "-t",
            "6s",
            *NUMBERS,
            "--output-tokens",
            "12",
        )
        _wait_for_records(tmp_path / "r", 5)
    done = finish(process, tmp_path / "r")
    assert done.code == 1, done.err
    summary = done.summary
    assert 2 < summary["totals"]["failed"] < 60  # users that cannot connect pause before they knock again
    assert summary["totals"]["succeeded"] >= 5
    assert set(summary["levels"][-1]["errors"]) <= {"reset", "truncated", "connect"}
    assert "Traceback" not in done.err


BAD = [
    (["--host", "127.0.0.1:1"], ["--host '127.0.0.1:1' has no scheme: write http://127.0.0.1:1 or https://127.0.0.1:1"]),
    (["--host", "http://127.0.0.1:1"], ["--host http://127.0.0.1:1 cannot be reached (connection refused); is it up, and is the port right?"]),
    (["--api-mode", "telepathy"], ["--api-mode: 'telepathy' is not a mode of backend 'openai': use one of chat, completions"]),
    (["--levels", "1,zwei"], ["--levels '1,zwei': 'zwei' is not a number of users; write e.g. 1,2,4,8"]),
    (["--levels", "4,4"], ["--levels '4,4': 4 stands there twice; to repeat levels use --repeats"]),
    (["--levels", "2", "-t", "5s"], ["-t and --levels exclude each other: --levels sets the users, --requests-per-level the end; drop -t"]),
    (["--model", "nobody"], ["--model 'nobody' is not served here; the server lists 'simulated' (--preflight no sends it all the same)"]),
    (
        ["--levels", "2,8", "--requests-per-level", "3"],
        ["--requests-per-level 3 cannot keep 8 users busy: give at least 8, better 5 times it"],
    ),
    (
        ["--output-tokens", "20000"],
        [
            ("--prompt-tokens 550 and --output-tokens 20000 do not fit: the server takes 8192 tokens a request, "
            "prompt and answer together")
        ],
    ),
    (["--prompt-tokens", "normal:5"], None),
    (["--tokenizer", "/etc"], None),
    (["--results-dir", "/proc/nowhere"], None),
    (["--seed", "-1", "--label", "x"], None),
]  # fmt: skip


@pytest.mark.parametrize(("options", "lines"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_input_ends_with_one_line_before_load(
    tmp_path: Path, server: Server, options: list[str], lines: list[str] | None
) -> None:
    """Exit 2, one line for each thing that is wrong, no traceback, nothing written."""
    done = run("openai.py", tmp_path / "r", "--host", server.url, *options)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    if lines is None:
        flags = [option for option in options if option.startswith("--")]
        assert len(done.errors) == len(flags)
        assert all(flag in "".join(done.errors) for flag in flags)
    else:
        assert done.errors == [f"tokenswarm: error: {line}" for line in lines]
    assert not (tmp_path / "r").exists()


def test_a_wrong_key_is_found_before_load(tmp_path: Path) -> None:
    """401: one line that says where the key goes; the right key works and is nowhere in the results."""
    with simulator("--api-key-env", "SIM_KEY", env={"SIM_KEY": "sk-right-1"}) as server:
        for env in ({}, {"TOKENSWARM_API_KEY": "sk-wrong-9"}):
            done = run("openai.py", tmp_path / "r", "--host", server.url, env=env)
            assert done.code == 2, done.err
            assert len(done.errors) == 1
            assert "answered 401" in done.errors[0]
            assert "TOKENSWARM_API_KEY" in done.errors[0]
            assert "sk-wrong-9" not in done.err + done.out
        done = run(
            "openai.py", tmp_path / "r", "--host", server.url, *SMALL, "--levels", "1", "--requests-per-level", "2",
            env={"TOKENSWARM_API_KEY": "sk-right-1"},
        )  # fmt: skip
    assert done.code == 0, done.err
    for file in done.directory.iterdir():
        assert b"sk-right-1" not in file.read_bytes()


def test_a_model_that_is_not_there_stops_the_run(tmp_path: Path, server: Server) -> None:
    """Sent unasked, a 404 model ends the run at once with the server's words instead of failing a thousand times."""
    done = run(
        "openai.py", tmp_path / "r", "--host", server.url, *SMALL, "--model", "nobody", "--preflight", "no",
        "--levels", "2", "--requests-per-level", "1000",
    )  # fmt: skip
    assert done.code == 2, done.err
    assert len(done.errors) == 1
    assert "not_found" in done.errors[0]
    assert "nobody" in done.errors[0]
    assert done.summary["totals"]["failed"] <= 4
    assert done.summary["totals"]["succeeded"] == 0
    assert not done.summary["complete"]


def test_a_user_class_of_ones_own(tmp_path: Path, server: Server) -> None:
    """The README's ten lines: own sizes, own prompt, own name, what came back."""
    locustfile = tmp_path / "mine.py"
    locustfile.write_text(
        "from locust import between, task\n"
        "from harness.users import LLMUser\n"
        "class Mine(LLMUser):\n"
        "    backend = 'openai'\n"
        "    wait_time = between(0.01, 0.02)\n"
        "    output_tokens = 'uniform:4,6'\n"
        "    @task\n"
        "    def talk(self):\n"
        "        record = self.ask('How are you?', name='greeting')\n"
        "        assert 4 <= record.output_tokens <= 6, record\n"
        "        assert record.ttft_ms > 0 and len(record.text) > 3\n"
        "        self.ask(max_tokens=9, name='follow-up')\n"
    )
    done = run(
        locustfile, tmp_path / "r", "--host", server.url, "--levels", "2", "--requests-per-level", "10"
    )
    assert done.code == 0, done.err
    frame = done.requests
    assert set(frame.name) == {"greeting", "follow-up"}
    assert (frame[frame.name == "follow-up"].output_tokens == 9).all()
    assert frame[frame.name == "greeting"].requested_prompt_tokens.isna().all()


def test_the_same_seed_sends_the_same_requests(tmp_path: Path, server: Server) -> None:
    """Sizes are drawn from the seed alone."""
    sizes = []
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        done = run(
            "openai.py", tmp_path / name, "--host", server.url, "--seed", seed, "--levels", "1",
            "--requests-per-level", "8", "--prompt-tokens", "uniform:30,90", "--output-tokens", "uniform:4,20",
        )  # fmt: skip
        frame = done.requests.sort_values("sent_ns")
        sizes.append(list(zip(frame.prompt_tokens, frame.output_tokens, strict=True)))
    assert sizes[0] == sizes[1]
    assert sizes[0] != sizes[2]


def test_locusts_statistics_are_in_milliseconds_and_one_a_request(tmp_path: Path, server: Server) -> None:
    """Locust's own JSON has as many requests as ours, at our E2E."""
    stats = tmp_path / "stats"
    done = run(
        "openai.py", tmp_path / "r", "--host", server.url, *SMALL, "--levels", "1", "--requests-per-level", "10",
        "--json-file", str(stats),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Maritaca's tables" not in done.out  # their servers', or on request
    (entry,) = json.loads(stats.with_suffix(".json").read_text())
    assert (entry["num_requests"], entry["num_failures"]) == (10, 0)
    assert entry["total_response_time"] / 10 == pytest.approx(done.requests.e2e_ms.mean(), rel=0.02)


def test_two_runs_from_the_web_ui(tmp_path: Path, server: Server) -> None:
    """Started, stopped and started again over HTTP: two directories, nothing of the first in the second."""
    with _web_ui(tmp_path / "r", server) as page:
        for users in (1, 2):
            requests.post(
                f"{page.url}/swarm", data={"user_count": users, "spawn_rate": users}, timeout=60
            ).raise_for_status()
            _wait_for_records(tmp_path / "r", 5, directories=users)
            requests.post(f"{page.url}/stop", timeout=90).raise_for_status()
            until(lambda users=users: len(list((tmp_path / "r").glob("*/summary.json"))) == users, SIZED_S)
    assert page.code in (0, 5), page.err
    assert "Traceback" not in page.err
    first, second = sorted((tmp_path / "r").iterdir())
    for directory, users in ((first, 1), (second, 2)):
        summary = json.loads((directory / "summary.json").read_bytes())
        assert summary["complete"], summary["incomplete"]
        assert [level["concurrency"] for level in summary["levels"] if level["concurrency"]] == [users]
    assert page.out.count("system tok/s") == 2


def test_a_body_that_is_never_accepted_stops_the_run(tmp_path: Path, server: Server) -> None:
    """Ten 400s and no success: the rest is not sent, the server's words are said, exit 2; at the trial if there is one."""
    load = ("--levels", "2", "--requests-per-level", "50", "--extra-body", '{"messages": []}')
    before = run("openai.py", tmp_path / "none", "--host", server.url, *SMALL, *load)
    assert before.code == 2, before.err
    (line,) = before.errors
    assert line == (
        f"tokenswarm: error: POST {server.url}/v1/chat/completions answered 400 to a trial request "
        "(messages must be a list of at least one message) (--preflight no sends the load all the same)"
    )
    assert not (tmp_path / "none").exists()
    load = (*load, "--preflight", "no", "--model", "simulated")
    done = run("openai.py", tmp_path / "r", "--host", server.url, *SMALL, *load)
    assert done.code == 2, done.err
    assert len(done.errors) == 1
    assert "http_client" in done.errors[0]
    assert 10 <= done.summary["totals"]["failed"] <= 14


def test_a_bad_value_in_the_web_form_starts_nothing(tmp_path: Path, server: Server) -> None:
    """It is said in the log and on the page, no user throws a traceback, and the next start works."""
    form = {"user_count": 2, "spawn_rate": 2}
    with _web_ui(tmp_path / "r", server) as page:
        requests.post(
            f"{page.url}/swarm", data=form | {"prompt_tokens": "abc"}, timeout=60
        ).raise_for_status()
        until(lambda: bool(requests.get(f"{page.url}/exceptions", timeout=60).json()["exceptions"]), SIZED_S)
        (told,) = requests.get(f"{page.url}/exceptions", timeout=60).json()["exceptions"]
        assert "--prompt-tokens" in told["msg"]
        time.sleep(1)
        assert not (tmp_path / "r").exists()
        requests.post(f"{page.url}/swarm", data=form | {"prompt_tokens": "40"}, timeout=60).raise_for_status()
        _wait_for_records(tmp_path / "r", 5)
        requests.post(f"{page.url}/stop", timeout=90).raise_for_status()
    assert "Traceback" not in page.err
    assert page.err.count("cannot start") == 1


@dataclass
class Page:
    """Locust's web UI; what the process said, and its exit code, once it has ended."""

    url: str
    out: str = ""
    err: str = ""
    code: int | None = None


@contextmanager
def _web_ui(results: Path, server: Server) -> Iterator[Page]:
    """Locust with its web UI up, ended by Ctrl-C."""
    port = free_port()
    where = ("--web-host", "127.0.0.1", "--web-port", str(port))
    process = start("openai.py", results, "--host", server.url, *NUMBERS, "--output-tokens", "12", *where)
    page = Page(f"http://127.0.0.1:{port}")
    try:
        until(lambda: _answers(page.url), SIZED_S)
        yield page
    finally:
        process.send_signal(signal.SIGINT)
        page.out, page.err = process.communicate(timeout=90)
        page.code = process.returncode


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _wait_for_records(results: Path, count: int, directories: int = 1) -> None:
    """Until the journal of the run that makes up this number of directories holds so many records."""

    def seen() -> bool:
        found = sorted(results.glob("*/"))
        journals = list(found[-1].glob("journal*.jsonl")) if len(found) == directories else []
        return bool(journals) and journals[0].read_bytes().count(b'"kind":"record"') >= count

    until(seen, SIZED_S)


@pytest.mark.parametrize("obey", ["yes", "no"])
def test_a_refused_user_rests_as_long_as_the_server_asks(tmp_path: Path, obey: str) -> None:
    """Retry-After of a 429: kept in the record, obeyed by the one user, and a doubt; unless told not to."""
    with simulator("--fault", "status:0.4,code=429,retry-after=1", "--seed", "3") as refusing:
        done = run(
            "openai.py", tmp_path / "r", "--host", refusing.url, *SMALL, "--levels", "1",
            "--requests-per-level", "10", "--retry-after", obey, "--first-token-timeout", "20",
        )  # fmt: skip
    rows = done.requests.sort_values("sent_ns").reset_index(drop=True)
    refused = rows[rows.outcome == "failed"]
    assert 1 <= len(refused) <= 8
    assert set(refused.error_class) == {"overload"}
    assert set(refused.http_status) == {429}
    assert set(refused.retry_after_s) == {1.0}
    gaps_s = [(rows.sent_ns[n + 1] - rows.end_ns[n]) / 1e9 for n in refused.index if n + 1 < len(rows)]
    rested = [reason for reason in done.summary["verdict"]["reasons"] if "Retry-After" in reason]
    if obey == "yes":
        assert min(gaps_s, default=1.0) >= 1.0
        assert not gaps_s or min(gaps_s) < 2.0  # a machine that others use only adds to some
        times = "once" if len(refused) == 1 else f"{len(refused)} times"
        (reason,) = rested
        assert reason.startswith(
            f"users refused with Retry-After rested {times}, {len(refused):.3g} s in all"
        )
    else:
        assert not gaps_s or min(gaps_s) < 0.9  # a failure takes half a second
        assert not rested
