"""What one worker process sustains here, as the last selftest found it, and what that says of a planned load.

Kept in `selftest.json` of the cache directory, together with what it holds for: this machine, this Python,
this tokenswarm. A result of another machine is no result. It imports nothing that opens a socket, so that a
run may ask it before anything else is loaded.

Loads are compared as streams x tokens/s of each. Streams at other rates than the one measured are held to the
same product: a worker's cost is by the event.

Schema history of selftest.json
    1  first version
"""

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from harness import __version__, files
from harness.errors import ConfigError

SCHEMA: Final = 1
FILE: Final = "selftest.json"
RATE: Final = 50.0  # tokens/s of a stream where the plan does not say
# Without a selftest: about a sixth of what one quiet core of a cloud machine of 2026 was measured to hold.
DEFAULT_STREAMS: Final = 300
METHOD: Final = (
    "tokenswarm selftest: a pacing server and one worker, each in a process of its own, steps of 2 s, held: TTFT "
    "error p99 at most 1 ms, no event missing, at least 95 % of the tokens"
)
SHARE: Final = 0.8  # of its limit that a worker should be given


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most one worker was seen to hold; `at_least`: the test's own server could offer no more."""

    streams: int
    tokens_per_stream: float  # tokens/s
    at_least: bool
    events_per_s: float  # that arrived, of all streams: they also wait for their first tokens
    ttft_error_p99_ms: float
    stamp_source: str
    cpu_percent: float
    own_cores: bool  # worker and test server each had one
    date: str  # ISO 8601, UTC

    @property
    def tokens_per_s(self) -> float:
        """Of all streams together, while they stream."""
        return self.streams * self.tokens_per_stream


def machine() -> dict[str, object]:
    """What a result holds for: a change of any of these and it has to be found anew."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "tokenswarm": __version__,
    }


def store(limit: Limit, *, tls: bool) -> Path:
    """Keep a result beside the one of the other scheme; where it is kept is returned.

    Raises:
        OSError: the cache directory cannot be written.
    """
    path = files.cache_dir() / FILE
    results = {scheme: asdict(known) for scheme, known in load().items()} | {_scheme(tls=tls): asdict(limit)}
    kept = {"schema": SCHEMA, "machine": machine(), "method": METHOD, "results": results}
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, files.as_json(kept))
    return path


def load() -> dict[str, Limit]:
    """This machine's results by scheme, `http` and `https`. Those of another machine, or unreadable, are none."""
    try:
        stored = files.from_json(files.cache_dir() / FILE)
        if stored["schema"] != SCHEMA or stored["machine"] != machine():
            return {}
        return {scheme: _limit(kept) for scheme, kept in stored["results"].items()}
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def warning(
    streams: int, tokens_per_s_per_stream: float | None, workers: int = 1, *, tls: bool = False
) -> str | None:
    """One line if the plan is more than its workers sustain, None if it fits.

    Args:
        streams: the most that are open at once, over all workers.
        tokens_per_s_per_stream: of each while it streams; None if unknown, and then `RATE` is taken.
        workers: processes that share the load.
        tls: whether the target is https.
    """
    rate = RATE if tokens_per_s_per_stream is None else tokens_per_s_per_stream
    kept = load()
    limit = kept.get(_scheme(tls=tls)) or kept.get(_scheme(tls=not tls))
    sustained = limit.tokens_per_s if limit else DEFAULT_STREAMS * RATE
    if streams * rate <= sustained * workers:
        return None
    guess = " (the rate is a guess)" if tokens_per_s_per_stream is None else ""
    plan = f"the plan is {streams:,} streams x {rate:g} tok/s{guess}"
    share = f" for {workers} worker{'s' if workers > 1 else ''}"
    need = f"use {workers_for(streams, rate, sustained):,} workers"
    if limit is None:
        return (
            f"{plan}{share}, more than the {DEFAULT_STREAMS} x {RATE:g} tok/s that any worker may be trusted with "
            f"unmeasured: run `tokenswarm selftest` to find what this machine sustains, or {need}"
        )
    other = "" if _scheme(tls=tls) in kept else f" over {_scheme(tls=not tls)}"
    return (
        f"{plan}{share}, and one worker here was seen to hold {described(limit)}{other}: its stamps may be off; "
        f"{need} (each at most {SHARE:.0%} of its limit)"
    )


def described(limit: Limit) -> str:
    """The limit in a few words."""
    bound = "at least " if limit.at_least else ""
    return f"{bound}{limit.streams:,} streams x {limit.tokens_per_stream:g} tok/s"


def workers_for(streams: int, tokens_per_s_per_stream: float, sustained_per_s: float) -> int:
    """How many workers a plan needs if each is given at most `SHARE` of what it sustains, in tokens/s."""
    whole, rest = divmod(streams * tokens_per_s_per_stream, SHARE * sustained_per_s)
    return max(1, int(whole) + (rest > 1e-6 * sustained_per_s))


def _scheme(*, tls: bool) -> str:
    return "https" if tls else "http"


def _limit(kept: dict[str, Any]) -> Limit:
    limit = Limit(**kept)
    if not (limit.streams >= 1 and limit.tokens_per_stream > 0):
        raise ValueError(f"not a limit: {limit}")
    return limit


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return named.get("model name") or platform.processor() or platform.machine()
