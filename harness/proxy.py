"""Which proxy a target is reached through, as the environment says.

Rules of this file
1. The proxy of a target is that of its scheme (`HTTPS_PROXY`, `HTTP_PROXY`), else `ALL_PROXY`, unless `NO_PROXY`
   names the target. As everywhere, names in lower case count too and win. Load and the questions before it both go
   by this one decision.
2. The user and password in a proxy's URL go to the proxy and nowhere else. No text that is shown has them.
3. An https target is reached by CONNECT and TLS inside the tunnel, so that the proxy sees names and ciphertext.
   The proxy of an http target is asked with the whole URL, and reads prompts and API key.

Only `http://` proxies: no SOCKS, and no TLS to the proxy itself. The system's settings and PAC files are not read.
No socket and no environment here: both are the callers'. What a proxy is told and answers is in `harness.tunnel`.

Source: `urllib.request.getproxies_environment` and `proxy_bypass_environment` for the variables, with the networks
and ports of Go's httpproxy; RFC 7617 for the header.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

from harness.errors import ConfigError
from harness.secrecy import hide
from harness.target import Target

_EXAMPLE: Final = "for example http://proxy.corp:3128"
_SCHEME: Final = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. Its text is its URL without user and password.

    `variable` names the environment variable that it is from, for error texts; `login` is `user:password`, decoded.
    """

    host: str
    port: int
    variable: str
    login: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """What may be shown."""
        return f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """`host:port`."""
        return authority(self.host, self.port)

    @property
    def headers(self) -> dict[str, str]:
        """What only the proxy may see of a request."""
        return {"Proxy-Authorization": f"Basic {_base64(self.login)}"} if self.login else {}

    def hide(self, text: str) -> str:
        """A foreign text without our user and password."""
        if not self.login:
            return text
        password = self.login.partition(":")[2]
        return hide(text, (_base64(self.login), self.login, password))


def for_target(target: Target, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment names for a target; None: the target is reached directly.

    Raises:
        ConfigError: it names one that cannot be used. The text has neither user nor password.
    """
    scheme = "https" if target.tls else "http"
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable, value = _variable(environ, name)
        if value:
            return None if _passes(target, _variable(environ, "no_proxy")[1]) else parse(variable, value)
    return None


def parse(variable: str, value: str) -> Proxy:
    """The proxy that an environment variable's value names: `[http://][user:password@]host[:port]`.

    Raises:
        ConfigError: as for `for_target`.
    """
    # A password may stand anywhere in a value that is not understood, so no error shows the value.
    wrong = f"{variable} is not a proxy's URL"
    if " " in value or not value.isprintable():  # urlsplit drops some of these without a word
        raise ConfigError(f"{wrong} (it has a blank in it): {_EXAMPLE}")
    try:
        parts = urlsplit(value if _SCHEME.match(value) else f"http://{value}")
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ConfigError(f"{wrong} ({_odd(value)}): {_EXAMPLE}") from None
    if not re.fullmatch(r"[\w.:%~-]+", host, re.ASCII):
        raise ConfigError(f"{wrong} (it names no host): {_EXAMPLE}")
    if port == 0 or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"{wrong} ({_odd(value)}): {_EXAMPLE}")
    if parts.scheme != "http":
        raise ConfigError(_unsupported(variable, parts.scheme, authority(host, port or 443)))
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return Proxy(host, port or 80, variable, login)


def past(host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """This environment, but that programs reach `host` without a proxy."""
    excepted = ",".join(filter(None, (_variable(environ, "no_proxy")[1], host)))
    return {**environ, "NO_PROXY": excepted, "no_proxy": excepted}


def is_here(target: Target) -> bool:
    """Is a target on this machine, where a proxy elsewhere cannot reach it?"""
    address = _address(target.host)
    return target.host.lower() == "localhost" if address is None else address.is_loopback


def authority(host: str, port: int) -> str:
    """`host:port` of any host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _odd(value: str) -> str:
    """What is most likely wrong with it."""
    if "@" in value:
        return "in a user or password write / # ? @ : as %2F %23 %3F %40 %3A"
    return "it must be a host and a port from 1 to 65535, and nothing after them"


def _unsupported(variable: str, scheme: str, address: str) -> str:
    """Why a proxy of another kind is refused."""
    shown = f"{variable} names a proxy of scheme {scheme!r}"
    if scheme != "https":
        return f"{shown}: only http:// proxies are supported; NO_PROXY=HOST goes past it"
    return (
        f"{shown}: TLS to the proxy itself is not supported; most proxies are spoken to as http://{address} "
        "(what goes to an https --host is encrypted all the same)"
    )


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """(the variable as it is written, its value) for a name in lower case; an empty value: not set."""
    if name in environ:
        return name, environ[name].strip()
    found = [variable for variable, value in environ.items() if variable.lower() == name and value.strip()]
    return (found[-1], environ[found[-1]].strip()) if found else (name, "")


def _passes(target: Target, no_proxy: str) -> bool:
    """Does `NO_PROXY` name the target?"""
    return any(_names(item.lower(), target) for item in re.split(r"[\s,]+", no_proxy) if item)


def _names(item: str, target: Target) -> bool:
    """One item: `*`, a host or a domain with all below it, an address or a network; perhaps with a port."""
    host = target.host.lower().rstrip(".")
    address = _address(host)
    if item == "*":
        return True
    if "/" in item:
        try:
            return address is not None and address in ip_network(item, strict=False)
        except ValueError:  # what it means is for other programs to say
            return False
    if _address(item.strip("[]")) is None:  # or its last part would look like a port
        item, colon, port = item.rpartition(":") if re.search(r":\d{1,5}$", item) else (item, "", "")
        if colon and int(port) != target.port:
            return False
    if address is not None:
        return address == _address(item.strip("[]"))
    name = item.removeprefix("*").lstrip(".").rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _base64(login: str) -> str:
    return b64encode(login.encode()).decode()
