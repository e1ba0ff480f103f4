"""Who may come into the web UI without a login: real processes, and a real browser that has another site open."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
import requests
from devtools import Tab
from locust_runs import start, until
from web_door import SECRET, locustfile
from web_site import Site, serving

from harness import ports
from harness.servers.process import free_port
from harness.web.guard import MOST_BYTES

EVIL: Final = "https://evil.example"
FRIEND: Final = "https://load.example.com"
OPEN: Final = {"TOKENSWARM_WEB_ORIGINS": f"{FRIEND}, http://127.0.0.1:1"}
SWARM: Final = {"user_count": 1, "spawn_rate": 1}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One with a page of its own, at home."""
    folder = tmp_path_factory.mktemp("guard")
    with serving(folder, file=locustfile(folder)) as served:
        yield served


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One at all interfaces, with origins that are named, below a base path."""
    folder = tmp_path_factory.mktemp("abroad")
    with serving(folder, "--web-host", "*", file=locustfile(folder), base="/a", env=OPEN) as served:
        yield served


def state(site: Site) -> tuple[str, int]:
    """Whether a run is under way, and with how many users."""
    stats = site.stats()
    return stats["state"], stats["user_count"]


# --- where it listens


# Locust patches the process that imports it, so its parser runs in one of its own.
READER: Final = """
import json, os, pathlib, sys
import harness.plugin
from locust.argument_parser import get_parser
found = []
for words, variable, file in json.load(sys.stdin):
    os.environ.update({"LOCUST_WEB_HOST": variable} if variable is not None else {})
    pathlib.Path("locust.conf").write_text(file)
    found.append(get_parser().parse_args(words).web_host)
    os.environ.pop("LOCUST_WEB_HOST", None)
print(json.dumps(found))
"""


def test_it_stays_at_home_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    """As Locust's own option, variable and file say."""
    cases: list[tuple[list[str], str | None, str, str]] = [
        ([], None, "", "127.0.0.1"),
        (["--web-host", "*"], None, "", "*"),
        (["--web-host", ""], None, "", ""),
        ([], "0.0.0.0", "", "0.0.0.0"),
        ([], None, "web-host = 192.0.2.7\n", "192.0.2.7"),
        (["--web-host", "::1"], "0.0.0.0", "web-host = 192.0.2.7\n", "::1"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps([case[:3] for case in cases]),
        env={name: value for name, value in os.environ.items() if "LOCUST" not in name},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert json.loads(done.stdout) == [case[3] for case in cases]


def answers(address: str, port: int) -> bool:
    """A page is there."""
    try:
        return requests.get(f"http://{address}:{port}/", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_other_machines_do_not_reach_it(tmp_path: Path) -> None:
    """A real one without --web-host is at 127.0.0.1, and at no other address of this machine; it has nothing to warn of."""
    port = free_port()
    process = start(
        locustfile(tmp_path), tmp_path / "results", "--web-port", str(port), "--host", "http://127.0.0.1:9"
    )
    try:
        until(lambda: answers("127.0.0.1", port))
        assert not answers("127.0.0.2", port)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert f"Starting web interface at http://127.0.0.1:{port}" in err
    assert "warning" not in err


def test_who_opens_it_is_told_so(abroad: Site) -> None:
    """One line, with what to do about it; Locust's `*` is all interfaces as ever."""
    assert answers("127.0.0.2", abroad.port) is False  # no such page: it is below /a
    assert requests.get(f"http://127.0.0.2:{abroad.port}/a/", timeout=5).ok
    (line,) = (line for line in abroad.said.splitlines() if "warning" in line)
    assert line == (
        f"tokenswarm: warning: the web UI asks for no login, and other machines may reach it (all interfaces, port {abroad.port}): "
        "whoever does can start runs with this process's keys; add --web-login (docs/web-ui.md), or --web-host 127.0.0.1"
    )


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *((host, True) for host in ("127.0.0.1", "127.3.4.5", "localhost", "::1")),
        *((host, False) for host in ("", "0.0.0.0", "::", "192.0.2.7", "nowhere.invalid")),
    ],
)
def test_what_is_home(host: str, is_local: bool) -> None:
    """Loopback addresses, and names that lead to nothing else."""
    assert ports.is_local(host) is is_local


# --- where requests come from


@pytest.mark.parametrize("path", ["swarm", "stop", "stats/reset", "user", "own/size", "no/such/page"])
def test_another_sites_requests_are_refused(site: Site, path: str) -> None:
    """Locust's routes, the locustfile's, and what is no route; with a line that names the origin and the variable."""
    for headers in (
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Referer": f"{EVIL}/x"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = requests.post(f"{site.url}/{path}", data=SWARM, headers=headers, timeout=10)
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/plain; charset=utf-8")
        assert answer.text.startswith("refused: it comes from ")
        assert next(iter(headers.values())) in answer.text
        assert "TOKENSWARM_WEB_ORIGINS=https://" in answer.text
        assert answer.text.count("\n") == 1
    assert state(site) == ("ready", 0)


def test_this_pages_requests_and_programs_are_answered(site: Site) -> None:
    """By any name of this machine."""
    for headers in (
        {},
        {"Origin": site.url, "Sec-Fetch-Site": "same-origin"},
        {"Host": f"localhost:{site.port}", "Origin": f"http://localhost:{site.port}"},
    ):
        assert requests.post(f"{site.url}/own/size", data="four", headers=headers, timeout=5).text == "4"
    assert requests.post(f"{site.url}/stats/reset", timeout=5).text == "ok"
    for path in (
        "stop",
        "stats/reset",
        "swarm",
        "user",
    ):  # what changes something is no GET, so the guard sees all of it
        assert requests.get(f"{site.url}/{path}", timeout=5).status_code == 405
        assert "POST" in requests.get(f"{site.url}/{path}", timeout=5).headers["Allow"]


def test_another_sites_name_for_this_machine(site: Site, abroad: Site) -> None:
    """It is no name of ours; where there are proxies it can be made one."""
    for path in ("/", "/stats/requests", "/tokenswarm/tokens", "/login", "/own/size"):
        answer = requests.get(site.url + path, headers={"Host": "evil.example"}, timeout=5)
        assert (answer.status_code, "'evil.example' is no name of this page" in answer.text) == (403, True)
    for host, status in (("load.example.com", 200), ("192.0.2.7:8089", 200), ("evil.example", 403)):
        assert requests.get(f"{abroad.url}/", headers={"Host": host}, timeout=5).status_code == status


def test_an_origin_that_is_named_is_let_in(abroad: Site) -> None:
    """It may change things and read answers; others may not, with its name in their hands either."""
    size = f"{abroad.url}/own/size".replace("/a/own", "/own")
    friend = requests.post(
        size, data="four", headers={"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}, timeout=5
    )
    assert (friend.text, friend.headers["Access-Control-Allow-Origin"]) == ("4", FRIEND)
    assert "Origin" in friend.headers["Vary"]
    preflight = requests.options(
        size, headers={"Origin": FRIEND, "Access-Control-Request-Method": "POST"}, timeout=5
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == FRIEND
    foe = requests.post(size, data="four", headers={"Origin": EVIL, "Referer": FRIEND}, timeout=5)
    assert foe.status_code == 403
    assert "Access-Control-Allow-Origin" not in foe.headers


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/stats/requests",
        "/exceptions",
        "/logs",
        "/stats/report",
        "/tokenswarm/tokens",
        "/own/crash",
        "/no",
    ],
)
def test_answers_are_for_this_page_alone(site: Site, path: str) -> None:
    """No other site may read them, frame them or take them for what they are not."""
    for headers in ({}, {"Origin": EVIL}, {"Origin": site.url}):
        answer = requests.get(site.url + path, headers=headers, timeout=10)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "same-origin"
    preflight = requests.options(
        site.url + path, headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"}, timeout=5
    )
    assert not [name for name in preflight.headers if name.lower().startswith("access-control-")]


# --- errors, and what is too long


def test_an_error_is_one_line(site: Site) -> None:
    """The rest is in the log: neither a traceback nor what the exception said gets to a browser."""
    crashed = requests.get(f"{site.url}/own/crash", timeout=5)
    assert (crashed.status_code, crashed.text) == (
        500, "500: something went wrong in this process; its log says what\n",
    )  # fmt: skip
    until(lambda: SECRET in site.said)
    assert "GET /own/crash failed: Traceback" in site.said
    odd = requests.post(f"{site.url}/user", data="<script>", timeout=5)
    assert (odd.status_code, "Traceback" in odd.text, "<" in odd.text) == (400, False, False)
    missing = requests.get(f"{site.url}/own/missing", timeout=5)
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert missing.text.startswith("404 Not Found: The requested URL was not found")
    assert SECRET not in crashed.text + odd.text + json.dumps(dict(crashed.headers))
    assert requests.get(f"{site.url}/", timeout=5).ok


def test_what_is_too_long(site: Site) -> None:
    """4 MB pass, a byte more does not; nor does what does not say how long it is."""
    size = f"{site.url}/own/size"
    assert requests.post(size, data=b"x" * MOST_BYTES, timeout=20).text == str(MOST_BYTES)
    with requests.Session() as session:  # the connection is good for more
        long = session.post(size, data=b"x" * (MOST_BYTES + 1), timeout=20)
        assert (long.status_code, long.text) == (
            413,
            f"refused: a request may have {MOST_BYTES} bytes at most\n",
        )
        assert session.get(f"{site.url}/", timeout=5).ok
    unbounded = requests.post(size, data=iter([b"a", b"b"]), timeout=5)
    assert (unbounded.status_code, "Content-Length" in unbounded.text) == (411, True)


# --- a browser that has another site open

_PAGE: Final = """<!doctype html><title>elsewhere</title><script>
const home = HOME;
const tried = async (how) => { try { return await how(); } catch { return "refused"; } };
const image = (path) => new Promise(done => {
  const one = new Image(); one.onload = () => done("shown"); one.onerror = () => done("refused"); one.src = home + path;
});
const script = (path) => new Promise(done => {
  const one = document.createElement("script"); one.onload = () => done("run"); one.onerror = () => done("refused");
  one.src = home + path; document.head.append(one);
});
const form = new URLSearchParams({user_count: 1, spawn_rate: 1, host: "http://127.0.0.1:9"});
window.attack = async () => ({
  read: await tried(async () => (await fetch(home + "/stats/requests")).text()),
  ours: await tried(async () => (await fetch(home + "/tokenswarm/tokens")).text()),
  post: await tried(async () => (await fetch(home + "/swarm", {method: "POST", body: form})).text()),
  json: await tried(async () => (await fetch(home + "/swarm", {method: "POST", body: "{}", headers: {"Content-Type": "application/json"}})).text()),
  blind: await tried(async () => (await fetch(home + "/swarm", {method: "POST", mode: "no-cors", body: form})).type),
  stop: await image("/stop"), asset: await image("/assets/favicon-light.png"), script: await script("/stats/requests"),
});
</script><form id=f method=post action="HOME_PLAIN/swarm"><input name=user_count value=1><input name=spawn_rate value=1></form>"""


@contextmanager
def elsewhere(home: str) -> Iterator[str]:
    """Another site on this machine: the worst case, since to a browser it is the same site with another origin."""
    page = _PAGE.replace("HOME_PLAIN", home).replace("HOME", json.dumps(home)).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_another_site_in_the_same_browser(site: Site, tab: Tab) -> None:
    """It can neither read nor change anything, by whatever a page has: fetch, images, scripts, forms. Our own page can."""
    with elsewhere(site.url) as address:
        tab.open(address)
        done = tab.run("attack()")
        tries = ("read", "ours", "post", "json", "blind", "stop", "asset", "script")
        assert done == dict.fromkeys(tries, "refused")
        assert state(site) == ("ready", 0)
        tab.run("document.getElementById('f').submit()")
        until(lambda: bool(tab.run("location.pathname") == "/swarm" and tab.run("document.body?.innerText")))
        assert tab.run("document.body.innerText").startswith("refused: it comes from ")
        assert state(site) == ("ready", 0)
    tab.open(f"{site.url}/")
    own = "fetch('/own/size', {method: 'POST', body: 'four'}).then(answer => answer.text())"
    assert tab.run(own) == "4"
    # The refusal is plain text, for which browsers ask for an icon.
    assert [one for one in tab.complaints if "404 (NOT FOUND)" not in one] == []
