"""What every test runs under: no proxy, examples of property tests that stay or change, a place for a server's log.

Nor an InfluxDB or Grafana that its user has. The proxies of the machine's environment are not for the servers of the tests, which are all on this machine.

Property tests choose the same examples at each `make test`, new ones at each `make fuzz`.

A test command that fails on one in a thousand runs says nothing of the change it was run for. What `make fuzz`
finds becomes an `@example`, which both then keep.
"""

import os
from fnmatch import fnmatch
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

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile(
    "random", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


# Modules whose tests may go on beside others: what they look at is the same on a busy machine. All others go one after
# another, since a real run that is squeezed says so, and a stamp that is late is late.
BESIDE: Final = (
    *("test_web_*", "test_chat*", "test_by_hand", "test_allowed_hosts", "test_key_origin", "test_pulse"),
    *(
        "test_report_*",
        "test_compare*",
        "test_export*",
        "test_bundle*",
        "test_docs",
        "test_*_doc",
        "test_*_docs",
    ),
    *(
        "test_architecture",
        "test_options",
        "test_campaign_table",
        "test_texts",
        "test_prefixes",
        "test_prompts",
    ),
    *(
        "test_fuzz",
        "test_breaker",
        "test_id_prompts",
        "test_segment",
        "test_plan",
        "test_datasets*",
        "test_traces",
    ),
    *(
        "test_briefing",
        "test_walks",
        "test_hearsay",
        "test_figure_columns",
        "test_known_costs",
        "test_package",
        "test_init",
    ),
    *("test_adding_a_backend", "test_reproduce", "test_influx_po*", "test_influx_tally", "test_search"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them (`-m beside`); tests/all.sh has more of it."""
    for item in items:
        if any(fnmatch(item.path.stem, name) for name in BESIDE) and item.path.parent.name != "real":
            item.add_marker("beside")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the simulator of this module writes the truth."""
    return tmp_path_factory.mktemp("simulator") / "truth.jsonl"
