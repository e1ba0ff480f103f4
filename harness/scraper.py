"""Looks at the server's `/metrics` once a second while load runs.

It is asked once before load, and what comes back decides: a page with names we know makes us go on, anything else is
said in one line and that was it. Which backend the load is for does not matter.

It must not disturb. There is one question at a time, in a greenlet of its own; none takes longer than `TIMEOUT_S`
or reads more than `MOST_BYTES`; a question without a page is a gap, which is kept as such. One second later it
is asked again. A 200 kB page of vLLM costs under 2 ms CPU in all, a fifth of a per cent of a core.
After the last request the server is given `SETTLE` looks to come to rest, since it goes on for a moment with
requests that were given up.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import gevent

from harness.clock import ANCHOR_NS, now_ns
from harness.control import Session, cause, reason
from harness.grid import clean
from harness.secrecy import hide
from harness.server_metrics import Sample, of_json, read
from harness.settings import Settings

__all__ = ["Scraper", "open_scraper", "refusal"]

PERIOD_S: Final = 1.0
TIMEOUT_S: Final = 2.0
MOST_BYTES: Final = 4_000_000
SETTLE: Final = 3  # looks at a server that is still at work
SETTLE_S: Final = 0.25  # between two of them
_PIECE: Final = 1 << 18
# No compression: it would cost us more than the bytes do.
_ACCEPTED: Final = {"Accept": "text/plain;version=0.0.4, */*;q=0.1", "Accept-Encoding": "identity"}


def open_scraper(
    settings: Settings,
    asked: Session,
    secret: str | None,
    keep: Callable[[Sample], object],
    say: Callable[[str], None],
) -> "Scraper":
    """A run's scraper, which has asked and said what came of it; with `--server-metrics no` it does nothing."""
    scraper = Scraper(settings.target.url("/metrics"), asked, keep, secret=secret)
    if settings.server_metrics:
        scraper.ask()
        say(f"server metrics: {scraper.says}")
    return scraper


class _NoPage(Exception):
    """Why an answer is no page of metrics, in a few words."""


class Scraper:
    """Asks `url` through `asked` and hands `keep` a sample a second, from `start` to `stop`."""

    def __init__(
        self, url: str, asked: Session, keep: Callable[[Sample], object], *, secret: str | None = None
    ) -> None:
        self.url = url
        self.says: str | None = None  # what came of `ask`, in a line
        self._asked = asked
        self._secrets = [secret, secret and secret.lower()]  # as `reason` may have it
        self._keep = keep
        self._first: Sample | None = None
        self._greenlet: gevent.Greenlet | None = None

    def ask(self) -> None:
        """Before load: is there a page? Without this, and if there is none, `start` does nothing."""
        look = self._look()
        whose = f"{look.system}'s" if look.system else "empty so far"
        self.says = f"none, {self.url} {look.problem}" if look.problem else f"{whose}, {self.url}"
        self._first = None if look.problem else look

    def renew(self) -> None:
        """Look again before load: workers have sent trial requests since, which are none of it."""
        if self._first is not None and not (look := self._look()).problem:
            self._first = look

    def start(self) -> None:
        """Load begins."""
        if self._first is not None:
            self._keep(self._first)
            self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """The last request has ended: look once more, or until the server has come to rest. A second call does nothing."""
        if self._greenlet is None:
            return
        self._greenlet.kill()
        self._greenlet = None
        for _ in range(SETTLE):
            sample = self._look()
            self._keep(sample)
            if sample.problem or not (sample.queued or sample.running):
                break
            gevent.sleep(SETTLE_S)
        with suppress(OSError):
            self._asked.close()

    def _watch(self) -> None:
        due_ns = now_ns()
        while True:
            due_ns = max(due_ns + int(PERIOD_S * 1e9), now_ns())
            gevent.sleep((due_ns - now_ns()) / 1e9)
            self._keep(self._look())

    def _look(self) -> Sample:
        """One question; never raises for what may come of it."""
        limit = gevent.Timeout(TIMEOUT_S)
        try:
            with limit:
                page = self._page()
        except gevent.Timeout as timeout:
            if timeout is not limit:  # somebody else's
                raise
            return _gap(_late())
        except _NoPage as error:
            return _gap(str(error))
        except OSError as error:  # all of `requests`' errors are
            if isinstance(cause(error), TimeoutError):
                return _gap(_late())
            return _gap(f"cannot be read ({hide(clean(reason(error)), self._secrets)})")
        arrived_ns = now_ns() + ANCHOR_NS
        system, figures = read(page)
        if system is None and page.strip():
            return _gap("has no names of vLLM, TGI, llama.cpp or SGLang")
        return of_json({"time_ns": arrived_ns, "system": system, **figures})

    def _page(self) -> bytes:
        """The page's bytes.

        Raises:
            OSError: it could not be had.
            _NoPage: what came is none.
        """
        asked = self._asked.get(
            self.url, headers=_ACCEPTED, timeout=TIMEOUT_S, allow_redirects=False, stream=True
        )
        with asked as answer:
            pieces: list[bytes] = []
            left = MOST_BYTES
            if answer.status_code == 200:
                for piece in answer.iter_content(_PIECE):
                    pieces.append(piece)
                    left -= len(piece)
                    if left < 0:
                        raise _NoPage(f"has more than {MOST_BYTES // 10**6} MB")
            page = b"".join(pieces)
            if why := refusal(answer.status_code, answer.headers.get("Content-Type", ""), page):
                raise _NoPage(why)
        return page


def refusal(status: int, content_type: str, page: bytes) -> str | None:
    """Why an answer is not a page of metrics, in a few words; None if it is one.

    An empty page is one: TGI's has nothing on it before its first request.
    """
    if status == 501:  # llama.cpp's answer, where others say 404
        return "answered 501: start llama.cpp with --metrics"
    if status != 200:
        return f"answered {status}"
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("text/html", "application/json"):
        return f"is not Prometheus text but {kind}"
    begin = page[:1000].lstrip()
    if begin and not re.match(rb"#|[a-zA-Z_:][\w:]*(\{.*\})?[ \t]+[-+.\dNiI]", begin):
        return "is not Prometheus text"
    return None


def _late() -> str:
    return f"did not answer in {TIMEOUT_S:g} s"


def _gap(problem: str) -> Sample:
    return Sample(time_ns=now_ns() + ANCHOR_NS, problem=problem)
