"""When requests are due, in an open loop: a process and its rate over time, as `--arrivals` names them.

    constant:10    poisson:10    gamma:10,0.5              10 requests/s; for gamma also the burstiness
    ramp:1,20,60s                                          from 1/s to 20/s within 60 s, then 20/s
    steps:5@30s,10@30s                                     5/s for 30 s, then 10/s for 30 s, then the end
    ramp:1,20,60s,poisson    steps:5@30s,gamma:0.5         the same with a process; constant if none is named
    trace:FILE                                             a file says when (`harness.traces`)
    constant    poisson    gamma:0.5                       a process without a rate, for `--rates`

`Arrivals.offsets` is the whole schedule of a run: absolute times, made from nothing but the text and a seed. Whoever
sends a part of it computes all of it and takes its `share`; so the whole is the stated process whatever the number of
parts, and nothing but a few numbers has to travel.

Values in, values out: no clock waits here and nothing is sent.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from harness import arrival_rates, arrival_text
from harness.arrival_gaps import Process
from harness.arrival_rates import Flat, Profile, Ramp, Steps
from harness.arrival_text import RATE_MOST, rates
from harness.errors import ConfigError

__all__ = [
    "RATE_MOST",
    "Arrivals",
    "Flat",
    "Process",
    "Ramp",
    "Schedule",
    "Slice",
    "Steps",
    "is_mine",
    "parse",
    "rates",
    "share",
]


class Schedule(Protocol):
    """What says when requests are due: `Arrivals`, or `harness.traces.Trace`."""

    @property
    def length_s(self) -> float | None:
        """When the last one is due at the latest, in seconds; None if they never end."""

    def offsets(self, seed: int) -> Iterator[int]:
        """When each request is due: ns from the beginning, ascending, finite or endless."""

    def rate(self, at_s: float) -> float:
        """Requests a second expected at a moment."""

    def expected(self, at_s: float) -> float:
        """Requests expected from the beginning until then."""

    def describe(self) -> str:
        """The text of `--arrivals`."""


_CONSTANT: Final = Process()


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A process and its rate over time. Without a profile it is a process alone, or a trace to be read from a file."""

    process: Process = _CONSTANT
    profile: Profile | None = None
    trace: Path | None = None  # `harness.traces.read` makes a `Schedule` of it

    @property
    def has_rate(self) -> bool:
        """Whether this can be used as it is, being no process alone and no trace."""
        return self.profile is not None

    @property
    def length_s(self) -> float | None:
        """Seconds until the end of steps, or of a ramp down to nothing; None if arrivals never end."""
        return self._profile().length_s

    def offsets(self, seed: int) -> Iterator[int]:
        """When each request is due: ns from the beginning, ascending, finite or endless, of the whole schedule.

        Constant arrivals begin at 0, random ones after their first gap. The same seed gives the same offsets; the same
        process at another rate gives the same gaps in another unit.

        Raises:
            ConfigError: there is no rate, or a trace's file says when.
        """
        return self._profile().offsets(self.process.units(seed))

    def rate(self, at_s: float) -> float:
        """Requests a second expected at a moment; 0 before the beginning and after the end."""
        return self._profile().rate(at_s)

    def expected(self, at_s: float) -> float:
        """Requests expected from the beginning until then."""
        return self._profile().expected(at_s)

    def scaled(self, rate: float) -> "Arrivals":
        """The same process at another rate in requests/s, rounded to six digits after the point so that it has a text.

        Raises:
            ConfigError: a ramp, steps or a trace, which have rates of their own; or a rate out of range.
        """
        if self.trace is not None or not (self.profile is None or isinstance(self.profile, Flat)):
            raise ConfigError(
                f"--arrivals {self.describe()!r} says its rates itself and --rates would replace them; name a process "
                "alone, e.g. --arrivals poisson, or leave out --rates"
            )
        if not 0 < (rounded := round(rate, 6)) <= RATE_MOST:
            raise ConfigError(f"--rates {rate}: give rates above 0 and up to {RATE_MOST:.0f} requests/s")
        return replace(self, profile=Flat(rounded))

    def describe(self) -> str:
        """The text that `parse` makes this of."""
        if self.trace is not None:
            return f"trace:{self.trace}"
        name, colon, shape = self.process.describe().partition(":")
        if self.profile is None:
            return name + colon + shape
        word, numbers = arrival_rates.describe(self.profile)
        if not word:
            return f"{name}:{numbers}" + (f",{shape}" if colon else "")
        process = "" if name == "constant" else f",{name}{colon}{shape}"
        return f"{word}:{numbers}{process}"

    def _profile(self) -> Profile:
        if self.profile is not None:
            return self.profile
        if self.trace is not None:
            raise ConfigError(f"--arrivals {self.describe()!r}: the file has to be read before it says when")
        name, colon, shape = self.process.describe().partition(":")
        example = f"{name}:10" + (f",{shape}" if colon else "")
        raise ConfigError(
            f"--arrivals {self.describe()!r} has no rate; write e.g. {example} for 10 requests/s, or add --rates 1,2,4"
        )


class Slice(NamedTuple):
    """Who sends what, from one arrival on: of every `of` arrivals the one with the remainder `nth`.

    Any other `nth`, as -1, is of a part that is out; it may come in again with a later slice.
    """

    first: int  # the number of the first arrival this holds for; the schedule's first is 0
    nth: int
    of: int


def is_mine(number: int, slices: Sequence[Slice]) -> bool:
    """Whether an arrival falls into a part's slices, which must ascend; before the first of them none does."""
    for first, nth, of in reversed(slices):
        if number >= first:
            return number % of == nth
    return False


def share(offsets: Iterable[int], slices: Sequence[Slice]) -> Iterator[tuple[int, int]]:
    """One part's arrivals: (number, offset) pairs of a whole schedule, ascending.

    Parts that slice at the same numbers and into as many have each arrival exactly once between them. A slice holds
    until the next one's `first`, so a schedule can be cut anew from any arrival on when a part is lost or joins.

    Args:
        offsets: of the whole schedule, from its first arrival.
        slices: this part's, by ascending `first`; the remainders of any one number go round over all parts.
    """
    rest = enumerate(offsets)
    at = 0
    for position, (first, nth, of) in enumerate(slices):
        begin = first + (nth - first) % of
        takes_part = 0 <= nth < of
        if position + 1 < len(slices):
            end = slices[position + 1].first
            yield from islice(rest, (min(begin, end) if takes_part else end) - at, end - at, of)
            at = end  # where islice has stopped, whatever it skipped on the way
        elif takes_part:
            yield from islice(rest, begin - at, None, of)


def parse(text: str, option: str = "--arrivals") -> Arrivals:
    """Read what an option says; blanks around its parts are allowed. A trace's file is not looked at.

    Raises:
        ConfigError: naming the option, the value, what is wrong with it and what would be right.
    """
    if (path := arrival_text.trace_of(text, option)) is not None:
        return Arrivals(trace=path)
    process, profile = arrival_text.read(text, option)
    return Arrivals(process, profile)
