"""What the pages know of the process they are in, and how they are served.

Every route asks for Locust's login where `--web-login` does, lies below `--web-base-path`, and answers with headers that let a
page load nothing but what this process serves: text from a model can neither run nor send anything, whatever it is.

Markup is made in one place (`page`); whatever comes from outside goes through `html.escape`, or as JSON to a script that writes
it with `textContent`.
"""

import mimetypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from harness.errors import ConfigError
from harness.influx import watch
from harness.report import plotly_js

if TYPE_CHECKING:
    from flask import Flask, Response
    from locust.web import WebUI

    from harness.run import Run
    from harness.session import Session

__all__ = ["HEADERS", "LOGOUT", "PAGES", "PREFIX", "Page", "Site", "bar_html"]

PREFIX: Final = "/tokenswarm"  # below the web UI's base path
LOGOUT: Final = "tokenswarm.logout"  # the route's name, where the login is ours
STATIC: Final = Path(__file__).with_name("static")
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),  # plotly writes its styles into the page
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LASTING: Final = "private, max-age=86400, immutable"


@dataclass(frozen=True, slots=True)
class Page:
    """One of the pages behind the bar."""

    path: str  # below PREFIX; "" is Locust's own
    title: str
    explains: str


PAGES: Final = (
    Page("", "Locust", "Start and stop runs, Locust's own statistics"),
    Page("tokens", "Tokens", "The run under way: token rates, latencies, levels"),
    Page("chat", "Chat", "Talk to the system under test"),
    Page("results", "Results", "Runs so far, their reports and comparisons"),
)


@dataclass(frozen=True, slots=True)
class Site:
    """Locust's web UI with the process behind it."""

    web_ui: "WebUI"
    session: "Session"
    base: str  # Locust's --web-base-path: "" or "/load"

    @classmethod
    def of(cls, session: "Session") -> "Site":
        """The one of a process with a web UI."""
        assert session.web_ui is not None  # noqa: S101  whoever calls has looked
        said = getattr(session.environment.parsed_options, "web_base_path", None) or ""
        return cls(session.web_ui, session, "/" + said.strip("/") if said.strip("/") else "")

    @property
    def app(self) -> "Flask":
        """Locust's Flask application."""
        assert self.web_ui.app is not None  # noqa: S101  Locust's constructor sets it
        return self.web_ui.app

    @property
    def run(self) -> "Run | None":
        """The run that is under way or just over; None: there has been none, or the last could not be prepared."""
        return self.session.run

    def url(self, path: str) -> str:
        """The address of a path below PREFIX, without scheme and host."""
        return f"{self.base}{PREFIX}/{path}"

    def route(self, path: str, view: Callable[..., "Response"], *methods: str) -> None:
        """Serve a path below PREFIX, as Flask writes paths, behind the login. `methods`: GET without any."""
        self.app.add_url_rule(
            f"{self.base}{PREFIX}/{path}",
            f"tokenswarm.{path}",
            self.web_ui.auth_required_if_enabled(view),
            methods=methods or ("GET",),
        )

    def answer(
        self, body: str | bytes, kind: str = "text/html; charset=utf-8", *, status: int = 200, **more: str
    ) -> "Response":
        """A response with our headers; `more` as Header_Name="value" adds to them or takes their place."""
        headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in more.items()}}
        return self.app.response_class(body, status, {**headers, "Content-Type": kind})

    def json(self, value: object, *, status: int = 200) -> "Response":
        """A value as JSON; NaN and infinities become null."""
        return self.answer(orjson.dumps(value), "application/json", status=status)

    def page(self, name: str, body: str, *scripts: str) -> "Response":
        """One of PAGES. `body`: HTML for <main>, escaped by whoever made it; `scripts`: names of files in static/, in order.

        `plotly.js` among them is plotly's own.
        """
        title = next(page.title for page in PAGES if page.path == name)
        tags = "\n".join(
            f'<script src="{self.url(f"assets/{script}")}" defer></script>' for script in scripts
        )
        return self.answer(
            _DOCUMENT.format(
                title=escape(title),
                assets=self.url("assets"),
                base=escape(self.base),
                bar=bar_html(self, name),
                body=body,
                name=escape(name),
                scripts=tags,
            )
        )

    def serve_assets(self) -> None:
        """Style sheets and scripts."""
        known: Mapping[str, Path] = {path.name: path for path in STATIC.iterdir() if path.is_file()}
        library = cache(lambda: plotly_js.library().encode())  # 4.8 MB, read once

        def asset(name: str) -> "Response":
            if name == "plotly.js":
                try:
                    body = library()
                except ConfigError as error:
                    return self.answer(str(error), "text/plain; charset=utf-8", status=404)
                return self.answer(body, "text/javascript", Cache_Control=_LASTING)
            if name not in known:
                return self.answer("no such file", "text/plain; charset=utf-8", status=404)
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            return self.answer(known[name].read_bytes(), kind, Cache_Control="no-cache")

        self.route("assets/<name>", asset)

    @property
    def dashboard(self) -> str | None:
        """Where Grafana shows the run now; None: there is none, or no Grafana."""
        return self.run.watch.link if self.run is not None else None


def bar_html(site: Site, here: str) -> str:
    """The bar above every page, `here` marked in it."""
    links: list[str] = []
    for page in PAGES:
        href = site.url(page.path) if page.path else f"{site.base}/"
        mark = ' aria-current="page"' if page.path == here else ""
        links.append(
            f'<a href="{escape(href)}" title="{escape(page.explains)}"{mark}>{escape(page.title)}</a>'
        )
    if watch.has_dashboard(os.environ):
        links.append(
            f'<a href="{escape(site.url("dashboard"))}" target="_blank" rel="noopener" title="This run in Grafana" '
            'id="tokenswarm-dashboard">Grafana</a>'
        )
    if LOGOUT in site.app.view_functions:
        links.append(
            f'<form method="post" action="{escape(site.url("logout"))}"><button type="submit">Log out</button></form>'
        )
    return f'<nav id="tokenswarm-bar" aria-label="tokenswarm"><b>tokenswarm</b>{"".join(links)}</nav>'


_DOCUMENT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - tokenswarm</title>
<link rel="icon" href="data:,">
<script src="{assets}/theme.js"></script>
<link rel="stylesheet" href="{assets}/bar.css"><link rel="stylesheet" href="{assets}/site.css">
</head><body data-base="{base}" data-page="{name}">
{bar}
<main>
{body}
</main>
{scripts}
</body></html>
"""
