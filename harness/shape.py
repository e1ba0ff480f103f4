"""A sweep as Locust's load shape: so many users, and the next number when this level's requests are done.

In an open loop Locust starts no users at all (`harness.visitors` do), and the shape only holds each level until it is over.
"""

from typing import TYPE_CHECKING

from locust import LoadTestShape

from harness.process_options import refuse_both

if TYPE_CHECKING:
    from harness.run import Run
    from harness.session import Session

__all__ = ["LevelsShape", "Shapes"]


class LevelsShape(LoadTestShape):
    """Holds each level until its requests are done; Locust asks `tick` again when it has returned."""

    use_common_options = (
        True  # else its form lets nobody say how many users the next run, which may be no sweep, has
    )

    def __init__(self, session: "Session") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._session = session
        self._begun: Run | None = None  # the run whose first level it has given
        self.runner = session.runner

    def tick(self) -> tuple[int, float] | None:
        """(users, users started per second) of the level to hold now; None when all have been."""
        run = self._session.run
        if run is None or run.is_over:  # the web UI starts a run
            run = self._session.prepare_again()
        if run is None:
            return None
        if self._begun is not run:
            self._begun, segment = run, run.plan.segment
            return None if segment is None else (segment.point.users, _rate(segment.point.users))
        segment = run.plan.segment
        if segment is not None and segment.open_ns is None and segment.point.is_open:
            run.users_ready(0)  # the first level: until Locust had heard of it, load had not begun
        run.segment_done.wait()
        segment = None if run.plan.is_stopped else run.next_segment()
        if segment is None:
            return None
        if self._session.runner.user_count == segment.point.users:
            # Locust will start nobody, and so will not say when.
            run.users_ready(segment.point.users)
        # The rate is that of stopping users too.
        return segment.point.users, _rate(max(segment.point.users, self._session.runner.user_count))


class Shapes:
    """Which shape Locust asks: ours in a sweep or an open loop, the locustfile's own otherwise, mostly none."""

    def __init__(self, session: "Session") -> None:
        self.own: LoadTestShape | None = session.environment.shape_class  # or the class picker's choice
        self._session = session
        self._levels = LevelsShape(session)

    def use(self) -> None:
        """Choose by the options that hold now. Locust asks whichever it is from its next start on.

        Raises:
            ConfigError: both would say how many users there are.
        """
        options = self._session.options
        refuse_both(options.parsed, self.own)
        self._session.environment.shape_class = self._levels if options.is_sweep else self.own


def _rate(users: int) -> float:
    return float(min(max(users, 1), 100))
