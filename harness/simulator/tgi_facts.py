"""What a TGI server tells of itself: `/health`, `/info`, `/v1/models`, `/tokenize`, `/metrics`."""

import orjson

from harness.simulator import tokens
from harness.simulator.dialect import Call, Plain, Service
from harness.simulator.fields import JsonObject, read_body, read_messages, read_text
from harness.simulator.tally import PAGE_TYPE, Metric, label, page

VERSION = "3.3.6-dev0"
FINGERPRINT = f"{VERSION}-native"


def plain(value: object) -> Plain:
    """A 200 with JSON, its type as its framework names it."""
    return Plain(orjson.dumps(value), content_type="application/json")


def health(call: Call, service: Service) -> Plain:  # noqa: ARG001, it answers, so it is well
    """GET /health, /ping and /: nothing in the body."""
    return Plain(b"")


def info(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every call
    """GET /info."""
    return plain(
        {
            "model_id": service.model,
            "model_sha": None,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": 128,
            "max_best_of": 1,
            "max_stop_sequences": 4,
            "max_input_tokens": service.context - 1,
            "max_total_tokens": service.context,
            "validation_workers": 2,
            "max_client_batch_size": 1,
            "router": "tokenswarm-simulator",
            "version": VERSION,
            "sha": None,
            "docker_label": None,
        }
    )


def models(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /v1/models."""
    model = {"id": service.model, "object": "model", "created": 0, "owned_by": service.model}
    return plain({"object": "list", "data": [model]})


def tokenize(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """POST /tokenize."""
    return plain(_tokens(read_text(read_body(call.request), "inputs")))


def chat_tokenize(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """POST /chat_tokenize."""
    text = read_messages(read_body(call.request))
    return plain({"tokenize_response": _tokens(text), "templated_text": text})


def _tokens(text: str) -> list[JsonObject]:
    """Every token with its place in the text, in characters; the begin marker has none."""
    found: list[JsonObject] = [{"id": tokens.BOS_ID, "text": "", "start": 0, "stop": 0}]
    start = 0
    for piece in tokens.split(text):
        stop = start + len(piece)
        found.append({"id": tokens.token_id(piece), "text": piece, "start": start, "stop": stop})
        start = stop
    return found


def metrics(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /metrics."""
    return Plain(page(_metrics(service)), content_type=PAGE_TYPE)


def _metrics(service: Service) -> list[Metric]:
    batch, tally = service.batch, service.tally
    refused = {label("err", why): count for why, count in tally.refused.items()}
    held = sum(s.prefilled + s.produced for s in batch.running)
    requests = tally.accepted + sum(tally.refused.values())
    return [
        ("tgi_request_count", "counter", "Requests.", requests),
        ("tgi_request_success", "counter", "Requests answered.", tally.succeeded),
        ("tgi_request_failure", "counter", "Requests that failed, by reason.", refused),
        ("tgi_batch_inference_count", "counter", "Engine steps.", batch.totals.steps),
        ("tgi_batch_inference_success", "counter", "Engine steps.", batch.totals.steps),
        ("tgi_queue_size", "gauge", "Requests waiting.", len(batch.waiting)),
        ("tgi_batch_current_size", "gauge", "Requests in the batch.", len(batch.running)),
        ("tgi_batch_current_max_tokens", "gauge", "Tokens the batch holds.", held),
        ("tgi_request_duration", "histogram", "Whole request, s.", tally.total_s),
        ("tgi_request_queue_duration", "histogram", "Waiting, s.", tally.queue_s),
        ("tgi_request_inference_duration", "histogram", "Running, s.", tally.inference_s),
        ("tgi_request_mean_time_per_token_duration", "histogram", "Running by tokens, s.", tally.per_token_s),
        ("tgi_request_input_length", "histogram", "Prompt tokens.", tally.prompt_tokens),
        ("tgi_request_generated_tokens", "histogram", "Output tokens.", tally.output_tokens),
    ]
