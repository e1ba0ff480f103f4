"""What one process of a run does for InfluxDB, from beginning to end; nothing at all where no INFLUXDB_URL is set.

direct    this process directs a run: the run's points are followed
send      it sends requests: those of a part are
start     load begins
event, sample, window   for the run's points
drained   nothing is in flight any more: the last seconds go out; what became of the points so far
results   the results are written: what came of it goes out
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path

from harness import files, slo
from harness.clock import unix_now_ns
from harness.errors import ConfigError
from harness.feed import Feed
from harness.grafana.access import read_url
from harness.grafana.links import run_link
from harness.influx import access
from harness.influx.direction import Directed, RunPoints
from harness.influx.part import PartPoints
from harness.influx.point import Json
from harness.influx.sink import Sink, open_sink
from harness.influx.tally import Counts
from harness.live import View
from harness.load import Load
from harness.orders import Points
from harness.server_metrics import Sample

__all__ = ["Watch", "check", "has_dashboard", "open_watch"]


class Watch:
    """One process's, of one run."""

    def __init__(self, sink: Sink | None = None, link: Callable[[int | None], str] | None = None) -> None:
        """A new one.

        Args:
            sink: takes the points; None: nobody wants to know.
            link: makes the address of the run's dashboard, with its end in Unix ms or None.
        """
        self._sink = sink
        self._link = link
        self._end_ms: int | None = None
        self._run: RunPoints | None = None
        self._part: PartPoints | None = None
        self._points: Points | None = None

    def direct(self, run: Directed, stored: Json, begun_ns: int) -> None:
        """This process directs the run; `stored` is its run.json, `begun_ns` when load begins, Unix ns."""
        if self._sink is not None:
            self._run = RunPoints(run, stored, begun_ns)
            self._sink.follow(self._run.collect)

    def send(self, load: Load, run_id: str, users: Callable[[], int], ahead_ns: int = 0) -> Feed | None:
        """This process sends, from now on.

        Args:
            load: its part of the run.
            run_id: the run.
            users: how many are up here.
            ahead_ns: this process's Unix time less the run's.
        """
        if self._sink is None:
            return None

        def counts() -> Counts:
            held = sum(tally.backlog for tally in load.tallies())  # due, and not given to anybody yet
            waiting = max(0, load.in_flight - len(load.engine.flying))
            return Counts(load.offered + held, load.in_flight + held, waiting + held, users())

        slos = load.settings.slos
        self._part = PartPoints(
            run_id,
            load.name,
            counts=counts,
            flying=lambda: load.engine.flying,
            ahead_ns=ahead_ns,
            good=partial(slo.good, slos=slos) if slo.on_requests(slos) else None,
        )
        self._sink.follow(self._part.collect)
        return self._part

    @property
    def link(self) -> str | None:
        """Where the run can be looked at; None where there is no Grafana."""
        return None if self._link is None or self._sink is None else self._link(self._end_ms)

    def start(self) -> None:
        """All that is to be followed is."""
        if self._sink is not None:
            self._sink.start()

    def event(self, event: Json) -> None:
        """Something happened; as in run.json."""
        if self._run is not None:
            self._run.event(event)

    def sample(self, sample: Sample) -> None:
        """The server was asked for its metrics."""
        if self._run is not None:
            self._run.sample(sample)

    def window(self, level: int, view: View) -> None:
        """A level is over."""
        if self._run is not None:
            self._run.window(level, view)

    def drained(self) -> Points | None:
        """Nothing is in flight any more: send the rest; what has become of the points so far, None where there are none."""
        if self._sink is None:
            return None
        of_part = () if self._part is None else self._part.finish()
        of_run = () if self._run is None else self._run.drained(unix_now_ns())
        state = self._sink.flush(chain(of_part, of_run))
        self._points = Points(created=state.created, delivered=state.delivered)
        return self._points

    def hurry(self) -> None:
        """Somebody does not want to wait for InfluxDB."""
        if self._sink is not None:
            self._sink.hurry()

    def close(self) -> None:
        """Nothing more will be sent; for a process that does not write the results."""
        if self._sink is not None:
            self._sink.close()

    def stored(self, statements: Iterable[Json]) -> Json:
        """For run.json: what has become of the points of this process and of the workers' statements."""
        if self._points is None:
            return {}
        said = [self._points.stored(), *(one["metrics"] for one in statements if one["metrics"])]
        return {"metrics": {name: sum(one[name] for one in said) for name in said[0]}}

    def results(self, directory: Path, summary: Json | None) -> list[str]:
        """The results are written, or (None) could not be: send them. Returns what became of all points, in lines."""
        if self._sink is None:
            return []
        self._end_ms = unix_now_ns() // 1_000_000
        try:
            run = files.from_json(directory / "run.json")
        except ConfigError:  # somebody has taken it away; that has been said
            run, summary = {}, None
        if self._run is not None and summary is not None:
            self._sink.put(self._run.finish(run, summary, unix_now_ns()))
        own = self._sink.close()
        before = self._points or Points()
        of_workers = run.get("metrics", before.stored())
        created = of_workers["created"] - before.created + own.created
        lost = of_workers["lost"] - before.lost + own.created - own.delivered
        unheard = [one for one in run.get("workers", ()) if one["journal"] and one["metrics"] is None]
        gone = [one["name"] for one in unheard if one["state"] == "lost"]
        silent = [one["name"] for one in unheard if one["state"] != "lost"]
        said = [f"InfluxDB has all {created:,} points of this run{' that are known of' if gone else ''}"]
        if lost:
            why = f" ({own.problem})" if own.problem else ""
            said = [f"{lost:,} of {created:,} points of this run are not in InfluxDB{why}"]
        if silent:
            said.append(f"no points came from {', '.join(silent)}: is INFLUXDB_URL set there?")
        if gone:
            said.append(f"of {', '.join(gone)} nobody knows how many points came: contact was lost")
        if lost or unheard:
            later = ", once `tokenswarm collect` has brought its journal" if gone else ""
            said.append(
                f"`tokenswarm replay {directory} --to-influx` sends all points of this run again{later}"
            )
        return said if self.link is None else [*said, f"look at it: {self.link}"]


def check(environ: Mapping[str, str]) -> None:
    """See whether `open_watch` could do anything with this environment.

    Raises:
        ConfigError: a variable cannot be right.
    """
    access.read(environ)
    read_url(environ)


def has_dashboard(environ: Mapping[str, str]) -> bool:
    """Is there a Grafana to show runs in?

    Raises:
        ConfigError: a variable cannot be right.
    """
    return read_url(environ) is not None and access.read(environ) is not None


def open_watch(
    environ: Mapping[str, str],
    run_id: str,
    name: str,
    folder: Path,
    tell: Callable[[str], None],
    *,
    says_where: bool = False,
) -> Watch:
    """As the environment wants it; says why points cannot go there now, or else (`says_where`) where they go.

    Args:
        environ: INFLUXDB_URL and so on (`harness.influx.access`).
        run_id: the run.
        name: this process's value of the tag `worker`.
        folder: for what has to wait on disk.
        tell: tells the user.
        says_where: on the process that the user looks at.

    Raises:
        ConfigError: a variable cannot be right.
    """
    found, grafana = access.read(environ), read_url(environ)
    if found is None:
        return Watch()
    sink = open_sink(found, run_id, name, folder, tell, says_where=says_where)
    begun_ms = unix_now_ns() // 1_000_000
    return Watch(sink, None if grafana is None else partial(run_link, grafana, run_id, begun_ms))
