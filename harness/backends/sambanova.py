"""SambaNova Cloud and SambaStack: OpenAI's words, with the server's own figures inside `usage`, in seconds.

A stream ends with `[DONE]`. An error in it is an event named `error`, or one with an `error` object. Overload
is 504 (the queue was full, or a request grew old in it), 503 (the model is under maintenance) or 429 (a rate
limit of the account). `ignore_eos` is a best effort: a deployment that does not allow it ignores it and says
nothing, so only the counts tell. There is no health route, and anybody may read the list of models.
The header `ss-sn-options: accuracy_debug` (`--header`) makes `usage` richer and every answer slower.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from harness.backends import openai
from harness.backends.base import Delta
from harness.backends.fields import mapping, parse_object
from harness.backends.openai import OpenAI
from harness.backends.samba_metrics import samba_metrics
from harness.errors import ErrorClass, class_of_status

_IN_USAGE: Final = (
    *("prompt_tokens", "output_tokens", "cached_tokens"),
    *("server_ttft_ms", "server_e2e_ms", "server_tokens_per_s", "acceptance_rate", "batch_size"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SambaNova(OpenAI):
    """Its OpenAI-style routes. The base URL is `https://api.sambanova.ai`, with or without `/v1`."""

    name: str = "sambanova"
    forces_length: bool | None = True  # best effort: some models end all the same, and lengths are compared
    length_fields: str = "ignore_eos"
    health: str | None = None

    key_variables: ClassVar[tuple[str, ...]] = ("SAMBANOVA_API_KEY",)

    def read(self, data: bytes) -> Delta:
        """One chunk, `[DONE]`, or a whole answer; `usage` in seconds comes out in ms."""
        delta = openai.read(data)
        if delta.done:
            return delta
        event = parse_object(data)
        if delta.error is not None:
            expired = str(mapping(event.get("error")).get("code")) == "504"
            return delta._replace(error_class=ErrorClass.OVERLOAD) if expired else delta
        metrics = samba_metrics(mapping(event.get("usage")))
        said = {name: value for name in _IN_USAGE if (value := getattr(metrics, name)) is not None}
        return delta._replace(**said)

    def class_of_status(self, status: int) -> ErrorClass:
        """504 is its overload; 408 (took too long) and 410 (the model is gone) are the request's own fault."""
        return ErrorClass.OVERLOAD if status == 504 else class_of_status(status)
