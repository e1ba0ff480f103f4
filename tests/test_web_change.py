"""Load that is changed by hand while it runs: a real web UI, alone and with two workers, the simulator's log as truth."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import requests
from distributed_runs import BRISK, SMALL, VLLM, agree
from locust_runs import most_at_once, simulator, truth, until
from recomputed import check
from web_site import Site, serving

from harness import arrivals, rows
from harness.timetable import Timetable

pytestmark = pytest.mark.calm  # all of it, for its tests share the runs

SECOND: Final = 1_000_000_000
LONGER: Final = ("--output-tokens", "20")  # of SMALL's: answers of 0.4 s


@dataclass(frozen=True)
class Done:
    """A run that was changed, and what its pages answered meanwhile."""

    run: Path
    log: Path
    answers: list[tuple[int, Any]]  # status and JSON
    said: str

    @property
    def requests(self) -> pd.DataFrame:
        return rows.load(self.run / "requests.parquet")

    @property
    def true(self) -> pd.DataFrame:
        """The server's log, on the run's clock."""
        own, anchor = truth(self.log), self.read("run.json")["settings"]["anchor_unix_ns"]
        return own.assign(received_ns=own.received_ns + anchor, finished_ns=own.finished_ns + anchor)

    def read(self, name: str) -> Any:
        return json.loads((self.run / name).read_bytes())


@dataclass(frozen=True)
class Played:
    """The web UI of a run under way, and the journal it writes."""

    site: Site
    log: Path
    answers: list[tuple[int, Any]]

    def change(self, **wanted: object) -> int:
        """As the Tokens page asks for it."""
        answer = requests.post(self.site.at("change.json"), json=wanted, timeout=10)
        self.answers.append((answer.status_code, answer.json()))
        return answer.status_code

    def state(self) -> Any:
        return requests.get(self.site.at("change.json"), timeout=10).json()

    def opened(self) -> list[dict[str, Any]]:
        """The levels that have been opened so far."""
        files = self.site.results.glob("*/journal.jsonl")
        lines = [line for file in files for line in file.read_text().splitlines()]
        told = [json.loads(line) for line in lines if '"topic":"level"' in line and line.endswith("}")]
        return [one for one in told if one["level"]]

    def hold(self, number: int, more: int = 16) -> None:
        """Wait until so many levels have been opened and the last has had some load."""
        until(lambda: len(self.opened()) >= number)
        before = self.finished()
        until(lambda: self.finished() >= before + more)

    def finished(self) -> int:
        return self.log.read_bytes().count(b"\n")


def _play(folder: Path, workers: int, act: Callable[[Played, str], None], *options: str) -> Done:
    """One web UI, one run, stopped when `act` has done with it."""
    folder.mkdir(parents=True)
    log = folder / "truth.jsonl"
    with ExitStack() as stack:
        server = stack.enter_context(simulator(*BRISK, "--log", str(log)))
        site = stack.enter_context(
            serving(folder, "--host", server.url, *SMALL, *options, file=Path(VLLM), workers=workers)
        )
        played = Played(site, log, [])
        act(played, server.url)
        site.stop()
        until(lambda: len(site.runs) == 1)
        return Done(site.runs[0], log, played.answers, site.said)


def _users(played: Played, url: str) -> None:
    """4 users, 8, 2 and at once 6 instead, and 4 again; in between what changes nothing, and what is refused."""
    site = played.site
    assert played.change(users=4, spawn_rate=4) == 409  # nothing runs
    site.swarm(user_count=4, spawn_rate=20, host=url)
    played.hold(1)
    assert played.state() == {"kind": "users", "users": 4, "spawn_rate": 20, "rate": None, "problem": None}
    site.swarm(user_count=8, spawn_rate=2, host=url)  # as Locust's own form does: a ramp of a second
    played.hold(2)
    site.swarm(user_count=8, spawn_rate=50, host=url)  # the same number
    assert played.change(users=8, spawn_rate=1) == 200
    assert played.change(rate=10) == 409
    wrong: Sequence[dict[str, object]] = (
        {"users": -1},
        {"users": 2.5},
        {"users": True},
        {"users": "8"},
        {"users": 10**7},
        {"users": 4, "spawn_rate": 0},
        {"users": 4, "spawn_rate": "fast"},
        {"users": 4, "spawn_rate": None},
        {"users": 4, "colour": 1},
        {},
    )
    assert {played.change(**one) for one in wrong} == {400}
    assert played.change(users=2, spawn_rate=50) == 200
    assert played.change(users=6, spawn_rate=50) == 200  # those who leave are still at their last requests
    until(lambda: played.opened()[-1]["level"] == 6)
    played.hold(3)
    assert played.change(users=4, spawn_rate=50) == 200
    until(lambda: played.opened()[-1].get("repeat") == 2)
    played.hold(4)


def _rates(played: Played, url: str) -> None:
    """10 requests/s, then 30, then 10 again."""
    played.site.swarm(user_count=1, spawn_rate=1, host=url)
    played.hold(1)
    assert played.state() == {"kind": "rate", "users": None, "spawn_rate": None, "rate": 10, "problem": None}
    assert played.change(users=4) == 409
    assert [played.change(rate=one) for one in (0, -1, "20", 1e-9, 1e9, None)] == [400] * 6
    assert played.change(rate=30) == 200
    played.hold(2, more=90)
    assert played.state()["rate"] == 30
    assert played.change(rate=10) == 200
    played.hold(3, more=24)  # workers hear of it 0.4 s before


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Done]]:
    """All at once: most of it is waiting."""
    folder = tmp_path_factory.mktemp("change")
    with ThreadPoolExecutor(3) as pool:
        made = {
            "alone": pool.submit(_play, folder / "alone", 0, _users, *LONGER),
            "workers": pool.submit(_play, folder / "workers", 2, _users, *LONGER),
            "rate-alone": pool.submit(_play, folder / "rate-alone", 0, _rates, "--arrivals", "constant:10"),
            "rate-workers": pool.submit(
                _play, folder / "rate-workers", 2, _rates, "--arrivals", "poisson:10"
            ),
        }
        yield {name: one.result() for name, one in made.items()}


CLOSED, OPEN = (
    pytest.mark.parametrize("name", ["alone", "workers"]),
    pytest.mark.parametrize("name", ["rate-alone", "rate-workers"]),
)


def _segments(done: Done) -> list[tuple[str, int, str | None]]:
    return [(one["title"], one["repeat"], one["label"]) for one in done.read("summary.json")["segments"]]


@CLOSED
def test_each_number_of_users_is_a_segment(plays: dict[str, Done], name: str) -> None:
    """Labels in order; what was asked for twice, or not held, is none."""
    found = _segments(plays[name])
    assert found[:2] == [("4 users", 1, None), ("8 users", 1, "by hand: 4 -> 8 users")]
    assert found[-1] == ("4 users", 2, "by hand: 6 -> 4 users")
    between = [("6 users", 1, "by hand: 8 -> 2 -> 6 users")]
    slow = [
        ("2 users", 1, "by hand: 8 -> 2 users"),
        ("6 users", 1, "by hand: 2 -> 6 users"),
    ]  # they had gone by then
    assert found[2:-1] in (between, slow)


@CLOSED
def test_no_request_is_counted_in_two(plays: dict[str, Done], name: str) -> None:
    """Table and server's log hold the same requests, each once; no level ever had more at once than users; windows are apart."""
    done = plays[name]
    table, windows = done.requests, done.read("run.json")["windows"]
    agree(table, done.log)
    for (level, _), mine in table[table.level > 0].groupby(["level", "repeat"]):
        assert most_at_once(mine) <= level
    coming = table[table.level == 0]
    assert set(coming.phase) == {"warmup"}
    assert len(coming) >= 6  # in the ramp's second alone
    assert set(table[table.level > 0].phase) == {"measure"}
    for before, after in pairwise(windows):
        assert before["start_ns"] < before["end_ns"] < after["start_ns"] < after["end_ns"]


@CLOSED
def test_each_segment_holds_its_users(plays: dict[str, Done], name: str) -> None:
    """By the server's log: as many under way in each window as there were users, less what a client takes in between."""
    done = plays[name]
    true = done.true
    for window in done.read("run.json")["windows"]:
        begin, end = window["start_ns"], window["end_ns"]
        busy = (true.finished_ns.clip(upper=end) - true.received_ns.clip(lower=begin)).clip(lower=0).sum()
        assert 0.6 * window["level"] < busy / (end - begin) < 1.05 * window["level"], window


@pytest.mark.parametrize("name", ["alone", "workers", "rate-alone", "rate-workers"])
def test_each_segment_has_its_own_figures(plays: dict[str, Done], name: str) -> None:
    """Levels and passes are right by another computation; segments show the passes; report and console say what they are."""
    done = plays[name]
    check(done.run)
    summary = done.read("summary.json")
    levels = {level["level"]: level for level in summary["levels"]}
    for one in summary["segments"]:
        (own,) = [each for each in levels[one["level"]]["passes"] if each["repeat"] == one["repeat"]]
        assert one["figures"] == own
        assert own["requests"] > 0
    assert sum(one["figures"]["requests"] for one in summary["segments"]) == sum(
        level["requests"] for level in summary["levels"]
    )
    report = (done.run / "report.html").read_text()
    for label in (one["label"] for one in summary["segments"] if one["label"]):
        assert escape(label) in report
        assert label in done.said
        assert label.rpartition(":")[2].split(" -> ")[-1] in done.said


@CLOSED
def test_annotations(plays: dict[str, Done], name: str) -> None:
    """Each change is an event when it is asked for, and each level one when it is whole."""
    told = [one for one in plays[name].read("run.json")["events"] if one.get("topic") == "level"]
    told.sort(key=lambda one: one["time_ns"])
    changes = [one["what"] for one in told if not one["level"]]
    assert changes[:2] == ["by hand: 4 -> 8 users", "by hand: 8 -> 2 users"]
    assert changes[-2:] in (
        ["by hand: 2 -> 6 users", "by hand: 6 -> 4 users"],
        ["by hand: 8 -> 6 users", "by hand: 6 -> 4 users"],
    )
    assert [one["what"] for one in told if one["level"]][:2] == ["4 users", "8 users"]


@OPEN
def test_a_rate_is_seen_by_the_server(plays: dict[str, Done], name: str) -> None:
    """10, 30 and 10 requests/s by its log, one after the other without a gap, of the same kind of process."""
    done = plays[name]
    agree(done.requests, done.log)
    assert _segments(done) == [
        ("10 req/s", 1, None),
        ("30 req/s", 1, "by hand: 10 -> 30 req/s"),
        ("10 req/s", 2, "by hand: 30 -> 10 req/s"),
    ]
    windows, true = done.read("run.json")["windows"], done.true
    assert [window["level"] for window in windows] == [1, 2, 1]
    for before, after in pairwise(windows):
        assert before["end_ns"] == after["start_ns"]
    came = [true.received_ns.between(one["start_ns"], one["end_ns"]).sum() for one in windows]
    rates = [
        number * SECOND / (one["end_ns"] - one["start_ns"]) for number, one in zip(came, windows, strict=True)
    ]
    assert rates[1] == pytest.approx(30, rel=0.4)  # four sigma of 90 random arrivals
    assert max(rates[0], rates[2]) < 20
    for (level, repeat), mine in done.requests.groupby(["level", "repeat"]):
        gaps = np.diff(np.sort(mine.scheduled_ns.to_numpy(dtype=np.int64))) / SECOND
        if name == "rate-alone":  # constant, and none is missing
            assert gaps == pytest.approx(1 / {1: 10, 2: 30}[level], abs=0.002), repeat
        elif len(gaps) > 50:  # poisson: a spread like the mean
            assert 0.6 < gaps.std() / gaps.mean() < 1.5


@OPEN
def test_nothing_that_was_due_before_a_change_is_lost(plays: dict[str, Done], name: str) -> None:
    """Of each level that ended by a change, all arrivals of its schedule up to then were sent, and none after."""
    done = plays[name]
    run, table = done.read("run.json"), done.requests
    times = Timetable(arrivals.parse(run["settings"]["arrivals"]), run["settings"]["seed"])
    for one, rate in zip(run["windows"][:-1], (10.0, 30.0), strict=True):
        length_ns = one["end_ns"] - one["start_ns"]
        due = takewhile(lambda at, most=length_ns: at < most, times.offsets(one["level"], 1, rate))
        assert (table.level.eq(one["level"]) & table.repeat.eq(1)).sum() == len(list(due))
    assert run["unsent"]["2"] == 0


def test_what_the_page_is_told(plays: dict[str, Done]) -> None:
    """One line for each: what was done, or why not."""
    said = {answer.get("said") or answer.get("problem") for _, answer in plays["alone"].answers}
    assert {
        "no run is under way: start one first",
        "there are 8 users already",
        "users send one request after another in this run: change how many there are",
        "users: give a whole number from 0 to 999,999",
        "users started per second: give a number above 0",
        'send {"users": 8, "spawn_rate": 4} or {"rate": 20}',
        "6 users asked for, 50 started or stopped per second",
    } <= said
    said = {answer.get("said") or answer.get("problem") for _, answer in plays["rate-alone"].answers}
    assert {
        "requests come by a schedule in this run: change their rate",
        "requests per second: give a number from 0.001 to 100,000",
        "30 requests per second asked for",
    } <= said
