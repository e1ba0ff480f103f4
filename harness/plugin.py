"""How tokenswarm plugs into Locust: importing this module adds its options and prepares its runs.

In a run that begins by itself (`--headless`, `--autostart`) everything is checked and prepared in Locust's `init`
event, so that a mistake ends the process with one line and exit code 2 before any load. In the web UI a run is
prepared when it is started, since its options may have been changed in the form (`harness.web.form`).
"""

import os
import signal
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakKeyDictionary

from gevent import monkey
from locust import events
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import Runner, WorkerRunner
from locust.web import WebUI

from harness import options, planning, ports
from harness.errors import ConfigError
from harness.lanes import check_environment
from harness.load import Load
from harness.process_options import ANY_HOST
from harness.say import say
from harness.servers import beside
from harness.session import Session, measured_classes
from harness.settings import Settings
from harness.web import guard

if TYPE_CHECKING:
    from harness.distributed.worker import Worker

# Locust's default of 0 would kill every stream that is in flight when load stops.
DRAIN_S = 30.0
_ENDS: Mapping[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
SERVE_S = 600.0  # for a server that --serve starts to be ready
_READ = count()  # how often this process's command line has been read

_SESSIONS: WeakKeyDictionary[Environment, "Session | Worker"] = WeakKeyDictionary()


def current(environment: Environment) -> Load:
    """What this process's users work for: its part of the run that is prepared or under way.

    Raises:
        RuntimeError: Locust did not start this process's users.
        StopUser: a run was to be started and could not; what is wrong has been said.
    """
    session = _SESSIONS.get(environment)
    if session is None:
        raise RuntimeError("no run has been prepared: LLMUser needs Locust to start it")
    if isinstance(session, Session):
        if session.run is None:
            raise StopUser
        return session.run.load
    return session.load


def _add_options(parser: ArgumentParser, **_: object) -> None:
    options.add_options(parser)
    guard.stay_home(parser)
    _check_ports(parser)
    if "LOCUST_PROCESSES" in os.environ or any(word.startswith("--processes") for word in sys.argv):
        os.register_at_fork(after_in_child=_follow_parent)


def _check_ports(parser: ArgumentParser) -> None:
    """Look at the ports as soon as the command line has been read: Locust has no event between that and their use."""
    parse: Any = parser.parse_known_args

    def parsed(args: Any = None, *more: Any, **others: Any) -> Any:  # noqa: ANN401  as argparse has it
        found = parse(args, *more, **others)
        if args is None and next(_READ) == 0:  # later the web UI reads it again, while a master listens
            try:
                check_environment()
                ports.check(found[0])
            except ConfigError as error:
                _refuse(error)
        return found

    setattr(parser, "parse_known_args", parsed)  # noqa: B010  of this one parser


def _follow_parent() -> None:
    """A worker that `--processes` started ends as on SIGTERM when its master is gone, however that went.

    Otherwise it would knock at a port where nobody is for minutes, as long as it has not been connected.
    """
    parent, sleep = os.getppid(), monkey.get_original("time", "sleep")

    def watch() -> None:
        while os.getppid() == parent:
            sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    monkey.get_original("_thread", "start_new_thread")(watch, ())


def _init(environment: Environment, runner: Runner, web_ui: WebUI | None, **_: object) -> None:
    """Everything that can be wrong is found here, before load."""
    if isinstance(runner, WorkerRunner):
        _init_worker(environment, runner)
        return
    session = _SESSIONS[environment] = Session(environment, runner, web_ui)
    # Under gevent a KeyboardInterrupt of the preparations ends up in places that print tracebacks.
    signals = [one for one in _ENDS if signal.getsignal(one) is not signal.SIG_IGN]
    for one in signals:
        signal.signal(one, lambda number, _: _leave(session, number))
    try:
        for name in options.unknown_variables(os.environ):
            say(f"{name} is set but is no variable of tokenswarm (`tokenswarm options` lists them)")
        settings = session.settings(None if _needs_host(session) else ANY_HOST)
        if planning.points(settings):
            session.options.sweep()
        session.shapes.use()
        if not environment.stop_timeout:
            environment.stop_timeout = DRAIN_S
        if settings.serve:
            served = beside.start(settings.serve, settings.target, settings.ready_timeout_s or SERVE_S)
            session.afterwards(served.stop)
        _begin_by_itself(session, settings)
    except ConfigError as error:
        session.refuse()
        _refuse(error)
    finally:
        for one in signals:
            signal.signal(one, _ENDS[one])
    _listen(session)


def _listen(session: Session) -> None:
    """Locust logs what a listener raises and goes on: here with a web UI that nobody guards, and a run that nobody follows."""
    try:
        session.listen()
    except Exception:  # noqa: BLE001  whatever it is
        traceback.print_exc()
        session.refuse()
        sys.exit(1)


def _begin_by_itself(session: Session, settings: Settings) -> None:
    """Prepare the run that nobody has to start; its -t would else be over before its first request."""
    parsed = session.options.parsed
    if session.web_ui is None or parsed.autostart:
        session.warn(session.prepare(settings))
    if session.web_ui is None:
        parsed.only_summary = not parsed.print_stats  # our progress line replaces Locust's table


def _needs_host(session: Session) -> bool:
    """Whether nobody will be asked for it: there is no form, or something is started before anybody can fill it in."""
    parsed = session.options.parsed
    return session.web_ui is None or bool(parsed.autostart or str(parsed.serve or "").strip())


def _init_worker(environment: Environment, runner: WorkerRunner) -> None:
    """All that a worker needs to know comes from its master."""
    from harness.distributed.worker import Worker  # noqa: PLC0415  # nor what it needs is for other processes

    worker = _SESSIONS[environment] = Worker(environment, runner, lambda: measured_classes(environment))
    worker.listen()


def _refuse(error: ConfigError) -> NoReturn:
    for line in str(error).splitlines():
        say(f"error: {line}")
    sys.exit(2)


def _leave(session: Session, number: int) -> NoReturn:
    say("interrupted before load; nothing was written")
    session.refuse(at_once=True)
    os._exit(128 + number)


events.init_command_line_parser.add_listener(_add_options)
events.init.add_listener(_init)
