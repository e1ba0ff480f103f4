"""The system under test's address: what `--host` may be, and nothing more."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Target:
    """Scheme, host, port and a path prefix (no trailing slash)."""

    tls: bool
    host: str
    port: int
    prefix: str = ""

    def __str__(self) -> str:
        """The URL, as the user would write it."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}"

    @property
    def authority(self) -> str:
        """Value of the Host header: the port only where it is not the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"

    def path(self, route: str) -> str:
        """A route below the prefix. A base URL that already ends in /v1 is taken as it is meant."""
        if self.prefix.endswith("/v1") and route.startswith("/v1/"):
            return self.prefix + route.removeprefix("/v1")
        return self.prefix + route

    def url(self, route: str) -> str:
        """The full URL of a route."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.authority}{self.path(route)}"


def parse(text: str | None) -> Target:
    """The target that `--host` names.

    Raises:
        ConfigError: missing, without a scheme, or not a URL.
    """
    example = "for example http://127.0.0.1:8080"
    if not text:
        raise ConfigError(f"--host is missing: give the server's base URL, {example}")
    if "://" not in text:
        raise ConfigError(f"--host {text!r} has no scheme: write http://{text} or https://{text}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"--host {text!r} is not a URL ({error}): {example}") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"--host {text!r} has scheme {parts.scheme!r}: use http or https, {example}")
    if parts.username or parts.password:
        raise ConfigError(
            "--host holds a user or password: secrets come from TOKENSWARM_API_KEY, never from an option"
        )
    if not parts.hostname or not parts.hostname.isprintable() or " " in parts.netloc:
        raise ConfigError(f"--host {text!r} names no host: {example}")
    if parts.query or parts.fragment:
        raise ConfigError(f"--host {text!r} has a query or fragment: give only the base URL, {example}")
    tls = parts.scheme == "https"
    return Target(tls, parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"))
