"""Locust's web UI with our pages, run as a user does: a process of its own, and workers where they are wanted.

with serving(folder, "--host", server.url, file=VLLM, workers=2) as site:
    tab.open(site.at("tokens"))
"""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import requests
import warm
from locust_runs import LOCUSTFILES, clean
from web_page import Page

from harness.servers.process import free_port

__all__ = ["Site", "serving"]

DEMO: Final = LOCUSTFILES / "demo.py"


@dataclass
class Site(Page):
    """One Locust with a web UI; `url` has its base path."""

    port: int
    results: Path
    log: Path
    process: warm.Process
    base: str = ""
    workers_of: list[warm.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}{self.base}"

    def at(self, page: str) -> str:
        """The address of one of our pages, e.g. `tokens`."""
        return f"{self.url}/tokenswarm/{page}"

    @property
    def said(self) -> str:
        """What the master, or the one process, has printed."""
        return self.log.read_text(errors="replace")

    @property
    def runs(self) -> list[Path]:
        """Run directories whose results are written, by name."""
        return sorted(path.parent for path in self.results.glob("*/report.html"))

    def measured(self, name: str) -> int:
        """Requests that count in the levels of the run of this name, as far as is known; 0 while the page shows another."""
        told = requests.get(self.at("tokens.json"), timeout=10).json()
        if (told["run"] or {}).get("name") != name:
            return 0
        return sum(level.get("requests") or 0 for level in told["levels"])


@contextmanager
def serving(  # what a command line has
    folder: Path,
    *options: str,
    file: Path = DEMO,
    workers: int = 0,
    base: str = "",
    env: Mapping[str, str] = {},
    worker_env: Mapping[str, str] = {},
) -> Iterator[Site]:
    """Start it in `folder` and wait until its page answers and its workers are there; end it all afterwards.

    Any answer will do, the login's too; workers are not waited for where there is a login.
    """
    port, results = free_port(), folder / "results"
    locust = ["-f", str(file), "--results-dir", str(results)]
    web = ["--web-host", "127.0.0.1", "--web-port", str(port), *(["--web-base-path", base] if base else [])]
    with ExitStack() as stack:

        def begin(name: str, options: list[str], more: Mapping[str, str]) -> warm.Process:
            with (folder / f"{name}.log").open("wb") as log:
                process = warm.start(options, clean(more), folder, log, log)
            stack.callback(_end, process)
            return process

        link = free_port()
        cluster = (
            ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(link)]
            if workers
            else []
        )
        host = [] if "--host" in options else ["--host", "http://127.0.0.1:9"]  # where nobody listens
        master = begin("locust", [*locust, *web, *cluster, *host, *options], env)
        site = Site(port, results, folder / "locust.log", master, base)
        for number in range(workers):
            worker = ["-f", str(file), "--worker", "--master-port", str(link)]
            worker += ["--results-dir", str(folder / f"worker-{number}")]
            site.workers_of.append(begin(f"worker-{number}", worker, worker_env or env))
        _await(site, workers)
        yield site


def _await(site: Site, workers: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert site.process.poll() is None, site.said
        try:
            answer = requests.get(f"{site.url}/", timeout=5, allow_redirects=False)
            if answer.status_code == 302 or not workers or (answer.ok and site.workers() >= workers):
                return
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, site.said
        time.sleep(0.1)


def _end(process: warm.Process) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
