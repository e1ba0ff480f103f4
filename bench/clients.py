"""Who is measured: name, how it is started, and what it needs."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loads import Load
from processes import BUILD, HERE

__all__ = ["CLIENTS", "Client"]

OTHERS: Final = BUILD / "venv" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Client:
    """One way to read streams. `program` is a script here, or one of the C programs."""

    name: str
    what: str
    program: str
    variant: str
    python: Path | None = None  # None: a C program

    @property
    def needs_venv(self) -> bool:
        """It runs in bench/build/venv."""
        return self.python == OTHERS

    def command(self, port: int, load: Load, log: Path | None) -> list[str]:
        """How to start it."""
        if self.python is None:
            command = [str(BUILD / self.program), "--port", str(port), "--streams", str(load.streams)]
            command += ["--seconds", str(load.seconds), "--spread", str(load.spread_s), "--model", load.model]
            return (
                command + (["--log", str(log)] if log else []) + (["--own"] if self.variant == "read" else [])
            )
        job = {
            "port": port,
            "streams": load.streams,
            "seconds": load.seconds,
            "spread_s": load.spread_s,
            "model": load.model,
            "events": load.events,
            "variant": self.variant,
            "log": str(log or ""),
        }
        return [str(self.python), str(HERE / self.program), json.dumps(job)]


_OURS: Final = Path(sys.executable)

CLIENTS: Final[Mapping[str, Client]] = {
    client.name: client
    for client in (
        Client("c", "bare C epoll reader, kernel stamps, parses nothing", "c-reader", "kernel"),
        Client("c-own", "the same, its own stamps", "c-reader", "read"),
        Client("tokenswarm", "our load path, kernel stamps", "client_tokenswarm.py", "kernel", _OURS),
        Client("tokenswarm-own", "the same, its own stamps", "client_tokenswarm.py", "read", _OURS),
        Client("tokenswarm-portable", "the poller for systems without epoll", "client_tokenswarm.py", "portable", _OURS),
        Client("fast-iterlines", "Locust FastHttpUser, iter_lines", "client_locust.py", "iter_lines", _OURS),
        Client("fast-readline", "Locust FastHttpUser, readline", "client_locust.py", "readline", _OURS),
        Client("aiohttp", "aiohttp on uvloop", "client_asyncio.py", "aiohttp", OTHERS),
        Client("httpx", "httpx on asyncio", "client_asyncio.py", "httpx", OTHERS),
    )
}  # fmt: skip
