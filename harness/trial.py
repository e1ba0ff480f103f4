"""One request of the very kind the load will send, before it: what no other question can tell.

Whether the key, the model and the route are right only a request of the load can tell where the routes that
list things are open to all; and MariTalk Local's times are in ms or in s depending on its version. So one
short answer is generated, through the load's own client, and judged. A server that is busy passes: it has
understood the request. Its id begins with `trial-`, so that it can be told apart in a server's log.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from harness.backends.base import Ask, Backend
from harness.client import Client
from harness.clock import now_ns
from harness.errors import ConfigError, ErrorClass
from harness.leave import Slot
from harness.questions import refusal
from harness.record import Outcome, Phase, RequestRecord

TOKENS: Final = 16  # the least that OpenAI's Responses API takes as a limit
PROMPT: Final = "1 2 3 4 5 6 7 8"
_PASSES: Final = (ErrorClass.OVERLOAD, ErrorClass.IDLE_TIMEOUT, ErrorClass.TOTAL_TIMEOUT)
TRIES: Final = 2
_CHANCE: Final = (  # what may be an accident
    *(ErrorClass.HTTP_SERVER, ErrorClass.RESET, ErrorClass.TRUNCATED),
    *(ErrorClass.BAD_HTTP, ErrorClass.BAD_STREAM, ErrorClass.STREAM_ERROR),
)
_OVER: Final = 1.5  # a server's time may exceed the client's by so much, and no more
_SLACK_MS: Final = 50.0
_UNDER: Final = 100  # times that are a hundredth of the client's are of another unit


def judge(client: Client, ask: Ask, say: Callable[[str], None]) -> None:
    """Send `ask`, of which nobody else hears, and go on, or not.

    Raises:
        ConfigError: load would fail in the same way; one line with what to change.
    """
    alone = replace(client, id_prefix="trial-", keep=lambda *_: None)
    slot = Slot(level=1, repeat=1, phase=Phase.WARMUP)
    url = client.target.url(client.backend.request(ask).path)  # a model's name may be part of it
    say(f"a trial request first: POST {url}")
    for _ in range(TRIES):
        record = alone.run(ask, slot, name="trial", scheduled_ns=now_ns(), prompt_tokens=None)
        client.engine.hang_up()  # the load opens its connections itself, and measures that
        if record.error_class not in _CHANCE:
            break
    if record.outcome is Outcome.OK:
        for problem in _of_times(record, client.backend):
            raise ConfigError(f"POST {url}: {problem}")
    elif record.error_class in _PASSES:
        say(
            f"the server is busy, the trial request was refused or took too long ({record.error_message}); going on"
        )
    else:
        said = record.error_message or str(record.error_class)
        forced = ask.exact_length and re.search("eos|min_", said)
        hint = "; --exact-output no leaves out what makes answers go on" if forced else ""
        raise ConfigError(
            f"POST {url} {_why(record, client, ask.model, said)}{hint} (--preflight no sends the load all the same)"
        )


def _why(record: RequestRecord, client: Client, model: str | None, said: str) -> str:
    kind = f"{client.backend.name!r} with --api-mode {client.backend.mode}"
    match record.error_class:
        case ErrorClass.AUTH:
            empty = said.startswith("HTTP status")
            return f"answered {record.http_status}{refusal('' if empty else said, client.secret)}"
        case ErrorClass.NOT_FOUND:
            named = f", and is --model {model!r} served here" if model else ""
            return f"answered 404 ({said}): is it a server of the kind {kind}{named}?"
        case ErrorClass.HTTP_CLIENT | ErrorClass.HTTP_SERVER | ErrorClass.HTTP_OTHER:
            return f"answered {record.http_status} to a trial request ({said})"
        case ErrorClass.BAD_STREAM | ErrorClass.TRUNCATED:
            return f"did not answer a trial request as {kind} does ({said}); is it a login's or a proxy's page, or another --api-mode?"
        case _:
            return f"failed a trial request with {record.error_class} ({said})"


def _of_times(record: RequestRecord, backend: Backend) -> Iterator[str]:
    """Times of the server that cannot be in the unit they are read in."""
    wall_ms = record.e2e_ms
    times = (record.server_queue_ms, record.server_prefill_ms, record.server_decode_ms, record.server_e2e_ms)
    known = [time for time in times if time is not None]
    if wall_ms is None or not known:
        return
    fix = ""
    if unit := getattr(backend, "timing_unit", None):
        fix = f"; it is read with timing_unit={unit}: try --backend-option timing_unit={'ms' if unit != 'ms' else 's'}"
    if max(known) > _OVER * wall_ms + _SLACK_MS:
        yield f"the server's times are in another unit: it says {max(known):.6g} ms of an answer that took {wall_ms:.6g} ms{fix}"
    elif fix and sum(known) * _UNDER < wall_ms - _SLACK_MS:
        yield f"the server's times are in another unit: it says {sum(known):.6g} ms of an answer that took {wall_ms:.6g} ms{fix}"
