"""vLLM's dialect: OpenAI's routes with its own checks, `/tokenize`, `/version` and a page of `vllm:` metrics.

The key guards only `/v1`; an `Unauthorized` is the one error whose `error` is a string. The queue has no
limit unless the simulator is given one. As `vllm-metrics` the usage chunk carries the request's own
`metrics`, as under `--enable-per-request-metrics`. The prefix cache is not modelled: it never hits.
"""

from dataclasses import replace
from functools import partial

from harness.simulator import figures, tokens
from harness.simulator.chunks import CHAT, COMPLETIONS, DONE, Flavour, filler, sse
from harness.simulator.dialect import Call, Dialect, Plain, Service, plain
from harness.simulator.fields import (
    JsonObject,
    NoRoute,
    Prompt,
    Refusal,
    read_body,
    read_bool,
    read_messages,
)
from harness.simulator.keys import only_bearer
from harness.simulator.openai import chat, completions, overload
from harness.simulator.tally import PAGE_TYPE, Metric, label, page

VERSION = "0.33.0"
_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
_KINDS = {400: "BadRequestError", 404: "NotFoundError", 422: "Unprocessable Entity", 501: "Not Implemented"}


def check(body: JsonObject, service: Service, prompt: Prompt, limit: int | None) -> None:
    """What vLLM refuses where others cut. Raises Refusal."""
    salt = body.get("cache_salt")
    if salt is not None and (not isinstance(salt, str) or not salt):
        raise Refusal(
            400, "Parameter 'cache_salt' must be a non-empty string if provided.", param="cache_salt"
        )
    window = f"This model's maximum context length is {service.context} tokens"
    if prompt.tokens >= service.context:
        text = (
            f"{window}. However, your request has {prompt.tokens} input tokens. Please reduce their number."
        )
        raise Refusal(400, text, param="input_tokens")
    room = service.context - prompt.tokens
    if limit is not None and limit > room:
        text = (
            f"'max_tokens' or 'max_completion_tokens' is too large: {limit}. {window} and your request has "
            f"{prompt.tokens} input tokens ({limit} > {service.context} - {prompt.tokens})."
        )
        raise Refusal(400, text, param="max_tokens")


FLAVOUR = Flavour(
    ending={"stop_reason": None},
    beside=lambda _: {},
    usage=lambda sequence, _: {**figures.usage(sequence), "prompt_tokens_details": None},
    usage_as_it_goes=True,
    check=check,
    unknown_model=lambda name, _: Refusal(404, f"The model `{name}` does not exist.", param="model"),
)
METRICS_FLAVOUR = replace(
    FLAVOUR,
    beside=lambda sequence: {"metrics": figures.vllm_metrics(sequence)},
    beside_at_end=False,
)


def models(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /v1/models."""
    model = {
        "id": service.model,
        "object": "model",
        "created": service.created,
        "owned_by": "vllm",
        "root": service.model,
        "parent": None,
        "max_model_len": service.context,
    }
    return plain({"object": "list", "data": [model]})


def health(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /health and /ping: nothing in the body."""
    return Plain(b"")


def version(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /version."""
    return plain({"version": VERSION})


def load(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /load: the requests in the server."""
    return plain({"server_load": len(service.batch.running) + len(service.batch.waiting)})


def tokenize(call: Call, service: Service) -> Plain:
    """POST /tokenize, of a prompt or of messages. The begin marker is counted unless it is declined."""
    body = read_body(call.request)
    prompt = body.get("prompt")
    text = prompt if isinstance(prompt, str) else read_messages(body, images=True)
    begin = [] if body.get("add_special_tokens") is False else [tokens.BOS_PIECE]
    pieces = begin + tokens.split(text)
    return plain(
        {
            "count": len(pieces),
            "max_model_len": service.context,
            "tokens": [tokens.token_id(piece) for piece in pieces],
            "token_strs": pieces if read_bool(body, "return_token_strs") else None,
        }
    )


def metrics(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /metrics."""
    labels = f"{label('engine', '0')},{label('model_name', service.model)}"
    return Plain(page(_metrics(service), labels), content_type=PAGE_TYPE)


def _metrics(service: Service) -> list[Metric]:
    batch, tally = service.batch, service.tally
    held = sum(s.prefilled + s.produced for s in batch.running)
    produced = batch.totals.output_tokens + sum(s.produced for s in batch.running)
    reasons = {
        label("finished_reason", "stop"): tally.stopped,
        label("finished_reason", "length"): tally.succeeded - tally.stopped,
    }
    return [
        ("vllm:num_requests_running", "gauge", "Requests in the batch.", len(batch.running)),
        ("vllm:num_requests_waiting", "gauge", "Requests waiting for it.", len(batch.waiting)),
        ("vllm:kv_cache_usage_perc", "gauge", "KV cache in use, 1 is all.", held / _room(service)),
        ("vllm:num_preemptions_total", "counter", "Preemptions.", 0),
        ("vllm:prompt_tokens_total", "counter", "Prompt tokens read.", batch.totals.prompt_tokens),
        ("vllm:generation_tokens_total", "counter", "Tokens generated.", produced),
        ("vllm:prefix_cache_queries_total", "counter", "Tokens looked up.", batch.totals.prompt_tokens),
        ("vllm:prefix_cache_hits_total", "counter", "Tokens found.", 0),
        ("vllm:request_success_total", "counter", "Requests finished.", reasons),
        ("vllm:time_to_first_token_seconds", "histogram", "Time to first token.", tally.first_s),
        ("vllm:request_time_per_output_token_seconds", "histogram", "TPOT.", tally.per_later_token_s),
        ("vllm:e2e_request_latency_seconds", "histogram", "Whole request.", tally.total_s),
        ("vllm:request_queue_time_seconds", "histogram", "Waiting.", tally.queue_s),
        ("vllm:request_prefill_time_seconds", "histogram", "Prefill.", tally.prefill_s),
        ("vllm:request_decode_time_seconds", "histogram", "Decode.", tally.decode_s),
        ("vllm:request_inference_time_seconds", "histogram", "Running.", tally.inference_s),
        ("vllm:request_prompt_tokens", "histogram", "Prompt tokens.", tally.prompt_tokens),
        ("vllm:request_generation_tokens", "histogram", "Output tokens.", tally.output_tokens),
    ]


def _room(service: Service) -> int:
    """Tokens that all slots together can hold."""
    return service.batch.cost.slots * service.context


def error(refusal: Refusal) -> JsonObject:
    """The body of an error."""
    if refusal.status == 401:
        return {"error": "Unauthorized"}
    if isinstance(refusal, NoRoute):
        kind = message = {404: "Not Found", 405: "Method Not Allowed"}[refusal.status]
    else:
        kind, message = _KINDS.get(refusal.status, "InternalServerError"), refusal.message
    kind = "Service Unavailable" if refusal.status == 503 else kind
    return {"error": {"message": message, "type": kind, "param": refusal.param, "code": refusal.status}}


def stream_error(refusal: Refusal) -> bytes:
    """An error in mid-stream, and the end mark after it."""
    return sse(error(refusal)) + DONE


def loading(call: Call) -> Plain:
    """The real one does not listen before its model is there; this one is not well until then."""
    if call.request.path in {"/health", "/ping"}:
        return Plain(b"", status=503)
    raise Refusal(503, "Service Unavailable")


VLLM = Dialect(
    name="vllm",
    routes={
        ("POST", "/v1/chat/completions"): partial(chat, FLAVOUR),
        ("GET", "/v1/models"): models,
        ("GET", "/health"): health,
        ("GET", "/ping"): health,
        ("POST", "/ping"): health,
        ("GET", "/version"): version,
        ("GET", "/load"): load,
        ("POST", "/tokenize"): tokenize,
        ("GET", "/metrics"): metrics,
    },
    error=error,
    stream_error=stream_error,
    overload=overload,
    filler=partial(filler, CHAT),
    authorise=only_bearer,
    guards=lambda _, path: path.startswith(_GUARDED),
    loading=loading,
)
VLLM_COMPLETIONS = replace(
    VLLM,
    routes={("POST", "/v1/completions"): partial(completions, FLAVOUR)},
    filler=partial(filler, COMPLETIONS),
)
VLLM_METRICS = replace(
    VLLM, routes={**VLLM.routes, ("POST", "/v1/chat/completions"): partial(chat, METRICS_FLAVOUR)}
)
VLLM_METRICS_COMPLETIONS = replace(
    VLLM_COMPLETIONS, routes={("POST", "/v1/completions"): partial(completions, METRICS_FLAVOUR)}
)
