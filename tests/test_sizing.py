"""`tokenswarm plan`: the numbers, the hosts, the command lines, what it warns of; a worker's limit is given here, not measured."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import layout, sizing
from harness.errors import ConfigError
from harness.layout import Host, Layout, Load, commands, lay_out
from harness.selftest import capacity
from harness.selftest.capacity import Limit

# 80 % of it are 40,000 tokens/s.
LIMIT = Limit(
    streams=1000,
    tokens_per_stream=50.0,
    at_least=False,
    events_per_s=42_500.0,
    ttft_error_p99_ms=0.4,
    stamp_source="kernel",
    cpu_percent=90.0,
    own_cores=True,
    date="2026-11-21T06:38:50+00:00",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own, with a selftest over http in it."""
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "cache"))
    capacity.store(LIMIT, tls=False)
    return tmp_path / "cache"


def of(streams: int, rate: float, *, cores: int = 8, spare: int | None = None, **more: Any) -> Layout:
    """A layout for hosts of eight cores."""
    return lay_out(Load(streams=streams, rate=rate, **more), cores=cores, spare=spare)


def run(*words: str) -> int:
    """The command, as `tokenswarm plan` runs it."""
    parser = argparse.ArgumentParser(prog="tokenswarm")
    sizing.add_parser(parser.add_subparsers())
    args = parser.parse_args(["plan", *words])
    code: int = args.run(args)
    return code


@pytest.mark.parametrize(
    ("streams", "rate", "workers", "each"),
    [
        (1, 50, 1, 1),
        (800, 50, 1, 800),  # exactly 80 %
        (801, 50, 2, 401),
        (4000, 10, 1, 4000),
        (2000, 50, 3, 667),
        (10_000, 50, 13, 770),
    ],
)
def test_workers(streams: int, rate: float, workers: int, each: int) -> None:
    """As many as keep each at 80 % of what one was seen to hold, in tokens/s."""
    found = of(streams, rate)
    assert (found.workers, found.streams_each) == (workers, each)


def test_short_answers_cost_more_an_event() -> None:
    """A request counts as 16 events, of which a selftest's answers of 80 tokens have paid 10."""
    assert of(2000, 50, output_tokens=150).workers == 3
    # 2.5 events; a request for every ten tokens: (1 + 16/10) / (1 + 10/80) = 2.31 times the cost.
    assert of(2000, 50, output_tokens=10).workers == 6
    assert of(800, 50, output_tokens=128).workers == 1


def test_slow_streams_are_bounded_by_open_files() -> None:
    """Locust raises its limit of open files to 10,000: nobody gets more than 9,000 streams."""
    found = of(90_000, 1.0)
    assert (found.workers, found.by_files, found.streams_each) == (10, True, 9000)
    assert not of(2000, 50).by_files


def test_memory_and_network() -> None:
    """Computed by hand from the constants that were measured."""
    found = of(1000, 40, prompt_tokens=500, output_tokens=200)
    assert found.workers == 1
    assert found.worker_mb == pytest.approx(190 + 1000 * (0.004 + 0.0004 * 200))  # 274
    assert of(1600, 50).worker_mb == pytest.approx(95 + 800 * (0.004 + 0.0004 * 150))  # with a master beside
    assert found.load.events_per_s == 40_000
    assert found.load.requests_per_s == 200
    assert found.down_mbit == pytest.approx(40_000 * (250 + 78) * 8 / 1e6)  # 105
    assert found.up_mbit == pytest.approx((40_000 * 78 + 200 * (500 * 5 + 600)) * 8 / 1e6)  # 30
    secret = of(1000, 40, tls=True, prompt_tokens=500, output_tokens=200)
    assert secret.down_mbit == pytest.approx(40_000 * (250 + 78 + 22) * 8 / 1e6)


def test_one_worker_needs_no_master() -> None:
    """A local run: one process, one core, on one host."""
    found = of(100, 50)
    assert (found.master, found.master_percent, found.hosts) == (False, None, (Host(1, 1),))
    assert commands(found) == [
        (
            "here",
            (
                "locust -f locustfiles/openai.py --host http://SERVER:8000 --headless --levels 100 "
                "--prompt-tokens 550 --output-tokens 150"
            ),
        )
    ]


def test_one_host() -> None:
    """Six workers, a master and a spare core: eight."""
    found = of(4800, 50)
    assert (found.workers, found.hosts) == (6, (Host(1, 6, master=True),))
    assert found.master_percent == pytest.approx(6 * layout.MASTER_PERCENT)
    [(where, line)] = commands(found)
    assert where == "here"
    assert line.endswith(" --processes 6")
    assert "--master" not in line  # Locust refuses both


def test_more_hosts() -> None:
    """One core of each stays free, the first has the master besides; the rest is spread evenly."""
    found = of(16_000, 50)
    assert found.workers == 20
    assert found.hosts == (Host(1, 6, master=True), Host(2, 7))
    lines = commands(found)
    assert [where for where, _ in lines] == ["first host", "first host too", "hosts 2 to 3, each"]
    assert lines[0][1].endswith("--master --expect-workers 20")
    assert lines[1][1] == "locust -f locustfiles/openai.py --worker --processes 6"
    assert lines[2][1] == "locust -f locustfiles/openai.py --worker --master-host FIRST_HOST --processes 7"


def test_small_hosts() -> None:
    """With two cores the first host has the master alone; uneven numbers make two kinds of hosts."""
    assert of(1600, 50, cores=2).hosts == (Host(1, 0, master=True), Host(2, 1))
    assert [where for where, _ in commands(of(1600, 50, cores=2))] == ["first host", "hosts 2 to 3, each"]
    assert of(8000, 50, cores=5).hosts == (Host(1, 3, master=True), Host(1, 4), Host(1, 3))
    assert of(1600, 50, cores=1).hosts == (Host(1, 0, master=True), Host(2, 1))  # nothing can be spared
    assert of(4000, 50, cores=8, spare=4).hosts == (Host(1, 3, master=True), Host(1, 2))


@given(st.integers(2, 5000), st.integers(1, 64))
def test_hosts_have_room_for_all(workers: int, room: int) -> None:
    """Every worker has a core, the master too, no host more than it has, and none could be left out."""
    hosts = layout._hosts(workers, room)
    assert sum(host.count * host.workers for host in hosts) == workers
    assert all(host.workers + host.master <= room and host.count for host in hosts)
    assert [host.master for host in hosts] == [True] + [False] * (len(hosts) - 1)
    assert sum(host.count for host in hosts) == -(-(workers + 1) // room)
    spread = [host.workers for host in hosts if not host.master]
    assert not spread or max(spread) - min(spread) <= 1


@given(st.integers(1, 10**8), st.floats(1e-3, 1e5), st.floats(1, 1e7))
def test_each_worker_has_what_it_can_do(streams: int, rate: float, output_tokens: float) -> None:
    """Never more than 80 % of the limit, never more streams than files."""
    found = of(streams, rate, output_tokens=output_tokens)
    assert streams * rate / found.workers <= 40_000 * 1.0001
    assert found.streams_each <= layout.OPEN_FILES
    assert found.streams_each * found.workers >= streams


def test_without_a_selftest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """300 x 50 a worker, and the plan says that this is a guess and what to run where."""
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "nothing"))
    found = of(2400, 50)
    assert (found.workers, found.limit) == (10, None)
    assert list(found.notes()) == [
        (
            "no selftest of this machine is known, so this rests on 300 streams x 50 tok/s a worker, several times less "
            "than most hold. Run `tokenswarm selftest` on the machine that will be the worker, then plan there"
        )
    ]


def test_notes() -> None:
    """A selftest over the other scheme, a shared core, too many for a master, for a host's ports, for its link."""
    assert list(of(100, 50).notes()) == []
    assert list(of(100, 50, tls=True).notes()) == [
        "the selftest was made over http, the plan is for https: run `tokenswarm selftest --tls`"
    ]
    capacity.store(replace(LIMIT, own_cores=False), tls=False)
    assert list(of(100, 50).notes()) == [
        "the selftest's worker shared a core with its server: with a core of its own it holds more"
    ]
    capacity.store(LIMIT, tls=False)
    most = int(80 / layout.MASTER_PERCENT)
    [said] = of(800 * (most + 1), 50, cores=4).notes()
    assert said.startswith(f"{most + 1} workers are more than one master serves")
    assert said.endswith(f"split the load into runs of at most {most} workers, each with its master")
    [said] = of(45_000, 1.0, cores=64).notes()
    assert said.startswith("45,000 streams from one host to one address are more than Linux has ports for")
    [said] = of(6400, 50, cores=16).notes()
    assert said == "about 840 Mbit/s come to one host: a link of 1 Gbit/s does not carry that"


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What a person reads, line by line."""
    assert run("--streams", "4800", "--rate", "50", "--cores-per-host", "8") == 0
    assert capsys.readouterr().out.splitlines() == [
        "4,800 streams x 50 tok/s: at most 240,000 events/s, 1,600 requests/s (of 550 + 150 tokens)",
        "",
        "  workers    6, a core each (one was seen to hold 1,000 streams x 50 tok/s; each gets at most 80% of that)",
        "  each       800 streams, 40,000 events/s, about 146 MB of memory",
        "  master     1 core, of which it takes about 1 %",
        "  kept free  1 core a host for the system, or a simulator beside it",
        "  network    about 630 Mbit/s from the server, 193 to it",
        "  hosts      1 of 8 cores",
        "",
        "here:",
        (
            "  locust -f locustfiles/openai.py --host http://SERVER:8000 --headless --levels 4800 --prompt-tokens 550 "
            "--output-tokens 150 --processes 6"
        ),
    ]


def test_text_of_several_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the port and the key are needed is said; notes come last."""
    assert run("--streams", "1600", "--rate", "50", "--cores-per-host", "2", "--tls") == 0
    shown = capsys.readouterr().out
    assert "  hosts      3 of 2 cores\n" in shown
    assert (
        "\nHosts reach the first one on port 5557; each needs the API key in its own environment.\n" in shown
    )
    assert shown.splitlines()[0].startswith("1,600 streams x 50 tok/s over TLS: at most 80,000 events/s")
    assert shown.splitlines()[-1].startswith("note: the selftest was made over http")
    assert "--host https://SERVER --headless" in shown


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same numbers for programs."""
    assert run("--streams", "16000", "--rate", "50", "--cores-per-host", "8", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["events_per_s"], found["workers"], found["streams_per_worker"]) == (800_000, 20, 800)
    assert (found["master"], found["share_of_limit"], found["spare_cores_per_host"]) == (True, 0.8, 1)
    assert found["network_mbit_per_s"]["from_server"] == pytest.approx(800_000 * 328 * 8 / 1e6)
    assert found["notes"] == []
    assert found["hosts"] == [
        {"count": 1, "workers": 6, "master": True},
        {"count": 2, "workers": 7, "master": False},
    ]
    assert found["selftest"]["streams"] == 1000
    assert [each["where"] for each in found["commands"]] == [
        "first host",
        "first host too",
        "hosts 2 to 3, each",
    ]
    assert run("--streams", "1", "--rate", "50", "--json") == 0
    assert json.loads(capsys.readouterr().out)["master_cpu_percent"] is None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--rate", "50"), "--streams is missing: give a number from 1 to 100,000,000"),
        (("--streams", "5"), "--rate is missing: give a number from 0.001 to 100,000"),
        (("--streams", "0", "--rate", "50"), "--streams 0: give a number from 1 to 100,000,000"),
        (("--streams", "-3", "--rate", "50"), "--streams -3: give a number from 1 to 100,000,000"),
        (("--streams", "many", "--rate", "50"), "--streams many: give a number from 1 to 100,000,000"),
        (("--streams", "1.5", "--rate", "50"), "--streams 1.5: give a whole number"),
        (("--streams", "1e12", "--rate", "50"), "--streams 1e12: give a number from 1 to 100,000,000"),
        (("--streams", "5", "--rate", "0"), "--rate 0: give a number from 0.001 to 100,000"),
        (("--streams", "5", "--rate", "nan"), "--rate nan: give a number from 0.001 to 100,000"),
        (("--streams", "5", "--rate", "1e9"), "--rate 1e9: give a number from 0.001 to 100,000"),
        (("--streams", "5", "--rate", "5", "--output-tokens", "0"), "--output-tokens 0: give a number from 1 to 10,000,000"),
        (("--streams", "5", "--rate", "5", "--cores-per-host", "0"), "--cores-per-host 0: give a number from 1 to 4,096"),
        (
            ("--streams", "5", "--rate", "5", "--cores-per-host", "2", "--spare-cores", "2"),
            "--spare-cores 2: a host of 2 cores has none left",
        ),
    ],
)  # fmt: skip
def test_bad_values(words: tuple[str, ...], text: str) -> None:
    """One line that names the option and the values it may have."""
    with pytest.raises(ConfigError) as caught:
        run(*words)
    assert str(caught.value) == text


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And it says what it rests on."""
    with pytest.raises(SystemExit):
        run("--help")
    shown = capsys.readouterr().out
    assert "tokenswarm plan --streams 2000 --rate 50" in shown
    assert "`tokenswarm selftest` measured on this machine" in shown
