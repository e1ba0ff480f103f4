"""`python -m mutation` in tests/: try the mutants of the modules in config.toml, or of those that are named.

Exit code 0 if each mutant is noticed or has its entry; 1 if not, or if an entry is of no mutant that survives. What was
found is kept in .cache/mutation until the module, its tests or this tool change.
"""

import argparse
import hashlib
import json
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).resolve().parent.parent
ROOT: Final = TESTS.parent
CACHE: Final = ROOT / ".cache" / "mutation"
HERE: Final = Path(__file__).parent
# A thread does not survive a fork.
os.environ.update(dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"], "1"))

import numpy as np  # noqa: E402, F401, it reads the environment; imported here for all forks
import orjson  # noqa: E402, F401
import pandas as pd  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401
import pytest  # noqa: E402

from mutation import few, trials  # noqa: E402, F401
from mutation.mutants import Mutant, mutants  # noqa: E402
from mutation.verdicts import judged  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description="Mutation tests of the core.")
    parser.add_argument("modules", nargs="*", help="as in config.toml; all if none is named")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (%(default)s)")
    parser.add_argument("--anew", action="store_true", help="whatever was found before")
    options = parser.parse_args(arguments)
    config = tomllib.loads((HERE / "config.toml").read_text(encoding="utf-8"))
    known = {one["name"]: one for one in config["module"]}
    if unknown := set(options.modules) - set(known):
        parser.error(f"not in config.toml: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    print("| module | mutants | killed | equivalent | unexplained |\n|---|---:|---:|---:|---:|", flush=True)
    sound = True
    for name in options.modules or known:
        allowed = [one for one in config.get("equivalent", []) if one["module"] == name]
        lines, problems = judged(name, found(known[name], options.jobs, anew=options.anew), allowed)
        print(lines, *problems, sep="\n", flush=True)
        sound &= not problems
    return 0 if sound else 1


def found(module: Mapping[str, Any], jobs: int, *, anew: bool) -> dict[str, str]:
    """How each mutant of a module fared: `killed`, `survived`, or `unreached` by any test."""
    path = ROOT / "harness" / f"{module['name'].replace('.', '/')}.py"
    files = [path, *(TESTS / one for one in module["tests"]), *HERE.glob("*.py")]
    digest = hashlib.sha256(b"\0".join(one.read_bytes() for one in files) + repr(module).encode()).hexdigest()
    kept = CACHE / f"{module['name']}.json"
    if (
        not anew
        and kept.exists()
        and (before := json.loads(kept.read_text(encoding="utf-8")))["digest"] == digest
    ):
        return dict(before["results"])
    results = _tried(module, path, jobs)
    CACHE.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"digest": digest, "results": results}, indent=1), encoding="utf-8")
    return results


def _tried(module: Mapping[str, Any], path: Path, jobs: int) -> dict[str, str]:
    every = [*mutants(path.read_text(encoding="utf-8"), str(path))]
    tests = [str(TESTS / one) for one in module["tests"]]
    tests += [f"--deselect=tests/{one}" for one in module.get("without", ())]
    read, write = os.pipe()
    process = trials.fork(partial(_in_place, path, every, tests, jobs, write), quiet=False)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    if not said:
        raise SystemExit(f"{module['name']}: its tests do not pass as it is, or cannot be collected")
    results, cpu_s = json.loads(said)
    name = f"harness.{module['name']}"
    new = [
        (one.name, partial(trials.afresh, name, path, one, tests, cpu_s))
        for one in every
        if not one.in_function
    ]
    for mutant, code in trials.forked(new, jobs):
        results[mutant] = trials.SURVIVED if code == trials.PASSED else trials.KILLED
    return {one.name: results[one.name] for one in every}


def _in_place(path: Path, every: Sequence[Mutant], tests: Sequence[str], jobs: int, write: int) -> int:
    """In a fork: try the mutants that need no new import, and say through the pipe how they fared."""
    plugin = trials.Trials(path, [one for one in every if one.in_function], jobs)
    code = pytest.main([*trials.OPTIONS, *tests], plugins=[plugin])
    if code == pytest.ExitCode.OK:
        with os.fdopen(write, "w") as pipe:
            json.dump([plugin.found, plugin.cpu_s], pipe)
    return int(code)


if __name__ == "__main__":
    os.chdir(ROOT)
    for variable in [one for one in os.environ if one.lower().endswith("_proxy")]:
        del os.environ[variable]
    sys.exit(main())
