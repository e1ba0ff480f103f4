"""What tokens.json says, made up: a sweep at any moment of it, and our real page served over it, without a Locust.

with serving_states() as fake:
    fake.state = sweep(at_s=20)
    tab.open(fake.url)
    fake.state = sweep(at_s=21)      # the page sees it within a second
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast

from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

from harness.carried import NEED
from harness.web import tokens_page
from harness.web.site import Site

__all__ = ["COLUMNS", "Fake", "level", "serving_states", "spread", "sweep"]

COLUMNS: Final = (
    *("t_ms", "level", "users", "in_flight", "backlog", "system_output_tokens_per_s", "system_total_tokens_per_s"),
    *("settled", "request_tokens_per_s_p50", "request_tokens_per_s_p10", "ttft_ms_p50", "ttft_ms_p95", "ttft_ms_p99"),
    *("tpot_ms_p50", "tpot_ms_p95", "e2e_ms_p50", "e2e_ms_p95", "e2e_ms_p99", "requests_per_s", "errors_per_s"),
    *("cpu_percent", "lag_ms"),
)  # fmt: skip
BEGUN: Final = 1_790_000_000_000
EACH_S: Final = 24  # a level
State = dict[str, Any]


def spread(middle: float, n: int, **more: float) -> State:
    """A figure of summary.json."""
    parts = {
        "p5": 0.7,
        "p10": 0.8,
        "median": 1.0,
        "p50": 1.0,
        "p90": 1.3,
        "p95": 1.55,
        "p99": 2.4,
        "mean": 1.07,
    }
    found: State = {key: middle * times for key, times in parts.items()} | more
    return {**found, "n": n, "withheld": [key for key in NEED if key in found and n < NEED[key]]}


def level(users: int, n: int, state: str = "done", **more: object) -> State:
    """A level of so many users after so many requests."""
    each = 96.0 / (1 + users / 9)
    found: State = {
        "level": users,
        "concurrency": users,
        "kind": "concurrency",
        "title": f"{users} user{'s' * (users > 1)}",
        "state": state,
        "requests": n + 1,
        "succeeded": n,
        "failed": 1,
        "system_output_tokens_per_s": each * users * 0.93,
        "system_total_tokens_per_s": each * users * 2.41,
        "request_output_tokens_per_s": spread(each, n),
        "ttft_ms": spread(61.25 + 9 * users, n),
        "tpot_ms": spread(1000 / each, n),
        "e2e_ms": spread(61 + 128_000 / each, n),
        "goodput": {"share": 0.9375, "requests_per_s": 3.0},
        "slo": [{"met": users < 16}],
    }
    if state == "to_come":
        found = {key: value if key in ("level", "concurrency", "kind", "title", "state") else None for key, value in found.items()}  # fmt: skip
    return found | more


def sweep(
    at_s: float,
    users: Sequence[int] = (1, 2, 4, 8, 16),
    *,
    settle_s: int = 3,
    errors: Sequence[str] = (),
    workers: int = 0,
    state: str = "running",
    run_id: str = "20261122T101500Z-vllm-a1b2c3",
    since: int = 0,
) -> State:
    """The whole answer, so many seconds after load began."""
    over = state in ("over", "failed")
    place = min(int(at_s // EACH_S), len(users) - 1)
    rows = [_row(second, users, settled=over or second < at_s - settle_s) for second in range(int(at_s))]
    broke = [[BEGUN + 1000 * second, *((second * 7 + i) % 3 for i, _ in enumerate(errors))] for second in range(9, int(at_s), 4)]  # fmt: skip
    levels = [
        level(n, (i + 1) * 29 if i < place or over else int(at_s % EACH_S) * 2, "done" if i < place or over else "running" if i == place else "to_come")
        for i, n in enumerate(users)
    ]  # fmt: skip
    done, total = at_s % EACH_S, EACH_S * len(users)
    return {
        "server_now_ms": BEGUN + 1000 * at_s,
        "run": {
            "id": run_id, "name": "nightly sweep", "host": "http://127.0.0.1:8000", "model": "meta-llama/Llama-3.1-8B-Instruct",
            "backends": ["vllm"], "begun_ms": BEGUN, "ended_ms": BEGUN + 1000 * at_s if over else None, "state": state,
            "problem": None, "directory": f"results/{run_id}", "report": f"results/{run_id}/report" if over else None,
            "is_sweep": True, "is_open": False, "slos": ["ttft_p95<2s"], "can_stop": not over,
        },
        "progress": {
            "title": f"{users[place]} user{'s' * (users[place] > 1)}", "step": place + 1, "steps": len(users), "done": int(done * 2), "quota": 60,
            "warming_up": done < 4, "in_flight": users[place], "backlog": 0, "elapsed_s": at_s, "left_s": max(0.0, total - at_s),
            "share": min(1.0, at_s / total), "line": f"[0:{int(at_s):02}] {users[place]} users",
        },
        "verdict": {"status": "valid", "reasons": [], "is_final": over},
        "totals": {"offered": 340, "succeeded": 331, "failed": 4 * len(errors), "cancelled": 0, "prompt_tokens": 66_200, "output_tokens": 42_368, "uncounted": 2},
        "errors": dict.fromkeys(errors, 4),
        "workers": {
            "here": workers,
            "of": workers,
            "each": [
                {"name": f"host-{i}_3f{i}c", "state": "running", "users": users[place] // workers, "in_flight": users[place] // workers, "cpu_percent": 11.5 + i, "bad_seconds": 0}
                for i in range(workers)
            ],
        } if workers else None,
        "client": {"cpu_percent": 12.4, "lag_ms": 1.21, "bad_seconds": {"squeezed": 0, "late": 2}, "seconds": int(at_s)},
        "levels": levels,
        "series": {"columns": COLUMNS, "from": max(0, min(since, len(rows) - 5)), "next": len(rows), "rows": rows[max(0, min(since, len(rows) - 5)) :], "replaced": False},
        "error_series": {"classes": list(errors), "rows": broke if errors else []},
        "segments": [
            {"start_ms": BEGUN + 1000 * EACH_S * i, "end_ms": None if i == place and not over else BEGUN + 1000 * min(at_s, EACH_S * (i + 1)), "title": f"{n} user{'s' * (n > 1)}", "label": None}
            for i, n in enumerate(users[: place + 1])
        ],
    }  # fmt: skip


def _row(second: int, users: Sequence[int], *, settled: bool) -> list[Any]:
    place = min(second // EACH_S, len(users) - 1)
    n, wave = users[place], math.sin(second * 1.7) + 0.6 * math.sin(second * 0.61)
    each = 96.0 / (1 + n / 9) + wave
    begun = second - place * EACH_S >= 2 or place > 0
    rate = each * n * 0.93 * (1 if settled else 0.6)
    ttft, e2e = 61 + 9 * n + 4 * wave, 61 + 128_000 / each
    ended = [
        each,
        each * 0.84,
        ttft,
        ttft * 1.5,
        ttft * 2.3,
        1000 / each,
        1100 / each,
        e2e,
        e2e * 1.2,
        e2e * 1.5,
    ]
    return [
        *(BEGUN + 1000 * second, n, n, n, 0, rate if begun else None, rate * 2.5 if begun else None, settled),
        *(ended if begun else [None] * 10),
        *(n / 1.3, 0.0, 9 + 0.8 * n + 2 * wave, 1.2 + 0.3 * wave),
    ]


@dataclass
class Fake:
    """The page and what it is told. `state`: an answer, or what makes one of `since`; an int: that status instead."""

    url: str = ""
    state: State | int | Callable[[int], State] = 500
    asked: list[int] = field(default_factory=list)  # since
    stopped: int = 0  # how often that was asked for
    stops: bool = True  # and is not refused


@contextmanager
def serving_states(base: str = "", port: int = 0) -> Iterator[Fake]:
    """Our page with its real assets, headers and policy, at `.url`."""
    app, fake = Flask(__name__), Fake()
    web_ui = SimpleNamespace(app=app, auth_required_if_enabled=lambda view: view)
    site = Site(cast("Any", web_ui), cast("Any", SimpleNamespace(run=None)), base)

    def tell() -> Any:
        since = int(request.args["since"])
        fake.asked.append(since)
        said = fake.state(since) if callable(fake.state) else fake.state
        return site.json({}, status=said) if isinstance(said, int) else site.json(said)

    def stop() -> Any:
        fake.stopped += 1
        return site.json({"success": True}, status=200 if fake.stops else 403)

    site.serve_assets()
    site.route("tokens", lambda: site.page("tokens", tokens_page.body(site), *tokens_page.SCRIPTS))
    site.route("tokens.json", tell)
    app.add_url_rule(f"{base}/stop", "stop", stop, methods=["POST"])
    site.route(
        "change.json", lambda: site.json({"kind": "users", "users": 8, "spawn_rate": 8, "problem": None})
    )
    app.add_url_rule("/favicon.ico", "icon", lambda: ("", 204))
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    fake.url = f"http://127.0.0.1:{server.server_port}{base}/tokenswarm/tokens"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Nothing: a test's output is for its failure."""
