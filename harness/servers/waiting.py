"""Waiting until a server is ready: asked over HTTP, without any proxy, and told of every ten seconds.

The question goes to the address the load will go to. A certificate is not verified: no answer here is believed
for more than "up", and the load verifies for itself.
"""

import http.client
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from harness.say import say
from harness.servers.output import Output, ServerFailed
from harness.servers.ready import ReadyCheck, Standing
from harness.servers.recipe import Recipe
from harness.tls import Trust, context

__all__ = ["address", "wait_until_ready"]

POLL_S, SLOW_POLL_S = 0.05, 0.5  # a model that loads for minutes logs every question
FIRST_NEWS_S, NEWS_EVERY_S = 2.0, 10.0
SETTLED_S = 5.0  # without the route for so long, a server is taken not to have it
TIMEOUT_S = 1.0
BODY = 4096
NEWS_CHARACTERS = 100

Answer = tuple[int, Standing]


def wait_until_ready(
    recipe: Recipe, output: Output, ending: Callable[[], str | None], deadline_s: float
) -> None:
    """Return when it is; `ending` says how the process ended, or None.

    Raises:
        ServerFailed: it ended, or was not ready within `deadline_s`.
    """
    start = time.monotonic()
    news_s, lacks_since, last = FIRST_NEWS_S, None, "nothing listened that speaks HTTP"
    while True:
        answer = _ask(recipe.url, recipe.ready)
        waited_s = time.monotonic() - start
        if (how := ending()) is not None:
            output.finish()
            tail = output.tail()
            raise ServerFailed(f"{recipe.name} exited before it was ready ({how}){recipe.advise(tail)}{tail}")
        if answer is not None:
            status, standing = answer
            last = f"it answered {status}" if status != 200 else "it says that it is loading"
            if standing is Standing.READY:
                return
            lacks_since = (lacks_since or waited_s) if standing is Standing.LACKS else None
            if lacks_since is not None and not recipe.ready.strict and waited_s - lacks_since >= SETTLED_S:
                say(
                    f"{recipe.name} answers {status} to {recipe.ready.route}: it is up, more it does not tell"
                )
                return
        if waited_s >= deadline_s:
            raise ServerFailed(_too_late(recipe, output, last, deadline_s, lacks=lacks_since is not None))
        if waited_s >= news_s:
            say(_news(recipe, output, last, waited_s, deadline_s))
            news_s += NEWS_EVERY_S
        time.sleep(min(SLOW_POLL_S, max(POLL_S, waited_s / 20)))


def _too_late(recipe: Recipe, output: Output, last: str, deadline_s: float, *, lacks: bool) -> str:
    where = f"{recipe.url}{recipe.ready.route}"
    fix = " (another route? --health)" if lacks else ""
    tail = output.tail()
    return f"{recipe.name} was not ready within {deadline_s:g} s: {last} at {where}{fix}{recipe.advise(tail)}{tail}"


def _news(recipe: Recipe, output: Output, last: str, waited_s: float, deadline_s: float) -> str:
    lines = output.lines()
    says = f"; its log: {lines[-1].strip()[:NEWS_CHARACTERS]}" if lines else ""
    return f"waiting for {recipe.name} at {recipe.url}: {last} ({waited_s:.0f} s of at most {deadline_s:g} s){says}"


def _ask(url: str, check: ReadyCheck) -> Answer | None:
    """One answer; None while nothing speaks HTTP there."""
    connection = _connection(url)
    try:
        route = urlsplit(url).path.rstrip("/") + check.route
        connection.request("GET", route, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, check.judge(response.status, response.read(BODY))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _connection(url: str) -> http.client.HTTPConnection:
    host, port = address(url)
    if urlsplit(url).scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_S, context=context(Trust(insecure=True))
        )
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)
