"""SambaNova Cloud's dialect: OpenAI's routes with the server's own speed, in seconds, inside `usage`.

Overload is a 504. Every reply names the limits of requests in its headers; none is enforced (a 429 is a
fault to ask for). `ignore_eos` and `min_tokens` are honoured.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from harness.simulator import figures
from harness.simulator.batching import Sequence
from harness.simulator.chunks import CHAT, COMPLETIONS, Api, Flavour, filler, sse
from harness.simulator.dialect import Call, Dialect, Generation, Headers, Plain, Service, plain
from harness.simulator.fields import JsonObject, NoRoute, Prompt, Refusal, read_int, read_number
from harness.simulator.keys import only_bearer
from harness.simulator.openai import chat, completions

REQUESTS_A_DAY = 1_000_000
_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    408: "request_timeout",
    410: "model_removed",
    429: "rate_limit_exceeded",
    503: "model_unavailable",
    504: "queue_full",
}


def usage(sequence: Sequence, call: Call) -> JsonObject:
    """Tokens and times. The queue is not in them."""
    speed = figures.sambanova_speed(sequence)
    start_s = call.came_s + (sequence.queue_ms or 0.0) / 1e3
    return {
        **figures.usage(sequence),
        "prompt_tokens_details": {"cached_tokens": 0},
        **speed,
        "start_time": start_s,
        "end_time": start_s + speed["total_latency"],
        "acceptance_rate": None,
        "is_last_response": True,
    }


def limit(api: Api, body: JsonObject) -> int | None:  # noqa: ARG001, the same on both routes
    """No default: an answer may fill the context."""
    return read_int(body, "max_completion_tokens", "max_tokens", minimum=1)


def check(body: JsonObject, service: Service, prompt: Prompt, most: int | None) -> None:  # noqa: ARG001
    """Raises Refusal for a temperature that no model takes, and for a prompt that leaves no room."""
    temperature = read_number(body, "temperature", minimum=0)
    if temperature is not None and temperature > 2:
        raise Refusal(
            400, "temperature: must be at most 2", type="decimal_above_max_value", param="temperature"
        )
    if prompt.tokens >= service.context:
        text = (
            f"The maximum context length of {service.model} is {service.context}. However, you requested "
            f"{prompt.tokens} tokens in the messages."
        )
        raise Refusal(400, text, type="context_length_exceeded")


FLAVOUR = Flavour(
    envelope={"system_fingerprint": "fastcoe"},
    choice={},
    usage=usage,
    beside=lambda _: {},
    limit=limit,
    check=check,
    unknown_model=lambda name, _: Refusal(404, f"Model {name} not found", param="model"),
)


def limited(make: Callable[[Flavour, Call, Service], Generation], call: Call, service: Service) -> Generation:
    """A generation route with the limits in its headers."""
    headers = _limits(service)
    return replace(make(FLAVOUR, call, service), stream_headers=headers, whole_headers=lambda _: headers)


def models(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /v1/models."""
    model = {
        "id": service.model,
        "object": "model",
        "owned_by": "no-reply@sambanova.ai",
        "context_length": service.context,
        "max_completion_tokens": service.context,
    }
    return plain({"object": "list", "data": [model]})


def _limits(service: Service) -> Headers:
    left = max(0, REQUESTS_A_DAY - service.tally.accepted - 1)
    return (
        ("x-ratelimit-limit-requests-day", str(REQUESTS_A_DAY)),
        ("x-ratelimit-remaining-requests-day", str(left)),
        ("x-ratelimit-reset-requests-day", "86400"),
    )


def error(refusal: Refusal) -> JsonObject:
    """The body of an error."""
    code = "not_found" if isinstance(refusal, NoRoute) else _CODES.get(refusal.status)
    if refusal.status == 400:
        code = refusal.type or ("invalid_type" if refusal.param else "invalid_request")
    return {
        "error": {
            "message": refusal.message,
            "type": "invalid_request_error" if refusal.status < 500 else "server_error",
            "param": refusal.param,
            "code": code or "internal_error",
        },
        "request_id": refusal.request_id,
    }


def stream_error(refusal: Refusal) -> bytes:
    """An error in mid-stream: an event that says so; nothing follows."""
    return b"event: error\n" + sse(error(refusal))


def overload() -> Refusal:
    """A full queue."""
    return Refusal(504, "The request queue is full, try again later.")


def loading(call: Call) -> Plain:  # noqa: ARG001
    """A model that is not there is under maintenance."""
    raise Refusal(503, "The model is under maintenance.")


SAMBANOVA = Dialect(
    name="sambanova",
    routes={("POST", "/v1/chat/completions"): partial(limited, chat), ("GET", "/v1/models"): models},
    error=error,
    stream_error=stream_error,
    overload=overload,
    filler=partial(filler, CHAT),
    authorise=only_bearer,
    guards=lambda *_: True,
    loading=loading,
)
SAMBANOVA_COMPLETIONS = replace(
    SAMBANOVA,
    routes={("POST", "/v1/completions"): partial(limited, completions)},
    filler=partial(filler, COMPLETIONS),
)
