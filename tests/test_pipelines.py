"""deploy/pipelines: the workflow and the job are what their systems read, and their shell steps do what they say."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from locust_runs import ROOT
from test_junit import checked

from harness.servers.process import free_port

PIPELINES: Final = ROOT / "deploy" / "pipelines"
GITHUB: Final[dict[Any, Any]] = yaml.safe_load((PIPELINES / "github-actions.yml").read_text())
GITLAB: Final[dict[str, Any]] = yaml.safe_load((PIPELINES / "gitlab-ci.yml").read_text())
JOB: Final = GITHUB["jobs"]["load-test"]
STEPS: Final[dict[str, dict[str, Any]]] = {step.get("name", step.get("uses")): step for step in JOB["steps"]}
# Of GitHub's schema (json.schemastore.org/github-workflow.json), as far as the file uses it.
STEP_KEYS: Final = {"name", "id", "if", "uses", "run", "with", "env", "continue-on-error", "timeout-minutes"}
JOB_KEYS: Final = {"runs-on", "timeout-minutes", "env", "steps", "permissions", "needs", "if", "strategy"}
# Of GitLab's reference of .gitlab-ci.yml keywords, those of a job.
GITLAB_KEYS: Final = {
    *("stage", "image", "tags", "timeout", "interruptible", "variables", "rules", "cache", "before_script"),
    *("script", "after_script", "allow_failure", "artifacts", "retry", "needs"),
}


def test_the_workflow_has_the_form_of_one() -> None:
    """Triggers, one job on a named machine, steps that run or use something, of a stated version."""
    assert set(GITHUB) == {"name", True, "permissions", "concurrency", "jobs"}  # YAML 1.1 reads `on` as true
    assert set(GITHUB[True]) == {"pull_request", "push", "workflow_dispatch"}
    assert set(JOB) <= JOB_KEYS
    assert all(isinstance(value, str) for value in JOB["env"].values())
    for step in JOB["steps"]:
        assert set(step) <= STEP_KEYS
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"actions/[a-z/-]+@v\d+", step.get("uses", "actions/x@v1"))
    assert not re.search(r"ubuntu-latest|-latest", str(JOB["runs-on"]))  # it is another machine one day


def test_the_workflow_can_do_no_harm() -> None:
    """It may only read; nothing from outside is pasted into a shell; a pull request cannot save a baseline."""
    assert GITHUB["permissions"] == {"contents": "read"}
    assert not any("${{" in step.get("run", "") for step in JOB["steps"])
    for name in ("Renew the baseline", "Save the baseline"):
        assert "github.ref == 'refs/heads/main'" in STEPS[name]["if"]
    assert "pull_request_target" not in str(GITHUB)
    assert "workflow_dispatch" in STEPS["Fetch the baseline"]["if"]
    assert STEPS["Fetch the baseline"]["id"] == "baseline"


def test_what_a_failed_test_leaves_is_kept() -> None:
    """Summary and report come whatever the test's code was, from where it has left them."""
    for name in ("Summary", "Keep the report"):
        assert STEPS[name]["if"] == "always()"
    assert STEPS["Keep the report"]["with"]["path"] == JOB["env"]["OUT"]
    for name in ("Fetch the baseline", "Save the baseline"):
        assert STEPS[name]["with"]["path"] == JOB["env"]["BASELINE"]
        assert STEPS[name]["with"]["key"] == STEPS["Save the baseline"]["with"]["key"]
    keys = STEPS["Fetch the baseline"]["with"]
    assert keys["key"].startswith(keys["restore-keys"])


def test_the_job_has_the_form_of_one() -> None:
    """GitLab's keywords; 6 is a warning; the baseline is only read in a merge request; artefacts come always."""
    [(name, job)] = GITLAB.items()
    assert name == "load-test"
    assert set(job) <= GITLAB_KEYS
    assert all(isinstance(line, str) for line in (*job["script"], *job["before_script"]))
    assert all(isinstance(value, str) for value in job["variables"].values())
    assert job["allow_failure"] == {"exit_codes": [6]}
    assert job["variables"]["BASELINE_CACHE"] == "pull"
    assert job["rules"][0]["variables"] == {"BASELINE_CACHE": "pull-push"}
    assert job["cache"]["paths"] == [job["variables"]["BASELINE"]]
    assert job["artifacts"]["when"] == "always"
    out = job["variables"]["OUT"]
    assert job["artifacts"]["reports"] == {"junit": f"{out}/junit.xml"}
    assert all(path.startswith(f"{out}/") for path in job["artifacts"]["paths"])


def test_both_make_the_same_load() -> None:
    """One is not forgotten when the other is changed."""
    names = ("OUT", "BASELINE", "SERVER", "HOST", "LOCUSTFILE", "LOAD")
    theirs = GITLAB["load-test"]["variables"]
    assert {name: JOB["env"][name] for name in names} == {name: theirs[name] for name in names}
    assert JOB["env"]["LOAD"] in (ROOT / "docs" / "pipelines.md").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout: what the steps refer to by relative paths."""
    for name in ("deploy", "locustfiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def shell(
    place: Path, script: str, env: Mapping[str, str], *, programs: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: bash, ending at the first failure. `programs` come before the real ones."""
    path = os.pathsep.join(
        [*([str(programs)] if programs else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=place,
        env={**clean, **JOB["env"], "PATH": path, "GITHUB_STEP_SUMMARY": str(place / "step.md"), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_real_run_through_the_workflows_steps(place: Path) -> None:
    """The simulator is tested, report, JUnit and summary are there, the run becomes a baseline and is held against it.

    Locust's own --html, --csv and --json are written as without us.
    """
    port = free_port()
    env = {
        "SERVER": f"tokenswarm simulate --port {port} --slots 4 --seed 1",
        "HOST": f"http://127.0.0.1:{port}",
        "LOAD": "--levels 1,2 --requests-per-level 5 --repeats 2 --prompt-tokens 20 --output-tokens 6 "
        "--html l.html --csv l --json --export llmperf,sambanova,maritaca",
    }
    done = shell(place, STEPS["Load test"]["run"], env)
    assert done.returncode == 0, done.stderr
    assert "No baseline in `load-test-baseline` yet" in done.stdout
    [run] = (place / "load-test" / "results").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert [level["succeeded"] for level in summary["levels"]] == [10, 10]
    assert (place / "load-test" / "report.html").read_bytes() == (run / "report.html").read_bytes()
    names = {
        case.get("name") for case in checked((place / "load-test" / "junit.xml").read_text()).iter("testcase")
    }
    assert {"verdict", "complete", "2 users: ttft_p95<2s"} <= names
    assert len(list(run.glob("llmperf/*/*.json"))) == len(list(run.glob("sambanova/*.json"))) == 4
    assert len((run / "benchmark.csv").read_text().splitlines()) == 21

    locusts_own(place, done.stdout)

    assert shell(place, STEPS["Summary"]["run"], env).returncode == 0
    assert run.name in (place / "step.md").read_text()
    assert shell(place, STEPS["Renew the baseline"]["run"], env).returncode == 0
    baseline = place / "load-test-baseline"
    assert {path.name for path in baseline.iterdir()} == {"run.json", "summary.json"}
    again = shell(place, STEPS["Load test"]["run"], env)
    assert again.returncode == 2
    assert "load-test/results is there already" in again.stderr

    fake(place, "locust", f'mkdir -p "$OUT/results"; cp -r {run} "$OUT/results/"; exit 0')
    held = shell(place, STEPS["Load test"]["run"], env | {"OUT": "second"}, programs=place / "bin")
    assert held.returncode == 0, held.stderr  # two passes say nothing for sure, which is a warning here
    compared = (place / "second" / "compare.md").read_text()
    assert compared.strip()
    assert compared in (place / "second" / "summary.md").read_text()
    assert (place / "second" / "compare.html").is_file()


def locusts_own(place: Path, stdout: str) -> None:
    """Locust's statistics, in all its forms, of the 20 requests of the run: they parse, and count what was sent."""
    [entry] = json.JSONDecoder().raw_decode(stdout)[0]  # `--json` is what stdout begins with
    assert (entry["num_requests"], entry["num_failures"]) == (20, 0)
    assert "Maritaca's tables" not in stdout  # ours give way
    with (place / "l_stats.csv").open(newline="") as file:
        table = {row["Name"]: row for row in csv.DictReader(file)}
    # Locust's `--json` resets the single entries as it prints them (`StatsEntry.get_stripped_report`), so of what it writes
    # afterwards the sum alone is whole. Without us it is the same.
    assert set(table) == {entry["name"], "Aggregated"}
    assert table["Aggregated"]["Request Count"] == "20"
    page = (place / "l.html").read_text()
    told = json.loads(re.search(r"window.templateArgs = (\{.*?\})\s*\n?\s*window", page, re.DOTALL).group(1))
    counted = {row["name"]: row["num_requests"] for row in told["requests_statistics"]}
    assert counted["Aggregated"] == 20


def fake(place: Path, name: str, script: str) -> Path:
    """A program in a place before the real ones."""
    program = place / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


RUN: Final = 'mkdir -p "$OUT/results/r"; cd "$OUT/results/r"; touch run.json summary.json report.html'


@pytest.mark.parametrize(
    ("run", "comparison", "code", "warned"),
    [
        (0, 0, 0, False),
        (0, 3, 3, False),
        (0, 6, 0, True),  # GitHub has no code for a warning
        (0, 2, 2, False),
        (3, 0, 3, False),
        (1, 6, 1, False),
        (4, 0, 4, False),
    ],
)
def test_codes_become_the_steps(place: Path, run: int, comparison: int, code: int, warned: bool) -> None:
    """The run's own code comes first; 6 alone is a warning; both are shown whatever they are."""
    (place / "load-test-baseline").mkdir()
    (place / "load-test-baseline" / "summary.json").touch()
    fake(place, "locust", f"{RUN}; exit {run}")
    fake(
        place,
        "tokenswarm",
        f"case $1 in compare) echo COMPARED; exit {comparison};; report) echo TABLES; exit {run if run > 2 else 0};; esac",
    )
    done = shell(place, STEPS["Load test"]["run"], {}, programs=place / "bin")
    assert done.returncode == code, done.stderr
    assert ("::warning title=load test::" in done.stdout) == warned
    said = "TABLES\n" if run == 4 else "TABLES\nCOMPARED\n"  # what is not valid is not compared
    assert (place / "load-test" / "summary.md").read_text() == said


@pytest.mark.parametrize(
    ("of", "before", "code", "after"),
    [
        (("main", ""), "old", 6, "old"),
        (("main", "yes"), "old", 0, "new"),
        (("main", ""), None, 0, "new"),
        (("", ""), None, 0, None),  # a merge request
    ],
)
def test_the_jobs_baseline_is_renewed_by_hand(
    place: Path, of: tuple[str, str], before: str | None, code: int, after: str | None
) -> None:
    """Only on the default branch: where there is none, or where it was asked for. 6 is the job's own code here."""
    baseline = place / "load-test-baseline"
    if before:
        baseline.mkdir()
        (baseline / "summary.json").write_text(before)
    fake(place, "locust", f"{RUN}; printf new >summary.json; exit 0")
    fake(place, "tokenswarm", "case $1 in compare) exit 6;; esac")
    script = "\n".join(GITLAB["load-test"]["script"])
    env = {"CI_COMMIT_BRANCH": of[0], "CI_DEFAULT_BRANCH": "main", "RENEW": of[1]}
    done = shell(place, script, env, programs=place / "bin")
    assert done.returncode == code, done.stderr
    kept = baseline / "summary.json"
    assert (kept.read_text() if kept.is_file() else None) == after


@pytest.mark.parametrize(("code", "left"), [(2, 2), (0, 5), (130, 130)])
def test_a_run_that_left_nothing_fails(place: Path, code: int, left: int) -> None:
    """Whatever it ended with; nothing is compared."""
    fake(place, "locust", f"exit {code}")
    done = shell(place, "sh deploy/pipelines/gate.sh test -f x", {}, programs=place / "bin")
    assert done.returncode == left
    assert shell(place, STEPS["Summary"]["run"], {}).returncode == 0  # and the summary has nothing to show
    assert not (place / "step.md").exists()


@pytest.mark.parametrize("words", ["", "nothing", "renew"])
def test_the_script_says_what_is_wrong(place: Path, words: str) -> None:
    """One line and 2."""
    done = shell(place, f"sh deploy/pipelines/gate.sh {words}", {})
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("gate.sh: error: ")


@pytest.mark.parametrize("name", ["sh", "bash", "dash"])
def test_every_step_is_shell(name: str) -> None:
    """Read by each shell that is here, without running anything; `gate.sh` is for any of them."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    scripts = [(PIPELINES / "gate.sh").read_text()]
    scripts += [step["run"] for step in JOB["steps"] if "run" in step]
    scripts += GITLAB["load-test"]["script"]
    for script in scripts:
        assert (
            subprocess.run([name, "-n"], input=script, text=True, check=False, capture_output=True).stderr
            == ""
        )
