"""llama.cpp's own `/completion`: SSE without `[DONE]`, ended by the event with `stop: true`.

That last event has no text and carries the counts and `timings` (ms). Counting events would over-count
by one, and text that ends inside a UTF-8 character is held back, so tokens are taken from the server's
counts only. `cache_prompt` is switched off: prefill is measured, not the slot's memory of it.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class LlamaCppCompletion:
    """`POST /completion`, streamed."""

    name: str = "llamacpp"
    mode: str = "native"
    path: str = "/completion"

    def request(self, ask: Ask) -> HttpRequest:
        """The body: `n_predict` output tokens, exactly as many where asked (`ignore_eos`)."""
        body: Json = {
            "prompt": ask.prompt,
            "n_predict": ask.max_tokens,
            "stream": True,
            "cache_prompt": False,
            "ignore_eos": ask.exact_length,
        }
        if ask.seed is not None:
            body["seed"] = ask.seed
        return HttpRequest("POST", self.path, laid_over(body, ask.extra))

    def read(self, data: bytes) -> Delta:
        """One event; see the module's text for what ends a stream."""
        event = parse_object(data)
        if event.get("error"):
            return Delta(error=error_text(event["error"]))
        if event.get("stop") is not True:
            # With `return_progress` prefill events have empty content: they are not a first token.
            return Delta(
                answer=text(event.get("content")), tokens_so_far=count(event.get("tokens_predicted"))
            )
        timings = llama_timings(event)
        return Delta(
            answer=text(event.get("content")),
            done=True,
            finish_reason=_finish_reason(event),
            prompt_tokens=count(event.get("tokens_evaluated")),
            output_tokens=count(event.get("tokens_predicted")),
            tokens_so_far=count(event.get("tokens_predicted")),
            cached_tokens=timings.cached_tokens,
            prefill_ms=timings.prefill_ms,
            decode_ms=timings.decode_ms,
        )

    def plain(self, event: Json) -> str | None:
        """The content of an event that is not the last; its running count matters only if the stream breaks off."""
        said = event.get("content")
        if event.get("stop") is True or event.get("error") or not said or not isinstance(said, str):
            return None
        return said


@dataclass(frozen=True, slots=True)
class Timings:
    """llama.cpp's `timings`, in ms; queueing is in neither number."""

    prefill_ms: float | None
    decode_ms: float | None
    cached_tokens: int | None


def llama_timings(event: Json) -> Timings:
    """The `timings` object of a native or an OpenAI-style event; all None where there is none."""
    timings = mapping(event.get("timings"))
    return Timings(
        number(timings.get("prompt_ms")), number(timings.get("predicted_ms")), count(timings.get("cache_n"))
    )


def _finish_reason(event: Json) -> str | None:
    """The field's words: `stop` or `length`, whatever this version calls them."""
    stop_type = event.get("stop_type")
    if stop_type == "limit" or event.get("stopped_limit") is True:
        return "length"
    if stop_type in ("eos", "word") or event.get("stopped_eos") is True or event.get("stopped_word") is True:
        return "stop"
    return text(stop_type) or None
