"""A real InfluxDB for tests: found or started, with a token, an organisation and buckets; stopped, frozen and started again.

    with open_influx() as influx:
        influx.write(b"m f=1 1")
        assert influx.query('SELECT "f" FROM "m"') == [{"time": 1, "f": 1.0}]

The first of these that there is:
1. `INFLUXDB_URL` with `INFLUXDB_TOKEN`, `_ORG`, `_BUCKET`: somebody's; we make buckets in it, and neither stop nor empty it.
   Not for a test that asks for a server of its `own`.
2. An `influxd` of 1.8 or newer, the highest of: `TOKENSWARM_INFLUXD` (that one and no other), the PATH, what `make influxd` built.
3. A container, where Docker answers; its image is the one of docker-compose.yml.
4. Debian's influxdb 1.6 behind nginx, which gives it the routes of 2.x. Its writes and its InfluxQL are InfluxDB's; its tokens
   are nginx's, and the errors of its writes have the words of 1.x.
Without any a test skips, and fails where TOKENSWARM_REQUIRE_REAL is 1, as `make test` sets it.

Servers listen at 127.0.0.1, keep their data in a folder of their own, and go when we do, however we go.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from influx_bucket import Influx, InfluxRefused, Kind, Source
from influx_started import BUCKET, ORG, nginx, started

from harness.files import cache_dir
from harness.servers.process import ServerFailed

__all__ = ["Influx", "InfluxRefused", "Source", "influx", "open_influx", "sources", "started"]

ROOT: Final = Path(__file__).parent.parent
BUILT: Final = "influxd-2.8.0"  # below the cache, by `make influxd`
DEBIANS: Final = "/usr/bin/influxd"
# Kept from when this was imported: tests change the environment.
GIVEN: Final = {name: value for name, value in os.environ.items() if name.startswith("INFLUXDB_")}
REMEDY: Final = (
    "no InfluxDB for this test: set INFLUXDB_URL (and _TOKEN, _ORG), or run `make influxd` (Go and Rust, some minutes, once), "
    "or start Docker, or `apt-get install --no-install-recommends influxdb nginx-light`"
)


def sources() -> list[Source]:
    """What this machine has, best first: 2.x, 1.8 and newer, containers, Debian's."""
    judged = [source for path in _programs() if (source := _judge(path)) is not None]
    usable = [source for source in judged if source.kind != "shim" or nginx()]
    newest = {source.version: source for source in reversed(usable)}  # of two alike, the first
    ranked = sorted(newest.values(), key=lambda source: _numbers(source.version), reverse=True)
    return (
        [source for source in ranked if source.kind != "shim"]
        + _images()
        + [source for source in ranked if source.kind == "shim"]
    )


def _programs() -> list[str]:
    if only := os.environ.get("TOKENSWARM_INFLUXD"):
        if _judge(only) is None:
            pytest.fail(
                f"TOKENSWARM_INFLUXD is {only}, and `{only} version` names no version of InfluxDB: mend or unset it"
            )
        return [only]
    found = [shutil.which("influxd"), str(cache_dir() / BUILT / "influxd"), DEBIANS]
    return [path for path in found if path and os.access(path, os.X_OK)]


def _judge(path: str) -> Source | None:
    """What `influxd version` says of itself; None where it names no version."""
    try:
        done = subprocess.run([path, "version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if (match := re.search(r"InfluxDB v?(\d+\.\d+\.\d+)", done.stdout)) is None:
        return None
    version = match[1]
    kind: Kind = "2.x" if version.startswith("2.") else "1.x" if _numbers(version) >= (1, 8) else "shim"
    return Source(kind, version, path)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _images() -> list[Source]:
    """The image that docker-compose.yml names, where Docker answers."""
    compose = ROOT / "docker-compose.yml"
    image = re.search(
        r"image:\s*['\"]?(\S*influxdb:(2\.\d+\.\d+)[^\s'\"]*)",
        compose.read_text() if compose.exists() else "",
    )
    if image is None or os.environ.get("TOKENSWARM_INFLUXD") or shutil.which("docker") is None:
        return []
    with suppress(subprocess.TimeoutExpired):
        if subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0:
            return [Source("2.x", image[2], image[1], container=True)]
    return []


@pytest.fixture(scope="session")
def influx() -> Iterator[Influx]:
    """The server that all tests share: take a `new_bucket()` of it."""
    with open_influx() as opened:
        yield opened


@contextmanager
def open_influx(*, own: bool = False) -> Iterator[Influx]:
    """The best there is, until the context is left. `own`: one that may be stopped."""
    if "INFLUXDB_URL" in GIVEN and not own:
        yield _given()
    elif found := sources():
        with ExitStack() as stack:
            yield _first(found, stack)
    elif os.environ.get("TOKENSWARM_REQUIRE_REAL") == "1":
        pytest.fail(REMEDY)
    else:
        pytest.skip(REMEDY)


def _first(found: Sequence[Source], stack: ExitStack) -> Influx:
    """The best that starts. An image may not be to be had; an `influxd` that does not start is an error."""
    failed = None
    for source in found:
        try:
            return stack.enter_context(started(source))
        except ServerFailed as error:
            if not source.container:
                raise
            failed = error
    raise failed or ServerFailed(REMEDY)


def _given() -> Influx:
    """Somebody's server, as the environment has it."""
    token = GIVEN.get("INFLUXDB_TOKEN", "none")
    org, bucket = GIVEN.get("INFLUXDB_ORG", ORG), GIVEN.get("INFLUXDB_BUCKET", BUCKET)
    influx = Influx(GIVEN["INFLUXDB_URL"], token, org, bucket, "", "2.x")
    try:
        version = influx.version_header()
    except OSError as error:
        pytest.fail(
            f"INFLUXDB_URL is {influx.url}, and nothing answers there ({error}): start it, or unset the variable"
        )
    kind: Kind = "1.x" if version.startswith("1.") else "3.x" if version.startswith("3.") else "2.x"
    return replace(influx, version=version, kind=kind)
