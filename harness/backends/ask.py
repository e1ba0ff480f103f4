"""What is asked, in terms that all backends share: a prompt, or a conversation turn by turn.

How a dialect words it is the dialect's business. Routes that know no roles get a conversation as one text (`as_text`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """One turn of a conversation."""

    role: str  # "user", "assistant" or "system"
    text: str
    images: tuple[str, ...] = ()  # data URLs


class Sampling(NamedTuple):
    """How a next token is chosen; None: as the server has it."""

    temperature: float | None = None  # 0: always the likeliest
    top_p: float | None = None

    def as_fields(self) -> dict[str, Any]:
        """By the names that nearly all have for them."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def switched(self) -> dict[str, Any]:
        """For those that sample only where `do_sample` says so, and take no temperature of 0: then it says no."""
        if self.temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None}
        fields = self.as_fields()
        return {"do_sample": True, **fields} if fields else {}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request in the terms all backends share."""

    prompt: str | tuple[int, ...]  # text, or token ids where the backend `takes_ids`
    max_tokens: int
    model: str | None = None
    exact_length: bool = False  # make the server go on to `max_tokens` where it can
    seed: int | None = None
    cache_salt: str | None = None  # keeps a prefix cache from being shared with requests of another salt
    extra: Mapping[str, Any] = field(default_factory=dict)  # the user's own fields, laid over ours
    # A conversation, oldest turn first; the last is the user's, and `prompt` its text. Empty: there is only `prompt`.
    turns: tuple[Turn, ...] = ()

    @property
    def words(self) -> str:
        """The prompt's text, for routes that take nothing else; of a conversation, all that was said (`as_text`)."""
        if self.turns:
            return as_text(self.turns)
        if isinstance(self.prompt, str):
            return self.prompt
        raise TypeError("this route takes text, not token ids")

    @property
    def raw(self) -> str | tuple[int, ...]:
        """As `words`, for routes that take token ids too."""
        return self.words if self.turns else self.prompt

    @property
    def is_continued(self) -> bool:
        """Whether the server has answered in this conversation before, so that it may remember most of it."""
        return any(turn.role == "assistant" for turn in self.turns)


def as_text(turns: Iterable[Turn]) -> str:
    """A conversation for routes without roles: an answer right behind its question, a blank line before the rest.

    So one user turn is sent as it is, and each text begins with the text and the answer before it, which is what a
    prefix cache holds.

    Raises:
        TypeError: there are images, which have no place here.
    """
    pieces: list[str] = []
    for turn in turns:
        if turn.images:
            raise TypeError("this route takes text, not images")
        pieces += ("\n\n", turn.text) if pieces and turn.role != "assistant" else (turn.text,)
    return "".join(pieces)
