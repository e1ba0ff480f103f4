"""What the server says of itself before load: is it there, which model, what can it do.

Only reads: no token is generated (`harness.trial` sends the one request that does). Which routes there are
is the backend's to say. A server that lacks one is no error; what could not be learnt is said in
`Facts.notes` and load goes ahead.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from harness.backends.base import Backend, Learnt
from harness.backends.fields import Json, count, text
from harness.backends.llamacpp import learn_props
from harness.errors import ConfigError
from harness.questions import Questions, Unreachable
from harness.target import Target

LOADING_DEADLINE_S = 120.0
_RETRY_S = 0.5
_TELL_EVERY_S = 5.0
# What these servers put into `owned_by` of their model list; all of them know `ignore_eos`.
_HAS_TOKENIZE = ("llamacpp", "tokenswarm")
_FORCES_LENGTH = {
    "llamacpp": "llama.cpp",
    "vllm": "vLLM",
    "sglang": "SGLang",
    "tokenswarm": "tokenswarm simulate",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was learnt; None where the server does not say."""

    model: str | None
    server: str | None
    forces_length: bool
    has_tokenize: bool  # llama.cpp's /tokenize, which counts as the server will
    version: str | None = None
    slots: int | None = None
    context: int | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def stored(self) -> Json:
        """For `run.json`."""
        return {
            "model": self.model,
            "server": self.server,
            "version": self.version,
            "forces_length": self.forces_length,
            "slots": self.slots,
            "context": self.context,
            "limits": dict(self.limits),
            "notes": list(self.notes),
        }


def ask_server(
    backend: Backend,
    target: Target,
    *,
    model: str | None,
    asked: requests.Session,
    ready_timeout_s: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Facts:
    """Ask the server what it is, through a `harness.control.session`.

    `ready_timeout_s`: how long a server may be loading or not up; None: loading only, for `LOADING_DEADLINE_S`.

    Raises:
        ConfigError: it cannot be reached, does not accept the key, or does not have the model.
    """
    questions = Questions(asked, target, backend)
    _wait_until_ready(questions, ready_timeout_s, say)
    models = backend.listed(questions.get(backend.models)) if backend.models else []
    owners = {text(entry.get("owned_by")) for entry in models}
    server = next((_FORCES_LENGTH[owner] for owner in owners if owner in _FORCES_LENGTH), None)
    is_llama = backend.name == "llamacpp" or "llamacpp" in owners
    # llama.cpp takes any name for the one model it serves, but as a router it serves several.
    any_name = (is_llama or backend.any_model) and len(models) <= 1
    chosen = _choose_model(model, [text(entry.get("id")) for entry in models], any_name=any_name)
    learnt = _learn(questions)
    if is_llama and not backend.facts:
        learnt = learn_props(questions.get("/props"))
    if any_name:
        _note_other_name(questions, model, models)
    if chosen is None and backend.needs_model and not is_llama:
        raise ConfigError(_no_model(backend, target, questions.notes))
    forces = backend.forces_length
    return Facts(
        chosen or learnt.model,
        server,
        forces_length=is_llama or server is not None if forces is None else forces,
        has_tokenize=is_llama or bool(owners.intersection(_HAS_TOKENIZE)),
        version=learnt.version,
        slots=learnt.slots,
        context=_context(models, chosen) if learnt.context is None else learnt.context,
        limits=learnt.limits,
        notes=tuple(questions.notes),
    )


def _note_other_name(questions: Questions, model: str | None, models: list[Json]) -> None:
    """A name nobody knows is answered to all the same, and stands in the results: let it be said."""
    listed = [text(entry.get("id")) for entry in models]
    if model is not None and listed and model not in listed:
        questions.notes.append(
            f"--model {model!r} is not what it lists ({_some(listed)}); it answers under any name"
        )


def _context(models: list[Json], chosen: str | None) -> int | None:
    """What the list of models says of the chosen one: vLLM's word for it, and some clouds'."""
    entry = next((entry for entry in models if entry.get("id") == chosen), {})
    names = ("max_model_len", "context_length", "context_window")
    return next((found for name in names if (found := count(entry.get(name)))), None)


def _learn(questions: Questions) -> Learnt:
    """All that the backend's routes say; the last to say a thing is believed."""
    learnt = Learnt()
    for route in questions.backend.facts:
        said = questions.backend.learn(route, questions.get(route))
        known: dict[str, Any] = {name: value for name, value in said._asdict().items() if value is not None}
        learnt = learnt._replace(**known | {"limits": {**learnt.limits, **said.limits}})
    return learnt


def _wait_until_ready(
    questions: Questions, ready_timeout_s: float | None, say: Callable[[str], None]
) -> None:
    """Wait while the health route says that the model is loading, or, if asked to, that nobody is there."""
    backend, target = questions.backend, questions.target
    # Without a health route, whether anybody is there is seen at another; failing that, at the trial request.
    route = backend.health or backend.models or next(iter(backend.facts), None)
    if route is None:
        return
    patience_s = LOADING_DEADLINE_S if ready_timeout_s is None else ready_timeout_s
    deadline = time.monotonic() + patience_s
    told = 0.0
    while True:
        try:
            answer = questions.ask(route, public=True)
            if not backend.is_loading(answer.status, answer.json):
                return
            doing, late = "is loading its model", f"{target.url(route)} still says that it is loading"
        except Unreachable as error:
            if ready_timeout_s is None or time.monotonic() > deadline:
                raise
            doing, late = "is not up yet", str(error)
        if time.monotonic() > deadline:
            raise ConfigError(
                f"--host {target}: {late} after {patience_s:g} s: wait until the server has loaded its model, "
                "or raise --ready-timeout (--preflight no does not wait)"
            )
        if time.monotonic() - told > _TELL_EVERY_S:
            told = time.monotonic()
            say(f"{target} {doing}; waiting up to {deadline - told:.0f} s")
        time.sleep(_RETRY_S)


def _no_model(backend: Backend, target: Target, notes: Sequence[str]) -> str:
    if backend.models is None:
        return f"--model is missing, and backend {backend.name!r} has no list of models: give its id"
    why = f" ({notes[0]})" if notes else ""
    return (
        f"--model is missing and {target.url(backend.models)} lists none{why}: give the model's id, "
        "and see that --host is the API's base URL"
    )


def _choose_model(wanted: str | None, listed: list[str], *, any_name: bool) -> str | None:
    if wanted is not None:
        if listed and wanted not in listed and not any_name:
            raise ConfigError(
                f"--model {wanted!r} is not served here; the server lists {_some(listed)} "
                "(--preflight no sends it all the same)"
            )
        return wanted
    if len(listed) > 1 and not any_name:
        raise ConfigError(
            f"--model is missing and the server has {len(listed)}: choose one of {_some(listed)}"
        )
    return listed[0] if listed else None


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:8]) + (
        f" and {len(names) - 8} more" if len(names) > 8 else ""
    )
