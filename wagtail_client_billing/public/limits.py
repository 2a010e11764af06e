"""How often a link may be used, and by whom it is counted."""

import ipaddress

from django.http import HttpRequest

from ..conf import billing_settings
from ..limits import Limit, wait_for

__all__ = ["Limit", "client_address", "wait_for"]

PAY = Limit("pay", 10)
PAY_FROM_ADDRESS = Limit("pay-address", 60)
PORTAL = Limit("portal", 10)
PORTAL_FROM_ADDRESS = Limit("portal-address", 60)
COME_BACK = Limit("return", 20)
COME_BACK_FROM_ADDRESS = Limit("return-address", 120)


def client_address(request: HttpRequest) -> str:
    """The address to count by, or an empty string where all clients may share one.

    That is so behind a proxy that was not named in ``TRUSTED_PROXIES``. X-Forwarded-For is read
    from the right, past the proxies that are trusted; what comes before may be made up. Of an
    IPv6 address the network counts, since one client has all of it.
    """
    remote = _address(request.META.get("REMOTE_ADDR", ""))
    trusted = [
        ipaddress.ip_network(each, strict=False) for each in billing_settings.TRUSTED_PROXIES
    ]
    if remote is None:
        return ""
    if not trusted:
        return _subject(remote) if remote.is_global else ""
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while any(remote in network for network in trusted) and hops:
        hop = _address(hops.pop())
        if hop is None:
            break
        remote = hop
    return _subject(remote)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _subject(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)
