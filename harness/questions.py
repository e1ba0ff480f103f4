"""Asking a server about itself: one GET, and what a user reads when it cannot be answered."""

import re
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import BadStatusLine, HTTPException, RemoteDisconnected
from socket import gaierror
from typing import Final
from urllib.parse import urljoin

import orjson
import requests
import urllib3

from harness.allowed_hosts import HostRefused
from harness.backends.base import Backend
from harness.backends.fields import Json, body_error, mapping, printable
from harness.control import ProxyRefused, cause, through
from harness.errors import ConfigError
from harness.secrecy import hide
from harness.target import Target, bare

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 4_000_000  # of an answer
_PIECE: Final = 65_536
KEY_HELP: Final = "TOKENSWARM_API_KEY, or its file's path into TOKENSWARM_API_KEY_FILE"


class Unreachable(ConfigError):
    """Nobody accepts connections there (yet)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a GET: its status and, where the body is JSON, what that holds."""

    status: int
    said: object

    @property
    def json(self) -> Json:
        """The body as an object; {} for anything else."""
        return mapping(self.said)


@dataclass(frozen=True, slots=True)
class Questions:
    """Asks one server, and gathers notes of what it would not answer."""

    asked: requests.Session
    target: Target
    backend: Backend
    notes: list[str] = field(default_factory=list)

    def get(self, route: str) -> Json:
        """The JSON object at a route; {} and a note if there is none.

        Raises:
            ConfigError: the server cannot be reached, refuses the key or sends us elsewhere.
        """
        answer = self.ask(route)
        if answer.status != 200:
            self.notes.append(f"GET {route}: {answer.status}")
        elif answer.said is None:
            self.notes.append(f"GET {route}: not JSON")
        return answer.json if answer.status == 200 else {}

    def ask(self, route: str, *, public: bool = False) -> Answer:
        """The answer at a route, whatever its status. `public`: it says nothing of the key.

        Raises:
            ConfigError: as in `get`.
        """
        url = self.target.url(route)
        try:
            answer, body = self._within(TIMEOUT_S, url)
        except requests.exceptions.Timeout:
            raise ConfigError(
                f"--host {self.target}: no answer from {url}{through(self.asked)} in {TIMEOUT_S:g} s; is it up"
                f"{', and is it https:// rather than http://' * self.target.tls}? (--preflight no does not ask)"
            ) from None
        except requests.exceptions.RequestException as error:
            raise _trouble(cause(error), self.target, through(self.asked)) from None
        if answer.status_code in (401, 403) and not public:
            asked = f"{url}{through(self.asked)}"
            raise ConfigError(f"{asked} answered {answer.status_code}{self._refusal(body)}")
        if answer.is_redirect and not public:  # requests of the load follow none
            where = _one_line(_passed_on(answer))
            fix = where.removesuffix(route) if where.endswith(route) else "the API's base URL"
            raise ConfigError(
                f"{answer.url} redirects to {where}, and redirects are not followed: give --host {fix}"
            )
        return Answer(answer.status_code, _json(body))

    def _within(self, limit_s: float, url: str) -> tuple[requests.Response, bytes]:
        """The answer and its body, all of it within twice the limit: one that drips is none."""
        deadline = time.monotonic() + 2 * limit_s
        body = b""
        with self.asked.get(url, timeout=limit_s, allow_redirects=False, stream=True) as answer:
            try:
                while piece := answer.raw.read1(_PIECE, decode_content=True):
                    body += piece
                    if time.monotonic() > deadline:
                        raise requests.exceptions.Timeout
                    if len(body) > MOST_BYTES:
                        break
            except urllib3.exceptions.HTTPError as error:  # where requests itself would translate it
                raise requests.exceptions.ConnectionError(error) from error
        return answer, body

    def _refusal(self, body: bytes) -> str:
        secret = str(self.asked.headers.get(self.backend.auth_header, ""))
        return refusal(body_error(body), secret.removeprefix(f"{self.backend.auth_scheme} "))


def refusal(said: str, secret: str | None) -> str:
    """` (Invalid API Key): the API key given is not the right one; ...`: what a 401 or 403 says, and the fix."""
    said = _one_line(hide(said, [secret]))  # servers like to quote the key they refuse
    said = f" ({said}): " if said else ": "
    if secret:
        return (
            f"{said}the API key given is not the right one; see TOKENSWARM_API_KEY, TOKENSWARM_API_KEY_FILE"
        )
    return f"{said}put the API key into the environment variable {KEY_HELP}"


def _passed_on(answer: requests.Response) -> str:
    """Where a redirect leads, as it may be shown."""
    where = answer.headers["Location"]
    with suppress(ValueError):  # it is for `bare` to say
        where = urljoin(answer.url, where)
    return bare(where)


def _json(body: bytes) -> object:
    try:
        said: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said


_NOBODY: Final[tuple[type[BaseException], ...]] = (
    ConnectionRefusedError,
    RemoteDisconnected,
    ConnectionResetError,
)


def _trouble(why: BaseException, target: Target, through: str) -> ConfigError:
    """What went wrong, and what most likely mends it. `through`: in words, the proxy that is between."""
    if isinstance(why, HostRefused):
        return ConfigError(f"--host {target}: {why}")
    if isinstance(why, ProxyRefused):
        said = f"--host {target}: {why}"
        return Unreachable(said) if why.status >= 500 else ConfigError(said)
    said = f"--host {target}{through} {_diagnosis(why, target)}"
    return Unreachable(said) if isinstance(why, _NOBODY) else ConfigError(said)


def _diagnosis(why: BaseException, target: Target) -> str:
    said = _one_line(getattr(why, "strerror", None) or str(why) or type(why).__name__).lower()
    if isinstance(why, ssl.SSLCertVerificationError):
        problem = _one_line(why.verify_message)
        return f"has a certificate that is not accepted ({problem}): give its authority's file with --ca-file"
    if isinstance(why, ssl.SSLError):
        said = re.sub(r"^\[.*?\] | \(_ssl.*\)$", "", said)
        return f"does not speak TLS as it should ({said}): is it http:// rather than https://?"
    if isinstance(why, RemoteDisconnected):
        said = "it hangs up without an answer"
    if isinstance(why, BadStatusLine) and not target.tls:
        return f"does not speak HTTP ({said}): is the port right? is it https:// rather than http://?"
    if isinstance(why, HTTPException):
        return f"gave a broken answer ({said}): is the port right?"
    if isinstance(why, gaierror):
        return f"cannot be found ({said}); is the name right, and does this machine resolve it?"
    return f"cannot be reached ({said}); is it up, and is the port right?"


def _one_line(said: str) -> str:
    """A foreign text as a terminal may have it."""
    return printable(said)[:200]
