"""vLLM's `/v1/chat/completions` and `/v1/completions`.

What it adds to OpenAI's words: answers of an exact length (`ignore_eos` with `min_tokens` = `max_tokens`),
`cache_salt`, which keeps its prefix cache from being shared, prompts of token ids (completions only), and,
where it was started with `--enable-per-request-metrics`, a `metrics` object on the usage chunk or the whole body.

Those are ms. `time_to_first_token_ms` begins when the request was scheduled, not when it arrived, so it is the
prefill and has no queueing in it; `generation_time_ms` runs from the first token to the last; `tokens_per_second`
is all output tokens over both together. A stream ends with `[DONE]`, which also follows an error.
A refused key is a 401 whose `error` is a string.
"""

from dataclasses import dataclass
from typing import ClassVar

from harness.backends import openai
from harness.backends.base import Delta
from harness.backends.fields import Json, count, mapping
from harness.backends.openai import OpenAI


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLM(OpenAI):
    """Its OpenAI-style routes. Not counted: the role chunk, which comes with the first token but holds none."""

    name: str = "vllm"
    forces_length: bool | None = True
    takes_salt: bool = True
    facts: tuple[str, ...] = ("/version",)

    key_variables: ClassVar[tuple[str, ...]] = ("VLLM_API_KEY",)

    def counting(self, text: str, model: str | None, *, prompt: bool) -> tuple[str, Json] | None:
        """`/tokenize`, which takes messages as well as prompts."""
        body: Json = {"model": model} if model else {}
        if prompt and self.mode == "chat":
            return "/tokenize", body | {
                "messages": [{"role": "user", "content": text}],
                "add_generation_prompt": True,
            }
        return "/tokenize", body | {"prompt": text, "add_special_tokens": prompt}

    def counted(self, said: object) -> int | None:
        """`count`."""
        return count(mapping(said).get("count"))

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer."""
        delta = openai.read(data)
        return delta if delta.server_ttft_ms is None else delta._replace(prefill_ms=delta.server_ttft_ms)
