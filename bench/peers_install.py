"""The peers' own virtual environments, `bench/build/peers/<name>`, from the pinned lists in `bench/peers/`.

The rule: an environment holds exactly what its list says and is made anew when the list changes. A peer that
cannot be installed is an answer (`Failed`, with pip's own reason), never an exception: the others are measured
all the same. Nothing is resolved here: the lists name every version of the whole tree.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
LISTS: Final = HERE / "peers"
ENVIRONMENTS: Final = HERE / "build" / "peers"
MARK: Final = "\u00d7"  # what pip puts before the headline of an error
INSTALL_S: Final = 1_800  # guidellm brings torch with the CUDA libraries, some gigabytes

# The list is complete, so pip need not resolve; inference-perf asks for a newer Python than it needs.
PIP: Final = ("-m", "pip", "install", "--no-deps", "--ignore-requires-python", "--no-cache-dir", "--no-input")


@dataclass(frozen=True, slots=True)
class Failed:
    """What could not be done, and why, in one line."""

    reason: str


def environment(name: str) -> Path:
    """Where the peer's environment is, or would be."""
    return ENVIRONMENTS / name


def install(name: str) -> Path | Failed:
    """The environment's folder, made if it is not there as its list says."""
    wanted = (LISTS / f"{name}.txt").read_text(encoding="utf-8")
    folder = environment(name)
    stamp = folder / "installed.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    print(f"installing bench/peers/{name}.txt into {_shown(folder)} (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = str(folder / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, *PIP, "--quiet", "--disable-pip-version-check", "-r", str(LISTS / f"{name}.txt")],
    ):
        failure = _run(["nice", *command], folder.parent / f"{name}.log")
        if failure is not None:
            return failure
    stamp.write_text(wanted, encoding="utf-8")
    return folder


def version(name: str) -> str:
    """The pinned version of the peer itself: `aiperf==0.13.0` in its list is `0.13.0`."""
    for line in (LISTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        distribution, _, number = line.partition("==")
        if distribution == name:
            return number
    raise SystemExit(f"bench/peers/{name}.txt names no version of {name}: add a line {name}==VERSION")


def why_pip_failed(output: str) -> str:
    """The last error that pip itself named, in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    broken = [line.lstrip(MARK + " ") for line in lines if line.startswith(MARK)]
    return (errors or broken or lines or ["pip said nothing"])[-1][:200]


def _run(command: list[str], log: Path) -> Failed | None:
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Failed(f"not installed: pip took longer than {INSTALL_S} s")
    except OSError as error:
        return Failed(f"not installed: {error}")
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        return Failed(f"not installed: {why_pip_failed(done.stdout)} (all of it in {_shown(log)})")
    return None


def _shown(path: Path) -> Path:
    return path.relative_to(HERE.parent) if path.is_relative_to(HERE.parent) else path
