"""The engine alone, for bookkeeping.py: every request is the same bytes.

Variants: `engine`, nothing of an answer is read; `parse`, it is parsed, and what it said is thrown away.
"""

import json
from array import array

import gevent
import locust  # noqa: F401 -- patches the process, as in every Locust worker
from loader import PATH, Answers, Job, Meter, body, job_given

from harness import backends, target
from harness.clock import now_ns
from harness.decode import decode
from harness.engine import Engine
from harness.exchange import Exchange, Timeouts
from harness.garbage import Garbage


def payload(job: Job) -> bytes:
    """The whole request."""
    content = json.dumps(body(job)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def main() -> None:
    """Load, then report."""
    job = job_given()
    meter, answers = Meter(job), Answers(job)
    engine = Engine(target.parse(job.url), Timeouts())
    asked, backend, parse = payload(job), backends.find("openai", "chat"), job.variant == "parse"
    garbage = Garbage()
    garbage.start()
    meter.begin()

    def stream(number: int) -> None:
        gevent.sleep(max(0.0, (job.start_ns(number, meter.begin_ns) - now_ns()) / 1e9))
        while now_ns() < meter.stop_ns:
            exchange = Exchange(asked, lambda _: True)
            engine.perform(exchange)
            if parse:
                decode(backend, exchange.received, engine.drain)
            answers.add("", 0, array("q"), ready_ns=None, complete=exchange.failure is None)

    def watch() -> None:
        for name, at_ns in (("steady", meter.steady_ns), ("stop", meter.stop_ns)):
            while (left_s := (at_ns - now_ns()) / 1e9) > 0:
                gevent.sleep(min(left_s, 1.0))
                garbage.tick()
            meter.mark(name)

    watcher = gevent.spawn(watch)
    gevent.joinall([gevent.spawn(stream, number) for number in range(job.streams)], raise_error=True)
    watcher.join()
    meter.load_over()
    engine.close()
    meter.report(answers, "-")


if __name__ == "__main__":
    main()
