"""The two processes of a selftest: the pacing server and one worker's load, each on a core of its own.

    with laboratory(shape, tls=False) as lab:
        step = lab.measure(600)

Leaving the context, by whatever way, ends both; should this process be killed, they end with their stdin.
They have a session of their own, so that Ctrl-C at the terminal reaches only us.
"""

import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

import orjson

from harness.clock import now_ns
from harness.errors import ConfigError
from harness.selftest.steps import Shape, Step, join

RAMP_S: Final = 0.4
STREAM_RAMP_S: Final = (
    0.0003  # more for each stream: a connection costs the worker this much, and half of it is spare
)
TLS_RAMP_S: Final = 0.002  # the same with a handshake
SECONDS: Final = 2.0  # of each step's window
DEADLINE_S: Final = 30.0  # for one answer of a child
HOST: Final = "127.0.0.1"
MOST_STREAMS: Final = 16_384


class CannotMeasure(Exception):
    """This machine did not let us. One line."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core each process is bound to; None: the system decides."""

    server: int | None
    worker: int | None


class Child:
    """One process, asked and answering in lines of JSON."""

    def __init__(
        self, name: str, command: Sequence[str], errors: IO[bytes], environment: Mapping[str, str]
    ) -> None:
        self._name = name
        self._errors = errors
        self._buffer = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, **environment},
        )

    def ask(self, question: object) -> dict[str, Any]:
        """One line there, one back.

        Raises:
            CannotMeasure: it has ended, or took more than `DEADLINE_S`.
        """
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        try:
            self._process.stdin.write(orjson.dumps(question, option=orjson.OPT_APPEND_NEWLINE))
        except OSError:
            raise self._ended() from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line it says. Raises as `ask`."""
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        out, end_ns = self._process.stdout.fileno(), now_ns() + int(DEADLINE_S * 1e9)
        while b"\n" not in self._buffer:
            if not select.select([out], [], [], max(0.0, (end_ns - now_ns()) / 1e9))[0]:
                raise CannotMeasure(f"{self._name} did not answer in {DEADLINE_S:g} s")
            data = os.read(out, 1 << 20)
            if not data:
                raise self._ended()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        said: dict[str, Any] = orjson.loads(line)
        return said

    def stop(self) -> None:
        """End it now."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _ended(self) -> CannotMeasure:
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return CannotMeasure(f"{self._name} ended ({said[-1] if said else f'exit code {code}'})")


@dataclass(frozen=True, slots=True)
class Lab:
    """Both processes, running."""

    _shape: Shape
    _server: Child
    _worker: Child
    _ramp_s: float  # for each stream
    own_cores: bool
    most_streams: int  # what the limit on open files leaves room for

    def measure(self, streams: int, seconds: float = SECONDS) -> Step:
        """Hold so many streams once; its window is `seconds` long.

        Raises:
            CannotMeasure: one of the processes has ended.
        """
        order = {
            "streams": streams,
            "tokens": self._shape.tokens,
            "ramp_s": RAMP_S + streams * self._ramp_s,
            "settle_s": self._shape.first_ms / 1e3 + 0.1,
            "seconds": seconds,
        }
        loaded = self._worker.ask(order)
        return join(streams, self._shape, self._server.ask("log"), loaded)


@contextmanager
def laboratory(shape: Shape, *, tls: bool) -> Iterator[Lab]:
    """Start both processes; end them.

    Raises:
        CannotMeasure: one did not start.
        ConfigError: `tls`, and there is no openssl.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenswarm-")))
        certificate = _certificate(folder) if tls else None
        cores = choose_cores()
        command = _server_command(shape, cores, certificate)
        server = stack.enter_context(_child("the pacing server", command))
        url = f"{'https' if tls else 'http'}://{HOST}:{server.answer()['port']}"
        trusted = {"SSL_CERT_FILE": str(certificate)} if certificate else {}
        worker = stack.enter_context(
            _child("the worker", [*_module("load", cores.worker), "--url", url], trusted)
        )
        worker.answer()
        ramp_s = TLS_RAMP_S if tls else STREAM_RAMP_S
        yield Lab(shape, server, worker, ramp_s, cores.worker is not None, _most_streams())


def choose_cores() -> Cores:
    """The last core for the worker, the first that is not its twin for the server; of a single core, none."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return Cores(None, None)
    others = [core for core in cores[:-1] if core not in _twins(cores[-1])]
    return Cores((others or cores)[0], cores[-1])


def _most_streams() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_STREAMS if hard == resource.RLIM_INFINITY else min(MOST_STREAMS, hard - 64)


def _twins(core: int) -> set[int]:
    """The hardware threads of a core, where Linux says; they share it, so neither is the other's own."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        parts = [part.partition("-") for part in path.read_text(encoding="ascii").strip().split(",")]
        return {n for low, _, high in parts for n in range(int(low), int(high or low) + 1)}
    except (OSError, ValueError):
        return set()


@contextmanager
def _child(
    name: str, command: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Child]:
    with tempfile.TemporaryFile() as errors:
        child = Child(name, command, errors, environment)
        try:
            yield child
        finally:
            child.stop()


def _module(name: str, core: int | None) -> list[str]:
    pinned = [] if core is None else ["--core", str(core)]
    return [sys.executable, "-m", f"harness.selftest.{name}", *pinned]


def _server_command(shape: Shape, cores: Cores, certificate: Path | None) -> list[str]:
    plan = ["--first-ms", str(shape.first_ms), "--gap-ms", str(shape.gap_ms), "--tokens", str(shape.tokens)]
    return [
        *_module("pacer", cores.server),
        *plan,
        *(["--certificate", str(certificate)] if certificate else []),
    ]


def _certificate(folder: Path) -> Path:
    """A throwaway self-signed certificate of this host's loopback, with its key in the same file."""
    if shutil.which("openssl") is None:
        raise ConfigError(
            "--tls needs the openssl command to make a throwaway certificate, and it is not on this machine: "
            "install openssl or leave --tls out"
        )
    path, key, both = folder / "certificate.pem", folder / "key.pem", folder / "both.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}"]
    done = subprocess.run(
        ["openssl", "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise CannotMeasure(f"openssl could not make a certificate ({said[-1] if said else 'no word why'})")
    both.write_bytes(key.read_bytes() + path.read_bytes())
    return both
