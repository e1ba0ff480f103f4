"""What goes wrong in a distributed run: the run goes on or ends, says what is missing, and loses nothing it has written.

Every play breaks one thing of a real run on hosts of its own. In all of them the table of requests is compared with
the server's log one by one: whatever ended before its client was killed must be there.
"""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed_runs import (
    BRISK,
    IDS,
    SMALL,
    VLLM,
    Node,
    Play,
    Served,
    Stage,
    agree,
    playing,
    reconcile,
    stage,
    statement,
)
from hosts import small_disk
from locust_runs import Result, until

from harness.clock import ANCHOR_NS, now_ns, unix_ns

LAST_MOMENT_NS = 100_000_000  # what a killed process had received and not yet written


@dataclass(frozen=True)
class Shown:
    """What a play leaves: its processes are gone, its files are there."""

    done: Result
    log: Path
    workers: tuple[Node, ...]
    codes: tuple[int, ...]  # of the workers
    at_ns: int = 0  # when it happened
    took_s: float = 0.0  # what came after
    strays: tuple[str, ...] = ()
    after: Result | None = None  # of `tokenswarm collect`
    again_ns: int = 0  # when it happened once more

    @property
    def incomplete(self) -> list[str]:
        """What the summary says is missing."""
        return list(self.done.summary["incomplete"])

    @property
    def run(self) -> Any:
        return json.loads((self.done.directory / "run.json").read_bytes())

    def said(self, number: int) -> Any:
        """The statement on this worker."""
        return statement(self.done, self.workers[number])


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """All that is asked for, some at a time: mostly they wait."""
    with playing(request, tmp_path_factory.mktemp("faults"), 5) as running:
        yield running


@pytest.fixture
def play(request: pytest.FixtureRequest, plays: Mapping[Play, Future[Any]]) -> Any:
    """What the test's own play has left."""
    return plays[request.param].result()


def _end(server: Served, master: Node, *workers: Node, at_ns: int = 0, after: Result | None = None) -> Shown:
    done = master.done()
    codes = tuple(worker.end(40) for worker in workers)
    took_s = (now_ns() - at_ns) / 1e9 if at_ns else 0.0
    strays = tuple(stray for node in (master, *workers) for stray in node.strays())
    return Shown(done, server.log, workers, codes, at_ns, took_s, strays, after)


def _timed(
    on: Stage, seconds: int, workers: int, *options: str, prefix: tuple[str, ...] = ()
) -> tuple[Served, Node]:
    """A server, and a master that begins a timed run when so many workers are there."""
    server = on.simulator(*BRISK)
    load = ("-u", "6", "-r", "50", "-t", f"{seconds}s")
    return server, on.master("--host", server.url, *SMALL, *load, *options, workers=workers, prefix=prefix)


def _under_way(server: Served, requests: int = 60) -> None:
    until(lambda: server.finished() >= requests, 60)


def _until_the_kill(at_ns: int) -> Callable[[Any], bool]:
    """What of the log a table may lack after a kill: requests under way then, or written in its last moment."""
    return lambda row: row["outcome"] != "ok" or row["finished_ns"] > at_ns - LAST_MOMENT_NS


def killed_beside_the_master(folder: Path) -> Shown:
    """SIGKILL of one of four workers that write into the master's own run directory."""
    with stage(folder, plain=True, file=VLLM) as on:
        server, master = _timed(on, 16, 4)
        workers = [on.worker("master") for _ in range(4)]
        _under_way(server)
        at_ns = now_ns()
        workers[1].kill()
        return _end(server, master, *workers, at_ns=at_ns)


def killed_on_its_host(folder: Path) -> Shown:
    """SIGKILL of one of three hosts' workers in a sweep; its journal is brought in afterwards, twice."""
    with stage(folder, "one", "two", "three", file=VLLM) as on:
        server = on.simulator(*BRISK)
        levels = ("--levels", "3,6", "--requests-per-level", "60")
        master = on.master("--host", server.url, *SMALL, *levels, workers=3)
        workers = [on.worker(name) for name in ("one", "two", "three")]
        _under_way(server, 40)
        at_ns = now_ns()
        workers[2].kill()
        master.end()
        before = Result(master.end(), master.out, master.err, _copy(master.results, folder / "before"))
        for _ in range(2):
            after = on.collect(master.run, workers[2].run)
        codes = tuple(worker.end(40) for worker in workers)
        return Shown(before, server.log, tuple(workers), codes, at_ns, after=after)


def _copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def frozen_for_5_s(folder: Path) -> Shown:
    """SIGSTOP, and SIGCONT before anybody has given it up."""
    return _frozen(folder, 5, 12)


def frozen_for_15_s(folder: Path) -> Shown:
    """SIGSTOP, and SIGCONT when its work was long given to others."""
    return _frozen(folder, 15, 22)


def _frozen(folder: Path, seconds: int, run_s: int) -> Shown:
    with stage(folder, "one", "two", file=VLLM) as on:
        server, master = _timed(on, run_s, 2)
        workers = on.worker("one"), on.worker("two")
        _under_way(server)
        at_ns = now_ns()
        workers[0].signal(signal.SIGSTOP)
        time.sleep(seconds)
        workers[0].signal(signal.SIGCONT)
        return _end(server, master, *workers, at_ns=at_ns)


def cut_off_for_5_s(folder: Path) -> Shown:
    """All packets from and to one worker are dropped for 5 s, those of its streams too."""
    with stage(folder, "one", "two", file=VLLM) as on:
        server, master = _timed(on, 14, 2)
        workers = on.worker("one"), on.worker("two")
        _under_way(server)
        at_ns = now_ns()
        on.hosts["one"].link.lose(1)
        time.sleep(5)
        on.hosts["one"].link.lose(0)
        return _end(server, master, *workers, at_ns=at_ns)


def lossy(folder: Path) -> Shown:
    """One worker in five packets either way is lost, from its first word to its last."""
    with stage(folder, "one", "two", file=VLLM) as on:
        on.hosts["one"].link.lose(0.2)
        server, master = _timed(on, 8, 2)
        return _end(server, master, on.worker("one"), on.worker("two"))


def late(folder: Path) -> Shown:
    """A worker joins a run that is under way."""
    with stage(folder, "one", "two", file=VLLM) as on:
        server, master = _timed(on, 20, 1)  # a process may take seconds to join
        first = on.worker("one")
        _under_way(server)
        at_ns = now_ns()
        return _end(server, master, first, on.worker("two"), at_ns=at_ns)


def come_back(folder: Path) -> Shown:
    """SIGKILL, and a new process on the same host at once."""
    with stage(folder, "one", "two", file=VLLM) as on:
        server, master = _timed(on, 16, 2)
        first, second = on.worker("one"), on.worker("two")
        _under_way(server)
        at_ns = now_ns()
        first.kill()
        third = on.worker("one")
        master.end()
        after = on.collect(master.run, first.run)
        return _end(server, master, first, second, third, at_ns=at_ns, after=after)


def master_killed(folder: Path) -> Shown:
    """SIGKILL of the master; the workers are left to themselves."""
    with stage(folder, "one", "two", file=VLLM) as on:
        server, master = _timed(on, 60, 2)
        workers = on.worker("one"), on.worker("two")
        _under_way(server, 40)
        at_ns = now_ns()
        master.kill()
        for worker in workers:
            worker.end(75)
        took_s = (now_ns() - at_ns) / 1e9
        after = on.collect(master.run, *(worker.run for worker in workers))
        codes = tuple(worker.end() for worker in workers)
        done = Result(master.end(), master.out, master.err, master.results)
        return Shown(done, server.log, workers, codes, at_ns, took_s, after=after)


def full_disk_of_a_worker(folder: Path) -> Shown:
    """A worker's disk holds the first few seconds of its journal."""
    with (
        stage(folder, "one", "two", file=VLLM) as on,
        small_disk(on.hosts["one"].folder / "results", 16) as prefix,
    ):
        server, master = _timed(on, 10, 2)
        return _end(server, master, on.worker("one", prefix=prefix), on.worker("two"))


def full_disk_of_the_master(folder: Path) -> Shown:
    """The master's disk holds neither the workers' journals nor the results; then it is given room."""
    with stage(folder, "one", "two", file=VLLM) as on:
        with small_disk(on.hosts["master"].folder / "results", 60) as prefix:
            server, master = _timed(on, 10, 2, prefix=prefix)
            workers = on.worker("one"), on.worker("two")
            master.end()
            kept = _copy(master.results, folder / "room")
            codes = tuple(worker.end(40) for worker in workers)
        (run,) = kept.iterdir()
        journals = [
            worker.run for worker in workers if worker.results.exists() and any(worker.results.iterdir())
        ]
        after = on.collect(run, *journals)
        done = Result(master.end(), master.out, master.err, kept)
        return Shown(done, server.log, workers, codes, after=after)


def interrupted_once(folder: Path) -> Shown:
    """Ctrl-C on the master."""
    return _interrupted(folder, 1)


def interrupted_twice(folder: Path) -> Shown:
    """Ctrl-C on the master, and again."""
    return _interrupted(folder, 2)


def _interrupted(folder: Path, times: int) -> Shown:
    with stage(folder, "one", "two", file=VLLM) as on:
        server = on.simulator(*BRISK)
        long = (*IDS, "--output-tokens", "150" if times == 1 else "1500")  # 3 s, or 30
        master = on.master("--host", server.url, *long, "-u", "4", "-r", "50", "-t", "60s", workers=2)
        workers = on.worker("one"), on.worker("two")
        until(lambda: server.running() == 4)  # no three processes' trials are as many
        time.sleep(1.5)  # in which each gets some 75 tokens
        at_ns = now_ns()
        for number in range(times):
            until(lambda number=number: not number or "Ctrl-C again" in master.err)
            master.signal(signal.SIGINT)
        return _end(server, master, *workers, at_ns=at_ns)


def interrupted_at_a_terminal(folder: Path) -> Shown:
    """Ctrl-C where `--processes 3` runs: the terminal sends it to the master and its children alike."""
    with stage(folder, plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        ports = ("--master-bind-port", str(on.port), "--master-port", str(on.port))
        load = (*IDS, "--output-tokens", "100", "-u", "6", "-r", "50", "-t", "60s")
        master = on.locust("master", "--headless", "--processes", "3", *ports, "--host", server.url, *load)
        _under_way(server, 8)
        at_ns = now_ns()
        master.signal(signal.SIGINT, group=True)
        return _end(server, master, at_ns=at_ns)


def workers_leave(folder: Path) -> Shown:
    """Of five workers one gets Ctrl-C, one gets it twice, one SIGTERM, and one comes to its end with the run."""
    names = ("once", "twice", "ended", "stays")
    with stage(folder, *names, file=VLLM) as on:
        server = on.simulator(*BRISK)
        long = (*IDS, "--output-tokens", "150")  # 3 s
        master = on.master("--host", server.url, *long, "-u", "8", "-r", "50", "-t", "20s", workers=4)
        once, twice, ended, stays = (on.worker(name) for name in names)
        # Five trials and each user's first have ended, and the second ones are with the server: each takes 3 s.
        _under_way(server, 5 + 8)
        until(lambda: server.running() == 8, 8)
        at_ns = now_ns()
        once.signal(signal.SIGINT)
        ended.signal(signal.SIGTERM)
        twice.signal(signal.SIGINT)
        until(lambda: "Ctrl-C again" in twice.err)
        again_ns = now_ns()
        twice.signal(signal.SIGINT)
        return replace(_end(server, master, once, twice, ended, stays, at_ns=at_ns), again_ns=again_ns)


def _sound(shown: Shown) -> None:
    """Whatever happens, nobody is shown a traceback and no process is left."""
    assert not shown.strays
    said = [shown.done.err, *(worker.err for worker in shown.workers), shown.after.err if shown.after else ""]
    for text in said:
        assert "Traceback" not in text, text[-3000:]


def _collected(shown: Shown) -> tuple[pd.DataFrame, Any]:
    """Table and summary after `tokenswarm collect`, which has seen that results are missing."""
    assert shown.after is not None
    assert shown.after.code == 5, shown.after.err
    summary = shown.after.summary
    assert not summary["complete"]
    if summary["audit"] is not None:  # a master that was killed could make no statements
        assert summary["audit"]["reconciles"], summary["audit"]
    table = shown.after.requests
    assert summary["totals"]["succeeded"] == (table.outcome == "ok").sum()
    return table, summary


@pytest.mark.parametrize("play", [killed_beside_the_master], indirect=True)
def test_a_worker_killed_in_the_masters_folder(play: Shown) -> None:
    """Its journal is where the results are made: everything but what it had in flight is in the table, exit 5."""
    _sound(play)
    done, said = play.done, play.said(1)
    assert done.code == 5, done.err
    assert said["state"] == "lost"
    assert not said["signed"]
    (line,) = play.incomplete
    assert said["name"] in line
    assert "lost" in line
    both = agree(done.requests, play.log, may_lack=_until_the_kill(play.at_ns))
    own = both[both.worker == said["name"]]
    assert len(own) > 0
    assert own.finished_ns.max() <= play.at_ns + LAST_MOMENT_NS
    reconcile(done)
    assert [code for number, code in enumerate(play.codes) if number != 1] == [0, 0, 0]
    others = both[both.worker != said["name"]]
    assert _users(others, play.at_ns + 12_000_000_000) == 6  # its users were given to the others
    window = play.run["windows"][0]
    assert (window["end_ns"] - unix_ns(play.at_ns)) / 1e9 < 2  # load was whole until it was last heard


def _users(both: pd.DataFrame, at_ns: int) -> int:
    """Requests that the server had at a moment, by its own log; of a few moments the most."""
    return max(
        int(((both.received_ns <= moment) & (both.finished_ns > moment)).sum())
        for moment in range(at_ns, at_ns + 1_500_000_000, 50_000_000)
    )


@pytest.mark.parametrize("play", [killed_on_its_host], indirect=True)
def test_a_worker_killed_on_its_host(play: Shown) -> None:
    """The sweep goes on to its whole quota without it; `collect` brings in its journal, once however often."""
    _sound(play)
    done, lost = play.done, play.said(2)
    assert done.code == 5, done.err
    assert lost["state"] == "lost"
    line = next(line for line in play.incomplete if lost["name"] in line)
    assert "lost" in line
    assert "tokenswarm collect" in line
    assert str(play.workers[2].run) in line or lost["journal"] is None
    audit = reconcile(done)
    assert audit["unaccounted"] >= 1
    others = done.requests[done.requests.worker != lost["name"]]
    agree(done.requests, play.log, may_lack=lambda row: row["received_ns"] < play.at_ns)
    assert len(others) + lost["totals"]["offered"] >= 120
    table, summary = _collected(play)
    both = agree(table, play.log, may_lack=_until_the_kill(play.at_ns))
    assert len(both[both.worker == lost["name"]]) > 0
    assert any(lost["name"] in line and "lost" in line for line in summary["incomplete"])
    assert any("collected later" in line for line in summary["incomplete"])
    assert list(play.workers[2].run.glob("journal*.jsonl"))  # not ours to delete


@pytest.mark.parametrize("play", [frozen_for_5_s, cut_off_for_5_s, lossy], indirect=True)
def test_a_worker_that_was_only_silent(play: Shown) -> None:
    """Frozen or cut off for 5 s, or on a line that loses a fifth of all packets: nothing is missing, exit 0."""
    _sound(play)
    done = play.done
    assert done.code == 0, done.err
    assert play.incomplete == []
    both = agree(done.requests, play.log)
    assert (both.outcome == "ok").all()
    audit = reconcile(done)
    assert audit["unaccounted"] == 0
    assert [worker["state"] for worker in audit["workers"]] == ["ended", "ended"]
    assert len(audit["workers"]) == 2  # the same one came back
    assert play.codes == (0, 0)
    said = play.said(0)
    assert said["journal"]["verified"]
    assert said["totals"]["succeeded"] == len(both[both.worker == said["name"]]) > 0
    if play.at_ns:
        assert 3.5 < said["longest_silence_s"] < 9.5
        assert any("silent" in event for event in said["events"])
        assert any(said["name"] in reason for reason in done.summary["verdict"]["reasons"])
        after = both[(both.worker == said["name"]) & (both.received_ns > play.at_ns + 8_000_000_000)]
        assert len(after) > 0  # it is at work again
    assert play.said(1)["longest_silence_s"] < 3.5


@pytest.mark.parametrize("play", [frozen_for_15_s], indirect=True)
def test_a_worker_that_was_given_up_and_came_back(play: Shown) -> None:
    """Frozen for 15 s its users went to the other one; awake again it takes part again, and nothing of it is lost."""
    _sound(play)
    done, said = play.done, play.said(0)
    both = agree(done.requests, play.log)
    audit = reconcile(done)
    assert len(audit["workers"]) == 2
    assert 13 < said["longest_silence_s"] < 18
    assert any("silent" in event or "lost" in event for event in said["events"])
    assert any(said["name"] in reason for reason in done.summary["verdict"]["reasons"])
    assert done.code == (5 if play.incomplete else 0), done.err
    assert all(said["name"] in line for line in play.incomplete)
    other = both[both.worker != said["name"]]
    assert _users(other, play.at_ns + 13_000_000_000) == 6
    assert said["signed"]
    assert said["journal"]["verified"]


@pytest.mark.parametrize("play", [late], indirect=True)
def test_a_worker_that_joins_late(play: Shown) -> None:
    """It is given users of the run that is under way; the verdict says that load was not steady."""
    _sound(play)
    done, said = play.done, play.said(1)
    assert done.code == 0, done.err
    both = agree(done.requests, play.log)
    assert (both.outcome == "ok").all()
    reconcile(done)
    assert said["state"] == "ended"
    assert said["joined_s"] > 0.5
    own = both[both.worker == said["name"]]
    assert len(own) > 5
    assert own.received_ns.min() > play.at_ns
    end_ns = both.finished_ns.max()
    assert _users(both[both.worker != said["name"]], end_ns - 3_000_000_000) == 3
    assert _users(own, end_ns - 3_000_000_000) == 3
    if said["joined_s"] > 2:
        assert any(said["name"] in reason for reason in done.summary["verdict"]["reasons"])


@pytest.mark.parametrize("play", [come_back], indirect=True)
def test_a_worker_that_is_started_again(play: Shown) -> None:
    """The new process is another worker of another name; what the old one wrote can be collected."""
    _sound(play)
    done = play.done
    lost, new = play.said(0), play.said(2)
    assert done.code == 5, done.err
    assert (lost["state"], new["state"]) == ("lost", "ended")
    assert lost["name"] != new["name"]
    table, summary = _collected(play)
    both = agree(table, play.log, may_lack=_until_the_kill(play.at_ns))
    counts = both.worker.value_counts()
    assert counts[lost["name"]] > 0
    assert counts[new["name"]] > 0
    assert any(lost["name"] in line for line in summary["incomplete"])
    assert not any(new["name"] in line for line in summary["incomplete"])


@pytest.mark.parametrize("play", [master_killed], indirect=True)
def test_a_master_that_is_killed(play: Shown) -> None:
    """Workers that hear nothing end their load by themselves and keep their journals; `collect` makes a run of them."""
    assert play.done.code == -signal.SIGKILL
    for worker in play.workers:
        assert "Traceback" not in worker.err
    assert 18 < play.took_s < 75  # Locust itself gives a master a minute
    assert all(code not in (0, None) for code in play.codes), play.codes
    table, _ = _collected(play)
    both = agree(table, play.log)  # nobody was killed who had requests in flight
    assert both.worker.nunique() == 2
    assert both.received_ns.max() > play.at_ns + 10_000_000_000  # cut off, they could not know at once
    assert both.received_ns.max() < play.at_ns + 25_000_000_000


@pytest.mark.parametrize("play", [full_disk_of_a_worker], indirect=True)
def test_a_worker_whose_disk_is_full(play: Shown) -> None:
    """What its disk refused it keeps in memory and hands over with the rest: nothing is missing, and it is said."""
    _sound(play)
    done, said = play.done, play.said(0)
    both = agree(done.requests, play.log)
    own = both[both.worker == said["name"]]
    assert len(own) == said["totals"]["offered"] > 0
    assert said["totals"]["dropped"] == 0
    assert done.code == 0, done.err
    reconcile(done)
    (event,) = [event["what"] for event in play.run["events"] if _refused(event["what"])]
    assert said["name"] in event
    assert any(_refused(line) and said["name"] in line for line in done.err.splitlines())


def _refused(text: str) -> bool:
    return "No space left" in text or "File too large" in text


@pytest.mark.parametrize("play", [full_disk_of_the_master], indirect=True)
def test_a_master_whose_disk_is_full(play: Shown) -> None:
    """It ends with exit 5 and the reason; the workers keep what it could not take, and `collect` makes the results."""
    _sound(play)
    done = play.done
    assert done.code == 5, done.err
    assert _refused(done.err), done.err[-2000:]
    for worker in play.workers:
        assert list(worker.run.glob("journal*.jsonl")), worker.err[-2000:]
    assert play.after is not None
    assert play.after.code in (0, 5), play.after.err
    both = agree(play.after.requests, play.log)
    assert both.worker.nunique() == 2
    assert play.after.summary["totals"]["succeeded"] == len(both)


@pytest.mark.parametrize("play", [interrupted_once, interrupted_at_a_terminal], indirect=True)
def test_one_interrupt_drains(play: Shown) -> None:
    """What is in flight on all workers may finish; the results are whole and marked, exit 5."""
    _sound(play)
    done = play.done
    assert done.code == 5, done.err
    assert play.took_s < 25
    assert play.incomplete == ["interrupted"]
    both = agree(done.requests, play.log)
    assert (both.outcome == "ok").all()
    assert (both.received_ns < play.at_ns + 2_000_000_000).all()
    assert (both.finished_ns > play.at_ns).sum() >= 4  # these were in flight
    audit = reconcile(done)
    assert audit["cancelled"] == audit["unaccounted"] == 0
    assert all(code == 0 for code in play.codes)
    assert not list(done.directory.glob("*journal*"))


@pytest.mark.parametrize("play", [interrupted_twice], indirect=True)
def test_two_interrupts_give_up(play: Shown) -> None:
    """Streams that would go on for half a minute are cancelled on all workers, and counted with what had come."""
    _sound(play)
    done = play.done
    assert done.code == 5, done.err
    assert play.took_s < 20
    both = agree(done.requests, play.log)
    assert len(both) == len(done.requests) == 4
    assert (both.outcome == "cancelled").all()
    assert (both.outcome_true == "cancelled").all()
    assert (both.chunks > 20).all()
    audit = reconcile(done)
    assert audit["cancelled"] == 4
    assert play.incomplete[0] == "interrupted"
    assert "4 requests were given up in flight" in play.incomplete


@pytest.mark.parametrize("play", [workers_leave], indirect=True)
def test_workers_that_leave(play: Shown) -> None:
    """Ctrl-C or SIGTERM: it drains, hands over its journal and goes; twice: it gives up. The run goes on without it."""
    _sound(play)
    done = play.done
    assert done.code == 5, done.err
    both = agree(done.requests, play.log)
    statements = [play.said(number) for number in range(4)]
    assert [said["state"] for said in statements] == ["left", "left", "left", "ended"]
    for said in statements:
        assert said["signed"]
        assert said["journal"]["verified"]
        assert said["totals"]["offered"] == (both.worker == said["name"]).sum()
    once, twice, ended, stays = (both[both.worker == said["name"]] for said in statements)
    for drained in (once, ended, stays):
        assert (drained.outcome == "ok").all()
    assert (once.finished_ns > play.at_ns).sum() == 2
    assert 1 <= (twice.outcome == "cancelled").sum() <= 2  # one may have ended in between
    assert twice.finished_ns.max() < play.again_ns + 1_500_000_000  # and not in the 3 s that an answer takes
    for gone in (once, twice, ended):
        assert gone.received_ns.max() < play.at_ns + 500_000_000
    assert _users(stays, play.at_ns + 6_000_000_000) == 8
    for window in play.run["windows"]:
        assert window["level"] == 8
        if (
            window["end_ns"] - window["start_ns"] > 2_000_000_000
        ):  # at its very start users are between two requests
            assert _users(both, window["start_ns"] + 1_000_000_000 - ANCHOR_NS) == 8
    audit = reconcile(done)
    assert audit["unaccounted"] == 0
    for said in statements[:3]:
        assert any(said["name"] in line for line in play.incomplete), play.incomplete
    assert not any(statements[3]["name"] in line for line in play.incomplete)
    for node in play.workers[:3]:
        assert not list(node.results.glob("*"))
