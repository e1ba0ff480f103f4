"""Who works for a master, and what each of them was given to prepare itself with.

Locust knows who is connected; here each becomes a `Hand` with a name and a share of the prompts. The share is put together in
a greenlet and waits on the shelf until the worker has it.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
from locust import runners
from locust.runners import STATE_MISSING, MasterRunner

from harness.clock import unix_now_ns
from harness.distributed.hand import Hand, name_of
from harness.distributed.hardening import harden, heard
from harness.distributed.parcel import BytesSource, Shelf, offer
from harness.errors import ConfigError
from harness.orders import Totals
from harness.say import say
from harness.workload import Sharing

__all__ = ["Lines", "Roster"]

Lines = Callable[[Sharing], Iterator[bytes]]  # the lines of one worker's briefing

# Locust's own patience is 3 s. A line that drops everything for 5 s needs up to 7 s to be heard again, TCP's repeats being
# spaced out; nothing is won by counting its worker out for that.
LIVENESS_S: Final = 10
TURN: Final = 20  # lines of a briefing that are put together before others have their turn


class Roster:
    """The workers of one run."""

    def __init__(self, runner: MasterRunner, changed: Callable[[], None]) -> None:
        """`changed` is called when there is news for a worker."""
        runners.HEARTBEAT_LIVENESS = LIVENESS_S
        harden(runner)
        self.hands: dict[str, Hand] = {}
        self.workers = 1  # that the prompts were shared out among
        self._runner = runner
        self._changed = changed
        self._lines: Lines = lambda _: iter(())
        self._shelf = Shelf()
        self._problem: str | None = None

    def clear(self, lines: Lines) -> None:
        """Another run; `lines` makes a worker's briefing."""
        self.hands, self._lines, self._problem = {}, lines, None
        self.workers = max(1, len(self.clients()))

    @property
    def in_flight(self) -> int:
        """Requests under way, by the last reports."""
        return sum(hand.report.in_flight for hand in self.hands.values() if hand.report)

    @property
    def present(self) -> tuple[int, int]:
        """(workers that are counted on, workers there were)."""
        counted_on = sum(not hand.is_lost and not hand.is_leaving for hand in self.hands.values())
        return counted_on, len(self.hands)

    @property
    def names(self) -> list[str]:
        """Those that are counted on, in the order they came."""
        return [hand.name for hand in self.hands.values() if hand.is_counted_on]

    @property
    def totals(self) -> list[Totals]:
        """What each has counted over the run, by its last report."""
        return [hand.report.totals for hand in self.hands.values() if hand.report is not None]

    @property
    def findings(self) -> list[tuple[str, str]]:
        """What their users met with."""
        return [
            (status, f"worker {hand.name}: {reason}")
            for hand in self.hands.values()
            for status, reason in (hand.report.notes if hand.report else ())
        ]

    def statements(self, run_id: str, begun_ns: int) -> list[dict[str, Any]]:
        """The last word of each."""
        return [hand.statement(run_id, begun_ns) for hand in self.hands.values()]

    @property
    def unverified(self) -> list[str]:
        """Journals that are not known to be whole."""
        return [hand.file for hand in self.hands.values() if not hand.verified]

    def clients(self) -> list[Any]:
        """Locust's own entries of those that it hears."""
        return heard(self._runner)

    def how_lost(self, hand: Hand) -> str | None:
        """Why Locust does not count on it any more; None if it does."""
        client = self._runner.clients.get(hand.id)
        if client is None:
            return "is gone"
        return "has not been heard for a while" if client.state == STATE_MISSING else None

    def spare(self, hand: Hand) -> None:
        """Have Locust start no more users there; it still hears the worker, which is about to go."""
        client, dispatcher = self._runner.clients.get(hand.id), self._runner._users_dispatcher  # noqa: SLF001
        if client is not None and dispatcher is not None:  # as Locust itself does when a worker quits
            dispatcher.remove_worker(client)

    def admit(self, elapsed_s: float) -> list[Hand]:
        """Those that are new here."""
        new = []
        for client in self.clients():
            if client.id not in self.hands:
                name = name_of(client.id, self._runner.get_worker_index(client.id))
                sharing = Sharing.of(len(self.hands), self.workers)
                hand = self.hands[client.id] = Hand(client.id, name, elapsed_s, unix_now_ns())
                new.append(hand)
                gevent.spawn(self._equip, hand, sharing)
        return new

    def answer(self, get: object) -> dict[str, Any]:
        """A piece of a briefing."""
        return self._shelf.answer(get)

    def has_it(self, hand: Hand) -> None:
        """A worker has read its briefing."""
        if hand.offer is not None:
            self._shelf.drop(hand.offer.name)

    @property
    def problems(self) -> list[str]:
        """Why the run cannot begin, a line each."""
        refused = [hand for hand in self.hands.values() if hand.report and hand.report.state == "refused"]
        lines = [
            f"worker {hand.name}: {line}"
            for hand in refused
            for line in ((hand.report and hand.report.problem) or "").splitlines()
        ]
        return [*([self._problem] if self._problem else []), *lines]

    @property
    def is_settled(self) -> bool:
        """All that are there are ready, or it is known why the run cannot begin."""
        there = [hand for hand in self.hands.values() if not hand.is_lost]
        enough = bool(there) and len(there) >= min(self.workers, len(self.clients()))
        return bool(self.problems) or (enough and all(hand.is_ready for hand in there))

    def late(self) -> str:
        """Who is not ready."""
        names = [hand.name for hand in self.hands.values() if not hand.is_ready]
        return f"{', '.join(names)} still preparing" if names else "none is connected"

    def assemble(self, least: int, wait_s: int) -> None:
        """Wait until so many are connected.

        Raises:
            ConfigError: they are not after `wait_s`, if that is not 0.
        """
        parsed = self._runner.environment.parsed_options
        if parsed and parsed.processes and parsed.master_bind_port != parsed.master_port:
            raise ConfigError(
                f"--master-bind-port {parsed.master_bind_port} and --processes: its workers look for the master at "
                f"--master-port {parsed.master_port}; give both the same"
            )
        begin_ns = unix_now_ns()

        def here() -> str:
            return f"{len(self.clients())} of {least} workers are here"

        def enough() -> bool:
            if len(self.clients()) >= least:
                return True
            if wait_s and unix_now_ns() - begin_ns > wait_s * 1e9:
                raise ConfigError(
                    f"{here()} after {wait_s} s (--expect-workers-max-wait): start the missing workers, and see that "
                    "they reach this master's port (5557, or --master-bind-port)"
                )
            return False

        self.await_(enough, here)

    def await_(self, done: Callable[[], bool], why: Callable[[], str]) -> None:
        """Wait, and say every few seconds what for."""
        looks = 0
        while not done():
            gevent.sleep(0.05)
            looks += 1
            if looks % 100 == 0:
                say(f"waiting for workers: {why()}")

    def _equip(self, hand: Hand, sharing: Sharing) -> None:
        """Put its briefing on the shelf."""
        lines = []
        try:
            for number, line in enumerate(self._lines(sharing)):
                lines.append(line)
                if number % TURN == 0:
                    gevent.sleep(0)
            source = BytesSource(b"".join(lines))
            given = offer(f"briefing-{hand.name}", source)
            self._shelf.put(given, source)
            hand.offer = given
        except (TypeError, ValueError) as error:  # an option that is no JSON, of a locustfile's own
            self._problem = f"the options cannot be sent to workers ({error})"
        self._changed()
