"""How many workers a load needs, on which hosts, and the commands that start them. Arithmetic: values in, values out.

A worker is one process on one core. It is given at most `capacity.SHARE` of what `tokenswarm selftest` saw one hold
here; where none was made, of what any worker may be trusted with, and a note says so. The cost is by the event; a
request counts as `REQUEST_EVENTS` of them, which tells for short answers only. The figures it rests on besides were
measured (bench/RESULTS.md) or taken from recorded answers of real servers; they are the constants below.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from harness.errors import ConfigError
from harness.selftest import capacity
from harness.selftest.capacity import Limit
from harness.selftest.steps import shape_for

__all__ = ["Host", "Layout", "Load", "commands", "lay_out"]

# Measured with bench/: what a request costs a worker, as so many events (260 of 16.6 µs), and what of it a selftest pays
# too; the resident memory of a worker, or of a process that does it all, and what an event of an answer in flight adds;
# the master's CPU per worker (0.05 in a timed run, 0.16 in a sweep, of 100 workers).
REQUEST_EVENTS, SELFTEST_EVENTS = 16, 10
WORKER_MB, ALONE_MB, STREAM_MB, EVENT_MB = 95.0, 190.0, 0.004, 0.0004
MASTER_PERCENT: Final = 0.2
# vLLM's and llama.cpp's chat events with their chunk frame are 200 to 250 bytes; each is a packet and has its ACK.
EVENT_BYTES, PACKET_BYTES, TLS_BYTES, BYTES_PER_TOKEN, HEAD_BYTES = 250, 78, 22, 5, 600
OPEN_FILES: Final = 9_000  # streams of one worker: Locust raises its limit of open files to 10,000
PORTS: Final = 28_000  # streams of one host to one address: Linux's ports for outgoing connections
LINK_MBIT: Final = 800  # what a link of 1 Gbit/s carries without queues
FILE: Final = "locustfiles/openai.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked for: streams that are open at once, each at a rate, and the mean sizes of a request."""

    streams: int
    rate: float  # tokens/s of one stream while it streams
    tls: bool = False
    prompt_tokens: float = 550.0
    output_tokens: float = 150.0

    @property
    def events_per_s(self) -> float:
        """Of all streams, if every token is an event and nobody waits for a first one: the most there can be."""
        return self.streams * self.rate

    @property
    def requests_per_s(self) -> float:
        """The most there can be, likewise."""
        return self.events_per_s / self.output_tokens


@dataclass(frozen=True, slots=True)
class Host:
    """So many hosts that are alike."""

    count: int
    workers: int  # of each
    master: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a load needs. Without a master one process does it all."""

    load: Load
    limit: Limit | None  # what a worker was seen to hold; None: no selftest
    other_scheme: bool  # it was seen over http for a plan over https, or the other way round
    workers: int
    by_files: bool  # there are so many for the number of streams, not of events
    hosts: tuple[Host, ...]
    cores: int  # of each host
    spare: int  # of each host's cores

    @property
    def master(self) -> bool:
        """Is there one, in a process of its own?"""
        return self.workers > 1

    @property
    def master_percent(self) -> float | None:
        """Of its core; None: there is no master."""
        return self.workers * MASTER_PERCENT if self.master else None

    @property
    def streams_each(self) -> int:
        """The most one worker has."""
        return -(-self.load.streams // self.workers)

    @property
    def worker_mb(self) -> float:
        """Resident memory of one worker, its answers in flight held whole."""
        own = WORKER_MB if self.master else ALONE_MB
        return own + self.streams_each * (STREAM_MB + EVENT_MB * self.load.output_tokens)

    @property
    def down_mbit(self) -> float:
        """From the server, Mbit/s of all workers, headers of packets included."""
        event = EVENT_BYTES + PACKET_BYTES + (TLS_BYTES if self.load.tls else 0)
        return self.load.events_per_s * event * 8 / 1e6

    @property
    def up_mbit(self) -> float:
        """To the server: prompts, and an acknowledgement an event."""
        request = self.load.prompt_tokens * BYTES_PER_TOKEN + HEAD_BYTES
        return (self.load.events_per_s * PACKET_BYTES + self.load.requests_per_s * request) * 8 / 1e6

    def notes(self) -> Iterator[str]:
        """What to know before relying on it, a sentence each."""
        scheme, other = ("https", "http") if self.load.tls else ("http", "https")
        selftest = f"`tokenswarm selftest{' --tls' if self.load.tls else ''}`"
        if self.limit is None:
            trusted = f"{capacity.DEFAULT_STREAMS} streams x {capacity.RATE:g} tok/s a worker"
            yield (
                f"no selftest of this machine is known, so this rests on {trusted}, several times less than most hold. "
                f"Run {selftest} on the machine that will be the worker, then plan there"
            )
        elif self.other_scheme:
            yield f"the selftest was made over {other}, the plan is for {scheme}: run {selftest}"
        if self.limit and not self.limit.own_cores:
            yield "the selftest's worker shared a core with its server: with a core of its own it holds more"
        if (self.master_percent or 0) > 100 * capacity.SHARE:
            yield (
                f"{self.workers:,} workers are more than one master serves (it has one core): split the load into runs "
                f"of at most {int(100 * capacity.SHARE / MASTER_PERCENT):,} workers, each with its master"
            )
        yield from self._crowded()

    def _crowded(self) -> Iterator[str]:
        """What is too much for one host."""
        most = max(host.workers for host in self.hosts)
        streams, mbit = min(self.load.streams, most * self.streams_each), self.down_mbit * most / self.workers
        if streams > PORTS:
            yield (
                f"{streams:,} streams from one host to one address are more than Linux has ports for "
                f"(about {PORTS:,}): use more hosts, or widen net.ipv4.ip_local_port_range"
            )
        if mbit > LINK_MBIT:
            yield f"about {mbit:,.0f} Mbit/s come to one host: a link of 1 Gbit/s does not carry that"


def lay_out(load: Load, *, cores: int, spare: int | None = None) -> Layout:
    """What a load needs on hosts of `cores` cores, of which `spare` stay free (by default one, if there are two).

    Raises:
        ConfigError: no core is left.
    """
    free = min(1, cores - 1) if spare is None else spare
    if free >= cores:
        raise ConfigError(f"--spare-cores {free}: a host of {cores} core{'s' * (cores > 1)} has none left")
    known = capacity.load()
    own = known.get("https" if load.tls else "http")
    limit = own or next(iter(known.values()), None)
    by_events, by_files = _by_events(load, limit), -(-load.streams // OPEN_FILES)
    workers = max(by_events, by_files)
    return Layout(
        load=load,
        limit=limit,
        other_scheme=own is None and limit is not None,
        workers=workers,
        by_files=by_files > by_events,
        hosts=_hosts(workers, cores - free),
        cores=cores,
        spare=free,
    )


def _by_events(load: Load, limit: Limit | None) -> int:
    """Workers, by what their cores can do. Answers shorter than the selftest's cost more an event."""
    sustained = limit.tokens_per_s if limit else capacity.DEFAULT_STREAMS * capacity.RATE
    tested = shape_for(limit.tokens_per_stream if limit else capacity.RATE).tokens
    dearer = max(1.0, (1 + REQUEST_EVENTS / load.output_tokens) / (1 + SELFTEST_EVENTS / tested))
    return capacity.workers_for(load.streams, load.rate * dearer, sustained)


def _hosts(workers: int, room: int) -> tuple[Host, ...]:
    """A core for each worker and one for the master; as few hosts as that takes, the load even over them."""
    if workers == 1:
        return (Host(1, 1),)
    if workers < room:
        return (Host(1, workers, master=True),)
    first = Host(1, room - 1, master=True)
    others = workers - first.workers
    count = -(-others // room)
    each, more = divmod(others, count)
    return (first, *(host for host in (Host(more, each + 1), Host(count - more, each)) if host.count))


def commands(needed: Layout) -> list[tuple[str, str]]:
    """(where, command line), in the order in which they may be started."""
    load = needed.load
    server = "https://SERVER" if load.tls else "http://SERVER:8000"
    run = (
        f"locust -f {FILE} --host {server} --headless --levels {load.streams} --prompt-tokens {load.prompt_tokens:.12g} "
        f"--output-tokens {load.output_tokens:.12g}"
    )
    if not needed.master:
        return [("here", run)]
    if len(needed.hosts) == 1:
        return [("here", f"{run} --processes {needed.workers}")]
    lines = [("first host", f"{run} --master --expect-workers {needed.workers}")]
    worker, number = f"locust -f {FILE} --worker", 2
    for host in needed.hosts:
        processes = f" --processes {host.workers}" if host.workers > 1 else ""
        if host.master:
            lines += [("first host too", worker + processes)] if host.workers else []
            continue
        last = number + host.count - 1
        where = f"host {number}" if last == number else f"hosts {number} to {last}, each"
        lines.append((where, f"{worker} --master-host FIRST_HOST{processes}"))
        number = last + 1
    return lines
