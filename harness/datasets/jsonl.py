"""Our own entries: an object with a `prompt`, or with `messages` as OpenAI's chat API has them.

    {"prompt": "Why is the sky blue?", "output_tokens": 150}
    {"prompt": "What is on this picture?", "image_path": "cat.jpg", "system": "Answer briefly."}
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, ...]}

`image_path` is a path, or a list of paths, relative to the dataset's folder; beside `messages` the images belong to the
first turn of the user, and a message may have an `image_path` of its own. `content` may also be a list
of parts `text` and `image_url`, the latter with a data URL. Entries of SambaNova's kit (`prompt`, then maybe
`image_path`) are of this kind. Other keys are left alone.

The rule: what is written must be usable, or it is an error. Nothing is guessed and nothing skipped. Pure:
whether an image is there is for `images` to see.
"""

from pathlib import Path
from typing import Any, Final, cast

from harness.backends.fields import Json
from harness.datasets.entries import ROLES, Read, Role, Turn, Unusable, shown
from harness.distributions import HIGH, LOW

__all__ = ["DATA", "KEYS", "read"]

KEYS: Final = frozenset({"prompt", "messages", "system", "output_tokens", "image_path"})
DATA: Final = "data:"

_ROLES: Final = f"use {', '.join(ROLES[:-1])} or {ROLES[-1]}"
_IMAGE: Final = "give the path of a file, or a list of them"


def read(said: Json, folder: Path) -> Read:
    """One entry; `folder` is what the paths of its images are relative to.

    Raises:
        Unusable: what is wrong.
    """
    if ("prompt" in said) == ("messages" in said):
        raise Unusable(
            _neither(said) if "prompt" not in said else "has both 'prompt' and 'messages'; keep one"
        )
    images = _paths(said.get("image_path"), folder)
    if "prompt" in said:
        turns = [_turn("user", said["prompt"], images, "'prompt'")]
    else:
        turns = _messages(said["messages"], folder)
        _attach(turns, images)
    if said.get("system") is not None:
        if turns[0].role == "system":
            raise Unusable("has 'system' and a message of that role; keep one")
        turns.insert(0, _turn("system", said["system"], (), "'system'"))
    return Read(tuple(turns), _output_tokens(said.get("output_tokens")))


def _neither(said: Json) -> str:
    has = f"only {', '.join(map(shown, list(said)[:8]))}" if said else "nothing at all"
    return f"has {has}; give it a 'prompt', 'messages' or, as ShareGPT does, 'conversations'"


def _messages(said: Any, folder: Path) -> list[Turn]:  # noqa: ANN401  a JSON edge
    if not isinstance(said, list):
        raise Unusable(f"'messages' is {shown(said)}; give a list of objects with 'role' and 'content'")
    turns = [_message(message, at, folder) for at, message in enumerate(said, 1)]
    if not any(turn.role == "user" for turn in turns):
        raise Unusable("no message has the role 'user', so there is nothing to ask; add one")
    if any(turn.role == "system" for turn in turns[1:]):
        raise Unusable("a message of the role 'system' is not the first; put it first")
    return turns


def _message(said: Any, at: int, folder: Path) -> Turn:  # noqa: ANN401  a JSON edge
    if not isinstance(said, dict):
        raise Unusable(f"message {at} is {shown(said)}; give an object with 'role' and 'content'")
    role = said.get("role")
    if role not in ROLES:
        raise Unusable(f"message {at} has the role {shown(role)}; {_ROLES}")
    content, images = said.get("content"), _paths(said.get("image_path"), folder)
    if isinstance(content, list):
        content, urls = _parts(content, at)
        images += urls
    if images and role != "user":
        raise Unusable(f"message {at} has an image and the role {role!r}; only the user's may have one")
    return _turn(cast("Role", role), content, images, f"'content' of message {at}")


def _parts(said: list[Any], at: int) -> tuple[str, tuple[str, ...]]:
    """The text and the images of a content in parts."""
    texts: list[str] = []
    urls: list[str] = []
    for part in said:
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image_url", "image_url": {"url": str(url)}} if url.startswith(DATA):
                urls.append(url)
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                raise Unusable(
                    f"message {at} has an image at {shown(url)}, which would be fetched while load runs; "
                    "save it and give its path as 'image_path'"
                )
            case _:
                raise Unusable(
                    f"message {at} has a part that is neither {{type: text, text}} nor {{type: image_url, image_url: "
                    "{url}}; give one of these, or plain text"
                )
    return "\n".join(texts), tuple(urls)


def _turn(role: Role, text: Any, images: tuple[str, ...], what: str) -> Turn:  # noqa: ANN401  a JSON edge
    if not isinstance(text, str):
        raise Unusable(f"{what} is {shown(text)}; give text")
    if not images and role != "assistant" and not text.strip():
        raise Unusable(f"{what} is empty; give text, or remove the entry")
    return Turn(role, text, images)


def _attach(turns: list[Turn], images: tuple[str, ...]) -> None:
    """Give these images to the first turn of the user."""
    if images:
        at = next(at for at, turn in enumerate(turns) if turn.role == "user")
        turns[at] = turns[at]._replace(images=images + turns[at].images)


def _paths(said: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401  a JSON edge
    """Files by their paths from the folder; a data URL as it is. Null and missing are none."""
    if said is None:
        return ()
    paths = said if isinstance(said, list) else [said]
    for path in paths:
        if not isinstance(path, str) or not path:
            raise Unusable(f"'image_path' is {shown(path)}; {_IMAGE}")
        if path.startswith(("http://", "https://")):
            raise Unusable(f"'image_path' is the address {shown(path)}; save the image and give its path")
    return tuple(path if path.startswith(DATA) else str(folder / path) for path in paths)


def _output_tokens(said: Any) -> int | None:  # noqa: ANN401  a JSON edge
    if said is None:
        return None
    if type(said) is not int or not LOW <= said <= HIGH:
        raise Unusable(f"'output_tokens' is {shown(said)}; give a whole number from {LOW} to {HIGH}")
    return said
