"""tokenswarm in the bench: its load path as it really is, in a process loaded as a worker's is.

`Client.run` over `Engine`: the request is built, sent, read, stamped, parsed whole and made a `RequestRecord`, and
the garbage collector is kept as in a run. Locust and the rest of a worker's code are imported, so that memory is a
worker's, but play no part; bookkeeping.py measures what they cost. Variants: `kernel`, `read` (own stamps), `portable`.
"""

from array import array
from itertools import accumulate

import gevent
from loader import PROMPT, Answers, Job, Meter, job_given
from streams import drive

import harness.users  # noqa: F401 -- patches the process, as in every Locust worker
from harness import backends, target
from harness.backends.base import Ask
from harness.client import Client
from harness.clock import now_ns
from harness.engine import Engine
from harness.exchange import Timeouts
from harness.leave import Slot
from harness.record import Outcome, Phase, RequestRecord


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
    client = Client(engine, backends.find("openai", "chat"), "bench", None, lambda *_: None)
    spec = Ask(PROMPT, job.events, model=job.model)
    answers, sources = Answers(job), set[str]()
    slot = Slot(job.streams, 1, Phase.MEASURE)

    def ask() -> None:
        record = client.run(spec, slot, name="bench", scheduled_ns=now_ns(), prompt_tokens=None)
        sources.add(record.stamp_source)
        _add(answers, record)

    drive(job, meter, ask)
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
