"""What one user asks, turn by turn: a single request, or a chat whose history grows with the server's answers.

    Talk ── ask()   the next request
         ── hear()  what the server said to it

The rule: a chat is one user's, and its next turn waits for the answer. A chat ends when its user has said all, or when the
server has failed, said nothing, or has no room for more (`harness.conversation`).
"""

from dataclasses import dataclass

from harness.asker import Asker
from harness.backends.base import Ask, Turn
from harness.conversation import Conversation
from harness.menu import Supply, Want
from harness.record import Outcome, RequestRecord

__all__ = ["Talk"]


@dataclass(slots=True)
class Talk:
    """One user's talk with the server."""

    level: int  # that it belongs to
    number: int  # of its first request in the run
    supply: Supply
    want: Want
    conversation: Conversation | None = None  # None: a single request
    requested: int | None = None  # tokens that the prompt of the last request was sized to
    is_over: bool = False

    @property
    def session(self) -> tuple[str, int] | None:
        """(id of the chat, number of the turn last asked); None for a single request."""
        return None if self.conversation is None else (self.conversation.session_id, self.conversation.turn)

    @property
    def name(self) -> str | None:
        """What its requests are called; None: by their route."""
        return self.supply.name

    def ask(self, asker: Asker) -> Ask:
        """The next request."""
        want, chat = self.want, self.conversation
        if chat is None:
            self.requested, self.is_over = want.requested_prompt_tokens, True
            return asker.ask(want.prompt, want.output_tokens, want.turns)
        said, _, output = self._said(chat.turn)
        turns = chat.add(*said)
        self.requested = want.requested_prompt_tokens if chat.turn == 1 else None
        return asker.ask(said[-1].text, output, turns, session=chat.session_id)

    def hear(self, record: RequestRecord, spoken: str) -> None:
        """What came of the last request; `spoken`: the answer without reasoning."""
        chat = self.conversation
        if chat is None:
            return
        goes_on = chat.answer(
            spoken if record.outcome is Outcome.OK else None,
            prompt_tokens=record.prompt_tokens,
            output_tokens=record.output_tokens,
        )
        if not goes_on or chat.turn > len(self.want.later or self.want.sizes):
            self.is_over = True
        else:
            _, tokens, output = self._said(chat.turn)
            self.is_over = not chat.fits(tokens, output)

    def _said(self, turn: int) -> tuple[tuple[Turn, ...], int, int]:
        """(what the user says after so many turns, its tokens, tokens to answer)."""
        want = self.want
        if turn == 0:
            said = want.turns or (Turn("user", str(want.prompt)),)
            return said, want.requested_prompt_tokens or 0, want.output_tokens
        output = self.supply.output(self.number, turn)
        if want.later:
            return want.later[turn - 1], 0, output
        tokens = want.sizes[turn - 1]
        return (Turn("user", self.supply.words(self.number, turn, tokens)),), tokens, output
