"""The options we add to Locust's, and how the settings are read from them: all at once, before any load.

Every option is an environment variable as well, `TOKENSWARM_<NAME>`. Secrets are not options (`harness.api_key`).
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness import (
    content_options,
    distributions,
    export,
    invocation,
    load_options,
    option_values,
    proxy,
    slo,
    target,
    wording,
)
from harness.distributions import Distribution
from harness.errors import ConfigError
from harness.exchange import Timeouts
from harness.option_table import FLAGS, OPTIONS, REPEATABLE, variable
from harness.settings import TIMEOUTS, Settings
from harness.target import Target

T = TypeVar("T")


_OTHER_VARIABLES = (  # BACKEND is locustfiles/generic.py's
    *("API_KEY", "API_KEY_FILE", "API_KEY_ORIGIN", "ALLOWED_HOSTS", "BACKEND", "CACHE", "INFLUXD"),
    *("REQUIRE_REAL", "WEB_USER", "WEB_PASSWORD_HASH", "WEB_PASSWORD_HASH_FILE", "WEB_ORIGINS"),
)
_DEFAULTS: Mapping[str, str] = {name.replace("-", "_"): default for name, default, _, _ in OPTIONS}


def add_options(parser: ArgumentParser) -> None:
    """Add our options to Locust's parser (event `init_command_line_parser`). Values stay text; `read` checks them."""
    for name, default, in_form, help_text in OPTIONS:
        extra: dict[str, Any] = {"action": "append"} if name in REPEATABLE else {"default": default}
        if "=" not in help_text and default:
            help_text = f"{help_text}. Default: {default}"  # noqa: PLW2901  # one text, completed
        if name in FLAGS:
            extra = {"action": "store_true"}
        parser.add_argument(
            f"--{name}",
            help=help_text.replace("%", "%%"),
            env_var=None if _is_empty_flag(name) else variable(name),
            include_in_web_ui=in_form,
            **extra,
        )


def _is_empty_flag(name: str) -> bool:
    """An empty variable is the default with every option; the parser would refuse it for a flag."""
    return name in FLAGS and os.environ.get(variable(name), "x").strip() == ""


_AUTO: Mapping[str, bool | None] = {"auto": None, "yes": True, "no": False}
_AUTO_NO: Mapping[str, bool | None] = {"auto": None, "no": False}
_YES_NO: Mapping[str, bool | None] = {"yes": True, "no": False}
_NO_QUOTA: tuple[int | None, int | None] = (None, None)


class _Reader:
    """Reads the options one by one and collects what is wrong with them. An empty value is the default."""

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self.problems: list[str] = []

    def check(self, read_one: Callable[[], T], fallback: T) -> T:
        try:
            return read_one()
        except ConfigError as error:
            self.problems.append(str(error))
            return fallback

    def text(self, name: str) -> str:
        return str(getattr(self._options, name) or "").strip() or _DEFAULTS[name]

    def whole(self, name: str, low: int, high: int) -> int:
        return self.check(lambda: option_values.whole(self.text(name), name, low, high), low)

    def limit(self, name: str) -> int | None:
        value = self.text(name)
        return self.check(lambda: option_values.whole(value, name, 1, 10_000_000), None) if value else None

    def seconds(self, name: str) -> float:
        return self.check(lambda: option_values.seconds(self.text(name), name), 1.0)

    def sizes(self, name: str) -> Distribution | None:
        value, option = self.text(name), "--" + name.replace("_", "-")
        return self.check(lambda: distributions.parse(value, option), None) if value else None

    def choice(self, name: str, choices: Mapping[str, bool | None]) -> bool | None:
        return self.check(lambda: option_values.choice(self.text(name), name, choices), None)


def read(options: Namespace, default_host: str | None) -> Settings:
    """The settings that parsed options make.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    reader = _Reader(options)
    text, check = reader.text, reader.check
    quota = check(lambda: option_values.quota(text("requests_per_level")), _NO_QUOTA)
    place = check(lambda: target.parse(options.host or default_host), Target(tls=False, host="", port=0))
    settings = Settings(
        target=place,
        proxy=check(lambda: proxy.for_target(place, os.environ) if place.host else None, None),
        api_mode=text("api_mode") or None,
        model=text("model") or None,
        tokenizer=text("tokenizer") or None,
        prompt_sizes=reader.sizes("prompt_tokens"),
        output_sizes=reader.sizes("output_tokens"),
        levels=check(lambda: option_values.levels(text("levels")), ()),
        requests_per_level=quota[0],
        requests_per_user=quota[1],
        repeats=reader.whole("repeats", 1, 10_000),
        warmup=0 if text("warmup")[-1:].isalpha() else reader.whole("warmup", 0, 10_000),
        load=load_options.read(options, text, check),
        seed=reader.whole("seed", 0, 2**63 - 1),
        run_name=check(lambda: option_values.name(text("run_name")), None),
        labels=check(lambda: option_values.pairs(options.label or [], "--label"), {}),
        results_dir=Path(text("results_dir")),
        timeouts=Timeouts(*map(reader.seconds, TIMEOUTS)),
        exact_output=reader.choice("exact_output", _AUTO),
        extra_body=check(lambda: option_values.json_object(text("extra_body")), {}),
        preflight=reader.choice("preflight", _YES_NO) is not False,
        ca_file=check(lambda: option_values.ca_file(text("ca_file")), None),
        insecure=options.insecure,
        require_valid=options.require_valid,
        wording=wording.read(options, text, check),
        content=content_options.read(options, text, check),
        drop_answers_under=reader.limit("drop_answers_under"),
        retry_after=reader.choice("retry_after", _YES_NO) is not False,
        ready_timeout_s=reader.seconds("ready_timeout") if text("ready_timeout") else None,
        server_metrics=reader.choice("server_metrics", _AUTO_NO) is not False,
        serve=text("serve") or None,
        slos=check(lambda: slo.read(options.slo or []), ()),
        outlets=export.read(text, check),
        **_locusts(options),
        given=invocation.given(options),
    )
    if problems := [*reader.problems, *_against(settings, options, text)]:
        raise ConfigError("\n".join(problems))
    return settings


def _locusts(options: Namespace) -> dict[str, Any]:
    """Locust's own -u, -r and -t."""
    return {"users": options.num_users, "spawn_rate": options.spawn_rate, "run_time_s": options.run_time}


def _against(settings: Settings, options: Namespace, text: Callable[[str], str]) -> Iterator[str]:
    """What does not go together, a line each."""
    yield from _clashes(options) if text("levels") else _homeless(settings)
    yield from load_options.problems(settings.load, options, text("levels"), text("requests_per_level"))
    yield from content_options.problems(settings.content, options)
    yield from _starved(settings)
    yield from _undecided(options)
    yield from _nothing(options)


def _starved(settings: Settings) -> list[str]:
    """Levels that could never be reached."""
    asked, highest = settings.requests_per_level, max(settings.levels, default=0)
    if asked is None or asked >= highest:
        return []
    return [
        f"--requests-per-level {asked} cannot keep {highest} users busy: give at least {highest}, better 5 times it"
    ]


def _undecided(options: Namespace) -> list[str]:
    if not (options.insecure and (options.ca_file or "").strip()):
        return []
    return ["--insecure and --ca-file exclude each other: --insecure verifies nothing; drop one of them"]


def _nothing(options: Namespace) -> Iterator[str]:
    """Locust takes 0 users for a test in which nothing happens, and 0 seconds for one without an end."""
    if options.num_users == 0:
        yield "-u 0: nothing would be sent; give at least one user, e.g. -u 1"
    if options.run_time == 0:
        yield "-t 0: nothing would be sent; give a time, e.g. -t 60s, or leave it out for a run without an end"


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not: a typing error would otherwise go unnoticed."""
    known = {variable(name) for name, *_ in OPTIONS} | {f"TOKENSWARM_{name}" for name in _OTHER_VARIABLES}
    return sorted(name for name in environ if name.startswith("TOKENSWARM_") and name not in known)


def _clashes(options: Namespace) -> list[str]:
    given = {"-u": options.num_users, "-r": options.spawn_rate, "-t": options.run_time}
    return [
        f"{flag} and --levels exclude each other: --levels sets the users, --requests-per-level the end; drop {flag}"
        for flag, value in given.items()
        if value
    ]


def _homeless(settings: Settings) -> list[str]:
    """What is only of use with levels, and there are none."""
    if settings.load.has_levels:
        return []
    given = {
        "requests-per-level": settings.requests_per_level or settings.requests_per_user,
        "repeats": settings.repeats - 1,
    }
    return [f"--{name} needs --levels, e.g. --levels 1,2,4" for name, value in given.items() if value]
