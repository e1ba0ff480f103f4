"""Our pages in Locust's web UI: a bar above Locust's page, and behind it pages of our own.

    site      what the pages know of the process they are in; routes behind Locust's login, answers with their headers
    bar       the bar, put into Locust's page; ours have it from the beginning
    static/   their style and scripts, served by us: nothing comes from anywhere else

Locust's own page, routes and downloads stay as they are.
"""

from typing import TYPE_CHECKING

from harness.web import bar
from harness.web.site import Site

if TYPE_CHECKING:
    from harness.session import Session

__all__ = ["open_site"]


def open_site(session: "Session") -> None:
    """Add the pages. To be called before the web UI serves its first page."""
    site = Site.of(session)
    site.serve_assets()
    bar.add(site)
