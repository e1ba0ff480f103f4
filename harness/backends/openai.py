"""OpenAI-compatible `/v1/chat/completions` and `/v1/completions`, streamed, with usage.

What the systems that speak it do differently, and this file allows:

    - `choices` may be empty (the usage chunk); usage may ride on its own chunk, on the last, or on all
    - the first chat chunk is a role with `content` null or "": no token
    - reasoning text is called `reasoning_content` or `reasoning`
    - an error may come as an event of a 200 stream; `error` may be an object or a string
    - `[DONE]` may follow an error and does not clear it
    - llama.cpp adds its `timings`; vLLM, if told to, a `metrics` object (both in ms)
    - a server that ignores `stream` answers with one JSON object: `message` or `text` hold the answer
"""

from dataclasses import dataclass
from typing import Literal

from harness.backends.base import (
    Ask,
    Delta,
    HttpRequest,
    Json,
    count,
    error_text,
    laid_over,
    mapping,
    number,
    parse_object,
    text,
)
from harness.backends.llamacpp import llama_timings


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Chat (the prompt is one user message) or completions (the prompt as it is)."""

    mode: Literal["chat", "completions"]
    name: str = "openai"
    fields: tuple[tuple[str, bool], ...] = ()  # what one server wants in every body

    @property
    def path(self) -> str:
        """`/v1/chat/completions` or `/v1/completions`."""
        return "/v1/chat/completions" if self.mode == "chat" else "/v1/completions"

    def request(self, ask: Ask) -> HttpRequest:
        """The body, asking for a stream with usage."""
        message = {"role": "user", "content": ask.prompt}
        body: Json = {"messages": [message]} if self.mode == "chat" else {"prompt": ask.prompt}
        body |= {"max_tokens": ask.max_tokens, "stream": True, "stream_options": {"include_usage": True}}
        body |= dict(self.fields)
        if ask.model is not None:
            body["model"] = ask.model
        if ask.seed is not None:
            body["seed"] = ask.seed
        if ask.exact_length:
            # min_tokens is vLLM's and TabbyAPI's, ignore_eos also llama.cpp's and SGLang's.
            body |= {"ignore_eos": True, "min_tokens": ask.max_tokens}
        return HttpRequest("POST", self.path, laid_over(body, ask.extra))

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer."""
        return _read(data)

    def plain(self, event: Json) -> str | None:
        """The text of a chunk without finish reason, usage, timings or reasoning."""
        try:
            choice = event["choices"][0]
            if choice.get("finish_reason") or event.get("usage") or event.get("timings"):
                return None
            if event.get("error") or event.get("metrics"):
                return None
            if self.mode == "chat":
                delta = choice["delta"]
                said = None if delta.get("reasoning_content") or delta.get("reasoning") else delta["content"]
            else:
                said = None if choice.get("delta") or choice.get("message") else choice["text"]
        except (AttributeError, IndexError, KeyError, TypeError):
            return None
        return said if said and isinstance(said, str) else None


def _read(data: bytes) -> Delta:
    if data.strip() == b"[DONE]":
        return Delta(done=True)
    event = parse_object(data)
    if event.get("error"):
        return Delta(error=error_text(event["error"]))
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
    )


def _tool_text(delta: Json) -> str:
    """The text of a tool call's pieces: tokens the model produced, like any other."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list):
        return ""
    functions = [mapping(mapping(call).get("function")) for call in calls]
    return "".join(text(function.get("name")) + text(function.get("arguments")) for function in functions)
