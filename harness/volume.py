"""One journal as it is merged: what it says besides its records, and how much of it could not be read.

Times are moved to the run's clock (`harness.shift`). Values are checked field by field, since a journal may have come from anywhere: what is not
what its kind says is counted as garbled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from harness import seconds, server_metrics
from harness.journal import Window
from harness.seconds import Second
from harness.server_metrics import Sample
from harness.shift import Shift

__all__ = ["Line", "Volume"]

Line = dict[str, Any]
T = TypeVar("T", Window, Second, Sample)


@dataclass(slots=True)
class Volume:
    """What one journal held; filled while it is read. Times are on the run's clock."""

    path: Path
    size: int  # bytes, as it was opened
    worker: str | None = None  # who it says it is of
    run_id: str | None = None  # which run it says it is of
    records: int = 0
    doubled: int = 0  # of them: there already
    garbled: int = 0  # lines that could not be read
    windows: list[Window] = field(default_factory=list)
    events: list[Line] = field(default_factory=list)
    seconds: list[Second] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def note(self, pairs: Sequence[tuple[str, Line]], shift: Shift) -> None:
        """Take in the lines that are no records."""
        for kind, value in pairs:
            try:
                _note(self, kind, value, shift)
            except (TypeError, ValueError):  # JSON, but not what its kind says
                self.garbled += 1


def _note(volume: Volume, kind: str, value: Line, shift: Shift) -> None:
    """Note one line that is no record.

    Raises:
        TypeError, ValueError: it is not what its kind says.
    """
    match kind:
        case "record" | "clock":
            pass
        case "health":
            second = _sound(seconds.of_json(value))
            seconds.expanded(second.loop_lags_ms), seconds.expanded(second.read_delays_ms)
            moved = _moved(second.time_ns, shift)
            volume.seconds.append(replace(second, time_ns=moved, clock_offset_ns=second.time_ns - moved))
        case "server":
            sample = _sound(server_metrics.of_json(value))
            volume.samples.append(replace(sample, time_ns=_moved(sample.time_ns, shift)))
        case "window":
            window = _sound(Window(**value))
            begin, end = _moved(window.start_ns, shift), _moved(window.end_ns, shift)
            volume.windows.append(replace(window, start_ns=begin, end_ns=end))
        case "event":
            volume.events.append(value | {"time_ns": _moved(value.get("time_ns"), shift)})
        case "worker":
            volume.worker, volume.run_id = str(value.get("name")), str(value.get("run_id"))
        case _:
            raise ValueError(f"{kind!r} is no kind of ours")


def _moved(time_ns: Any, shift: Shift) -> int:  # noqa: ANN401  a JSON edge
    return int(time_ns - shift.at_one(time_ns))


def _sound(made: T) -> T:
    """As it is, if every field is of its type; JSON does not tell 1.0 from 1.

    Raises:
        TypeError: one is not.
    """
    for one in fields(made):
        value, kind = getattr(made, one.name), one.type
        whole = type(value) is int and isinstance(0.0, kind)  # type: ignore[arg-type]  # a type or a union of them
        if isinstance(value, bool) or not (whole or isinstance(value, kind)):  # type: ignore[arg-type]
            raise TypeError(f"{one.name}: {value!r}")
    return made
