"""`tokenswarm selftest`: the search, the figures of a step, what is kept and said; and both processes for real.

Nothing here asserts what this machine can hold.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from alive import goes
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.selftest import capacity, lab, pacer, search, steps, telling
from harness.selftest.capacity import Limit
from harness.selftest.search import Found, Shown, highest
from harness.selftest.steps import Shape, Step, Verdict
from harness.selftest.telling import Plan

LIMIT = Limit(
    streams=620,
    tokens_per_stream=50.0,
    at_least=False,
    events_per_s=26_100.0,
    ttft_error_p99_ms=0.61,
    stamp_source="kernel",
    cpu_percent=91.0,
    own_cores=True,
    date="2026-11-21T06:38:50+00:00",
)
MS = 1_000_000
SHORT = Shape(first_ms=30, gap_ms=5, tokens=20)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own, not there yet."""
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def step(**changes: object) -> Step:
    """A step that was held, but for the changes."""
    held: dict[str, object] = {
        "streams": 100,
        "requests": 116,
        "ttft_error_p50_ms": 0.02,
        "ttft_error_p99_ms": 0.3,
        "gap_error_p99_ms": 0.01,
        "missing": 0,
        "failed": 0,
        "failure": None,
        "events_per_s": 4255.0,
        "held": 1.0,
        "cpu_percent": 15.0,
        "waited_percent": 1.0,
        "late_p99_ms": 0.06,
        "blocked": 0,
        "stamp_source": "kernel",
    }
    return Step(**(held | changes))  # type: ignore[arg-type]


# -- the search


@contextmanager
def patience(trials: int) -> Iterator[None]:
    """Closing in for so many trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "PATIENCE", trials)
        yield


@given(
    limit=st.integers(5, 20_000),
    start=st.integers(1, 3_000),
    noise=st.lists(st.booleans(), max_size=12),
    room=st.floats(1.1, 2.0),
)
def test_the_search_finds_the_limit_through_noise(
    limit: int, start: int, noise: list[bool], room: float
) -> None:
    """Whatever the start, and though single trials fail for no reason, the answer is within a tenth of the limit."""
    failures = iter(noise)
    last_failed = False

    def trial(load: int) -> Shown:
        nonlocal last_failed
        last_failed = load > limit or (next(failures, False) and not last_failed)
        return Shown(Verdict.MISSED if last_failed else Verdict.HELD, room)

    with patience(99):
        found = highest(trial, start=start, least=5, most=100_000)
    assert found is not None
    assert not found.at_least
    assert limit / (1 + search.RESOLUTION) - 1 <= found.load <= limit


@given(start=st.integers(1, 3_000))
def test_a_search_that_never_fails_stops_at_the_most(start: int) -> None:
    """Then the answer is a lower bound, and no load beyond the most was tried."""
    tried: list[int] = []

    def trial(load: int) -> Shown:
        tried.append(load)
        return Shown(Verdict.HELD)

    assert highest(trial, start=start, least=5, most=4_000) == Found(4_000, at_least=True)
    assert max(tried) == 4_000
    assert tried[-2:] == [4_000, 4_000]  # confirmed


@pytest.mark.parametrize(("beyond", "at_least"), [(Verdict.MISSED, False), (Verdict.UNSHOWN, True)])
def test_a_limit_that_may_not_be_the_workers_is_a_lower_bound(beyond: Verdict, at_least: bool) -> None:
    """What stopped the search decides."""
    found = highest(lambda n: Shown(Verdict.HELD if n <= 600 else beyond), start=200, least=5, most=9_999)
    assert found == Found(570, at_least=at_least)


def test_a_machine_that_holds_nothing_has_no_limit() -> None:
    """And the least load was tried twice before that was believed."""
    tried: list[int] = []

    def trial(load: int) -> Shown:
        tried.append(load)
        return Shown(Verdict.MISSED)

    assert highest(trial, start=40, least=10, most=100) is None
    assert tried == [40, 40, 20, 20, 10, 10]


def test_a_search_that_takes_too_long_gives_what_it_has() -> None:
    """A lower bound: the highest load that was held when patience ran out."""
    tried: list[int] = []

    def trial(load: int) -> Shown:
        tried.append(load)
        return Shown(Verdict.HELD if load <= 600 else Verdict.MISSED)

    with patience(5):
        assert highest(trial, start=400, least=5, most=9_999) == Found(570, at_least=True)
    assert tried == [400, 800, 800, 570, 680, 680, 570]


def test_a_disturbed_confirmation_takes_nothing_back() -> None:
    """The load has been held; but nothing more is claimed."""
    seen: list[int] = []

    def trial(load: int) -> Shown:
        seen.append(load)
        again = seen.count(570) > 1
        return Shown(Verdict.UNSHOWN if again else Verdict.HELD if load <= 600 else Verdict.MISSED)

    assert highest(trial, start=400, least=5, most=9_999) == Found(570, at_least=True)


def test_an_answer_that_does_not_hold_again_is_lowered() -> None:
    """A load that passed by luck is given up for the next one down."""
    seen: dict[int, int] = {}

    def trial(load: int) -> Shown:
        seen[load] = seen.get(load, 0) + 1
        lucky = load == 200 and seen[load] == 1
        return Shown(Verdict.HELD if load <= 190 or lucky else Verdict.MISSED)

    assert highest(trial, start=200, least=5, most=9_999) == Found(180, at_least=False)


# -- a step


def logs() -> tuple[dict[str, object], dict[str, object]]:
    """What both processes said of two requests: the second was seen 2 ms late, and its last event not at all."""
    served = {
        "blocked": 0,
        "rows": [
            ["a", 100 * MS, [130 * MS, 135 * MS, 140 * MS], [0, 10_000, 20_000]],
            ["b", 200 * MS, [230 * MS, 235 * MS, 240 * MS], [0, 0, 4 * MS]],
        ],
    }
    loaded = {
        "begin_ns": 90 * MS,
        "end_ns": 590 * MS,
        "cpu_ns": 125 * MS,
        "waited_ns": 5 * MS,
        "rows": [
            ["a", 100 * MS - 50_000, 130 * MS, [5_000.0, 5_100.0], None, "kernel"],
            ["b", 200 * MS, 232 * MS, [3_000.0], None, "read"],
            ["early", 80 * MS, 95 * MS, [1.0], None, "read"],
        ],
    }
    return served, loaded


def test_the_figures_of_a_step() -> None:
    """Every figure against its hand-made value; a request sent before the window does not count."""
    served, loaded = logs()
    found = steps.join(2, SHORT, served, loaded)
    assert found == Step(
        streams=2,
        requests=2,
        ttft_error_p50_ms=0.05,
        ttft_error_p99_ms=2.0,
        gap_error_p99_ms=2.0,
        missing=1,
        failed=0,
        failure=None,
        events_per_s=12.0,
        held=12.0 / (2 * 20 / 0.125),
        cpu_percent=25.0,
        waited_percent=1.0,
        late_p99_ms=4.0,
        blocked=0,
        stamp_source="mixed",
    )


def test_an_event_on_its_way_at_the_end_is_not_missing() -> None:
    """What was sent in the last 50 ms counts neither way; nor does a request whose first event was."""
    served, loaded = logs()
    loaded["end_ns"] = 285 * MS
    found = steps.join(2, SHORT, served, loaded)
    assert (found.requests, found.missing) == (2, 0)
    loaded["end_ns"] = 279 * MS
    assert steps.join(2, SHORT, served, loaded).requests == 1


def test_requests_that_fail_are_counted_and_quoted() -> None:
    """Also those that never reached the server."""
    served, loaded = logs()
    loaded["rows"] = [["x", None, None, [], "connection refused", "read"]]
    found = steps.join(2, SHORT, served, loaded)
    assert (found.failed, found.ttft_error_p99_ms, found.stamp_source) == (1, None, "none")
    assert found.problem == "1 requests failed (connection refused)"


@pytest.mark.parametrize(
    ("changes", "verdict", "problem"),
    [
        ({}, "held", None),
        ({"ttft_error_p99_ms": 1.0}, "held", None),
        ({"ttft_error_p99_ms": 1.2}, "missed", "TTFT error p99 1.2 ms is over 1 ms"),
        ({"missing": 3}, "missed", "3 events not there 50 ms after they were sent"),
        ({"blocked": 1}, "missed", "1 streams not read for so long that their sockets were full"),
        ({"held": 0.9}, "missed", "only 90% of its tokens came"),
        ({"ttft_error_p99_ms": None}, "missed", "no request came to its first token"),
        ({"held": 0.9, "late_p99_ms": 1.5}, "unshown", "only 90% of its tokens came"),
        ({"missing": 3, "waited_percent": 30.0}, "unshown", "3 events not there 50 ms after they were sent"),
        ({"held": 0.9, "late_p99_ms": 1.5, "cpu_percent": 99.0}, "missed", "only 90% of its tokens came"),
        ({"late_p99_ms": 5.0, "waited_percent": 30.0}, "held", None),
    ],
)
def test_the_verdict_of_a_step(changes: dict[str, object], verdict: str, problem: str | None) -> None:
    """Held within the limits; a miss is the worker's only where neither server nor others may be the cause."""
    assert (step(**changes).verdict, step(**changes).problem) == (verdict, problem)


@pytest.mark.parametrize(("cpu", "room"), [(0.0, 2.0), (20.0, 2.0), (80.0, 1.25), (99.0, 1.1)])
def test_the_room_that_is_left(cpu: float, room: float) -> None:
    """The nearer the worker is to a full core, the smaller the next step up."""
    assert step(cpu_percent=cpu).room == room


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([50, 99]))
def test_percentile(values: list[float], percent: int) -> None:
    """At least so many percent do not exceed it, and it is one of them and the smallest that does."""
    found = steps.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


@pytest.mark.parametrize(
    ("rate", "tokens", "mean"), [(50, 80, 80 / 1.88), (10, 16, 16 / 1.8), (1, 2, 2 / 1.3)]
)
def test_the_shape_of_a_stream(rate: float, tokens: int, mean: float) -> None:
    """0.3 s, then about 1.6 s of tokens at the rate."""
    shape = steps.shape_for(rate)
    assert (shape.first_ms, shape.gap_ms, shape.tokens) == (300, 1000 / rate, tokens)
    assert shape.tokens_per_s == pytest.approx(mean)


# -- what is kept


def test_a_result_is_kept_for_this_machine(cache: Path) -> None:
    """Both schemes side by side, the newer in place of the older."""
    assert capacity.load() == {}
    assert capacity.store(LIMIT, tls=False) == cache / "selftest.json"
    capacity.store(LIMIT, tls=True)
    newer = Limit(**{**json.loads(orjson.dumps(LIMIT)), "streams": 700})
    capacity.store(newer, tls=False)
    assert capacity.load() == {"http": newer, "https": LIMIT}


@pytest.mark.parametrize("field", ["cpu", "cores", "kernel", "python", "tokenswarm"])
def test_a_result_of_another_machine_is_none(cache: Path, field: str) -> None:
    """Or of another version: whatever it was measured with must be the same."""
    capacity.store(LIMIT, tls=False)
    kept = json.loads((cache / "selftest.json").read_text())
    kept["machine"][field] = "other"
    (cache / "selftest.json").write_text(json.dumps(kept))
    assert capacity.load() == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 1}', '{"schema": 2, "machine": {}, "results": {}}', "\0" * 9],
)
def test_an_unreadable_result_is_none(cache: Path, text: str) -> None:
    """Never an error: a run must not fail over it."""
    cache.mkdir()
    (cache / "selftest.json").write_text(text)
    assert capacity.load() == {}


@pytest.mark.parametrize("change", [{"streams": 0}, {"streams": "many"}, {"streams": None}, {"extra": 1}])
def test_a_result_that_is_no_limit_is_none(cache: Path, change: dict[str, object]) -> None:
    """Fields of the wrong kind, or ones we do not know."""
    capacity.store(LIMIT, tls=False)
    kept = json.loads((cache / "selftest.json").read_text())
    kept["results"]["http"] |= change
    (cache / "selftest.json").write_text(json.dumps(kept))
    assert capacity.load() == {}


# -- the warning


@pytest.mark.parametrize(
    ("streams", "rate", "workers"), [(300, 50.0, 1), (300, None, 1), (1500, 10.0, 1), (600, 50.0, 2)]
)
def test_without_a_selftest_a_modest_plan_fits(streams: int, rate: float | None, workers: int) -> None:
    """300 streams x 50 tok/s a worker, or the same in other numbers."""
    assert capacity.warning(streams, rate, workers) is None


def test_without_a_selftest_a_larger_plan_is_told_to_run_one() -> None:
    """One line with the plan, the default and the command."""
    assert capacity.warning(1000, 50.0) == (
        "the plan is 1,000 streams x 50 tok/s for 1 worker, more than the 300 x 50 tok/s that any worker may be "
        "trusted with unmeasured: run `tokenswarm selftest` to find what this machine sustains, or use 5 workers"
    )


def test_with_a_selftest_the_plan_is_held_to_it() -> None:
    """At the limit it fits; beyond it the line has the plan, the limit and the number of workers."""
    capacity.store(LIMIT, tls=False)
    assert capacity.warning(620, 50.0) is None
    assert capacity.warning(1240, None, 2) is None
    assert capacity.warning(1241, 50.0, 2) == (
        "the plan is 1,241 streams x 50 tok/s for 2 workers, and one worker here was seen to hold 620 streams x "
        "50 tok/s: its stamps may be off; use 3 workers (each at most 80% of its limit)"
    )


def test_a_rate_that_is_not_known_is_said_to_be_a_guess() -> None:
    """50 tok/s stand in for it."""
    capacity.store(LIMIT, tls=False)
    line = capacity.warning(621, None)
    assert line is not None
    assert line.startswith("the plan is 621 streams x 50 tok/s (the rate is a guess) for 1 worker, and one")


def test_the_limit_of_the_other_scheme_stands_in_and_is_named() -> None:
    """A run over TLS is held to the result over TLS, where there is one."""
    capacity.store(LIMIT, tls=False)
    line = capacity.warning(1000, 50.0, tls=True)
    assert line is not None
    assert "hold 620 streams x 50 tok/s over http: its stamps" in line
    capacity.store(Limit(**{**json.loads(orjson.dumps(LIMIT)), "streams": 400, "at_least": True}), tls=True)
    assert capacity.warning(401, 50.0, tls=False) is None
    line = capacity.warning(401, 50.0, tls=True)
    assert line is not None
    assert "was seen to hold at least 400 streams x 50 tok/s: its stamps" in line


@given(st.integers(1, 10**6), st.floats(0.1, 1e4), st.floats(1, 1e6))
def test_the_workers_of_a_plan(streams: int, rate: float, sustained: float) -> None:
    """The fewest that are each given at most 80 % of their limit."""
    workers = capacity.workers_for(streams, rate, sustained)
    assert streams * rate <= capacity.SHARE * sustained * (workers + 1e-4)
    assert workers == 1 or streams * rate > capacity.SHARE * sustained * (workers - 1)


def test_the_warning_is_light() -> None:
    """A run may ask before it has loaded anything that opens a socket or takes a second."""
    heavy = ("gevent", "ssl", "subprocess", "pandas", "numpy", "locust")
    code = f"import sys, harness.selftest.capacity; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- what is said


def test_the_result_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table, limit and plan; the numbers are the step's."""
    monkeypatch.setattr(telling, "_cores", lambda: 2)
    made = [step(), step(streams=200, missing=3)]
    lines = telling.text(made, LIMIT, Plan(5000, 40), tls=False).splitlines()
    assert lines[1].split() == ["100", "4,255", "0.020", "0.300", "0.010", "0", "15", "0.060", "held"]
    assert lines[2].split() == ["200", "4,255", "0.020", "0.300", "0.010", "3", "15", "0.060", "missed"]
    assert lines[4:] == [
        (
            "One worker here holds 620 streams x 50 tok/s (26,100 tokens/s in all, each answer's first after 0.3 s) "
            "with TTFT error p99 0.610 ms."
        ),
        (
            "5,000 streams x 40 tok/s need 9 workers (each at most 80% of its limit); this machine has 2 cores: with "
            "one left for everything else, spread them over 9 such machines."
        ),
    ]


@pytest.mark.parametrize(
    ("streams", "cores", "words"),
    [
        (100, 4, "need 1 worker (each at most 80% of its limit); this machine has 4 cores: one is enough."),
        (1000, 4, ("need 3 workers (each at most 80% of its limit); this machine has 4 cores: start them here with"
                  " `--processes 3`.")),
        (2000, 4, "this machine has 4 cores: with one left for everything else, spread them over 2 such machines."),
        (100, 1, "this machine has 1 core: it is enough for them if the server under test is elsewhere."),
    ],
)  # fmt: skip
def test_where_the_workers_go(monkeypatch: pytest.MonkeyPatch, streams: int, cores: int, words: str) -> None:
    """Here if there are cores for them, else on more machines."""
    monkeypatch.setattr(telling, "_cores", lambda: cores)
    assert telling.text([step()], LIMIT, Plan(streams, 50), tls=False).endswith(words)


def test_doubts_are_said() -> None:
    """A lower bound, a shared core and other programs each have a line."""
    limit = Limit(**{**json.loads(orjson.dumps(LIMIT)), "at_least": True, "own_cores": False})
    text = telling.text([step(streams=700, waited_percent=30.0)], limit, None, tls=True)
    assert text.splitlines()[3:] == [
        (
            "One worker here holds at least 620 streams x 50 tok/s over TLS (26,100 tokens/s in all, each answer's "
            "first after 0.3 s) with TTFT error p99 0.610 ms."
        ),
        "What it missed beyond that may not have been its fault: see the steps above.",
        "Worker and test server shared a core: with one of its own a worker holds more.",
        (
            "Other programs had the worker's core for 30 % of the time (median of the steps): measure on an idle "
            "machine."
        ),
    ]


def test_a_step_while_it_is_made() -> None:
    """One line: what was asked, what came, why it was missed and what else may have been the cause."""
    assert (
        telling.progress(step())
        == "     100 streams,   4,255 tokens/s, CPU  15 %: held, TTFT error p99 0.300 ms"
    )
    assert telling.progress(step(missing=3, late_p99_ms=12.3)).endswith(
        "missed, 3 events not there 50 ms after they were sent (the test server was late too, by 12.3 ms)"
    )


# -- the command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--tokens-per-stream 0", "--tokens-per-stream 0: give a number from 1 to 1,000"),
        ("--tokens-per-stream nan", "--tokens-per-stream nan: give a number from 1 to 1,000"),
        ("--tokens-per-stream fast", "--tokens-per-stream fast: give a number, for example 50"),
        ("--streams 0", "--streams 0: give a number from 1 to 100,000,000"),
        ("--streams 1.5", "--streams 1.5: give a whole number"),
        ("--streams 9 --rate -1", "--rate -1: give a number from 0.001 to 1,000,000"),
        ("--rate 9", "--rate 9 says nothing alone: add --streams N, the number of streams planned"),
    ],
)
def test_bad_options(options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line naming the option, exit code 2, and nothing is measured."""
    assert cli.main(["selftest", *options.replace("--rate -1", "--rate=-1").split()]) == 2
    assert capsys.readouterr() == ("", f"tokenswarm selftest: error: {message}\n")


def test_tls_without_openssl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is needed for the certificate, and that is said."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert cli.main(["selftest", "--tls"]) == 2
    assert capsys.readouterr().err == (
        "tokenswarm selftest: error: --tls needs the openssl command to make a throwaway certificate, and it is "
        "not on this machine: install openssl or leave --tls out\n"
    )


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few streams and short windows, held whatever this machine does to them."""
    monkeypatch.setattr(lab, "MOST_STREAMS", 8)
    monkeypatch.setattr(steps, "FIRST_MS", 20.0)
    monkeypatch.setattr(steps, "STREAMING_S", 0.1)
    monkeypatch.setattr(lab.Lab.measure, "__defaults__", (0.3,))
    monkeypatch.setattr(steps, "TTFT_LIMIT_MS", 1e6)
    monkeypatch.setattr(steps, "HELD_LEAST", 0.0)
    monkeypatch.setattr(steps, "GRACE_NS", 0)


def test_the_whole_command(brief: None, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a test server and a worker that are real: steps, result and what is kept say the same."""
    assert cli.main(["selftest", "--tokens-per-stream", "100", "--streams", "16", "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["limit"]["streams"], result["limit"]["at_least"]) == (8, True)
    # Twice; a step of a third of a second may show nothing where others have the core, and is then made again.
    assert {made["streams"] for made in result["steps"]} == {8}
    assert 2 <= len(result["steps"]) <= 4
    assert result["plan"]["workers"] == 3  # 16 x 100 tok/s over 80 % of 8 x 100
    assert said.err.count("streams,") == len(result["steps"])
    kept = json.loads((cache / "selftest.json").read_text())
    assert kept["results"]["http"] == {k: v for k, v in result["limit"].items() if k != "tls"}
    assert kept["machine"] == result["machine"] == capacity.machine()
    assert kept["method"] == capacity.METHOD


def test_a_cache_that_cannot_be_written(
    brief: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is told all the same, and that it could not be kept."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "file"))
    assert cli.main(["selftest", "--tokens-per-stream", "100"]) == 0
    said = capsys.readouterr()
    assert "One worker here holds at least 8 streams x 100 tok/s" in said.out
    assert f"the result could not be kept in {tmp_path / 'file'}/selftest.json (" in said.err


def test_nothing_held(
    brief: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 5 and one line that says why; nothing is kept."""
    monkeypatch.setattr(steps, "TTFT_LIMIT_MS", -1.0)
    monkeypatch.setattr("harness.selftest.cli.LEAST_STREAMS", 8)
    assert cli.main(["selftest", "--tokens-per-stream", "100"]) == 5
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "tokenswarm selftest: error: could not measure: not even 8 streams were held: TTFT error"
    )
    assert capacity.load() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_leaves_nothing_behind() -> None:
    """Exit code 130, no traceback, and both processes are gone."""
    # In the background of a shell, where tests may run, the signal is ignored, and that is inherited.
    heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import signal, sys; {heed}; from harness.cli import main; sys.exit(main(['selftest']))"
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(pids := children.read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
    assert all(goes(int(pid)) for pid in pids)


# -- both processes, for real


@pytest.mark.parametrize("tls", [False, True])
def test_a_step_for_real(tls: bool) -> None:
    """Every stream gets its tokens, the two logs join, and the same processes do a second step."""
    with lab.laboratory(SHORT, tls=tls) as laboratory:
        for streams in (12, 4):
            made = laboratory.measure(streams, 0.8)
            assert (made.streams, made.failed, made.failure, made.blocked) == (streams, 0, None, 0)
            assert made.requests > 0
            assert made.ttft_error_p50_ms is not None
            assert 0 <= made.ttft_error_p50_ms < 500  # the clocks are one, however busy the machine
            assert 0 < made.held < 1.5
            assert made.stamp_source in ("kernel", "read", "mixed")


def test_a_server_that_dies_is_named() -> None:
    """With how it ended."""
    with lab.laboratory(SHORT, tls=False) as laboratory:
        laboratory._server._process.kill()
        with pytest.raises(lab.CannotMeasure, match=r"the pacing server ended \(exit code -9\)"):
            laboratory.measure(1, 0.1)


def test_a_child_that_cannot_start_is_quoted() -> None:
    """The last line of what it said."""
    with (
        lab._child("the worker", [sys.executable, "-c", "raise SystemExit('no luck')"]) as child,
        pytest.raises(lab.CannotMeasure, match=r"the worker ended \(no luck\)"),
    ):
        child.answer()


@pytest.mark.parametrize(("cores", "chosen"), [({3}, (None, None)), ({0, 1}, (0, 1)), ({0, 2, 5}, (0, 5))])
def test_each_process_has_a_core_of_its_own(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], chosen: tuple[int | None, int | None]
) -> None:
    """If there are two."""
    monkeypatch.setattr(lab.os, "sched_getaffinity", lambda _: cores, raising=False)
    monkeypatch.setattr(lab, "_twins", lambda core: {core})
    assert lab.choose_cores() == lab.Cores(*chosen)


def test_a_core_is_not_shared_with_its_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hardware threads of one core are not two cores."""
    monkeypatch.setattr(lab.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(lab, "_twins", lambda core: {0, 3})
    assert lab.choose_cores() == lab.Cores(server=1, worker=3)


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(1, 300))
def test_the_plan_of_an_answer(first_ns: int, gap_ns: int, tokens: int) -> None:
    """The first event exactly on time, each other within a fifth of a gap of its place: nothing adds up."""
    for plan in pacer.plans(first_ns, gap_ns, tokens):
        assert len(plan) == tokens
        assert plan[0] == first_ns
        for nth, due in enumerate(plan):
            assert abs(due - first_ns - nth * gap_ns) <= pacer.JITTER * gap_ns + 1


@pytest.fixture
def server() -> Iterator[tuple[lab.Child, int]]:
    """A pacing server and its port: 1,000 tokens at most, one each 2 ms after 20 ms."""
    command = [*lab._module("pacer", None), "--first-ms", "20", "--gap-ms", "2", "--tokens", "1000"]
    with lab._child("the pacing server", command) as child:
        yield child, child.answer()["port"]


def request(tokens: object, name: str = "r1") -> bytes:
    """A request as the client makes it, as far as the server looks at it."""
    body = json.dumps({"max_tokens": tokens, "messages": [{"role": "user", "content": "ação"}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nX-Request-Id: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(sock: socket.socket) -> bytes:
    """Everything up to the end of a body, or of the connection."""
    data = b""
    while not data.endswith(b"0\r\n\r\n") and (more := sock.recv(65_536)):
        data += more
    return data


def test_the_server_sends_what_was_asked_and_logs_it(server: tuple[lab.Child, int]) -> None:
    """Two requests on one connection, the second in pieces: tokens, usage, end mark; a stamp for every send."""
    child, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request(5))
        first = answer(sock)
        for piece in (request(3, "r2")[:20], request(3, "r2")[20:90], request(3, "r2")[90:]):
            sock.sendall(piece)
        second = answer(sock)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (first.count(b'"content":" token"'), second.count(b'"content":" token"')) == (5, 3)
    assert first.count(b'"id":"chatcmpl-r1"') == 7  # tokens, finish, usage
    assert b'"completion_tokens":5,"total_tokens":6' in first
    assert b"data: [DONE]\n\n" in first
    log = child.ask("log")
    assert [(name, len(sends), len(lates)) for name, _, sends, lates in log["rows"]] == [
        ("r1", 5, 5),
        ("r2", 3, 3),
    ]
    for _, read_ns, sends, lates in log["rows"]:
        assert sends == sorted(sends)
        # on its plan, plus as late as it says: the plan is ±0.4 ms around 20, 22, 24 ... ms
        for nth, (sent, late) in enumerate(zip(sends, lates, strict=True)):
            assert late >= 0
            assert (sent - late - read_ns) / MS == pytest.approx(20 + 2 * nth, abs=0.41)
    assert child.ask("log") == {"rows": [], "blocked": 0}


@pytest.mark.parametrize(
    "bad", [request("many"), b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]", b"\0\r\n\r\n"]
)
def test_what_is_no_request_loses_its_connection(server: tuple[lab.Child, int], bad: bytes) -> None:
    """And the server goes on."""
    child, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(bad)
        assert answer(sock) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request(1))
        assert answer(sock).count(b" token") == 1
    assert len(child.ask("log")["rows"]) == 1


def test_a_client_that_reads_nothing_is_given_up() -> None:
    """Its connection is closed and counted; the log has the sends up to there."""
    command = [*lab._module("pacer", None), "--first-ms", "1", "--gap-ms", "0.001", "--tokens", "10000"]
    with lab._child("the pacing server", command) as child, socket.socket() as sock:
        port = child.answer()["port"]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.sendall(request(10_000))
        blocked, sends = 0, 0
        while not blocked:  # the child's own deadline ends a test that would go on
            log = child.ask("log")
            blocked += log["blocked"]
            sends = max([sends, *(len(row[2]) for row in log["rows"])])
        assert blocked == 1
        assert sends < 10_000


def test_the_server_ends_with_its_stdin() -> None:
    """So it cannot outlive whoever started it."""
    command = [*lab._module("pacer", None), "--first-ms", "20", "--gap-ms", "2", "--tokens", "10"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_bad_certificate_ends_the_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last words of openssl are quoted."""
    fake = tmp_path / "openssl"
    fake.write_text("#!/bin/sh\necho out of entropy >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert cli.main(["selftest", "--tls"]) == 5
    assert capsys.readouterr().err == (
        "tokenswarm selftest: error: could not measure: openssl could not make a certificate (out of entropy)\n"
    )
