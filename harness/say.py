"""The one way in which a run talks to its user: a line on stderr, so that stdout stays for results."""

import sys

__all__ = ["say"]


def say(line: str) -> None:
    """Tell the user something."""
    print(f"tokenswarm: {line}", file=sys.stderr, flush=True)
