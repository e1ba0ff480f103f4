"""What the page "Tokens" costs the process that serves it: looking at the run once a second, and telling those who look on.

    .venv/bin/python bench/web_live.py

Three runs on a clock of their own, each with so many viewers who ask once a second for what is new:

    local      one process that sends: 200 streams of 50 tokens/s
    master     20 workers with 50 such streams each, whose pulses and counts come as messages
    long       the same after an hour: 3,600 rows and 12 levels behind it

A second's work is: what a master unpacks of pulses, the look (`Sampler.look`), and the viewers' answers through Flask's own test
client, which costs more than Locust's server. A local run's own counting for it (`Pulse.record`) is in, too. CPU is the
process's own, as `time.process_time_ns` has it; % of one core is ms of it in a second / 10. Printed: the mean of all
seconds, the worst one, the size of an answer; and what a worker's own pulse takes, which nobody else pays. The garbage collector rests meanwhile: `harness.garbage` has it in hand, and what it would
walk here are this program's own streams.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgpack  # type: ignore[import-untyped]
from flask import Flask, Response, request
from processes import BenchError
from targets import Target

from harness.guards import Guards
from harness.hope import Hope
from harness.live import Live, merged
from harness.orders import Tally, Totals
from harness.plan import Plan, sweep
from harness.progress import Progress
from harness.pulse import Pulse, Said
from harness.record import Outcome, Phase, RequestRecord
from harness.segment import Part
from harness.slo import read
from harness.web.sampler import Sampler

__all__ = ["LIMIT_PERCENT", "Cost", "measure"]

LIMIT_PERCENT: Final = 1.0
VIEWERS: Final = 3
REPORT_S: Final = 3  # between Locust's reports of a worker
S: Final = 1_000_000_000
BEGAN: Final = 1_790_000_000 * S
TOKENS, TOKENS_PER_S = 150, 50
SLOS: Final = read(["ttft_p95<2s"])


@dataclass
class Stream:
    """An answer under way: `harness.influx.tally.Streaming`."""

    begin_ns: int
    ttft_ns: int
    tokens: int
    received: Any = None
    read_times: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.received = self
        self._next_ns = self.begin_ns + self.ttft_ns

    __hash__ = object.__hash__

    @property
    def end_ns(self) -> int:
        return self.begin_ns + self.ttft_ns + (self.tokens - 1) * S // TOKENS_PER_S

    def read(self, upto_ns: int) -> None:
        """What has come by then."""
        while self._next_ns < min(upto_ns, self.end_ns + 1):
            self.read_times.append(self._next_ns)
            self._next_ns += S // TOKENS_PER_S


class Sender:
    """A part with so many users who send all the time; its own code counts for it."""

    def __init__(self, name: str, users: int, seed: int) -> None:
        self.name, self.users = name, users
        self._random = random.Random(seed)
        self.live = Live(SLOS)
        self.flying: set[Stream] = set()
        self.pulse = Pulse(BEGAN, 0, lambda: self.flying)
        self.ok = self.given = 0
        self.record_ns = self.pulse_ns = 0  # CPU
        self.said: Any = None
        self.counted: Any = None
        for _ in range(users):
            self._send(BEGAN + self._random.randrange(S))

    def _send(self, at_ns: int) -> None:
        tokens = self._random.randint(TOKENS // 2, TOKENS * 3 // 2)
        self.flying.add(Stream(at_ns, round(self._random.lognormvariate(-2, 0.5) * S), tokens))
        self.given += 1

    def pass_second(self, now_ns: int, segment: int, level: int) -> None:
        """What happens up to this moment."""
        for stream in list(self.flying):
            stream.read(now_ns)
            if stream.end_ns >= now_ns:
                continue
            self.flying.discard(stream)
            first = stream.begin_ns + stream.ttft_ns
            record = RequestRecord(
                request_id="r", name="/chat", worker=self.name, level=level, repeat=1, phase=Phase.MEASURE,
                outcome=Outcome.OK, scheduled_ns=stream.begin_ns, sent_ns=stream.begin_ns, end_ns=stream.end_ns,
                first_content_ns=first, last_content_ns=stream.end_ns, prompt_tokens=550,
                output_tokens=stream.tokens, chunks=stream.tokens,
            )  # fmt: skip
            self.live.add(record, segment)
            self.ok += 1
            begin = time.process_time_ns()
            self.pulse.record(record, stream)
            self.record_ns += time.process_time_ns() - begin
            self._send(stream.end_ns + 1)

    def say(self, now_ns: int, *, counts: bool) -> None:
        """Its messages, packed as they are sent."""
        begin = time.process_time_ns()
        self.said = msgpack.dumps(self.pulse.stored(now_ns))
        self.pulse_ns += time.process_time_ns() - begin
        if counts or self.counted is None:
            self.counted = msgpack.loads(msgpack.dumps(self.live.stored()), raw=False)

    def tally(self, segment: int) -> Tally:
        """How far it is, as it reports it."""
        return Tally(
            index=segment,
            given=self.given,
            done=self.ok,
            in_flight=self.users,
            first_ns=BEGAN,
            start_ns=BEGAN,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run. Percent of one core."""

    name: str
    mean_percent: float
    worst_ms: float  # of a single second
    answer_bytes: float
    pulse_percent: float  # of a worker's own core


class Parts:
    """What the sampler asks of a run's parts."""

    hope = Hope()

    def __init__(self, senders: list[Sender], *, is_local: bool) -> None:
        self.senders = senders
        self.heard: list[Said] = []
        self.present = None if is_local else lambda: (len(senders), len(senders))

    def hear(self, *, is_local: bool) -> None:
        """What has come is unpacked, as a master does."""
        self.heard = [
            Said(
                one.name, "ready", one.users, len(one.flying),
                one.live.stored() if is_local else one.counted, msgpack.loads(one.said, raw=False), True,
            )
            for one in self.senders
        ]  # fmt: skip

    def said(self) -> list[Said]:
        return self.heard

    def totals(self) -> list[Totals]:
        return [
            Totals(offered=one.given, sent=one.given, succeeded=one.ok, output_tokens=one.ok * TOKENS)
            for one in self.senders
        ]

    @property
    def in_flight(self) -> int:
        return sum(len(one.flying) for one in self.senders)

    def findings(self) -> list[tuple[str, str]]:
        return []


def _run(parts: Parts, plan: Plan) -> Any:  # noqa: ANN401  as much of a run as is asked for
    """Of a run what the sampler looks at."""
    load = SimpleNamespace(guards=Guards())
    settings = SimpleNamespace(
        slos=SLOS, run_name=None, target="http://127.0.0.1:8000", load=load, run_time_s=None
    )
    return SimpleNamespace(
        id="run", settings=settings, plan=plan, parts=parts, load=SimpleNamespace(lanes={}), is_over=False,
        guard=SimpleNamespace(findings=list), directory=SimpleNamespace(path=Path("results/run")), ended=None,
        progress=Progress(plan, lambda: merged([]), workers=parts.present),
    )  # fmt: skip


def measure(name: str, workers: int, users: int, seconds: int, *, rows: int = 0, levels: int = 3) -> Cost:
    """So many parts (0: a local run) for so many seconds; `rows` that are there before."""
    is_local = not workers
    senders = [Sender(f"worker-{n}", users, n) for n in range(workers or 1)]
    parts, plan = (
        Parts(senders, is_local=is_local),
        sweep([users * len(senders) * n for n in range(1, levels + 1)], 1, 10**6, 0),
    )
    plan.begun_ns = BEGAN
    run = _run(parts, plan)
    sampler = Sampler(lambda: run)
    for one in plan.segments:
        one.parts = {sender.name: Part(sender.users, Tally(index=one.index)) for sender in senders}
    ask, sizes = _viewers(sampler), list[int]()
    spent: list[int] = []
    before = 0
    for second, now_ns in _seconds(seconds):
        at = min(levels - 1, second * levels // seconds) if rows else 0
        for sender in senders:
            sender.pass_second(now_ns, at, plan.segments[at].level)
            sender.say(now_ns, counts=second % REPORT_S == 0)
        plan.at = at
        plan.segments[at].open_ns = plan.segments[at].open_ns or now_ns
        for sender in senders:
            plan.segments[at].parts[sender.name].tally = sender.tally(at)
        counted = sum(sender.record_ns for sender in senders) if is_local else 0
        gc.disable()
        begin = time.process_time_ns()
        parts.hear(is_local=is_local)
        sampler.look(now_ns)
        answers = [ask(viewer) for viewer in range(VIEWERS)]
        spent.append(time.process_time_ns() - begin + counted - before)
        gc.enable()
        if not all(b'"problem":null}' in answer for answer in answers):
            raise BenchError(f"the page could not be made: {answers[0][-300:]!r}")
        sizes += map(len, answers)
        before = counted
        if second == 1 and rows:
            _fill(sampler, rows)
    told = spent[5:]
    return Cost(
        name=name,
        mean_percent=sum(told) / len(told) / 1e7,
        worst_ms=max(told) / 1e6,
        answer_bytes=sum(sizes[15:]) / len(sizes[15:]),
        pulse_percent=sum((one.pulse_ns + one.record_ns) / seconds / 1e7 for one in senders) / len(senders),
    )


def _seconds(number: int) -> Iterator[tuple[int, int]]:
    return ((second, BEGAN + second * S + S * 35 // 100) for second in range(1, number + 1))


def _fill(sampler: Sampler, rows: int) -> None:
    """Rows of an hour that has passed."""
    history = sampler.history
    values = {"settled": True, "level": 1, "users": 1000, "system_output_tokens_per_s": 45_678.9}
    for second in range(rows):
        history.append(BEGAN // S - rows + second, values)


def _viewers(sampler: Sampler) -> Callable[[int], bytes]:
    """Asks for what is new to a viewer; gives the answer."""
    app, places = Flask(__name__), [0] * VIEWERS

    def told() -> Response:
        return Response(sampler.told(int(request.args["since"])), mimetype="application/json")

    app.add_url_rule("/tokens.json", "told", told)
    client = app.test_client()

    def ask(viewer: int) -> bytes:
        body: bytes = client.get(f"/tokens.json?since={places[viewer]}").data
        places[viewer] = sampler.history.next
        return body

    return ask


def target(cost: Cost) -> Target:
    """The line of the contract."""
    text = f"{cost.name}, {VIEWERS} viewers: the page takes <= {LIMIT_PERCENT:g} % of a core"
    return Target(text, f"{cost.mean_percent:.2f} %", met=cost.mean_percent <= LIMIT_PERCENT)


def main() -> int:
    """Measure and print all three; 1 if one of them takes more."""
    costs = [
        measure("local, 200 streams", 0, 200, 90),
        measure("master of 20 workers, 1,000 streams", 20, 50, 90),
        measure("master of 20 workers, after an hour and 12 levels", 20, 50, 120, rows=3_400, levels=12),
    ]
    print(
        f"\n{'run':<52} {'% of a core':>11} {'worst s, ms':>11} {'answer, kB':>10} {'pulse, % of a worker':>21}"
    )
    for cost in costs:
        print(
            f"{cost.name:<52} {cost.mean_percent:>11.2f} {cost.worst_ms:>11.1f} {cost.answer_bytes / 1e3:>10.1f} "
            f"{cost.pulse_percent:>21.2f}"
        )
    print()
    for cost in costs:
        print("  ".join(target(cost).cells))
    return 0 if all(target(cost).met for cost in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
