"""Figures of the tools as tables and as `bench/RESULTS-peers.md`. Pure: values in, text out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from loads import Load
from peers_figures import Figures
from table import table
from targets import Target

__all__ = ["Row", "ideal_rate", "page", "tables", "targets"]

Row = tuple[Figures, str] | str  # figures and what its ITL is of; a string: why there are none
Rows = Mapping[str, Row]
Cell = Callable[[Figures, str], str]

OURS: Final = "tokenswarm"
DASH: Final = "–"  # noqa: RUF001  # not measured
# How many times less CPU per event than each peer, issue 3.
CPU_TARGETS: Final = {"aiperf": 10.0, "guidellm": 10.0, "inference-perf": 5.0, "evalscope": 4.0}
BIAS_TARGET, MEMORY_TARGET = 20.0, 5.0

METHOD: Final = """\
The tools run one after another against a truth server (`bench/truth_server.c`) that streams every answer on an exact
schedule, one event a `send()`, and logs when each request had been read and when each event went out. Every tool is
given the same load in its own words: {streams} streams at a time, {requests:,} requests of {events} prompt tokens,
answers of {events} events; a new request goes out as soon as an answer is complete. An answer takes {answer_s:.2f} s
({first_ms:.0f} ms to the first event, then {gap_ms:.0f} ms ± {jitter} % each), so that no client can do more than
{ideal:.1f} requests/s. Each round runs every tool once, in another order; the tables hold the median of {rounds}
round{plural}, of unmatched requests and others' CPU the worst. All tools may use every core; the server keeps the first
core with priority -10 where that is permitted. Each tool runs in an environment of its own with the versions in
`bench/peers/`, with its own defaults (workers, exports), offline, its output going to a file.

- **requests/s, events/s**: as the server saw them, from the first request that overlaps another (before it a tool tries
  the connection) to the last event. **of ideal**: of what the schedule allows.
- **CPU s per 1,000 events**: user and system time of the whole process tree, sampled ten times a second from
  `/proc/PID/stat`, ended processes included; in the traffic, and for the whole run with start-up and report.
- **peak MB**: sum of PSS over the tree, sampled once a second; in the traffic and in the whole run.
- **said**: the tool's own figure, from its own output files. **true**: the same of the server's log, for the same requests
  where the tool's files name them, else for all. **bias** = said - true. TTFT is true from the request having been read to just
  before the first event is sent, so about 0.05 ms of bias is the way there and back.
- **ITL of**: some tools report the gaps between events one by one (`gaps`), others one mean per request (`means`); each is held
  against the same thing of the log.
- **others %**: of all cores, taken by neither the tool nor the server during the run. Above a few percent do not trust
  the run."""

LIMITS: Final = """\
- One machine, loopback, plain HTTP, one load. The server shares the machine with the tools; `server %` is its share of
  one core, part of it waiting for the next due time.
- inference-perf's random prompts go to `/v1/completions`, all others use `/v1/chat/completions`. It asks for Python 3.12.
- aiperf counts tokens with its tokenizer by default, which costs it CPU (`--use-server-token-count` saves some of it);
  the tokenizer is a tiny one made for this comparison. tokenswarm takes the server's counts, as it does by default.
- tokenswarm is its whole process: Locust, the journal, the results and the report, not only the reader of streams.
- The verdict that tokenswarm prints is `suspect`, as the truth server counts a prompt's tokens as its bytes / 4.
- Percentiles are each tool's own: some interpolate, some take the nearest rank, aiperf's gaps come from a t-digest."""


def ideal_rate(load: Load) -> float:
    """Requests/s that the schedule allows."""
    return load.streams * 1e6 / _answer_us(load)


def tables(rows: Rows, load: Load) -> str:
    """What the load cost, and what was said of it; both Markdown."""
    cost, claims = _cost(rows, load), _CLAIMS
    return "\n\n".join(_filled(rows, columns) for columns in (cost, claims))


def targets(rows: Rows) -> list[Target]:
    """The lines of the contract that need peers."""
    own = _figures(rows, OURS)
    return [*_cpu_targets(rows, own), _bias_target(rows, own), _memory_target(rows, own)]


def page(
    rows: Rows,
    load: Load,
    *,
    facts: Mapping[str, str],
    commands: Mapping[str, str],
    requests: int,
    rounds: int,
) -> str:
    """The whole of the results file. `facts`: machine, date, command; `commands`: of each tool, as it was run."""
    method = METHOD.format(
        streams=load.streams,
        requests=requests,
        events=load.events,
        answer_s=_answer_us(load) / 1e6,
        first_ms=load.first_us / 1e3,
        gap_ms=load.gap_us / 1e3,
        jitter=load.jitter_percent,
        ideal=ideal_rate(load),
        rounds=rounds,
        plural="" if rounds == 1 else "s",
    )
    return "\n\n".join(
        [
            f"# tokenswarm and its peers, {load.title}",
            "Written by `make bench-peers`; do not edit.",
            "\n".join(f"- {name}: {value}" for name, value in facts.items()),
            "## Figures",
            tables(rows, load),
            "## Targets",
            table(["target", "measured", "met"], [target.cells for target in targets(rows)]),
            "## Method",
            method,
            "## Limits",
            LIMITS,
            "## Commands",
            *(f"{name}:\n\n```\n{command}\n```" for name, command in commands.items()),
        ]
    ) + "\n"  # fmt: skip


def _answer_us(load: Load) -> float:
    return load.first_us + (load.events - 1) * load.gap_us


def _filled(rows: Rows, columns: Mapping[str, Cell]) -> str:
    cells = [
        [name, row, *[""] * (len(columns) - 1)]
        if isinstance(row, str)
        else [name, *(cell(*row) for cell in columns.values())]
        for name, row in rows.items()
    ]
    return table(["tool", *columns], cells)


def _cost(rows: Rows, load: Load) -> Mapping[str, Cell]:
    own = _figures(rows, OURS)
    return {
        "requests/s": lambda it, _: f"{it.requests_per_s:.1f}",
        "of ideal": lambda it, _: f"{100 * it.requests_per_s / ideal_rate(load):.0f} %",
        "events/s": lambda it, _: f"{it.events_per_s:,.0f}",
        "CPU s per 1,000 events": lambda it, _: f"{it.cpu:.4f}",
        "CPU x ours": lambda it, _: _times(it.cpu, own.cpu if own else None),
        "CPU whole run": lambda it, _: f"{it.cpu_whole:.4f}",
        "peak MB": lambda it, _: f"{it.memory:,.0f}",
        "MB x ours": lambda it, _: _times(it.memory, own.memory if own else None),
        "MB whole run": lambda it, _: f"{it.memory_whole:,.0f}",
        "processes": lambda it, _: f"{it.processes:.0f}",
        "run s": lambda it, _: f"{it.wall_s:.0f}",
        "server %": lambda it, _: f"{it.server_percent:.0f}",
        "others %": lambda it, _: f"{it.others_percent:.0f}",
    }


_CLAIMS: Final[Mapping[str, Cell]] = {
    "requests": lambda it, _: (
        f"{it.said:,.0f}" + (f" ({it.unmatched:.0f} unmatched)" if it.unmatched else "")
    ),
    "TTFT p50 ms said / true / bias": lambda it, _: _three(it.ttft_p50, it.true_ttft_p50, it.ttft_bias_p50),
    "TTFT p99": lambda it, _: _three(it.ttft_p99, it.true_ttft_p99, it.ttft_bias_p99),
    "ITL of": lambda _, itl_of: itl_of,
    "ITL p50 ms said / true / bias": lambda it, _: _three(it.itl_p50, it.true_itl_p50, it.itl_bias_p50),
    "ITL p99": lambda it, _: _three(it.itl_p99, it.true_itl_p99, it.itl_bias_p99),
}


def _cpu_targets(rows: Rows, own: Figures | None) -> Iterator[Target]:
    for name, wanted in CPU_TARGETS.items():
        text = f"CPU per event in the traffic {wanted:.0f} x less than {name}'s"
        peer = _figures(rows, name)
        if own is None or peer is None:
            yield Target(text, DASH, met=None)
        else:
            ratio = peer.cpu / own.cpu
            yield Target(
                text, f"{ratio:.1f} x ({peer.cpu:.4f} against {own.cpu:.4f} s per 1,000)", met=ratio >= wanted
            )


def _bias_target(rows: Rows, own: Figures | None) -> Target:
    text = f"p50 TTFT bias >= {BIAS_TARGET:.0f} x smaller than the best peer's"
    peers = {name: abs(it.ttft_bias_p50) for name, it in _peers(rows)}
    if own is None or not peers or own.ttft_bias_p50 == 0:
        return Target(text, DASH, met=None)
    best = min(peers, key=lambda name: peers[name])
    ratio = peers[best] / abs(own.ttft_bias_p50)
    said = f"{ratio:.1f} x ({own.ttft_bias_p50:+.3f} ms against {best}'s {peers[best]:.3f})"
    return Target(text, said, met=ratio >= BIAS_TARGET)


def _memory_target(rows: Rows, own: Figures | None) -> Target:
    text = f"memory in the traffic >= {MEMORY_TARGET:.0f} x less than any peer's"
    peers = {name: it.memory for name, it in _peers(rows)}
    if own is None or not peers:
        return Target(text, DASH, met=None)
    best = min(peers, key=lambda name: peers[name])
    ratio = peers[best] / own.memory
    return Target(
        text,
        f"{ratio:.1f} x ({own.memory:.0f} MB against {best}'s {peers[best]:.0f})",
        met=ratio >= MEMORY_TARGET,
    )


def _figures(rows: Rows, name: str) -> Figures | None:
    row = rows.get(name)
    return row[0] if isinstance(row, tuple) else None


def _peers(rows: Rows) -> Sequence[tuple[str, Figures]]:
    return [(name, row[0]) for name, row in rows.items() if name != OURS and isinstance(row, tuple)]


def _three(said: float, true: float, bias: float) -> str:
    return f"{said:.2f} / {true:.2f} / " + (f"{bias:+.3f}" if abs(bias) < 1 else f"{bias:+.1f}")


def _times(value: float, own: float | None) -> str:
    return f"{value / own:.1f}" if own else DASH
