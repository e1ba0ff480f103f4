"""Changing load while a run goes on, from the Tokens page: how many users, or how many requests a second (`harness.changes`)."""

from typing import TYPE_CHECKING, Final

import orjson

from harness import changes
from harness.web.site import Site

if TYPE_CHECKING:
    from flask import Response

__all__ = ["add"]

MOST_BYTES: Final = 1_000  # of what is asked


def add(site: Site) -> None:
    """The route `change.json`: GET says what can be changed, POST changes it. To be called before the first page is served."""

    def change() -> "Response":
        from flask import request  # noqa: PLC0415  only where Locust has brought it

        if request.method == "GET":
            return site.json(changes.state(site.session))
        try:
            wanted = orjson.loads(request.stream.read(MOST_BYTES + 1)[:MOST_BYTES])
        except orjson.JSONDecodeError:
            wanted = None  # which is told what would be right
        try:
            return site.json({"ok": True, "said": changes.ask(site.session, wanted)})
        except changes.Refused as refused:
            told = {"ok": False, "problem": str(refused), "field": refused.field}
            return site.json(told, status=refused.status)

    site.route("change.json", change, "GET", "POST")
