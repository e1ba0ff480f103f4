"""Conversations as the chat routes want them: messages with a role and a content.

A content is the turn's text, or, where the turn has images, a list of parts: the text first, then each image as an
`image_url` with its data URL, as OpenAI has it. An ask without turns is one user message.
"""

from collections.abc import Iterator, Sequence

from harness.backends.base import Ask, Turn
from harness.backends.fields import Json


def messages(ask: Ask) -> list[Json]:
    """All turns, each a message.

    Raises:
        TypeError: the prompt is token ids, for which a message has no place.
    """
    if not ask.turns:
        return [{"role": "user", "content": ask.words}]
    return [{"role": turn.role, "content": _content(turn)} for turn in ask.turns]


def plain_messages(ask: Ask) -> list[Json]:
    """The same for routes whose roles are user and assistant only: what the system says begins the user's next turn.

    Raises:
        TypeError: there are token ids or images, which these routes do not take.
    """
    if not ask.turns:
        return messages(ask)
    return [{"role": turn.role, "content": text_of(turn)} for turn in _without_system(ask.turns)]


def text_of(turn: Turn) -> str:
    """The text of a turn that must be no more than that.

    Raises:
        TypeError: it has images.
    """
    if turn.images:
        raise TypeError("this route takes text, not images")
    return turn.text


def _content(turn: Turn) -> str | list[Json]:
    if not turn.images:
        return turn.text
    text: list[Json] = [{"type": "text", "text": turn.text}] if turn.text else []
    return [*text, *({"type": "image_url", "image_url": {"url": image}} for image in turn.images)]


def _without_system(turns: Sequence[Turn]) -> Iterator[Turn]:
    told = ""
    for turn in turns:
        if turn.role == "system":
            told += f"{turn.text}\n\n"
        elif told and turn.role == "user":
            yield turn._replace(text=told + turn.text)
            told = ""
        else:
            yield turn
