"""One bucket of an InfluxDB, for tests: write to it, ask it in InfluxQL, stop and start its server.

Shares no code with the harness's own writer. Which server it is, and how it came about: `influx_servers`.
"""

import http.client
import json
import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from urllib.parse import urlencode, urlsplit

__all__ = ["Control", "Influx", "InfluxRefused", "Kind", "Source"]

TIMEOUT_S = 30

Kind = Literal["1.x", "2.x", "3.x", "shim"]  # shim: 1.x behind nginx


@dataclass(frozen=True, slots=True)
class Source:
    """Where a server can be had."""

    kind: Kind
    version: str
    program: str  # influxd's path; an image, for a container
    container: bool = False

    def __str__(self) -> str:
        return f"{'container ' if self.container else ''}{self.version}{' behind nginx' if self.kind == 'shim' else ''}"


class InfluxRefused(Exception):
    """An answer that says no."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Control(Protocol):
    """What can be done to a server that is ours."""

    def start(self) -> None:
        """Up again, with its data, at its port."""

    def stop(self) -> None:
        """Gone: connections are refused."""

    def freeze(self) -> None:
        """It still accepts connections, by the kernel, and says nothing."""

    def thaw(self) -> None:
        """It goes on, and answers what it was asked meanwhile."""


@dataclass(frozen=True, slots=True)
class Influx:
    """An InfluxDB that answers, and one bucket in it."""

    url: str
    token: str
    org: str
    bucket: str
    version: str  # "2.8.0"
    kind: Kind
    control: Control | None = None  # None: not ours

    @property
    def environ(self) -> dict[str, str]:
        """The settings that make tokenswarm write here."""
        return {
            "INFLUXDB_URL": self.url,
            "INFLUXDB_TOKEN": self.token,
            "INFLUXDB_ORG": self.org,
            "INFLUXDB_BUCKET": self.bucket,
        }

    def query(self, influxql: str) -> list[dict[str, Any]]:
        """The rows of one InfluxQL statement, all series one after another: columns and tags by name, `time` in Unix ns.

        Raises:
            InfluxRefused: it did not take the statement, or something failed in the middle of it.
        """
        parameters = urlencode({"db": self.bucket, "epoch": "ns", "q": influxql})
        status, body = self.ask("GET", f"/query?{parameters}")
        if status != 200:
            raise InfluxRefused(status, body)
        answer: dict[str, Any] = json.loads(body)
        result: dict[str, Any] = answer.get("results", [{}])[0]
        if error := answer.get("error") or result.get("error"):
            raise InfluxRefused(status, error)
        return [
            {**dict(zip(series["columns"], values, strict=True)), **series.get("tags", {})}
            for series in result.get("series", [])
            for values in series["values"]
        ]

    def command(self, influxql: str) -> None:
        """A statement that changes something; 1.x only.

        Raises:
            InfluxRefused: it says no.
        """
        self.post(f"/query?{urlencode({'q': influxql})}")

    def write(self, lines: bytes) -> None:
        """Points in line protocol, times in ns.

        Raises:
            InfluxRefused: it has not taken all of them.
        """
        self.post(
            f"/api/v2/write?{urlencode({'org': self.org, 'bucket': self.bucket, 'precision': 'ns'})}", lines
        )

    def post(self, route: str, body: bytes | Mapping[str, object] | None = None) -> str:
        """The body of an answer that says yes.

        Raises:
            InfluxRefused: it says no.
        """
        status, answer = self.ask("POST", route, body)
        if not 200 <= status < 300:
            raise InfluxRefused(status, answer)
        return answer

    def ask(
        self,
        method: str,
        route: str,
        body: bytes | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """One request and its answer's status and body; with our token unless `headers` say otherwise."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        authorized = {"Authorization": f"Token {self.token}", **(headers or {})}
        connection = self._connection()
        with closing(connection):
            connection.request(method, urlsplit(self.url).path.rstrip("/") + route, data, authorized)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace").strip()

    def _connection(self) -> http.client.HTTPConnection:
        url = urlsplit(self.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname or "", url.port, timeout=TIMEOUT_S)

    def version_header(self) -> str:
        """What its answer to /ping says: "2.8.0"; "" if it does not say."""
        connection = self._connection()
        with closing(connection):
            connection.request("GET", urlsplit(self.url).path.rstrip("/") + "/ping")
            return (connection.getresponse().getheader("X-Influxdb-Version") or "").removeprefix("v")

    def new_bucket(self) -> "Influx":
        """The same server with an empty bucket of the caller's own."""
        bucket = f"test-{secrets.token_hex(4)}"
        if self.kind in ("1.x", "shim"):
            self.command(f'CREATE DATABASE "{bucket}"')
        elif self.kind == "2.x":  # 3.x makes one when it is first written to
            _, body = self.ask("GET", f"/api/v2/orgs?{urlencode({'org': self.org})}")
            organisation = json.loads(body)["orgs"][0]["id"]
            self.post("/api/v2/buckets", {"name": bucket, "orgID": organisation, "retentionRules": []})
        return replace(self, bucket=bucket)

    def start(self) -> None:
        """Bring it back after `stop`: same data, same port. It ends with the thread that started it."""
        self._ours.start()

    def stop(self) -> None:
        """End it; connections are refused until `start`."""
        self._ours.stop()

    def freeze(self) -> None:
        """Stop its processes where they are: connections come about and no answer does, until `thaw`."""
        self._ours.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._ours.thaw()

    @property
    def _ours(self) -> Control:
        if self.control is None:
            raise RuntimeError("this InfluxDB is not ours to stop: ask for open_influx(own=True)")
        return self.control
