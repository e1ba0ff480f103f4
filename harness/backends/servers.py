"""Servers that speak OpenAI's words and differ in little: for each what it takes, as fields.

Each class says where its claims come from. Whatever is not here is `openai` with `--backend-option`.
None of them is sent `OPENAI_API_KEY`: that key belongs to somebody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.backends import openai
from harness.backends.base import Delta, Learnt
from harness.backends.fields import Json, count, mapping, number, parse_object, text
from harness.backends.openai import OpenAI


@dataclass(frozen=True, slots=True, kw_only=True)
class TabbyAPI(OpenAI):
    """TabbyAPI (ExLlama), port 5000. Source: its main branch of August 2026.

    It answers with the model it has loaded, whatever the name (where it was told to load models by name, the
    name is a directory's). It sends usage only where it was asked to, also for answers that are not streamed,
    and then with its times: seconds, cut to hundredths. `disable_auth` in its configuration makes keys needless.
    """

    name: str = "tabbyapi"
    auth_header: str = "x-api-key"
    auth_scheme: str = ""
    forces_length: bool | None = True
    length_fields: str = "ban_eos_token+min_tokens"  # `ignore_eos` is an alias that older ones lack
    facts: tuple[str, ...] = ("/v1/model",)
    any_model: bool = True
    needs_model: bool = False

    key_variables: ClassVar[tuple[str, ...]] = ()

    def _laid(self, body: Json, extra: Mapping[str, Any]) -> Json:
        laid = OpenAI._laid(self, body, extra)  # noqa: SLF001  super() knows no slotted dataclass
        if self.include_usage and "stream_options" not in extra:
            laid["stream_options"] = {"include_usage": True}
        return laid

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer."""
        delta = openai.read(data)
        if delta.output_tokens is None:
            return delta
        usage = mapping(parse_object(data).get("usage"))
        return delta._replace(
            prefill_ms=_ms(usage.get("prompt_time")),
            decode_ms=_ms(usage.get("completion_time")),
            server_e2e_ms=_ms(usage.get("total_time")),  # with its queue
            server_tokens_per_s=number(usage.get("completion_tokens_per_sec")),  # or the word "Indeterminate"
        )

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  there is one
        """`/v1/model`: the loaded one."""
        parameters = mapping(said.get("parameters"))
        return Learnt(
            model=text(said.get("id")) or None,
            slots=count(parameters.get("max_batch_size")),
            context=count(parameters.get("max_seq_len")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SGLang(OpenAI):
    """SGLang, port 30000. Source: its request models and server of 2026.

    Takes `ignore_eos`, `min_tokens` and `cache_salt` on both routes, token ids on completions, and any model's
    name. With `--api-key` everything but /health and /metrics is guarded; /health is 503 while it starts.
    """

    name: str = "sglang"
    forces_length: bool | None = True
    takes_salt: bool = True
    facts: tuple[str, ...] = ("/get_server_info",)
    any_model: bool = True
    needs_model: bool = False

    key_variables: ClassVar[tuple[str, ...]] = ()

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  there is one
        """`/get_server_info`, of which only this is taken: it repeats the server's command line, keys included."""
        return Learnt(
            version=text(said.get("version")) or None,
            slots=count(said.get("max_running_requests")),
            context=count(said.get("context_length")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ollama(OpenAI):
    """Ollama, port 11434. Source: its main branch of August 2026.

    Cannot be held to a length. It loads a model at the first request that names it, so that the trial request
    is what keeps loading out of the first answer's time. It has no /health, and asks for no key; its 503 is a
    full queue. A prompt longer than its context is cut and not refused: `prompt_tokens` shows it. Completions
    too are put into the model's template. With usage asked for, every chunk of theirs has one, all zeros until
    the last.
    """

    name: str = "ollama"
    forces_length: bool | None = False
    length_fields: str = "none"
    health: str | None = "/"
    facts: tuple[str, ...] = ("/api/version",)

    key_variables: ClassVar[tuple[str, ...]] = ()

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer."""
        delta = openai.read(data)
        if delta.prompt_tokens == delta.output_tokens == 0:
            return delta._replace(prompt_tokens=None, output_tokens=None, tokens_so_far=None)
        return delta

    def plain(self, event: Json) -> str | None:
        """The text of a chunk that says nothing else, where zeros are nothing."""
        usage = event.get("usage")
        if isinstance(usage, dict) and not any(usage.values()):
            event = event | {"usage": None}
        return OpenAI.plain(self, event)


@dataclass(frozen=True, slots=True, kw_only=True)
class LMDeploy(OpenAI):
    """LMDeploy's api_server, port 23333. Source: its main branch of August 2026.

    Takes `ignore_eos` on both routes and `min_new_tokens` on chat only; a list as a prompt is a list of
    prompts, not of token ids. Unknown models are refused. Its /health is 503 until the engine is well.
    """

    name: str = "lmdeploy"
    forces_length: bool | None = True
    length_fields: str = "ignore_eos"

    key_variables: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRTLLM(OpenAI):
    """NVIDIA's trtllm-serve, port 8000. Source: its request models and server of 2026.

    It refuses a body with any field it does not know, so that `--extra-body` has to name its own. `ignore_eos`
    and `min_tokens` are taken on both routes, `cache_salt` on chat only, token ids on completions. No keys.
    """

    name: str = "tensorrt-llm"
    forces_length: bool | None = True
    facts: tuple[str, ...] = ("/version",)

    key_variables: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped(OpenAI):
    """A library with no server of its own, behind some wrapper that speaks OpenAI's words.

    `ctranslate2`: nothing is certain but the words. `onnx`: ONNX Runtime GenAI, as behind Foundry Local, whose
    documents have `max_tokens`, `stream` and `[DONE]`, and no way to hold an answer to a length.
    """

    forces_length: bool | None = False
    length_fields: str = "none"
    sees: bool = False

    key_variables: ClassVar[tuple[str, ...]] = ()


def _ms(seconds: object) -> float | None:
    said = number(seconds)
    return None if said is None else said * 1e3
