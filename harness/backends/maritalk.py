"""MariTalk Local, Maritaca's server for one's own machine: `/generate` and `/chat/generate`, one JSON object each.

It never streams, so there is no time to first token, and it counts no tokens: a tokenizer does that after the
run. It says how long a request queued and took, in ms up to January 2024 (with a `prompt_time`) and in seconds
since (without one); which of the two is told by that field unless `timing_unit` says so. Whether the newer
`queue_time` holds the prefill is not known. There is no key, no seed in versions before 2023-12, no finish
reason, and no way to force a length: Maritaca's own benchmark has it ramble at a temperature of 3.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.backends.base import Ask, Backend, Delta, HttpRequest, Sampling
from harness.backends.fields import Json, dumped, error_text, laid_over, number, parse_object, text
from harness.backends.turns import plain_messages

_PER_UNIT = {"ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True, kw_only=True)
class MariTalk(Backend):
    """Mode `native` sends the text as it is; `chat` sends messages, whose roles are user and assistant only."""

    name: str = "maritalk"
    stream: bool = False
    can_stream: bool = False
    health: str | None = "/"
    models: str | None = None
    any_model: bool = True
    timing_unit: str = "auto"

    settable: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "auth_header": (),
        "auth_scheme": (),
        "timing_unit": ("auto", "ms", "s"),
    }

    @property
    def takes_turns(self) -> bool:
        """Chat does."""
        return self.mode == "chat"

    @property
    def path(self) -> str:
        """`/generate` or `/chat/generate`."""
        return "/chat/generate" if self.mode == "chat" else "/generate"

    def request(self, ask: Ask) -> HttpRequest:
        """The body, with the sampling that Maritaca's own client asks for; a seed only where there is one."""
        body: Json = {"messages": plain_messages(ask)} if self.takes_turns else {"prompt": ask.words}
        body |= {
            "do_sample": True,
            "temperature": 0.7,
            "top_p": 0.95,
            "max_tokens": ask.max_tokens,
            "stop_sequences": [],
        }
        if ask.seed is not None:
            body["seed"] = ask.seed
        return HttpRequest("POST", self.path, dumped(laid_over(body, ask.extra)))

    def sampling(self, chosen: Sampling) -> Json:
        """Only where `do_sample` says so."""
        return chosen.switched()

    def read(self, data: bytes) -> Delta:
        """The whole answer. One without `output` is an error, also under status 200."""
        said = parse_object(data)
        output = said.get("output")
        if not isinstance(output, str):
            return Delta(error=error_text(said))
        unit = self._unit(said)
        return Delta(
            answer=output,
            done=True,
            queue_ms=_ms(said, "queue_time", unit),
            prefill_ms=_ms(said, "prompt_time", unit),
            decode_ms=_ms(said, "generation_time", unit),
        )

    def is_loading(self, status: int, body: Json) -> bool:
        """`{"status": "loading"}`; anything else, known or not, is ready."""
        return status == 503 or text(body.get("status")) == "loading"

    def _unit(self, said: Json) -> str:
        if self.timing_unit != "auto":
            return self.timing_unit
        return "s" if said.get("prompt_time") is None else "ms"


def _ms(said: Json, name: str, unit: str) -> float | None:
    value = number(said.get(name))
    return None if value is None else value * _PER_UNIT[unit]
