"""Which addresses custom SMTP may dial, since whoever types a host could mean our own network.

The name is resolved once, every address that it has is judged, and a judged address is dialled:
a resolver that answers otherwise the next time is not asked again.
"""

import ipaddress
import queue
import socket
import threading
from dataclasses import dataclass
from typing import Any

from .conf import billing_settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What SMTP_ALLOW_PRIVATE_NETWORKS opens. Link-local addresses stay shut: clouds answer there with
# the machine's own credentials.
PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each)
    for each in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "100.64.0.0/10",
        "fc00::/7",
        "::1/128",
    )
)
# Not for anybody's mail, but public to some versions of Python.
SHUT: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each) for each in ("192.0.0.0/24", "64:ff9b:1::/48", "fec0::/10")
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """An address or a port that may not be dialled; says which, for the log."""


class UnknownHost(OSError):
    """A name that has no address, or is none."""


@dataclass(frozen=True)
class Endpoint:
    """A judged address, as a socket takes it."""

    family: int
    sockaddr: tuple[Any, ...]


def resolve_once(host: str, port: int, *, seconds: float) -> list[Endpoint]:
    """The addresses of a host, all of them judged.

    Raises ``NotAllowed`` if the port or any one of the addresses is not allowed, ``UnknownHost``,
    and ``TimeoutError`` after ``seconds``.
    """
    if port not in billing_settings.SMTP_PORTS:
        raise NotAllowed(f"port {port}")
    found = []
    for family, _type, _protocol, _name, sockaddr in _look_up(host, port, seconds):
        address = str(sockaddr[0])
        if not is_allowed(address):
            raise NotAllowed(f"{host} is {address}")
        endpoint = Endpoint(family, sockaddr)
        if endpoint not in found:
            found.append(endpoint)
    if not found:
        raise UnknownHost(f"{host} has no address")
    return found


def is_allowed(address: str) -> bool:
    """Whether an address in numbers may be dialled; False for what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_fit(each) for each in _meant(parsed))


def _meant(address: Address) -> list[Address]:
    """The addresses that an address leads to: itself, and those that it carries."""
    if not isinstance(address, ipaddress.IPv6Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in NAT64:
        # How IPv4 is reached from a network without.
        return [ipaddress.IPv4Address(address.packed[-4:])]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    return [address, *(address.teredo or ())]


def _is_fit(address: Address) -> bool:
    if billing_settings.SMTP_ALLOW_PRIVATE_NETWORKS and _is_in(address, PRIVATE):
        return True
    return address.is_global and not (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or _is_in(address, SHUT)
    )


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _look_up(host: str, port: int, seconds: float) -> list[Any]:
    """``getaddrinfo`` in bounded time: it knows no limit of its own, and waits for minutes."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised again where it was asked for
            answers.put(error)

    threading.Thread(target=ask, name="wcb-look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"The look-up of {host} took too long") from None
    if isinstance(answer, (OSError, ValueError)):
        # The latter for what cannot be a name at all.
        raise UnknownHost(f"{host}: {answer}") from answer
    if isinstance(answer, Exception):
        raise answer
    return list(answer)
