"""What one user class asks for next: a prompt of the right kind and size, under the right name.

    Menu.pick(number, level)    which supply: the level's own in a sweep over lengths, a part of the mixture, or the one there is
    Supply.want(number, due)    the next request of it: a prompt that was built, ids, an entry of a dataset, or what a trace says

A number is the request's in the whole run, over all workers. In an open loop it is the arrival's, and everything follows from
it; in a closed loop each worker counts its own (`Numbers`), and draws differ from worker to worker.

Nothing is tokenised here and nothing waits but for a dataset's disk.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from harness.backends.base import Turn
from harness.conversation import Chats, Script, at_once, script
from harness.datasets.stream import Stream
from harness.distributions import Distribution
from harness.id_prompts import IdPrompts
from harness.joint import Pairs
from harness.mix import Mixture
from harness.supply import Draws, RequestSpec, Sharing, Workload
from harness.templates import Template
from harness.think import Think
from harness.traces import Due

__all__ = ["Menu", "Numbers", "Supply", "Want"]


class Want(NamedTuple):
    """One request to make, or a chat's first."""

    prompt: str | tuple[int, ...]
    output_tokens: int
    requested_prompt_tokens: int | None = None  # None: nobody sized it
    turns: tuple[Turn, ...] = ()  # the conversation so far, `prompt` being its end
    later: tuple[
        tuple[Turn, ...], ...
    ] = ()  # what the user says in a chat's later turns, where that is given
    sizes: tuple[int, ...] = ()  # how much it says there, where that is not


class Numbers:
    """Numbers for one worker's requests that no other worker has."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._taken = 0

    @property
    def first(self) -> int:
        """The first of them, which tells this worker from others."""
        return self._sharing.first + self._sharing.every * self._sharing.skipped

    def next(self) -> int:
        """The next of them."""
        first, every, skipped = self._sharing
        number = first + every * (skipped + self._taken)
        self._taken += 1
        return number


@dataclass(slots=True)
class Supply:
    """One kind of request. Either `work` or `entries` is there."""

    outputs: Distribution
    seed: int
    name: str | None = None  # a part's of a mixture
    work: Workload | IdPrompts | None = None
    pairs: Pairs | None = None  # of lengths, which `work` draws from where it is of ids
    entries: Stream | None = None  # other supplies may have the same
    chats: Chats | None = None
    turns: Distribution | None = (
        None  # of a dataset's conversations: how many of theirs at most; None: sent at once
    )
    busts_cache: bool = False
    templates: tuple[Template, ...] = ()  # around what users of `entries` say first; `work` has its own
    draws: Draws = field(init=False)

    def __post_init__(self) -> None:
        self.draws = Draws(self.seed)

    def want(self, number: int, due: Due | None, *, by_number: bool) -> Want:
        """Request `number`; `due` is what a trace says of it, `by_number` whether all is to follow from the number."""
        if self.entries is not None:
            return self._of_dataset(self.entries, number)
        if self.work is None:
            raise ValueError("a supply that has nothing to give")
        spec = self._spec(self.work, number, due, by_number=by_number)
        sizes = self.chats.sizes(number) if self.chats else ()
        return Want(spec.prompt, spec.output_tokens, spec.requested_prompt_tokens, sizes=sizes)

    def words(self, number: int, turn: int, tokens: int) -> str:
        """Text for a later turn of chat `number`."""
        if not isinstance(self.work, Workload):
            raise TypeError("a chat is made of words")
        return self.work.text(number * 1_000 + turn, tokens)

    def output(self, number: int, turn: int) -> int:
        """How long the answer to a chat's later turn shall be."""
        return self.draws.output(number * 1_000 + turn, self.outputs)

    @property
    def inexact(self) -> int:
        """Prompts that are not of the size asked for."""
        return 0 if self.work is None else self.work.inexact

    @staticmethod
    def _spec(work: Workload | IdPrompts, number: int, due: Due | None, *, by_number: bool) -> RequestSpec:
        if due is not None and due.prompt_tokens is not None:
            if due.blocks:
                return work.of_blocks(number, due.prompt_tokens, due.blocks, due.output_tokens)
            return work.of_size(number, due.prompt_tokens, due.output_tokens)
        return work.take(number if by_number else None)

    def _of_dataset(self, entries: Stream, number: int) -> Want:
        entry = entries.take()
        output = (
            self.draws.output(number, self.outputs) if entry.output_tokens is None else entry.output_tokens
        )
        turns = self._framed(number, entry.turns) if self.templates else entry.turns
        turns = self._fresh(turns) if self.busts_cache else turns
        if self.turns is None:
            said = at_once(turns)
            return Want(said[-1].text, output, turns=said)
        told: Script = script(turns, self.turns.sample(self.draws.words(number)))
        first, *later = told.steps
        said = (*told.opening, *first)
        return Want(said[-1].text, output, turns=said, later=tuple(later))

    def _framed(self, number: int, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """With a template around the first thing that the user says."""
        template = self.templates[self.draws.template(number, len(self.templates)) or 0]
        at = next(at for at, turn in enumerate(turns) if turn.role == "user")
        framed = turns[at]._replace(text=template.around(turns[at].text))
        return (*turns[:at], framed, *turns[at + 1 :])

    @staticmethod
    def _fresh(turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """With something new at the very beginning, so that no prefix is known."""
        first = turns[0]
        return (first._replace(text=f"[{uuid4().hex[:12]}] {first.text}"), *turns[1:])


@dataclass(slots=True)
class Menu:
    """All supplies of one user class, by level; 0, or else the first, holds where a level has none of its own."""

    supplies: Mapping[int, tuple[Supply, ...]]
    numbers: Numbers
    seed: int
    mixture: Mixture | None = None
    think: Think | None = None  # of chats' users; None: they do not
    pauses: random.Random = field(default_factory=random.Random)
    streams: Mapping[str, Stream] = field(default_factory=dict)  # all datasets, by name as given

    def pause_s(self) -> float:
        """How long a chat's user thinks, in seconds."""
        return 0.0 if self.think is None else self.think.sample(self.pauses)

    def pick(self, number: int, level: int) -> Supply:
        """The supply that request `number` is taken from."""
        found = self.supplies.get(level) or self.supplies.get(0) or next(iter(self.supplies.values()))
        if self.mixture is None:
            return found[0]
        return found[self.mixture.parts.index(self.mixture.pick(number, self.seed))]

    def every(self) -> Iterator[Supply]:
        """All of them."""
        for some in self.supplies.values():
            yield from some

    @property
    def inexact(self) -> int:
        """Prompts that are not of the size asked for."""
        return sum(supply.inexact for supply in self.every())

    def close(self) -> None:
        """No dataset is read any longer."""
        for stream in self.streams.values():
            stream.close()
