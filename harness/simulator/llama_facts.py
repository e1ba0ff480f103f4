"""What a llama.cpp server tells of itself: `/health`, `/props`, `/slots`, `/tokenize`, `/metrics`."""

from typing import Any

from harness.simulator import tokens
from harness.simulator.batching import Batch, Sequence
from harness.simulator.dialect import Call, Plain, Service, plain
from harness.simulator.fields import (
    CHAT_TEMPLATE,
    JsonObject,
    Refusal,
    read_body,
    read_bool,
    read_messages,
    read_text,
)
from harness.simulator.tally import PAGE_TYPE, Metric, page


def tokenize(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every model
    """POST /tokenize."""
    body = read_body(call.request)
    content = read_text(body, "content")
    begin = [tokens.BOS_PIECE] if read_bool(body, "add_special") else []
    pieces = begin + tokens.split(content)
    if read_bool(body, "with_pieces"):
        return plain({"tokens": [{"id": tokens.token_id(piece), "piece": piece} for piece in pieces]})
    return plain({"tokens": [tokens.token_id(piece) for piece in pieces]})


def apply_template(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """POST /apply-template. The begin marker is not in the text: tokenizing with `add_special` adds it."""
    return plain({"prompt": read_messages(read_body(call.request))})


def health(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /health: it answers, so it is well."""
    return plain({"status": "ok"})


def props(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /props."""
    return plain(
        {
            "default_generation_settings": {"n_ctx": service.context, "params": {"n_predict": -1}},
            "total_slots": service.batch.cost.slots,
            "model_alias": service.model,
            "model_path": service.model,
            "chat_template": CHAT_TEMPLATE,
            "bos_token": tokens.BOS_PIECE,
            "modalities": {"vision": False, "audio": False},
            "build_info": "tokenswarm-simulator",
            "is_sleeping": False,
        }
    )


def slots(call: Call, service: Service) -> Plain:
    """GET /slots; with `?fail_on_no_slot=1`, 503 while all are busy."""
    batch = service.batch
    busy = {s.slot: s for s in batch.running}
    if call.request.query.get("fail_on_no_slot") and len(busy) == batch.cost.slots:
        raise Refusal(503, "no slot available")
    return plain([_slot(index, busy.get(index), service) for index in range(batch.cost.slots)])


def metrics(call: Call, service: Service) -> Plain:  # noqa: ARG001
    """GET /metrics, in Prometheus' text format."""
    return Plain(page(_metrics(service.batch)), content_type=PAGE_TYPE)


def _slot(index: int, sequence: Sequence | None, service: Service) -> JsonObject:
    slot: dict[str, Any] = {"id": index, "n_ctx": service.context, "is_processing": sequence is not None}
    if sequence is not None:
        left = sequence.output_tokens - sequence.produced
        slot["next_token"] = {
            "n_decoded": sequence.produced,
            "n_remain": left,
            "has_next_token": left > 0,
        }
    return slot


def _metrics(batch: Batch) -> list[Metric]:
    total = batch.totals
    prompt_s, output_s = total.prompt_ns / 1e9, total.output_ns / 1e9
    return [
        ("llamacpp:prompt_tokens_total", "counter", "Prompt tokens processed.", total.prompt_tokens),
        ("llamacpp:prompt_seconds_total", "counter", "Time in prompts, s.", prompt_s),
        ("llamacpp:tokens_predicted_total", "counter", "Tokens generated.", total.output_tokens),
        ("llamacpp:tokens_predicted_seconds_total", "counter", "Time generating, s.", output_s),
        (
            "llamacpp:prompt_tokens_seconds",
            "gauge",
            "Mean prompt tokens/s.",
            _rate(total.prompt_tokens, prompt_s),
        ),
        (
            "llamacpp:predicted_tokens_seconds",
            "gauge",
            "Mean output tokens/s.",
            _rate(total.output_tokens, output_s),
        ),
        ("llamacpp:requests_processing", "gauge", "Requests in a slot.", len(batch.running)),
        ("llamacpp:requests_deferred", "gauge", "Requests waiting for one.", len(batch.waiting)),
        ("llamacpp:n_decode_total", "counter", "Engine steps.", total.steps),
        (
            "llamacpp:n_busy_slots_per_decode",
            "gauge",
            "Mean slots busy.",
            _rate(total.sequence_steps, total.steps),
        ),
        ("llamacpp:n_tokens_max", "counter", "Most tokens one request held.", total.longest),
    ]


def _rate(amount: float, per: float) -> float:
    return amount / per if per > 0 else 0.0
