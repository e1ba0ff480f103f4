"""llama.cpp's own `/completion`: SSE without `[DONE]`, ended by the event with `stop: true`.

That last event has no text and carries the counts and `timings` (ms). Counting events would over-count
by one, and text that ends inside a UTF-8 character is held back, so tokens are taken from the server's
counts only. `cache_prompt` is switched off: prefill is measured, not the slot's memory of it. In a conversation that
the server has answered in before it is on, since its history is what that memory is for; `cached_tokens` says how much
of it was found.
"""

from dataclasses import dataclass
from typing import ClassVar

from harness.backends.base import Ask, Backend, Delta, HttpRequest, Learnt
from harness.backends.fields import Json, count, dumped, error_text, laid_over, mapping, parse_object, text
from harness.backends.llama_timings import llama_timings
from harness.backends.openai import OpenAI, error_class


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppCompletion(Backend):
    """`POST /completion`."""

    name: str = "llamacpp"
    mode: str = "native"
    forces_length: bool | None = True
    takes_ids: bool = True
    facts: tuple[str, ...] = ("/props",)
    any_model: bool = True

    @property
    def path(self) -> str:
        """`/completion`."""
        return "/completion"

    def request(self, ask: Ask) -> HttpRequest:
        """The body: `n_predict` output tokens, exactly as many where asked (`ignore_eos`)."""
        body: Json = {
            "prompt": ask.raw,
            "n_predict": ask.max_tokens,
            "stream": self.stream,
            "cache_prompt": ask.is_continued,
            "ignore_eos": ask.exact_length,
        }
        if ask.seed is not None:
            body["seed"] = ask.seed
        return HttpRequest("POST", self.path, dumped(laid_over(body, ask.extra)))

    def read(self, data: bytes) -> Delta:
        """One event; see the module's text for what ends a stream."""
        event = parse_object(data)
        if event.get("error"):
            return Delta(error=error_text(event["error"]), error_class=error_class(event["error"]))
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

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  there is one
        """`/props`."""
        return learn_props(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppOpenAI(OpenAI):
    """Its OpenAI-style routes."""

    name: str = "llamacpp"
    forces_length: bool | None = True
    facts: tuple[str, ...] = ("/props",)
    any_model: bool = True
    needs_model: bool = False

    key_variables: ClassVar[tuple[str, ...]] = ()  # OPENAI_API_KEY belongs to somebody else

    def _own(self, ask: Ask) -> Json:
        """As for `/completion`."""
        return {**dict(self.fields), "cache_prompt": ask.is_continued}

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  there is one
        """`/props`."""
        return learn_props(said)


def learn_props(said: Json) -> Learnt:
    """llama.cpp's `/props`: slots, context of one slot, build."""
    settings = mapping(said.get("default_generation_settings"))
    return Learnt(
        version=text(said.get("build_info")) or None,
        slots=count(said.get("total_slots")),
        context=count(settings.get("n_ctx")),
    )


def _finish_reason(event: Json) -> str | None:
    """The field's words: `stop` or `length`, whatever this version calls them."""
    stop_type = event.get("stop_type")
    if stop_type == "limit" or event.get("stopped_limit") is True:
        return "length"
    if stop_type in ("eos", "word") or event.get("stopped_eos") is True or event.get("stopped_word") is True:
        return "stop"
    return text(stop_type) or None
