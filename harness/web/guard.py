"""Who may come in: every request to the web UI, Locust's own routes included, is looked at before it is answered.

Where it comes from is judged by `harness.web.origins`. Besides, answers say nothing to other sites (Locust's routes would be
readable from any page: it puts `Access-Control-Allow-Origin: *` on everything), nobody may frame a page, bodies are bounded, and
an error is one line: what else there is to say of it goes to the log.
"""

import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from harness import ports
from harness.errors import ConfigError
from harness.hiding import Hider
from harness.say import say
from harness.web import origins
from harness.web.origins import Asked, Door
from harness.web.site import Site

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from flask import Response
    from locust.web import WebUI

__all__ = ["HOST", "MOST_BYTES", "add", "before_start", "stay_home"]

HOST: Final = (
    "127.0.0.1"  # where the web UI is, unless it is told otherwise; Locust's own default is all interfaces
)
MOST_BYTES: Final = 4 * 1024 * 1024  # of a request's body
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",  # Locust's page has scripts of its own in it
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TEXT: Final = "text/plain; charset=utf-8"
_FAILED: Final = "500: something went wrong in this process; its log says what\n"
# What Locust, where it has a login, answers instead of an error, with status 200: "404 Not Found: ..." among others.
_AUTH: Final = re.compile(rb"Locust auth exception: (?:(4[0-9]{2}) ([A-Z][A-Za-z ]+))?")
_MISSING_LOADER: Final = b"Missing user_loader"


def stay_home(parser: "ArgumentParser") -> None:
    """Have the web UI listen on this machine alone, unless --web-host, LOCUST_WEB_HOST or a configuration file say otherwise."""
    parser.set_defaults(web_host=HOST)


def add(site: Site) -> None:
    """Look at every request from now on. To be called before other pages are added."""
    guard = _Guard(site)
    before_start(site, guard.settle)
    app = site.app
    app.debug = False  # Locust has it on
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.before_request_funcs.setdefault(None, []).insert(0, guard.before)
    app.after_request_funcs.setdefault(None, []).insert(
        0, guard.after
    )  # they run last to first; flask_cors' is there
    app.register_error_handler(Exception, guard.failed)
    logging.getLogger("locust.web").addFilter(_hidden)  # which says exceptions behind a login by itself
    for handlers in app.error_handler_spec[
        "locust"
    ].values():  # Locust's own shows the exception's text as HTML
        handlers.clear()


def before_start(site: Site, check: Callable[[], None]) -> None:
    """Have something looked at when all `init` listeners have run and before the first page is served.

    A ConfigError of it ends the process with exit code 2.
    """
    start: Callable[[], None] = site.web_ui.start

    def checked() -> None:
        try:
            check()
        except ConfigError as error:
            site.session.refuse()
            for line in str(error).splitlines():
                say(f"error: {line}")
            sys.exit(2)
        start()

    setattr(site.web_ui, "start", checked)  # noqa: B010  of this one object


def _hidden(record: logging.LogRecord) -> bool:
    """A line of Locust's log with what an exception says in it, without secrets."""
    if record.exc_info and record.exc_info[1] is not None:
        said = "".join(traceback.format_exception(record.exc_info[1]))
        record.msg, record.args = f"{record.getMessage()}: {Hider(os.environ).text(said)}", ()
        record.exc_info = record.exc_text = None
    return True


class _Guard:
    """One process's door."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._door = Door(_scheme(site.web_ui), site.web_ui.host, is_local=True)

    def settle(self) -> None:
        """Read what the environment says, and say who could come in."""
        web_ui = self._site.web_ui
        allowed = origins.read(os.environ.get(origins.VARIABLE, ""))
        is_local = ports.is_local(web_ui.host)
        self._door = Door(_scheme(web_ui), web_ui.host, is_local, allowed)
        if not is_local and not web_ui.web_login:
            say(
                f"warning: the web UI asks for no login, and other machines may reach it ({web_ui.host or 'all interfaces'}, port "
                f"{web_ui.port}): whoever does can start runs with this process's keys; add --web-login (docs/web-ui.md), or "
                f"--web-host {HOST}"
            )

    def before(self) -> "Response | None":
        """The answer to a request that is not let in."""
        from flask import request  # noqa: PLC0415  only where Locust has brought it

        get = request.headers.get
        asked = Asked(
            request.method,
            get("Host"),
            get("Origin"),
            get("Referer"),
            get("Sec-Fetch-Site"),
            get("Sec-Fetch-Mode"),
        )
        if why := self._door.refusal(asked):
            return self._line(403, why)
        if "Transfer-Encoding" in request.headers:
            return self._line(411, "refused: a body has to come with its length (Content-Length)")
        if (request.content_length or 0) > MOST_BYTES:
            return self._line(413, f"refused: a request may have {MOST_BYTES} bytes at most")
        return None

    def after(self, response: "Response") -> "Response":
        """The answer as it may leave."""
        from flask import request  # noqa: PLC0415

        response = self._checked(response)
        if request.endpoint == "locust.request_stats":
            # Locust keeps the response for a while and gives it to others: without the cookies that are put on it.
            kept = response
            response = self._site.app.response_class(kept.get_data(), kept.status_code, list(kept.headers))
        headers, origin = response.headers, request.headers.get("Origin")
        if origin is not None and origins.origin_of(origin) in self._door.origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            headers.add("Vary", "Origin")
        else:
            for name in [one for one in headers.keys() if one.lower().startswith("access-control-")]:  # noqa: SIM118  of pairs
                del headers[name]
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        return response

    def _checked(self, response: "Response") -> "Response":
        """Where Locust answered an exception with a page that shows it: one line, and the status that belongs to it."""
        if not self._site.web_ui.web_login or response.mimetype != "text/html" or response.is_streamed:
            return response
        found = _AUTH.match(response.get_data())
        if found is None or _MISSING_LOADER in response.get_data():
            return response
        if found[1]:
            return self._line(int(found[1]), f"{found[1].decode()} {found[2].decode()}")
        return self._line(500, _FAILED)

    def failed(self, error: Exception) -> "Response":
        """The answer to a request whose view raised something."""
        from flask import request  # noqa: PLC0415
        from werkzeug.exceptions import HTTPException  # noqa: PLC0415

        if isinstance(error, HTTPException) and error.code is not None:
            answer = self._line(error.code, f"{error.code} {error.name}: {error.description or ''}")
            for name, value in error.get_headers():  # such as Allow
                answer.headers.setdefault(name, value)
            return answer
        said = "".join(traceback.format_exception(error))
        logging.getLogger(__name__).error(
            "%s %s failed: %s", request.method, request.path, Hider(os.environ).text(said)
        )
        return self._line(500, _FAILED)

    def _line(self, status: int, text: str) -> "Response":
        return self._site.answer(" ".join(text.split()) + "\n", _TEXT, status=status)


def _scheme(web_ui: "WebUI") -> str:
    return "https" if web_ui.tls_cert and web_ui.tls_key else "http"
