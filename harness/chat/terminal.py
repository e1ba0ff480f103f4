"""The chat of `tokenswarm chat`: questions in, answers out as they come, figures after each.

Answers go to stdout, all else to stderr, so that a pipe holds answers alone. Nothing that a server says reaches the terminal but
through `visible` or `clean`.
"""

import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import gevent

from harness import lanes, options
from harness.chat import choices, figures
from harness.chat.answering import TICK_S, Answering, Result
from harness.chat.dialogue import Dialogue
from harness.chat.line import Facts, Line, kind_of, open_line
from harness.chat.visible import visible
from harness.engine import Engine
from harness.errors import ConfigError
from harness.grid import clean
from harness.option_table import FLAGS, OPTIONS, REPEATABLE, variable
from harness.record import Outcome
from harness.say import say
from harness.settings import Settings

__all__ = ["settings_of", "talk"]

# Options of a load that hold for a chat, too; from the environment where they are not given.
_SHARED: Final = (
    *("api-mode", "model", "extra-body", "header", "backend-option", "stream", "ca-file", "insecure"),
    *("connect-timeout", "first-token-timeout", "idle-timeout", "total-timeout"),
)
_OURS: Final = ("system", "max_tokens", "temperature", "top_p", "seed")
_HELP: Final = """\
/reset               forget the conversation
/model NAME          ask another model; /models lists what the server has
/set NAME VALUE      model, api_mode, system, max_tokens, temperature, top_p, seed or extra_body; without a value the default
/settings            what is set
/quit                end, as Ctrl-D does; Ctrl-C stops an answer
//text               a question that begins with a slash"""


def talk(args: Namespace) -> int:
    """Answer what comes on stdin; the exit code.

    Raises:
        ConfigError: a wrong option, or no model can be chosen.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="replace")  # a terminal that knows fewer letters, a pipe with broken ones
    given = {name: str(value) for name in _OURS if (value := getattr(args, name)) is not None}
    choices.read(given, "--")
    settings = settings_of(args)
    engine = lanes.open_engine(settings, say)
    backend = args.backend or os.environ.get("TOKENSWARM_BACKEND") or "openai"
    try:
        return _Terminal(settings, backend, engine, given, as_json=args.json).run()
    finally:
        engine.close()


def settings_of(args: Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """A load's settings, of a chat's options.

    Raises:
        ConfigError: a line for each that is wrong.
    """
    values: dict[str, Any] = {
        name.replace("-", "_"): [] if name in REPEATABLE else False if name in FLAGS else default
        for name, default, *_ in OPTIONS
    }
    for name in _SHARED:
        key = name.replace("-", "_")
        given: Any = getattr(args, key) or environ.get(variable(name), "").strip()
        if given and name in REPEATABLE:
            given = [given] if isinstance(given, str) else given
        elif given and name in FLAGS:
            given = str(given).lower() not in {"0", "no", "false"}
        if given:
            values[key] = given
    host = args.host or environ.get("LOCUST_HOST")
    return options.read(Namespace(host=host, num_users=None, spawn_rate=None, run_time=None, **values), None)


class _Terminal:
    """One chat."""

    def __init__(
        self, settings: Settings, backend: str, engine: Engine, given: dict[str, str], *, as_json: bool
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._kind = kind_of(backend, {})
        self._given = given
        self._as_json = as_json
        self._is_tty = sys.stdin.isatty()
        self._dialogue = Dialogue()
        self._answers: list[dict[str, Any]] = []
        self._failed = False
        self._interrupted = False
        self._facts: Facts | None = None
        self._line, self._model = self._open(given)
        self._notes: set[str] = set()

    def run(self) -> int:
        """Until the input ends."""
        if self._is_tty:
            backend = self._line.backend
            who = f", model {clean(self._model)}" if self._model else ""
            say(
                f"{backend.name} ({backend.mode}) at {self._line.client.target}{who}; /help lists the commands"
            )
        try:
            for said in _lines(tty=self._is_tty):
                if said.startswith("/") and not said.startswith("//"):
                    if not self._obey(said):
                        break
                elif said:
                    self._answer(said[1:] if said.startswith("//") else said)
                if self._interrupted and not self._is_tty:
                    return 130
        except KeyboardInterrupt:
            return 130
        if len(self._answers) > 1:
            found = figures.medians(self._answers)
            say(f"medians of {len(self._answers)} answers: {figures.rates(found)}")
        return int(self._failed and not self._is_tty)

    def _open(self, given: Mapping[str, str]) -> tuple[Line, str | None]:
        line = open_line(self._kind, self._settings, choices.read(given), self._engine)
        return line, line.model(lambda: self._ask_facts(line))

    def _ask_facts(self, line: Line) -> Facts:
        self._facts = self._facts or line.facts()
        return self._facts

    def _answer(self, question: str) -> None:
        gevent.sleep(
            2 * TICK_S
        )  # the hub has stood still since the last answer; the engine looks at its clocks again
        ask = self._line.ask(self._model, self._dialogue.said(question))
        for note in self._line.notes(ask):
            if note not in self._notes:
                self._notes.add(note)
                say(note)
        answering = Answering(self._line.client, ask)
        with self._stopping(answering), closing(answering.pieces()) as pieces:
            shown = _Shown(quiet=self._as_json)
            for piece in pieces:
                shown.add(piece.reasoning, piece.answer)
        result = answering.result
        shown.end(result)
        self._dialogue.heard(question, result.answer)
        self._tell(result)

    @contextmanager
    def _stopping(self, answering: Answering) -> Iterator[None]:
        """Ctrl-C stops the answer, and not the chat."""

        def stop(_number: int, _frame: object) -> None:
            self._interrupted = True
            answering.stop()

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _tell(self, result: Result) -> None:
        said = figures.figures(result)
        error = said["error"]
        self._failed |= result.record.outcome is not Outcome.OK
        if error is None:
            self._answers.append(said)
        if self._as_json:
            # ASCII alone: a file of these may be shown on a terminal, too.
            print(json.dumps({"answer": result.answer, "reasoning": result.reasoning} | said), flush=True)
            return
        if error is not None:
            help_ = f"; {error['remedy']}" if error["remedy"] else ""
            kind = "stopped" if error["class"] == Outcome.CANCELLED else f"failed: {error['class']}: "
            say(kind + (clean(error["message"]) + help_ if kind != "stopped" else ""))
        if said["latency_s"] is not None:
            say(figures.line(said))

    def _obey(self, said: str) -> bool:
        """A command; False if it ends the chat."""
        name, _, rest = said[1:].partition(" ")
        if name in {"quit", "exit", "q"}:
            return False
        commands: Mapping[str, Callable[[str], None]] = {
            "help": lambda _: print(_HELP, file=sys.stderr),
            "reset": self._reset,
            "settings": self._show,
            "models": self._list,
            "model": lambda name: self._set(f"model {name}"),
            "set": self._set,
        }
        if name not in commands:
            self._refuse(f"/{clean(name)}: there is no such command; /help lists them")
            return True
        try:
            commands[name](rest.strip())
        except ConfigError as error:
            self._refuse(str(error))
        return True

    def _refuse(self, text: str) -> None:
        self._failed = True
        for line in text.splitlines():
            say(clean(line))

    def _reset(self, _: str) -> None:
        self._dialogue.reset()
        say("the conversation begins anew")

    def _show(self, _: str) -> None:
        said = {"model": self._model, "api_mode": self._line.backend.mode} | dict(self._given)
        for name, value in said.items():
            say(f"{name} {clean(value)}")

    def _list(self, _: str) -> None:
        for model in self._ask_facts(self._line).models or ("the server lists no models",):
            say(clean(model))

    def _set(self, said: str) -> None:
        name, _, value = said.partition(" ")
        given = {**self._given, name.replace("-", "_"): value.strip()}
        self._line, self._model = self._open(given)
        self._given = {name: value for name, value in given.items() if value}


class _Shown:
    """An answer on stdout, as it comes: reasoning in brackets before it."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._thinks = False
        self._last = "\n"

    def add(self, reasoning: str, answer: str) -> None:
        """Show what has come."""
        if reasoning:
            self._write(("" if self._thinks else "[reasoning: ") + visible(reasoning))
            self._thinks = True
        if answer:
            self._write(("]\n" if self._thinks else "") + visible(answer))
            self._thinks = False

    def end(self, result: Result) -> None:
        """Show what is left, on a line that ends."""
        if self._thinks:
            self._write("]")
        if result.is_other:
            self._write(f"\n[the answer, read anew:]\n{visible(result.answer)}")
        if self._last != "\n":
            self._write("\n")

    def _write(self, text: str) -> None:
        if text and not self._quiet:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._last = text[-1]


def _lines(*, tty: bool) -> Iterator[str]:
    """What the user says, without blanks around it."""
    if not tty:
        yield from map(str.strip, sys.stdin)
        return
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415  whose mere import lets `input` edit a line
    while True:
        try:
            said = input("> ")
        except EOFError:
            print(file=sys.stderr)
            return
        yield said.strip()
