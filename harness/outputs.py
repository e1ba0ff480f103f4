"""From journals to a run's result files, and from its table to its report: what happens after the load.

    journals ─► records, missing token counts filled ─► requests.parquet ─► summary.json, levels.csv,
            ├─► seconds of the client ─► client.csv ───────────────────┤    report.html
            └─► looks at the server ─► server_metrics.csv ─────────────┘

The second half needs these tables and `run.json` alone. What is there already stays, and gains (`harness.merge`), so
that all of this may be done again, with the same journals or with further ones. A journal is deleted last of all,
only if the table has a row for each of its records, only in the run directory, and only if nobody may still be writing it.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import pandas as pd

from harness import (
    audit,
    beside,
    by_hand,
    client_doubts,
    files,
    fitness,
    levels_csv,
    merge,
    metrics,
    reconcile,
    rows,
    seconds,
    server_metrics,
    slo,
    steadiness,
    trial_records,
)
from harness.clock import now_ns, unix_ns
from harness.errors import ConfigError
from harness.journal import Window
from harness.merge import Told
from harness.record import TokenSource
from harness.report import page
from harness.report.material import Material
from harness.uncounted import CountTokens, filled
from harness.volume import Volume

__all__ = ["QUIET_S", "complete", "from_journals", "from_table", "gather", "owned"]

T = TypeVar("T")

SERVER_FILE: Final = "server_metrics.csv"
QUIET_S: Final = 60.0  # a worker whose master is gone ends by itself well before
NEAR_NS: Final = 100_000_000  # two looks at one thing, on clocks that were estimated twice
_SENDS: Final = ["worker", "scheduled_ns", "sent_ns", "reconnects", "dns_ms", "connect_ms", "tls_ms"]
_UNUSED: Final = ("request_id", "response_id", "body_sha256")  # by everything below, and large
_KEPT: Final = "the journal is kept: free space, then run `tokenswarm report` on it"


def from_journals(
    run_dir: Path,
    run: Mapping[str, Any],
    tail: bytes = b"",
    count_tokens: CountTokens | None = None,
    counted_by: TokenSource = TokenSource.TOKENIZER,
    *,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Write every result file and delete the journals.

    Args:
        run_dir: holds `journal*.jsonl`, one a process.
        run: run.json; windows and events of the journals are added.
        tail: what `journal.jsonl` could not take.
        count_tokens: see `harness.uncounted`.
        counted_by: see `harness.uncounted`.
        keep: names of journals that are not known to be whole, and are not deleted.

    Raises:
        ConfigError: the disk refused, or the table lacks rows; the journals are kept.
    """
    told = gather(run_dir, sorted(run_dir.glob("journal*.jsonl")), tail, count_tokens, counted_by)
    return complete(run_dir, run, told, keep=keep)


def gather(
    run_dir: Path,
    journals: Sequence[Path],
    tail: bytes = b"",
    count_tokens: CountTokens | None = None,
    counted_by: TokenSource = TokenSource.TOKENIZER,
) -> Told:
    """Merge these journals, which may lie anywhere, into requests.parquet. Arguments as of `from_journals`.

    Raises:
        ConfigError: the disk refused, or the table lacks rows.
    """
    table = run_dir / "requests.parquet"

    def count(line: dict[str, Any]) -> dict[str, Any]:
        return filled(line, count_tokens, counted_by)

    with files.refusals(run_dir, _KEPT):
        told = merge.merge(table, journals, {run_dir / "journal.jsonl": tail}, count)
        expected = told.before + sum(one.records - one.doubled for one in told.journals)
        if rows.count(table) != expected:
            raise ConfigError(f"{table}: {rows.count(table)} rows of {expected} records; the journal is kept")
    return told


def owned(told: Told, run_dir: Path) -> set[str]:
    """The names of its journals, if this is a worker's own run directory: the master's results lack them yet."""
    theirs = not told.before and all(one.worker is not None for one in told.journals)
    return {one.path.name for one in told.journals if theirs and _inside(one, run_dir)}


def complete(
    run_dir: Path, run: Mapping[str, Any], told: Told, *, keep: Collection[str] = (), quiet_s: float = 0.0
) -> dict[str, Any]:
    """Everything that follows `gather`: all other files, and the journals' end. Returns the summary.

    Args:
        run_dir: as of `gather`.
        run: run.json.
        told: what `gather` returned.
        keep: names of journals that are never deleted.
        quiet_s: a worker's journal that was written to within so many seconds is not deleted now.

    Raises:
        ConfigError: the disk refused; the journals are kept.
    """
    with files.refusals(run_dir, _KEPT):
        requests = rows.load(run_dir / "requests.parquet", without=_UNUSED)
        known = seconds.load(run_dir / "client.csv")
        watched = _once([known, *(one.seconds for one in told.journals)], lambda s: (s.worker, s.time_ns))
        files.write(
            run_dir / "client.csv", seconds.text(seconds.with_sends(watched, fitness.sends(requests[_SENDS])))
        )
        looked = [
            files.from_csv(run_dir / SERVER_FILE, server_metrics.of_csv),
            *(one.samples for one in told.journals),
        ]
        if samples := _once(looked, lambda sample: (None, sample.time_ns)):
            files.write(run_dir / SERVER_FILE, server_metrics.text(samples))
        whole = _with_told(run, told, _stand(run_dir, run, told, keep))
        files.write(run_dir / "run.json", files.as_json(whole))
        summary = _from_files(run_dir, whole, requests)
        for one in told.journals:
            if _inside(one, run_dir) and not (
                whole["journals"][one.path.name]["kept"] or _goes_on(one, quiet_s)
            ):
                one.path.unlink()
    return summary


def from_table(run_dir: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """Compute and write summary.json, levels.csv and report.html from the tables and run.json.

    Raises:
        ConfigError: a table is missing or damaged, or the disk refused.
    """
    return _from_files(run_dir, run, rows.load(run_dir / "requests.parquet", without=_UNUSED))


def _from_files(run_dir: Path, run: Mapping[str, Any], requests: pd.DataFrame) -> dict[str, Any]:
    settings = run.get("settings", {})
    windows = [Window(**window) for window in run.get("windows", ())]
    watched = seconds.load(run_dir / "client.csv")
    stamped = sorted(set(requests["stamp_source"].dropna()))
    samples = files.from_csv(run_dir / SERVER_FILE, server_metrics.of_csv)
    server = reconcile.account(samples, requests, windows)
    account = audit.account(run.get("workers"), requests, run.get("planned"))
    slos, drop_under = slo.read(settings.get("slo") or ()), settings.get("drop_answers_under")
    settled = steadiness.settle(requests, windows, run)
    requests, windows = settled.requests, settled.windows
    sought, disputed = trial_records.checked(run, requests, windows, slos, drop_under)
    summary = metrics.summarise(
        requests,
        windows,
        run_id=str(run["run_id"]),
        planned=run.get("planned"),
        points=run.get("points"),
        unsent=run.get("unsent"),
        incomplete=run.get("incomplete", ()),
        findings=[
            *((status, reason) for status, reason in run.get("findings", ())),
            *client_doubts.findings(watched, windows, capped=bool(settings.get("max_concurrency"))),
            *reconcile.findings(server),
            *audit.findings(account),
            *settled.findings,
            *disputed,
        ],
        client=fitness.summary(watched, fitness.late_ms(requests[_SENDS]), stamped),
        own_ends=settings.get("exact_output") is False,
        drop_under=drop_under,
        slos=slos,
    ) | {"server_metrics": server, "audit": account, "search": sought, "saturated": run.get("saturated")}
    summary = steadiness.with_steady(summary, settled)
    summary = beside.with_beside(summary, run, requests, windows)
    summary = by_hand.with_segments(summary, run)
    material = Material(
        summary=summary, run=run, requests=requests, windows=windows, seconds=watched, samples=samples
    )
    with files.refusals(run_dir, "free space, then run `tokenswarm report` on it"):
        files.write(run_dir / "summary.json", files.as_json(summary))
        files.write(run_dir / "levels.csv", levels_csv.text(summary, settings))
        files.write(run_dir / "report.html", page.render(material))
    return summary


def _once(groups: Iterable[Iterable[T]], key: Callable[[T], tuple[Hashable, int]]) -> list[T]:
    """Everything in order, but what an earlier group has too. `key`: whose it is, and when in ns."""
    seen: dict[tuple[Hashable, int], int] = {}
    found: list[T] = []
    for group in groups:
        new = [(one, *key(one)) for one in group]
        new = [
            (one, whose, time)
            for one, whose, time in new
            if not any(
                abs(seen.get((whose, time // NEAR_NS + step), time - NEAR_NS) - time) < NEAR_NS
                for step in (-1, 0, 1)
            )
        ]
        found += [one for one, *_ in new]
        seen |= {(whose, time // NEAR_NS): time for _, whose, time in new}
    return found


def _inside(one: Volume, run_dir: Path) -> bool:
    """Whether it is the run directory's own, and not one that was given and lies there by chance."""
    return one.path.parent == run_dir and one.path.match("journal*.jsonl")


def _goes_on(one: Volume, quiet_s: float) -> bool:
    """Whether a journal has grown since it was read, or is a worker's that may not have heard of the end yet."""
    now = one.path.stat()
    quiet = (unix_ns(now_ns()) - now.st_mtime_ns) / 1e9
    return now.st_size != one.size or (one.worker is not None and quiet < quiet_s)


def _stand(
    run_dir: Path, run: Mapping[str, Any], told: Told, keep: Collection[str]
) -> dict[str, dict[str, Any]]:
    """For run.json: which journals of the run directory are in the table, up to which size, and which stay."""
    known = dict(run.get("journals", {}))
    for one in told.journals:
        if _inside(one, run_dir):
            name = one.path.name
            kept = name in keep or known.get(name, {}).get("kept", False)
            known[name] = {"bytes": one.size, "kept": kept}
    return known


def _with_told(run: Mapping[str, Any], told: Told, stand: Mapping[str, Any]) -> dict[str, Any]:
    """run.json, finished by what the journals said."""
    garbled = [f"{told.garbled} journal lines could not be read"] if told.garbled else []
    incomplete = list(dict.fromkeys([*run.get("incomplete", ()), *garbled]))
    last = datetime.fromtimestamp(told.last_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    closed = [Window(**one) for one in run.get("windows", ())]
    windows = {  # told twice, the last word counts
        (one.level, one.repeat, one.start_ns): one
        for one in (*closed, *(window for each in told.journals for window in each.windows))
    }
    heard = [run.get("events", ()), *(one.events for one in told.journals)]
    return dict(run) | {
        "finished_at": run.get("finished_at") or (last if told.last_ns else None),
        "complete": not incomplete,
        "incomplete": incomplete,
        "windows": [asdict(window) for window in windows.values()],
        "events": _once(heard, lambda event: (str(event.get("what")), event["time_ns"])),
        "journals": stand,
    }
