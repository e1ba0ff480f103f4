"""What `tokenswarm report` costs for a large run: time, peak memory and the size of report.html, as a user runs it.

The run directory is made here: a closed loop over several levels in several passes, every answer streamed in events of one
token, one request in a hundred refused, one in three hundred broken off, four workers' seconds in client.csv. The table is
written straight to Parquet, some rows at a time. The report then runs as a command, imports and all.
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

import numpy as np
import pyarrow as pa
from merge import BASE_NS, Cost

from harness import rows, seconds
from harness.journal import Window
from harness.seconds import Second

__all__ = ["Report", "main", "make", "measure"]

LEVELS: Final = (64, 128, 256, 512, 1000)
REPEATS: Final = 2
WORKERS: Final = 4
BLOCK: Final = 20_000
TTFT_S, GAP_S = 0.18, 0.02  # of the lowest level; the highest has twice of each
WARMUP: Final = 2  # requests a user
REFUSED, BROKEN = 100, 300  # one in so many
LIMIT_S, LIMIT_MB, LIMIT_PAGE_MB = 20.0, 1_500.0, 6.0  # at 1,000,000 records
EPILOG: Final = """\
example:
  python bench/report.py --records 1000000 --events 32
"""

# A process that has next to no memory of its own: Linux counts what a child has of its parent's before it is another program.
_WATCH: Final = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
print(json.dumps([time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Report:
    """What one report cost, and the size of its page in MB of 10^6 bytes."""

    cost: Cost
    page_mb: float


@dataclass(frozen=True, slots=True)
class _Pass:
    """One level held once: so many requests of so many users from `start_ns` on."""

    level: int
    repeat: int
    records: int
    start_ns: int


@dataclass(frozen=True, slots=True)
class _Block:
    """Some neighbouring requests of a pass: an entry each, ns; `gaps` has a row each."""

    numbers: np.ndarray
    warm: np.ndarray
    sent: np.ndarray
    ttft: np.ndarray
    gaps: np.ndarray


def make(place: Path, records: int, events: int) -> None:
    """A finished run directory of `records` requests in all, but for its summary and its reports."""
    place.mkdir(parents=True)
    rng = np.random.default_rng(1)
    windows: list[Window] = []
    now = BASE_NS
    with rows.Writer(place / "requests.parquet") as file:
        for number in range(len(LEVELS) * REPEATS):
            share = records // (len(LEVELS) * REPEATS) + (number < records % (len(LEVELS) * REPEATS))
            level, repeat = LEVELS[number % len(LEVELS)], number // len(LEVELS) + 1
            window, now = _hold(file, _Pass(level, repeat, share, now), events, rng)
            windows.append(window)
            now += 2 * 10**9
    (place / "client.csv").write_text(seconds.text(_seconds(BASE_NS, now)))
    run = {
        "schema": 1,
        "run_id": place.name,
        "settings": {"model": "m", "backend": "openai", "levels": ",".join(map(str, LEVELS))},
        "planned": records,
        "windows": [{"level": w.level, "repeat": w.repeat, "start_ns": w.start_ns, "end_ns": w.end_ns} for w in windows],
        "started_at": "2027-01-15T08:00:00.000+00:00",
        "finished_at": "2027-01-15T09:00:00.000+00:00",
    }  # fmt: skip
    (place / "run.json").write_text(json.dumps(run))


def _hold(file: rows.Writer, held: _Pass, events: int, rng: np.random.Generator) -> tuple[Window, int]:
    """Write a pass; its window, and when its last request had ended."""
    slow = 1 + held.level / LEVELS[-1]
    users = min(held.level, held.records)
    free = np.full(users, held.start_ns)
    opened, closed, ended = held.start_ns, held.start_ns, held.start_ns
    for first in range(0, held.records, BLOCK - BLOCK % users):
        numbers = np.arange(first, min(first + BLOCK - BLOCK % users, held.records))
        gaps = (rng.lognormal(0.0, 0.25, (len(numbers), events - 1)) * GAP_S * slow * 1e9).astype(np.int64)
        ttft = (rng.lognormal(0.0, 0.3, len(numbers)) * TTFT_S * slow * 1e9).astype(np.int64)
        took = ttft + gaps.sum(axis=1) + 300_000
        sent = np.empty(len(numbers), np.int64)
        for turn in range(0, len(numbers), users):  # each user's next request, all users at once
            mine = slice(turn, turn + users)
            sent[mine] = free[: len(sent[mine])]
            free[: len(sent[mine])] += took[mine]
        warm = numbers < min(WARMUP * users, held.records // 4)
        file.add(_table(held, _Block(numbers, warm, sent, ttft, gaps)))
        ended = max(ended, int((sent + took).max()))
        if not warm.all():
            opened = opened if opened > held.start_ns else int(sent[~warm].min())
            closed = int(free.min())
    return Window(held.level, held.repeat, opened, max(closed, opened + 1)), ended


def _table(held: _Pass, block: _Block) -> pa.Table:
    """Rows of the schema."""
    numbers, sent, ttft, gaps = block.numbers, block.sent, block.ttft, block.gaps
    count, events = len(numbers), gaps.shape[1] + 1
    refused, broken = numbers % REFUSED == REFUSED - 1, numbers % BROKEN == BROKEN - 2
    first = sent + 130_000 + ttft
    last = first + gaps.sum(axis=1)
    prompt = 300 + (numbers * 7919) % 500
    generated = (last - first) / 1e9

    def known(values: Any, *, content: bool = True) -> pa.Array:  # noqa: ANN401  an array or one value for all
        return pa.array(np.broadcast_to(values, count), mask=refused if content else None, from_pandas=True)

    lists = pa.ListArray.from_arrays(
        pa.array(np.append(0, np.cumsum(np.where(refused, 0, events - 1))), pa.int32()),
        pa.array(gaps[~refused].ravel() / 1e3),
    )
    outcome = np.where(refused | broken, "failed", "ok")
    columns: dict[str, pa.Array] = {
        "request_id": pa.array([f"{held.level}-{held.repeat}-{number:x}-{'0' * 16}" for number in numbers.tolist()]),
        "name": pa.array(["chat"] * count),
        "worker": pa.array([f"host-{number % WORKERS}" for number in numbers.tolist()]),
        "level": known(held.level, content=False),
        "repeat": known(held.repeat, content=False),
        "phase": pa.array(np.where(block.warm, "warmup", "measure")),
        "scheduled_ns": pa.array(sent),
        "sent_ns": pa.array(sent + 130_000),
        "first_content_ns": known(first),
        "first_answer_ns": known(first),
        "last_content_ns": known(last),
        "end_ns": pa.array(np.where(refused, sent + 2_000_000, last + 150_000)),
        "ttft_ms": known(ttft / 1e6),
        "ttfa_ms": known(ttft / 1e6),
        "tpot_ms": known(generated * 1e3 / (events - 1)),
        "e2e_ms": known((last - sent - 130_000) / 1e6),
        "output_tokens_per_s": known((events - 1) / generated),
        "total_tokens_per_s": known((events + prompt) / ((last - sent) / 1e9)),
        "chunk_gaps_us": lists,
        "chunks": pa.array(np.where(refused, 0, events)),
        "prompt_tokens": known(prompt),
        "output_tokens": known(events),
        "requested_prompt_tokens": pa.array(prompt),
        "requested_output_tokens": known(events, content=False),
        "token_source": pa.array(np.where(refused, None, "server"), pa.string()),
        "stamp_source": pa.array(np.where(refused, None, "kernel"), pa.string()),
        "http_status": pa.array(np.where(refused, 429, 200)),
        "outcome": pa.array(outcome),
        "error_class": pa.array(np.where(refused, "overload", np.where(broken, "truncated", None)), pa.string()),
        "error_message": pa.array(
            [f"request {number}: too many" if no else None for number, no in zip(numbers.tolist(), refused, strict=True)],
            pa.string(),
        ),
        "finish_reason": pa.array(np.where(refused | broken, None, "length"), pa.string()),
        "reconnects": known(0, content=False),
        "streamed": known(True, content=False),
        "clock_offset_ns": known(0, content=False),
    }  # fmt: skip
    return pa.table(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in rows.ARROW
        ],
        schema=rows.ARROW,
    )


def _seconds(start_ns: int, end_ns: int) -> Iterator[Second]:
    """What each worker noticed of itself, about as busy as workers are."""
    rng = np.random.default_rng(2)
    for time_ns in range(start_ns, end_ns, 10**9):
        for worker in range(WORKERS):
            late = [float(ms) for ms in rng.lognormal(-1.5, 0.7, 50)]
            p50, p99, most = seconds.spread(late)
            yield Second(
                time_ns=time_ns,
                worker=f"host-{worker}",
                seconds=1.0,
                cpu_percent=float(rng.normal(42, 5)),
                waited_percent=0.5,
                loop_lag_ms_p50=p50,
                loop_lag_ms_p99=p99,
                loop_lag_ms_max=most,
                reads=800,
                kernel_reads=800,
                loop_lags_ms=seconds.counted(late),
            )


def measure(place: Path) -> Report:
    """`tokenswarm report` as a command.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on stderr.
    """
    command = [sys.executable, "-m", "harness", "report", str(place)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WATCH, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return Report(Cost(*json.loads(done.stdout)), (place / "report.html").stat().st_size / 1e6)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 if the report of a million records kept to its limits or none of a million was made, else 1."""
    args = _parser().parse_args(argv)
    if args.events < 2 or args.records < len(LEVELS) * REPEATS:
        print(
            "bench/report.py: error: at least 2 events, and a record for each level and pass", file=sys.stderr
        )
        return 2
    if args.scratch:
        Path(args.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tokenswarm-report-", dir=args.scratch) as scratch:
        place = args.keep or Path(scratch) / "run"
        if not place.exists():
            make(place, args.records, args.events)
        size = (place / "requests.parquet").stat().st_size
        print(
            f"{args.records:,} records of {args.events} events: {size / 1e6:,.0f} MB of Parquet", flush=True
        )
        made = measure(place)
    cost = made.cost
    print(
        f"report {cost.seconds:.1f} s  CPU {cost.cpu_s:.1f} s  peak {cost.peak_mb:,.0f} MB  page {made.page_mb:.2f} MB"
    )
    if args.records != 1_000_000:
        return 0
    met = cost.seconds <= LIMIT_S and cost.peak_mb <= LIMIT_MB and made.page_mb <= LIMIT_PAGE_MB
    print(
        f"target: <= {LIMIT_S:.0f} s, <= {LIMIT_MB:,.0f} MB, page <= {LIMIT_PAGE_MB:.0f} MB: {'met' if met else 'not met'}"
    )
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
    parser.add_argument("--keep", type=Path, help="make the run there and leave it, or use what is there")
    parser.add_argument("--scratch", type=Path, help="where the run is made (default: the system's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
