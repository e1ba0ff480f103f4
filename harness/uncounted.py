"""Token counts that a server did not give, from the text it sent.

Called when load is over. Nothing here ever takes the place of a server's own count.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from harness.journal import unpack
from harness.record import RequestRecord, TokenSource

__all__ = ["CountTokens", "count_missing", "filled"]

CountTokens = Callable[[str], int]

CHARACTERS_A_TOKEN: Final = 4  # of English in current vocabularies; the estimate's only assumption
_COUNTS: Final = ("prompt_tokens", "prompt_token_source", "output_tokens", "token_source")


def count_missing(
    record: RequestRecord, count_tokens: CountTokens | None, counted_by: TokenSource
) -> RequestRecord:
    """The record with its tokens counted, if its server did not and text came.

    `count_tokens` gives `counted_by`; without it the output count is an estimate, characters / 4 rounded up.
    Neither is ever less than the content events, since an event carries at least one token. A prompt was counted when it was
    sized, by the same tokenizer or estimate, so it has the size that was asked for.
    """
    if record.prompt_tokens is None and record.text and record.requested_prompt_tokens is not None:
        source = TokenSource.ESTIMATED if count_tokens is None else counted_by
        record = replace(record, prompt_tokens=record.requested_prompt_tokens, prompt_token_source=source)
    if record.output_tokens is not None or not record.text:
        return record
    if count_tokens is not None:
        # An event carries at least one token, though its text may go into one with the next one's.
        counted = max(count_tokens(record.text), record.chunks)
        return replace(record, output_tokens=counted, token_source=counted_by, text=None)
    guess = max(record.chunks, math.ceil(len(record.text) / CHARACTERS_A_TOKEN))
    return replace(record, output_tokens=guess, token_source=TokenSource.ESTIMATED, text=None)


def filled(line: dict[str, Any], count_tokens: CountTokens | None, counted_by: TokenSource) -> dict[str, Any]:
    """`count_missing` for a record's line in a journal; a line that is no record is as it was."""
    try:
        record = count_missing(unpack(line), count_tokens, counted_by)
    except (TypeError, ValueError):
        return line  # it is no record, and will be found out
    return line | {name: getattr(record, name) for name in _COUNTS}
