"""What writing metrics costs the load generator: CPU, and how long it holds up other greenlets.

    python bench/influx.py [--seconds 20] [--rate 1000]

In a process patched by gevent, as Locust's are, `--rate` points of requests and 50 others are encoded each second as they come
and handed to the outbox once a second, which sends them to the InfluxDB that INFLUXDB_URL and its sisters name, else to the fake of
the tests in a process of its own. A greenlet that wakes each millisecond sees how long it is held up.

The same is then done without encoding and sending, and the difference told: CPU seconds of all threads of this process per second.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen

import gevent

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from harness.influx import access
from harness.influx.lines import Encoder
from harness.influx.outbox import Outbox
from harness.influx.schema import MEASUREMENTS
from harness.influx.transport import Writer, hello

OTHERS = 50  # points a second
TICK_S = 0.001
STEP_S = 0.005
WARM_S = 2.0


@contextmanager
def server(environ: dict[str, str]) -> Iterator[access.Access]:
    """The InfluxDB of the environment, else a fake, which tells at its end what it got."""
    if found := access.read(environ):
        yield found
        return
    command = [sys.executable, str(ROOT / "tests" / "influx_fake.py")]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as fake:
        if fake.stdout is None or fake.stdin is None:
            raise SystemExit("no pipes to the fake")
        port = int(fake.stdout.readline())
        yield access.Access(f"http://127.0.0.1:{port}", "none", "", "bench")
        fake.stdin.close()
        told = json.loads(fake.stdout.read())
        bodies = ", ".join(f"{size / 1e3:.0f}" for size in told["wire_bytes"][:5])
        print(
            f"the fake has {told['points']} points, {told['again']} again, {told['writes']} writes; kB each: {bodies} ..."
        )


def request(seq: int) -> dict[str, object]:
    """A typical request's values: 20 fields, with figures of full precision."""
    return {
        "seq": seq,
        "request_id": f"{seq:032x}",
        "name": "POST /v1/chat/completions",
        "level": 64,
        "repeat": 1,
        "phase": "measure",
        "http_status": 200,
        "finish_reason": "length",
        "ttft_ms": 100 + seq % 977 / 7,
        "tpot_ms": 10 + seq % 97 / 13,
        "e2e_ms": 1500 + seq % 997 / 3,
        "output_tokens_per_s": 80 + seq % 89 / 11,
        "late_send_ms": seq % 7 / 3,
        "prompt_tokens": 550 + seq % 100,
        "output_tokens": 150,
        "cached_tokens": 0,
        "requested_prompt_tokens": 550,
        "requested_output_tokens": 150,
        "server_queue_ms": seq % 31 / 3,
        "server_prefill_ms": 90 + seq % 37 / 3,
    }


@dataclass
class Seen:
    """What a greenlet noticed that wakes each millisecond, one entry a time, ms."""

    late_ms: list[float] = field(
        default_factory=list
    )  # later than that; whoever is to blame, other processes too
    busy_ms: list[float] = field(
        default_factory=list
    )  # CPU of the hub's thread meanwhile: what cannot be others'


def tick(seen: Seen) -> None:
    """Keep looking."""
    while True:
        begin, used = time.perf_counter(), time.thread_time()
        gevent.sleep(TICK_S)
        seen.late_ms.append((time.perf_counter() - begin - TICK_S) * 1e3)
        seen.busy_ms.append((time.thread_time() - used) * 1e3)


def run(outbox: Outbox | None, seconds: float, rate: int) -> tuple[float, Seen]:
    """(CPU s per s, what the ticks noticed) of requests that come evenly; None: none are written."""
    requests = Encoder(MEASUREMENTS["llm_request"], run="2026-11-21 bench", worker="0")
    others = Encoder(MEASUREMENTS["llm_second"], run="2026-11-21 bench", worker="0")
    seen = Seen()
    ticker = gevent.spawn(tick, seen)
    waiting: list[bytes] = []
    seq = 0
    begin, used = time.perf_counter(), os.times()
    while (passed := time.perf_counter() - begin) < seconds:
        due = int(passed * rate)
        while seq < due:
            seq += 1
            values = request(seq)
            if outbox:
                waiting.append(requests.line(time.time_ns(), values, outcome="ok"))
        if outbox and len(waiting) >= rate:
            now = time.time_ns()
            waiting.extend(others.line(now + at, {"sent": at, "output_tokens": 3.5}) for at in range(OTHERS))
            outbox.add(waiting)
            waiting = []
        gevent.sleep(STEP_S)
    elapsed = time.perf_counter() - begin
    cpu = os.times()
    ticker.kill()
    return (cpu.user + cpu.system - used.user - used.system) / elapsed, seen


def told(name: str, cpu: float, seen: Seen) -> None:
    """Three lines."""
    print(f"{name}: CPU {100 * cpu:.2f} % of a core")
    for what, figures in (
        ("a 1 ms sleep is late by", seen.late_ms),
        ("CPU of the hub meanwhile", seen.busy_ms),
    ):
        found = sorted(figures)
        p50, p99, p999 = (found[min(len(found) - 1, int(len(found) * at))] for at in (0.5, 0.99, 0.999))
        over = sum(one > 2 for one in found)
        print(
            f"    {what}, ms: p50 {p50:.2f}, p99 {p99:.2f}, p99.9 {p999:.2f}, most {found[-1]:.2f}; "
            f"{over} of {len(found)} over 2"
        )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=int, default=1000)
    options = parser.parse_args()
    with server(dict(os.environ)) as found:
        print(hello(found))
        writer = Writer(found)
        outbox = Outbox(writer.send, None, print)
        outbox.start()
        run(outbox, WARM_S, options.rate)
        without, calm = run(None, options.seconds, options.rate)
        told("without metrics", without, calm)
        cost, seen = run(outbox, options.seconds, options.rate)
        told("with metrics", cost, seen)
        state = outbox.close(10)
        writer.close()
        print(f"cost: {100 * (cost - without):.2f} % of a core; {state}; lost {state.lost}")


if __name__ == "__main__":
    main()
