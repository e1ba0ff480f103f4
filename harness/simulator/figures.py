"""What servers say of a request's own speed, each in its units, computed from the same modelled times."""

from harness.simulator.batching import Sequence
from harness.simulator.fields import JsonObject


def timings(sequence: Sequence) -> JsonObject:
    """llama.cpp's `timings`, ms.

    As in its newest version the predicted rate counts n - 1 steps, because the first token comes with the
    prompt; null where there is nothing to divide.
    """
    return {"cache_n": 0, **_timings(sequence, sequence.produced - 1)}


def timings_2025(sequence: Sequence) -> JsonObject:
    """The same up to August 2025: the rate counts all n tokens, and what came from the cache is not said."""
    return _timings(sequence, sequence.produced)


def _timings(sequence: Sequence, steps: int) -> JsonObject:
    return {
        **_timing("prompt", sequence.prompt_tokens, sequence.prompt_tokens, sequence.prefill_ms or 0.0),
        **_timing("predicted", sequence.produced, steps, sequence.decode_ms or 0.0),
    }


def _timing(what: str, tokens: int, steps: int, ms: float) -> JsonObject:
    measured = steps > 0 and ms > 0
    return {
        f"{what}_n": tokens,
        f"{what}_ms": ms,
        f"{what}_per_token_ms": ms / steps if measured else None,
        f"{what}_per_second": steps * 1e3 / ms if measured else None,
    }


def usage(sequence: Sequence) -> JsonObject:
    """OpenAI's `usage`, without details."""
    return {
        "prompt_tokens": sequence.prompt_tokens,
        "completion_tokens": sequence.produced,
        "total_tokens": sequence.prompt_tokens + sequence.produced,
    }


def vllm_metrics(sequence: Sequence) -> JsonObject:
    """The per-request `metrics` of vLLM, ms; null where there is nothing to divide."""
    decode_ms, steps = sequence.decode_ms or 0.0, sequence.produced - 1
    return {
        "time_to_first_token_ms": sequence.prefill_ms,  # from when it was scheduled, queueing left out
        "generation_time_ms": decode_ms,
        "queue_time_ms": sequence.queue_ms,
        "mean_itl_ms": decode_ms / steps if steps > 0 else None,
        "tokens_per_second": per_second(sequence.produced, (sequence.prefill_ms or 0.0) + decode_ms),
    }


def per_second(amount: float, ms: float) -> float | None:
    """A rate, or None where no time passed."""
    return amount * 1e3 / ms if amount > 0 and ms > 0 else None


def sambanova_speed(sequence: Sequence) -> JsonObject:
    """SambaNova's figures, in s and tokens per s, under their newer names.

    The time to the first token leaves the queue out, as theirs does.
    """
    prefill_ms, decode_ms = sequence.prefill_ms or 0.0, sequence.decode_ms or 0.0
    total_ms = prefill_ms + decode_ms
    return {
        "time_to_first_token": prefill_ms / 1e3,
        "total_latency": total_ms / 1e3,
        "completion_tokens_per_sec": per_second(sequence.produced, total_ms),
        "completion_tokens_after_first_per_sec": per_second(sequence.produced - 1, decode_ms),
        "total_tokens_per_sec": per_second(sequence.prompt_tokens + sequence.produced, total_ms),
    }
