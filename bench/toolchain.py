"""What the bench needs and the project does not: two C programs and a virtual environment, all in bench/build/.

Each is made once and again when what it is made of changes. The environment's packages are pinned with hashes in
requirements.txt; where they cannot be installed (no network, say) the clients that need them are left out, and say why.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from processes import BUILD, HERE, BenchError

__all__ = ["build_c", "build_venv", "machine", "versions"]

FLAGS: Final = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
PROGRAMS: Final = ("truth-server", "c-reader")
PACKAGES: Final = ("tokenswarm", "locust", "gevent", "geventhttpclient", "orjson", "numpy")
OTHERS: Final = ("aiohttp", "uvloop", "httpx")

Say = Callable[[str], None]


def build_c(say: Say = lambda _: None) -> None:
    """The truth server and the C reader.

    Raises:
        BenchError: no C compiler, or it refuses.
    """
    BUILD.mkdir(exist_ok=True)
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError(
            "no C compiler: the truth server needs `cc` (Debian and Ubuntu: apt-get install gcc libc6-dev)"
        )
    headers = max(header.stat().st_mtime for header in HERE.glob("*.h"))
    for name in PROGRAMS:
        source, program = HERE / f"{name.replace('-', '_')}.c", BUILD / name
        newest = max(source.stat().st_mtime, headers)
        if program.exists() and program.stat().st_mtime > newest:
            continue
        say(f"cc {source.name}")
        fresh = program.with_suffix(f".{os.getpid()}")  # a server that runs keeps the file it runs from
        done = subprocess.run(
            [compiler, *FLAGS, "-o", str(fresh), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"cc cannot build {source.name}: {(done.stderr.splitlines() or ['?'])[0]}")
        fresh.replace(program)


def build_venv(say: Say = lambda _: None) -> str | None:
    """The other clients' environment; why it cannot be had, or None."""
    wanted = HERE / "requirements.txt"
    folder, mark = BUILD / "venv", BUILD / "venv.done"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text(encoding="ascii") == digest:
        return None
    say("installing bench/requirements.txt into bench/build/venv (once)")
    shutil.rmtree(folder, ignore_errors=True)
    install = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*install, "--require-hashes", "-r", str(wanted)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["?"]
            return f"not installed: {lines[-1].strip()[:150]}"
    mark.write_text(digest, encoding="ascii")
    return None


def machine() -> dict[str, str]:
    """What it was measured on."""
    cpu = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "CPU": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[0].split()[1]) / 2**20:.0f} GB" if memory else "?",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of the packages that are measured, and a digest of our own sources, which a version does not tell."""
    sources = hashlib.sha256()
    for path in sorted((HERE.parent / "harness").rglob("*.py")):
        sources.update(path.read_bytes())
    found = {name: version(name) for name in PACKAGES} | {"harness/ sha256": sources.hexdigest()[:12]}
    code = f"from importlib.metadata import version\nfor name in {OTHERS!r}: print(name, version(name))"
    python = BUILD / "venv" / "bin" / "python"
    if python.exists():
        done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
        found |= dict(line.split() for line in done.stdout.splitlines())
    return found


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
