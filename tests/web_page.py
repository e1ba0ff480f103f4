"""Locust's web UI in tests, without a browser."""

from typing import Any

import requests

__all__ = ["Page"]


class Page:
    """Locust's web UI, used as a browser does."""

    url: str

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def is_up(self) -> bool:
        """It answers."""
        try:
            return requests.get(f"{self.url}/stats/requests", timeout=5).ok
        except requests.RequestException:  # or it is too busy to answer in time
            return False

    def workers(self) -> int:
        """How many are ready."""
        try:
            return sum(worker["state"] == "ready" for worker in self.stats()["workers"])
        except requests.RequestException:
            return 0

    def stats(self) -> Any:
        """What its page shows."""
        return requests.get(f"{self.url}/stats/requests", timeout=5).json()

    def swarm(self, **form: object) -> None:
        """Start a run."""
        answer = requests.post(f"{self.url}/swarm", data=form, timeout=30).json()
        assert answer["success"], answer

    def refused(self, **form: object) -> str:
        """Why a run cannot be started, as the page shows it."""
        answer = requests.post(f"{self.url}/swarm", data=form, timeout=60).json()
        assert not answer["success"], answer
        return str(answer["message"])

    def stop(self) -> None:
        """Stop it."""
        assert requests.post(f"{self.url}/stop", timeout=60).json()["success"]
