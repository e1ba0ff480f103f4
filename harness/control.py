"""Questions to a server outside the load: the session they go through, and why one failed.

They go where the load may go (`harness.allowed_hosts`), to addresses that were looked at before they are connected to, and follow
no redirect: `requests` would take every header but Authorization along, and a key may be in another.
"""

import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import ProxyError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, InsecureRequestWarning, NameResolutionError

from harness import allowed_hosts, tunnel
from harness.allowed_hosts import AllowedHosts, HostRefused
from harness.proxy import Proxy
from harness.tls import KNOWN, Trust

Session = requests.Session
# The words of http.client and urllib3.
_TUNNEL_FAILED: Final = re.compile(r"Tunnel connection failed: (\d{3}) ?(.*)", re.DOTALL)


class ProxyRefused(ProxyError):
    """The proxy's own answer, no server's. The text names the proxy and what would help."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def session(
    secret: str | None,
    trust: Trust = KNOWN,
    proxy: Proxy | None = None,
    allowed: AllowedHosts | None = None,
) -> Session:
    """A session for questions outside the load, with the proxy and the trust in certificates that the load has.

    `allowed`: where it may ask; None: what the environment says. Its text, a `HostRefused`, is the `cause` of what is raised
    for any other place. What the proxy itself refuses is raised as `ProxyRefused`.
    """
    allowed = allowed_hosts.read(os.environ) if allowed is None else allowed
    opened = _Faithful()
    opened.trust_env = False  # or requests would choose a proxy by rules of its own
    if trust.insecure:
        opened.verify = False
        urllib3.disable_warnings(InsecureRequestWarning)  # the user has been told, once
    else:
        known = ssl.get_default_verify_paths()  # SSL_CERT_FILE and SSL_CERT_DIR, else the system's
        opened.verify = str(trust.ca_file or "") or known.cafile or known.capath or True
    if secret:
        opened.headers["Authorization"] = f"Bearer {secret}"
    if proxy:
        opened.proxies = {"all": str(proxy)}  # without user and password
    for scheme in ("http://", "https://"):
        opened.mount(scheme, _Through(proxy, allowed) if proxy else _Direct(allowed))
    return opened


def through(asked: Session) -> str:
    """For error texts: through what this session asks; "" without a proxy."""
    return f" through the proxy {asked.proxies['all']}" if asked.proxies else ""


class _Faithful(Session):
    """Follows nobody, whatever a call says of redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  requests' own name
        return None


class _Direct(HTTPAdapter):
    """Connects to those addresses that it has looked at, and to no other."""

    def __init__(self, allowed: AllowedHosts) -> None:
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = _pools(allowed)


def _pools(allowed: AllowedHosts) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools, with connections that ask `allowed` between the look at a name and the connection."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, super()._new_conn, allowed)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, super()._new_conn, allowed)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connect(
    connection: HTTPConnection, connect: Callable[[], socket.socket], allowed: AllowedHosts
) -> socket.socket:
    """A socket connected to the first permitted address that accepts; errors are those of urllib3, or HostRefused."""
    host, port = connection.host, connection.port
    if why := allowed.refusal(host, port, None):
        raise HostRefused(why)
    try:
        found = _resolve(connection._dns_host, port)  # noqa: SLF001  with the dot that `host` leaves out
    except socket.gaierror as error:
        raise NameResolutionError(host, connection, error) from error
    kept = allowed.permitted(host, port, found)
    return _first(connection, connect, [address for address in found if address in kept])


def _first(
    connection: HTTPConnection, connect: Callable[[], socket.socket], addresses: Sequence[str]
) -> socket.socket:
    name = connection._dns_host  # noqa: SLF001
    last: Exception = OSError("no address")
    for address in addresses:
        connection.host = address  # what is connected to; certificates and headers go by the name
        try:
            return connect()
        except (OSError, HTTPError) as error:
            last = error
        finally:
            connection.host = name
    raise last


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _Through(HTTPAdapter):
    """Brings the proxy its user and password, and tells what it refuses from what the server does."""

    def __init__(self, proxy: Proxy, allowed: AllowedHosts) -> None:
        self._proxy, self._allowed = proxy, allowed
        super().__init__()

    def proxy_headers(self, _proxy: str) -> dict[str, str]:
        return self._proxy.headers

    def proxy_manager_for(self, proxy: str, **how: object) -> object:
        # Without these urllib3 lets a proxy's connections wait for an acknowledgement between a request's head and its
        # body: 40 ms for each of the hundreds of counts that size the prompts.
        return super().proxy_manager_for(
            proxy, **{"socket_options": HTTPConnection.default_socket_options, **how}
        )

    def send(  # noqa: PLR0917  # requests' own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        place = urlsplit(request.url or "")
        port = place.port or (443 if place.scheme == "https" else 80)
        if why := self._allowed.refusal(place.hostname or "", port, ()):  # the proxy resolves names
            raise requests.exceptions.ConnectionError(why) from HostRefused(why)
        try:
            answer = super().send(request, stream, timeout, verify, cert, proxies)
        except ProxyError as error:
            found = _TUNNEL_FAILED.match(str(cause(error)))
            if found is None:  # it could not be reached at all
                raise
            status, phrase = int(found[1]), found[2]
        else:
            url = request.url or ""
            if url.startswith("https:") or not tunnel.is_own(answer.status_code, answer.headers):
                return answer
            answer.close()
            status, phrase = answer.status_code, answer.reason
        # Not raised while the other is handled: `cause` finds the innermost error, and that shall be this one.
        host = urlsplit(request.url or "").hostname or ""
        raise ProxyRefused(status, tunnel.refusal(self._proxy, host, status, phrase.encode()))


def cause(error: BaseException) -> BaseException:
    """The innermost reason: requests and urllib3 wrap it several times."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = error.__cause__ or error.__context__
        if inner is None:
            return error
        error = inner


def reason(error: BaseException) -> str:
    """Why it failed, in a few words."""
    inner = cause(error)
    if isinstance(inner, HostRefused):
        return str(inner)
    said = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return " ".join(str(said).split())[:160].lower()
