"""What a master and its workers tell each other: whole states, never increments.

    Order    master -> worker   what holds from now on. Sent on every change and once a second
    Report   worker -> master   how it stands. The answer to every order, and sent on changes that matter

A message that is lost, late or doubled does no harm: the next one says everything again. Both are dicts of msgpack's
types on the wire. `read` trusts nothing: what is not such a message is a ValueError. Times are Unix ns by the sender's
clock unless they say otherwise; `echo_ns`, `got_ns` and `sent_ns` are what clock offsets are computed
from (`harness.distributed.clocks`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Final, Self, TypeVar

import msgspec
import orjson

from harness.arrivals import Slice

__all__ = [
    "CHUNK",
    "GET",
    "ORDER",
    "PULSE",
    "REPORT",
    "SAY",
    "Order",
    "Points",
    "Report",
    "Step",
    "Tally",
    "Totals",
    "digest",
]

T = TypeVar("T")

# What a peer says is counted with: more than these is none of it.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Stamp = Annotated[int, msgspec.Meta(ge=0, le=2**62)]

ORDER: Final = "tokenswarm.order"
REPORT: Final = "tokenswarm.report"
GET: Final = "tokenswarm.get"
CHUNK: Final = "tokenswarm.chunk"
SAY: Final = "tokenswarm.say"
PULSE: Final = (
    "tokenswarm.pulse"  # worker -> master, once a second, where somebody may look (`harness.pulse`)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part's share of the segment that load belongs to."""

    index: int  # of the segment; they are numbered in order of opening
    level: int  # users of all parts together; 0 while users are still starting
    repeat: int
    open_ns: int  # by the run's clock; before it the last step goes on
    warmup: int  # requests of this part that are not measured
    quota: (
        int | None
    )  # measured requests granted so far, in all; None: until `until_ns`, or until load is stopped
    # A level that is held for a time: when its requests begin to count, cease to, and when no more are sent.
    measure_ns: int | None = None
    cool_ns: int | None = None
    until_ns: int | None = None
    # Open loop: which arrivals are this part's; an `nth` of -1: none.
    is_open: bool = False
    rate: float | None = None
    slices: tuple[Slice, ...] = ()
    cap: int | None = None  # in flight at once
    most: int | None = None  # leaves in the whole run (`harness.allowance`) ...
    revision: int = 0  # ... and how often something of them was taken back
    probe_ns: int | None = None  # since when the run's probes are due, for the part that sends them

    def shifted(self, by_ns: int) -> "Step":
        """The same by a clock that is so far ahead."""
        names = ("open_ns", "measure_ns", "cool_ns", "until_ns", "probe_ns")
        marks = {name: getattr(self, name) for name in names}
        return replace(self, **{name: at + by_ns for name, at in marks.items() if at is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How far a part is with a segment. Stamps by its own clock; None: has not happened."""

    index: Count
    given: Count = 0  # leaves to send a measured request
    warmup_given: Count = 0
    done: Count = 0  # measured requests that are over
    in_flight: Count = 0
    first_ns: Stamp | None = None  # the first leave of all
    start_ns: Stamp | None = None  # the first measured one
    end_ns: Stamp | None = None  # the first request to end when nothing was left to give
    last_ns: Stamp | None = None  # the last request to end
    dry_ns: Stamp | None = None  # it could have sent more, but has used up what it may (`Step.most`)
    is_closed: bool = False  # its time is over: it sends no more
    arrived: Count = 0  # open loop: arrivals that were sent
    backlog: Count = 0  # open loop: those that are due and wait for the cap

    def shifted(self, by_ns: int) -> "Tally":
        """The same by a clock that is so far ahead."""
        names = ("first_ns", "start_ns", "end_ns", "last_ns", "dry_ns")
        marks = {name: getattr(self, name) for name in names}
        return replace(self, **{name: at + by_ns for name, at in marks.items() if at is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a part counted over the run. offered = succeeded + failed + cancelled, once nothing is in flight."""

    offered: Count = 0
    sent: Count = 0
    succeeded: Count = 0
    failed: Mapping[str, Count] = field(default_factory=dict)
    cancelled: Count = 0
    dropped: Count = 0  # journal lines that were lost
    entries: Mapping[str, Count] = field(default_factory=dict)  # taken of each dataset
    probes: Count = 0  # those of `offered` that are probes
    prompt_tokens: Count = 0  # as servers counted them, of any request
    output_tokens: Count = 0
    uncounted: Count = 0  # succeeded requests whose output tokens nobody has counted so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What became of the points a process made for InfluxDB (`harness.influx`)."""

    created: Count = 0
    delivered: Count = 0

    @property
    def lost(self) -> int:
        """Not in InfluxDB, so far."""
        return max(0, self.created - self.delivered)

    def stored(self) -> dict[str, int]:
        """For run.json."""
        return {"created": self.created, "delivered": self.delivered, "lost": self.lost}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a worker is to do. It answers each with a `Report`."""

    run_id: str
    sent_ns: int
    name: str  # what the worker is called in this run
    briefing: Mapping[str, Any] | None = None  # the offer of the parcel it prepares itself from
    offset_ns: int = 0  # its clock minus the run's, as last estimated
    uncertainty_ns: int | None = None  # None: not estimated yet
    step: Step | None = None
    drain_s: float = 0.0  # for what is in flight when load is stopped
    stopped: bool = False
    give_up: bool = False  # what is in flight is cancelled now
    taken: bool = False  # the master has its journal, and it holds
    settled: bool = False  # the results are written: its own copy may go
    watched: bool = False  # somebody may look on: it is to say how its last seconds were

    def wire(self) -> dict[str, Any]:
        """As it is sent."""
        return asdict(self)

    @classmethod
    def read(cls, message: object) -> Self:
        """A message's order.

        Raises:
            ValueError: it is none.
        """
        return _read(cls, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a worker stands."""

    run_id: str  # "" before its first order
    state: str  # preparing, ready, refused, ended
    sent_ns: Stamp
    echo_ns: Stamp | None = None  # the order's own `sent_ns` that this answers, and when it came
    got_ns: Stamp | None = None
    host: str = ""
    pid: Count = 0
    users: Count = 0
    departing: Count = 0  # of them: asked to stop, and still at their last request
    in_flight: Count = 0
    tallies: tuple[Tally, ...] = ()  # of the last segments
    totals: Totals = field(default_factory=Totals)
    problem: str | None = None  # why it cannot do its part: refused, or no request can succeed
    nothing_worked: bool = False
    disk: str | None = None  # what is wrong with its journal
    leaving: str | None = None  # why it is about to go
    journal: Mapping[str, int | str] | None = None  # the offer of its closed journal
    place: str = ""  # of the journal: host:path
    in_place: bool = False  # the journal lies in the master's own run directory
    digest: str | None = None  # of the totals and the journal: its last word
    notes: tuple[tuple[str, str], ...] = ()  # findings for the verdict
    points: Points | None = None  # None: it sends none to InfluxDB
    revision: Count = 0  # of `Step.most`, as it last heard

    def wire(self) -> dict[str, Any]:
        """As it is sent."""
        return asdict(self)

    @classmethod
    def read(cls, message: object) -> Self:
        """A message's report.

        Raises:
            ValueError: it is none.
        """
        return _read(cls, message)


def digest(run_id: str, name: str, totals: Totals, journal: Mapping[str, int | str] | None) -> str:
    """What a worker's last word is sealed with: SHA-256 of all it says there, so that no half of it passes."""
    said = orjson.dumps([run_id, name, asdict(totals), journal], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).hexdigest()


def _read(kind: type[T], message: object) -> T:
    try:
        return msgspec.convert(message, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None
