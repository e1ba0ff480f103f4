"""What a campaign compares: a few figures a level, out of the runs' own summaries, over rounds.

Nothing is measured here, and nothing computed but ratios of what `summary.json` has. With n the requests of a level, P
their prompt tokens, C those of them that a cache had:

    prefill   (sum P - C) / sum of the server's prefill times, tokens/s while a prompt is read. Where the server does not
              time itself, / sum TTFT: queueing and network are in it, so it is a lower bound, and is marked `~`
    decode    system_output_tokens_per_s: tokens/s of all users together
    per user  decode / concurrency
    scaling   decode / decode at the run's lowest level

A row is a target with its axes at one level. Its figure is the median of its rounds, with the least and the greatest. A p95 that
some round does not carry (`harness.carried`) is withheld: it is in campaign.csv, and in no table and no comparison.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness import carried
from harness.level_slo import all_met

__all__ = ["COLUMNS", "Column", "Figure", "Round", "Row", "best", "rows"]

_PERCENTILES: Final = (("ttft_ms_p95", "ttft_ms", "p95"),)  # that need more than one request
_VERDICTS: Final = ("valid", "suspect", "invalid")


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of the comparison."""

    name: str  # in campaign.csv
    heading: str
    group: str
    is_better_high: bool
    scale: float = 1.0  # of what is shown


COLUMNS: Final = (
    Column("prefill_tokens_per_s", "prefill", "tok/s", is_better_high=True),
    Column("decode_tokens_per_s", "decode", "tok/s", is_better_high=True),
    Column("decode_tokens_per_s_per_user", "per user", "tok/s", is_better_high=True),
    Column("scaling", "scaling", "", is_better_high=True),
    Column("request_tokens_per_s", "median", "tok/s a request", is_better_high=True),
    Column("ttft_ms_p50", "p50", "TTFT ms", is_better_high=False),
    Column("ttft_ms_p95", "p95", "TTFT ms", is_better_high=False),
    Column("tpot_ms_p50", "p50", "TPOT ms", is_better_high=False),
    Column("e2e_ms_p50", "p50", "E2E s", is_better_high=False, scale=1e-3),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over the rounds in which it was measured."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Of one value or more."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Round:
    """One run that is done: which row it is a round of, and its summary."""

    row: str
    number: int
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One target with its axes at one level."""

    name: str
    title: str  # of the level: `8 users`
    kind: str
    value: str
    rounds: int
    succeeded: int
    requests: int
    figures: Mapping[str, Figure]  # by the column's name; without those that were not measured
    withheld: frozenset[str]  # those of them that some round has too few requests for
    is_lower_bound: bool  # prefill, from TTFT
    verdict: str
    slo_met: bool | None

    @property
    def is_eligible(self) -> bool:
        """Whether it may be the best: what cannot be trusted is not."""
        return self.verdict != "invalid" and self.succeeded > 0


def rows(rounds: Sequence[Round]) -> list[Row]:
    """The rows, in the order of the rounds' names, then by level."""
    found = []
    for name in dict.fromkeys(one.row for one in rounds):
        mine = [one for one in rounds if one.row == name]
        levels = {_key(level): level for one in mine for level in one.summary["levels"]}
        found += [_row(name, key, mine) for key in sorted(levels)]
    return found


def best(found: Sequence[Row], column: Column) -> set[int]:
    """Places of the best rows of a column, one set of candidates for each level; none where nothing competes.

    One whose rounds reach the median of the best is as good: the difference is within what repeats differ by.
    """
    winners: set[int] = set()
    sign = 1.0 if column.is_better_high else -1.0
    for title in {row.title for row in found}:
        known = [
            (at, row.figures[column.name])
            for at, row in enumerate(found)
            if row.title == title and row.is_eligible and column.name in row.figures.keys() - row.withheld
        ]
        if len({(figure.least, figure.most) for _, figure in known}) < 2:
            continue  # nothing competes, or nothing differs
        top = max(sign * figure.median for _, figure in known)
        reach = ((at, max(sign * figure.least, sign * figure.most)) for at, figure in known)
        winners |= {at for at, reached in reach if reached >= top}
    return winners


def _key(level: Mapping[str, Any]) -> tuple[int, str]:
    number = level.get("level", level.get("concurrency"))
    return (number if isinstance(number, int) else 0, _title(level))


def _title(level: Mapping[str, Any]) -> str:
    users = level.get("concurrency")
    return str(level.get("title") or f"{users} user{'s' * (users != 1)}")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(name: str, key: tuple[int, str], rounds: Sequence[Round]) -> Row:
    pairs = [(one.summary, level) for one in rounds for level in one.summary["levels"] if _key(level) == key]
    levels = [level for _, level in pairs]
    values: dict[str, list[float]] = {}
    for summary, level in pairs:
        for column, value in _figures(level, summary["levels"]):
            if value is not None:
                values.setdefault(column, []).append(value)
    few = {
        name
        for name, figure, key in _PERCENTILES
        for level in levels
        if carried.withheld(level[figure], [key])
    }
    met = [all_met(level.get("slo") or ()) for level in levels]
    return Row(
        name=name,
        title=key[1],
        kind=str(levels[0].get("kind") or "concurrency"),
        value=_plain(levels[0].get("value") or levels[0].get("concurrency")),
        rounds=len(pairs),
        succeeded=sum(level["succeeded"] for level in levels),
        requests=sum(level["requests"] for level in levels),
        figures={column: Figure.of(known) for column, known in values.items()},
        withheld=frozenset(few),
        is_lower_bound=any(not _is_timed(level) for level in levels),
        verdict=max((summary["verdict"]["status"] for summary, _ in pairs), key=_VERDICTS.index),
        slo_met=False if False in met else None if None in met else True,
    )


def _figures(
    level: Mapping[str, Any], levels: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, float | None]]:
    decode, users = level["system_output_tokens_per_s"], level.get("concurrency")
    lowest = min(levels, key=_key)["system_output_tokens_per_s"]
    yield "prefill_tokens_per_s", _prefill(level)
    yield "decode_tokens_per_s", decode
    yield "decode_tokens_per_s_per_user", _ratio(decode, users)
    yield "scaling", _ratio(decode, lowest)
    yield "request_tokens_per_s", level["request_output_tokens_per_s"]["median"]
    yield "ttft_ms_p50", level["ttft_ms"]["p50"]
    yield "ttft_ms_p95", level["ttft_ms"]["p95"]
    yield "tpot_ms_p50", level["tpot_ms"]["p50"]
    yield "e2e_ms_p50", level["e2e_ms"]["p50"]


def _is_timed(level: Mapping[str, Any]) -> bool:
    """Whether the server timed the prefill of as many requests as it counted."""
    return bool(level["server_prefill_ms"]["n"])


def _prefill(level: Mapping[str, Any]) -> float | None:
    prompts = level["prompt_tokens"]
    times = level["server_prefill_ms"] if _is_timed(level) else level["ttft_ms"]
    if prompts["mean"] is None or times["mean"] is None:
        return None
    fresh = prompts["mean"] - (level["cached_tokens"] or 0) / prompts["n"]
    return _ratio(fresh * 1e3, times["mean"])


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
