"""The Locust command of a run that is to be made again: from what run.json has of its options, on this machine.

Options are those that held, wherever they had come from (command line, variables, a configuration file, the web UI's form),
and are all given on the command line, so that no variable of this shell has a say. Words that are not ours nor Locust's, a
locustfile's own options, are taken from the command line as it was run.

What says where results and reports go, or how they look, is left out: nothing of the first run is overwritten.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import ConfigError
from harness.hiding import HIDDEN
from harness.invocation import LOCUSTS
from harness.option_table import FLAGS, OPTIONS, REPEATABLE, variable

__all__ = ["Command", "build", "environment"]

_OWN: Final = ("results-dir", "export", "junit")  # given anew, or files of the run before
_VALUES: Final = (  # of Locust's options that are not given again: how many words follow
    *(
        "--locustfile",
        "--config",
        "--web-host",
        "--web-host-display-name",
        "--web-port",
        "--autoquit",
        "--tls-cert",
    ),
    *(
        "--tls-key",
        "--build-path",
        "--web-base-path",
        "--csv",
        "--html",
        "--json-file",
        "--logfile",
        "--loglevel",
    ),
    *(
        "--profile",
        "--master-host",
        "--master-port",
        "--master-bind-host",
        "--master-bind-port",
        "--processes",
    ),
    *("--expect-workers", "--expect-workers-max-wait", "--host", "--users", "--spawn-rate", "--run-time"),
    *("--stop-timeout", "--exit-code-on-error", "--config-users"),
)
_FLAGS: Final = (
    *(
        "--headless",
        "--headful",
        "--autostart",
        "--web-auth",
        "--web-login",
        "--class-picker",
        "--csv-full-history",
    ),
    *(
        "--print-stats",
        "--only-summary",
        "--reset-stats",
        "--json",
        "--skip-log-setup",
        "--equal-weights",
        "--otel",
    ),
    *("--master", "--enable-rebalancing", "--show-task-ratio", "--show-task-ratio-json"),
)
_SHORT: Final = {"--locustfile": "-f", "--host": "-H", "--users": "-u", "--spawn-rate": "-r", "--run-time": "-t",
                 "--stop-timeout": "-s", "--loglevel": "-L", "--web-port": "-P"}  # fmt: skip
_MANY: Final = {"--tags": "-T", "--exclude-tags": "-E"}
_OF_A_MACHINE: Final = (
    *("ALLOWED_HOSTS", "API_KEY", "API_KEY_FILE", "API_KEY_ORIGIN", "CACHE", "INFLUXD", "REQUIRE_REAL"),
)
_FILES: Final = ("dataset", "lengths", "template")  # whose whole value is a file's path
_TOKEN: Final = re.compile(r"[^\s=:,;'\"]+")


@dataclass(slots=True)
class Command:
    """What to run, and what its user should know."""

    words: list[str]  # behind `locust`
    environ: dict[str, str]  # to be added
    notes: list[str] = field(default_factory=list)


def build(
    run: Mapping[str, Any],
    locustfiles: Sequence[Path],
    data: Mapping[str, Path],
    *,
    host: str | None,
    results_dir: Path,
    serve: bool = True,
    extra: Sequence[str] = (),
) -> Command:
    """The command of a run.

    Args:
        run: its run.json.
        locustfiles: where they lie now.
        data: where each file that an option names lies now, by what it was given as.
        host: another address; None: the run's own.
        results_dir: where the new run's directory is to be made.
        serve: whether a server that the run started is to be started again.
        extra: words to add, such as what was hidden.

    Raises:
        ConfigError: run.json does not say enough, or a value is hidden that the requests need.
    """
    settings, told = _object(run, "settings"), _object(run, "invocation")
    options = dict(_object(told, "options"))
    if not serve:
        options.pop("serve", None)
    options |= _pinned(settings, options)
    made = Command(_fixed(settings, options, locustfiles, host, results_dir), {})
    for name, *_ in OPTIONS:
        made.words += _ours(name, options.get(name.replace("-", "_")), data, made.notes, extra)
    made.words += _locusts(options, made.notes)
    own = _without_hidden(_left_over(told.get("argv")), extra)
    made.words += own
    made.words += [word for word in _texts(options.get("user_classes")) if word not in own]
    made.words += extra
    made.environ = _variables(_object(told, "environment"))
    if not (settings.get("levels") or options.keys() & _ENDS):
        made.notes.append("the run had no end of its own: Ctrl-C ends this one, too")
    return made


_ENDS: Final = {"run_time", "rates", "prompt_levels", "output_levels", "search", "arrivals"} | {
    *("max_requests", "max_time", "max_tokens", "max_cost")
}


def environment(environ: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """This shell's variables without those that are options, and with the run's."""
    ours = {variable(name) for name, *_ in OPTIONS}
    kept = {
        name: value for name, value in environ.items() if name not in ours and not name.startswith("LOCUST_")
    }
    return kept | dict(added)


def _fixed(
    settings: Mapping[str, Any],
    options: dict[str, Any],
    locustfiles: Sequence[Path],
    host: str | None,
    results: Path,
) -> list[str]:
    if not locustfiles:
        raise ConfigError(
            "no locustfile is in it (`tokenswarm bundle` said so): this run cannot be made again"
        )
    address = host or options.get("host") or settings.get("host")
    if not isinstance(address, str) or HIDDEN in address:
        raise ConfigError("the server's address had a login in it, which is hidden: give it with --host")
    files = ",".join(map(str, locustfiles))
    return ["--locustfile", files, "--headless", f"--host={address}", f"--results-dir={results}"]


def _pinned(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What a default or the server decided, and is in every body: the seed, and the model where all have one."""
    found: dict[str, Any] = {}
    if isinstance(settings.get("seed"), int):
        found["seed"] = str(settings["seed"])
    users = settings.get("users")
    servers = (
        [_object(user, "server") for user in users.values() if isinstance(user, dict)]
        if isinstance(users, dict)
        else []
    )
    models = {str(server.get("model")) for server in servers if server.get("model")}
    if "model" not in options and len(models) == 1 and all(server.get("model") for server in servers):
        found["model"] = models.pop()
    return found


def _ours(
    name: str,
    value: Any,  # noqa: ANN401  a JSON edge
    data: Mapping[str, Path],
    notes: list[str],
    extra: Sequence[str],
) -> Iterator[str]:
    if not value or name in _OWN:
        return
    if name in FLAGS:
        yield f"--{name}"
        return
    for text in _texts(value) if name in REPEATABLE else [str(value)]:
        if HIDDEN in text:
            again = any(word.split("=")[0] == f"--{name}" for word in extra)
            if name != "header" and not again:
                raise ConfigError(f"--{name}: its value was hidden; give it with --option {name}=VALUE")
            if not again:
                notes.append(f"--header {text}: its value was hidden; --option header='Name: value' sends it")
            continue
        yield f"--{name}={_placed(name, text, data)}"


def _placed(name: str, text: str, data: Mapping[str, Path]) -> str:
    """An option's text with the files it names where they lie now."""
    by_path = {Path(given).expanduser(): str(path) for given, path in data.items()}
    for prefix in ("", "trace:", "file:") if name in _FILES else ("trace:", "file:"):
        if text.startswith(prefix) and (found := by_path.get(Path(text.removeprefix(prefix)).expanduser())):
            return prefix + found
    if name != "mix" and not name.endswith("levels"):
        return text
    return _TOKEN.sub(lambda token: by_path.get(Path(token[0]).expanduser(), token[0]), text)


def _locusts(options: Mapping[str, Any], notes: list[str]) -> Iterator[str]:
    local = "processes" in options
    for name, flag in LOCUSTS.items():
        value = options.get(name)
        if not flag or value is None or name == "host" or (local and name in {"master", "expect_workers"}):
            continue
        if name in {"tags", "exclude_tags", "config_users"}:
            yield from (flag, *_texts(value))
        elif value is True:
            yield flag
        else:
            yield f"{flag}={value}s" if name == "run_time" else f"{flag}={value}"
    if options.get("master") and not local:
        notes.append(
            "the run had workers of its own: start as many with the locustfile of the bundle and --worker"
        )


def _left_over(argv: Any) -> list[str]:  # noqa: ANN401  a JSON edge
    """The words of a command line that are neither ours nor Locust's: a locustfile's own options, and user classes."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for name in dict.fromkeys((*_VALUES, *(f"--{name}" for name, *_ in OPTIONS if name not in FLAGS))):
        short = [_SHORT[name]] if name in _SHORT else []
        parser.add_argument(*short, name, action="append", nargs="*" if name == "--config-users" else None)
    for name in (*_FLAGS, *(f"--{name}" for name in FLAGS)):
        parser.add_argument(name, action="store_true")
    for name, letter in _MANY.items():
        parser.add_argument(letter, name, nargs="*")
    try:
        return parser.parse_known_args(_texts(argv))[1]
    except (argparse.ArgumentError, SystemExit) as error:
        raise ConfigError(f"run.json: its command line cannot be read ({error})") from None


def _without_hidden(words: Sequence[str], extra: Sequence[str]) -> list[str]:
    """A locustfile's own options less those whose value was hidden and is given again.

    Raises:
        ConfigError: one is not given again.
    """
    again = {word.partition("=")[0] for word in extra}
    found: list[str] = []
    for word in words:
        if HIDDEN not in word:
            found.append(word)
            continue
        name = word.partition("=")[0] if word.startswith("-") else (found.pop() if found else word)
        if name not in again:
            raise ConfigError(f"{name}: its value was hidden; give it with --option {name.lstrip('-')}=VALUE")
    return found


def _variables(told: Mapping[str, Any]) -> dict[str, str]:
    """Variables that are no options, and say nothing of a machine nor of what may be sent where: that is this one's to say."""
    skipped = {variable(name) for name, *_ in OPTIONS} | {f"TOKENSWARM_{name}" for name in _OF_A_MACHINE}
    return {
        name: value
        for name, value in told.items()
        if name.startswith("TOKENSWARM_")
        and name not in skipped
        and isinstance(value, str)
        and HIDDEN not in value
    }


def _texts(value: Any) -> list[str]:  # noqa: ANN401  a JSON edge
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise ConfigError(
            f"run.json: has no {name!r}; the run was made by an older version, and cannot be made again"
        )
    return found
