"""What the page of results reads: damaged directories, hostile names, links that lead away; and how long thousands take."""

import os
import string
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from compared import directory, two_levels
from exported_run import make
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import inside
from harness.carried import NEED
from harness.digest import digest, is_offered
from harness.errors import ConfigError
from harness.web import results_jobs, results_place, results_tasks
from harness.web.results import _Past
from harness.web.results_child import STOPPED, Done, call
from harness.web.results_jobs import Jobs, Task
from harness.web.results_place import Entry, entries, is_id, stamped
from harness.web.results_shelf import Shelf

RUN = "20261121T101500Z-x-1a2b3c"


def nothing() -> None:
    """No others to wait for."""


def listed(root: Path) -> list[Entry]:
    return stamped(root, entries(root, nothing), nothing)


# What a directory says


def test_a_run_in_short(tmp_path: Path) -> None:
    """Its figures are those of summary.json, of the level with the most tokens a second; withheld ones are withheld."""
    run = make(tmp_path, slo=["ttft_p95<2s"], labels={"gpu": "H100"}, run_name="nightly", host="http://h:1")
    summary = orjson.loads((run / "summary.json").read_bytes())
    row, details = digest(tmp_path, RUN)
    assert (row["state"], row["problem"], row["verdict"]) == ("over", None, summary["verdict"]["status"])
    assert (row["name"], row["labels"], row["host"]) == ("nightly", {"gpu": "H100"}, "http://h:1")
    assert (row["begun_ms"], row["duration_s"]) == (1795256100000.0, 90.5)
    assert row["totals"] == {name: summary["totals"][name] for name in row["totals"]}
    assert row["slo"] == {"met": summary["slo"]["met"], "asked": summary["slo"]["asked"]}
    assert row["exit_code"] == 0
    best = max(summary["levels"], key=lambda level: level["system_output_tokens_per_s"])
    assert row["best"]["title"] == best["title"]
    assert row["best"]["system_output_tokens_per_s"] == best["system_output_tokens_per_s"]
    assert row["best"]["ttft_ms_p50"] == best["ttft_ms"]["p50"]
    assert [one["title"] for one in details["levels"]] == [one["title"] for one in summary["levels"]]
    assert details["reasons"] == summary["verdict"]["reasons"]
    for one, level in zip(details["levels"], summary["levels"], strict=True):
        few = level["ttft_ms"]["n"] < NEED["p95"]
        assert one["ttft_ms_p95"] == (None if few else level["ttft_ms"]["p95"])
        assert ("ttft_ms_p95" in one["withheld"]) == few
    sizes = {path.name: path.stat().st_size for path in run.iterdir()}
    assert {one["name"]: one["bytes"] for one in details["files"]} == sizes
    assert row["bytes"] == sum(sizes.values())


DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cut": (lambda run: (run / "run.json").write_text('{"schema": 1, '), "damaged", "run.json cannot be read"),
    "a list": (lambda run: (run / "summary.json").write_text("[]"), "damaged", "summary.json is no JSON object"),
    "no bytes": (lambda run: (run / "summary.json").write_text(""), "damaged", "summary.json cannot be read"),
    "garbage": (lambda run: (run / "run.json").write_bytes(b"\xff\x00\x80"), "damaged", "run.json cannot be read"),
    "nested": (lambda run: (run / "run.json").write_text("[" * 100_000), "damaged", "run.json cannot be read"),
    "a folder": (lambda run: ((run / "run.json").unlink(), (run / "run.json").mkdir()), "damaged", "run.json is missing"),
    "a pipe": (lambda run: ((run / "run.json").unlink(), os.mkfifo(run / "run.json")), "damaged", "run.json is missing"),
    "no summary": (lambda run: (run / "summary.json").unlink(), "damaged", "summary.json is missing"),
    "crashed": (
        lambda run: ((run / "summary.json").unlink(), (run / "journal.jsonl").touch()),
        "unfinished",
        "summary.json is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_a_row_that_says_so(tmp_path: Path, what: str) -> None:
    """Never an exception, and the run is still listed."""
    run = make(tmp_path)
    harm, state, problem = DAMAGE[what]
    harm(run)
    row, _ = digest(tmp_path, RUN)
    assert row["state"] == state
    assert row["problem"].startswith(problem)
    assert [one.id for one in listed(tmp_path)] == [RUN]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
RUN_KEYS = ("settings", "started_at", "finished_at", "run_id", "host", "schema")
SUMMARY_KEYS = ("verdict", "levels", "totals", "slo", "search", "complete", "incomplete")
LEVELS = st.lists(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("title", "system_output_tokens_per_s", "ttft_ms", "slo", "requests", "tpot_ms"), ANY
        ),
    )
)


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(RUN_KEYS), ANY),
    st.dictionaries(st.sampled_from(SUMMARY_KEYS), ANY | LEVELS),
)
@example(
    {"settings": {"labels": [1], "users": {"a": 1}}},
    {"slo": {"met": []}, "verdict": {"status": []}, "complete": True},
)
@example(
    {"started_at": "9999-12-31T23:59:59"}, {"levels": [{"ttft_ms": {"p50": True, "n": "x"}, "title": ["x"]}]}
)
def test_whatever_the_files_hold(run: dict[str, Any], summary: dict[str, Any]) -> None:
    """Any JSON at any place gives a row and details that are JSON, of bounded length."""
    root = Path(os.environ["PYTEST_RESULTS_ROOT"])
    (root / RUN / "run.json").write_bytes(orjson.dumps(run))
    (root / RUN / "summary.json").write_bytes(orjson.dumps(summary))
    row, details = digest(root, RUN)
    assert row["state"] == "over"
    assert len(orjson.dumps(row)) + len(orjson.dumps(details)) < 100_000


@pytest.fixture(autouse=True)
def _root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / RUN).mkdir()
    monkeypatch.setenv("PYTEST_RESULTS_ROOT", str(root))


def test_texts_and_lists_have_their_limits(tmp_path: Path) -> None:
    """A megabyte of a model's name is not sent to a browser a thousand times."""
    long = "<script>" * 20_000

    def edit(run: dict[str, Any], summary: dict[str, Any]) -> None:
        run["settings"] |= {"model": long, "labels": {f"k{number}": long[:4_000] for number in range(500)}}
        summary["verdict"] = {"status": "suspect", "reasons": [long[:4_000]] * 500}
        summary["levels"] = [one | {"passes": []} for one in summary["levels"]] * 500

    directory(tmp_path / RUN, two_levels(1), edit=edit)
    row, details = digest(tmp_path, RUN)
    assert row["model"] == long[:200] + "\N{HORIZONTAL ELLIPSIS}"
    assert (row["levels"], len(details["levels"]), len(details["reasons"])) == (1000, 400, 50)
    assert len(orjson.dumps(row)) < 20_000
    assert len(orjson.dumps(details)) < 300_000


# Which directories there are


def test_newest_first_campaigns_too(tmp_path: Path) -> None:
    """By the time in the name; a folder that is no run is none; a link is not followed, wherever it leads."""
    for name in ("20261120T000000Z-b-1", "20261122T000000Z-a-1", "20261121T000000Z-c-1"):
        directory(tmp_path / name, two_levels(name))
    (tmp_path / "night" / "runs").mkdir(parents=True)
    (tmp_path / "night" / "campaign.json").write_text("{}")
    directory(tmp_path / "night" / "runs" / "20261121T120000Z-d-1", two_levels(1))
    directory(tmp_path / "by-hand", two_levels(2))
    os.utime(tmp_path / "by-hand", (0, 0))
    (tmp_path / "notes").mkdir()
    (tmp_path / "20261123T000000Z-link-1").symlink_to(tmp_path / "20261120T000000Z-b-1")
    assert [one.id for one in listed(tmp_path)] == [
        "20261122T000000Z-a-1",
        "night/runs/20261121T120000Z-d-1",
        "20261121T000000Z-c-1",
        "20261120T000000Z-b-1",
        "by-hand",
    ]
    assert entries(tmp_path / "nowhere", nothing) == []


def test_a_stamp_differs_once_a_result_does(tmp_path: Path) -> None:
    """And the shelf then reads that run again, and no other."""
    for name in ("20261120T000000Z-b-1", "20261122T000000Z-a-1"):
        directory(tmp_path / name, two_levels(name))
    shelf, before = Shelf(), listed(tmp_path)
    rows = shelf.rows(tmp_path, before)
    assert [orjson.loads(row)["id"] for row in rows] == [one.id for one in before]
    summary = tmp_path / before[0].id / "summary.json"
    told = orjson.loads(summary.read_bytes()) | {"verdict": {"status": "invalid", "reasons": ["x"]}}
    summary.write_bytes(orjson.dumps(told))
    after = listed(tmp_path)
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]
    again = shelf.rows(tmp_path, after)
    assert (orjson.loads(again[0])["verdict"], again[1] is rows[1]) == ("invalid", True)


def test_one_that_is_gone_meanwhile_is_a_row_all_the_same(tmp_path: Path) -> None:
    """Between the listing and the reading."""
    (row,) = Shelf().rows(tmp_path, [Entry(RUN, "", (1,))])
    assert orjson.loads(row)["state"] == "damaged"


@given(st.text(st.sampled_from(string.ascii_letters + "./\\~%\0\n:* -"), max_size=30) | st.text())
@example("..")
@example("../outside")
@example("a/runs/..")
@example("a/../b")
@example("/etc")
@example("a/runs/b/..")
@example("\udcff")
@example("a" * 256)
def test_no_id_leads_out(run: str) -> None:
    """What is taken for an id opens nothing but a directory below the root, by its own name."""
    root = Path(os.environ["PYTEST_RESULTS_ROOT"])
    (root.parent / "outside").mkdir(exist_ok=True)
    if not is_id(run):
        assert "/" in run or not inside.is_plain(run)
        return
    assert ".." not in run.split("/")
    try:
        at = inside.folder(root, run.split("/"))
    except OSError:
        return
    try:
        assert Path(f"/proc/self/fd/{at}").readlink() == root / run
    finally:
        os.close(at)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither a folder nor a file, not even to where it would be allowed; a pipe and a device are not opened to be read."""
    run, outside = make(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("{}")
    (run / "a.json").symlink_to(outside / "secret.json")
    (run / "folder").symlink_to(outside)
    (tmp_path / "link").symlink_to(outside)
    os.mkfifo(run / "pipe.json")
    for parts in ([RUN, "a.json"], [RUN, "folder", "secret.json"], ["link", "secret.json"], [RUN, "pipe.json"],
                  [RUN, "..", "outside", "secret.json"], [RUN, ""], [RUN, "."]):  # fmt: skip
        with pytest.raises(FileNotFoundError):
            inside.opened(tmp_path, parts)
    assert {one["name"] for one in digest(tmp_path, RUN)[1]["files"]} == {
        "run.json",
        "summary.json",
        "requests.parquet",
    }
    assert inside.read(tmp_path, ["outside", "secret.json"], 2) == b"{}"
    with pytest.raises(ValueError, match="2 bytes, more than 1"):
        inside.read(tmp_path, ["outside", "secret.json"], 1)


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("summary.json", True),
        ("requests.parquet", True),
        ("llmperf/level-8/M_550_150_summary.json", True),
        ("journal.jsonl", False),
        ("journal-w1.jsonl", False),
        (".summary.json.part", False),
        (".hidden/x.json", False),
        ("../summary.json", False),
        ("a/b/c/d.json", False),
        ("id_rsa", False),
        ("", False),
    ],
)
def test_what_is_offered(name: str, offered: bool) -> None:
    """Results and exports; no journal, nothing hidden, nothing of a kind that no run writes."""
    assert is_offered(name) is offered


# Children and jobs


@pytest.mark.calm
def test_a_child_is_nice_and_is_stopped(tmp_path: Path) -> None:
    """It runs at the lowest priority; when it may not go on, or takes too long, it is gone at once."""
    done = call(["-c", "import os, sys; print(os.nice(0), sys.stdin.read())"], given=b"x", limit_s=30)
    assert (done.code, done.out.split()) == (0, [b"19", b"x"])
    hang = ["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    for options in ({"limit_s": 1.0}, {"limit_s": 60.0, "may_go_on": _after(5)}):
        stopped = call(hang, **options)
        assert stopped.code == STOPPED
        with pytest.raises(ProcessLookupError):
            os.kill(int(stopped.out), 0)


def _after(calls: int) -> Callable[[], bool]:
    left = iter([True] * calls)
    return lambda: next(left, False)


def task(key: str, code: int = 0, *, lasting: bool = False) -> Task:
    words = ["-h"] if code == 0 else ["report", "/nowhere"]
    return Task(
        "comparison", (key,), lambda file: (file.touch(), words)[1], frozenset({0}), "x", lasting=lasting
    )


def test_a_job_that_raises_fails_alone() -> None:
    """A full disk, say: it has failed, and what is in line comes to its turn."""

    def full(_: Path) -> list[str]:
        raise OSError(28, "No space left on device")

    def odd(_: Done) -> dict[str, Any]:
        raise ValueError("words that make no sense")

    jobs = Jobs(lambda: None)
    broken = jobs.ask(Task("report", (1,), full, frozenset({0}), "broken"))
    strange = jobs.ask(Task("report", (2,), lambda _: ["--version"], frozenset({0}), "strange", tell=odd))
    fine = jobs.ask(Task("report", (3,), lambda _: ["--version"], frozenset({0}), "fine"))
    assert [over(jobs, job).state for job in (broken, strange, fine)] == ["failed", "failed", "done"]
    assert "the log" in broken.said
    jobs.close()


def over(jobs: Jobs, job: results_jobs.Job) -> results_jobs.Job:
    import gevent  # noqa: PLC0415

    with gevent.Timeout(60):
        while not job.is_over:
            gevent.sleep(0.02)
    assert jobs.get(job.number) is job
    return job


def test_jobs_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order; the same one is not begun twice; one that failed says why in the command's words; the line is bounded."""
    jobs = Jobs(lambda: None)
    first, second = jobs.ask(task("a", lasting=True)), jobs.ask(task("b", code=2))
    assert jobs.ask(task("a", lasting=True)) is first
    assert (jobs.place(first), jobs.place(second)) == (0, 1)
    monkeypatch.setattr(results_jobs, "WAITING", 2)
    with pytest.raises(ConfigError, match="others are in line"):
        jobs.ask(task("c"))
    over(jobs, second)
    assert (first.state, second.state) == ("done", "failed")
    assert second.said == "/nowhere: not a run directory (no run.json); give one, such as results/<run-id>"
    assert second.begun_ns >= first.ended_ns
    assert jobs.ask(task("a", lasting=True)) is first
    assert jobs.ask(task("b", code=2)) is not second
    jobs.close()
    assert not first.file.exists()


def test_a_run_of_this_process_has_the_machine() -> None:
    """Nothing is begun beside it, and what is under way when it begins is stopped."""
    why: list[str | None] = [None]
    jobs = Jobs(lambda: why[0])
    hang = Task("report", (), lambda _: ["simulate", "--port", "0"], frozenset({0}), "x")
    job = jobs.ask(hang)
    import gevent  # noqa: PLC0415

    while job.state == "waiting":
        gevent.sleep(0.02)
    why[0] = "a run is under way"
    assert over(jobs, job).state == "failed"
    assert job.said == "a run is under way"
    with pytest.raises(ConfigError, match="a run is under way"):
        jobs.ask(hang)
    jobs.close()


def test_whose_load_it_is(tmp_path: Path) -> None:
    """A run of this process keeps everything else away, a master's does not; one elsewhere is not this folder's."""
    directory = SimpleNamespace(path=tmp_path / RUN)
    options = SimpleNamespace(results_dir=str(tmp_path), master=False)
    run = SimpleNamespace(is_over=False, directory=directory)
    session = SimpleNamespace(environment=SimpleNamespace(parsed_options=options))
    site: Any = SimpleNamespace(run=None, session=session)
    past = _Past(site)
    assert (past._busy(), past._own()) == (None, None)
    site.run = run
    assert (past._busy(), past._own()) == ("local", RUN)
    with pytest.raises(ConfigError, match="would disturb its load"):
        past.jobs.ask(task("a"))
    options.master = True
    assert past._busy() == "master"
    job = past.jobs.ask(task("a"))
    with pytest.raises(ConfigError, match="still being written"):
        past._tasks(Entry(RUN, ""))
    options.results_dir = str(tmp_path / "other")
    assert past._own() is None
    run.is_over = True
    assert past._busy() is None
    assert over(past.jobs, job).state == "done"
    past.jobs.close()


def test_what_is_to_be_compared() -> None:
    """Two to eight, each once, and texts."""
    assert results_tasks.compared({"base": "a", "new": ["b", "c"]}) == ["a", "b", "c"]
    for wrong in ({}, {"base": "a"}, {"base": "a", "new": []}, {"base": "a", "new": "b"}, {"base": 1, "new": ["b"]},
                  {"base": "a", "new": [["b"]]}, {"base": "a", "new": list("bcdefghi")}):  # fmt: skip
        with pytest.raises(ConfigError, match="takes a base and 1 to 7 others"):
            results_tasks.compared(wrong)
    with pytest.raises(ConfigError, match="held against itself"):
        results_tasks.compared({"base": "a", "new": ["b", "a"]})


def test_no_id_is_an_option(tmp_path: Path) -> None:
    """A directory whose name looks like one is a path to the command."""
    made = results_tasks.Tasks(tmp_path)
    evil = [Entry("--html=x", ""), Entry("--json", "")]
    words = made.compare(evil, {"allow_different": True, "by_point": "yes"}).words(Path("/f"))
    assert words == [
        "compare",
        f"{tmp_path}/--html=x",
        f"{tmp_path}/--json",
        "--allow-different",
        "all",
        "--json",
        "--html",
        "/f",
    ]
    assert made.report(evil[0]).words(Path("/f")) == ["report", f"{tmp_path}/--html=x"]


def test_the_loudest_changes_first(tmp_path: Path) -> None:
    """Regressions before improvements, and the outcome in words."""
    figure = {"level": "2 users", "figure": "f", "unit": "ms", "base": 1.0, "new": 2.0}
    figures = [figure | {"change": c, "word": w} for c, w in
               [(0.1, "regression"), (-0.9, "improvement"), (0.0, "same"), (None, "unclear"), (0.5, "regression")]]  # fmt: skip
    told = {
        "new": [{"name": "n", "verdict": "regression", "figures": figures}],
        "passes_needed": None,
        "notes": [],
    }
    found = results_tasks._compared(Done(3, orjson.dumps(told), ""))
    assert found["outcome"] == "worse"
    assert [one["change"] for one in found["changes"]] == [0.5, 0.1, -0.9]


def test_thousands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two thousand directories are listed without reading one, in slices; the times are told, not judged."""
    for number in range(2_000):
        run = tmp_path / f"20261121T{number // 3600:02}{number // 60 % 60:02}{number % 60:02}Z-x-{number:06}"
        run.mkdir()
        (run / "run.json").write_text("{}")
    slices: list[float] = []
    last = begun = time.perf_counter()

    def pause() -> None:
        nonlocal last
        slices.append(time.perf_counter() - last)
        last = time.perf_counter()

    found = entries(tmp_path, pause)
    assert len(found) == 2_000
    assert found[0].id > found[-1].id
    page = stamped(tmp_path, found[:250], pause)
    whole = time.perf_counter() - begun
    assert len(slices) == 2_000 // results_place.SLICE + 250 // results_place.SLICE
    assert [orjson.loads(row)["id"] for row in Shelf().rows(tmp_path, page)] == [
        one.id for one in found[:250]
    ]
    read = time.perf_counter() - begun - whole
    with capsys.disabled():
        print(
            f"\n2,000 runs listed in {1e3 * whole:.1f} ms, slices of up to {1e3 * max(slices):.2f} ms; 250 read in {1e3 * read:.0f} ms"
        )
