"""The options we add to Locust's, and the settings they make: checked all at once, before any load.

Every option can be set by an environment variable `TOKENSWARM_<NAME>`. Secrets are not options: an API
key comes from `TOKENSWARM_API_KEY`, from the file `TOKENSWARM_API_KEY_FILE` names, or, for OpenAI-style
backends, from `OPENAI_API_KEY`.
"""

import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from harness import distributions, target
from harness.distributions import Distribution
from harness.errors import ConfigError
from harness.exchange import Timeouts
from harness.target import Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """One run's settings, checked."""

    target: Target
    api_mode: str | None
    model: str | None
    tokenizer: str | None
    prompt_sizes: Distribution | None  # None: the user class's own
    output_sizes: Distribution | None
    levels: tuple[int, ...]  # empty: Locust's own -u
    requests_per_level: int | None
    repeats: int
    warmup: int  # requests per user at the start of each level
    seed: int
    run_name: str | None
    labels: Mapping[str, str]
    results_dir: Path
    timeouts: Timeouts
    exact_output: bool | None  # None: where the server is known to support it
    extra_body: Mapping[str, Any]
    preflight: bool

    def stored(self) -> dict[str, Any]:
        """The settings as `run.json` keeps them. There is no secret among them to leave out."""
        return {
            "host": str(self.target),
            "api_mode": self.api_mode,
            "model": self.model,
            "tokenizer": self.tokenizer,
            "prompt_tokens": _describe(self.prompt_sizes),
            "output_tokens": _describe(self.output_sizes),
            "levels": list(self.levels),
            "requests_per_level": self.requests_per_level,
            "repeats": self.repeats,
            "warmup": self.warmup,
            "seed": self.seed,
            "run_name": self.run_name,
            "labels": dict(self.labels),
            "connect_timeout_s": self.timeouts.connect_s,
            "first_token_timeout_s": self.timeouts.first_token_s,
            "idle_timeout_s": self.timeouts.idle_s,
            "total_timeout_s": self.timeouts.total_s,
            "exact_output": self.exact_output,
            "extra_body": dict(self.extra_body),
        }


# name, default, in the web form, help
_OPTIONS: tuple[tuple[str, str, bool, str], ...] = (
    ("model", "", True, "Model id to ask for. Default: the one the server offers"),
    ("api-mode", "", True, "Route of the backend: chat, completions or native. Default: the backend's first"),
    (
        "tokenizer",
        "",
        True,
        "Tokenizer that sizes prompts: a folder or a hub id. Default: the server's own, if it has one",
    ),
    (
        "prompt-tokens",
        "",
        True,
        "Prompt size: 550, normal:550,150, lognormal:550,300 or uniform:100,1000. Default: the user class's, else 550",
    ),
    ("output-tokens", "", True, "Output size, same forms. Default: the user class's, else 150"),
    ("levels", "", False, "Sweep over these numbers of users, e.g. 1,2,4,8 (instead of -u, -r and -t)"),
    ("requests-per-level", "", False, "Measured requests at each level. Default: 5 per user"),
    ("repeats", "1", False, "How often to go through all levels"),
    ("warmup", "0", True, "Requests per user at the start of each level that are sent but not measured"),
    ("seed", "1", True, "Seed of sizes and prompts: the same seed sends the same requests"),
    ("run-name", "", True, "A name for the run; part of its directory's name"),
    ("label", "", False, "k=v, kept with the results (repeatable)"),
    ("results-dir", "results", False, "Where run directories are made"),
    ("exact-output", "auto", True, "Make the server go on to the asked length (ignore_eos): auto, yes or no"),
    ("extra-body", "", True, 'JSON object laid over every request\'s body, e.g. {"temperature": 0.7}'),
    ("connect-timeout", "10", False, "Seconds to open a connection"),
    ("first-token-timeout", "300", False, "Seconds from sending a request to its first token"),
    ("idle-timeout", "60", False, "Seconds without a byte in mid-stream"),
    ("total-timeout", "900", False, "Seconds for a whole request"),
    ("preflight", "yes", False, "Ask the server for its models and limits before load: yes or no"),
)


def add_options(parser: ArgumentParser) -> None:
    """Add our options to Locust's parser (event `init_command_line_parser`). Values stay text; `read` checks them."""
    for name, default, in_form, help_text in _OPTIONS:
        extra: dict[str, Any] = {"action": "append"} if name == "label" else {"default": default}
        if "=" not in help_text and default:
            help_text = f"{help_text}. Default: {default}"  # noqa: PLW2901  # one text, completed
        parser.add_argument(
            f"--{name}",
            help=help_text.replace("%", "%%"),
            env_var="TOKENSWARM_" + name.upper().replace("-", "_"),
            include_in_web_ui=in_form,
            **extra,
        )


def read(options: Namespace, default_host: str | None) -> Settings:
    """The settings that parsed options make.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    problems: list[str] = []

    def check(read_one: Callable[[], T], fallback: T) -> T:
        try:
            return read_one()
        except ConfigError as error:
            problems.append(str(error))
            return fallback

    def text(name: str) -> str:
        return str(getattr(options, name) or "").strip()

    def whole(name: str, low: int, high: int) -> int:
        return check(lambda: _whole(text(name), name, low, high), low)

    def seconds(name: str) -> float:
        return check(lambda: _seconds(text(name), name), 1.0)

    def sizes(name: str) -> Distribution | None:
        value, option = text(name), "--" + name.replace("_", "-")
        return check(lambda: distributions.parse(value, option), None) if value else None

    none: tuple[int, ...] = ()
    levels = check(lambda: _levels(text("levels")), none)
    if levels:
        problems += _clashes(options)
    per_level = whole("requests_per_level", 1, 10_000_000) if text("requests_per_level") else None
    settings = Settings(
        target=check(lambda: target.parse(options.host or default_host), Target(tls=False, host="", port=0)),
        api_mode=text("api_mode") or None,
        model=text("model") or None,
        tokenizer=text("tokenizer") or None,
        prompt_sizes=sizes("prompt_tokens"),
        output_sizes=sizes("output_tokens"),
        levels=levels,
        requests_per_level=per_level,
        repeats=whole("repeats", 1, 10_000),
        warmup=whole("warmup", 0, 10_000),
        seed=whole("seed", 0, 2**63 - 1),
        run_name=check(lambda: _name(text("run_name")), None),
        labels=check(lambda: _labels(options.label or []), {}),
        results_dir=Path(text("results_dir") or "results"),
        timeouts=Timeouts(
            seconds("connect_timeout"),
            seconds("first_token_timeout"),
            seconds("idle_timeout"),
            seconds("total_timeout"),
        ),
        exact_output=check(lambda: _choice(text("exact_output"), "exact-output", _AUTO), None),
        extra_body=check(lambda: _json_object(text("extra_body")), {}),
        preflight=check(lambda: _choice(text("preflight"), "preflight", _YES_NO), None) is not False,
    )
    if not levels:
        problems += [
            f"--{name.replace('_', '-')} needs --levels, e.g. --levels 1,2,4"
            for name in ("requests_per_level", "repeats")
            if text(name) not in ("", "1")
        ]
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def read_secret(backend: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The API key for a backend, or None.

    Raises:
        ConfigError: the key's file cannot be read, or the key cannot stand in a header.
    """
    key, source = environ.get("TOKENSWARM_API_KEY", ""), "TOKENSWARM_API_KEY"
    if not key and (path := environ.get("TOKENSWARM_API_KEY_FILE")):
        source = f"TOKENSWARM_API_KEY_FILE ({path})"
        try:
            key = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{source} cannot be read: {getattr(error, 'strerror', None) or 'not text'}"
            ) from None
    if not key and backend == "openai":
        key, source = environ.get("OPENAI_API_KEY", ""), "OPENAI_API_KEY"
    key = key.strip()
    if not all(33 <= ord(character) < 127 for character in key):
        raise ConfigError(
            f"{source} holds a key with spaces, line breaks or characters that no header may carry"
        )
    return key or None


def _describe(sizes: Distribution | None) -> str | None:
    return None if sizes is None else sizes.describe()


_AUTO: Mapping[str, bool | None] = {"auto": None, "yes": True, "no": False}
_YES_NO: Mapping[str, bool | None] = {"yes": True, "no": False}


def _choice(value: str, name: str, choices: Mapping[str, bool | None]) -> bool | None:
    if value.lower() not in choices:
        raise ConfigError(f"--{name} {value!r}: use {' or '.join(choices)}")
    return choices[value.lower()]


def _whole(value: str, name: str, low: int, high: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= high):
        raise ConfigError(f"--{name.replace('_', '-')} {value!r}: give a whole number from {low} to {high}")
    return int(value)


def _seconds(value: str, name: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise ConfigError(
            f"--{name.replace('_', '-')} {value!r}: give seconds above 0 and up to 86400, e.g. 30"
        )
    return seconds


def _levels(value: str) -> tuple[int, ...]:
    if not value:
        return ()
    levels: list[int] = []
    for part in value.split(","):
        number = part.strip()
        if not (number.isascii() and number.isdigit() and len(number) < 7 and int(number) > 0):
            raise ConfigError(f"--levels {value!r}: {number!r} is not a number of users; write e.g. 1,2,4,8")
        if int(number) in levels:
            raise ConfigError(
                f"--levels {value!r}: {number} stands there twice; to repeat levels use --repeats"
            )
        levels.append(int(number))
    return tuple(levels)


def _clashes(options: Namespace) -> list[str]:
    given = {"-u": options.num_users, "-r": options.spawn_rate, "-t": options.run_time}
    return [
        f"{flag} and --levels exclude each other: --levels sets the users, --requests-per-level the end; drop {flag}"
        for flag, value in given.items()
        if value
    ]


def _name(value: str) -> str | None:
    if value and not (
        value.replace("-", "").replace("_", "").replace(".", "").isalnum() and len(value) <= 80
    ):
        raise ConfigError(f"--run-name {value!r}: use up to 80 letters, digits, dots, dashes and underscores")
    return value or None


def _labels(pairs: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--label {pair!r}: write key=value, e.g. --label gpu=a100")
        labels[key.strip()] = value.strip()
    return labels


def _json_object(value: str) -> dict[str, Any]:
    if not value:
        return {}
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ConfigError(
            f'--extra-body {value!r} is not JSON ({error}); write e.g. {{"temperature": 0.7}}'
        ) from None
    if not isinstance(body, dict):
        raise ConfigError(f'--extra-body {value!r} is not a JSON object; write e.g. {{"temperature": 0.7}}')
    return body
