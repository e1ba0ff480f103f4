"""What every test runs under: no proxy, examples of property tests that stay or change, a place for a server's log.

Nor an InfluxDB or Grafana that its user has. The proxies of the machine's environment are not for the servers of the tests, which are all on this machine.

Property tests choose the same examples at each `make test`, new ones at each `make fuzz`.

A test command that fails on one in a thousand runs says nothing of the change it was run for. What `make fuzz`
finds becomes an `@example`, which both then keep.
"""

import os
from pathlib import Path

import pytest
from devtools import browser, tab
from hypothesis import HealthCheck, settings
from influx_servers import influx

__all__ = ["browser", "influx", "tab"]  # influx has kept what it needs of the environment

for variable in list(os.environ):
    if variable.lower().endswith("_proxy") or variable.startswith(("INFLUXDB_", "GRAFANA_")):
        del os.environ[variable]

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile(
    "random", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the simulator of this module writes the truth."""
    return tmp_path_factory.mktemp("simulator") / "truth.jsonl"
