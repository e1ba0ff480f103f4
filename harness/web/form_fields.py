"""Which of our options are in Locust's start form, in which groups, and what their fields hold.

The table (`harness.option_table`) says which. Left out is what could hold a secret, what writes a file where it is told or
starts a command, and whom this process trusts: whoever sees the page shall not decide that for whoever started the process.
A file's name is no value for a page either, since what the file says would be sent to any server that the page names
(`harness.web.form_values`); a file that the command line names can be put aside, and taken again.

Values in, values out.
"""

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness import texts
from harness.backends import BACKENDS
from harness.hiding import Hider
from harness.option_table import FLAGS, OPTIONS, REPEATABLE

__all__ = ["DEFAULT", "FILES", "GROUPS", "NONE", "WIDE", "Field", "fields", "shown", "title"]

NONE: Final = "none"  # of a file
DEFAULT: Final = "default"  # of a choice that has no word for it
FILES: Final = ("dataset", "template", "lengths")
_OF_DATASETS: Final = ("dataset-order", "bust-cache")

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Server and model": ("model", "api-mode", "tokenizer", "stream", "extra-body", "backend-option"),
    "Load: users, or a sweep": (
        *("levels", "requests-per-level", "seconds-per-level", "repeats", "warmup", "cooldown"),
        *("search", "refill", "stop-when-saturated"),
    ),
    "Load: open loop": (
        *("arrivals", "rates", "max-concurrency", "speed-up"),
    ),
    "Prompts and answers": (
        *("prompt-tokens", "output-tokens", "prompt-levels", "output-levels", "text", "exact-output"),
        *("shared-prefix", "cache-salt", "prompt-ids", "seed", "mix", "dataset", "dataset-order", "bust-cache"),
        *("template", "lengths"),
    ),
    "Chats": ("turns", "turn-tokens", "think-time"),
    "Service levels": ("slo",),
    "Limits and guards": (
        *("max-requests", "max-time", "max-tokens", "max-error-rate", "max-cost", "price-in", "price-out"),
        *("retry-after", "connect-timeout", "first-token-timeout", "idle-timeout", "total-timeout"),
    ),
    "Measurement": (
        *("preflight", "ready-timeout", "server-metrics", "drop-answers-under", "probe-every", "probe-tokens"),
    ),
    "Name and labels": ("run-name", "label", "export"),
}  # fmt: skip
WIDE: Final = ("extra-body", "backend-option", "mix", "slo", "label", "search", "arrivals")  # both columns

_AUTO: Final = ("auto", "yes", "no")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "stream": _AUTO,
    "exact-output": _AUTO,
    "text": tuple(texts.TEXTS),
    "refill": ("steady", "waves"),
    "cache-salt": ("off", "run", "request"),
    "dataset-order": ("file", "shuffled"),
    "bust-cache": ("no", "yes"),
    "retry-after": ("yes", "no"),
    "preflight": ("yes", "no"),
    "server-metrics": ("auto", "no"),
}
_HELP: Final[Mapping[str, str]] = {  # where the table's words are of the command line
    "levels": "Sweep over these numbers of users, e.g. 1,2,4,8, instead of the one number above",
    "arrivals": "Requests arrive whether or not others are done, so many a second: constant:10, poisson:10, gamma:10,0.5, ramp:1,20,60s, steps:5@30s,10@30s",
    "rates": "Sweep over these rates of arrivals, e.g. 1,2,4; Arrivals then names the process alone (poisson)",
    "search": "Find the highest load that meets the service levels, in few steps: concurrency:1-256, rate:1-100 or rate:1-100,2%",
    "prompt-levels": "Sweep over these prompt sizes, e.g. 128,1024,8192, with so many users as above or with Arrivals",
    "output-levels": "Sweep over these output sizes, e.g. 16,128,1024, with so many users as above or with Arrivals",
    "tokenizer": "Sizes prompts: a hub id like org/model. Default: the server's own, if it has one",
    "max-cost": "End the run at this cost; needs both prices",
    "dataset": "Prompts from the file that this process was started with, or none",
    "template": "Text around each prompt, from the file that this process was started with, or none",
    "lengths": "Lengths that belong together, from the file that this process was started with, or none",
}
_REPEATABLE: Final = re.compile(r" ?\(repeatable[^)]*\)")
_FILES_OF: Final = re.compile(r" or file:lengths\.csv")
_TABLE: Final = {name: (default, in_form, help_text) for name, default, in_form, help_text in OPTIONS}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form. `value` is what it holds when the page is opened."""

    name: str  # as the parser has it
    group: str
    help: str
    value: str | bool
    choices: tuple[str, ...] = ()
    is_wide: bool = False

    def told(self) -> dict[str, Any]:
        """As Locust's page wants it."""
        return {
            "default_value": self.value,
            "is_secret": False,
            "is_required": False,
            "help_text": self.help,
            "is_multiple": False,
            "choices": list(self.choices) or None,
        }


def fields(
    now: Namespace, started: Mapping[str, Any], backends: Iterable[str], hider: Hider
) -> Iterator[Field]:
    """The form's fields, in order.

    Args:
        now: the options as they are.
        started: as they were when the process was started.
        backends: of the locustfile's users.
        hider: knows what must not be shown; an option that holds such a thing has no field, and keeps its value.
    """
    modes = _modes(backends)
    for group, names in GROUPS.items():
        for option in names:
            name = option.replace("-", "_")
            value = getattr(now, name, None)
            if not _is_there(option, started) or (value and hider.option(name, value) != value):
                continue
            choices = _CHOICES.get(option, ())
            if option == "api-mode":
                choices = (DEFAULT, *modes)
            elif option in FILES:
                choices = (str(started[name]), NONE)
            text = shown(option, value)
            if choices and text not in choices:
                choices = (*choices, str(text))
            yield Field(name, group, _help(option), text, choices, option in WIDE)


def shown(option: str, value: object) -> str | bool:
    """What the field of an option holds for a value of the parser's."""
    if option in FLAGS:
        return bool(value)
    if option in REPEATABLE:
        return "; ".join(map(str, value)) if isinstance(value, list) else str(value or "")
    text = str(value if value is not None else "").strip() or _TABLE[option][0]
    if option in FILES:
        return text or NONE
    if option == "api-mode":
        return text or DEFAULT
    return text.lower() if text.lower() in _CHOICES.get(option, ()) else text


def title(name: str) -> str:
    """`Prompt tokens` for `prompt_tokens`."""
    words = name.replace("_", " ")
    return {"api mode": "API mode", "slo": "SLO"}.get(words, words[:1].upper() + words[1:])


def _is_there(option: str, started: Mapping[str, Any]) -> bool:
    if option in FILES:
        return bool(str(started.get(option) or "").strip())
    if option in _OF_DATASETS:
        return bool(str(started.get("dataset") or "").strip() or started.get("mix"))
    return _TABLE[option][1]


def _modes(backends: Iterable[str]) -> list[str]:
    """Those that any of these has, each once."""
    return list(dict.fromkeys(mode.mode for name in backends for mode in BACKENDS.get(name, ())))


def _help(option: str) -> str:
    text = _HELP.get(option) or _FILES_OF.sub("", _TABLE[option][2])
    if option not in REPEATABLE:
        return text
    return _REPEATABLE.sub("", text) + "; several with ; between"
