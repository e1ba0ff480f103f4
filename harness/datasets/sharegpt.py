"""Entries as the ShareGPT files have them: {"conversations": [{"from": "human", "value": "..."}, ...]}.

These files are public and not clean: some conversations are empty, have turns without text, or begin in
their middle with an answer. The rule: turns without text are passed over, and so is what came before the first turn of the
user, but for a system prompt; an entry with no turn of the user left is skipped and counted. What is of another
shape, or somebody's whom we do not know, is an error.
"""

from collections.abc import Mapping
from typing import Any, Final

from harness.backends.fields import Json
from harness.datasets.entries import Read, Role, Turn, Unusable, shown

__all__ = ["KEYS", "read"]

KEYS: Final = frozenset({"conversations", "system"})

# Who speaks in the files that are around: FastChat's two, and those that collectors of several sites added.
_SPEAKERS: Final[Mapping[str, Role]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}


def read(said: Json) -> Read | None:
    """One entry; None if the user says nothing in it.

    Raises:
        Unusable: what is wrong.
    """
    turns = said["conversations"]
    if not isinstance(turns, list):
        raise Unusable(f"'conversations' is {shown(turns)}; give a list of objects with 'from' and 'value'")
    spoken = [turn for at, one in enumerate(turns, 1) if (turn := _turn(one, at)).text.strip()]
    begin = next((at for at, turn in enumerate(spoken) if turn.role == "user"), None)
    if begin is None:
        return None
    system = [turn.text for turn in spoken if turn.role == "system"]
    if isinstance(own := said.get("system"), str) and own.strip():
        system.insert(0, own)
    first = (Turn("system", "\n\n".join(system)),) if system else ()
    return Read(first + tuple(turn for turn in spoken[begin:] if turn.role != "system"))


def _turn(said: Any, at: int) -> Turn:  # noqa: ANN401  a JSON edge
    if not isinstance(said, dict):
        raise Unusable(f"turn {at} is {shown(said)}; give an object with 'from' and 'value'")
    speaker, text = said.get("from"), said.get("value")
    role = _SPEAKERS.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise Unusable(f"turn {at} is from {shown(speaker)}; known are {', '.join(_SPEAKERS)}")
    if not isinstance(text, str):
        raise Unusable(f"turn {at} has the value {shown(text)}; give text")
    return Turn(role, text)
