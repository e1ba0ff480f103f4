"""The table of backends: name and mode to dialect. A new backend is one file and one line here."""

from collections.abc import Mapping
from typing import Final

from harness.backends.base import Backend
from harness.backends.llamacpp import LlamaCppCompletion, LlamaCppOpenAI
from harness.backends.maritaca import MaritacaChat, MaritacaLegacy
from harness.backends.maritalk import MariTalk
from harness.backends.openai import OpenAI
from harness.backends.responses import MaritacaResponses
from harness.backends.sambanova import SambaNova
from harness.backends.sambastudio import SambaStudio
from harness.backends.sambastudio_openai import SambaStudioOpenAI
from harness.backends.servers import LMDeploy, Ollama, SGLang, TabbyAPI, TensorRTLLM, Wrapped
from harness.backends.tgi import TGINative, TGIOpenAI
from harness.backends.vllm import VLLM
from harness.errors import ConfigError
from harness.target import Target

# The first mode of a name is its default.
BACKENDS: Final[Mapping[str, tuple[Backend, ...]]] = {
    "openai": (OpenAI(mode="chat", templates=True), OpenAI(mode="completions")),
    "llamacpp": (
        LlamaCppCompletion(),
        LlamaCppOpenAI(mode="chat", templates=True),
        LlamaCppOpenAI(mode="completions", takes_ids=True),
    ),
    "vllm": (VLLM(mode="chat", templates=True), VLLM(mode="completions", takes_ids=True)),
    "tgi": (
        TGINative(),
        TGIOpenAI(mode="chat", templates=True),
        TGIOpenAI(mode="completions", include_usage=False),  # it comes unasked
    ),
    "sambanova": (SambaNova(mode="chat", templates=True), SambaNova(mode="completions")),
    "maritalk": (MariTalk(mode="native"), MariTalk(mode="chat", templates=True)),
    "maritaca": (MaritacaChat(), MaritacaLegacy(), MaritacaResponses()),
    "sambastudio": (SambaStudio(mode="v1"), SambaStudio(mode="v2"), SambaStudioOpenAI()),
    "tabbyapi": (TabbyAPI(mode="chat", templates=True), TabbyAPI(mode="completions")),
    "sglang": (SGLang(mode="chat", templates=True), SGLang(mode="completions", takes_ids=True)),
    "ollama": (Ollama(mode="chat", templates=True), Ollama(mode="completions", templates=True)),
    "lmdeploy": (
        LMDeploy(mode="chat", templates=True, length_fields="ignore_eos+min_new_tokens"),
        LMDeploy(mode="completions"),
    ),
    "tensorrt-llm": (
        TensorRTLLM(mode="chat", templates=True, takes_salt=True),
        TensorRTLLM(mode="completions", takes_ids=True),
    ),
    "ctranslate2": (
        Wrapped(name="ctranslate2", mode="chat", templates=True),
        Wrapped(name="ctranslate2", mode="completions"),
    ),
    "onnx": (
        Wrapped(name="onnx", mode="chat", templates=True),
        Wrapped(name="onnx", mode="completions"),
    ),
}


def find(name: str, mode: str | None, target: Target | None = None) -> Backend:
    """The backend of that name and `--api-mode`; for None its default mode, or the one the address shows.

    Raises:
        ConfigError: no such name or mode; the text lists what there is.
    """
    if name not in BACKENDS:
        raise ConfigError(f"backend {name!r} is unknown: use one of {', '.join(BACKENDS)}")
    modes = BACKENDS[name]
    if mode is None:
        return next((backend for backend in modes if target is None or _fits(backend, target)), modes[0])
    for backend in modes:
        if backend.mode == mode:
            return backend
    known = ", ".join(backend.mode for backend in modes)
    raise ConfigError(f"--api-mode: {mode!r} is not a mode of backend {name!r}: use one of {known}")


def refuse_images(backend: Backend, source: str) -> None:
    """For a run whose prompts have images: refuse it before load where the backend has no place for them.

    `source`: the option that brings them, with its value, e.g. `--dataset chats.jsonl`.

    Raises:
        ConfigError: it has none; the text says which modes of it do.
    """
    if backend.takes_images:
        return
    seeing = [other.mode for other in BACKENDS.get(backend.name, ()) if other.takes_images]
    instead = f"give --api-mode {' or '.join(seeing)}" if seeing else "take prompts without images"
    raise ConfigError(
        f"{source}: it has images, and backend {backend.name!r} (--api-mode {backend.mode}) takes none; {instead}"
    )


def _fits(backend: Backend, target: Target) -> bool:
    try:
        backend.at(target)
    except ConfigError:
        return False
    return True
