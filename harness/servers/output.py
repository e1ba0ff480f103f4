"""Where a server's output goes, and what of it may be shown.

It goes to the file the user names, emptied first, or to one without a name, which even SIGKILL leaves no trace
of. A server that has a secret on its command line writes through `harness.servers.scrub`. What is shown of any
server's output is its end, short, without the secrets of this process's environment.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from harness.errors import ConfigError
from harness.servers import scrub

__all__ = ["Output", "ServerFailed", "opened"]

LINES, BYTES, LINE_CHARACTERS = 12, 8192, 400
LAST_WORDS_S = 2.0
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class ServerFailed(ConfigError):
    """A server could not be started. First line: which, why, the fix; then the end of its log."""


class Output:
    """One server's output."""

    def __init__(self, log: IO[bytes], through: subprocess.Popen[bytes] | None) -> None:
        self._log = log
        self._through = through
        self.sink: IO[bytes] = through.stdin if through is not None and through.stdin is not None else log

    def given(self) -> None:
        """The server has the sink: with ours closed, the end of the server is the end of its output."""
        if self.sink is not self._log:
            self.sink.close()

    def finish(self) -> None:
        """The server has ended: wait until all it said is in the log."""
        if self._through is not None:
            try:
                self._through.wait(LAST_WORDS_S)
            except subprocess.TimeoutExpired:  # somebody the server left behind holds the pipe
                self._through.kill()
                self._through.wait()

    def lines(self) -> list[str]:
        """Its last lines, fit for a terminal."""
        # `pread`, because the server writes at the very offset that a seek of ours would move.
        size = os.fstat(self._log.fileno()).st_size
        end = os.pread(self._log.fileno(), BYTES, max(0, size - BYTES))
        text = scrub.blot(end, scrub.secrets_in(os.environ)).decode(errors="replace")
        return [_shown(line) for line in text.split("\n") if line.strip()][-LINES:]  # at no \r

    def tail(self) -> str:
        """They again, indented, ready to follow a sentence."""
        lines = self.lines()
        if not lines:
            return ", no output"
        return "; the end of its output:" + "".join(f"\n    {line}" for line in lines)


@contextmanager
def opened(log: Path | None, secret_names: Sequence[str] = ()) -> Iterator[Output]:
    """Output into `log` or, without one, into a nameless file.

    Raises:
        ServerFailed: `log` cannot be written.
    """
    with _file(log) as file:
        through = _scrubber(file, secret_names) if secret_names else None
        output = Output(file, through)
        try:
            yield output
        finally:
            with suppress(OSError):
                output.given()
            output.finish()


def _file(log: Path | None) -> IO[bytes]:
    try:
        if log is None:
            return tempfile.TemporaryFile()
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("w+b")
    except OSError as error:
        raise ServerFailed(f"cannot write the server's log {log or ''}: {error.strerror}") from error


def _scrubber(file: IO[bytes], secret_names: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", scrub.__file__, *secret_names],
        stdin=subprocess.PIPE,
        stdout=file,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    )


def _shown(line: str) -> str:
    """One line without colours, without what a progress bar has overwritten, and not endless."""
    last = COLOUR.sub("", line.rstrip()).rpartition("\r")[2]
    return "".join(char if char.isprintable() or char == "\t" else " " for char in last)[:LINE_CHARACTERS]
