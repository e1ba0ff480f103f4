"""Hosts for distributed runs: network namespaces with links that can be cut and made to lose packets.

Each host of a `lan` has its own network, host name and folder; a namespace of its own is the switch between
them, and none has a way out to this machine's network. Loss happens to IP packets, below TCP, in the kernel: a
small filter at the switch's port draws a number for each (classic BPF, so nothing needs to be installed).

Where namespaces are not permitted (no root, not Linux, or HOSTS=plain in the environment), hosts are folders on
this machine, and their links to the master are TCP relays: cut, a relay says nothing; a lossy one holds every
so many-th piece for as long as TCP would take to send it again. That is milder, and all the same tests pass.

Whatever is left of a test run that was killed, the next one clears away.
"""

import functools
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from socket import IPPROTO_TCP as _TCP
from socket import SHUT_RDWR, SHUT_WR
from socket import TCP_NODELAY as _NODELAY
from typing import Any, Protocol

from gevent import monkey

__all__ = ["Host", "Wire", "lan", "permitted", "small_disk", "wire"]

# Whatever another test's import has patched: a real thread must not touch gevent's hub.
_socket: Any = monkey.get_original("socket", "socket")
_start: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")
_sleep: Callable[[float], None] = monkey.get_original("time", "sleep")

_NETWORK = "198.18.7."  # set aside for tests of networks (RFC 2544); it ends at the switch
_OURS = re.compile(r"tokenswarm-test-(\d+)-\d+")
_NUMBERS = count()
_HELD_S = 0.2  # Linux sends a lost packet again after at least so long


class Link(Protocol):
    """What connects a host to the others."""

    def lose(self, share: float) -> None:
        """From now on this share of what goes either way is lost: 0 is a good link, 1 is none."""


@dataclass(frozen=True)
class Host:
    """One host. `reach` says how to connect from here to a port of another."""

    name: str
    address: str
    folder: Path
    link: Link
    reach: Callable[["Host", int], tuple[str, int]]
    prefix: tuple[str, ...] = ()  # of a command that is to run here
    network: str | None = None  # the path of its namespace, if it has one


class _Port:
    """A switch's port: a packet is dropped as it comes in from the host or goes out to it."""

    def __init__(self, switch: str, device: str) -> None:
        self._tc = ("tc", "-n", switch, "filter")
        self._device = device

    def lose(self, share: float) -> None:
        # load random; if it is not above the limit, 2 (TC_ACT_SHOT), else -1 (go on with the next filter)
        limit = round(share * 0xFFFFFFFF)
        code = f"4,32 0 0 4294963256,37 1 0 {limit},6 0 0 2,6 0 0 4294967295"
        for way in ("ingress", "egress"):
            if share:
                # IP only: that a host forgets its neighbours' hardware addresses is another fault than this.
                where = ("dev", self._device, way, "protocol", "ip", "pref", "1", "handle", "1")
                _do(*self._tc, "replace", *where, "bpf", "da", "bytecode", code)
            else:
                with suppress(subprocess.CalledProcessError):  # there was none
                    _do(*self._tc, "del", "dev", self._device, way)


@dataclass
class Wire:
    """A TCP relay to one port of this machine that can go silent; `sent` is what each client said, if it is kept."""

    target: tuple[str, int]
    port: int = 0
    share: float = 0.0
    keep: bool = False
    sent: list[bytearray] = field(default_factory=list)

    def lose(self, share: float) -> None:
        """See `Link`."""
        self.share = share

    def pump(self, source: Any, sink: Any, kept: bytearray | None) -> None:
        """Pass on what `source` says until it ends."""
        with suppress(OSError):
            while data := source.recv(65_536):
                if kept is not None:
                    kept += data
                if 0 < self.share < 1 and random.random() < self.share:
                    _sleep(_HELD_S)
                while self.share >= 1:
                    _sleep(0.02)
                sink.sendall(data)
            sink.shutdown(SHUT_WR)


@contextmanager
def wire(host: str, port: int, *, keep: bool = False) -> Iterator[Wire]:
    """A relay on a free port of this machine."""
    relay = Wire((host, port), keep=keep)
    listener = _socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    relay.port = listener.getsockname()[1]
    sockets: list[Any] = [listener]

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = _socket()
                sockets.extend((near, far))
                try:
                    far.connect(relay.target)
                except OSError:
                    near.close()
                    continue
                for sock in (near, far):
                    sock.setsockopt(_TCP, _NODELAY, 1)
                kept = bytearray() if relay.keep else None
                if kept is not None:
                    relay.sent.append(kept)
                _start(relay.pump, (near, far, kept))
                _start(relay.pump, (far, near, None))

    _start(accept, ())
    try:
        yield relay
    finally:
        relay.share = 0.0
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)  # wakes the thread that waits in it
        for sock in sockets:
            sock.close()


class _Relays:
    """All of a plain host's links: one relay for each place it has asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._wires: dict[int, Wire] = {}
        self._share = 0.0

    def lose(self, share: float) -> None:
        self._share = share
        for relay in self._wires.values():
            relay.lose(share)

    def reach(self, _host: Host, port: int) -> tuple[str, int]:
        if port not in self._wires:
            relay = self._wires[port] = self._stack.enter_context(wire("127.0.0.1", port))
            relay.lose(self._share)
        return "127.0.0.1", self._wires[port].port


@functools.cache
def permitted() -> bool:
    """May we make namespaces, and does the kernel have what lossy links need?"""
    tools = ("ip", "tc", "unshare", "mount", "umount")
    if sys.platform != "linux" or os.environ.get("HOSTS") == "plain" or not all(map(shutil.which, tools)):
        return False
    if os.geteuid() != 0:
        return False
    _clear()
    try:
        with _switch(("probe",)) as (switch, (host,)):
            _Port(switch, "port0").lose(0.5)
            _do(*_inside(host, "probe"), "true")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def lan(folder: Path, *names: str, plain: bool = False) -> Iterator[Mapping[str, Host]]:
    """Hosts of these names on one network, each with a folder of its own below `folder`; `plain`: all are this one."""
    folders = {name: folder / name for name in names}
    for one in folders.values():
        one.mkdir(parents=True)
    if plain or not permitted():
        with ExitStack() as stack:
            relays = {name: _Relays(stack) for name in names}
            yield {
                name: Host(name, "127.0.0.1", folders[name], relays[name], relays[name].reach)
                for name in names
            }
        return
    with _switch(names) as (switch, spaces):
        yield {
            name: Host(
                name,
                f"{_NETWORK}{number + 1}",
                folders[name],
                _Port(switch, f"port{number}"),
                lambda host, port: (host.address, port),
                _inside(space, name),
                f"/run/netns/{space}",
            )
            for number, (name, space) in enumerate(zip(names, spaces, strict=True))
        }


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[tuple[str, ...]]:
    """`folder` holds no more than so much; what is yielded goes before the command that is to feel it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not permitted():  # as near as a process without rights gets: no file of its own may grow beyond
        yield ("sh", "-c", f'ulimit -f {kilobytes * 2}; exec "$@"', "sh")
        return
    _do("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", _name(), str(folder))
    try:
        yield ()
    finally:
        _do("umount", "--lazy", str(folder))


@contextmanager
def _switch(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """A switch and a namespace for each name, all connected."""
    switch, spaces = _name(), [_name() for _ in names]
    ports = [f"port{number}" for number in range(len(names))]
    try:
        _batch(
            ["ip", "-batch", "-"],
            *(f"netns add {space}" for space in (switch, *spaces)),
            *(
                f"link add {port} netns {switch} type veth peer name eth0 netns {space}"
                for port, space in zip(ports, spaces, strict=True)
            ),
        )
        _batch(
            ["ip", "-n", switch, "-batch", "-"],
            "link add bridge type bridge",
            "link set bridge up",
            *(f"link set {port} master bridge up" for port in ports),
        )
        _batch(["tc", "-n", switch, "-batch", "-"], *(f"qdisc add dev {port} clsact" for port in ports))
        for number, space in enumerate(spaces):
            _batch(
                ["ip", "-n", space, "-batch", "-"],
                "link set lo up",
                f"addr add {_NETWORK}{number + 1}/24 dev eth0",
                "link set eth0 up",
            )
            _set_longest_wait(space)
        yield switch, spaces
    finally:
        for space in (switch, *spaces):
            with suppress(subprocess.CalledProcessError):  # it was never made
                _do("ip", "netns", "del", space)


def _set_longest_wait(space: str) -> None:
    """TCP doubles its wait for an answer up to two minutes: on a lossy link some stream would now and then outlast any run.

    Linux before 6.15 has no limit to set.
    """
    limit = "/proc/sys/net/ipv4/tcp_rto_max_ms"
    if Path(limit).exists():
        _do("ip", "netns", "exec", space, "sh", "-c", f"echo 1000 > {limit}")


def _inside(space: str, name: str) -> tuple[str, ...]:
    """What runs a command in a namespace, under a host name of its own; it stays one process throughout."""
    named = f'echo {name} > /proc/sys/kernel/hostname && exec "$@"'
    return ("ip", "netns", "exec", space, "unshare", "--uts", "sh", "-c", named, "sh")


def _name() -> str:
    """A name that says whose it is."""
    return f"tokenswarm-test-{os.getpid()}-{next(_NUMBERS)}"


def _clear() -> None:
    """Take away what test runs have left that were killed."""
    for line in Path("/proc/mounts").read_text().splitlines():
        source, place = line.split(" ")[:2]
        if _is_left(source):
            _do("umount", "--lazy", place)
    for name in subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if _is_left(name):
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for pid in map(int, pids.stdout.split()):
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            _do("ip", "netns", "del", name)


def _is_left(name: str) -> bool:
    found = _OURS.fullmatch(name)
    return found is not None and not Path(f"/proc/{found[1]}").exists()


def _do(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)


def _batch(command: Sequence[str], *lines: str) -> None:
    subprocess.run(command, input="\n".join(lines), text=True, capture_output=True, check=True)
