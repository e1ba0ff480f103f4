"""A command of ours, run here and not in a process of its own, which would be a quarter of a second of imports.

    done = command("dashboards", "check", env={"GRAFANA_URL": url})
    assert (done.returncode, done.stderr) == (2, "...")

What a process is the subject of, signals and the like, wants one; some tests of every command start it as a user does.
"""

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from harness import cli

__all__ = ["Said", "command"]


@dataclass(frozen=True)
class Said:
    """How it ended and what it printed, as `subprocess.run` has it."""

    returncode: int
    stdout: str
    stderr: str


def command(*words: str, env: Mapping[str, str] = {}, without: tuple[str, ...] = ()) -> Said:
    """Run `tokenswarm` with these words.

    Args:
        words: after `tokenswarm`.
        env: variables that it has beside those of this process.
        without: how names of this process's variables begin that it shall not have.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, {**kept, **env}, clear=True), redirect_stdout(out), redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as end:  # argparse's
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Said(code, out.getvalue(), err.getvalue())
