"""`python -m harness.reproduce`."""

import sys

from harness.reproduce.cli import main

if __name__ == "__main__":
    sys.exit(main())
