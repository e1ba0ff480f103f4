"""Files in other tools' forms, written beside a run's own so that the notebooks people have go on working.

    llmperf      llmperf/level-8/MODEL_550_150_{individual_responses,summary}.json      ray-project/llmperf
    sambanova    sambanova/synthetic_0_MODEL_550_150_8_stream_UUID_{...}.json           sambanova/ai-starter-kit
    maritaca     benchmark.csv                                                          maritaca-ai/maritalk-api
    junit        any file                                                               Jenkins, GitLab and others

The rule: names, keys, columns and units are theirs, and so are the formulas where a name implies one; what was not measured is
null or empty. Where theirs is known to be wrong or we know better, docs/exports.md says what stands there. Everything is
computed from requests.parquet, summary.json and run.json, and changes none of them. May be imported under load; what
writes is imported when a run has ended.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import ConfigError

__all__ = ["NAMES", "Outlets", "junit_path", "names", "outcome", "read", "write", "write_junit"]

NAMES: Final = ("llmperf", "sambanova", "maritaca")


@dataclass(frozen=True, slots=True)
class Outlets:
    """What a run is to write beside its results."""

    names: tuple[str, ...] = ()
    junit: Path | None = None


def read(text: Callable[[str], str], check: Callable[[Callable[[], Any], Any], Any]) -> Outlets:
    """`--export` and `--junit`. Both arguments are those of `harness.options`: an option's text, and what collects errors."""
    return Outlets(
        check(lambda: names(text("export")), ()),
        check(lambda: junit_path(text("junit")), None),
    )


def names(text: str) -> tuple[str, ...]:
    """The exports that `--export` names, with commas between, each once; none for an empty text.

    Raises:
        ConfigError: one that there is not.
    """
    found = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    for name in found:
        if name not in NAMES:
            raise ConfigError(
                f"--export {name!r}: there is no such export; use {', '.join(NAMES)}, or several with commas"
            )
    return found


def junit_path(text: str) -> Path | None:
    """Where `--junit` is to be written; None for an empty text. Missing folders are made when it is.

    Raises:
        ConfigError: no file can be there.
    """
    if not text:
        return None
    if "\0" in text:  # no program can be given such a name, but a web form can
        raise ConfigError(f"--junit {text[:200]!r}: no file can have this name (it holds NUL)")
    path = Path(text)
    try:
        if path.is_dir():
            raise ConfigError(f"--junit {text!r}: is a directory; name a file, e.g. junit.xml in it")
        place = path.absolute().parent
        while not place.exists():
            place = place.parent
    except OSError as error:  # a name that is too long
        raise ConfigError(f"--junit {text[:200]!r}: no file can have this name ({error.strerror})") from error
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"--junit {text!r}: cannot write in {str(place)!r}; choose another")
    return path


def write(run_dir: Path, wanted: tuple[str, ...]) -> list[Path]:
    """Write these exports of a finished run into its directory; returns the files, in order.

    Raises:
        ConfigError: the run has no results, they are damaged, or the disk refused.
    """
    from harness.export import maritaca, pairs  # noqa: PLC0415  pandas is not for the time of load

    found: list[Path] = []
    for name in wanted:
        found += maritaca.write(run_dir) if name == "maritaca" else pairs.write(run_dir, name)
    return found


def write_junit(run_dir: Path, path: Path) -> None:
    """Write a finished run's verdict and service levels as JUnit XML.

    Raises:
        ConfigError: the run has no results, they are damaged, or the disk refused.
    """
    from harness import files, results  # noqa: PLC0415
    from harness.export import junit  # noqa: PLC0415

    summary, run = results.load_summary(run_dir), results.load_run(run_dir)
    with files.refusals(path, "choose another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, junit.text(summary, run))


def outcome(run_dir: Path, outlets: Outlets, summary: Mapping[str, Any] | None) -> list[str]:
    """At the end of a run: write what it was asked for, and what there is to say of it. Raises nothing.

    Args:
        run_dir: the run's directory.
        outlets: what was asked for.
        summary: None: the run has no results, and there is nothing to write.
    """
    wanted, junit = outlets.names, outlets.junit
    if summary is None:
        return []
    said = []
    for name in wanted:
        try:
            paths = write(run_dir, (name,))
            said.append(f"exported for {name}: {_place(paths)}")
        except ConfigError as error:
            said.append(f"--export: {error}; `tokenswarm report {run_dir} --export {name}` writes it")
    try:
        if junit is not None:
            write_junit(run_dir, junit)
    except ConfigError as error:
        said.append(f"--junit: {error}; `tokenswarm report {run_dir} --junit FILE` writes it")
    return said


def _place(paths: Sequence[Path]) -> str:
    """Where files are: the one, or their folder."""
    if not paths:
        return "nothing, for no level was measured"
    if len(paths) == 1:
        return str(paths[0])
    return f"{len(paths)} files in {os.path.commonpath([path.parent for path in paths])}"
