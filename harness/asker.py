"""What all requests of a lane have in common: from a prompt and a size to an `Ask`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

from harness.backends.base import Ask, Turn
from harness.settings import Settings


@dataclass(frozen=True, slots=True)
class Asker:
    """The model, the length's force, the cache salt and the user's own fields."""

    model: str | None
    exact_length: bool
    extra: Mapping[str, Any]
    salt: str | None = None  # of the run; None: none is sent
    fresh_salt: bool = False  # each request has one of its own

    @classmethod
    def of(cls, settings: Settings, model: str | None, *, can_force: bool) -> Self:
        """As the settings say; `can_force`: the server can be made to answer at full length."""
        exact = can_force if settings.exact_output is None else settings.exact_output
        salt = settings.wording.cache_salt
        return cls(
            model,
            exact,
            settings.extra_body,
            None if salt == "off" else uuid4().hex,
            fresh_salt=salt == "request",
        )

    def ask(
        self,
        prompt: str | Sequence[int],
        max_tokens: int,
        turns: Sequence[Turn] = (),
        session: str | None = None,
    ) -> Ask:
        """One request; `turns` is the conversation whose last turn `prompt` is, `session` its id, if it is one."""
        return Ask(
            prompt=prompt if isinstance(prompt, str) else tuple(prompt),
            max_tokens=max_tokens,
            model=self.model,
            exact_length=self.exact_length,
            cache_salt=f"{self.salt}-{session or uuid4().hex}" if self.fresh_salt else self.salt,
            extra=self.extra,
            turns=tuple(turns),
        )
