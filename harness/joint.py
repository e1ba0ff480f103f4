"""How long a request's prompt and answer are, taken together: `--lengths FILE`, or two distributions.

In real traffic the two belong together: who sends a long document often wants a short summary of it. A file of pairs
keeps that; two distributions draw each length by itself. The file is CSV with a header, or JSONL with these keys:

    prompt   prompt_tokens | input_length | ContextTokens | Request tokens
    output   output_tokens | output_length | GeneratedTokens | Response tokens
    weight   weight, if there is one: how often the pair is drawn; without it each is as likely as the other

So the traces of Mooncake, Azure and BurstGPT can be given as they are; capitals and other columns do not matter. A
BurstGPT row with no response tokens is a request that failed there: it is passed over and counted in `left_out`. Files
stream; what is kept takes 8 bytes a pair, or 16 with weights, in arrays that need no numpy to be read one by one.
"""

import csv
import random
import shlex
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple, Protocol

import orjson

from harness.distributions import Distribution
from harness.length_files import MOST, LengthFile, Line, share, tokens

__all__ = ["Independent", "Lengths", "Pairs", "read"]

PROMPT: Final = ("prompt_tokens", "input_length", "ContextTokens", "Request tokens")
OUTPUT: Final = ("output_tokens", "output_length", "GeneratedTokens", "Response tokens")
_WEIGHT: Final = "weight"
_BURST: Final = OUTPUT[-1].lower()
_ENOUGH: Final = "give each pair both lengths, or leave it out"
_HEADER: Final = "begin with a header, e.g. prompt_tokens,output_tokens, or give JSON objects, one a line"


class Lengths(Protocol):
    """Where the lengths of requests come from."""

    def sample(self, prompt_rng: random.Random, output_rng: random.Random, /) -> tuple[int, int]:
        """(prompt tokens, output tokens) of one request."""

    def describe(self) -> str:
        """Words as `--mix` has them."""


@dataclass(frozen=True, slots=True)
class Independent:
    """Two distributions. Each draws from a source of its own, so that neither's sequence depends on the other."""

    prompt: Distribution
    output: Distribution

    def sample(self, prompt_rng: random.Random, output_rng: random.Random, /) -> tuple[int, int]:
        """Exactly what each distribution draws from its own source."""
        return self.prompt.sample(prompt_rng), self.output.sample(output_rng)

    def describe(self) -> str:
        """`prompt=lognormal:300,150 output=150`."""
        return f"prompt={shlex.quote(self.prompt.describe())} output={shlex.quote(self.output.describe())}"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a file, at least one; made by `read`."""

    path: str
    prompts: "array[int]" = field(repr=False)
    outputs: "array[int]" = field(repr=False)
    bounds: "array[float] | None" = field(repr=False)  # weights, summed up to each pair; None: all alike
    left_out: int = 0  # rows of requests that failed where they were recorded

    def __len__(self) -> int:
        return len(self.prompts)

    def sample(self, rng: random.Random, _output_rng: random.Random | None = None, /) -> tuple[int, int]:
        """(prompt tokens, output tokens) of one pair, by one draw from the first source."""
        last = len(self.prompts) - 1
        if self.bounds is None:
            at = int(rng.random() * (last + 1))
        else:
            at = bisect_right(self.bounds, rng.random() * self.bounds[last])
        at = min(at, last)
        return self.prompts[at], self.outputs[at]

    def describe(self) -> str:
        """`lengths=FILE`."""
        return f"lengths={shlex.quote(self.path)}"


def read(path: str, option: str = "--lengths") -> Pairs:
    """The pairs of a file, which is told by its first line.

    Raises:
        ConfigError: naming the option, the file, the line, what is wrong there and what would be right.
    """
    file = LengthFile(path, f"{option} {path!r}")
    if not path:
        raise file.wrong("names no file", f"write for example {option} pairs.csv")
    lines = ((number, line) for number, line in file.lines() if line)
    number, first = next(lines, (0, ""))
    if not first:
        raise file.wrong("is empty", _HEADER)
    if first[0] == "[":
        raise file.wrong("is a JSON array", "write one object a line instead", number)
    rows = _objects if first[0] == "{" else _table
    return _gather(file, rows(file, chain(((number, first),), lines)))


class _Row(NamedTuple):
    """What one line says, unchecked, and what the file calls it; no name for the weight: there is none."""

    line: Line
    names: tuple[str, str, str]
    prompt: object
    output: object
    weight: object

    @property
    def is_failed(self) -> bool:
        """A request that got no answer where BurstGPT was recorded."""
        return self.output in ("0", 0) and self.names[1].lower() == _BURST


def _gather(file: LengthFile, rows: Iterable[_Row]) -> Pairs:
    """Check the rows and keep what can be drawn."""
    prompts, outputs, bounds = array("i"), array("i"), array("d")
    total = 0.0
    left_out = undrawn = 0
    is_weighted = False
    for row in rows:
        if row.is_failed:
            left_out += 1
            continue
        prompt = tokens(row.prompt, row.line, row.names[0])
        output = tokens(row.output, row.line, row.names[1])
        is_weighted = bool(row.names[2])
        weight = share(row.weight, row.line) if is_weighted else 1.0
        if not weight:
            undrawn += 1
            continue
        total += weight
        prompts.append(prompt)
        outputs.append(output)
        if is_weighted:
            bounds.append(total)
    if not prompts:
        raise file.wrong("has weights that sum to nothing" if undrawn else "has no pairs", _ENOUGH)
    if total > MOST:
        raise file.wrong(f"has weights that sum to more than {MOST:g}", "write smaller ones")
    return Pairs(file.path, prompts, outputs, bounds if is_weighted else None, left_out)


def _table(file: LengthFile, lines: Iterable[tuple[int, str]]) -> Iterator[_Row]:
    """Rows of CSV with a header."""
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for number, text in lines:  # noqa: B007  # told to errors
            yield text

    reader = csv.reader(texts(), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        line = Line(file, number)
        names = _names(header, line)
        prompt, output, weight = (header.index(name) if name else 0 for name in names)
        for cells in reader:
            line = Line(file, number)
            if len(cells) != len(header):
                raise line.wrong(f"has {len(cells)} columns, not {len(header)} as the header", _ENOUGH)
            yield _Row(line, names, cells[prompt].strip(), cells[output].strip(), cells[weight].strip())
    except csv.Error as error:
        raise Line(file, number).wrong(f"is no CSV ({error})", "close every quote") from None


def _objects(file: LengthFile, lines: Iterable[tuple[int, str]]) -> Iterator[_Row]:
    """Rows of JSONL; the first says how the keys are written."""
    names: tuple[str, str, str] | None = None
    for number, text in lines:
        line = Line(file, number)
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise line.wrong(f"is no JSON ({error})", "write one object a line") from None
        if not isinstance(found, dict):
            raise line.wrong("is no JSON object", "write one object a line")
        names = names or _names(found, line)
        for name in filter(None, names):
            if name not in found:
                raise line.wrong(f"has no {name!r}, which the first line has", _ENOUGH)
        if not names[2] and _WEIGHT in found:
            raise line.wrong("has a weight and the first line has none", "give each pair a weight, or none")
        yield _Row(line, names, *(found.get(name) for name in names))


def _names(present: Iterable[str], line: Line) -> tuple[str, str, str]:
    """How the file writes the names of prompt, output and weight; "" for no weight."""
    prompt, output = _name(PROMPT, present, line), _name(OUTPUT, present, line)
    if not prompt or not output:
        which, known = ("output", OUTPUT) if prompt else ("prompt", PROMPT)
        raise line.wrong(f"names no {which} length; known are {', '.join(known)}", _HEADER)
    return prompt, output, _name((_WEIGHT,), present, line)


def _name(known: Sequence[str], present: Iterable[str], line: Line) -> str:
    """The one of the present names that is known, in any case; "" if there is none."""
    wanted = {name.lower() for name in known}
    found = [name for name in present if name.lower() in wanted]
    if len(found) > 1:
        raise line.wrong(f"has both {found[0]!r} and {found[1]!r}", "keep one of them")
    return found[0] if found else ""
