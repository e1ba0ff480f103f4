"""`tokenswarm simulate` on the command line: its options and what it says to bad ones."""

import argparse
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.simulator import Settings, add_parser, main, profile
from harness.simulator.batching import CostModel
from harness.simulator.cli import read_settings
from harness.simulator.faults import Fault, Kind, Span


def _parse(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tokenswarm")
    add_parser(parser.add_subparsers())
    return parser.parse_args(["simulate", *options])


def test_defaults():
    """Without options the settings are the documented ones, and `run` is what to call."""
    args = _parse()
    assert read_settings(args) == Settings()
    assert args.run is main


def test_every_option_arrives(monkeypatch: pytest.MonkeyPatch):
    """Each option sets its field; the key comes from the environment and is not shown."""
    monkeypatch.setenv("SIM_KEY", " k3y ")
    text = (
        "--host ::1 --port 81 --slots 2 --prefill-rate 1e3 --prefill-chunk 64 --step-base-ms 0 "
        "--step-per-seq-ms 2.5 --context 99 --model a/b --seed -3 --mean-output-tokens 7 --api-key-env SIM_KEY "
        "--speak tgi --load-seconds 2 --max-queue 0 --tokens-per-chunk 3 --gather-ms 4 --jitter 1.5 "
        "--fault reset:0.5,after=2 --fault latency:1"
    )
    settings = read_settings(_parse(*text.split()))
    assert settings == Settings(
        host="::1",
        port=81,
        model="a/b",
        context=99,
        seed=-3,
        mean_output_tokens=7,
        cost=CostModel(
            slots=2,
            prefill_tokens_per_s=1000,
            prefill_chunk=64,
            step_base_ms=0,
            step_per_seq_ms=2.5,
            gather_ms=4,
            jitter_percent=1.5,
            jitter_seed=-3,
        ),
        api_key="k3y",
        speaks="tgi",
        load_seconds=2,
        max_queue=0,
        tokens_per_chunk=3,
        faults=(Fault(Kind.RESET, 0.5, after=Span(2, 2)), Fault(Kind.LATENCY, 1.0)),
    )
    assert "k3y" not in repr(settings)


def test_a_profile_brings_what_no_option_says():
    """Dialect, model, limits and costs are the profile's; options given beside it win."""
    settings = read_settings(_parse("--profile", "tgi-fp16"))
    found = profile.load("tgi-fp16")
    assert settings == Settings(
        speaks="tgi", model=found.model, context=4000, mean_output_tokens=1e6, cost=found.cost
    )
    changed = read_settings(
        _parse(
            "--profile",
            "maritalk-1xA100-small",
            "--slots=3",
            "--model=m",
            "--speak=maritalk-2023",
            "--seed=8",
        )
    )
    assert (changed.cost.slots, changed.model, changed.speaks) == (3, "m", "maritalk-2023")
    assert (changed.cost.jitter_percent, changed.cost.jitter_seed) == (1.0, 8)
    assert changed.cost.table == profile.load("maritalk-1xA100-small").cost.table


def test_profile_list(capsys: pytest.CaptureFixture[str]):
    """One line a profile, name and title."""
    assert main(_parse("--profile", "list")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(profile.names()) == 11
    assert lines[0] == "llamacpp                llama.cpp with one slot a client (-np)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--slots 0", "--slots 0: give a whole number from 1 to 100000"),
        ("--slots many", "--slots many: give a whole number"),
        ("--port 70000", "--port 70000: give a whole number from 0 to 65535"),
        ("--prefill-rate 0", "--prefill-rate 0: give a number from 0.001 to 1e+12"),
        ("--prefill-rate nan", "--prefill-rate nan: give a number from 0.001 to 1e+12"),
        ("--step-base-ms -1", "--step-base-ms -1: give a number from 0 to 1e+07"),
        ("--mean-output-tokens x", "--mean-output-tokens x: give a number"),
        ("--context 1", "--context 1: give a whole number from 2 to 1000000000"),
        ("--model=", "--model '': give a name of printable characters"),
        ("--max-queue -1", "--max-queue -1: give a whole number from 0 to 1000000000"),
        ("--tokens-per-chunk 0", "--tokens-per-chunk 0: give a whole number from 1 to 1000000"),
        ("--jitter 101", "--jitter 101: give a number from 0 to 100"),
        (
            "--fault reset:1 --fault oops:1",
            f"--fault oops:1: no such kind; give one of {', '.join(Kind)}",
        ),
        (
            "--profile tgi-fp16 --step-base-ms 3",
            "--step-base-ms 3: --profile tgi-fp16 brings a table of costs; leave one of the two out",
        ),
        (
            "--log /no/such/folder/x",
            "--log /no/such/folder/x: No such file or directory; name a file that can be written",
        ),
        ("--host a..b", "--host a..b: not a host name; give an address of this machine"),
        (
            "--api-key-env NO_SUCH_KEY",
            "--api-key-env NO_SUCH_KEY: this environment variable is not set; put the key in it",
        ),
    ],
)
def test_bad_values(options: str, message: str, capsys: pytest.CaptureFixture[str]):
    """A bad value is one line on stderr and exit code 2."""
    assert main(_parse(*options.split())) == 2
    assert capsys.readouterr() == ("", f"tokenswarm simulate: error: {message}\n")


def test_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A taken port is one line and exit code 2, and the old log is left alone."""
    log = tmp_path / "log.jsonl"
    log.write_text("old\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(_parse("--port", str(port), "--log", str(log))) == 2
    why = "Address already in use; choose another, --port 0 takes a free one"
    assert capsys.readouterr().err == f"tokenswarm simulate: error: --host 127.0.0.1 --port {port}: {why}\n"
    assert log.read_text() == "old\n"


def test_help_shows_an_example():
    """`--help` ends with a command that can be copied."""
    parser = argparse.ArgumentParser(prog="tokenswarm")
    text = add_parser(parser.add_subparsers()).format_help()
    assert "tokenswarm simulate --port 8080 --slots 8 --log truth.jsonl" in text
    assert "requests in the batch at once; more wait (default 4)" in text


def test_module_runs_as_the_command():
    """`python -m harness.simulator` takes the same options and says one line about an unknown one."""
    command = [sys.executable, "-m", "harness.simulator", "--slotz", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tokenswarm simulate: error: unrecognized arguments: --slotz 3; see --help\n"


def test_neither_locust_nor_gevent_is_imported():
    """The ground truth must not run on what it is the truth for."""
    code = "import harness.simulator, sys; print({'gevent', 'locust'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "set()\n"
