"""Whose key it is: the origins that an API key was configured for, and that it is sent to alone.

Rules of this file
1. An origin is scheme, host and port, as a browser has it: http and https of one host are two, a scheme's own port may be
   left out. What is below it (a path) does not count.
2. `TOKENSWARM_API_KEY_ORIGIN` lists the origins of this process's key, whatever variable or file that comes from. A process that
   has it goes by it alone, a worker too.
3. Without it the key is for the host that the process was started with. A web form or a request may change the host of the next
   run, and cannot have the key sent there. A worker is started without a host: its master's word is taken.

Pure. The key itself is not for this module to see.
"""

from collections.abc import Mapping
from typing import Final

from harness import target
from harness.addresses import literal
from harness.errors import ConfigError
from harness.target import Target

__all__ = ["VARIABLE", "origin", "read", "refusal"]

VARIABLE: Final = "TOKENSWARM_API_KEY_ORIGIN"
_EXAMPLE: Final = "for example https://api.example,http://10.0.0.7:8000"


def origin(place: Target) -> str:
    """`scheme://host[:port]` in one spelling: lower case, plain addresses, and no port that is the scheme's own."""
    host = str(literal(place.host) or place.host.lower().rstrip("."))
    return str(Target(place.tls, host, place.port))


def read(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The origins that the variable lists; None: it is not set.

    Raises:
        ConfigError: one line for each that is none; or there is none at all in a value.
    """
    value = environ.get(VARIABLE, "").strip()
    if not value:
        return None
    origins, problems = [], []
    for text in filter(None, map(str.strip, value.split(","))):
        try:
            origins.append(_origin(text))
        except ValueError as error:
            problems.append(f"{VARIABLE}: {error}; {_EXAMPLE}")
    if not origins and not problems:
        problems.append(f"{VARIABLE}: {value!r} names no origin; {_EXAMPLE}")
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(origins)


def refusal(place: Target, source: str, listed: tuple[str, ...] | None, home: Target | None) -> str | None:
    """Why a key may not be sent to `place`, with what to do; None if it may.

    Args:
        place: where it would go.
        source: the variable that the key is from.
        listed: what `read` gives.
        home: the host that the process was started with; None: none was given.
    """
    there = origin(place)
    known = listed if listed is not None else (() if home is None else (origin(home),))
    if there in known:
        return None
    if not known:
        said = f"the key in {source} is for no host, since none was given when this process was started"
        return f"{said}; to send it to {there} set {VARIABLE}={there}"
    said = f"the key in {source} is for {', '.join(known)}"
    return f"{said}; to send it to {there} as well set {VARIABLE}={','.join((*known, there))}"


def _origin(text: str) -> str:
    """One of the list; a ValueError's text has no password that may be in it."""
    if "@" in text:
        raise ValueError("an origin has no user or password: give scheme://host[:port] alone")
    try:
        place = target.parse(text)
    except ConfigError:
        raise ValueError(f"{text!r} is no origin, which is scheme://host[:port] with http or https") from None
    if place.prefix:
        raise ValueError(f"{text!r} has a path, and an origin has none: write {origin(place)}")
    return origin(place)
