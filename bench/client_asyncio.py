"""The asyncio clients in the bench: aiohttp on uvloop, httpx. One `json.loads` an event, as people write it."""

import asyncio
import json
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import import_module

from loader import PATH, Answers, Job, Meter, body, job_given, new_id

Lines = Callable[[dict[str, str]], AsyncIterator[str]]
read = time.perf_counter_ns


async def _aiohttp(job: Job, stack: AsyncExitStack) -> Lines:
    aiohttp = import_module("aiohttp")  # not in the environment that is type-checked

    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
    )

    async def lines(headers: dict[str, str]) -> AsyncIterator[str]:
        async with session.post(job.url + PATH, json=body(job), headers=headers) as answer:
            async for line in answer.content:
                yield line.decode()

    return lines


async def _httpx(job: Job, stack: AsyncExitStack) -> Lines:
    httpx = import_module("httpx")

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=None))

    async def lines(headers: dict[str, str]) -> AsyncIterator[str]:
        async with client.stream("POST", job.url + PATH, json=body(job), headers=headers) as answer:
            async for line in answer.aiter_lines():
                yield line

    return lines


VARIANTS: dict[str, Callable[[Job, AsyncExitStack], Awaitable[Lines]]] = {
    "aiohttp": _aiohttp,
    "httpx": _httpx,
}


async def _ask(lines: Lines, answers: Answers) -> None:
    name, times, done = new_id(), array("q"), False
    sent_ns = read()
    async for line in lines({"X-Request-Id": name}):
        if not line.startswith("data: "):
            continue
        if line.startswith("data: [DONE]"):
            done = True
            continue
        choices = json.loads(line[6:])["choices"]
        if choices and choices[0]["delta"].get("content"):
            times.append(read())
    answers.add(name, sent_ns, times, ready_ns=read(), complete=done)


async def _load(job: Job) -> None:
    answers = Answers(job)
    meter = Meter(job)

    async def stream(number: int, lines: Lines) -> None:
        await asyncio.sleep(max(0.0, (job.start_ns(number, meter.begin_ns) - read()) / 1e9))
        while read() < meter.stop_ns:
            await _ask(lines, answers)

    async def watch() -> None:
        for name, at_ns in (("steady", meter.steady_ns), ("stop", meter.stop_ns)):
            await asyncio.sleep(max(0.0, (at_ns - read()) / 1e9))
            meter.mark(name)

    async with AsyncExitStack() as stack:
        lines = await VARIANTS[job.variant](job, stack)
        meter.begin()
        await asyncio.gather(watch(), *(stream(number, lines) for number in range(job.streams)))
        meter.load_over()
    await asyncio.sleep(0.2)  # transports close in a later turn of the loop
    meter.report(answers, "read")


def main() -> None:
    """Load, then report."""
    job = job_given()
    if job.variant == "aiohttp":
        import_module("uvloop").run(_load(job))
    else:
        asyncio.run(_load(job))


if __name__ == "__main__":
    main()
