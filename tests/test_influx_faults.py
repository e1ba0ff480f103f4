"""What goes wrong around InfluxDB's end of a run: nobody waits who does not want to, no run gets into another, and what is said is so."""

import signal
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import orjson
import pytest
from distributed_runs import BRISK, SMALL, VLLM, Node, Stage, stage
from influx_fake import Fake, hangs, says
from locust_runs import journaled, until
from web_page import Page

from harness import rows
from harness.influx.outbox import Outbox
from harness.influx.sink import Sink
from harness.influx.transport import Answer
from harness.influx.watch import Watch
from harness.servers.process import free_port


def local(on: Stage, url: str, *options: str) -> Node:
    """A run without workers, with metrics."""
    server = on.simulator(*BRISK)
    env = {"INFLUXDB_URL": url}
    return on.locust("master", "--host", server.url, *SMALL, *options, env=env)


def patient(folder: Path, *, seconds: float, with_: Sequence[str]) -> str:
    """A locustfile whose process waits so long where it is usually satisfied with less: a test knows what it waits for."""
    file = folder / "patient.py"
    changed = "".join(f"{name} = {seconds}\n" for name in with_)
    file.write_text(f"from harness.influx import sink, transport\n{changed}{Path(VLLM).read_text()}")
    return str(file)


LONG = ("sink.CLOSE_S", "transport.ANSWER_S")  # a wait at the end that nobody but Ctrl-C will end


def test_ctrl_c_ends_the_wait_for_influxdb(tmp_path: Path) -> None:
    """Load was over, so nothing is interrupted: the results are whole, and exit is 0."""
    file = patient(tmp_path, seconds=600, with_=LONG)
    with Fake(always=hangs) as fake, stage(tmp_path, plain=True, file=file) as on:
        node = local(on, fake.url, "--headless", "-u", "2", "-t", "2s")
        until(lambda: "waiting up to 600 s for InfluxDB" in node.err)
        node.signal(signal.SIGINT)
        done = node.done()
    assert done.code == 0, done.err
    assert done.summary["complete"]
    assert done.summary["totals"]["succeeded"] == len(done.requests) > 10
    assert "stopping" not in done.err
    assert "points of this run are not in InfluxDB" in done.err
    assert not list(done.directory.glob("*.spool"))


def test_the_second_ctrl_c_ends_it_too(tmp_path: Path) -> None:
    """Two in a hurry: what was measured is in the results, not only in a journal, and a third harms nothing."""
    file = patient(tmp_path, seconds=600, with_=LONG)
    with Fake(always=hangs) as fake, stage(tmp_path, plain=True, file=file) as on:
        node = local(on, fake.url, "--headless", "-u", "2")
        until(lambda: node.journaled() > 10)
        node.signal(signal.SIGINT)
        until(lambda: "waiting up to 600 s for InfluxDB" in node.err)
        node.signal(signal.SIGINT)
        done = node.done()
    assert done.code == 5, done.err
    assert done.summary["incomplete"] == ["interrupted"]
    assert len(done.requests) > 10


def test_a_run_that_is_begun_while_the_last_one_ends(tmp_path: Path) -> None:
    """It waits for that end, which a dead InfluxDB draws out; then it is a run of its own."""
    file = patient(tmp_path, seconds=5, with_=["sink.GONE_S"])
    with Fake(always=says(503)) as fake, stage(tmp_path, plain=True, file=file) as on:
        port = free_port()
        page = Page(port)
        node = local(on, fake.url, "--web-host", "127.0.0.1", "--web-port", str(port))
        until(page.is_up)
        page.swarm(user_count=3, spawn_rate=20, run_name="first")
        until(lambda: node.journaled() > 10)
        stopping = Thread(target=page.stop)
        stopping.start()
        until(lambda: journaled(node.results, '"topic":"end"') > 0)
        starting = Thread(target=page.swarm, kwargs={"user_count": 2, "spawn_rate": 20, "run_name": "second"})
        starting.start()
        until(lambda: "is being prepared" in page.refused(output_tokens="x"))
        assert not list(node.results.glob("*/summary.json"))
        until(lambda: any(node.results.glob("*-first-*/summary.json")))
        until(lambda: node.journaled("*-second-*") > 10)
        page.stop()
        stopping.join()
        starting.join()
        node.signal(signal.SIGINT)
        assert node.end() == 0, node.err
    first, second = (next(node.results.glob(f"*-{name}-*")) for name in ("first", "second"))
    for run, users in ((first, 3), (second, 2)):
        summary = orjson.loads((run / "summary.json").read_bytes())
        assert summary["complete"]
        assert [level["concurrency"] for level in summary["levels"]] == [users]
        assert len(rows.load(run / "requests.parquet")) > 10
        assert f"`tokenswarm replay results/{run.name} --to-influx`" in node.err
    assert "they came after the end" not in node.err
    assert node.out.count("results: results/") == 2


def test_a_run_that_is_stopped_while_it_is_prepared_leaves_nothing(tmp_path: Path) -> None:
    """An InfluxDB that hangs is waited for; who stops the run meanwhile finds no directory of it."""
    file = patient(tmp_path, seconds=600, with_=["transport.HELLO_S"])
    with socket.create_server(("127.0.0.1", 0)) as mute, stage(tmp_path, plain=True, file=file) as on:
        port = free_port()
        page = Page(port)
        where = f"http://127.0.0.1:{mute.getsockname()[1]}"
        node = local(on, where, "--web-host", "127.0.0.1", "--web-port", str(port))
        until(page.is_up)
        with ThreadPoolExecutor() as pool:
            refused = pool.submit(page.refused, user_count=2, spawn_rate=20, run_name="never")
            until(lambda: any(node.results.glob("*")))
            page.stop()
            assert refused.result() == "stopped before it had begun: nothing was sent"
        until(lambda: not any(node.results.glob("*")))
        mute.close()
        page.swarm(user_count=2, spawn_rate=20, run_name="then")
        until(lambda: node.journaled() > 4)
        node.signal(signal.SIGINT)
        until(lambda: "Ctrl-C again gives them up" in node.err)
        node.signal(signal.SIGINT)
        assert node.end() == 5, node.err
    assert [run.name.split("-")[1] for run in node.results.iterdir()] == ["then"]


def silent() -> Sink:
    return Sink(Outbox(lambda *_: Answer("delivered", 204), None, print), "r", "master", print)


ENDED = {"name": "a", "state": "ended", "journal": {}, "metrics": {"created": 5, "delivered": 5, "lost": 0}}
REPLAY = "`tokenswarm replay {run} --to-influx` sends all points of this run again"


@pytest.mark.parametrize(
    ("state", "says_"),
    [
        (
            "ended",
            [
                "InfluxDB has all 10 points of this run",
                "no points came from b: is INFLUXDB_URL set there?",
                REPLAY,
            ],
        ),
        (
            "lost",
            [
                "InfluxDB has all 10 points of this run that are known of",
                "of b nobody knows how many points came: contact was lost",
                f"{REPLAY}, once `tokenswarm collect` has brought its journal",
            ],
        ),
    ],
)
def test_workers_of_whose_points_nothing_is_known(tmp_path: Path, state: str, says_: list[str]) -> None:
    """One that has no INFLUXDB_URL is another thing than one that was lost."""
    other = {"name": "b", "state": state, "journal": {"bytes": 1}, "metrics": None}
    run = {
        "workers": [ENDED | {"journal": {"bytes": 1}}, other],
        "metrics": {"created": 10, "delivered": 10, "lost": 0},
    }
    (tmp_path / "run.json").write_bytes(orjson.dumps(run))
    assert Watch(silent()).results(tmp_path, None) == [line.format(run=tmp_path) for line in says_]


def test_a_run_directory_that_is_gone_is_no_end_of_it(tmp_path: Path) -> None:
    """Whoever took run.json away has seen other lines; this one does not fail."""
    assert Watch(silent()).results(tmp_path, None) == ["InfluxDB has all 0 points of this run"]
