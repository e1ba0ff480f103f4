"""Sessions of several turns: what their users say, and the history that each request carries.

    Chats.sizes(7) ─► sizes of the later turns      synthetic: how long session 7 is and how much its user says
    script(turns)  ─► what its user says, in order   from a dataset's conversation
    Conversation   ─► add() the messages to ask with ─► answer() ─► add() ...

The history holds what this server answered, never what a dataset says was answered once: a prefix cache would not
know that, and lengths would be another model's. A session whose answer failed or is empty ends there, since nobody goes
on talking to silence; so does one whose next request would not fit into the server's context.

Nothing here has a clock, makes text or sends: think time is the caller's, and so are the words of synthetic turns.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from harness.backends.base import Turn
from harness.distributions import Distribution
from harness.errors import ConfigError

MOST_TURNS: Final = 1000  # of one session


class Ending(StrEnum):
    """Why a session took no further turn."""

    DONE = "done"  # its user had nothing more to say
    FAILED = "failed"
    EMPTY = "empty"  # the server answered, with nothing
    FULL = "full"  # the next request would not have fitted into the context


class Script(NamedTuple):
    """What one session's user says: `steps` in order, each ending with the user's own turn, after `opening`."""

    opening: tuple[Turn, ...]  # the system's, before anything else
    steps: tuple[tuple[Turn, ...], ...]


class Conversation:
    """The history of one session. Not for several greenlets at once: a session is one user's."""

    def __init__(self, session_id: str, opening: Iterable[Turn] = (), *, context: int | None = None) -> None:
        """`opening`: what stands before the user's first words. `context`: tokens a request may hold, if known."""
        self.session_id = session_id
        self.turn = 0  # number of the user's turn that was last added, from 1
        self.ending: Ending | None = None  # None: it goes on
        self._history: list[Turn] = list(opening)
        self._context = context
        self._held: int | None = 0  # tokens of the history, as the server counts them; None where it does not
        self._awaits = False

    @property
    def history(self) -> tuple[Turn, ...]:
        """Everything that was said, oldest first."""
        return tuple(self._history)

    def fits(self, tokens: int, max_tokens: int) -> bool:
        """Whether there is room for `tokens` more of the user's and an answer of `max_tokens`.

        True where context or history were never counted: then it is for the server to refuse. What a template
        puts around a turn is not known either, so that the last token or two are the server's to refuse as well.
        """
        if self._context is None or self._held is None:
            return True
        return self._held + tokens + max_tokens <= self._context

    def add(self, *said: Turn, tokens: int = 0, max_tokens: int = 0) -> tuple[Turn, ...]:
        """What to ask with after the user said this (the last turn of it is the user's); () where the session is over.

        It ends here, as FULL, where `tokens` (of what is said) and `max_tokens` no longer fit.

        Raises:
            ValueError: it is the server's turn, or what is said does not end with the user.
        """
        if self._awaits:
            raise ValueError(f"session {self.session_id}: turn {self.turn} has no answer yet")
        if not said or said[-1].role != "user":
            raise ValueError(f"session {self.session_id}: a request ends with a turn of the user's")
        if self.ending is None and not self.fits(tokens, max_tokens):
            self.ending = Ending.FULL
        if self.ending is not None:
            return ()
        self._history += said
        self.turn += 1
        self._awaits = True
        return self.history

    def answer(
        self, text: str | None, *, prompt_tokens: int | None = None, output_tokens: int | None = None
    ) -> bool:
        """Take what the server said, and its counts of this request; None: it failed. Returns whether to go on.

        The text goes into the history as it came, with the space it may begin with.

        Raises:
            ValueError: nothing was asked.
        """
        if not self._awaits:
            raise ValueError(f"session {self.session_id}: an answer without a question")
        self._awaits = False
        if not text:
            self.ending = Ending.FAILED if text is None else Ending.EMPTY
            return False
        self._history.append(Turn("assistant", text))
        counted = prompt_tokens is not None and output_tokens is not None
        self._held = (prompt_tokens or 0) + (output_tokens or 0) if counted else None
        return True

    def close(self) -> None:
        """The user has nothing more to say. A session that has ended otherwise stays as it is."""
        self.ending = self.ending or Ending.DONE


@dataclass(frozen=True, slots=True)
class Chats:
    """How long synthetic sessions are and what their users say after the first prompt, in tokens without template.

    The same seed and number give the same session, whichever worker has it and whatever was drawn before.
    """

    turns: Distribution  # of the user's, in a session
    turn_tokens: Distribution
    seed: int

    def sizes(self, number: int) -> tuple[int, ...]:
        """Tokens of the second and each later turn of session `number`; () if it has but one."""
        rng = random.Random(f"{self.seed} session {number}")
        turns = min(self.turns.sample(rng), MOST_TURNS)
        return tuple(self.turn_tokens.sample(rng) for _ in range(turns - 1))

    def longest(self, prompt: Distribution, output: Distribution) -> float:
        """Expected tokens, answer included, of a session's last request, every answer being of its full length."""
        later = max(self.turns.mean - 1, 0.0)
        return prompt.mean + output.mean + later * (self.turn_tokens.mean + output.mean)

    def check(self, prompt: Distribution, output: Distribution, context: int | None) -> None:
        """Refuse sessions that outgrow the server as a rule; a few long ones just end early (FULL).

        Raises:
            ConfigError: the mean session is longer than `context` tokens, the most of a request.
        """
        expected = self.longest(prompt, output)
        if context is None or expected <= context:
            return
        raise ConfigError(
            f"--turns {self.turns.describe()}: the last request of a session would hold about {expected:,.0f} tokens "
            f"(--prompt-tokens {prompt.describe()}, then --turn-tokens {self.turn_tokens.describe()} a turn and "
            f"--output-tokens {output.describe()} an answer), and the server takes {context:,}: make one of them smaller"
        )


def script(turns: Sequence[Turn], most: int | None = None) -> Script:
    """A recorded conversation, to be held again: the user's turns, `most` of them at most.

    What was answered then is left out. What the system says later goes with the user's next words.

    Raises:
        ValueError: its user says nothing.
    """
    opening: list[Turn] = []
    steps: list[tuple[Turn, ...]] = []
    waiting: list[Turn] = []
    for turn in turns:
        if turn.role == "user":
            steps.append((*waiting, turn))
            waiting = []
        elif turn.role == "system":
            (waiting if steps else opening).append(turn)
    if not steps:
        raise ValueError("a conversation without a turn of the user's")
    return Script(tuple(opening), tuple(steps[:most]))


def at_once(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """A recorded conversation as one request: all of it, its recorded answers too, up to the user's last words.

    Raises:
        ValueError: its user says nothing.
    """
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        raise ValueError("a conversation without a turn of the user's")
    return tuple(turns[: last + 1])


def session_id(name: str, number: int) -> str:
    """`chat#17`: the user class or part of a mix, and the session's number over all workers of the run."""
    return f"{name}#{number}"
