"""`--web-login` without code of one's own: one user, whose name and password's hash come from the environment.

    TOKENSWARM_WEB_USER            admin, if it is not set
    TOKENSWARM_WEB_PASSWORD_HASH   made by `tokenswarm web-password`; or its file: TOKENSWARM_WEB_PASSWORD_HASH_FILE

A locustfile that brings its own login, as Locust's documentation has it, keeps it: these are not looked at then.

Who is in is known to this process alone, so that logging out, twelve hours, or its end put an end to it; the cookie holds a
random name for it and nothing else. Attempts are checked one after another, after failures ever more slowly, whoever makes them.
"""

import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import gevent
from gevent.lock import BoundedSemaphore

from harness import credential
from harness.clock import now_ns
from harness.errors import ConfigError
from harness.web import origins
from harness.web.guard import before_start
from harness.web.site import LOGOUT, PREFIX, Site
from harness.web_password import MOST, normal

if TYPE_CHECKING:
    from flask import Response
    from flask.sessions import SessionInterface
    from locust.web import WebUI

__all__ = ["HASH", "USER", "Guests", "Turnstile", "add", "read"]

USER: Final = "TOKENSWARM_WEB_USER"
HASH: Final = "TOKENSWARM_WEB_PASSWORD_HASH"
_MAKE: Final = (
    f"make it with `tokenswarm web-password` and put it into {HASH}, or into a file that {HASH}_FILE names"
)
# What the login page says, by `said` in its address, and where Locust's template looks for it.
_WORDS: Final = {
    "wrong": ("auth_error", "Wrong user or password."),
    "busy": ("auth_error", "Too many attempts at once. Try again in a moment."),
    "out": ("auth_info", "Logged out."),
}
_NOTES: Final = ("auth_error", "auth_info")
_LASTS_S: Final = 12 * 3600
_MOST_GUESTS: Final = 100
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
_FORGOTTEN_S: Final = 900.0  # after so long without an attempt, failures count no more
_MOST_WAITING: Final = 4


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in."""

    user: str
    password_hash: str = field(repr=False)

    def admits(self, user: str, password: str) -> bool:
        """Takes a tenth of a second, and equally long whatever is wrong."""
        from werkzeug.security import check_password_hash  # noqa: PLC0415  only where Locust has brought it

        if len(user) > MOST or len(password) > MOST:  # composing long ones holds up the whole process
            user = password = ""
        knows = check_password_hash(self.password_hash, normal(password))
        return hmac.compare_digest(_bytes(user), _bytes(self.user)) and knows


def read(environ: Mapping[str, str]) -> Access:
    """Who may come in, by the environment.

    Raises:
        ConfigError: it does not say, or what it says is no hash; without repeating it.
    """
    found = credential.read(environ, HASH, "hash")
    if not found:
        raise ConfigError(
            f"--web-login needs a user and a password: {USER} (admin, if it is not set) and {HASH}; {_MAKE}. "
            "Or the locustfile brings a login of its own"
        )
    access = Access(environ.get(USER, "").strip() or "admin", found)
    try:
        if found.count("$") != 2 or not found.startswith(("scrypt:", "pbkdf2:")):
            raise ValueError  # noqa: TRY301  one way out
        access.admits("", "")
    except ValueError:
        raise ConfigError(
            f"{HASH} holds no password's hash: {_MAKE} (in quotes: a hash has $ in it)"
        ) from None
    return access


class Turnstile:
    """Lets attempts through one by one; after failures each waits longer, up to 8 s, before it is looked at."""

    def __init__(self, sleep: Callable[[float], object], now: Callable[[], float]) -> None:
        """`sleep`: lets others run meanwhile; `now`: seconds of a monotonic clock."""
        self._sleep, self._now = sleep, now
        self._one = BoundedSemaphore(1)
        self._waiting = self._failures = 0
        self._last = now()

    def attempt(self, check: Callable[[], bool]) -> bool | None:
        """Whether `check` is content; None: too many are waiting already, and it was not asked."""
        if self._waiting >= _MOST_WAITING:
            return None
        self._waiting += 1
        try:
            with self._one:
                return self._checked(check)
        finally:
            self._waiting -= 1

    def _checked(self, check: Callable[[], bool]) -> bool:
        since = self._now() - self._last
        if since > _FORGOTTEN_S:
            self._failures = 0
        if self._failures:
            wait = min(_FIRST_WAIT_S * 2 ** min(self._failures - 1, 16), _LONGEST_WAIT_S)
            if wait > since:
                self._sleep(wait - since)
        is_right = check()
        self._failures = 0 if is_right else self._failures + 1
        self._last = self._now()
        return is_right


class Guests:
    """Who is in: a random name each, until a time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until: dict[str, float] = {}

    def admit(self) -> str:
        """Somebody new; where there are a hundred, the first of them has to log in again."""
        while len(self._until) >= _MOST_GUESTS:
            del self._until[next(iter(self._until))]
        name = secrets.token_urlsafe(32)
        self._until[name] = self._now() + _LASTS_S
        return name

    def is_in(self, name: str) -> bool:
        """Has come in, not left, and not stayed too long."""
        return self._until.get(name, 0.0) > self._now()

    def dismiss(self, name: str | None) -> None:
        """Somebody leaves."""
        self._until.pop(name or "", None)


@dataclass(frozen=True, slots=True)
class _Guest:
    """What flask_login wants of a user."""

    name: str
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        return self.name


def add(site: Site) -> None:
    """See to it that `--web-login` has a login. To be called before the web UI serves its first page."""
    if site.web_ui.web_login:
        before_start(site, lambda: _settle(site))


def _settle(site: Site) -> None:
    """The locustfile's own login, which by now is there if it has one, or else ours."""
    if not _has_own(site.web_ui):
        _Login(site, read(os.environ)).open()


def _has_own(web_ui: "WebUI") -> bool:
    manager = web_ui.login_manager
    loaders = ("_user_callback", "_request_callback", "_header_callback")
    return bool(web_ui.auth_args) or any(getattr(manager, name, None) is not None for name in loaders)


class _Login:
    """The login of one process."""

    def __init__(self, site: Site, access: Access) -> None:
        self._site, self._access = site, access
        self._guests = Guests(_now_s)
        self._turnstile = Turnstile(gevent.sleep, _now_s)

    def open(self) -> None:
        """Serve it."""
        site, app, web_ui = self._site, self._site.app, self._site.web_ui
        app.secret_key = secrets.token_bytes(32)
        app.session_interface = _cookies()
        app.config.update(
            SESSION_COOKIE_NAME=f"tokenswarm_{web_ui.port}",  # cookies know no ports: two on one machine are two
            SESSION_COOKIE_PATH=f"{site.base}/",
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Lax",
            SESSION_COOKIE_SECURE=bool(web_ui.tls_cert and web_ui.tls_key),
            PERMANENT_SESSION_LIFETIME=_LASTS_S,
        )
        manager = web_ui.login_manager
        manager.login_message = None  # it would be kept in the cookie, once for each request without a login
        manager.session_protection = None  # it only notes in the cookie that its bearer comes from elsewhere
        manager.user_loader(lambda name: _Guest(name) if self._guests.is_in(name) else None)
        manager.unauthorized_handler(self._stranger)
        app.before_request(_tell)
        web_ui.auth_args = {"username_password_callback": site.url("login")}
        app.add_url_rule(f"{site.base}{PREFIX}/login", "tokenswarm.login", self._log_in, methods=["POST"])
        app.add_url_rule(f"{site.base}{PREFIX}/logout", LOGOUT, self._log_out, methods=["POST"])

    def _log_in(self) -> "Response":
        from flask import request, session  # noqa: PLC0415
        from flask_login import login_user  # type: ignore[import-untyped]  # noqa: PLC0415

        user, password = request.form.get("username", ""), request.form.get("password", "")
        # In a thread, which hashes without holding others up: this process may be sending load.
        threads = gevent.get_hub().threadpool
        is_right = self._turnstile.attempt(lambda: threads.apply(self._access.admits, (user, password)))
        session.clear()
        if not is_right:
            return self._lead_to(f"/login?said={'busy' if is_right is None else 'wrong'}")
        login_user(_Guest(self._guests.admit()))
        return self._lead_to("/")

    def _log_out(self) -> "Response":
        from flask import session  # noqa: PLC0415

        self._guests.dismiss(session.get("_user_id"))
        session.clear()
        return self._lead_to("/login?said=out")

    def _stranger(self) -> "Response":
        """Pages lead to the login; what a script of a page asks for says so."""
        from flask import request  # noqa: PLC0415

        if request.method == "GET" and not request.path.endswith(".json"):
            return self._lead_to("/login", 302)
        return self._site.json({"error": f"log in first: {self._site.base}/login"}, status=401)

    def _lead_to(self, path: str, status: int = 303) -> "Response":
        return self._site.answer("", status=status, Location=self._site.base + path)


def _tell() -> None:
    """Have the login page say why it is there."""
    from flask import request, session  # noqa: PLC0415

    if request.endpoint == "locust.login" and (found := _WORDS.get(request.args.get("said", ""))):
        note, words = found
        session[note] = words


def _cookies() -> "SessionInterface":
    """They are sent back by TLS alone where the page came by TLS, to this process or to a proxy in front of it.

    Locust writes its notes into the session with every request. Were they kept, each answer would bring a cookie, and that
    of a page which asks once a second would now and then put back who one was before one logged in or out.
    """
    from flask import Flask, Response, request  # noqa: PLC0415
    from flask.sessions import SecureCookieSessionInterface, SessionMixin  # noqa: PLC0415

    allowed = origins.read(os.environ.get(origins.VARIABLE, ""))

    class Cookies(SecureCookieSessionInterface):
        def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
            for note in _NOTES:
                session.pop(note, None)
            if dict(session) != dict(self.open_session(app, request) or {}):
                super().save_session(app, session, response)
            response.vary.add("Cookie")

        def get_cookie_secure(self, app: Flask) -> bool:
            return super().get_cookie_secure(app) or origins.origin_of(f"https://{request.host}") in allowed

    return Cookies()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # a variable may be no text


def _now_s() -> float:
    return now_ns() / 1e9
