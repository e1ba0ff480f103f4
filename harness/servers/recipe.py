"""How to start one server, as a value; and how to show it without its secrets.

A secret that must stand on the server's command line is written there as `$NAME`, the environment variable
that holds it. Nothing here ever holds the value: the launcher puts it in at the last moment.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.servers.ready import ReadyCheck

__all__ = ["Recipe", "base_url"]

GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One server: its command, where it will answer, and what is known of how it fails."""

    name: str
    command: Sequence[str]
    url: str  # base URL, no trailing slash
    ready: ReadyCheck
    locustfile: str = "openai.py"
    secret_names: Sequence[str] = ()  # variables that stand in the command as `$NAME`
    env: Mapping[str, str] | None = field(default=None, repr=False)  # replaces the whole environment
    grace_s: float = GRACE_S  # from SIGTERM to SIGKILL
    afterwards: Sequence[str] = ()  # run when the command has ended, however it ended
    advice: Sequence[tuple[str, str]] = ()  # a part of its output, and what mends that
    missing: str = "install it or give its path"  # what to do where there is no such program

    def shown(self) -> str:
        """The command as a shell would take it, secrets still by name."""
        by_name = {f"${name}" for name in self.secret_names}
        return " ".join(f'"{word}"' if word in by_name else shlex.quote(word) for word in self.command)

    def example(self) -> str:
        """A run against it."""
        return f"locust -f locustfiles/{self.locustfile} --host {self.url} --headless --levels 1,2,4,8"

    def advise(self, output: str) -> str:
        """What mends the failure that `output` tells of, as the end of a sentence; "" if it is not known."""
        known = (remedy for sign, remedy in self.advice if sign.lower() in output.lower())
        remedy = next(known, None)
        return f": {remedy}" if remedy else ""


def base_url(host: str, port: int) -> str:
    """Where a server that listens at `host` of this machine is reached from here."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- all addresses: any will do
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"
