"""One entry of a dataset: the turns of a conversation, and how many tokens its answer shall have.

A lone prompt is a conversation of one turn. What the assistant said in a dataset is kept, for those who
want a history as it was written. Pure; where an entry stands in its file is known to the caller.
"""

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import orjson

from harness.backends.base import Turn
from harness.backends.fields import Json

__all__ = ["ROLES", "Entry", "Read", "Role", "Turn", "Unusable", "line", "shown"]

Role: TypeAlias = Literal["system", "user", "assistant"]

ROLES: Final[tuple[Role, ...]] = ("system", "user", "assistant")
_SHOWN: Final = 60  # characters of a value in an error


class Unusable(Exception):
    """What is wrong with one entry, and what would be right. `place`: where, if the caller does not know it."""

    def __init__(self, problem: str, place: int | None = None) -> None:
        super().__init__(problem)
        self.place = place


class Read(NamedTuple):
    """What one entry of a file says."""

    turns: tuple[Turn, ...]
    output_tokens: int | None = None


class Entry(NamedTuple):
    """One entry to be asked.

    Fields:
        number: which of the dataset it is, from 0.
        turns: in order; at least one is the user's. `images` are data URLs, and before `images.Cache` has read
            them the paths of files.
        output_tokens: how long the answer shall be; None where the dataset does not say.
    """

    number: int
    turns: tuple[Turn, ...]
    output_tokens: int | None = None

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return sum(len(turn.text) + sum(map(len, turn.images)) for turn in self.turns)


def line(entry: Entry) -> bytes:
    """An entry in our own format, as one line without its end; `jsonl` reads it back."""
    said: Json = {"number": entry.number, "messages": [_message(turn) for turn in entry.turns]}
    if entry.output_tokens is not None:
        said["output_tokens"] = entry.output_tokens
    return orjson.dumps(said)


def shown(value: Any) -> str:  # noqa: ANN401  a JSON edge
    """A foreign value as an error shows it: short, in one line."""
    if isinstance(value, str):
        return repr(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else orjson.dumps(value).decode()


def _message(turn: Turn) -> Json:
    if not turn.images:
        return {"role": turn.role, "content": turn.text}
    images = [{"type": "image_url", "image_url": {"url": image}} for image in turn.images]
    return {"role": turn.role, "content": [{"type": "text", "text": turn.text}, *images]}
