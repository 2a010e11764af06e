"""Which installation this is, by the host of ``WAGTAILADMIN_BASE_URL``.

A copy of the production database on another host holds the same keys and the same clients'
addresses: it must neither write to them nor change anything at Stripe.
"""

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings

DEFAULT_PORTS = {"http": 80, "https": 443}


def this_host() -> str:
    """``hostname`` or ``hostname:port`` in lower case; empty where the setting is not set.

    The ports that a scheme has anyway are left out. All names of this machine itself are
    ``localhost`` without a port, so that a demo on another port is no copy of itself.
    """
    base = str(getattr(settings, "WAGTAILADMIN_BASE_URL", "") or "").strip()
    try:
        parts = urlsplit(base if "//" in base else f"//{base}")
        name, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    if not name:
        return ""
    if _is_this_machine(name):
        return "localhost"
    if port is None or port == DEFAULT_PORTS.get(parts.scheme or "https"):
        return name[:255]
    return f"{name}:{port}"[:255]


def _is_this_machine(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
