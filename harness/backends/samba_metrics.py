"""What SambaNova's systems measure themselves: seconds and tokens a second, in a stream's last object or in `usage`.

A figure has had up to three names over the years; the older of SambaStudio's come first. Their time to the
first token begins when the model does: queueing is in none of them, so it is less than a client's under load.
"""

from harness.backends.base import Delta
from harness.backends.fields import Json, count, mapping, number

_TTFT_S = ("time_to_first_token", "time_to_first_response")
_E2E_S = ("total_latency", "model_execution_time")
_TOKENS_PER_S = (
    "completion_tokens_after_first_per_sec",
    "completion_tokens_per_sec_after_first_response",
    "throughput_after_first_token",
)


def samba_metrics(said: Json) -> Delta:
    """The counts and figures of such an object, times in ms; None for what it does not say."""
    return Delta(
        prompt_tokens=_count(said, ("prompt_tokens_count", "prompt_tokens")),
        output_tokens=_count(said, ("completion_tokens_count", "completion_tokens")),
        cached_tokens=count(mapping(said.get("prompt_tokens_details")).get("cached_tokens")),
        server_ttft_ms=_ms(said, _TTFT_S),
        server_e2e_ms=_ms(said, _E2E_S),
        server_tokens_per_s=_number(said, _TOKENS_PER_S),
        acceptance_rate=_number(said, ("acceptance_rate",)),
        batch_size=_count(said, ("batch_size_used",)),
    )


def _number(said: Json, names: tuple[str, ...]) -> float | None:
    """The first of the names under which there is a number."""
    found = (number(said.get(name)) for name in names)
    return next((value for value in found if value is not None), None)


def _count(said: Json, names: tuple[str, ...]) -> int | None:
    """As `_number`; a count may come as 26.0."""
    found = _number(said, names)
    return count(int(found)) if found is not None and found.is_integer() else None


def _ms(said: Json, names: tuple[str, ...]) -> float | None:
    seconds = _number(said, names)
    return None if seconds is None else seconds * 1e3
