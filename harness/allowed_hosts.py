"""Where this process may send anything: `TOKENSWARM_ALLOWED_HOSTS`, and the addresses that nobody should load.

Rules of this file
1. The variable lists hosts (`llm.example`, `llm.example:8000`), all names below a domain (`*.corp.example`, which is not
   `corp.example` itself), addresses and networks (`10.1.2.3:8000`, `10.0.0.0/8`, `[::1]`). Unset or empty: every host.
2. Link-local addresses and those where clouds hand out credentials are refused all the same, in whatever spelling and
   inside whatever other address, unless an entry that is nothing wider than such a range lists them. `0.0.0.0/0` does not.
3. A listed name is allowed wherever it resolves to, but for rule 2. Of a name's addresses only the allowed are connected to.
4. Each process goes by its own environment. Behind a proxy, which resolves names by itself, names and literal addresses count.

Pure: who opens connections resolves the name, asks here about the very addresses, and connects to those. What an address is
in all its spellings is in `harness.addresses`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import Final

from harness.addresses import Address, Network, forms, guarded, is_within_guarded, literal, mapped
from harness.errors import ConfigError

__all__ = ["VARIABLE", "AllowedHosts", "HostRefused", "read"]

VARIABLE: Final = "TOKENSWARM_ALLOWED_HOSTS"
_EXAMPLE: Final = "for example llm.example:8000,*.corp.example,10.0.0.0/8,[::1]:8080"
_NAMES: Final = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
_SHOWN: Final = 200  # characters of the list, in an error's text


class HostRefused(OSError):
    """A connection that may not be opened. The text names host, address and variable."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name (of a domain, with its dot in front: all below it) or a network; at one port, or at any."""

    text: str
    name: str | None
    network: Network | None
    port: int | None

    def names(self, name: str, port: int) -> bool:
        if self.name is None or self.port not in (None, port):
            return False
        return name.endswith(self.name) if self.name.startswith(".") else name == self.name

    def holds(self, places: Iterable[Address], port: int) -> bool:
        network = self.network
        return network is not None and self.port in (None, port) and any(one in network for one in places)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """What the variable allows; without entries everything but the guarded addresses."""

    entries: tuple[_Entry, ...] = ()

    def refusal(self, host: str, port: int, addresses: Sequence[str] | None) -> str | None:
        """Why nothing may be sent to `host` at `port`, in one line; None if something may.

        Args:
            host: a name or an address, as in a URL; IPv6 without brackets.
            port: the port.
            addresses: all that it resolves to. Empty: it is resolved elsewhere, by a proxy. None: not resolved yet, so
                only what no address can change is refused.
        """
        if addresses:
            said = [self._why(host, port, one) for one in addresses]
            return None if None in said else said[0]
        if literal(host) is None and addresses is None and not self._is_guarded_name(host, port):
            has_networks = any(entry.network is not None for entry in self.entries)
            return None if has_networks else self._why(host, port, None)
        return self._why(host, port, None)

    def permitted(self, host: str, port: int, addresses: Sequence[str]) -> frozenset[str]:
        """Those of a host's addresses that may be connected to.

        Raises:
            HostRefused: there is none.
        """
        if addresses and (why := self.refusal(host, port, addresses)):
            raise HostRefused(why)
        return frozenset(one for one in addresses if self._why(host, port, one) is None)

    def _why(self, host: str, port: int, address: str | None) -> str | None:
        """The same for one of its addresses, or for none but what its name says."""
        place = literal(address or host)
        shown = _shown(host, place)
        if found := guarded(place):
            inner, kind = found
            if self._lists(place, port):
                return None
            return f"{shown} is a {kind} address, where nothing is sent to: if it is meant, list {inner} in {VARIABLE}"
        if self._is_guarded_name(host, port):
            return (
                f"{shown} is a cloud's metadata server, where nothing is sent to: if it is meant, list it "
                f"and its address in {VARIABLE}"
            )
        if not self.entries or self._names(host, port) or self._holds(place, port):
            return None
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        listed = ",".join(entry.text for entry in self.entries)
        listed = listed if len(listed) <= _SHOWN else f"{listed[:_SHOWN]}..."
        either = f" or {place}" if place is not None and literal(host) is None else ""
        return f"{shown} at port {port} is not among {VARIABLE}={listed}: add {where}{either} to it"

    def _names(self, host: str, port: int) -> bool:
        name = _name(host)
        return literal(host) is None and any(entry.names(name, port) for entry in self.entries)

    def _holds(self, place: Address | None, port: int) -> bool:
        same = [] if place is None else [place, *mapped(place)]
        return any(entry.holds(same, port) for entry in self.entries)

    def _lists(self, place: Address | None, port: int) -> bool:
        """Does an entry that is no wider than a guarded range list it?"""
        same = [*forms(place)]
        return any(
            entry.holds(same, port)
            for entry in self.entries
            if entry.network is not None and is_within_guarded(entry.network)
        )

    def _is_guarded_name(self, host: str, port: int) -> bool:
        name = _name(host)
        return name in _NAMES and not any(
            entry.name == name and entry.names(name, port) for entry in self.entries
        )


def read(environ: Mapping[str, str]) -> AllowedHosts:
    """What the environment allows.

    Raises:
        ConfigError: one line for each entry that cannot be understood; or there is none at all in a value.
    """
    value = environ.get(VARIABLE, "").strip()
    entries: list[_Entry] = []
    problems: list[str] = []
    for text in filter(None, map(str.strip, value.split(","))):
        try:
            entries.append(_entry(text))
        except ValueError as error:
            shown = "an entry" if "@" in text else repr(text[:_SHOWN])  # what is before it may be a password
            problems.append(f"{VARIABLE}: {shown} {error}; {_EXAMPLE}")
    if value and not entries and not problems:
        problems.append(
            f"{VARIABLE}: {value!r} names no host; leave it empty to allow every host, {_EXAMPLE}"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return AllowedHosts(tuple(entries))


def _entry(text: str) -> _Entry:
    """One entry; a ValueError's text follows upon it in a sentence."""
    if "@" in text or "://" in text:
        raise ValueError("is a URL, and not a host: give host or host:port alone")
    if text == "*":
        raise ValueError("would be every host: leave the variable empty for that")
    name, port = _split(text)
    if "/" in name:
        return _Entry(text, None, _network(name, port), None)
    if (address := literal(name)) is not None:
        if str(address) != name.strip("[]").lower() and not isinstance(address, IPv6Address):
            raise ValueError(f"is an unusual spelling of an address: write {address}")
        return _Entry(text, None, ip_network(next(mapped(address), address)), port)
    name, domain = _name(name), ""
    if name.startswith("*."):
        name, domain = name[2:], "."
    if "*" in name:
        raise ValueError("has a * elsewhere than at its beginning, as in *.corp.example")
    if not _LABELS.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError("is no host, address or network")
    return _Entry(text, domain + name, None, port)


def _split(text: str) -> tuple[str, int | None]:
    """Name and port; IPv6 has a port only behind brackets."""
    found = re.fullmatch(r"(\[[^\]]*\](?:/\d+)?|[^:\[\]]*)(?::([^:]*))?", text)
    if found is None:
        if literal(text) is None and "/" not in text:
            raise ValueError("is no host, address or network: IPv6 with a port is written [::1]:8080")
        return text, None
    if found[2] is None:
        return found[1], None
    if not re.fullmatch(r"[0-9]{1,5}", found[2], re.ASCII) or not 0 < int(found[2]) < 65_536:
        raise ValueError("has no port from 1 to 65535 behind its colon")
    return found[1], int(found[2])


def _network(text: str, port: int | None) -> Network:
    base, _, width = text.partition("/")
    if port is not None:
        raise ValueError("is a network with a port: give the network alone")
    try:
        return ip_network(f"{base.strip('[]')}/{width}")
    except ValueError:
        pass
    try:
        right = ip_network(f"{base.strip('[]')}/{width}", strict=False)
    except ValueError:
        raise ValueError("is no network: give address/bits, and no path") from None
    raise ValueError(f"is no network, since its address has bits beyond its width: write {right}")


def _name(host: str) -> str:
    """As it is compared: IDNA, in lower case, without the root's dot."""
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("is no host") from error
    return host.lower().rstrip(".")


def _shown(host: str, place: Address | None) -> str:
    """The host, and where it leads if that is not plain."""
    return host if place is None or str(place) == host else f"{host} ({place})"
