"""Questions to a server outside the load: the session they go through, and why one failed."""

import re
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import ProxyError
from urllib3.connection import HTTPConnection
from urllib3.exceptions import InsecureRequestWarning

from harness import tunnel
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


def session(secret: str | None, trust: Trust = KNOWN, proxy: Proxy | None = None) -> Session:
    """A session for questions outside the load, with the proxy and the trust in certificates that the load has.

    What the proxy itself refuses is raised as `ProxyRefused`.
    """
    opened = Session()
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
            opened.mount(scheme, _Through(proxy))
    return opened


def through(asked: Session) -> str:
    """For error texts: through what this session asks; "" without a proxy."""
    return f" through the proxy {asked.proxies['all']}" if asked.proxies else ""


class _Through(HTTPAdapter):
    """Brings the proxy its user and password, and tells what it refuses from what the server does."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
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
    said = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return " ".join(str(said).split())[:160].lower()
