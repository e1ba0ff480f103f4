"""Keeping secrets out of what others said: servers and proxies like to quote what they refuse."""

from collections.abc import Iterable
from typing import Final

__all__ = ["hide"]

_SHOWN: Final = "***"
_LEAST: Final = 4  # letters of a secret that a cut text may end with before it is thought to be one


def hide(text: str, secrets: Iterable[str | None]) -> str:
    """A foreign text without `secrets`, nor the beginning of one at its end, where a long text has been cut.

    Secrets that are parts of others come after these.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, _SHOWN)
            cut = range(len(secret) - 1, _LEAST - 1, -1)
            length = next((length for length in cut if text.endswith(secret[:length])), 0)
            text = text[: len(text) - length] + (_SHOWN if length else "")
    return text
