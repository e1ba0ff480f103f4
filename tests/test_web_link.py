"""The link on Locust's page: in a real Locust, with and without a login, below a base path, and in a browser where there is one."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import requests
from locust_runs import until

from harness.grafana.web_link import ROUTE
from harness.servers.process import free_port

LOCUSTFILE: Final = """
import os
from flask import redirect
from flask_login import UserMixin, login_user
from locust import User, constant, events, task
from harness.grafana import web_link

class Nobody(User):
    wait_time = constant(1)
    @task
    def nothing(self): pass

class Somebody(UserMixin):
    def get_id(self): return "me"

@events.init.add_listener
def init(environment, web_ui, **_):
    place = os.environ["PLACE"]
    def link():
        return open(place).read() if os.path.exists(place) else None
    web_link.add(web_ui, link, environment.parsed_options.web_base_path)
    if web_ui.web_login:
        web_ui.app.config["SECRET_KEY"] = "canary"
        web_ui.login_manager.user_loader(lambda _: Somebody())
        web_ui.auth_args = {"username_password_callback": "/in"}
        @web_ui.app.route("/in")
        def come_in():
            login_user(Somebody())
            return redirect("/")
"""
DASHBOARD: Final = "https://grafana.example/d/tokenswarm-live/live-run?var-run=a&from=1&to=now"
ANCHOR: Final = re.compile(r'<a id="tokenswarm-dashboard" href="([^"]+)"')


@contextmanager
def locust(folder: Path, *arguments: str) -> Iterator[str]:
    """Locust's page, whose link leads to what stands in folder/link."""
    port = free_port()
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    command = [sys.executable, "-m", "locust", "-f", str(folder / "locustfile.py"), "--web-host", "127.0.0.1"]
    environment = {"PATH": "", "PLACE": str(folder / "link"), "PYTHONPATH": str(Path(__file__).parent.parent)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--web-port", str(port), *arguments], env=environment, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return requests.get(url, timeout=5).status_code > 0
        except requests.ConnectionError:
            return False

    try:
        until(up)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_the_link_goes_where_the_run_is_now(tmp_path: Path) -> None:
    """The page has it once, and it leads on to whatever `link` says at that moment; nothing else of the page changes."""
    with locust(tmp_path) as url:
        page = requests.get(f"{url}/", timeout=5)
        (href,) = ANCHOR.findall(page.text)
        assert href == f".{ROUTE}"
        assert page.headers["Content-Length"] == str(len(page.content))
        assert page.text.rstrip().endswith("</body>\n</html>")
        target = requests.compat.urljoin(page.url, href)
        none = requests.get(target, timeout=5, allow_redirects=False)
        assert (none.status_code, "No run has begun yet" in none.text) == (404, True)
        (tmp_path / "link").write_text(DASHBOARD)
        some = requests.get(target, timeout=5, allow_redirects=False)
        assert (some.status_code, some.headers["Location"]) == (302, DASHBOARD)
        for path in ("/stats/requests", "/exceptions", "/tasks", "/logs", "/stats/report"):
            other = requests.get(url + path, timeout=5)
            assert (other.status_code, "tokenswarm-dashboard" in other.text) == (200, False), path


def test_below_a_base_path(tmp_path: Path) -> None:
    """`--web-base-path`: page and link are both below it."""
    (tmp_path / "link").write_text(DASHBOARD)
    with locust(tmp_path, "--web-base-path", "/load/a") as url:
        page = requests.get(f"{url}/load/a/", timeout=5)
        target = requests.compat.urljoin(page.url, ANCHOR.findall(page.text)[0])
        assert target == f"{url}/load/a{ROUTE}"
        assert requests.get(target, timeout=5, allow_redirects=False).headers["Location"] == DASHBOARD
        assert requests.get(url + ROUTE, timeout=5).status_code == 404


def test_the_login_guards_it(tmp_path: Path) -> None:
    """With --web-login nobody learns where the dashboard is who has not logged in."""
    (tmp_path / "link").write_text(DASHBOARD)
    with locust(tmp_path, "--web-login") as url, requests.Session() as browser:
        for path in ("/", ROUTE):
            answer = browser.get(url + path, timeout=5, allow_redirects=False)
            assert (answer.status_code, "grafana.example" in answer.text) == (302, False)
            assert answer.headers["Location"].startswith("/login")
        assert not ANCHOR.search(browser.get(f"{url}/login", timeout=5).text)
        assert ANCHOR.search(browser.get(f"{url}/in", timeout=5).text)
        assert browser.get(url + ROUTE, timeout=5, allow_redirects=False).headers["Location"] == DASHBOARD


CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `apt-get install chromium`")
def test_in_a_browser(tmp_path: Path) -> None:
    """Locust's application renders as ever, and the link stands outside of what it renders."""
    with locust(tmp_path) as url:
        done = subprocess.run(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'browser'}",
                "--virtual-time-budget=8000",
                "--dump-dom",
                f"{url}/",
            ],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    assert "Start new load test" in done.stdout, done.stderr[-500:]
    assert len(ANCHOR.findall(done.stdout)) == 1
    root, outside = done.stdout.split('<a id="tokenswarm-dashboard"')
    assert "Start new load test" in root
    assert outside.endswith(">Grafana</a>\n</body></html>\n")
