"""A real master and ten workers that speak as workers do (bench/fake_workers.py).

Orders keep their pace, the master has little to do, and a run of more workers than journals are fetched at once comes to
its end.

Bounds are such that a busy machine keeps them; what a hundred workers cost is the bench's to say.
"""

import os
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import master_cost  # noqa: E402
from master_cost import Cost, Load  # noqa: E402
from processes import BenchError, Place  # noqa: E402

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="CPU is read from /proc, processes are pinned"
)
WORKERS = 10


def measured(kind: str) -> Cost:
    """Ten workers for six seconds, on two cores if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    load = Load(workers=WORKERS, seconds=6.0, patience_s=60.0)
    return master_cost.measure(kind, Place(cores[0], "none"), Place(cores[-1], "none"), load)


@pytest.fixture(scope="module")
def timed() -> Cost:
    """A run for a time."""
    return measured("timed")


def test_orders_come_each_second(timed: Cost) -> None:
    """A worker hears its master every second, give or take half of one."""
    assert timed.order_gap_p50_s == pytest.approx(1.0, abs=0.5)
    assert timed.order_gap_p99_s is not None
    assert timed.order_gap_p99_s <= 1.5
    assert timed.orders_per_s == pytest.approx(1.0, abs=0.35)


def test_a_worker_costs_its_master_little(timed: Cost) -> None:
    """Well under 2 % of a core."""
    assert timed.percent_per_worker < 1.0
    assert timed.workers_percent < 60  # or it is the workers that were measured


def test_messages_do_not_wait(timed: Cost) -> None:
    """A heartbeat is answered long before anybody would be missed."""
    assert timed.answer_p50_ms < 50
    assert timed.answer_max_ms < 1000


def test_load_was_made(timed: Cost) -> None:
    """Fifty users a worker, two seconds a request: some 200 a second of all ten."""
    assert timed.requests_per_s == pytest.approx(200, rel=0.3)


def test_the_run_ends(timed: Cost) -> None:
    """Ten last words and ten journals from other hosts: a few seconds, the drain of two seconds among them."""
    assert timed.closing_s is not None
    assert timed.closing_s < 20


@pytest.mark.alone  # a master and ten workers on all cores; the longest of hundreds of gaps
def test_a_sweep_grants_in_time() -> None:
    """Where a quota is granted in portions, workers report as requests end; the master keeps up."""
    found = measured("sweep")
    assert found.percent_per_worker < 2.0
    assert found.order_gap_max_s is not None
    assert found.order_gap_max_s <= 2.0
    assert found.answer_max_ms < 1000
    assert found.requests_per_s == pytest.approx(WORKERS * 10 / 0.5, rel=0.4)


def test_a_master_that_does_not_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench says in one line what the master said last."""
    monkeypatch.setattr(
        master_cost, "_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no such file')"]
    )
    cores = sorted(os.sched_getaffinity(0))
    with pytest.raises(BenchError, match="the master is gone: no such file"):
        master_cost.measure(
            "locust", Place(cores[0], "none"), Place(cores[-1], "none"), Load(1, 0.5, patience_s=20.0)
        )
