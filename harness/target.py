"""The system under test's address: what `--host` may be, and nothing more."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from harness.errors import ConfigError

_SHOWN = 120  # characters of a path


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
        """A route below the prefix.

        A base URL that ends in /v1, as OpenAI's clients want it, is taken as it is meant: /v1/models is not
        looked for in /v1/v1, and /health and llama.cpp's own routes lie beside /v1, not in it.
        """
        return self.prefix.removesuffix("/v1") + route

    def url(self, route: str) -> str:
        """The full URL of a route."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.authority}{self.path(route)}"


def parse(text: str | None) -> Target:
    """The target that `--host` names.

    A name in another script becomes its ASCII form (IDNA), which is what goes into headers.

    Raises:
        ConfigError: missing, without a scheme, with a password in it, or not a base URL.
    """
    example = "for example http://127.0.0.1:8080"
    text = (text or "").strip()
    if not text:
        raise ConfigError(f"--host is missing: give the server's base URL, {example}")
    _refuse_odd(text, example)
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise ConfigError(f"--host {text!r} is not a URL ({_reason(error)}): {example}") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"--host {text!r} has scheme {parts.scheme!r}: use http or https, {example}")
    if not re.fullmatch(r"[\w.:%~-]+", host, re.ASCII):
        raise ConfigError(f"--host {text!r} names no host: {example}")
    if port == 0:
        raise ConfigError(f"--host {text!r} has port 0, where nothing can listen: {example}")
    if not parts.path.isascii():
        raise ConfigError(
            f"--host {text!r} has letters in its path that a request cannot carry: "
            f"write {quote(parts.path, safe='/%')}"
        )
    for route in ("/chat/completions", "/completions", "/completion"):
        if parts.path.rstrip("/").endswith(route):
            base = text.rstrip("/").removesuffix(route)
            raise ConfigError(
                f"--host {text!r} is a route; give the base URL: {base} (--api-mode chooses the route)"
            )
    tls = parts.scheme == "https"
    return Target(tls, host, port or (443 if tls else 80), parts.path.rstrip("/"))


def bare(url: str) -> str:
    """A URL that a server gave, as it may be shown: without user, password, query and fragment, which may be secrets."""
    try:
        scheme, place, path, _, _ = urlsplit(url)
    except ValueError:
        return "something that is no URL"
    path = path.partition(";")[0]  # a session's id may be behind it
    path = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
    return urlunsplit((scheme, place.rpartition("@")[2], path, "", ""))


def _refuse_odd(text: str, example: str) -> None:
    """What a base URL may not have in it, whatever its parts."""
    if "@" in text:  # looked for first: every other line repeats the value
        raise ConfigError(
            "--host holds a user or password (or another '@'): secrets come from TOKENSWARM_API_KEY, never "
            f"from an option; give only the base URL, {example}"
        )
    if " " in text or not text.isprintable():  # urlsplit drops some of these without a word
        raise ConfigError(f"--host {text!r} is not a URL (it has a blank in it): {example}")
    if "://" not in text:
        bare = re.sub(r"^https?:/*", "", text)
        raise ConfigError(f"--host {text!r} has no scheme: write http://{bare} or https://{bare}")
    if "?" in text or "#" in text:
        raise ConfigError(f"--host {text!r} has a query or fragment: give only the base URL, {example}")


def _reason(error: ValueError) -> str:
    """The codec's own text is of codecs, and nobody asked about those."""
    if isinstance(error, UnicodeError):
        return "a part of the host's name is empty, too long or not allowed"
    return str(error)
