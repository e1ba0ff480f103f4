"""How a run was started, for run.json: its command line, variables, locustfile and options as they held. No secret.

    argv          the words behind `locust`
    environment   TOKENSWARM_... and LOCUST_... variables that are no secrets, nor say who may use the web UI
    options       what all of these, a configuration file and the web UI's form came to: what differs from the defaults
    locustfiles   the files, with what they import from beside them: path, size, SHA-256

What is hidden reads `***` (`harness.hiding`). The working directory is not kept.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from harness.campaign.secrets import is_secret
from harness.hashing import fingerprint
from harness.hiding import Hider
from harness.option_table import OPTIONS

__all__ = ["LOCUSTS", "given", "stored"]

# Locust's own that say what is sent, by what the parser calls them.
LOCUSTS: Final[Mapping[str, str]] = {
    "host": "--host",
    "num_users": "--users",
    "spawn_rate": "--spawn-rate",
    "run_time": "--run-time",
    "stop_timeout": "--stop-timeout",
    "tags": "--tags",
    "exclude_tags": "--exclude-tags",
    "processes": "--processes",
    "master": "--master",
    "master_bind_host": "--master-bind-host",
    "master_bind_port": "--master-bind-port",
    "expect_workers": "--expect-workers",
    "expect_workers_max_wait": "--expect-workers-max-wait",
    "equal_weights": "--equal-weights",
    "config_users": "--config-users",
    "reset_stats": "--reset-stats",
    "exit_code_on_error": "--exit-code-on-error",
    "user_classes": "",  # words without an option
}
_DEFAULTS: Final[Mapping[str, Any]] = {
    **{name.replace("-", "_"): default for name, default, *_ in OPTIONS},
    "stop_timeout": 0,
    "master_bind_host": "*",
    "master_bind_port": 5557,
    "expect_workers": 1,
    "expect_workers_max_wait": 0,
    "exit_code_on_error": 1,
}
_NAMES: Final = frozenset(name for name, *_ in OPTIONS)
_LOCUSTFILE: Final = "locustfile"
_PREFIXES: Final = ("TOKENSWARM_", "LOCUST_")
_DOOR: Final = ("TOKENSWARM_WEB_", "TOKENSWARM_ALLOWED_HOSTS")  # who may come in, and what may be sent where
_MOST_MODULES: Final = 200


def given(options: Namespace) -> dict[str, Any]:
    """The options as they hold, where they differ from the defaults; values as the parser has them."""
    names = [*(name.replace("-", "_") for name, *_ in OPTIONS), *LOCUSTS, _LOCUSTFILE]
    values = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in values.items() if value and value != _DEFAULTS.get(name)}


def stored(
    options: Mapping[str, Any],
    argv: Sequence[str],
    environ: Mapping[str, str],
    hider: Hider,
    modules: Mapping[str, ModuleType] = sys.modules,
) -> dict[str, Any]:
    """For run.json. `options` is what `given` gave; `modules` are those that the locustfile may have imported."""
    paths = list(_locustfiles(str(options.get(_LOCUSTFILE) or "")))
    return {
        "argv": hider.words(argv),
        "environment": {name: hider.option(_option(name), value) for name, value in _variables(environ)},
        "options": {
            name: hider.option(name, value) for name, value in options.items() if name != _LOCUSTFILE
        },
        "locustfiles": [fingerprint(path) for path in paths],
        "imports": [fingerprint(path) for path in _imports(paths, modules)],
    }


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in sorted(environ):
        secret = is_secret(name) or is_secret(name.removesuffix("_FILE"))
        if name.startswith(_DOOR):  # is no part of a run
            continue
        if name.startswith(_PREFIXES) and (_option(name) in _NAMES or not secret):
            yield name, environ[name]


def _option(variable: str) -> str:
    """The option that a variable stands for, if it is one."""
    return variable.removeprefix("TOKENSWARM_").lower().replace("_", "-")


def _locustfiles(text: str) -> Iterator[Path]:
    """The files that Locust reads for `-f`: some with commas between, or all of a folder's."""
    for part in filter(None, (one.strip() for one in text.split(","))):
        path = Path(part).expanduser()
        if "://" in part:
            continue  # fetched by Locust, which keeps no copy
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*.py") if not one.name.startswith("_"))
        elif path.is_file():
            yield path
        elif (named := Path(f"{part}.py").expanduser()).is_file():
            yield named


def _imports(locustfiles: Sequence[Path], modules: Mapping[str, ModuleType]) -> list[Path]:
    """Modules from a locustfile's folder or below, that are neither installed nor ours."""
    folders = {path.absolute().parent for path in locustfiles}
    known = {path.absolute() for path in locustfiles}
    ours = Path(__file__).parent
    found: set[Path] = set()
    for module in list(modules.values()):
        file = getattr(module, "__file__", None)
        path = Path(file).absolute() if isinstance(file, str) and file.endswith(".py") else None
        if path is None or path in known or path.is_relative_to(ours) or not folders & set(path.parents):
            continue
        if "site-packages" not in path.parts and not path.is_relative_to(sys.prefix) and path.is_file():
            found.add(path)
    return sorted(found)[:_MOST_MODULES]
