"""How often a link may be used: fixed windows, counted in the cache."""

import ipaddress
import logging
import time
from dataclasses import dataclass

from django.core.cache import cache
from django.http import HttpRequest

from ..conf import billing_settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limit:
    """``times`` in ``seconds``; counted apart for every ``name``."""

    name: str
    times: int
    seconds: int = 60


PAY = Limit("pay", 10)
PAY_FROM_ADDRESS = Limit("pay-address", 60)
COME_BACK = Limit("return", 20)
COME_BACK_FROM_ADDRESS = Limit("return-address", 120)


def wait_for(limit: Limit, subject: object) -> int:
    """Counts one use; 0 if it is allowed, else the seconds until the window ends.

    A cache that is out of order allows everything: it must not keep clients from paying.
    """
    now = time.time()
    window = int(now // limit.seconds)
    key = f"wagtail_client_billing.limit.{limit.name}.{subject}.{window}"
    try:
        cache.add(key, 0, timeout=limit.seconds + 5)
        used = cache.incr(key)
    except ValueError:
        # Thrown out between the two calls.
        return 0
    except Exception:
        # Caches raise what they like.
        logger.warning("The cache is out of order: uses of links are not counted.", exc_info=True)
        return 0
    if used <= limit.times:
        return 0
    return max(1, int((window + 1) * limit.seconds - now) + 1)


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
