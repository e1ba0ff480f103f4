"""A run directory: `run.json`, `requests.parquet`, `client.csv`, `summary.json`, `levels.csv`, `report.html`.

If the server publishes metrics of its own, `server_metrics.csv` is there too.

The rule: the journal is deleted only after everything computed from it is on disk and the table holds as
many rows as the journal held records. Until then a crash costs a line at most, and `rebuild` makes the
results from what is there. Every file is written beside its name and then renamed into place, so that a
reader never sees half of one.

`run.json` holds what the tables do not say (settings, windows, plan, findings), so that the summary can be
computed again from these alone. This module may be imported under load: pandas and everything that
needs it is imported when a run ends.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from harness import files, host_facts
from harness.errors import ConfigError
from harness.hiding import without_secrets
from harness.journal import Journal
from harness.record import TokenSource
from harness.run_hold import Hold, refuse_held
from harness.run_place import unwritable
from harness.versions import versions

__all__ = ["RunDirectory", "load_run", "load_summary", "rebuild", "unmerged"]

SCHEMA: Final = 1
CRASHED: Final = "the run ended without finishing; these results are what its journal holds"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """An open run directory: write to `journal` while load runs, then `finish`."""

    path: Path
    journal: Journal
    held: Hold

    @classmethod
    def create(
        cls,
        results_dir: Path,
        run_id: str,
        settings: Mapping[str, Any],
        planned: int | None = None,
        origin: Mapping[str, Any] | None = None,
    ) -> "RunDirectory":
        """Make `results_dir/run_id` with its run.json and an open journal.

        `planned`, the requests meant to be sent in all phases, is noted now for the case of a crash. `origin`: what
        `harness.provenance` has gathered.

        Raises:
            ConfigError: the place is not writable, not a directory, or taken.
        """
        if not re.fullmatch(r"[^/\\\0]+", run_id) or run_id in {".", ".."}:
            raise ConfigError(f"run id {run_id!r}: must be a plain folder name, without slashes")
        path = results_dir / run_id
        # Before there is a directory: `versions` may ask another process, and whoever is stopped meanwhile leaves nothing.
        run = {
            "schema": SCHEMA,
            "run_id": run_id,
            "started_at": _utc_now(),
            "finished_at": None,
            "complete": False,
            "planned": planned,
            "settings": without_secrets(dict(settings)),
            "versions": versions(),
            "host": host_facts.host(),
            **(origin or {}),
        }
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError as error:
            if results_dir.is_dir():
                raise ConfigError(f"{path}: already exists; choose another --run-name") from error
            raise ConfigError(f"--results-dir {str(results_dir)!r}: not a folder; choose another") from error
        except OSError as error:
            raise unwritable(results_dir, error.strerror) from error
        with files.refusals(path, "choose another --results-dir"):
            files.write(path / "run.json", files.as_json(run))
        return cls(path, Journal(path / "journal.jsonl"), Hold(path))

    def discard(self) -> None:
        """Take it away again: the run will not begin."""
        self.journal.close()
        with suppress(OSError):
            for path in (*self.path.glob("journal*.jsonl"), self.path / "run.json"):
                path.unlink(missing_ok=True)
            self.path.rmdir()
        self.held.let_go()

    def finish(
        self,
        *,
        planned: int | None,
        incomplete: Sequence[str],
        findings: Sequence[tuple[str, str]],
        count_tokens: Callable[[str], int] | None,
        counted_by: TokenSource = TokenSource.TOKENIZER,
        workers: Sequence[Mapping[str, Any]] = (),
        keep: Sequence[str] = (),
        unsent: Mapping[str, int] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Turn the journals into the results, delete them, and return the summary.

        Args:
            planned: requests meant to be sent in all phases, None if there was no plan.
            incomplete: why results are missing; a damaged journal is added.
            findings: ("suspect" | "invalid", reason), of what the tables do not show.
            count_tokens: counts the output tokens of texts whose server did not; None: they are estimated.
            counted_by: the source noted for `count_tokens`' counts.
            workers: what is known of each process that made load; docs/metrics.md, "Audit".
            keep: names of journals that are not known to be whole, and are not deleted.
            unsent: arrivals of an open loop that were due and not sent, by level; None in a closed loop.
            more: further entries of run.json.

        Raises:
            ConfigError: the disk refused; the journals are kept for `rebuild`.
        """
        self.journal.close()
        kept, lost = self.journal.kept, self.journal.dropped
        run = load_run(self.path) | {
            "planned": planned,
            "unsent": unsent,
            "incomplete": [
                *incomplete,
                *([f"{lost} journal lines were lost: {self.journal.problem}"] if lost else []),
            ],
            "findings": [list(finding) for finding in findings],
            "finished_at": _utc_now(),
            **(more or {}),
        }
        if workers:
            run["workers"] = [dict(worker) for worker in workers]
        from harness import outputs  # noqa: PLC0415  pandas is not for the time of load

        summary = outputs.from_journals(self.path, run, kept, count_tokens, counted_by, keep=keep)
        self.held.let_go()
        return summary


def rebuild(
    run_dir: Path,
    count_tokens: Callable[[str], int] | None = None,
    counted_by: TokenSource = TokenSource.TOKENIZER,
) -> dict[str, Any]:
    """Results of a run from what is there: the journals a crash left, else its requests.parquet.

    From the tables, `summary.json`, `levels.csv` and `report.html` are made again and nothing else changes. Journals
    that these tables do not hold are left to `tokenswarm collect`.

    Raises:
        ConfigError: not a run directory, one whose run goes on, a damaged table, or a disk that refused.
    """
    from harness import outputs  # noqa: PLC0415  pandas is not for the time of load

    refuse_held(run_dir)
    run = load_run(run_dir)
    journals = sorted(run_dir.glob("journal*.jsonl"))
    if not journals and not (run_dir / "requests.parquet").is_file():
        raise ConfigError(
            f"{run_dir}: requests.parquet is missing, and there is no journal to make it from; restore the file"
        )
    if journals and "windows" not in run:  # `windows` is written once the table is known to be whole
        run["incomplete"] = [*run.get("incomplete", ()), CRASHED]
        told = outputs.gather(run_dir, journals, b"", count_tokens, counted_by)
        keep = outputs.owned(told, run_dir)
        return outputs.complete(run_dir, run, told, keep=keep, quiet_s=outputs.QUIET_S)
    summary = outputs.from_table(run_dir, run)
    for path in set(journals) - set(unmerged(run_dir, run)):
        if not run["journals"][path.name]["kept"]:
            path.unlink()
    return summary


def unmerged(run_dir: Path, run: Mapping[str, Any]) -> list[Path]:
    """The journals in the run directory that its table does not hold, or not to their end."""
    merged = run.get("journals", {})
    return [
        path
        for path in sorted(run_dir.glob("journal*.jsonl"))
        if merged.get(path.name, {}).get("bytes") != path.stat().st_size
    ]


def load_run(run_dir: Path) -> dict[str, Any]:
    """run.json of a run directory.

    Raises:
        ConfigError: not a run directory, or of a version this one cannot read.
    """
    if not (run_dir / "run.json").is_file():
        raise ConfigError(f"{run_dir}: not a run directory (no run.json); give one, such as results/<run-id>")
    run = files.from_json(run_dir / "run.json")
    if run.get("schema") != SCHEMA or "run_id" not in run:
        raise ConfigError(
            f"{run_dir / 'run.json'}: schema {run.get('schema')!r}, this version reads {SCHEMA}"
        )
    return run


def load_summary(run_dir: Path) -> dict[str, Any]:
    """summary.json of a run directory.

    Raises:
        ConfigError: not a run directory, or one without a summary.
    """
    load_run(run_dir)
    if not (run_dir / "summary.json").is_file():
        raise ConfigError(f"{run_dir}: no summary.json; make it with `tokenswarm report {run_dir}`")
    return files.from_json(run_dir / "summary.json")


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
