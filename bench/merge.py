"""What merging the journals of a run into its results costs: time and peak memory, from journals made here.

Each worker's journal holds what a worker writes: who it is, clock estimates, a health second for each second of load and
one line a request, streamed, with a gap after each content event but the first, every token counted by the server.
The merge runs in a child process, so that its peak memory is its own:

    merge     journals to requests.parquet, and nothing else
    results   all that follows a run: that table, its summary, the report
    report    `tokenswarm report` of a run that has its table: read it, compute, write
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
import orjson

__all__ = ["Cost", "main", "make", "measure"]

WAYS: Final = ("merge", "results", "report")
BASE_NS: Final = 1_800_000_000_000_000_000
RATE: Final = 250.0  # requests/s of a worker
BLOCK: Final = 10_000
LIMIT_S, LIMIT_MB = 15.0, 1_000.0  # of `merge` at 1,000,000 records
EPILOG: Final = """\
example:
  python bench/merge.py --records 1000000 --events 32 --workers 4
"""

_CHILD: Final = """
from gevent import monkey
monkey.patch_all()  # as in a master
import json, resource, sys, time
from pathlib import Path
way, place = sys.argv[1], Path(sys.argv[2])
from harness import outputs, results
begun = time.perf_counter()
if way == "merge":
    from harness import merge
    merge.merge(place / "requests.parquet", sorted(place.glob("journal*.jsonl")))
else:
    results.rebuild(place)
seconds = time.perf_counter() - begun
print(json.dumps([seconds, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One merge: wall-clock seconds, CPU seconds of the process, and its peak resident memory, MB of 2^20 bytes."""

    seconds: float
    cpu_s: float
    peak_mb: float


def make(place: Path, records: int, events: int, workers: int) -> int:
    """A run directory with `workers` journals of `records` requests in all; the journals' size in bytes."""
    place.mkdir(parents=True)
    run = {"schema": 1, "run_id": place.name, "settings": {"model": "m"}, "planned": records}
    (place / "run.json").write_text(json.dumps(run))
    size = 0
    for number in range(workers):
        path = place / f"journal-host-{number}.jsonl"
        share = records // workers + (number < records % workers)
        with path.open("wb") as file:
            for lines in _journal(f"host-{number}", share, events, seed=number):
                file.write(lines)
        size += path.stat().st_size
    with (place / "journal.jsonl").open("wb") as file:
        length_s = records / workers / RATE
        window = {"level": 1000, "repeat": 1, "start_ns": BASE_NS, "end_ns": BASE_NS + int(length_s * 1e9)}
        file.write(_line({"kind": "window", **window}))
    return size


def measure(place: Path, way: str) -> Cost:
    """Run one way in a child.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on stderr.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, way, str(place)], check=True, stdout=subprocess.PIPE, text=True
    )
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def _journal(worker: str, records: int, events: int, seed: int) -> Iterator[bytes]:
    """Pieces of one journal."""
    rng = np.random.default_rng(seed)
    yield _line({"kind": "worker", "name": worker, "host": "host", "pid": 4711 + seed, "run_id": "bench"})
    for start in range(0, records, BLOCK):
        second = int(start / RATE)
        stamp = {"time_ns": BASE_NS + second * 10**9}
        clock = {**stamp, "offset_ns": 1_500_000 + 10 * second, "uncertainty_ns": 90_000}
        lines = [_line({"kind": "clock", **clock})]
        for later in range(int(BLOCK / RATE)):
            time_ns = BASE_NS + (second + later) * 10**9
            lines.append(_line({"kind": "health", **_second(worker, time_ns)}))
        lines += [
            _line({"kind": "record", **one})
            for one in _requests(rng, worker, range(start, min(start + BLOCK, records)), events)
        ]
        yield b"".join(lines)


def _requests(rng: np.random.Generator, worker: str, numbers: range, events: int) -> Iterator[dict[str, Any]]:
    gaps = (rng.lognormal(0.0, 0.25, (len(numbers), events - 1)) * 20e6).astype(np.int64)
    ttft = (rng.lognormal(0.0, 0.3, len(numbers)) * 180e6).astype(np.int64)
    for number, gaps_ns, ttft_ns in zip(numbers, gaps, ttft.tolist(), strict=True):
        scheduled = BASE_NS + int(number / RATE * 1e9)
        sent = scheduled + 130_000
        first = sent + ttft_ns
        last = first + int(gaps_ns.sum())
        yield {
            "request_id": uuid4().hex,
            "name": "chat",
            "worker": worker,
            "level": 1000,
            "repeat": 1,
            "phase": "measure",
            "outcome": "ok",
            "scheduled_ns": scheduled,
            "end_ns": last + 210_000,
            "sent_ns": sent,
            "first_content_ns": first,
            "first_answer_ns": first,
            "last_content_ns": last,
            "chunk_gaps_us": (gaps_ns / 1e3).tolist(),
            "chunks": events,
            "requested_prompt_tokens": 550,
            "requested_output_tokens": events,
            "prompt_tokens": 550,
            "output_tokens": events,
            "cached_tokens": 0,
            "token_source": "server",
            "prompt_token_source": "server",
            "stamp_source": "kernel",
            "http_status": 200,
            "response_id": f"chatcmpl-{uuid4().hex}",
            "finish_reason": "length",
        }


def _second(worker: str, time_ns: int) -> dict[str, Any]:
    pairs = " ".join(f"{0.1 * step:.2g}*{9 * step}" for step in range(1, 12))
    return {"time_ns": time_ns, "worker": worker, "seconds": 1.0, "cpu_percent": 42.0, "loop_lags_ms": pairs}


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 if the merge of a million records kept to its limits or none of a million was made, else 1."""
    args = _parser().parse_args(argv)
    if min(args.records, args.events, args.workers) < 1 or args.workers > args.records:
        print(
            "bench/merge.py: error: records, events and workers are positive, at least a record each",
            file=sys.stderr,
        )
        return 2
    if args.scratch:
        Path(args.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tokenswarm-merge-", dir=args.scratch) as scratch:
        place = Path(scratch) / "run"
        size = make(place, args.records, args.events, args.workers)
        print(
            f"{args.records:,} records of {args.events} events in {args.workers} journals: {size / 1e6:,.0f} MB"
        )
        costs = {}
        for way in args.ways:
            if way != "report":  # which reads what `results` has written
                (place / "requests.parquet").unlink(missing_ok=True)
            costs[way] = measure(place, way)
            rate = args.records / costs[way].seconds
            cost = costs[way]
            print(
                f"{way:<8} {cost.seconds:7.1f} s  CPU {cost.cpu_s:6.1f} s  {rate:9,.0f} records/s  "
                f"peak {cost.peak_mb:6,.0f} MB",
                flush=True,
            )
    merged = costs.get("merge")
    if merged is None or args.records != 1_000_000:
        return 0
    met = merged.seconds <= LIMIT_S and merged.peak_mb <= LIMIT_MB
    print(f"target: <= {LIMIT_S:.0f} s and <= {LIMIT_MB:,.0f} MB: {'met' if met else 'not met'}")
    return 0 if met else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="requests in all (default: %(default)s)"
    )
    parser.add_argument(
        "--events", type=int, default=32, help="content events of each (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=4, help="journals (default: %(default)s)")
    parser.add_argument(
        "--ways", type=_ways, default=WAYS, metavar="A,B", help=f"of {','.join(WAYS)} (default: all)"
    )
    parser.add_argument("--scratch", type=Path, help="where the journals are made (default: the system's)")
    return parser


def _ways(text: str) -> tuple[str, ...]:
    ways = tuple(text.split(","))
    if set(ways) - set(WAYS):
        raise argparse.ArgumentTypeError(f"{text!r}: of {','.join(WAYS)}")
    return ways


if __name__ == "__main__":
    sys.exit(main())
