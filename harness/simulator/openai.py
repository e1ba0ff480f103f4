"""OpenAI's routes, `/v1/chat/completions`, `/v1/completions` and `/v1/models`, for every flavour of them.

What is spoken without `--speak` is vLLM's wire with llama.cpp's `timings`, which ride on the usage chunk,
else on the finish chunk, else on the whole reply.
"""

from dataclasses import replace
from functools import partial

from harness.simulator.chunks import (
    CHAT,
    COMPLETIONS,
    DONE,
    Api,
    Flavour,
    OpenAIRendering,
    UsageWish,
    filler,
    sse,
)
from harness.simulator.dialect import Call, Dialect, Generation, Job, Plain, Service, plain
from harness.simulator.fields import (
    JsonObject,
    Prompt,
    Refusal,
    read_body,
    read_bool,
    read_int,
    read_messages,
    read_prompt,
    text_prompt,
)
from harness.simulator.keys import bearer
from harness.simulator.planning import SEED_MINIMUM, check_fits, plan, settle


def chat(flavour: Flavour, call: Call, service: Service) -> Generation:
    """POST /v1/chat/completions."""
    body = _body(flavour, call, service)
    prompt = text_prompt(read_messages(body, images=flavour.images))
    return _generation(flavour, CHAT, call, service, body=body, prompt=prompt)


def completions(flavour: Flavour, call: Call, service: Service) -> Generation:
    """POST /v1/completions."""
    body = _body(flavour, call, service)
    prompt = read_prompt(body.get("prompt"), "prompt")
    return _generation(flavour, COMPLETIONS, call, service, body=body, prompt=prompt)


def models(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /v1/models."""
    model = {
        "id": service.model,
        "object": "model",
        "created": service.created,
        "owned_by": "tokenswarm",
        "max_model_len": service.context,
    }
    return plain({"object": "list", "data": [model]})


def error(refusal: Refusal) -> JsonObject:
    """The body of an error, as vLLM words it; a missing key, as llama.cpp does."""
    if refusal.status == 401:
        return {"error": {"code": 401, "message": refusal.message, "type": refusal.type}}
    kind = {400: "BadRequestError", 404: "NotFoundError"}.get(refusal.status, "InternalServerError")
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type or kind,
            "param": refusal.param,
            "code": refusal.status,
            **refusal.extra,
        }
    }


def stream_error(refusal: Refusal) -> bytes:
    """An error in mid-stream: its object as an event, then the end mark all the same."""
    return sse(error(refusal)) + DONE


def overload() -> Refusal:
    """vLLM's, where its queue has a limit."""
    return Refusal(503, "Service Unavailable", type="Service Unavailable")


def guards(method: str, path: str) -> bool:  # noqa: ARG001, by path alone
    """All but the health routes."""
    return path not in {"/health", "/v1/health"}


OPENAI = Dialect(
    name="openai",
    routes={("POST", "/v1/chat/completions"): partial(chat, Flavour()), ("GET", "/v1/models"): models},
    error=error,
    stream_error=stream_error,
    overload=overload,
    filler=partial(filler, CHAT),
    authorise=bearer,
    guards=guards,
)
OPENAI_COMPLETIONS = replace(
    OPENAI,
    routes={("POST", "/v1/completions"): partial(completions, Flavour())},
    filler=partial(filler, COMPLETIONS),
)


def _body(flavour: Flavour, call: Call, service: Service) -> JsonObject:
    body = read_body(call.request)
    model = body.get("model")
    unknown = None if model in {None, service.model} else flavour.unknown_model(model, service)
    if unknown is not None:
        raise unknown
    copies = read_int(body, "n", minimum=1)
    if copies is not None and copies > 1:
        raise Refusal(400, f"n must be 1, not {copies}: one answer a request", param="n")
    return body


def _generation(
    flavour: Flavour, api: Api, call: Call, service: Service, *, body: JsonObject, prompt: Prompt
) -> Generation:
    limit = flavour.limit(api, body)
    flavour.check(body, service, prompt, limit)
    job = _job(flavour, service, body, prompt, limit)
    wish = _wish(flavour, body, stream=job.stream)
    rendering = OpenAIRendering(flavour, api, job, service=service, call=call, wish=wish)
    return Generation(job, rendering, api.prefix + call.request_id)


def _job(flavour: Flavour, service: Service, body: JsonObject, prompt: Prompt, limit: int | None) -> Job:
    if flavour.forces_length:
        return plan(service, prompt, body, limit=limit)
    check_fits(service, prompt)
    seed = read_int(body, "seed", minimum=SEED_MINIMUM)
    return settle(service, prompt, limit=limit, seed=seed, stream=read_bool(body, "stream"))


def _wish(flavour: Flavour, body: JsonObject, *, stream: bool) -> UsageWish:
    options = body.get("stream_options")
    if options is not None and not (isinstance(options, dict) and stream):
        raise Refusal(400, "stream_options must be an object and needs stream: true", param="stream_options")
    chunk = read_bool(options or {}, "include_usage")
    as_it_goes = flavour.usage_as_it_goes and read_bool(options or {}, "continuous_usage_stats")
    return UsageWish(chunk, as_it_goes and chunk)
