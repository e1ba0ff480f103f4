"""What a streamed event costs this client, and how far its stamps are off: beside a plain Locust user.

The simulator streams N answers at once on a fixed step and logs when it wrote what. Two clients take them in
turn, each in a process of its own: ours, and a `FastHttpUser` session with `iter_lines` and one `json.loads`
per event, as most Locust files for language models have it. Both run on this machine together with the server:
compare the rows, not a row with another machine's.

    python bench/bench.py --streams 50 --tokens 100 --rounds 3
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from harness.servers.process import free_port, running

STEP_MS = 20
PROMPT = "the quick brown fox jumps over the lazy dog " * 4


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=50, help="answers streamed at once (default 50)")
    parser.add_argument(
        "--tokens", type=int, default=100, help="tokens, and so events, of each (default 100)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each client, alternating (default 3)")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        return _be_client(args)
    if min(args.streams, args.tokens, args.rounds) < 1:
        print("bench: --streams, --tokens and --rounds must be at least 1", file=sys.stderr)
        return 2
    rounds: dict[str, list[dict[str, float]]] = {client: [] for client in CLIENTS}
    for _ in range(args.rounds):
        for client, figures in rounds.items():
            figures.append(_round(client, args.streams, args.tokens))
    print(
        f"{args.streams} streams of {args.tokens} tokens, one each {STEP_MS} ms; medians of {args.rounds} rounds\n"
    )
    columns = {
        "cpu_us": "CPU µs/event",
        "p50": "TTFT error ms p50",
        "p99": "p99",
        "gap": "median gap ms",
        "rss_mb": "RSS MB",
    }
    print(f"{'client':<22}" + "".join(f"{name:>19}" for name in columns.values()))
    for client, figures in rounds.items():
        row = [statistics.median(figure[column] for figure in figures) for column in columns]
        print(f"{client:<22}" + "".join(f"{value:>19.2f}" for value in row))
    print(
        f"\ntruth: gaps of {STEP_MS} ms; TTFT errors are against the times the server logged before each first write"
    )
    return 0


def _round(client: str, streams: int, tokens: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        log, port = Path(folder) / "truth.jsonl", free_port()
        costs = [
            "--slots",
            str(streams),
            "--step-base-ms",
            str(STEP_MS),
            "--step-per-seq-ms",
            "0",
            "--prefill-rate",
            "1e9",
        ]
        command = [sys.executable, "-m", "harness.simulator", "--port", str(port), "--log", str(log), *costs]
        url = f"http://127.0.0.1:{port}"
        with running(command, url=url, health="/health", name="the simulator", deadline_s=30):
            ask = [
                sys.executable,
                __file__,
                "--client",
                client,
                "--url",
                url,
                "--streams",
                str(streams),
                "--tokens",
                str(tokens),
            ]
            said = json.loads(subprocess.run(ask, check=True, capture_output=True, text=True).stdout)
        rows = [json.loads(line) for line in log.read_text().splitlines()]
    truth = {row["id"]: (row["first_token_ns"] - row["received_ns"]) / 1e6 for row in rows}
    errors = sorted(ttft - truth[name] for name, ttft in said["ttft_ms"].items())
    return {
        "cpu_us": said["cpu_s"] * 1e6 / said["events"],
        "p50": statistics.median(errors),
        "p99": errors[int(0.99 * (len(errors) - 1))],
        "gap": statistics.median(said["gaps_ms"]),
        "rss_mb": said["rss_mb"],
    }


def _be_client(args: argparse.Namespace) -> int:
    """One client process: all streams once to warm up, then once measured."""
    send = CLIENTS[args.client](args.url, args.tokens)
    import gevent  # noqa: PLC0415  # each client decides first whether to patch

    ttft_ms: dict[str, float] = {}
    gaps_ms: list[float] = []
    events = 0

    def take() -> None:
        nonlocal events
        name, ttft, gaps = send()
        ttft_ms[name] = ttft
        gaps_ms.extend(gaps)
        events += len(gaps) + 1

    gevent.joinall([gevent.spawn(send) for _ in range(args.streams)], raise_error=True)
    before = resource.getrusage(resource.RUSAGE_SELF)
    gevent.joinall([gevent.spawn(take) for _ in range(args.streams)], raise_error=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rss_mb = after.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    print(
        json.dumps(
            {"ttft_ms": ttft_ms, "gaps_ms": gaps_ms, "events": events, "cpu_s": cpu_s, "rss_mb": rss_mb}
        )
    )
    return 0


Send = Callable[[], tuple[str, float, list[float]]]


def _tokenswarm(url: str, tokens: int) -> Send:
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    from harness import backends, target  # noqa: PLC0415
    from harness.backends.base import Ask  # noqa: PLC0415
    from harness.client import Client  # noqa: PLC0415
    from harness.engine import Engine  # noqa: PLC0415
    from harness.exchange import Timeouts  # noqa: PLC0415
    from harness.plan import Slot  # noqa: PLC0415
    from harness.record import Phase  # noqa: PLC0415

    engine = Engine(target.parse(url), Timeouts())
    client = Client(engine, backends.find("openai", "completions"), "bench", None, lambda _: None)
    ask = Ask(PROMPT, tokens, model="simulated", exact_length=True)

    def send() -> tuple[str, float, list[float]]:
        slot = Slot(1, 1, Phase.MEASURE)
        record = client.run(ask, slot, name="bench", scheduled_ns=0, prompt_tokens=None)
        return str(record.response_id), record.ttft_ms or 0.0, [gap / 1e3 for gap in record.chunk_gaps_us]

    return send


def _fast_http_user(url: str, tokens: int) -> Send:
    from locust import events  # noqa: PLC0415  # patches
    from locust.contrib.fasthttp import FastHttpSession  # noqa: PLC0415

    session = FastHttpSession(url, events.request, None, concurrency=10_000)
    body = {
        "model": "simulated", "prompt": PROMPT, "max_tokens": tokens, "ignore_eos": True, "stream": True,
    }  # fmt: skip

    def send() -> tuple[str, float, list[float]]:
        begin, times, name = time.perf_counter(), [], ""
        for line in session.iter_lines("/v1/completions", method="POST", json=body):
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if event["choices"] and event["choices"][0]["text"]:
                times.append(time.perf_counter())
                name = event["id"]
        gaps = [(after - before) * 1e3 for before, after in pairwise(times)]
        return name, (times[0] - begin) * 1e3, gaps

    return send


CLIENTS: dict[str, Callable[[str, int], Send]] = {"tokenswarm": _tokenswarm, "FastHttpUser": _fast_http_user}

if __name__ == "__main__":
    sys.exit(main())
