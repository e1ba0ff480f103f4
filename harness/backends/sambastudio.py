"""SambaStudio's generic endpoints, v1 and v2: predict, or a stream of one JSON object a line.

The address is the endpoint's, as the platform shows it, with the project and the endpoint in its path; it
tells the flavour, so `--api-mode` is rarely needed. A stream ends with the object whose `is_last_response` is
true. That one holds the full text once more, which is no token, and the counts and times (seconds; see
`harness.backends.samba_metrics`). A line without a result is an error. Length is an upper bound only, and
there is no seed; the endpoint's own sampling is left as it is.

A model `COE/x` or `Bundle/x` is the expert x of a composition, and so is the x of `--backend-option expert=x`, by
which user classes of one run ask for different ones. Any other model is not sent: its endpoint serves just that.
Prompts are sent as they are (`process_prompt` false), without a chat template. An expert is sent a conversation with
its roles (`process_prompt` true, unless `--extra-body` says otherwise); no other endpoint knows that word, so they get
it as one text.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.backends.base import Ask, Backend, Delta, Framing, HttpRequest, Sampling, Turn
from harness.backends.fields import Json, dumped, error_text, laid_over, mapping, parse_object, text
from harness.backends.samba_metrics import samba_metrics
from harness.backends.turns import text_of
from harness.errors import ConfigError, ErrorClass, class_of_status
from harness.target import Target

_PREDICT = re.compile(
    r"(?P<base>.*)/api/(?P<v2>v2/)?predict/(?P<family>generic|nlp)(?:/stream)?"
    r"/(?!stream/)(?P<project>[^/]+)/(?P<endpoint>[^/]+)"
)
_BUNDLES = ("coe", "bundle")
_OVERLOAD = ("429", "503", "504")
# What `stop_reason` may be, in the field's words; others stay as they are.
_FINISH = {"max_len_reached": "length", "end_of_text": "stop", "stop_sequence": "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SambaStudio(Backend):
    """`POST /api/predict/generic[/stream]/P/E`, and the same below `/api/v2`."""

    name: str = "sambastudio"
    framing: Framing = Framing.LINES
    auth_header: str = "key"
    auth_scheme: str = ""
    health: str | None = None
    models: str | None = None
    project: str = ""
    endpoint: str = ""
    expert: str = ""  # instead of the one that the model names

    settable: ClassVar[Mapping[str, tuple[str, ...]]] = {"auth_header": (), "auth_scheme": (), "expert": ()}
    key_variables: ClassVar[tuple[str, ...]] = ("SAMBASTUDIO_API_KEY",)

    @property
    def path(self) -> str:
        """The predict route, or the stream route, of this endpoint."""
        version = "v2/" if self.mode == "v2" else ""
        stream = "stream/" if self.stream else ""
        return f"/api/{version}predict/generic/{stream}{self.project}/{self.endpoint}"

    def at(self, target: Target) -> tuple[Backend, Target]:
        """Project and endpoint, out of the address."""
        project, endpoint, base = endpoint_of(target, self.mode)
        return dataclasses.replace(self, project=project, endpoint=endpoint), base

    def request(self, ask: Ask) -> HttpRequest:
        """The body; the user's own fields are parameters, but for those that are the body's."""
        params: Json = {"max_tokens_to_generate": ask.max_tokens}
        expert = self.expert or expert_of(ask.model)
        with_roles = bool(ask.turns) and ask.extra.get("process_prompt", expert is not None) is True
        if expert is not None:
            params |= {"select_expert": expert, "process_prompt": with_roles}
        value = _conversation(ask.turns) if with_roles else ask.words
        body: Json = {"items": [{"id": "item1", "value": value}]}
        if self.mode == "v1":
            body = {"instance": value} if self.stream else {"instances": [value]}
        whole = {name: value for name, value in ask.extra.items() if name in body or name == "params"}
        params = laid_over(params, {name: value for name, value in ask.extra.items() if name not in whole})
        body["params"] = _typed(params) if self.mode == "v1" else params
        return HttpRequest("POST", self.path, dumped(laid_over(body, whole)))

    def sampling(self, chosen: Sampling) -> Json:
        """Only where `do_sample` says so."""
        return chosen.switched()

    def read(self, data: bytes) -> Delta:
        """One line of a stream, or a whole answer."""
        event = parse_object(data)
        said = _item(event)
        completion = said.get("completion")
        if event.get("error") or said.get("error") or not said:
            return _failed(event, said)
        is_whole = isinstance(completion, str) and "stream_token" not in said
        if said.get("is_last_response", is_whole) is not True and self.stream:
            return Delta(answer=text(said.get("stream_token")))
        if not isinstance(completion, str) and not self.stream:
            return _failed(event, said)
        reason = text(said.get("stop_reason"))
        return samba_metrics(said)._replace(
            answer=text(said.get("stream_token")),
            full_text=text(completion),
            done=True,
            finish_reason=_FINISH.get(reason, reason) or None,
        )

    def class_of_status(self, status: int) -> ErrorClass:
        """504 is a queue that was too long."""
        return ErrorClass.OVERLOAD if status == 504 else class_of_status(status)


def endpoint_of(target: Target, mode: str) -> tuple[str, str, Target]:
    """(project, endpoint, where their API begins) of a generic endpoint's address, its stream form included.

    Raises:
        ConfigError: it is the address of another flavour, or of no endpoint.
    """
    found = _PREDICT.fullmatch(target.prefix)
    if found is None:
        raise ConfigError(
            f"--host {target} is no generic endpoint's address: give the one the platform shows, "
            "https://HOST/api[/v2]/predict/generic/PROJECT/ENDPOINT, "
            "or https://HOST/v1/PROJECT/ENDPOINT of an OpenAI-style one (--api-mode openai, or none)"
        )
    if found["family"] == "nlp":
        generic = str(target).replace("/predict/nlp", "/predict/generic", 1)
        raise ConfigError(
            f"--host {target} is of the older nlp family, which is not spoken here: give {generic}"
        )
    shown = "v2" if found["v2"] else "v1"
    if mode != shown:
        raise ConfigError(
            f"--host {target} is a generic {shown} endpoint, not for --api-mode {mode}: "
            f"use --api-mode {shown}, or leave it out"
        )
    return found["project"], found["endpoint"], dataclasses.replace(target, prefix=found["base"])


def expert_of(model: str | None) -> str | None:
    """The x of `COE/x` or `Bundle/x`; None for any other name."""
    family, slash, expert = (model or "").partition("/")
    return expert if slash and family.lower() in _BUNDLES else None


def _conversation(turns: tuple[Turn, ...]) -> str:
    """JSON within JSON. The id is anything: each request brings its whole history."""
    messages = [
        {"message_id": number, "role": turn.role, "content": text_of(turn)}
        for number, turn in enumerate(turns)
    ]
    return dumped({"conversation_id": "item1", "messages": messages}).decode()


def _typed(params: Json) -> Json:
    """Each as `{"type": ..., "value": ...}`, the names being Python's and the values text; v1 has it so."""
    return {name: value if _is_typed(value) else _type(value) for name, value in params.items()}


def _is_typed(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"type", "value"}


def _type(value: object) -> Json:
    plain = dumped({"": value})[4:-1].decode() if isinstance(value, (dict, list)) else str(value)
    return {"type": type(value).__name__, "value": plain}


def _item(event: Json) -> Json:
    """What is said of the one prompt, wherever the flavour puts it; {} if nothing is."""
    result = mapping(event.get("result")) or event
    for name in ("responses", "predictions", "items"):
        found = result.get(name)
        if isinstance(found, list) and found:
            item = mapping(found[0])
            return mapping(item.get("value")) or item  # v2 wraps it
    return {}


def _failed(event: Json, said: Json) -> Delta:
    """The server's words; its own `status` object says them where there is no `error`."""
    states = (mapping(mapping(place).get("status")) for place in (event, event.get("result")))
    words = (event.get("error"), said.get("error"), *(state.get("message") for state in states))
    error = next((value for value in words if value), event)
    codes = {str(mapping(error).get("code")), str(event.get("status_code"))}
    overload = not codes.isdisjoint(_OVERLOAD)
    return Delta(
        error=error_text(error), error_class=ErrorClass.OVERLOAD if overload else ErrorClass.STREAM_ERROR
    )
