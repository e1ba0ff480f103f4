"""Files that say how long requests are: read line by line, plain or gzipped, and refused by file and line.

The rule: whatever such a file holds, what comes out is its lines or one `ConfigError` that begins with the option, the
file and the line. What lines mean is for `harness.histograms` and `harness.joint` to say.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from harness.counts import HIGH, LOW
from harness.errors import ConfigError

__all__ = ["MOST", "LengthFile", "Line", "mass", "share", "tokens"]

_LONGEST: Final = 1 << 20  # bytes of a line; a list of lengths has some ten
_SHOWN: Final = 40  # characters of a wrong value
MOST: Final = 1e15  # of weights in all, far below where adding 1 changes nothing
_PLAIN: Final = frozenset("0123456789.eE+-")


@dataclass(frozen=True, slots=True)
class LengthFile:
    """A file, and how an error about it begins: the option and what was given there."""

    path: str
    said: str

    def wrong(self, problem: str, example: str, line: int | None = None) -> ConfigError:
        """One line: the option, the file, its line, what is wrong there and what would be right."""
        where = self.said if line is None else f"{self.said} line {line}"
        return ConfigError(f"{where} {problem}; {example}")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line with its number from 1, without the blanks around it; a byte order mark is no part of it.

        Raises:
            ConfigError: the file cannot be opened or read, or is not UTF-8 text.
        """
        number = 0
        try:
            with _open(self.path) as file:
                for raw in iter(lambda: file.readline(_LONGEST + 1), b""):
                    number += 1
                    if len(raw) > _LONGEST:
                        raise self.wrong(
                            f"is longer than {_LONGEST} bytes", "give one request a line", number
                        )
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise self.wrong("is not UTF-8 text", "save the file as UTF-8", number) from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise self.wrong("ends here: it is damaged gzip", "copy the file again", number + 1) from None
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # ValueError: a NUL in a path; RuntimeError: no home
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise self.wrong(f"cannot be read ({reason})", "give a file of lengths") from None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, for what is wrong in it."""

    file: LengthFile
    number: int

    def wrong(self, problem: str, example: str) -> ConfigError:
        """As `LengthFile.wrong`."""
        return self.file.wrong(problem, example, self.number)


def tokens(value: object, line: Line, name: str = "tokens") -> int:
    """A count of tokens, from text or JSON: a whole number from `LOW` to `HIGH`.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, str):
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is None:
        raise line.wrong(f"has {_shown(value)} as {name}", "write a plain whole number, e.g. 550")
    if not LOW <= number <= HIGH:
        raise line.wrong(f"has {number} as {name}", f"give from {LOW} to {HIGH}, or leave the line out")
    return number


def share(value: object, line: Line) -> float:
    """A weight, from text or JSON: a number that is not negative; 0 is never drawn.

    Raises:
        ConfigError: it is none.
    """
    number = mass(value) if isinstance(value, str) else value
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise line.wrong(f"has {_shown(value)} as weight", "write a plain number, e.g. 3 or 0.25")
    if not 0 <= number <= MOST:  # also of NaN
        raise line.wrong(f"has {_shown(value)} as weight", f"give from 0 to {MOST:g}")
    return float(number)


def mass(text: str) -> float | None:
    """The number a text writes, in plain ASCII with or without an exponent; None if it writes none."""
    if not text or not _PLAIN.issuperset(
        text
    ):  # float() also reads 1_0, nan, infinity and other scripts' digits
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked if they are gzip; told by how they begin, so that a pipe will do."""
    with Path(path).expanduser().open("rb") as file:
        if file.peek(2)[:2] != b"\x1f\x8b":
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("IO[bytes]", unpacked)
