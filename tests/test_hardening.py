"""A master goes on listening, whatever comes to its port, and until its workers go."""

import subprocess
import sys

# In a process of its own: Locust patches whichever imports it.
SCRIPT = """
from locust import __version__
from locust.env import Environment
import gevent, msgpack, zmq.green as zmq
from harness.distributed.hardening import harden

runner = Environment().create_master_runner("127.0.0.1", 0)
harden(runner)
socket = zmq.Context().socket(zmq.DEALER)
socket.setsockopt(zmq.IDENTITY, b"peer_1")
socket.connect(f"tcp://127.0.0.1:{runner.server.port}")
garbage = [b"", b"\\xc1", b"\\xff\\xfe", msgpack.dumps(3), msgpack.dumps(()), msgpack.dumps({"a": 1})]
shapes = [("exception", None, "x"), ("stats", 3, "x"), ("heartbeat", None, "peer_1"), (None, None, None), ("logs", 1, 2)]
for message in [*garbage, *map(msgpack.dumps, shapes)]:
    socket.send(message)
socket.send(msgpack.dumps(("client_ready", __version__, "peer_1")))
socket.send(msgpack.dumps(("heartbeat", None, "peer_1")))
socket.send(msgpack.dumps(("client_ready", __version__, "peer_1")))
with gevent.Timeout(10):
    while "peer_1" not in runner.clients:
        gevent.sleep(0.01)
    assert msgpack.loads(socket.recv())[0] == "ack"
    assert msgpack.loads(socket.recv())[0] == "ack"
print("still listening")
"""


def test_a_master_hears_a_worker_after_any_garbage() -> None:
    """Bytes that are no message, messages of no shape, and Locust's own kinds with nothing in them; said, but not for ever."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "still listening\n", done.stderr
    said = [line for line in done.stderr.splitlines() if "passed over" in line]
    assert len(said) == 3, done.stderr


LEAVING: str = """
from locust import __version__
from locust.env import Environment
from locust import runners
import gevent, msgpack, sys, time, zmq.green as zmq
from harness.distributed.hardening import harden

runners.HEARTBEAT_LIVENESS = 30  # nobody counts as missing
slow_s, silent = float(sys.argv[1]), sys.argv[2] == "silent"
runner = Environment().create_master_runner("127.0.0.1", 0)
harden(runner)

def peer(name):
    socket = zmq.Context().socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, name.encode())
    socket.connect(f"tcp://127.0.0.1:{runner.server.port}")
    socket.send(msgpack.dumps(("client_ready", __version__, name)))
    while True:
        kind = msgpack.loads(socket.recv())[0]
        if kind == "quit":
            break
    if name == "slow" and not silent:
        gevent.sleep(slow_s)
        socket.send(msgpack.dumps(("exception", {"msg": "last words", "traceback": ""}, name)))
    if not (name == "slow" and silent):
        socket.send(msgpack.dumps(("quit", None, name)))
    gevent.sleep(60)

for name in ("quick", "slow"):
    gevent.spawn(peer, name)
with gevent.Timeout(10):
    while len(runner.clients) < 2:
        gevent.sleep(0.01)
begun = time.monotonic()
for _ in range(3):  # as Locust does, of itself, when it goes
    runner.quit()
took_s = time.monotonic() - begun
print(round(took_s, 1), [one["msg"] for one in runner.exceptions.values()], [one.id for one in runner.clients.all])
"""


def test_a_master_stays_until_its_workers_have_said_goodbye() -> None:
    """All that a slow one still has to say is heard; there is no waiting for what has gone, however often it is told."""
    took, *said = _left("1.2", "speaks").split(" ", 1)
    assert 1.2 <= float(took) < 3
    assert said == ["['last words'] []\n"]


def test_a_worker_that_hangs_keeps_the_master_for_seconds() -> None:
    """And no longer, however often it is told."""
    took, *said = _left("0", "silent").split(" ", 1)
    assert 5 <= float(took) < 7
    assert said == ["[] ['slow']\n"]


def _left(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
