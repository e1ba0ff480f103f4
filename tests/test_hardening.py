"""A master goes on listening, whatever comes to its port."""

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
