"""`tokenswarm campaign` as a user runs it: against a server that has to switch between models, with what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

import pytest
from locust_runs import journaled, simulator

SWITCH_S: Final = 0.6


class Switching(ThreadingHTTPServer):
    """An OpenAI-style server with room for one model: another one has to be loaded first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.loaded = ""
        self.asked: list[str] = []
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def load(self, model: str) -> None:
        """Everybody waits meanwhile."""
        with self.lock:
            self.asked.append(model)
            if model != self.loaded:
                time.sleep(SWITCH_S if self.loaded else 0)
                self.loaded = model


class Answers(BaseHTTPRequestHandler):
    """Four tokens, 5 ms apart, counted."""

    server: Switching
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.load(asked["model"])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for _ in range(4):
            self._event({"choices": [{"index": 0, "delta": {"content": "w "}, "finish_reason": None}]})
            time.sleep(0.005)
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        usage = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Switching]:
    one = Switching()
    thread = Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()


def command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "harness", "campaign", str(path), *options]


def environ() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if "API_KEY" not in name and "LOCUST" not in name
    }


def campaign(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(path, *options), capture_output=True, text=True, timeout=120, env=environ(), check=False
    )


def states(folder: Path) -> dict[str, tuple[str, int | None, int]]:
    """How each run ended: status, exit code, attempts."""
    runs = json.loads((folder / "campaign.json").read_bytes())["runs"]
    return {key: (one["status"], one["exit_code"], one["attempts"]) for key, one in runs.items()}


FILE: Final = """
[campaign]
name = "models"
locustfile = "openai.py"
results = "out"

[options]
levels = 2
requests-per-level = "4x"
prompt-tokens = 20
output-tokens = {output}
preflight = false

[axes]
model = ["one", "two"]

[[target]]
name = "bundle"
host = "{host}"

[[target]]
name = "gone"
host = "http://127.0.0.1:9"
options = {{ model = "one", preflight = true }}
"""


def test_a_matrix_from_one_end_to_the_other(tmp_path: Path, server: Switching) -> None:
    """Runs, their table, the switch by its cost; a dead target fails alone; done runs are kept, a changed one is not."""
    path, out = tmp_path / "models.toml", tmp_path / "out"
    path.write_text(FILE.format(host=server.url, output=4))
    first = campaign(path)
    assert first.returncode == 2, first.stderr
    assert "Traceback" not in first.stderr
    done, failed = ("done", 0, 1), ("failed", 2, 1)
    keys = ("bundle model=one #1", "gone #1", "bundle model=two #1")
    assert states(out) == dict(zip(keys, (done, failed, done), strict=True))
    assert [
        line.split(": ", 2)[2].split(",")[0] for line in first.stderr.splitlines() if ": run " in line
    ] == [f"run {number} of 3: {key}" for number, key in enumerate(keys, 1)]
    assert server.asked == ["one"] * 8 + ["two"] * 8
    assert "  - gone #1: failed: " in first.stdout
    switched = next(
        line.split() for line in first.stdout.splitlines() if line.split()[:3] == ["bundle", "one", "two"]
    )
    assert SWITCH_S - 0.1 < float(switched[3]) < SWITCH_S + 0.5
    table = (out / "campaign.md").read_text()
    assert "| bundle | one | 2 users |" in table
    assert "| bundle | two | 2 users |" in table

    again = campaign(path)
    assert again.returncode == 2
    assert "0 of 3 runs to do" in again.stderr
    assert "1 failed before and are left so; --retry runs them again" in again.stderr
    assert again.stdout == first.stdout

    path.write_text(FILE.format(host=server.url, output=3).replace('["one", "two"]', '["two"]'))
    more = campaign(path, "--only", "bundle")
    assert more.returncode == 0, more.stderr
    assert "options.output-tokens: 4 -> 3" in more.stderr
    assert "1 runs are no longer in the file and not in the table: bundle model=one #1" in more.stderr
    assert states(out)["bundle model=two #1"] == ("done", 0, 2)
    assert states(out)["bundle model=one #1"] == done
    assert "gone #1: not run yet" in more.stdout
    listed = [line.split("  ")[0] for line in campaign(path, "--list").stdout.splitlines()]
    assert listed == ["done", "to do"]


def test_mistakes_are_found_before_the_first_run(tmp_path: Path) -> None:
    """Options that no run could take: each once, with the run, exit 2, and nothing begun. `--dry-run` finds them too."""
    path = tmp_path / "wrong.toml"
    text = FILE.format(host="http://127.0.0.1:9", output=4).replace(
        'name = "gone"', 'name = "gone"\nclasses = ["No"]'
    )
    path.write_text(text.replace("levels = 2", "levels = 2\nslo = 'ttft<fast'\nmax-toxens = 3"))
    for option in ((), ("--dry-run",)):
        found = campaign(path, *option)
        assert found.returncode == 2
        assert "Traceback" not in found.stderr
        assert "bundle model=one and 2 more: unrecognized arguments: --max-toxens=3" in found.stderr
    path.write_text(text.replace("levels = 2", "levels = 2\nslo = 'ttft<fast'"))
    lines = campaign(path).stderr.splitlines()
    assert lines[0].startswith(
        "tokenswarm campaign: error: wrong.toml: bundle model=one and 1 more: --slo 'ttft<fast'"
    )
    assert lines[1:] == ["wrong.toml: gone: classes: the locustfile has no No; it has OpenAI"]
    assert not (tmp_path / "out").exists()


def test_what_would_be_run(tmp_path: Path) -> None:
    """`--dry-run` prints commands to copy, and runs nothing."""
    path = tmp_path / "dry.toml"
    path.write_text(FILE.format(host="http://127.0.0.1:9", output=4))
    lines = campaign(path, "--dry-run", "--only", "*two*").stdout.splitlines()
    assert lines[:3] == [f"cd {tmp_path}", "", "# bundle model=two #1"]
    assert lines[3].startswith("locust -f ")
    assert (
        "--levels=2 --requests-per-level=4x --prompt-tokens=20 --output-tokens=4 --preflight=no" in lines[3]
    )
    assert "--model=two" in lines[3]
    assert len(lines) == 4
    assert not (tmp_path / "out").exists()
    refused = campaign(path, "--only", "none")
    assert refused.returncode == 2
    assert "--only none: no run is named so; targets are bundle, gone" in refused.stderr


LONG: Final = """
[campaign]
name = "long"
locustfile = "openai.py"

[options]
u = 2
r = 10
t = {seconds}
prompt-tokens = 20
output-tokens = 20

[[target]]
name = "a"
host = "{host}"
labels = {{ which = "first" }}

[[target]]
name = "b"
host = "{host}"
"""


def test_ctrl_c_keeps_what_was_measured_and_the_campaign_goes_on_later(tmp_path: Path) -> None:
    """The run drains and is written, no other begins, exit 5; the next start runs it again and then the rest."""
    path, out = tmp_path / "long.toml", tmp_path / "results" / "long"
    with simulator("--step-base-ms", "5") as server:
        path.write_text(LONG.format(host=server.url, seconds=60))
        process = subprocess.Popen(
            command(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ()
        )
        try:
            deadline = time.monotonic() + 90
            while not journaled(out / "runs/a-1"):
                assert time.monotonic() < deadline, "no load in time"
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            second = campaign(path)
            assert second.returncode == 2
            assert "a campaign is running in it" in second.stderr
            process.send_signal(signal.SIGINT)
            said, told = process.communicate(timeout=60)
        finally:
            process.kill()  # the run goes with it
        assert process.returncode == 5, told
        assert "ending this run, then stopping" in told
        assert states(out) == {"a #1": ("interrupted", 5, 1)}
        (directory,) = out.glob("runs/a-1/2*")
        assert json.loads((directory / "summary.json").read_bytes())["incomplete"] == ["interrupted"]
        assert "  - a #1: interrupted; it is run again when the campaign is" in said
        assert "  - b #1: not run yet" in said

        path.write_text(LONG.format(host=server.url, seconds=2))
        done = campaign(path)
    assert done.returncode == 0, done.stderr
    assert "a #1 than when it was run; it is run again" in done.stderr
    assert states(out) == {"a #1": ("done", 0, 2), "b #1": ("done", 0, 1)}
    assert "campaign long: 2 of 2 runs" in done.stdout
    assert json.loads(next(out.glob("runs/b-1/2*/run.json")).read_bytes())["settings"]["seed"] != 1
