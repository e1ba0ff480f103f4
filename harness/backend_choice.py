"""Which dialect a user class speaks: its backend, at the address given, with what the options say of it."""

import dataclasses
from collections.abc import Mapping

from harness.backends import find
from harness.backends.base import Backend
from harness.errors import ConfigError
from harness.settings import Settings
from harness.target import Target

__all__ = ["choose"]


def choose(
    name: str, mode: str | None, options: Mapping[str, str], settings: Settings
) -> tuple[Backend, Target]:
    """The backend `name` as the settings want it, and where its routes begin.

    `mode` and `options` are the user class's; the settings win over them.

    Raises:
        ConfigError: there is no such backend or mode, or it cannot do what is asked.
    """
    backend, target = find(name, settings.api_mode or mode, settings.target).at(settings.target)
    backend = backend.configured({**options, **settings.wording.backend_options})
    stream = settings.wording.stream
    if stream is None:
        # A body that asks for no stream is read as what it is: one line of JSON lines would look like a first token.
        stream = backend.can_stream and settings.extra_body.get("stream") is not False
    whose = f"backend {backend.name!r} (--api-mode {backend.mode})"
    if stream and not backend.can_stream:
        raise ConfigError(f"--stream yes: {whose} does not stream; leave --stream at auto")
    if not stream and not backend.can_answer_whole:
        raise ConfigError(f"--stream no: {whose} only streams; leave --stream at auto")
    if settings.exact_output and backend.forces_length is False:
        raise ConfigError(
            f"--exact-output yes: {whose} has no way to make an answer go on; leave it at auto, and the lengths "
            "asked for and got are compared in the results"
        )
    if settings.wording.cache_salt != "off" and not backend.takes_salt:
        raise ConfigError(
            f"--cache-salt {settings.wording.cache_salt}: {whose} knows no cache_salt; vllm, sglang and tensorrt-llm (chat) do"
        )
    if settings.wording.prompt_ids and not backend.takes_ids:
        raise ConfigError(f"--prompt-ids: {whose} takes no token ids; drop it")
    return dataclasses.replace(backend, stream=stream), target
