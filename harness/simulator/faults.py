"""What goes wrong on purpose (`--fault KIND:RATE[,key=value...]`), drawn and settled before an answer begins.

    latency       the answer begins `ms` later
    stall         a pause of `ms` after `after` tokens; the request keeps its slot
    reset         the connection is reset after `after` tokens
    truncate      the answer stops after `after` tokens, framed as if it were whole but without its end mark
    status        an error with `code` instead of an answer, with `retry-after` seconds if given
    stream-error  an error inside the 200 stream after `after` tokens, as the dialect words it
    garbage       bytes of no dialect after `after` tokens; the answer goes on
    wrong-counts  the usage is off: times `factor`, plus `add`, `of` output, prompt or both
    bundle        1 to `tokens` tokens in an event, anew for each
    role, empty, usage   a chunk of this kind that is no token, after `after` tokens

An answer that is not longer than `after` meets its fault before its last token. `ms`, `after` and `tokens` may be ranges, `5-20`.
One that is not streamed is reset the same; its truncation is the first half of its body, its garbage the
whole of it, its stream-error a reply with `code`; it has no chunks that could be bundled or added to.

Which requests are hit depends on the seed, the request's own key and how often that key has come, not on
the order of arrival: the same requests meet the same faults, and a retry may meet another. Nothing is sent
here; the exchange does what is settled. `fault_options` reads the option.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Series
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus
from random import Random
from typing import Final, Literal, TypeAlias

from harness.simulator.batching import Sequence
from harness.simulator.dialect import Filler
from harness.simulator.fields import Refusal

REMEMBERED: Final = 1_000_000  # different requests, before their repetitions are forgotten
GARBAGE: Final = b"\xff\xfe{]not of this dialect"


class Kind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    STALL = "stall"
    RESET = "reset"
    TRUNCATE = "truncate"
    STATUS = "status"
    STREAM_ERROR = "stream-error"
    GARBAGE = "garbage"
    WRONG_COUNTS = "wrong-counts"
    BUNDLE = "bundle"
    ROLE = "role"
    EMPTY = "empty"
    USAGE = "usage"


FILLERS: Final[Mapping[Kind, Filler]] = {Kind.ROLE: "role", Kind.EMPTY: "empty", Kind.USAGE: "usage"}
BREAKS: Final = frozenset({Kind.RESET, Kind.TRUNCATE, Kind.STREAM_ERROR})  # the answer ends there
_PLACED: Final = frozenset({Kind.STALL, Kind.GARBAGE, *FILLERS, *BREAKS})
What: TypeAlias = Literal["output", "prompt", "both"]


@dataclass(frozen=True, slots=True)
class Span:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def draw(self, random: Random) -> int:
        """One of them, all equally likely."""
        return random.randint(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Fault:
    """One `--fault`. Only the values of its own kind mean anything."""

    kind: Kind
    rate: float  # of the requests
    ms: Span = Span(1000, 1000)
    after: Span = Span(5, 5)
    tokens: Span = Span(8, 8)
    code: int = 500
    retry_after: int | None = None  # s
    factor: float | None = None  # None: 2 if nothing is added
    add: int = 0
    of: What = "output"


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that happens at one place of an answer. `ms` is a stall's, `code` a stream-error's."""

    kind: Kind
    ms: int
    code: int

    @property
    def refusal(self) -> Refusal:
        """What a stream-error says."""
        return Refusal(self.code, HTTPStatus(self.code).phrase)


@dataclass(frozen=True, slots=True)
class Trouble:
    """All that one request meets. `mishaps` by the number of tokens sent before, a break last."""

    latency_ms: int = 0
    refusal: Refusal | None = None
    mishaps: Mapping[int, tuple[Mishap, ...]] = field(default_factory=dict)
    counts: Fault | None = None
    bundle: Span | None = None
    random: Random = field(default_factory=lambda: Random(0))  # for the sizes of bundles
    hit: tuple[Kind, ...] = ()  # of what happens before the first token or all along


NO_TROUBLE: Final = Trouble()


@dataclass(slots=True)
class Fate:
    """Draws each request's trouble. Remembers how often each key came."""

    faults: tuple[Fault, ...]
    seed: int
    _times: dict[int, int] = field(default_factory=dict)

    def draw(self, key: int, output_tokens: int) -> Trouble:
        """What a request with this key meets, which will produce so many tokens."""
        if not self.faults:
            return NO_TROUBLE
        if len(self._times) >= REMEMBERED:
            self._times.clear()
        self._times[key] = self._times.get(key, 0) + 1
        drawn = [
            (fault, random)
            for index, fault in enumerate(self.faults)
            if (random := Random(f"{self.seed}|{index}|{fault.kind}|{key}|{self._times[key]}")).random()
            < fault.rate
        ]
        return _settle(drawn, output_tokens) if drawn else NO_TROUBLE


def miscount(sequence: Sequence, fault: Fault) -> Sequence:
    """A finished sequence as a server with wrong counts would tell of it."""
    factor = (1.0 if fault.add else 2.0) if fault.factor is None else fault.factor

    def off(tokens: int, what: What) -> int:
        return max(0, round(tokens * factor) + fault.add) if fault.of in {what, "both"} else tokens

    prompt, output = off(sequence.prompt_tokens, "prompt"), off(sequence.produced, "output")
    return replace(sequence, prompt_tokens=prompt, prefilled=prompt, output_tokens=output, produced=output)


def _settle(drawn: Series[tuple[Fault, Random]], output_tokens: int) -> Trouble:
    trouble, placed = NO_TROUBLE, []
    for fault, random in drawn:
        if fault.kind is Kind.LATENCY:
            trouble = replace(trouble, latency_ms=trouble.latency_ms + fault.ms.draw(random))
        elif fault.kind is Kind.STATUS:
            trouble = trouble if trouble.refusal else replace(trouble, refusal=_refusal(fault))
        elif fault.kind is Kind.WRONG_COUNTS:
            trouble = replace(trouble, counts=fault)
        elif fault.kind is Kind.BUNDLE:
            trouble = replace(trouble, bundle=Span(1, fault.tokens.draw(random)), random=random)
        else:
            # Some dialects end their stream with the last token's event: after it there is nothing to spoil.
            at = min(fault.after.draw(random), max(0, output_tokens - 1))
            placed.append((at, Mishap(fault.kind, fault.ms.draw(random), fault.code)))
    hit = dict.fromkeys(fault.kind for fault, _ in drawn if fault.kind not in _PLACED)
    if trouble.refusal is not None:  # nothing else can come to pass
        hit = dict.fromkeys(kind for kind in hit if kind in {Kind.LATENCY, Kind.STATUS})
    return replace(trouble, mishaps=dict(_by_place(placed)), hit=tuple(hit))


def _by_place(placed: Series[tuple[int, Mishap]]) -> Iterator[tuple[int, tuple[Mishap, ...]]]:
    """All mishaps up to and with the first break; at one place that break comes last."""
    for place in sorted({at for at, _ in placed}):
        here = [mishap for at, mishap in placed if at == place]
        breaks = [mishap for mishap in here if mishap.kind in BREAKS]
        yield place, (*(m for m in here if m.kind not in BREAKS), *breaks[:1])
        if breaks:
            return


def _refusal(fault: Fault) -> Refusal:
    after = fault.retry_after
    headers = () if after is None else (("Retry-After", str(after)),)
    return Refusal(fault.code, HTTPStatus(fault.code).phrase, headers=headers)
