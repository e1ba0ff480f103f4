"""A run from the process that has imported nearly all before is the run that a user starts."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import warm
from alive import goes
from locust_runs import IDS, Result, cold, run, simulator, until

SHORT = (*IDS, "--output-tokens", "4")
OWN = """
import os, sys
from locust import User, events, task
@events.init.add_listener
def told(environment, **_):
    hear = [one.__module__ for hook in vars(events).values() for one in hook._handlers if one.__module__ != "locust.runners"]
    print("harness.plugin" in sys.modules, sorted(hear), os.getcwd(), sys.argv[1:], sys.path[0], sorted(os.environ.items()))
    raise SystemExit(7)
class Nobody(User):
    @task
    def nothing(self): pass
"""


def started(options: list[str], env: dict[str, str], cwd: Path, out: Path, err: Path) -> warm.Process:
    """With its output in these files."""
    with out.open("wb") as to_out, err.open("wb") as to_err:
        return warm.start(options, env, cwd, to_out, to_err)


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


def test_nothing_of_ours_listens_before_and_all_else_is_its_own(tmp_path: Path) -> None:
    """Locust's events, folder, words, path and environment, which holds nothing but what was given."""
    file = tmp_path / "own.py"
    file.write_text(OWN)
    out, err = tmp_path / "out", tmp_path / "err"
    env = {"PATH": os.environ["PATH"], "MINE": "1"}
    code = started(["-f", str(file), "--headless"], env, tmp_path, out, err).wait(60)
    given = ["-f", str(file), "--headless"]
    assert (code, err.read_text().count("Traceback")) == (7, 0)
    assert out.read_text() == f"False ['own'] {tmp_path} {given} {tmp_path} {sorted(env.items())}\n"


def test_one_that_is_killed(tmp_path: Path) -> None:
    """And nothing of it is left; the next one is served."""
    file = tmp_path / "own.py"
    file.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    out, err = tmp_path / "out", tmp_path / "err"
    process = started(["-f", str(file)], dict(os.environ), tmp_path, out, err)
    until(lambda: out.read_text() == f"{process.pid}\n")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    assert process.poll() is None
    process.kill()
    assert (process.wait(5), process.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    assert goes(process.pid)
    process.send_signal(signal.SIGTERM)  # to nobody
    assert started(["--version"], dict(os.environ), tmp_path, out, err).wait(60) == 0


def test_several_at_once_each_have_their_own_end(tmp_path: Path) -> None:
    """A signal's, too, and each word where it belongs."""
    ends = ("raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGTERM)", "raise SystemExit(4)")
    codes: dict[str, int | None] = {}

    def one(name: str, end: str) -> None:
        file = tmp_path / f"{name}.py"
        file.write_text(f"import os, signal, time\nprint('{name}')\ntime.sleep(1)\n{end}\n")
        place = tmp_path / name
        codes[name] = started(["-f", str(file)], dict(os.environ), tmp_path, place, tmp_path / "e").wait(60)

    threads = [threading.Thread(target=one, args=(f"run{at}", end)) for at, end in enumerate(ends)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {"run0": 3, "run1": -signal.SIGTERM, "run2": 4}
    assert [(tmp_path / name).read_text() for name in ("run0", "run2")] == ["run0\n", "run2\n"]


ASKS = """
import os, pathlib, signal, sys, time, warm
with open("out", "wb") as out:
    process = warm.start(["-f", "own.py"], dict(os.environ), pathlib.Path("."), out, out, apart=True)
while not os.path.getsize("out"):
    time.sleep(0.05)
print(warm._keeper[0]._process.pid, process.pid, os.getpgid(process.pid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_forks_and_what_it_forked_go_with_who_asked(tmp_path: Path) -> None:
    """However that ended, and though the run has a process group of its own."""
    (tmp_path / "own.py").write_text("import os, time\nprint('here', flush=True)\ntime.sleep(60)\n")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", ASKS], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    keeper, pid, group = map(int, done.stdout.split())
    assert pid == group
    assert goes(keeper)
    assert goes(pid)
