"""Who may send now: a part's own counting, between the steps it is ordered to take and its users who ask.

A part is a process whose users send. Within a step its users first spend the part's warm-up requests, then the
measured ones that it has been granted, each user sending its next request when its last is done. A step that is held
for a time has no such counts: what a request is for follows from when it is due. In an open loop nobody asks; arrivals
are admitted when they are due (`harness.open_loop`).

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
    last_ns: int | None = None
    dry_ns: int | None = None
    is_closed: bool = False
    arrived: int = 0
    backlog: int = 0

    def phase(self, due_ns: int) -> Phase | None:
        """What a request that is due then is for; None: nothing is due any more."""
        step = self.step
        if self.is_closed or (step.until_ns is not None and due_ns >= step.until_ns):
            return None
        if step.measure_ns is not None and due_ns < step.measure_ns:
            return Phase.WARMUP
        return Phase.DRAIN if step.cool_ns is not None and due_ns >= step.cool_ns else Phase.MEASURE

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
            last_ns=unix(self.last_ns),
            dry_ns=unix(self.dry_ns),
            is_closed=self.is_closed,
            arrived=self.arrived,
            backlog=self.backlog,
        )


@dataclass(slots=True)
class Leave:
    """Gives leave to send, as the last order allows."""

    turns: list[Turn] = field(default_factory=list)
    is_stopped: bool = False
    offered: int = 0  # leaves given in all
    in_flight: int = 0  # of them, not over
    most: int | None = None  # leaves that it may give in all; None: as many as its steps want
    revision: int = 0  # of `most`

    @property
    def turn(self) -> Turn | None:
        """The one that new requests belong to."""
        return self.turns[-1] if self.turns else None

    @property
    def is_dry(self) -> bool:
        """It may give no more, for now."""
        return self.most is not None and self.offered >= self.most

    @property
    def runs_low(self) -> bool:
        """Soon it may give no more."""
        return self.most is not None and self.most - self.offered <= 2 * self.in_flight

    def obey(self, step: Step) -> None:
        """A step to take, or more of the one that is being taken. An older one than that changes nothing."""
        turn = self.turn
        if turn is None or step.index >= turn.step.index:
            self.most, self.revision = step.most, step.revision
        if turn is None or step.index > turn.step.index:
            self.turns = [*self.turns[1 - _TOLD :], Turn(step)]
        elif step.index == turn.step.index:
            turn.step = step
            if not turn.is_spent:
                turn.end_ns = None  # its users were idle for as long as the grant took to come
            if not self.is_dry:
                turn.dry_ns = None

    def segment_of(self, level: int, repeat: int) -> int:
        """The segment that a request of this level and pass was given leave in; -1: one that is forgotten."""
        for turn in reversed(self.turns):
            if turn.step.level == level and turn.step.repeat == repeat:
                return turn.step.index
        return -1

    def is_busy(self, index: int) -> bool:
        """Whether requests of this segment are in flight."""
        return any(turn.step.index == index and turn.in_flight for turn in self.turns)

    def stop(self) -> None:
        """No further leave."""
        self.is_stopped = True

    def take(self, now_ns: int) -> tuple[Turn, Slot] | None:
        """Leave to send one request now, or None: wait."""
        turn = self.turn
        if self.is_stopped or turn is None or self.is_dry:
            return None
        step = turn.step
        if step.measure_ns is not None:
            found = None if step.is_open else turn.phase(now_ns)
            return None if found is None else self._give(turn, found, now_ns)
        if step.level == 0 or turn.warmup_given < step.warmup:
            return self._give(turn, Phase.WARMUP, now_ns)
        return None if turn.is_spent else self._give(turn, Phase.MEASURE, now_ns)

    def admit(self, turn: Turn, due_ns: int, now_ns: int) -> tuple[Turn, Slot] | None:
        """Leave for an arrival that was due then; None: its level is over."""
        phase = turn.phase(due_ns)
        if self.is_stopped or self.is_dry or phase is None:
            return None
        turn.arrived += 1
        return self._give(turn, phase, now_ns)

    def again(self, turn: Turn, now_ns: int) -> tuple[Turn, Slot] | None:
        """Leave for one more request of an arrival that has had its first; None: its level is over."""
        phase = turn.phase(now_ns)
        is_barred = self.is_stopped or self.is_dry or phase is None
        return None if is_barred or phase is None else self._give(turn, phase, now_ns)

    def forgo(self, turn: Turn, slot: Slot) -> None:
        """An arrival went without asking: as if it had not been admitted."""
        turn.arrived -= 1
        turn.in_flight -= 1
        self.in_flight -= 1
        self.offered -= 1
        if slot.phase is Phase.MEASURE:
            turn.given -= 1
        elif slot.phase is Phase.WARMUP:
            turn.warmup_given -= 1

    def _give(self, turn: Turn, phase: Phase, now_ns: int) -> tuple[Turn, Slot]:
        if phase is Phase.WARMUP:
            turn.warmup_given += 1
        elif phase is Phase.MEASURE:
            turn.given += 1
            if turn.start_ns is None:
                turn.start_ns = now_ns
        if turn.first_ns is None:
            turn.first_ns = now_ns
        turn.in_flight += 1
        self.in_flight += 1
        self.offered += 1
        return turn, Slot(turn.step.level, turn.step.repeat, phase)

    def finished(self, turn: Turn, slot: Slot, now_ns: int) -> None:
        """A request that was given leave is over, however it ended."""
        turn.in_flight -= 1
        self.in_flight -= 1
        turn.done += slot.phase is Phase.MEASURE
        turn.last_ns = now_ns
        if self.is_dry and not turn.step.is_open and turn.dry_ns is None:
            turn.dry_ns = now_ns
        if turn.is_spent and turn.end_ns is None and turn.start_ns is not None:
            turn.end_ns = now_ns
