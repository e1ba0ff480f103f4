"""The page "Tokens" and what it is told once a second: the run under way, second by second and level by level.

`tokens.json?since=N`: everything, with the rows from place N on; docs/metrics.md says what its figures mean.
"""

from typing import TYPE_CHECKING

from harness.web import tokens_page
from harness.web.sampler import Sampler
from harness.web.site import Site

if TYPE_CHECKING:
    from flask import Response

__all__ = ["add"]


def add(site: Site) -> None:
    """Serve both, and begin to look. To be called before the web UI serves its first page."""
    session = site.session
    sampler = Sampler(lambda: session.run, lambda: session.preparing)

    def page() -> "Response":
        return site.page("tokens", tokens_page.body(site), *tokens_page.SCRIPTS)

    def told() -> "Response":
        from flask import request  # noqa: PLC0415  only where Locust has brought it

        since = request.args.get("since", "0")
        is_place = since.isascii() and since.isdigit() and len(since) <= 15
        return site.answer(sampler.told(int(since) if is_place else 0), "application/json")

    site.route("tokens", page)
    site.route("tokens.json", told)
    sampler.start()
