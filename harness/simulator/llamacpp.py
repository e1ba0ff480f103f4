"""llama.cpp's own dialect, as its newest server speaks it: `/completion` and what stands around it.

A stream is one event a token and a last one with `stop: true`, empty content and `timings`; no `[DONE]`.
The prompt cache is not modelled: `cache_prompt` is accepted, and every prompt is read in full.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from harness.simulator import tokens
from harness.simulator.batching import Batch, Sequence
from harness.simulator.dialect import Call, Dialect, Generation, Job, Plain, Service, plain, plan, timings
from harness.simulator.fields import (
    CHAT_TEMPLATE,
    JsonObject,
    Refusal,
    read_body,
    read_bool,
    read_int,
    read_messages,
    read_prompt,
)

_WORDS_JSON = tuple(orjson.dumps(piece) for piece in tokens.VOCABULARY)
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
    411: "invalid_request_error",
    413: "invalid_request_error",
    431: "invalid_request_error",
    503: "unavailable_error",
}


@dataclass(frozen=True, slots=True)
class CompletionRendering:
    """The wording of one `/completion` reply."""

    job: Job
    model: str

    def opening(self) -> bytes:
        """Nothing precedes the first token."""
        return b""

    def event(self, nth: int, word: int, sequence: Sequence) -> bytes:
        """One token's event."""
        return (
            b'data: {"index":0,"content":%b,"tokens":[%d],"stop":false,"id_slot":%d,'
            b'"tokens_predicted":%d,"tokens_evaluated":%d}\n\n'
        ) % (_WORDS_JSON[word], tokens.word_id(word), sequence.slot or 0, nth, sequence.prompt_tokens)

    def closing(self, sequence: Sequence) -> list[bytes]:
        """The one last event."""
        return [b"data: %b\n\n" % orjson.dumps(self._final("", [], sequence))]

    def whole(self, words: list[int], sequence: Sequence) -> bytes:
        """The reply that is not streamed."""
        return orjson.dumps(self._final(tokens.join(words), words, sequence))

    def _final(self, content: str, words: list[int], sequence: Sequence) -> JsonObject:
        return {
            "index": 0,
            "content": content,
            "tokens": [tokens.word_id(word) for word in words],
            "id_slot": sequence.slot,
            "stop": True,
            "model": self.model,
            "tokens_predicted": sequence.produced,
            "tokens_evaluated": sequence.prompt_tokens,
            "generation_settings": {"n_predict": self.job.output_tokens, "stream": self.job.stream},
            "prompt": self.job.prompt.text,
            "truncated": self.job.truncated,
            "stop_type": {"stop": "eos", "length": "limit"}[self.job.finish],
            "stopping_word": "",
            "tokens_cached": sequence.prompt_tokens + max(0, sequence.produced - 1),  # left in the slot
            "timings": timings(sequence),
        }


def completion(call: Call, service: Service) -> Generation:
    """POST /completion."""
    body = read_body(call.request)
    prompt = read_prompt(body.get("prompt"), "prompt")
    limit = read_int(body, "n_predict", "max_completion_tokens", "max_tokens", minimum=-1)
    job = plan(service, prompt, body, limit=None if limit == -1 else limit)
    return Generation(job, CompletionRendering(job, service.model), call.request_id)


def tokenize(call: Call, service: Service) -> Plain:  # noqa: ARG001, the same for every model
    """POST /tokenize."""
    body = read_body(call.request)
    content = body.get("content")
    if not isinstance(content, str):
        raise Refusal(400, f"content must be a string, not {content!r:.80}", param="content")
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
    lines = []
    for name, kind, text, value in _metrics(service.batch):
        lines += [
            f"# HELP llamacpp:{name} {text}",
            f"# TYPE llamacpp:{name} {kind}",
            f"llamacpp:{name} {value}",
        ]
    return Plain(("\n".join(lines) + "\n").encode(), content_type="text/plain; version=0.0.4; charset=utf-8")


def error(refusal: Refusal) -> JsonObject:
    """The body of an error, as llama.cpp words it."""
    kind = refusal.type or _ERROR_TYPES.get(refusal.status, "server_error")
    return {"error": {"code": refusal.status, "message": refusal.message, "type": kind, **refusal.extra}}


LLAMACPP = Dialect(
    name="llamacpp",
    routes={
        ("POST", "/completion"): completion,
        ("POST", "/completions"): completion,
        ("POST", "/tokenize"): tokenize,
        ("POST", "/apply-template"): apply_template,
        ("GET", "/health"): health,
        ("GET", "/v1/health"): health,
        ("GET", "/props"): props,
        ("GET", "/slots"): slots,
        ("GET", "/metrics"): metrics,
    },
    error=error,
)


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


def _metrics(batch: Batch) -> list[tuple[str, str, str, float]]:
    total = batch.totals
    prompt_s, output_s = total.prompt_ns / 1e9, total.output_ns / 1e9
    return [
        ("prompt_tokens_total", "counter", "Prompt tokens processed.", total.prompt_tokens),
        ("prompt_seconds_total", "counter", "Time in prompts, s.", prompt_s),
        ("tokens_predicted_total", "counter", "Tokens generated.", total.output_tokens),
        ("tokens_predicted_seconds_total", "counter", "Time generating, s.", output_s),
        ("prompt_tokens_seconds", "gauge", "Mean prompt tokens/s.", _rate(total.prompt_tokens, prompt_s)),
        ("predicted_tokens_seconds", "gauge", "Mean output tokens/s.", _rate(total.output_tokens, output_s)),
        ("requests_processing", "gauge", "Requests in a slot.", len(batch.running)),
        ("requests_deferred", "gauge", "Requests waiting for one.", len(batch.waiting)),
        ("n_decode_total", "counter", "Engine steps.", total.steps),
        ("n_busy_slots_per_decode", "gauge", "Mean slots busy.", _rate(total.sequence_steps, total.steps)),
        ("n_tokens_max", "counter", "Most tokens one request held.", total.longest),
    ]


def _rate(amount: float, per: float) -> float:
    return amount / per if per > 0 else 0.0
