"""What goes wrong in an open loop: servers that freeze or die, workers that come and go, loads nobody can send.

In every play what was sent is compared with the schedule, and the table of requests with the server's log.
"""

import json
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed_runs import BRISK, SMALL, VLLM, Node, Play, Served, Stage, agree, playing, reconcile, stage
from locust_runs import Result, held_up_ms, until

from harness import arrivals
from harness.clock import unix_now_ns, unix_ns
from harness.timetable import Timetable

SEED = 3
FREEZE_S = 5.0
SWIFT = (*BRISK[:4], "--step-base-ms", "2", "--step-per-seq-ms", "0", "--prefill-rate", "100000")


@dataclass(frozen=True)
class Shown:
    """What a play leaves."""

    done: Result
    log: Path
    workers: tuple[Node, ...] = ()
    codes: tuple[int, ...] = ()  # of the workers
    at_ns: int = 0  # when it happened, Unix ns
    took_s: float = 0.0  # from then to the end of all

    @property
    def level(self) -> Any:
        """The one level of the summary."""
        (level,) = self.done.summary["levels"]
        return level

    @property
    def run(self) -> Any:
        return json.loads((self.done.directory / "run.json").read_bytes())

    @property
    def events(self) -> list[Any]:
        """In order of time."""
        return list(self.run["events"])

    def numbers(self, text: str, seconds: float) -> list[int]:
        """Of each request the number in the schedule of evenly spaced arrivals, in order."""
        (begin_ns,) = [event["time_ns"] for event in self.events if event.get("topic") == "level"]
        offsets = Timetable(arrivals.parse(text), SEED).offsets(1, 1, None)
        due_ns = np.array(list(takewhile(lambda offset: offset < seconds * 1e9, offsets)), dtype="int64")
        since_ns = self.done.requests.scheduled_ns.to_numpy(dtype="int64") - begin_ns
        found = np.rint(since_ns / due_ns[1]).astype("int64")
        assert found.max() < len(due_ns)
        assert np.abs(since_ns - due_ns[found]).max() < 0.4 * due_ns[1]
        numbers: list[int] = sorted(found.tolist())
        return numbers

    def second_of(self, word: str) -> float:
        """When the first event with this word was, in seconds after the level's beginning."""
        (begin_ns,) = [event["time_ns"] for event in self.events if event.get("topic") == "level"]
        return (
            float(next(event["time_ns"] - begin_ns for event in self.events if word in event["what"])) / 1e9
        )


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """All that is asked for, some at a time: mostly they wait."""
    with playing(request, tmp_path_factory.mktemp("arrivals"), 5) as running:
        yield running


@pytest.fixture
def play(request: pytest.FixtureRequest, plays: Mapping[Play, Future[Any]]) -> Any:
    """What the test's own play has left."""
    return plays[request.param].result()


def _load(text: str, seconds: int) -> tuple[str, ...]:
    return (*SMALL, "--seed", str(SEED), "--arrivals", text, "-t", f"{seconds}s")


def _local(on: Stage, server: Served, *options: str) -> Node:
    """A run without workers."""
    return on.locust("master", "--headless", "--host", server.url, *options)


def _end(server: Served, master: Node, *workers: Node, at_ns: int = 0) -> Shown:
    done = master.done()
    took_s = (unix_now_ns() - at_ns) / 1e9
    codes = tuple(worker.end(40) for worker in workers)
    assert "Traceback" not in "".join(node.err for node in (master, *workers))
    return Shown(done, server.log, workers, codes, at_ns, took_s)


def _frozen(folder: Path, *options: str) -> Shown:
    """The server is stopped for 5 s under 20 requests/s, and goes on."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*SWIFT)
        run = _local(on, server, *_load("constant:20", 20), *options)
        until(lambda: server.finished() > 60)
        at_ns = unix_now_ns()
        server.node.signal(signal.SIGSTOP)
        time.sleep(FREEZE_S)
        server.node.signal(signal.SIGCONT)
        return _end(server, run, at_ns=at_ns)


def frozen(folder: Path) -> Shown:
    """Nothing holds requests back."""
    return _frozen(folder)


def frozen_with_a_cap(folder: Path) -> Shown:
    """No more than two are sent into the freeze."""
    return _frozen(folder, "--max-concurrency", "2")


def killed(folder: Path) -> Shown:
    """SIGKILL of one of three workers that write beside the master."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        master = on.master("--host", server.url, *_load("constant:30", 22), workers=3)
        workers = [on.worker("master") for _ in range(3)]
        until(lambda: server.finished() > 60)
        at_ns = unix_now_ns()
        workers[1].kill()
        return _end(server, master, *workers, at_ns=at_ns)


def frozen_worker(folder: Path) -> Shown:
    """SIGSTOP of one of two workers until the other has long taken over, and SIGCONT."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        master = on.master("--host", server.url, *_load("constant:30", 25), workers=2)
        workers = [on.worker("one") for _ in range(2)]
        until(lambda: server.finished() > 60)
        at_ns = unix_now_ns()
        workers[0].signal(signal.SIGSTOP)
        time.sleep(15)
        workers[0].signal(signal.SIGCONT)
        return _end(server, master, *workers, at_ns=at_ns)


def late(folder: Path) -> Shown:
    """A worker joins a run that is under way."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        master = on.master("--host", server.url, *_load("constant:30", 20), workers=1)
        first = on.worker("one")
        until(lambda: server.finished() > 30)
        at_ns = unix_now_ns()
        return _end(server, master, first, on.worker("one"), at_ns=at_ns)


def leaving(folder: Path) -> Shown:
    """Ctrl-C on one of two workers."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        master = on.master("--host", server.url, *_load("constant:30", 12), workers=2)
        workers = [on.worker("one") for _ in range(2)]
        until(lambda: server.finished() > 60)
        at_ns = unix_now_ns()
        workers[1].signal(signal.SIGINT)
        return _end(server, master, *workers, at_ns=at_ns)


def interrupted_once(folder: Path) -> Shown:
    """Ctrl-C on the master of two workers."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        master = on.master("--host", server.url, *_load("constant:40", 60), workers=2)
        workers = [on.worker("one") for _ in range(2)]
        until(lambda: server.finished() > 40)
        at_ns = unix_now_ns()
        master.signal(signal.SIGINT)
        return _end(server, master, *workers, at_ns=at_ns)


def interrupted_twice(folder: Path) -> Shown:
    """Ctrl-C and again, on a local run whose answers take 20 s."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK[:4], "--step-base-ms", "2000", "--prefill-rate", "100000")
        options = ("--preflight", "no", "--model", "simulated")
        run = _local(on, server, *_load("constant:20", 60), *options)
        until(lambda: server.running() > 10)
        at_ns = unix_now_ns()
        run.signal(signal.SIGINT)
        until(lambda: "in flight get" in run.err)
        run.signal(signal.SIGINT)
        return _end(server, run, at_ns=at_ns)


def died(folder: Path) -> Shown:
    """The server is killed in the middle."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        run = _local(on, server, *_load("constant:40", 8))
        until(lambda: server.finished() > 60)
        at_ns = unix_now_ns()
        server.node.kill()
        return _end(server, run, at_ns=at_ns)


def never_there(folder: Path) -> Shown:
    """Nobody listens, and nobody was asked before load."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        server.node.kill()
        run = _local(on, server, *_load("constant:40", 60), "--preflight", "no", "--model", "m")
        return _end(server, run, at_ns=unix_now_ns())


def one_at_a_time(folder: Path) -> Shown:
    """Two workers, and no more than one request in flight over both."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        load = _load("constant:10", 4)
        master = on.master("--host", server.url, *load, "--max-concurrency", "1", workers=2)
        workers = [on.worker("one") for _ in range(2)]
        return _end(server, master, *workers)


def fast(folder: Path) -> Shown:
    """1,000 requests/s from four workers."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*SWIFT, "--slots", "512")
        master = on.master("--host", server.url, *_load("constant:1000", 4), workers=4)
        workers = [on.worker("one") for _ in range(4)]
        until(lambda: server.finished() > 10)
        return _end(server, master, *workers, at_ns=unix_now_ns())


def too_fast(folder: Path) -> Shown:
    """20,000 requests/s from one process."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*SWIFT, "--slots", "512")
        run = _local(on, server, *_load("constant:20000", 3))
        until(lambda: server.finished() > 10)
        return _end(server, run, at_ns=unix_now_ns())


def _of(*plays: Play) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("play", plays, indirect=True, ids=lambda play: play.__name__)


@_of(frozen_with_a_cap)
def test_coordinated_omission_is_seen_from_the_schedule(play: Shown) -> None:
    """Two requests met the freeze, a hundred users waited for it: only times from when each was due tell."""
    level = play.level
    assert play.numbers("constant:20", 20) == list(range(400))
    assert (level["requests"], level["failed"], level["unsent"]) == (400, 0, 0)
    assert level["ttft_scheduled_ms"]["p99"] >= 4_000
    assert level["e2e_scheduled_ms"]["p99"] >= 4_000
    assert level["ttft_ms"]["p99"] < 1_000
    assert level["e2e_ms"]["p99"] < 1_000
    assert level["send_delay_ms"]["p99"] >= 3_000
    assert (play.done.requests.ttft_scheduled_ms > 3_000).sum() > 40
    assert (play.done.requests.ttft_ms > 3_000).sum() <= 2


@_of(frozen)
def test_without_a_cap_the_freeze_is_in_both(play: Shown) -> None:
    """Every request goes out when it is due, and waits for the server itself."""
    level = play.level
    assert play.numbers("constant:20", 20) == list(range(400))
    assert level["unsent"] == 0
    assert level["ttft_scheduled_ms"]["p99"] >= 4_000
    assert level["ttft_ms"]["p99"] >= 4_000
    assert level["send_delay_ms"]["p99"] < 1_000
    assert level["in_flight_mean"] > 5


@_of(killed)
def test_others_take_over_from_a_killed_worker(play: Shown) -> None:
    """What it would have sent until two seconds after its loss was noticed is missing and counted; nothing else is."""
    done, due = play.done, 30 * 22
    assert done.code == 5
    assert play.codes == (0, -signal.SIGKILL, 0)
    numbers, noticed_s = play.numbers("constant:30", 22), play.second_of("is lost")
    assert len(set(numbers)) == len(numbers)
    missing = sorted(set(range(due)) - set(numbers))
    assert all(number % 3 == missing[0] % 3 for number in missing)
    assert max(missing) / 30 < noticed_s + 3
    assert len(missing) / 10 < noticed_s + 3
    audit = reconcile(done)
    assert 0 <= len(missing) - audit["unaccounted"] <= play.level["unsent"] < len(missing) + 15
    assert any("was lost" in said for said in done.summary["incomplete"])
    at_ns = play.at_ns - unix_ns(0) - 100_000_000
    agree(done.requests, play.log, may_lack=lambda row: row["outcome"] != "ok" or row["finished_ns"] > at_ns)


@_of(frozen_worker)
def test_a_worker_that_was_given_up_and_comes_back_sends_nothing_twice(play: Shown) -> None:
    """Its arrivals from before its loss go out late, the others' in time, and each once."""
    assert play.numbers("constant:30", 25) == list(range(750))
    assert play.level["unsent"] == 0
    what = [event["what"] for event in play.events if event.get("topic") == "worker"]
    assert any("is lost" in said for said in what)
    assert any("came back" in said for said in what)
    agree(play.done.requests, play.log)
    reconcile(play.done)
    assert play.done.summary["verdict"]["status"] == "invalid"


@_of(late)
def test_a_late_worker_gets_its_share(play: Shown) -> None:
    """From two seconds after it has come every other arrival is its own; the schedule is none the worse for it."""
    assert (play.done.code, play.codes) == (0, (0, 0))
    assert play.numbers("constant:30", 20) == list(range(600))
    assert play.level["unsent"] == 0
    first, second = sorted(play.run["workers"], key=lambda worker: worker["joined_s"])
    assert second["joined_s"] > 0
    table = play.done.requests
    begun_ns = table[table.worker == second["name"]].scheduled_ns.min()
    whose = table[table.scheduled_ns >= begun_ns].worker.value_counts()
    assert len(whose) == 2
    assert abs(whose[first["name"]] - whose[second["name"]]) <= 1
    agree(table, play.log)


@_of(leaving)
def test_a_worker_that_leaves_hands_its_arrivals_over(play: Shown) -> None:
    """Its journal is in the results; others send from two seconds later on, and what was due until then is counted."""
    assert (play.done.code, play.codes) == (5, (0, 0))
    numbers = play.numbers("constant:30", 12)
    missing = set(range(360)) - set(numbers)
    assert len(set(numbers)) == len(numbers)
    assert len(missing) == play.level["unsent"] <= 3 * 15
    assert reconcile(play.done)["unaccounted"] == 0
    agree(play.done.requests, play.log)


@_of(interrupted_once)
def test_ctrl_c_waits_for_what_is_in_flight(play: Shown) -> None:
    """What was due before it was sent, and all of that ended well; each worker sends until it has heard of it."""
    done = play.done
    assert (done.code, play.codes) == (5, (0, 0))
    numbers = play.numbers("constant:40", 60)
    for turn in range(2):  # every other arrival is a worker's
        mine = [number for number in numbers if number % 2 == turn]
        assert mine == list(range(turn, turn + 2 * len(mine), 2))
    due = int(40 * play.second_of("load is stopped"))
    assert len(set(range(due)) - set(numbers)) <= play.level["unsent"]
    assert done.requests.outcome.eq("ok").all()
    assert play.level["unsent"] <= 2 + 40 * held_up_ms(done.directory) / 1e3
    assert play.took_s < 50  # of a schedule that had a minute to go
    assert done.summary["incomplete"] == ["interrupted"]
    agree(done.requests, play.log)
    reconcile(done)


@_of(interrupted_twice)
def test_a_second_ctrl_c_gives_up_what_is_in_flight(play: Shown) -> None:
    """It is counted as cancelled."""
    done = play.done
    assert done.code == 5
    assert done.requests.outcome.eq("cancelled").all()
    assert len(done.requests) > 10
    assert play.took_s < 50  # of a schedule that had a minute to go
    assert play.level["unsent"] <= 2 + 20 * held_up_ms(done.directory) / 1e3
    reconcile(done)


@_of(died)
def test_a_server_that_dies_gets_its_arrivals_all_the_same(play: Shown) -> None:
    """They fail, each in its own moment; the run ends when it would have."""
    done = play.done
    assert done.code == 1
    assert play.numbers("constant:40", 8) == list(range(320))
    failed = done.requests[done.requests.outcome == "failed"]
    assert play.level["failed"] == len(failed) > 100
    assert set(failed.error_class) <= {"connect", "reset", "truncated"}
    assert play.level["unsent"] == 0
    (window,) = play.run["windows"]
    assert (window["end_ns"] - window["start_ns"]) / 1e9 == pytest.approx(8, abs=0.01)
    reconcile(done)


@_of(never_there)
def test_a_server_that_is_not_there_is_noticed_before_load(play: Shown) -> None:
    """One line, exit 2, nothing kept."""
    assert play.done.code == 2
    (line,) = play.done.errors
    assert "connection refused" in line
    assert not play.done.results.exists() or not list(play.done.results.iterdir())


@_of(one_at_a_time)
def test_a_cap_of_one_is_one_over_all_workers(play: Shown) -> None:
    """No two requests at the server at once; those that still waited at the end are counted."""
    table = agree(play.done.requests, play.log).sort_values("received_ns")
    assert (table.received_ns.to_numpy()[1:] >= table.last_token_ns.to_numpy()[:-1]).all()
    numbers = play.numbers("constant:10", 4)
    assert numbers == list(range(len(numbers)))
    assert play.level["unsent"] == 40 - len(numbers) > 5
    assert play.level["in_flight_mean"] < 1.001
    assert table.worker.nunique() == 1


@_of(fast)
def test_a_thousand_a_second(play: Shown) -> None:
    """Four workers on whatever is left of two cores: each arrival once, or counted as unsent."""
    numbers = play.numbers("constant:1000", 4)
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) + play.level["unsent"] == 4_000
    agree(play.done.requests, play.log)
    reconcile(play.done)
    assert play.took_s < 60


@_of(too_fast)
def test_more_than_one_process_can_send(play: Shown) -> None:
    """It sends what it can, ends soon after its time, and the verdict says that the load was not the one asked for."""
    done, level = play.done, play.level
    numbers = play.numbers("constant:20000", 3)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) + level["unsent"] == 60_000
    assert level["unsent"] > 0
    assert play.took_s < 60
    assert done.summary["verdict"]["status"] != "valid"
    assert any("never sent" in reason and "e+" not in reason for reason in done.summary["verdict"]["reasons"])
    reconcile(done)
