"""Starts an InfluxDB for tests: as processes or as a container, empty but for one bucket.

A server listens at 127.0.0.1, has its data in a folder of its own, and goes when we do, however we go. Which one to start:
`influx_servers`.
"""

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from influx_bucket import Control, Influx, Source

from harness.servers.guard import Guard
from harness.servers.process import Server, ServerFailed, serving
from harness.servers.ready import ReadyCheck
from harness.servers.recipe import Recipe

__all__ = ["BUCKET", "ORG", "nginx", "started"]

TEMPLATES: Final = Path(__file__).parent / "influxd"
DEADLINE_S: Final = 60.0
PORTS: Final = range(20_000, 32_000)  # below those of outgoing connections, which begin at 32768
ORG, BUCKET, USER = "tokenswarm-tests", "tokenswarm", "tests"


def nginx() -> str | None:
    """Where it is; its folder is seldom on a user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")


@dataclass
class _Processes:
    """Servers of this machine, started in this order."""

    recipes: Sequence[Recipe]
    _running: list[Server] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        for recipe in self.recipes:
            server = self._stack.enter_context(serving(recipe, deadline_s=DEADLINE_S, signals=False))
            self._running.append(server)

    def stop(self) -> None:
        self.thaw()
        self._running.clear()
        self._stack.close()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for server in self._running:
            with suppress(ProcessLookupError):
                os.kill(server.pid, number)


@dataclass
class _Container:
    """One container, which keeps its data while it is stopped."""

    name: str
    url: str

    def start(self) -> None:
        _docker("start", self.name)
        port = urlsplit(self.url).port
        deadline = time.monotonic() + DEADLINE_S
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with suppress(OSError, http.client.HTTPException), closing(connection):
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"container {self.name}: not ready within {DEADLINE_S:g} s: see `docker logs {self.name}`"
                )
            time.sleep(0.2)

    def stop(self) -> None:
        _docker("stop", "--time", "5", self.name)

    def freeze(self) -> None:
        _docker("pause", self.name)

    def thaw(self) -> None:
        _docker("unpause", self.name)


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise ServerFailed(f"docker {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _free_port() -> int:
    """One that the kernel gives to nobody who does not ask for it: a stopped server finds it free again."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def _swept(folder: str) -> Iterator[None]:
    """The folder goes even if we are killed outright."""
    guard = Guard(["rm", "-rf", folder])
    try:
        yield
    finally:
        guard.release()


@contextmanager
def started(source: Source) -> Iterator[Influx]:
    """A server of one kind, empty but for one bucket; gone when the context is left.

    Raises:
        ServerFailed: it did not come up.
    """
    # 1.x takes a login for a token; in 2.x a token with a colon is none to /query, which takes it for a login of 1.x.
    password = secrets.token_hex(16)
    token = f"{USER}:{password}" if source.kind == "1.x" else password
    with TemporaryDirectory(prefix="tokenswarm-influx-") as folder, _swept(folder), ExitStack() as stack:
        place = _Place(Path(folder), _free_port(), token)
        up: AbstractContextManager[Control] = (_container if source.container else _processes)(source, place)
        control = stack.enter_context(up)
        influx = Influx(place.url, token, ORG, BUCKET, source.version, source.kind, control)
        _set_up(influx, container=source.container)
        yield influx


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a server is to be."""

    folder: Path
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fill(self, name: str, **more: object) -> Path:
        """A configuration in our folder, from the one of that name in tests/influxd/."""
        text = (TEMPLATES / name).read_text(encoding="utf-8")
        for word, value in {"folder": self.folder, "port": self.port, "token": self.token, **more}.items():
            text = text.replace(f"@{word.upper()}@", str(value))
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@contextmanager
def _processes(source: Source, place: _Place) -> Iterator[_Processes]:
    # Both generations take settings from the environment too; INFLUXDB_URL and the like are not meant for them.
    env = {name: value for name, value in os.environ.items() if not name.startswith("INFLUX")}
    recipe = partial(Recipe, f"InfluxDB {source.version}", env=env, grace_s=10.0)
    if source.kind == "2.x":
        env["INFLUXD_CONFIG_PATH"] = str(place.folder)
        command = [source.program, *_flags(place)]
        recipes = [recipe(command, place.url, ReadyCheck("/health"))]
    elif source.kind == "1.x":
        config = place.fill("influxdb.conf", auth="true")
        recipes = [recipe([source.program, "-config", str(config)], place.url, ReadyCheck("/ping"))]
    else:
        behind = _free_port()
        config = place.fill("influxdb.conf", auth="false", port=behind)
        command = [source.program, "-config", str(config)]
        front = [nginx() or "nginx", *("-e", "stderr"), *("-p", str(place.folder))]
        front += ["-c", str(place.fill("nginx.conf", behind=behind))]
        recipes = [
            recipe(command, f"http://127.0.0.1:{behind}", ReadyCheck("/ping")),
            Recipe("nginx", front, place.url, ReadyCheck("/ping")),
        ]
    processes = _Processes(recipes)
    try:
        processes.start()
        yield processes
    finally:
        processes.stop()


def _flags(place: _Place) -> list[str]:
    flags = {
        "http-bind-address": f"127.0.0.1:{place.port}",
        "bolt-path": f"{place.folder}/influxd.bolt",
        "sqlite-path": f"{place.folder}/influxd.sqlite",
        "engine-path": f"{place.folder}/engine",
        "log-level": "error",
    }
    return [*(f"--{name}={value}" for name, value in flags.items()), "--reporting-disabled", "--no-tasks"]


@contextmanager
def _container(source: Source, place: _Place) -> Iterator[_Container]:
    name = f"tokenswarm-tests-{secrets.token_hex(4)}"
    settings = {"MODE": "setup", "USERNAME": USER, "PASSWORD": place.token, "ADMIN_TOKEN": place.token}
    settings |= {"ORG": ORG, "BUCKET": BUCKET}
    options = [
        word for key, value in settings.items() for word in ("-e", f"DOCKER_INFLUXDB_INIT_{key}={value}")
    ]
    remove = ["docker", "rm", "--force", "--volumes", name]
    guard = Guard(remove)
    try:
        _docker("create", "--name", name, "-p", f"127.0.0.1:{place.port}:8086", *options, source.program)
        container = _Container(name, place.url)
        container.start()
        yield container
    finally:
        subprocess.run(remove, capture_output=True, timeout=60, check=False)
        guard.release()


def _set_up(influx: Influx, *, container: bool) -> None:
    """The first user, organisation and bucket; a container makes them itself."""
    password = influx.token.rpartition(":")[2]
    if influx.kind == "2.x" and not container:
        names = {"username": USER, "password": password, "org": influx.org, "bucket": influx.bucket}
        influx.post("/api/v2/setup", {**names, "token": influx.token})
    elif influx.kind != "2.x":
        if influx.kind == "1.x":
            influx.command(f"CREATE USER {USER} WITH PASSWORD '{password}' WITH ALL PRIVILEGES")
        influx.command(f'CREATE DATABASE "{influx.bucket}"')
