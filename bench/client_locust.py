"""Locust's own fast client in the bench: `FastHttpSession`, one `json.loads` an event, one Locust event a request.

Variants: `iter_lines`, Locust's documented way to read a stream, and `readline`, the plain correct one.
"""

import time
from array import array
from collections.abc import Iterator
from functools import partial
from typing import Final

from locust import events  # first: it patches
from locust.contrib.fasthttp import FastHttpSession

import gevent  # isort: skip
import json  # isort: skip

from loader import PATH, Answers, Job, Meter, body, job_given, new_id


def lines(session: FastHttpSession, job: Job, headers: dict[str, str]) -> Iterator[str | bytes]:
    """The lines of one answer, as the variant reads them."""
    if job.variant == "iter_lines":
        yield from session.iter_lines(PATH, method="POST", json=body(job), headers=headers)
        return
    with session.post(PATH, json=body(job), headers=headers, stream=True, catch_response=True) as answer:
        yield from iter(partial(answer._response.readline, b"\n"), b"")  # noqa: SLF001 -- it has no public one


def main() -> None:
    """Load, then report."""
    job = job_given()
    read: Final = time.perf_counter_ns
    answers, meter = Answers(job), Meter(job)
    session = FastHttpSession(
        job.url, events.request, None, concurrency=job.streams + 10, connection_timeout=30, network_timeout=60
    )
    meter.begin()

    def ask() -> None:
        name, times, done = new_id(), array("q"), False
        sent_ns = read()
        for line in lines(session, job, {"X-Request-Id": name}):
            text = line if isinstance(line, str) else line.decode()
            if not text.startswith("data: "):
                continue
            if text.startswith("data: [DONE]"):
                done = True
                continue
            choices = json.loads(text[6:])["choices"]
            if choices and choices[0]["delta"].get("content"):
                times.append(read())
        answers.add(name, sent_ns, times, ready_ns=read(), complete=done)

    def stream(number: int) -> None:
        gevent.sleep(max(0.0, (job.start_ns(number, meter.begin_ns) - read()) / 1e9))
        while read() < meter.stop_ns:
            ask()

    def watch() -> None:
        for name, at_ns in (("steady", meter.steady_ns), ("stop", meter.stop_ns)):
            gevent.sleep(max(0.0, (at_ns - read()) / 1e9))
            meter.mark(name)

    watcher = gevent.spawn(watch)
    gevent.joinall([gevent.spawn(stream, number) for number in range(job.streams)], raise_error=True)
    watcher.join()
    meter.load_over()
    session.client.clientpool.close()
    meter.report(answers, "read")


if __name__ == "__main__":
    main()
