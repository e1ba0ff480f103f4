"""Looks at the run of this process once a second, and has ready what its page is told (`tokens.json`).

It begins with load, whether or not anybody looks on, and rests while nothing runs. What it says is made once a look and shared
by all who ask; only the rows that each of them lacks are its own. When a run is over its last state stays until the next.

The rule: nothing in here may break a run. Whatever goes wrong is caught, said once in the log, and stands in the answer as
`problem`; the next second is tried anew.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import gevent
import orjson

from harness.clock import unix_now_ns
from harness.influx.point import SECOND
from harness.say import say
from harness.web import state
from harness.web.history import COLUMNS, History
from harness.web.lookout import Lookout

if TYPE_CHECKING:
    from harness.run import Run

__all__ = ["Sampler"]

SHARED: Final = 64  # answers to one look that are kept
AT_NS: Final = 350_000_000  # after each second of Unix time: parts have told of it by then (`harness.distributed.worker`)


class Sampler:
    """One of a process with a web UI; `run` gives its run, `preparing` one that is not ready yet."""

    def __init__(
        self, run: Callable[[], "Run | None"], preparing: Callable[[], "Run | None"] = lambda: None
    ) -> None:
        self._run = run
        self._preparing = preparing
        self.history = History()
        self._seen: Lookout | None = None
        self._over: Run | None = None  # its last state is what is told
        self._drained_ns: int | None = None
        self._state: dict[str, Any] = state.EMPTY
        self._said: dict[int, bytes] = {}  # answers to this look, by `since`
        self._problem: str | None = None
        self.looks = 0

    def start(self) -> None:
        """Look from now on."""
        gevent.spawn(self._keep_looking)

    def look(self, now_ns: int) -> None:
        """One look, at this moment. Never raises."""
        try:
            self._look(now_ns)
            problem = None
        except Exception as error:  # noqa: BLE001  # the run goes on, whatever is odd about it
            problem = f"the page lacks what happens now: {type(error).__name__}: {error}"
            if problem != self._problem:
                say(problem)
        self._problem = problem
        self._said.clear()
        self.looks += 1

    def told(self, since: int) -> bytes:
        """The answer to somebody who has the rows before this place; 0: none."""
        found = self._said.get(since)
        if found is None:
            found = self._tell(since)
            if len(self._said) < SHARED:
                self._said[since] = found
        return found

    def _tell(self, since: int) -> bytes:
        part = self.history.since(since)
        return orjson.dumps(
            {
                "server_now_ms": unix_now_ns() / 1e6,
                **self._state,
                "series": {
                    "columns": COLUMNS,
                    "from": part.begin,
                    "next": part.end,
                    "rows": part.rows,
                    "replaced": part.replaced,
                },
                "problem": self._problem,
            },
            default=str,
        )

    def _keep_looking(self) -> None:
        while True:
            gevent.sleep((AT_NS - unix_now_ns()) % SECOND / SECOND)
            self.look(unix_now_ns())
            gevent.sleep(0.05)  # or it might look twice

    def _look(self, now_ns: int) -> None:
        run, preparing = self._run(), self._preparing()
        if preparing is not None:
            self._begin(state.prepared(preparing, "preparing"))
            return
        if run is None and self._seen is None and self._over is None:  # what was prepared was not begun
            self._state = state.EMPTY
        if run is None or run is self._over:
            return
        begun_ns = run.plan.begun_ns
        if begun_ns is None:
            self._begin(state.prepared(run, "starting"))
            return
        is_over = run.is_over and run.ended.is_set()
        if is_over and (self._seen is None or self._seen.run is not run):  # another could not be prepared
            self._begin(state.prepared(run, "writing"))
            self._finish(run, self._state, now_ns)
            return
        if self._seen is None or self._seen.run is not run:
            self._seen, self._drained_ns = Lookout(run, self.history, begun_ns), None
        if is_over:
            self._end(self._seen, now_ns)
            return
        self._seen.look(now_ns)
        if self._drained_ns is None and run.plan.is_stopped and not run.parts.in_flight:
            self._drained_ns = now_ns
        self._state = state.under_way(self._seen, now_ns, self._drained_ns)

    def _begin(self, told: dict[str, Any]) -> None:
        """Another run is about to begin: what is known of the last goes."""
        if self._seen is not None or len(self.history):
            self.history.clear()
        self._seen, self._over, self._state = None, None, told

    def _end(self, seen: Lookout, now_ns: int) -> None:
        """The results are written."""
        run = seen.run
        try:
            seen.look(now_ns)
            last = state.under_way(seen, now_ns, self._drained_ns or now_ns)
        except Exception:  # noqa: BLE001  # what is told at the end comes from the results
            last = self._state if self._state["run"] else state.prepared(run, "writing")
        self._finish(run, last, now_ns)

    def _finish(self, run: "Run", last: dict[str, Any], now_ns: int) -> None:
        self._state = state.ended(last, run, f"results/{run.id}/report", now_ns)
        self._over, self._seen = run, None
