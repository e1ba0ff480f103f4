"""OpenAI-compatible `/v1/chat/completions` and `/v1/completions`, with a map of what a server can do.

What the systems that speak it do differently, and this file allows:

    - `choices` may be empty (the usage chunk); usage may ride on its own chunk, on the last, or on all
    - the first chat chunk is a role with `content` null or "": no token
    - reasoning text is called `reasoning_content` or `reasoning`
    - an error may come as an event of a 200 stream; `error` may be an object or a string
    - `[DONE]` may follow an error and does not clear it
    - llama.cpp adds its `timings`; vLLM, if told to, a `metrics` object (both in ms)
    - a server that ignores `stream` answers with one JSON object: `message` or `text` hold the answer

How they differ in what they take are fields, which `--backend-option` can set: the auth header, the name of
the limit, whether usage may be asked for, and what holds off the end of an answer.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from harness.backends.base import Ask, Backend, Delta, HttpRequest, Learnt
from harness.backends.fields import (
    Json,
    count,
    dumped,
    error_text,
    laid_over,
    mapping,
    number,
    parse_object,
    text,
)
from harness.backends.llama_timings import llama_timings
from harness.backends.turns import messages
from harness.errors import ErrorClass

_OVERLOAD = (429, 503, "429", "503")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI(Backend):
    """Chat (the prompt is one user message, a conversation all of its own) or completions (the text as it is)."""

    name: str = "openai"
    root: str = "/v1"
    forces_length: bool | None = None
    needs_model: bool = True
    max_tokens_field: str = "max_tokens"
    include_usage: bool = True  # ask for counts at the end of a stream
    # What makes an answer go on to its limit: min_tokens is vLLM's and TabbyAPI's, ignore_eos also llama.cpp's
    # and SGLang's. Joined by +; a name that holds "min" takes the number, any other `true`.
    length_fields: str = "ignore_eos+min_tokens"
    fields: tuple[tuple[str, object], ...] = ()  # what one server wants in every body
    sees: bool = True  # its chat has a place for images

    settable: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "auth_header": (),
        "auth_scheme": (),
        "max_tokens_field": (),
        "include_usage": (),
        "length_fields": (),
    }
    key_variables: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY",)

    @property
    def takes_turns(self) -> bool:
        """Chat does."""
        return self.mode != "completions"

    @property
    def takes_images(self) -> bool:
        """Chat does, but where the server's API is not known to."""
        return self.sees and self.takes_turns

    @property
    def path(self) -> str:
        """`/v1/chat/completions` or `/v1/completions`."""
        return self.root + ("/chat/completions" if self.mode != "completions" else "/completions")

    def request(self, ask: Ask) -> HttpRequest:
        """The body, asking for a stream with usage where answers are streamed."""
        body: Json = {"messages": messages(ask)} if self.takes_turns else {"prompt": ask.raw}
        body |= {self.max_tokens_field: ask.max_tokens, "stream": self.stream}
        if self.include_usage:
            body["stream_options"] = {"include_usage": True}
        body |= self._own(ask)
        if ask.model is not None:
            body["model"] = ask.model
        if ask.seed is not None:
            body["seed"] = ask.seed
        if ask.cache_salt is not None:
            body["cache_salt"] = ask.cache_salt
        if ask.exact_length:
            body |= self._length(ask.max_tokens)
        return HttpRequest("POST", self.path, dumped(self._laid(body, ask.extra)))

    def _own(self, ask: Ask) -> Json:  # noqa: ARG002  for most it is always the same
        """What this server wants in a body, beyond OpenAI's words."""
        return dict(self.fields)

    def _length(self, tokens: int) -> Json:
        names = filter(None, self.length_fields.replace("none", "").split("+"))
        return {name: tokens if "min" in name else True for name in names}

    def _laid(self, body: Json, extra: Mapping[str, Any]) -> Json:
        """What we put in only to go with a field that the user replaced goes with it."""
        laid = laid_over(body, extra)
        if not laid.get("stream") and "stream_options" not in extra:
            laid.pop("stream_options", None)
        if self.max_tokens_field in extra:
            for name in self._length(0):
                if "min" in name and name not in extra:
                    laid.pop(name, None)
        return laid

    def configured(self, options: Mapping[str, str]) -> Self:
        """What forces lengths, if the user says so, does."""
        changed = Backend.configured(self, options)
        if "length_fields" not in options:
            return changed
        return dataclasses.replace(changed, forces_length=changed.length_fields != "none")

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer."""
        return read(data)

    def plain(self, event: Json) -> str | None:
        """The text of a chunk without finish reason, usage, timings or reasoning."""
        try:
            choice = event["choices"][0]
            if choice.get("finish_reason") or event.get("usage") or event.get("timings"):
                return None
            if event.get("error") or event.get("metrics"):
                return None
            if self.mode != "completions":
                delta = choice["delta"]
                said = None if delta.get("reasoning_content") or delta.get("reasoning") else delta["content"]
            else:
                said = None if choice.get("delta") or choice.get("message") else choice["text"]
        except (AttributeError, IndexError, KeyError, TypeError):
            return None
        return said if said and isinstance(said, str) else None

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  one meaning wherever it stands
        """A `version`, which is what such routes say."""
        return Learnt(version=text(said.get("version")) or None)


def read(data: bytes) -> Delta:
    """One chunk of an OpenAI-style stream, `[DONE]`, or a whole answer."""
    if data.strip() == b"[DONE]":
        return Delta(done=True)
    event = parse_object(data)
    if error := _error(event):
        return Delta(error=error_text(error), error_class=error_class(error))
    choices = event.get("choices")
    choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    delta = mapping(choice.get("delta")) or mapping(choice.get("message"))
    usage = mapping(event.get("usage"))
    output_tokens = count(usage.get("completion_tokens"))
    timings = llama_timings(event)
    metrics = mapping(event.get("metrics"))
    cached = count(mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    return Delta(
        answer=text(delta.get("content")) or text(choice.get("text")) or _tool_text(delta),
        reasoning=text(delta.get("reasoning_content")) or text(delta.get("reasoning")),
        finish_reason=text(choice.get("finish_reason")) or None,  # TGI's completions say "" for "not yet"
        response_id=text(event.get("id")) or None,
        prompt_tokens=count(usage.get("prompt_tokens")),
        output_tokens=output_tokens,
        tokens_so_far=output_tokens,
        cached_tokens=cached if cached is not None else timings.cached_tokens,
        queue_ms=number(metrics.get("queue_time_ms")),
        prefill_ms=timings.prefill_ms,
        decode_ms=timings.decode_ms
        if timings.decode_ms is not None
        else number(metrics.get("generation_time_ms")),
        server_ttft_ms=number(metrics.get("time_to_first_token_ms")),
        server_tokens_per_s=number(metrics.get("tokens_per_second")),
    )


def _error(event: Json) -> object:
    """What an event that is an error says of it; None for any other. FastAPI's servers say `detail`, some `message`."""
    if event.get("error"):
        return event["error"]
    if "choices" in event:
        return None
    return event if event.get("object") == "error" or event.get("detail") or event.get("message") else None


def error_class(error: object) -> ErrorClass:
    """Overload is told by its code or type; TGI gives it the code of bad input, so there it is told by its words."""
    said = mapping(error)
    codes = [said.get(name) for name in ("code", "http_status_code", "status", "type")]
    words = " ".join(code for code in codes if isinstance(code, str)).lower() + error_text(error).lower()
    if any(code in _OVERLOAD for code in codes if isinstance(code, int | str)):
        return ErrorClass.OVERLOAD
    told = any(word in words for word in ("overloaded", "rate_limit", "too many requests"))
    return ErrorClass.OVERLOAD if told else ErrorClass.STREAM_ERROR


def _tool_text(delta: Json) -> str:
    """The text of a tool call's pieces: tokens the model produced, like any other."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list):
        return ""
    functions = [mapping(mapping(call).get("function")) for call in calls]
    return "".join(text(function.get("name")) + text(function.get("arguments")) for function in functions)
