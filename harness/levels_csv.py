"""levels.csv: the levels of summary.json as a table, one row a level.

Every number of summary.json is there, also those that tables for people withhold: `withheld` names these columns. Of a level's
passes it has the intervals, as `ttft_ms_p50_ci95_low` and `_high`. Values in, text out.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any, Final

from harness import intervals
from harness.judgement import all_met

__all__ = ["asked_sizes", "text"]

_MET: Final = {True: "yes", False: "no", None: ""}


def text(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """One row a level; nested figures as `ttft_ms_p50`, lists and counts in one cell, null as nothing.

    The first columns say of which run, so that the rows of several runs can stand in one table.
    """
    whose = {
        "run_id": summary["run_id"],
        "model": settings.get("model"),
        "requested_prompt_tokens": asked_sizes(settings, "prompt_tokens"),
        "requested_output_tokens": asked_sizes(settings, "output_tokens"),
    }
    flat = [whose | _flat(level) for level in summary["levels"]]
    names = list(dict.fromkeys(name for row in flat for name in row)) or [*whose, "level"]
    out = io.StringIO()
    table = csv.DictWriter(out, names, lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    return out.getvalue()


def asked_sizes(settings: Mapping[str, Any], name: str) -> str | None:
    """The sizes asked for, as written: `550`, or `Chatter=normal:60,20 Reader=30` where users differ."""
    users = settings.get("users")
    lanes = users if isinstance(users, Mapping) else {}
    told = {user: lane.get(name) for user, lane in lanes.items() if isinstance(lane, Mapping)}
    sizes = {size for size in told.values() if size} or {settings.get(name)} - {None}
    if len(sizes) > 1:
        return " ".join(f"{user}={size}" for user, size in told.items() if size)
    return str(sizes.pop()) if sizes else None


def _flat(level: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    withheld: list[str] = []
    for name, value in level.items():
        if name in {"errors", "token_sources"}:  # open sets: a column each would differ from run to run
            row[name] = " ".join(f"{word}={number}" for word, number in value.items())
        elif name == "slo":  # those of another run may be others: a column each would not stand in one table
            row["slo_met"] = _MET[all_met(value or ())]
        elif name == "passes":
            continue  # rows of another table
        elif name == "intervals":
            row |= _ends(value)
        elif isinstance(value, dict):
            withheld += [f"{name}_{key}" for key in value.get("withheld", ())]
            row |= {f"{name}_{part}": figure for part, figure in value.items() if part != "withheld"}
        elif isinstance(value, list):
            row[name] = " ".join("" if figure is None else str(figure) for figure in value)
        else:
            row[name] = value
    return {**row, "withheld": " ".join(withheld)}


def _ends(told: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """The same columns for each run, empty where there is no interval."""
    return {
        f"{path.replace('.', '_')}_ci95_{end}": told.get(path, {}).get(end)
        for path in intervals.FIGURES
        for end in ("low", "high")
    }
