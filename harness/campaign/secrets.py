"""What must not stand in a campaign file: keys, tokens, passwords. They come from the environment, or from a file it names.

Names are judged by their words, so that `API_KEY` is one and `MAX_TOKENS` is none. No message repeats a value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["in_body", "in_command", "is_secret"]

_WORDS: Final = frozenset(
    (
        *("key", "apikey", "token", "secret", "password", "passwd", "pwd", "auth", "authorization"),
        *("credential", "credentials", "cookie", "license", "licence", "bearer"),
    )
)
_PARTS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_OURS: Final = "TOKENSWARM_"


def is_secret(name: str) -> bool:
    """Is a variable, header, field or option of this name one for a secret? One that names a file is not."""
    if name.upper().endswith("_FILE"):
        return False
    return any(part.lower() in _WORDS for part in _PARTS.findall(name.removeprefix(_OURS)))


def in_body(value: Any, at: str = "") -> Iterator[str]:  # noqa: ANN401  a JSON edge
    """The fields of a JSON value that are named as a secret's, as `a.b`."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            here = f"{at}.{name}".lstrip(".")
            if is_secret(str(name)) and isinstance(inner, str):
                yield here
            yield from in_body(inner, here)
    elif isinstance(value, list):
        for inner in value:
            yield from in_body(inner, at)


def in_command(words: Sequence[str]) -> str | None:
    """The option, or `NAME=value`, of a command line that carries a secret; None if none does.

    An argument `$NAME` is no value: it is replaced where the command is run, if at all.
    """
    for word, after in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if not is_secret(name.lstrip("-")) or not re.fullmatch(r"-*[\w-]+", name):
            continue
        given = value if equals else after
        if (name.startswith("--") or equals) and given and not given.startswith(("$", "-")):
            return name
    return None
