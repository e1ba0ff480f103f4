"""tokenswarm in the bench: its load path as it really is, in a process loaded as a worker's is.

`Client.run` over `Engine`: the request is built, sent, read, stamped, parsed whole and made a `RequestRecord`, and
the garbage collector is kept as in a run. Locust and the rest of a worker's code are imported, so that memory is a
worker's, but play no part; bookkeeping.py measures what they cost. Variants: `kernel`, `read` (own stamps), `portable`.
"""

from array import array
from itertools import accumulate

import gevent
from loader import PROMPT, Answers, Job, Meter, job_given

import harness.users  # noqa: F401 -- patches the process, as in every Locust worker
from harness import backends, target
from harness.backends.base import Ask
from harness.client import Client
from harness.clock import now_ns
from harness.engine import Engine
from harness.exchange import Timeouts
from harness.garbage import Garbage
from harness.plan import Slot
from harness.record import Outcome, Phase, RequestRecord

TICK_S = 1.0


def engine_for(job: Job) -> Engine:
    """The engine as the variant wants it."""
    portable, kernel = job.variant == "portable", job.variant == "kernel"
    return Engine(target.parse(job.url), Timeouts(), portable=portable, kernel_stamps=kernel)


def main() -> None:
    """Load, then report."""
    job = job_given()
    gevent.get_hub().loop  # noqa: B018 -- the hub's own descriptors are there before we count
    meter = Meter(job)
    engine = engine_for(job)
    client = Client(engine, backends.find("openai", "chat"), "bench", None, lambda _: None)
    ask = Ask(PROMPT, job.events, model=job.model)
    answers, sources = Answers(job), set[str]()
    garbage = Garbage()
    garbage.start()
    meter.begin()

    def stream(number: int) -> None:
        gevent.sleep(max(0.0, (job.start_ns(number, meter.begin_ns) - now_ns()) / 1e9))
        slot = Slot(job.streams, 1, Phase.MEASURE)
        while now_ns() < meter.stop_ns:
            record = client.run(ask, slot, name="bench", scheduled_ns=now_ns(), prompt_tokens=None)
            sources.add(record.stamp_source)
            _add(answers, record)

    def watch() -> None:
        for name, at_ns in (("steady", meter.steady_ns), ("stop", meter.stop_ns)):
            while (left_s := (at_ns - now_ns()) / 1e9) > 0:
                gevent.sleep(min(left_s, TICK_S))
                garbage.tick()
            meter.mark(name)

    watcher = gevent.spawn(watch)
    gevent.joinall([gevent.spawn(stream, number) for number in range(job.streams)], raise_error=True)
    watcher.join()
    meter.load_over()
    engine.close()
    meter.report(answers, "/".join(sorted(sources)))


def _add(answers: Answers, record: RequestRecord) -> None:
    times = array("q")
    if record.first_content_ns is not None:
        gaps = (round(gap * 1e3) for gap in record.chunk_gaps_us)
        times.extend(accumulate(gaps, initial=record.first_content_ns))
    complete = record.outcome is Outcome.OK
    answers.add(str(record.response_id), record.sent_ns or 0, times, ready_ns=now_ns(), complete=complete)


if __name__ == "__main__":
    main()
