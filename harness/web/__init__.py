"""Our pages in Locust's web UI: a bar above Locust's page, and behind it pages of our own.

    site      what the pages know of the process they are in; routes behind Locust's login, answers with their headers
    guard     every request is looked at: where it comes from (origins), how long it is; what answers may tell others
    login     --web-login: one user, of the environment
    form      our options in Locust's start form, and what its Start button does
    bar       the bar, put into Locust's page; ours have it from the beginning
    tokens    the run under way, second by second (sampler, lookout, beats, ledger, history, outlook, standing, state; tokens_page)
    chat      talk to the system under test (chat_page is its HTML)
    results   runs so far: their reports, files, comparisons (results_place, _shelf, _jobs, _child, _tasks, _send, _page)
    change    users or rate changed while a run goes on
    static/   their style and scripts, served by us: nothing comes from anywhere else

Locust's own page, routes and downloads stay as they are.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.session import Session

__all__ = ["open_site"]


def open_site(session: "Session") -> None:
    """Add the pages. To be called before the web UI serves its first page.

    They are read here: their tables take pandas, which a worker or a headless run does not need before its load is over.
    """
    from harness.web import bar, change, chat, form, guard, login, results, tokens  # noqa: PLC0415
    from harness.web.site import Site  # noqa: PLC0415

    site = Site.of(session)
    guard.add(site)
    login.add(site)
    site.serve_assets()
    form.add(site)
    bar.add(site)
    tokens.add(site)
    change.add(site)
    chat.add(site)
    results.add(site)
