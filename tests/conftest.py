"""What every test runs under: no proxy, examples of property tests that stay or change, a place for a server's log.

Nor an InfluxDB or Grafana that its user has. The proxies of the machine's environment are not for the servers of the tests, which are all on this machine.

Property tests choose the same examples at each `make test`, new ones at each `make fuzz`.

A test command that fails on one in a thousand runs says nothing of the change it was run for. What `make fuzz`
finds becomes an `@example`, which both then keep.
"""

import gc
import os
import signal
from pathlib import Path
from typing import Final

import pytest
from devtools import browser, tab
from hypothesis import HealthCheck, settings
from influx_servers import influx

__all__ = ["browser", "influx", "tab"]  # influx has kept what it needs of the environment

for variable in list(os.environ):
    if variable.lower().endswith("_proxy") or variable.startswith(("INFLUXDB_", "GRAFANA_")):
        del os.environ[variable]

# A shell that starts something in the background has it ignore Ctrl-C, and what that starts inherits this.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile(
    "random", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


# Modules that take longest, as `--durations=0` had it: they are begun first, so that none is left running at the end.
LONG: Final = (
    *("test_locust_run", "test_search_runs", "test_influx_runs", "test_docs", "test_web_form", "test_web_results_page", "test_faults"),
    *("test_campaign_run", "test_guard_runs", "test_content_runs", "test_adding_a_backend", "test_probe_runs", "test_arrival_faults", "test_distributed"),
    *("test_bench_peers", "test_arrival_runs", "test_squeezed", "test_decode", "test_many_workers", "test_scraper", "test_influx_faults"),
    *("test_package", "test_serve_backend", "test_run_maritaca", "test_run_tgi", "test_report_browser"),
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first; real servers of the machine's own size before them."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: (item.path.parent.name != "real", order.get(item.path.stem, len(order))))


def pytest_collection_finish() -> None:
    """What has been read stays for the whole run: no look at the garbage need go through it, and tests cause many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the simulator of this module writes the truth."""
    return tmp_path_factory.mktemp("simulator") / "truth.jsonl"
