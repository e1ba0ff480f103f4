"""What the server says of itself before load: is it there, which model, what can it do.

Only reads: no token is generated. A server that lacks a route is no error; what could not be learnt is
said in `Facts.notes` and load goes ahead.
"""

import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, RemoteDisconnected
from typing import Any
from urllib.parse import urljoin

import requests

from harness.backends.base import Backend, Json, body_error, count, mapping, printable, text
from harness.control import cause
from harness.errors import ConfigError
from harness.target import Target

LOADING_DEADLINE_S = 120.0
_TIMEOUT_S = 10.0
_RETRY_S = 0.5
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
    slots: int | None = None
    context: int | None = None
    notes: tuple[str, ...] = ()

    def stored(self) -> Json:
        """For `run.json`."""
        return {
            "model": self.model,
            "server": self.server,
            "forces_length": self.forces_length,
            "slots": self.slots,
            "context": self.context,
            "notes": list(self.notes),
        }


def probe(
    backend: Backend,
    target: Target,
    *,
    model: str | None,
    asked: requests.Session,
    say: Callable[[str], None] = lambda _: None,
) -> Facts:
    """Ask the server what it is, through a `harness.control.session`.

    Raises:
        ConfigError: it cannot be reached, does not accept the key, or does not have the model.
    """
    _wait_until_loaded(asked, target, say)
    notes: list[str] = []
    models = _models(asked, target, notes)
    owners = {text(entry.get("owned_by")) for entry in models}
    server = next((_FORCES_LENGTH[owner] for owner in owners if owner in _FORCES_LENGTH), None)
    is_llama = backend.name == "llamacpp" or "llamacpp" in owners
    # llama.cpp takes any name for the one model it serves, but as a router it serves several.
    any_name = is_llama and len(models) <= 1
    chosen = _choose_model(model, [text(entry.get("id")) for entry in models], any_name=any_name)
    slots = context = None
    if is_llama:
        props = _get(asked, target, "/props", notes)
        slots = count(props.get("total_slots"))
        context = count(mapping(props.get("default_generation_settings")).get("n_ctx"))
    if context is None:  # vLLM's word for it
        context = next((count(m.get("max_model_len")) for m in models if m.get("id") == chosen), None)
    if chosen is None and not is_llama:
        why = f" ({notes[0]})" if notes else ""
        raise ConfigError(
            f"--model is missing and {target.url('/v1/models')} lists none{why}: give the model's id, "
            "and see that --host is the API's base URL"
        )
    has_tokenize = is_llama or bool(owners.intersection(_HAS_TOKENIZE))
    return Facts(chosen, server, is_llama or server is not None, has_tokenize, slots, context, tuple(notes))


def _wait_until_loaded(asked: requests.Session, target: Target, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + LOADING_DEADLINE_S
    announced = 0.0
    while True:
        answer = _ask(asked, target, "/health")
        if answer.status_code != 503:
            return
        if time.monotonic() > deadline:
            raise ConfigError(
                f"--host {target}: {target.url('/health')} still answers 503 after {LOADING_DEADLINE_S:.0f} s: "
                "wait until the server has loaded its model (--preflight no does not wait)"
            )
        if time.monotonic() - announced > 5:
            announced = time.monotonic()
            say(f"{target} is loading its model; waiting up to {deadline - announced:.0f} s")
        time.sleep(_RETRY_S)


def _ask(asked: requests.Session, target: Target, route: str) -> requests.Response:
    url = target.url(route)
    try:
        answer = asked.get(url, timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.exceptions.Timeout:
        raise ConfigError(
            f"--host {target}: no answer from {url} in {_TIMEOUT_S:g} s; is it up? (--preflight no does not ask)"
        ) from None
    except requests.exceptions.RequestException as error:
        raise ConfigError(f"--host {target} {_trouble(cause(error), target)}") from None
    if answer.status_code in (401, 403) and route != "/health":  # which some gateways keep to themselves
        raise ConfigError(f"{url} answered {answer.status_code} {_refusal(asked, answer)}")
    return answer


def _trouble(cause: BaseException, target: Target) -> str:
    """What went wrong, and what most likely mends it."""
    said = _one_line(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).lower()
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = _one_line(cause.verify_message)
        return f"has a certificate that is not accepted ({why}): give its authority's file with --ca-file"
    if isinstance(cause, ssl.SSLError):
        said = re.sub(r"^\[.*?\] | \(_ssl.*\)$", "", said)
        return f"does not speak TLS as it should ({said}): is it http:// rather than https://?"
    if isinstance(cause, RemoteDisconnected):
        said = "it hangs up without an answer"
    if isinstance(cause, BadStatusLine) and not target.tls:
        return f"does not speak HTTP ({said}): is the port right? is it https:// rather than http://?"
    if isinstance(cause, HTTPException):
        return f"gave a broken answer ({said}): is the port right?"
    return f"cannot be reached ({said}); is it up?"


def _refusal(asked: requests.Session, answer: requests.Response) -> str:
    key = str(asked.headers.get("Authorization", "")).removeprefix("Bearer ")
    said = _one_line(body_error(answer.content))
    said = f"({said.replace(key, '***') if key else said})"  # servers like to quote the key they refuse
    if key:
        return (
            f"{said}: the API key given is not the right one; see TOKENSWARM_API_KEY, TOKENSWARM_API_KEY_FILE"
        )
    return (
        f"{said}: put the API key into the environment variable TOKENSWARM_API_KEY, "
        "or its file's path into TOKENSWARM_API_KEY_FILE"
    )


def _get(asked: requests.Session, target: Target, route: str, notes: list[str]) -> dict[str, Any]:
    """The JSON object at a route; {} and a note if there is none."""
    answer = _ask(asked, target, route)
    if answer.is_redirect:  # requests of the load follow none
        where = _one_line(urljoin(answer.url, answer.headers["Location"]))
        fix = where.removesuffix(route) if where.endswith(route) else "the API's base URL"
        raise ConfigError(f"{answer.url} sends us on to {where}, and load follows nobody: give --host {fix}")
    try:
        if answer.status_code == 200:
            return mapping(answer.json())
    except ValueError:
        notes.append(f"GET {route}: not JSON")
    else:
        notes.append(f"GET {route}: {answer.status_code}")
    return {}


def _models(asked: requests.Session, target: Target, notes: list[str]) -> list[Json]:
    listed = _get(asked, target, "/v1/models", notes).get("data")
    return (
        [entry for entry in map(mapping, listed) if text(entry.get("id"))] if isinstance(listed, list) else []
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


def _one_line(said: str) -> str:
    """A foreign text as a terminal may have it."""
    return printable(said)[:200]
