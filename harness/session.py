"""One Locust process that directs runs: its events followed, its users counted, the end owned, the results printed.

Ctrl-C (or SIGTERM, or a closed terminal) stops load, waits for what is in flight up to --stop-timeout, and
writes the results; a second one gives up what is in flight; a third ends the process.
"""

import logging
import os
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, Runner
from locust.web import WebUI

from harness import files, options, web
from harness.cautions import cautions
from harness.distributed import bundle
from harness.errors import ConfigError
from harness.fired import fire
from harness.influx import watch
from harness.lane import UserClass, share_of
from harness.load import LOCAL, Load
from harness.options import Settings
from harness.parts import Alone
from harness.planning import new_plan
from harness.run import Run
from harness.run_place import check_place
from harness.say import say, show
from harness.timetable import Timetable
from harness.visitors import Visitors
from harness.workload import Sharing

if TYPE_CHECKING:
    from harness.distributed.crew import Crew

MASTER: Final = "master"  # which sends nothing, but has points of its own
END_S: Final = 180.0  # for the end of a run, before another begins


class Session:
    """One Locust process, local or master: its environment, and the run that is prepared, under way or just over."""

    def __init__(self, environment: Environment, runner: Runner, web_ui: WebUI | None) -> None:
        self.environment = environment
        self.runner = runner
        self.web_ui = web_ui
        self.is_sweep = False
        self.given: tuple[int | None, int | None] = (None, None)  # of a sweep: -u and -t
        self.run: Run | None = None
        self._preparing: Run | None = None
        self._crew: Crew | None = None
        if isinstance(runner, MasterRunner):
            from harness.distributed import crew  # noqa: PLC0415  # what it needs is not for local runs

            self._crew = crew.Crew(runner, lambda: gevent.spawn(self._end_load))
        self._afterwards = ExitStack()
        self._has_printed, self._interrupts = False, 0

    def afterwards(self, call: Callable[[], object]) -> None:
        """Have something done when all has been said."""
        self._afterwards.callback(call)

    def settings(self) -> Settings:
        """The settings that the options, as they are now, make."""
        parsed = parsed_options(self.environment)
        if self.is_sweep:
            # The web UI's form fills these in, asked or not.
            parsed.spawn_rate = None
            parsed.num_users, parsed.run_time = self.given
        settings = options.read(parsed, self._own_host())
        parsed.run_time = None if self.is_sweep else parsed.run_time  # the plan's own end is exact
        return settings

    def prepare(self, settings: Settings) -> Run:
        """Check and build everything a run needs.

        Raises:
            ConfigError: it cannot be run.
        """
        classes = measured_classes(self.environment)
        if not classes:
            raise ConfigError("the locustfile has no LLMUser: derive one from harness.users.LLMUser")
        watch.check(os.environ)
        check_place(settings.results_dir)  # now, and not after minutes of sizing prompts
        for line in cautions(settings):
            say(line)
        self.run = None
        run: Run | None = None
        timetable = Timetable.of(settings, say)
        load = Load(settings, say, timetable=timetable)
        a_plan = new_plan(settings, timetable)
        try:
            load.open(classes, a_plan.planned)
            guests = Visitors(self.environment, self.runner, classes, settings.seed)
            parts = self._crew or Alone(
                load, partial(fire, self.environment), lambda: gevent.spawn(self._end_load), guests
            )
            run = Run(settings, load, parts, a_plan, lambda: self.runner.user_count)
            name = LOCAL if self._crew is None else MASTER
            run.watch = watch.open_watch(os.environ, run.id, name, run.directory.path, say, says_where=True)
            if run.watch.link:
                say(f"watch it live: {run.watch.link}")
            if self._crew is not None:
                self._preparing = run
                self._enlist(self._crew, run)
                self._preparing = None
        except BaseException as error:
            load.close()
            if run is not None and isinstance(error, ConfigError | gevent.GreenletExit):  # stopped meanwhile
                run.discard()
                self._preparing = None
            raise
        self.run = run
        return run

    def _enlist(self, crew: "Crew", run: Run) -> None:
        """Have the workers prepare themselves; this one sends nothing more, nor reads on in a dataset."""
        run.load.close()
        parsed = parsed_options(self.environment)
        told = bundle.options_of(parsed, parsed.host or self._own_host() or "", run.settings)
        stored = files.from_json(run.directory.path / "run.json")

        def lines(sharing: Sharing) -> Iterator[bytes]:
            shares = {kind.__name__: share_of(lane, sharing) for kind, lane in run.load.lanes.items()}
            return bundle.write(told, stored, shares, run.load.timetable)

        least = parsed.expect_workers if self.web_ui is None else 1
        crew.enlist(run, lines, least, parsed.expect_workers_max_wait)
        run.prepared()

    def refuse(self, *, at_once: bool = False) -> None:
        """Nothing will be run: whoever waits for this process is told, and nothing is left of the run."""
        if self._crew is not None:
            self._crew.dismiss(at_once=at_once)
        if self._preparing is not None:
            self._preparing.directory.discard()

    def _own_host(self) -> str | None:
        """The locustfile's own."""
        return next((user.host for user in self.environment.user_classes if user.host), None)

    def warn(self, run: Run) -> None:
        """Say which users do nothing that is measured."""
        measured: set[type] = set(run.load.lanes)
        others = [user.__name__ for user in self.environment.user_classes if user not in measured]
        if others:
            say(
                f"{', '.join(others)} is no LLMUser: it is among the users of a level, but nothing it does is measured"
            )

    def listen(self) -> None:
        """Follow Locust's events from here on."""
        if self.web_ui is not None:
            web.open_site(self)
        on = self.environment.events
        on.test_start.add_listener(self._start)
        on.spawning_complete.add_listener(self._spawned)
        on.test_stopping.add_listener(self._stopping)
        on.test_stop.add_listener(self._stopped)
        on.quitting.add_listener(self._quitting)
        on.quit.add_listener(self._last_words)
        gevent.signal_handler(signal.SIGINT, self._interrupt)
        gevent.signal_handler(signal.SIGHUP, self._interrupt)  # a closed terminal
        if self.web_ui is None and (self.environment.shape_class is not None or self._crew is not None):
            # Locust answers SIGTERM by itself (`quitting`), but in a headless sweep only when that is over, and on a master
            # that is starting users only when the run's time is.
            gevent.signal_handler(signal.SIGTERM, self._interrupt)

    def _start(self, **_: object) -> None:
        if self.run is not None and self.run.plan.is_stopped:  # the web UI's last, whose end may take a while
            self.run.ended.wait(END_S)
        if self.run is None or self.run.plan.is_stopped:  # options may have changed
            self.prepare_again()
        if self.run is not None:
            self.run.begin()
        else:
            gevent.spawn(self._stop_runner)

    def prepare_again(self) -> Run | None:
        """The next run of a process with a web UI; what is wrong goes to its log, since nobody is to be exited."""
        self.run = None
        try:
            return self.prepare(self.settings())
        except ConfigError as error:
            for line in str(error).splitlines():
                logging.getLogger(__name__).error("cannot start: %s", line)  # noqa: TRY400  # no traceback
                self.runner.log_exception(
                    "tokenswarm", f"cannot start: {line}", ""
                )  # the page's Exceptions tab
            return None

    def _spawned(self, user_count: int, **_: object) -> None:
        if user_count and self.run is not None:
            self.run.users_ready(user_count)

    def _stopping(self, **_: object) -> None:
        if self.run is not None:
            self.run.stop()
            if self._crew is not None:  # before Locust lets go of the workers
                self._crew.drain(at_once=False)

    def _stopped(self, **_: object) -> None:
        run = self.run
        if run is not None and not run.is_over:
            if raised := sum(row["count"] for row in self.runner.exceptions.values()):
                run.note(
                    "suspect", f"tasks raised {raised} exceptions: the load was not what the locustfile says"
                )
            run.finish()
            if self.web_ui is not None:
                self._print_results(run)

    def _quitting(self, **_: object) -> None:
        """SIGTERM and a closed web UI come here with load still running."""
        if self.run is None:
            return
        if not self.run.is_over:
            self.run.interrupted = True
            self.runner.stop()
            self.run.finish()
        if self.run.exit_code is not None:
            self.environment.process_exit_code = self.run.exit_code

    def _last_words(self, **_: object) -> None:
        """Locust has printed its statistics; now ours, so that they are what is left on the screen."""
        if self.web_ui is None and not self._has_printed:  # Locust says `quit` twice where SIGTERM ends it
            self._has_printed = True
            if self.run is not None:
                self._print_results(self.run)
        self._afterwards.close()

    def _print_results(self, run: Run) -> None:
        if run.summary is not None:
            show(run.tables(), aside=getattr(parsed_options(self.environment), "json", False))
        for line in run.last_words():
            say(line)

    def _interrupt(self) -> None:
        """Ctrl-C or SIGTERM, the first, the second and the third time."""
        self._interrupts += 1
        run = self.run
        if self._interrupts > 2:
            say(
                "killed; what was measured stays in the run directory's journal: `tokenswarm report` reads it"
            )
            os._exit(130)
        flying, limit = (0 if run is None else run.parts.in_flight), self.environment.stop_timeout
        if run is not None and self._interrupts == 1 and (flying or not run.plan.is_stopped):
            # In the drain of a run that had come to its end there is nothing left to cut short.
            run.interrupted = not run.plan.is_stopped
            say(
                f"stopping: {flying} requests in flight get {limit:g} s to finish; Ctrl-C again gives them up"
            )
        elif run is not None:
            run.watch.hurry()  # nothing is waited for any longer
            run.parts.give_up()
        if self._interrupts == 2 and self._crew is None:
            self.runner.user_greenlets.kill(block=False)
        gevent.spawn(self._end_load)

    def _stop_runner(self) -> None:
        """As the web UI's own stop does it: who is still starting users would go on after it."""
        if (swarm := getattr(self.web_ui, "_swarm_greenlet", None)) is not None:
            swarm.kill(block=True)
        self.runner.stop()

    def _end_load(self) -> None:
        """End the run the way Locust ends it by itself, so that there is one end and not several."""
        if self.run is not None:
            self.run.stop()
        if self.web_ui is not None:
            self._stop_runner()
            if self._interrupts:
                self.web_ui.stop()
        elif self.environment.shape_class is None:
            self.runner.quit()
        # With a shape, `Run.stop` has ended its wait: its next tick is its last, and Locust quits.


def measured_classes(environment: Environment) -> list[type[UserClass]]:
    """The locustfile's LLMUsers."""
    from harness.users import LLMUser  # noqa: PLC0415  # it imports this module

    return [user_class for user_class in environment.user_classes if issubclass(user_class, LLMUser)]


def parsed_options(environment: Environment) -> Namespace:
    """Locust's parsed options."""
    return environment.parsed_options or Namespace()
