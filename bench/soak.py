"""Hours at a steady load: does memory stay flat, is every event there, is every descriptor closed again?

300 streams of 50 events/s through our load path (client_tokenswarm.py), which keeps no stamps here, only counts.
Memory and open descriptors are looked at from outside every ten seconds. Memory is flat if from minute 3 on (or
from the first third of a short run) it stays within 5 % of what it was then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from clients import CLIENTS
from loads import SOAK
from processes import Place, Sample, run, serving
from targets import Target

__all__ = ["Soak", "measure", "targets"]

EVERY_S: Final = 10.0
FLAT_FROM_S: Final = 180.0
FLAT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak found."""

    seconds: float
    samples: list[tuple[float, float, int]]  # (seconds into it, RSS MB, open descriptors)
    asked: int
    got: int
    sent: int  # events, as the server counts them
    failed: int
    files_left: int

    @property
    def flat(self) -> tuple[float, float, float] | None:
        """(MB at the start of the flat part, least, most) from there on; None if it was too short to tell."""
        start_s = min(FLAT_FROM_S, self.seconds / 3)
        values = [rss_mb for second, rss_mb, _ in self.samples if start_s <= second <= self.seconds]
        return (values[0], min(values), max(values)) if len(values) > 1 else None


def measure(server: Place, client: Place, minutes: float) -> Soak:
    """Run it.

    Raises:
        BenchError: the client failed.
    """
    load = SOAK.lasting(60 * minutes)
    every_s = min(EVERY_S, load.seconds / 12)
    seen: list[Sample] = []

    def tell(sample: Sample) -> None:
        seen.append(sample)
        second = (sample.time_ns - seen[0].time_ns) / 1e9
        if len(seen) % 6 == 1:
            print(
                f"soak {second / 60:5.1f} of {minutes:g} min: RSS {sample.rss_mb:.1f} MB, {sample.files} descriptors",
                flush=True,
            )

    with serving(server, None) as truth:
        command = CLIENTS["tokenswarm"].command(truth.port, load, None)
        outcome = run(command, client, deadline_s=load.seconds + 120, every_s=every_s, tell=tell)
    return _found(outcome.said, outcome.samples, truth.totals["events"])


def _found(said: dict[str, Any], samples: Sequence[Sample], sent: int) -> Soak:
    begin_ns, end_ns = said["begin_ns"], said["stop_ns"]
    seen = [
        ((sample.time_ns - begin_ns) / 1e9, sample.rss_mb, sample.files)
        for sample in samples
        if begin_ns <= sample.time_ns <= end_ns
    ]
    return Soak(
        (end_ns - begin_ns) / 1e9, seen, said["asked"], said["got"], sent, said["failed"], said["files_left"]
    )


def targets(soak: Soak) -> list[Target]:
    """The lines of the contract."""
    name, flat = f"{soak.seconds / 60:g} minute soak at 300 x 50", soak.flat
    fine = flat is not None and flat[2] <= flat[0] * (1 + FLAT) and flat[1] >= flat[0] * (1 - FLAT)
    memory = f"{flat[0]:.1f} MB, then {flat[1]:.1f} to {flat[2]:.1f}" if flat else "-"
    lost = max(soak.asked, soak.sent) - soak.got
    return [
        Target(f"{name}: RSS flat (5 %)", memory, met=fine if flat else None),
        Target(
            f"{name}: no event lost",
            f"{soak.got:,} of {soak.asked:,}, {soak.failed} failed",
            met=lost == 0 and not soak.failed,
        ),
        Target(f"{name}: no descriptor left", f"{soak.files_left}", met=soak.files_left == 0),
    ]
