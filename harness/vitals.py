"""What the engine notices about itself while load runs; `harness.health` takes it once a second."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Vitals:
    """Counts since they were last taken.

    `delays_ns` has, for the last socket read of each drain, the time from the kernel's stamp of its newest
    bytes to our read: how far behind the reading is.
    """

    reads: int = 0
    kernel_reads: int = 0  # of which the kernel's stamp was had
    most_ready: int = 0  # sockets found ready at once
    unparsed: int = 0  # most responses seen waiting for their greenlet at once, looked at 20 times a second
    clock_steps: int = 0  # jumps of the system clock, from which kernel stamps are shifted
    delays_ns: list[int] = field(default_factory=list)
