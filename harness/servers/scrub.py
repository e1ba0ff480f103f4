"""Copies its input to its output, the values of some environment variables blotted out.

    python scrub.py NAME...

A server that has a secret on its command line may print that. So its output goes through this program on
its way into the log, and what is shown of any server's output goes through `blot`.

What might be the beginning of a secret is held back until the next bytes tell; nothing else is.
Run by path, without site-packages, so it must import nothing but the standard library.
"""

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence

__all__ = ["LEAST", "SECRET_NAME", "blot", "secrets_in"]

BLOT = b"***"
LEAST = 6  # shorter values are no secrets, and would blot out half the text
SECRET_NAME = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD(_HASH)?|PASSWD|LICEN[CS]E)S?$", re.IGNORECASE)


def secrets_in(environment: Mapping[str, str]) -> list[bytes]:
    """The values that the names of their variables call secrets."""
    values = {value.strip() for name, value in environment.items() if SECRET_NAME.search(name)}
    return [value.encode("utf-8", "surrogateescape") for value in values if len(value) >= LEAST]


def blot(text: bytes, secrets: Sequence[bytes]) -> bytes:
    """`text` without them; the longest first, since one may hold another."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, BLOT)
    return text


def held(text: bytes, secrets: Sequence[bytes]) -> int:
    """Bytes at the end of `text` that a secret may begin with."""
    longest = max(map(len, secrets), default=1) - 1
    return next(
        (size for size in range(min(longest, len(text)), 0, -1) if _begins(text[-size:], secrets)),
        0,
    )


def _begins(end: bytes, secrets: Sequence[bytes]) -> bool:
    return any(secret.startswith(end) for secret in secrets)


def main() -> None:
    """Copy until the last writer has closed the pipe, which no signal to the server's group can hurry."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    secrets = [os.environb[os.fsencode(name)] for name in sys.argv[1:]]
    rest = b""
    while piece := os.read(0, 65536):
        text = blot(rest + piece, secrets)
        size = len(text) - held(text, secrets)
        _write(text[:size])
        rest = text[size:]
    _write(rest)


def _write(text: bytes) -> None:
    while text:
        text = text[os.write(1, text) :]


if __name__ == "__main__":
    main()
