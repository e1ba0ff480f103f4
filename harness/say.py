"""The one way in which a run talks to its user: a line on stderr, so that stdout stays for results."""

import sys

__all__ = ["say", "show"]


def say(line: str) -> None:
    """Tell the user something."""
    print(f"tokenswarm: {line}", file=sys.stderr, flush=True)


def show(text: str, *, aside: bool) -> None:
    """Results: on stdout, or `aside` on stderr, where stdout is for a document such as Locust's `--json`."""
    print(text, file=sys.stderr if aside else sys.stdout, flush=True)
