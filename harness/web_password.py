"""`tokenswarm web-password`: the hash of a password, for `--web-login`. The password itself is kept nowhere."""

import argparse
import getpass
import sys
import unicodedata
from typing import TYPE_CHECKING, Final

from harness.errors import ConfigError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "main", "normal"]

LEAST: Final = 8  # letters
MOST: Final = 1_024
_DESCRIPTION = """\
Make the hash of a password (scrypt), for the login of Locust's web UI (`--web-login`). It asks for the password twice; where
its input is no terminal it reads the first line of that.
"""
_EPILOG = """\
examples:
  tokenswarm web-password > web-password.hash
  TOKENSWARM_WEB_PASSWORD_HASH_FILE=web-password.hash locust -f locustfiles/vllm.py --host URL --web-login
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `web-password` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "web-password",
        help="make the hash of a password, for --web-login",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=main)


def normal(password: str) -> str:
    """A password as it is hashed: the same letter is the same, however a keyboard composed it."""
    return unicodedata.normalize("NFC", password)


def main(_: argparse.Namespace) -> int:
    """Print the hash. Raises ConfigError for a password that is none."""
    from werkzeug.security import generate_password_hash  # noqa: PLC0415  not for `tokenswarm --help`

    password = _asked() if sys.stdin.isatty() else _read()
    if len(password) < LEAST:
        raise ConfigError(f"the password has {len(password)} letters: give at least {LEAST}")
    if len(password) > MOST:
        raise ConfigError(f"the password has {len(password)} letters: {MOST} are the most")
    print(generate_password_hash(normal(password)))
    return 0


def _asked() -> str:
    try:
        password = getpass.getpass("Password for Locust's web UI: ")
        again = getpass.getpass("The same again: ")
    except EOFError:
        raise ConfigError("no password was given") from None
    if password != again:
        raise ConfigError("the two were not the same: try again")
    return password


def _read() -> str:
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise ConfigError("the input is no text: give a line with the password") from None
    return line.rstrip("\r\n")
