"""What the page "Tokens" is told: during a real run with two workers, held against the server's own log and the run's summary."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import requests
from distributed_runs import BRISK, SMALL
from locust_runs import LOCUSTFILES, simulator, truth, until
from web_site import Site, serving

from harness import rows
from harness.clock import unix_ns
from harness.level_bins import BASE_NS

pytestmark = pytest.mark.calm  # all of it, for its tests share the runs

Json = dict[str, Any]
VLLM: Final = LOCUSTFILES / "vllm.py"
PROMPT: Final = 30  # tokens each
SWEEP: Final = ("--levels", "2,4", "--requests-per-level", "30x", "--slo", "ttft_p95<1s")
OVER: Final = ("over", "failed")
# Of one second's tokens: the server stamps a token when it is made, the client when it is read, on a busy machine.
SECOND_OFF, SECOND_TOKENS = 0.10, 25.0


@dataclass
class Viewer:
    """One who looks on, as the page does."""

    site: Site
    place: int = 0
    rows: dict[int, list[Any]] = field(default_factory=dict)  # by place
    looks: list[Json] = field(default_factory=list)

    def look(self, since: object = None) -> Json:
        """Ask for what is new; with `since`, for something else."""
        asked = self.place if since is None else since
        answer = requests.get(self.site.at("tokens.json"), params={"since": str(asked)}, timeout=10)
        assert answer.headers["Content-Type"] == "application/json"
        said: Json = answer.json()
        assert said["problem"] is None, said["problem"]
        if since is None:
            series = said["series"]
            if series["replaced"]:
                self.rows.clear()
            self.rows |= dict(enumerate(series["rows"], series["from"]))
            self.place = series["next"]
            self.looks.append(said)
        return said

    def watch(self, *, timeout: float = 120) -> Json:
        """Look again and again until the run is over."""
        until(lambda: (self.look()["run"] or {}).get("state") in OVER, timeout)
        return self.looks[-1]

    def table(self) -> pd.DataFrame:
        """All rows so far."""
        return pd.DataFrame(list(self.rows.values()), columns=self.looks[-1]["series"]["columns"])


@dataclass
class Seen:
    """A run with two workers, a second one, and one that could not be prepared."""

    site: Site
    viewer: Viewer
    before: Json
    first: Json
    over: pd.DataFrame  # its rows
    log: pd.DataFrame
    refused: Json
    second: Viewer


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A sweep that is watched to its end; then the rest."""
    folder = tmp_path_factory.mktemp("tokens")
    log = folder / "truth.jsonl"
    with simulator(*BRISK, "--log", str(log)) as server:
        options = (*SMALL, *SWEEP, "--host", server.url)
        with serving(folder, *options, file=VLLM, workers=2) as site:
            viewer = Viewer(site)
            before = viewer.look()
            site.swarm(user_count=4, spawn_rate=50, host=server.url, run_name="first")
            first = viewer.watch()
            rows, said = viewer.table(), truth(log)
            requests.post(
                f"{site.url}/swarm", data={"host": "http://127.0.0.1:9", "user_count": 1}, timeout=60
            )
            refused = viewer.look(0)
            second = Viewer(site, viewer.place, dict(viewer.rows))
            more = {"levels": "2", "requests_per_level": "6"}
            site.swarm(user_count=2, spawn_rate=50, host=server.url, run_name="second", **more)
            until(lambda: second.look()["run"]["id"] != first["run"]["id"], 60)
            second.watch()
            yield Seen(site, viewer, before, first, rows, said, refused, second)


def summary_of(seen: Seen, state: Json) -> Any:
    """The summary on disk."""
    return json.loads((Path(state["run"]["directory"]) / "summary.json").read_bytes())


def test_before_a_run_there_is_none(seen: Seen) -> None:
    """And no verdict is made up."""
    assert seen.before["run"] is None
    assert seen.before["verdict"] == {"status": "none", "reasons": [], "is_final": False}
    assert (seen.before["levels"], seen.before["series"]["rows"]) == ([], [])


def test_it_tells_all_that_was_agreed(seen: Seen) -> None:
    """Every key, while it runs."""
    running = next(look for look in seen.viewer.looks if look["run"] and look["run"]["state"] == "running")
    assert set(running) == {
        *("server_now_ms", "run", "progress", "verdict", "totals", "errors", "workers", "client", "levels"),
        *("series", "error_series", "segments", "problem"),
    }
    assert set(running["run"]) == {
        *("id", "name", "host", "model", "backends", "begun_ms", "ended_ms", "state", "problem", "directory"),
        *("report", "is_sweep", "is_open", "slos", "can_stop"),
    }
    assert set(running["progress"]) == {
        *("title", "step", "steps", "done", "quota", "warming_up", "in_flight", "backlog", "elapsed_s"),
        *("left_s", "share", "line"),
    }
    assert (running["run"]["name"], running["run"]["backends"], running["run"]["is_sweep"]) == (
        "first",
        ["vllm"],
        True,
    )
    assert running["run"]["slos"] == ["ttft_p95<1s"]
    assert (running["workers"]["here"], running["workers"]["of"], len(running["workers"]["each"])) == (
        2,
        2,
        2,
    )


def test_states_follow_each_other(seen: Seen) -> None:
    """Never backwards."""
    order = ["preparing", "starting", "running", "draining", "writing", "over"]
    states = [look["run"]["state"] for look in seen.viewer.looks if look["run"]]
    places = [order.index(state) for state in states]
    assert places == sorted(places)
    assert {"running", "over"} <= set(states)
    assert seen.first["run"]["ended_ms"] > seen.first["run"]["begun_ms"]


def test_rows_come_each_second_while_it_runs(seen: Seen) -> None:
    """Without a gap, from the second in which load began; users, requests in flight and latencies are there."""
    rows, run = seen.over, seen.first["run"]
    assert np.all(np.diff(rows.t_ms) == 1000)
    assert rows.t_ms.iloc[0] == run["begun_ms"] // 1000 * 1000
    assert len(rows) >= (run["ended_ms"] - run["begun_ms"]) / 1000 - 1
    sizes = [
        look["series"]["next"]
        for look in seen.viewer.looks
        if look["run"] and look["run"]["state"] == "running"
    ]
    assert len(set(sizes)) >= 5, "they came one after the other"
    middle = rows.iloc[3:-3]
    assert set(middle.users) <= {0, 2, 4}
    assert {2, 4} <= set(middle.level)
    assert (middle.in_flight <= 4).all()
    assert (
        middle[["ttft_ms_p50", "ttft_ms_p99", "tpot_ms_p50", "e2e_ms_p95", "request_tokens_per_s_p10"]]
        .notna()
        .all(axis=None)
    )
    assert middle.cpu_percent.between(0, 200).all()


def test_settled_rates_are_the_servers_own(seen: Seen) -> None:
    """Tokens of each second against the server's log; all of them together to the last one."""
    rows, log = seen.over, seen.log
    assert rows.settled.all()
    tokens = log.output_tokens.sum()
    assert rows.system_output_tokens_per_s.sum() == pytest.approx(tokens, abs=0.01)
    assert rows.system_total_tokens_per_s.sum() == pytest.approx(tokens + log.prompt_tokens.sum(), abs=0.01)
    assert rows.requests_per_s.sum() == pytest.approx(len(log))
    first, last = (unix_ns(0) + log[name].to_numpy(float) for name in ("first_token_ns", "last_token_ns"))
    for t_ms, rate in zip(rows.t_ms.tolist(), rows.system_output_tokens_per_s.tolist(), strict=True):
        begin, end = t_ms * 1e6, (t_ms + 1000) * 1e6
        inside = np.clip(np.minimum(last, end) - np.maximum(first, begin), 0, None) / (last - first)
        true = float((log.output_tokens.to_numpy(float) * inside).sum())
        assert rate == pytest.approx(true, rel=SECOND_OFF, abs=SECOND_TOKENS), t_ms


def test_no_second_looks_like_a_drop_that_was_none(seen: Seen) -> None:
    """Whatever was told of a second before it stood is near what it came to, or null."""
    final = seen.over.set_index("t_ms").system_output_tokens_per_s
    told = 0
    for look in seen.viewer.looks:
        columns = look["series"]["columns"]
        for values in look["series"]["rows"]:
            row = dict(zip(columns, values, strict=True))
            rate = row["system_output_tokens_per_s"]
            if not row["settled"] and rate is not None:
                told += 1
                assert rate >= 0.7 * final[row["t_ms"]] - SECOND_TOKENS
    assert told


def test_levels_are_the_summarys_in_the_end(seen: Seen) -> None:
    """To the last digit; and the verdict, the totals and the report are there."""
    summary = summary_of(seen, seen.first)
    assert seen.first["levels"] == [{**level, "state": "done"} for level in summary["levels"]]
    said = seen.first["verdict"]
    assert (said["status"], [one["text"] for one in said["reasons"]]) == (
        summary["verdict"]["status"],
        summary["verdict"]["reasons"],
    )
    assert said["is_final"]
    totals = seen.first["totals"]
    assert {name: totals[name] for name in totals if name != "uncounted"} == {
        name: summary["totals"][name] for name in totals if name != "uncounted"
    }
    run = seen.first["run"]
    assert run["report"] == f"results/{run['id']}/report"


def at_an_edge(run: Path, level: int, what: str) -> int:
    """Of these stamps, those so near to a window's begin or end that they share a bin with it, of which a part is counted."""
    stamps = rows.load(run / "requests.parquet")[what].dropna()
    windows = json.loads((run / "run.json").read_bytes())["windows"]
    edges = [one[side] for one in windows if one["level"] == level for side in ("start_ns", "end_ns")]
    two_bins_ns = 2 * BASE_NS  # as wide as they are at a level of seconds
    return sum(int((abs(stamps - edge) < two_bins_ns).sum()) for edge in edges)


def test_a_finished_level_is_within_a_hundredth_while_load_runs(seen: Seen) -> None:
    """What was told last before the results were written; counts are the same.

    The last level's last second is told of a second later, by when the results may be there.
    """
    final = {level["level"]: level for level in summary_of(seen, seen.first)["levels"]}
    before = [
        look["levels"] for look in seen.viewer.looks if look["run"] and look["run"]["state"] not in OVER
    ]
    live = {
        one["level"]: one
        for levels in before
        for one in levels
        if one["state"] == "done" and one["is_counted"]
    }
    assert 2 in live
    for level in live.values():
        true = final[level["level"]]
        for name in ("requests", "succeeded", "failed", "cancelled", "windows", "title", "concurrency"):
            assert level[name] == true[name], name
        assert level["window_s"] == pytest.approx(true["window_s"])
        run = Path(seen.first["run"]["directory"])
        ended, came = (at_an_edge(run, level["level"], what) for what in ("end_ns", "first_content_ns"))
        for name, most in (
            ("system_output_tokens_per_s", 0.01 * true["system_output_tokens_per_s"]),
            # A prompt counts when the first content comes, all at once.
            (
                "system_total_tokens_per_s",
                0.01 * true["system_total_tokens_per_s"] + came * PROMPT / true["window_s"],
            ),
            ("requests_per_s", (ended + 0.01) / true["window_s"]),
        ):
            assert level[name] == pytest.approx(true[name], abs=most), name
        for name in ("ttft_ms", "tpot_ms", "e2e_ms", "request_output_tokens_per_s"):
            for key in ("mean", "median", "p90", "p95"):
                if key in true[name]:
                    assert level[name][key] == pytest.approx(true[name][key], rel=0.0101), (name, key)
            assert level[name]["n"] == true[name]["n"]
        assert level["goodput"]["share"] == true["goodput"]["share"]
        assert level["slo"][0]["met"] == true["slo"][0]["met"]


def test_the_table_fills_in(seen: Seen) -> None:
    """A level is to come, runs, and is done; the time that is left goes down."""
    states = [tuple(one["state"] for one in look["levels"]) for look in seen.viewer.looks if look["levels"]]
    between = [("to_come", "to_come"), ("done", "to_come")]  # while users are started: seen on a busy machine
    found = [state for state in dict.fromkeys(states) if state not in between]
    assert found == [("running", "to_come"), ("done", "running"), ("done", "done")]
    running = [
        look["progress"] for look in seen.viewer.looks if look["run"] and look["run"]["state"] == "running"
    ]
    shares = [one["share"] for one in running if one["share"] is not None]
    assert shares[-1] > 0.8
    assert np.mean(np.diff(shares) >= -0.05) > 0.9
    assert all(one["left_s"] is None or one["left_s"] < 60 for one in running)
    assert {one["step"] for one in running} == {1, 2}
    assert {one["steps"] for one in running} == {2}


def test_the_client_and_its_workers(seen: Seen) -> None:
    """CPU, lag and bad seconds of all together and of each."""
    assert seen.first["client"]["seconds"] >= 8
    assert 0 < seen.first["client"]["cpu_percent"] < 100
    each = seen.first["workers"]["each"]
    assert sum(sum(one["bad_seconds"] for one in [worker]) for worker in each) == sum(
        seen.first["client"]["bad_seconds"].values()
    )
    assert all(worker["cpu_percent"] > 0 for worker in each)


def test_segments_are_those_of_the_plan(seen: Seen) -> None:
    """One a level, one after the other."""
    one, other = seen.first["segments"]
    assert (one["title"], other["title"]) == ("2 users", "4 users")
    assert one["end_ms"] == other["start_ms"] < other["end_ms"]
    assert (one["label"], other["label"]) == (None, None)


def test_what_is_asked_for_is_what_comes(seen: Seen) -> None:
    """From a place on; what is no place is none; who is ahead begins anew."""
    last = seen.second.looks[-1]["series"]
    assert (
        seen.second.look(last["next"])["series"]["rows"] == []
        or seen.second.look(last["next"])["series"]["from"] < last["next"]
    )
    part = seen.second.look(last["next"] - 1)["series"]
    assert (part["next"], part["replaced"]) == (last["next"], False)
    assert len(part["rows"]) == part["next"] - part["from"] >= 1
    whole = seen.second.look(0)["series"]
    for since in (last["next"] + 7, "-1", "x", "9" * 99, "1e3", "\u0665"):
        odd = seen.second.look(since)["series"]
        assert (odd["from"], odd["replaced"], len(odd["rows"])) == (whole["from"], True, len(whole["rows"]))


def test_a_run_that_cannot_be_prepared_leaves_the_last_one(seen: Seen) -> None:
    """Why is said where it was asked for."""
    assert seen.refused["run"] is not None
    assert (seen.refused["run"]["id"], seen.refused["run"]["state"]) == (seen.first["run"]["id"], "over")
    assert seen.refused["levels"] == seen.first["levels"]


def test_a_second_run_begins_anew(seen: Seen) -> None:
    """Nothing of the first is in its rows, levels, totals or segments, also for who has watched the first."""
    run, rows = seen.second.looks[-1]["run"], seen.second.table()
    assert (run["name"], run["state"]) == ("second", "over")
    assert (rows.t_ms >= run["begun_ms"] // 1000 * 1000).all()
    summary = summary_of(seen, seen.second.looks[-1])
    assert rows.requests_per_s.sum() == pytest.approx(summary["totals"]["succeeded"])
    assert seen.second.looks[-1]["levels"] == [{**level, "state": "done"} for level in summary["levels"]]
    assert min(seen.second.rows) >= seen.viewer.place
