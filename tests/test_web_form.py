"""Locust's start form with our options, used as people do: real Locust processes, workers, the simulator, a real Chromium."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace as Thing
from typing import Any, Final, Self

import pytest
import requests
import warm
from devtools import Tab
from distributed_runs import BRISK
from locust_runs import LOCUSTFILES, NUMBERS, Result, finish, simulator, start, until
from web_site import Site, serving

from harness.errors import ConfigError
from harness.servers.process import Server, free_port
from harness.web.form_classes import picked

SIZES: Final = (*NUMBERS, "--output-tokens", "10")
USERS: Final = {"user_count": 1, "spawn_rate": 10}
SCRIPT: Final = """
window.field = name => document.querySelector(`form [name="${name}"]`);
window.fill = (name, text) => {
  const one = field(name), kind = one instanceof HTMLSelectElement ? HTMLSelectElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(one, text);
  one.dispatchEvent(new Event("input", {bubbles: true}));
  one.dispatchEvent(new Event("change", {bubbles: true}));
};
window.wait = what => new Promise(done => { const look = () => { const found = what(); found ? done(found) : setTimeout(look, 30); }; look(); });
window.alertText = () => document.querySelector("form .MuiAlert-message")?.innerText;
window.fresh = () => [...document.querySelectorAll("button")].find(one => one.textContent === "New");
wait(() => document.querySelector("form") || fresh()).then(() => {
  if (!document.querySelector("form")) fresh().click();  // a run has been: its statistics are shown, and the form on request
  return wait(() => document.querySelector("form"));
}).then(() => true)
"""
START: Final = "document.querySelector('form button[type=submit]').click()"
ERROR: Final = "wait(() => alertText())"
RUNNING: Final = "wait(() => !document.querySelector('form')).then(() => true)"
HEADING: Final = """
[...document.querySelectorAll('.MuiAccordionDetails-root > * > *')].map(one => {
  const content = getComputedStyle(one, '::before').content;
  return content === 'none' ? null : JSON.parse(content);
}).filter(Boolean)
"""


@dataclass(frozen=True)
class Stage:
    """A master with two workers and its server."""

    site: Site
    server: Server

    def open(self, tab: Tab) -> None:
        """Its page, with the form there."""
        tab.open(f"{self.site.url}/")
        tab.run(SCRIPT)

    def summary(self, name: str) -> Any:
        """Of the run of this name, once its results are written and Locust has done with it."""
        found: list[Path] = []

        def ended() -> bool:
            found[:] = [run for run in self.site.runs if f"-{name}-" in run.name]
            return bool(found)

        until(ended)
        until(lambda: self.site.stats()["state"] in ("stopped", "ready"))
        return json.loads((found[0] / "summary.json").read_bytes())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all tests here, which use it one after the other."""
    folder = tmp_path_factory.mktemp("form")
    secret = {"SOME_API_KEY": "sk-very-secret-1"}
    options = (*SIZES, "--extra-body", '{"user": "sk-very-secret-1"}', "--label", "gpu=none")
    with (
        simulator(*BRISK) as server,
        serving(folder, "--host", server.url, *options, workers=2, env=secret) as site,
    ):
        yield Stage(site, server)


def test_the_form_shows_our_options_in_groups(stage: Stage, tab: Tab) -> None:
    """Headings, selects with their words, what holds now; at once, without opening anything; and no secret."""
    stage.open(tab)
    headings = tab.run(HEADING)
    assert headings[:3] == ["Server and model", "Load: users, or a sweep", "Load: open loop"]
    assert len(headings) == 9
    assert tab.run("[...field('stream').options].map(one => one.value)") == ["auto", "yes", "no"]
    assert tab.run("[...field('apiMode').options].map(one => one.value)") == [
        "default",
        "chat",
        "completions",
    ]
    values = "[field('promptTokens').value, field('label').value, field('stopWhenSaturated').type]"
    assert tab.run(values) == ["30", "gpu=none", "checkbox"]
    assert tab.run("field('levels').checkVisibility({visibilityProperty: true})")
    label = (
        "getComputedStyle(document.querySelector(`label[for='${field('levels').id}']`), '::after').content"
    )
    assert "Sweep over these numbers of users" in tab.run(label)
    for name in ("extraBody", "header", "serve", "resultsDir", "junit", "dataset"):
        assert tab.run(f"field('{name}')") is None, name
    assert "sk-very-secret" not in requests.get(f"{stage.site.url}/", timeout=5).text
    assert tab.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits(stage: Stage, tab: Tab, width: int) -> None:
    """Nothing scrolls sideways, each field is as wide as there is room, and its label is above it in full."""
    tab.view(width)
    stage.open(tab)
    assert tab.run("document.documentElement.scrollWidth") == width
    cut = """[...field('levels').closest('.MuiAccordion-root').querySelectorAll('label')].filter(one => one.offsetHeight &&
      (one.scrollWidth > one.offsetWidth + 1 || one.getBoundingClientRect().right > innerWidth)).length"""
    assert tab.run(cut) == 0
    boxes = "[field('levels'), field('requestsPerLevel')].map(one => one.getBoundingClientRect().x)"
    left, right = tab.run(boxes)
    assert (right > left) == (width > 700)


def test_without_our_style_it_is_locusts_own_form(stage: Stage, tab: Tab) -> None:
    """Every field is there, below its Custom parameters."""
    tab.ask("Network.setBlockedURLs", urls=["*/form.css"])
    stage.open(tab)
    tab.run("wait(() => field('levels')).then(() => true)")
    assert "Custom parameters" in tab.run("document.getElementById('root').innerText")
    label = tab.run("document.querySelector(`label[for='${field('levels').id}']`).textContent")
    assert label.startswith("Levels (Sweep over these numbers of users")


def test_what_is_wrong_is_said_beside_the_form(stage: Stage, tab: Tab) -> None:
    """All of it, a line each; nothing has begun, and what the form holds is still there."""
    stage.open(tab)
    before = set(stage.site.results.glob("*"))
    tab.run("fill('levels', '0,x'); fill('maxTime', 'soon')")
    tab.run(START)
    first, second = tab.run(ERROR).splitlines()
    assert first == "--levels '0,x': '0' is not a number of users; write e.g. 1,2,4,8"
    assert second.startswith("--max-time 'soon'")
    assert tab.run("field('levels').value") == "0,x"
    assert tab.run(
        "(({bottom, top}) => top > 0 && bottom <= innerHeight)(document.querySelector('form .MuiAlert-root').getBoundingClientRect())"
    )
    assert set(stage.site.results.glob("*")) == before
    assert stage.site.stats()["state"] == "ready"
    stage.open(tab)
    assert tab.run("[field('levels').value, field('maxTime').value]") == ["", ""]


def test_a_server_that_is_not_there_is_told_beside_the_form(stage: Stage, tab: Tab) -> None:
    """As soon as it has been asked; in Locust's log and on its Exceptions tab, too."""
    dead = f"http://127.0.0.1:{free_port()}"
    stage.open(tab)
    tab.run(f"fill('host', '{dead}')")
    tab.run(START)
    assert tab.run(ERROR).startswith(f"--host {dead} cannot be reached")
    told = requests.get(f"{stage.site.url}/exceptions", timeout=5).json()["exceptions"]
    assert any(dead in one["msg"] for one in told)
    assert not list(stage.site.results.glob("*"))
    assert requests.get(f"{stage.site.url}/", timeout=5).text.count(dead) == 0


def test_a_sweep_and_then_an_ordinary_run(stage: Stage, tab: Tab) -> None:
    """From the form of one process that was started for neither, over two workers; options of the first are gone with it."""
    stage.open(tab)
    tab.run("fill('levels', '1,3'); fill('requestsPerLevel', '6'); fill('runName', 'swept')")
    tab.run(START)
    tab.run(RUNNING)
    assert "A sweep" in stage.site.refused(**USERS)
    swept = stage.summary("swept")
    assert [(level["concurrency"], level["requests"]) for level in swept["levels"]] == [(1, 6), (3, 6)]
    assert swept["complete"]
    stage.open(tab)
    assert tab.run("[field('levels').value, field('userCount').disabled]") == ["1,3", False]
    tab.run(
        "fill('levels', ''); fill('requestsPerLevel', ''); fill('runName', 'plain'); fill('userCount', '2')"
    )
    tab.run(START)
    tab.run(RUNNING)
    refused = stage.site.refused(user_count=2, spawn_rate=1, output_tokens="12", seed="1")
    assert refused == "--output-tokens cannot be changed while a run goes on: stop it first"
    until(lambda: stage.site.measured("plain") > 4)  # both users are up and past their warm-up
    for path in ("/stats/requests/csv", "/stats/failures/csv", "/exceptions/csv", "/stats/report?download=1"):
        answer = requests.get(stage.site.url + path, timeout=20)
        assert (answer.status_code, "attachment" in answer.headers["Content-Disposition"]) == (200, True), (
            path
        )
    stage.site.stop()
    plain = stage.summary("plain")
    assert [level["concurrency"] for level in plain["levels"]] == [2]
    assert plain["complete"]
    assert plain["verdict"]["reasons"] == [] or "exceptions" not in str(plain["verdict"])
    assert tab.complaints == []


def test_other_loads_from_the_form(stage: Stage) -> None:
    """Lengths with the form's users, and an open loop with its run time."""
    stage.site.swarm(
        user_count=2,
        spawn_rate=9,
        prompt_tokens="",
        prompt_levels="20,40",
        requests_per_level=4,
        run_name="long",
    )
    lengths = stage.summary("long")["levels"]
    assert [(level["concurrency"], level["title"], level["requests"]) for level in lengths] == [
        (2, "20 prompt tokens", 4), (2, "40 prompt tokens", 4)
    ]  # fmt: skip
    form = {"prompt_tokens": "20", "prompt_levels": "", "requests_per_level": "", "arrivals": "constant:20"}
    stage.site.swarm(**USERS, **form, run_time="1s", run_name="open")
    assert "An open loop" in stage.site.refused(**USERS, arrivals="")
    (level,) = stage.summary("open")["levels"]
    assert level["requests"] == 20


def test_a_second_start_and_a_stop_meanwhile(stage: Stage) -> None:
    """While a run is prepared, which may take minutes, the one is refused and the other heeded; nothing is left of it."""
    with Mute() as mute, ThreadPoolExecutor() as pool:
        seen = set(stage.site.results.glob("*"))
        first = pool.submit(stage.site.refused, **USERS, host=mute.url, arrivals="", run_time="")
        until(mute.has_been_asked)
        assert stage.site.refused(**USERS) == "a run is being prepared: wait until it has begun, or stop it"
        stage.site.stop()
        assert first.result() == "stopped before it had begun: nothing was sent"
    assert set(stage.site.results.glob("*")) == seen
    stage.site.swarm(**USERS, host=stage.server.url, max_requests="3", run_name="after")
    assert stage.summary("after")["totals"]["succeeded"] == 3


SHAPED: Final = """
from locust import LoadTestShape
from harness.users import LLMUser
from locust import task

class One(LLMUser):
    @task
    def ask_it(self):
        self.ask(name="one")

class Two(LLMUser):
    @task
    def ask_it(self):
        self.ask(name="two")

class Steps(LoadTestShape):
    def tick(self):
        return (2, 10) if self.get_run_time() < 2 else None
"""


def web(port: int) -> tuple[str, ...]:
    """Options of a process with a page."""
    return ("--web-host", "127.0.0.1", "--web-port", str(port))


def from_the_start(folder: Path, host: str) -> Result:
    """A run that begins by itself and ends the process."""
    options = ("--host", host, "-u", "2", "-r", "9", "-t", "3s", "--autostart", "--autoquit", "0")
    return finish(start("demo.py", folder / "r", *SIZES, *options, *web(free_port())), folder / "r")


def without_host(folder: Path, *options: str) -> Result:
    """A process that nobody can tell the host any more."""
    return finish(start("demo.py", folder / "r", *options), folder / "r")


def asks_for_the_host(folder: Path, host: str) -> tuple[str, Any]:
    """Started without one: what is said to a form without it, and what comes of one that has it."""
    with alone(folder, LOCUSTFILES / "demo.py", *SIZES) as site:
        said = site.refused(**USERS, host="")
        site.swarm(**USERS, host=host, levels="2", requests_per_level=4)
        until(lambda: bool(site.runs))
        return said, json.loads((site.runs[0] / "summary.json").read_bytes())


def with_a_shape(folder: Path, host: str) -> tuple[str, Any]:
    """A locustfile with a load shape: it says how many users there are; what is said where options say it, too."""
    file = folder / "shaped.py"
    file.write_text(SHAPED)
    with alone(folder, file, "--host", host, *SIZES) as site:
        said = site.refused(**USERS, levels="1,2")
        site.swarm(user_count=0, spawn_rate=0, host=host)
        until(lambda: bool(site.runs))
        return said, json.loads((site.runs[0] / "summary.json").read_bytes())


def with_the_picker(folder: Path, host: str) -> list[list[Any]]:
    """One of two classes, in a sweep, and then the shape, for both; (level, users, names) of each."""
    file = folder / "shaped.py"
    file.write_text(SHAPED)
    with alone(folder, file, "--host", host, *SIZES, "--class-picker") as site:
        picked = {"host": host, "shape_class": "Default", "user_classes": ["Two"]}
        site.swarm(**USERS, **picked, levels="1,2", requests_per_level=4)
        until(lambda: len(site.runs) == 1)
        until(lambda: site.stats()["state"] == "stopped")
        assert "exclude each other" in site.refused(**USERS, host=host, shape_class="Steps")
        assert "is unknown" in site.refused(**USERS, host=host, shape_class="Stairs")
        form = {
            "shape_class": "Steps",
            "levels": "",
            "requests_per_level": "",
            "user_classes": ["One", "Two"],
        }
        site.swarm(user_count=0, spawn_rate=0, host=host, **form)
        until(lambda: len(site.runs) == 2)
        kept = [json.loads((run / "summary.json").read_bytes()) for run in site.runs]
        users = [json.loads((run / "run.json").read_bytes())["settings"]["users"] for run in site.runs]
        return [
            [[level["concurrency"] for level in one["levels"]], sorted(who)]
            for one, who in zip(kept, users, strict=True)
        ]


def interrupted_meanwhile(folder: Path) -> tuple[int | None, list[Path]]:
    """Ctrl-C while a run is prepared: (exit code, what is left)."""
    with Mute() as mute, alone(folder, LOCUSTFILES / "demo.py", *SIZES) as site, ThreadPoolExecutor() as pool:
        first = pool.submit(requests.post, f"{site.url}/swarm", data={**USERS, "host": mute.url}, timeout=60)
        until(mute.has_been_asked)
        site.process.send_signal(signal.SIGINT)
        code = site.process.wait(60)
        with suppress(requests.RequestException):  # it may be gone before it could answer
            first.result()
        return code, list(site.results.glob("*"))


@contextmanager
def alone(folder: Path, file: Path, *options: str) -> Iterator[Site]:
    """A process without workers, and without a host if none is given."""
    port, results = free_port(), folder / "results"
    words = ("-f", str(file), "--results-dir", str(results), *web(port), *options)
    with (folder / "log").open("wb") as log:
        process = warm.start(words, dict(os.environ), folder, log, log)
    try:
        site = Site(port, results, folder / "log", process)
        until(site.is_up)
        yield site
        assert "Traceback" not in site.said
    finally:
        process.terminate()
        process.wait(60)


def test_started_in_other_ways(tmp_path: Path) -> None:
    """By itself, without a host, with a load shape, with the class picker; each to its end, all at once."""
    folders = iter([tmp_path / str(number) for number in range(9)])

    def folder() -> Path:
        made = next(folders)
        made.mkdir()
        return made

    with simulator(*BRISK) as server, ThreadPoolExecutor(9) as pool:
        auto = pool.submit(from_the_start, folder(), server.url)
        hostless = pool.submit(asks_for_the_host, folder(), server.url)
        shaped = pool.submit(with_a_shape, folder(), server.url)
        picked = pool.submit(with_the_picker, folder(), server.url)
        stopped = pool.submit(interrupted_meanwhile, folder())
        refused = [
            pool.submit(without_host, folder(), *options)
            for options in (
                ("--headless",),
                ("--autostart", *web(free_port())),
                ("--levels", "0,x", *web(free_port())),
            )
        ]
        assert (auto.result().code, auto.result().summary["levels"][0]["concurrency"]) == (0, 2)
        said, summary = hostless.result()
        assert said.startswith("--host is missing: give the server's base URL")
        assert [level["concurrency"] for level in summary["levels"]] == [2]
        said, summary = shaped.result()
        assert "load shape Steps and a sweep or open loop exclude each other" in said
        assert [level["concurrency"] for level in summary["levels"] if level["concurrency"]] == [2]
        assert picked.result() == [[[1, 2], ["Two"]], [[2], ["One", "Two"]]]
        assert stopped.result() == (0, [])
        missing, also, wrong = (one.result() for one in refused)
    for done, line in (
        (missing, "--host is missing"),
        (also, "--host is missing"),
        (wrong, "--levels '0,x'"),
    ):
        assert done.code == 2
        assert line in done.errors[0]


class Mute:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self._asking: list[Any] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self._asking, self._socket):
            one.close()

    def has_been_asked(self) -> bool:
        try:
            self._asking.append(self._socket.accept()[0])
        except TimeoutError:
            return False
        return True


# Says which options Locust has when a run begins, and what its classes are.
TELLING: Final = """
import json
from pathlib import Path
from locust import events, task
from harness.users import LLMUser

class Reader(LLMUser):
    backend = "openai"
    prompt_tokens, output_tokens = "30", "10"
    @task
    def read(self): self.ask()

@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--mine", default="as it was")

@events.test_start.add_listener
def _(environment, **_):
    told = vars(environment.parsed_options) | {"prompt": Reader.prompt_tokens, "json": str(Reader.json)}
    Path("told.json").write_text(json.dumps(told, default=str))
"""
NO_FIELDS: Final = {
    "locustfile": "/etc/hostname",
    "html_file": "page.html",
    "json_file": "page.json",
    "csv_prefix": "page",
    "master": "true",
    "web_port": "abc",
    "results_dir": "/tmp/elsewhere",
    "logfile": "page.log",
}


def test_what_is_no_field_of_the_form_changes_nothing(tmp_path: Path) -> None:
    """Whatever a request names: neither Locust's options, files it would write among them, nor attributes of a class."""
    file = tmp_path / "telling.py"
    file.write_text(TELLING)
    (tmp_path / "secret.txt").write_text("TOP PRIVATE")
    with simulator(*BRISK) as server, serving(tmp_path, "--host", server.url, file=file) as site:
        for said in (
            {"user_class_name": "Reader", "prompt_tokens": f"file:{tmp_path / 'secret.txt'}"},
            {"user_class_name": "Reader", "json": 1},
            {"user_class_name": "Reader", "weight": 2},
            {"user_class_name": "Nobody", "weight": 2},
            [],
        ):
            answer = requests.post(f"{site.url}/user", json=said, timeout=5)
            assert (answer.status_code, "message" in answer.json()) == (400, True), said
        site.swarm(**USERS, **NO_FIELDS, mine="mine")
        told = json.loads((tmp_path / "told.json").read_text())
        assert {name: told[name] for name in NO_FIELDS if told[name] == NO_FIELDS[name]} == {}
        assert (told["mine"], told["prompt"], "bound method" in told["json"]) == ("mine", "30", True)
        site.stop()
        until(lambda: len(site.runs) == 1)
    assert [path.name for path in tmp_path.glob("page*")] == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"user_class_name": "A", "weight": 3, "fixed_count": 2, "tasks": ["read"], "host": ""}, None),
        ({"user_class_name": "A", "weight": "3"}, "weight"),
        ({"user_class_name": "A", "weight": True}, "weight"),
        ({"user_class_name": "A", "weight": -1}, "weight"),
        ({"user_class_name": "A", "fixed_count": 1.5}, "fixed_count"),
        ({"user_class_name": "A", "tasks": "read"}, "tasks"),
        ({"user_class_name": "A", "host": "http://elsewhere"}, "host"),
        ({"user_class_name": "A", "backend": "sambanova"}, "backend"),
        ({"user_class_name": "B"}, "user_class_name"),
        (None, "user_class_name"),
    ],
)
def test_what_the_class_picker_may_change(said: Any, problem: str | None) -> None:
    """How many and which tasks; numbers that are some; nothing else."""
    environment: Any = Thing(available_user_classes={"A": Thing(host=None)})
    picker: Any = Thing(userclass_picker_is_active=True)
    if problem is None:
        picked(environment, picker, said)
        return
    with pytest.raises(ConfigError, match=problem):
        picked(environment, picker, said)
