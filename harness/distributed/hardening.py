"""Two things in which Locust's master trusts its network more than is good.

It listens to everyone who reaches its port, and one message it cannot take ends its listening for good: then all workers
count as missing. Here such a message is passed over, with a line, and the next is heard.

It tells its workers to quit and is gone half a second later. If that packet was lost, the next heartbeat of the worker is
answered by a reset, the word is never repeated, and the worker waits a minute for a master that is no more. Here the master
stays until its workers have said that they go.
"""

from typing import Any, Final

import gevent
from locust.exception import RPCReceiveError
from locust.rpc import Message
from locust.runners import STATE_MISSING, MasterRunner

from harness.clock import now_ns
from harness.grid import clean
from harness.say import say

__all__ = ["harden", "heard"]

SAID: Final = 3  # lines about such messages; a peer may send thousands
# TCP says a lost word again after 0.2, 0.4, 0.8 ... s; a worker that hangs has no more to say.
GOODBYE_NS: Final = 5_000_000_000
_LOOK_S: Final = 0.02


def harden(runner: MasterRunner) -> None:
    """Keep this master listening, whatever comes, and until its workers go."""
    server: Any = runner.server  # neither has types that fit
    handle: Any = runner.handle_message
    receive = server.recv_from_client
    said = 0

    def note(what: str) -> None:
        nonlocal said
        said += 1
        if said <= SAID:
            say(f"a message to the master's port was passed over: {clean(what)[:200]}")

    def handled(client_id: str, message: Any) -> None:  # noqa: ANN401  Locust's
        try:
            handle(client_id, message)
        except Exception as error:  # noqa: BLE001  whatever a peer may provoke
            note(f"{message!r}: {type(error).__name__} {error}")

    def received() -> Any:  # noqa: ANN401
        try:
            return receive()
        except (ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
            note(f"{type(error).__name__} {error}")
            raise RPCReceiveError("not a message") from error

    setattr(runner, "handle_message", handled)  # noqa: B010  # of this one master
    setattr(runner, "quit", lambda: _see_off(runner))  # noqa: B010
    server.recv_from_client = received


def _see_off(runner: MasterRunner) -> None:
    """Locust's `MasterRunner.quit`, but for the time it waits. What a worker has to say comes before its goodbye."""
    runner.stop(send_stop_to_client=False)
    for client in runner.clients.all:
        runner.server.send_to_client(Message("quit", None, client.id))
    deadline_ns = now_ns() + GOODBYE_NS
    # Told again, it has no greenlets left: it listens no more, and has waited.
    while runner.greenlet and now_ns() < deadline_ns and heard(runner):
        gevent.sleep(_LOOK_S)
    runner.greenlet.kill(block=True)


def heard(runner: MasterRunner) -> list[Any]:
    """Locust's own entries of the workers that it hears."""
    return [client for client in runner.clients.all if client.state != STATE_MISSING]
