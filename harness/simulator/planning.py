"""How long an answer gets, settled before it starts."""

import math
from hashlib import blake2b
from random import Random

from harness.simulator.dialect import Job, Service
from harness.simulator.fields import JsonObject, Prompt, Refusal, read_bool, read_int

SEED_MINIMUM = -(2**63)


def plan(service: Service, prompt: Prompt, body: JsonObject, *, limit: int | None) -> Job:
    """The job of a body with `min_tokens`, `ignore_eos`, `seed` and `stream`, as most servers take them.

    Raises Refusal for a prompt that fills the context and for a `min_tokens` above the limit.
    """
    least = read_int(body, "min_tokens", minimum=0) or 0
    check_fits(service, prompt)
    if limit is not None and least > limit:
        raise Refusal(400, f"min_tokens {least} is more than the limit of {limit} tokens", param="min_tokens")
    return settle(
        service,
        prompt,
        limit=limit,
        least=least,
        endless=read_bool(body, "ignore_eos"),
        seed=read_int(body, "seed", minimum=SEED_MINIMUM),
        stream=read_bool(body, "stream"),
    )


def check_fits(service: Service, prompt: Prompt) -> None:
    """Raises Refusal for a prompt that leaves no room for an answer."""
    if prompt.tokens >= service.context:
        raise Refusal(
            400,
            f"the request ({prompt.tokens} tokens) exceeds the available context size "
            f"({service.context} tokens), try increasing it",
            type="exceed_context_size_error",
            extra={"n_prompt_tokens": prompt.tokens, "n_ctx": service.context},
        )


def settle(
    service: Service,
    prompt: Prompt,
    *,
    limit: int | None,
    least: int = 0,
    endless: bool = False,
    seed: int | None = None,
    stream: bool = False,
) -> Job:
    """The job of a prompt that leaves room.

    The model would end its answer after a geometric number of tokens, the same for the same prompt and
    seed; `endless` and `least` hold it off, `limit` and the context cut it. None: no limit but that.
    """
    key = int.from_bytes(
        blake2b(f"{service.seed}|{seed}|".encode() + prompt.identity, digest_size=8).digest()
    )
    room = service.context - prompt.tokens
    most = room if limit is None else min(limit, room)
    natural = most if endless else max(least, _geometric(key, service.mean_output_tokens))
    return Job(
        prompt=prompt,
        output_tokens=min(natural, most),
        finish="stop" if natural < most else "length",
        truncated=natural >= most and most == room and (limit is None or limit > room),
        key=key,
        stream=stream,
    )


def _geometric(key: int, mean: float) -> int:
    """A draw from 1, 2, ... with the given mean. Source: inversion, ceil(ln u / ln(1 - 1/mean))."""
    if mean <= 1:
        return 1
    u = 1 - Random(f"length {key}").random()  # in (0, 1], never 0
    return max(1, math.ceil(math.log(u) / math.log1p(-1 / mean)))
