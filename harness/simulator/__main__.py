"""`python -m harness.simulator`: the same as `tokenswarm simulate`."""

import argparse
import sys
from typing import NoReturn

from harness.simulator.cli import NAME, add_options, main


class OneLineParser(argparse.ArgumentParser):
    """An error without the usage text before it."""

    def error(self, message: str) -> NoReturn:
        """Exit 2."""
        self.exit(2, f"{self.prog}: error: {message}; see --help\n")


if __name__ == "__main__":
    parser = OneLineParser(prog=NAME, description="The built-in LLM server.")
    add_options(parser)
    sys.exit(main(parser.parse_args()))
