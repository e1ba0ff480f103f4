"""The page of results in a real Locust and a real Chromium: reports, comparisons, downloads, and what must not be had."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from bundled import RUN_ID, made
from compared import directory, two_levels
from devtools import Browser, Tab
from distributed_runs import BRISK, SMALL, VLLM
from exported_run import make
from locust_runs import simulator, until
from synthetic_run import run as synthetic
from web_site import Site, serving

from harness import cli
from harness.journal import pack
from harness.results import RunDirectory

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e\x1b[31m"
BASE, SLOWER = "20261120T100000Z-base-aaaaaa", "20261121T090000Z-slower-bbbbbb"
DAMAGED, CRASHED, HOSTILE = "20261119T100000Z-cut-c", "20261118T100000Z-gone-d", "20261117T100000Z-evil-e"
CAMPAIGNS = "night/runs/20261121T101500Z-x-1a2b3c"
SEEN = "new Promise((done) => { const look = () => (WHAT) ? done(true) : setTimeout(look, 20); look(); })"
OUTSIDE = """[...document.querySelectorAll("main *, #compare-bar *")].filter((one) => !one.closest(".wide"))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML.slice(0, 120))"""
# What a page that somebody else wrote would try.
TRIES = """<!doctype html><title>evil</title><script>
const said = [];
const tried = [];
try { document.cookie; said.push("cookie"); } catch (error) { tried.push(error.name); }
try { localStorage.x; said.push("storage"); } catch (error) { tried.push(error.name); }
fetch("/tokenswarm/results.json").then(() => said.push("fetched"), () => tried.push("fetch")).then(() =>
  fetch("/tokenswarm/compare.json", {method: "POST", body: "{}"}).then(() => said.push("posted"), () => tried.push("post")))
  .then(() => { document.title = JSON.stringify([self.origin, said, tried]); });
</script>"""


@dataclass
class Shown:
    """A Locust whose results directory holds runs of every kind; `slots` is for runs of its own."""

    site: Site
    folder: Path

    @property
    def results(self) -> Path:
        return self.site.results

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.site.at(path), timeout=30, allow_redirects=False, **more)

    def post(self, path: str, value: object) -> requests.Response:
        return requests.post(self.site.at(path), json=value, timeout=30)

    def job(self, path: str, value: object) -> Any:
        """A job to its end."""
        told = self.post(path, value)
        assert told.status_code == 202, told.text
        job = told.json()["job"]
        until(lambda: self.get(f"jobs/{job}.json").json()["state"] in {"done", "failed"})
        return self.get(f"jobs/{job}.json").json()

    def rows(self) -> dict[str, Any]:
        return {row["id"]: row for row in self.get("results.json").json()["rows"]}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("shown")
    results = folder / "results"
    made(folder)
    directory(results / BASE, two_levels("a"), run_name="nightly", labels={"gpu": "H100", "x": EVIL})
    directory(
        results / SLOWER,
        two_levels("b", ttft_ms=1.3),
        run_name=EVIL,
        labels={"gpu": "L4"},
        model=EVIL,
        text="pt",
    )
    (results / "night" / "runs").mkdir(parents=True)
    (results / "night" / "campaign.json").write_text("{}")
    make(results / "night" / "runs")
    (results / DAMAGED).mkdir()
    (results / DAMAGED / "run.json").write_text('{"schema": 1, ')
    crashed(results)
    directory(results / HOSTILE, two_levels("e"))
    (results / HOSTILE / "report.html").write_text(TRIES)
    (results / HOSTILE / "stolen.json").symlink_to("/etc/passwd")
    (results / "20261116T100000Z-link-f").symlink_to("/etc")
    (folder / "outside.json").write_text("{}")
    with simulator(*BRISK) as server, serving(folder, *SMALL, "--host", server.url, file=VLLM) as site:
        yield Shown(site, folder)


def crashed(results: Path) -> None:
    """A run whose process is gone: its journal, and nothing that is made of it."""
    records, windows = synthetic(levels=(2,), per_level=32, repeats=1)
    settings = {"seed": 7, "host": "http://127.0.0.1:1", "model": "m", "levels": [2]}
    run = RunDirectory.create(results, CRASHED, settings, len(records))
    for one in records:
        run.journal.append("record", pack(one, 0))
    for window in windows:
        run.journal.append("window", {name: getattr(window, name) for name in window.__slots__})
    run.journal.close()
    os.utime(run.path / "journal.jsonl", (1_790_000_000, 1_790_000_000))


def seen(tab: Tab, what: str) -> None:
    tab.run(SEEN.replace("WHAT", what))


def of(run: str, what: str) -> str:
    """An element of a run's row."""
    return f'document.querySelector(`tbody[data-id="{run}"] {what}`)'


def click(tab: Tab, element: str) -> None:
    seen(tab, element)
    tab.run(f"{element}.click()")


def test_the_list(shown: Shown) -> None:
    """Every run, the newest first, the damaged too; the same answer is not sent twice."""
    answer = shown.get("results.json")
    told = answer.json()
    ids = [row["id"] for row in told["rows"]]
    assert ids == [RUN_ID, CAMPAIGNS, SLOWER, BASE, DAMAGED, CRASHED, HOSTILE] or ids[:2] == [
        CAMPAIGNS,
        RUN_ID,
    ]
    assert (told["total"], told["own"], told["busy"], told["place"]) == (7, None, None, str(shown.results))
    states = {row["id"]: row["state"] for row in told["rows"]}
    assert (states[DAMAGED], states[CRASHED], states[BASE]) == ("damaged", "unfinished", "over")
    again = shown.get("results.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    late = shown.get("results.json?from=5", headers={"If-None-Match": answer.headers["ETag"]}).json()
    assert ([row["id"] for row in late["rows"]], late["total"]) == (ids[5:], 7)
    assert shown.get("results.json?from=-9").json()["rows"] == told["rows"]


def test_downloads_are_the_files(shown: Shown) -> None:
    """Byte for byte, as a download that nothing renders; also where report.html's own links lead."""
    for run in (RUN_ID, CAMPAIGNS):
        for one in shown.get(f"results/{run}/details.json").json()["files"]:
            whole = (shown.results / run / one["name"]).read_bytes()
            for path in (f"files/{one['name']}", one["name"]):
                got = shown.get(f"results/{run}/{path}")
                assert (got.content == whole, len(whole)) == (True, one["bytes"]), path
                assert got.headers["Content-Type"] == "application/octet-stream"
                assert got.headers["Content-Disposition"].startswith("attachment; filename=")
                assert got.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.json", "..%2foutside.json", "%2e%2e/files/outside.json", "%2e%2e%2ffiles%2foutside.json",
        f"{BASE}/files/../../../outside.json", f"{BASE}/files/..%2f..%2f..%2foutside.json", f"{BASE}/files/%2fetc%2fpasswd",
        f"{BASE}/files/run.json%00.html", f"{HOSTILE}/files/stolen.json", "20261116T100000Z-link-f/files/passwd",
        "20261116T100000Z-link-f/report", f"{CRASHED}/files/journal.jsonl", f"{BASE}/files/nothing.json", f"{BASE}/files/",
        "night/files/campaign.json", "night/runs/../campaign.json", "nothing/report", "nothing/details.json", f"{BASE}/report",
        "%ff/report", "%00/details.json",
    ],
)  # fmt: skip
def test_nothing_else_is_to_be_had(shown: Shown, path: str) -> None:
    """A 404, whatever way out of the directory is tried; redirects lead nowhere else."""
    request = requests.Request("GET", shown.site.at("results/")).prepare()
    request.url = f"{shown.site.at('results')}/{path}"  # as it is written
    with requests.Session() as session:
        got = session.send(request, timeout=30)
    assert got.status_code == 404, got.url
    assert b"root:" not in got.content


def test_a_report_is_shown_in_a_sandbox(shown: Shown, tab: Tab) -> None:
    """Ours draws and its link is a download; somebody else's runs, has no origin of ours, and reaches nothing."""
    tab.open(shown.site.at(f"results/{RUN_ID}/report"))
    seen(tab, "document.documentElement.dataset.plots === 'drawn'")
    assert tab.run("document.querySelectorAll('.plot svg').length") > 0
    assert (tab.run("self.origin"), tab.complaints) == ("null", [])
    tab.open(shown.site.at(f"results/{HOSTILE}/report"))
    seen(tab, "document.title.startsWith('[')")
    assert json.loads(tab.run("document.title")) == [
        "null",
        [],
        ["SecurityError", "SecurityError", "fetch", "post"],
    ]
    sandbox = shown.get(f"results/{HOSTILE}/report").headers["Content-Security-Policy"]
    assert sandbox.startswith("sandbox allow-scripts allow-downloads; default-src 'none';")


def test_read_search_and_unfold(shown: Shown, browser: Browser) -> None:
    """At both widths: figures of summary.json, hostile names as text, nothing outside the window."""
    for width in (1280, 390):
        with browser.tab() as tab:
            tab.view(width)
            tab.open(shown.site.at("results"))
            seen(tab, of(BASE, ".big"))
            level = json.loads((shown.results / BASE / "summary.json").read_bytes())["levels"]
            most = max(one["system_output_tokens_per_s"] for one in level)
            assert tab.run(of(BASE, ".big b") + ".textContent") == f"{most:.1f}"
            assert tab.run(of(SLOWER, ".name") + ".textContent").startswith(
                "<img src=x onerror=alert(1)><script>"
            )
            assert tab.run("document.querySelectorAll('main img, main tbody script').length") == 0
            click(tab, of(BASE, ".more"))
            seen(tab, of(BASE, "table.levels tbody tr"))
            cells = tab.run(f"[...{of(BASE, 'table.levels tbody tr')}.cells].map((one) => one.textContent)")
            assert cells[0] == "2 users"
            assert float(cells[2]) == pytest.approx(level[0]["system_output_tokens_per_s"], abs=0.051)
            assert tab.run(OUTSIDE) == []
            tab.run("(() => { const box = document.getElementById('results-search'); box.value = 'gpu=l4'; "
                    "box.dispatchEvent(new Event('input')); })()")  # fmt: skip
            assert tab.run("[...document.querySelectorAll('tbody.run')].map((one) => one.dataset.id)") == [
                SLOWER
            ]
            assert tab.run("document.getElementById('results-count').textContent") == "1 of 7 runs"
            assert [
                one for one in tab.complaints if "404 (NOT FOUND)" not in one
            ] == []  # a browser asks for an icon


def test_two_are_compared(shown: Shown, tab: Tab) -> None:
    """Refused in the command's words while a setting differs; then worse, as `tokenswarm compare` has it, with its page."""
    tab.open(shown.site.at("results"))
    for run in (BASE, SLOWER):
        click(tab, of(run, ".pick input"))
    click(tab, "document.getElementById('compare-go')")
    seen(tab, "document.querySelector('.refused')")
    assert "--allow-different" in tab.run("document.querySelector('.refused').textContent")
    click(tab, "document.querySelector('#compare-bar details input')")
    click(tab, "document.getElementById('compare-go')")
    seen(tab, "document.getElementById('compare-open')")
    assert tab.run("document.querySelector('#compare-outcome .pill').textContent") == "worse"
    said = tab.run("document.querySelector('#compare-outcome table').innerText")
    assert "TTFT p50" in said
    assert tab.run("document.querySelectorAll('main img').length") == 0
    page = tab.run("document.getElementById('compare-open').href")
    assert requests.get(page, timeout=30).headers["Content-Security-Policy"].startswith("sandbox ")
    tab.open(page)
    seen(tab, "document.documentElement.dataset.plots === 'drawn'")
    assert (tab.run("self.origin"), tab.complaints) == ("null", [])
    asked = {"base": BASE, "new": [SLOWER], "allow_different": True}
    again = shown.post("compare.json", asked).json()
    assert (again["state"], page.endswith(again["file"])) == ("done", True)  # it was kept
    turned = shown.job("compare.json", {"base": SLOWER, "new": [BASE], "allow_different": True})
    assert turned["outcome"] == "not worse"


def test_what_cannot_be_asked(shown: Shown) -> None:
    """Words, and no process is started."""
    for value, said in (
        ({"base": BASE, "new": ["../x"]}, "no run '../x'"),
        ({"base": BASE, "new": [BASE]}, "against itself"),
        ([1], "no JSON object"),
    ):
        got = shown.post("compare.json", value)
        assert (got.status_code, said in got.json()["problem"]) == (409, True), got.text
    assert requests.post(shown.site.at("compare.json"), data="{}", timeout=30).status_code == 415
    assert shown.get("compare.json").status_code == 405
    assert shown.get("jobs/999.json").status_code == shown.get("jobs/999/file").status_code == 404
    failed = shown.job(f"results/{DAMAGED}/report", {})
    assert (failed["state"], failed["file"]) == ("failed", None)
    assert "run.json: not JSON" in failed["said"]


def test_a_report_after_a_crash(shown: Shown, tab: Tab) -> None:
    """The button makes it of the journal, and the row then has it."""
    tab.open(shown.site.at("results"))
    assert shown.get(f"results/{CRASHED}/report").status_code == 404
    click(tab, of(CRASHED, ".buttons button"))
    seen(tab, of(CRASHED, ".report"))
    assert (
        shown.get(f"results/{CRASHED}/report").content
        == (shown.results / CRASHED / "report.html").read_bytes()
    )
    assert shown.rows()[CRASHED]["complete"] is False


def test_a_bundle(shown: Shown, tmp_path: Path) -> None:
    """It is what `tokenswarm bundle` makes, taken away once."""
    done = shown.job(f"results/{RUN_ID}/bundle", {})
    got = requests.get(f"http://127.0.0.1:{shown.site.port}{done['file']}", timeout=30)
    assert f'filename="{RUN_ID}.tar.gz"' in got.headers["Content-Disposition"]
    (tmp_path / "evidence.tar.gz").write_bytes(got.content)
    assert cli.main(["bundle", "--check", str(tmp_path / "evidence.tar.gz")]) == 0
    assert shown.get(f"jobs/{done['job']}/file").status_code == 404


def test_a_run_of_this_process_goes_first(shown: Shown, tab: Tab) -> None:
    """While it sends, nothing is begun and the page says why; when it is over, the page has it without being loaded again."""
    tab.open(shown.site.at("results"))
    seen(tab, of(BASE, ".big"))
    shown.site.swarm(user_count=2, spawn_rate=2)
    until(lambda: shown.get("results.json").json()["own"] is not None)
    told = shown.get("results.json").json()
    own = told["own"]
    assert (told["busy"], shown.rows()[own]["state"]) == ("local", "unfinished")
    for path, value in (
        ("compare.json", {"base": BASE, "new": [SLOWER]}),
        (f"results/{RUN_ID}/report", {}),
        (f"results/{own}/bundle", {}),
    ):
        got = shown.post(path, value)
        assert (got.status_code, "under way" in got.text or "being written" in got.text) == (409, True)
    seen(tab, of(own, ".pill") + "?.textContent === 'under way'")
    assert not tab.run("document.getElementById('results-busy').hidden")
    until(lambda: shown.site.stats()["stats"][-1]["num_requests"] > 5)
    shown.site.stop()
    seen(tab, of(own, ".report"))
    assert tab.run("document.getElementById('results-busy').hidden")
    summary = json.loads((shown.results / own / "summary.json").read_bytes())
    assert tab.run(of(own, ".verdict .pill") + ".textContent") == summary["verdict"]["status"]
    assert shown.get(f"results/{quote(own)}/report").status_code == 200
