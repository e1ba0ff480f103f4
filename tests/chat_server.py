"""A server for chats in tests: OpenAI's words, in a real thread, whose answer follows from the last words it was asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from native import Talk, standing
from scripted import DONE, END, HEAD, USAGE, event

__all__ = ["HOSTILE", "LONG", "ChatServer", "chat_server"]

HOSTILE: Final = (
    "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>\x1b[31mred\x1b]0;owned\x07 \x00"
    "\u202etxt.exe\u202c **bold** \x9b2J {{7*7}} javascript:alert(1)"
)
LONG: Final = "x" * 1_000_000
_MODELS: Final = json.dumps({"object": "list", "data": [{"id": "scripted"}]}).encode()


@dataclass
class ChatServer:
    """What it was asked, and how often a client went before its answer had ended."""

    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    gone: int = 0


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """`slow` drips without an end, `hostile`, `long`, `think` and `fail` do what they say; all else is answered in two words."""
    seen = ChatServer()

    def script(talk: Talk) -> None:
        while (asked := _request(talk)) is not None:
            head, body = asked
            seen.heads.append(head)
            if not head.startswith(b"POST"):
                talk.say(_json(_MODELS) if b"/v1/models" in head.split(b"\r\n")[0] else _json(b"{}"))
                continue
            said = json.loads(body)
            seen.bodies.append(said)
            words = str(said["messages"][-1]["content"])
            if "slow" in words:
                _drip(talk, seen)
            elif "fail" in words:
                refusal = json.dumps({"error": {"message": f"no: {head.decode('latin-1')}"[:3000]}}).encode()
                talk.say(_json(refusal, "500 Broken"))
            else:
                talk.say(HEAD, *_answer(words), USAGE, DONE, END)

    with standing(script) as (target, _):
        seen.url = str(target)
        yield seen


def _answer(words: str) -> list[bytes]:
    if "hostile" in words:
        return [_content(HOSTILE[at : at + 7]) for at in range(0, len(HOSTILE), 7)]
    if "long" in words:
        return [_content(LONG[at : at + 10_000]) for at in range(0, len(LONG), 10_000)]
    if "think" in words:
        return [event(json.dumps({"choices": [{"delta": {"reasoning_content": "hm"}}]})), _content("so")]
    return [_content("fine"), _content(" words")]


def _content(text: str) -> bytes:
    return event(json.dumps({"choices": [{"delta": {"content": text}}]}))


def _drip(talk: Talk, seen: ChatServer) -> None:
    try:
        talk.say(HEAD)
        for number in range(2_000):
            talk.say(_content(f"drop{number} "), pause_s=0.03)
    except OSError:
        seen.gone += 1
        raise


def _json(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _request(talk: Talk) -> tuple[bytes, bytes] | None:
    """Head and body of the next request; None when the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = talk.sock.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += talk.sock.recv(65_536)
    return head, body
