"""The bar above Locust's page: in a real Locust, with and without a Grafana, below a base path, and in a browser."""

import re
from pathlib import Path
from typing import Final

import pytest
import requests
from devtools import Tab
from web_site import serving

GRAFANA: Final = {
    "GRAFANA_URL": "https://grafana.example",
    **{
        f"INFLUXDB_{name}": "http://127.0.0.1:9" if name == "URL" else "a"
        for name in ("URL", "TOKEN", "ORG", "BUCKET")
    },
}
DASHBOARD: Final = "https://grafana.example/d/tokenswarm-live/live-run?var-run=a&from=1&to=now"
# A run that is over, of which nothing is known but its link.
LINKED: Final = """
from types import SimpleNamespace as Thing
from locust import constant, events, task
from harness import plugin
from harness.users import LLMUser

class Reader(LLMUser):
    backend = "openai"
    @task
    def read(self): self.ask()

@events.init.add_listener
def init(environment, **_):
    plugin._SESSIONS[environment].run = Thing(watch=Thing(link="{link}"), is_over=True, exit_code=None)
"""
BAR: Final = re.compile(r'<nav id="tokenswarm-bar".*?</nav>', re.DOTALL)
HREF: Final = re.compile(r'<a href="([^"]+)"')


@pytest.mark.parametrize("base", ["", "/load/a"])
def test_it_leads_to_every_page(tmp_path: Path, base: str) -> None:
    """Locust's page has it once, each of its links answers, and nothing else of Locust's is touched."""
    with serving(tmp_path, base=base) as site:
        page = requests.get(f"{site.url}/", timeout=5)
        (bar,) = BAR.findall(page.text)
        assert page.headers["Content-Length"] == str(len(page.content))
        assert page.text.rstrip().endswith("</body>\n</html>")
        links = HREF.findall(bar)
        assert links == [f"{base}/", *(f"{base}/tokenswarm/{name}" for name in ("tokens", "chat", "results"))]
        for link in links:
            assert requests.get(requests.compat.urljoin(page.url, link), timeout=5).status_code == 200, link
        for path in ("/stats/requests", "/exceptions", "/tasks", "/logs", "/stats/report"):
            other = requests.get(site.url + path, timeout=5)
            assert (other.status_code, "tokenswarm-bar" in other.text) == (200, False), path
        if base:
            assert (
                requests.get(f"http://127.0.0.1:{site.port}/tokenswarm/tokens", timeout=5).status_code == 404
            )


def test_its_files_are_ours(tmp_path: Path) -> None:
    """Plotly's JavaScript and the style sheets come from this process; a name that is no file is a 404, and so is a path."""
    with serving(tmp_path) as site:
        library = requests.get(site.at("assets/plotly.js"), timeout=20)
        assert (library.status_code, library.headers["Content-Type"]) == (200, "text/javascript")
        assert len(library.content) > 4_000_000
        sheet = requests.get(site.at("assets/site.css"), timeout=5)
        assert (sheet.status_code, "css" in sheet.headers["Content-Type"]) == (200, True)
        for name in ("nothing.js", "..%2fsite.py", "%2e%2e/site.py", ""):
            assert requests.get(site.at(f"assets/{name}"), timeout=5).status_code == 404


def test_the_dashboard_only_where_there_is_one(tmp_path: Path) -> None:
    """With a Grafana the bar has its link, which says that no run has begun; without one there is no link."""
    with serving(tmp_path) as site:
        assert "tokenswarm-dashboard" not in requests.get(f"{site.url}/", timeout=5).text
    with serving(tmp_path, env=GRAFANA) as site:
        assert "tokenswarm-dashboard" in requests.get(f"{site.url}/", timeout=5).text
        none = requests.get(site.at("dashboard"), timeout=5, allow_redirects=False)
        assert (none.status_code, "No run has begun yet" in none.text) == (404, True)


def test_the_link_goes_where_the_run_is_now(tmp_path: Path) -> None:
    """Its address is not in the page, which outlives runs, but where a route of ours leads."""
    file = tmp_path / "linked.py"
    file.write_text(LINKED.replace("{link}", DASHBOARD))
    with serving(tmp_path, file=file, env=GRAFANA) as site:
        assert "grafana.example" not in requests.get(f"{site.url}/", timeout=5).text
        some = requests.get(site.at("dashboard"), timeout=5, allow_redirects=False)
        assert (some.status_code, some.headers["Location"]) == (302, DASHBOARD)


def test_in_a_browser(tmp_path: Path, tab: Tab) -> None:
    """Locust's application renders as ever below it."""
    with serving(tmp_path) as site:
        tab.open(f"{site.url}/")
        tab.run(
            "new Promise(done => { const look = () => document.querySelector('form') ? done() : setTimeout(look, 50); look(); })"
        )
        assert "Start new load test" in tab.run("document.getElementById('root').innerText")
        assert tab.run("document.getElementById('tokenswarm-bar').innerText").split() == [
            *("tokenswarm", "Locust", "Tokens", "Chat", "Results")
        ]
        assert tab.complaints == []
