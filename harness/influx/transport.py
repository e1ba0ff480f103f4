"""One write of lines to InfluxDB, by influxdb-client, and what its answer means.

The rule: an answer is one of four, whatever the server, a proxy or the network comes up with, and its reason is a line that
names what to mend and has neither a secret nor a line's content in it. InfluxDB likes to quote both.

1.8 and later, 2.x and 3.x take the same request. Redirects are not followed, since a token would go along. Proxies: as for
the load (`harness.proxy`). What to do about an answer is `harness.influx.outbox`'s business.
"""

import os
import re
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import orjson

from harness import proxy
from harness.backends.fields import printable
from harness.clock import unix_now_ns
from harness.control import cause
from harness.influx.access import Access

__all__ = ["Answer", "Writer", "hello"]

CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
HELLO_S: Final = 3.0
# Some setting is wrong, ours or the server's, and nothing of the lines: worth another try when somebody may have mended it.
_MENDABLE: Final = frozenset({200, 301, 302, 303, 307, 308, 401, 403, 404, 405, 407})
_PASSING: Final = frozenset({408, 425, 429})  # and all from 500
_OF_LINES: Final = re.compile("unable to parse|partial write|line protocol|type conflict|column type")
_SHOWN: Final = 220  # characters of what a server said
_URL_FIX: Final = "is INFLUXDB_URL the base URL of an InfluxDB, 1.8 or later?"

Kind = Literal["delivered", "again", "too_large", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a write."""

    kind: Kind
    status: int | None = None  # of HTTP; None: no answer
    reason: str = ""  # one line; "" where it was delivered
    retry_after_s: float | None = None  # the server's own word
    mendable: bool = False  # with `again`: not before somebody has changed a setting
    partial: bool = False  # with `refused`: fault was found with some lines, the others may be fine


class Writer:
    """Writes to one InfluxDB over a connection that it keeps. One write at a time.

    Raises:
        ConfigError: the environment names a proxy that cannot be used.
    """

    def __init__(self, access: Access, environ: Mapping[str, str] = os.environ) -> None:
        # Not before gevent has patched the process, or there are locks of two kinds; and it takes a third of a second.
        from influxdb_client.service.write_service import WriteService  # noqa: PLC0415

        self._way = _Way(access, proxy.for_target(access.target, environ))
        self._client = self._way.client()
        self._service: Any = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]

    def send(self, body: bytes, lines: int) -> Answer:
        """Write a gzip'd body of so many lines; never raises."""
        access = self._way.access
        try:
            self._service.post_write(
                org=access.org,
                bucket=access.bucket,
                body=body,
                precision="ns",
                content_encoding="gzip",
                _request_timeout=(CONNECT_S * 1e3, ANSWER_S * 1e3),
            )
            done = self._client.api_client.last_response
        except Exception as error:  # noqa: BLE001  # urllib3's, http.client's, ssl's, influxdb-client's, OSError
            return self._way.trouble(error, lines)
        if done.status != 204 or done.data:  # no InfluxDB has anything to say about lines that it took
            return self._way.verdict(200, "", {}, lines)
        return Answer("delivered", done.status)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def hello(access: Access, environ: Mapping[str, str] = os.environ) -> str:
    """Who is there, `InfluxDB 2.8.0 at http://127.0.0.1:8086, bucket tokenswarm`, or why nobody is.

    It takes `HELLO_S` at most for each of connecting and answering. Whether the token is right only a write tells.

    Raises:
        ConfigError: as for `Writer`.
    """
    from influxdb_client.service.ping_service import PingService  # noqa: PLC0415

    way = _Way(access, proxy.for_target(access.target, environ))
    with closing(way.client()) as client:
        try:
            ping: Any = PingService(client.api_client)  # type: ignore[no-untyped-call]
            _, _, headers = ping.get_ping_with_http_info(
                _return_http_data_only=False, _request_timeout=(HELLO_S * 1e3, HELLO_S * 1e3)
            )
            page = client.api_client.last_response.data
        except Exception as error:  # noqa: BLE001  # as for a write
            reason = way.trouble(error, 0).reason
            return reason if reason.endswith("?") else f"{reason}."
    said = headers.get("X-Influxdb-Version") or _json(page).get("version") or ""  # 3.x has a page, too
    version = printable(access.hide(str(said))).removeprefix("v")[:40]
    return (
        f"InfluxDB {version} at {access}"
        if version
        else f"{access.url} answers without a version: {_URL_FIX}"
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """To whom, through what; and how what comes back is put."""

    access: Access
    between: proxy.Proxy | None

    def client(self) -> Any:  # noqa: ANN401  # influxdb-client is untyped
        from influxdb_client.client.influxdb_client import InfluxDBClient  # noqa: PLC0415

        access, between = self.access, self.between
        how: dict[str, Any] = {"token": access.token or None, "org": access.org, "connection_pool_maxsize": 1}
        if between:
            how |= {"proxy": str(between), "proxy_headers": between.headers}
        return InfluxDBClient(access.url, **how)

    def trouble(self, error: Exception, lines: int) -> Answer:
        """The answer of which influxdb-client has made an exception; or that there was none."""
        if status := getattr(error, "status", None):
            body, headers = getattr(error, "body", None), getattr(error, "headers", None)
            return self.verdict(int(status), str(body or ""), headers or {}, lines)
        inner = cause(error)
        if isinstance(inner, TimeoutError):
            return Answer("again", None, f"{self._who} does not answer in time")
        if isinstance(inner, UnicodeDecodeError):
            return Answer("again", None, f"{self._who} answers with something that is no text: {_URL_FIX}")
        said = self._clean(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__).lower()
        return Answer("again", None, f"{self._who} cannot be reached ({said}){_remedy(inner)}")

    def verdict(self, status: int, body: str, headers: Mapping[str, str], lines: int) -> Answer:
        """What an HTTP status and an error's body mean."""
        said = self._clean(_words(body))
        told = f"{self._who} answered {status}{f' ({said})' if said else ''}"
        if status in _MENDABLE:
            return Answer("again", status, f"{told}: {_setting(status, said, self.access)}", mendable=True)
        if status >= 500 or status in _PASSING:
            return Answer("again", status, told, retry_after_s=_retry_after(headers.get("Retry-After")))
        if status == 413:
            return Answer("too_large", status, f"{told}: one point alone is more than it takes")
        partial = status == 422 or bool(_OF_LINES.search(said))
        told += f": {lines} {'point' if lines == 1 else 'points'} not taken"
        return Answer("refused", status, f"{told}; {_lines_fix(said, self.access)}", partial=partial)

    @property
    def _who(self) -> str:
        return f"{self.access.url}{f' through the proxy {self.between}' if self.between else ''}"

    def _clean(self, said: str) -> str:
        said = self.access.hide(said)
        return printable(self.between.hide(said) if self.between else said)[:_SHOWN]


def _words(body: str) -> str:
    """What an error's body says, without the lines that it quotes; "" for what is not InfluxDB's JSON."""
    told = _json(body)
    words = [str(told.get("message") or told.get("error") or "")]
    lines = told.get("data")  # 3.x: one item for each line
    if isinstance(lines, list) and lines and isinstance(lines[0], dict):
        words.append(str(lines[0].get("error_message") or ""))
    said = "; ".join(word.strip() for word in words if word.strip())
    # From the first quote to the last: a line may have quotes in it. Names of fields, in other quotes, are ours.
    said = re.sub("'.*'", "'...'", said, flags=re.DOTALL)
    return re.sub(r'value="[^"]*"', "value=...", said)


def _json(body: str) -> dict[str, Any]:
    """The object in a body; {} for anything else."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _setting(status: int, said: str, access: Access) -> str:
    """What to mend where nothing is wrong with the lines."""
    words = said.lower()
    if status == 401:
        wrong = "the token is not the right one" if access.token else "it wants a token"
        return f"{wrong}; see INFLUXDB_TOKEN, INFLUXDB_TOKEN_FILE (1.x: user:password)"
    if status == 403:
        return f"the token may not write to bucket {access.bucket!r}; see INFLUXDB_TOKEN, INFLUXDB_BUCKET"
    if status == 407:
        return "the proxy wants user and password in its variable, such as HTTP_PROXY; NO_PROXY goes past it"
    if "organization" in words:
        return f"INFLUXDB_ORG is {access.org!r}: give an organization of that server"
    if "bucket" in words or "database" in words:
        return f"create bucket {access.bucket!r} (1.x, 3.x: database), or name another in INFLUXDB_BUCKET"
    return _URL_FIX


def _lines_fix(said: str, access: Access) -> str:
    """What to mend where lines are refused."""
    words = said.lower()
    if "org" in words.split():
        return "InfluxDB 2.x wants to know the organization: set INFLUXDB_ORG"
    if "conflict" in words or "column type" in words:
        return f"bucket {access.bucket!r} has a field of this name and another type: give us one of our own, INFLUXDB_BUCKET"
    if "retention" in words:
        return f"they are older than bucket {access.bucket!r} keeps points"
    return "what was measured is all the same in the results"


def _remedy(why: BaseException) -> str:
    if isinstance(why, ssl.SSLCertVerificationError):
        return ": give its authority's file in SSL_CERT_FILE"
    if isinstance(why, ssl.SSLError):
        return ": is INFLUXDB_URL http:// rather than https://?"
    return ": is it up?"


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, of either form; None where it is neither."""
    if not text:
        return None
    try:
        return float(int(text)) if text.strip().isdigit() else _until(text)
    except (ValueError, OverflowError):
        return None


def _until(text: str) -> float:
    date = parsedate_to_datetime(text)
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - unix_now_ns() / 1e9)
