"""The seconds of a run's workers, counted again from its table: `llm_second` and `llm_error`, exact.

The rule: what `harness.windows` says of a window holds for each second, so sums over seconds are sums over requests. A response's
tokens are spread evenly over its content events; one that was not streamed gives all of them at its end, and so does one that was
counted although no content came. Prompt tokens count when the first content came. A stamp at a second's end is the next one's.

Rows may come in any order and any portions; what is held grows with seconds and workers, not with requests. All times are on the
run's clock, ns in int64.

Pure: arrays in, values out.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.errors import ConfigError
from harness.influx.point import SECOND, Point, Values
from harness.windows import NEVER, Floats, Ints

__all__ = ["COLUMNS", "LONGEST_S", "Bins", "column", "seconds"]

MARGIN: Final = (
    2  # seconds before a worker's first and after its last that are written: live ones may be off by one
)
LONGEST_S: Final = 31 * 86_400  # of a run; stamps that are further apart are damage
_SLACK: Final = 600  # seconds that are made room for at once

COLUMNS: Final = (
    *("worker", "outcome", "error_class", "streamed", "scheduled_ns", "sent_ns", "first_content_ns", "last_content_ns"),
    *("end_ns", "chunk_gaps_us", "output_tokens", "prompt_tokens"),
)  # fmt: skip
_OUTCOMES: Final = {"ok": "succeeded", "failed": "failed", "cancelled": "cancelled"}
_ROWS: Final = (
    *("scheduled", "sent", "succeeded", "failed", "cancelled", "good", "output_tokens", "prompt_tokens"),
    *("ended", "unsent"),  # over; over and never sent
)
_ROW: Final = {name: index for index, name in enumerate(_ROWS)}


class Bins:
    """Seconds of all workers."""

    def __init__(self, *, slos: bool = False) -> None:
        """`slos`: there are service levels on single requests, so `good` is written."""
        self._slos = slos
        self._tracks: dict[str, _Track] = {}
        self._errors: Counter[tuple[str, int, str]] = Counter()

    def add(self, part: pa.Table, good: npt.NDArray[np.bool_] | None = None) -> None:
        """Take in rows with `COLUMNS`; `good`: which of them met the service levels.

        Raises:
            ConfigError: stamps that cannot be of one run.
        """
        codes = part.column("worker").fill_null("").combine_chunks().dictionary_encode()
        owners = codes.indices.to_numpy(zero_copy_only=False)
        at = _Stamps(part)
        for code, worker in enumerate(codes.dictionary.to_pylist()):
            track = self._tracks.setdefault(worker, _Track(worker))
            mine = owners == code
            track.reach(at.scheduled[mine], at.ended[mine])
            self._count(track, at, mine, part, good)
            spread = mine[at.of]  # which events are this worker's
            track.count("output_tokens", at.events[spread], at.weights[spread])
        self._note_errors(part, at)

    @property
    def workers(self) -> int:
        """How many have rows."""
        return len(self._tracks)

    def points(self) -> Iterator[Point]:
        """`llm_second` of every worker and second, those in which nothing happened too."""
        for worker, track in sorted(self._tracks.items()):
            first, found = track.written()
            flying = np.cumsum(found[_ROW["scheduled"]] - found[_ROW["ended"]])
            waiting = np.cumsum(found[_ROW["scheduled"]] - found[_ROW["sent"]] - found[_ROW["unsent"]])
            for place, cells in enumerate(found.T.tolist()):
                its = dict(zip(_ROWS, cells, strict=True))
                values: Values = {
                    **{name: its[name] for name in ("scheduled", "sent", *_OUTCOMES.values())},
                    "good": its["good"] if self._slos else None,
                    "output_tokens": its["output_tokens"],
                    "output_tokens_correction": 0.0,
                    "prompt_tokens": its["prompt_tokens"],
                    "in_flight": max(0.0, float(flying[place])),
                    "waiting": max(0.0, float(waiting[place])),
                }
                yield Point((first + place) * SECOND, values, {"worker": worker})

    def errors(self) -> Iterator[Point]:
        """`llm_error` of every worker, second and class of which there was one."""
        for (worker, second, word), number in sorted(self._errors.items()):
            yield Point(second * SECOND, {"requests": number}, {"worker": worker, "error_class": word})

    def _count(
        self,
        track: "_Track",
        at: "_Stamps",
        mine: npt.NDArray[np.bool_],
        part: pa.Table,
        good: npt.NDArray[np.bool_] | None,
    ) -> None:
        went = at.sent != NEVER
        track.count("scheduled", at.scheduled[mine])
        track.count("sent", at.sent[mine & went])
        track.count("ended", at.ended[mine])
        track.count("unsent", at.ended[mine & ~went])
        outcomes = np.asarray(part.column("outcome").to_numpy(zero_copy_only=False))
        for word, name in _OUTCOMES.items():
            track.count(name, at.ended[mine & (outcomes == word)])
        if good is not None:
            track.count("good", at.ended[mine & good])
        counted = mine & ~np.isnan(at.prompt_tokens)
        track.count("prompt_tokens", at.first[counted], at.prompt_tokens[counted])

    def _note_errors(self, part: pa.Table, at: "_Stamps") -> None:
        words = part.column("error_class")
        if words.null_count == part.num_rows:
            return
        workers = part.column("worker").to_pylist()
        for worker, ended_ns, word in zip(workers, at.ended.tolist(), words.to_pylist(), strict=True):
            if word is not None:
                self._errors[worker or "", ended_ns // SECOND, word] += 1


class _Stamps:
    """Of some rows: when what happened, and all of their content events, of which `of` says whose they are."""

    def __init__(self, part: pa.Table) -> None:
        self.scheduled, self.sent, self.ended = (
            column(part, f"{name}_ns") for name in ("scheduled", "sent", "end")
        )
        self.prompt_tokens = _known(part, "prompt_tokens")
        first, last = column(part, "first_content_ns"), column(part, "last_content_ns")
        whole = np.where(last == NEVER, self.ended, last)
        flows = np.asarray(part.column("streamed").to_numpy(zero_copy_only=False), bool) & (first != NEVER)
        self.first = np.where(flows, first, whole)
        self.of, self.events, self.weights = self._events(part, flows)

    def _events(self, part: pa.Table, flows: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, Floats]:
        lists = part.column("chunk_gaps_us").combine_chunks()
        gaps_ns = np.rint(np.nan_to_num(lists.flatten().to_numpy(zero_copy_only=False)) * 1e3).astype(
            np.int64
        )
        lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        tokens = _known(part, "output_tokens")
        kept = flows & (tokens > 0)
        # One event for each of the others, and those without tokens, so that rows and events go together.
        gaps_ns = gaps_ns[np.repeat(kept, lengths)]
        number = np.where(kept, lengths, 0) + 1
        of: Ints = np.repeat(np.arange(len(number)), number)
        begins = np.cumsum(number) - number
        steps = np.zeros(len(of), np.int64)
        later = np.ones(len(of), bool)
        later[begins] = False
        steps[later] = gaps_ns
        run = np.cumsum(steps)
        times: Ints = run + (self.first - run[begins])[of]
        weights: Floats = (np.nan_to_num(tokens) / number)[of]
        return of, times, weights


class _Track:
    """One worker's seconds: an array a figure, from `_base` on."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._base = 0
        self._cells = np.zeros((len(_ROWS), 0))
        self._first, self._last = 0, -1  # seconds in which something happened

    def reach(self, begun_ns: Ints, ended_ns: Ints) -> None:
        """Make room for what happened between them."""
        first, last = int(begun_ns.min()) // SECOND, int(ended_ns.max()) // SECOND
        if self._last >= self._first:
            first, last = min(first, self._first), max(last, self._last)
        if not 0 <= last - first < LONGEST_S:
            raise ConfigError(
                f"requests.parquet: stamps of worker {self._worker!r} are {(last - first) / 86_400:,.0f} days apart; "
                "the table is damaged"
            )
        self._first, self._last = first, last
        self._room(first - MARGIN, last + MARGIN + 1)

    def count(self, name: str, times_ns: Ints, weights: Floats | None = None) -> None:
        """Add to a figure's seconds; what lies before the first or after the last counts in these."""
        if not len(times_ns):
            return
        places = np.clip(times_ns // SECOND, self._first, self._last) - self._base
        least = int(places.min())
        found = np.bincount(places - least, weights)
        self._cells[_ROW[name], least : least + len(found)] += found

    def written(self) -> tuple[int, Floats]:
        """The second of the first column, and one column a second."""
        first, end = self._first - MARGIN, self._last + MARGIN + 1
        return first, self._cells[:, first - self._base : end - self._base]

    def _room(self, first: int, end: int) -> None:
        have = self._cells.shape[1]
        if have and first >= self._base and end <= self._base + have:
            return
        base = min(first - _SLACK, self._base) if have else first - _SLACK
        until = max(end + _SLACK, self._base + have) if have else end + _SLACK
        cells = np.zeros((len(_ROWS), until - base))
        cells[:, self._base - base : self._base - base + have] = self._cells if have else 0
        self._base, self._cells = base, cells


def column(part: pa.Table, name: str) -> Ints:
    """A column of integers, `NEVER` where null."""
    return np.asarray(part.column(name).fill_null(NEVER).to_numpy(), np.int64)


def seconds(times_ns: Ints) -> Ints:
    """Which seconds since 1970 these are in."""
    found: Ints = times_ns // SECOND
    return found


def _known(part: pa.Table, name: str) -> Floats:
    """A column as float64, NaN where null."""
    return np.asarray(part.column(name).cast(pa.float64()).to_numpy(), np.float64)
