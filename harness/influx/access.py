"""Where InfluxDB is and who we are to it, from the environment.

    INFLUXDB_URL                           unset: no metrics are written, and nothing else here is looked at
    INFLUXDB_TOKEN, INFLUXDB_TOKEN_FILE    the token, or a file with only it; for 1.x user:password
    INFLUXDB_ORG                           for 2.x; 1.x and 3.x do not ask
    INFLUXDB_BUCKET                        tokenswarm; for 1.x database or database/policy, for 3.x database

No text from here has the token in it, nor a password that somebody has put into the URL.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from harness import credential
from harness.errors import ConfigError
from harness.secrecy import hide
from harness.target import Target

__all__ = ["Access", "read"]

BUCKET: Final = "tokenswarm"
_EXAMPLE: Final = "for example http://127.0.0.1:8086"
_ROUTE: Final = re.compile(r"/(api/v[23]/.*|write|query|ping|health)$")


@dataclass(frozen=True, slots=True)
class Access:
    """An InfluxDB and our way in. Its text is what may be shown: `http://127.0.0.1:8086, bucket tokenswarm`."""

    url: str  # the base URL, without a slash at its end
    token: str = field(repr=False)  # "": none
    org: str
    bucket: str

    def __str__(self) -> str:
        """What may be shown."""
        return f"{self.url}, bucket {self.bucket}"

    @property
    def target(self) -> Target:
        """Its address."""
        parts = urlsplit(self.url)
        tls = parts.scheme == "https"
        return Target(tls, parts.hostname or "", parts.port or (443 if tls else 80), parts.path)

    def hide(self, text: str) -> str:
        """A foreign text without our token, in any form that a server has seen."""
        password = self.token.partition(":")[2]
        return hide(text, (b64encode(self.token.encode()).decode(), self.token, password))


def read(environ: Mapping[str, str]) -> Access | None:
    """What the environment says; None: no metrics are wanted.

    Raises:
        ConfigError: a variable's value cannot be used.
    """
    given = environ.get("INFLUXDB_URL", "").strip()
    if not given:
        return None
    return Access(
        _url(given),
        credential.read(environ, "INFLUXDB_TOKEN", "token", hint=", for 1.x user:password"),
        _name(environ, "INFLUXDB_ORG", ""),
        _name(environ, "INFLUXDB_BUCKET", BUCKET),
    )


def _url(text: str) -> str:
    if "@" in text:  # looked for first: every other line repeats the value
        raise ConfigError(
            "INFLUXDB_URL holds a user or password (or another '@'): put them into INFLUXDB_TOKEN, for 1.x as "
            f"user:password, and give only the base URL, {_EXAMPLE}"
        )
    wrong = f"INFLUXDB_URL {text!r}"
    if "?" in text or "#" in text:  # 1.x takes u= and p= there, so it is not repeated
        raise ConfigError(
            f"INFLUXDB_URL has a query or fragment: give only the base URL, {_EXAMPLE}; token, org and bucket "
            "have variables of their own, INFLUXDB_TOKEN, INFLUXDB_ORG and INFLUXDB_BUCKET"
        )
    if " " in text or not text.isprintable():
        raise ConfigError(f"{wrong} is not a URL (it has a blank in it): {_EXAMPLE}")
    if "://" not in text:
        raise ConfigError(f"{wrong} has no scheme: write http://{text} or https://{text}")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ConfigError(f"{wrong} is not a URL (host and port are not understood): {_EXAMPLE}") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"{wrong} has scheme {parts.scheme!r}: use http or https, {_EXAMPLE}")
    if not re.fullmatch(r"[\w.:%~-]+", host, re.ASCII) or port == 0 or not parts.path.isascii():
        raise ConfigError(f"{wrong} names no host, port 0 or a path that no request can carry: {_EXAMPLE}")
    path = parts.path.rstrip("/")
    if route := _ROUTE.search(path):
        raise ConfigError(f"{wrong} is a route; give the base URL: {text[: text.index(route[0])]}")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}"


def _name(environ: Mapping[str, str], variable: str, default: str) -> str:
    name = environ.get(variable, "").strip() or default
    if not name.isprintable():
        raise ConfigError(
            f"{variable} {name!r} has a character that cannot be shown: give the name as InfluxDB has it"
        )
    return name
