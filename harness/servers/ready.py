"""When a server is ready for load, as a value: which route to ask and what its answers mean.

Pure: no socket, no clock. `harness.servers.waiting` asks; whoever else asks a server the same question can
judge the answers with this.

    2xx                  ready, unless it says in JSON that its status is "loading"
    401, 403             ready: it is up and guards the route
    404 and other 4xx    up, but without such a route; no sign of a model that loads
    5xx                  loading: llama.cpp, TGI and vLLM answer 503 until their model is there

MariTalk Local says {"status": "loading"}, then {"status": "idle"} at "/"; its own client takes any other
word for ready. Source: the servers' route handlers, and the `maritalk` client's `start_server`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["CHECKS", "ReadyCheck", "Standing"]


class Standing(Enum):
    """How far a server is, by one answer of its."""

    READY = "ready"
    LOADING = "loading"
    LACKS = "lacks the route"


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """A route below the base URL. `strict`: a server without it is never ready; else it is, if that stays so."""

    route: str
    strict: bool = True

    def judge(self, status: int, body: bytes = b"") -> Standing:
        """What an HTTP status and (the beginning of) its body say."""
        if 200 <= status < 300:
            return Standing.LOADING if _says_loading(body) else Standing.READY
        if status in (401, 403):
            return Standing.READY
        return Standing.LOADING if status >= 500 else Standing.LACKS


def _says_loading(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and str(said.get("status")).lower().startswith("loading")


# By the name of the backend. A server of an unknown kind may well lack /health.
CHECKS: Final[Mapping[str, ReadyCheck]] = MappingProxyType(
    {
        "llamacpp": ReadyCheck("/health"),
        "maritalk": ReadyCheck("/", strict=False),
        "tgi": ReadyCheck("/health"),
        "vllm": ReadyCheck("/health"),
        "openai": ReadyCheck("/health", strict=False),
    }
)
