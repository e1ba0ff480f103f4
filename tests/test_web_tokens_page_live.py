"""The page "Tokens" over a real sweep: two workers, the simulator, Chromium. Its table at the end is summary.json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from devtools import Tab
from distributed_runs import BRISK, SMALL, VLLM
from locust_runs import simulator, until
from test_web_tokens_page import cells, complaints, hidden, look_at, same, soon, text
from web_site import Site, serving

SWEEP: Final = ("--levels", "2,8", "--requests-per-level", "60", "--slo", "ttft_p95<2s")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Locust with two workers, about to sweep over 2 and 8 users."""
    with (
        simulator(*BRISK) as server,
        serving(
            tmp_path_factory.mktemp("tokens"),
            *("--host", server.url, *SMALL, *SWEEP),
            file=Path(VLLM),
            workers=2,
        ) as opened,
    ):
        yield opened


def summary(site: Site, number: int) -> Any:
    """Of the run of this number, once it is written."""
    until(lambda: len(site.runs) > number)
    return json.loads((site.runs[number] / "summary.json").read_bytes())


def test_a_sweep_is_watched_to_its_end(site: Site, tab: Tab) -> None:
    """Nothing, then lines that grow, a table that fills in, workers; at the end every number is summary.json's."""
    tab.open(site.at("tokens"))
    soon(tab, "!document.getElementById('none').hidden")
    site.swarm(user_count=1, spawn_rate=20, run_name="watched")
    soon(tab, "!document.getElementById('live').hidden")
    look_at(tab, "rates")
    before = tab.run("document.getElementById('chart-rates').data[0].x.length")
    soon(tab, f"document.getElementById('chart-rates').data[0].x.length > {before}")
    assert text(tab, "title") == "watched"
    assert text(tab, "workers-count") == "2 of 2"
    soon(
        tab,
        "[...document.querySelectorAll('#level-table .now td')].some((cell) => Number(cell.innerText) > 0)",
    )
    assert [row["level"] for row in cells(tab)] == ["2", "8"]
    assert text(tab, "where").startswith("step ")
    soon(tab, "document.getElementById('tokens').dataset.state === 'over'")
    told = summary(site, 0)
    table = cells(tab)
    for row, level in zip(table, told["levels"], strict=True):
        same(row, level)
        assert row["cells"]["ok/all"][:2] == [f"{level['succeeded']}/{level['requests']}"] * 2
        assert float(row["cells"]["goodput.share"][1]) == level["goodput"]["share"]
        assert row["cells"]["slo"][0] == "yes"
    assert text(tab, "verdict") == f"verdict: {told['verdict']['status']}"
    assert text(tab, "tile-requests") == f"{told['totals']['succeeded']:,}"
    assert tab.run("document.getElementById('chart-rates').data[0].y.some((rate) => rate > 50)")
    assert tab.run("fetch(document.getElementById('report').href).then((answer) => answer.status)") == 200
    assert complaints(tab) == []


def test_its_stop_button_stops(site: Site, tab: Tab) -> None:
    """A run without an end of its own, stopped by a click; the page says what it waits for, and shows what there is."""
    number = len(site.runs)
    site.swarm(user_count=1, spawn_rate=20, run_name="stopped", levels="4", requests_per_level="5000")
    tab.open(site.at("tokens"))
    soon(tab, "document.getElementById('tokens').dataset.state === 'running'")
    soon(tab, "Number(document.getElementById('tile-requests').innerText) > 8")
    assert not hidden(tab, "stop")
    tab.run("document.getElementById('stop').click()")
    soon(tab, "document.getElementById('tokens').dataset.state === 'over'")
    told = summary(site, number)
    assert 8 < told["totals"]["succeeded"] < 5000
    assert text(tab, "tile-requests") == f"{told['totals']['succeeded']:,}"
    (row,) = cells(tab)
    same(row, told["levels"][0])
    assert hidden(tab, "stop")
    assert complaints(tab) == []
