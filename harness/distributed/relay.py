"""Lines that workers want their master's user to read: each once, and not without end."""

from typing import Final

from harness.grid import clean
from harness.say import say

__all__ = ["Relay"]

SAID: Final = 1_000  # different lines that are passed on


class Relay:
    """Those of one run."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def pass_on(self, name: str, message: object) -> None:
        """Say a worker's line, unless it has been said; what is no line is passed over."""
        line = clean(str(message.get("line") if isinstance(message, dict) else None))[:1000]
        if line not in self._said and len(self._said) < SAID:
            self._said.add(line)
            say(f"worker {name}: {line}")
