"""What traces look like: from the first line to a reader of lines, each line to a time, two lengths and blocks.

**Mooncake** (github.com/kvcache-ai/Mooncake, FAST25-release): JSONL, `timestamp` in ms, `input_length`,
`output_length`, and `hash_ids`, one for each 512 tokens of the prompt. It is told by `hash_ids`.

**Azure LLM** (github.com/Azure/AzurePublicDataset): CSV. 2023 has `2023-11-16 18:17:03.9799600` and CRLF; 2024
`2024-05-10 00:00:00.009930+00:00`, without the fraction where it is 0; 2025 `2024-10-15T12:00:00.269Z`. A time without
a zone is UTC.

**BurstGPT** (github.com/HPMLL/BurstGPT): CSV, seconds since the first day's midnight; the third file also has
`Session ID` and `Elapsed time`. A row of 0 response tokens is a request that failed there, most of them with 0 request
tokens as well. It is left out, as vLLM's loader and the files called `without_fails` do; all models are kept.

**plain**: ours. CSV with a head or JSONL; one time column (`TIMES`), and `prompt_tokens` or `input_length`,
`output_tokens` or `output_length`, if they are known. Or one number of seconds a line, without a head.

A JSONL line with `timestamp` and `input_length` and without `hash_ids` is Mooncake's in milliseconds to some tools and
in seconds to others; a load that is off by a thousand helps nobody, so it is refused.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from harness import trace_cells as cells
from harness.trace_cells import MS, NOT_SAID, SECOND, Unreadable

__all__ = ["BLOCK_TOKENS", "KNOWN", "NOT_SAID", "TIMES", "Format", "Row", "Unreadable", "told_by"]

Row = tuple[int, int, int, Sequence[int]]  # time in ns, prompt tokens, output tokens, blocks

BLOCK_TOKENS: Final = 512  # Mooncake: Qin et al., FAST'25, section 4 and appendix
TIMES: Final = {
    **dict.fromkeys(("timestamp", "time", "t", "timestamp_s", "time_s", "t_s"), SECOND),
    **dict.fromkeys(("timestamp_ms", "time_ms", "t_ms"), MS),
}
PROMPTS: Final = ("prompt_tokens", "input_tokens", "input_length")
OUTPUTS: Final = ("output_tokens", "output_length")
KNOWN: Final = (
    "Mooncake JSONL, an Azure LLM CSV, a BurstGPT CSV, CSV or JSONL with timestamp (seconds) and optionally "
    "prompt_tokens and output_tokens, or one number of seconds a line"
)
_BLOCK_MOST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Format:
    """One format, as the first line of a file shows it."""

    name: str
    row: Callable[[str], Row | None]  # of a line; None: the row is left out. Raises Unreadable
    show: Callable[[int], str] = cells.show_seconds  # a time as the file has it
    unit: str = "seconds"  # as an error asks for it
    has_blocks: bool = False


def told_by(line: str) -> tuple[Format, bool]:
    """The format of a file with this first line, and whether the line is a row itself.

    Raises:
        Unreadable: it is none of ours.
    """
    if line.startswith("{"):
        return _json(_object(line)), True
    names = [name.strip().casefold() for name in _split(line)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"has a column {twice!r} twice; leave one")
    if {"timestamp", "contexttokens", "generatedtokens"} <= set(names):
        return _azure(names), False
    if {"timestamp", "request tokens", "response tokens"} <= set(names):
        return _burstgpt(names), False
    if set(names) & TIMES.keys():
        return _plain_csv(names), False
    if len(names) == 1 and cells.is_number(names[0]):
        return Format("plain", lambda text: (cells.time(text, SECOND), NOT_SAID, NOT_SAID, ())), True
    raise Unreadable(f"{cells.cut(line)} begins no trace we know; give {KNOWN}")


def _split(line: str) -> list[str]:
    """The cells of a line of CSV."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise Unreadable(f"{cells.cut(line)} is not CSV ({error}); close its quotes") from None


def _row_of(line: str, columns: int) -> list[str]:
    found = _split(line)
    if len(found) != columns:
        raise Unreadable(
            f"{cells.cut(line)} has {len(found)} values where the first line has {columns}; is it cut short?"
        )
    return found


def _azure(names: list[str]) -> Format:
    at, prompt, output = (names.index(name) for name in ("timestamp", "contexttokens", "generatedtokens"))
    columns, moment = len(names), cells.Moments()

    def row(line: str) -> Row:
        found = _row_of(line, columns)
        return (
            moment.read(found[at]),
            cells.tokens(found[prompt], "ContextTokens"),
            cells.tokens(found[output], "GeneratedTokens"),
            (),
        )

    return Format("Azure LLM", row, cells.show_moment, "a date and a time of the years 1970 to 2261")


def _burstgpt(names: list[str]) -> Format:
    at, prompt, output = (names.index(name) for name in ("timestamp", "request tokens", "response tokens"))
    columns = len(names)

    def row(line: str) -> Row | None:
        found = _row_of(line, columns)
        time_ns = cells.time(found[at], SECOND)
        if cells.is_zero(found[output]):
            return None  # it failed, and says nothing about its length
        asked, answered = (
            cells.tokens(found[prompt], "Request tokens"),
            cells.tokens(found[output], "Response tokens"),
        )
        return time_ns, asked, answered, ()

    return Format("BurstGPT", row)


def _plain_csv(names: list[str]) -> Format:
    time_name, prompt_name, output_name = _plain_names(names)
    at = names.index(time_name)
    prompt, output = (None if name is None else names.index(name) for name in (prompt_name, output_name))
    columns, unit = len(names), TIMES[time_name]

    def row(line: str) -> Row:
        found = _row_of(line, columns)
        return (
            cells.time(found[at], unit),
            NOT_SAID if prompt is None else cells.tokens(found[prompt], names[prompt], may_lack=True),
            NOT_SAID if output is None else cells.tokens(found[output], names[output], may_lack=True),
            (),
        )

    return _plain(row, unit)


def _plain(row: Callable[[str], Row | None], unit: int) -> Format:
    if unit == MS:
        return Format("plain", row, cells.show_ms, "milliseconds")
    return Format("plain", row, unit="seconds, or name the column timestamp_ms if these are milliseconds")


def _plain_names(names: Sequence[str]) -> tuple[str, str | None, str | None]:
    """Which columns are the time, the prompt's length and the output's."""
    time_name = _one(names, tuple(TIMES), "time")
    if time_name is None:
        raise Unreadable(f"has no time; name one of {', '.join(TIMES)}")
    return time_name, _one(names, PROMPTS, "prompt length"), _one(names, OUTPUTS, "output length")


def _one(names: Sequence[str], known: Sequence[str], what: str) -> str | None:
    found = [name for name in names if name in known]
    if len(found) > 1:
        raise Unreadable(f"has {' and '.join(found)}; leave one {what}")
    return found[0] if found else None


def _object(line: str) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"{cells.cut(line)} is not JSON ({error}); is it cut short?") from None
    if not isinstance(found, dict):
        raise Unreadable(f"{cells.cut(line)} is not a JSON object; write one {{...}} a line")
    return found


def _json(first: dict[str, Any]) -> Format:
    if "hash_ids" in first:
        return Format("Mooncake", _mooncake, cells.show_ms, "milliseconds", has_blocks=True)
    time_name, prompt_name, output_name = _plain_names([*first])
    if time_name == "timestamp" and {"input_length", "output_length"} & first.keys():
        raise Unreadable(
            "has timestamp and input_length as Mooncake's and no hash_ids: are its times milliseconds or seconds? "
            "Rename timestamp to timestamp_ms or timestamp_s"
        )
    unit = TIMES[time_name]

    def row(line: str) -> Row:
        found = _object(line)
        return (
            cells.json_time(found, time_name, unit),
            cells.json_tokens(found, prompt_name, may_lack=True),
            cells.json_tokens(found, output_name, may_lack=True),
            (),
        )

    return _plain(row, unit)


def _mooncake(line: str) -> Row:
    found = _object(line)
    time_ns = cells.json_time(found, "timestamp", MS)
    prompt, output = cells.json_tokens(found, "input_length"), cells.json_tokens(found, "output_length")
    blocks = found.get("hash_ids", ())
    if not isinstance(blocks, list) or not all(
        type(one) is int and 0 <= one <= _BLOCK_MOST for one in blocks
    ):
        raise Unreadable(
            f"has hash_ids {cells.cut(str(blocks))}; give a list of whole numbers, e.g. [0, 1, 2]"
        )
    return time_ns, prompt, output, blocks
