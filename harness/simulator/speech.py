"""What the server speaks: the dialects that each name of `--speak` stands for, and who answers a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

from harness.simulator.dialect import Call, Dialect, Handler, Service
from harness.simulator.fields import NoRoute
from harness.simulator.llamacpp import (
    LLAMACPP,
    LLAMACPP_2025,
    LLAMACPP_2025_CHAT,
    LLAMACPP_2025_COMPLETIONS,
    LLAMACPP_CHAT,
    LLAMACPP_COMPLETIONS,
)
from harness.simulator.maritaca import MARITACA, MARITACA_CHAT
from harness.simulator.maritalk import MARITALK, MARITALK_2023
from harness.simulator.openai import OPENAI, OPENAI_COMPLETIONS
from harness.simulator.responses import RESPONSES
from harness.simulator.sambanova import SAMBANOVA, SAMBANOVA_COMPLETIONS
from harness.simulator.sambastudio import SAMBASTUDIO, SAMBASTUDIO_OPENAI, SAMBASTUDIO_V2
from harness.simulator.tgi import TGI
from harness.simulator.tgi_openai import TGI_COMPLETIONS, TGI_OPENAI
from harness.simulator.vllm import VLLM, VLLM_COMPLETIONS, VLLM_METRICS, VLLM_METRICS_COMPLETIONS
from harness.simulator.wire import Request


@dataclass(frozen=True, slots=True)
class Speech:
    """Dialects spoken together. The last one words the errors of requests that reach none of them."""

    dialects: tuple[Dialect, ...]

    def find(self, request: Request) -> tuple[Dialect, Handler]:
        """Who answers; where nobody does, a handler that says so."""
        allowed = []
        for dialect in self.dialects:
            for (method, pattern), handler in dialect.routes.items():
                if _matches(pattern, request.path):
                    if method == request.method:
                        return dialect, handler
                    allowed.append(method)
        return self.dialects[-1], partial(_nobody, tuple(sorted(set(allowed))))


def _matches(pattern: str, path: str) -> bool:
    if "{" not in pattern:
        return pattern == path
    wanted, given = pattern.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        bool(g) if w.startswith("{") else w == g for w, g in zip(wanted, given, strict=True)
    )


def _nobody(allowed: tuple[str, ...], call: Call, service: Service) -> NoReturn:  # noqa: ARG001
    request = call.request
    if allowed:
        methods = ", ".join(allowed)
        raise NoRoute(
            405, f"{request.path} takes {methods}, not {request.method}", headers=(("Allow", methods),)
        )
    raise NoRoute(404, f"no such route: {request.path}")


SPEECHES: Final[Mapping[str, Speech]] = {
    "openai": Speech((OPENAI, OPENAI_COMPLETIONS, LLAMACPP)),
    "llamacpp": Speech((LLAMACPP_CHAT, LLAMACPP_COMPLETIONS, LLAMACPP)),
    "llamacpp-2025": Speech((LLAMACPP_2025_CHAT, LLAMACPP_2025_COMPLETIONS, LLAMACPP_2025)),
    "vllm": Speech((VLLM_COMPLETIONS, VLLM)),
    "vllm-metrics": Speech((VLLM_METRICS_COMPLETIONS, VLLM_METRICS)),
    "tgi": Speech((TGI_OPENAI, TGI_COMPLETIONS, TGI)),
    "maritalk": Speech((MARITALK,)),
    "maritalk-2023": Speech((MARITALK_2023,)),
    "maritaca": Speech((MARITACA_CHAT, RESPONSES, MARITACA)),
    "sambastudio": Speech((SAMBASTUDIO_V2, SAMBASTUDIO_OPENAI, SAMBASTUDIO)),
    "sambanova": Speech((SAMBANOVA_COMPLETIONS, SAMBANOVA)),
}
