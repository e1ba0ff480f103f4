"""What a request to SambaStudio's generic API asks for, in its two versions.

Version 1 wraps every parameter: `{"type": "int", "value": "150"}`, the value a string. Version 2 sends
plain JSON and gives each item an id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from harness.simulator.fields import (
    JsonObject,
    Prompt,
    Refusal,
    read_bool,
    read_int,
    read_messages,
    read_number,
    read_object,
    text_prompt,
)

_BOOLEANS: Final = {"true": True, "false": False}
_TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": lambda text: _BOOLEANS[text.lower()],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt and its parameters; `name` is the item's id."""

    prompt: Prompt
    limit: int | None
    expert: str | None
    name: str


def read_v1(field: str, body: JsonObject) -> Asked:
    """A body of version 1; `field` is `instance` (a string) or `instances` (a list of one). Raises Refusal."""
    value = body.get(field)
    if field == "instances":
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(value, str):
        kind = "a string" if field == "instance" else "a list of one string"
        raise Refusal(400, f"{field} must be {kind}, not {value!r:.80}", param=field)
    wrapped = read_object(body, "params") or {}
    return _asked(value, {name: _unwrapped(name, param) for name, param in wrapped.items()}, "item1")


def read_v2(body: JsonObject) -> Asked:
    """A body of version 2, with one item. Raises Refusal."""
    items = body.get("items")
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise Refusal(400, f"items must be a list of one object, not {items!r:.80}", param="items")
    name, value = items[0].get("id"), items[0].get("value")
    if not isinstance(name, str) or not name or "#" in name:
        raise Refusal(400, f"items[0].id must be a string without #, not {name!r:.80}", param="items")
    if not isinstance(value, str):
        raise Refusal(400, f"items[0].value must be a string, not {value!r:.80}", param="items")
    return _asked(value, read_object(body, "params") or {}, name)


def _unwrapped(name: str, param: object) -> object:
    kind, value = (param.get("type"), param.get("value")) if isinstance(param, dict) else (None, None)
    convert = _TYPES.get(kind) if isinstance(kind, str) else None
    if convert is None or not isinstance(value, str):
        text = f'params.{name} must be {{"type": "int", "value": "1"}} or the like, not {param!r:.80}'
        raise Refusal(400, text, param=name)
    try:
        return convert(value)
    except (ValueError, KeyError):
        raise Refusal(400, f"params.{name}: {value!r:.80} is not of type {kind}", param=name) from None


def _asked(value: str, params: JsonObject, name: str) -> Asked:
    for number in ("temperature", "top_p", "repetition_penalty"):
        read_number(params, number, minimum=0)
    read_int(params, "top_k", minimum=0)
    read_bool(params, "do_sample")
    expert = params.get("select_expert")
    if expert is not None and not isinstance(expert, str):
        raise Refusal(400, f"select_expert must be a string, not {expert!r:.80}", param="select_expert")
    text = _conversation(value) if read_bool(params, "process_prompt") else value
    limit = read_int(params, "max_tokens_to_generate", minimum=1)
    return Asked(text_prompt(text), limit, expert, name)


def _conversation(value: str) -> str:
    """What `process_prompt` makes of a value that is itself JSON: the chat template of its messages."""
    try:
        conversation = orjson.loads(value)
    except orjson.JSONDecodeError:
        conversation = None
    if not isinstance(conversation, dict) or "messages" not in conversation:
        text = (
            'with process_prompt the value must be a JSON string {"conversation_id": ..., "messages": [...]}'
        )
        raise Refusal(400, text, param="process_prompt")
    return read_messages(conversation)
