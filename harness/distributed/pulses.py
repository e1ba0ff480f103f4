"""What a master's workers say beside their reports.

    counted   all they have counted since the run began (`harness.live`), with Locust's statistics every few seconds
    pulse     how their last seconds were (`harness.pulse`), once a second, where somebody may look on

Kept as it came, by worker. Whoever needs it reads it, and trusts nothing of it.
"""

from collections.abc import Mapping
from typing import Any

from locust.runners import MasterRunner

from harness import orders
from harness.distributed.roster import Roster
from harness.pulse import Said

__all__ = ["Pulses"]


class Pulses:
    """Of one master; run after run."""

    def __init__(self, runner: MasterRunner, roster: Roster) -> None:
        self._roster = roster
        self._environment = runner.environment
        runner.register_message(orders.PULSE, self._on_pulse)
        runner.environment.events.worker_report.add_listener(self._on_live)

    @property
    def are_wanted(self) -> bool:
        """There is a page to look at."""
        return self._environment.web_ui is not None

    def said(self) -> list[Said]:
        """What each worker said last."""
        return [
            Said(
                name=hand.name,
                state="lost" if hand.is_lost else "" if hand.report is None else hand.report.state,
                users=hand.users,
                in_flight=0 if hand.report is None or hand.is_lost else hand.report.in_flight,
                live=hand.live,
                pulse=hand.pulse,
                is_present=hand.is_present,
            )
            for hand in self._roster.hands.values()
        ]

    def _on_pulse(self, msg: Any, **_: object) -> None:  # noqa: ANN401  Locust's message
        if hand := self._roster.hands.get(msg.node_id):
            hand.pulse = msg.data

    def _on_live(self, client_id: str, data: Mapping[str, Any], **_: object) -> None:
        if (hand := self._roster.hands.get(client_id)) and isinstance(data, Mapping):
            hand.live = data.get("tokenswarm", hand.live)
