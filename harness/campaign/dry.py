"""Do a run's options hold? Asked of the parser and the readers that the run itself will use, and nothing is sent.

    python -m harness.campaign.dry   <- [{"locustfile", "classes", "words"}, ...] on stdin, one locustfile and environment
                                     -> ["" or what is wrong, one line for each thing, ...] on stdout

A process of its own, since Locust patches the one that imports it, and since a locustfile reads its environment when it is
imported. What only the server can tell is not known here: whether it is there, has the model, takes the key.
"""

import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from locust import User
from locust.argument_parser import get_parser
from locust.util.load_locustfile import load_locustfile

from harness import backend_choice, options
from harness.errors import ConfigError
from harness.servers import beside
from harness.settings import Settings
from harness.users import LLMUser

__all__ = ["main", "problem"]


def problem(users: Mapping[str, type[User]], words: Sequence[str], classes: Sequence[str]) -> str:
    """What is wrong with one command line, a line each; "" if nothing is."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parsed = get_parser().parse_args(list(words))
    except SystemExit:
        lines = said.getvalue().strip().splitlines() or ["the options cannot be read"]
        return " ".join(line.strip().rpartition("error: ")[2] for line in lines if "usage:" not in line)
    if missing := [name for name in classes if name not in users]:
        return f"classes: the locustfile has no {', '.join(missing)}; it has {', '.join(users)}"
    chosen = [user for name, user in users.items() if not classes or name in classes]
    measured = [user for user in chosen if issubclass(user, LLMUser)]
    if not measured:
        return "the locustfile has no LLMUser: derive your user class from harness.users.LLMUser"
    try:
        settings = options.read(parsed, next((user.host for user in chosen if user.host), None))
        _check(settings, measured)
    except ConfigError as error:
        return str(error)
    return ""


def _check(settings: Settings, measured: Sequence[type[LLMUser]]) -> None:
    for user in measured:
        backend_choice.choose(user.backend, user.api_mode, user.backend_options, settings)
    if settings.serve:
        beside.read(settings.serve, settings.target, 1.0)


def main() -> int:
    """Answer; the exit code is 0 whatever the answer."""
    asked: list[dict[str, Any]] = json.load(sys.stdin)
    answer = sys.stdout
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # a locustfile may print
            users, _ = load_locustfile(asked[0]["locustfile"])
        found = [problem(users, one["words"], one["classes"]) for one in asked]
    except (Exception, SystemExit) as error:  # noqa: BLE001  a locustfile may raise anything
        where = f"{type(error).__name__}: {error}".strip(": ")
        found = [f"the locustfile {asked[0]['locustfile']} cannot be imported: {where}"] * len(asked)
    json.dump(found, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
