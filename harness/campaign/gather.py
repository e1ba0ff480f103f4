"""What a campaign's run directories say, brought together for its tables.

Only runs that are done and were asked what the file asks now; all others are named as missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import files, rows
from harness.campaign.figures import Round
from harness.campaign.figures import rows as compared
from harness.campaign.matrix import Run
from harness.campaign.state import Entry, State
from harness.campaign.switching import Visit, ours_ms, switches, theirs_ms
from harness.campaign.table import Comparison, Switch
from harness.errors import ConfigError

__all__ = ["gather", "written"]


def gather(name: str, runs: Sequence[Run], state: State) -> Comparison:
    """The comparison as it stands."""
    entries = {run.key: state.of(run) for run in runs}
    rounds, missing = [], []
    for run in runs:
        entry = entries[run.key]
        why = _why_missing(entry)
        summary = None if why or entry is None else _summary(state.folder, entry)
        if summary is None or not summary["levels"]:
            unread = "its results cannot be read" if summary is None else "nothing was measured"
            missing.append((run.key, why or unread))
        else:
            rounds.append(Round(run.row, run.round, summary))
    rounds.sort(key=lambda one: one.number)
    order = {row: at for at, row in enumerate(dict.fromkeys(_by_target(runs)))}
    rounds.sort(key=lambda one: order[one.row])
    return Comparison(
        name=name,
        rows=compared(rounds),
        axes={run.row: dict(run.values) for run in runs},
        targets={run.row: run.target for run in runs},
        missing=missing,
        doubts=_doubts(rounds),
        switches=_switches(runs, entries, state.folder),
        done=len(rounds),
        planned=len(runs),
        rounds=max((run.round for run in runs), default=1),
    )


def written(found: Comparison, folder: Path) -> None:
    """campaign.md and campaign.csv in the campaign's folder.

    Raises:
        ConfigError: the disk refuses.
    """
    from harness.campaign.table import as_csv, as_markdown  # noqa: PLC0415

    with files.refusals(folder, "free some space, then start the campaign again"):
        files.write(folder / "campaign.md", as_markdown(found))
        files.write(folder / "campaign.csv", as_csv(found))


def _by_target(runs: Sequence[Run]) -> list[str]:
    """Rows with those of one target together, whatever the order in which they are run."""
    targets = list(dict.fromkeys(run.target for run in runs))
    return [run.row for run in sorted(runs, key=lambda run: targets.index(run.target))]


def _why_missing(entry: Entry | None) -> str | None:
    if entry is None:
        return "not run yet"
    if entry.is_done:
        return None
    log = f" ({entry.log})" if entry.log else ""
    if entry.status == "interrupted":
        return f"interrupted; it is run again when the campaign is{log}"
    return f"failed: {entry.reason}{log}; --retry runs it again"


def _summary(folder: Path, entry: Entry) -> Mapping[str, Any] | None:
    try:
        return files.from_json(folder / str(entry.directory) / "summary.json")
    except ConfigError:
        return None


def _doubts(rounds: Sequence[Round]) -> list[tuple[str, str]]:
    """Why runs are not valid: each reason of a row once."""
    found: dict[tuple[str, str], None] = {}
    for one in rounds:
        verdict = one.summary["verdict"]
        for reason in verdict["reasons"]:
            found[f"{one.row} ({verdict['status']})", reason] = None
    return list(found)


def _switches(runs: Sequence[Run], entries: Mapping[str, Entry | None], folder: Path) -> list[Switch]:
    by_key = {run.key: run for run in runs}
    visits = [
        Visit(run.key, None if run.serve else run.host, run.model, entry.began_ns, entry.is_done)
        for run in runs
        if (entry := entries[run.key]) is not None
    ]
    found: dict[tuple[str, str, str], list[Run]] = {}
    for before, after in switches(visits):
        run = by_key[after.key]
        found.setdefault((run.target, str(before.model), str(after.model)), []).append(run)
    return [_switch(which, switched, entries, folder) for which, switched in found.items()]


def _switch(
    names: tuple[str, str, str],
    runs: Sequence[Run],
    entries: Mapping[str, Entry | None],
    folder: Path,
) -> Switch:
    seen = [run for run in runs if not run.has_trial]
    tables = [
        rows.load(folder / str(entry.directory) / "requests.parquet", without=["chunk_gaps_us"])
        for run in seen
        if (entry := entries[run.key]) is not None
    ]
    ours, theirs = [ours_ms(table) for table in tables], [theirs_ms(table) for table in tables]
    return Switch(
        *names,
        tuple(one for one in ours if one is not None),
        tuple(one for one in theirs if one is not None),
        count=len(runs),
        hidden=len(runs) - len(seen),
    )
