"""Whether a level's window was steady, where that is a doubt, and what `--warmup auto` leaves of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import steadiness
from harness.journal import Window

S = 1_000_000_000
WINDOW = Window(8, 1, 100 * S, 140 * S)


def requests(slow_s: float = 0.0, *, factor: float = 3.0, seed: int = 1) -> pd.DataFrame:
    """Eight users for 40 s, answers of 20 tokens in 0.5 s; `factor` times as slow while `slow_s` last."""
    word = np.random.default_rng(seed)
    rows = []
    for user in range(8):
        now = 100.0 + user * 0.06
        while now < 140:
            length = 0.5 * word.uniform(0.95, 1.05) * (factor if now < 100 + slow_s else 1.0)
            rows.append((now, now + 0.2 * length, now + length))
            now += length
    sent, first, last = (np.array([row[n] for row in rows]) for n in range(3))
    stamps = {
        "scheduled_ns": sent,
        "sent_ns": sent,
        "first_content_ns": first,
        "last_content_ns": last,
        "end_ns": last,
    }
    return pd.DataFrame(
        {
            **{name: (value * S).astype(np.int64) for name, value in stamps.items()},
            "level": 8, "repeat": 1, "phase": "measure", "outcome": "ok", "streamed": True,
            "output_tokens": 20, "e2e_ms": (last - sent) * 1e3,
        }
    )  # fmt: skip


def run(**more: Any) -> dict[str, Any]:
    """run.json, as far as it matters."""
    return {"settings": {"refill": "steady", **more}}


def test_a_steady_level_is_no_doubt() -> None:
    """Nothing is cut off, and nothing said."""
    found = steadiness.settle(requests(), [WINDOW], run())
    assert found.findings == []
    assert found.levels[8]["is_steady"] is True
    assert found.levels[8]["share_dropped"] < 0.05
    assert found.windows == [WINDOW]


def test_a_slow_start_is_told_with_what_it_changes() -> None:
    """10 s of 40 at a third of the rate: 17 % below what the rest gives."""
    found = steadiness.settle(requests(10), [WINDOW], run())
    assert found.levels[8]["from_s"] == pytest.approx(10, abs=1.6)
    assert found.levels[8]["cut"] is False
    ((status, reason),) = found.findings
    assert status == "suspect"
    assert reason.startswith("level 8: steady after 1")
    assert "below that of its steady part; raise --warmup, or give --warmup auto" in reason
    assert found.levels[8]["window_output_tokens_per_s"] < 0.9 * found.levels[8]["steady_output_tokens_per_s"]


def test_warmup_auto_measures_from_there() -> None:
    """The window is cut, requests that were due before are warm-up, and nothing is doubtful about it."""
    table = requests(10)
    found = steadiness.settle(table, [WINDOW], run(warmup_auto=True))
    (window,) = found.windows
    assert window.start_ns == WINDOW.start_ns + round(found.levels[8]["from_s"] * S)
    assert found.findings == []
    assert found.levels[8]["cut"] is True
    measured = found.requests["phase"] == "measure"
    assert (found.requests["scheduled_ns"][measured] >= window.start_ns).all()
    assert (found.requests["phase"][~measured & (table["scheduled_ns"] < window.start_ns)] == "warmup").all()
    assert (table["phase"] == "measure").all()  # the table itself stays as it is


def test_a_level_that_never_settles_is_suspect_and_whole() -> None:
    """Longer and longer answers to the end: `--warmup auto` has nothing to keep."""
    table = requests(39.9)
    growing = 1 + (table["sent_ns"] - WINDOW.start_ns) / (10 * S)
    for name in ("first_content_ns", "last_content_ns", "end_ns"):
        table[name] = (table["sent_ns"] + (table[name] - table["sent_ns"]) * growing).astype(np.int64)
    found = steadiness.settle(table, [WINDOW], run(warmup_auto=True))
    ((status, reason),) = found.findings
    assert status == "suspect"
    assert reason.startswith("level 8: load was not steady in its window (not steady: ")
    assert found.windows == [WINDOW]


def test_few_requests_say_nothing() -> None:
    """Neither steady nor not; with `--warmup auto` it is said that nothing was cut."""
    few = requests().head(40)
    assert steadiness.settle(few, [WINDOW], run()).levels[8]["is_steady"] is None
    assert steadiness.settle(few, [WINDOW], run()).findings == []
    ((_, reason),) = steadiness.settle(few, [WINDOW], run(warmup_auto=True)).findings
    assert reason.startswith("level 8: --warmup auto cut nothing: too few requests")


@pytest.mark.parametrize(
    "told",
    [
        run(refill="waves"),
        run(arrivals="ramp:1,20,60s"),
        {**run(), "search": {"steps": [{"level": 8, "met": False}]}},
        {**run(), "saturated": {"level": 8}},
    ],
)
def test_what_is_meant_to_change_is_no_doubt(told: dict[str, Any]) -> None:
    """Waves, ramps, and levels that are known to be too much."""
    assert steadiness.settle(requests(10), [WINDOW], told).findings == []
