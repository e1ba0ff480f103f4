"""Users who come and go while load runs: what Locust is about to do is known before it does it.

Locust says when a ramp is complete, and not when it begins. So its runner's `start` is followed: by the web UI's edit form, by
keys in a terminal, by a locustfile's own shape, and by Locust itself when workers come or go. The run hears of a new number
before the first user comes or goes (`Run.users_asked`).

The rule: Locust counts users that it has asked to stop, and that are still at their last request, as if they stayed. Who asks
for more users then gets fewer, for good. So those are waited for first, as long as `--stop-timeout` says.
"""

from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING, LocalRunner, Runner, WorkerRunner
from locust.user.task import LOCUST_STATE_STOPPING

from harness.by_hand import BY_HAND

if TYPE_CHECKING:
    from harness.session import Session

__all__ = ["departing", "follow", "follow_worker"]

SHAPE: Final = "by the locustfile's shape"


def follow(session: "Session") -> None:
    """Tell the session's run of each number of users that Locust is told while load runs."""
    runner, start = session.runner, session.runner.start
    asked = 0

    def told(user_count: int, *more: Any, **others: Any) -> None:  # noqa: ANN401  as Locust has it
        nonlocal asked
        run, before, asked = session.run, asked, user_count
        if run is not None and not run.plan.is_sweep and runner.state in (STATE_RUNNING, STATE_SPAWNING):
            by = BY_HAND if session.environment.shape_class is None else SHAPE
            run.users_asked(before, user_count, by)
            if isinstance(runner, LocalRunner):
                _make_way(runner, user_count)
                if run.plan.is_stopped:  # meanwhile: Locust would start another run
                    return
        start(user_count, *more, **others)

    setattr(runner, "start", told)  # noqa: B010  of this one runner


def follow_worker(runner: WorkerRunner) -> None:
    """The same wait on a worker, whose master knows nothing of who is still leaving."""
    start = runner.start_worker

    def told(user_classes_count: dict[str, int], **others: Any) -> None:  # noqa: ANN401
        _make_way(runner, sum(user_classes_count.values()))
        start(user_classes_count, **others)

    setattr(runner, "start_worker", told)  # noqa: B010


def departing(runner: Runner) -> list[gevent.Greenlet]:
    """Users that have been asked to stop and are at their last request."""
    return [
        one
        for one in list(runner.user_greenlets)
        if one.args and getattr(one.args[0], "_state", None) == LOCUST_STATE_STOPPING
    ]


def _make_way(runner: Runner, wanted: int) -> None:
    """Have those who leave be gone, if more are wanted than stay."""
    if not _is_short(runner, wanted):
        return
    ramp = runner.spawning_greenlet
    if isinstance(runner, LocalRunner) and ramp is not None:  # a worker has ended its last one by now
        ramp.kill(block=True)
        gevent.sleep(0)  # whom it was about to stop is asked to
    leaving = departing(runner)
    gevent.joinall(leaving, timeout=runner.environment.stop_timeout or 0.0)
    gevent.killall([one for one in leaving if not one.dead], block=True)


def _is_short(runner: Runner, wanted: int) -> bool:
    leaving = len(departing(runner))
    return bool(leaving) and wanted > runner.user_count - leaving
