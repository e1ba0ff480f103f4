"""The OpenAI-style flavour of a SambaStudio endpoint: `.../chat/completions` below the endpoint's own address.

That is https://HOST/v1/PROJECT/ENDPOINT, in older versions with `/openai` before the `/v1`. The key is a Bearer
token here. What the answers hold, and which errors mean overload, is as in SambaNova's cloud.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from harness.backends.base import Ask, Backend, HttpRequest
from harness.backends.openai import OpenAI
from harness.backends.sambanova import SambaNova
from harness.backends.sambastudio import endpoint_of, expert_of
from harness.errors import ConfigError
from harness.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class SambaStudioOpenAI(SambaNova):
    """Chat; the model is an expert's name, with `COE/` or `Bundle/` before it or without."""

    name: str = "sambastudio"
    mode: str = "openai"
    root: str = ""
    forces_length: bool | None = False
    length_fields: str = "none"
    templates: bool = True
    models: str | None = None

    key_variables: ClassVar[tuple[str, ...]] = ("SAMBASTUDIO_API_KEY",)

    def at(self, target: Target) -> tuple[Backend, Target]:
        """Any base but a generic endpoint's; one that ends in `/v1` keeps it."""
        if "/predict/" in target.prefix:
            endpoint_of(target, self.mode)
        if not target.prefix:
            raise ConfigError(
                f"--host {target} is no endpoint's address: give the one the platform shows, "
                "https://HOST/v1/PROJECT/ENDPOINT for --api-mode openai"
            )
        root = "/v1" if target.prefix.endswith("/v1") else ""
        return dataclasses.replace(self, root=root), target

    def request(self, ask: Ask) -> HttpRequest:
        """As OpenAI's."""
        expert = expert_of(ask.model)
        return OpenAI.request(self, ask if expert is None else dataclasses.replace(ask, model=expert))
