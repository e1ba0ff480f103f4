"""The bar on Locust's own page, and the way from it to the run's dashboard.

Locust's page is a built React application; its `extended_tabs` hold tables of its own and are there only once a run has
begun. So the bar is put into the page's HTML above the application's root, and leads to pages of ours. The dashboard's link
leads to a route that sends the browser on to wherever the run is now: the page is loaded once and outlives runs.

Nothing else of Locust's page is touched.
"""

from typing import TYPE_CHECKING, Final

from harness.web.site import Site, bar_html

if TYPE_CHECKING:
    from flask import Response

__all__ = ["add"]

SHEETS: Final = ("assets/bar.css", "form.css")  # of Locust's page; the second is made by `harness.web.form`
_NO_RUN: Final = "<!doctype html><meta charset=utf-8><title>tokenswarm</title><p>No run has begun yet: start one, then follow the link again."


def add(site: Site) -> None:
    """Show the bar on Locust's page. To be called before the web UI serves its first page."""

    def dashboard() -> "Response":
        address = site.dashboard
        if address is None:
            return site.answer(_NO_RUN, status=404)
        return site.answer("", status=302, Location=address)

    def show(response: "Response") -> "Response":
        from flask import request  # noqa: PLC0415  only where Locust has brought it

        if (
            request.endpoint == "locust.index"
            and response.status_code == 200
            and response.mimetype == "text/html"
        ):
            head, root, tail = response.get_data(as_text=True).partition('<div id="root">')
            if root:  # not the page that says what is wrong with the login
                sheets = "".join(f'<link rel="stylesheet" href="{site.url(name)}">' for name in SHEETS)
                response.set_data(head + sheets + bar_html(site, "") + root + tail)
        return response

    site.route("dashboard", dashboard)
    site.app.after_request(show)
