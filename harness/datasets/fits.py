"""Whether a dataset's longest entries fit into the server's context: seen before load, not from answers that fail.

A few entries are looked at: those with the most text, with and without a length for the answer, and the one that wants the
longest answer. What is counted is no
more than what is sent (a template around it, and that of a chat beyond its first turn, are left out), so nothing is refused that
might fit. Not every entry is counted: that would take longer than many a run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from harness.backends.base import Turn
from harness.datasets.dataset import Dataset
from harness.datasets.entries import Entry
from harness.errors import ConfigError

__all__ = ["refuse_beyond"]

_CHARACTERS: Final = 16  # of a text that are counted, for each token of the context; few words are longer


def refuse_beyond(
    dataset: Dataset, context: int, output: float, count: Callable[[str], int] | None, *, is_chat: bool
) -> None:
    """See that the longest entries fit.

    Args:
        dataset: which.
        context: tokens that the server takes, prompt and answer together.
        output: tokens of an answer where the entry does not say.
        count: prompt tokens of a text; None: nothing here can count them.
        is_chat: an entry is asked turn by turn; else all of it is one request.

    Raises:
        ConfigError: one does not fit.
    """
    for entry in _suspects(dataset):
        text = _asked(entry.turns, is_chat=is_chat)
        seen = text[: _CHARACTERS * context]
        tokens = 1 if count is None else count(seen)
        wanted = entry.output_tokens or output
        if tokens + wanted <= context:
            continue
        least = "" if count is not None and seen == text else "at least "
        raise ConfigError(
            f"--dataset {dataset.path} entry {entry.number + 1}: its prompt of {len(text):,} characters has {least}{tokens:,} "
            f"tokens and its answer {wanted:,.0f}: the server takes {context:,} a request, prompt and answer together; "
            f"{_remedy(context - wanted, len(seen) / tokens)}, or raise the server's context"
        )


def _remedy(room: float, a_token: float) -> str:
    """What would be right, with room for so many tokens of so many characters."""
    if room < 1:
        return "ask for shorter answers"
    return f"leave out entries of more than about {max(1.0, room * a_token):,.0f} characters"


def _suspects(dataset: Dataset) -> Iterator[Entry]:
    plain = replace(dataset, order=None)  # by number, whatever the order
    for number in dataset.contents.extremes:
        yield next(plain.entries(start=number))


def _asked(turns: Sequence[Turn], *, is_chat: bool) -> str:
    """The text of an entry's first request."""
    users = [at for at, turn in enumerate(turns) if turn.role == "user"]
    last = users[0 if is_chat else -1]
    return "\n".join(turn.text for turn in turns[: last + 1])
