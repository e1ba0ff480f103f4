"""The Responses API of Maritaca's cloud, `/v1/responses`: SSE whose events each have a `type`.

The end mark is `response.completed`, which carries the usage; `response.failed` and `error` are failures.
`response.incomplete` is an end too, usually of an answer that met its limit. Events between the pieces of the
text (`created`, `in_progress`, `output_item.added` and the like) are no tokens. The response's id is on the
events that show the whole response, not on the pieces.
"""

from dataclasses import dataclass
from typing import ClassVar

from harness.backends.base import Ask, Backend, Delta, HttpRequest
from harness.backends.fields import Json, count, dumped, error_text, laid_over, mapping, parse_object, text
from harness.backends.maritaca import KEY_VARIABLES, api_base
from harness.backends.openai import error_class
from harness.backends.turns import text_of
from harness.target import Target

_ANSWER = ("response.output_text.delta", "response.function_call_arguments.delta")
_REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")  # OpenAI's names


@dataclass(frozen=True, slots=True, kw_only=True)
class MaritacaResponses(Backend):
    """`POST /v1/responses`; the prompt is the `input`, in a template of the server's.

    Of a conversation that is a list of messages; what the system says at its beginning are the `instructions`.
    """

    name: str = "maritaca"
    mode: str = "responses"
    templates: bool = True
    health: str | None = None
    models: str | None = "/models"
    needs_model: bool = True

    key_variables: ClassVar[tuple[str, ...]] = KEY_VARIABLES

    @property
    def takes_turns(self) -> bool:
        """As a list."""
        return True

    @property
    def path(self) -> str:
        """`/v1/responses`."""
        return "/v1/responses"

    def at(self, target: Target) -> tuple[Backend, Target]:
        """Below `/api`."""
        return self, api_base(self.mode, target)

    def request(self, ask: Ask) -> HttpRequest:
        """The body. There is no seed."""
        body: Json = {
            "model": ask.model,
            **_input(ask),
            "max_output_tokens": ask.max_tokens,
            "stream": self.stream,
        }
        return HttpRequest("POST", self.path, dumped(laid_over(body, ask.extra)))

    def read(self, data: bytes) -> Delta:
        """One event, or the response itself where it was not streamed."""
        event = parse_object(data)
        kind = text(event.get("type"))
        if kind in _ANSWER:
            return Delta(answer=text(event.get("delta")))
        if kind in _REASONING:
            return Delta(reasoning=text(event.get("delta")))
        if kind in ("response.completed", "response.incomplete"):
            return _ended(mapping(event.get("response")))
        if kind in ("response.failed", "error"):
            return _failed(mapping(event.get("response")).get("error") or event)
        if kind:
            return Delta(response_id=text(mapping(event.get("response")).get("id")) or None)
        return _ended(event) if isinstance(event.get("output"), list) else _failed(event)

    def plain(self, event: Json) -> str | None:
        """A piece of the text."""
        said = event.get("delta")
        if event.get("type") != _ANSWER[0] or not said or not isinstance(said, str):
            return None
        return said


def _input(ask: Ask) -> Json:
    if not ask.turns:
        return {"input": ask.words}
    first, *others = ask.turns
    told = {"instructions": text_of(first)} if first.role == "system" else {}
    turns = others if told else ask.turns
    return {**told, "input": [{"role": turn.role, "content": text_of(turn)} for turn in turns]}


def _ended(response: Json) -> Delta:
    """A whole response, as its last event shows it too."""
    status = text(response.get("status")) or "completed"
    if response.get("error") or status not in ("completed", "incomplete"):
        return _failed(response.get("error") or {"message": f"the response is {status}"})
    usage = mapping(response.get("usage"))
    why = text(mapping(response.get("incomplete_details")).get("reason"))
    return Delta(
        full_text=_output_text(response),
        done=True,
        finish_reason="length" if why == "max_output_tokens" else why or "stop",
        response_id=text(response.get("id")) or None,
        prompt_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cached_tokens=count(mapping(usage.get("input_tokens_details")).get("cached_tokens")),
    )


def _output_text(response: Json) -> str:
    items = response.get("output")
    parts: list[Json] = []
    for item in map(mapping, items if isinstance(items, list) else ()):
        content = item.get("content")
        parts += map(mapping, content if isinstance(content, list) else ())
        parts.append({"text": item.get("arguments")})  # of a function call: tokens like any other
    return "".join(text(part.get("text")) for part in parts)


def _failed(error: object) -> Delta:
    return Delta(error=error_text(error), error_class=error_class(error))
