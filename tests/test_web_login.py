"""`--web-login` out of the box: who may come in, what is open without, and what ends the process before a page is served."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import gevent
import pytest
import requests
from devtools import Tab
from locust_runs import ROOT, start, until
from web_door import HASH, PASSWORD, locustfile, password_hash, rules
from web_site import Site, serving
from werkzeug.security import check_password_hash, generate_password_hash

from harness import cli, invocation
from harness.errors import ConfigError
from harness.hiding import Hider
from harness.servers.process import free_port
from harness.web import login
from harness.web.login import Guests, Turnstile, read

WRONG: Final = "Wrong user or password."
PROXY: Final = {"TOKENSWARM_WEB_ORIGINS": "https://load.example.com"}
# What anybody may ask for, and why.
OPEN: Final = {
    "/login": "the page that asks for the password",
    "/tokenswarm/login": "what it sends that to",
    "/tokenswarm/logout": "leads to the login; there is nothing to leave",
    "/assets/<path:path>": "the login page's script and icons: files of Locust's package, the same everywhere",
    "/static/<path:filename>": "Flask's own route to a folder that Locust's package does not have: never anything but 404",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One with a login, user `lt`, behind a proxy too."""
    folder = tmp_path_factory.mktemp("login")
    given = {HASH: password_hash(), "TOKENSWARM_WEB_USER": "lt", **PROXY}
    with serving(folder, "--web-login", file=locustfile(folder), env=given) as served:
        yield served


@pytest.fixture(scope="module")
def inside(site: Site) -> Iterator[requests.Session]:
    """Somebody who is in."""
    with requests.Session() as session:
        assert log_in(site, session).url == f"{site.url}/"
        yield session


def log_in(
    site: Site, session: requests.Session, user: str = "lt", password: str = PASSWORD, **more: str
) -> requests.Response:
    """Fill in the form."""
    return session.post(site.at("login"), data={"username": user, "password": password, **more}, timeout=60)


def pages(site: Site, inside: requests.Session) -> list[str]:
    """Our pages that are there whatever has been run."""
    found = [
        path
        for path, methods, _ in rules(site.url, inside)
        if "GET" in methods and not {"<", "."} & set(path)
    ]
    return [path for path in found if path.startswith("/tokenswarm/") and path != "/tokenswarm/dashboard"]


# --- what is behind it


def test_everything_asks_for_the_login(site: Site, inside: requests.Session) -> None:
    """Every route of the process, with every method it has, but for those that are listed; inside they are others' business."""
    asked = 0
    found = rules(site.url, inside)
    assert {path for path, _, _ in found} >= {
        "/",
        "/swarm",
        "/logs",
        "/own/rules",
        *OPEN,
    }
    for path, methods, _ in found:
        if path in OPEN:
            continue
        address = site.url + re.sub(r"<[^>]+>", "x", re.sub(r"<(int|float):[^>]+>", "1", path))
        for method in set(methods) - {"OPTIONS"}:  # which says no more than what methods there are
            answer = requests.request(method, address, timeout=10, allow_redirects=False)
            leads = answer.status_code == 302 and answer.headers["Location"] == "/login"
            assert leads or answer.status_code == 401, (method, path, answer.status_code)
            assert len(answer.content) < 100, (method, path)
            asked += 1
    assert asked > 25
    assert all(
        requests.get(f"{site.url}/static/{name}", timeout=5).status_code == 404 for name in ("a", "../web.py")
    )
    for path in ("/assets/../index.html", "/assets/%2e%2e/auth.html", "/assets/..%2f..%2f..%2fweb.py"):
        assert requests.get(site.url + path, timeout=5).status_code == 404


def test_inside_all_of_it_is_there(site: Site, inside: requests.Session) -> None:
    """Locust's page with our bar, our pages, the statistics; a script that is not in is told where to log in."""
    page = inside.get(f"{site.url}/", timeout=5)
    assert 'action="/tokenswarm/logout"' in page.text
    for path in ("/stats/requests", "/stats/report", *pages(site, inside)):
        assert inside.get(site.url + path, timeout=10).status_code == 200, path
    refused = requests.post(f"{site.url}/swarm", data={"user_count": 1, "spawn_rate": 1}, timeout=5)
    assert (refused.status_code, refused.json()) == (401, {"error": "log in first: /login"})
    assert inside.get(f"{site.url}/stats/requests", timeout=5).json()["state"] == "ready"


def test_errors_behind_it_are_errors(site: Site, inside: requests.Session) -> None:
    """Locust's own answer would be status 200 with the exception's text."""
    crashed = inside.get(f"{site.url}/own/crash", timeout=5)
    assert (crashed.status_code, crashed.text) == (
        500,
        "500: something went wrong in this process; its log says what\n",
    )
    missing = inside.get(f"{site.url}/own/missing", timeout=5)
    assert (missing.status_code, missing.text) == (404, "404 Not Found\n")


def test_who_has_come_or_gone_stays_so(site: Site, inside: requests.Session) -> None:
    """No answer brings a cookie but that to a login or a logout: one that is late would put back who one was before."""
    with requests.Session() as session:
        log_in(site, session)
        before = dict(session.cookies)
        left = session.post(site.at("logout"), timeout=5, allow_redirects=False)
        assert len(left.raw.headers.getlist("Set-Cookie")) == 1
        assert not session.cookies
    for cookies in (dict(inside.cookies), before, {}):
        for path in ("/", "/login", "/login?said=wrong", "/stats/requests", "/tokenswarm/tokens.json"):
            answer = requests.get(f"{site.url}{path}", cookies=cookies, timeout=5, allow_redirects=False)
            assert "Set-Cookie" not in answer.headers, path
            assert "Cookie" in answer.headers["Vary"], path
    assert inside.get(f"{site.url}/own/size", timeout=5).text == "0"


@pytest.mark.parametrize(
    ("said", "words"), [("wrong", WRONG), ("busy", "Too many attempts at once."), ("out", "Logged out.")]
)
def test_what_the_login_page_says(site: Site, said: str, words: str) -> None:
    """Is in its address, as one of three words, and said to nobody else."""
    assert words in requests.get(f"{site.url}/login?said={said}", timeout=5).text
    for other in ("", "?said=", "?said=%3Cb%3E", f"?said={said}x", f"?{said}"):
        page = requests.get(f"{site.url}/login{other}", timeout=5)
        assert page.status_code == 200
        assert words not in page.text
        assert "<b>" not in page.text


# --- coming in, and leaving


@pytest.mark.parametrize(
    ("user", "password"), [("lt", "wrong"), ("lt", ""), ("admin", PASSWORD), ("LT", PASSWORD), ("", ""), ("lt", PASSWORD + " ")]
)  # fmt: skip
def test_whoever_is_wrong_stays_out(site: Site, user: str, password: str) -> None:
    """The same words whatever is wrong, on the login page; and nothing is open afterwards."""
    with requests.Session() as session:
        refused = log_in(site, session, user, password)
        assert refused.url == f"{site.url}/login?said=wrong"
        assert WRONG in refused.text
        assert session.get(f"{site.url}/own/size", timeout=5, allow_redirects=False).status_code == 302
        log_in(site, session)  # and starts afresh: the next one does not wait


def test_it_leads_to_the_page_and_nowhere_else(site: Site) -> None:
    """Whatever an address asks for."""
    with requests.Session() as session:
        answer = session.post(
            site.at("login?next=https://evil.example"),
            data={"username": "lt", "password": PASSWORD, "next": "//evil.example"},
            headers={"Referer": f"{site.url}/login?next=https://evil.example"},
            timeout=20,
            allow_redirects=False,
        )
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        outside = requests.get(f"{site.url}//evil.example/", timeout=5, allow_redirects=False)
        assert not outside.headers.get("Location", "").startswith("//")
    foreign = requests.post(
        site.at("login"),
        data={"username": "lt", "password": PASSWORD},
        headers={"Origin": "https://evil.example"},
        timeout=5,
    )
    assert foreign.status_code == 403


def test_the_cookie(site: Site) -> None:
    """Out of scripts' reach, not for other sites, of this port; by TLS alone where a proxy speaks it. It says nothing."""
    for host, is_secure in ((f"127.0.0.1:{site.port}", False), ("load.example.com", True)):
        answer = requests.post(
            site.at("login"),
            data={"username": "lt", "password": PASSWORD},
            headers={"Host": host},
            timeout=20,
            allow_redirects=False,
        )
        (cookie,) = answer.raw.headers.getlist("Set-Cookie")
        name, _, rest = cookie.partition("=")
        assert name == f"tokenswarm_{site.port}"
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(rest.split("; "))
        assert ("Secure" in rest.split("; ")) is is_secure
        assert not {"Domain", "Expires", "Max-Age"} & {part.partition("=")[0] for part in rest.split("; ")}


def test_who_logs_out_is_out(site: Site) -> None:
    """Also with the cookie of before; another's login stays. And a cookie of one's own making is none."""
    with requests.Session() as one, requests.Session() as other:
        for session in (one, other):
            log_in(site, session)
        kept = dict(one.cookies)
        assert (
            one.get(site.at("logout"), timeout=5, allow_redirects=False).status_code == 405
        )  # no link does it
        out = one.post(site.at("logout"), timeout=5)
        assert (out.url, "Logged out." in out.text) == (f"{site.url}/login?said=out", True)
        for cookies in (dict(one.cookies), kept, {next(iter(kept)): "eyJfdXNlcl9pZCI6IngifQ.awLAmQ.x"}):
            again = requests.get(f"{site.url}/", cookies=cookies, timeout=5, allow_redirects=False)
            assert again.status_code == 302
        assert other.get(f"{site.url}/own/size", timeout=5).text == "0"


def test_in_a_browser(site: Site, inside: requests.Session, tab: Tab, tmp_path: Path) -> None:
    """A wrong password is refused, with a message; the right one opens the page; our pages; and out again."""
    fill = (
        "(() => {{ const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;"
        " for (const [name, value] of [['username', 'lt'], ['password', {0!r}]]) {{"
        " const field = document.querySelector(`input[name=${{name}}]`); set.call(field, value);"
        " field.dispatchEvent(new Event('input', {{bubbles: true}})); }}"
        " document.querySelector('button[type=submit]').click(); }})()"
    )
    form, text = "!!document.querySelector('input[name=password]')", "document.body?.innerText ?? ''"
    tab.open(site.at("assets/site.css"))  # whatever of ours one asks for
    until(lambda: bool(tab.run("location.pathname") == "/login" and tab.run(form)))
    assert tab.run("document.querySelector('input[name=password]').type") == "password"
    tab.run(fill.format("wrong"))
    until(lambda: WRONG in tab.run(text))
    tab.shot(tmp_path / "login.png")
    assert tab.run("location.pathname") == "/login"
    tab.run(fill.format(PASSWORD))
    until(lambda: bool(tab.run("location.pathname") == "/" and "Start new load test" in tab.run(text)))
    for page in pages(site, inside):
        tab.open(site.url + page)
        assert tab.run("location.pathname") == page
        assert tab.run("document.querySelector('#tokenswarm-bar button').innerText") == "Log out"
    tab.run("document.querySelector('#tokenswarm-bar button').click()")
    until(lambda: bool(tab.run("location.pathname") == "/login" and "Logged out." in tab.run(text)))
    tab.open(f"{site.url}/")
    assert tab.run("location.pathname") == "/login"


def test_nothing_of_it_is_said(site: Site, inside: requests.Session) -> None:
    """Neither the password nor its hash is in the log, on a page, or in what a run keeps of its environment."""
    logs = inside.get(f"{site.url}/logs", timeout=5).text + site.said
    assert PASSWORD not in logs
    assert password_hash() not in logs
    assert "is no variable of tokenswarm" not in logs
    assert "warning" not in logs
    environment = {
        HASH: password_hash(),
        f"{HASH}_FILE": "/h",
        "TOKENSWARM_WEB_USER": "lt",
        **PROXY,
        "TOKENSWARM_SEED": "1",
    }
    stored = invocation.stored({}, ["--header", f"x: {password_hash()}"], environment, Hider(environment), {})
    assert stored["environment"] == {"TOKENSWARM_SEED": "1"}
    assert password_hash() not in str(stored)
    assert password_hash() not in Hider(environment).text(f"it was {password_hash()}")


# --- what ends it, and who brings their own

_OWN: Final = """
from flask_login import UserMixin, login_user
from flask import redirect

class Own(UserMixin):
    id = "own"

@events.init.add_listener
def _(environment, web_ui, **_):
    web_ui.app.secret_key = "of their own"
    web_ui.login_manager.user_loader(lambda name: Own() if name == "own" else None)
    web_ui.auth_args = {"auth_providers": [{"label": "Own", "callback_url": "/own/login"}]}
    def log_in():
        login_user(Own())
        return redirect("/")
    web_ui.app.add_url_rule("/own/login", view_func=log_in)
"""


def test_a_login_of_the_locustfiles_own_is_kept(tmp_path: Path) -> None:
    """Nothing of ours is needed, looked at or offered, though its listener comes after ours."""
    with serving(tmp_path, "--web-login", file=locustfile(tmp_path, _OWN), env={HASH: "nonsense"}) as site:
        assert "auth_providers" in requests.get(f"{site.url}/login", timeout=5).text
        assert requests.get(f"{site.url}/", timeout=5, allow_redirects=False).status_code == 302
        assert requests.post(site.at("login"), timeout=5).status_code == 404
        with requests.Session() as session:
            page = session.get(f"{site.url}/own/login", timeout=5)
            assert (page.url, "tokenswarm-bar" in page.text) == (f"{site.url}/", True)
            assert "Log out" not in page.text
            assert session.get(site.at("assets/site.css"), timeout=5).status_code == 200
            with requests.Session() as other:
                other.get(f"{site.url}/own/login", timeout=5)
                for one in (
                    session,
                    other,
                    session,
                ):  # all get the same statistics, each with a cookie of their own
                    answer = one.get(f"{site.url}/stats/requests", timeout=5)
                    assert len(answer.raw.headers.getlist("Set-Cookie")) == 1
        assert requests.get(site.at("assets/site.css"), timeout=5, allow_redirects=False).status_code == 302


NEEDS: Final = (
    "--web-login needs a user and a password: TOKENSWARM_WEB_USER (admin, if it is not set) and TOKENSWARM_WEB_PASSWORD_HASH; "
    "make it with `tokenswarm web-password` and put it into TOKENSWARM_WEB_PASSWORD_HASH, or into a file that "
    "TOKENSWARM_WEB_PASSWORD_HASH_FILE names. Or the locustfile brings a login of its own"
)


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (["--web-login"], {}, NEEDS),
        ([], {"TOKENSWARM_WEB_ORIGINS": "load.example.com"}, "TOKENSWARM_WEB_ORIGINS 'load.example.com' is no origin: give"),
    ],
)  # fmt: skip
def test_what_is_wrong_ends_it_before_a_page_is_served(
    tmp_path: Path, options: list[str], environment: dict[str, str], said: str
) -> None:
    """Exit code 2, one line that says what to do, and no traceback."""
    where = ("--web-port", str(free_port()), "--host", "http://127.0.0.1:9")
    process = start(locustfile(tmp_path), tmp_path / "results", *where, *options, env=environment)
    _, err = process.communicate(timeout=120)
    ours = [line for line in err.splitlines() if "tokenswarm: " in line]
    assert (process.returncode, len(ours)) == (2, 1), err
    assert ours[0].startswith(f"tokenswarm: error: {said}")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({HASH: " "}, "--web-login needs a user and a password"),
        ({f"{HASH}_FILE": "/no/such"}, f"{HASH}_FILE '/no/such' cannot be read (no such file or directory)"),
        ({HASH: "hunter2 hunter2"}, f"{HASH} holds more than a hash"),
        ({HASH: "hunter2hunter2"}, f"{HASH} holds no password's hash: make it with `tokenswarm web-password`"),
    ],
)  # fmt: skip
def test_what_the_environment_lacks(environment: dict[str, str], said: str) -> None:
    """What stands where the hash should be is never repeated: it may be the password."""
    with pytest.raises(ConfigError) as raised:
        read(environment)
    assert str(raised.value).startswith(said)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        *("x", "scrypt:32768:8:1$salt", "scrypt:32768:8:1$salt$ab$c", "scrypt:3:8:1$salt$ab", "scrypt:a:b:c$s$h", "plain$salt$ab"),
        *("pbkdf2:nothing:1$s$ab", "pbkdf2$s$ab", "md5$salt$ab"),
    ],
)  # fmt: skip
def test_what_is_no_hash(text: str) -> None:
    """It is said at the start, and not when somebody logs in; without the text."""
    with pytest.raises(ConfigError, match=rf"{HASH} holds") as raised:
        read({HASH: text})
    assert len(text) < 7 or text not in str(raised.value)


def test_who_is_let_in(tmp_path: Path) -> None:
    """The user that is set, or admin; hashes of werkzeug's other kind too; from a file; letters of every composition."""
    admin = read({HASH: password_hash("pässword")})
    assert admin.admits("admin", "pässword")
    assert admin.admits("admin", "pa\u0308ssword")
    assert not admin.admits("admin", "passsword")
    assert not admin.admits("", "pässword")
    assert "scrypt" not in repr(admin)
    (tmp_path / "hash").write_text(generate_password_hash("p", "pbkdf2:sha256:10") + "\n")
    other = read({f"{HASH}_FILE": str(tmp_path / "hash"), "TOKENSWARM_WEB_USER": "Zoë"})
    assert other.admits("Zoë", "p")
    assert not other.admits("admin", "p")


@pytest.mark.parametrize(("user", "password"), [("admin", "\u0301\u0316" * 600), ("a" * 1_025, "pässword")])
def test_what_is_too_long_is_wrong(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    """Composing letters takes a time that grows with the square of their number, and holds up all of the process."""
    admin, seen = read({HASH: password_hash("pässword")}), []
    monkeypatch.setattr(login, "normal", lambda text: seen.append(len(text)) or text)
    assert not admin.admits(user, password)
    assert seen == [0]


# --- how often one may try


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Pass it."""
        self.slept.append(round(seconds, 3))
        self.now += seconds


def test_failures_wait_ever_longer() -> None:
    """Up to 8 s; a success and a quarter of an hour make it forget."""
    clock = Clock()
    gate = Turnstile(clock.sleep, lambda: clock.now)
    for _ in range(9):
        assert gate.attempt(lambda: False) is False
    assert clock.slept == [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    assert gate.attempt(lambda: True) is True  # who is right waits as long: how long says nothing
    assert clock.slept[8:] == [8]
    assert gate.attempt(lambda: False) is False
    clock.now += 0.1
    assert gate.attempt(lambda: False) is False
    assert clock.slept[9:] == [0.15]
    clock.now += 901
    assert gate.attempt(lambda: False) is False
    assert gate.attempt(lambda: False) is False
    assert clock.slept[10:] == [0.25]


def test_attempts_at_once_are_one_after_another() -> None:
    """Four wait, others are sent away unlooked at; a check that raises lets the next one in."""
    gate = Turnstile(gevent.sleep, lambda: 0.0)
    inside: list[int] = []
    most: list[int] = []

    def check() -> bool:
        inside.append(1)
        most.append(len(inside))
        gevent.sleep(0.01)
        inside.pop()
        return True

    tries = [gevent.spawn(gate.attempt, check) for _ in range(10)]
    gevent.joinall(tries, raise_error=True)
    assert sorted(str(one.value) for one in tries) == ["None"] * 6 + ["True"] * 4
    assert max(most) == 1

    def broken() -> bool:
        raise ValueError

    with pytest.raises(ValueError):
        gate.attempt(broken)
    assert gate.attempt(check) is True


def test_guests_stay_twelve_hours() -> None:
    """And there are a hundred at most."""
    clock = Clock()
    guests = Guests(lambda: clock.now)
    first = guests.admit()
    assert guests.is_in(first)
    assert not guests.is_in("")
    clock.now += 12 * 3600 - 1
    assert guests.is_in(first)
    clock.now += 1
    assert not guests.is_in(first)
    many = [guests.admit() for _ in range(101)]
    assert len(set(many)) == 101
    assert [guests.is_in(name) for name in many[:3]] == [False, True, True]
    guests.dismiss(many[1])
    guests.dismiss(None)
    assert [guests.is_in(name) for name in many[:3]] == [False, False, True]


# --- tokenswarm web-password


def test_the_command_reads_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints its hash, another each time; a short one, or none, is an error."""
    found = []
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.StringIO("a long password \nmore\n"))
        assert cli.main(["web-password"]) == 0
        found.append(capsys.readouterr().out.strip())
    assert found[0] != found[1]
    assert found[0].startswith("scrypt:")
    assert check_password_hash(found[0], "a long password ")  # a blank is a letter
    for text in ("", "\n", "seven77\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert cli.main(["web-password"]) == 2
        said = capsys.readouterr()
        assert (said.out, "give at least 8" in said.err, "seven77" in said.err) == ("", True, False)


@pytest.mark.parametrize(("again", "code"), [("a long password", 0), ("a long passwort", 2)])
def test_the_command_asks_twice(again: str, code: int) -> None:
    """At a terminal, without showing what is typed; the hash alone goes to its output."""
    controller, terminal = pty.openpty()
    with ExitStack() as stack:
        for end in (controller, terminal):
            stack.callback(os.close, end)
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "web-password"],
            stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        shown = b""
        for question, word in ((b"web UI: ", "a long password"), (b"again: ", again)):
            while question not in shown:
                shown += os.read(controller, 1000)
            os.write(controller, f"{word}\n".encode())
        out, _ = process.communicate(timeout=60)
        assert process.returncode == code
        assert b"a long" not in shown
        if code == 0:
            assert check_password_hash(out.decode().strip(), "a long password")
        else:
            assert out == b""
