"""Runs over several processes and hosts in which nothing goes wrong: every request is counted, once, by the right one."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed_runs import Node, Play, Served, Stage, agree, playing, reconcile, stage, statement
from hosts import permitted, wire
from locust_runs import NUMBERS, Result, truth, until
from recomputed import check

from harness.clock import ANCHOR_NS

REPEAT = int(os.environ.get("TOKENSWARM_REPEAT", "1"))  # `make test` asks once, a doubter twenty times
SLOW = ("--slots", "16", "--step-base-ms", "100", "--step-per-seq-ms", "0", "--prefill-rate", "100000")
FAST = ("--slots", "16", "--step-base-ms", "10", "--step-per-seq-ms", "0.2", "--prefill-rate", "100000")
FOUR_SECONDS = (*NUMBERS, "--output-tokens", "40", "-u", "8", "-r", "8", "-t", "6s")
SMALL = ("--prompt-tokens", "40", "--output-tokens", "10")
SWEEP = (*SMALL, "--levels", "1,2,6", "--requests-per-level", "12")
THREE = ("one", "two", "three")


@dataclass(frozen=True)
class Shown:
    """What a play leaves: its processes are gone, its files are there."""

    done: Result
    server: Served
    master: Node
    workers: tuple[Node, ...] = ()
    codes: tuple[int, ...] = ()  # of the workers
    strays: tuple[str, ...] = ()  # processes of theirs that have outlived them
    prompts: tuple[str, ...] = ()

    @property
    def run(self) -> Any:
        return json.loads((self.done.directory / "run.json").read_bytes())


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """All that is asked for, three at a time."""
    with playing(request, tmp_path_factory.mktemp("distributed"), 3) as running:
        yield running


@pytest.fixture
def play(request: pytest.FixtureRequest, plays: Mapping[Play, Future[Any]]) -> Any:
    """What the test's own play has left."""
    return plays[request.param].result()


def _end(on: Stage, server: Served, master: Node, *workers: Node, prompts: tuple[str, ...] = ()) -> Shown:
    done = master.done()
    codes = tuple(worker.end(20) for worker in workers)
    strays = tuple(stray for node in (master, *workers) for stray in node.strays())
    return Shown(done, server, master, workers, codes, strays, prompts)


def short_run_by_processes(folder: Path) -> list[Shown]:
    """`--processes 4`: a master that forks."""
    return [_short_by_processes(folder / str(number)) for number in range(REPEAT)]


def _short_by_processes(folder: Path) -> Shown:
    with stage(folder, plain=True) as on:
        server = on.simulator(*SLOW)
        master = on.locust(
            "master",
            *("--headless", "--processes", "4", *_own_port(on), "--host", server.url, *FOUR_SECONDS),
            cold=True,  # what its own forks leave behind is looked at
        )
        return _end(on, server, master)


def short_run_by_hosts(folder: Path) -> list[Shown]:
    """A master and two hosts of two workers each; the hosts share nothing but the network."""
    return [_short_by_hosts(folder / str(number)) for number in range(REPEAT)]


def _short_by_hosts(folder: Path) -> Shown:
    with stage(folder, "one", "two") as on:
        server = on.simulator(*SLOW)
        master = on.master("--host", server.url, *FOUR_SECONDS, workers=4)
        return _end(on, server, master, *(on.worker(name) for name in ("one", "one", "two", "two")))


def sweep_by_hosts(folder: Path) -> Shown:
    """Levels below and above the number of workers, which have nothing but the network in common."""
    with stage(folder, *THREE) as on:
        server = on.simulator(*FAST)
        master = on.master("--host", server.url, *SWEEP, "--warmup", "1", workers=3)
        return _end(on, server, master, *map(on.worker, THREE))


def sweep_by_processes(folder: Path) -> Shown:
    """The same on one machine, with everything that is said to the server kept."""
    with stage(folder, plain=True) as on:
        server = on.simulator(*FAST)
        with wire("127.0.0.1", int(server.url.rpartition(":")[2]), keep=True) as tap:
            url = f"http://127.0.0.1:{tap.port}"
            master = on.locust(
                "master", "--headless", "--processes", "3", *_own_port(on), "--host", url, *SWEEP, cold=True
            )
            shown = _end(on, server, master)
            prompts = [found for said in tap.sent for found in _prompts(bytes(said))]
        return Shown(shown.done, server, master, strays=shown.strays, prompts=tuple(prompts))


def workers_beside_the_master(folder: Path) -> Shown:
    """`--master` and `--worker` by hand on one machine and in one folder: no journal has to travel."""
    with stage(folder, plain=True) as on:
        server = on.simulator(*FAST)
        master = on.master("--host", server.url, *SMALL, "-u", "5", "-r", "5", "-t", "4s", workers=2)
        return _end(on, server, master, on.worker("master"), on.worker("master"))


def clocks_apart(folder: Path) -> Shown:
    """One worker's clock is an hour fast, another's 90 s slow."""
    with stage(folder, *THREE) as on:
        server = on.simulator(*FAST)
        master = on.master("--host", server.url, *SWEEP, workers=3)
        ahead = on.worker("one", file=_clock_off(folder / "ahead.py", 3600), cold=True)
        behind = on.worker("two", file=_clock_off(folder / "behind.py", -90), cold=True)
        return _end(on, server, master, ahead, behind, on.worker("three"))


def _clock_off(path: Path, seconds: int) -> str:
    """openai.py on a host whose clock is so much ahead."""
    theirs = (Path(__file__).parent.parent / "locustfiles" / "openai.py").read_text()
    path.write_text(f"import harness.clock\n\nharness.clock.ANCHOR_NS += {seconds} * 10**9\n{theirs}")
    return str(path)


def _own_port(on: Stage) -> tuple[str, ...]:
    """Tests run beside others on one machine."""
    return ("--master-bind-port", str(on.port), "--master-port", str(on.port))


def _prompts(said: bytes) -> Iterator[str]:
    """The prompts of all chat requests in one connection's bytes, but for the trial's."""
    for head, body in re.findall(
        rb"(POST /v1/chat/completions .*?)\r\n\r\n(\{.*?\})(?=POST|GET|$)", said, re.DOTALL
    ):
        if b"x-request-id: trial-" not in head.lower():
            yield json.loads(body)["messages"][-1]["content"]


@pytest.mark.parametrize("play", [short_run_by_processes, short_run_by_hosts], indirect=True)
def test_every_request_of_a_short_run_is_counted(play: list[Shown]) -> None:
    """-t 6s with requests of four seconds: each user's second is under way at the end, and is waited for and counted."""
    for shown in play:
        done = shown.done
        assert done.code == 0, done.err
        both = agree(done.requests, shown.server.log)
        assert len(both) == len(done.requests) == 16
        assert (both.outcome == "ok").all()
        assert (both.output_tokens == 40).all()
        totals = done.summary["totals"]
        assert [totals[kind] for kind in ("offered", "succeeded", "failed", "cancelled", "unsent")] == [
            16,
            16,
            0,
            0,
            0,
        ]
        assert totals["output_tokens"] == 640
        assert done.summary["complete"]
        audit = reconcile(done)
        assert [worker["succeeded"] for worker in audit["workers"]] == [4, 4, 4, 4]
        assert [worker["state"] for worker in audit["workers"]] == ["ended"] * 4
        check(done.directory)
        _nothing_is_left(shown)


@pytest.mark.parametrize("play", [sweep_by_hosts], indirect=True)
def test_a_sweep_over_hosts_agrees_with_the_server(play: Shown) -> None:
    """Exact quotas at levels below and above the number of workers; TTFT by the server's own log."""
    done = play.done
    assert done.code == 0, done.err
    both = agree(done.requests, play.server.log)
    assert len(both) == 3 * 12 + 1 + 2 + 6
    measured = done.requests[done.requests.phase == "measure"]
    assert measured.level.value_counts().to_dict() == {1: 12, 2: 12, 6: 12}
    assert done.requests[done.requests.phase == "warmup"].level.value_counts().to_dict() == {1: 1, 2: 2, 6: 6}
    assert [level["requests"] for level in done.summary["levels"]] == [12, 12, 12]
    error_ms = both.ttft_ms.astype(float) - (both.first_token_ns - both.received_ns) / 1e6
    assert error_ms.min() > -0.05
    # All of this shares two cores with whatever else runs; what is wrong is wrong in the least disturbed too.
    assert error_ms.quantile(0.1) < 2
    reconcile(done)
    check(done.directory)
    _windows_are_whole(play)
    _nothing_is_left(play)


@pytest.mark.parametrize("play", [sweep_by_hosts], indirect=True)
def test_each_request_is_its_workers(play: Shown) -> None:
    """The column, the statements and the numbers of users at each level tell the same of who sent what."""
    table = play.done.requests
    statements = [statement(play.done, worker) for worker in play.workers]
    for node, said in zip(play.workers, statements, strict=True):
        own = table[table.worker == said["name"]]
        assert len(own) == said["totals"]["offered"] == said["totals"]["succeeded"]
        assert said["state"] == "ended"
        assert said["signed"]
        assert said["journal"]["verified"]
        assert said["totals"]["dropped"] == 0
        assert said["longest_silence_s"] < 5
        if permitted():
            assert said["host"] == node.host.name
            assert said["name"].startswith(f"{node.host.name}-")
    assert {said["name"] for said in statements} == set(table.worker)
    who = table.groupby("level").worker.nunique()
    assert who[1] == 1
    assert who[2] == 2
    assert who[6] == 3


def _windows_are_whole(shown: Shown) -> None:
    """In a window all of the level's users are at work, on whatever host, but for the turns between requests."""
    table = shown.done.requests
    assert [window["level"] for window in shown.run["windows"]] == [1, 2, 6]
    for window in shown.run["windows"]:
        start, end = window["start_ns"], window["end_ns"]
        busy = sum(
            max(0, min(ended, end) - max(sent, start))
            for sent, ended in zip(table.sent_ns, table.end_ns, strict=True)
        )
        assert 0.8 * window["level"] < busy / (end - start) <= window["level"] * 1.001


@pytest.mark.parametrize("play", [sweep_by_processes], indirect=True)
def test_no_two_workers_send_the_same_prompt(play: Shown) -> None:
    """As it went over the wire: every prompt of the run is another, whoever sent it."""
    assert play.done.code == 0, play.done.err
    assert len(agree(play.done.requests, play.server.log)) == 36
    assert play.done.requests.worker.nunique() == 3
    assert len(play.prompts) == 36
    assert len(set(play.prompts)) == 36
    assert (
        len({prompt[:20] for prompt in play.prompts}) > 30
    )  # and a server's prefix cache has nothing to gain
    measured = play.done.requests[play.done.requests.phase == "measure"]
    assert measured.level.value_counts().to_dict() == {1: 12, 2: 12, 6: 12}
    reconcile(play.done)
    _nothing_is_left(play)


@pytest.mark.parametrize("play", [workers_beside_the_master], indirect=True)
def test_workers_in_the_masters_folder(play: Shown) -> None:
    """One run directory for all of them, in which nothing but the results is left."""
    done = play.done
    assert done.code == 0, done.err
    assert (agree(done.requests, play.server.log).outcome == "ok").all()
    assert {said["name"] for said in play.run["workers"]} == set(done.requests.worker)
    assert len(play.run["workers"]) == 2
    users = done.requests.groupby("worker").size()
    assert users.min() > 0.4 * users.max()  # two users and three
    reconcile(done)
    check(done.directory)
    _nothing_is_left(play)


@pytest.mark.parametrize("play", [clocks_apart], indirect=True)
def test_clocks_that_differ_are_brought_together(play: Shown) -> None:
    """A worker whose clock is an hour fast is in the same windows; by how much it was off is said."""
    done = play.done
    assert done.code == 0, done.err
    both = agree(done.requests, play.server.log)
    offsets = [statement(done, worker)["clock"]["offset_ms"] for worker in play.workers]
    assert offsets == pytest.approx([3_600_000, -90_000, 0], abs=20)
    # All of this is one machine: the server's monotonic clock is ours too.
    late_ms = (both.received_ns + ANCHOR_NS - both.sent_ns).astype(float) / 1e6
    for _, own in late_ms.groupby(both.worker):
        assert -10 < own.median() < 20
    _windows_are_whole(play)
    check(done.directory)


def _nothing_is_left(shown: Shown) -> None:
    """The workers ended well, no process is left, and no file but the results, on any host."""
    assert shown.codes == (0,) * len(shown.workers), [worker.err[-500:] for worker in shown.workers]
    assert not shown.strays
    assert not list(shown.done.directory.glob("*journal*"))
    assert not list(shown.done.directory.glob("*.part"))
    assert len(list(shown.done.results.iterdir())) == 1
    for worker in shown.workers:
        if worker.results != shown.done.results:
            assert not worker.results.exists() or not list(worker.results.iterdir())
    for node in (shown.master, *shown.workers):
        assert "Traceback" not in node.err


def test_a_bad_option_ends_all_of_them(tmp_path: Path) -> None:
    """`--processes` with a mistake: one line, exit 2, nobody left waiting for a master."""
    with stage(tmp_path, plain=True) as on:
        server = on.simulator(*FAST)
        master = on.locust(
            "master",
            "--headless",
            "--processes",
            "2",
            *_own_port(on),
            "--host",
            server.url,
            "--levels",
            "1,zwei",
        )
        assert master.end(30) == 2, master.err
        assert master.errors == [
            "tokenswarm: error: --levels '1,zwei': 'zwei' is not a number of users; write e.g. 1,2,4,8"
        ]
        assert "Traceback" not in master.err
        assert not master.strays()
        assert not master.results.exists()
        assert server.finished() == 0


def test_a_worker_without_the_key_is_named_before_load(tmp_path: Path) -> None:
    """Keys are each worker's own: one that has none ends the run with exit 2 on all hosts, before any load."""
    with stage(tmp_path, "one", "two") as on:
        server = on.simulator(*FAST, "--api-key-env", "SIM_KEY", env={"SIM_KEY": "sk-right-1"})
        key = {"TOKENSWARM_API_KEY": "sk-right-1"}
        master = on.master("--host", server.url, *SMALL, "-u", "4", "-t", "5s", workers=2, env=key)
        workers = [on.worker("one", env=key), on.worker("two")]
        assert master.end(40) == 2, master.err
        (line,) = master.errors
        assert "TOKENSWARM_API_KEY" in line
        if permitted():
            assert "two-" in line
            assert "one-" not in line
        assert [worker.end(20) for worker in workers] in ([0, 2], [2, 2])
        assert truth(server.log).empty
        for node in (master, *workers):
            assert "Traceback" not in node.err
            assert "sk-right-1" not in node.err + node.out
            assert not node.strays()
            assert not node.results.exists() or not list(node.results.iterdir())


ECHO = "import socket; s = socket.create_server(('', 5000)); c = s.accept()[0]\nwhile d := c.recv(9): c.sendall(d)"
KNOCK = """
import socket, sys, time
while True:
    try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        break
    except ConnectionRefusedError:
        time.sleep(0.05)
for number in range(60):
    begin = time.monotonic()
    s.sendall(b"x")
    s.recv(9)
    print(time.monotonic() - begin, flush=True)
    time.sleep(0.05)
"""


@pytest.mark.skipif(not permitted(), reason="namespaces are not permitted here")
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_links_lose_packets(tmp_path: Path, share: float) -> None:
    """What the tests of faults rest on: TCP gets all across a lossy link, late, and nothing across a cut one."""
    with stage(tmp_path, "one", "two") as on:
        on.start("one", sys.executable, "-c", ECHO)
        address, port = on.hosts["two"].reach(on.hosts["one"], 5000)
        client = on.start("two", sys.executable, "-c", KNOCK, address, str(port))
        until(lambda: client.out != "")
        on.hosts["two"].link.lose(share)
        before = len(client.out.split())
        time.sleep(1.2)
        heard = len(client.out.split())
        if share == 1:
            on.hosts["two"].link.lose(0)
            assert heard <= before + 2  # they were on their way
        assert client.end() == 0
        took_s = sorted(map(float, client.out.split()))
        assert len(took_s) == 60
        late = sum(each_s >= 0.2 for each_s in took_s)  # TCP sends anew after 0.2 s at the earliest
        assert late <= 6 if share == 0 else late >= 1  # a machine that others use may hold some up
        assert took_s[-1] >= (1.2 if share == 1 else 0)
