"""A link from Locust's web page to the dashboard of the run under way.

Locust's page is a built React application without a place for links: its `extended_tabs` hold tables and charts of its own, and
`template_args` are values it knows. So the link is put into the page's HTML, beside the application's root, and leads to a route
of ours that sends the browser on to wherever the run is now: the page is loaded once and outlives runs.

Both ask for Locust's login where `--web-login` does. Nothing else of the page is touched.
"""

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flask import Response
    from locust.web import WebUI

__all__ = ["ROUTE", "add"]

ROUTE: Final = "/tokenswarm/dashboard"  # below the web UI's base path

# Bottom left: the header is full, and the bottom right is where Locust has its About.
_ANCHOR: Final = (
    '<a id="tokenswarm-dashboard" href=".{}" target="_blank" rel="noopener" title="This run in Grafana" style="position:fixed;'
    "left:16px;bottom:16px;z-index:1200;padding:8px 14px;border-radius:18px;background:#15803d;color:#fff;"
    'font:600 14px/1.2 system-ui,sans-serif;text-decoration:none;box-shadow:0 1px 4px rgba(0,0,0,.4)">Grafana</a>'
)
_NO_RUN: Final = "<!doctype html><meta charset=utf-8><title>tokenswarm</title><p>No run has begun yet: start one, then follow the link again."


def add(web_ui: "WebUI", link: Callable[[], str | None], base_path: str | None = None) -> None:
    """Show the link. To be called before the web UI serves its first page.

    Args:
        web_ui: Locust's.
        link: where the run is now; None: there has been none.
        base_path: Locust's --web-base-path.
    """
    app = web_ui.app
    assert app is not None  # noqa: S101  Locust's constructor sets it
    prefix = "/" + base_path.strip("/") if base_path and base_path.strip("/") else ""

    def dashboard() -> "Response":
        address = link()
        if address is None:
            return app.response_class(_NO_RUN, 404)
        return app.response_class("", 302, {"Location": address, "Cache-Control": "no-store"})

    def show(response: "Response") -> "Response":
        from flask import request  # noqa: PLC0415  only where Locust has brought it

        if (
            request.endpoint == "locust.index"
            and response.status_code == 200
            and response.mimetype == "text/html"
        ):
            head, end, tail = response.get_data(as_text=True).rpartition("</body>")
            if end:  # not the page that says what is wrong with the login
                response.set_data(head + _ANCHOR.format(escape(ROUTE)) + end + tail)
        return response

    app.add_url_rule(f"{prefix}{ROUTE}", "tokenswarm.dashboard", web_ui.auth_required_if_enabled(dashboard))
    app.after_request(show)
