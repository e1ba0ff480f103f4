"""What an address is, however it is written and whatever it is wrapped in, and which addresses nobody should load.

Values in, values out: nothing is resolved here.

Source: RFC 3927, RFC 4291 2.5.6 (link-local); RFC 4291 2.5.5, RFC 6052, RFC 3056, RFC 4380 (IPv4 inside IPv6); inet_aton(3)
for the spellings of IPv4; the clouds' own documents for their metadata servers.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

__all__ = ["Address", "Network", "forms", "guarded", "is_within_guarded", "literal", "mapped"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOUDS: Final = (
    *("fd00:ec2::/32", "fd20:ce::254"),  # AWS and Google over IPv6; over IPv4 both are link-local
    *("100.100.100.200", "192.0.0.192", "168.63.129.16"),  # Alibaba, Oracle, and Azure's wire server
)
_GUARDED: Final = {
    "link-local": tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10"))),
    "cloud metadata": tuple(map(ip_network, _CLOUDS)),
}
# IPv6 prefixes whose last 32 bits are an IPv4 address: compatible, mapped, translated, NAT64 and its local form.
_CARRIERS: Final = tuple(
    map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
)


@lru_cache(maxsize=1024)
def literal(host: str) -> Address | None:
    """The address that a host is, in any spelling that a resolver takes for one; None: it is a name."""
    text = host.partition("%")[0].strip("[]").rstrip(".")
    try:
        return ip_address(text)
    except ValueError:
        return _loose(text)


def _loose(text: str) -> IPv4Address | None:
    """As inet_aton reads it: one to four numbers, decimal, 0x hexadecimal or 0 octal; the last takes the bytes left."""
    parts = text.lower().split(".")
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    *heads, last = numbers
    if len(parts) > 4 or any(head > 255 for head in heads) or last >= 256 ** (5 - len(parts)):
        return None
    return IPv4Address(sum(head << (24 - 8 * at) for at, head in enumerate(heads)) + last)


def _number(part: str) -> int:
    if re.fullmatch("0x[0-9a-f]+", part):
        return int(part, 16)
    if re.fullmatch("0[0-7]*", part):
        return int(part, 8)
    if re.fullmatch("[1-9][0-9]{0,10}", part):
        return int(part)
    raise ValueError


def mapped(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 address that an IPv6 socket would reach by it."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        yield address.ipv4_mapped


def forms(address: Address | None) -> Iterator[Address]:
    """An address and every IPv4 address that is inside it, where a gateway may send it on to."""
    if address is None:
        return
    yield address
    if isinstance(address, IPv6Address):
        if any(address in carrier for carrier in _CARRIERS):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo


@lru_cache(maxsize=1024)
def guarded(address: Address | None) -> tuple[Address, str] | None:
    """What of it lies where nothing is sent to unasked, and what that is called; None: nothing does."""
    for form in forms(address):
        for name, ranges in _GUARDED.items():
            if any(form in network for network in ranges):
                return form, name
    return None


def is_within_guarded(network: Network) -> bool:
    """Is it no wider than one of the guarded ranges? Only such a network lists what is in it."""
    return any(_is_within(network, range_) for ranges in _GUARDED.values() for range_ in ranges)


def _is_within(network: Network, range_: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(range_, IPv4Network) and network.subnet_of(range_)
    return isinstance(range_, IPv6Network) and network.subnet_of(range_)
