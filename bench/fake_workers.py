"""Many workers in one process, which speak to a real master as workers do and send nothing to a server.

Locust's protocol (client_ready, heartbeat, spawning, stats ...) goes over Locust's own `zmqrpc.Client`, a connection
for each; ours (`harness.orders`) over the same. Orders are obeyed by the worker's own counting (`harness.leave`), and what
a worker says of its requests is counted by the worker's own code too (`harness.live`, Locust's `RequestStats`), so that
messages have their real shape and size. Requests themselves are drawn: they take some seconds and then succeed.

Started with one JSON argument, the `Job`; ends when the master says so, or after `Job.seconds`; prints one JSON object:
when orders came, and how long the master took to answer heartbeats.
"""

import json
import os
import random
import socket
import sys
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final
from uuid import uuid4

import locust  # first: it patches
from locust.rpc.protocol import Message
from locust.rpc.zmqrpc import Client
from locust.stats import RequestStats

import gevent  # isort: skip
from gevent.event import Event  # isort: skip

from harness.clock import ANCHOR_NS, now_ns
from harness.distributed.parcel import BytesSource, Offer, Shelf, offer
from harness.leave import Leave, Slot, Turn
from harness.live import Live
from harness.orders import CHUNK, GET, ORDER, REPORT, Order, Report, Step, Totals, digest
from harness.record import Outcome, RequestRecord, TokenSource

HEARTBEAT_S, STATS_S, TICK_S = 1.0, 3.0, 0.1  # the first two are Locust's
HOST: Final = socket.gethostname()
CHANGED_S: Final = 0.05  # `harness.distributed.worker`'s, between reports that nobody asked for


@dataclass(frozen=True, slots=True)
class Job:
    """What is wanted."""

    port: int  # of the master
    workers: int
    seconds: float  # at most
    takes_s: float  # a request, in the mean
    plain: bool  # the master is Locust's alone: there will be no orders


@dataclass(slots=True)
class Seen:
    """What the workers of this process saw of their master. Monotonic ns."""

    loaded_ns: list[int] = field(default_factory=list)  # when each was told to have users
    stopped_ns: list[int] = field(default_factory=list)  # when each was told that load is over
    orders_ns: list[list[int]] = field(default_factory=list)  # one list a worker
    heartbeats_ns: list[tuple[int, int]] = field(default_factory=list)  # sent, and how long the answer took
    stats_bytes: list[int] = field(default_factory=list)
    messages: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # by direction and type
    requests: int = 0  # that ended


class Requests:
    """The requests of one worker's users: drawn, and counted as a worker counts them."""

    def __init__(self, number: int, takes_s: float, changed: Callable[[], object]) -> None:
        self.users = self.succeeded = 0
        self._takes_s, self._changed = takes_s, changed
        self.stats, self.live, self.leave = RequestStats(), Live(), Leave()
        self._random = random.Random(number)
        self._running: deque[tuple[int, Turn, Slot, RequestRecord]] = deque()  # due at; in the order of leave

    def work(self) -> None:
        """End those that are due; idle users send."""
        now = now_ns()
        while self._running and self._running[0][0] <= now:
            self._end(now)
        while len(self._running) < self.users and (given := self.leave.take(now)):
            record = self._drawn(now, given[1])
            self._running.append((record.end_ns, *given, record))

    def totals(self) -> Totals:
        """As a worker says them."""
        return Totals(offered=self.leave.offered, sent=self.live.sent, succeeded=self.succeeded)

    def _end(self, now: int) -> None:
        _, turn, slot, record = self._running.popleft()
        self.leave.finished(turn, slot, now)
        self.live.add(record, turn.step.index)
        self.stats.log_request("POST", record.name, round(record.e2e_ms or 0), 0)
        self.succeeded += 1
        if turn.step.quota is not None or self.leave.is_stopped:  # as `harness.load` has it
            self._changed()

    def _drawn(self, now: int, slot: Slot) -> RequestRecord:
        seconds = self._takes_s * self._random.lognormvariate(0, 0.3)
        first, last = now + int(0.1e9 * seconds), now + int(1e9 * seconds)
        return RequestRecord(
            request_id="", name="chat", worker="", level=slot.level, repeat=slot.repeat, phase=slot.phase,
            outcome=Outcome.OK, scheduled_ns=now, sent_ns=now, first_content_ns=first, last_content_ns=last, end_ns=last,
            chunks=150, prompt_tokens=550, output_tokens=150, token_source=TokenSource.SERVER,
        )  # fmt: skip


class Fake:
    """One worker."""

    def __init__(self, number: int, job: Job, seen: Seen) -> None:
        self.over, self._dirty = Event(), Event()
        self._job, self._seen, self._orders_ns = job, seen, list[int]()
        self._id = f"{HOST}_{uuid4().hex}"
        self._client = Client("127.0.0.1", job.port, self._id)
        self._requests = Requests(number, job.takes_s, self._dirty.set)
        self._random = random.Random(number)
        self._state = "ready"
        self._order: Order | None = None
        self._shelf = Shelf()
        self._offer: Offer | None = None
        self._counts: dict[str, int] = {}
        self._beat_ns = 0
        seen.orders_ns.append(self._orders_ns)

    def begin(self) -> None:
        """Connect, and go on until the master says to quit."""
        gevent.spawn(self._listen)
        gevent.spawn(self._keep_reporting)
        self._say("client_ready", locust.__version__)
        for what, every_s in ((self._beat, HEARTBEAT_S), (self._tell, STATS_S), (self._work, TICK_S)):
            gevent.spawn(self._repeat, what, every_s)

    def requests(self) -> int:
        """How many ended."""
        return self._requests.succeeded

    def _repeat(self, what: Callable[[], None], every_s: float) -> None:
        gevent.sleep(every_s * self._random.random())  # workers do not march in step
        while not self.over.is_set():
            what()
            gevent.sleep(every_s)

    def _say(self, kind: str, data: object = None) -> None:
        self._seen.messages[f"to master: {kind}"] += 1
        self._client.send(Message(kind, data, self._id))

    def _beat(self) -> None:
        self._beat_ns = now_ns()
        self._say(
            "heartbeat", {"state": self._state, "current_cpu_usage": 40.0, "current_memory_usage": 90 << 20}
        )

    def _tell(self) -> None:
        """Locust's report, as its listeners and ours fill it."""
        stats = self._requests.stats
        data: dict[str, Any] = {
            "stats": stats.serialize_stats(),
            "stats_total": stats.total.get_stripped_report(),
            "errors": {},
            "user_classes_count": self._counts,
            "user_count": self._requests.users,
        }
        if not self._job.plain:
            data["tokenswarm"] = self._requests.live.stored()
        self._seen.stats_bytes.append(len(Message("stats", data, self._id).serialize()))
        self._say("stats", data)

    def _work(self) -> None:
        self._requests.work()
        leave = self._requests.leave
        if self._order is not None and leave.is_stopped and not leave.in_flight and self._offer is None:
            self._end(self._order)

    def _end(self, order: Order) -> None:
        """The last word: no record was kept, so the journal has one line."""
        line = {
            "kind": "worker",
            "name": order.name,
            "host": HOST,
            "pid": os.getpid(),
            "run_id": order.run_id,
        }
        source = BytesSource(json.dumps(line).encode() + b"\n")
        self._offer = offer(f"journal-{order.name}.jsonl", source)
        self._shelf.put(self._offer, source)
        self._tell()
        self._dirty.set()

    def _keep_reporting(self) -> None:
        while not self.over.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._report(None, 0)
            gevent.sleep(CHANGED_S)

    def _listen(self) -> None:
        while not self.over.is_set():
            self._hear(self._client.recv())

    def _hear(self, message: Message) -> None:
        now, data = now_ns(), message.data
        self._seen.messages[f"from master: {message.type}"] += 1
        match message.type:
            case "heartbeat":
                self._seen.heartbeats_ns.append((self._beat_ns, now - self._beat_ns))
            case "spawn":
                self._spawn(data["user_classes_count"])
            case _ if message.type == ORDER:
                self._orders_ns.append(now)
                self._obey(Order.read(data), now + ANCHOR_NS)
            case _ if message.type == GET:
                self._say(CHUNK, self._shelf.answer(data))
            case "stop" | "quit":
                self._tell()
                self._say("client_stopped" if message.type == "stop" else "quit")
                self.over.set()

    def _spawn(self, counts: dict[str, int]) -> None:
        self._say("spawning")
        self._counts, self._state = counts, "running"
        self._requests.users = sum(counts.values())
        if self._job.plain:
            self._requests.leave.obey(Step(index=0, level=1, repeat=1, open_ns=0, warmup=0, quota=None))
        self._say("spawning_complete", {"user_classes_count": counts, "user_count": self._requests.users})
        self._seen.loaded_ns.append(now_ns())

    def _obey(self, order: Order, got_ns: int) -> None:
        self._order = order
        if order.stopped:
            if not self._requests.leave.is_stopped:
                self._seen.stopped_ns.append(now_ns())
            self._requests.leave.stop()
        elif order.step is not None:
            self._requests.leave.obey(order.step)
        self._report(order.sent_ns, got_ns)

    def _report(self, echo_ns: int | None, got_ns: int) -> None:
        """How it stands."""
        requests, order = self._requests, self._order
        if order is None:
            return
        totals, journal = requests.totals(), self._offer.as_dict() if self._offer else None
        said = Report(
            run_id=order.run_id,
            state="ended" if journal else "ready",
            sent_ns=now_ns() + ANCHOR_NS,
            echo_ns=echo_ns,
            got_ns=None if echo_ns is None else got_ns,
            host=HOST,
            pid=os.getpid(),
            users=requests.users,
            in_flight=requests.leave.in_flight,
            tallies=tuple(turn.tally(ANCHOR_NS) for turn in requests.leave.turns),
            totals=totals,
            journal=journal,
            place=f"{HOST}:/nowhere/{order.name}",
            digest=digest(order.run_id, order.name, totals, journal) if journal else None,
        )
        self._say(REPORT, said.wire())


def main() -> None:
    """Be all of them."""
    given = json.loads(sys.argv[1])
    job = Job(**{each.name: given[each.name] for each in fields(Job)})
    seen = Seen()
    fakes = [Fake(number, job, seen) for number in range(job.workers)]
    for fake in fakes:
        fake.begin()
    gevent.wait([fake.over for fake in fakes], timeout=job.seconds)
    seen.requests = sum(fake.requests() for fake in fakes)
    print(json.dumps({each.name: getattr(seen, each.name) for each in fields(Seen)}), flush=True)
    os._exit(0)  # a hundred sockets with nothing more to say


if __name__ == "__main__":
    main()
