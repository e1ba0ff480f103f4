"""What a run says of itself in run.json and what its results need, from its settings and its open lanes.

Values out; nothing is asked of anybody. Who directs the run is `harness.run`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from harness.clock import unix_ns
from harness.datasets import use
from harness.load import Load
from harness.record import TokenSource
from harness.settings import Settings

__all__ = ["counter", "datasets", "inexact", "new_id", "stored"]


def new_id(settings: Settings, load: Load) -> str:
    """`20261121T204900Z-vllm-chat-3f9ac1`: when, which, and six letters that no other run has."""
    begun = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    lane = next(iter(load.lanes.values()))
    name = settings.run_name or f"{lane.client.backend.name}-{lane.client.backend.mode}"
    return f"{begun}-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{uuid4().hex[:6]}"


def stored(settings: Settings, load: Load, metrics_page: str | None) -> dict[str, Any]:
    """The settings and what was learnt of the server, for run.json."""
    first = next(iter(load.lanes.values()))
    return settings.stored() | {
        "backend": first.client.backend.name,
        "api_mode": first.client.backend.mode,
        "model": first.facts.model,
        "users": {user_class.__name__: lane.stored() for user_class, lane in load.lanes.items()},
        "metrics_page": metrics_page,
        "anchor_unix_ns": unix_ns(0),
    }


def counter(load: Load) -> Callable[[str], int] | None:
    """What counts the tokens of answers whose server did not; None: they are estimated."""
    sizer = next(iter(load.lanes.values())).sizer
    return None if sizer is None or sizer.source is TokenSource.ESTIMATED else sizer.count_output


def datasets(load: Load, statements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How often each dataset was gone through, by the parts' last words."""
    return use.uses((lane.menu.streams for lane in load.lanes.values()), statements)


def inexact(load: Load) -> list[tuple[str, str]]:
    """For the verdict: prompts that are not of the size asked for."""
    missed = sum(lane.menu.inexact for lane in load.lanes.values())
    said = f"{missed} prompts could not be sized to the exact token count asked for; give the model's own --tokenizer"
    return [("suspect", said)] if missed else []
