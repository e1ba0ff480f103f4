"""All points of a finished run, made again from its directory: what `tokenswarm replay` sends.

The rule: they are the very points that were written while load ran (measurement, tags, time), with values as good as the table
allows: a second's tokens where they arrived, percentiles of all requests instead of sketches. `llm_writer` is not among them,
since how points were delivered then is nobody's business any more.

The table is read in portions; of a run of any length there is in memory what grows with its seconds and workers, and no more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from harness import files, results, rows, seconds, server_metrics, slo
from harness.errors import ConfigError
from harness.influx import bins, course, points
from harness.influx.bins import Bins
from harness.influx.course import Course
from harness.influx.intervals import Intervals
from harness.influx.lines import encoders
from harness.influx.point import Point, Unique
from harness.influx.schema import MEASUREMENTS
from harness.slo import Slos
from harness.windows import NEVER

__all__ = ["Lines", "Reread"]

Lines = tuple[str, list[bytes]]  # a measurement, and lines of it
Json = Mapping[str, Any]

PORTION: Final = 5_000  # lines of other measurements that are given at once
_REQUEST: Final = tuple(
    name for name in MEASUREMENTS["llm_request"].fields if name not in {"seq", "late_send_ms"}
)
_JUDGED: Final = ("ttft_ms", "ttfa_ms", "tpot_ms", "e2e_ms", "output_tokens_per_s", "first_chunk_tokens")
_COLUMNS: Final = tuple(
    dict.fromkeys((*_REQUEST, *_JUDGED, *bins.COLUMNS, *course.COLUMNS, "clock_offset_ns"))
)
_NULLABLE: Final = {pa.int64(): pd.Int64Dtype()}


class Reread:
    """A run directory whose points are to be made.

    Raises:
        ConfigError: it is none, or a run whose results were never written.
    """

    def __init__(self, directory: Path) -> None:
        self.run = results.load_run(directory)
        self._summary = results.load_summary(directory)
        self._directory = directory
        self._table = directory / "requests.parquet"
        if not self._table.is_file():
            raise ConfigError(
                f"{self._table}: missing; restore it, or `tokenswarm report {directory}` makes it from a journal"
            )
        self._started()
        with self._as_written():
            self._slos: Slos = slo.read((self.run.get("settings") or {}).get("slo") or ())
        self.requests = rows.count(self._table)
        self._encoders = encoders(str(self.run["run_id"]))

    def lines(self, read: Callable[[int], object] = lambda _: None) -> Iterator[Lines]:
        """All of them, some at a time. `read` is told how many requests have been read so far.

        Raises:
            ConfigError: a file of the run is damaged.
        """
        run, summary = self.run, self._summary
        with self._as_written():
            yield from self._lines("llm_level", points.level_points(run, summary))
            yield from self._lines("llm_worker", points.worker_points(run, run.get("workers") or ()))
            yield from self._lines("llm_event", points.event_points(run.get("events") or ()))
        yield from self._lines(
            "llm_client", map(points.client_point, seconds.load(self._directory / "client.csv"))
        )
        yield from self._lines(
            "llm_server",
            map(
                points.server_point,
                files.from_csv(self._directory / "server_metrics.csv", server_metrics.of_csv),
            ),
        )
        its = Bins(slos=bool(slo.on_requests(self._slos))), Course(), Intervals(self._table)
        yield from self._requests(*its, read)
        seconds_, course_, intervals = its
        yield from self._lines("llm_second", seconds_.points())
        yield from self._lines("llm_error", seconds_.errors())
        with self._as_written():
            yield from self._lines("llm_load", course_.points(run))
        yield from self._lines("llm_percentiles", intervals.points())
        yield "llm_run", [self.run_line(course_.begun_ns(run), seconds_.workers)]

    def run_line(self, begin_ns: int | None = None, workers: int | None = None) -> bytes:
        """The point of the run itself, by what is known without reading all of it."""
        end_ns = points.started_ns(self.run)
        with self._as_written():
            point = points.run_point(
                self.run, self._summary, now_ns=end_ns, begin_ns=begin_ns, workers=workers
            )
            return self._encoders["llm_run"].line(point.time_ns, point.values, **point.tags)

    def _started(self) -> None:
        """Look at what all of the run's own points hang on.

        Raises:
            ConfigError: run.json does not say when the run began.
        """
        try:
            points.started_ns(self.run)
        except (KeyError, ValueError) as error:
            said = self.run.get("started_at")
            raise ConfigError(
                f"{self._directory / 'run.json'}: started_at is {said!r}, no time; restore the file"
            ) from error

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """Within, things of run.json and summary.json are taken for what we write there."""
        try:
            yield
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{self._directory}: run.json or summary.json is not as tokenswarm writes it "
                f"({type(error).__name__}: {error}); restore them"
            ) from error

    def _lines(self, name: str, some: Iterable[Point]) -> Iterator[Lines]:
        line, portion = self._encoders[name].line, []
        for time_ns, values, tags in some:
            if made := line(time_ns, values, **tags):
                portion.append(made)
            if len(portion) >= PORTION:
                yield name, portion
                portion = []
        if portion:
            yield name, portion

    def _requests(
        self, seconds_: Bins, course_: Course, intervals: Intervals, read: Callable[[int], object]
    ) -> Iterator[Lines]:
        """`llm_request`; on the way everybody else sees the rows."""
        counts = _Counts()
        for part in rows.groups(self._table, _COLUMNS):
            seconds_.add(part, _good(part, self._slos))
            course_.add(part)
            intervals.add(part)
            yield "llm_request", self._of(part, counts)
            read(counts.all)

    def _of(self, part: pa.Table, counts: "_Counts") -> list[bytes]:
        line = self._encoders["llm_request"].line
        own = bins.column(part, "end_ns") + bins.column(part, "clock_offset_ns")
        sent, due = bins.column(part, "sent_ns"), bins.column(part, "scheduled_ns")
        late = np.where(sent == NEVER, np.nan, (sent - due) / 1e6).tolist()
        made = []
        # zip, since a dict a row out of pyarrow would take as long as the rest of this.
        for worker, outcome, own_ns, late_ms, *cells in zip(
            *(_list(part, name) for name in ("worker", "outcome")),
            own.tolist(),
            late,
            *(_list(part, name) for name in _REQUEST),
            strict=True,
        ):
            time_ns, seq = counts.next(worker, own_ns)
            values = dict(zip(_REQUEST, cells, strict=True))
            values["seq"], values["late_send_ms"] = seq, late_ms
            made.append(line(time_ns, values, worker=worker or "", outcome=outcome or ""))
        return made


class _Counts:
    """Of each worker, in the order of its journal: how many requests, and when the last one ended."""

    def __init__(self) -> None:
        self.all = 0
        self._workers: dict[str, tuple[Unique, list[int]]] = {}

    def next(self, worker: str, own_ns: int) -> tuple[int, int]:
        """The time of a worker's next point, and its number."""
        self.all += 1
        found = self._workers.get(worker)
        if found is None:
            found = self._workers[worker] = (Unique(), [0])
        times, number = found
        number[0] += 1
        return times.at(own_ns), number[0]


def _list(part: pa.Table, name: str) -> Sequence[Any]:
    """A column as Python's values; of what was not measured None or NaN."""
    column = part.column(name)
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and not column.null_count):
        return list(column.to_numpy().tolist())
    return list(column.to_pylist())


def _good(part: pa.Table, slos: Slos) -> "npt.NDArray[np.bool_] | None":
    if not slos:
        return None
    names = ["outcome", "streamed", "first_content_ns", "last_content_ns", "output_tokens", *_JUDGED]
    frame = part.select(list(dict.fromkeys(names))).to_pandas(types_mapper=_NULLABLE.get)
    return slo.good_rows(frame, slos)
