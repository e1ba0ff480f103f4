"""What was measured, kept as numbers (results.json) and as a page (RESULTS.md) that is written from them.

A part that is measured anew replaces its old numbers and leaves the others: loads, soak and the others each say when,
on what and by which command they came about.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import bookkeeping
import distributed_page
import soak
from clients import CLIENTS
from loads import LOADS, QUICK
from score import Figures
from table import Row, figures_table, table
from targets import Target, targets

__all__ = ["Part", "load", "page", "save", "tables"]

# What the numbers alone do not say, written by hand: why a target was missed.
NOTES: Final = Path(__file__).with_name("NOTES.md")


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of measurement. `found`: what it found, as JSON has it."""

    date: str
    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    priority: str
    found: dict[str, Any]


def load(path: Path) -> dict[str, Part]:
    """The parts measured so far: `loads`, `unlimited` (if measured apart), `soak`, `bookkeeping`, `distributed`."""
    if not path.exists():
        return {}
    return {name: Part(**part) for name, part in json.loads(path.read_text(encoding="utf-8")).items()}


def save(path: Path, parts: Mapping[str, Part]) -> None:
    """Write the numbers, and the page beside them."""
    stored = {name: asdict(part) for name, part in parts.items()}
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    path.with_name("RESULTS.md").write_text(page(parts), encoding="utf-8")


def page(parts: Mapping[str, Part]) -> str:
    """RESULTS.md."""
    sections = [
        "# What the bench found",
        "Written by `make bench`; do not edit. The targets and what each column means are below the tables.",
        "## Targets",
        table(["target", "measured", ""], [target.cells for target in _targets(parts)]),
    ]
    if NOTES.exists():
        sections.append(NOTES.read_text(encoding="utf-8").strip())
    for name, title in (("loads", "Loads"), ("unlimited", "Unlimited rate")):
        if part := parts.get(name):
            sections += [f"## {title}\n\n{_origin(part)}", tables(_rows(part), part.found["idle_mb"])]
    if part := parts.get("loads"):
        sections += [f"Clients:\n\n{_clients(part)}"]
    if part := parts.get("bookkeeping"):
        sections += [f"## Per request\n\n{_origin(part)}", _bookkeeping(bookkeeping.Cost(**part.found))]
    if part := parts.get("distributed"):
        sections += [f"## Distributed\n\n{_origin(part)}", distributed_page.section(part.found)]
    if part := parts.get("soak"):
        sections += [f"## Soak\n\n{_origin(part)}", _soak(part)]
    return "\n\n".join([*sections, METHOD, DEFINITIONS]) + "\n"


def tables(rows: Mapping[str, Mapping[str, Row]], idle_mb: float | None) -> str:
    """One table a load."""
    loads = {**LOADS, QUICK.name: QUICK}
    return "\n\n".join(
        f"### {loads[name].title}\n\n{figures_table(loads[name], by_client, idle_mb)}"
        for name, by_client in rows.items()
    )


def _rows(part: Part) -> dict[str, dict[str, Row]]:
    return {
        name: {client: row if isinstance(row, str) else Figures(**row) for client, row in by_client.items()}
        for name, by_client in part.found["rows"].items()
    }


def _targets(parts: Mapping[str, Part]) -> Sequence[Target]:
    soaked, booked, spread = parts.get("soak"), parts.get("bookkeeping"), parts.get("distributed")
    measured = [part for name in ("unlimited", "loads") if (part := parts.get(name))]
    rows = {load: row for part in measured for load, row in _rows(part).items()}
    found = targets(
        rows,
        measured[-1].found["idle_mb"] if measured else None,
        soak.targets(_soaked(soaked)) if soaked else (),
        bookkeeping.target(bookkeeping.Cost(**booked.found)) if booked else None,
    )
    return [*found, *(distributed_page.lines(spread.found) if spread else [])]


def _soaked(part: Part) -> soak.Soak:
    return soak.Soak(**part.found | {"samples": [tuple(sample) for sample in part.found["samples"]]})


def _origin(part: Part) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in part.machine.items())
    packages = ", ".join(f"{name} {value}" for name, value in part.versions.items())
    return f"`{part.command}`, {part.date}. {facts}. {packages}. Server and client: {_PRIORITIES[part.priority]}."


def _clients(part: Part) -> str:
    used = {client for by_client in part.found["rows"].values() for client in by_client}
    return "\n".join(f"- `{name}`: {client.what}" for name, client in CLIENTS.items() if name in used)


def _bookkeeping(cost: bookkeeping.Cost) -> str:
    rows = [
        ["`Engine.perform` alone", f"{cost.engine_us:.1f}"],
        ["and the answer parsed", f"{cost.parse_us:.1f}"],
        ["`Client.run`: and the request built, the record made", f"{cost.client_us:.1f}"],
        ["a headless Locust run of locustfiles/openai.py", f"{cost.locust_us:.1f}"],
        ["Locust's layer and our bookkeeping: the run less engine and parser", f"{cost.layer_us:.1f}"],
    ]
    return table(["requests of one event, 100 users", "CPU µs a request"], rows)


def _soak(part: Part) -> str:
    found = _soaked(part)
    step = max(1, len(found.samples) // 12)
    rows = [[f"{at / 60:.1f}", f"{rss_mb:.1f}", str(files)] for at, rss_mb, files in found.samples[::step]]
    return table(["minute", "RSS MB", "descriptors"], rows)


_PRIORITIES: Final = {
    "fifo": "each on a core of its own, SCHED_FIFO",
    "nice": "each on a core of its own, nice -10 (SCHED_FIFO not permitted)",
    "none": "each on a core of its own, ordinary priority (no other permitted)",
}
METHOD: Final = """\
## Method

A C server (`truth_server.c`) streams OpenAI chat events over loopback, one `send()` an event, on a schedule drawn for each
request, and logs CLOCK_MONOTONIC before every send. Clients log the same; the two are joined by the request's id, which
travels in `X-Request-Id`. Every figure comes from the two logs and the client's own user and system time. The server has
one core, the client another, and nobody else is asked to keep off: `others %` says how much they did not.

Paced streams: first event after 300 ms, 80 events, gaps of 20 ms ± 20 %, starts spread over 1.9 s, each stream
asking again as soon as its answer is complete and parsed. Unlimited: 200 events an answer, as fast as the socket takes them.
Clients take turns, round by round; figures are medians of the rounds, except max, lost, failed, fds left and
others %, which are the worst of them. Comparisons hold within one table."""
DEFINITIONS: Final = """\
## Columns

- **events/s**, **requests/s**: content events that arrived, answers completed, per second of the steady part: from the
  last stream's start to the moment from which no new request is sent. **of C**: the C reader's (kernel stamps) is 1.
- **CPU µs/event**: user and system time of the client's process, from the start of the load to its last record, over all
  content events it got. Idle time between events costs too (wake-ups), so low loads cost more an event. **x C**: against the C reader.
- **core %**: user and system time of the client over the steady part.
- **TTFT error**: |(first content event - sent) of the client - (first send - request read) of the server|, over requests.
  Both ways through loopback and the server's wait to read are in it: the C reader's is the floor.
- **gap error**: |gap between two events of the client - gap between the same two sends of the server|, over all gaps.
- **merged %**: events with the same stamp as the one before them: one read, or one kernel stamp, for both. Their
  gap is gone, and its whole length is in the gap error.
- **in hand ms**: from the stamp of an answer's last event until its caller had it, parsed: what lies unread and unparsed.
- **lost**: events asked for less events got. **failed**: answers that did not end as they should.
  **fds left**: descriptors open after everything was closed, less those before.
- **RSS MB**: highest resident memory of the client's process, the bench's own stamps (8 bytes an event) included.
  **above idle MB**: less that of a plain Locust worker waiting for its master.
  **RSS growth MB**: highest in the last third of the load less highest in the middle third, the bench's stamps left out.
- **others %**: of the client's core, taken by other processes or by the hypervisor while the client lived. Where it
  is more than a few percent, the row is disturbed."""
