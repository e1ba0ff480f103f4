"""Command lines, variables and option values as they may be kept: without what is, or may be, a secret.

    a value under a secret's name      --api-key X, {"api_key": "X"}, FOO_TOKEN=X
    what a header says                 its name stays
    a login in a URL                   http://user:password@host
    any value that the environment has under a secret's name, wherever it stands

Pure: the environment comes in as an argument. What is hidden reads `***`.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from harness.campaign.secrets import is_secret
from harness.option_table import OPTIONS
from harness.servers.scrub import LEAST, SECRET_NAME

__all__ = ["HIDDEN", "Hider", "without_secrets"]

HIDDEN: Final = "***"
_STORED_NAME: Final = re.compile(r"(api[_-]?key|password|passwd|secret|authorization)$", re.IGNORECASE)
_OPTIONS: Final = frozenset(name for name, *_ in OPTIONS)  # of ours, none of which is a secret's
_URL_LOGIN: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\"]+")


class Hider:
    """Hides what it knows of: secrets of an environment, and what looks like one."""

    def __init__(self, environ: Mapping[str, str], known: Sequence[str | None] = ()) -> None:
        """What it knows of: values of variables whose names say that they are secrets, and those of `known`."""
        named = [value.strip() for name, value in environ.items() if SECRET_NAME.search(name)]
        secrets = {one for one in (*named, *known) if one and len(one) >= LEAST}
        self.secrets = tuple(sorted(secrets, key=len, reverse=True))  # one may hold another

    def text(self, text: str) -> str:
        """A text without the secrets that are known, logins of URLs and credentials of headers."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return _BEARER.sub(rf"\1 {HIDDEN}", _URL_LOGIN.sub(HIDDEN, text))

    def option(self, name: str, value: Any) -> Any:  # noqa: ANN401  what a parser made of it
        """The value of an option, by its name without dashes in front; lists item by item."""
        if isinstance(value, list | tuple):
            return [self.option(name, one) for one in value]
        if not isinstance(value, str):
            return value
        bare = name.replace("_", "-")
        if bare not in _OPTIONS and is_secret(bare):
            return HIDDEN if value else value
        hide = {"header": self._header, "extra-body": self._json, "serve": self._command}.get(bare, self.text)
        return hide(value)

    def words(self, argv: Sequence[str]) -> list[str]:
        """A command line, word by word."""
        found: list[str] = []
        before = ""  # the option that waits for its value
        for word in argv:
            name, equals, value = word.partition("=")
            if word.startswith("--") and equals:
                found.append(f"{self.text(name)}={self.option(_whole(name), value)}")
                before = ""
            elif word.startswith("-"):
                found.append(self.text(word))
                before = _whole(word)
            else:
                found.append(self.option(before, word) if before else self.text(word))
                before = ""
        return found

    def _header(self, text: str) -> str:
        name, colon, _ = text.partition(":")
        return f"{self.text(name)}: {HIDDEN}" if colon else HIDDEN

    def _json(self, text: str) -> str:
        try:
            value = orjson.loads(text)
        except ValueError:
            return HIDDEN  # nobody knows what it is
        hidden = self._all(without_secrets(value))
        return text if hidden == value else orjson.dumps(hidden).decode()

    def _all(self, value: Any) -> Any:  # noqa: ANN401  a JSON edge
        """A JSON value whose texts hold no secret that is known."""
        match value:
            case dict():
                return {self.text(str(key)): self._all(inner) for key, inner in value.items()}
            case list():
                return [self._all(inner) for inner in value]
            case str():
                return self.text(value)
            case _:
                return value

    def _command(self, text: str) -> str:
        try:
            words = shlex.split(text)
        except ValueError:
            return HIDDEN
        pairs = [word.partition("=") for word in words]  # NAME=value in front of a program
        named = [
            f"{name}={HIDDEN}" if equals and value and not name.startswith("-") and is_secret(name) else word
            for word, (name, equals, value) in zip(words, pairs, strict=True)
        ]
        hidden = self.words(named)
        return text if hidden == words else shlex.join(hidden)


def without_secrets(value: Any) -> Any:  # noqa: ANN401  settings are JSON
    """Settings as they may be stored: no value under a secret's name, no login in a URL."""
    match value:
        case dict():
            return {
                str(key): HIDDEN if item and _STORED_NAME.search(str(key)) else without_secrets(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [without_secrets(item) for item in value]
        case str():
            return _URL_LOGIN.sub(HIDDEN, value)
        case _:
            return value


def _whole(name: str) -> str:
    """An option's name without dashes; Locust takes the shortest beginning that no other has."""
    bare = name.lstrip("-")
    for long, least in (("header", 5), ("extra-body", 3)):
        if len(bare) >= least and long.startswith(bare):
            return long
    return bare
