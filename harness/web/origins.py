"""Which requests the web UI answers: those of its own pages and of programs, and no others that a browser makes.

A browser sends requests to this machine for any site that it has open. Two things are asked of each request:

    host     Is the page at a name of ours? Another site's name may lead to this machine, after its page was loaded from elsewhere
             (DNS rebinding); to the browser we are then that site.
    origin   Does it come from a page of ours? Links from elsewhere may lead here. Nothing else may: neither what changes
             something, nor what another site embeds or fetches.

A browser says where a request comes from by `Origin`, `Referer` and `Sec-Fetch-Site`, which no page can forge. A request that
has none of them comes from a program such as curl, which may.

Pure: headers in, verdict out.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from harness.errors import ConfigError

__all__ = ["VARIABLE", "Asked", "Door", "is_loopback", "origin_of", "read"]

VARIABLE: Final = "TOKENSWARM_WEB_ORIGINS"
_HOST: Final = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::(?P<port>[0-9]{1,5}))?"
_AUTHORITY: Final = re.compile(_HOST)
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://{_HOST}")
_PLAIN_PORTS: Final = {"http": 80, "https": 443}
_READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_ELSEWHERE: Final = frozenset(("cross-site", "same-site"))
_SHOWN: Final = 100  # letters of a header that an answer repeats
_FIX: Final = (
    f"if it is one of your own, name its origin in {VARIABLE}, e.g. {VARIABLE}=https://load.example.com"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request counts here; None: it has no such header."""

    method: str
    host: str | None = None
    origin: str | None = None
    referer: str | None = None
    fetch_site: str | None = None  # Sec-Fetch-Site: same-origin, same-site, cross-site, none
    fetch_mode: str | None = None  # Sec-Fetch-Mode: navigate, cors, no-cors, ...


@dataclass(frozen=True, slots=True)
class Door:
    """Where the page is, and which origins besides its own are its user's."""

    scheme: str  # http, or https where it has a certificate
    bind: str  # what it is bound to; "" is all interfaces
    is_local: bool  # a loopback address: nobody comes from another machine, nor by another name
    origins: frozenset[str] = frozenset()  # as `read` gives them

    def refusal(self, asked: Asked) -> str | None:
        """Why a request is not answered, in one line that names what would help; None: it is."""
        return self._misnamed(asked.host) or self._foreign(asked)

    def _misnamed(self, host: str | None) -> str | None:
        if host is None or not (self.is_local or self.origins):  # every browser sends one
            return None
        found = _AUTHORITY.fullmatch(host)
        name = found["host"].lower() if found else ""
        if name and (name in self._names() or is_loopback(name) or (not self.is_local and _is_address(name))):
            return None
        return f"refused: {_shown(host)} is no name of this page; open it as localhost, or, {_FIX}"

    def _names(self) -> Iterable[str]:
        yield self.bind.lower()
        for origin in self.origins:
            if found := _ORIGIN.fullmatch(origin):
                yield found["host"]

    def _foreign(self, asked: Asked) -> str | None:
        said = asked.origin if asked.origin is not None else asked.referer
        came_from = None if said is None else origin_of(said, cut=asked.origin is None)
        if came_from in self.origins:
            return None
        reads = asked.method in _READS
        if asked.fetch_site in _ELSEWHERE and not (reads and asked.fetch_mode == "navigate"):
            return f"refused: it comes from another site ({_shown(said or asked.fetch_site)}); {_FIX}"
        if said is None or (reads and asked.origin is None):
            return None
        own = None if asked.host is None else origin_of(f"{self.scheme}://{asked.host}")
        if own is not None and came_from == own:
            return None
        return f"refused: it comes from {_shown(said)}, which is not this page ({_shown(own)}); {_FIX}"


def origin_of(text: str, *, cut: bool = False) -> str | None:
    """An origin as browsers write it: lower case, without the scheme's own port; None if the text is none.

    Args:
        text: `https://load.example.com`.
        cut: it may have a path, a query and so on, as `Referer` has.
    """
    if cut and (start := re.match(r"https?://[^/?#]*", text)):
        text = start[0]
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme, host, port = found["scheme"], found["host"].lower(), int(found["port"] or 0)
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    if port > 65535:
        return None
    return f"{scheme}://{host}" + (f":{port}" if port not in {0, _PLAIN_PORTS[scheme]} else "")


def read(text: str) -> frozenset[str]:
    """The origins of the variable, with commas between.

    Raises:
        ConfigError: one is no origin.
    """
    found: set[str] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        origin = origin_of(part.removesuffix("/"))
        if origin is None:
            raise ConfigError(
                f"{VARIABLE} {part!r} is no origin: give scheme, host and, where it has one, port, without a path, e.g. "
                "https://load.example.com or http://192.0.2.7:8089; several with commas between"
            )
        found.add(origin)
    return frozenset(found)


def is_loopback(host: str) -> bool:
    """`localhost`, an address in 127.0.0.0/8, or ::1, with brackets or without."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    """An address cannot be made to lead elsewhere, as a name can."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _shown(text: str | None) -> str:
    return ascii((text or "")[:_SHOWN])
