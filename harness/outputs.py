"""From journals to a run's result files, and from its table to its report: what happens after the load.

    journals ─► records, missing token counts filled ─► requests.parquet ─► summary.json, levels.csv,
            ├─► seconds of the client ─► client.csv ───────────────────┤    report.html
            └─► looks at the server ─► server_metrics.csv ─────────────┘

The second half needs these tables and `run.json` alone. The journals are deleted last of all,
and only if the table has a row for each of their records.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from harness import (
    client_doubts,
    files,
    fitness,
    journal,
    metrics,
    reconcile,
    report_html,
    rows,
    seconds,
    server_metrics,
)
from harness.errors import ConfigError
from harness.journal import Window
from harness.record import RequestRecord, TokenSource
from harness.seconds import Second
from harness.server_metrics import Sample

__all__ = ["CountTokens", "asked_sizes", "count_missing", "from_journals", "from_table", "levels_csv"]

CountTokens = Callable[[str], int]

SERVER_FILE: Final = "server_metrics.csv"
CHARACTERS_A_TOKEN: Final = 4  # of English in current vocabularies; the estimate's only assumption


@dataclass(slots=True)
class _Told:
    """What the journals said besides records; filled while these are read."""

    windows: dict[tuple[int, int, int], Window] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[Second] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    records: int = 0
    garbled: int = 0
    last_ns: int = 0


def from_journals(
    run_dir: Path,
    run: Mapping[str, Any],
    tail: bytes = b"",
    count_tokens: CountTokens | None = None,
    counted_by: TokenSource = TokenSource.TOKENIZER,
) -> dict[str, Any]:
    """Write every result file and delete the journals.

    Args:
        run_dir: holds `journal*.jsonl`, one a process.
        run: run.json; windows and events of the journals are added.
        tail: what `journal.jsonl` could not take.
        count_tokens: see `count_missing`.
        counted_by: see `count_missing`.

    Raises:
        ConfigError: the disk refused, or the table lacks rows; the journals are kept.
    """
    told = _Told()
    journals = sorted(run_dir.glob("journal*.jsonl"))
    records = (count_missing(r, count_tokens, counted_by) for r in _records(journals, tail, told))
    table = run_dir / "requests.parquet"
    with files.refusals(run_dir, "the journal is kept: free space, then run `tokenswarm report` on it"):
        try:
            files.place(table, lambda beside: rows.write(beside, records))
        except ValueError as error:
            raise ConfigError(f"{table}: a record does not fit ({error}); the journal is kept") from error
        if rows.count(table) != told.records:
            raise ConfigError(
                f"{table}: {rows.count(table)} rows of {told.records} records; the journal is kept"
            )
        whole, requests = _with_told(run, told), rows.load(table)
        files.write(
            run_dir / "client.csv", seconds.text(seconds.with_sends(told.seconds, fitness.sends(requests)))
        )
        if told.samples:
            files.write(run_dir / SERVER_FILE, server_metrics.text(told.samples))
        files.write(run_dir / "run.json", files.as_json(whole))
        summary = _from_files(run_dir, whole, requests)
        for path in journals:
            path.unlink()
    return summary


def from_table(run_dir: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """Compute and write summary.json, levels.csv and report.html from the tables and run.json.

    Raises:
        ConfigError: a table is missing or damaged, or the disk refused.
    """
    return _from_files(run_dir, run, rows.load(run_dir / "requests.parquet"))


def _from_files(run_dir: Path, run: Mapping[str, Any], requests: pd.DataFrame) -> dict[str, Any]:
    settings = run.get("settings", {})
    windows = [Window(**window) for window in run.get("windows", ())]
    watched = seconds.load(run_dir / "client.csv")
    stamped = sorted(set(requests["stamp_source"].dropna()))
    server = reconcile.account(_samples(run_dir / SERVER_FILE), requests, windows)
    summary = metrics.summarise(
        requests,
        windows,
        run_id=str(run["run_id"]),
        planned=run.get("planned"),
        incomplete=run.get("incomplete", ()),
        findings=[
            *((status, reason) for status, reason in run.get("findings", ())),
            *client_doubts.findings(watched, windows),
            *reconcile.findings(server),
        ],
        client=fitness.summary(watched, [late for *_, late in fitness.sends(requests)], stamped),
        own_ends=settings.get("exact_output") is False,
        drop_under=settings.get("drop_answers_under"),
    ) | {"server_metrics": server}
    with files.refusals(run_dir, "free space, then run `tokenswarm report` on it"):
        files.write(run_dir / "summary.json", files.as_json(summary))
        files.write(run_dir / "levels.csv", levels_csv(summary, settings))
        files.write(run_dir / "report.html", report_html.render(summary, settings, run))
    return summary


def _samples(path: Path) -> list[Sample]:
    """What the server said of itself; nothing if it did not."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return server_metrics.of_csv(file)
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); restore the file, or remove it") from error


def count_missing(
    record: RequestRecord, count_tokens: CountTokens | None, counted_by: TokenSource
) -> RequestRecord:
    """The record with its tokens counted, if its server did not and text came.

    `count_tokens` gives `counted_by`; without it the output count is an estimate, characters / 4 rounded up.
    Neither is ever less than the content events, since an event carries at least one token. A prompt was counted when it was
    sized, by the same tokenizer or estimate, so it has the size that was asked for.
    """
    if record.prompt_tokens is None and record.text and record.requested_prompt_tokens is not None:
        source = TokenSource.ESTIMATED if count_tokens is None else counted_by
        record = replace(record, prompt_tokens=record.requested_prompt_tokens, prompt_token_source=source)
    if record.output_tokens is not None or not record.text:
        return record
    if count_tokens is not None:
        # An event carries at least one token, though its text may go into one with the next one's.
        counted = max(count_tokens(record.text), record.chunks)
        return replace(record, output_tokens=counted, token_source=counted_by, text=None)
    guess = max(record.chunks, math.ceil(len(record.text) / CHARACTERS_A_TOKEN))
    return replace(record, output_tokens=guess, token_source=TokenSource.ESTIMATED, text=None)


def levels_csv(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
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
    names = list(dict.fromkeys(name for row in flat for name in row)) or [*whose, "concurrency"]
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    return text.getvalue()


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
    for name, value in level.items():
        if name in {"errors", "token_sources"}:  # open sets: a column each would differ from run to run
            row[name] = " ".join(f"{word}={number}" for word, number in value.items())
        elif isinstance(value, dict):
            row |= {f"{name}_{part}": figure for part, figure in value.items()}
        elif isinstance(value, list):
            row[name] = " ".join("" if figure is None else str(figure) for figure in value)
        else:
            row[name] = value
    return row


def _records(journals: list[Path], tail: bytes, told: _Told) -> Iterator[RequestRecord]:
    """Every record of the journals; windows, events and damage go to `told`."""
    for path in journals:
        lines = journal.read(path, tail if path.name == "journal.jsonl" else b"")
        for kind, value in lines:
            try:
                if kind == "record":
                    record = journal.unpack(value)
                    told.records += 1
                    told.last_ns = max(told.last_ns, record.end_ns)
                    yield record
                elif kind == "health":
                    told.seconds.append(seconds.of_json(value))
                elif kind == "server":
                    told.samples.append(server_metrics.of_json(value))
                elif kind == "window":
                    window = Window(**value)  # told twice, the last word counts
                    told.windows[window.level, window.repeat, window.start_ns] = window
                else:
                    told.events.append(value)
            except (TypeError, ValueError):  # JSON, but not what its kind says
                told.garbled += 1
        told.garbled += lines.garbled


def _with_told(run: Mapping[str, Any], told: _Told) -> dict[str, Any]:
    """run.json, finished by what the journals said."""
    garbled = [f"{told.garbled} journal lines could not be read"] if told.garbled else []
    incomplete = [*run.get("incomplete", ()), *garbled]
    last = datetime.fromtimestamp(told.last_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return dict(run) | {
        "finished_at": run.get("finished_at") or (last if told.last_ns else None),
        "complete": not incomplete,
        "incomplete": incomplete,
        "windows": [asdict(window) for window in told.windows.values()],
        "events": told.events,
    }
