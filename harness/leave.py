"""Who may send now: a part's own counting, between the steps it is ordered to take and its users who ask.

A part is a process whose users send. Within a step its users first spend the part's warm-up requests, then the
measured ones that it has been granted, each user sending its next request when its last is done.

No clock, no sleeping and no greenlet here: times come in as arguments, users are made to wait elsewhere.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from harness.orders import Step, Tally
from harness.record import Phase

__all__ = ["Leave", "Slot", "Turn"]

_TOLD = 3  # of the last turns that a report tells about


class Slot(NamedTuple):
    """Leave to send one request."""

    level: int
    repeat: int
    phase: Phase


@dataclass(slots=True)
class Turn:
    """What a part has done of one step. Its stamps are on the part's own clock."""

    step: Step
    given: int = 0
    warmup_given: int = 0
    done: int = 0
    in_flight: int = 0
    first_ns: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def is_spent(self) -> bool:
        """Nothing is left to give, for now."""
        return self.step.quota is not None and self.given >= self.step.quota

    @property
    def runs_low(self) -> bool:
        """Soon its users will wait for more."""
        quota = self.step.quota
        return quota is not None and quota - self.given <= 2 * self.in_flight

    def tally(self, anchor_ns: int) -> Tally:
        """As it is reported: stamps shifted by `anchor_ns` to Unix time."""

        def unix(stamp: int | None) -> int | None:
            return None if stamp is None else stamp + anchor_ns

        return Tally(
            index=self.step.index,
            given=self.given,
            warmup_given=self.warmup_given,
            done=self.done,
            in_flight=self.in_flight,
            first_ns=unix(self.first_ns),
            start_ns=unix(self.start_ns),
            end_ns=unix(self.end_ns),
        )


@dataclass(slots=True)
class Leave:
    """Gives leave to send, as the last order allows."""

    turns: list[Turn] = field(default_factory=list)
    is_stopped: bool = False
    offered: int = 0  # leaves given in all
    in_flight: int = 0  # of them, not over

    @property
    def turn(self) -> Turn | None:
        """The one that new requests belong to."""
        return self.turns[-1] if self.turns else None

    def obey(self, step: Step) -> None:
        """A step to take, or more of the one that is being taken. An older one than that changes nothing."""
        turn = self.turn
        if turn is None or step.index > turn.step.index:
            self.turns = [*self.turns[1 - _TOLD :], Turn(step)]
        elif step.index == turn.step.index:
            turn.step = step
            if not turn.is_spent:
                turn.end_ns = None  # its users were idle for as long as the grant took to come

    def stop(self) -> None:
        """No further leave."""
        self.is_stopped = True

    def take(self, now_ns: int) -> tuple[Turn, Slot] | None:
        """Leave to send one request now, or None: wait."""
        turn = self.turn
        if self.is_stopped or turn is None:
            return None
        step = turn.step
        if step.level == 0 or turn.warmup_given < step.warmup:
            turn.warmup_given += 1
            phase = Phase.WARMUP
        elif turn.is_spent:
            return None
        else:
            turn.given += 1
            if turn.start_ns is None:
                turn.start_ns = now_ns
            phase = Phase.MEASURE
        if turn.first_ns is None:
            turn.first_ns = now_ns
        turn.in_flight += 1
        self.in_flight += 1
        self.offered += 1
        return turn, Slot(step.level, step.repeat, phase)

    def finished(self, turn: Turn, slot: Slot, now_ns: int) -> None:
        """A request that was given leave is over, however it ended."""
        turn.in_flight -= 1
        self.in_flight -= 1
        turn.done += slot.phase is Phase.MEASURE
        if turn.is_spent and turn.end_ns is None and turn.start_ns is not None:
            turn.end_ns = now_ns
