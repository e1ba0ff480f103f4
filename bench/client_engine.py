"""The engine alone, for bookkeeping.py: every request is the same bytes.

Variants: `engine`, nothing of an answer is read; `parse`, it is parsed, and what it said is thrown away.
"""

import json
from array import array

import locust  # noqa: F401 -- patches the process, as in every Locust worker
from loader import PATH, Answers, Job, Meter, body, job_given
from streams import drive

from harness import backends, target
from harness.decode import decode
from harness.engine import Engine
from harness.exchange import Exchange, Timeouts


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

    def ask() -> None:
        exchange = Exchange(asked, lambda _: True)
        engine.perform(exchange)
        if parse:
            decode(backend, exchange.received, engine.drain)
        answers.add("", 0, array("q"), ready_ns=None, complete=exchange.failure is None)

    drive(job, meter, ask)
    engine.close()
    meter.report(answers, "-")


if __name__ == "__main__":
    main()
