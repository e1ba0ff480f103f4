"""A port that is taken is said in one line, before there is a process that could join somebody else's run."""

import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator

import pytest
from locust_runs import LOCUSTFILES

from harness import ports
from harness.errors import ConfigError

LOCUST = [
    sys.executable,
    "-m",
    "locust",
    "-f",
    str(LOCUSTFILES / "openai.py"),
    "--host",
    "http://127.0.0.1:9",
]
TAKEN_BY_A_MASTER = (
    "--master-bind-port {0} is in use (another master on this machine?): give this one a port of its own, and its workers "
    "the same, e.g. --master-bind-port {1} --master-port {1}"
)
TAKEN_BY_A_PAGE = (
    "--web-port {0} is in use (another Locust's page?): choose another, e.g. --web-port {1}, or run without the page: "
    "--headless"
)
PLAIN = {
    "worker": False,
    "master": False,
    "processes": None,
    "headless": True,
    "headful": False,
    "list_commands": False,
    "show_task_ratio": False,
    "show_task_ratio_json": False,
    "master_bind_host": "*",
    "master_bind_port": 5557,
    "web_host": "",
    "web_port": 8089,
}


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """Somebody listens there."""
    with socket.create_server(("", 0)) as server:
        server.settimeout(0.1)
        yield server


@pytest.fixture
def port(taken: socket.socket) -> int:
    """Where."""
    return int(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"master": True},
            TAKEN_BY_A_MASTER,
        ),
        ({"processes": 4}, "--master-bind-port {0} is in use"),
        ({"processes": -1, "master_bind_host": "127.0.0.1"}, "--master-bind-port {0} is in use"),
        (
            {"headless": False},
            TAKEN_BY_A_PAGE,
        ),
        ({"headful": True, "web_host": "127.0.0.1"}, "--web-port {0} is in use"),
        (
            {"master": True, "master_bind_port": 65536},
            "--master-bind-port 65536: give a port from 1 to 65535",
        ),
        ({"master": True, "master_bind_port": -1}, "--master-bind-port -1: give a port from 1 to 65535"),
        (
            {"master": True, "master_bind_host": "192.0.2.1"},
            "--master-bind-host '192.0.2.1': Cannot assign requested address; give an address of this machine",
        ),
        (
            {"headless": False, "web_host": "nowhere.invalid"},
            "--web-host 'nowhere.invalid': no such address; give an address of this machine",
        ),
    ],
)
def test_what_cannot_be_listened_at_is_one_line(port: int, given: dict[str, object], said: str) -> None:
    """Naming the option, the value and what would do."""
    other = port + 10 if port < 65_000 else port - 10
    with pytest.raises(ConfigError) as raised:
        ports.check(Namespace(**{**PLAIN, "master_bind_port": port, "web_port": port, **given}))
    assert str(raised.value).startswith(said.format(port, other))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"worker": True, "headless": False},
        {"worker": True, "processes": 4},
        {"headless": False, "list_commands": True},
        {"master": True, "show_task_ratio": True},
        {"headless": False, "show_task_ratio_json": True},
    ],
)
def test_who_will_not_listen_may_begin(port: int, given: dict[str, object]) -> None:
    """A headless run, workers, and what only prints."""
    ports.check(Namespace(**{**PLAIN, "master_bind_port": port, "web_port": port, **given}))


def test_a_port_that_is_free_stays_so(taken: socket.socket, port: int) -> None:
    """Looking takes nothing away, also where connections of the one before are not over yet."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = taken.accept()
        accepted.close()  # first to close: its address is kept for a minute
        taken.close()
        client.recv(1)
    for _ in range(2):
        ports.check(Namespace(**{**PLAIN, "master": True, "master_bind_port": port}))


@pytest.mark.parametrize("how", [["--master"], ["--processes", "2"]])
def test_a_second_master_ends_before_anybody_joins_the_first(
    taken: socket.socket, port: int, how: list[str]
) -> None:
    """Exit code 2, one line; nobody knocks at the other's port."""
    where = ["--master-bind-port", str(port), "--master-port", str(port)]
    done = subprocess.run(
        [*LOCUST, "--headless", *how, *where], capture_output=True, text=True, check=False, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if "INFO/locust.main" not in line]
    assert (done.returncode, len(ours)) == (2, 1), done.stderr
    assert ours[0].startswith(f"tokenswarm: error: --master-bind-port {port} is in use")
    with pytest.raises(TimeoutError):
        taken.accept()


def test_a_page_whose_port_is_taken(port: int) -> None:
    """The same; and Locust's own list of users needs no port."""
    page = ["--web-host", "127.0.0.1", "--web-port", str(port)]
    done = subprocess.run([*LOCUST, *page], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"tokenswarm: error: --web-port {port} is in use")
    assert "Traceback" not in done.stderr
    listed = subprocess.run(
        [*LOCUST, *page, "--list"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (listed.returncode, "OpenAI" in listed.stdout) == (0, True), listed.stderr
