"""The table of backends: name and mode to dialect. A new backend is one file and one line here."""

from collections.abc import Mapping
from typing import Final

from harness.backends.base import Backend
from harness.backends.llamacpp import LlamaCppCompletion
from harness.backends.openai import OpenAI
from harness.errors import ConfigError

# Prefill is to be measured, not llama.cpp's memory of the slot's last prompt.
_NO_CACHE = (("cache_prompt", False),)

# The first mode of a name is its default.
BACKENDS: Final[Mapping[str, tuple[Backend, ...]]] = {
    "openai": (OpenAI("chat"), OpenAI("completions")),
    "llamacpp": (
        LlamaCppCompletion(),
        OpenAI("chat", "llamacpp", _NO_CACHE),
        OpenAI("completions", "llamacpp", _NO_CACHE),
    ),
}


def find(name: str, mode: str | None) -> Backend:
    """The backend of that name and `--api-mode`; its default mode for None.

    Raises:
        ConfigError: no such name or mode; the text lists what there is.
    """
    if name not in BACKENDS:
        raise ConfigError(f"backend {name!r} is unknown: use one of {', '.join(BACKENDS)}")
    modes = BACKENDS[name]
    for backend in modes:
        if mode is None or backend.mode == mode:
            return backend
    known = ", ".join(backend.mode for backend in modes)
    raise ConfigError(f"--api-mode: {mode!r} is not a mode of backend {name!r}: use one of {known}")
