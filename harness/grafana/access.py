"""Where Grafana is and who we are there, from the environment of this process.

GRAFANA_URL, and GRAFANA_TOKEN or the file that GRAFANA_TOKEN_FILE names: a service account's token, or `user:password`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness import credential
from harness.errors import ConfigError

__all__ = ["Access", "read", "read_url"]


@dataclass(frozen=True, slots=True)
class Access:
    """Where Grafana is and who we are there."""

    url: str  # without a slash at its end
    token: str = field(repr=False)


def read_url(environ: Mapping[str, str]) -> str | None:
    """GRAFANA_URL as it is put before paths; None without one.

    Raises:
        ConfigError: it is not an address, or holds what does not belong there.
    """
    url = environ.get("GRAFANA_URL", "").strip()
    if not url:
        return None
    advice = "give Grafana's address with its path prefix if it has one, such as http://127.0.0.1:3000 or https://host/grafana"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"GRAFANA_URL: no address ({error}); {advice}") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("GRAFANA_URL holds a login: put `user:password` into GRAFANA_TOKEN")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"GRAFANA_URL {url!r}: {advice}")
    return url.rstrip("/")


def read(environ: Mapping[str, str]) -> Access:
    """The settings.

    Raises:
        ConfigError: a variable is missing or cannot be right; it is named, no secret is.
    """
    url = read_url(environ)
    if url is None:
        raise ConfigError("GRAFANA_URL is not set: give Grafana's address, such as http://127.0.0.1:3000")
    token = credential.read(environ, "GRAFANA_TOKEN", "token", least=32)  # a password may have blanks
    if not token:
        raise ConfigError(
            "GRAFANA_TOKEN is not set: make a service account with the role Editor (Admin, if the data source is to be made "
            "too) under Administration > Users and access > Service accounts, and give its token"
        )
    return Access(url, token)
