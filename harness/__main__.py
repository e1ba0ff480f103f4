"""The `tokenswarm` command, and `python -m harness`."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command; the process's exit code. Ctrl-C is no traceback, also while modules are still being read."""
    try:
        from harness.cli import main as command  # noqa: PLC0415  it reads some hundred modules

        return command()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
