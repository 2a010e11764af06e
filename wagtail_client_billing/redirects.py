"""Which web addresses may be stored for a browser to be sent to.

https is the rule. http is for this machine and in test mode, where developers try things out.
Everything that browsers and parsers have been seen to read differently is refused.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

# Control characters and space, everywhere; browsers drop some of them and join what is left.
_NEVER = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)


class BadAddress(ValueError):
    """``str(error)`` says to people what is wrong with the address."""


def check_address(
    address: str, *, test_mode: bool = False, hosts: Iterable[str] | None = None
) -> str:
    """The address, if a browser may be sent to it; raises ``BadAddress``.

    ``test_mode`` allows http for this machine's own names. ``hosts`` are the only hosts allowed,
    as in ``REDIRECT_HOSTS``: written as in an address, with or without a port, or
    ``.example.com`` for that host and all below it.
    """
    if not address or _NEVER.search(address):
        raise BadAddress(_("Enter a web address without spaces, line breaks or backslashes."))
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise BadAddress(_("Enter a valid web address.")) from None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        raise BadAddress(_("Enter a web address that starts with https://"))
    if not address[len(parts.scheme) :].startswith("://") or not _is_host(host) or port == 0:
        raise BadAddress(_("Enter a valid web address."))
    if "@" in parts.netloc:
        raise BadAddress(_("The address must not contain a user name or password."))
    if parts.scheme == "http" and not is_this_machine(host):
        raise BadAddress(_("The address must start with https://"))
    if parts.scheme == "http" and not test_mode:
        raise BadAddress(_("http:// is for test mode; a live address must start with https://"))
    if hosts is not None and not _is_one_of(host, port, hosts):
        raise BadAddress(
            _("Addresses on %(host)s are not allowed on this installation.") % {"host": host}
        )
    return address


def is_this_machine(host: str) -> bool:
    """localhost and names below it, 127.0.0.1 and ::1: nobody else's machine."""
    host = host.lower()
    return host == "localhost" or host.endswith(".localhost") or host in ("127.0.0.1", "::1")


def _is_host(host: str) -> bool:
    if not host or "%" in host:
        return False
    if ":" in host or _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        # Browsers take a name that ends in a number for an IPv4 address.
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        return False
    name = name.removesuffix(".")
    return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split("."))


def _is_one_of(host: str, port: int | None, hosts: Iterable[str]) -> bool:
    wanted = _plain(host)
    for entry in hosts:
        name, colon, entry_port = entry.rpartition(":")
        if not (colon and entry_port.isdigit() and "]" not in entry_port):
            name, entry_port = entry, ""
        if entry_port and entry_port != str(port or ""):
            continue
        name = name.strip("[]").lower()
        if name.startswith(".") and wanted.endswith("." + _plain(name[1:])):
            return True
        if wanted == _plain(name.removeprefix(".")):
            return True
    return False


def _plain(host: str) -> str:
    """One way of writing a host, so that the same host is the same text."""
    host = host.lower().removesuffix(".")
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host
