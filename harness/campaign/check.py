"""All that can be wrong with a campaign's runs, found before the first: their options, programs and files.

The asking is `harness.campaign.dry`'s, in a process for each locustfile and environment; this is who starts it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.campaign.matrix import Run
from harness.campaign.steps import HERE, environment
from harness.errors import ConfigError
from harness.option_table import OPTIONS, variable

__all__ = ["ambient", "problems"]

_LIMIT_S: Final = 120
_PORT: Final = "1"  # stands for a free one, which none is as yet
# Of Locust's, what would change the load, or end it otherwise.
_LOCUSTS: Final = ("LOCUST_USERS", "LOCUST_SPAWN_RATE", "LOCUST_RUN_TIME", "LOCUST_TAGS", "LOCUST_PROCESSES")


def problems(runs: Sequence[Run], folder: Path, results: Path) -> list[str]:
    """What is wrong with the runs' options, a line each that names the run; the same for several runs is said once.

    Raises:
        ConfigError: they could not be asked.
    """
    groups: dict[tuple[Path, tuple[tuple[str, str], ...]], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.locustfile, tuple(run.env.items())), []).append(run)
    found: dict[str, list[str]] = {}
    for group in groups.values():
        for run, said in zip(group, _asked(group, folder, results), strict=True):
            for line in said.splitlines():
                found.setdefault(line, []).append(run.row)
    return [f"{_whose(rows)}: {line}" for line, rows in found.items()]


def _asked(group: Sequence[Run], folder: Path, results: Path) -> list[str]:
    questions = [
        {
            "locustfile": str(run.locustfile),
            "classes": list(run.classes),
            "words": run.words((run.host or HERE).replace("{port}", _PORT), results),
        }
        for run in group
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.campaign.dry"],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            check=True,
            timeout=_LIMIT_S,
            env=environment(group[0], os.environ),
            cwd=folder,
        )
        answers: list[str] = json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise ConfigError(
            f"{group[0].locustfile}: its options could not be checked ({said[-1] if said else error}); does "
            f"`locust -f {group[0].locustfile} --help` work?"
        ) from None
    return answers


def _whose(rows: Sequence[str]) -> str:
    names = list(dict.fromkeys(rows))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def ambient(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables of this shell that hold in every run without standing in the file."""
    ours = {variable(name) for name, *_ in OPTIONS}
    yield from sorted(name for name in environ if name in ours or name in _LOCUSTS)
