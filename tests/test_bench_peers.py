"""bench/peers*.py: what is read of each tool's files, the arithmetic, what a run costs, and that a run ends."""

import json
import os
import shutil
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import peers  # noqa: E402
import peers_figures  # noqa: E402
import peers_install  # noqa: E402
import peers_run  # noqa: E402
import peers_table  # noqa: E402
import peers_tokenizer  # noqa: E402
import peers_tools  # noqa: E402
import peers_tree  # noqa: E402
import stamps  # noqa: E402
from loads import Load  # noqa: E402
from peers_figures import Used, judge, median, traffic, truth  # noqa: E402
from peers_outputs import Quantiles, Said  # noqa: E402
from peers_tools import TOOLS, Job, Tool  # noqa: E402
from processes import BenchError  # noqa: E402
from stamps import Stamps  # noqa: E402
from toolchain import build_c  # noqa: E402

RECORDED = Path(__file__).parent / "fixtures" / "peers"
MS = 1_000_000

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
compiler = pytest.mark.skipif(
    not Path("/proc/self/stat").exists() or shutil.which("cc") is None, reason="needs Linux and cc"
)


# ---- what each tool says, from real files ----


@pytest.mark.parametrize(
    ("name", "ttft", "itl", "itl_of"),
    [
        ("aiperf", (53.8161465, 57.69099415), (9.6368935, 15.02667343), "gaps"),
        ("guidellm", (51.44548416, 55.08041382), (9.44638252, 11.38439179), "means"),
        ("evalscope", (51.7521, 58.9345), (9.6416, 12.5322), "gaps"),
        ("inference-perf", (51.5078675, 55.42479606), (9.8377575, 11.86454939), "gaps"),
    ],
)
def test_the_tools_own_figures_are_read(name, ttft, itl, itl_of):
    """Milliseconds, median and p99, of the eight requests, as the tool itself reports them."""
    said = TOOLS[name].read(RECORDED / name)
    assert (said.requests, said.itl_of) == (8, itl_of)
    assert (said.ttft.p50, said.ttft.p99) == pytest.approx(ttft, abs=1e-7)
    assert (said.itl.p50, said.itl.p99) == pytest.approx(itl, abs=1e-7)


@pytest.mark.parametrize(("name", "logged"), [("aiperf", 8), ("guidellm", 8), ("evalscope", 9)])
def test_requests_are_found_in_the_servers_log(name, logged):
    """Each is named as the server named it; evalscope's try of the connection is not among them."""
    log = stamps.read(RECORDED / name / "server.bin")
    ids = TOOLS[name].read(RECORDED / name).ids
    assert len(log) == logged
    assert len(ids) == 8
    assert ids <= log.keys()
    assert truth(log[one] for one in ids).requests == 8


def test_inference_perf_names_no_requests():
    """Then the truth is of all that the server logged."""
    assert TOOLS["inference-perf"].read(RECORDED / "inference-perf").ids is None


def test_a_missing_file_is_said(tmp_path):
    """By name, in one line."""
    with pytest.raises(BenchError, match=r"it left no report\.json"):
        TOOLS["guidellm"].read(tmp_path)


def test_a_broken_file_is_said(tmp_path):
    """A report that breaks off is no report of zeros."""
    (tmp_path / "summary_lifecycle_metrics.json").write_text('{"successes": {"count"')
    with pytest.raises(BenchError, match=r"its summary_lifecycle_metrics\.json is not JSON"):
        TOOLS["inference-perf"].read(tmp_path)


def test_another_unit_is_refused(tmp_path):
    """The report names its units; seconds are not taken for milliseconds."""
    shutil.copytree(RECORDED / "aiperf", tmp_path / "aiperf")
    path = tmp_path / "aiperf" / "profile_export_aiperf.json"
    report = json.loads(path.read_text())
    report["time_to_first_token"]["unit"] = "sec"
    path.write_text(json.dumps(report))
    with pytest.raises(BenchError, match="aiperf's report is in sec and ms, not ms"):
        TOOLS["aiperf"].read(tmp_path)


def test_a_report_of_another_shape_is_said(tmp_path):
    """A field that a new version renamed ends that tool's run in one line, not the bench."""
    (tmp_path / "summary_lifecycle_metrics.json").write_text('{"successes": {"count": 3}}')
    with pytest.raises(
        BenchError, match="its output is not as this version's should be: KeyError: 'latency'"
    ):
        peers_run._said(TOOLS["inference-perf"], tmp_path)


# ---- the arithmetic ----


def request(name, start_ms, *times_ms, asked=None, complete=True):
    """A request as the server logs it."""
    times = array("q", [round(at * MS) for at in times_ms])
    return Stamps(name, asked or len(times), round(start_ms * MS), times, 0, complete)


def log_of(*requests):
    """A server's log."""
    return {one.id: one for one in requests}


PROBE = request("probe", 0, 100, 110)
A = request("a", 1000, 1300, 1320, 1350)
B = request("b", 1100, 1402, 1420, 1442)
C = request("c", 1400, 1701, 1711, asked=3, complete=False)
LOG = log_of(PROBE, A, B, C)


def used(cpu=((0, 0.0), (2_000_000_000, 2.0)), memory=((0, 10.0),), **more):
    """What a run took; one core's worth of CPU unless told."""
    whole = {"processes": 3, "whole_cpu_s": 4.0, "server_cpu": ((0, 0.0), (2_000_000_000, 0.5))}
    return Used(cpu=cpu, memory=memory, **whole | {"others_percent": 1.0, "wall_s": 9.0} | more)


def said(requests=2, ids=frozenset({"a", "b"}), itl_of="gaps"):
    """What a tool made of it."""
    return Said(requests, Quantiles(302.0, 310.0), Quantiles(20.0, 31.0), itl_of, ids)


def test_truth_is_of_whole_requests():
    """TTFT from read to first send, all gaps together, one mean a request; what broke off is left out."""
    true = truth([A, B, C])
    assert true.requests == 2
    assert true.ttft.p50 == pytest.approx(301.0)  # 300 and 302
    assert true.ttft.p99 == pytest.approx(301.98)
    assert true.gaps.p50 == pytest.approx(21.0)  # 20, 30, 18, 22
    assert true.means.p50 == pytest.approx(22.5)  # 25 and 20


def test_truth_of_nothing_is_refused():
    """No figure is made of no request."""
    with pytest.raises(ValueError, match="none of its requests is in the server's log"):
        truth([C])


def test_traffic_begins_where_requests_overlap():
    """A try of the connection is not load; a broken request is no request, but its events were sent."""
    load = traffic(LOG.values())
    assert (load.begin_ns, load.end_ns) == (1000 * MS, 1711 * MS)
    assert (load.requests, load.events) == (2, 8)
    assert load.seconds == pytest.approx(0.711)


def test_one_request_at_a_time_is_no_load():
    """A tool that never had two in flight did not do what it was asked."""
    with pytest.raises(ValueError, match="no two requests at a time"):
        traffic([PROBE, A])


def test_figures_of_a_run():
    """Rates and CPU of the traffic, the peak within it, and bias = said - true."""
    memory = ((500 * MS, 900.0), (1100 * MS, 50.0), (1500 * MS, 70.0), (1900 * MS, 800.0))
    figures = judge(LOG, said(), used(memory=memory))
    assert figures.requests_per_s == pytest.approx(2 / 0.711)
    assert figures.events_per_s == pytest.approx(8 / 0.711)
    assert figures.cpu == pytest.approx(0.711 / 8 * 1e3)
    assert figures.cpu_whole == pytest.approx(4.0 / 8 * 1e3)
    assert (figures.memory, figures.memory_whole) == (70.0, 900.0)
    assert figures.server_percent == pytest.approx(25.0)
    assert figures.ttft_bias_p50 == pytest.approx(302.0 - 301.0)
    assert figures.ttft_bias_p99 == pytest.approx(310.0 - 301.98)
    assert figures.itl_bias_p50 == pytest.approx(20.0 - 21.0)
    assert figures.unmatched == 0


def test_means_are_held_against_means():
    """A tool that reports one mean a request is not blamed for the spread of gaps."""
    figures = judge(LOG, said(itl_of="means"), used())
    assert figures.true_itl_p50 == pytest.approx(22.5)


def test_without_names_all_requests_are_the_truth():
    """The try of the connection included: it was answered on the same schedule."""
    figures = judge(LOG, said(requests=3, ids=None), used())
    assert figures.unmatched == 0
    assert figures.true_ttft_p50 == pytest.approx(300.0)  # 100, 300, 302


def test_unmatched_requests_are_counted():
    """What a tool reports on and the server did not answer whole stands beside its figures."""
    assert judge(LOG, said(requests=4, ids=frozenset({"a", "b", "c", "x"})), used()).unmatched == 2


def test_cpu_is_taken_between_samples():
    """By straight line: start-up before the first request is not charged to the traffic."""
    cpu = ((0, 0.0), (900 * MS, 9.0), (1100 * MS, 9.2), (1611 * MS, 9.711), (1811 * MS, 10.111))
    assert judge(LOG, said(), used(cpu=cpu)).cpu == pytest.approx((9.911 - 9.1) / 8 * 1e3)


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_the_clocks_origin_is_of_no_matter(shift_ns):
    """The same run at another time has the same figures."""
    moved = {
        name: Stamps(name, one.asked, one.start_ns + shift_ns, array("q", [at + shift_ns for at in one.times]), 0, one.complete)
        for name, one in LOG.items()
    }  # fmt: skip
    cpu, server = (
        tuple((at + shift_ns, value) for at, value in series) for series in (used().cpu, used().server_cpu)
    )
    there, here = judge(moved, said(), used(cpu=cpu, server_cpu=server)), judge(LOG, said(), used())
    for name in peers_figures.Figures.__slots__:
        assert getattr(there, name) == pytest.approx(getattr(here, name), abs=1e-6), name


def figures(**more):
    """A run's figures with some of them set."""
    base = judge(LOG, said(), used())
    return peers_figures.Figures(**{name: getattr(base, name) for name in type(base).__slots__} | more)


def test_rounds_are_merged_by_their_middle():
    """Field by field; of others' CPU and unmatched requests the worst round counts."""
    rounds = [
        figures(cpu=cpu, others_percent=others, unmatched=0) for cpu, others in ((3, 1), (1, 40), (2, 2))
    ]
    merged = median([*rounds[:2], figures(cpu=2, others_percent=2, unmatched=5)])
    assert (merged.cpu, merged.others_percent, merged.unmatched) == (2, 40, 5)


# ---- tables and targets ----

LOAD = Load("200x50", 200, 100, 20_000, 300_000, 20, spread_s=0.0, seconds=20.0)
OURS = figures(cpu=0.02, ttft_bias_p50=0.05, memory=60.0)
ROWS = {
    "tokenswarm": (OURS, "gaps"),
    "aiperf": (figures(cpu=0.21, ttft_bias_p50=-90.0, memory=400.0), "gaps"),
    "guidellm": "FAILED: not installed: no network",
    "evalscope": (figures(cpu=0.07, ttft_bias_p50=150.0, memory=299.0), "gaps"),
    "inference-perf": (figures(cpu=0.1, ttft_bias_p50=2.0, memory=330.0), "gaps"),
}


def test_targets_say_met_not_met_and_not_measured():
    """Each peer's CPU against ours, the best peer's bias, the leanest peer's memory."""
    found = [(target.value, target.met) for target in peers_table.targets(ROWS)]
    assert found == [
        ("10.5 x (0.2100 against 0.0200 s per 1,000)", True),
        (peers_table.DASH, None),
        ("5.0 x (0.1000 against 0.0200 s per 1,000)", True),
        ("3.5 x (0.0700 against 0.0200 s per 1,000)", False),
        ("40.0 x (+0.050 ms against inference-perf's 2.000)", True),
        ("5.0 x (60 MB against evalscope's 299)", False),
    ]


def test_targets_without_ours_are_not_measured():
    """A ratio to nothing is no ratio."""
    rows = {**ROWS, "tokenswarm": "FAILED: exit code 1"}
    assert {target.met for target in peers_table.targets(rows)} == {None}


def test_the_tables_have_a_row_for_all():
    """Ratios to ours; who failed is there with the reason."""
    cost, claims = peers_table.tables(ROWS, LOAD).split("\n\n")
    row = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in cost.splitlines()
    }
    assert row["guidellm"][0] == "FAILED: not installed: no network"
    assert row["aiperf"][:5] == ["2.8", "3 %", "11", "0.2100", "10.5"]
    assert row["evalscope"][6:8] == ["299", "5.0"]
    assert "302.00 / 301.00 / +0.050" in claims
    assert "302.00 / 301.00 / -90.0" in claims


def test_the_page_holds_what_a_reader_needs():
    """Method with its numbers, the facts, the targets, each command."""
    facts = {"CPU": "Some CPU", "command": "`bench/peers.py --rounds 3`"}
    text = peers_table.page(
        ROWS, LOAD, facts=facts, commands={"aiperf": "aiperf profile"}, requests=1800, rounds=3
    )
    assert "# tokenswarm and its peers, 200 streams x 50 events/s" in text
    assert "- CPU: Some CPU" in text
    assert "1,800 requests of 100 prompt tokens" in " ".join(text.split())
    assert "takes 2.28 s" in text
    assert "87.7 requests/s" in text
    assert "median of 3 rounds" in " ".join(text.split())
    assert "aiperf:\n\n```\naiperf profile\n```" in text


# ---- what a run costs ----

BURN = "import time; end = time.process_time() + 0.8\nwhile time.process_time() < end: pass"


@linux
def test_a_tree_is_all_that_a_command_starts():
    """A grandchild in a session of its own counts, and keeps its share when it has ended."""
    child = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {BURN!r}], start_new_session=True); time.sleep(0.5)"
    process = subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    tree = peers_tree.Tree(process.pid)
    while process.poll() is None:
        tree.sample()
        time.sleep(0.02)
    assert tree.most == 2
    assert 0.6 <= tree.cpu[-1][1] < 2
    assert [value for _, value in tree.cpu] == sorted(value for _, value in tree.cpu)
    # The first reading may fall before the interpreter is loaded.
    assert max(weighed for _, weighed in tree.memory) > 1


@linux
def test_killing_a_tree_leaves_nothing():
    """Not even one whose parent has gone and that began a session of its own, once it was seen."""
    child = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid, flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", child], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    orphan = int(process.stdout.readline())
    tree = peers_tree.Tree(process.pid)
    tree.look()
    process.kill()
    process.wait()
    process.stdout.close()
    tree.kill()
    stat = peers_tree.stat_of(orphan)
    assert stat is None or stat.ended


@linux
def test_memory_is_shared_out():
    """A process of ours has some, one that is gone has none."""
    assert 5 < peers_tree.pss_mb(os.getpid()) < 4000
    done = subprocess.Popen(["true"])
    done.wait()
    assert peers_tree.pss_mb(done.pid) is None
    assert peers_tree.cpu_of(done.pid) == 0.0


# ---- installing ----


@pytest.mark.parametrize(
    ("name", "number"),
    [("aiperf", "0.13.0"), ("guidellm", "0.8.1"), ("evalscope", "1.14.1"), ("inference-perf", "0.7.0")],
)
def test_lists_pin_everything(name, number):
    """The tool and every package of its tree to one version each."""
    assert peers_install.version(name) == number
    lines = (peers_install.LISTS / f"{name}.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 50
    assert all(line.count("==") == 1 for line in pins)
    assert len({line.partition("==")[0] for line in pins}) == len(pins)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("Collecting x\nERROR: No matching distribution found for x==1\n", "No matching distribution found for x==1"),
        ("  error: subprocess-exited\n  \u00d7 Getting requirements failed.\n  note: not pip\n", "Getting requirements failed."),
        ("one\ntwo\n", "two"),
        ("", "pip said nothing"),
    ],
)  # fmt: skip
def test_pips_reason_is_one_line(output, reason):
    """Its own headline, not its last note."""
    assert peers_install.why_pip_failed(output) == reason


def test_an_environment_is_made_once(tmp_path, monkeypatch, capsys):
    """What is there as the list says is left alone."""
    monkeypatch.setattr(peers_install, "ENVIRONMENTS", tmp_path)
    (tmp_path / "aiperf").mkdir()
    shutil.copy(peers_install.LISTS / "aiperf.txt", tmp_path / "aiperf" / "installed.txt")
    assert peers_install.install("aiperf") == tmp_path / "aiperf"
    assert capsys.readouterr().out == ""


def test_what_cannot_be_installed_is_an_answer(tmp_path, monkeypatch):
    """The reason that pip gives, and where all of it is; the old environment is gone."""
    monkeypatch.setattr(peers_install, "ENVIRONMENTS", tmp_path / "built")
    monkeypatch.setattr(peers_install, "LISTS", tmp_path)
    (tmp_path / "aiperf.txt").write_text("aiperf==not a version\n")
    outcome = peers_install.install("aiperf")
    assert isinstance(outcome, peers_install.Failed)
    assert outcome.reason.startswith("not installed: Invalid requirement: 'aiperf==not a version'")
    assert (tmp_path / "built" / "aiperf.log").is_file()
    assert not (tmp_path / "built" / "aiperf" / "installed.txt").exists()


# ---- what the tools are told ----

JOB = Job("http://127.0.0.1:9", 200, 1800, 100, Path("/tokenizer"), Path("/out"))


@pytest.mark.parametrize("name", TOOLS)
def test_all_are_told_the_same_load(name):
    """Streams, requests and sizes, each in the tool's words."""
    tool = TOOLS[name]
    text = " ".join(tool.command(JOB)) + (tool.config(JOB) if tool.config else "")
    assert text.count("200") == 1
    assert "1800" in text
    assert "100" in text
    assert "http://127.0.0.1:9" in text
    assert "/out" in text


def test_nothing_of_ours_is_in_the_surroundings(monkeypatch, tmp_path):
    """Settings of tokenswarm, Locust and Python in this shell change no tool's run; no hub is asked."""
    monkeypatch.setenv("TOKENSWARM_LEVELS", "7")
    monkeypatch.setenv("LOCUST_USERS", "7")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = peers_tools.surroundings(tmp_path)
    assert not {"TOKENSWARM_LEVELS", "LOCUST_USERS", "PYTHONPATH"} & found.keys()
    assert (found["HF_HUB_OFFLINE"], found["HF_HOME"]) == ("1", str(tmp_path))


TINY = peers_tokenizer.trained()


@given(st.lists(st.integers(min_value=2, max_value=TINY.get_vocab_size() - 1)))
def test_any_tokens_come_back_the_same(ids):
    """inference-perf makes its prompts of random tokens and reads them again until their number is right."""
    assert TINY.encode(TINY.decode(ids)).ids == ids


def test_the_servers_answers_are_one_token_a_word(tmp_path):
    """In the folder that transformers reads and the hub's cache names."""
    folder = peers_tokenizer.write(tmp_path)
    assert TINY.encode(" the" * 100).ids == [2] * 100
    assert (folder.parent.parent / "refs" / "main").read_text() == folder.name
    assert folder.parent.parent.name == "models--tokenswarm--tiny"


# ---- real runs ----


@pytest.fixture
def bench(tmp_path):
    """Four streams of two answers each."""
    build_c()
    load = Load("tiny", 4, 20, 10_000, 50_000, 20, spread_s=0.0, seconds=1.0)
    folder = tmp_path / "runs"
    return peers_run.Bench(load, 8, tmp_path, peers_tools.surroundings(tmp_path), folder)


@compiler
def test_tokenswarm_is_measured_as_it_is(bench):
    """A real headless Locust run: its own figures, for the same requests in the server's log."""
    figures, own = peers_run.measure(bench, TOOLS["tokenswarm"], "tokenswarm")
    assert (own.requests, len(own.ids), own.itl_of) == (8, 8, "gaps")
    assert (figures.served, figures.unmatched) == (8, 0)
    assert figures.events_per_s * 8 / figures.requests_per_s == pytest.approx(8 * 20)
    assert figures.true_ttft_p50 == pytest.approx(50, abs=5)
    assert 0 < figures.ttft_bias_p50 < 10
    assert figures.processes >= 1
    assert 0 < figures.cpu < figures.cpu_whole
    assert figures.memory_whole > 30


@compiler
def test_a_tool_that_fails_says_why(bench):
    """Its exit code and its last words."""
    tool = Tool(
        "x", lambda _: ["sh", "-c", "echo 'no such model: truth'; echo ...; exit 7"], TOOLS["aiperf"].read
    )
    with pytest.raises(BenchError, match=r"^exit code 7; its last words: no such model: truth$"):
        peers_run.measure(bench, tool, "x")


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (
            "starting\nValueError: no model\n  0  100  200 Aggregated\n",
            "its last words: ValueError: no model",
        ),
        ("tokenswarm: error: no host\nbye\n", "its last words: tokenswarm: error: no host"),
        ("starting\n=====\n", "its last words: starting"),
        ("\n\n", "it printed nothing"),
    ],
)
def test_a_tools_last_error_counts(printed, words, tmp_path):
    """Not the table that it prints after it."""
    (tmp_path / "tool.txt").write_text(printed)
    assert peers_run._last_words(tmp_path) == words


@compiler
def test_a_tool_that_hangs_is_ended(bench, monkeypatch):
    """At its deadline, with all its children."""
    monkeypatch.setattr(peers_run, "STARTUP_S", 0.5)
    monkeypatch.setattr(peers_run, "SLOWDOWN", 0)
    tool = Tool(
        "x", lambda job: ["sh", "-c", f"sleep 77 & echo $! > {job.folder}/pid; wait"], TOOLS["aiperf"].read
    )
    with pytest.raises(BenchError, match="it did not end in 0 s; it printed nothing"):
        peers_run.measure(bench, tool, "x")
    child = peers_tree.stat_of(int((bench.folder / "x" / "out" / "pid").read_text()))
    assert child is None or child.ended


@compiler
def test_one_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    """Its row says why; with nothing measured the exit code is 1 and no results are written."""
    build_c()
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path)
    for name in ("one", "two"):
        command = ["sh", "-c", f"echo {name} is broken; exit 3"]
        monkeypatch.setitem(
            peers_tools.TOOLS, name, Tool(name, lambda _, it=command: it, TOOLS["aiperf"].read, peer=False)
        )
    out = tmp_path / "results.md"
    assert peers.main(["--tools", "one,two", "--rounds", "1", "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "FAILED: round 1: exit code 3; its last words: one is broken" in said
    assert "FAILED: round 1: exit code 3; its last words: two is broken" in said
    assert not out.exists()


# ---- the command line ----


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--tools", "aiperf,k6"],
            "--tools 'aiperf,k6': k6 is not one of tokenswarm, aiperf, guidellm, evalscope",
        ),
        (["--tools", ","], "--tools ',': nothing is not one of"),
        (["--rounds", "0"], "--rounds 0: give 1 or more"),
        (["--seconds", "0.5"], "--seconds 0.5: give 1 to 3600"),
        (["--out", "/nowhere/at/all.md"], "--out /nowhere/at/all.md: there is no folder /nowhere/at"),
    ],
)
def test_options_are_checked(arguments, complaint, capsys):
    """In one line that names the option, before anything is installed; exit code 2."""
    with pytest.raises(SystemExit) as caught:
        peers.main(arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_help_shows_examples(capsys):
    """What it is, and lines to copy."""
    with pytest.raises(SystemExit):
        peers.main(["--help"])
    text = capsys.readouterr().out
    assert "make bench-peers" in text
    assert "--tools tokenswarm,inference-perf --rounds 1" in text


def test_requests_are_whole_waves():
    """Nine waves of 2.28 s fit 20 seconds; two are the least."""
    options = peers._parsed(["--seconds", "20"])
    assert options.requests == 1800
    assert peers._parsed(["--seconds", "1"]).requests == 400
