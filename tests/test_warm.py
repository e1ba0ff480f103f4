"""A run from the process that has imported what is not ours is the run that a user starts."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import warm
from locust_runs import Result, cold, run, simulator, until

SHORT = (
    "--api-mode",
    "completions",
    "--prompt-ids",
    "1000-2000",
    "--prompt-tokens",
    "20",
    "--output-tokens",
    "4",
)
OWN = """
import os, sys
from locust import User, events, task
@events.init.add_listener
def told(environment, **_):
    names = sorted(name for name in sys.modules if name.split(".")[0] == "harness")
    print(len(names), os.getcwd(), sys.argv[1:], sys.path[0], sorted(os.environ.items()))
    raise SystemExit(7)
class Nobody(User):
    @task
    def nothing(self): pass
"""


def test_it_leaves_what_a_cold_one_leaves(tmp_path: Path) -> None:
    """Exit code, requests and settings, in a folder of its own."""
    done: dict[str, Result] = {}
    with simulator() as server:
        for name, start in (("warm", run), ("cold", cold)):
            (tmp_path / name).mkdir()
            load = ("--host", server.url, *SHORT, "--levels", "2", "--requests-per-level", "6", "--seed", "3")
            done[name] = start("vllm.py", tmp_path / name / "r", *load)
    one, other = done["warm"], done["cold"]
    assert (one.code, other.code) == (0, 0), one.err
    columns = ["number", "body_sha256", "prompt_tokens", "output_tokens"]
    shown = [each.requests.sort_values("number")[columns].reset_index(drop=True) for each in (one, other)]
    assert len(shown[0]) == 6
    assert shown[0].equals(shown[1])
    kept = [json.loads((each.directory / "run.json").read_bytes())["settings"] for each in (one, other)]
    for settings in kept:
        del settings["anchor_unix_ns"]
    assert kept[0] == kept[1]


def test_nothing_of_ours_is_there_before_and_all_else_is_its_own(tmp_path: Path) -> None:
    """Folder, words, path and environment, which holds nothing but what was given."""
    file = tmp_path / "own.py"
    file.write_text(OWN)
    out, err = tmp_path / "out", tmp_path / "err"
    env = {"PATH": os.environ["PATH"], "MINE": "1"}
    code = warm.run(["-f", str(file), "--headless"], env, tmp_path, out, err, timeout=60)
    given = ["-f", str(file), "--headless"]
    assert (code, err.read_text().count("Traceback")) == (7, 0)
    assert out.read_text() == f"0 {tmp_path} {given} {tmp_path} {sorted(env.items())}\n"


def test_it_is_killed_when_it_takes_too_long(tmp_path: Path) -> None:
    """And nothing of it is left; the next one is served."""
    file = tmp_path / "own.py"
    file.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    out, err = tmp_path / "out", tmp_path / "err"
    assert warm.run(["-f", str(file)], dict(os.environ), tmp_path, out, err, timeout=5) is None
    pid = int(out.read_text())
    until(lambda: not Path(f"/proc/{pid}").exists(), 5)
    assert warm.run(["--version"], dict(os.environ), tmp_path, out, err, timeout=60) == 0


def test_several_at_once_each_have_their_own_end(tmp_path: Path) -> None:
    """A signal's, too, and each word where it belongs."""
    ends = ("raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGTERM)", "raise SystemExit(4)")
    codes: dict[str, int | None] = {}

    def one(name: str, end: str) -> None:
        file = tmp_path / f"{name}.py"
        file.write_text(f"import os, signal, time\nprint('{name}')\ntime.sleep(1)\n{end}\n")
        place = tmp_path / name
        codes[name] = warm.run(
            ["-f", str(file)], dict(os.environ), tmp_path, place, tmp_path / "e", timeout=60
        )

    threads = [threading.Thread(target=one, args=(f"run{at}", end)) for at, end in enumerate(ends)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {"run0": 3, "run1": -signal.SIGTERM, "run2": 4}
    assert [(tmp_path / name).read_text() for name in ("run0", "run2")] == ["run0\n", "run2\n"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_forks_goes_with_who_asked(tmp_path: Path) -> None:
    """However that ended."""
    asks = (
        "import os, pathlib, signal, sys, warm\n"
        "warm.run(['--version'], dict(os.environ), pathlib.Path('.'), *map(pathlib.Path, ('out', 'err')), timeout=60)\n"
        "print(warm._keeper[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", asks], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{int(done.stdout)}").exists(), 5)
