"""Questions to a server outside the load: the session they go through, and why one failed."""

import ssl

import requests
import urllib3
from urllib3.exceptions import InsecureRequestWarning

from harness.tls import KNOWN, Trust

Session = requests.Session


def session(secret: str | None, trust: Trust = KNOWN) -> Session:
    """A session for questions outside the load. No proxy, and trust in the same certificates, as for the load."""
    opened = Session()
    opened.trust_env = False
    if trust.insecure:
        opened.verify = False
        urllib3.disable_warnings(InsecureRequestWarning)  # the user has been told, once
    else:
        known = ssl.get_default_verify_paths()  # SSL_CERT_FILE and SSL_CERT_DIR, else the system's
        opened.verify = str(trust.ca_file or "") or known.cafile or known.capath or True
    if secret:
        opened.headers["Authorization"] = f"Bearer {secret}"
    return opened


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
