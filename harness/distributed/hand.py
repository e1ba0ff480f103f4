"""One worker as its master sees it: what it last said, when, by what clock, and what became of it.

Values in, values out; `harness.distributed.crew` talks to it.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from harness.allowance import Given
from harness.distributed.clocks import Clock
from harness.distributed.parcel import Offer
from harness.orders import Order, Report, Step, Tally, Totals, digest
from harness.plan import Plan

__all__ = ["Hand", "name_of"]

SILENCE_NS: Final = 3_000_000_000  # a report is due each second; this is worth an event


def name_of(client_id: str, index: int) -> str:
    """What a worker is called, from Locust's id (`<hostname>_<uuid>`) and its index."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", client_id.rpartition("_")[0])[:60].strip("-") or "worker"
    return f"{host}-{index}"


@dataclass(slots=True)
class Hand:
    """One worker. Times are Unix ns of the master's clock."""

    id: str  # Locust's
    name: str
    joined_s: float  # after load began
    heard_ns: int
    offer: Offer | None = None  # of its briefing
    report: Report | None = None
    live: Mapping[str, Any] | None = None
    pulse: object = None  # what it said of its last seconds
    clock: Clock = field(default_factory=Clock)
    silence_ns: int = 0  # the longest
    is_lost: bool = False
    is_taken: bool = False  # its journal is here, or cannot be had
    verified: bool = False
    events: list[str] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """It can be given users."""
        return self.report is not None and self.report.state == "ready"

    @property
    def has_ended(self) -> bool:
        """It has said its last word."""
        return self.report is not None and self.report.digest is not None

    @property
    def is_present(self) -> bool:
        """Something is still to be expected of it."""
        return not self.is_lost and not self.has_ended

    @property
    def is_leaving(self) -> bool:
        """It has said that it goes, or has gone since."""
        return self.report is not None and self.report.leaving is not None

    @property
    def is_counted_on(self) -> bool:
        """Users are to be started on it."""
        return self.is_ready and not self.is_lost and not self.is_leaving

    @property
    def drains(self) -> bool:
        """It leaves, and some of its requests are still under way."""
        return self.is_leaving and self.is_present and self.report is not None and self.report.in_flight > 0

    @property
    def is_moving(self) -> bool:
        """Some of its users are on their way out, or it drains."""
        return self.drains or (self.is_counted_on and self.report is not None and self.report.departing > 0)

    @property
    def users(self) -> int:
        """Users that are up, of those that a level needs."""
        return self.report.users if self.report and self.is_counted_on else 0

    @property
    def file(self) -> str:
        """Its journal in the run directory."""
        return f"journal-{self.name}.jsonl"

    def hear(self, report: Report, now_ns: int) -> None:
        """Take in what it says."""
        silence = now_ns - self.heard_ns
        self.silence_ns = max(self.silence_ns, silence)
        if silence > SILENCE_NS:
            self.events.append(f"silent for {silence / 1e9:.1f} s")
        self.heard_ns = now_ns
        if self.has_ended and report.digest is None:
            return  # one that was overtaken by its last word
        self.report = report
        if report.echo_ns is not None and report.got_ns is not None:
            self.clock.add(report.echo_ns, report.got_ns, report.sent_ns, now_ns)

    def given(self) -> Given | None:
        """Leaves that it has given, probes aside."""
        if (said := self.report) is None:
            return None
        return Given(said.totals.offered - said.totals.probes, said.revision, self.has_ended)

    def tallies(self) -> list[Tally]:
        """How far it is, stamps on the master's clock."""
        return [tally.shifted(-self.clock.shift_ns) for tally in (self.report.tallies if self.report else ())]

    def order(self, run_id: str, plan: Plan | None, now_ns: int, **more: Any) -> Order:  # noqa: ANN401  Order's fields
        """What it is to do now; `plan` None: nothing yet."""
        best = self.clock.best
        return Order(
            run_id=run_id,
            sent_ns=now_ns,
            name=self.name,
            briefing=None if self.offer is None else self.offer.as_dict(),
            offset_ns=self.clock.shift_ns,
            uncertainty_ns=best and best.uncertainty_ns,
            step=self.step(plan),
            stopped=plan is not None and plan.is_stopped,
            taken=self.is_taken,
            **more,
        )

    def step(self, plan: Plan | None) -> Step | None:
        """Its step of the plan, if there is one."""
        return None if plan is None else plan.step(self.name)

    def is_sealed(self, run_id: str) -> bool:
        """Its last word is whole."""
        said = self.report
        return said is not None and said.digest == digest(run_id, self.name, said.totals, said.journal)

    def statement(self, run_id: str, begun_ns: int) -> dict[str, Any]:
        """For run.json: how it ended, and what it counted."""
        said, best = self.report, self.clock.best
        state = "left" if said and said.leaving else "ended"
        journal = None
        if said is not None and said.place:
            offer = said.journal or {}
            here = said.in_place or self.verified
            journal = {
                "bytes": offer.get("size"),
                "sha256": offer.get("sha256"),
                "verified": self.verified,
                "place": said.place,
                "file": self.file if here else None,
            }
        return {
            "name": self.name,
            "host": said.host if said else None,
            "pid": said.pid if said else None,
            "state": state if self.has_ended else "lost",
            "joined_s": self.joined_s,
            "last_heard_s": max(0.0, (self.heard_ns - begun_ns) / 1e9),
            "longest_silence_s": self.silence_ns / 1e9,
            "clock": best and {"offset_ms": best.ns / 1e6, "uncertainty_ms": best.uncertainty_ns / 1e6},
            "totals": asdict(said.totals if said else Totals()),
            "signed": self.has_ended and self.is_sealed(run_id),
            "journal": journal,
            "metrics": said.points.stored() if said and said.points else None,
            "events": self.events,
        }
