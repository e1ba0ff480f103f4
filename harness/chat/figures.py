"""One answer's figures out of its record, for a page and for a terminal; and what would help where it failed.

Every figure is the record's own (`harness.record` has the formulas), `None` where it was not measured.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from harness.chat.answering import Result
from harness.errors import ErrorClass
from harness.grid import clean, number
from harness.questions import KEY_HELP
from harness.record import Outcome, RequestRecord

__all__ = ["figures", "line", "medians", "rates", "remedy"]

_SERVER: Final = (
    *("queue_ms", "prefill_ms", "decode_ms", "ttft_ms", "e2e_ms", "tokens_per_s"),
    *("acceptance_rate", "batch_size"),
)
_MEDIANS: Final = ("ttft_s", "tpot_ms", "output_tokens_per_s", "latency_s")


def figures(result: Result) -> dict[str, Any]:
    """JSON: times in the units that their names have, counts with who counted, what the server says of itself apart."""
    record = result.record
    server = {
        name: getattr(record, name if name in {"acceptance_rate", "batch_size"} else f"server_{name}")
        for name in _SERVER
    }
    return {
        "outcome": record.outcome,
        "ttft_s": _seconds(record.ttft_ms),
        "ttfa_s": _seconds(record.ttfa_ms),
        "tpot_ms": record.tpot_ms,
        "output_tokens_per_s": record.output_tokens_per_s,
        "latency_s": _seconds(record.e2e_ms),
        "prompt_tokens": record.prompt_tokens,
        "prompt_token_source": record.prompt_token_source,
        "output_tokens": record.output_tokens,
        "token_source": record.token_source,
        "cached_tokens": record.cached_tokens,
        "chunks": record.chunks,
        "streamed": record.streamed,
        "finish_reason": record.finish_reason,
        "request_id": record.request_id,
        "response_id": record.response_id,
        "http_status": record.http_status,
        "stamp_source": record.stamp_source,
        "server": {name: value for name, value in server.items() if value is not None},
        "error": _error(record),
    }


def medians(answers: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Over a conversation's answers, each figure over those that have it."""
    found: dict[str, float | None] = {}
    for name in _MEDIANS:
        values = [answer[name] for answer in answers if answer[name] is not None]
        found[name] = median(values) if values else None
    return found


def line(said: Mapping[str, Any]) -> str:
    """Figures in one line for a terminal."""
    parts = [rates(said), _tokens(said)]
    told = [
        f"{name.removesuffix('_ms').replace('_per_s', '/s').replace('_', ' ')} {number(value)}"
        f"{' ms' if name.endswith('_ms') else ''}"
        for name, value in said["server"].items()
    ]
    parts += [f"server: {', '.join(told)}"] if told else []
    parts += [f"end: {clean(said['finish_reason'])}"] if said["finish_reason"] else []
    return " | ".join(parts)


def rates(said: Mapping[str, float | None]) -> str:
    """The four figures of SambaNova's chat, of an answer or of medians."""
    return " | ".join(
        (
            f"TTFT {_fine(said['ttft_s'])} s",
            f"TPOT {number(said['tpot_ms'])} ms",
            f"{number(said['output_tokens_per_s'])} tokens/s",
            f"latency {_fine(said['latency_s'])} s",
        )
    )


def remedy(error: ErrorClass) -> str:
    """What would most likely help; "" where only the server's own words can."""
    return _REMEDIES.get(error, "")


def _fine(seconds: float | None) -> str:
    return number(None) if seconds is None else f"{seconds:.3f}"


def _tokens(said: Mapping[str, Any]) -> str:
    counts = []
    for name, what, source in (
        ("prompt_tokens", "prompt", "prompt_token_source"),
        ("output_tokens", "output", "token_source"),
    ):
        by = said[source]
        counts.append(f"{what} {_count(said[name])}{f' ({by})' if by not in (None, 'server') else ''}")
    cached = said["cached_tokens"]
    return f"tokens: {', '.join(counts)}" + (f", cached {cached}" if cached is not None else "")


def _count(value: int | None) -> str:
    return number(None) if value is None else str(value)


def _error(record: RequestRecord) -> dict[str, str] | None:
    if record.outcome is Outcome.OK:
        return None
    if record.error_class is None:
        return {"class": str(record.outcome), "message": record.error_message or "", "remedy": ""}
    return {
        "class": str(record.error_class),
        "message": record.error_message or "",
        "remedy": remedy(record.error_class),
    }


def _seconds(time_ms: float | None) -> float | None:
    return None if time_ms is None else time_ms / 1e3


_REMEDIES: Final[Mapping[ErrorClass, str]] = {
    ErrorClass.DNS: "see that --host names the server as this machine knows it",
    ErrorClass.CONNECT: "is the server up, at the address and port of --host?",
    ErrorClass.CONNECT_TIMEOUT: "is the server up and reachable from here? --connect-timeout waits longer",
    ErrorClass.TLS: "give the authority's file with --ca-file; https where the server speaks http fails like this, too",
    ErrorClass.RESET: "the server's log may say why it hung up",
    ErrorClass.FIRST_TOKEN_TIMEOUT: "the server is busy or stuck; --first-token-timeout waits longer",
    ErrorClass.IDLE_TIMEOUT: "the server has stalled; --idle-timeout waits longer",
    ErrorClass.TOTAL_TIMEOUT: "ask for fewer tokens, or wait longer with --total-timeout",
    ErrorClass.AUTH: f"put the right API key into the environment variable {KEY_HELP}",
    ErrorClass.NOT_FOUND: "is it the right --api-mode for this server, and is the model served here?",
    ErrorClass.OVERLOAD: "the server is full, or limits your requests: ask again in a while",
    ErrorClass.HTTP_CLIENT: "the server refuses the request: its words say which setting; a reset makes a long one shorter",
    ErrorClass.HTTP_SERVER: "the server's log may say why",
    ErrorClass.HTTP_OTHER: "give the API's base URL as --host",
    ErrorClass.STREAM_ERROR: "the server's log may say more",
    ErrorClass.TRUNCATED: "the server, or a proxy between, hung up in the middle of its answer",
    ErrorClass.BAD_HTTP: "is it an HTTP server that --host names?",
    ErrorClass.BAD_STREAM: "is it a server of this kind? See --backend and --api-mode",
    ErrorClass.TOO_LARGE: "ask for fewer tokens",
}
