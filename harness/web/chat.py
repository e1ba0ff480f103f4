"""The Chat page: talk to the system under test, each answer with its figures, measured as a load's request is (`harness.chat`).

    GET  chat              the page
    GET  chat/models.json  the backend, what the server lists, or in words why not
    POST chat.json         {"messages": [{"role", "content"}, ...], "settings": {...}, "kind": a user class's name}
                           -> lines of JSON: begin, text ..., end; `wait` where nothing has come for a while
    POST chat/stop.json    {"id": of a `begin`}

The conversation is the browser's: it comes with each question and is forgotten with the answer. Nothing of it is written or
logged, nor does a chat count in any result. Where to ask is the settings' host, never the browser's word. A browser that goes away
gives its request up.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson

from harness import lanes
from harness.backends.base import Turn
from harness.backends.fields import Json, mapping, printable
from harness.chat import choices, figures
from harness.chat.answering import Answering
from harness.chat.line import Facts, Line, open_line
from harness.clock import now_ns
from harness.engine import Engine
from harness.errors import ConfigError
from harness.settings import Settings
from harness.web.chat_page import body
from harness.web.site import HEADERS, Site

if TYPE_CHECKING:
    from flask import Response

    from harness.lane import UserClass

__all__ = ["MOST_BYTES", "MOST_CHATS", "add"]

MOST_CHATS: Final = 4  # at once: a chat is not a load
MOST_BYTES: Final = 4_000_000  # of a question with its conversation
MOST_TURNS: Final = 1_000
_WAIT_NS: Final = 500_000_000  # between signs of life, by whose failure a browser's going is noticed
_ROLES: Final = ("user", "assistant")
_KIND: Final = "application/x-ndjson"


class _Refused(Exception):
    """A request that is not taken on: status, and in words why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(slots=True)
class _Desk:
    """The chats of this process: those under way, and the engine that they share."""

    site: Site
    under_way: dict[str, Answering | None] = field(default_factory=dict)
    engines: dict[object, Engine] = field(default_factory=dict)  # one, but while the settings change
    asking: int = 0  # for models, at this moment

    def settings(self) -> Settings:
        """As the options are now.

        Raises:
            ConfigError: there is no host, or something else is wrong with them.
        """
        return self.site.session.settings()

    def line(self, said: Json) -> Line:
        """The way to the server, as a question's settings have it.

        Raises:
            ConfigError: it cannot be gone, or the key is not for that server.
        """
        settings = self.settings()
        kinds = {kind.__name__: kind for kind in self._kinds()}
        if not kinds:
            raise ConfigError("the locustfile has no LLMUser, so there is nothing to chat with")
        kind = kinds.get(str(said.get("kind"))) or next(iter(kinds.values()))
        lanes.check_keys([kind], settings, self.site.session.home)
        line = open_line(kind, settings, choices.read(mapping(said.get("settings"))), self.engine(settings))
        lanes.check_keys([kind], line.settings, self.site.session.home)
        return line

    def kinds(self) -> list[str]:
        """The user classes whose backend can be asked."""
        return [kind.__name__ for kind in self._kinds()]

    def engine(self, settings: Settings) -> Engine:
        """The one for this target; another's is closed when nobody is at it."""
        key = (settings.target, settings.timeouts, settings.trust, settings.proxy)
        if key not in self.engines:
            idle = [old for old, engine in self.engines.items() if not engine.flying]
            for old in idle if len(self.under_way) < 2 else ():
                self.engines.pop(old).close()
            self.engines[key] = lanes.open_engine(settings, lambda _: None)
        return self.engines[key]

    def _kinds(self) -> "list[type[UserClass]]":
        from harness.session import measured_classes  # noqa: PLC0415  it brings Locust, which is there by now

        return measured_classes(self.site.session.environment)

    @property
    def is_running(self) -> bool:
        """Load is being made."""
        run = self.site.run
        return run is not None and not run.is_over


def add(site: Site) -> None:
    """Serve the page and its routes."""
    desk = _Desk(site)

    def page() -> "Response":
        return site.page("chat", body(site), "chat_text.js", "chat.js")

    def chat() -> "Response":
        try:
            return _begin(desk, _posted())
        except _Refused as refused:
            return site.json({"error": str(refused)}, status=refused.status)
        except ConfigError as error:
            return site.json({"error": str(error)}, status=400)

    def stop() -> "Response":
        try:
            answering = desk.under_way.get(str(_posted().get("id")))
        except _Refused as refused:
            return site.json({"error": str(refused)}, status=refused.status)
        if answering is not None:
            answering.stop()
        return site.json({"stopped": answering is not None})

    site.route("chat", page)

    def models() -> "Response":
        if desk.asking >= MOST_CHATS:
            return site.json({"error": "the server is being asked already: wait for its answer"}, status=429)
        desk.asking += 1
        try:
            return site.json(_models(desk))
        finally:
            desk.asking -= 1

    site.route("chat/models.json", models)
    site.route("chat.json", chat, "POST")
    site.route("chat/stop.json", stop, "POST")


def _posted() -> Json:
    """The JSON object of this request."""
    from flask import request  # noqa: PLC0415  only where Locust has brought it

    size = request.content_length
    if size is None or size > MOST_BYTES:
        raise _Refused(
            413, f"the conversation is longer than {MOST_BYTES:,} bytes; reset it, or ask a shorter question"
        )
    try:
        said = orjson.loads(request.get_data(cache=False))
    except orjson.JSONDecodeError:
        raise _Refused(400, "not JSON") from None
    if not isinstance(said, dict):
        raise _Refused(400, "not a JSON object")
    return said


def _said(messages: object) -> tuple[Turn, ...]:
    """The conversation, the user's last words at its end."""
    if not isinstance(messages, list) or not 0 < len(messages) <= MOST_TURNS:
        raise _Refused(400, f"messages: give a list of 1 to {MOST_TURNS:,} messages")
    turns = []
    for message in map(mapping, messages):
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or not isinstance(content, str) or not content:
            raise _Refused(400, "messages: each has a role, user or assistant, and a content, which is text")
        turns.append(Turn(str(role), content))
    if turns[-1].role != "user":
        raise _Refused(400, "messages: the last is the user's")
    return tuple(turns)


def _begin(desk: _Desk, said: Json) -> "Response":
    """Take a question on."""
    turns = _said(said.get("messages"))
    if len(desk.under_way) >= MOST_CHATS:
        raise _Refused(429, f"{MOST_CHATS} answers are under way, which is all there may be: wait for one")
    chat_id = uuid4().hex
    desk.under_way[chat_id] = None  # from here on: asking for the model may take a while
    try:
        line = desk.line(said)
        model = line.model(line.facts)
        ask = line.ask(model, turns)
        answering = desk.under_way[chat_id] = Answering(line.client, ask)
        begin = {
            "type": "begin",
            "id": chat_id,
            "model": model,
            "backend": line.backend.name,
            "mode": line.backend.mode,
            "notes": line.notes(ask),
            "is_running": desk.is_running,
        }
        response = desk.site.app.response_class(
            _lines(answering, begin), 200, {**HEADERS, "Content-Type": _KIND, "X-Accel-Buffering": "no"}
        )
    except BaseException:
        del desk.under_way[chat_id]
        raise
    response.call_on_close(lambda: desk.under_way.pop(chat_id, None))
    return response


def _lines(answering: Answering, begin: Mapping[str, Any]) -> Iterator[bytes]:
    """The answer, a line of JSON at a time. Closing it, as the server does when the browser is gone, gives the request up."""
    yield _line(begin)
    told_ns = now_ns()
    with closing(answering.pieces()) as pieces:
        for piece in pieces:
            if piece.answer or piece.reasoning:
                yield _line({"type": "text", "answer": piece.answer, "reasoning": piece.reasoning})
            elif now_ns() - told_ns < _WAIT_NS:
                continue
            else:
                yield _line({"type": "wait"})
            told_ns = now_ns()
    result = answering.result
    anew = {"answer": result.answer} if result.is_other else {}
    yield _line({"type": "end", "figures": figures.figures(result), **anew})


def _line(said: Mapping[str, Any]) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def _models(desk: _Desk) -> Json:
    """What is talked to, as far as it is known; `error` in words where it is not."""
    from flask import request  # noqa: PLC0415

    found: Json = {"error": None, "is_running": desk.is_running, "kinds": desk.kinds(), "models": []}
    try:
        settings = desk.settings()
        found |= {"host": str(settings.target), "model": settings.model}
        chosen = {"api_mode": request.args.get("api_mode", "")}
        line = desk.line({"kind": request.args.get("kind"), "settings": chosen})
        backend = line.backend
        found |= {
            "backend": backend.name,
            "mode": backend.mode,
            "modes": line.modes,
            "path": backend.path,
            "streams": backend.stream,
            "takes_turns": backend.takes_turns,
            "extra_fields": sorted(settings.extra_body),
        }
        found |= _told(line.facts())
    except ConfigError as error:
        found["error"] = str(error)
    return found


def _told(facts: Facts) -> Json:
    learnt = facts.learnt
    return {
        "models": facts.models,
        "learnt": {
            "model": learnt.model and printable(learnt.model),
            "version": learnt.version and printable(learnt.version),
            "slots": learnt.slots,
            "context": learnt.context,
        },
        "notes": facts.notes,
    }
