"""What a backend is: how to ask, and what one event of the answer says.

A backend is a frozen value with no socket, no clock, no retry and no metric in it. It turns an `Ask` into
bytes to send, and the data of one event into a `Delta`. The rest of the program never sees a vendor's
field name. A response that was not streamed is one event: its whole body.

What systems differ in beyond their words are the fields of `Backend`; to be one, a dialect sets them and
has `path`, `request` and `read`. docs/adding-a-backend.md shows one from beginning to end.
"""

import dataclasses
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple, Self

from harness.backends.ask import Ask, Sampling, Turn, as_text
from harness.backends.fields import Json, mapping, text
from harness.errors import ConfigError, ErrorClass, class_of_status
from harness.target import Target

__all__ = ["Ask", "Backend", "Delta", "Framing", "HttpRequest", "Learnt", "Sampling", "Turn", "as_text"]

# What the text of a settable field must look like, and how to say so.
_NAME: Final = (r"(?!(stream|messages|prompt|model)$)[A-Za-z_][\w.-]{0,60}", "give the name of a field")
_SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "auth_header": (r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,80}", "give the name of a header, e.g. x-api-key"),
    "auth_scheme": (r"[!-~]{0,80}", "give the word before the key, e.g. Bearer, or nothing"),
    "length_fields": (r"none|[A-Za-z_]\w*(\+[A-Za-z_]\w*)*", "give names joined by +, or none"),
    "expert": (r"[!-~]{1,200}", "give the name of a model"),
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What goes on the wire, without the host and the authentication."""

    method: str
    path: str
    body: bytes


class Delta(NamedTuple):
    """What one event says. Counts are running totals; a later event's replace an earlier one's."""

    answer: str = ""
    reasoning: str = ""
    full_text: str = ""  # the whole answer once more: it counts only if no piece of it came before
    done: bool = False  # the dialect's end mark
    finish_reason: str | None = None
    error: str | None = None  # the server's words: an error inside a 200 stream
    error_class: ErrorClass = ErrorClass.STREAM_ERROR  # of that error, where its words tell
    response_id: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None  # final count
    tokens_so_far: int | None = None  # output tokens up to and with this event, where the server says
    cached_tokens: int | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    server_ttft_ms: float | None = None
    server_e2e_ms: float | None = None
    server_tokens_per_s: float | None = None  # output tokens of this request, as the server reckons them
    acceptance_rate: float | None = None  # speculative decoding: share of draft tokens kept
    batch_size: int | None = None


class Framing(StrEnum):
    """How a response that was asked for as a stream is cut into events."""

    SSE = "sse"
    LINES = "lines"  # one JSON object a line


class Learnt(NamedTuple):
    """What one of a server's routes says of it; None where it does not."""

    model: str | None = None
    version: str | None = None
    slots: int | None = None  # requests it works on at once
    context: int | None = None  # tokens a request may hold, prompt and answer
    limits: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(ABC):
    """One dialect of one API, with what its system can do."""

    name: str  # in the table of backends, e.g. `openai`
    mode: str  # the `--api-mode`, e.g. `chat`
    stream: bool = True  # whether answers are asked for as streams
    can_stream: bool = True
    can_answer_whole: bool = True
    framing: Framing = Framing.SSE
    ends_on_close: bool = False  # no event marks the end of its streams: the end of the body does
    auth_header: str = "Authorization"  # the API key travels as `header: scheme key` ...
    auth_scheme: str = "Bearer"  # ... or alone, where this is empty
    forces_length: bool | None = False  # can it be made to answer at full length? None: some servers can
    templates: bool = False  # the server puts the prompt into a chat template
    takes_ids: bool = False  # a prompt may be token ids
    takes_salt: bool = False  # knows `cache_salt`
    health: str | None = "/health"  # a route that says whether the model is loaded
    models: str | None = "/v1/models"  # a route that lists models as OpenAI does
    facts: tuple[str, ...] = ()  # further routes that say what the server is, for `learn`
    any_model: bool = False  # serves one model under whatever name
    needs_model: bool = False  # cannot be asked without one

    # Fields a user may set with --backend-option, each with the words it may have (none: any).
    settable: ClassVar[Mapping[str, tuple[str, ...]]] = {"auth_header": (), "auth_scheme": ()}
    # Where keys for it are kept, beside TOKENSWARM_API_KEY.
    key_variables: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """A dataclass takes `health = "/"`, without its type, for no field at all, and the default stays in silence.

        Raises:
            TypeError: a dialect sets a field so.
        """
        known = (
            {one.name: one.type for one in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
        )
        for name in known.keys() & vars(cls).keys() - inspect.get_annotations(cls).keys():
            raise TypeError(f"{cls.__name__}.{name}: write its type too, as in `{name}: {known[name]} = ...`")

    @property
    def takes_turns(self) -> bool:
        """Whether a conversation is sent turn by turn, with its roles; else as one text (`as_text`)."""
        return False

    @property
    def takes_images(self) -> bool:
        """Whether turns may have images. That the model sees them is the server's business."""
        return False

    @property
    @abstractmethod
    def path(self) -> str:
        """Path below the host that requests go to; also their name in Locust's statistics."""

    @abstractmethod
    def request(self, ask: Ask) -> HttpRequest:
        """The bytes to send for `ask`."""

    @abstractmethod
    def read(self, data: bytes) -> Delta:
        """What one event says, or a whole body that was not streamed.

        Raises:
            MalformedChunk: the event is not of this dialect.
        """

    def credentials(self, secret: str) -> tuple[str, str]:
        """The header that carries the API key: name and value."""
        return self.auth_header, f"{self.auth_scheme} {secret}" if self.auth_scheme else secret

    def sampling(self, chosen: Sampling) -> Json:
        """The fields that ask for it, to be laid over a body as the user's own are (`Ask.extra`)."""
        return chosen.as_fields()

    def plain(self, event: Json) -> str | None:  # noqa: ARG002  for dialects that have a short way
        """The piece of the answer, where an event in mid-stream says nothing else; None: `read` it.

        This is what nearly all events are, and all that is read of them, so it is quick. An id or a running
        count is taken to be on all events of a stream or on none.
        """
        return None

    def read_headers(self, headers: Mapping[str, str]) -> Delta:  # noqa: ARG002  most say nothing there
        """What the headers (names in lower case) of a 200 say."""
        return Delta()

    def class_of_status(self, status: int) -> ErrorClass:
        """The error class of an HTTP status other than 200."""
        return class_of_status(status)

    def at(self, target: Target) -> tuple["Backend", Target]:
        """This backend at that address: what of the address is a route of the dialect moves into the backend.

        Raises:
            ConfigError: the address belongs to another flavour.
        """
        return self, target

    def counting(self, text: str, model: str | None, *, prompt: bool) -> tuple[str, Json] | None:  # noqa: ARG002
        """(route, body) of a POST that tells how many tokens `text` is; None where there is no such route.

        `prompt`: as a prompt of this mode, chat template and special tokens included; else as mere text.
        """
        return None

    def counted(self, said: object) -> int | None:  # noqa: ARG002  without a question there is no answer
        """The tokens that the answer to `counting` says."""
        return None

    def is_loading(self, status: int, body: Json) -> bool:  # noqa: ARG002  some say it in the body
        """Whether the health route's answer means that the model is not loaded yet."""
        return status == 503

    def learn(self, route: str, said: Json) -> Learnt:  # noqa: ARG002  without facts there is nothing to learn
        """What one of the routes in `facts` says."""
        return Learnt()

    def listed(self, said: Json) -> list[Json]:
        """The models of the list at `models`, each with its `id`."""
        data = said.get("data")
        found = map(mapping, data) if isinstance(data, list) else ()
        return [entry for entry in found if text(entry.get("id"))]

    def configured(self, options: Mapping[str, str]) -> Self:
        """This backend with some of its `settable` fields set.

        Raises:
            ConfigError: no such field here, or no such value.
        """
        changes: dict[str, Any] = {name: self._setting(name, said) for name, said in options.items()}
        return dataclasses.replace(self, **changes)

    def _setting(self, name: str, said: str) -> object:
        if name not in self.settable:
            known = f"it has {', '.join(self.settable)}" if self.settable else "it has none"
            raise ConfigError(
                f"--backend-option {name}={said}: backend {self.name!r} has no {name!r}; {known}"
            )
        now, choices = getattr(self, name), self.settable[name]
        if isinstance(now, bool):
            choices = ("yes", "no")
        if choices and said not in choices:
            raise ConfigError(f"--backend-option {name}={said}: use {', '.join(choices)}")
        if isinstance(now, bool):
            return said == "yes"
        if isinstance(now, int):
            if not (said.isascii() and said.isdigit() and len(said) < 6 and int(said)):
                raise ConfigError(f"--backend-option {name}={said}: give a whole number from 1 to 99999")
            return int(said)
        shape, example = _SHAPES.get(name, _NAME)
        if not choices and not re.fullmatch(shape, said):
            raise ConfigError(f"--backend-option {name}={said!r}: {example}")
        return said
