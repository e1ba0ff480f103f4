"""One worker's load path, alone in a process: the client and the engine of a real run, against the pacing server.

    python -m harness.selftest.load --url URL [--core N]

For every line on stdin, an order `{"streams", "tokens", "ramp_s", "settle_s", "seconds"}`, it runs that many
greenlets, each asking again as soon as its answer has been parsed, and prints one line of what their records
say (`steps.seen` reads it). It ends when stdin does. Between steps no connection is left open.

Streams start spread over `ramp_s`, and each one's first answer is cut to a random part of the full length:
so all phases of an answer are there from the start, and a step needs no whole answer to settle.
"""

import argparse
import os
import resource
import sys
from pathlib import Path
from random import Random

import gevent
import orjson

from harness import backends, target
from harness.backends.base import Ask
from harness.client import Client
from harness.clock import now_ns
from harness.engine import Engine
from harness.exchange import Timeouts
from harness.garbage import Garbage
from harness.leave import Slot
from harness.record import Phase, RequestRecord
from harness.selftest.pacer import allow_many_files
from harness.target import Target

PROMPT = "the quick brown fox jumps over the lazy dog " * 4
SLOT = Slot(1, 1, Phase.MEASURE)
TICK_S = 1.0
TIMEOUTS = Timeouts(connect_s=10, first_token_s=10, idle_s=10, total_s=60)


class Load:
    """One step: so many streams, from start to cut."""

    def __init__(self, goal: Target, tokens: int, streams: int) -> None:
        self.records: list[RequestRecord] = []
        self._engine = Engine(goal, TIMEOUTS)
        self._client = Client(self._engine, backends.find("openai", "chat"), "selftest", None, self._keep)
        self._garbage = Garbage()
        self._tokens = tokens
        self._streams = streams

    def _keep(self, record: RequestRecord, _: object) -> None:
        self.records.append(record)

    def run(self, ramp_s: float, settle_s: float, seconds: float) -> dict[str, object]:
        """Hold the load for `seconds` after it has settled; the window's times and costs, and every record."""
        source = Random(self._streams)
        self._garbage.start()
        greenlets = [
            gevent.spawn_later(ramp_s * nth / self._streams, self._stream, source.randint(1, self._tokens))
            for nth in range(self._streams)
        ]
        self._wait(ramp_s + settle_s)
        begin_ns, begin_cpu_ns, begin_wait_ns = now_ns(), _cpu_ns(), _waited_ns()
        self._wait(seconds)
        end_ns, end_cpu_ns, end_wait_ns = now_ns(), _cpu_ns(), _waited_ns()
        gevent.killall(greenlets)
        for greenlet in greenlets:
            greenlet.get()  # raises what ended a stream, if that was not us
        self._engine.close()
        self._garbage.stop()
        told = begin_wait_ns is not None and end_wait_ns is not None
        return {
            "begin_ns": begin_ns,
            "end_ns": end_ns,
            "cpu_ns": end_cpu_ns - begin_cpu_ns,
            "waited_ns": (end_wait_ns or 0) - (begin_wait_ns or 0) if told else None,
            "rows": [_row(record) for record in self.records],
        }

    def _wait(self, seconds: float) -> None:
        """Sleep, with the collector run as in a run."""
        end_ns = now_ns() + int(seconds * 1e9)
        while (left_s := (end_ns - now_ns()) / 1e9) > 0:
            gevent.sleep(min(left_s, TICK_S))
            self._garbage.tick()

    def _stream(self, first_tokens: int) -> None:
        tokens = first_tokens
        while True:
            ask = Ask(PROMPT, tokens, model="selftest")
            record = self._client.run(ask, SLOT, name="selftest", scheduled_ns=now_ns(), prompt_tokens=None)
            if record.error_class is not None:
                gevent.sleep(0.1)  # a server that is not there must not become a busy loop
            tokens = self._tokens


def main() -> int:
    """Carry out orders until stdin ends."""
    parser = argparse.ArgumentParser(description="The load of `tokenswarm selftest`.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--core", type=int)
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    allow_many_files()
    goal = target.parse(args.url)
    sys.stdout.buffer.write(b"{}\n")  # ready
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        order = orjson.loads(line)
        load = Load(goal, order["tokens"], order["streams"])
        said = load.run(order["ramp_s"], order["settle_s"], order["seconds"])
        sys.stdout.buffer.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    return 0


def _row(record: RequestRecord) -> list[object]:
    return [
        record.request_id,
        record.sent_ns,
        record.first_content_ns,
        record.chunk_gaps_us,
        record.error_message if record.error_class is not None else None,
        record.stamp_source,
    ]


def _cpu_ns() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round((usage.ru_utime + usage.ru_stime) * 1e9)


def _waited_ns() -> int | None:
    """How long this process has been ready to run and was not; None where Linux does not say."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None


if __name__ == "__main__":
    sys.exit(main())
