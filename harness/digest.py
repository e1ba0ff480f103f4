"""What a run directory says, in short: a line for a list of runs, and the details behind it.

run.json and summary.json of a long run hold megabytes, and parsing one holds up everything else in its process. So
`python -m harness.digest ROOT` does it in a process of its own: run ids come on stdin, each ended by NUL; for each a line
goes out, `ROW<tab>DETAILS`, both JSON. `harness.web` keeps those lines as they are.

Directories are as somebody left them: damaged, half copied, written by hand. Whatever is not what it should be is left out, or
is the row's `problem`; nothing raises, and every text and list has its limit.

    row       id, run_id, name, campaign, labels, begun_ms (Unix), duration_s, host, machine, model, backends, state, problem,
              verdict, reasons, complete, totals, slo, search, exit_code, levels (how many), best (a level), has_report, bytes
    details   id, reasons, incomplete, levels, files with their sizes

`state`: "over"; "unfinished", a journal and no summary: under way, or crashed; "damaged".
"""

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from harness import ending, inside
from harness.carried import shown, withheld
from harness.hearsay import finite
from harness.hope import Hope

__all__ = ["digest", "files_of", "is_offered", "main"]

MOST: Final = 32 << 20  # bytes of a file that is read here
SHORT, LONG, MANY, LEVELS, FILES, DEEP = 200, 600, 50, 400, 300, 3
SUFFIXES: Final = (".parquet", ".json", ".csv", ".html", ".xml", ".md", ".txt", ".gz")
_TOTALS: Final = (
    *("offered", "succeeded", "failed", "cancelled", "unsent"),
    *("prompt_tokens", "output_tokens"),
)

Fields = dict[str, Any]


def main() -> int:
    """Answer for every id on stdin, below the folder that is the one argument."""
    root = Path(sys.argv[1])
    for name in sys.stdin.buffer.read().split(b"\0"):
        if name:
            row, details = digest(root, name.decode("utf-8", "replace"))
            sys.stdout.buffer.write(orjson.dumps(row) + b"\t" + orjson.dumps(details) + b"\n")
    return 0


def digest(root: Path, run: str) -> tuple[Fields, Fields]:
    """The row and the details of the run directory `run` below `root`: a name, or `CAMPAIGN/runs/NAME`."""
    parts = run.split("/")
    found = list(islice(files_of(root, parts), FILES))
    names = {name for name, _ in found}
    said, problem = _object(root, [*parts, "run.json"])
    summary, damage = _object(root, [*parts, "summary.json"])
    journals = any(is_journal(name) for name in names)
    state = "over"
    if summary is None:
        state = "unfinished" if journals and problem is None and damage == _MISSING else "damaged"
        problem = problem or f"summary.json {damage}"
    elif problem is not None:
        state = "damaged"
    row = {
        "id": run,
        "campaign": parts[0] if len(parts) > 1 else None,
        "state": state,
        "problem": f"run.json {problem}" if said is None else (None if state == "over" else problem),
        **_told(said or {}, parts[-1]),
        **_judged(summary or {}, said or {}),
        "has_report": "report.html" in names,
        "bytes": sum(size for _, size in found),
    }
    return row, _details(run, summary or {}, found)


def _details(run: str, summary: Mapping[str, Any], found: Sequence[tuple[str, int]]) -> Fields:
    return {
        "id": run,
        "reasons": _texts(_at(summary, "verdict").get("reasons"), MANY),
        "incomplete": _texts(summary.get("incomplete"), MANY),
        "levels": [_level(one) for one in _objects(summary.get("levels"))[:LEVELS]],
        "files": [{"name": name, "bytes": size} for name, size in found if is_offered(name)],
    }


def is_journal(name: str) -> bool:
    """A run's journal, which holds what answers said."""
    return name.startswith("journal") and name.endswith(".jsonl")


def is_offered(name: str) -> bool:
    """A result that may be taken away, by its path in the run directory: no journal, nothing hidden, nothing unknown."""
    parts = name.split("/")
    return (
        len(parts) <= DEEP
        and all(inside.is_plain(part) and not part.startswith(".") for part in parts)
        and parts[-1].endswith(SUFFIXES)
    )


def files_of(root: Path, parts: Sequence[str], below: str = "") -> Iterator[tuple[str, int]]:
    """The regular files of a run directory with their sizes, exports' folders last; links are not followed, nor named."""
    folders: list[str] = []
    try:
        at = inside.folder(root, [*parts, *below.split("/")] if below else parts)
    except OSError:
        return
    try:
        with os.scandir(at) as entries:
            names = sorted(entry.name for entry in entries if inside.is_plain(entry.name))
        told = [(name, os.stat(name, dir_fd=at, follow_symlinks=False)) for name in names[:FILES]]
    except OSError:  # gone meanwhile
        return
    finally:
        os.close(at)
    for name, one in told:
        path = f"{below}/{name}" if below else name
        if stat.S_ISREG(one.st_mode):
            yield path, one.st_size
        elif stat.S_ISDIR(one.st_mode) and path.count("/") < DEEP - 1:
            folders.append(path)
    for path in folders:
        yield from files_of(root, parts, path)


_MISSING: Final = "is missing"


def _object(root: Path, parts: Sequence[str]) -> tuple[Fields | None, str | None]:
    """A file's JSON object, or what is wrong with it."""
    try:
        value = orjson.loads(inside.read(root, parts, MOST))
    except FileNotFoundError:
        return None, _MISSING
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except ValueError as error:
        return None, f"cannot be read ({_text(str(error))})"
    return (value, None) if isinstance(value, dict) else (None, "is no JSON object")


def _told(run: Mapping[str, Any], name: str) -> Fields:
    """What run.json says."""
    settings, begun = _at(run, "settings"), _ms(run.get("started_at"))
    ended = _ms(run.get("finished_at"))
    labels = _at(settings, "labels")
    users = [_text(one.get("backend")) for one in _objects(list(_at(settings, "users").values()))]
    backends = dict.fromkeys(one for one in (_text(settings.get("backend")), *users) if one)
    return {
        "run_id": _text(run.get("run_id")) or name[:SHORT],
        "name": _text(settings.get("run_name")),
        "labels": {str(key)[:SHORT]: _text(value) for key, value in list(labels.items())[:MANY]},
        "begun_ms": begun if begun is not None else _stamp(name),
        "duration_s": (ended - begun) / 1e3 if ended is not None and begun is not None else None,
        "host": _text(settings.get("host")),
        "machine": _text(_at(run, "host").get("name")),
        "model": _text(settings.get("model")),
        "backends": list(backends)[:MANY],
    }


def _judged(summary: Mapping[str, Any], run: Mapping[str, Any]) -> Fields:
    """What summary.json says."""
    verdict, slo, search = (_at(summary, name) for name in ("verdict", "slo", "search"))
    levels, totals = _objects(summary.get("levels")), _at(summary, "totals")
    rated = [one for one in levels if finite(one.get("system_output_tokens_per_s"))]
    best = max(rated, key=lambda one: finite(one["system_output_tokens_per_s"]) or 0.0, default=None)
    reasons = _texts(verdict.get("reasons"), MANY)
    complete = summary.get("complete")
    return {
        "verdict": verdict.get("status")
        if verdict.get("status") in ("valid", "suspect", "invalid")
        else None,
        "reasons": reasons[:3],
        "reason_count": len(reasons),
        "complete": complete if isinstance(complete, bool) else None,
        "totals": {name: finite(totals.get(name)) for name in _TOTALS},
        "slo": {
            "met": slo.get("met") if isinstance(slo.get("met"), bool) else None,
            "asked": _texts(slo.get("asked"), MANY),
        }
        if slo
        else None,
        "search": {"value": finite(search.get("value")), "answer": _text(search.get("answer"), LONG)}
        if search
        else None,
        "exit_code": _exit_code(summary, run),
        "levels": len(levels),
        "best": None if best is None else _level(best),
    }


def _exit_code(summary: Mapping[str, Any], run: Mapping[str, Any]) -> int | None:
    """What `tokenswarm report` would end with; None where that cannot be said."""
    asked = _at(run, "settings").get("require_valid") is True
    try:
        return ending.exit_code(Hope(), None, summary, require_valid=asked) or 0 if summary else None
    except (AttributeError, LookupError, TypeError):
        return None


def _level(level: Mapping[str, Any]) -> Fields:
    """A level's figures for people: None where one was not measured, or is withheld, which `withheld` names."""
    spread = {
        name: _at(level, name) for name in ("request_output_tokens_per_s", "ttft_ms", "tpot_ms", "e2e_ms")
    }
    figures = {f"{name}_{key}": shown(spread[name], key) for name, key in _FIGURES}
    met = _at(level, "slo").get("met")
    return {
        "title": _text(level.get("title")) or "?",
        "requests": finite(level.get("requests")),
        "succeeded": finite(level.get("succeeded")),
        "failed": finite(level.get("failed")),
        "system_output_tokens_per_s": finite(level.get("system_output_tokens_per_s")),
        **figures,
        "withheld": [f"{name}_{key}" for name, key in _FIGURES if withheld(spread[name], [key])],
        "slo_met": met if isinstance(met, bool) else None,
    }


_FIGURES: Final = (
    ("request_output_tokens_per_s", "median"),
    ("ttft_ms", "p50"),
    ("ttft_ms", "p95"),
    ("tpot_ms", "p50"),
    ("e2e_ms", "p50"),
)


def _at(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _objects(value: object) -> list[Fields]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: object, most: int = SHORT) -> str | None:
    """As text, cut; None of nothing."""
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float):
        return f"({type(value).__name__})"
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}\N{HORIZONTAL ELLIPSIS}"


def _texts(value: object, many: int) -> list[str]:
    return [str(_text(one, LONG)) for one in value[:many] if one] if isinstance(value, list) else []


def _ms(text: object) -> float | None:
    """An ISO time as Unix ms."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() * 1e3
    except (ValueError, OverflowError, OSError):
        return None


def _stamp(name: str) -> float | None:
    """The time in a run id."""
    try:
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1e3
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main())
