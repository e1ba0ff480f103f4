"""A synthetic run for tests: seeded records and windows of a sweep, with everything that goes wrong."""

import random

from harness.errors import ErrorClass
from harness.journal import Window
from harness.record import Outcome, Phase, RequestRecord, TokenSource

BASE_NS = 1_800_000_000_000_000_000


def record(request_id: str = "r1", **fields: object) -> RequestRecord:
    """A successful streamed request of level 1; any field can be set."""
    plain = {
        "request_id": request_id,
        "name": "chat",
        "worker": "w1",
        "level": 1,
        "repeat": 1,
        "phase": Phase.MEASURE,
        "outcome": Outcome.OK,
        "scheduled_ns": BASE_NS,
        "sent_ns": BASE_NS,
        "end_ns": BASE_NS,
    }
    return RequestRecord(**{**plain, **fields})


def run(
    levels: tuple[int, ...] = (1, 2, 4), per_level: int = 30, repeats: int = 2, seed: int = 1
) -> tuple[list[RequestRecord], list[Window]]:
    """A closed-loop sweep: warm-up, failures, cancelled and unstreamed requests, missing figures."""
    rng = random.Random(seed)
    records: list[RequestRecord] = []
    windows: list[Window] = []
    now = BASE_NS
    for repeat in range(1, repeats + 1):
        for level in levels:
            free = [now] * level
            for index in range(per_level + level):
                slot = min(range(level), key=free.__getitem__)
                phase = Phase.WARMUP if index < level else Phase.MEASURE
                made = _request(rng, f"r{len(records)}", (level, repeat, phase), free[slot])
                free[slot] = made.end_ns
                records.append(made)
            windows.append(Window(level, repeat, now + 100_000_000, min(free)))
            now = max(free) + 50_000_000
    return records, windows


def _request(rng: random.Random, name: str, place: tuple[int, int, Phase], due: int) -> RequestRecord:
    level, repeat, phase = place
    tokens, asked = rng.randrange(2, 20), 12
    sent = due + rng.randrange(1_000, 400_000)
    first = sent + rng.randrange(5_000_000, 60_000_000)
    gaps = [rng.randrange(1, 9_000_000) for _ in range(rng.randrange(1, tokens))]
    last = first + sum(gaps)
    common = {
        "level": level,
        "repeat": repeat,
        "phase": phase,
        "scheduled_ns": due,
        "sent_ns": sent,
        "requested_output_tokens": asked if rng.random() < 0.8 else None,
        "requested_prompt_tokens": 70 if due % 3 else None,
        "reconnects": int(rng.random() < 0.1),
        "connect_ms": 0.4 if rng.random() < 0.2 else None,
    }
    content = {
        "first_content_ns": first,
        "first_answer_ns": first if rng.random() < 0.8 else None,
        "last_content_ns": last,
        "chunk_gaps_us": tuple(gap / 1e3 for gap in gaps),
        "chunks": len(gaps) + 1,
    }
    server = {
        "prompt_tokens": rng.randrange(50, 90) if rng.random() < 0.9 else None,
        "output_tokens": tokens,
        "cached_tokens": rng.randrange(9) if rng.random() < 0.5 else None,
        "token_source": TokenSource.SERVER,
        "server_decode_ms": (last - first) / 1e6 if rng.random() < 0.5 else None,
        "http_status": 200,
        "finish_reason": ("stop", "length", None)[last % 3],
        "end_ns": last + 20_000,
    }
    kind = rng.random()
    if kind < 0.08:
        why = rng.choice([ErrorClass.OVERLOAD, ErrorClass.CONNECT])
        status = 429 if why is ErrorClass.OVERLOAD else None
        said = f"request {name} of {level} was refused"
        failed = {"outcome": Outcome.FAILED, "error_class": why, "http_status": status, "error_message": said}
        return record(name, **common, **failed, end_ns=sent + 900_000)
    if kind < 0.14:  # broke off in mid-stream: its text is there to be counted
        return record(
            name,
            **common,
            **content,
            outcome=Outcome.FAILED,
            error_class=ErrorClass.TRUNCATED,
            end_ns=last,
            text="abc de " * tokens,
        )
    if kind < 0.18:
        return record(
            name, **common, **content, outcome=Outcome.CANCELLED, end_ns=last + 5, text="words " * tokens
        )
    if kind < 0.26:
        whole = {"first_content_ns": last, "last_content_ns": last, "chunks": 1}
        return record(name, **common, **server, **whole, streamed=False)
    return record(name, **common, **content, **server)
