"""What a request to TGI asks for, and what TGI refuses of it, in its order and its words.

Two kinds of wrong: a body that is not of the right shape (`read` raises, before any stream is opened), and
values that the model server would not take (`settled` raises, which a stream tells inside its 200).

As launched with `--max-best-of 1`, `--max-client-batch-size 1`: one answer a request.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from harness.simulator import tokens
from harness.simulator.dialect import Job, Service
from harness.simulator.fields import (
    JsonObject,
    Prompt,
    Refusal,
    read_bool,
    read_image,
    read_int,
    read_messages,
    read_number,
    read_object,
    read_text,
    text_prompt,
)
from harness.simulator.planning import settle

COMPLETIONS_LIMIT: Final = 100  # of `/v1/completions`; the other routes may fill the context
MAX_STOP_SEQUENCES: Final = 4
_MARKDOWN = re.compile(r"!\[\]\((data:[^)]*)\)")
_UNSIGNED = ("best_of", "truncate", "max_new_tokens", "max_tokens", "max_completion_tokens", "seed", "top_k")
_NUMBERS = ("temperature", "repetition_penalty", "frequency_penalty", "top_p", "typical_p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request of the right shape. `sampled`: the answer differs from one time to the next."""

    inputs: str
    stream: bool
    limit: int | None
    details: bool = True
    input_details: bool = False
    full_text: bool = False
    sampled: bool
    parameters: JsonObject  # as sent, types checked


def read_native(body: JsonObject, *, stream: bool) -> Wanted:
    """The body of `/generate`. Without a `parameters` object TGI samples, with one it does not. Raises Refusal."""
    given = read_object(body, "parameters")
    parameters = _checked(given or {})
    warped = any(parameters.get(name) is not None for name in ("temperature", "top_k", "top_p", "typical_p"))
    input_details = read_bool(parameters, "decoder_input_details")
    return Wanted(
        inputs=_seen(read_text(body, "inputs")),
        stream=stream,
        limit=parameters.get("max_new_tokens"),
        details=read_bool(parameters, "details") or (input_details and not stream),
        input_details=input_details,
        full_text=read_bool(parameters, "return_full_text"),
        sampled=given is None or read_bool(parameters, "do_sample") or warped,
        parameters=parameters,
    )


def read_chat(body: JsonObject) -> Wanted:
    """The body of `/v1/chat/completions`. Raises Refusal."""
    limit = _limit(_checked(body), "max_tokens", "max_completion_tokens")
    return _openai(body, read_messages(body, images=True), limit)


def read_completions(body: JsonObject) -> Wanted:
    """The body of `/v1/completions`. Raises Refusal."""
    if body.get("suffix") is not None:
        text = "Suffix is not supported and can be achieved by preprocessing the prompt."
        raise Refusal(422, text, type="suffix not supported")
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) > 1:
        text = "Number of prompts exceeds the maximum allowed batch size of 1"
        raise Refusal(422, text, type="batch size exceeded")
    inputs = read_text({"prompt": prompt[0] if isinstance(prompt, list) and prompt else prompt}, "prompt")
    return _openai(body, inputs, _limit(_checked(body), "max_tokens") or COMPLETIONS_LIMIT)


def _seen(inputs: str) -> str:
    """The native route has images as Markdown."""
    return _MARKDOWN.sub(lambda image: read_image(image[1], "inputs: an image"), inputs)


def _openai(body: JsonObject, inputs: str, limit: int | None) -> Wanted:
    greedy = body.get("temperature") == 0
    parameters = {name: value for name, value in body.items() if not (greedy and name == "temperature")}
    return Wanted(
        inputs=inputs,
        stream=read_bool(body, "stream"),
        limit=limit,
        sampled=not greedy,
        parameters=parameters,
    )


def _limit(body: JsonObject, *names: str) -> int | None:
    return read_int(body, *names, minimum=0)


def _checked(parameters: JsonObject) -> JsonObject:
    """The same, its numbers known to be numbers."""
    for name in _UNSIGNED:
        read_int(parameters, name, minimum=0)
    for name in _NUMBERS:
        read_number(parameters, name, minimum=-1e300)
    stop = parameters.get("stop")
    if stop is not None and not isinstance(stop, str | list):
        raise Refusal(400, f"stop must be a list of strings, not {stop!r:.80}", param="stop")
    return parameters


def settled(wanted: Wanted, service: Service) -> tuple[Job, int | None]:
    """The job, and the seed that its answer names: null where nothing is drawn. Raises Refusal."""
    _check_stream(wanted)
    _check_values(wanted.parameters)
    if wanted.limit == 0:
        raise _invalid("`max_new_tokens` must be strictly positive")
    stop = wanted.parameters.get("stop")
    if isinstance(stop, list) and len(stop) > MAX_STOP_SEQUENCES:
        raise _invalid(f"`stop` supports up to {MAX_STOP_SEQUENCES} stop sequences. Given: {len(stop)}")
    if not wanted.inputs:
        raise _invalid("`inputs` cannot be empty")
    prompt = _prompt(wanted, service)
    _check_room(prompt, wanted.limit, service.context)
    seed = _seed(wanted, service) if wanted.sampled else None
    return settle(service, prompt, limit=wanted.limit, seed=seed, stream=wanted.stream), seed


def _check_stream(wanted: Wanted) -> None:
    best_of = wanted.parameters.get("best_of") or 1
    if best_of != 1:
        where = "supported when streaming tokens" if wanted.stream else "allowed for this endpoint"
        raise _invalid(f"`best_of` != 1 is not {where}")
    if wanted.stream and wanted.input_details:
        raise _invalid("`decoder_input_details` == true is not supported when streaming tokens")


_RULES: Final[tuple[tuple[str, Callable[[float], bool], str], ...]] = (
    ("temperature", lambda x: x > 0, "`temperature` must be strictly positive"),
    ("repetition_penalty", lambda x: x > 0, "`repetition_penalty` must be strictly positive"),
    ("frequency_penalty", lambda x: -2 <= x <= 2, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ("top_p", lambda x: 0 < x <= 1, "`top_p` must be > 0.0 and <= 1.0"),
    ("typical_p", lambda x: 0 < x < 1, "`typical_p` must be > 0.0 and < 1.0"),
    ("top_k", lambda x: x > 0, "`top_k` must be strictly positive"),
)


def _check_values(parameters: JsonObject) -> None:
    for name, good, text in _RULES:
        value = parameters.get(name)
        if value is not None and not good(value):
            raise _invalid(text)


def _prompt(wanted: Wanted, service: Service) -> Prompt:
    """What is left of the inputs: their last `truncate` tokens, the begin marker being the first to go."""
    whole = text_prompt(wanted.inputs)
    most = wanted.parameters.get("truncate")
    if most is None:
        return whole
    if not 0 < most < service.context:
        limit = service.context - 1
        raise _invalid(f"`truncate` must be strictly positive and less than {limit}. Given: {most}")
    if whole.tokens <= most:
        return whole
    text = "".join(tokens.split(wanted.inputs)[-most:])
    return Prompt(text, most, text.encode())


def _check_room(prompt: Prompt, limit: int | None, context: int) -> None:
    if limit is not None and prompt.tokens + limit > context:
        raise _invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {context}. "
            f"Given: {prompt.tokens} `inputs` tokens and {limit} `max_new_tokens`"
        )
    if prompt.tokens >= context:
        raise _invalid(f"`inputs` must have less than {context - 1} tokens. Given: {prompt.tokens}")


def _seed(wanted: Wanted, service: Service) -> int:
    """The client's, or one that is new for every request and yet the same in every run."""
    given = wanted.parameters.get("seed")
    if given is not None:
        return int(given)
    count = f"tgi seed {service.seed} {service.tally.accepted}".encode()
    return int.from_bytes(blake2b(count, digest_size=8).digest())


def _invalid(text: str) -> Refusal:
    return Refusal(422, f"Input validation error: {text}", type="validation")
