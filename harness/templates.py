"""Prompt templates: `--template FILE`, what stands around each prompt.

A file holds one template, or several with a line `---` between them. `{prompt}` is where the prompt goes, once in each
template; every other brace is text. Blank lines at a template's ends are not part of it. The size asked for includes
the template's own tokens. Which template a prompt has follows from the seed and its number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import ConfigError

SLOT: Final = "{prompt}"
BETWEEN: Final = "---"
MOST_BYTES: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Template:
    """What stands before a prompt and what after it."""

    before: str
    after: str

    def around(self, prompt: str) -> str:
        """The prompt in its place."""
        return self.before + prompt + self.after


def read(path: Path, option: str = "--template") -> tuple[Template, ...]:
    """The templates of a file.

    Raises:
        ConfigError: it cannot be read, or one of them has no place for the prompt; with file and line.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{option} {path}: over {MOST_BYTES // 1_000_000} MB is no file of templates")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{option} {path} cannot be read ({error.strerror or error}); give a file of text with {{prompt}} in it"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{option} {path} line {line}: not UTF-8; save the file as UTF-8") from error
    return parse(text, f"{option} {path}")


def parse(text: str, where: str) -> tuple[Template, ...]:
    """The templates in `text`; `where` names it in errors.

    Raises:
        ConfigError: one of them has no `{prompt}`, or several.
    """
    return tuple(_template(first, lines, where) for first, lines in _parts(text.splitlines()))


def _parts(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, its lines) of each template."""
    first, part = 1, list[str]()
    for number, line in enumerate(lines, 1):
        if line.rstrip() == BETWEEN:
            yield first, part
            first, part = number + 1, []
        else:
            part.append(line)
    yield first, part


def _template(first: int, lines: list[str], where: str) -> Template:
    slots = [first + at for at, line in enumerate(lines) for _ in range(line.count(SLOT))]
    if not slots:
        raise ConfigError(
            f"{where} line {first}: the template that begins here has no {SLOT}; put it where prompts go"
        )
    if len(slots) > 1:
        raise ConfigError(
            f"{where} line {slots[1]}: a second {SLOT} in one template; leave one, or part them by {BETWEEN}"
        )
    filled = [at for at, line in enumerate(lines) if line.strip()]
    before, after = "\n".join(lines[filled[0] : filled[-1] + 1]).split(SLOT)
    return Template(before, after)
