"""The page of runs so far: what each found, its report and files, and two of them held against each other.

    results                         the page
    results.json?from=N             PAGE runs from the Nth on, the newest first
    results/ID/details.json         its levels, all reasons, files
    results/ID/report               report.html in a sandbox; POST: make it, a job
    results/ID/files/NAME           a download; results/ID/NAME too, since that is what report.html's own links say
    results/ID/bundle               POST: the evidence in one file, a job
    compare.json                    POST {"base": ID, "new": [ID, ...]}: a job
    jobs/N.json, jobs/N/file        how far it is, and what it has made

ID is a directory below the results directory as it is now, or CAMPAIGN/runs/DIRECTORY. What is no such directory is a 404,
whatever was asked for. Nothing here parses a run's files or computes: that is for children (`harness.web.results_child`).
"""

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent
import orjson

from harness import digest, inside
from harness.clock import unix_now_ns
from harness.errors import ConfigError
from harness.web import results_send, results_tasks
from harness.web.results_jobs import Job, Jobs, Task
from harness.web.results_page import BODY
from harness.web.results_place import Entry, entries, is_id, stamped
from harness.web.results_shelf import Shelf

if TYPE_CHECKING:
    from flask import Response

    from harness.web.site import Site

__all__ = ["add"]

PAGE: Final = 250  # runs of one answer
FRESH_NS: Final = 60_000_000_000  # a journal written to since then is somebody's who is still at it
BODY_BYTES: Final = 64 << 10
HINDRANCE: Final = (
    "a run is under way in this process, and this would disturb its load: wait for its end, or stop it"
)
_PLACES: Final = ("results/<run>", "results/<campaign>/runs/<run>")


def add(site: "Site") -> None:
    """Serve the page."""
    past = _Past(site)
    site.session.afterwards(past.jobs.close)
    site.route(
        "results",
        lambda: site.page(
            "results",
            BODY.format(assets=site.url("assets")),
            "results_text.js",
            "results_compare.js",
            "results.js",
        ),
    )
    site.route("results.json", past.listing)
    site.route("compare.json", past.compare, "POST")
    site.route("jobs/<int:number>.json", past.job)
    site.route("jobs/<int:number>/file", past.made)
    for place in _PLACES:
        site.route(f"{place}/details.json", past.of_run(past.details))
        site.route(f"{place}/report", past.of_run(past.report), "GET", "POST")
        site.route(f"{place}/bundle", past.of_run(past.bundle), "POST")
        site.route(f"{place}/files/<path:name>", past.of_run(past.file))
        site.route(f"{place}/<name>", past.of_run(past.file))


class _Past:
    """The views."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.shelf = Shelf()
        self.jobs = Jobs(lambda: HINDRANCE if self._busy() == "local" else None)

    @property
    def root(self) -> Path:
        """The results directory as the options have it now."""
        return Path(getattr(self._options, "results_dir", None) or "results").absolute()

    @property
    def _options(self) -> object:
        return self.site.session.environment.parsed_options

    def _busy(self) -> str | None:
        """Where load is made now: in this process, or by a master's workers."""
        if self.site.run is None or self.site.run.is_over:
            return None
        return "master" if getattr(self._options, "master", False) else "local"

    def _own(self) -> str | None:
        """The id of the run that this process has under way."""
        run = self.site.run
        if run is None or run.is_over or run.directory.path.parent.absolute() != self.root:
            return None
        return run.directory.path.name

    def listing(self) -> "Response":
        """A page of runs; 304 where it is what the browser has."""
        from flask import request  # noqa: PLC0415  only where Locust has brought it

        begin = max(0, request.args.get("from", 0, type=int))
        root = self.root
        found = entries(root, _pause)
        shown = stamped(root, found[begin : begin + PAGE], _pause)
        own, now = self._own(), unix_now_ns()
        told = {
            "from": begin,
            "page": PAGE,
            "total": len(found),
            "place": str(root),
            "own": own,
            "busy": self._busy(),
            "elsewhere": [
                one.id for one in shown if one.id != own and now - (one.journal_ns or 0) < FRESH_NS
            ],
        }
        stamps = [(one.id, one.stamp) for one in shown]
        tag = f'"{sha256(orjson.dumps([told, stamps])).hexdigest()[:32]}"'
        if request.headers.get("If-None-Match") == tag:
            return self.site.answer("", status=304, ETag=tag)
        rows = b",".join(self.shelf.rows(root, shown))
        body = orjson.dumps(told)[:-1] + b',"rows":[' + rows + b"]}"
        return self.site.answer(body, "application/json", ETag=tag)

    def of_run(self, view: Callable[..., "Response"]) -> Callable[..., "Response"]:
        """A view of one run: it gets the run's entry, or is not asked at all."""

        def found(run: str, campaign: str | None = None, **more: str) -> "Response":
            entry = self._entry(run if campaign is None else f"{campaign}/runs/{run}")
            return self._none() if entry is None else view(entry, **more)

        return found

    def _entry(self, run: str) -> Entry | None:
        if not is_id(run):
            return None
        entry = Entry(run, "")
        try:
            os.close(inside.folder(self.root, entry.parts))
        except OSError:
            return None
        found = stamped(self.root, [entry], _pause)
        return (
            found[0] if found and any(found[0].stamp[1:]) else None
        )  # neither run.json nor summary.json: no run

    def details(self, entry: Entry) -> "Response":
        """What unfolds."""
        return self.site.answer(self.shelf.details(self.root, entry), "application/json")

    def file(self, entry: Entry, name: str) -> "Response":
        """A download of one of its results."""
        if not digest.is_offered(name):
            return self._none()
        try:
            file, found = inside.opened(self.root, [*entry.parts, *name.split("/")])
        except OSError:
            return self._none()
        return results_send.saved(
            self.site, file, found.st_size, f"{entry.parts[-1]}-{name.rsplit('/', 1)[-1]}"
        )

    def report(self, entry: Entry) -> "Response":
        """Its report as it is; or have it made."""
        from flask import request  # noqa: PLC0415

        if request.method == "POST":
            return self._ask(lambda _: self._tasks(entry).report(entry))
        try:
            file, found = inside.opened(self.root, [*entry.parts, "report.html"])
        except OSError:
            return self._none("This run has no report yet: the page of results can make it.")
        return results_send.page(self.site, file, found.st_size)

    def bundle(self, entry: Entry) -> "Response":
        """Have its bundle made."""
        return self._ask(
            lambda told: self._tasks(entry).bundle(entry, incomplete=told.get("incomplete") is True)
        )

    def compare(self) -> "Response":
        """Have runs compared."""

        def task(told: Mapping[str, Any]) -> Task:
            ids = results_tasks.compared(told)
            found = [self._entry(run) for run in ids]
            lost = [run for run, entry in zip(ids, found, strict=True) if entry is None]
            if lost:
                raise ConfigError(f"there is no run {lost[0][:200]!r} any more: load the page again")
            every = [entry for entry in found if entry is not None]
            return self._tasks(*every).compare(every, told)

        return self._ask(task)

    def job(self, number: int) -> "Response":
        """How far a job is."""
        job = self.jobs.get(number)
        return self._none() if job is None else self._told(job)

    def made(self, number: int) -> "Response":
        """What a job has made: a page to look at, or a file to take away, which is then gone here."""
        job = self.jobs.get(number)
        try:
            if job is None or job.state != "done":
                return self._none()
            file, found = inside.opened(job.file.parent, [job.file.name])
        except OSError:
            return self._none("It has been taken away already: have it made again.")
        if job.task.kind == "comparison":
            return results_send.page(self.site, file, found.st_size)
        job.file.unlink(missing_ok=True)
        return results_send.saved(self.site, file, found.st_size, job.task.name)

    def _tasks(self, *each: Entry) -> results_tasks.Tasks:
        """What may be done with these runs.

        Raises:
            ConfigError: one of them is under way.
        """
        now = unix_now_ns()
        for entry in each:
            if entry.id == self._own() or now - (entry.journal_ns or 0) < FRESH_NS:
                raise ConfigError(f"the run {entry.id} is still being written: wait for its end")
        return results_tasks.Tasks(self.root)

    def _ask(self, task: Callable[[Mapping[str, Any]], Task]) -> "Response":
        """A job of what a request's JSON asks for; 409 with the reason where it cannot be."""
        from flask import request  # noqa: PLC0415

        if request.mimetype != "application/json":  # which no form of another origin can send
            return self.site.json({"problem": "send JSON"}, status=415)
        request.max_content_length = BODY_BYTES  # more is a 413
        try:
            return self._told(self.jobs.ask(task(_object(request.get_data()))), status=202)
        except ConfigError as error:
            return self.site.json({"problem": str(error)}, status=409)

    def _told(self, job: Job, *, status: int = 200) -> "Response":
        has_file = job.state == "done" and job.file.is_file()
        return self.site.json(
            {
                "job": job.number,
                "kind": job.task.kind,
                "state": job.state,
                "before": self.jobs.place(job),
                "seconds": job.seconds,
                "said": job.said,
                "file": self.site.url(f"jobs/{job.number}/file") if has_file else None,
                **job.told,
            },
            status=status,
        )

    def _none(self, why: str = "There is no such run, or no such file in it.") -> "Response":
        return self.site.answer(why, "text/plain; charset=utf-8", status=404)


def _object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a request; an empty one of none.

    Raises:
        ConfigError: it is something else.
    """
    try:
        told = orjson.loads(body or b"{}")
    except ValueError as error:
        raise ConfigError("what was sent is no JSON") from error
    if not isinstance(told, dict):
        raise ConfigError("what was sent is no JSON object")
    return told


def _pause() -> None:
    """Others have their turn."""
    gevent.sleep(0)
