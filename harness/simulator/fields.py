"""Reading the fields of a request body: each returns a checked value or raises `Refusal`, naming the field.

`None` and absent are the same, as clients send both. Unknown fields are ignored, as servers do. The chat
template lives here too, since it is what `messages` mean. An image is so many tokens of it, whatever it shows.
"""

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from harness.simulator import tokens
from harness.simulator.wire import Request

JsonObject: TypeAlias = dict[str, Any]

IMAGE_TOKENS = 256  # as Gemma 3 makes of one
IMAGE = "<|image|>" * IMAGE_TOKENS
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")


class Refusal(Exception):
    """A request that gets an error reply.

    `type` overrides the dialect's usual word for the status; `extra` is laid into the error's object.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,  # noqa: A002, the name it has on the wire
        param: str | None = None,
        extra: JsonObject | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.extra = extra or {}
        self.headers = headers
        self.request_id = ""  # of the request that is refused; some dialects say it


class NoRoute(Refusal):
    """404 or 405: what was asked for reached no handler."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the model sees it, begin marker counted. `identity` feeds the answer's randomness."""

    text: str
    tokens: int
    identity: bytes


def read_body(request: Request) -> JsonObject:
    """The JSON object of a request's body. Raises Refusal."""
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"the body must be a JSON object, not {type(body).__name__}")
    return body


def read_int(body: JsonObject, *names: str, minimum: int) -> int | None:
    """The first of `names` that is given and not null. Raises Refusal."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if type(value) is not int or value < minimum:
            raise Refusal(400, f"{name} must be an integer >= {minimum}, not {value!r:.80}", param=name)
        return value
    return None


def read_number(body: JsonObject, name: str, *, minimum: float) -> float | None:
    """A number, or None when absent or null. Raises Refusal."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) not in {int, float} or value < minimum:
        raise Refusal(400, f"{name} must be a number >= {minimum:g}, not {value!r:.80}", param=name)
    return float(value)


def read_bool(body: JsonObject, name: str) -> bool:
    """A flag, false when absent or null. Raises Refusal."""
    value = body.get(name)
    if value is not None and type(value) is not bool:
        raise Refusal(400, f"{name} must be true or false, not {value!r:.80}", param=name)
    return bool(value)


def read_text(body: JsonObject, name: str) -> str:
    """A string that must be there. Raises Refusal."""
    value = body.get(name)
    if not isinstance(value, str):
        raise Refusal(400, f"{name} must be a string, not {value!r:.80}", param=name)
    return value


def read_object(body: JsonObject, name: str) -> JsonObject | None:
    """An object, or None when absent or null. Raises Refusal."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refusal(400, f"{name} must be an object, not {value!r:.80}", param=name)
    return value


def read_prompt(value: object, name: str) -> Prompt:
    """A string, a list of token ids, strings and ids mixed, or one of these in a list. Raises Refusal."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list | str):
        value = value[0]
    if isinstance(value, str):
        return text_prompt(value)
    parts = value if isinstance(value, list) else []
    if not parts or not all(type(p) in {int, str} for p in parts) or all(type(p) is str for p in parts):
        shown = f"{value!r:.80}"
        raise Refusal(400, f"{name} must be one string or one list of token ids, not {shown}", param=name)
    # A client that sends ids sends every token there is: no begin marker on top.
    size = sum(tokens.count(p) if isinstance(p, str) else 1 for p in parts)
    return Prompt("".join(p for p in parts if isinstance(p, str)), max(size, 1), repr(parts).encode())


def text_prompt(text: str) -> Prompt:
    """A prompt given as text; the begin marker is counted, as `/tokenize` does with `add_special`."""
    return Prompt(text, 1 + tokens.count(text), text.encode())


def read_messages(body: JsonObject, *, images: bool = False) -> str:
    """The chat template applied to `messages`; `images`: the route takes them. Raises Refusal."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages must be a list of at least one message", param="messages")
    turns = [_turn(index, message, images=images) for index, message in enumerate(messages)]
    return "".join((*turns, "<|assistant|>\n"))


CHAT_TEMPLATE = (  # what read_messages does, as clients expect to be told it
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}<|assistant|>\n"
)


def _turn(index: int, message: object, *, images: bool) -> str:
    where = f"messages[{index}]"
    if not isinstance(message, dict):
        raise Refusal(400, f"{where} must be an object", param="messages")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role.isidentifier():
        raise Refusal(400, f"{where}.role must be a word such as user, not {role!r:.80}", param="messages")
    if isinstance(content, list):
        parts = (_part(f"{where}.content[{i}]", part, images=images) for i, part in enumerate(content))
        content = "".join(parts)
    if content is not None and not isinstance(content, str):
        raise Refusal(400, f"{where}.content must be text, not {content!r:.80}", param="messages")
    return f"<|{role}|>\n{content or ''}<|end|>\n"


def _part(where: str, part: object, *, images: bool) -> str:
    said = part if isinstance(part, dict) else {}
    kind, text = said.get("type"), said.get("text")
    if kind == "text" and isinstance(text, str):
        return text
    if not images:
        raise Refusal(400, f'{where} must be {{"type": "text", "text": ...}}: text only', param="messages")
    if kind != "image_url":
        shapes = '{"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}'
        raise Refusal(400, f"{where} must be {shapes}", param="messages")
    image = said.get("image_url")
    return read_image(image.get("url") if isinstance(image, dict) else image, f"{where}.image_url.url")


def read_image(url: object, where: str) -> str:
    """What the template makes of an image. Nothing is fetched, so only a data URL will do. Raises Refusal."""
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    try:
        if found is not None:
            b64decode(found.string[found.end() :], validate=True)
            return IMAGE
    except ValueError:
        pass
    raise Refusal(400, f"{where} must be data:image/TYPE;base64,..., not {url!r:.80}", param="messages")
