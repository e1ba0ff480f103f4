"""What was said so far. An answer that failed with nothing in it leaves its question out: nobody goes on talking to silence."""

from harness.backends.base import Turn

__all__ = ["Dialogue"]


class Dialogue:
    """One conversation, without its system prompt, which may change on the way."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Oldest first."""
        return tuple(self._turns)

    def said(self, question: str) -> tuple[Turn, ...]:
        """What to ask with."""
        return (*self._turns, Turn("user", question))

    def heard(self, question: str, answer: str) -> None:
        """The answer, or what came of it."""
        if answer:
            self._turns += (Turn("user", question), Turn("assistant", answer))

    def reset(self) -> None:
        """Begin anew."""
        self._turns.clear()
