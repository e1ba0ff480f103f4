"""The ports at which Locust listens, looked at before any process is started: for workers, and for its web page.

Locust opens them late. With --processes the children are there by then, and where another master has the port they join
that one's run.
"""

import errno
import ipaddress
import os
import socket
from argparse import Namespace
from collections.abc import Iterator
from typing import NamedTuple

from harness.errors import ConfigError

__all__ = ["check", "is_local"]


class _Place(NamedTuple):
    host: str
    port: int
    host_option: str
    port_option: str
    instead: str  # what to write where it is in use; {} is another port


def check(parsed: Namespace) -> None:
    """See whether a process with these options could listen where it will.

    Args:
        parsed: Locust's options.

    Raises:
        ConfigError: it could not.
    """
    for place in _places(parsed):
        host = "" if place.host == "*" else place.host
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Locust's libraries do
                one.bind((host, place.port))
                one.listen()
        except (OSError, OverflowError) as error:
            raise ConfigError(_why(place, error)) from error


def is_local(host: str) -> bool:
    """Whether what listens at a host, a name or an address, can be reached from this machine alone; "" is all interfaces."""
    if not host:
        return False
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:  # who then tries to listen there says so
        return False
    return all(ipaddress.ip_address(one).is_loopback for one in found)


def _places(parsed: Namespace) -> Iterator[_Place]:
    if parsed.worker or parsed.list_commands or parsed.show_task_ratio or parsed.show_task_ratio_json:
        return
    if parsed.master or parsed.processes:
        instead = "another master on this machine?): give this one a port of its own, and its workers the same, e.g. "
        instead += "--master-bind-port {0} --master-port {0}"
        yield _Place(
            parsed.master_bind_host,
            parsed.master_bind_port,
            "--master-bind-host",
            "--master-bind-port",
            instead,
        )
    if not parsed.headless or parsed.headful:
        instead = "another Locust's page?): choose another, e.g. --web-port {0}, or run without the page: --headless"
        yield _Place(parsed.web_host or "", parsed.web_port, "--web-host", "--web-port", instead)


def _why(place: _Place, error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return f"{place.port_option} {place.port}: give a port from 1 to 65535"
    if error.errno == errno.EADDRINUSE:
        other = place.port + 10 if place.port < 65_000 else place.port - 10
        return f"{place.port_option} {place.port} is in use ({place.instead.format(other)}"
    if error.errno == errno.EACCES:
        return f"{place.port_option} {place.port}: not permitted here; give one from 1024 on"
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
    return f"{place.host_option} {place.host!r}: {reason}; give an address of this machine, or '*' for all of them"
