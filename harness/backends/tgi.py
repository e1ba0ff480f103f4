"""Hugging Face's Text Generation Inference: its own `/generate` and `/generate_stream`, and its OpenAI-style routes.

    native   SSE without `[DONE]`: the last event is the one whose `generated_text` is not null. Counts come in
             its `details`, which have to be asked for. `index` is no token count: it may begin at 2.
    chat, completions   SSE with `[DONE]`; special tokens are chunks with empty content.

The `parameters` object is always sent, and with it TGI decodes greedily unless told otherwise. Without one it
would sample: leaving it out is no way to say "as you are". Sampling (`do_sample`, `temperature`), `truncate`
and `best_of` are the user's to give (`--extra-body`); of `best_of` answers only the best one's tokens count.

The native route takes images as Markdown within its text, `![](data:...)`, before the words of their turn.

Overload is 429 where the answer is not streamed. A streamed request is answered 200 and told in the stream;
the OpenAI-style routes give it the code of bad input, so there its words tell. No route can be made to go on
past the model's own end. Times come only with answers that are not streamed, as headers in whole ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.backends import openai
from harness.backends.base import Ask, Backend, Delta, HttpRequest, Learnt, Sampling, Turn, as_text
from harness.backends.fields import Json, count, dumped, error_text, laid_over, mapping, parse_object, text
from harness.backends.openai import OpenAI
from harness.errors import ErrorClass, class_of_status

_FACTS = ("/info",)
_REASONS = {"eos_token": "stop", "stop_sequence": "stop"}  # and `length`, as everywhere
# What users give with --extra-body is a parameter, unless it is one of these.
_TOP_LEVEL = ("inputs", "parameters", "stream")
_LIMITS = (
    "max_concurrent_requests",
    "max_input_tokens",
    "max_input_length",  # its name before 3.0
    "max_total_tokens",
    "max_batch_total_tokens",
    "max_best_of",
    "max_client_batch_size",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TGINative(Backend):
    """`POST /generate`, or `/generate_stream` for answers that are streamed."""

    name: str = "tgi"
    mode: str = "native"
    facts: tuple[str, ...] = _FACTS
    any_model: bool = True

    @property
    def takes_images(self) -> bool:
        """As Markdown."""
        return True

    @property
    def path(self) -> str:
        """`/generate_stream` or `/generate`."""
        return "/generate_stream" if self.stream else "/generate"

    def request(self, ask: Ask) -> HttpRequest:
        """The body: `max_new_tokens` is an upper bound, and nothing is said of sampling."""
        parameters: Json = {"max_new_tokens": ask.max_tokens, "details": True}
        if ask.seed is not None:
            parameters["seed"] = ask.seed
        theirs = {key: value for key, value in ask.extra.items() if key not in _TOP_LEVEL}
        top = {key: value for key, value in ask.extra.items() if key in _TOP_LEVEL}
        parameters = laid_over(parameters, theirs)
        if isinstance(top.get("parameters"), dict):
            parameters = laid_over(parameters, top.pop("parameters"))
        body: Json = {"inputs": _inputs(ask), "parameters": parameters}
        return HttpRequest("POST", self.path, dumped(laid_over(body, top)))

    def sampling(self, chosen: Sampling) -> Json:
        """Only where `do_sample` says so."""
        return chosen.switched()

    def read(self, data: bytes) -> Delta:
        """One event, or a whole answer, which has the last event's fields."""
        event = parse_object(data)
        if event.get("error"):
            return _error(event)
        token = mapping(event.get("token"))
        answer = text(token.get("text")) if token.get("special") is not True else ""
        whole = event.get("generated_text")
        if not isinstance(whole, str):
            return Delta(answer=answer)
        details = mapping(event.get("details"))
        return Delta(
            answer=answer,
            full_text=whole,
            done=True,
            finish_reason=_reason(text(details.get("finish_reason"))),
            prompt_tokens=count(details.get("input_length")),
            output_tokens=count(details.get("generated_tokens")),
        )

    def plain(self, event: Json) -> str | None:
        """The text of a token that is neither special nor the last."""
        token = event.get("token")
        if not isinstance(token, dict) or event.get("generated_text") is not None or event.get("error"):
            return None
        said = token.get("text")
        return said if said and isinstance(said, str) and token.get("special") is not True else None

    def read_headers(self, headers: Mapping[str, str]) -> Delta:
        """The times and counts of an answer that was not streamed."""
        return timings(headers)

    def counting(self, text: str, model: str | None, *, prompt: bool) -> tuple[str, Json] | None:  # noqa: ARG002
        """As a prompt, or as mere text."""
        return counting(text, chat=False)

    def counted(self, said: object) -> int | None:
        """A list of tokens."""
        return counted(said)

    def class_of_status(self, status: int) -> ErrorClass:
        """424: the model failed."""
        return _class_of_status(status)

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  there is one
        """`/info`."""
        return learn_info(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class TGIOpenAI(OpenAI):
    """Its OpenAI-style routes, which serve one model under any name."""

    name: str = "tgi"
    forces_length: bool | None = False
    length_fields: str = "none"
    fields: tuple[tuple[str, object], ...] = (("model", "tgi"),)  # older ones want one; any will do
    facts: tuple[str, ...] = _FACTS
    any_model: bool = True
    needs_model: bool = False

    key_variables: ClassVar[tuple[str, ...]] = ()

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer."""
        delta = openai.read(data)
        return delta._replace(finish_reason=_reason(delta.finish_reason))

    def read_headers(self, headers: Mapping[str, str]) -> Delta:
        """The times and counts of an answer that was not streamed."""
        return timings(headers)

    def counting(self, text: str, model: str | None, *, prompt: bool) -> tuple[str, Json] | None:  # noqa: ARG002  one model
        """As a prompt, or as mere text."""
        return counting(text, chat=prompt and self.mode == "chat")

    def counted(self, said: object) -> int | None:
        """A list of tokens."""
        return counted(said)

    def class_of_status(self, status: int) -> ErrorClass:
        """424: the model failed."""
        return _class_of_status(status)

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  there is one
        """`/info`."""
        return learn_info(said)


def _inputs(ask: Ask) -> str:
    if not any(turn.images for turn in ask.turns):
        return ask.words
    return as_text(
        Turn(turn.role, "".join(f"![]({image})" for image in turn.images) + turn.text) for turn in ask.turns
    )


def counting(text: str, *, chat: bool) -> tuple[str, Json]:
    """`/tokenize` and, with the template, `/chat_tokenize`."""
    if chat:
        return "/chat_tokenize", {"messages": [{"role": "user", "content": text}]}
    return "/tokenize", {"inputs": text}


def counted(said: object) -> int | None:
    """A list of tokens, in an object where the template was applied."""
    listed = mapping(said).get("tokenize_response", said)
    return len(listed) if isinstance(listed, list) else None


def timings(headers: Mapping[str, str]) -> Delta:
    """TGI's headers. `x-total-time` is the whole request in ms, cut to a whole one.

    Not read: `x-inference-time` and `x-time-per-token` have the prefill in them and are no decode times;
    `x-compute-time` is the total once more, in seconds here and in ms with some of TGI's descendants.
    """
    queue, total = _whole(headers, "x-queue-time"), _whole(headers, "x-total-time")
    return Delta(
        prompt_tokens=_whole(headers, "x-prompt-tokens"),
        output_tokens=_whole(headers, "x-generated-tokens"),
        queue_ms=None if queue is None else float(queue),
        server_e2e_ms=None if total is None else float(total),
    )


def learn_info(said: Json) -> Learnt:
    """TGI's `/info`. It has no slots: `max_concurrent_requests` counts requests that wait, too."""
    return Learnt(
        model=text(said.get("model_id")) or None,
        version=text(said.get("version")) or None,
        context=count(said.get("max_total_tokens")),
        limits={name: said[name] for name in _LIMITS if count(said.get(name)) is not None},
    )


def _error(event: Json) -> Delta:
    overloaded = event.get("error_type") == "overloaded"
    error_class = ErrorClass.OVERLOAD if overloaded else ErrorClass.STREAM_ERROR
    return Delta(error=error_text(event["error"]), error_class=error_class)


def _reason(said: str | None) -> str | None:
    return _REASONS.get(said, said) if said else None


def _class_of_status(status: int) -> ErrorClass:
    return ErrorClass.HTTP_SERVER if status == 424 else class_of_status(status)


def _whole(headers: Mapping[str, str], name: str) -> int | None:
    said = headers.get(name, "").strip()
    return count(int(said)) if said.isascii() and said.isdigit() and len(said) < 16 else None
