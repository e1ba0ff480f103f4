"""A finished run directory for tests of what is written beside it: a table, run.json and summary.json."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthetic_run import run as synthetic

from harness import files, results, rows, slo
from harness.journal import Window
from harness.metrics import summarise
from harness.record import RequestRecord


def make(
    folder: Path,
    records: list[RequestRecord] | None = None,
    windows: list[Window] | None = None,
    *,
    run: Mapping[str, Any] = {},
    **settings: Any,
) -> Path:
    """Write the run; a synthetic sweep over 1, 2 and 4 users unless records and windows are given.

    Args:
        folder: where its directory is made.
        records: stamps in Unix ns.
        windows: one a level and pass.
        run: further entries of run.json, such as `points` and `unsent`.
        **settings: of run.json.
    """
    if records is None or windows is None:
        records, windows = synthetic()
    run_dir = folder / "20261121T101500Z-x-1a2b3c"
    run_dir.mkdir()
    told = {
        "schema": results.SCHEMA,
        "run_id": run_dir.name,
        "started_at": "2026-11-21T10:15:00.000+00:00",
        "finished_at": "2026-11-21T10:16:30.500+00:00",
        "planned": None,
        "windows": [asdict(window) for window in windows],
        "settings": {
            "model": "org/Model_8B-it",
            "prompt_tokens": "normal:550,150",
            "output_tokens": "12",
            **settings,
        },
        "host": {"name": "bench-1"},
        **run,
    }
    files.write(run_dir / "run.json", files.as_json(told))
    rows.write(run_dir / "requests.parquet", records)
    summary = summarise(
        rows.load(run_dir / "requests.parquet"),
        windows,
        run_id=run_dir.name,
        slos=slo.read(settings.get("slo") or ()),
        drop_under=settings.get("drop_answers_under"),
        points=told.get("points"),
        unsent=told.get("unsent"),
        incomplete=told.get("incomplete", ()),
        findings=told.get("findings", ()),
    )
    files.write(run_dir / "summary.json", files.as_json(summary))
    return run_dir
