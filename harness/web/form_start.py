"""What the form's Start button does before Locust starts anybody: options read, the run prepared, problems answered.

Locust's own view takes each field as it comes and starts users; whatever is wrong would show when they are there. Here all
is read and prepared first, in a greenlet of its own: it may ask a server that takes its time, wait for the last run to end
and for workers. Meanwhile a second start is refused, and a stop ends it. Only then do the options become those of the
process, and Locust is given what is its own of the form.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import gevent

from harness import options
from harness.errors import ConfigError
from harness.process_options import refuse_both
from harness.web.form_values import OURS, changed, options_of

if TYPE_CHECKING:
    from locust.web import WebUI

    from harness.run import Run
    from harness.session import Session

__all__ = ["Starter"]

END_S: Final = 180.0  # for the end of the last run
BEGIN_S: Final = 30.0  # for Locust to begin one
STEP_S: Final = 0.02
_USERS: Final = ("user_count", "spawn_rate", "run_time")
_LOCUSTS: Final = (
    "host",
    "shape_class",
    "profile",
)  # with the users and their classes, all that its form has
_BUSY: Final = "a run is being prepared: wait until it has begun, or stop it"

Form = Mapping[str, str]


class Stopped(ConfigError):
    """Somebody wanted it so: nothing is wrong."""


class Starter:
    """Starts runs of one process from what its form says."""

    def __init__(self, session: "Session", web_ui: "WebUI") -> None:
        """To be made before the first run: what the process was started with is the default of much."""
        self.started: Mapping[str, Any] = dict(vars(session.options.now()))
        self.typed: dict[str, str] = {}  # of Locust's own fields, by the last start
        self._session, self._web_ui = session, web_ui
        self._host = session.own_host()  # later Locust writes the form's into the classes
        self._job: gevent.Greenlet | None = None
        self._is_busy = False
        session.on_stop = self.stop

    def swarm(self, form: Form, classes: Sequence[str], go: Callable[[Form], bool]) -> None:
        """Start a run, or change the users of the one that goes on.

        Args:
            form: the fields' texts.
            classes: the class picker's, if there is one.
            go: Locust's own start, from its own fields; whether it was one.

        Raises:
            ConfigError: a line for each thing that is wrong; nothing has begun, and nothing has changed.
        """
        if self._is_busy:
            raise ConfigError(_BUSY)
        self._is_busy = True
        try:
            if self._session.is_under_way:
                self._change(form, go)
            else:
                try:
                    self._begin(form, classes, go)
                except Stopped:
                    raise
                except ConfigError as error:
                    self._session.complain(error)
                    raise
        finally:
            self._is_busy = False

    def stop(self) -> bool:
        """Leave a run that is being prepared; whether there was one."""
        job = self._job
        if job is None:
            return False
        job.kill(block=True)
        return True

    def _begin(self, form: Form, classes: Sequence[str], go: Callable[[Form], bool]) -> None:
        session = self._session
        shape = self._shape(form)
        now = session.options.now()
        is_shaped = shape is not None and not shape.use_common_options
        wanted = options_of(form, now, self.started, is_shaped=is_shaped)
        settings = options.read(wanted, self._host)
        refuse_both(wanted, shape)
        if not getattr(session.runner, "worker_count", 1):
            raise ConfigError("no worker has connected yet: start one with --worker, then start the run")
        before = session.environment.user_classes
        self._pick(classes)
        try:
            run = self._prepared(lambda: session.prepare(settings, wanted))
        except BaseException:
            session.environment.user_classes = before
            raise
        own = session.shapes.own
        session.options.take(wanted)
        session.shapes.own = shape
        session.shapes.use()
        self.typed = {name: form[name] for name in _USERS if form.get(name)}
        fields = self._locusts(form)
        if "host" in fields:
            fields["host"] = wanted.host
        if not (session.options.is_sweep or is_shaped):
            told = {
                "user_count": wanted.num_users,
                "spawn_rate": wanted.spawn_rate,
                "run_time": wanted.run_time,
            }
            fields |= {name: str(value) for name, value in told.items() if value is not None}
        has_begun = False
        try:
            has_begun = go(fields) and self._has_begun(run)
        finally:
            if not has_begun:
                session.forget(run)
                session.options.take(now)
                session.shapes.own, session.environment.user_classes = own, before
                session.shapes.use()
        if not has_begun:
            raise ConfigError("Locust has not started the run: its log (Logs) says why")

    def _locusts(self, form: Form) -> dict[str, str]:
        """Those fields that are for Locust's view to read, which takes whatever is an option.

        The names of files that it would write, the locustfile among the options: nothing of that is a page's to say.
        """
        self._web_ui.update_template_args()
        of_locustfile = set(self._web_ui.template_args["extra_options"]) - OURS
        return {name: text for name, text in form.items() if name in _LOCUSTS or name in of_locustfile}

    def _change(self, form: Form, go: Callable[[Form], bool]) -> None:
        """The users of a run that goes on; nothing else of it can change."""
        session, run = self._session, self._session.run
        if run is not None and run.plan.is_sweep:
            is_open = run.settings.load.is_open
            what = (
                "An open loop, whose requests come by a schedule,"
                if is_open
                else "A sweep, which sets the users itself,"
            )
            raise ConfigError(f"{what} is under way: wait for its end, or stop it first")
        now = session.options.now()
        is_shaped = session.environment.shape_class is not None
        wanted = options_of(form, now, self.started, is_shaped=is_shaped)
        if names := list(changed(wanted, now)):
            raise ConfigError(
                "\n".join(f"{name} cannot be changed while a run goes on: stop it first" for name in names)
            )
        ends, left_s = self._web_ui._run_time_greenlet, self._left_s()  # noqa: SLF001
        fields = self._locusts(form) | {name: form[name] for name in _USERS if name in form}
        fields.pop("host", None)
        go(fields)
        if ends is not None and left_s and self._web_ui._run_time_greenlet is None:  # noqa: SLF001
            # Locust forgets a run's time when its users are changed.
            self._web_ui._run_time_greenlet = gevent.spawn_later(left_s, self._web_ui._stop_runners)  # noqa: SLF001

    def _left_s(self) -> float:
        run, run_time = self._session.run, self._session.options.parsed.run_time
        return max(0.0, run_time - run.elapsed_s) if run is not None and run_time else 0.0

    def _prepared(self, prepare: Callable[[], "Run"]) -> "Run":
        """The next run, ready, made in a greenlet that can be stopped."""

        def work() -> "Run | ConfigError":
            self._await_end()
            try:
                return prepare()
            except ConfigError as error:
                return error

        self._job = gevent.spawn(work)
        try:
            found = self._job.get()
        finally:
            self._job = None
        if isinstance(found, gevent.GreenletExit):
            raise Stopped("stopped before it had begun: nothing was sent")
        if isinstance(found, ConfigError):
            raise found
        run: Run = found
        return run

    def _await_end(self) -> None:
        """The last run's results are written, and Locust's shape is done with it."""
        session = self._session
        run = session.run
        if run is not None and session.begun is not run:  # Locust never began it
            session.forget(run)
        elif run is not None:
            run.ended.wait(END_S)
        runner = session.runner
        with gevent.Timeout(END_S, False):
            while runner.shape_greenlet is not None and not runner.shape_greenlet.ready():
                gevent.sleep(STEP_S)
        runner.shape_greenlet = None

    def _has_begun(self, run: "Run") -> bool:
        """Locust begins it in a greenlet of its own; False: that has ended without."""
        web_ui, runner = self._web_ui, self._session.runner
        with gevent.Timeout(BEGIN_S, False):
            while self._session.begun is not run:
                gevent.sleep(STEP_S)
                starting = web_ui._swarm_greenlet  # noqa: SLF001
                at_it = (starting, runner.shape_greenlet, getattr(runner, "spawning_greenlet", None))
                if not any(one is not None and not one.ready() for one in at_it):
                    break
        return self._session.begun is run

    def _shape(self, form: Form) -> Any:  # noqa: ANN401  Locust's, mostly untyped
        """The load shape that the run would have if its options ask for none of ours."""
        name = form.get("shape_class", "Default")
        if not self._web_ui.userclass_picker_is_active:
            return self._session.shapes.own
        known = self._session.environment.available_shape_classes or {}
        if name != "Default" and name not in known:
            raise ConfigError(f"shape class {name!r} is unknown: there are {', '.join(['Default', *known])}")
        return known.get(name)

    def _pick(self, names: Sequence[str]) -> None:
        """The class picker's choice, as Locust makes it: without one, all."""
        known = self._session.environment.available_user_classes
        if self._web_ui.userclass_picker_is_active and known:
            chosen = {name: known[name] for name in known if name in names} or dict(known)
            self._web_ui._update_user_classes(chosen)  # noqa: SLF001
