"""Locust's master listens to everyone who reaches its port, and one message it cannot take ends its listening for good.

Then all workers count as missing. Here such a message is passed over, with a line, and the next is heard.
"""

from typing import Any

from locust.exception import RPCReceiveError
from locust.runners import MasterRunner

from harness.grid import clean
from harness.say import say

__all__ = ["harden"]

SAID: int = 3  # lines about such messages; a peer may send thousands


def harden(runner: MasterRunner) -> None:
    """Keep this master listening, whatever comes."""
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
    server.recv_from_client = received
