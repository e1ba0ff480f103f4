"""A sweep as Locust's load shape: so many users, and the next number when this level's requests are done."""

from locust import LoadTestShape

from harness.session import Session

__all__ = ["LevelsShape"]


class LevelsShape(LoadTestShape):
    """Holds each level until its requests are done; Locust asks `tick` again when it has returned."""

    def __init__(self, session: Session) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        session.is_sweep = True
        self._session = session
        self._begun: object = None  # the run whose first level it has given
        self.runner = session.runner

    def tick(self) -> tuple[int, float] | None:
        """(users, users started per second) of the level to hold now; None when all have been."""
        run = self._session.run
        if run is None or run.is_over:  # the web UI starts a run
            run = self._session.prepare_again()
        if run is None:
            return None
        if self._begun is run:
            run.segment_done.wait()
            segment = None if run.plan.is_stopped else run.next_segment()
        else:
            self._begun, segment = run, run.plan.segment
        if segment is None:
            return None
        if (
            self._session.runner.user_count == segment.level
        ):  # Locust will start nobody, and so will not say when
            run.users_ready(segment.level)
        return segment.level, float(min(segment.level, 100))
