"""llama.cpp's `timings` object, which its own and its OpenAI-style answers carry."""

from dataclasses import dataclass

from harness.backends.fields import Json, count, mapping, number


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
