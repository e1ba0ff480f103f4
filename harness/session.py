"""One Locust process that directs runs: its events followed, its users counted, the end owned, the results printed.

What the options ask for is `harness.process_options`, Ctrl-C `harness.interrupts`, the web UI's form `harness.web.form`.
"""

import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, Runner
from locust.web import WebUI

from harness import files, ramps, web
from harness.cautions import cautions
from harness.distributed import briefing
from harness.errors import ConfigError
from harness.fired import fire
from harness.influx import watch
from harness.interrupts import Interrupts
from harness.lane import UserClass, share_of
from harness.lanes import check_keys
from harness.load import LOCAL, Load
from harness.parts import Alone
from harness.planning import new_plan
from harness.process_options import ProcessOptions
from harness.run import Run
from harness.run_place import check_place
from harness.say import say, show
from harness.settings import Settings
from harness.shape import Shapes
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
        self.options = ProcessOptions(parsed_options(environment))
        self.home = getattr(self.options.parsed, "host", None) or self.own_host()  # which the keys are for
        self.shapes = Shapes(self)
        self.run: Run | None = None
        self.begun: Run | None = None  # the last that Locust has started
        self.preparing: Run | None = None
        self._crew: Crew | None = None
        if isinstance(runner, MasterRunner):
            from harness.distributed import crew  # noqa: PLC0415  # what it needs is not for local runs

            self._crew = crew.Crew(runner, lambda: gevent.spawn(self.end_load))
        self.on_stop: Callable[[], object] = lambda: None  # whoever is about to start a run leaves it
        self._afterwards = ExitStack()
        self._has_printed, self._interrupts = False, Interrupts(self)

    def afterwards(self, call: Callable[[], object]) -> None:
        """Have something done when all has been said."""
        self._afterwards.callback(call)

    @property
    def is_master(self) -> bool:
        """It sends nothing itself."""
        return self._crew is not None

    def settings(self, host: str | None = None) -> Settings:
        """The settings that the options, as they are now, make; `host` is for where they name none.

        Raises:
            ConfigError: one line for each thing that is wrong.
        """
        return self.options.settings(self.own_host() or host)

    def prepare(self, settings: Settings, wanted: Namespace | None = None) -> Run:
        """Check and build everything a run needs. `run` stays the last one's until this one is ready.

        Args:
            settings: of the run.
            wanted: the options that made them, if they are not yet those of this process.

        Raises:
            ConfigError: it cannot be run.
        """
        classes = measured_classes(self.environment)
        if not classes:
            raise ConfigError("the locustfile has no LLMUser: derive yours from harness.users.LLMUser")
        check_keys(classes, settings, self.home)
        watch.check(os.environ)
        check_place(settings.results_dir)  # now, and not after minutes of sizing prompts
        for line in cautions(settings):
            say(line)
        run: Run | None = None
        timetable = Timetable.of(settings, say)
        load = Load(settings, say, timetable=timetable)
        a_plan = new_plan(settings, timetable)
        try:
            load.open(classes, a_plan.planned)
            guests = Visitors(self.environment, self.runner, classes, settings.seed)
            told, gone = partial(fire, self.environment), partial(gevent.spawn, self.end_load)
            parts = self._crew or Alone(load, told, gone, guests, is_watched=self.web_ui is not None)
            run = Run(settings, load, parts, a_plan, lambda: self.runner.user_count)
            name = LOCAL if self._crew is None else MASTER
            run.watch = watch.open_watch(os.environ, run.id, name, run.directory.path, say, says_where=True)
            if run.watch.link:
                say(f"watch it live: {run.watch.link}")
            if self._crew is not None:
                self.preparing = run
                self._enlist(self._crew, run, wanted or self.options.parsed)
                self.preparing = None
        except BaseException:
            load.close()
            self.preparing = None
            if run is not None:
                run.discard()
                if self._crew is not None:
                    self._crew.settle()
            raise
        self.run = run
        return run

    def _enlist(self, crew: "Crew", run: Run, wanted: Namespace) -> None:
        """Have the workers prepare themselves; this one sends nothing more, nor reads on in a dataset."""
        run.load.close()
        told = briefing.options_of(wanted, wanted.host or self.own_host() or "", run.settings)
        stored = files.from_json(run.directory.path / "run.json")

        def lines(sharing: Sharing) -> Iterator[bytes]:
            shares = {kind.__name__: share_of(lane, sharing) for kind, lane in run.load.lanes.items()}
            return briefing.write(told, stored, shares, run.load.timetable)

        by_itself = self.begun is None and (self.web_ui is None or wanted.autostart)
        least = wanted.expect_workers if by_itself else 1
        crew.enlist(run, lines, least, wanted.expect_workers_max_wait)
        run.prepared()

    def refuse(self, *, at_once: bool = False) -> None:
        """Nothing will be run: whoever waits for this process is told, and nothing is left of the run."""
        if self._crew is not None:
            self._crew.dismiss(at_once=at_once)
        if self.preparing is not None:
            self.preparing.directory.discard()

    def own_host(self) -> str | None:
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
        ramps.follow(self)
        on = self.environment.events
        on.test_start.add_listener(self._start)
        on.spawning_complete.add_listener(self._spawned)
        on.test_stopping.add_listener(self._stopping)
        on.test_stop.add_listener(self._stopped)
        on.quitting.add_listener(self._quitting)
        on.quit.add_listener(self._last_words)
        self._interrupts.listen()

    def _start(self, **_: object) -> None:
        if self.run is not None and self.run.plan.is_stopped:  # the web UI's last, whose end may take a while
            self.run.ended.wait(END_S)
        if self.run is None or self.run.plan.is_stopped:  # options may have changed
            self.prepare_again()
        if self.run is not None:
            self.begun = self.run
            self.run.begin()
        else:
            gevent.spawn(self._stop_runner)

    def prepare_again(self) -> Run | None:
        """The next run of a process with a web UI; what is wrong goes to its log, since nobody is to be exited."""
        self.run = None
        try:
            return self.prepare(self.settings())
        except ConfigError as error:
            self.complain(error)
            return None

    def complain(self, error: ConfigError) -> None:
        """A run cannot begin: a line in the log for each reason, and one in the page's Exceptions tab."""
        for line in str(error).splitlines():
            logging.getLogger(__name__).error("cannot start: %s", line)
            if self.run is None or self.run.is_over:  # which would count it among its own
                self.runner.log_exception("tokenswarm", f"cannot start: {line}", line)  # a row each

    @property
    def is_under_way(self) -> bool:
        """Load goes on."""
        return self.run is not None and self.begun is self.run and not self.run.plan.is_stopped

    def forget(self, run: Run) -> None:
        """A run that was prepared, and that Locust has not begun."""
        run.load.close()
        run.discard()
        if self._crew is not None:
            self._crew.settle()
        if self.run is run:
            self.run = None

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

    def _stop_runner(self) -> None:
        """As the web UI's own stop does it: who is still starting users would go on after it."""
        self.on_stop()
        if (swarm := getattr(self.web_ui, "_swarm_greenlet", None)) is not None:
            swarm.kill(block=True)
        self.runner.stop()

    def end_load(self) -> None:
        """End the run the way Locust ends it by itself, so that there is one end and not several."""
        if self.run is not None:
            self.run.stop()
        if self.web_ui is not None:
            self._stop_runner()
            if self._interrupts.count:
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
