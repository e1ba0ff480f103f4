"""A comparison for programs: one JSON object, ASCII only, so that no name in it steers a terminal."""

import json
import math
from typing import Any, Final

from harness.compare.comparison import Comparison
from harness.compare.judge import ALPHA, Check, Judged
from harness.compare.likeness import Other
from harness.compare.runs import Run
from harness.compare.welch import MOST

__all__ = ["SCHEMA", "render"]

SCHEMA: Final = 1


def render(found: Comparison) -> str:
    """The object, indented, without a final newline."""
    told = {
        "schema": SCHEMA,
        "verdict": found.verdict,
        "exit_code": found.code,
        "passes_needed": _passes(found.needed),
        "alpha": ALPHA,
        "margin": found.options.margin,
        "by_point": found.options.by_point,
        "fail_on": [rule.text for rule in found.options.rules],
        "base": _run(found.base),
        "new": [
            _run(run)
            | {
                "verdict": found.verdicts[at],
                "figures": [_judged(one) for one in found.of(at)],
                "checks": [_check(one) for one in found.asked if one.cell.run == at],
                "allowed": _others(found.allowed[at]),
                "differs": _others(found.differs[at]),
                "unpaired": list(found.unpaired[at]),
            }
            for at, run in enumerate(found.new)
        ],
        "notes": list(found.notes),
    }
    return json.dumps(told, indent=2, allow_nan=False)


def _run(run: Run) -> dict[str, Any]:
    return {
        "directory": str(run.path),
        "run_id": run.run_id,
        "name": run.name,
        "run_verdict": run.verdict,
        "complete": run.complete,
    }


def _judged(one: Judged) -> dict[str, Any]:
    """Values in the figure's unit; changes as a ratio - 1, or as a difference of shares."""
    cell = one.cell
    ends = None if cell.why else cell.interval()
    return {
        "level": cell.level,
        "figure": cell.figure.name,
        "unit": cell.figure.unit,
        "base": cell.base,
        "new": cell.new,
        "passes": list(cell.passes),
        "change": None if cell.why else _finite(cell.change()),
        "low": None if ends is None else _finite(ends[0]),
        "high": None if ends is None else _finite(ends[1]),
        "p": None if cell.difference is None else cell.difference.p_other(),
        "word": one.word,
        "passes_needed": _passes(one.passes),
        "why": one.why or None,
    }


def _check(one: Check) -> dict[str, Any]:
    return {
        "rule": one.rule.text,
        "level": one.cell.level,
        "word": one.word,
        "passes_needed": _passes(one.passes),
        "why": one.why or None,
    }


def _others(others: tuple[Other, ...]) -> list[dict[str, str]]:
    return [{"name": one.name, "base": one.base, "new": one.new} for one in others]


def _passes(passes: int | None) -> int | None:
    """None where nothing needs more, and where no number would do."""
    return passes if passes is not None and passes <= MOST else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
